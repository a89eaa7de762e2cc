"""The layers of a network: what each makes of a shape, what it learns, and what its outputs see.

Layers take the arguments of their PyTorch namesakes in the same order, so that a network can be
copied from the code of a model. Their repr can be read back: a Config keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, dataclass, field, fields
from fractions import Fraction
from functools import reduce
from typing import ClassVar, NamedTuple

from labkit.handcalc.shapes import (
    Padding,
    Size,
    check_pool_padding,
    output_size,
    sides,
    transposed_output_size,
    whole,
    whole_pair,
)
from labkit.handcalc.windows import by

Shape = tuple[int, ...]  # of one example: (C, H, W), or (N,) once flattened


class AxisWindow(NamedTuple):
    """What the outputs see along one axis of the input.

    An output sees `span` entries (the holes of a dilated kernel included), the next one those
    `stride` further on; what the first sees begins `padding` entries before the edge. Of a layer
    that is its kernel; of a whole network it is the receptive field, the jump (the cumulative
    stride) and the effective padding.

    >>> AxisWindow(5, 1, 2).then(AxisWindow(2, 2, 0))  # a convolution, and pooling behind it
    AxisWindow(span=6, stride=2, padding=2)
    """

    span: int | Fraction = 1
    stride: int | Fraction = 1
    padding: int | Fraction = 0

    def then(self, window: AxisWindow) -> AxisWindow:
        """Through this and then through `window`: r + (k − 1)·j, j·s and P + p·j.

        Source: Araujo, Norris & Sim (2019), Computing Receptive Fields of Convolutional Neural
        Networks, Distill, doi 10.23915/distill.00021.
        """
        return AxisWindow(
            _plain(self.span + (window.span - 1) * self.stride),
            _plain(self.stride * window.stride),
            _plain(self.padding + window.padding * self.stride),
        )

    def union(self, other: AxisWindow) -> AxisWindow:
        """What two paths see together, from the first begin to the last end.

        That is what the largest path sees, wherever the others lie inside it.

        >>> AxisWindow(5, 1, 2).union(AxisWindow(1, 1, 0))
        AxisWindow(span=5, stride=1, padding=2)
        """
        padding = max(self.padding, other.padding)
        end = max(self.span - self.padding, other.span - other.padding)
        return AxisWindow(padding + end, max(self.stride, other.stride), padding)


Windows = tuple[AxisWindow, AxisWindow]  # of the rows and of the columns
ONE_ENTRY: Windows = (AxisWindow(), AxisWindow())  # what is seen where there is no layer


def then(seen: Windows, windows: Windows) -> Windows:
    """`AxisWindow.then` for both axes."""
    return seen[0].then(windows[0]), seen[1].then(windows[1])


def union(one: Windows, other: Windows) -> Windows:
    """`AxisWindow.union` for both axes."""
    return one[0].union(other[0]), one[1].union(other[1])


@dataclass(frozen=True, repr=False)
class Layer:
    """One layer: what it makes of a shape, what it learns, and what its outputs see.

    Layers of one class with the same settings are equal. A subclass that adds settings is a
    dataclass itself; for one without the line would only cost time at import.
    """

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of its output for one example of the given shape."""
        return shape

    def window(self) -> Windows | None:
        """What an output sees of the layer's input, for rows and columns.

        None for a layer that acts entry by entry, and for one that sees as much as there is.
        """
        return None

    def window_on(self, shape: Shape) -> Windows | None:
        """`window` where the shape of the input is known: for a layer that sees all of it, too."""
        return self.window()

    @property
    def weights(self) -> int:
        """How many weights it learns; the γ of batch normalisation are weights."""
        return 0

    @property
    def biases(self) -> int:
        """How many biases it learns; the β of batch normalisation are biases."""
        return 0

    def num_parameters(self) -> int:
        """How many numbers it learns."""
        return self.weights + self.biases

    def counted(self) -> str:
        """The count of its parameters as a product and a sum; empty where it has none."""
        return ""

    def multiply_adds(self, shape: Shape) -> int:
        """The multiplications for one example of the given shape, each with an addition.

        Only convolutions and fully connected layers count, as is usual: 0 for every other layer.
        Products with the zeros of the padding count as well.
        """
        return 0

    def __repr__(self) -> str:
        # settings at their default are left out: a setting that a layer learns later must not
        # change how it was written down
        arguments = []
        for each in fields(self):
            value = getattr(self, each.name)
            if each.default is MISSING:
                arguments.append(repr(value))
            elif value != each.default:
                arguments.append(f"{each.name}={value!r}")
        return f"{type(self).__name__}({', '.join(arguments)})"


