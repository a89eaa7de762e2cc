"""The catalogue of mistakes, second part: sizes, parameters and receptive fields.

Each mistake is another formula than the right one. An answer is explained by the formulas that give
it; only one mistake at a time, because some pair of them would explain almost any number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from labkit.handcalc.counts import FullyConnectedEquivalent, ParameterCount, ReceptiveField
from labkit.handcalc.layers import (
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
)
from labkit.handcalc.mistakes import (
    DILATION_AS_HOLES,
    ROUNDED_DOWN,
    ROUNDED_UP,
    ROWS_FOR_COLUMNS,
    Explanation,
    Mistake,
    explain,
    wrong_answers,
)
from labkit.handcalc.shapes import Axis, OutputSize, Solution, TransposedOutputSize, whole_pair
from labkit.handcalc.tasks import Quotient, digits, round_to

# --------------------------------------------------------------------------- sizes

PLUS_ONE_FORGOTTEN = Mistake(
    "the + 1 was forgotten",
    "The window fits at its first place and at one more for every step: steps + 1.",
)
PLUS_ONE_INSIDE = Mistake(
    "the + 1 was put inside the rounding",
    "The + 1 stands outside of the fraction: ⌊(i + 2p − d·(k − 1) − 1)/s⌋ + 1.",
)
PADDING_LEFT_OUT = Mistake("the padding was left out", "Padding p makes the input 2p longer.")
PADDING_COUNTED_ONCE = Mistake(
    "the padding was counted once instead of twice",
    "Padding p adds p zeros at either end: 2p together.",
)
DILATION_IGNORED = Mistake(
    "the kernel was counted without its dilation",
    "A kernel of k entries with dilation d covers d·(k − 1) + 1 entries of the input.",
)
DILATION_TIMES_KERNEL = Mistake(
    "the dilation was multiplied with the kernel",
    "There are k − 1 gaps between k entries: the kernel covers d·(k − 1) + 1, not d·k.",
)
STRIDE_IGNORED = Mistake(
    "the stride was ignored", "The window moves s entries at a time: divide its way by s."
)
STRIDE_ON_ONE_AXIS = Mistake(
    "the stride was applied to one axis only", "The stride holds for rows and for columns."
)
KERNEL_LEFT_OUT = Mistake(
    "the size of the kernel was left out",
    "The window must fit: subtract what it covers, divide by the stride, and add 1.",
)
CORRECTION_LEFT_OUT = Mistake(
    "a last window was counted that begins in the padding",
    "PyTorch leaves out a window that would begin in the padding at the end.",
)
OUTPUT_PADDING_LEFT_OUT = Mistake(
    "the output padding was left out", "Output padding is added once, at the end."
)
NOT_TRANSPOSED = Mistake(
    "the size of an ordinary convolution was taken",
    "A transposed convolution enlarges: (i − 1)·s − 2p + d·(k − 1) + e + 1.",
)
_TRANSPOSED = "A transposed convolution enlarges: (i − 1)·s − 2p + d·(k − 1) + e + 1."
TRANSPOSED_PLUS_ONE_FORGOTTEN = replace(PLUS_ONE_FORGOTTEN, remedy=_TRANSPOSED)
TRANSPOSED_STRIDE_IGNORED = replace(STRIDE_IGNORED, remedy=_TRANSPOSED)
TRANSPOSED_PADDING_LEFT_OUT = replace(
    PADDING_LEFT_OUT, remedy="In a transposed convolution padding p takes 2p entries away."
)
TRANSPOSED_PADDING_COUNTED_ONCE = replace(
    PADDING_COUNTED_ONCE, remedy="In a transposed convolution p entries go at either end: 2p."
)
PADDING_ADDED = Mistake(
    "the padding was added",
    "In a transposed convolution the padding takes rows and columns away.",
)
INPUT_NOT_LESSENED = Mistake(
    "the input was not lessened by one", "Between i entries there are i − 1 steps of the stride."
)
KERNEL_FOR_PADDING = Mistake(
    "the kernel's size was given for the padding",
    "At stride 1 a kernel takes k − 1 entries off; (k − 1)/2 zeros on either side make up for it.",
)
# another size for an axis, or None where the mistake makes no difference in kind
Formula = Callable[[Axis], int | None]


def _rounded(axis: Axis, room: int) -> int:
    """The size that a room leads to, rounded as the axis rounds."""
    return -(-room // axis.stride) + 1 if axis.ceil_mode else room // axis.stride + 1


SIZES: list[tuple[Mistake, Formula]] = [
    (ROUNDED_DOWN, lambda a: a.room // a.stride + 1 if a.ceil_mode else None),
    (PLUS_ONE_FORGOTTEN, lambda a: _rounded(a, a.room) - 1),
    (PADDING_LEFT_OUT, lambda a: _rounded(a, a.input - a.span)),
    (PADDING_COUNTED_ONCE, lambda a: _rounded(a, a.input + a.before - a.span)),
    (STRIDE_IGNORED, lambda a: a.room + 1),
    (DILATION_IGNORED, lambda a: _rounded(a, a.padded - a.kernel)),
    (ROUNDED_UP, lambda a: None if a.ceil_mode else -(-a.room // a.stride) + 1),
    # NN HW1's ⌈(i − d(k − 1) + 1)/s⌉, the same rounded down, and ⌊(i + 2p − k + 1)/s⌋
    (PLUS_ONE_INSIDE, lambda a: -(-(a.room + 2) // a.stride)),
    (PLUS_ONE_INSIDE, lambda a: (a.room + 2) // a.stride),
    (PLUS_ONE_INSIDE, lambda a: (a.room + 1) // a.stride),
    (KERNEL_LEFT_OUT, lambda a: a.input // a.stride),
    (KERNEL_LEFT_OUT, lambda a: a.padded // a.stride),
    (DILATION_TIMES_KERNEL, lambda a: _rounded(a, a.padded - a.dilation * a.kernel)),
    (
        DILATION_AS_HOLES,
        lambda a: _rounded(a, a.room - (a.kernel - 1 if a.dilation > 1 else 0)),
    ),
    (CORRECTION_LEFT_OUT, lambda a: _rounded(a, a.room) if a.ceil_mode else None),
]


@wrong_answers.register(OutputSize)
def _(size: OutputSize):
    for mistake, formula in SIZES:
        sizes = [formula(axis) for axis in size.axes]
        if None not in sizes and min(sizes) >= 0:
            yield mistake, tuple(sizes) if len(sizes) > 1 else sizes[0], ""
    if len(size.axes) == 2:
        rows, columns = size.axes
        if rows.stride > 1 and columns.stride > 1:
            yield STRIDE_ON_ONE_AXIS, (rows.size, columns.room + 1), ""
            yield STRIDE_ON_ONE_AXIS, (rows.room + 1, columns.size), ""
        yield ROWS_FOR_COLUMNS, (columns.size, rows.size), ""


# from input, kernel, stride, padding, output padding and dilation of an axis
TRANSPOSED_SIZES = [
    (TRANSPOSED_PLUS_ONE_FORGOTTEN, lambda i, k, s, p, e, d: (i - 1) * s - 2 * p + d * (k - 1) + e),
    (TRANSPOSED_PADDING_LEFT_OUT, lambda i, k, s, p, e, d: (i - 1) * s + d * (k - 1) + e + 1),
    (
        TRANSPOSED_PADDING_COUNTED_ONCE,
        lambda i, k, s, p, e, d: (i - 1) * s - p + d * (k - 1) + e + 1,
    ),
    (TRANSPOSED_STRIDE_IGNORED, lambda i, k, s, p, e, d: i - 2 * p + d * (k - 1) + e),
    (OUTPUT_PADDING_LEFT_OUT, lambda i, k, s, p, e, d: (i - 1) * s - 2 * p + d * (k - 1) + 1),
    (DILATION_IGNORED, lambda i, k, s, p, e, d: (i - 1) * s - 2 * p + k + e),
    (PADDING_ADDED, lambda i, k, s, p, e, d: (i - 1) * s + 2 * p + d * (k - 1) + e + 1),
    (INPUT_NOT_LESSENED, lambda i, k, s, p, e, d: i * s - 2 * p + d * (k - 1) + e + 1),
    (NOT_TRANSPOSED, lambda i, k, s, p, e, d: Axis(i, k, s, p, p, d).size),
]


@wrong_answers.register(TransposedOutputSize)
def _(size: TransposedOutputSize):
    for mistake, formula in TRANSPOSED_SIZES:
        yield mistake, tuple(formula(*axis) for axis in size.axes), ""


FAR = 10**9  # a number that solves no task


@explain.register(Solution)
def _(solution: Solution, entries, shape):
    """A wrong formula explains the answer that solves it without a remainder."""
    if len(entries) != 1 or entries[0] != int(entries[0]) or entries[0] in solution:
        return []
    answer = int(entries[0])
    if solution.unknown == "output":
        return explain(OutputSize(**solution.given), entries, shape)
    least = 0 if solution.unknown == "padding" else 1
    if answer < least:
        return []
    output = solution.given["output"]

    def solves(size: Formula, number: int) -> bool:
        return size(_with(solution, number)) == output

    # who solves a formula sets the fraction equal: the end where nothing is rounded off
    beyond = answer - 1 if solution.unknown in ("input", "padding") else answer + 1
    found = [
        mistake
        for mistake, size in SIZES
        if solves(size, answer)
        and (beyond < least or not solves(size, beyond))
        and not solves(size, FAR)  # else the unknown does not occur in this formula
    ]
    if solution.unknown == "padding" and answer == solution.given["kernel"]:
        found.append(KERNEL_FOR_PADDING)
    return [Explanation((mistake,)) for mistake in dict.fromkeys(found)]


def _with(solution: Solution, number: int) -> Axis:
    """The axis of a task with a number in place of its unknown."""
    numbers = {**solution.given, solution.unknown: number}
    names = ("input", "kernel", "stride", "padding", "padding", "dilation")
    return Axis(*(numbers[name] for name in names))


# --------------------------------------------------------------------------- parameters

BIAS_LEFT_OUT = Mistake("the biases were left out", "Every filter and every unit has one bias.")
BIAS_PER_INPUT = Mistake(
    "the biases were counted per input channel",
    "There is one bias per filter or unit, whatever the number of inputs.",
)
BIAS_WHERE_NONE = Mistake(
    "biases were counted where there are none", "A layer made without biases has weights alone."
)
ONE_BIAS = Mistake(
    "one bias was counted for the whole layer", "Every filter and every unit has its own bias."
)
INPUT_CHANNELS_FORGOTTEN = Mistake(
    "the input channels were forgotten",
    "A filter has a weight for every entry of its window in every input channel.",
)
FILTERS_FORGOTTEN = Mistake(
    "only one filter was counted", "Multiply by the number of filters: each has its own weights."
)
KERNEL_ONE_SIDED = Mistake(
    "only one side of the kernel was counted", "A k × k kernel has k·k weights per channel."
)
GROUPS_IGNORED = Mistake(
    "the groups were ignored", "With g groups a filter reads C/g of the C input channels."
)
POOLING_WEIGHTS = Mistake(
    "pooling was given weights", "Pooling has nothing to learn: it has no weights and no biases."
)
WITHOUT_SPATIAL_SIZE = Mistake(
    "the fully connected layer was counted without the spatial size",
    "Flattening C × H × W gives C·H·W inputs, not C.",
)
WRONG_SPATIAL_SIZE = Mistake(
    "the fully connected layer was counted with a wrong spatial size",
    "Flattening gives C·H·W inputs, with H × W the size after the last pooling.",
)
NORMALISATION_LEFT_OUT = Mistake(
    "batch normalisation was counted without parameters", "It learns γ and β: two per channel."
)
ONE_PER_CHANNEL = Mistake(
    "batch normalisation was counted with one parameter per channel",
    "It learns two per channel: the scale γ and the shift β.",
)
STATISTICS_COUNTED = Mistake(
    "the running statistics were counted as parameters",
    "Batch normalisation learns γ and β; mean and variance are measured, not learnt.",
)
LAYER_FORGOTTEN = Mistake("a layer was left out", "Count every layer that has weights.")
SHARED_WEIGHTS = Mistake(
    "the weights of the convolution were counted",
    "A fully connected layer shares no weights: it has one per pair of input and output.",
)
WITHOUT_SPATIAL_SIZE_OF_A_MAP = Mistake(
    "a map was counted without the spatial size", "A map of C × H × W has C·H·W entries, not C."
)
WRONG_SPATIAL_SIZE_OF_A_MAP = Mistake(
    "a map was counted with a wrong spatial size",
    "The output has the size that the convolution leaves, in rows and in columns.",
)
OUTPUT_CHANNELS_FORGOTTEN = Mistake(
    "the output channels were forgotten", "Every output channel is a map of outputs of its own."
)
BIAS_COUNTED = Mistake("the biases were counted as well", "The question is about weights alone.")

# another count for a layer that gets an input of the given shape; None: the mistake is not its
Recount = Callable[[Layer, tuple[int, ...]], int | None]


def _convolution(count: Callable[[Conv2d, int, int], int]) -> Recount:
    """A recount of convolutions from (layer, entries of the window, channels that it reads)."""

    def recount(layer, shape):
        if not isinstance(layer, Conv2d):
            return None
        area = math.prod(whole_pair(layer.kernel, "kernel", at_least=1))
        return count(layer, area, layer.in_channels // layer.groups)

    return recount


def _pooling(count: Callable[[int, int], int]) -> Recount:
    """A recount of poolings: of (entries of a window, channels)."""

    def recount(layer, shape):
        if not isinstance(layer, MaxPool2d | AvgPool2d):
            return None
        return count(math.prod(whole_pair(layer.kernel, "kernel", at_least=1)), shape[0])

    return recount


def _without_bias(layer, shape):
    # the shift of a batch normalisation is not called a bias
    normalises = isinstance(layer, BatchNorm1d | BatchNorm2d)
    return layer.weights if layer.biases and not normalises else None


def _bias_per_input(layer, shape):
    if isinstance(layer, Conv2d) and layer.bias:
        return layer.weights + layer.out_channels * (layer.in_channels // layer.groups)
    return layer.weights + layer.in_features if isinstance(layer, Linear) and layer.bias else None


def _bias_where_none(layer, shape):
    if isinstance(layer, Conv2d | Linear) and not layer.bias:
        outputs = layer.out_channels if isinstance(layer, Conv2d) else layer.out_features
        return layer.weights + outputs
    return None


def _one_sided(axis: int) -> Recount:
    """Of the kernel's two sides only that of an axis."""

    def recount(layer, shape):
        if not isinstance(layer, Conv2d):
            return None
        side = whole_pair(layer.kernel, "kernel", at_least=1)[axis]
        channels = layer.in_channels // layer.groups
        return layer.out_channels * (channels * side + bool(layer.bias))

    return recount


