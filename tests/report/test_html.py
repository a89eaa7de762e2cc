"""Notebooks go to an HTML page here, which is read back with html.parser, and by Chromium."""

import base64
import copy
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nbformat import from_dict, v4

from labkit.errors import UsageError
from labkit.report.facts import Recorded
from labkit.report.html import sanitised, section, snippets, write_html

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{}<path d="M0 0h9"/></svg>'
BIB = """
@article{ioffe2015, author={Ioffe, Sergey and Szegedy, Christian}, title={Batch}, year={2015}}
@article{kingma2015, author={Kingma, Diederik and Ba, Jimmy}, title={Adam}, year={2015}}
"""
RUN = Recorded(
    key="abcdef0123456789",
    config={"optimizer": {"name": "SGD", "learning_rate": 0.01}, "seed": 3, "network": ["ReLU()"]},
    metrics={"test_accuracy": 0.7525999999, "steps": 1234567},
    environment={"device": "a machine"},
    history=[
        {"step": "10", "epoch": "1.0", "train_loss": "2.25", "validation_loss": "2.125"},
        {"step": "20", "epoch": "2.0", "train_loss": "1.5", "validation_loss": "1.75"},
    ],
    committed=False,
)


def notebook(*cells):
    return v4.new_notebook(
        cells=[v4.new_markdown_cell(c) if isinstance(c, str) else c for c in cells]
    )


def code(source="", *outputs, tags=()):
    cell = v4.new_code_cell(source, outputs=list(outputs))
    cell.metadata["tags"] = list(tags)
    return cell


def display(data, **labkit):
    metadata = {"labkit": labkit} if labkit else {}
    return v4.new_output("display_data", data=data, metadata=metadata)


def figure(caption, **labkit):
    data = {"image/svg+xml": SVG.format(""), "text/plain": "a figure"}
    return code("", display(data, caption=caption, kind="figure", **labkit))


def table(caption, frame=None, **labkit):
    frame = pd.DataFrame({"name": ["a", "b"], "x": [1.5, -2]}) if frame is None else frame
    data = {"text/html": frame.to_html(index=False), "text/plain": "a table"}
    return code("", display(data, caption=caption, kind="table", **labkit))


def stream(text):
    return v4.new_output("stream", text=text, name="stdout")


class Page(HTMLParser):
    """The elements of a page, each with its text, and those of them that surround it."""

    VOID = frozenset(("br", "hr", "img", "input", "meta", "link", "col"))

    def __init__(self, path: Path):
        super().__init__()
        self.source = path.read_text()
        self.all: list[dict] = []
        self.open: list[dict] = []
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", "around": list(self.open), **dict(attributes)}
        self.all.append(element)
        if tag not in self.VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag, f"a </{tag}> that closes nothing"

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def find(self, tag, **attributes):
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [e for e in self.all if e["tag"] == tag and wanted.items() <= e.items()]

    @property
    def main(self):
        return [e for e in self.all if any(a["tag"] == "main" for a in e["around"])]

    def text(self) -> str:
        (main,) = self.find("main")
        return main["text"]

    def pictures(self) -> list[str]:
        uris = [e["src"] for e in self.main if e["tag"] == "img" and "src" in e]
        return [base64.b64decode(uri.partition("base64,")[2]).decode() for uri in uris]


@pytest.fixture
def write(tmp_path):
    def write(*notebooks, course="A course", failure=None, **settings) -> Page:
        names = [f"course/task{number}" for number in range(1, 10)]
        sections = [(course, name, nb, failure) for name, nb in zip(names, notebooks, strict=False)]
        path = tmp_path / "build" / "index.html"
        write_html(sections, path, **{"title": "The report", **settings})
        return Page(path)

    return write


# ------------------------------------------------------------------------------ what is on it