class _Convolution(Layer):
    """What a convolution and a transposed one share."""

    def __post_init__(self) -> None:
        for name in ("in_channels", "out_channels", "groups"):
            whole(getattr(self, name), name, at_least=1)
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"{name} {getattr(self, name)} is not a multiple of groups {self.groups}; "
                    "choose groups that divide both numbers of channels"
                )
        self.window()  # checks the other settings

    @property
    def weights(self) -> int:
        return self.out_channels * self.in_channels // self.groups * math.prod(_pair(self.kernel))

    @property
    def biases(self) -> int:
        return self.out_channels if self.bias else 0


@dataclass(frozen=True, repr=False)
class Conv2d(_Convolution):
    """O filters of C/groups × kh × kw weights: O·(C/groups·kh·kw) weights and O biases.

    C `in_channels`, O `out_channels`; `kernel`, `stride`, `padding` and `dilation` are one number
    for both axes or a pair (rows, columns). `padding` may also be "same", "valid" or
    ((top, bottom), (left, right)), see `output_size`. With `groups` each filter reads C/groups of
    the channels; without `bias` there are no biases. Arguments are in PyTorch's order.

    Raises ValueError where `groups` does not divide both numbers of channels, and in `output_shape`
    where a shape does not fit.

    >>> layer = Conv2d(3, 32, 5, padding=2)
    >>> layer.output_shape((3, 32, 32)), layer.num_parameters(), layer.counted()
    ((32, 32, 32), 2432, '32·(3·5·5) + 32')
    >>> layer.multiply_adds((3, 32, 32))  # 32·32 places of each window
    2457600
    """

    in_channels: int
    out_channels: int
    kernel: Size
    stride: Size = 1
    padding: Padding = 0
    dilation: Size = 1
    groups: int = 1
    bias: bool = True

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

    def window(self) -> Windows:
        return _windows(self.kernel, self.stride, self.padding, self.dilation)

    def counted(self) -> str:
        rows, columns = _pair(self.kernel)
        inputs = _share(self.in_channels, self.groups)
        return f"{self.out_channels:,}·({inputs}·{rows}·{columns})" + _plus(self.biases)

    def multiply_adds(self, shape: Shape) -> int:
        return self.weights * math.prod(self.output_shape(shape)[1:])


