"""Notebooks go through Typst to PDF here, and the PDF's text is read back with pypdf."""

import base64
import io
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbformat import v4
from pypdf import PdfReader

from labkit.errors import UsageError
from labkit.report import typst
from labkit.report.typst import compile_pdf, document, failure, markdown, section

A4_WIDTH, MARGIN = 595.3, 82.2  # points
MONO_ADVANCE = 0.602  # width of a DejaVu Sans Mono glyph, in em

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="{height}pt">'
    '<rect width="{width}" height="{height}" fill="#888"/></svg>'
)
SPECIALS = r'#let $x = *bold* _it_ @me <lab> "q" [b] {c} \n ~ ` // /* = - + 1. \u{41}'


def png(width=4, height=3) -> str:
    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + b"\x80" * width for _ in range(height)))
    data = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + data).decode()


def notebook(*cells):
    return v4.new_notebook(
        cells=[v4.new_markdown_cell(c) if isinstance(c, str) else c for c in cells]
    )


def code(source="", *outputs, tags=(), **metadata):
    cell = v4.new_code_cell(source, outputs=list(outputs), metadata=metadata)
    cell.metadata["tags"] = list(tags)
    return cell


def display(data, **labkit):
    metadata = {"labkit": labkit} if labkit else {}
    return v4.new_output("display_data", data=data, metadata=metadata)


def stream(text, name="stdout"):
    return v4.new_output("stream", name=name, text=text)


def error(name, message, *traceback):
    return v4.new_output("error", ename=name, evalue=message, traceback=list(traceback))


def pdf_of(*cells, **options) -> PdfReader:
    source, files = document([section(notebook(*cells), **options)], title="T", contents=False)
    return PdfReader(io.BytesIO(compile_pdf(source, files)))


def text_of(*cells, **options) -> str:
    """The text after the title page, without running headers and page numbers."""
    pages = pdf_of(*cells, **options).pages[1:]
    return "\n".join(re.sub(r"\d+ / \d+\s*$", "", page.extract_text()) for page in pages)


def squeezed(text) -> str:
    return re.sub(r"\s", "", text)


def fragments(page):
    """Every piece of text on a page, as (text, x, size, font)."""
    found = []

    def visit(text, cm, tm, font, size):
        if text.strip() and font:
            found.append((text.strip("\n"), cm[4] + tm[4], size, font["/BaseFont"]))

    page.extract_text(visitor_text=visit)
    return found


# ------------------------------------------------------------------------------ Markdown and math


def test_markdown_lists_quotes_links_and_footnotes():
    pdf = pdf_of(
        "# Heading one\nIntro:\n- item\n  1. nested\n     - deeper\n- *last* one\n\n> quoted\n\n"
        "A [site](https://example.org/a_b) and a note[^1]. See [above](#Heading-one).\n\n"
        "[^1]: the note's text\n\n---\n\n- [x] done\n\n| a | b |\n|---|--:|\n| left | 12 |"
    )
    text = pdf.pages[1].extract_text()
    for words in ("1 Heading one", "• item", "1. nested", "quoted", "the note’s text", "left 12"):
        assert words in text
    links = [note.get_object() for note in pdf.pages[1]["/Annots"]]
    assert "https://example.org/a_b" in [link.get("/A", {}).get("/URI") for link in links]
    inside = [link for link in links if "/URI" not in link.get("/A", {})]
    assert len(inside) >= 2  # the footnote's mark, and the jump to the heading


@pytest.mark.parametrize(
    ("tex", "shown"),
    [
        (r"$a_i^2 + \frac{\alpha}{2}$", "𝛼"),
        (r"$$\sum_{i=1}^n x_i \leq \sqrt{\pi}$$", "∑"),
        (r"$$\begin{align} a &= b \\ c &= \gamma \end{align}$$", "𝛾"),
        ("\\begin{align*}\na &= b \\\\\nc &= \\delta\n\\end{align*}", "𝛿"),
        (
            r"$$f(x)=\begin{cases} x & \text{if } x>0 \\ 0 & \text{otherwise}\end{cases}$$",
            "otherwise",
        ),
        (r"$$\begin{pmatrix}1&2\\3&4\end{pmatrix}\begin{bmatrix}\theta\\0\end{bmatrix}$$", "𝜃"),
        (r"$\mathrm{softmax}(z)$ and $\operatorname{ReLU}(z)$", "ReLU"),
        (
            r"$\lVert w \rVert_2 \cdot \mathbb{E}[y \mid x], \hat{y}, \mathbf{W}^\top$",
            "𝔼",
        ),
        (r"$$E = mc^2 \tag{7}$$", "(7)"),
    ],
)
def test_math_is_set_as_math(tex, shown):
    text = text_of(f"Before\n\n{tex}\n\nafter")
    assert shown in text
    assert "\\" not in text  # no TeX is left over
    assert "&" not in text