def test_the_head_says_what_the_report_is(write):
    page = write(
        notebook("# Task"),
        title="A & <B>",
        subtitle="Below",
        authors=["Ada", "Bob"],
        date="22 November 2026",
        language="pt",
        provenance={"Profile": "quick"},
        downloads=[("As PDF", "report.pdf")],
    )
    assert page.find("html", lang="pt")
    assert page.find("title")[0]["text"] == "A & <B>" == page.find("h1")[0]["text"]
    for words in ("Below", "Ada, Bob", "22 November 2026", "Profile", "quick"):
        assert words in page.text()
    assert page.find("a", href="report.pdf")[0]["text"] == "As PDF"


def test_figures_and_tables_are_numbered_through_all_notebooks(write):
    page = write(
        notebook(figure("First."), table("Rows."), figure("Second.")),
        notebook(table("More rows."), figure("With $x^2$ and *stress*.")),
    )
    captions = [" ".join(e["text"].split()) for e in page.find("figcaption")]
    assert captions[:4] == [
        "Figure 1. First.",
        "Table 1. Rows.",
        "Figure 2. Second.",
        "Table 2. More rows.",
    ]
    assert captions[4].startswith("Figure 3. With")
    assert [e["text"] for e in page.find("em")] == ["stress"]


def test_references_name_the_number_and_lead_to_it(write):
    first = notebook(figure("One.", label="fig-One"))
    second = notebook(
        "See @fig-b, [@fig-b], [here](#fig-b), [the task](#the-task), [gone](#nowhere), @unknown.",
        "## The task",
        figure("Two.", label="fig-b"),
    )
    page = write(first, second)
    links = [e for e in page.main if e["tag"] == "a"]
    assert [(e["text"], e["href"]) for e in links] == [
        ("Figure 2", "#course/task2/fig-b"),
        ("Figure 2", "#course/task2/fig-b"),
        ("here", "#course/task2/fig-b"),
        ("the task", "#course/task2/the-task"),
    ]
    assert page.find("figure", id="course/task2/fig-b")
    assert page.find("h3", id="course/task2/the-task")
    assert "gone, @unknown" in page.text()


def test_the_contents_list_courses_chapters_and_their_parts(write):
    page = write(notebook("# Task $x$\n\n## Part[^1]\n\n[^1]: note"), notebook("no heading"))
    (nav,) = page.find("nav")
    inside = [e for e in page.all if nav in e["around"]]
    links = [(e["href"], e["text"]) for e in inside if e["tag"] == "a"]
    assert links[0][0] == "#course/task1"
    assert links[0][1].startswith("Task x")
    assert links[1:] == [("#course/task1/part", "Part"), ("#course/task2", "course/task2")]
    assert [e["text"] for e in inside if e.get("class") == "course"] == ["A course"]
    ids = [e["id"] for e in page.all if "id" in e]
    assert len(ids) == len(set(ids))
    assert {target[1:] for target, _ in links} <= set(ids)


def test_footnotes_of_two_cells_keep_apart(write):
    page = write(notebook("a[^1]\n\n[^1]: first note", "b[^1]\n\n[^1]: second note"))
    ids = [e["id"] for e in page.all if "id" in e]
    assert len(ids) == len(set(ids))
    notes = [e["href"][1:] for e in page.main if e["tag"] == "a" and e["text"] == "1"]
    assert [next(e for e in page.all if e.get("id") == id)["text"][:5] for id in notes] == [
        "first",
        "secon",
    ]


def test_code_is_folded_and_hidden_where_its_cell_says_so(write):
    page = write(
        notebook(
            code("shown = 1 < 2", stream("output 1")),
            code("hidden = 1", stream("output 2"), tags=["parameters"]),
            code("gone = 1", stream("output 3"), tags=["remove_cell"]),
        )
    )
    (folded,) = page.find("details", class_="code")
    assert folded["text"] == "Codeshown = 1 < 2\n"
    assert "output 2" in page.text()
    assert not re.search("hidden|gone|output 3", page.text())