@dataclass(frozen=True, repr=False)
class ConvTranspose2d(_Convolution):
    """A transposed convolution, which enlarges: C·(O/groups·kh·kw) weights and O biases.

    C `in_channels`, O `out_channels`. Every input entry is multiplied with a `kernel` and added to
    the output around its place, `stride` by `stride`; `padding` takes entries away at every side,
    `output_padding` adds some at the end, `dilation` spreads the kernel. `bias` False leaves the
    biases out. Sizes are one number, or a pair (rows, columns).

    An output sees only the inputs whose kernels reach it: at most ⌈k/s⌉ per axis, and neighbouring
    outputs lie 1/s of an input entry apart.

    >>> ConvTranspose2d(16, 8, 4, stride=2, padding=1).output_shape((16, 10, 10))
    (8, 20, 20)
    >>> ConvTranspose2d(16, 8, 4, stride=2, padding=1).window()[0]
    AxisWindow(span=2, stride=Fraction(1, 2), padding=1)
    """

    in_channels: int
    out_channels: int
    kernel: Size
    stride: Size = 1
    padding: Size = 0
    output_padding: Size = 0
    groups: int = 1
    bias: bool = True
    dilation: Size = 1

    def __str__(self) -> str:
        return (
            f"{by(_pair(self.kernel))} transposed convolution, {self.out_channels} filters"
            + _settings(
                self, stride=1, padding=0, output_padding=0, dilation=1, groups=1, bias=True
            )
        )

    def output_shape(self, shape: Shape) -> Shape:
        _expect(shape, channels=self.in_channels)
        size = transposed_output_size(
            shape[1:],
            self.kernel,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
        )
        return (self.out_channels, *size)

    def window(self) -> Windows:
        kernel = whole_pair(self.kernel, "kernel", at_least=1)
        stride = whole_pair(self.stride, "stride", at_least=1)
        padding = whole_pair(self.padding, "padding", at_least=0)
        dilation = whole_pair(self.dilation, "dilation", at_least=1)
        rows, columns = (
            _transposed_window(k, s, p, d)
            for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True)
        )
        return rows, columns

    def counted(self) -> str:
        rows, columns = _pair(self.kernel)
        outputs = _share(self.out_channels, self.groups)
        return f"{self.in_channels:,}·({outputs}·{rows}·{columns})" + _plus(self.biases)

    def multiply_adds(self, shape: Shape) -> int:
        self.output_shape(shape)  # checks the shape
        return self.weights * math.prod(shape[1:])


