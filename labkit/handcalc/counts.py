"""Calculations about a network: its parameters, receptive fields, and what a convolution saves.

Each has a `.result` and a `.working`, the way to it line by line.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from labkit.handcalc.layers import (
    ONE_ENTRY,
    AxisWindow,
    Conv2d,
    ConvTranspose2d,
    Layer,
    SeesAll,
    Shape,
    follow,
    steps,
    then,
)
from labkit.handcalc.network import derivation, num_parameters
from labkit.handcalc.shapes import Size, whole_pair

MOST_SUMMANDS = 8  # that stand on a line


@dataclass(frozen=True)
class ParameterCount:
    r"""The weights and biases of one layer or of several `layers` together.

    With `input_shape` (of one example, C × H × W) layers that do not fit raise a ValueError.

    >>> from labkit.handcalc import Linear
    >>> count = ParameterCount((Linear(64, 10), Linear(10, 2)))
    >>> count.result
    672
    >>> print(*count.working, sep="\n")
    10·64 + 10 = 650
    2·10 + 2 = 22
    650 + 22 = 672
    """

    layers: tuple[Layer, ...]
    input_shape: Shape | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", _as_layers(self.layers))
        if self.input_shape is not None:
            object.__setattr__(self, "input_shape", tuple(self.input_shape))
            for _ in follow(steps(self.layers), self.input_shape):
                pass  # every layer fits

    @property
    def result(self) -> int:
        """How many weights and biases there are."""
        return num_parameters(self.layers)

    @property
    def working(self) -> tuple[str, ...]:
        """A line for every layer with parameters, and their sum; of many, equal ones together."""
        # the steps, so that a residual block shows its layers
        learning = [step.layer for step in steps(self.layers) if step.layer.num_parameters()]
        if not learning:
            return ("no layer has parameters",)
        each = [(derivation(layer), layer.num_parameters()) for layer in learning]
        together = Counter(each).items() if len(each) > MOST_SUMMANDS else ((it, 1) for it in each)
        working, summands = [], []
        for (line, number), times in together:
            working.append(line if times == 1 else f"{line}, {times} times")
            summands.append(f"{number:,}" if times == 1 else f"{times}·{number:,}")
        if len(each) > 1:
            working.append(f"{' + '.join(summands)} = {self.result:,}")
        return tuple(working)


@dataclass(frozen=True)
class ReceptiveField:
    r"""How much of the input one output sees, after each of `layers` that has a window.

    The result is a list of lengths in entries of the input, or of pairs (rows, columns) where the
    two differ. Layers that act entry by entry are left out, and so is all from the first layer on
    that sees the whole map (`Flatten`, global pooling). `layer_table` has the source, and what
    holds for residual blocks and transposed convolutions.

    >>> from labkit.handcalc import Conv2d, MaxPool2d
    >>> field = ReceptiveField((Conv2d(3, 32, 5, padding=2), MaxPool2d(2)))
    >>> field.result
    [5, 6]
    >>> print(*field.working, sep="\n")
    r = r′ + (k − 1)·j′, jump j = j′·s; r′ = j′ = 1 before the first layer
    r = 1 + (5 − 1)·1 = 5, jump 1·1 = 1
    r = 5 + (2 − 1)·1 = 6, jump 1·2 = 2
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", _as_layers(self.layers))

    @property
    def result(self) -> list[int] | list[tuple[int, int]]:
        """The receptive field after each layer with a window, in entries of the input."""
        pairs = [
            (math.ceil(rows.span), math.ceil(columns.span)) for _, _, (rows, columns) in self._way()
        ]
        if all(rows == columns for rows, columns in pairs):
            return [rows for rows, _ in pairs]
        return pairs

    @property
    def working(self) -> tuple[str, ...]:
        """The relation, and a line for every layer; two where rows and columns differ."""
        way = self._way()
        if not way:
            return ("no layer has a window: r = 1",)
        dilated = any(max(_dilation(layer)) > 1 for layer, _, _ in way)
        added = "d·(k − 1)·j′" if dilated else "(k − 1)·j′"
        lines = [f"r = r′ + {added}, jump j = j′·s; r′ = j′ = 1 before the first layer"]
        for layer, before, after in way:
            rows, columns = (_step_line(layer, axis, before[axis], after[axis]) for axis in (0, 1))
            lines += [rows] if rows == columns else [f"rows: {rows}", f"columns: {columns}"]
        return tuple(lines)

    def _way(self) -> list[tuple[Layer, tuple, tuple]]:
        """(layer, what is seen of the input before it, and after it) for each with a window."""
        seen, found = ONE_ENTRY, []
        for layer in self.layers:
            if isinstance(layer, SeesAll):
                break
            windows = layer.window()
            if windows is not None:
                found.append((layer, seen, then(seen, windows)))
                seen = found[-1][-1]
        return found


