"""The courses: every notebook in the smoke profile, on the data at hand, bound into the PDF."""

import io
import re
import shutil
from pathlib import Path

import pytest
from pypdf import PdfReader

from labkit import project
from labkit.data import load, load_words
from labkit.report import build, facts
from labkit.report.execute import find_notebooks

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """All notebooks, executed once for the tests below, in a folder of their own."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_RUNS", str(folder / "runs"))
        patch.setenv("LABKIT_ROOT", str(ROOT))
        yield build.report(profile="smoke", output=folder)


@pytest.fixture(scope="module")
def words(report) -> str:
    pages = PdfReader(io.BytesIO(report.pdf.read_bytes())).pages
    return " ".join("\n".join(page.extract_text() for page in pages).split())


def test_every_notebook_runs(report):
    assert [part.failure for part in report.parts] == [None] * len(find_notebooks())


@pytest.mark.parametrize("source", find_notebooks(), ids=lambda source: source.name)
def test_a_notebook_leaves_no_stray_output(report, source):
    """No warnings, no progress bars: only what belongs into the report."""
    (part,) = (part for part in report.parts if part.source == source)
    for cell in part.notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "stream", output.text


def test_the_report_has_every_task(words):
    for heading in ("1a", "1b", "1c", "1d", "1e", "1f", "1g", "2a", "2b"):
        assert re.search(rf"\b{heading}\b", words), heading
    for heading in ("3a", "3b", "3c", "3d", "3e", "3f", "4a", "4b", "4c"):
        assert re.search(rf"\b{heading} [A-Z]", words), heading  # with its title


def test_figures_and_tables_are_numbered_through(words):
    for kind, least in (("Figure", 5), ("Table", 8)):
        numbers = [int(n) for n in re.findall(rf"\b{kind} (\d+)\. ", words)]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
        assert len(numbers) >= least


def test_the_hand_calculation_is_there(words):
    assert "390,410" in words
    assert "2 entries differ: row 2 column 3, row 3 column 3" in words  # the A3 report's slip


def test_the_data_was_real_and_the_pdf_says_which(words):
    data = load("cifar10")
    assert data.source in words
    assert data.fingerprint in words.replace(" ", "")  # it may be broken over lines
    assert "Profile smoke." in words


def test_the_pdf_says_which_imagenette_it_was(words):
    """The real one, or where that cannot be had what stood in for it."""
    data = load("imagenette-64")
    unbroken = words.replace(" ", "")  # over lines
    assert f"Data:imagenette-64{data.source.replace(' ', '')}" in unbroken
    assert data.fingerprint in unbroken


def test_its_notebooks_say_whether_another_set_stood_in_for_imagenette(report):
    """Of their course alone: the sets of the others may be there or not."""
    stand_in = load("imagenette-64").stand_in
    told = facts.facts((part.source.name, part.notebook) for part in report.parts)
    captions = [it.caption for it in told.shown if it.notebook == "nn_hw1/task2_small_network"]
    assert any("Stand-in data (not the course" in caption for caption in captions) is stand_in
    (part,) = (part for part in report.parts if part.source.stem == "task2_small_network")
    outputs = [str(it) for cell in part.notebook.cells for it in cell.get("outputs", [])]
    assert any("On stand-in data" in it for it in outputs) is stand_in


def test_the_pdf_says_which_photographs_and_words_of_ist_hw2_it_was(words):
    """The real ones, or what stood in for them."""
    unbroken = words.replace(" ", "")  # over lines
    data = load("intel-48")
    assert f"Data:intel-48{data.source.replace(' ', '')}" in unbroken
    assert data.fingerprint in unbroken
    spelled = load_words("p2g", otherwise="cmudict")
    assert spelled.source.replace(" ", "") in unbroken
    assert spelled.fingerprint in unbroken
    assert ("stand-in:cmudict" in unbroken) is spelled.stand_in


def test_the_ist_course_stands_beside_what_was_published_and_recorded(words):
    for metric, value in (("cer", "0.2926"), ("wer", "0.795"), ("cer", "0.241"), ("wer", "0.784")):
        # from the records of the course's own words, whatever words are here
        assert re.search(rf"test {metric} {value} 0\.\d+ ± 0\.\d+ 3 ", words), value
    assert re.search(r"test nucleus 0\.8 wer at 3 0\.739 0\.\d+ ± 0\.\d+ 3 ", words)
    for count in ("5,340,742", "756,742", "257,117", "322,909"):
        assert count in words


def test_published_values_stand_beside(words):
    for value in ("0.8445", "0.7226", "0.72", "0.287", "0.906", "0.805", "0.801", "0.8165"):
        assert value in words
    for value in ("0.5131", "0.6627", "0.625", "0.6403", "0.7567"):  # NN HW1 task 2, top to bottom
        assert re.search(rf"test accuracy {value} (not measured|not compared|\d)", words), value


def test_a_second_report_trains_and_executes_nothing(report, monkeypatch):
    folder = report.pdf.parents[1]
    monkeypatch.setenv("LABKIT_RUNS", str(folder / "runs"))
    before = sorted(path.name for path in project.runs().iterdir())
    again = build.report(profile="smoke", output=folder)
    assert [part.executed for part in again.parts] == [False] * len(again.parts)
    assert sorted(path.name for path in project.runs().iterdir()) == before


def test_executed_again_it_trains_nothing(report, monkeypatch):
    """What a changed word in a notebook costs: its execution, no training."""
    folder = report.pdf.parents[1]
    monkeypatch.setenv("LABKIT_RUNS", str(folder / "runs"))
    before = {path.name: path.stat().st_mtime for path in project.runs().glob("*/config.json")}
    shutil.rmtree(folder / "smoke" / "notebooks")
    again = build.report(["tdt4265"], profile="smoke", output=folder)
    assert [part.executed for part in again.parts] == [True] * len(again.parts)
    after = {path.name: path.stat().st_mtime for path in project.runs().glob("*/config.json")}
    assert after == before