def test_word_operators_stay_close_to_their_argument():
    assert "softmax(" in text_of(r"$\mathrm{softmax}(z)$")


def test_thousands_stay_together_and_lists_do_not():
    text = text_of(r"$3{,}271{,}753 \cdot 2$ and $f(1, 296)$")
    assert "3,271,753" in text
    assert "1, 296" in text


def test_formula_that_cannot_be_set_is_shown_as_its_source():
    text = text_of(r"Good $\beta$, bad $\undefinedcommand{x}$, $\frac{1}{$ and on.", "# Next")
    assert r"$\undefinedcommand{x}$" in text
    assert "𝛽" in text
    assert "Next" in text


def test_formula_that_typst_refuses_does_not_take_its_cell_along(monkeypatch, tmp_path):
    # pandoc converts it, Typst does not know the name: simulated, since the two are well matched
    misspelt = "converted = converted:gsub('zeta', 'nosuchname')\n"
    script = typst.PANDOC_SCRIPT.read_text()
    assert "converted = converted\n" in script
    (tmp_path / "pandoc.lua").write_text(script.replace("converted = converted\n", misspelt, 1))
    (tmp_path / "tables.lua").write_text(typst.TABLES_SCRIPT.read_text())  # it lies beside
    monkeypatch.setattr(typst, "PANDOC_SCRIPT", tmp_path / "pandoc.lua")
    text = text_of(r"Words **bold** with $\zeta$ and $\beta$.")
    assert r"$\zeta$" in text
    assert "𝛽" in text
    assert "**" not in text


def test_dollars_and_decorators_in_prose_are_not_markup():
    text = text_of("It costs $5 and $6; `@property`, @property and me@example.org stay.")
    assert "costs $5 and $6; @property, @property and me@example.org stay." in text


def test_html_inside_markdown():
    text = text_of(
        "x<sup>2</sup> <b>bold</b><br>new <!-- gone -->\n\n<table><tr><td>cell</td></tr></table>"
    )
    assert "bold\nnew" in text
    assert "cell" in text
    assert "<" not in text
    assert "gone" not in text


def test_unclosed_fence_ends_with_its_cell():
    text = text_of("```python\nx = 1", "# A heading", "<!-- open", "**strong** text")
    assert "1 A heading" in text
    assert "**" not in text


# ------------------------------------------------------------------------------ outputs


def test_streams_lose_colours_and_keep_the_last_state_of_a_progress_bar():
    text = text_of(
        code(
            "",
            stream("\x1b[31mred\x1b[0m and \x1b]8;;http://x\x07link\n"),
            stream("\r  0%|   | 0/10", "stderr"),
            stream("\r 50%|#  | 5/10\r100%|###| 10/10\n", "stderr"),
        )
    )
    assert "red and link" in text
    assert "100%|###| 10/10" in text
    assert "50%" not in text
    assert "| 0/10" not in text
    assert "\x1b" not in text
    assert "[31m" not in text


def test_error_is_shown_even_where_output_is_removed():
    outputs = (
        stream("chatter\n"),
        error("ValueError", "kernel 5 > input 4", "\x1b[0;31mTraceback\x1b[0m line 3"),
    )
    for tags in ((), ("remove_output",), ("remove_cell",)):
        text = text_of(code("boom()", *outputs, tags=tags))
        assert "ValueError" in text
        assert "kernel 5 > input 4" in text
        assert "Traceback line 3" in text
        assert ("chatter" in text) == (not tags)


def test_traceback_is_shortened_to_its_end():
    frames = [f"frame {number}" for number in range(100)]
    text = text_of(code("", error("E", "m", *frames)))
    assert "frame 99" in text
    assert "frame 10\n" not in text


