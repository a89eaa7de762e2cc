"""A task: a question in words, and the calculation that answers it.

A calculation is anything with a `.result` (the right answer) and a working: `Worked`, `OutputSize`,
`Solution`, `ParameterCount`, `ReceptiveField`, … and the plain ones below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from labkit.handcalc.answers import Given
from labkit.handcalc.counts import ParameterCount


@dataclass(frozen=True)
class Task:
    """A `question` (Markdown) with a `name` such as "tdt4265/1c", and its `calculation`."""

    name: str
    question: str
    calculation: object

    @property
    def result(self):
        """The right answer."""
        return self.calculation.result

    def _repr_markdown_(self) -> str:
        return self.question


@dataclass(frozen=True)
class Expected:
    """A right answer without a way to it: `result` is a number, a tuple or nested lists.

    `working` may hold lines of explanation.
    """

    result: object
    working: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A right answer in words, the `result`.

    `also` are other ways to say it, `options` what to choose from, `working` lines of explanation.
    """

    result: str
    options: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    working: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quotient:
    """How many times a number of parameters (`dividend`) is another number (`divisor`).

    >>> from labkit.handcalc.layers import Linear
    >>> Quotient(ParameterCount(Linear(99, 10)), 250).result
    Fraction(4, 1)
    """

    dividend: ParameterCount
    divisor: int

    @property
    def result(self) -> Fraction:
        """The exact quotient."""
        return Fraction(self.dividend.result, self.divisor)

    @property
    def working(self) -> tuple[str, ...]:
        """The division with its numbers."""
        value = float(self.result)
        equal = "=" if self.result == Fraction(f"{value:.1f}") else "≈"
        return (f"{self.dividend.result:,}/{self.divisor:,} {equal} {value:.1f}",)

    def accepts(self, given: Given) -> bool:
        """Whether the `given` number is exactly right, or rounded to three digits or more."""
        if given == self.result:
            return True
        return given > 0 and round_to(self.result, max(3, digits(given))) == Fraction(given)


def digits(number: Given) -> int:
    """How many digits of a number as written carry meaning.

    >>> from decimal import Decimal
    >>> digits(20), digits(119), digits(Decimal("119.0"))
    (1, 3, 4)
    """
    if isinstance(number, Fraction):
        return 99  # as exact as can be
    text = str(number).lstrip("-")
    if "." in text:
        return max(1, len(text.replace(".", "").lstrip("0")))
    return max(1, len(text.rstrip("0")))


def round_to(number: Fraction, significant: int) -> Fraction:
    """A positive number with so many significant digits.

    >>> round_to(Fraction(2309, 100), 1)
    Fraction(20, 1)
    """
    exponent = math.floor(math.log10(number)) - significant + 1
    unit = Fraction(10) ** exponent
    return round(number / unit) * unit