def _normalisation(times: int) -> Recount:
    def recount(layer, shape):
        known = isinstance(layer, BatchNorm1d | BatchNorm2d) and layer.affine
        return times * layer.num_features if known else None

    return recount


COUNTS: list[tuple[Mistake, Recount]] = [
    (BIAS_LEFT_OUT, _without_bias),
    (BIAS_PER_INPUT, _bias_per_input),
    (
        BIAS_PER_INPUT,
        _convolution(lambda layer, area, _: layer.weights + bool(layer.bias) * layer.in_channels),
    ),
    (
        BIAS_PER_INPUT,
        _convolution(lambda layer, area, channels: layer.weights + bool(layer.bias) * channels),
    ),
    (
        INPUT_CHANNELS_FORGOTTEN,
        _convolution(lambda layer, area, _: layer.out_channels * (area + bool(layer.bias))),
    ),
    (
        GROUPS_IGNORED,
        _convolution(
            lambda layer, area, _: (
                layer.out_channels * (layer.in_channels * area + bool(layer.bias))
            )
        ),
    ),
    (POOLING_WEIGHTS, _pooling(lambda area, channels: channels * channels * area + channels)),
    (POOLING_WEIGHTS, _pooling(lambda area, channels: channels * channels * area)),
    (POOLING_WEIGHTS, _pooling(lambda area, channels: channels * (area + 1))),
    (POOLING_WEIGHTS, _pooling(lambda area, channels: channels * area)),
    (POOLING_WEIGHTS, _pooling(lambda area, channels: area)),
    (POOLING_WEIGHTS, _pooling(lambda area, channels: area + 1)),
    (ONE_BIAS, lambda layer, shape: layer.weights + 1 if _without_bias(layer, shape) else None),
    (BIAS_WHERE_NONE, _bias_where_none),
    (
        FILTERS_FORGOTTEN,
        _convolution(lambda layer, area, channels: channels * area + bool(layer.bias)),
    ),
    (KERNEL_ONE_SIDED, _one_sided(0)),
    (KERNEL_ONE_SIDED, _one_sided(1)),
    (NORMALISATION_LEFT_OUT, _normalisation(0)),
    (ONE_PER_CHANNEL, _normalisation(1)),
    (STATISTICS_COUNTED, _normalisation(4)),
]


