"""Exercises on paper: a worksheet with room to write, and its key with the full working."""

from collections.abc import Sequence
from pathlib import Path

from labkit.errors import UsageError
from labkit.handcalc.checking import shape_of
from labkit.handcalc.exercises import key_answer
from labkit.handcalc.render import working, working_text
from labkit.handcalc.tasks import Task
from labkit.handcalc.windows import Worked
from labkit.report.typst import Section, article, call, compile_pdf, markdown

LINE = 24  # points from one ruled line to the next, as in template.typ
NAME_AND_DATE = Section("#name-and-date")
HOW_TO_CHECK = (
    "Check an answer with `labkit check NAME ANSWER`; the name stands above the question."
)
FEWEST_LINES, MOST_LINES = 3, 6  # to write on; two exercises with matrices fill a page
LONGEST_WHOLE = 20  # lines; a longer working may go over pages


def write_worksheet(
    tasks: Sequence[Task], folder: Path, *, title: str, key: bool = False
) -> list[Path]:
    """Write the worksheet, and with `key` its key beside it; both whole or none.

    The files are named after the kind, level and seed: `worksheet-convolution-2-17.pdf` and
    `key-convolution-2-17.pdf`. Raises UsageError where the folder cannot be written to.
    """
    series = dict.fromkeys(task.name.rpartition("/")[0].replace("/", "-") for task in tasks)
    name = "-".join(series)
    sheet = [NAME_AND_DATE, markdown(HOW_TO_CHECK), *map(_exercise, tasks)]
    pdfs = {folder / f"worksheet-{name}.pdf": compile_pdf(*article(sheet, title=title))}
    if key:
        pdf = compile_pdf(*article(map(_solution, tasks), title=f"{title}: key"))
        pdfs[folder / f"key-{name}.pdf"] = pdf
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, pdf in pdfs.items():
            path.with_suffix(".pdf.tmp").write_bytes(pdf)
        for path in pdfs:
            path.with_suffix(".pdf.tmp").replace(path)
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder} ({error.strerror}); choose another folder with --output"
        ) from None
    return list(pdfs)


def _exercise(task: Task) -> Section:
    """The question and the room for its answer."""
    room = LINE * min(max(_num_lines(task), FEWEST_LINES), MOST_LINES)
    grids = _empty_grids(shape_of(task.result))
    return call("exercise", task.name, markdown(task.question), room=room, answer=grids)


def _solution(task: Task) -> Section:
    """The question, the answer and the way to it."""
    parts = [task.question, f"**Answer:** {key_answer(task)}", working(task)]
    if isinstance(task.calculation, Worked):
        del parts[1]  # its working begins with the answer
    long = _num_lines(task) > LONGEST_WHOLE
    return call("exercise", task.name, markdown("\n\n".join(parts)), long=long)


def _num_lines(task: Task) -> int:
    """How many lines the working takes."""
    return working_text(task).count("\n") + 1


def _empty_grids(shape: tuple[int, ...]) -> tuple:
    """Rows of empty cells: for a number one cell, for a list a row, for several maps a grid each.

    >>> _empty_grids((2, 3))
    ((('', '', ''), ('', '', '')),)
    """
    maps, rows, columns = (1,) * (3 - len(shape)) + shape
    return ((("",) * columns,) * rows,) * maps