@dataclass(frozen=True, repr=False)
class Linear(Layer):
    """A fully connected layer: out·in weights and `out` biases.

    From (`in_features`,) to (`out_features`,); `bias` False leaves the biases out. Maps must be
    flattened first: `output_shape` raises ValueError on C × H × W.

    >>> Linear(64, 10).counted(), Linear(64, 10).num_parameters()
    ('10·64 + 10', 650)
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

    @property
    def weights(self) -> int:
        return self.out_features * self.in_features

    @property
    def biases(self) -> int:
        return self.out_features if self.bias else 0

    def counted(self) -> str:
        return f"{self.out_features:,}·{self.in_features:,}" + _plus(self.biases)

    def multiply_adds(self, shape: Shape) -> int:
        self.output_shape(shape)  # checks the shape
        return self.weights


@dataclass(frozen=True, repr=False)
class _BatchNorm(Layer):
    """A scale γ and a shift β per channel, unless `affine` is False; statistics are not learnt.

    `eps` is added to the variance; `momentum` is what a new batch counts in the running
    statistics (None: their plain average).
    """

    num_features: int
    affine: bool = field(default=True, kw_only=True)
    eps: float = field(default=1e-5, kw_only=True)
    momentum: float | None = field(default=0.1, kw_only=True)

    def __post_init__(self) -> None:
        whole(self.num_features, "num_features", at_least=1)
        if not self.eps >= 0:
            raise ValueError(f"eps {self.eps} is negative; give 0 or more, such as 1e-5")
        if self.momentum is not None and not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum {self.momentum} is no share; give a number from 0 to 1")

    def __str__(self) -> str:
        return "batch normalisation" + _settings(self, affine=True)

    @property
    def weights(self) -> int:
        return self.num_features if self.affine else 0

    @property
    def biases(self) -> int:
        return self.num_features if self.affine else 0

    def counted(self) -> str:
        return f"2·{self.num_features:,}" if self.affine else ""


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of features: a scale γ and a shift β for each.

    `num_features` is their number; `affine` False leaves γ and β out, so that nothing is learnt.
    `eps` is added to the variance, `momentum` is what a new batch counts in the running statistics
    (None: their plain average).

    >>> BatchNorm1d(64).output_shape((64,)), BatchNorm1d(64).counted()
    ((64,), '2·64')
    """

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ValueError(
                f"it needs one axis of features but gets {by(shape)}; "
                "put it behind Flatten(), or take BatchNorm2d"
            )
        if shape[0] != self.num_features:
            raise ValueError(
                f"num_features {self.num_features} does not fit the {shape[0]} features; "
                f"make it {shape[0]}"
            )
        return shape


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of maps: a scale γ and a shift β per channel.

    `num_features` is the number of channels; the rest is as in `BatchNorm1d`: `affine`, `eps` and
    `momentum`.

    >>> BatchNorm2d(32).output_shape((32, 16, 16)), BatchNorm2d(32).num_parameters()
    ((32, 16, 16), 64)
    """

    def output_shape(self, shape: Shape) -> Shape:
        _expect(shape, channels=self.num_features, name="num_features")
        return shape


class _Pool2d(Layer):
    """What max and average pooling share; they learn nothing."""

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
        padding = tuple((p, p) for p in whole_pair(self.padding, "padding", at_least=0))
        size = output_size(
            shape[1:],
            self.kernel,
            stride=self._stride,
            padding=padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )
        check_pool_padding(_pair(self.kernel), padding)
        return (shape[0], *size)

    def window(self) -> Windows:
        return _windows(self.kernel, self._stride, self.padding, self.dilation)


@dataclass(frozen=True, repr=False)
class MaxPool2d(_Pool2d):
    """The largest entry of each window, in every map by itself; it learns nothing.

    From C × H × W to C × H′ × W′, with H′ and W′ as `output_size` gives them. The `stride` is that
    of the `kernel` unless given. `padding` (at most half the kernel) and `dilation` as in PyTorch;
    `ceil_mode` lets a last window hang over the edge.

    >>> MaxPool2d(2).output_shape((32, 32, 32))
    (32, 16, 16)
    >>> MaxPool2d(3, 2, ceil_mode=True).output_shape((32, 32, 32))
    (32, 16, 16)
    """

    name: ClassVar[str] = "max pooling"
    kernel: Size
    stride: Size | None = None  # the kernel's size unless given
    padding: Size = 0
    dilation: Size = 1
    ceil_mode: bool = False


@dataclass(frozen=True, repr=False)
class AvgPool2d(_Pool2d):
    """The mean of each window, in every map by itself; it learns nothing.

    `kernel`, `stride`, `padding` and `ceil_mode` as in `MaxPool2d`.

    >>> AvgPool2d(2).output_shape((32, 32, 32))
    (32, 16, 16)
    """

    name: ClassVar[str] = "average pooling"
    dilation: ClassVar[int] = 1
    kernel: Size
    stride: Size | None = None  # the kernel's size unless given
    padding: Size = 0
    ceil_mode: bool = False


class SeesAll(Layer):
    """A layer whose window depends on the size of the map that it gets."""


@dataclass(frozen=True, repr=False)
class AdaptiveAvgPool2d(SeesAll):
    """Average pooling to a given `size`, with windows as large as that takes.

    Output i of o sees the entries from ⌊i·n/o⌋ up to ⌈(i + 1)·n/o⌉ of n.

    >>> AdaptiveAvgPool2d(6).output_shape((256, 13, 13))
    (256, 6, 6)
    """

    size: Size

    def __post_init__(self) -> None:
        whole_pair(self.size, "size", at_least=1)

    def __str__(self) -> str:
        size = _pair(self.size)
        return f"average pooling to {by(size)}" if size != (1, 1) else "global average pooling"

    def output_shape(self, shape: Shape) -> Shape:
        _expect(shape)
        return (shape[0], *_pair(self.size))

    def window_on(self, shape: Shape) -> Windows:
        rows, columns = map(_adaptive_window, shape[1:], _pair(self.size))
        return rows, columns


class GlobalAvgPool2d(SeesAll):
    """The average of each map: C × H × W to C × 1 × 1 (torch's AdaptiveAvgPool2d(1)).

    >>> GlobalAvgPool2d().output_shape((128, 6, 6))
    (128, 1, 1)
    """

    def __str__(self) -> str:
        return "global average pooling"

    def output_shape(self, shape: Shape) -> Shape:
        _expect(shape)
        return (shape[0], 1, 1)

    def window_on(self, shape: Shape) -> Windows:
        return _adaptive_window(shape[1], 1), _adaptive_window(shape[2], 1)


class Flatten(SeesAll):
    """C × H × W to one axis of C·H·W, map after map and row after row.

    Together its outputs see all positions.

    >>> Flatten().output_shape((64, 4, 4))
    (1024,)
    """

    def __str__(self) -> str:
        return "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def window_on(self, shape: Shape) -> Windows | None:
        if len(shape) != 3:
            return None
        return _adaptive_window(shape[1], 1), _adaptive_window(shape[2], 1)


@dataclass(frozen=True, repr=False)
class ZeroPad2d(Layer):
    """Zeros around the map: `padding` is one number for all sides, or (left, right, top, bottom).

    >>> ZeroPad2d((1, 2, 0, 0)).output_shape((3, 32, 32))
    (3, 32, 35)
    """

    padding: int | tuple[int, int, int, int]

    def __post_init__(self) -> None:
        if len(self._sides()) != 4:
            raise ValueError(
                f"padding {self.padding} is not possible; give one number or "
                "(left, right, top, bottom)"
            )
        for number in self._sides():
            whole(number, "padding", at_least=0)

    def _sides(self) -> tuple[int, int, int, int]:
        return self.padding if isinstance(self.padding, tuple) else (self.padding,) * 4

    def __str__(self) -> str:
        left, right, top, bottom = self._sides()
        return f"zero padding {_size(((top, bottom), (left, right)))}"

    def output_shape(self, shape: Shape) -> Shape:
        _expect(shape)
        left, right, top, bottom = self._sides()
        return (shape[0], top + shape[1] + bottom, left + shape[2] + right)

    def window(self) -> Windows:
        left, _, top, _ = self._sides()
        return AxisWindow(1, 1, top), AxisWindow(1, 1, left)


class Pointwise(Layer):
    """A layer that leaves the shape as it is and mixes no positions."""

    name: ClassVar[str]

    def __str__(self) -> str:
        return self.name


class ReLU(Pointwise):
    """max(0, x), entry by entry.

    >>> ReLU().output_shape((32, 16, 16))
    (32, 16, 16)
    """

    name: ClassVar[str] = "ReLU"


class ReLU6(Pointwise):
    """min(max(0, x), 6), entry by entry."""

    name: ClassVar[str] = "ReLU6"


@dataclass(frozen=True, repr=False)
class LeakyReLU(Pointwise):
    """x where x > 0, else `negative_slope`·x.

    >>> str(LeakyReLU(0.1))
    'leaky ReLU, slope 0.1'
    """

    negative_slope: float = 0.01

    def __str__(self) -> str:
        return f"leaky ReLU, slope {self.negative_slope:g}"


class Sigmoid(Pointwise):
    """1/(1 + e⁻ˣ), entry by entry.

    >>> str(Sigmoid())
    'sigmoid'
    """

    name: ClassVar[str] = "sigmoid"


class Tanh(Pointwise):
    """(eˣ − e⁻ˣ)/(eˣ + e⁻ˣ), entry by entry."""

    name: ClassVar[str] = "tanh"


class Softmax(Pointwise):
    """eˣ/Σ eˣ, the sum over the channels or the units."""

    name: ClassVar[str] = "softmax"


class LogSoftmax(Pointwise):
    """x − ln Σ eˣ, the sum over the channels or the units."""

    name: ClassVar[str] = "log-softmax"


@dataclass(frozen=True, repr=False)
class Dropout(Pointwise):
    """In training each entry is 0 with probability `p`, else x/(1 − p); afterwards x.

    Raises ValueError where `p` is not from 0 to 1.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"p {self.p} is no probability; give a number from 0 to 1")

    def __str__(self) -> str:
        return f"dropout {self.p:g}"


