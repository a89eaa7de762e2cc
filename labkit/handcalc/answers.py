"""Answers as people write them: read, never executed.

Numbers with thousands separators, fractions, sizes such as 254×254, matrices by rows, in brackets
or pasted from a spreadsheet. Some notations can be read in two ways (49.153 may be a decimal or
forty-nine thousand), so `read` gives every reading, the likelier first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from labkit.handcalc.shapes import shown

LONGEST_TEXT = 200_000  # characters
MOST_DIGITS = 40  # of one number: more than any count in a network needs
MOST_ENTRIES = 20_000
MOST_BRACKETS = 6  # deep

Given = int | Fraction | Decimal  # a Decimal remembers how many decimals were written

SPACES = "\u00a0\u2000-\u200a\u202f\u205f\u3000"  # no-break, thin and their kin
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.IGNORECASE)
_THOUSANDS = [  # 3.271.753.728 and its like, with decimals after the other mark
    re.compile(rf"[+-]?\d{{1,3}}({mark}\d{{3}})({mark}\d{{3}})*({point}\d+)?")
    for mark, point in ((",", r"\."), (r"\.", ","), ("[ '’_]", "[.,]"))
]


@dataclass(frozen=True)
class Unreadable:
    """In the place of an answer that could not be fetched: the `reason`, which `check` tells."""

    reason: str


def read(answer, shape: tuple[int, ...]) -> Iterator[tuple[list[Given], tuple[int, ...]]]:
    """Every reading of an answer as its entries in reading order and their shape, likelier first.

    `shape` is that of the right answer, which decides between notations: () for a number, (2,) for
    a size or a list of two, (rows, columns) for a matrix. The answer need not have it. Raises
    ValueError with what could not be read.

    >>> next(read("3.271.753.728", ()))
    ([3271753728], ())
    >>> next(read("254x254", (2,)))
    ([254, 254], (2,))
    >>> next(read("1 -2; 1/2 4", (2, 2)))
    ([1, -2, Fraction(1, 2), 4], (2, 2))
    """
    if hasattr(answer, "tolist"):  # NumPy, torch
        answer = answer.tolist()
    if not isinstance(answer, str | list | tuple | range):
        yield [_value(answer)], ()
    elif isinstance(answer, str):
        yield from _read_text(_plain(answer), shape)
    else:
        yield from _read_nested_readings(answer)


def same(given: Given, expected) -> bool:
    """Whether a number as written is the expected one: exactly, or rounded to 2 decimals or more.

    >>> same(Decimal("3.67"), Fraction(11, 3)), same(Decimal("3.6"), Fraction(11, 3))
    (True, False)
    """
    if isinstance(given, int | Fraction) and isinstance(expected, int | Fraction):
        return given == expected
    difference = abs(Fraction(given) - Fraction(expected))
    if difference <= abs(Fraction(expected)) / 10**9:
        return True
    if isinstance(expected, int):
        return False
    if difference <= max(1, abs(Fraction(expected))) / 10**6:
        return True  # the float32 of an array
    if not isinstance(given, Decimal):
        return False
    decimals = -given.as_tuple().exponent
    enough = decimals >= 2 and given != 0
    return enough and difference <= Fraction(1, 2 * 10**decimals)


def numbers(text: str) -> list[Given]:
    """Every number that a text can stand for, the likelier first.

    >>> numbers("49.153"), numbers("390 410"), numbers("−1/2")
    ([49153, Decimal('49.153')], [390410], [Fraction(-1, 2)])
    """
    text = _plain(text)
    over = re.fullmatch(r"([+-]?\d+) ?/ ?([+-]?\d+)", text)
    if over and max(map(len, over.groups())) <= MOST_DIGITS:
        if int(over[2]) == 0:
            raise ValueError(f"{text} divides by zero")
        return [_simple(Fraction(int(over[1]), int(over[2])))]
    readings = []
    for pattern, mark in zip(_THOUSANDS, (",", ".", "[ '’_]"), strict=True):
        if match := pattern.fullmatch(text):
            decimals = match[3] or ""
            front = text.removesuffix(decimals)
            front = re.sub(mark if len(mark) > 1 else re.escape(mark), "", front)
            readings.append(_decimal(front + decimals.replace(",", ".")))
    as_decimal = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    if _DECIMAL.fullmatch(as_decimal):
        readings.append(_decimal(as_decimal))
    if not readings:
        if text.lower().lstrip("+-") in ("nan", "inf", "infinity", ""):
            raise ValueError(f"{text or 'nothing'} is no number")
        raise ValueError(f"{shown(text)} is no number")
    return readings


def _decimal(text: str) -> int | Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{shown(text)} is no number") from None
    if len(text) > MOST_DIGITS or abs(number.adjusted()) > MOST_DIGITS:
        raise ValueError(f"{shown(text)} is too large or too long a number for an answer")
    return int(number) if number == number.to_integral_value() else number


def _simple(number: Fraction) -> int | Fraction:
    return number.numerator if number.denominator == 1 else number


def _value(value) -> Given:
    """A number that is one already."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | Fraction):
        if max(abs(value.numerator), value.denominator) >= 10**MOST_DIGITS:
            raise ValueError("a number is too large for an answer")
        return _simple(Fraction(value))
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no finite number")
        return _decimal(str(value))
    raise ValueError(f"{shown(value)} is no number")