def test_code_is_hidden_unless_asked_for():
    cells = (
        code("shown_by_request = 1"),
        code("epochs = 3", tags=["parameters"]),
        code("epochs = 4", tags=["injected-parameters"]),
        code("secret = 1", stream("its output\n"), tags=["remove_input"]),
        code("all_gone = 1", stream("gone too\n"), tags=["remove_cell"]),
    )
    hidden, shown = text_of(*cells), text_of(*cells, show_code=True)
    assert "=" not in hidden
    assert "shown_by_request = 1" in shown
    assert "its output" in hidden
    for text in (hidden, shown):
        assert not re.search("epochs|secret|gone", text)


def test_pandas_table_is_a_table_of_text():
    frame = pd.DataFrame(
        [[0.703, 12], [0.781, 7]],
        columns=pd.MultiIndex.from_product([["test"], ["accuracy", "epochs"]]),
        index=pd.MultiIndex.from_tuples([("SGD", 1), ("SGD", 2)], names=["optimiser", "seed"]),
    )
    page = pdf_of(code("", display({"text/html": frame.to_html(), "text/plain": "no"}))).pages[1]
    text = page.extract_text()
    assert re.search(r"test\s+optimiser seed accuracy epochs\s+1 0\.703 12\D+2 0\.781 7", text)
    assert text.count("SGD") == 1  # one cell over two rows
    start = {text.strip(): x for text, x, _, _ in fragments(page)}
    digit = 0.92 * 11 * 0.5  # numbers are aligned right, so 7 starts about a digit right of 12
    assert start["7"] - start["12"] > 0.8 * digit


def test_cell_markup_and_math_in_tables():
    cell = "<b>3</b> $\\alpha$ x<sup>2</sup> &lt;tag&gt;"
    html = f"<table><tr><th>k</th></tr><tr><td>{cell}</td></tr></table>"
    text = text_of(code("", display({"text/html": html})))
    assert "𝛼" in text
    assert "<tag>" in text


def test_wide_table_shrinks_and_long_table_repeats_its_header():
    wide = pd.DataFrame([[0.123456] * 24], columns=[f"column{n}" for n in range(24)])
    page = pdf_of(code("", display({"text/html": wide.to_html()}))).pages[1]
    cells = [(x, size) for text, x, size, _ in fragments(page) if "0.123456" in text]
    ends = [x + 8 * size * 0.43 for x, size in cells]  # a Libertinus digit is .465 em wide
    starts = [x for x, _ in cells[1:]] + [A4_WIDTH - MARGIN]
    assert len(cells) == 24
    assert all(end <= start for end, start in zip(ends, starts, strict=True))

    tall = pd.DataFrame({"epoch": range(200)})
    output = display({"text/html": tall.to_html(index=False)}, kind="table", caption="Long")
    pages = [page.extract_text() for page in pdf_of(code("", output)).pages[1:]]
    assert len(pages) > 2
    assert all("epoch" in page for page in pages)
    assert "199" in pages[-1]


def test_a_table_of_few_rows_with_much_text_goes_over_pages():
    """As one block it would run out of the page, its last rows one upon the other."""
    rows = pd.DataFrame({"name": [f"row{n}" for n in range(8)], "said": ["word " * 250] * 8})
    with pd.option_context("display.max_colwidth", None):
        html = rows.to_html(index=False)
    pages = pdf_of(code("", display({"text/html": html}, kind="table", caption="Much"))).pages[1:]
    texts = [page.extract_text() for page in pages]
    assert "row0" in texts[0]
    assert "row7" not in texts[0]
    assert "row7" in texts[-1]