class Sum(Layer):
    """Entry by entry, the sum of several paths; their shapes are the same."""

    def __str__(self) -> str:
        return "sum"

    def output_shape(self, shape: Shape, *others: Shape) -> Shape:
        for other in others:
            if other != shape:
                raise ValueError(
                    f"{by(shape)} and {by(other)} cannot be added; make the paths agree, "
                    "e.g. with a 1×1 convolution of the same filters and stride as the shortcut"
                )
        return shape


class Concatenation(Layer):
    """The channels (or features) of several paths, one behind the other."""

    def __str__(self) -> str:
        return "concatenation"

    def output_shape(self, *shapes: Shape) -> Shape:
        for shape in shapes:
            if shape[1:] != shapes[0][1:] or len(shape) != len(shapes[0]):
                raise ValueError(
                    f"{by(shapes[0])} and {by(shape)} cannot be joined; "
                    "make the paths agree in height and width"
                )
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])


@dataclass(frozen=True, repr=False)
class Residual(Layer):
    """The sum of two paths: the layers of `body`, and those of `shortcut` (none: the input itself).

    Source: He et al. (2016), Deep Residual Learning for Image Recognition, arXiv:1512.03385.

    >>> block = Residual((Conv2d(8, 8, 3, padding=1), ReLU(), Conv2d(8, 8, 3, padding=1)))
    >>> block.output_shape((8, 16, 16)), block.num_parameters()
    ((8, 16, 16), 1168)
    >>> block.window()[0]
    AxisWindow(span=5, stride=1, padding=2)
    """

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()

    def __post_init__(self) -> None:
        for name in ("body", "shortcut"):  # lists are as good, but a layer must be hashable
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def __str__(self) -> str:
        return "residual block"

    def output_shape(self, shape: Shape) -> Shape:
        *_, (_, _, after) = follow(self.steps(), shape)
        return after

    def window(self) -> Windows:
        def path(layers: Iterable[Layer]) -> Windows:
            return reduce(then, filter(None, (layer.window() for layer in layers)), ONE_ENTRY)

        return union(path(self.body), path(self.shortcut))

    @property
    def weights(self) -> int:
        return sum(layer.weights for layer in self.body + self.shortcut)

    @property
    def biases(self) -> int:
        return sum(layer.biases for layer in self.body + self.shortcut)

    def counted(self) -> str:
        return " + ".join(filter(None, (layer.counted() for layer in self.body + self.shortcut)))

    def multiply_adds(self, shape: Shape) -> int:
        return sum(
            step.layer.multiply_adds(inputs[0]) for step, inputs, _ in follow(self.steps(), shape)
        )

    def steps(self) -> list[Step]:
        """Its layers, and the sum."""
        found: list[Step] = []
        _append_residual(found, self, 0, "residual block")
        return found