def test_terminal_output_ends_as_a_terminal_shows_it(write):
    page = write(
        notebook(code("", stream("10 %\r50 %"), stream("\r100 %\n\x1b[31mred\x1b[0m\x07 <b>")))
    )
    (printed,) = page.find("pre", class_="printed")
    assert printed["text"].split("\n") == ["100 %", "red <b>"]
    assert page.find("span", class_="ansi-red-fg")[0]["text"] == "red"


def test_what_went_wrong_stands_in_a_box(write):
    trace = ["\x1b[31mValueError\x1b[0m: x < y"]
    error = v4.new_output("error", ename="ValueError", evalue="x < y", traceback=trace)
    page = write(notebook("# Task", code("", error)), failure="no data")
    boxes = [e["text"] for e in page.find("div", class_="failure")]
    assert boxes == [
        "course/task1 did not run to its endno data",
        "ValueErrorx < yValueError: x < y",
    ]


def test_formulas_are_mathml_and_what_is_no_formula_its_source(write):
    page = write(
        notebook(
            r"$x^2$ and $\undefined{y}$",
            r"\begin{align}a &= b\end{align}",
            r"$$c \tag{7}$$",
            code("", display({"text/latex": r"$\displaystyle z$", "text/plain": "z"})),
        )
    )
    assert len(page.find("math")) == 4
    assert [e["text"] for e in page.find("mi")] == ["x", "a", "b", "c", "z"]
    assert r"$\undefined{y}$" in page.text()
    assert "(7)" in page.text()


def test_a_table_s_numbers_stand_right(write):
    frame = pd.DataFrame({"n": ["a", "b"], "x": ["0.5 ± 0.1", "–"], "y": ["1", "1×1"]})
    page = write(notebook(table("Rows.", frame), "|a|b|\n|:-:|--:|\n|p|q|"))
    heads = [(e["text"], e.get("class")) for e in page.find("th")]
    assert heads == [("n", None), ("x", "number"), ("y", None), ("a", "centre"), ("b", "number")]
    assert [e["text"] for e in page.find("td", class_="number")] == ["0.5 ± 0.1", "–", "q"]


def test_pictures_have_words_for_who_cannot_see_them(write):
    plain = code("", display({"image/svg+xml": SVG.format(""), "text/plain": "a curve"}))
    page = write(notebook(figure("C.", alt='A "rising" curve.'), plain, "![from Markdown](x.png)"))
    images = [e for e in page.main if e["tag"] == "img"]
    assert [e["alt"] for e in images] == ['A "rising" curve.', "a curve", "from Markdown"]
    assert ["src" in e for e in images] == [True, True, False]  # x.png is not part of the page


def test_an_attached_picture_is_shown(write):
    cell = v4.new_markdown_cell("![p](attachment:p.png)")
    cell["attachments"] = {"p.png": {"image/png": base64.b64encode(b"pixels").decode()}}
    assert write(notebook(cell)).pictures() == ["pixels"]


def test_only_cited_works_are_listed(write):
    page = write(
        notebook("[Ioffe & Szegedy 2015](#cite-ioffe2015), [Nobody 1900](#cite-nobody)"),
        bibliography=BIB,
    )
    links = [(e["text"], e["href"]) for e in page.main if e["tag"] == "a"]
    assert links == [("Ioffe & Szegedy 2015", "#ref-ioffe2015")]
    (entry,) = page.find("div", id="ref-ioffe2015")
    assert "Ioffe, Sergey, and Christian Szegedy" in entry["text"]
    assert "Kingma" not in page.text()
    assert "Nobody 1900" in page.text()


def test_a_report_that_cites_nothing_has_no_references(write):
    page = write(notebook("Nothing."), bibliography=BIB)
    assert not page.find("section", id="references")


def test_a_bibliography_that_is_none_leaves_the_old_page(write, tmp_path):
    write(notebook("The old page"))
    with pytest.raises(UsageError, match="bibliography"):
        write(notebook("The new page"), bibliography="@article{broken")
    assert "The old page" in (tmp_path / "build" / "index.html").read_text()