def test_figures_and_tables_are_numbered_through_the_whole_report():
    svg = {"image/svg+xml": SVG.format(width=900, height=3000), "text/plain": "<Figure>"}
    picture = {"image/png": png(), "text/plain": "<Figure>"}
    table = {"text/html": "<table><tr><td>1</td></tr></table>"}
    first = notebook(
        "See [@fig-a], @tbl-a and [@fig-z].",
        code(
            "",
            display(
                svg, kind="figure", caption="Loss, $\\eta$", label="fig-a", provenance="seeds 0–2"
            ),
        ),
        code("", display(table, kind="table", caption="Accuracy", label="tbl-a", provenance="CPU")),
        code("", display(picture)),
    )
    other = display(picture, kind="figure", caption="Other", label="fig-a")
    by_cell = code("", display(picture), caption="By cell metadata")
    second = notebook("See @fig-a.", code("", other), by_cell)
    sections = [section(first, name="one"), section(second, name="two")]
    source, files = document(sections, title="T")
    text = "\n".join(
        p.extract_text() for p in PdfReader(io.BytesIO(compile_pdf(source, files))).pages
    )
    text = text.replace("\xa0", " ")
    assert "See Figure 1, Table 1 and [@fig-z]." in text
    assert "See Figure 2." in text
    for words in ("Figure 1. Loss, 𝜂", "seeds 0–2", "Table 1. Accuracy", "CPU", "Figure 2. Other"):
        assert words in text
    assert "Figure 3. By cell metadata" in text
    assert "Figure 4" not in text
    assert "<Figure>" not in text
    assert len(files) == 3  # one picture is in both notebooks, under each one's name


def test_table_caption_stands_above_and_figure_caption_below():
    table = display(
        {"text/html": "<table><tr><td>body</td></tr></table>"}, kind="table", caption="Top"
    )
    text = text_of(code("", table))
    assert text.index("Top") < text.index("body")


def test_caption_that_the_html_repeats_for_jupyter_is_shown_once():
    html = "<table><tr><td>body</td></tr></table><p>The caption<br><small>seeds 0</small></p>"
    output = display({"text/html": html}, kind="table", caption="The caption", provenance="seeds 0")
    text = text_of(code("", output))
    assert text.count("The caption") == text.count("seeds 0") == text.count("body") == 1


def test_alternative_text_goes_into_the_pdf():
    output = display({"image/png": png()}, kind="figure", caption="C", alt="a falling curve")
    source, files = document([section(notebook(code("", output)))], title="T")
    assert 'alt: "a falling curve"' in source
    assert compile_pdf(source, files) != compile_pdf(source.replace("falling", "rising"), files)


def test_headings_are_numbered_unless_they_bring_a_number():
    text = text_of("# Task 2\n\n## 2a Training\n\n## Remarks")
    assert "1 Task 2" in text
    assert "\n2a Training" in text
    assert "1.1 Remarks" in text


def test_pictures_in_markdown():
    cell = v4.new_markdown_cell(
        "![a](attachment:a.png) and ![none](nowhere.png)\n\n"
        f"<img src='data:image/png;base64,{png()}' width=40>"
    )
    cell.attachments = {"a.png": {"image/png": png(8, 8)}}
    part = section(notebook(cell), name="n")
    assert len(part.files) == 2
    assert "[none]" in text_of(cell)


def test_output_that_cannot_be_set_falls_back_to_its_text():
    cells = [
        code("", display({"application/x-unknown": "a", "text/plain": "plain form"})),
        code("", display({"application/json": {"key": [1]}})),
        code("", display({"image/png": "bm90IGEgcG5n", "text/plain": "broken picture"})),
        code("", display({"image/png": "%%%", "text/plain": "broken base64"})),
        code("", display({"application/x+json": {"a": 1}, "text/plain": "its plain form"})),
        code("", display({"text/html": "<script>x()</script>", "text/plain": "script's text"})),
        code(
            "",
            display(
                {"image/svg+xml": "<svg", "text/plain": "bad"}, kind="figure", caption="Kept #1"
            ),
        ),
        code("", display({})),
        v4.new_raw_cell("raw $text"),
    ]
    text = text_of(*cells)
    for words in (
        "plain form",
        "its plain form",
        '"key"',
        "broken picture",
        "broken base64",
        "script's text",
        "Kept #1",
        "raw $text",
    ):
        assert words in text


def test_a_widget_is_left_out_but_for_the_markdown_beside_it():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "7f"}}
    text = text_of(
        code("", display({**view, "text/plain": "VBox(children=())"})),
        code("", display({**view, "text/plain": "VBox()", "text/markdown": "step $\\beta$"})),
    )
    assert text.split() == ["step", "𝛽"]


