"""Sizes: how many windows of a convolution or a pooling fit along an axis, and the way back.

`OutputSize` works a size out, `solve` finds what leads to a given size; both show their working.
"""

from __future__ import annotations

import math
import operator
import reprlib
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

Size = int | tuple[int, int]
Padding = Size | str | tuple[tuple[int, int], tuple[int, int]]

UNKNOWNS = ("input", "kernel", "stride", "padding", "dilation", "output")


@dataclass(frozen=True)
class Axis:
    """One axis of a convolution or a pooling; `before` and `after` are its padding."""

    input: int
    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1
    ceil_mode: bool = False

    @property
    def span(self) -> int:
        """What a dilated kernel covers, holes included: d(k − 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def padded(self) -> int:
        """The length of the input with its padding."""
        return self.input + self.before + self.after

    @property
    def room(self) -> int:
        """How far the window can move; below 0 where it does not fit."""
        return self.padded - self.span

    @property
    def size(self) -> int:
        """At how many places the window fits, or 0."""
        if not self.ceil_mode:
            return self.room // self.stride + 1 if self.room >= 0 else 0
        size = -(-self.room // self.stride) + 1
        # PyTorch's correction: the last window must begin inside the input or the near padding
        if (size - 1) * self.stride >= self.input + self.before:
            size -= 1
        return max(size, 0)

    def checked_size(self) -> int:
        """`size`, or a ValueError that says which padding makes the window fit."""
        if self.size >= 1:
            return self.size
        overhang = self.stride - 1 if self.ceil_mode else 0  # what ceil_mode lets hang over
        lacking = self.span - overhang - self.padded
        needed = max(self.before, self.after) + -(-lacking // 2)
        kernel = f"kernel {self.kernel}"
        if self.dilation > 1:
            kernel += f" at dilation {self.dilation} covers {self.span}, which"
        raise ValueError(
            f"{kernel} is larger than the padded input {self.padded}; "
            f"raise padding to at least {needed}"
        )


@dataclass(frozen=True)
class OutputSize:
    r"""The size after a convolution or a pooling, with the way to it.

    The arguments are those of `output_size`: `input` and `kernel` sizes, `stride`, `padding`,
    `dilation` and `ceil_mode`, numbers for one axis or pairs (rows, columns). `result` is the size,
    `working` the derivation line by line. A ValueError says why a window does not fit.

    >>> OutputSize(508, 2, stride=2).result
    254
    >>> OutputSize((32, 48), 3, padding="same").result
    (32, 48)
    >>> print(*OutputSize(508, 2, stride=2).working, sep="\n")
    o = ⌊(i + 2p − k)/s⌋ + 1
    o = ⌊(508 + 2·0 − 2)/2⌋ + 1 = ⌊506/2⌋ + 1 = 253 + 1 = 254
    """

    input: Size
    kernel: Size
    stride: Size = 1
    padding: Padding = 0
    dilation: Size = 1
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        for axis in self.axes:
            axis.checked_size()

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """One axis, or rows and columns where an argument is a pair."""
        settings = (self.input, self.kernel, self.stride, self.padding, self.dilation)
        two = any(isinstance(value, tuple | list) for value in settings)
        input = whole_pair(self.input, "input", at_least=1)
        kernel = whole_pair(self.kernel, "kernel", at_least=1)
        stride = whole_pair(self.stride, "stride", at_least=1)
        dilation = whole_pair(self.dilation, "dilation", at_least=1)
        padding = sides(self.padding, kernel, stride, dilation)
        axes = tuple(
            Axis(i, k, s, before, after, d, bool(self.ceil_mode))
            for i, k, s, (before, after), d in zip(
                input, kernel, stride, padding, dilation, strict=True
            )
        )
        return axes if two else axes[:1]

    @property
    def result(self) -> Size:
        """The size: a number, or (rows, columns) where an argument is a pair."""
        sizes = tuple(axis.size for axis in self.axes)
        return sizes if len(sizes) == 2 else sizes[0]

    @property
    def working(self) -> tuple[str, ...]:
        """The relation, and the numbers put into it: a line each."""
        same = len(set(self.axes)) == 1
        lines = [_relation(self.axes)]
        for name, axis in zip(("rows", "columns"), self.axes, strict=False):
            lines.append(("" if same else f"{name}: ") + _size_line(axis))
            if same:
                break
        return tuple(lines)


@dataclass(frozen=True)
class TransposedOutputSize:
    """The size after a transposed convolution: o = (i − 1)s − 2p + d(k − 1) + e + 1.

    i is the `input` size, k `kernel`, s `stride`, p `padding`, d `dilation`, e `output_padding`:
    rows added at the end, fewer than the stride or the dilation. Numbers for one axis, or pairs.
    Source: the notes on shape of `torch.nn.ConvTranspose2d`.

    >>> TransposedOutputSize(16, 4, stride=2, padding=1).result
    32
    >>> TransposedOutputSize(1, 1, padding=1)
    Traceback (most recent call last):
        ...
    ValueError: padding 1 takes away more than the output 1 has; lower padding to at most 0
    """

    input: Size
    kernel: Size
    stride: Size = 1
    padding: Size = 0
    output_padding: Size = 0
    dilation: Size = 1

    def __post_init__(self) -> None:
        for _, _, s, _, e, d in self.axes:
            if e >= max(s, d):
                raise ValueError(
                    f"output_padding {e} is not smaller than the stride {s} or the dilation {d}; "
                    f"lower it to at most {max(s, d) - 1}"
                )
        for i, k, s, p, e, d in self.axes:
            full = (i - 1) * s + d * (k - 1) + e + 1
            if full - 2 * p < 1:
                raise ValueError(
                    f"padding {p} takes away more than the output {full} has; "
                    f"lower padding to at most {(full - 1) // 2}"
                )

    @cached_property
    def axes(self) -> tuple[tuple[int, ...], ...]:
        """(i, k, s, p, e, d) of each axis."""
        names = ("input", "kernel", "stride", "padding", "output_padding", "dilation")
        values = [getattr(self, name) for name in names]
        pairs = [
            whole_pair(value, name, at_least=0 if "padding" in name else 1)
            for value, name in zip(values, names, strict=True)
        ]
        axes = tuple(zip(*pairs, strict=True))
        return axes if any(isinstance(value, tuple | list) for value in values) else axes[:1]

    @property
    def result(self) -> Size:
        """The size: a number, or (rows, columns) where an argument is a pair."""
        sizes = tuple((i - 1) * s - 2 * p + d * (k - 1) + e + 1 for i, k, s, p, e, d in self.axes)
        return sizes if len(sizes) == 2 else sizes[0]

    @property
    def working(self) -> tuple[str, ...]:
        """The relation, and the numbers put into it: a line each."""
        lines = ["o = (i − 1)·s − 2p + d·(k − 1) + e + 1"]
        differ = len(set(self.axes)) > 1
        for name, (i, k, s, p, e, d) in zip(("rows: ", "columns: "), self.axes, strict=False):
            size = (i - 1) * s - 2 * p + d * (k - 1) + e + 1
            lines.append(
                (name if differ else "")
                + f"o = ({i} − 1)·{s} − 2·{p} + {d}·({k} − 1) + {e} + 1 = {size}"
            )
            if not differ:
                break
        return tuple(lines)


def output_size(
    input: Size,
    kernel: Size,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Size:
    """The number of places where a window fits: ⌊(i + 2p − d(k − 1) − 1) / s⌋ + 1.

    i is the `input` size, k `kernel`, s `stride`, p `padding`, d `dilation`, all in entries.
    Numbers describe one axis and give a number; where any argument is a pair (rows, columns), the
    others hold for both axes and the answer is a pair. `padding` may also be "valid" (none), "same"
    (with stride 1: the output is as large as the input; an odd zero goes to the end, as in
    PyTorch), or unequal: ((top, bottom), (left, right)).

    `ceil_mode` (pooling only) rounds up instead, so that a last window may hang over the edge;
    PyTorch's correction then drops that window if it would begin in the padding at the far end.

    Raises ValueError where the kernel is larger than the padded input.

    Sources: Dumoulin & Visin (2016), arXiv:1603.07285, relationships 6 and 15; the notes on shape
    of `torch.nn.Conv2d` and `torch.nn.MaxPool2d`.

    >>> output_size(512, 5)
    508
    >>> output_size(508, 2, stride=2)
    254
    >>> output_size((3, 5), 3, padding=1)
    (3, 5)
    >>> output_size(6, 3, stride=2), output_size(6, 3, stride=2, ceil_mode=True)
    (2, 3)
    """
    return OutputSize(input, kernel, stride, padding, dilation, ceil_mode).result


def transposed_output_size(
    input: Size,
    kernel: Size,
    *,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
) -> Size:
    """The size after a transposed convolution: (i − 1)s − 2p + d(k − 1) + e + 1.

    i is the `input` size, k `kernel`, s `stride`, p `padding`, d `dilation`, e `output_padding`, as
    in `TransposedOutputSize`: numbers for one axis, or pairs (rows, columns).

    >>> transposed_output_size(16, 4, stride=2, padding=1)
    32
    """
    return TransposedOutputSize(input, kernel, stride, padding, output_padding, dilation).result


@dataclass(frozen=True)
class Solution:
    """Every whole number that an unknown can be, from `lowest` to `highest` (None: without end).

    `given` holds the known numbers by name, `working` the derivation, a line each.
    """

    unknown: str
    given: dict[str, int]
    lowest: int
    highest: int | None
    working: tuple[str, ...]

    @property
    def values(self) -> range:
        """The solutions in order; where they have no end, the lowest alone."""
        return range(self.lowest, (self.lowest if self.highest is None else self.highest) + 1)

    @property
    def result(self) -> int:
        """The one solution, or the lowest of several."""
        return self.lowest

    def __contains__(self, number) -> bool:
        return (
            number == int(number)
            and number >= self.lowest
            and (self.highest is None or number <= self.highest)
        )


def solve(
    *,
    input: int | None = None,
    kernel: int | None = None,
    stride: int | None = None,
    padding: int | None = None,
    dilation: int | None = 1,
    output: int | None = None,
) -> Solution:
    """Give all but one of the numbers of an axis; every whole number that the last can be.

    o = ⌊(i + 2p − d(k − 1) − 1) / s⌋ + 1 holds exactly if
    (o − 1)·s ≤ i + 2p − d(k − 1) − 1 ≤ o·s − 1, which is then solved for the unknown.

    The dilation is 1 unless given; write `dilation=None` to solve for it.

    >>> solve(input=32, output=32, kernel=7, stride=1).values  # task 1c: padding 3
    range(3, 4)
    >>> list(solve(input=512, output=508, stride=1, padding=0).values)  # task 1d: kernel 5
    [5]
    >>> list(solve(output=16, kernel=3, stride=2, padding=1).values)  # two inputs give 16
    [31, 32]
    >>> solve(input=32, output=40, padding=1, stride=1)
    Traceback (most recent call last):
        ...
    ValueError: no kernel gives output 40 from input 32, stride 1, padding 1, dilation 1: it \
