"""A convolution or a pooling, window by window: the result, and every product on the way.

Arithmetic is exact on integers and fractions and ordinary on floats. Inputs are nested lists,
NumPy arrays or tensors (anything with `tolist`); outputs are nested lists.

A `Plan` settles how every value comes about; a `Worked` is a plan with the question that it
answers. `mistakes.py` describes a mistake as a change of plan, so that right and wrong answers are
computed by the same few lines.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain, product
from operator import mul

from labkit.handcalc.shapes import (
    Axis,
    Padding,
    Size,
    check_pool_padding,
    shown,
    sides,
    whole,
    whole_pair,
)

Number = int | Fraction | float
Nested = list  # of Numbers, or of lists nested one level less

MAX_AXES = 4  # filters × channels × rows × columns


@dataclass(frozen=True, repr=False)
class Window:
    """One placement of the window, and how its value comes about.

    `position` is its index in the result, `corner` the (row, column) of its first entry in the
    input, both counted from 0; a corner in the padding is below 0. `entries`, `weights` and
    `products` have the shape of the kernel: kh × kw, or C × kh × kw (with groups: the channels that
    the filter reads). An entry None is left out of the `value`: it lies in padding that does not
    count.

    The value of a convolution is the sum of the products and the `bias`; of an average it is the
    sum of the entries over the `divisor`, of max pooling the largest entry. Weights and products
    are None in pooling.
    """

    position: tuple[int, ...]  # index into the result, from 0
    corner: tuple[int, int]  # (row, column) of the first entry in the input; below 0 in padding
    entries: Nested
    value: Number
    weights: Nested | None = None  # of a convolution, as they lie on the entries (flipped or not)
    products: Nested | None = None  # weight · entry
    bias: Number = 0
    divisor: int | None = None  # of an average: how many entries count


@dataclass(frozen=True)
class Plan:
    """How the values come about: all that a calculation by hand has to settle, right or wrong.

    The window of map m (a filter's output, or a pooled channel) reads the channels `reads[m]`. With
    `weights` (M × C × kh × kw, as they lie on the entries: a flip is already done) it multiplies
    and adds; without, it takes the "max", the "mean" or the "sum" of what it sees.
    """

    channels: Nested  # C × H × W
    reads: tuple[tuple[int, ...], ...]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)  # padding at the top and at the left; below 0 it cuts off
    after: tuple[int, int] = (0, 0)  # at the bottom and at the right
    dilation: tuple[int, int] = (1, 1)
    fill: Number | str | None = 0  # in the padding; None: does not count; "edge": the nearest entry
    ceil_mode: bool = False
    weights: Nested | None = None
    biases: tuple[Number, ...] = ()
    reduce: str = "sum"

    @cached_property
    def axes(self) -> tuple[Axis, Axis]:
        """Rows and columns, each with its settings."""
        lengths = len(self.channels[0]), len(self.channels[0][0])
        settings = (self.kernel, self.stride, self.before, self.after, self.dilation)
        rows, columns = zip(lengths, *settings, strict=True)
        return Axis(*rows, self.ceil_mode), Axis(*columns, self.ceil_mode)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the result; 0 where no window fits."""
        rows, columns = self.axes
        return rows.size, columns.size

    @cached_property
    def padded(self) -> Nested:
        """The channels with their padding; None where a last window hangs over beyond it."""
        overhang = [
            max(0, (axis.size - 1) * axis.stride + axis.span - axis.padded) for axis in self.axes
        ]
        return [
            _pad(channel, self.before, self.after, overhang, self.fill) for channel in self.channels
        ]

    def entries(self, feature_map: int, row: int, column: int) -> Nested:
        """What the window sees: one kh × kw matrix for each channel that it reads."""
        top, left = row * self.stride[0], column * self.stride[1]
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        rows = slice(top, top + dh * (kh - 1) + 1, dh)
        columns = slice(left, left + dw * (kw - 1) + 1, dw)
        padded = self.padded
        return [
            [line[columns] for line in padded[channel][rows]] for channel in self.reads[feature_map]
        ]

    def value(self, feature_map: int, row: int, column: int) -> Number:
        """The entry of the result at that place."""
        entries = self.entries(feature_map, row, column)
        if self.weights is not None:
            total = self.biases[feature_map]
            for weights, seen in zip(self.weights[feature_map], entries, strict=True):
                for pair in zip(weights, seen, strict=True):
                    total += sum(map(mul, *pair))
            return total
        counted = [entry for line in chain(*entries) for entry in line if entry is not None]
        if not counted:
            raise ValueError(
                f"the window at row {row + 1}, column {column + 1} meets only padding; "
                f"lower dilation {self.dilation} or padding {self.before}"
            )
        if self.reduce == "max":
            return max(counted)
        total = sum(counted)
        if self.reduce == "sum":
            return total
        return total / len(counted) if isinstance(total, float) else Fraction(total, len(counted))

    def places(self) -> Iterator[tuple[int, int, int]]:
        """Every (feature_map, row, column) of the result in reading order."""
        return product(range(len(self.reads)), range(self.size[0]), range(self.size[1]))


@dataclass(frozen=True, repr=False)
class Worked:
    """A worked calculation: its `result`, and in `windows` every product on the way.

    `convolve`, `cross_correlate`, `max_pool` and `avg_pool` make it. `operation` is the name of the
    calculation, `input` and `kernel` are as given (None: no kernel, in pooling), `groups` and
    `count_include_pad` as well; `plan` holds stride, padding and dilation. It shows itself as text
    and, in Jupyter, as Markdown with LaTeX; `at` gives one window.

    >>> worked = cross_correlate([[1, 2, 3], [4, 5, 6]], [[0, 1], [2, 3]])
    >>> worked.result, worked.at(0, 1).products
    ([[25, 31]], [[0, 3], [10, 18]])
    """

    operation: str  # "convolution", "cross-correlation", "max pooling" or "average pooling"
    plan: Plan
    input: Nested  # as given
    kernel: Nested | None  # as given, before any flip; None for pooling
    groups: int = 1
    count_include_pad: bool | None = None  # of average pooling

    @cached_property
    def result(self) -> Nested:
        """H′ × W′, or M × H′ × W′ for several filters or pooled channels."""
        values = [self.plan.value(*place) for place in self.plan.places()]
        return reshape(values, self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result."""
        maps = (len(self.plan.reads),) if self._has_maps else ()
        return (*maps, *self.plan.size)

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """Every window in reading order, with its products; made when first asked for."""
        return tuple(self._window(*place) for place in self.plan.places())

    def at(self, *position: int) -> Window:
        """The window of one entry of the result, counted from 0 as in `result[row][column]`.

        `position` is row and column, of several maps (map, row, column). Raises ValueError where
        the result has no such entry.

        >>> max_pool([[1, 5], [2, 0]], 2).at(0, 0).value
        5
        """
        inside = len(position) == len(self.shape) and all(
            0 <= index < length for index, length in zip(position, self.shape, strict=True)
        )
        if not inside:
            last = tuple(length - 1 for length in self.shape)
            raise ValueError(f"the result has no entry {position}; the last one is {last}")
        return self._window(*position) if self._has_maps else self._window(0, *position)

    @property
    def _has_maps(self) -> bool:
        """Whether the result has an axis of filters or channels."""
        if self.kernel is None:
            return _depth(self.input) == 3
        return _depth(self.kernel) == 4

    @property
    def padded(self) -> Nested:
        """The input with its padding, as the windows see it; None where nothing counts."""
        return self.plan.padded if _depth(self.input) == 3 else self.plan.padded[0]

    def _window(self, feature_map: int, row: int, column: int) -> Window:
        plan = self.plan
        entries = plan.entries(feature_map, row, column)
        several = _depth(self.input) == 3 and plan.weights is not None
        corner = row * plan.stride[0] - plan.before[0], column * plan.stride[1] - plan.before[1]
        position = (feature_map, row, column) if self._has_maps else (row, column)
        value = plan.value(feature_map, row, column)
        if plan.weights is None:
            counted = sum(entry is not None for line in entries[0] for entry in line)
            divisor = counted if plan.reduce == "mean" else None
            return Window(position, corner, entries[0], value, divisor=divisor)
        weights = plan.weights[feature_map]
        products = [
            [[w * e for w, e in zip(*lines, strict=True)] for lines in zip(*pair, strict=True)]
            for pair in zip(weights, entries, strict=True)
        ]
        parts = (entries, weights, products)
        entries, weights, products = parts if several else (part[0] for part in parts)
        return Window(position, corner, entries, value, weights, products, plan.biases[feature_map])


def cross_correlate(
    x,
    kernel,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    bias=0,
) -> Worked:
    """y[r, c] = b + Σ w[i, j] · x[s·r + d·i − p, s·c + d·j − p]: the kernel as it is.

    This is what deep-learning libraries call convolution (`torch.nn.functional.conv2d`; Goodfellow,
    Bengio & Courville 2016, equation 9.6).

    Shapes: `x` H × W with `kernel` kh × kw, or `x` C × H × W with one filter C × kh × kw, both to
    H′ × W′; or `x` C × H × W with O filters O × C × kh × kw to O × H′ × W′ (`bias` may then be a
    list of O numbers). `stride` s and `dilation` d are one number or a pair (rows, columns).
    `padding` p is with zeros, in the forms of `output_size`. With `groups` g the channels and the
    filters are cut into g parts, and filters of O × C/g × kh × kw read the channels of their own
    part alone.

    Returns a `Worked`: its `result` are nested lists. Whole numbers and fractions stay exact.
    Raises ValueError where shapes do not fit.

    >>> cross_correlate([[1, 2, 3], [4, 5, 6]], [[0, 1], [2, 3]]).result
    [[25, 31]]
    """
    return _weighted("cross-correlation", x, kernel, stride, padding, dilation, groups, bias)


def convolve(
    x,
    kernel,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    bias=0,
) -> Worked:
    """The convolution of mathematics: `cross_correlate` with the kernel turned by 180°.

    Rows and columns of the `kernel` are flipped, channels are not (Goodfellow, Bengio & Courville
    2016, equation 9.4). Shapes of `x` and `kernel`, and `stride`, `padding`, `dilation`, `groups`
    and `bias`, are as in `cross_correlate`.

    >>> convolve([[1, 2, 3], [4, 5, 6]], [[0, 1], [2, 3]]).result
    [[11, 17]]
    >>> image = [[2, 1, 2, 3, 1], [3, 9, 1, 1, 4], [4, 5, 0, 7, 0]]
    >>> sobel = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    >>> convolve(image, sobel, padding=1).result
    [[-11, 2, 4, -1, 7], [-24, 8, 12, -5, 12], [-19, 10, 4, -3, 15]]
    """
    return _weighted("convolution", x, kernel, stride, padding, dilation, groups, bias)


def max_pool(
    x,
    kernel: Size,
    *,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Worked:
    """The largest entry of each window; the stride is the kernel's size unless given.

    `x` is H × W, or C × H × W and pooled channel by channel, to H′ × W′ as `output_size` gives
    them. `kernel` is the size of the window; it, `stride`, `padding` and `dilation` are one number
    or a pair (rows, columns). Padding never wins, so its entries are None (`torch.nn.MaxPool2d`
    pads with −∞). `ceil_mode` lets a last window hang over the edge.

    >>> max_pool([[1, 2, 0, 4], [3, 0, 5, 1]], 2).result
    [[3, 5]]
    """
    return _pooled("max pooling", x, kernel, stride, padding, dilation, ceil_mode, None, "max")


def avg_pool(
    x,
    kernel: Size,
    *,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Worked:
    """The mean of each window, as a Fraction where the entries are exact.

    `x`, `kernel`, `stride`, `padding` and `ceil_mode` are as in `max_pool`. The zeros of the
    padding count among the entries unless `count_include_pad` is False. What hangs over the padded
    edge (`ceil_mode`) never counts (`torch.nn.AvgPool2d`).

    >>> avg_pool([[1, 2, 0, 4], [3, 0, 5, 1]], 2).result
    [[Fraction(3, 2), Fraction(5, 2)]]
    >>> avg_pool([[6]], 2, padding=1, stride=1, count_include_pad=False).result[0][0] == 6
    True
    """
    include = bool(count_include_pad)
    return _pooled("average pooling", x, kernel, stride, padding, 1, ceil_mode, include, "mean")


def _weighted(operation, x, kernel, stride, padding, dilation, groups, bias) -> Worked:
    """Convolution and cross-correlation: every window is multiplied with the weights and summed."""
    x, x_shape = to_lists(x, "x", axes=(2, 3))
    kernel, kernel_shape = to_lists(kernel, "kernel", axes=(2, 3, 4))
    groups = _checked_groups(groups, x_shape, kernel_shape)
    has_channels = len(x_shape) == 3
    several = len(kernel_shape) == 4
    filters = kernel if several else [kernel if has_channels else [kernel]]  # (O, C/groups, kh, kw)
    if operation == "convolution":
        weights = [[[row[::-1] for row in part[::-1]] for part in filter] for filter in filters]
    else:
        weights = filters

    size = kernel_shape[-2:]
    stride = whole_pair(stride, "stride", at_least=1)
    dilation = whole_pair(dilation, "dilation", at_least=1)
    before, after = zip(*sides(padding, size, stride, dilation), strict=True)
    per_group = len(filters) // groups
    width = len(filters[0])
    plan = Plan(
        channels=x if has_channels else [x],
        reads=tuple(
            tuple(range(first, first + width))
            for first in (number // per_group * width for number in range(len(filters)))
        ),
        kernel=size,
        stride=stride,
        before=before,
        after=after,
        dilation=dilation,
        weights=weights,
        biases=tuple(_biases(bias, len(filters), several)),
    )
    for axis in plan.axes:
        axis.checked_size()
    return Worked(operation, plan, x, kernel, groups)


def _pooled(
    operation, x, kernel, stride, padding, dilation, ceil_mode, count_include_pad, reduce
) -> Worked:
    x, x_shape = to_lists(x, "x", axes=(2, 3))
    channels = x if len(x_shape) == 3 else [x]  # (C, H, W)
    kernel = whole_pair(kernel, "kernel", at_least=1)
    stride = kernel if stride is None else whole_pair(stride, "stride", at_least=1)
    dilation = whole_pair(dilation, "dilation", at_least=1)
    padding = sides(padding, kernel, stride, dilation)
    before, after = zip(*padding, strict=True)
    plan = Plan(
        channels=channels,
        reads=tuple((channel,) for channel in range(len(channels))),
        kernel=kernel,
        stride=stride,
        before=before,
        after=after,
        dilation=dilation,
        fill=0 if count_include_pad else None,
        ceil_mode=bool(ceil_mode),
        reduce=reduce,
    )
    for axis in plan.axes:
        axis.checked_size()
    check_pool_padding(kernel, padding)
    worked = Worked(operation, plan, x, None, count_include_pad=count_include_pad)
    if dilation != (1, 1):
        worked.result  # noqa: B018 - a window that meets padding alone is an error here, not later
    return worked


def _pad(channel: Nested, before, after, overhang, fill) -> Nested:
    """One channel with its padding around it, and None beyond it where a last window hangs over.

    Padding below 0 cuts off.
    """
    (top, left), (bottom, right) = before, after
    rows = [row[max(0, -left) : max(0, len(row) + min(0, right))] for row in channel]
    rows = rows[max(0, -top) : max(0, len(rows) + min(0, bottom))]
    if not rows or not rows[0]:
        raise ValueError("padding below 0 cuts the whole input off")
    edge = fill == "edge"
    beyond = [None] * overhang[1]
    padded = []
    for row in rows:
        first, last = (row[0], row[-1]) if edge else (fill, fill)
        padded.append([first] * left + row + [last] * right + beyond)
    width = len(rows[0]) + max(0, left) + max(0, right)
    above = padded[0] if edge else [fill] * width + beyond
    below = padded[-1] if edge else above
    nothing = [None] * (width + overhang[1])
    return [above] * top + padded + [below] * bottom + [nothing] * overhang[0]


def _depth(nested) -> int:
    depth = 0
    while isinstance(nested, list):
        nested, depth = nested[0], depth + 1
    return depth


def reshape(values: list[Number], shape: tuple[int, ...]) -> Nested | Number:
    """A flat list in reading order as nested lists of the given shape; the one value for ().

    >>> reshape([1, 2, 3, 4], (2, 2)), reshape([5], ())
    ([[1, 2], [3, 4]], 5)
    """
    if not shape:
        return values[0]
    for length in reversed(shape[1:]):
        values = [values[start : start + length] for start in range(0, len(values), length)]
    return values


def _checked_groups(groups, x_shape: tuple[int, ...], kernel_shape: tuple[int, ...]) -> int:
    """`groups`, once channels and filters are found to fit each other and it."""
    groups = whole(groups, "groups", at_least=1)
    if len(x_shape) == 2 and len(kernel_shape) != 2:
        raise ValueError(
            f"kernel has shape {by(kernel_shape)} but x is {by(x_shape)}; "
            "give a kernel kh×kw, or x as C×H×W"
        )
    channels = x_shape[0] if len(x_shape) == 3 else 1
    filters = kernel_shape[0] if len(kernel_shape) == 4 else 1
    for number, name in ((channels, "channels"), (filters, "filters")):
        if number % groups:
            raise ValueError(
                f"groups {groups} does not divide the {number} {name}; "
                f"choose a number that divides {channels} channels and {filters} filters"
            )
    if len(x_shape) == 3:
        if len(kernel_shape) == 2:
            raise ValueError(
                f"kernel has shape {by(kernel_shape)} but x is {by(x_shape)}; "
                f"give a kernel with {channels // groups} channels, C×kh×kw"
            )
        if kernel_shape[-3] != channels // groups:
            wanted = "both the same number" if groups == 1 else f"it {channels // groups}"
            of = "" if groups == 1 else f" in {groups} groups"
            raise ValueError(
                f"kernel has {kernel_shape[-3]} channels but x has {channels}{of}; give {wanted}"
            )
    return groups


def _biases(bias, num_filters: int, several: bool) -> list[Number]:
    if hasattr(bias, "tolist"):
        bias = bias.tolist()
    if not isinstance(bias, list | tuple):
        return [to_number(bias, "bias")] * num_filters
    if not several or len(bias) != num_filters:
        raise ValueError(
            f"bias has {len(bias)} entries for {num_filters} filter(s); "
            "give one number, or one per filter"
        )
    return [to_number(value, f"bias[{index}]") for index, value in enumerate(bias)]


def to_lists(values, name: str, *, axes: tuple[int, ...]) -> tuple[Nested, tuple[int, ...]]:
    """`values` as nested lists of numbers, and their shape; `axes` says how deep they may be.

    >>> to_lists(((1, 2), (3, 4.5)), "x", axes=(2,))
    ([[1, 2], [3, 4.5]], (2, 2))
    """
    nested, shape = _parse(values, name)
    if len(shape) not in axes:
        forms = {1: "N", 2: "H×W", 3: "C×H×W", 4: "O×C×H×W"}
        found = f"has shape {by(shape)}" if shape else f"is the single number {shown(nested)}"
        raise ValueError(
            f"{name} {found}; give nested lists of shape {' or '.join(forms[n] for n in axes)}"
        )
    return nested, shape


def _parse(values, name: str, depth: int = 0) -> tuple[Nested | Number, tuple[int, ...]]:
    if hasattr(values, "tolist"):
        values = values.tolist()
    if not isinstance(values, list | tuple | range):
        return to_number(values, name), ()
    if depth == MAX_AXES:
        raise ValueError(f"{name} is nested more than {MAX_AXES} deep; remove the outer brackets")
    if len(values) == 0:
        raise ValueError(f"{name} is empty; give it at least one number")
    parts, shapes = zip(
        *(_parse(value, f"{name}[{index}]", depth + 1) for index, value in enumerate(values)),
        strict=True,
    )
    for index, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(
                f"{name} is ragged: {name}[{index}] has {_extent(shape)} where {name}[0] has "
                f"{_extent(shapes[0])}; give all of them the same length"
            )
    return list(parts), (len(parts), *shapes[0])


def to_number(value, name: str) -> Number:
    """An int, a Fraction or a finite float."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}; replace it by a finite number")
    if isinstance(value, int | Fraction | float):
        return value
    raise ValueError(
        f"{name} is {shown(value)}, which is no number; give an integer, a fraction or a float"
    )


def _extent(shape: tuple[int, ...]) -> str:
    if not shape:
        return "a single number"
    return f"{shape[0]} entries" if len(shape) == 1 else f"shape {by(shape)}"


def by(shape: tuple[int, ...]) -> str:
    """A shape as people write it.

    >>> by((3, 32, 32))
    '3×32×32'
    """
    return "×".join(f"{length:,}" for length in shape)


def flat(nested: Nested | Number) -> Iterator[Number]:
    """The numbers of nested lists in reading order.

    >>> list(flat([[1, 2], [3, 4]]))
    [1, 2, 3, 4]
    """
    if isinstance(nested, list | tuple):
        for part in nested:
            yield from flat(part)
    else:
        yield nested