def _plain(text: str) -> str:
    """One kind of minus, space and quote; nothing around it."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(
            f"the answer has {len(text):,} characters; at most {LONGEST_TEXT:,} are read"
        )
    text = re.sub(f"[{SPACES}]", " ", text).replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub("[−–﹣-]", "-", text).replace("⁄", "/")
    return text.strip(" \n").rstrip(".")


def _read_text(text: str, shape) -> Iterator[tuple[list[Given], tuple[int, ...]]]:
    if not text.strip():
        raise ValueError("the answer is empty")
    if inside := re.fullmatch(r"\[([^\[\]()]*)\]|\(([^\[\]()]*)\)", text):
        text = (inside[1] or inside[2] or "").strip(" ,")  # one pair of brackets around it all
    if not text:
        raise ValueError("the answer is empty")
    if len(shape) < 2:
        # 254x254, 11 or 12
        text = re.sub(r"(?<=[\d ])(?:[x×*]|by|and|or)(?=[ \d])", ";", text, flags=re.IGNORECASE)
    if not shape and not re.search(r"[;\t\n\[\]()]|,\s", text):
        try:
            yield from (([number], ()) for number in numbers(text))
            return
        except ValueError:
            if not re.fullmatch(r"[-+\d.,/]+( [-+\d.,/]+)+", text):
                raise  # no list of numbers either
    if any(bracket in text for bracket in "[]()"):
        yield from _read_nested_readings(_bracketed(text))
        return
    if len(shape) < 2:
        cells = _list(text, shape[0] if shape else 2)
        if len(cells) == 1:
            yield from (([number], ()) for number in cells[0])
            return
        yield from _choices(cells, (len(cells),))
        return
    blocks = [block for block in re.split(r"\n[ \t]*\n", text) if block.strip()]
    if len(shape) < 3:
        blocks = ["\n".join(blocks)]
    parsed = [_matrix(block, shape[-1]) for block in blocks]
    sizes = {(len(rows), len(rows[0])) for rows in parsed}
    if len(sizes) > 1:
        raise ValueError("the matrices differ in size; give all of them as many rows and columns")
    (size,) = sizes
    cells = [cell for rows in parsed for row in rows for cell in row]
    yield from _choices(cells, (len(parsed), *size) if len(shape) > 2 else size)


def _choices(cells: Sequence[list[Given]], shape) -> Iterator[tuple[list[Given], tuple[int, ...]]]:
    """All first readings; all last ones, where they differ."""
    first, last = [cell[0] for cell in cells], [cell[-1] for cell in cells]
    yield first, shape
    if first != last:
        yield last, shape


def _list(text: str, count: int) -> list[list[Given]]:
    """The cells of a list of about `count` numbers, whatever separates them."""
    text = " ".join(text.split("\n")) if "\t" not in text else text.replace("\n", "\t")
    ways = (";", r"\t", r",\s+", r"\s+", ",", r"[\s,;]+")
    text = text.strip(" ,;")
    splits = [[part.strip() for part in re.split(way, text) if part.strip()] for way in ways]
    # the way that gives the right number of cells, if they are numbers; else the finest cut
    for parts in splits:
        if len(parts) == count:
            try:
                return [numbers(part) for part in parts]
            except ValueError:
                continue
    return [numbers(part) for part in splits[-1]]


def _matrix(text: str, columns: int) -> list[list[list[Given]]]:
    """The cells of a matrix, row by row."""
    rows = [row for row in re.split(r"[;\n]", text) if row.strip(" \t,|&")]
    if not rows:
        raise ValueError("the answer is empty")
    cells = [_row(row, columns) for row in rows]
    for number, row in enumerate(cells, start=1):
        if len(row) != len(cells[0]):
            raise ValueError(
                f"row {number} has {len(row)} entries where row 1 has {len(cells[0])}; "
                "give all rows the same length"
            )
    if len(cells) * len(cells[0]) > MOST_ENTRIES:
        raise ValueError(f"the answer has more than {MOST_ENTRIES:,} entries")
    return cells


def _row(row: str, columns: int) -> list[list[Given]]:
    if "\t" in row.strip(" \n"):  # a spreadsheet's cells; an empty one is missing
        parts = [part.strip() for part in row.strip(" \n").split("\t")]
        while len(parts) > columns and not parts[-1]:
            parts.pop()
        if "" in parts:
            raise ValueError(f"entry {parts.index('') + 1} of a row is empty; give it a number")
        return [numbers(part) for part in parts]
    return _list(row.strip(" |"), columns)


def _bracketed(text: str) -> list:
    """Nested brackets as nested lists of texts; nothing recurses and nothing is executed."""
    text = re.sub(r"^(?:np\.|numpy\.|torch\.)?(?:array|tensor|matrix)(?=\()", "", text)
    top: list = []
    stack = [top]
    opened: list[str] = []
    for token in re.findall(r"[\[\]()]|[^\[\]()]+", text):
        if token in "[(":
            if len(stack) > MOST_BRACKETS:
                raise ValueError(
                    f"the answer has more than {MOST_BRACKETS} brackets in one another"
                )
            inner: list = []
            stack[-1].append(inner)
            stack.append(inner)
            opened.append(token)
        elif token in "])":
            if not opened or opened.pop() + token not in ("[]", "()"):
                raise ValueError(f"a bracket {token} closes nothing; look for one too many")
            stack.pop()
        else:
            cells = [cell for cell in re.split(r"[\s,;]+", token) if cell]
            stack[-1].extend(cells)
    if opened:
        raise ValueError(f"a bracket {opened[-1]} is not closed")
    while len(top) == 1 and isinstance(top[0], list):
        top = top[0]
    return top


def _read_nested_readings(nested) -> Iterator[tuple[list[Given], tuple[int, ...]]]:
    cells, shape = _read_nested(nested)
    yield from _choices(cells, shape)


def _read_nested(nested, depth: int = 0) -> tuple[list[list[Given]], tuple[int, ...]]:
    """The readings of every entry of nested lists, and the shape."""
    if hasattr(nested, "tolist"):
        nested = nested.tolist()
    if isinstance(nested, str):
        return [numbers(nested)], ()
    if not isinstance(nested, list | tuple | range):
        return [[_value(nested)]], ()
    if depth == MOST_BRACKETS:
        raise ValueError(f"the answer is nested more than {MOST_BRACKETS} deep")
    if len(nested) == 0:
        raise ValueError("the answer has an empty list; give it numbers")
    cells: list[list[Given]] = []
    shapes = []
    for part in nested:
        inside, shape = _read_nested(part, depth + 1)
        cells += inside
        shapes.append(shape)
        if len(cells) > MOST_ENTRIES:
            raise ValueError(f"the answer has more than {MOST_ENTRIES:,} entries")
    for number, shape in enumerate(shapes, start=1):
        if shape != shapes[0]:
            sizes = math.prod(shape), math.prod(shapes[0])
            raise ValueError(
                f"part {number} has {sizes[0]} entries where part 1 has {sizes[1]}; "
                "give all rows the same length"
            )
    return cells, (len(nested), *shapes[0])
