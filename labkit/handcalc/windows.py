"""A convolution or a pooling, window by window: the result, and every product on the way.

Arithmetic is exact on integers and fractions and ordinary on floats. Inputs are nested lists,
NumPy arrays or tensors (anything with `tolist`); outputs are nested lists.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, product

from labkit.handcalc.shapes import Size, check_pool_padding, output_size, shown, whole_pair

Number = int | Fraction | float
Nested = list  # of Numbers, or of lists nested one level less

MAX_AXES = 4  # filters × channels × rows × columns


@dataclass(frozen=True, repr=False)
class Window:
    """One placement of the window, and how its value comes about.

    `entries`, `weights` and `products` have the shape of the kernel: kh × kw, or C × kh × kw. An
    entry None is left out of the value: it lies in padding that does not count.
    """

    position: tuple[int, ...]  # index into the result, from 0
    corner: tuple[int, int]  # (row, column) of the first entry in the input; below 0 in padding
    entries: Nested
    value: Number
    weights: Nested | None = None  # of a convolution, as they lie on the entries (flipped or not)
    products: Nested | None = None  # weight · entry
    bias: Number = 0
    divisor: int | None = None  # of an average: how many entries count


@dataclass(frozen=True, repr=False)
class Worked:
    """A worked calculation: its result, its windows in reading order, and the relation used.

    It shows itself as text and, in Jupyter, as Markdown with LaTeX (see `render.py`).
    """

    operation: str  # "convolution", "cross-correlation", "max pooling" or "average pooling"
    result: Nested
    windows: tuple[Window, ...]
    input: Nested
    padded: Nested  # the input with its padding, as the windows see it; None where nothing counts
    kernel: Nested | None  # as given, before any flip; None for pooling
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    ceil_mode: bool = False
    count_include_pad: bool | None = None  # of average pooling

    def at(self, *position: int) -> Window:
        """The window of one entry of the result, counted from 0 as in `result[row][column]`.

        >>> max_pool([[1, 5], [2, 0]], 2).at(0, 0).value
        5
        """
        for window in self.windows:
            if window.position == position:
                return window
        last = self.windows[-1].position
        raise ValueError(f"the result has no entry {position}; the last one is {last}")


def cross_correlate(
    x,
    kernel,
    *,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    bias=0,
) -> Worked:
    """y[r, c] = b + Σ w[i, j] · x[s·r + d·i − p, s·c + d·j − p]: the kernel as it is.

    This is what deep-learning libraries call convolution (`torch.nn.functional.conv2d`;
    Goodfellow, Bengio & Courville 2016, equation 9.6).

    Shapes: `x` H × W with `kernel` kh × kw, or `x` C × H × W with one filter C × kh × kw, both to
    H′ × W′; or `x` C × H × W with O filters O × C × kh × kw to O × H′ × W′ (`bias` may then be a
    list of O numbers). Padding is with zeros.

    >>> cross_correlate([[1, 2, 3], [4, 5, 6]], [[0, 1], [2, 3]]).result
    [[25, 31]]
    """
    return _weighted("cross-correlation", x, kernel, stride, padding, dilation, bias)


def convolve(
    x,
    kernel,
    *,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    bias=0,
) -> Worked:
    """The convolution of mathematics: `cross_correlate` with the kernel turned by 180°.

    Rows and columns of the kernel are flipped, channels are not (Goodfellow, Bengio & Courville
    2016, equation 9.4). Shapes as in `cross_correlate`.

    >>> convolve([[1, 2, 3], [4, 5, 6]], [[0, 1], [2, 3]]).result
    [[11, 17]]
    >>> image = [[2, 1, 2, 3, 1], [3, 9, 1, 1, 4], [4, 5, 0, 7, 0]]
    >>> sobel = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    >>> convolve(image, sobel, padding=1).result
    [[-11, 2, 4, -1, 7], [-24, 8, 12, -5, 12], [-19, 10, 4, -3, 15]]
    """
    return _weighted("convolution", x, kernel, stride, padding, dilation, bias)


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

    Padding never wins, so its entries are None (`torch.nn.MaxPool2d` pads with −∞).
    `x` is H × W, or C × H × W and pooled channel by channel.

    >>> max_pool([[1, 2, 0, 4], [3, 0, 5, 1]], 2).result
    [[3, 5]]
    """

    def largest(entries: list[Number]) -> tuple[Number, int | None]:
        return max(entries), None

    return _pooled("max pooling", x, kernel, stride, padding, dilation, ceil_mode, None, largest)


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

    The zeros of the padding count among the entries unless `count_include_pad` is False. What
    hangs over the padded edge (`ceil_mode`) never counts (`torch.nn.AvgPool2d`).
    `x` is H × W, or C × H × W and pooled channel by channel.

    >>> avg_pool([[1, 2, 0, 4], [3, 0, 5, 1]], 2).result
    [[Fraction(3, 2), Fraction(5, 2)]]
    >>> avg_pool([[6]], 2, padding=1, stride=1, count_include_pad=False).result[0][0] == 6
    True
    """

    def mean(entries: list[Number]) -> tuple[Number, int | None]:
        total = sum(entries)
        exact = not isinstance(total, float)
        return Fraction(total, len(entries)) if exact else total / len(entries), len(entries)

    return _pooled(
        "average pooling", x, kernel, stride, padding, 1, ceil_mode, bool(count_include_pad), mean
    )


def _weighted(operation, x, kernel, stride, padding, dilation, bias) -> Worked:
    """Convolution and cross-correlation: every window is multiplied with the weights and summed."""
    x, x_shape = to_lists(x, "x", axes=(2, 3))
    kernel, kernel_shape = to_lists(kernel, "kernel", axes=(2, 3, 4))
    _check_channels(x_shape, kernel_shape)
    has_channels = len(x_shape) == 3
    several = len(kernel_shape) == 4
    channels = x if has_channels else [x]  # (C, H, W)
    filters = kernel if several else [kernel if has_channels else [kernel]]  # (O, C, kh, kw)
    biases = _biases(bias, len(filters), several)

    kernel_size = kernel_shape[-2:]
    stride = whole_pair(stride, "stride", at_least=1)
    padding = whole_pair(padding, "padding", at_least=0)
    dilation = whole_pair(dilation, "dilation", at_least=1)
    size = output_size(x_shape[-2:], kernel_size, stride=stride, padding=padding, dilation=dilation)
    padded = [_pad(channel, padding, overhang=(0, 0), fill=0) for channel in channels]

    windows = []
    for index, (weights, b) in enumerate(zip(filters, biases, strict=True)):
        if operation == "convolution":
            weights = [[row[::-1] for row in channel[::-1]] for channel in weights]
        for row, column in product(range(size[0]), range(size[1])):
            corner = row * stride[0], column * stride[1]
            entries = [_cut(channel, corner, kernel_size, dilation) for channel in padded]
            products = [
                [[w * e for w, e in zip(*rows, strict=True)] for rows in zip(*pair, strict=True)]
                for pair in zip(weights, entries, strict=True)
            ]  # (C, kh, kw)
            total = sum(chain.from_iterable(chain.from_iterable(products))) + b
            windows.append(
                Window(
                    position=(index, row, column) if several else (row, column),
                    corner=(corner[0] - padding[0], corner[1] - padding[1]),
                    entries=entries if has_channels else entries[0],
                    weights=weights if has_channels else weights[0],
                    products=products if has_channels else products[0],
                    bias=b,
                    value=total,
                )
            )
    shape = (len(filters), *size) if several else size
    return Worked(
        operation=operation,
        result=_reshape([window.value for window in windows], shape),
        windows=tuple(windows),
        input=x,
        padded=padded if has_channels else padded[0],
        kernel=kernel,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )


def _pooled(
    operation,
    x,
    kernel,
    stride,
    padding,
    dilation,
    ceil_mode,
    count_include_pad,
    reduce: Callable[[list[Number]], tuple[Number, int | None]],
) -> Worked:
    """Pooling: `reduce` turns the entries that count into (value, divisor)."""
    x, x_shape = to_lists(x, "x", axes=(2, 3))
    has_channels = len(x_shape) == 3
    channels = x if has_channels else [x]  # (C, H, W)
    kernel = whole_pair(kernel, "kernel", at_least=1)
    stride = kernel if stride is None else whole_pair(stride, "stride", at_least=1)
    padding = whole_pair(padding, "padding", at_least=0)
    dilation = whole_pair(dilation, "dilation", at_least=1)
    check_pool_padding(kernel, padding)
    height, width = x_shape[-2:]
    size = output_size(
        (height, width),
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
    )
    overhang = tuple(
        max(0, (n - 1) * s + d * (k - 1) + 1 - length - 2 * p)
        for n, s, d, k, length, p in zip(
            size, stride, dilation, kernel, (height, width), padding, strict=True
        )
    )
    fill = 0 if count_include_pad else None
    padded = [_pad(channel, padding, overhang, fill) for channel in channels]

    windows = []
    for index, channel in enumerate(padded):
        for row, column in product(range(size[0]), range(size[1])):
            top, left = row * stride[0], column * stride[1]
            entries = _cut(channel, (top, left), kernel, dilation)
            counted = [entry for entry in chain.from_iterable(entries) if entry is not None]
            if not counted:
                raise ValueError(
                    f"the window at row {row + 1}, column {column + 1} meets only padding; "
                    f"lower dilation {dilation} or padding {padding}"
                )
            value, divisor = reduce(counted)
            windows.append(
                Window(
                    position=(index, row, column) if has_channels else (row, column),
                    corner=(top - padding[0], left - padding[1]),
                    entries=entries,
                    divisor=divisor,
                    value=value,
                )
            )
    return Worked(
        operation=operation,
        result=_reshape([window.value for window in windows], (*x_shape[:-2], *size)),
        windows=tuple(windows),
        input=x,
        padded=padded if has_channels else padded[0],
        kernel=None,
        kernel_size=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=bool(ceil_mode),
        count_include_pad=count_include_pad,
    )


def _pad(channel: Nested, padding, overhang, fill) -> Nested:
    """One channel with `fill` around it, and None beyond that where a last window hangs over."""
    width = len(channel[0]) + 2 * padding[1]
    beyond = [None] * overhang[1]
    side = [fill] * padding[1]
    edge = [[fill] * width + beyond for _ in range(padding[0])]
    middle = [side + row + side + beyond for row in channel]
    below = [[None] * (width + overhang[1]) for _ in range(overhang[0])]
    return edge + middle + edge + below


def _cut(channel: Nested, corner, kernel_size, dilation) -> Nested:
    """The kh × kw entries of a padded channel under the window whose first entry is at `corner`."""
    rows, columns = (
        slice(start, start + d * (k - 1) + 1, d)
        for start, k, d in zip(corner, kernel_size, dilation, strict=True)
    )
    return [row[columns] for row in channel[rows]]


def _reshape(values: list[Number], shape: tuple[int, ...]) -> Nested:
    """A flat list in reading order as nested lists of the given shape."""
    for length in reversed(shape[1:]):
        values = [values[start : start + length] for start in range(0, len(values), length)]
    return values


def _check_channels(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...]) -> None:
    if len(x_shape) == 2 and len(kernel_shape) != 2:
        raise ValueError(
            f"kernel has shape {by(kernel_shape)} but x is {by(x_shape)}; "
            "give a kernel kh×kw, or x as C×H×W"
        )
    if len(x_shape) == 3:
        if len(kernel_shape) == 2:
            raise ValueError(
                f"kernel has shape {by(kernel_shape)} but x is {by(x_shape)}; "
                f"give a kernel with {x_shape[0]} channels, C×kh×kw"
            )
        if kernel_shape[-3] != x_shape[0]:
            raise ValueError(
                f"kernel has {kernel_shape[-3]} channels but x has {x_shape[0]}; "
                "give both the same number"
            )


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
