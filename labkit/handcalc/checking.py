"""An answer checked: right, or which entries are not, and the mistake that leads to them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from labkit.handcalc import (
    miscounts,  # noqa: F401 - enters its mistakes into the catalogue
    render,
)
from labkit.handcalc.answers import Given, Unreadable, read, same
from labkit.handcalc.exercises import KINDS, exercise_named
from labkit.handcalc.mistakes import Explanation, explain, named_place, position_of
from labkit.handcalc.questions import question
from labkit.handcalc.shapes import OutputSize, Solution, TransposedOutputSize
from labkit.handcalc.tasks import Choice, Expected, Task
from labkit.handcalc.windows import Worked, by, flat, to_lists

MOST_NAMED = 6  # wrong entries that a verdict lists one by one
LONGEST_LIST = 12  # numbers that a verdict repeats


@dataclass(frozen=True, repr=False)
class Verdict:
    """Whether an answer is right, and if not: which entries, and the mistake that explains them.

    `right` says so, `message` in words; `readable` is False where the answer could not be read.
    `task` is what it was held against. `wrong` are the positions of wrong entries, counted from 0
    (() is the one entry of a plain number), `grid` the entries of a matrix with the wrong ones
    marked. `explanations` are the mistakes that lead to the answer, the simplest first; the verdict
    shows the first as its hint. `given` is the answer as it was read, where it fits a line.
    `corrections` are the wrong entries as given, each with the right one, and `working()` is the
    full solution: both only for those who ask.
    """

    right: bool
    wrong: tuple[tuple[int, ...], ...]
    message: str
    explanations: tuple[Explanation, ...] = ()
    grid: tuple[tuple[str, ...], ...] = ()  # the entries of a matrix as answered, wrong ones marked
    given: str = ""
    corrections: tuple[tuple[str, str], ...] = ()
    task: object = None
    readable: bool = True

    def __bool__(self) -> bool:
        """So that `assert check(answer, task)` holds for a right answer alone."""
        return self.right

    @property
    def grid_lines(self) -> list[str]:
        """The matrix as answered in plain text, wrong entries in brackets."""
        return render.marked(self.grid) if self.grid else []

    @property
    def hint(self) -> str:
        """The mistake that explains the answer and how it goes right; empty where none does."""
        if not self.explanations:
            return ""
        first = self.explanations[0]
        return f"it looks as if {first}. {first.remedy}"

    def working(self) -> str:
        """The right answer and the way to it, as Markdown."""
        return render.working(self.task)

    def __repr__(self) -> str:
        lines = [self.message, *self.grid_lines]
        if self.hint:
            lines.append(f"Hint: {self.hint}")
        return "\n".join(lines)

    def _repr_markdown_(self) -> str:
        name = f" {self.task.name}" if isinstance(self.task, Task) else ""
        given = f"{self.given}, " if self.given else ""
        parts = [f"**Check{name}:** {given}{self.message}."]
        if self.grid:
            parts.append(render.marked_latex(self.grid))
        if self.hint:
            parts.append(f"*Hint:* {self.hint}")
        return "\n\n".join(parts)


def check(answer, task) -> Verdict:
    """Compare an answer with a task, its name, a calculation, or the plain value expected.

    The answer may be a number, nested lists, an array, or text in every usual notation (see
    `answers.read`); nothing in it is executed. Whole numbers and fractions must be equal; what is
    no whole number may be rounded to two decimals or more. Nothing that a student can write raises
    an error: the verdict says what is the matter. It names a mistake only where the catalogue leads
    to exactly this answer.

    >>> check(3, 3)
    correct
    >>> print(check([[1, 2], [4, 3]], [[1, 2], [3, 4]]).message)
    2 entries differ: row 2 column 1, row 2 column 2
    >>> from labkit.handcalc import OutputSize
    >>> check(63, OutputSize(64, 3))  # doctest: +ELLIPSIS
    not correct
    Hint: it looks as if the + 1 was put inside the rounding. The + 1 stands outside ...
    >>> check(..., 3)
    no answer yet
    """
    if isinstance(task, str) and "/" in task:
        task = find_task(task)
    calculation = task.calculation if isinstance(task, Task) else task
    if isinstance(answer, Worked):
        answer = answer.result
    if isinstance(answer, Task):
        message = "the answer comes first, then the task: check(answer, task)"
        return Verdict(False, (), message, task=task, readable=False)
    if isinstance(answer, Unreadable):
        return Verdict(False, (), f"not readable: {answer.reason}", task=task, readable=False)
    if answer is None or answer is ... or (isinstance(answer, str) and not answer.strip()):
        return Verdict(False, (), "no answer yet", task=task)
    if isinstance(calculation, str):
        calculation = Choice(calculation)
    if isinstance(calculation, Choice):
        return _chosen(answer, calculation, task)
    if not hasattr(calculation, "result"):
        calculation = Expected(_lists(calculation))
    shape = shape_of(calculation.result)
    try:
        readings = list(read(answer, shape))
        if isinstance(calculation, Solution) and isinstance(answer, str):
            readings += read(answer, (2,))  # "31,32" may be both solutions
    except Exception as error:  # whatever the answer is: an object's own code may raise anything
        empty = answer.split().count("?") if isinstance(answer, str) else 0  # of a grid's cells
        reason = f"empty cells (?): {empty}" if empty else _one_line(error)
        message = f"not readable: {reason}"
        return Verdict(False, (), message, task=task, readable=False)
    readings = [_as_asked(entries, found, shape, calculation) for entries, found in readings]
    for entries, found in readings:
        if _is_right(entries, found, shape, calculation):
            given = _line(entries, found, calculation)
            return Verdict(True, (), "correct", given=given, task=task)

    explained = [(reading, explain(calculation, *reading)) for reading in readings]
    (entries, found), explanations = max(explained, key=lambda pair: bool(pair[1]))
    expected = list(flat(calculation.result))
    if found != shape:
        if len(entries) < len(expected) and all(map(same, entries, expected)):
            # right as far as it goes: that takes no pair of mistakes
            explanations = [it for it in explanations if len(it.mistakes) == 1]
        message = f"the answer is {form(found)}, the task asks for {form(shape)}"
        message += "" if explanations else _how_to_write(shape)
        given = _line(entries, found, calculation)
        return Verdict(False, (), message, tuple(explanations), given=given, task=task)
    pairs = list(zip(entries, expected, strict=True))
    wrong = [position_of(place, shape) for place, pair in enumerate(pairs) if not same(*pair)]
    return Verdict(
        False,
        tuple(wrong),
        _message(wrong, calculation),
        tuple(explanations),
        grid=_grid(entries, shape, wrong) if len(shape) == 2 else (),
        given=_line(entries, found, calculation),
        corrections=tuple(
            (render.answer_text(given), render.answer_text(right))
            for given, right in pairs
            if not same(given, right)
        ),
        task=task,
    )


def find_task(name: str) -> Task:
    """A course's question ("tdt4265/1c") or an exercise ("convolution/2/17/3")."""
    if name.partition("/")[0].casefold() in KINDS:
        return exercise_named(name.casefold())
    return question(name)