def test_a_figure_leads_to_its_runs(write):
    runs = {"base": [RUN.key, "0000000000000000"]}
    page = write(notebook(figure("F.", runs=runs)), runs={RUN.key: RUN})
    links = [(e["text"], e["href"]) for e in page.main if e["tag"] == "a"]
    assert links == [("abcdef01", f"#run-{RUN.key}")]  # the other has no record here
    (part,) = page.find("details", id=f"run-{RUN.key}")
    assert part["text"].startswith("abcdef01 base, seed 3, test accuracy 0.753")
    inside = [e for e in page.all if part in e["around"]]
    rows = [e["text"] for e in inside if e["tag"] == "tr"]
    assert rows[:3] == [
        "stepepochtrain lossvalidation loss",
        "1012.252.125",
        "2021.51.75",
    ]
    for row in ("optimizer.learning_rate0.01", "test_accuracy0.7526", "steps1234567"):
        assert row in rows


# ------------------------------------------------------------------------------ what is not

HOSTILE = (
    "<script>document.title='run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    "<svg onload=\"document.title='run'\"><script>document.title='run'</script></svg>",
    "<a href=\"javascript:document.title='run'\">link</a>",
    "<a href=\" &#106;ava\tscript:document.title='run'\">link</a>",
    "<a href=\"data:text/html,<script>parent.document.title='run'</script>\">link</a>",
    "<iframe srcdoc=\"<script>parent.document.title='run'</script>\"></iframe>",
    '<iframe src="http://evil.example/"></iframe>',
    "<object data=\"javascript:document.title='run'\"></object><embed src=http://evil.example/x>",
    '<form action="http://evil.example/"><input name=a><button>send</button></form>',
    '<meta http-equiv="refresh" content="0;url=http://evil.example/">',
    '<base href="http://evil.example/"><link rel=stylesheet href="http://evil.example/x.css">',
    "<style>body { display: none } @import url(http://evil.example/x.css);</style>",
    '<p style="background: url(http://evil.example/x); position: fixed">p</p>',
    '<img src="http://evil.example/x.png" srcset="http://evil.example/y.png 2x">',
    '<video src="http://evil.example/v"></video><audio src="http://evil.example/a"></audio>',
    "<details open ontoggle=\"document.title='run'\"><summary>s</summary></details>",
    "<math><mtext><table><mglyph><style><img src onerror=\"document.title='run'\">",
    "<noscript><p title=\"</noscript><img src=x onerror=document.title='run'>\">",
    "<svg><foreignObject><body onload=\"document.title='run'\"></body></foreignObject></svg>",
    "<input autofocus onfocus=\"document.title='run'\">",
    '<div id="text" class="skip"><p id="search">p</p></div>',
    "<!-- never closed",
    "<div><table><tr><td>never closed",
    "</main></body></section><h1>outside</h1>",
    "<template><script>document.title='run'</script></template>",
)
ACTIVE_SVG = (
    "<script>document.title='run'</script>",
    "<g onclick=\"document.title='run'\"/>",
    "<g\nonload='1'/>",
    '<use href="http://evil.example/x.svg#a"/>',
    '<use xmlns:x="http://www.w3.org/1999/xlink" x:href="http://evil.example/x.svg#a"/>',
    '<image href="http://evil.example/x.png"/>',
    "<a href=\"javascript:document.title='run'\"><path d=''/></a>",
    "<a href=\"java&#115;cript:document.title='run'\"><path d=''/></a>",
    "<foreignObject><p>evil.example</p></foreignObject>",
    "<style>@import 'http://evil.example/x.css';</style>",
    '<rect fill="url(http://evil.example/x.svg#p)"/>',
    "<style>rect { fill: url( 'http://evil.example/x.svg#p' ) }</style>",
)


