"""The page that JupyterLab opens with: courses, questions, how long each takes, what is done."""

import contextlib
import html
import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from IPython.display import HTML
from nbformat.v4 import new_output

from labkit import project, sheets
from labkit.errors import UsageError
from labkit.handcalc import check
from labkit.lab import times
from labkit.report.execute import Source, find_notebooks

# `check(answer_1c, question("tdt4265/1c"))`, and what it shows
_ASKED = re.compile(r'\b(?:check\(\w+, *|answer_grid\()question\("([^"]+)"\)')
_CHECKED = re.compile(r"\*\*Check (\S+):\*\*")

HEADS = ("notebook", *project.PROFILES, "answered", "run")

# in the cells themselves: JupyterLab drops a <style> until the notebook has run, and sets the cells
# of every table to the right
_CELL = "text-align: left; vertical-align: top; padding: .35em .9em .35em 0; min-width: 4.5em"
_FIRST = f"{_CELL}; width: 34em"


@dataclass(frozen=True)
class Progress:
    """How far a notebook is: its hand questions, how many of them have an answer and a right one,
    and how many of its code cells have run.
    """

    questions: int
    answered: int
    right: int
    cells: int
    cells_run: int


def start_page() -> HTML:
    """All courses with their notebooks, as links: questions, times on this machine, progress.

    In a notebook, `start_page()`: run the cell again to see how far you are.
    """
    return HTML(_page())


def write_start_page() -> Path | None:
    """Put the page into the notebook that JupyterLab opens, so that it is there at once.

    It stands in the paired .ipynb, which git does not track. None where the project has no
    notebooks/index.py.
    """
    source = project.root() / "notebooks" / "index.py"
    if not source.exists():
        return None
    notebook = jupytext.read(source)
    (cell,) = (cell for cell in notebook.cells if cell.cell_type == "code")
    data = {"text/html": _page(), "text/plain": "the courses"}
    cell.outputs = [new_output("execute_result", data, execution_count=1)]
    cell.execution_count = 1
    path = source.with_suffix(".ipynb")
    project.write_whole(path, nbformat.writes(notebook).encode())
    return path


def progress_of(source: Source) -> Progress:
    """How far the notebook is, by what JupyterLab saved of it and by the answer sheet beside it."""
    code = [cell for cell in source.read().cells if cell.cell_type == "code"]
    saved = _saved(source)
    names = dict.fromkeys(name for cell in code for name in _ASKED.findall(cell.source))
    right = _answers(source.path.parent)
    # in a version with solutions, the notebook's own checks are of these
    if not any("solution" in cell.metadata.get("tags", []) for cell in code):
        right = _checked(saved) | right
    return Progress(
        questions=len(names),
        answered=sum(name in right for name in names),
        right=sum(right.get(name, False) for name in names),
        cells=len(code),
        cells_run=min(len(code), sum(bool(cell.get("execution_count")) for cell in saved)),
    )


def _saved(source: Source) -> list[dict]:
    """The code cells of the paired .ipynb, with their outputs."""
    try:
        saved = json.loads(source.path.with_suffix(".ipynb").read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    return [cell for cell in saved["cells"] if cell["cell_type"] == "code"]


def _checked(saved: list[dict]) -> dict[str, bool]:
    """What the verdicts among the outputs say, by question."""
    right = {}
    for data in (output.get("data", {}) for cell in saved for output in cell["outputs"]):
        shown = _CHECKED.match("".join(data.get("text/markdown", "")))
        verdict = "".join(data.get("text/plain", ""))
        if shown and not verdict.startswith(("no answer", "not readable")):
            right[shown[1]] = verdict == "correct"
    return right


def _answers(folder: Path) -> dict[str, bool]:
    """The answers of the sheet in `folder` by question: whether each is right."""
    try:
        kept = sheets.answers_in(folder / "answers.yaml")
    except UsageError:  # the notebook's grids say what is the matter
        return {}
    right = {}
    for name, (answer, _) in kept.items():
        with contextlib.suppress(ValueError):  # no question's name
            verdict = check(answer, name)
            if answer.strip() and verdict.readable:
                right[name] = verdict.right
    return right


# ------------------------------------------------------------------------------ as HTML


def _page() -> str:
    titles = project.read_yaml(project.root() / "params" / "report.yaml")["courses"]
    courses: dict[str, list[Source]] = {course: [] for course in titles}
    for source in find_notebooks():
        courses.setdefault(source.course, []).append(source)
    tables = [
        f"<h2>{html.escape(titles.get(course, course))}</h2>{_table(sources)}"
        for course, sources in courses.items()
        if sources
    ]
    return f"{''.join(tables)}<p>{_note()}</p>"


def _table(sources: list[Source]) -> str:
    return f"<table>{_line(HEADS, 'th')}{''.join(map(_row, sources))}</table>"


def _line(cells: Iterable[str], tag: str = "td") -> str:
    """A row of a table."""
    styles = (_FIRST, *itertools.repeat(_CELL, len(HEADS) - 1))
    shown = zip(styles, cells, strict=True)
    line = "".join(f'<{tag} style="{style}">{cell}</{tag}>' for style, cell in shown)
    return f"<tr>{line}</tr>"


def _row(source: Source) -> str:
    notebook = source.read()
    headings = re.findall(
        r"^## +(.+)$",
        "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown"),
        re.MULTILINE,
    )
    title = html.escape(project.read_yaml(source.params_path)["title"])
    asked = " · ".join(html.escape(re.sub(r"[$`*]", "", it)) for it in headings)
    link = f'<a href="{source.name}.py">{title}</a><br><small>{asked}</small>'
    done = progress_of(source)
    answers = f"{done.answered} of {done.questions}" if done.questions else ""
    if done.answered:
        answers += f"<br><small>{done.right} right</small>"
    run = f"{done.cells_run} of {done.cells} cells" if done.cells_run else ""
    cells = [link, *(_time(source, profile) for profile in project.PROFILES), answers, run]
    return _line(cells)


def _time(source: Source, profile: str) -> str:
    """The first time and again; one of them where they hardly differ."""
    found = times.times(source, profile)
    if not found:
        return "–"
    first, again = _shown(found.first), _shown(found.again)
    return first if first == again else f"{first}<br><small>again {again}</small>"


def _shown(seconds: float) -> str:
    """About so long: nobody needs it to the second.

    >>> [_shown(seconds).split() for seconds in (3.4, 47, 460, 9000)]
    [['5', 's'], ['45', 's'], ['8', 'min'], ['2.5', 'h']]
    """
    if seconds > 5400:
        return f"{seconds / 3600:.1f}\N{NO-BREAK SPACE}h"
    if seconds > 55:
        return f"{seconds / 60:.0f}\N{NO-BREAK SPACE}min"
    return f"{5 * max(1, round(seconds / 5))}\N{NO-BREAK SPACE}s"


def _note() -> str:
    """What the times and the columns mean."""
    return html.escape(
        f"Times are for this machine, scaled by its speed from what was measured on "
        f"{times.measured_on()}: the first time, in this order, and again, when what was trained "
        "is there. As it is opened, a notebook has the settings of quick. Answers are those in "
        "the grids. Run the cell again to see how far you are."
    )