def test_latex_and_markdown_and_html_outputs():
    text = text_of(
        code(
            "", display({"text/latex": r"$\displaystyle \int_0^1 \omega\,dx$", "text/plain": "no"})
        ),
        code("", display({"text/markdown": "**strong** $\\beta$", "text/plain": "no"})),
        code("", display({"text/html": "<p>Some <i>html</i></p>", "text/plain": "no"})),
    )
    assert "𝜔" in text
    assert "strong 𝛽" in text
    assert "Some html" in text
    assert "no" not in text.split()


def test_specials_come_through_verbatim():
    frame = pd.DataFrame({"c": [SPECIALS.replace("$", "")]})
    cells = (
        code(SPECIALS, stream(f"stream {SPECIALS}\n")),
        code("", display({"text/html": frame.to_html(index=False)})),
        code("", display({"image/png": png()}, kind="figure", caption=r"cap # @x \<y\> \[z\] {w}")),
        code("", error("Err#or", SPECIALS, SPECIALS)),
    )
    text = squeezed(text_of(*cells, show_code=True))
    assert text.count(squeezed(SPECIALS)) == 4
    assert squeezed(SPECIALS.replace("$", "")) in text
    assert squeezed("cap # @x <y> [z] {w}") in text
    assert "Err#or" in text


@pytest.mark.parametrize("line", ["0123456789" * 40, "f(" + "a.b[c]," * 60 + ")", "w" * 300])
def test_long_lines_wrap_inside_the_page(line):
    page = pdf_of(code(line, stream(line)), show_code=True).pages[1]
    pieces = [(text, x, size) for text, x, size, font in fragments(page) if "Mono" in font]
    assert "".join(text for text, _, _ in pieces) == line * 2
    assert (
        max(x + len(text) * size * MONO_ADVANCE for text, x, size in pieces) < A4_WIDTH - MARGIN + 1
    )


def test_long_word_in_prose_wraps():
    page = pdf_of("word" * 60).pages[1]
    assert squeezed(page.extract_text()).startswith("word" * 60)
    assert len({x for text, x, _, _ in fragments(page)}) > 1
    assert max(x for _, x, _, _ in fragments(page)) < A4_WIDTH - MARGIN


def test_long_output_goes_over_pages():
    pdf = pdf_of(code("", stream("\n".join(f"line {n}" for n in range(300)))))
    assert len(pdf.pages) > 4
    assert "line 299" in pdf.pages[-1].extract_text()


# ------------------------------------------------------------------------------ the whole document


def test_document_has_title_page_contents_and_failures():
    source, files = document(
        [markdown("# First section\n\nText"), failure("Task 9 failed", "no # such thing")],
        title="The title",
        subtitle="Sub & title",
        authors=["Ada", "Alan"],
        date="4 May",
        abstract="With $x$.",
        provenance={"Data": "CIFAR-10"},
    )
    pdf = PdfReader(io.BytesIO(compile_pdf(source, files)))
    title, contents, body = (page.extract_text() for page in pdf.pages)
    for words in ("The title", "Sub & title", "Ada, Alan", "4 May", "With", "CIFAR-10"):
        assert words in title
    assert re.search(r"1\s+First section[ .]+3", contents)
    assert "Task 9 failed" in body
    assert "no # such thing" in body
    assert "3 / 3" in body
    assert pdf.metadata.title == "The title"
    assert pdf.metadata.creation_date is None


def test_same_input_same_bytes():
    def build():
        cell = code("x = 1", display({"image/svg+xml": SVG.format(width=9, height=9)}))
        return compile_pdf(*document([section(notebook("# A\n$x$", cell), name="n")], title="T"))

    assert build() == build()


def test_empty_notebooks():
    assert section(notebook()).body == ""
    assert text_of("", "  \n", code(), v4.new_raw_cell("")).strip() == ""


def test_typst_errors_name_the_line():
    with pytest.raises(typst.TypesettingError, match=r"─ main\.typ:2:1[\s\S]*#nosuch") as caught:
        compile_pdf("fine\n#nosuch", {})
    assert "unknown variable: nosuch" in str(caught.value)


def test_heading_offset_and_local_picture(tmp_path):
    (tmp_path / "p.svg").write_text(SVG.format(width=9, height=9))
    part = section(notebook("# Top\n\n![p](p.svg)"), heading_offset=1, folder=tmp_path)
    assert part.body.startswith("== Top")
    assert len(part.files) == 1


