"""An answer compared with what is expected: right, or which entries differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from labkit.handcalc.windows import Worked, by, flat, to_lists, to_number

RELATIVE_TOLERANCE = 1e-6  # of floats: more digits than anyone writes down by hand

MOST_NAMED = 6  # wrong entries that a verdict lists one by one


@dataclass(frozen=True, repr=False)
class Verdict:
    """Whether an answer is right, which of its entries are not, and a sentence that says so."""

    right: bool
    wrong: tuple[tuple[int, ...], ...]  # positions from 0; () is the one entry of a plain number
    message: str

    def __repr__(self) -> str:
        return self.message

    def _repr_markdown_(self) -> str:
        return f"**Check:** {self.message}."


def check(answer, expected) -> Verdict:
    """Compare an answer with the number, text, tuple, matrix or `Worked` that is expected.

    Integers and fractions must be equal, floats equal to six digits. Nothing that a student can
    write as an answer raises an error: the verdict says what is the matter.

    >>> check(3, 3)
    correct
    >>> check([[1, 2], [4, 3]], [[1, 2], [3, 4]])
    2 entries differ: row 2 column 1, row 2 column 2
    >>> check(..., 3)
    no answer yet
    """
    if answer is None or answer is ...:
        return Verdict(False, (), "no answer yet")
    if isinstance(expected, str):
        right = isinstance(answer, str) and _plain(answer) == _plain(expected)
        return _verdict([] if right else [()])

    expected, shape = _entries(expected.result if isinstance(expected, Worked) else expected)
    try:
        answer, found = _entries(answer)
    except ValueError as error:
        return Verdict(False, (), f"not readable: {error}")
    if found != shape:
        return Verdict(False, (), f"the answer is {_form(found)}, the task asks for {_form(shape)}")
    pairs = zip(flat(answer), flat(expected), strict=True)
    return _verdict(
        [_position(index, shape) for index, pair in enumerate(pairs) if not _equal(*pair)]
    )


def _entries(value) -> tuple[list, tuple[int, ...]]:
    """Numbers and their shape; a plain number has the shape ()."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return to_lists(value, "answer", axes=(1, 2, 3, 4))
    return [to_number(value, "answer")], ()


def _equal(a, b) -> bool:
    if isinstance(a, int | Fraction) and isinstance(b, int | Fraction):
        return a == b
    try:
        return math.isclose(a, b, rel_tol=RELATIVE_TOLERANCE, abs_tol=1e-9)
    except OverflowError:  # an integer too large for a float is not equal to one
        return False


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(".() ")


def _position(index: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The position of the entry number `index` in reading order."""
    position = []
    for length in reversed(shape):
        index, here = divmod(index, length)
        position.insert(0, here)
    return tuple(position)


def _verdict(wrong: list[tuple[int, ...]]) -> Verdict:
    if not wrong:
        return Verdict(True, (), "correct")
    if wrong == [()]:
        return Verdict(False, ((),), "not correct")
    named = ", ".join(_name(position) for position in wrong[:MOST_NAMED])
    more = f" and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
    count = "1 entry differs" if len(wrong) == 1 else f"{len(wrong)} entries differ"
    return Verdict(False, tuple(wrong), f"{count}: {named}{more}")


def _name(position: tuple[int, ...]) -> str:
    names = ("entry",) if len(position) == 1 else ("filter", "channel", "row", "column")
    names = names[-len(position) :]
    return " ".join(f"{name} {index + 1}" for name, index in zip(names, position, strict=True))


def _form(shape: tuple[int, ...]) -> str:
    if not shape:
        return "one number"
    return f"a list of {shape[0]}" if len(shape) == 1 else by(shape)