def assert_harmless(page: Page) -> None:
    (policy,) = page.find("meta", **{"http-equiv": "Content-Security-Policy"})
    assert len(page.find("script")) == len(page.find("style")) == len(page.find("main")) == 1
    tags = {e["tag"] for e in page.main}
    assert not tags & {"script", "style", "iframe", "object", "embed", "form", "input", "button"}
    assert not tags & {"meta", "base", "link", "svg", "video", "audio", "template", "noscript"}
    for element in page.main:
        assert not [name for name in element if name.startswith("on")]
        assert not element.keys() & {"style", "srcset", "srcdoc", "action", "name"}
        assert re.match(r"#|https?:|mailto:|report\.pdf", element.get("href", "#"))
        assert element.get("src", "data:image/").startswith("data:image/")
    assert "default-src 'none'" in policy["content"]
    ids = [e["id"] for e in page.all if "id" in e]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_of_a_notebook_acts_or_loads(write, hostile):
    page = write(
        notebook(
            hostile,
            f"text {hostile} text",
            code(hostile, stream(hostile), display({"text/html": hostile, "text/plain": hostile})),
            figure(hostile, alt=hostile, provenance=hostile, label=hostile),
            code("", v4.new_output("error", ename=hostile, evalue=hostile, traceback=[hostile])),
            f"# {hostile}",
            "the end",
        ),
        course=hostile,
        failure=hostile,
        title=hostile,
        provenance={hostile: hostile},
    )
    assert_harmless(page)
    assert "the end" in page.text()


@pytest.mark.parametrize("active", ACTIVE_SVG)
def test_a_picture_is_shown_without_what_acts_in_it(write, active):
    svg = SVG.format(active)
    as_base64 = base64.b64encode(svg.encode()).decode()
    page = write(
        notebook(
            code("", display({"image/svg+xml": svg})),
            code("", display({"text/html": f'<img src="data:image/svg+xml;base64,{as_base64}">'})),
            code("", display({"text/html": svg})),
        )
    )
    assert_harmless(page)
    pictures = page.pictures()
    assert len(pictures) == 3
    for picture in pictures:
        assert "M0 0h9" in picture
        assert not re.search(r"evil|script|\son\w+=|foreignObject", picture)


def test_a_harmless_picture_stays_as_it_was(write):
    svg = SVG.format('<defs><g id="a"/></defs><use href="#a"/><text>on = 1</text>')
    assert write(notebook(code("", display({"image/svg+xml": svg})))).pictures() == [svg]


def test_a_broken_picture_gives_way_to_its_text(write):
    broken = {"image/svg+xml": "<svg><script></svg>", "text/plain": "a curve"}
    page = write(notebook(code("", display(broken))))
    assert not page.pictures()
    assert "a curve" in page.text()


def test_latex_of_a_notebook_reads_no_file(write, tmp_path):
    secret = tmp_path / "secret.tex"
    secret.write_text("the secret")
    latex = rf"before \input{{{secret}}} \includegraphics{{{secret}}} after"
    page = write(notebook(code("", display({"text/latex": latex}))))
    assert "before" in page.text()
    assert "the secret" not in page.source