def shape_of(value) -> tuple[int, ...]:
    """The shape of a number, a tuple or nested lists: () for a number."""
    shape = []
    while isinstance(value, list | tuple):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def form(shape: tuple[int, ...]) -> str:
    """What an answer of a shape is called.

    >>> form(()), form((2,)), form((3, 5))
    ('one number', '2 numbers', '3×5 numbers, rows × columns')
    """
    if not shape:
        return "one number"
    axes = {2: ", rows × columns", 3: ", channels × rows × columns"}.get(len(shape), "")
    return f"{by(shape)} numbers{axes}"


def _how_to_write(shape: tuple[int, ...]) -> str:
    """What keeps rows apart, for who did not know."""
    if len(shape) < 2:
        return ""
    channels = ", channels by an empty line" if len(shape) > 2 else ""
    return f"; separate rows by ; or new lines{channels}"


def _chosen(answer, choice: Choice, task) -> Verdict:
    right = isinstance(answer, str) and any(
        _words(answer) == _words(word) for word in (choice.result, *choice.also)
    )
    if right:
        return Verdict(True, (), "correct", given=choice.result, task=task)
    words = _words(answer) if isinstance(answer, str) else ""
    strange = choice.options and words not in map(_words, choice.options)
    options = f"; choose one of: {', '.join(choice.options)}" if strange else ""
    return Verdict(False, ((),), f"not correct{options}", task=task)