class Step(NamedTuple):
    """A layer at its place in a network.

    `inputs` are the steps whose outputs it takes, counted from 1; 0 is the network's input.
    """

    layer: Layer
    inputs: tuple[int, ...]
    name: str  # of the place, for messages
    shared: bool = False  # its parameters are those of an earlier step


def steps(layers: Iterable[Layer]) -> list[Step]:
    """Layers one behind the other as steps; a residual block becomes its layers and a sum.

    >>> [(str(step.layer), step.inputs) for step in steps([ReLU(), Residual((Tanh(),)), Flatten()])]
    [('ReLU', (0,)), ('tanh', (1,)), ('sum', (2, 1)), ('flatten', (3,))]
    """
    found: list[Step] = []
    _append(found, layers, 0, "layer")
    return found


def _append(found: list[Step], layers: Iterable[Layer], source: int, name: str) -> int:
    """Append a chain that begins at the step `source`; the number of its last step."""
    for number, layer in enumerate(layers, start=1):
        if not isinstance(layer, Layer):
            raise ValueError(
                f"{name} {number} is a {type(layer).__name__}, no layer of labkit.handcalc; "
                "give layers such as Conv2d(3, 32, 5), or one torch module as the whole network"
            )
        if isinstance(layer, Residual):
            _append_residual(found, layer, source, f"{name} {number}")
        else:
            found.append(Step(layer, (source,), f"{name} {number}"))
        source = len(found)
    return source


def _append_residual(found: list[Step], block: Residual, source: int, name: str) -> None:
    body = _append(found, block.body, source, f"{name}, body layer")
    shortcut = _append(found, block.shortcut, source, f"{name}, shortcut layer")
    found.append(Step(Sum(), (body, shortcut), name))