def _step_line(layer: Layer, axis: int, before: AxisWindow, after: AxisWindow) -> str:
    """What the layer adds along an axis (0: rows, 1: columns), in numbers."""
    window, d = layer.window()[axis], _dilation(layer)[axis]
    k, times_stride = f"{(window.span - 1) // d + 1}", f"·{_number(window.stride)}"
    if isinstance(layer, ConvTranspose2d):
        kernel, stride = (_pair(size)[axis] for size in (layer.kernel, layer.stride))
        k = f"⌈{kernel}/{stride}⌉" if _pair(layer.dilation)[axis] == 1 else k
        times_stride = f"/{stride}"
    jump = _number(before.stride)
    added = f"({k} − 1)·{jump}" if d == 1 else f"{d}·({k} − 1)·{jump}"
    field = f"r = {_number(before.span)} + {added} = {after.span}"
    if after.span != math.ceil(after.span):
        field += f", at most {math.ceil(after.span)} entries"
    return f"{field}, jump {jump}{times_stride} = {after.stride}"


def _dilation(layer: Layer) -> tuple[int, int]:
    # of a transposed convolution the dilation does not simply multiply; its span is shown
    transposed = isinstance(layer, ConvTranspose2d)
    return (1, 1) if transposed else _pair(getattr(layer, "dilation", 1))


def _pair(size: Size) -> tuple[int, int]:
    return whole_pair(size, "size", at_least=1)


def _number(number: int | Fraction) -> str:
    return str(number) if number == int(number) else f"({number})"


@dataclass(frozen=True)
class FullyConnectedEquivalent:
    r"""The weights of a fully connected layer in the place of a convolution, without biases.

    Between the same input x × y × z and output x′ × y′ × z′ it has x·y·z·x′·y′·z′ of them. `layer`
    is the convolution, `input_shape` is (C, H, W); ValueError where the two do not fit.

    >>> equivalent = FullyConnectedEquivalent(Conv2d(3, 1, 128), (3, 256, 256))
    >>> print(*equivalent.working, sep="\n")
    weights = x·y·z · x′·y′·z′
    weights = 256·256·3 · 129·129·1 = 196,608 · 16,641 = 3,271,753,728
    convolution = 1·(3·128·128) + 1 = 49,153
    """

    layer: Conv2d
    input_shape: Shape

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", tuple(self.input_shape))
        self.layer.output_shape(self.input_shape)  # it must fit

    @property
    def result(self) -> int:
        """How many weights the fully connected layer has."""
        return math.prod(self.input_shape) * math.prod(self.layer.output_shape(self.input_shape))

    @property
    def working(self) -> tuple[str, ...]:
        """The relation, the numbers put into it, and what the convolution has: a line each."""
        inputs, outputs = self.input_shape, self.layer.output_shape(self.input_shape)
        products = " · ".join(
            f"{height:,}·{width:,}·{channels:,}" for channels, height, width in (inputs, outputs)
        )
        factors = f"{math.prod(inputs):,} · {math.prod(outputs):,}"
        return (
            "weights = x·y·z · x′·y′·z′",
            f"weights = {products} = {factors} = {self.result:,}",
            f"convolution = {derivation(self.layer)}",
        )


def _as_layers(layers: Layer | Iterable[Layer]) -> tuple[Layer, ...]:
    return (layers,) if isinstance(layers, Layer) else tuple(layers)