@pytest.mark.parametrize("exporter", ["typst", "typstpdf"])
def test_command_line(tmp_path, exporter):
    picture = display({"image/png": png()}, kind="figure", caption="Cap")
    cells = notebook("intro", "# My *title*\n\n## Part\n\ntext", code("hidden = 1", picture))
    path = tmp_path / "my notebook.ipynb"
    nbformat.write(cells, path)
    command = [sys.executable, "-m", "nbconvert", "--to", exporter, str(path)]
    if exporter == "typst":
        command.append("--TypstExporter.show_code=True")
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path.parent)
    if exporter == "typst":
        import typst as compiler  # the .typ stands by itself, next to its pictures

        data = compiler.compile(str(path.with_suffix(".typ")), ignore_system_fonts=True)
    else:
        data = path.with_suffix(".pdf").read_bytes()
    pdf = PdfReader(io.BytesIO(data))
    text = pdf.pages[0].extract_text()
    assert text.startswith("My title")
    assert text.count("My title") == 1
    assert "Cap" in text
    assert ("hidden = 1" in text) == (exporter == "typst")
    assert pdf.metadata.title == "My title"


# ------------------------------------------------------------------------------ citations, lists

WORKS = """
@article{ioffe2015, title = {Batch Normalization}, author = {Ioffe, Sergey and Szegedy, Christian},
  year = {2015}, journal = {ICML}}
@book{goodfellow2016, title = {Deep Learning}, author = {Goodfellow, Ian}, year = {2016},
  publisher = {MIT Press}}
@misc{zeiler2012, title = {ADADELTA}, author = {Zeiler, Matthew}, year = {2012}}
"""


def pages_of(*sections, **options) -> list[str]:
    source, files = document(sections, title="T", **options)
    pages = PdfReader(io.BytesIO(compile_pdf(source, files))).pages
    return [page.extract_text().replace("\xa0", " ") for page in pages]


def test_cited_works_are_numbered_and_listed_at_the_end():
    cells = (
        "See [Zeiler 2012](#cite-zeiler2012) and [Nobody 1999](#cite-nobody1999).",
        code("", display({"text/markdown": "as [Ioffe & Szegedy](#cite-ioffe2015) say"})),
        "Again [Zeiler](#cite-zeiler2012).",
    )
    *_, body, references = pages_of(section(notebook(*cells)), bibliography=WORKS)
    assert "See Zeiler 2012 [1] and Nobody 1999." in body
    assert "as Ioffe & Szegedy [2] say" in body
    assert "Again Zeiler [1]." in body
    assert references.startswith("References")
    assert references.index("[1]") < references.index("ADADELTA") < references.index("[2]")
    assert "Batch Normalization" in references
    assert "Deep Learning" not in references


def test_every_citation_of_the_notebooks_has_its_work():
    root = Path(__file__).parents[2]
    works = (root / "reports" / "bibliography.bib").read_text()
    keys = re.findall(r"^@\w+\{(\w+),", works, flags=re.MULTILINE)
    assert keys == sorted(set(keys))
    notebooks = "".join(path.read_text() for path in sorted((root / "notebooks").glob("*/*.py")))
    assert set(re.findall(r"#cite-(\w+)", notebooks)) <= set(keys)
    cited = section(notebook(" ".join(f"[x](#cite-{key})" for key in keys)))
    references = "".join(pages_of(cited, bibliography=works)[2:])
    assert all(f"[{number}]" in references for number in range(1, len(keys) + 1))


@pytest.mark.parametrize("bibliography", ["", WORKS])
def test_without_a_cited_work_there_are_no_references(bibliography):
    part = section(notebook("As [Nobody 1999](#cite-nobody1999) said."))
    pages = pages_of(part, bibliography=bibliography)
    assert "As Nobody 1999 said." in pages[-1]
    assert "References" not in "".join(pages)