def _words(text: str) -> str:
    text = re.sub(r"\b(the|layers?)\b", " ", text.casefold().replace("_", " "))
    return re.sub(r"[^a-z]", "", text)


def _as_asked(entries: list[Given], found, shape, calculation) -> tuple[list[Given], tuple]:
    """The usual liberties: one number for a square size or back, and leading axes of length 1."""
    if isinstance(calculation, OutputSize | TransposedOutputSize | Solution):
        if shape == (2,) and found == ():
            return entries * 2, (2,)
        if shape == () and found == (2,) and entries[0] == entries[1]:
            return entries[:1], ()
    if isinstance(calculation, Solution):
        return sorted(entries), found  # all solutions, in whatever order
    flat_line = len(_without_ones(found)) == 1 and math.prod(found) == math.prod(shape)
    if flat_line and len(shape) > 1 and min(shape[-2:]) > 1:  # else it may be rows for columns
        return entries, shape  # written row by row, without a break between rows
    if _without_ones(found) == _without_ones(shape):
        return entries, shape
    return entries, found


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def _is_right(entries: Sequence[Given], found, shape, calculation) -> bool:
    if isinstance(calculation, Solution):
        return _solves(entries, found, calculation)
    if hasattr(calculation, "accepts"):
        return found == shape and calculation.accepts(entries[0])
    return found == shape and all(map(same, entries, flat(calculation.result)))


def _solves(entries: Sequence[Given], found, solution: Solution) -> bool:
    """One of the solutions, or the list of all of them."""
    if len(found) > 1:
        return False
    return entries[0] in solution if not found else list(entries) == list(solution.values)


def _lists(value):
    """A plain expected value as a number or nested lists."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return to_lists(value, "expected", axes=(1, 2, 3, 4))[0]
    return value


def _message(wrong: Sequence[tuple[int, ...]], calculation) -> str:
    if not wrong or wrong == [()]:
        return "not correct"
    if isinstance(calculation, OutputSize | TransposedOutputSize):
        return f"not correct: {' and '.join(('rows', 'columns')[axis] for (axis,) in wrong)}"
    if len(wrong) == len(list(flat(calculation.result))) > 1:
        return "every entry differs"
    named = ", ".join(named_place(position) for position in wrong[:MOST_NAMED])
    more = f" and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
    count = "1 entry differs" if len(wrong) == 1 else f"{len(wrong)} entries differ"
    return f"{count}: {named}{more}"


def _line(entries: Sequence[Given], shape: tuple[int, ...], calculation) -> str:
    """A number, a size or a short list as people write it; nothing for a matrix."""
    if len(shape) > 1 or len(entries) > LONGEST_LIST:
        return ""
    mark = " × " if isinstance(calculation, OutputSize | TransposedOutputSize) else ", "
    return mark.join(f"{it:,}" if isinstance(it, int) else str(it) for it in entries)


def _grid(entries, shape, wrong) -> tuple[tuple[str, ...], ...]:
    """The entries as text; a wrong one in brackets."""
    rows, columns = shape
    marked = set(wrong)
    return tuple(
        tuple(
            f"[{entries[row * columns + column]}]"
            if (row, column) in marked
            else str(entries[row * columns + column])
            for column in range(columns)
        )
        for row in range(rows)
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