needs a whole number with -5 ≤ k ≤ -5, at least 1; output 34 is possible
    """
    given = {
        "input": input,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "output": output,
    }
    missing = [name for name, value in given.items() if value is None]
    if len(missing) != 1:
        told = f"{', '.join(missing)} are missing" if missing else "nothing is left to solve for"
        raise ValueError(f"{told}; give all but one of {', '.join(UNKNOWNS)}")
    (unknown,) = missing
    known = {
        name: whole(value, name, at_least=0 if name == "padding" else 1)
        for name, value in given.items()
        if value is not None
    }
    return _solved(unknown, known)


SYMBOLS = {"input": "i", "kernel": "k", "stride": "s", "padding": "p", "dilation": "d"}


def _solved(unknown: str, known: dict[str, int]) -> Solution:
    i, k, s, p, d, o = (known.get(name) for name in UNKNOWNS)
    if unknown == "output":
        size = OutputSize(i, k, s, p, d)
        return Solution(unknown, known, size.result, size.result, size.working)

    symbol = SYMBOLS[unknown]
    at_least = 0 if unknown == "padding" else 1
    if unknown == "stride":
        room = Axis(i, k, 1, p, p, d).checked_size() - 1
        between = f"{o - 1}·s ≤ {room} ≤ {o}·s − 1"
        low, high = Fraction(room + 1, o), Fraction(room, o - 1) if o > 1 else None
    else:
        constant, factor = {  # i + 2p − d(k − 1) − 1 as constant + factor · unknown
            "input": lambda: (2 * p - d * (k - 1) - 1, 1),
            "padding": lambda: (i - d * (k - 1) - 1, 2),
            "kernel": lambda: (i + 2 * p - 1 + d, -d),
            "dilation": lambda: (i + 2 * p - 1, 1 - k),
        }[unknown]()
        least, most = (o - 1) * s, o * s - 1
        between = f"{least} ≤ {_linear(constant, factor, symbol)} ≤ {most}"
        if factor:
            low, high = sorted(Fraction(end - constant, factor) for end in (least, most))
        else:  # a kernel of 1 has no holes: every dilation does, or none
            low, high = Fraction(1), None if least <= constant <= most else Fraction(0)

    lowest = max(math.ceil(low), at_least)
    highest = None if high is None else math.floor(high)
    bounds = f"{_decimal(low)} ≤ {symbol}" + ("" if high is None else f" ≤ {_decimal(high)}")
    if highest is not None and highest < lowest:
        raise ValueError(_nothing_fits(unknown, known, bounds, max(math.floor(low), at_least)))

    numbers = {SYMBOLS[name]: str(value) for name, value in known.items() if name != "output"}
    working = (
        _formula(d != 1),
        f"{o} = " + _formula(d != 1, numbers).removeprefix("o = "),
        f"{o - 1} is the floor exactly if {between}",
        bounds if lowest != highest else f"{symbol} = {lowest}",
    )
    return Solution(unknown, known, lowest, highest, working)


def _nothing_fits(unknown: str, known: dict[str, int], bounds: str, near: int) -> str:
    """The message where no whole number solves; `near` is one beside the bounds."""
    given = ", ".join(f"{name} {value}" for name, value in known.items() if name != "output")
    settings = {name: value for name, value in known.items() if name != "output"}
    possible = []
    for value in range(max(near - 1, 0 if unknown == "padding" else 1), near + 3):
        try:
            possible.append(OutputSize(**settings, **{unknown: value}).result)
        except ValueError:  # the window does not fit
            continue
    remedy = "change the other numbers"
    if possible:
        nearest = min(possible, key=lambda size: abs(size - known["output"]))
        remedy = f"output {nearest} is possible"
    at_least = 0 if unknown == "padding" else 1
    return (
        f"no {unknown} gives output {known['output']} from {given}: "
        f"it needs a whole number with {bounds}, at least {at_least}; {remedy}"
    )


def _formula(dilated: bool, numbers: dict[str, str] | None = None) -> str:
    """The relation, with the letters that have numbers replaced by them."""
    i, p, k, s, d = ((numbers or {}).get(letter, letter) for letter in "ipksd")
    twice = f"2·{p}" if p.isdigit() else f"2{p}"
    covered = f"{d}·({k} − 1) − 1" if dilated else k
    return f"o = ⌊({i} + {twice} − {covered})/{s}⌋ + 1"


def _size_line(axis: Axis) -> str:
    """The relation with the numbers of an axis, down to the size."""
    i, k, s, d = axis.input, axis.kernel, axis.stride, axis.dilation
    same = axis.before == axis.after
    padding = f"2·{axis.before}" if same else f"{axis.before} + {axis.after}"
    covered = f"{k}" if d == 1 else f"{d}·({k} − 1) − 1"
    opened, closed = "⌈⌉" if axis.ceil_mode else "⌊⌋"
    steps = axis.room // s if not axis.ceil_mode else -(-axis.room // s)
    line = (
        f"o = {opened}({i} + {padding} − {covered})/{s}{closed} + 1 = "
        f"{opened}{axis.room}/{s}{closed} + 1 = {steps} + 1 = {steps + 1}"
    )
    if axis.size != steps + 1:
        line += f", less 1: the last window would begin in the padding at the end: {axis.size}"
    return line


def _relation(axes: tuple[Axis, ...]) -> str:
    line = _formula(any(axis.dilation > 1 for axis in axes))
    if any(axis.before != axis.after for axis in axes):
        line = line.replace("2p", "p₁ + p₂")
    return line.replace("⌊", "⌈").replace("⌋", "⌉") if axes[0].ceil_mode else line


def _linear(constant: int, factor: int, symbol: str) -> str:
    """constant + factor · symbol as people write it: 'i − 3', '2·p + 5', '512 − k'."""
    times = symbol if abs(factor) == 1 else f"{abs(factor)}·{symbol}"
    if factor < 0:
        return f"{constant} − {times}"
    if not factor or not constant:
        return times if factor else str(constant)
    return f"{times} {'+' if constant > 0 else '−'} {abs(constant)}"


def _decimal(number: Fraction) -> str:
    return str(number.numerator) if number.denominator == 1 else f"{float(number):.10g}"


def sides(padding: Padding, kernel, stride, dilation) -> tuple[tuple[int, int], tuple[int, int]]:
    """Any form of padding as ((top, bottom), (left, right)); the others are pairs.

    >>> sides(1, (3, 3), (1, 1), (1, 1)), sides("same", (4, 3), (1, 1), (1, 1))
    (((1, 1), (1, 1)), ((1, 2), (1, 1)))
    """
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(
                f'padding "same" needs stride 1, not {max(stride)}; give the padding in numbers'
            )
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        rows, columns = ((total // 2, total - total // 2) for total in totals)
        return rows, columns
    if isinstance(padding, str):
        raise ValueError(f'padding {shown(padding)} is not known; give numbers, "same" or "valid"')
    rows, columns = (
        whole_pair(axis, "padding", at_least=0) for axis in as_pair(padding, "padding")
    )
    return rows, columns


def check_pool_padding(kernel: tuple[int, int], padding: tuple[tuple[int, int], ...]) -> None:
    """Pooling pads with at most half its kernel; else a window could lie in the padding alone.

    PyTorch's rule, without which the maximum of such a window would be −∞. `padding` is as `sides`
    gives it.
    """
    for k, p in zip(kernel, map(max, padding), strict=True):
        if p > k // 2:
            raise ValueError(
                f"padding {p} is more than half of the pooling kernel {k}; "
                f"lower padding to at most {k // 2}"
            )


def as_pair(value: Size, name: str) -> tuple[int, int]:
    """One number for both axes, or a pair (rows, columns).

    >>> as_pair(3, "kernel"), as_pair((1, 2), "kernel")
    ((3, 3), (1, 2))
    """
    if not isinstance(value, tuple | list):
        return value, value
    if len(value) != 2:
        raise ValueError(f"{name} {shown(value)} is no pair; give one number or (rows, columns)")
    return tuple(value)


def whole(value: int, name: str, *, at_least: int) -> int:
    """`value` as an int of at least `at_least`, or a ValueError that says what would do."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < at_least:
        raise ValueError(
            f"{name} {shown(value)} is not possible; give a whole number of at least {at_least}"
        )
    return number


def whole_pair(value: Size, name: str, *, at_least: int) -> tuple[int, int]:
    """`as_pair`, with both numbers checked by `whole`."""
    rows, columns = as_pair(value, name)
    return whole(rows, name, at_least=at_least), whole(columns, name, at_least=at_least)


def shown(value: object) -> str:
    """A short form of any value for an error message: one line, whatever its repr is."""
    return " ".join(reprlib.repr(value).split())