def follow(steps: Iterable[Step], shape: Shape) -> Iterator[tuple[Step, tuple[Shape, ...], Shape]]:
    """Each step with the shapes that it gets and the shape that it gives.

    A layer that does not fit raises a ValueError that names its place.
    """
    shapes = [shape]
    for step in steps:
        inputs = tuple(shapes[number] for number in step.inputs)
        try:
            shapes.append(step.layer.output_shape(*inputs))
        except ValueError as error:
            raise ValueError(f"{step.name} ({step.layer}): {error}") from None
        yield step, inputs, shapes[-1]


def _windows(kernel: Size, stride: Size, padding: Padding, dilation: Size) -> Windows:
    kernel = whole_pair(kernel, "kernel", at_least=1)
    stride = whole_pair(stride, "stride", at_least=1)
    dilation = whole_pair(dilation, "dilation", at_least=1)
    rows, columns = (
        AxisWindow(d * (k - 1) + 1, s, before)
        for k, s, d, (before, _) in zip(
            kernel, stride, dilation, sides(padding, kernel, stride, dilation), strict=True
        )
    )
    return rows, columns


def _transposed_window(k: int, s: int, p: int, d: int) -> AxisWindow:
    # Input i adds to the outputs i·s − p + t·d, t = 0 … k − 1. Of one output's inputs the t differ
    # by multiples of s/g with g = gcd(d, s), hence the inputs by multiples of d/g.
    g = math.gcd(d, s)
    span = 1 + d // g * ((k - 1) // (s // g))
    return AxisWindow(span, _plain(Fraction(1, s)), (d * (k - 1) - p) // s)


def _adaptive_window(length: int, outputs: int) -> AxisWindow:
    span = max(-(-(i + 1) * length // outputs) - i * length // outputs for i in range(outputs))
    # a single output has no neighbour: on a larger map the next one would be one entry away
    return AxisWindow(span, _plain(Fraction(length, outputs)) if outputs > 1 else 1, 0)


def _plain(number: int | Fraction) -> int | Fraction:
    """A Fraction that is whole, as an int."""
    return number.numerator if number.denominator == 1 else number


def _expect(shape: Shape, channels: int | None = None, name: str = "in_channels") -> None:
    if len(shape) != 3:
        raise ValueError(f"it needs C×H×W but gets {by(shape)}; put it before Flatten()")
    if channels is not None and shape[0] != channels:
        raise ValueError(
            f"{name} {channels} does not fit the {shape[0]} channels; make it {shape[0]}"
        )


def _share(channels: int, groups: int) -> str:
    return f"{channels:,}" if groups == 1 else f"{channels:,}/{groups:,}"


def _plus(biases: int) -> str:
    return f" + {biases:,}" if biases else ""


def _pair(value: Size) -> tuple[int, int]:
    return whole_pair(value, "size", at_least=0)


def _size(value: Padding) -> str:
    """A setting as people write it: '2', '1×2', 'same', '1 above, 2 below, 0 left, 0 right'."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple | list) and any(isinstance(axis, tuple | list) for axis in value):
        (top, bottom), (left, right) = sides(value, (1, 1), (1, 1), (1, 1))
        if (top, left) != (bottom, right):
            return f"{top} above, {bottom} below, {left} left, {right} right"
        value = (top, left)
    rows, columns = _pair(value)
    return str(rows) if rows == columns else by((rows, columns))


def _settings(layer: Layer, **defaults) -> str:
    """The settings that differ from their defaults, e.g. ', padding 2, no bias'."""
    parts = []
    for name, default in defaults.items():
        value = getattr(layer, name)
        label = name.replace("_", " ")
        if isinstance(default, bool):
            if bool(value) != default:
                parts.append(f"no {label}" if default else label)
        elif _size(value) != _size(default):  # a pair of defaults is the default
            parts.append(f"{label} {_size(value)}")
    return "".join(f", {part}" for part in parts)