def test_the_policy_allows_labkit_s_own_script_and_style_alone(write):
    page = write(notebook("text"))
    (policy,) = page.find("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.split(" ", 1) for rule in policy["content"].split("; "))
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page.source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"


# ------------------------------------------------------------------------------ how it is made


def test_the_same_notebooks_give_the_same_bytes_and_stay_as_they_are(write):
    def cells():
        return notebook("# T[^1]\n\n[^1]: n", code("1", stream("a"), stream("b")), table("T."))

    given = cells()
    before = copy.deepcopy(given)
    first = write(given, runs={RUN.key: RUN})
    assert given == before
    assert write(cells(), runs={RUN.key: RUN}).source == first.source


def test_pandoc_is_not_asked_twice(write, tmp_path, monkeypatch):
    first = write(notebook("# T", "*one* and @fig-a", figure("F.", label="fig-a")))

    def ask(*args, input, **rest):
        asked.extend(job["text"] for job in json.loads(input))
        return run(*args, input=input, **rest)

    asked, run = [], subprocess.run
    monkeypatch.setattr(snippets.subprocess, "run", ask)
    again = write(notebook("# T", "*one* and @fig-a", figure("F.", label="fig-a")))
    assert (asked, again.source) == ([], first.source)
    # the number of the figure changes the text that names it, and nothing else
    write(notebook("# T", figure("First."), "*one* and @fig-a", figure("F.", label="fig-a")))
    assert sorted(asked) == ["*one* and @fig-a", "First."]
    (tmp_path / "build" / ".index.json").write_text("[damaged")
    assert write(notebook("# T")).find("h2")[0]["text"] == "T"


def test_a_cell_that_brings_pandoc_down_is_shown_as_it_is(write, monkeypatch):
    run = subprocess.run

    def fall(*args, input, **rest):
        if b"bomb" in input:
            raise subprocess.CalledProcessError(1, "pandoc")
        return run(*args, input=input, **rest)

    monkeypatch.setattr(snippets.subprocess, "run", fall)
    page = write(notebook("# T", "*one*", "*bomb*", "*two*"))
    assert [e["text"] for e in page.find("em")] == ["one", "two"]
    assert [e["text"] for e in page.find("pre")] == ["*bomb*"]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
MIMES = st.sampled_from(
    [
        *sanitised.PICTURES,
        *section.MARKUP,
        "text/plain",
        "application/json",
        section.WIDGET,
        "application/pdf",
    ]
)
LABKIT = st.sampled_from(["caption", "kind", "label", "alt", "provenance", "runs"])
OUTPUTS = st.fixed_dictionaries(
    {
        "output_type": st.just("display_data"),
        "data": st.dictionaries(MIMES, JSON, max_size=3),
        "metadata": st.fixed_dictionaries(
            {}, optional={"labkit": JSON | st.dictionaries(LABKIT, JSON), "image/png": JSON}
        ),
    }
)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink would take minutes
)
@given(outputs=st.lists(OUTPUTS, min_size=8, max_size=16), source=st.text(max_size=30))
def test_no_notebook_brings_it_down(write, outputs, source):
    foreign = notebook(source, code(source, stream(source)), "the end")
    foreign.cells[1].outputs += [from_dict(output) for output in outputs]  # as no schema has them
    page = write(foreign)
    assert_harmless(page)
    assert "the end" in page.text()


# ------------------------------------------------------------------------------ in a browser

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium")
def test_in_a_browser_the_script_runs_and_nothing_else(write, tmp_path):
    hostile = [code("", display({"text/html": it})) for it in HOSTILE]
    pictures = [code("", display({"image/svg+xml": SVG.format(it)})) for it in ACTIVE_SVG]
    write(
        notebook("# Task", *HOSTILE, *hostile, *pictures, table("T."), figure("F.")),
        title="untouched",
        runs={RUN.key: RUN},
    )
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    address = (tmp_path / "build" / "index.html").as_uri() + f"#run-{RUN.key}"
    browser = subprocess.run(
        [CHROMIUM, *options, profile, "--virtual-time-budget=3000", "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    dom = browser.stdout
    assert "<title>untouched</title>" in dom
    assert 'class="scripted"' in dom
    assert '<th><button type="button">name</button>' in dom  # can be sorted
    # the link opened the run, whose curves were drawn, with the values of its last epoch
    assert re.search(rf'<details class="run" id="run-{RUN.key}" open=""', dom)
    assert len(re.findall(r'<path class="curve-\d" d="M[^"]+L[^"]+"', dom)) == 2
    assert "train 1.5" in dom
    assert "evil.example" not in browser.stderr
    assert not re.findall(r"CONSOLE.*", browser.stderr)