@wrong_answers.register(ParameterCount)
def _(count: ParameterCount):
    """In all layers alike, then in one alone."""
    layers = count.layers
    shapes = _input_shapes(count)
    right = [layer.num_parameters() for layer in layers]
    total = sum(right)
    alone = []
    for mistake, recount in COUNTS:
        changes = {}
        for place, (layer, shape) in enumerate(zip(layers, shapes, strict=True)):
            if shape is not None or not isinstance(layer, MaxPool2d | AvgPool2d):
                wrong = recount(layer, shape)
                if wrong is not None and wrong != right[place]:
                    changes[place] = wrong - right[place]
        if changes:
            yield mistake, total + sum(changes.values()), ""
        kinds = dict.fromkeys(type(layers[place]) for place in changes)
        if len(kinds) > 1:  # in the convolutions, say, but not in the fully connected layers
            for kind in kinds:
                alike = [c for place, c in changes.items() if isinstance(layers[place], kind)]
                yield mistake, total + sum(alike), ""
        if len(changes) > 1:
            alone += [(mistake, total + change, str(layers[i])) for i, change in changes.items()]
    yield from _wrong_spatial_sizes(layers, shapes, total)
    learning = [place for place, number in enumerate(right) if number]
    if len(learning) > 1:
        for place in learning:
            yield LAYER_FORGOTTEN, total - right[place], str(layers[place])
    yield from alone


