"""The layer table of a network: output sizes and parameters, each with its derivation.

Layers take the arguments of their PyTorch namesakes in the same order, so that a network can be
copied from the code of a model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from labkit.handcalc.shapes import Size, check_pool_padding, output_size, whole, whole_pair
from labkit.handcalc.windows import by

Shape = tuple[int, ...]  # of one example: (C, H, W), or (N,) once flattened


class Layer:
    """One layer: what it does to a shape, and how its parameters are counted."""

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of its output for one example of the given shape."""
        return shape

    def counted(self) -> str:
        """The count of its parameters as a product and a sum; empty where it has none."""
        return ""

    def num_parameters(self) -> int:
        """How many numbers it learns."""
        return 0


@dataclass(frozen=True)
class Conv2d(Layer):
    """O filters of C/groups × kh × kw weights: O·(C/groups·kh·kw) weights and O biases.

    >>> Conv2d(3, 32, 5, padding=2).counted()
    '32·(3·5·5) + 32'
    """

    in_channels: int
    out_channels: int
    kernel: Size
    stride: Size = 1
    padding: Size = 0
    dilation: Size = 1
    groups: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        for name in ("in_channels", "out_channels", "groups"):
            whole(getattr(self, name), name, at_least=1)
        whole_pair(self.kernel, "kernel", at_least=1)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"{name} {getattr(self, name)} is not a multiple of groups {self.groups}; "
                    "choose groups that divide both numbers of channels"
                )

    def __str__(self) -> str:
        return f"{by(_pair(self.kernel))} convolution, {self.out_channels} filters" + _settings(
            self, stride=1, padding=0, dilation=1, groups=1, bias=True
        )

    def output_shape(self, shape: Shape) -> Shape:
        _expect(shape, channels=self.in_channels)
        size = output_size(
            shape[1:],
            self.kernel,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )
        return (self.out_channels, *size)

    def counted(self) -> str:
        rows, columns = _pair(self.kernel)
        inputs = (
            f"{self.in_channels:,}"
            if self.groups == 1
            else (f"{self.in_channels:,}/{self.groups:,}")
        )
        biases = f" + {self.out_channels:,}" if self.bias else ""
        return f"{self.out_channels:,}·({inputs}·{rows}·{columns}){biases}"

    def num_parameters(self) -> int:
        weights = self.in_channels // self.groups * math.prod(_pair(self.kernel))
        return self.out_channels * (weights + bool(self.bias))


@dataclass(frozen=True)
class Linear(Layer):
    """A fully connected layer: out·in weights and `out` biases.

    >>> Linear(64, 10).counted()
    '10·64 + 10'
    """

    in_features: int
    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        for name in ("in_features", "out_features"):
            whole(getattr(self, name), name, at_least=1)

    def __str__(self) -> str:
        return f"fully connected, {self.out_features:,} units" + _settings(self, bias=True)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(f"a fully connected layer gets {by(shape)}; put Flatten() before it")
        if shape[0] != self.in_features:
            raise ValueError(
                f"in_features {self.in_features} does not fit the {shape[0]} inputs; "
                f"make it {shape[0]}"
            )
        return (self.out_features,)

    def counted(self) -> str:
        biases = f" + {self.out_features:,}" if self.bias else ""
        return f"{self.out_features:,}·{self.in_features:,}{biases}"

    def num_parameters(self) -> int:
        return self.out_features * (self.in_features + bool(self.bias))


@dataclass(frozen=True)
class BatchNorm2d(Layer):
    """Batch normalisation: a scale γ and a shift β per channel (its statistics are not learnt)."""

    num_features: int

    def __str__(self) -> str:
        return "batch normalisation"

    def output_shape(self, shape: Shape) -> Shape:
        _expect(shape, channels=self.num_features, name="num_features")
        return shape

    def counted(self) -> str:
        return f"2·{self.num_features:,}"

    def num_parameters(self) -> int:
        return 2 * self.num_features


class _Pool2d(Layer):
    """What max and average pooling share."""

    name: ClassVar[str]

    def __str__(self) -> str:
        return f"{by(_pair(self.kernel))} {self.name}, stride {_size(self._stride)}" + _settings(
            self, padding=0, dilation=1, ceil_mode=False
        )

    @property
    def _stride(self) -> Size:
        return self.kernel if self.stride is None else self.stride

    def output_shape(self, shape: Shape) -> Shape:
        _expect(shape)
        size = output_size(
            shape[1:],
            self.kernel,
            stride=self._stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )
        check_pool_padding(self.kernel, self.padding)
        return (shape[0], *size)


@dataclass(frozen=True)
class MaxPool2d(_Pool2d):
    """Max pooling; it learns nothing."""

    name: ClassVar[str] = "max pooling"
    kernel: Size
    stride: Size | None = None  # the kernel's size unless given
    padding: Size = 0
    dilation: Size = 1
    ceil_mode: bool = False


