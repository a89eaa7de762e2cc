"""The catalogue of mistakes: each computes the wrong answer that it leads to.

So a wrong answer is explained by search, not by guess. `explain` finds the mistakes that lead to an
answer, the simplest first. Here stand the mistakes of a calculation window by window, each a change
of its `Plan`; those of sizes and counts, each another formula, stand in `miscounts.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, singledispatch
from itertools import chain

from labkit.handcalc.answers import Given, same
from labkit.handcalc.windows import Number, Plan, Worked, flat

MOST_CHANNELS = 8  # that are tried one by one; who works with more by hand is not known
FEWEST_FOR_PAIRS = 3  # wrong entries; fewer are explained by some pair of mistakes or other


@dataclass(frozen=True)
class Mistake:
    """What went wrong, and how it goes right.

    `name` is a clause ("the kernel was not flipped"), `remedy` a sentence that does not give the
    answer away.
    """

    name: str
    remedy: str


@dataclass(frozen=True)
class Explanation:
    """One mistake, or two together, that lead to an answer: `mistakes`.

    `place` says where, if it matters.
    """

    mistakes: tuple[Mistake, ...]
    place: str = ""

    def __str__(self) -> str:
        names = " and ".join(mistake.name for mistake in self.mistakes)
        return f"{names} ({self.place})" if self.place else names

    @property
    def remedy(self) -> str:
        """How it goes right, in sentences."""
        return " ".join(dict.fromkeys(mistake.remedy for mistake in self.mistakes))


@singledispatch
def wrong_answers(calculation) -> Iterator[tuple[Mistake, object, str]]:
    """Every (mistake, wrong answer, place) that the catalogue holds for a calculation."""
    return iter(())


@singledispatch
def explain(calculation, entries: Sequence[Given], shape: tuple[int, ...]) -> list[Explanation]:
    """The mistakes that lead to a wrong answer, the simplest first; none where none does.

    The answer is given as its entries in reading order and its shape, as `answers.read` gives it.
    Pairs of mistakes are looked for where the answer is a matrix; a single number would be
    explained by some pair almost always.
    """
    if _is(entries, calculation.result):
        return []
    found = [
        Explanation((mistake,), place)
        for mistake, value, place in wrong_answers(calculation)
        if _is(entries, value)
    ]
    return list(dict.fromkeys(found))


def _is(entries: Sequence[Given], value) -> bool:
    """Whether the entries of an answer are those of a number, a tuple or a list."""
    values = list(flat(value))
    return len(values) == len(entries) and all(map(same, entries, values))


# --------------------------------------------------------------------------- window by window

NOT_FLIPPED = Mistake(
    "the kernel was not flipped",
    "A convolution turns the kernel by 180° before it is laid on the image.",
)
FLIPPED = Mistake(
    "the kernel was flipped",
    "A cross-correlation, which libraries call convolution, takes the kernel as it is.",
)
HALF_FLIPPED = Mistake(
    "the kernel was flipped along one axis only",
    "Turning by 180° reverses the order of the rows and that of the columns.",
)
TRANSPOSED = Mistake(
    "the kernel was transposed",
    "Rows of the kernel stay rows; a transposed kernel has its rows as columns.",
)
PADDING_LEFT_OUT = Mistake(
    "the padding was left out",
    "Surround the input with zeros first; the windows then begin outside of it.",
)
PADDED_ON_ONE_SIDE = Mistake(
    "the input was padded on one side only",
    "Padding p adds p zeros at either end of the rows and of the columns.",
)
EDGE_VALUES = Mistake(
    "the padding repeats the values of the edge",
    "The padding holds zeros.",
)
STRIDE_IGNORED = Mistake(
    "the stride was ignored",
    "Stride s moves the window by s entries at a time, not by one.",
)
STRIDE_ON_ONE_AXIS = Mistake(
    "the stride was applied to one axis only",
    "The stride holds for the way down and for the way to the right.",
)
STRIDE_OF_THE_WINDOW = Mistake(
    "the window was moved by its own width",
    "The stride says by how much the window moves, whatever its size.",
)
OFF_BY_ONE = Mistake(
    "the windows begin one entry off",
    "The first window begins at the first entry of the padded input.",
)
DILATION_IGNORED = Mistake(
    "the dilation was ignored",
    "Dilation d leaves d − 1 entries out between neighbouring entries of the kernel.",
)
DILATION_AS_HOLES = Mistake(
    "the dilation was taken for the number of holes",
    "Dilation d is the step between the entries that a kernel meets: d − 1 are left out between.",
)
BIAS_LEFT_OUT = Mistake("the bias was left out", "Add the bias once to the sum of every window.")
BIAS_PER_PRODUCT = Mistake(
    "the bias was added to every product",
    "Add the bias once to the sum of a window, not once for each product.",
)
BIAS_PER_CHANNEL = Mistake(
    "the bias was added for every channel",
    "Add the bias once to the sum of a window, not once for each input channel.",
)
CHANNELS_TWICE = Mistake(
    "input channels were summed twice",
    "Every input channel counts once in the sum of a window.",
)
CHANNELS_NOT_SUMMED = Mistake(
    "the input channels were not summed",
    "A filter adds up the products of all the channels that it reads.",
)
GROUPS_IGNORED = Mistake(
    "the groups were ignored",
    "With groups a filter reads the channels of its own group alone.",
)
FILTERS_SUMMED = Mistake(
    "the filters were summed into one map", "Every filter gives an output map of its own."
)
MAXIMUM_FOR_AVERAGE = Mistake(
    "the maximum was taken for the average", "Average pooling adds up a window and divides."
)
AVERAGE_FOR_MAXIMUM = Mistake(
    "the average was taken for the maximum", "Max pooling takes the largest entry of a window."
)
NOT_DIVIDED = Mistake(
    "the sum was not divided", "An average is the sum over the number of entries that count."
)
PADDING_COUNTED = Mistake(
    "the padding was counted",
    "Here the padding does not count: leave its zeros out of the maximum or the average.",
)
PADDING_NOT_COUNTED = Mistake(
    "the padding was not counted",
    "Here the zeros of the padding count as entries of the average.",
)
ROUNDED_DOWN = Mistake(
    "the size was rounded down", "The size is rounded up here: a last window may hang over."
)
ROUNDED_UP = Mistake("the size was rounded up", "The size is rounded down: windows must fit whole.")
ROWS_FOR_COLUMNS = Mistake(
    "rows and columns were swapped", "Rows come first, and count from the top."
)
SIGN_SLIP = Mistake("the sign of one product slipped", "Work this product out once more.")
SWAPPED = Mistake("two entries changed places", "The values are right, their places are not.")

Change = Callable[[Plan, Worked], Iterator[Plan]]
_CHANGES: list[tuple[Mistake, Change]] = []  # the commoner first


def _leads_to(*mistakes: Mistake):
    """Enter a change of plan into the catalogue."""

    def enter(change):
        _CHANGES.extend((mistake, change) for mistake in mistakes)
        return change

    return enter


def _filters(plan: Plan, turn) -> Plan:
    """The plan with every kernel matrix replaced by `turn(matrix)`."""
    return replace(plan, weights=[[turn(matrix) for matrix in part] for part in plan.weights])


def _flip_rows(matrix):
    return matrix[::-1]


def _flip_columns(matrix):
    return [row[::-1] for row in matrix]


def _transpose(matrix):
    return [list(column) for column in zip(*matrix, strict=True)]


@_leads_to(NOT_FLIPPED)
def _not_flipped(plan, worked):
    if worked.operation == "convolution":
        yield _filters(plan, lambda matrix: _flip_rows(_flip_columns(matrix)))


@_leads_to(FLIPPED)
def _flipped(plan, worked):
    if worked.operation == "cross-correlation":
        yield _filters(plan, lambda matrix: _flip_rows(_flip_columns(matrix)))


@_leads_to(HALF_FLIPPED)
def _half_flipped(plan, worked):
    if plan.weights:
        yield _filters(plan, _flip_rows)
        yield _filters(plan, _flip_columns)


@_leads_to(TRANSPOSED)
def _transposed(plan, worked):
    if plan.weights:
        turned = replace(_filters(plan, _transpose), kernel=plan.kernel[::-1])
        yield turned
        if worked.operation == "convolution":  # transposed in place of the flip
            yield _filters(turned, lambda matrix: _flip_rows(_flip_columns(matrix)))


@_leads_to(PADDING_LEFT_OUT)
def _padding_left_out(plan, worked):
    if any(plan.before + plan.after):
        yield replace(plan, before=(0, 0), after=(0, 0))


@_leads_to(PADDED_ON_ONE_SIDE)
def _padded_on_one_side(plan, worked):
    (top, left), (bottom, right) = plan.before, plan.after
    if any(plan.before) and any(plan.after):
        yield replace(plan, after=(0, 0))
        yield replace(plan, before=(0, 0))
    if (top or bottom) and (left or right):
        yield replace(plan, before=(top, 0), after=(bottom, 0))
        yield replace(plan, before=(0, left), after=(0, right))


@_leads_to(EDGE_VALUES)
def _edge_values(plan, worked):
    if any(plan.before + plan.after) and plan.weights:
        yield replace(plan, fill="edge")


@_leads_to(STRIDE_IGNORED)
def _stride_ignored(plan, worked):
    if plan.stride != (1, 1):
        yield replace(plan, stride=(1, 1))


@_leads_to(STRIDE_ON_ONE_AXIS)
def _stride_on_one_axis(plan, worked):
    down, right = plan.stride
    if down > 1 and right > 1:
        yield replace(plan, stride=(down, 1))
        yield replace(plan, stride=(1, right))


@_leads_to(STRIDE_OF_THE_WINDOW)
def _stride_of_the_window(plan, worked):
    if plan.stride != plan.kernel:
        yield replace(plan, stride=plan.kernel)


@_leads_to(OFF_BY_ONE)
def _off_by_one(plan, worked):
    (top, left), (bottom, right) = plan.before, plan.after
    for down, across in ((1, 1), (1, 0), (0, 1), (-1, -1), (-1, 0), (0, -1)):
        before = top - down, left - across
        yield replace(plan, before=before, after=(bottom + down, right + across))
        if down + across > 0:  # one window fewer at the end
            yield replace(plan, before=before)


@_leads_to(DILATION_IGNORED)
def _dilation_ignored(plan, worked):
    if plan.dilation != (1, 1):
        yield replace(plan, dilation=(1, 1))
        # or the size of the right answer, filled from windows without holes
        after = tuple(axis.after - axis.span + axis.kernel for axis in plan.axes)
        yield replace(plan, dilation=(1, 1), after=after)


@_leads_to(DILATION_AS_HOLES)
def _dilation_as_holes(plan, worked):
    if plan.dilation != (1, 1):
        yield replace(plan, dilation=tuple(d + 1 if d > 1 else 1 for d in plan.dilation))


@_leads_to(GROUPS_IGNORED)
def _groups_ignored(plan, worked):
    if worked.groups > 1 and plan.weights:
        every = range(len(plan.channels))
        width = len(plan.reads[0])
        yield replace(plan, reads=(tuple(range(width)),) * len(plan.reads))
        times = len(every) // width
        yield replace(
            plan,
            reads=(tuple(every),) * len(plan.reads),
            weights=[part * times for part in plan.weights],
        )


@_leads_to(BIAS_LEFT_OUT)
def _bias_left_out(plan, worked):
    if any(plan.biases):
        yield replace(plan, biases=(0,) * len(plan.biases))


@_leads_to(BIAS_PER_PRODUCT)
def _bias_per_product(plan, worked):
    if any(plan.biases):
        products = math.prod(plan.kernel)
        for times in {products, products * len(plan.reads[0])}:
            yield replace(plan, biases=tuple(bias * times for bias in plan.biases))


@_leads_to(BIAS_PER_CHANNEL)
def _bias_per_channel(plan, worked):
    if any(plan.biases) and len(plan.reads[0]) > 1:
        yield replace(plan, biases=tuple(bias * len(plan.reads[0]) for bias in plan.biases))


@_leads_to(CHANNELS_TWICE)
def _channels_twice(plan, worked):
    if plan.weights and len(plan.reads[0]) > 1:
        yield _filters(plan, _doubled)
        for twice in range(min(len(plan.reads[0]), MOST_CHANNELS)):
            yield replace(
                plan,
                reads=tuple((*reads, reads[twice]) for reads in plan.reads),
                weights=[[*part, part[twice]] for part in plan.weights],
            )


def _doubled(matrix):
    return [[2 * weight for weight in row] for row in matrix]


@_leads_to(CHANNELS_NOT_SUMMED)
def _channels_not_summed(plan, worked):
    if plan.weights and len(plan.reads[0]) > 1:
        for only in range(min(len(plan.reads[0]), MOST_CHANNELS)):
            yield replace(
                plan,
                reads=tuple((reads[only],) for reads in plan.reads),
                weights=[[part[only]] for part in plan.weights],
            )
        parts = list(zip(plan.reads, plan.weights, plan.biases, strict=True))
        yield replace(  # a map for every channel
            plan,
            reads=tuple((channel,) for reads, _, _ in parts for channel in reads),
            weights=[[matrix] for _, part, _ in parts for matrix in part],
            biases=tuple(bias for reads, _, bias in parts for _ in reads),
        )


@_leads_to(ROWS_FOR_COLUMNS)
def _settings_swapped(plan, worked):
    """(2, 1) for (1, 2): one of the settings, or all of them."""
    turned = {
        "stride": plan.stride[::-1],
        "dilation": plan.dilation[::-1],
        "before": plan.before[::-1],
        "after": plan.after[::-1],
    }
    if plan.weights is None:
        turned["kernel"] = plan.kernel[::-1]
    padding = {name: turned[name] for name in ("before", "after")}
    alone = [{name: turned[name]} for name in turned if name not in padding]
    for settings in (turned, padding, *alone):
        if any(getattr(plan, name) != value for name, value in settings.items()):
            yield replace(plan, **settings)


@_leads_to(FILTERS_SUMMED)
def _filters_summed(plan, worked):
    if plan.weights and len(plan.reads) > 1:
        yield replace(
            plan,
            reads=(tuple(chain(*plan.reads)),),
            weights=[list(chain(*plan.weights))],
            biases=(sum(plan.biases),),
        )


@_leads_to(MAXIMUM_FOR_AVERAGE)
def _maximum_for_average(plan, worked):
    if plan.reduce == "mean":
        yield replace(plan, reduce="max")
        if any(plan.before + plan.after):  # the padding's zeros may win, or take no part
            yield replace(plan, reduce="max", fill=None if plan.fill == 0 else 0)


@_leads_to(AVERAGE_FOR_MAXIMUM)
def _average_for_maximum(plan, worked):
    if plan.reduce == "max":
        yield replace(plan, reduce="mean")
        if any(plan.before + plan.after):
            yield replace(plan, reduce="mean", fill=0)


@_leads_to(NOT_DIVIDED)
def _not_divided(plan, worked):
    if plan.reduce == "mean":
        yield replace(plan, reduce="sum")


@_leads_to(PADDING_COUNTED)
def _padding_counted(plan, worked):
    if plan.weights is None and plan.fill is None and any(plan.before + plan.after):
        yield replace(plan, fill=0)


@_leads_to(PADDING_NOT_COUNTED)
def _padding_not_counted(plan, worked):
    if plan.weights is None and plan.fill == 0 and any(plan.before + plan.after):
        yield replace(plan, fill=None)


@_leads_to(ROUNDED_DOWN)
def _rounded_down(plan, worked):
    if plan.ceil_mode:
        yield replace(plan, ceil_mode=False)


@_leads_to(ROUNDED_UP)
def _rounded_up(plan, worked):
    if not plan.ceil_mode:
        up = replace(plan, ceil_mode=True)
        if plan.weights:  # what hangs over is zero
            after = tuple(
                axis.after + (axis.size - 1) * axis.stride + axis.span - axis.padded
                for axis in up.axes
            )
            if min(after) < 0:
                return
            up = replace(plan, after=after)
        yield up


@wrong_answers.register(Worked)
def _(worked: Worked):
    for mistake, plan in _changed(worked.plan, worked):
        if not all(plan.size):  # no window fits
            continue
        try:
            yield mistake, [plan.value(*place) for place in plan.places()], ""
        except ValueError:  # a window of nothing but padding
            continue


@explain.register(Worked)
def _(worked: Worked, entries, shape):
    wrong: Sequence[int] = range(len(entries))
    if shape == worked.shape:
        pairs = enumerate(zip(entries, flat(worked.result), strict=True))
        wrong = [place for place, pair in pairs if not same(*pair)]
    if not wrong:
        return []
    search = _Search(worked, _Answer(entries, shape, wrong))
    found = search.singles()
    if not found and len(wrong) >= FEWEST_FOR_PAIRS:
        found = search.pairs()
    return found


@dataclass(frozen=True)
class _Answer:
    """An answer to be explained; `wrong` are the places of the entries that are not right."""

    entries: Sequence[Given]
    shape: tuple[int, ...]
    wrong: Sequence[int]

    @cached_property
    def places(self) -> list[int]:
        """All places, the wrong ones first: most plans fail on the first of them."""
        wrong = set(self.wrong)
        return [*self.wrong, *(n for n in range(len(self.entries)) if n not in wrong)]


class _Search:
    """One answer, compared with what every plan in the catalogue leads to."""

    def __init__(self, worked: Worked, answer: _Answer):
        self.worked = worked
        self.answer = answer
        self.turned = _transposed_answer(answer)

    def singles(self) -> list[Explanation]:
        found = []
        for mistake, plan in _changed(self.worked.plan, self.worked):
            found += self._explained(plan, self.answer, mistake)
        found += self._explained(self.worked.plan, self.turned, ROWS_FOR_COLUMNS)
        found += self._slipped(self.worked.plan)
        return list(dict.fromkeys(found))

    def pairs(self) -> list[Explanation]:
        found = []
        for first, plan in _changed(self.worked.plan, self.worked):
            for second, both in _changed(plan, self.worked, after=first):
                found += self._explained(both, self.answer, first, second)
            found += self._explained(plan, self.turned, first, ROWS_FOR_COLUMNS)
            if len(self.answer.wrong) >= FEWEST_FOR_PAIRS + 2:  # a slip alone explains two of them
                found += self._slipped(plan, first)
        return list(dict.fromkeys(found))

    def _explained(self, plan: Plan, answer: _Answer, *mistakes: Mistake) -> list[Explanation]:
        """The explanation, if `plan` leads to the answer."""
        mistakes = tuple(dict.fromkeys(mistakes))
        return [Explanation(mistakes)] if _differ(plan, answer, most=0) == {} else []

    def _slipped(self, plan: Plan, *mistakes: Mistake) -> list[Explanation]:
        """The explanation, if `plan` leads to the answer but for a slip of the pen."""
        entries, shape, _ = self.answer.entries, self.answer.shape, self.answer.wrong
        differ = _differ(plan, self.answer, most=2) or {}
        named = " and ".join(named_place(position_of(place, shape)) for place in differ)
        if len(differ) == 2:
            (a, value_a), (b, value_b) = differ.items()
            if same(entries[a], value_b) and same(entries[b], value_a):
                return [Explanation((*mistakes, SWAPPED), named)]
        if len(differ) == 1:
            ((place, value),) = differ.items()
            if any(same(entries[place], value - 2 * part) for part in _products(plan, place)):
                return [Explanation((*mistakes, SIGN_SLIP), named)]
        return []


def _changed(
    plan: Plan, worked: Worked, after: Mistake | None = None
) -> Iterator[tuple[Mistake, Plan]]:
    """Every plan that one mistake makes of `plan`: of those behind `after` in the catalogue."""
    behind = after is None
    for mistake, change in _CHANGES:
        if behind and mistake is not after:
            for changed in change(plan, worked):
                yield mistake, changed
        behind = behind or mistake is after


def _differ(plan: Plan, answer: _Answer, most: int) -> dict[int, Number] | None:
    """Place and value of the entries that `plan` gives otherwise; None if more than `most`."""
    rows, columns = plan.size
    shape = (rows, columns) if len(answer.shape) == 2 else (len(plan.reads), rows, columns)
    if shape != answer.shape or len(answer.entries) != len(plan.reads) * rows * columns:
        return None
    differ: dict[int, Number] = {}
    for place in answer.places:
        try:
            value = plan.value(*_feature_map_row_column(plan, place))
        except ValueError:  # a window of nothing but padding
            return None
        if not same(answer.entries[place], value):
            differ[place] = value
            if len(differ) > most:
                return None
    return differ


def _products(plan: Plan, place: int) -> Iterator[Number]:
    """The products other than 0 that the value of a place is summed from."""
    if plan.weights is not None:
        feature_map, row, column = _feature_map_row_column(plan, place)
        pairs = zip(
            flat(plan.weights[feature_map]),
            flat(plan.entries(feature_map, row, column)),
            strict=True,
        )
        yield from (w * e for w, e in pairs if w * e != 0)


def _feature_map_row_column(plan: Plan, place: int) -> tuple[int, int, int]:
    rows, columns = plan.size
    feature_map, inside = divmod(place, rows * columns)
    return feature_map, *divmod(inside, columns)


def _transposed_answer(answer: _Answer) -> _Answer:
    """The answer with the rows of each matrix as columns."""
    rows, columns = answer.shape[-2:] if len(answer.shape) > 1 else (1, len(answer.entries))
    size = rows * columns
    entries = [
        answer.entries[start + row * columns + column]
        for start in range(0, len(answer.entries), size)
        for column in range(columns)
        for row in range(rows)
    ]
    return _Answer(entries, (*answer.shape[:-2], columns, rows), range(len(entries)))


def position_of(index: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The position of the entry number `index` in reading order."""
    position = []
    for length in reversed(shape):
        index, here = divmod(index, length)
        position.insert(0, here)
    return tuple(position)


def named_place(position: tuple[int, ...]) -> str:
    """A position in words: `named_place((1, 2))` is 'row 2 column 3'."""
    names = ("entry",) if len(position) == 1 else ("filter", "channel", "row", "column")
    names = names[-len(position) :]
    return " ".join(f"{name} {index + 1}" for name, index in zip(names, position, strict=True))
