"""The start page: what it lists, how far one is, and how long a notebook takes."""

from pathlib import Path

import jupytext
import nbformat
import pytest
import torch
from nbformat.v4 import new_output
from report_project import write_notebook

from labkit import project, sheets
from labkit.lab import times
from labkit.lab.start_page import Progress, progress_of, start_page, write_start_page
from labkit.report.execute import find_notebook, find_notebooks
from labkit.training.config import resolve_precision

HAND = """\
# %% tags=["parameters"]
epochs = 1

# %%
from labkit.handcalc import check, question
from labkit.widgets import answer_grid

# %%
answer_grid(question("tdt4265/1c"))

# %%
check(answer_1c, question("tdt4265/1c"))

# %%
check(answer_1e, question("tdt4265/1e"))
"""


@pytest.fixture
def hand(mini):
    """A notebook with two hand questions, 1c and 1e."""
    write_notebook(mini, "two", HAND)
    return find_notebook("mini/two")


def save(source, **shown) -> None:
    """The paired .ipynb, as JupyterLab saves it, with what the cells with these texts showed."""
    notebook = source.read()
    for cell in notebook.cells:
        for text, (plain, markdown) in shown.items():
            if f"({text}," in cell.source:
                cell.execution_count = 1
                data = {"text/plain": plain, "text/markdown": markdown}
                cell.outputs = [new_output("execute_result", data, execution_count=1)]
    source.path.with_suffix(".ipynb").write_text(nbformat.writes(notebook))


def test_every_notebook_is_a_link_with_its_title_and_questions():
    page = start_page().data
    for source in find_notebooks():
        title = project.read_yaml(source.params_path)["title"]
        assert f'<a href="{source.name}.py">{title}</a>' in page
    assert "1c: the padding that keeps the size" in page
    assert "Convolutional networks (TDT4265 assignment 3)" in page


def test_nothing_done_yet(hand):
    assert progress_of(hand) == Progress(questions=2, answered=0, right=0, cells=5, cells_run=0)


def test_answers_of_the_sheet_beside_the_notebook_count(hand):
    sheet = hand.path.with_name("answers.yaml")
    sheets.put_answer(sheet, "tdt4265/1c", "4")
    sheets.put_answer(sheet, "tdt4265/1e", "254x254")
    sheets.put_answer(sheet, "no/question", "1")
    assert progress_of(hand) == Progress(questions=2, answered=2, right=1, cells=5, cells_run=0)
    sheets.put_answer(sheet, "tdt4265/1c", "")
    assert progress_of(hand).answered == 1


def test_what_plain_cells_checked_counts_once_it_is_saved(hand):
    save(
        hand,
        answer_1c=("correct", "**Check tdt4265/1c:** 3, correct."),
        answer_1e=("no answer yet", "**Check tdt4265/1e:** no answer yet."),
    )
    assert progress_of(hand) == Progress(questions=2, answered=1, right=1, cells=5, cells_run=2)
    save(hand, answer_1c=("not correct\nHint: …", "**Check tdt4265/1c:** 4, not correct."))
    assert progress_of(hand) == Progress(questions=2, answered=1, right=0, cells=5, cells_run=1)


def test_what_the_solutions_answer_does_not_count(mini, hand):
    write_notebook(mini, "two", HAND + '\n# %% tags=["solution"]\nanswer_1c = 3\n')
    save(hand, answer_1c=("correct", "**Check tdt4265/1c:** 3, correct."))
    assert progress_of(hand) == Progress(questions=2, answered=0, right=0, cells=6, cells_run=1)


@pytest.mark.parametrize("content", ["", "{", "tdt4265/1c: [1"])
def test_damaged_files_are_no_progress(hand, content):
    hand.path.with_suffix(".ipynb").write_text(content)
    hand.path.with_name("answers.yaml").write_text(content)
    assert progress_of(hand) == Progress(questions=2, answered=0, right=0, cells=5, cells_run=0)


def test_the_page_is_there_before_anything_ran(mini):
    assert write_start_page() is None  # a project without one
    index = mini / "notebooks" / "index.py"
    index.write_text("# %%\nfrom labkit.lab.start_page import start_page\n\nstart_page()\n")
    path = write_start_page()
    assert path == index.with_suffix(".ipynb")
    (cell,) = nbformat.read(path, as_version=4).cells
    assert cell.outputs[0].data["text/html"] == start_page().data
    assert cell.source == jupytext.read(index).cells[0].source


class TestTimes:
    @pytest.mark.parametrize(
        ("precision", "first", "machine"),
        [("fp32", 120.0, "2 cores"), ("bf16", 50.0, "3 cores")],
    )
    def test_they_go_by_a_machine_like_this_one(
        self, mini, hand, monkeypatch, precision, first, machine
    ):
        (mini / "reports").mkdir(exist_ok=True)
        (mini / times.FILE).write_text(
            "fp32: {machine: 2 cores, date: 2026-11-22, speed: 100, quick: {mini/two: [60, 3]}}\n"
            "bf16: {machine: 3 cores, date: 2026-11-30, speed: 50, quick: {mini/two: [50, 3]}}\n"
        )
        monkeypatch.setattr(times, "speed", lambda: 50.0)
        monkeypatch.setattr(times, "precision", lambda: precision)
        assert times.times(hand, "quick").first == first
        assert times.times(hand, "full") is None
        assert f"{machine}, 2026-11-" in start_page().data

    def test_they_go_by_another_machine_where_there_is_no_such(self, mini, hand, monkeypatch):
        (mini / "reports").mkdir(exist_ok=True)
        (mini / times.FILE).write_text(
            "fp32: {machine: 2 cores, date: 2026-11-22, speed: 100, quick: {mini/two: [60, 3]}}\n"
        )
        monkeypatch.setattr(times, "speed", lambda: 50.0)
        monkeypatch.setattr(times, "precision", lambda: "bf16")
        assert times.times(hand, "quick") == times.Times(first=120.0, again=6.0)
        page = start_page().data
        assert ">2\N{NO-BREAK SPACE}min<br><small>again 5\N{NO-BREAK SPACE}s</small></td>" in page

    @pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="told elsewhere by nothing")
    def test_the_precision_is_that_of_training(self):
        assert times.precision() == resolve_precision("auto", torch.device("cpu"))

    def test_never_measured(self, mini, hand):
        assert times.times(hand, "quick") is None
        assert "nowhere yet" in start_page().data

    def test_the_speed_is_that_of_two_operations_for_each_product(self):
        assert 0.1 < times.speed() < 1e5

    def test_every_notebook_has_been_measured(self):
        for source in find_notebooks():
            found = times.times(source, "quick")
            assert found, source.name
            assert found.again > 0