@dataclass(frozen=True)
class AvgPool2d(_Pool2d):
    """Average pooling; it learns nothing."""

    name: ClassVar[str] = "average pooling"
    dilation: ClassVar[int] = 1
    kernel: Size
    stride: Size | None = None  # the kernel's size unless given
    padding: Size = 0
    ceil_mode: bool = False


@dataclass(frozen=True)
class ReLU(Layer):
    """max(0, x), entry by entry."""

    def __str__(self) -> str:
        return "ReLU"


@dataclass(frozen=True)
class Sigmoid(Layer):
    """1/(1 + e⁻ˣ), entry by entry."""

    def __str__(self) -> str:
        return "sigmoid"


@dataclass(frozen=True)
class Flatten(Layer):
    """C × H × W to one axis of C·H·W."""

    def __str__(self) -> str:
        return "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


@dataclass(frozen=True)
class Row:
    """One line of a layer table."""

    layer: str
    input_shape: Shape
    output_shape: Shape
    num_parameters: int
    derivation: str  # of the parameters; empty where there are none


@dataclass(frozen=True, repr=False)
class LayerTable:
    """The layers of a network in order, for one input shape. Shows itself (see `render.py`)."""

    input_shape: Shape
    rows: tuple[Row, ...]

    @property
    def num_parameters(self) -> int:
        """The parameters of all layers together."""
        return sum(row.num_parameters for row in self.rows)

    @property
    def output_shape(self) -> Shape:
        """The shape that leaves the last layer."""
        return self.rows[-1].output_shape

    def records(self) -> list[dict[str, str]]:
        """The table with its total as dictionaries of text, e.g. for `pandas.DataFrame`."""
        lines = [
            {
                "layer": row.layer,
                "output": by(row.output_shape),
                "weights + biases": row.derivation.partition(" = ")[0],
                "parameters": f"{row.num_parameters:,}",
            }
            for row in self.rows
        ]
        total = f"{self.num_parameters:,}"
        return [
            *lines,
            {"layer": "total", "output": "", "weights + biases": "", "parameters": total},
        ]


def layer_table(layers: Iterable[Layer], input_shape: Shape) -> LayerTable:
    """Follow one example of `input_shape` through the layers.

    >>> network = [Conv2d(3, 32, 5, padding=2), ReLU(), MaxPool2d(2), Flatten(), Linear(8192, 10)]
    >>> table = layer_table(network, (3, 32, 32))
    >>> [row.output_shape for row in table.rows]
    [(32, 32, 32), (32, 32, 32), (32, 16, 16), (8192,), (10,)]
    >>> table.rows[0].derivation, table.num_parameters
    ('32·(3·5·5) + 32 = 2,432', 84362)
    """
    shape = tuple(whole(length, "input_shape", at_least=1) for length in input_shape)
    input_shape = shape
    rows = []
    for number, layer in enumerate(layers, start=1):
        try:
            after = layer.output_shape(shape)
        except ValueError as error:
            raise ValueError(f"layer {number} ({layer}): {error}") from None
        rows.append(Row(str(layer), shape, after, layer.num_parameters(), derivation(layer)))
        shape = after
    if not rows:
        raise ValueError("the network has no layers; give at least one")
    return LayerTable(input_shape, tuple(rows))


def num_parameters(layers: Layer | Iterable[Layer]) -> int:
    """The number of weights and biases of one layer, or of several together.

    >>> num_parameters(Conv2d(3, 32, 5))
    2432
    >>> num_parameters([Linear(2048, 64), Linear(64, 10)])
    131786
    """
    layers = [layers] if isinstance(layers, Layer) else layers
    return sum(layer.num_parameters() for layer in layers)


def derivation(layer: Layer) -> str:
    """How `num_parameters` comes about; empty for a layer without parameters.

    >>> derivation(Conv2d(3, 32, 5))
    '32·(3·5·5) + 32 = 2,432'
    """
    return f"{layer.counted()} = {layer.num_parameters():,}" if layer.counted() else ""


def _expect(shape: Shape, channels: int | None = None, name: str = "in_channels") -> None:
    if len(shape) != 3:
        raise ValueError(f"it needs C×H×W but gets {by(shape)}; put it before Flatten()")
    if channels is not None and shape[0] != channels:
        raise ValueError(
            f"{name} {channels} does not fit the {shape[0]} channels; make it {shape[0]}"
        )


def _pair(value: Size) -> tuple[int, int]:
    return whole_pair(value, "size", at_least=0)


def _size(value: Size) -> str:
    rows, columns = _pair(value)
    return str(rows) if rows == columns else by((rows, columns))


def _settings(layer: Layer, **defaults) -> str:
    """The settings that differ from their defaults, e.g. ', padding 2, no bias'."""
    parts = []
    for name, default in defaults.items():
        value = getattr(layer, name)
        if value == default:
            continue
        if isinstance(default, bool):
            parts.append(f"no {name}" if default else name.replace("_", " "))
        else:
            parts.append(f"{name} {_size(value)}")
    return "".join(f", {part}" for part in parts)
