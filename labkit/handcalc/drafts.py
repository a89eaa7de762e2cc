"""What an exercise of each kind and level asks: the numbers drawn, the question, the calculation.

Every function here draws one `Draft`; `DRAFTS` says which stand for which kind and level. How one
of many drafts is chosen stands in `exercises.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product

from labkit.handcalc import miscounts
from labkit.handcalc import mistakes as catalogue
from labkit.handcalc.counts import ParameterCount, ReceptiveField
from labkit.handcalc.layers import (
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
)
from labkit.handcalc.mistakes import Mistake, explain, wrong_answers
from labkit.handcalc.shapes import OutputSize, Solution, TransposedOutputSize, solve
from labkit.handcalc.windows import Worked, avg_pool, convolve, cross_correlate, flat, max_pool

SIZES = (20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 100, 112, 128, 160, 200, 224, 256)
KERNELS = (3, 5, 7, 9, 11)

HIGH_AND_WIDE = "How high and how wide is the output? Answer as height × width."
ONE_NUMBER = "Answer with one whole number."
ROW_BY_ROW = "Answer row by row."


class Dice:
    """Draws that are the same for the same seed in every version of Python.

    `random()` is the one method whose numbers Python promises to keep, so it alone is used.
    `turn` counts the exercises of a sheet: neighbours on a sheet shall differ.
    """

    def __init__(self, seed: str, turn: int):
        self._random = random.Random(seed).random
        self.turn = turn

    def pick(self, options: Sequence):
        """One of the options."""
        return options[int(self._random() * len(options))]

    def next(self, options: Sequence):
        """The option whose turn it is: all differ on a sheet no longer than the options."""
        # 37 is prime, so that all have their turn, and neighbours are not alike
        return options[37 * self.turn % len(options)]

    def matrix(self, rows: int, columns: int, entries: Sequence[int]) -> list[list[int]]:
        return [[self.pick(entries) for _ in range(columns)] for _ in range(rows)]


@dataclass(frozen=True)
class Draft:
    """A question with its calculation, and the usual mistakes that its answer shall tell apart."""

    question: str
    calculation: object
    mistakes: tuple[Mistake, ...]

    @cached_property
    def wrong_answers(self) -> dict[Mistake, set[tuple]]:
        """What each of the usual mistakes leads to, as entries in reading order."""
        right = tuple(flat(self.calculation.result))
        found: dict[Mistake, set[tuple]] = {mistake: set() for mistake in self.mistakes}
        for mistake, value in _wrong_answers(self.calculation):
            entries = tuple(flat(value))
            if mistake in found and entries != right:
                found[mistake].add(entries)
        return found

    @cached_property
    def told_apart(self) -> list[Mistake]:
        """The mistakes that lead to answers of their own."""
        answers = self.wrong_answers
        return [
            mistake
            for mistake in self.mistakes
            if answers[mistake]
            and not any(answers[mistake] & answers[other] for other in answers if other != mistake)
        ]


def _wrong_answers(calculation) -> Iterable[tuple[Mistake, object]]:
    if isinstance(calculation, Solution):  # its mistakes are found by trying answers
        for answer in range(2 * calculation.result + 20):
            for explanation in explain(calculation, [answer], ()):
                yield explanation.mistakes[0], answer
    else:
        for mistake, value, _ in wrong_answers(calculation):
            yield mistake, value


def _by(height: int, width: int | None = None) -> str:
    return f"{height} × {height if width is None else width}"


def _latex(matrix: Iterable[Iterable[int]]) -> str:
    rows = r" \\ ".join(" & ".join(map(str, row)) for row in matrix)
    return rf"\begin{{pmatrix}} {rows} \end{{pmatrix}}"


def _display(**matrices) -> str:
    r"""Named matrices and numbers side by side: `_display(X=[[1, 2]], b=3)`."""
    parts = (
        f"{name} = {_latex(value) if isinstance(value, list) else value}"
        for name, value in matrices.items()
    )
    return "$$" + r" \qquad ".join(parts) + "$$"


def _some_padding(dice: Dice, kernel: int, dilation: int = 1) -> int:
    """At most as much as keeps the size with stride 1, and at least 1."""
    return dice.pick(range(1, dilation * (kernel - 1) // 2 + 1))


def _steps(stride: int, padding: int) -> str:
    around = f"padding {padding}" if padding else "no padding"
    return f"stride {stride} and {around}"


# ------------------------------------------------------------------------------ output size


def _plain_convolution(dice: Dice) -> Draft:
    size, kernel = dice.next(SIZES), dice.pick(KERNELS)
    return Draft(
        f"A convolution with {_by(kernel)} kernels, stride 1 and no padding reads images of "
        f"{_by(size)}. {HIGH_AND_WIDE}",
        OutputSize((size, size), kernel),
        (miscounts.PLUS_ONE_FORGOTTEN, miscounts.PLUS_ONE_INSIDE, miscounts.KERNEL_LEFT_OUT),
    )


def _plain_pooling(dice: Dice) -> Draft:
    size, kernel = dice.next(SIZES), dice.pick((2, 3, 4, 5, 6, 7))
    return Draft(
        f"Images of {_by(size)} are pooled with windows of {_by(kernel)} that do not overlap "
        f"(stride {kernel}), without padding. {HIGH_AND_WIDE}",
        OutputSize((size, size), kernel, stride=kernel),
        (miscounts.PLUS_ONE_FORGOTTEN, miscounts.STRIDE_IGNORED, miscounts.ROUNDED_UP),
    )


def _strided(dice: Dice) -> Draft:
    # even sizes alone would hide what rounding does
    size, kernel = dice.next(SIZES) + dice.pick((-1, 0, 1)), dice.pick(KERNELS)
    stride = dice.pick((2, 3, 4))
    padding = _some_padding(dice, kernel)
    return Draft(
        f"A convolution with {_by(kernel)} kernels, {_steps(stride, padding)} (on every side) "
        f"reads images of {_by(size)}. {HIGH_AND_WIDE}",
        OutputSize((size, size), kernel, stride=stride, padding=padding),
        (
            miscounts.PLUS_ONE_FORGOTTEN,
            miscounts.PADDING_LEFT_OUT,
            miscounts.PADDING_COUNTED_ONCE,
            miscounts.STRIDE_IGNORED,
        ),
    )


def _overlapping_windows(dice: Dice) -> Draft:
    size, kernel, stride = dice.next(SIZES), *dice.pick(((3, 2), (4, 2), (4, 3), (5, 2), (5, 3)))
    return Draft(
        f"Images of {_by(size)} are pooled with windows of {_by(kernel)}, stride {stride} and no "
        f"padding: the windows overlap. {HIGH_AND_WIDE}",
        OutputSize((size, size), kernel, stride=stride),
        (miscounts.PLUS_ONE_FORGOTTEN, miscounts.STRIDE_IGNORED, miscounts.ROUNDED_UP),
    )


def _dilated(dice: Dice) -> Draft:
    size, kernel, dilation = dice.next(SIZES), dice.pick((3, 5)), dice.pick((2, 3, 4))
    stride, padding = dice.pick((1, 2)), _some_padding(dice, kernel, dilation)
    stride_ignored = (miscounts.STRIDE_IGNORED,) if stride > 1 else ()
    return Draft(
        f"A convolution with {_by(kernel)} kernels, dilation {dilation}, {_steps(stride, padding)} "
        f"(on every side) reads images of {_by(size)}. {HIGH_AND_WIDE}",
        OutputSize((size, size), kernel, stride=stride, padding=padding, dilation=dilation),
        (
            miscounts.DILATION_IGNORED,
            miscounts.DILATION_TIMES_KERNEL,
            miscounts.PLUS_ONE_FORGOTTEN,
            miscounts.PADDING_LEFT_OUT,
            miscounts.PADDING_COUNTED_ONCE,
            *stride_ignored,
        ),
    )


def _rectangular(dice: Dice) -> Draft:
    size = dice.next(SIZES), dice.pick(SIZES)
    kernel = dice.pick(KERNELS), dice.pick(KERNELS)
    stride = dice.pick(((2, 3), (3, 2), (2, 4), (4, 2)))
    padding = _some_padding(dice, kernel[0]), _some_padding(dice, kernel[1])
    return Draft(
        f"A convolution reads images of {_by(*size)} (height × width). Its kernels are "
        f"{_by(*kernel)}, its stride is {stride[0]} down and {stride[1]} across, its padding "
        f"{padding[0]} above and below and {padding[1]} left and right. {HIGH_AND_WIDE}",
        OutputSize(size, kernel, stride=stride, padding=padding),
        (
            catalogue.ROWS_FOR_COLUMNS,
            miscounts.PLUS_ONE_FORGOTTEN,
            miscounts.STRIDE_IGNORED,
            miscounts.STRIDE_ON_ONE_AXIS,
            miscounts.PADDING_LEFT_OUT,
            miscounts.PADDING_COUNTED_ONCE,
        ),
    )


def _rounded_up(dice: Dice) -> Draft:
    size, kernel, stride = dice.next(SIZES), dice.pick((3, 4, 5, 6, 7)), dice.pick((2, 3, 4))
    padding = dice.pick(range(1, kernel // 2 + 1))
    return Draft(
        f"Images of {_by(size)} are pooled with windows of {_by(kernel)}, "
        f"{_steps(stride, padding)} (on every side). The size is rounded up (`ceil_mode`): a last "
        f"window may hang over the edge. {HIGH_AND_WIDE}",
        OutputSize((size, size), kernel, stride=stride, padding=padding, ceil_mode=True),
        # who forgets the + 1 gets the size that is rounded down
        (miscounts.ROUNDED_DOWN, miscounts.PADDING_LEFT_OUT, miscounts.STRIDE_IGNORED),
    )


def _transposed(dice: Dice) -> Draft:
    size, kernel = dice.next((4, 7, 8, 14, 16, 28, 32, 56, 64)), dice.pick((3, 4, 5, 6, 7))
    stride, padding, more = dice.pick((2, 3, 4)), _some_padding(dice, kernel), dice.pick((0, 2, 3))
    settings = f"{_steps(stride, padding)} (on every side)"
    if more:
        settings = f"stride {stride}, padding {padding} (on every side) and output padding {more}"
    return Draft(
        f"A transposed convolution with {_by(kernel)} kernels, {settings} reads maps of "
        f"{_by(size)}. {HIGH_AND_WIDE}",
        TransposedOutputSize((size, size), kernel, stride, padding, more),
        (
            miscounts.NOT_TRANSPOSED,
            miscounts.TRANSPOSED_PLUS_ONE_FORGOTTEN,
            miscounts.TRANSPOSED_PADDING_LEFT_OUT,
            miscounts.TRANSPOSED_PADDING_COUNTED_ONCE,
            miscounts.TRANSPOSED_STRIDE_IGNORED,
        )
        + ((miscounts.OUTPUT_PADDING_LEFT_OUT,) if more else ()),
    )


# ------------------------------------------------------------------------------ solve


def _solve(
    dice: Dice,
    unknown: str,
    mistakes: tuple[Mistake, ...],
    *,
    sizes: Sequence[int] = SIZES,
    strides: Sequence[int] = (1,),
    dilations: Sequence[int] = (1,),
) -> Draft:
    """All numbers are drawn, the output computed, and then one of them is asked for."""
    size, kernel, stride = dice.next(sizes), dice.pick(KERNELS), dice.pick(strides)
    dilation = dice.pick(dilations)
    padding = _some_padding(dice, kernel, dilation)
    output = OutputSize(size, kernel, stride, padding, dilation).result
    given = {
        **{"input": size, "kernel": kernel, "stride": stride, "padding": padding},
        **{"dilation": dilation, "output": output, unknown: None},
    }
    solution = solve(**given)

    words = {
        "kernel": f"{_by(kernel)} kernels",
        "stride": f"stride {stride}",
        "padding": f"padding {padding} (on every side)",
        "dilation": f"dilation {dilation}",
    }
    if max(dilations) == 1:
        del words["dilation"]  # it is not spoken of
    words.pop(unknown, None)
    *first, last = words.values()
    image = "a square image" if unknown == "input" else _by(size)
    answer = ONE_NUMBER
    if len(solution.values) > 1:
        answer = "More than one is possible: answer with one of them, or with all in order."
    return Draft(
        f"A convolution with {', '.join(first)} and {last} turns {image} into {_by(output)}. "
        f"{_ASKED[unknown]} {answer}",
        solution,
        mistakes,
    )


_ASKED = {
    "input": "What is the side length of the image?",
    "kernel": "What is the side length of its square kernels?",
    "stride": "What is its stride?",
    "padding": "What is its padding (on every side)?",
    "dilation": "What is its dilation?",
}

_PADDING = (miscounts.PADDING_LEFT_OUT, miscounts.PADDING_COUNTED_ONCE)
_PLUS_ONE = (miscounts.PLUS_ONE_FORGOTTEN, miscounts.PLUS_ONE_INSIDE)
_ASKED_PADDING = (miscounts.PADDING_COUNTED_ONCE, miscounts.KERNEL_FOR_PADDING)

SOLVE = (
    (
        partial(_solve, unknown="padding", mistakes=_ASKED_PADDING),
        partial(_solve, unknown="kernel", mistakes=_PLUS_ONE + _PADDING),
        partial(_solve, unknown="input", mistakes=_PLUS_ONE + _PADDING),
    ),
    (
        partial(
            _solve,
            unknown="padding",
            mistakes=(miscounts.PLUS_ONE_FORGOTTEN, *_ASKED_PADDING),
            strides=(2,),
        ),
        partial(
            _solve,
            unknown="stride",
            mistakes=(miscounts.PLUS_ONE_FORGOTTEN, miscounts.ROUNDED_UP),
            sizes=SIZES[:10],  # few places for the window, else the mistakes have no stride
            strides=(3, 4, 5, 6, 7, 8),
        ),
    ),
    (
        partial(
            _solve,
            unknown="input",
            mistakes=(miscounts.PLUS_ONE_FORGOTTEN, *_PADDING, miscounts.STRIDE_IGNORED),
            strides=(2, 3),
        ),
        partial(
            _solve,
            unknown="kernel",
            mistakes=(miscounts.DILATION_IGNORED, *_PADDING),
            dilations=(2, 3),
        ),
        partial(
            _solve,
            unknown="padding",
            mistakes=(miscounts.DILATION_TIMES_KERNEL, *_ASKED_PADDING),
            dilations=(2, 3),
        ),
        partial(
            _solve,
            unknown="kernel",
            mistakes=(miscounts.PLUS_ONE_FORGOTTEN, *_PADDING),
            strides=(2, 3),
        ),
        partial(_solve, unknown="dilation", mistakes=_PADDING, dilations=(2, 3, 4)),
    ),
)


# ------------------------------------------------------------------------------ convolution

AS_IT_IS = "(as libraries do: the kernel is laid on as it is)"
WEIGHTS = (-2, -1, 1, 2, 3)
TURNED = "(a true convolution: the kernel is turned by 180°)"


def _cross_correlation(dice: Dice) -> Draft:
    x, k = dice.matrix(3, 4, range(6)), dice.matrix(2, 2, WEIGHTS)
    return Draft(
        f"Cross-correlate the image $X$ with the kernel $K$ {AS_IT_IS}, with stride 1 and no "
        f"padding. {ROW_BY_ROW}\n\n{_display(X=x, K=k)}",
        cross_correlate(x, k),
        (catalogue.FLIPPED, catalogue.HALF_FLIPPED, catalogue.TRANSPOSED),
    )


def _convolution(dice: Dice) -> Draft:
    x, k = dice.matrix(3, 4, range(6)), dice.matrix(3, 3, range(-2, 3))
    return Draft(
        f"Convolve the image $X$ with the kernel $K$ {TURNED}, with stride 1 and one line of zeros "
        f"around the image (padding 1). {ROW_BY_ROW}\n\n{_display(X=x, K=k)}",
        convolve(x, k, padding=1),
        (
            catalogue.NOT_FLIPPED,
            catalogue.HALF_FLIPPED,
            catalogue.TRANSPOSED,
            catalogue.PADDING_LEFT_OUT,
            catalogue.PADDED_ON_ONE_SIDE,
        ),
    )


def _strided_convolution(dice: Dice) -> Draft:
    x, k = dice.matrix(5, 5, range(5)), dice.matrix(3, 3, range(-2, 3))
    bias = dice.pick((-3, -2, -1, 1, 2, 3))
    return Draft(
        f"Cross-correlate the image $X$ with the kernel $K$ {AS_IT_IS}, with stride 2 and one line "
        f"of zeros around the image (padding 1), and add the bias $b$. {ROW_BY_ROW}\n\n"
        f"{_display(X=x, K=k, b=bias)}",
        cross_correlate(x, k, stride=2, padding=1, bias=bias),
        (
            catalogue.FLIPPED,
            catalogue.PADDING_LEFT_OUT,
            catalogue.STRIDE_IGNORED,
            catalogue.STRIDE_OF_THE_WINDOW,
            catalogue.BIAS_LEFT_OUT,
            catalogue.BIAS_PER_PRODUCT,
        ),
    )


def _dilated_convolution(dice: Dice) -> Draft:
    x, k = dice.matrix(4, 5, range(6)), dice.matrix(2, 2, WEIGHTS)
    bias = dice.pick((-3, -2, -1, 1, 2, 3))
    return Draft(
        f"Convolve the image $X$ with the kernel $K$ {TURNED}, with dilation 2, stride 1 and no "
        f"padding, and add the bias $b$. {ROW_BY_ROW}\n\n{_display(X=x, K=k, b=bias)}",
        convolve(x, k, dilation=2, bias=bias),
        (
            catalogue.NOT_FLIPPED,
            catalogue.HALF_FLIPPED,
            catalogue.DILATION_IGNORED,
            catalogue.BIAS_LEFT_OUT,
            catalogue.BIAS_PER_PRODUCT,
        ),
    )


def _two_channels(dice: Dice) -> Draft:
    x = [dice.matrix(3, 4, range(5)) for _ in range(2)]
    k = [dice.matrix(2, 2, WEIGHTS) for _ in range(2)]
    bias = dice.pick((-3, -2, -1, 1, 2, 3))
    return Draft(
        "Cross-correlate the image of two channels $X_1$ and $X_2$ with one filter, whose kernels "
        f"are $K_1$ and $K_2$ {AS_IT_IS}, with stride 1 and no padding, and add the bias $b$. "
        f"{ROW_BY_ROW}\n\n{_display(X_1=x[0], X_2=x[1])}\n\n"
        f"{_display(K_1=k[0], K_2=k[1], b=bias)}",
        cross_correlate(x, k, bias=bias),
        (
            catalogue.FLIPPED,
            catalogue.CHANNELS_NOT_SUMMED,
            catalogue.BIAS_LEFT_OUT,
            catalogue.BIAS_PER_PRODUCT,
        ),
    )


# ------------------------------------------------------------------------------ pooling

FRACTIONS = "Answer row by row, with fractions (1/4) or decimals (0.25)."


def _max_pooled(x: list[list[int]], kernel: int, **settings) -> Worked:
    worked = max_pool(x, kernel, **settings)
    if len(set(flat(worked.result))) < 3:
        raise ValueError("the windows share their maxima; draw another image")
    return worked


def _max_pooling(dice: Dice) -> Draft:
    x = dice.matrix(4, dice.pick((4, 6)), range(10))
    return Draft(
        "Max pooling: take the maximum of every 2 × 2 window of $X$, with stride 2. "
        f"{ROW_BY_ROW}\n\n{_display(X=x)}",
        _max_pooled(x, 2),
        (catalogue.AVERAGE_FOR_MAXIMUM, catalogue.STRIDE_IGNORED),
    )


def _overlapping(dice: Dice) -> Draft:
    rows, columns, stride = dice.pick(((4, 5, 1), (5, 5, 2), (5, 7, 2)))
    x = dice.matrix(rows, columns, range(10))
    stride_ignored = (catalogue.STRIDE_IGNORED,) if stride > 1 else ()
    return Draft(
        f"Max pooling of $X$ with windows of 3 × 3, stride {stride} and no padding: the windows "
        f"overlap. {ROW_BY_ROW}\n\n{_display(X=x)}",
        _max_pooled(x, 3, stride=stride),
        (catalogue.AVERAGE_FOR_MAXIMUM, catalogue.STRIDE_OF_THE_WINDOW, *stride_ignored),
    )


def _padded_pooling(dice: Dice) -> Draft:
    x = dice.matrix(5, 5, range(-9, 3))
    return Draft(
        "Max pooling of $X$ with windows of 3 × 3, stride 2 and padding 1; the padding never wins. "
        f"{ROW_BY_ROW}\n\n{_display(X=x)}",
        _max_pooled(x, 3, stride=2, padding=1),
        (
            catalogue.AVERAGE_FOR_MAXIMUM,
            catalogue.PADDING_COUNTED,
            catalogue.PADDING_LEFT_OUT,
            catalogue.STRIDE_IGNORED,
            catalogue.STRIDE_OF_THE_WINDOW,
        ),
    )


def _averages(dice: Dice, sentence: str, mistake: Mistake, rows, columns, **settings) -> Draft:
    x = dice.matrix(rows, columns, range(10))
    return Draft(
        f"Average pooling of $X$ with windows of 2 × 2 and stride 2{sentence} {FRACTIONS}"
        f"\n\n{_display(X=x)}",
        avg_pool(x, 2, **settings),
        (
            mistake,
            catalogue.MAXIMUM_FOR_AVERAGE,
            catalogue.NOT_DIVIDED,
            catalogue.STRIDE_IGNORED,
        ),
    )


def _zeros_counted(dice: Dice) -> Draft:
    counted = ", padded with one line of zeros, which count as entries (`count_include_pad=True`)."
    return _averages(dice, counted, catalogue.PADDING_NOT_COUNTED, 4, 4, padding=1)


def _zeros_not_counted(dice: Dice) -> Draft:
    left_out = (
        ", padded with one line of zeros, which do not count as entries "
        "(`count_include_pad=False`)."
    )
    return _averages(
        dice, left_out, catalogue.PADDING_COUNTED, 4, 4, padding=1, count_include_pad=False
    )


def _hanging_over(dice: Dice) -> Draft:
    rounded = (
        ". The size is rounded up (`ceil_mode=True`): a last window may hang over the edge, and "
        "what lies outside does not count."
    )
    columns = dice.pick((4, 5, 6))
    return _averages(dice, rounded, catalogue.ROUNDED_DOWN, 5, columns, ceil_mode=True)


# ------------------------------------------------------------------------------ parameters


def _one_layer(dice: Dice) -> Draft:
    kernel, channels = dice.pick(KERNELS), dice.next((3, *range(4, 32, 2), *range(32, 80, 8)))
    filters = dice.pick((4, 6, 10, 14, 16, 20, 28, 32, 40, 50, 64, 100, 128))
    return Draft(
        f"A convolution has {filters} filters of {_by(kernel)} and reads {channels} channels. "
        f"How many parameters (weights and biases) has it? {ONE_NUMBER}",
        ParameterCount((Conv2d(channels, filters, kernel),)),
        (
            miscounts.BIAS_LEFT_OUT,
            miscounts.BIAS_PER_INPUT,
            miscounts.ONE_BIAS,
            miscounts.INPUT_CHANNELS_FORGOTTEN,
            miscounts.FILTERS_FORGOTTEN,
            miscounts.KERNEL_ONE_SIDED,
        ),
    )


def _network(layers: Sequence[Layer], shape: tuple[int, int, int], *mistakes: Mistake) -> Draft:
    channels, *size = shape
    listed = "\n".join(f"{number}. {layer}" for number, layer in enumerate(layers, start=1))
    return Draft(
        f"How many parameters (weights and biases) has this network for images of {channels} × "
        f"{_by(*size)}? {ONE_NUMBER}\n\n{listed}",
        ParameterCount(tuple(layers), shape),
        mistakes,
    )


def _small_network(dice: Dice) -> Draft:
    return _with_flatten(dice, dice.pick(((8,), (12,), (16,), (20,), (24,))))


def _deeper_network(dice: Dice) -> Draft:
    return _with_flatten(
        dice, dice.pick(((6, 16), (6, 20), (8, 20), (8, 24), (10, 32), (16, 40), (12, 32)))
    )


def _with_flatten(dice: Dice, filters_of_layers: Sequence[int]) -> Draft:
    channels, size = 3, dice.next(range(28, 112, 4))
    shape = (channels, size, size)
    layers: list[Layer] = []
    for filters in filters_of_layers:
        kernel = dice.pick((3, 5))
        padding = dice.pick((0, kernel // 2))
        layers += [Conv2d(channels, filters, kernel, padding=padding), ReLU(), MaxPool2d(2)]
        channels = filters
    _, height, width = _output_shape(layers, shape)
    layers += [Flatten(), Linear(channels * height * width, dice.pick((10, 20, 100)))]
    return _network(
        layers,
        shape,
        miscounts.BIAS_LEFT_OUT,
        miscounts.BIAS_PER_INPUT,
        miscounts.ONE_BIAS,
        miscounts.INPUT_CHANNELS_FORGOTTEN,
        miscounts.KERNEL_ONE_SIDED,
        miscounts.POOLING_WEIGHTS,
        miscounts.WITHOUT_SPATIAL_SIZE,
        miscounts.WRONG_SPATIAL_SIZE,
    )


def _output_shape(layers: Iterable[Layer], shape: tuple[int, ...]) -> tuple[int, ...]:
    for layer in layers:
        shape = layer.output_shape(shape)
    return shape


def _grouped_network(dice: Dice) -> Draft:
    size, first = dice.pick((32, 48, 64, 96)), dice.next((16, 24, 32, 40, 48, 64, 80))
    groups, second = dice.pick((2, 4, 8)), dice.pick((32, 48, 64, 96))
    layers = (
        *(Conv2d(3, first, 3, padding=1, bias=False), BatchNorm2d(first), ReLU(), MaxPool2d(2)),
        *(Conv2d(first, second, 3, padding=1, groups=groups, bias=False), BatchNorm2d(second)),
        *(ReLU(), GlobalAvgPool2d(), Flatten(), Linear(second, 10)),
    )
    return _learning(layers, size)


def _separable_network(dice: Dice) -> Draft:
    size, first = dice.pick((32, 48, 64, 96)), dice.next((8, 12, 16, 20, 24, 32, 40))
    kernel, second = dice.pick((3, 5)), dice.pick((16, 32, 48, 64))
    layers = (
        *(Conv2d(3, first, 3, stride=2, padding=1, bias=False), BatchNorm2d(first), ReLU()),
        Conv2d(first, first, kernel, padding=kernel // 2, groups=first, bias=False),
        *(Conv2d(first, second, 1, bias=False), BatchNorm2d(second), ReLU()),
        *(GlobalAvgPool2d(), Flatten(), Linear(second, 10)),
    )
    return _learning(layers, size)


def _learning(layers: Sequence[Layer], size: int) -> Draft:
    return _network(
        layers,
        (3, size, size),
        miscounts.BIAS_LEFT_OUT,
        miscounts.GROUPS_IGNORED,
        miscounts.NORMALISATION_LEFT_OUT,
        miscounts.STATISTICS_COUNTED,
    )


# ------------------------------------------------------------------------------ receptive field


def _fields(layers: Sequence[Layer], *mistakes: Mistake) -> Draft:
    listed = "\n".join(
        f"{number}. {_window_words(layer)}" for number, layer in enumerate(layers, start=1)
    )
    return Draft(
        "How large is the receptive field, in pixels along one axis, after each of these layers? "
        f"Answer with {len(layers)} whole numbers, separated by commas.\n\n{listed}",
        ReceptiveField(tuple(layers)),
        mistakes,
    )


def _window_words(layer: Conv2d | MaxPool2d) -> str:
    if isinstance(layer, MaxPool2d):
        return f"{_by(layer.kernel)} max pooling, stride {layer.stride}"
    dilation = f", dilation {layer.dilation}" if layer.dilation > 1 else ""
    return f"{_by(layer.kernel)} convolution, stride {layer.stride}{dilation}"


def _layer(kernel: int, stride: int = 1, dilation: int = 1) -> Conv2d:
    return Conv2d(1, 1, kernel, stride=stride, dilation=dilation)  # channels do not matter here


POOLINGS = ((2, 2), (3, 2), (3, 3))


def _two_or_three(dice: Dice) -> Draft:
    first, second = dice.next(tuple(product((3, 5, 7, 9, 11), repeat=2)))
    layers = [_layer(first), _layer(second), _layer(dice.pick((3, 5, 7)))]
    return _fields(
        layers[: dice.pick((2, 3))],
        miscounts.KERNELS_ADDED_UP,
        miscounts.ONE_FORGOTTEN,
        miscounts.OWN_KERNEL,
    )


def _with_pooling(dice: Dice) -> Draft:
    first, second, pooling = dice.next(tuple(product((3, 5, 7), (3, 5, 7), POOLINGS)))
    layers = [
        _layer(first, stride=dice.pick((1, 1, 2))),
        MaxPool2d(*pooling),
        _layer(second, stride=dice.pick((1, 2))),
        MaxPool2d(*dice.pick(POOLINGS)),
    ]
    return _fields(
        layers[: dice.pick((3, 4))],
        miscounts.STRIDE_TOO_MANY,
        miscounts.STRIDES_IGNORED,
        miscounts.KERNELS_ADDED_UP,
        miscounts.KERNEL_NOT_LESSENED,
        miscounts.ONE_FORGOTTEN,
        miscounts.OWN_KERNEL,
    )


def _with_dilation(dice: Dice) -> Draft:
    first, second, dilation = dice.next(tuple(product((3, 5, 7), (3, 5, 7), (2, 3))))
    stride, pooling = dice.pick((1, 2)), [MaxPool2d(*dice.pick(POOLINGS))]
    layers = [
        _layer(first, stride=stride),
        *pooling[stride - 1 :],  # one of the two makes the map smaller
        _layer(second, dilation=dilation),
        _layer(dice.pick((3, 5)), stride=dice.pick((1, 2)), dilation=dice.pick((1, 2, 4))),
    ]
    return _fields(
        layers,
        miscounts.FIELD_DILATION_IGNORED,
        miscounts.STRIDE_TOO_MANY,
        miscounts.STRIDES_IGNORED,
        miscounts.KERNELS_ADDED_UP,
        miscounts.ONE_FORGOTTEN,
        miscounts.OWN_KERNEL,
    )


# for each kind three levels, each with the drafts that take turns on a sheet
DRAFTS: dict[str, tuple[tuple[Callable[[Dice], Draft], ...], ...]] = {
    "output-size": (
        (_plain_convolution, _plain_pooling),
        (_strided, _overlapping_windows),
        (_dilated, _rectangular, _rounded_up, _transposed),
    ),
    "solve": SOLVE,
    "convolution": (
        (_cross_correlation,),
        (_convolution,),
        (_strided_convolution, _dilated_convolution, _two_channels),
    ),
    "pooling": (
        (_max_pooling,),
        (_overlapping, _padded_pooling),
        (_zeros_counted, _zeros_not_counted, _hanging_over),
    ),
    "parameters": (
        (_one_layer,),
        (_small_network, _deeper_network),
        (_grouped_network, _separable_network),
    ),
    "receptive-field": ((_two_or_three,), (_with_pooling,), (_with_dilation,)),
}