def test_lists_of_figures_and_tables_have_short_captions():
    figure = {"kind": "figure", "provenance": "seeds 0", "label": "f"}
    caption = "Loss by [Zeiler](#cite-zeiler2012), for $t . T$ (dotted: mean). More of it."
    table = {"kind": "table", "caption": "A " + "very " * 30 + "long caption. Second."}
    html = {"text/html": "<table><tr><td>1</td></tr></table>"}
    cells = (
        code("", display({"image/png": png()}, caption=caption, **figure)),
        code("", display(html, **table)),
    )
    part = section(notebook("# First", *cells))
    _, contents, lists, body, _ = pages_of(part, lists=True, bibliography=WORKS)
    assert re.search(r"1 First[ .]+4", contents)
    assert re.search(r"Figure 1 Loss by Zeiler, for 𝑡 ?\. ?𝑇 +\(dotted: mean\)[ .]+4", lists)
    assert re.search(r"Table 1 A (very )+…[ .]+4", lists)
    assert not re.search(r"More of it|seeds 0|Second|\[1\]", lists)
    assert "Loss by Zeiler [1], for" in body
    assert "More of it." in body
    assert "Figures" not in "".join(pages_of(section(notebook("# First")), lists=True))


def test_sections_of_the_appendix_have_letters():
    texts = ("# One", "# Two\n\n## Part", "# Three\n\n## Part")
    one, two, three = (section(notebook(it), name=str(n)) for n, it in enumerate(texts))
    _, contents, body = pages_of(one, typst.APPENDIX, two, three)
    for heading in ("1 One", "A Two", "B Three"):
        assert heading in body
        assert re.search(rf"{heading}[ .]+3", contents)
    for heading in ("A.1 Part", "B.1 Part"):
        assert heading in body
    assert "Part" not in contents


def test_language_logo_and_description_of_the_pdf(tmp_path):
    logo = tmp_path / "logo.svg"
    logo.write_text(SVG.format(width=60, height=20))
    part = section(notebook("# Teil", code("", display({"image/png": png()}, caption="Bild"))))
    options = {"title": "Titel", "language": "de", "logo": logo, "authors": ["Ada"]}
    source, files = document([part], **options)
    pdf = PdfReader(io.BytesIO(compile_pdf(source, files)))
    root = pdf.trailer["/Root"]
    assert root["/Lang"] == "de"
    assert root["/MarkInfo"]["/Marked"]
    assert (pdf.metadata.title, pdf.metadata.author) == ("Titel", "Ada")
    assert "Inhaltsverzeichnis" in pdf.pages[1].extract_text()
    assert "Abbildung" in pdf.pages[2].extract_text()
    drawn = pdf.pages[0].get_contents().get_data()
    logo.write_text(SVG.format(width=60, height=10))
    other = PdfReader(io.BytesIO(compile_pdf(*document([part], **options))))
    assert drawn != other.pages[0].get_contents().get_data()


@pytest.mark.parametrize("name", ["logo.txt", "missing.svg"])
def test_a_logo_that_cannot_be_had_is_told(tmp_path, name):
    (tmp_path / "logo.txt").write_text("no picture")
    with pytest.raises(UsageError, match=name):
        document([], title="T", logo=tmp_path / name)


def test_every_picture_is_described():
    picture = {"image/png": png(), "text/plain": "<Figure size 640x480>"}
    cells = (
        code("", display(picture, kind="figure", caption="The caption", alt="the description")),
        code("", display(picture, kind="figure", caption="Described by its caption")),
        code("", display(picture)),
        code("", display({"image/png": png()})),
        f"![](data:image/png;base64,{png()}) ![in words](data:image/png;base64,{png()})",
    )
    body = section(notebook(*cells)).body
    assert re.findall(r'alt: "([^"]*)"', body) == [
        "the description",
        "Described by its caption",
        "<Figure size 640x480>",
        "A picture without a description",
        "picture",
        "in words",
    ]


# ------------------------------------------------------------------------------ kept sections


def test_a_section_is_converted_once(tmp_path, monkeypatch):
    cells = notebook("# A $x$", code("", display({"image/png": png()})))
    made = section(cells, name="course/one/")
    assert typst.cached_section(cells, tmp_path, name="course/one/") == made
    monkeypatch.setattr(typst, "section", lambda *_, **__: pytest.fail("converted again"))
    assert typst.cached_section(cells, tmp_path, name="course/one/") == made