def _input_shapes(count: ParameterCount) -> list[tuple[int, ...] | None]:
    """What each layer gets; None where that is not known."""
    shapes: list[tuple[int, ...] | None] = []
    shape = count.input_shape
    for layer in count.layers:
        shapes.append(shape)
        shape = layer.output_shape(shape) if shape is not None else None
    return shapes


def _wrong_spatial_sizes(layers, shapes, total):
    """The first fully connected layer, with the height and width that another place has."""
    flattened = next((i for i, layer in enumerate(layers) if isinstance(layer, Flatten)), None)
    if flattened is None or len(shapes[flattened] or ()) != 3:
        return
    full = next((layer for layer in layers[flattened:] if isinstance(layer, Linear)), None)
    if full is None:
        return
    channels, height, width = shapes[flattened]
    others = {shape[1] * shape[2] for shape in shapes if shape is not None and len(shape) == 3}
    others |= {_followed(layers[:flattened], shapes[0], kept) for kept in (True, False)}
    halves = {
        *(max(1, height // 2) * max(1, width // 2), height, (2 * height) * (2 * width)),
        *((height + n) * (width + n) for n in (-2, -1, 1, 2) if min(height, width) + n > 0),
    }
    for area in [1, *sorted((others | halves) - {0, 1, height * width})]:
        mistake = WITHOUT_SPATIAL_SIZE if area == 1 else WRONG_SPATIAL_SIZE
        if area != height * width:
            change = full.out_features * channels * (area - height * width)
            yield mistake, total + change, str(full)


def _followed(layers, shape, kept: bool) -> int:
    """Height · width, as if convolutions kept them, or as if nothing were padded."""
    sizes = list(shape[1:])
    for layer in layers:
        window = _window(layer)
        if window and not (kept and isinstance(layer, Conv2d)):
            sizes = [
                Axis(size, kernel, stride, dilation=dilation).size
                for size, (kernel, stride, dilation) in zip(sizes, window, strict=True)
            ]
    return math.prod(sizes)


@wrong_answers.register(FullyConnectedEquivalent)
def _(full: FullyConnectedEquivalent):
    layer = full.layer
    inputs = math.prod(full.input_shape)
    size = OutputSize(
        full.input_shape[1:], layer.kernel, layer.stride, layer.padding, layer.dilation
    )
    for mistake, value, place in wrong_answers(size):
        yield mistake, inputs * layer.out_channels * math.prod(value), place
    area = math.prod(size.result)
    yield SHARED_WEIGHTS, layer.num_parameters(), ""
    yield SHARED_WEIGHTS, layer.weights, ""
    if layer.in_channels > 1:
        yield INPUT_CHANNELS_FORGOTTEN, inputs // layer.in_channels * layer.out_channels * area, ""
    if layer.out_channels > 1:
        yield OUTPUT_CHANNELS_FORGOTTEN, inputs * area, ""
    yield BIAS_COUNTED, full.result + layer.out_channels * area, ""
    yield BIAS_COUNTED, full.result + layer.out_channels, ""
    channels, height, width = full.input_shape
    rows, _ = size.result
    outputs = layer.out_channels
    for maps in (channels * outputs * area, inputs * outputs, channels * outputs):
        yield WITHOUT_SPATIAL_SIZE_OF_A_MAP, maps, ""
    yield WRONG_SPATIAL_SIZE_OF_A_MAP, inputs * outputs * height * width, ""
    yield WRONG_SPATIAL_SIZE_OF_A_MAP, channels * height * outputs * rows, ""


@explain.register(Quotient)
def _(quotient: Quotient, entries, shape):
    """A wrong number carried over, divided; compared as roughly as the answer is written."""
    if len(entries) != 1 or quotient.accepts(entries[0]):
        return []
    rough = entries[0]

    def about(value) -> bool:
        # what the right answer would be rounded to as well explains nothing
        written = digits(rough)
        coarse = round_to(quotient.result, written)
        return value > 0 and round_to(value, written) == Fraction(rough) != coarse

    found = [
        Explanation((mistake,), place)
        for mistake, value, place in wrong_answers(quotient.dividend)
        if about(Fraction(value, quotient.divisor))
    ]
    return list(dict.fromkeys(found))


# --------------------------------------------------------------------------- receptive fields

STRIDE_TOO_MANY = Mistake(
    "one stride factor too many was taken",
    "A layer's window steps by the strides of the layers before it; its own is not among them.",
)
KERNELS_ADDED_UP = Mistake(
    "the kernels were added up",
    "Neighbouring windows share entries: each layer adds its kernel less one.",
)
STRIDES_IGNORED = Mistake(
    "the strides were ignored", "After strides s₁, s₂, … a layer adds (k − 1)·s₁·s₂·…"
)
FIELD_DILATION_IGNORED = Mistake(
    "the dilation was ignored", "With dilation d a layer adds d·(k − 1) times the jump."
)
ONE_FORGOTTEN = Mistake(
    "the one entry to begin with was forgotten", "The receptive field of the input itself is 1."
)
KERNEL_NOT_LESSENED = Mistake(
    "the kernel was not lessened by one", "A layer adds (k − 1) times the jump, not k times."
)
OWN_KERNEL = Mistake(
    "only the layer's own kernel was counted",
    "The receptive field is measured in the input, through all the layers before.",
)


JUMP_FOR_FIELD = Mistake(
    "the strides were multiplied",
    "Their product is the distance between outputs, not how much an output sees.",
)


@wrong_answers.register(ReceptiveField)
def _(field: ReceptiveField):
    windows = [_window(layer) for layer in field.layers]
    axes = [[axis[number] for axis in windows if axis] for number in (0, 1)]  # rows, columns
    for mistake, fields in FIELDS:
        rows, columns = (fields(axis) for axis in axes)
        same = rows == columns
        yield mistake, rows if same else list(zip(rows, columns, strict=True)), ""


def _window(layer: Layer):
    """(kernel, stride, dilation) of a layer for rows and for columns; None without a window."""
    if not isinstance(layer, Conv2d | MaxPool2d | AvgPool2d):
        return None
    stride = layer.kernel if layer.stride is None else layer.stride
    settings = (layer.kernel, stride, layer.dilation)
    return tuple(zip(*(whole_pair(it, "window", at_least=1) for it in settings), strict=True))


def _grown(start: int, grows: Callable[[int, int, int, int], int]):
    """The fields r + grows(k, s, d, jump) of layer after layer, jump the strides before it."""

    def fields(axis) -> list[int]:
        size, jump, found = start, 1, []
        for kernel, stride, dilation in axis:
            size += grows(kernel, stride, dilation, jump)
            jump *= stride
            found.append(size)
        return found

    return fields


FIELDS = [
    (STRIDE_TOO_MANY, _grown(1, lambda k, s, d, jump: d * (k - 1) * jump * s)),
    (KERNELS_ADDED_UP, _grown(0, lambda k, s, d, jump: k)),
    (KERNELS_ADDED_UP, _grown(1, lambda k, s, d, jump: k)),
    (KERNELS_ADDED_UP, _grown(0, lambda k, s, d, jump: d * (k - 1) + 1)),
    (STRIDES_IGNORED, _grown(1, lambda k, s, d, jump: d * (k - 1))),
    (FIELD_DILATION_IGNORED, _grown(1, lambda k, s, d, jump: (k - 1) * jump)),
    (ONE_FORGOTTEN, _grown(0, lambda k, s, d, jump: d * (k - 1) * jump)),
    (KERNEL_NOT_LESSENED, _grown(1, lambda k, s, d, jump: k * d * jump)),
    (KERNEL_NOT_LESSENED, _grown(0, lambda k, s, d, jump: k * d * jump)),
    (
        DILATION_AS_HOLES,
        _grown(1, lambda k, s, d, jump: (d + 1 if d > 1 else 1) * (k - 1) * jump),
    ),
    (OWN_KERNEL, lambda axis: [kernel for kernel, _, _ in axis]),
    (
        JUMP_FOR_FIELD,
        lambda axis: [math.prod(s for _, s, _ in axis[: n + 1]) for n in range(len(axis))],
    ),
]
