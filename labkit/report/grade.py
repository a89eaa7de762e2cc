"""Many students' answer sheets as one table: a row for each student, a column for each question.

Sheets are read as `labkit check` reads them, and nothing in them is executed. Whatever lies in the
folder, every student has a row: where there is nothing to grade, it says why.
"""

import csv
import io
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labkit import project, sheets
from labkit.errors import UsageError
from labkit.handcalc import check
from labkit.handcalc.questions import QUESTIONS
from labkit.handcalc.tasks import Task

KINDS = ("right", "wrong", "unanswered", "unreadable")  # of an answer, each counted
LONGEST_CELL = 300  # characters of what comes from a student

# What begins so a spreadsheet takes for a formula, in full width as well. Where it separates cells
# by semicolons or tabs, one can begin within ours.
_FORMULA = re.compile(r"(^|[,;\t|])(\s*)(?=[=+\-@＝＋－＠])")


@dataclass(frozen=True)
class Sheet:
    """What a student handed in: answers as text by question, or the problem why there are none."""

    student: str
    path: str  # within the folder
    answers: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def find_sheets(folder: Path, *, besides: Sequence[Path] = ()) -> tuple[list[Sheet], list[str]]:
    """The sheets in `folder` and below it, by student; and the paths of what is no sheet.

    `anna.yaml` and `anna/answers.yaml` are both Anna's. Hidden files and those in `besides` are
    passed over, links are not followed. Raises UsageError if there is no sheet.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; give the one that holds the sheets")
    folder = folder.resolve()
    found: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    others = []
    passed_over = {path.resolve() for path in besides}
    for path, problem in _files(folder):
        if path in passed_over:
            continue
        if path.suffix.lower() in (".yaml", ".yml") or path.is_dir():
            name = path.parent.name if path.stem.lower() == "answers" else path.stem
            found[_plain(name)].append((path, problem))
        else:
            others.append(_plain(str(path.relative_to(folder))))
    if not found:
        raise UsageError(f"{folder} holds no answer sheets; their names end in .yaml")
    return [_read(student, found[student], folder) for student in sorted(found)], others


def asked_by(sheet: Path) -> list[Task]:
    """The questions of the sheet that was handed out."""
    return [sheets.find_task(name) for name in sheets.read_sheet(sheet)]


def asked_of(handed_in: Sequence[Sheet]) -> list[Task]:
    """All questions of the courses that a sheet names, and the exercises that half of them name.

    So a line that was taken out of a sheet counts as unanswered, and exercises that one student
    added for practice count for nobody.
    """
    readable = [sheet for sheet in handed_in if not sheet.problem]
    naming = Counter(name for sheet in readable for name in sheet.answers)
    courses = {name.partition("/")[0] for name in naming.keys() & QUESTIONS.keys()}
    tasks = [task for name, task in QUESTIONS.items() if name.partition("/")[0] in courses]
    for name, count in naming.items():
        if name not in QUESTIONS and 2 * count >= len(readable):
            try:
                tasks.append(sheets.find_task(name))
            except UsageError:  # no question: the students' rows say so
                continue
    return tasks


def table(handed_in: Sequence[Sheet], tasks: Sequence[Task]) -> str:
    """The table as CSV: student, sheet, counts, share of right answers, a note, and the verdicts.

    A verdict is `right`, `wrong`, `wrong: MISTAKE` where a known one explains the answer,
    `unanswered` or `unreadable: REASON`. No cell can be taken for a formula by a spreadsheet.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [task.name for task in tasks]
    writer.writerow(["student", "sheet", *KINDS, "share", "note", *map(_harmless, names)])
    for sheet in handed_in:
        writer.writerow([_harmless(cell) for cell in _row(sheet, tasks)])
    return text.getvalue()


def write_table(text: str, path: Path) -> None:
    """Write the table to `path`, a .csv file, whole or not at all."""
    if path.suffix.lower() != ".csv":
        raise UsageError(f"{path} is no .csv file; give --output a name that ends so")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}; make it, or choose another --output")
    try:
        project.write_whole(path, text.encode())
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror}); choose another place") from None


def _row(sheet: Sheet, tasks: Sequence[Task]) -> list[str]:
    if sheet.problem:
        empty = [""] * (len(KINDS) + 1)
        return [sheet.student, sheet.path, *empty, sheet.problem, *[""] * len(tasks)]
    verdicts = [_verdict(sheet.answers.get(task.name, ""), task) for task in tasks]
    counts = Counter(verdict.partition(":")[0] for verdict in verdicts)
    share = f"{counts['right'] / len(tasks):.3f}" if tasks else ""
    names = {task.name for task in tasks}
    strange = [name for name in sheet.answers if name not in names]
    note = f"not asked for: {', '.join(strange)}" if strange else ""
    return [sheet.student, sheet.path, *(str(counts[it]) for it in KINDS), share, note, *verdicts]


def _verdict(answer: str, task: Task) -> str:
    if not answer.strip():
        return "unanswered"
    verdict = check(answer, task)
    if verdict.right:
        return "right"
    if not verdict.readable:
        return f"unreadable: {verdict.message.removeprefix('not readable: ')}"
    return f"wrong: {verdict.explanations[0]}" if verdict.explanations else "wrong"


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each file below `folder` that is not hidden, in a stable order; and why it must not be read.

    A folder is among them only if it cannot be entered.
    """
    unreadable: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if (Path(here) / name).is_symlink()]
        for name in sorted([*files, *links]):
            path = Path(here) / name
            if name.startswith("."):
                continue
            if path.is_symlink():
                yield path, "a link to somewhere else; hand in the file itself"
            else:
                yield path, "" if path.is_file() else "no file that could be read"
    for error in unreadable:
        yield Path(error.filename), f"cannot be opened ({error.strerror})"


def _read(student: str, found: Sequence[tuple[Path, str]], folder: Path) -> Sheet:
    paths = ", ".join(_plain(str(path.relative_to(folder))) for path, _ in found)
    if len(found) > 1:
        return Sheet(student, paths, problem=f"{len(found)} sheets of one student; keep one")
    ((path, problem),) = found
    if problem:
        return Sheet(student, paths, problem=problem)
    try:
        answers = {name: answer for name, (answer, _) in sheets.read_sheet(path).items()}
    except UsageError as error:
        return Sheet(student, paths, problem=str(error).replace(str(path), path.name))
    return Sheet(student, paths, answers)


def _plain(text: str) -> str:
    """As text that UTF-8 can hold, in one line and one spelling of its letters."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    text = unicodedata.normalize("NFC", text)
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _harmless(text: str) -> str:
    text = _plain(text)
    if len(text) > LONGEST_CELL:
        text = text[: LONGEST_CELL - 1] + "…"
    return _FORMULA.sub(r"\1\2'", text)