@pytest.mark.parametrize("change", ["notebook", "options", "damage", "converter"])
def test_a_section_is_converted_anew_where_something_changed(tmp_path, monkeypatch, change):
    cells, options = notebook("# A", code("x = 1")), {"name": "one"}
    typst.cached_section(cells, tmp_path, **options)
    match change:
        case "notebook":
            cells.cells[0].source = "# B"
        case "options":
            options["show_code"] = True
        case "damage":
            (kept,) = tmp_path.iterdir()
            kept.write_text(kept.read_text()[:-9])
        case "converter":
            monkeypatch.setattr(typst, "_converter", lambda: "another")
    calls = []
    monkeypatch.setattr(typst, "section", lambda *a, **o: calls.append(a) or section(*a, **o))
    assert typst.cached_section(cells, tmp_path, **options) == section(cells, **options)
    assert len(calls) == 1


# ------------------------------------------------------------------------------ other people's


def test_definitions_hold_in_the_whole_notebook():
    text = text_of(
        r"$$\newcommand{\E}[1]{\mathbb{E}[#1]} \def\R{\mathbb{R}}$$",
        r"$\DeclareMathOperator{\rank}{rank}$ Now $\E{\beta} \in \R$, $\rank A$, `\def\R{}`.",
    )
    for shown in ("𝔼", "ℝ", "rank", r"\def\R{}"):
        assert shown in text
    assert text.count("\\") == 2  # those in the code
    assert "$" not in text


def test_a_broken_picture_leaves_the_rest_of_its_cell():
    cell = v4.new_markdown_cell("**Strong** ![whole](attachment:a.png) ![torn](attachment:b.png)")
    torn = base64.b64encode(base64.b64decode(png(40, 30))[:50]).decode()
    cell.attachments = {"a.png": {"image/png": png()}, "b.png": {"image/png": torn}}
    text = text_of(cell)
    assert "Strong" in text
    assert "[torn]" in text
    assert "whole" not in text
    assert "**" not in text


def test_a_table_of_many_columns_is_split():
    html = pd.DataFrame([range(60)], index=["row"]).to_html()
    text = text_of(code("", display({"text/html": html})))
    assert text.count("row") == 5
    groups = [list(range(60))[first : first + 13] for first in range(0, 60, 13)]
    numbers = [int(it) for it in re.findall(r"\d+", text)]
    assert numbers == [number for group in groups for number in (*group, *group)]  # head and row


def test_a_huge_output_is_shortened():
    text = text_of(code("", stream("".join(f"line {n}\n" for n in range(5000)))))
    assert "line 0" in text
    assert "line 4999" in text
    assert "… 4,600 lines left out …" in text
    assert len(text) < 20_000
    assert len(text_of(code("", stream("x" * 100_000)))) < 6_000


def test_what_needs_a_browser_is_named():
    plotly = {"application/vnd.plotly.v1+json": {"data": []}, "text/html": "<script>x</script>"}
    text = text_of(code("", display(plotly)))
    assert "application/vnd.plotly.v1+json" in text
    assert "<script" not in text


# ------------------------------------------------------------------------------ anything at all

PIECES = [
    *SPECIALS.split(),
    *("$$", "```", "|", "- ", "* ", "> ", "    ", "[^1]", "[^1]: ", "](", "![](", "](#", "@fig-a"),
    *("<b>", "</", "<!--", "<table>", "<td>", "&#0;", "\\begin{align}", "$x_", "^2$", "{", "}"),
    *("\n", "\n\n", "\r", "\t", "\x00", "\x1b[", "\ud800", "word"),
]
hostile = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
)
mimes = st.sampled_from(
    [
        "text/plain",
        "text/html",
        "text/markdown",
        "text/latex",
        "image/png",
        "image/svg+xml",
        "image/jpeg",
        "x/y",
    ]
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(hostile, hostile, hostile, mimes), min_size=2, max_size=6))
def test_no_text_in_any_place_stops_the_report(rows):
    cells = []
    for one, two, three, mime in rows:
        labkit = {"caption": one, "label": two, "provenance": three}
        outputs = [
            stream(two),
            error(one, two, three),
            display({mime: three}),
            display({mime: one}, **labkit),
        ]
        cells += [v4.new_markdown_cell(one), v4.new_raw_cell(two), code(three, *outputs)]
    nb = notebook(*cells)
    compile_pdf(
        *document(
            [section(nb, name="n", show_code=True), failure(rows[0][0], rows[0][1])],
            title=rows[0][2],
        )
    )
