"""Convolution and pooling: on paper, then PyTorch and SciPy, then properties."""

import re
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.signal import convolve2d

from labkit.handcalc import avg_pool, convolve, cross_correlate, max_pool
from labkit.handcalc.windows import flat

IMAGE = [[2, 1, 2, 3, 1], [3, 9, 1, 1, 4], [4, 5, 0, 7, 0]]
SOBEL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]

integers = st.integers(-9, 9)
lengths = st.integers(1, 6)


def grids(*shape):
    return hnp.arrays(np.int64, shape, elements=integers)


@st.composite
def convolutions(draw, filters=False):
    """(x C×H×W, kernel C×kh×kw or O×C×kh×kw, settings) for which a window fits."""
    channels = draw(st.integers(1, 3))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    size = draw(st.tuples(lengths, lengths))
    kernel = tuple(
        draw(st.integers(1, (n + 2 * p - 1) // d + 1))
        for n, p, d in zip(size, padding, dilation, strict=True)
    )
    leading = (draw(st.integers(1, 3)), channels) if filters else (channels,)
    x = draw(grids(channels, *size))
    weights = draw(grids(*leading, *kernel))
    return x, weights, {"stride": stride, "padding": padding, "dilation": dilation}


@st.composite
def poolings(draw, dilations=(1, 1)):
    """(x C×H×W, kernel, settings) as PyTorch accepts them."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    dilation = draw(st.tuples(st.integers(*dilations), st.integers(*dilations)))
    size = tuple(
        draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 7))
        for k, p, d in zip(kernel, padding, dilation, strict=True)
    )
    x = draw(grids(draw(st.integers(1, 2)), *size))
    settings = {
        "stride": draw(st.tuples(st.integers(1, 5), st.integers(1, 5))),
        "padding": padding,
        "ceil_mode": draw(st.booleans()),
    }
    return x, kernel, settings | ({"dilation": dilation} if dilations != (1, 1) else {})


# numbers on paper


def test_task_1a():
    expected = [[-11, 2, 4, -1, 7], [-24, 8, 12, -5, 12], [-19, 10, 4, -3, 15]]
    assert convolve(IMAGE, SOBEL, padding=1).result == expected


def test_the_first_window_of_task_1a():
    window = convolve(IMAGE, SOBEL, padding=1).at(0, 0)
    assert window.corner == (-1, -1)
    assert window.entries == [[0, 0, 0], [0, 2, 1], [0, 3, 9]]
    assert window.weights == [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
    assert window.products == [[0, 0, 0], [0, 0, -2], [0, 0, -9]]
    assert window.value == -11


def test_cross_correlation_leaves_the_kernel_as_it_is():
    assert cross_correlate([[1, 2, 3], [4, 5, 6]], [[0, 1], [2, 3]]).result == [[25, 31]]
    assert convolve([[1, 2, 3], [4, 5, 6]], [[0, 1], [2, 3]]).result == [[11, 17]]


def test_channels_are_summed_and_not_flipped():
    x = [[[1, 2]], [[3, 4]]]  # (2, 1, 2)
    kernel = [[[1, 0]], [[0, 10]]]
    assert cross_correlate(x, kernel).result == [[41]]
    assert convolve(x, kernel).result == [[32]]


def test_each_filter_has_its_own_map_and_bias():
    x = [[[1, 2], [3, 4]]]
    kernel = [[[[1]]], [[[2]]]]  # (2, 1, 1, 1)
    worked = cross_correlate(x, kernel, bias=[10, 20])
    assert worked.result == [[[11, 12], [13, 14]], [[22, 24], [26, 28]]]
    assert worked.at(1, 0, 1).value == 24
    # one number serves all filters
    assert cross_correlate(x, kernel, bias=5).result == [[[6, 7], [8, 9]], [[7, 9], [11, 13]]]


def test_pooling_on_paper():
    x = [[1, 2, 0, 4], [3, 0, 5, 1]]
    assert max_pool(x, 2).result == [[3, 5]]
    assert avg_pool(x, 2).result == [[Fraction(3, 2), Fraction(5, 2)]]
    # the corner of the padded input has one entry of its own and three zeros
    assert avg_pool([[6]], 2, padding=1, stride=1).result == [[Fraction(3, 2)] * 2] * 2
    assert avg_pool([[6]], 2, padding=1, stride=1, count_include_pad=False).result == [[6, 6]] * 2
    # the third window hangs over the edge and averages the one column that is there
    assert avg_pool([[1, 1, 2, 2, 9]], (1, 2), ceil_mode=True).result == [[1, 2, 9]]


def test_padding_never_is_the_maximum():
    assert max_pool([[-5]], 3, padding=1).result == [[-5]]


# arithmetic and kinds of input


def test_integers_and_fractions_stay_exact():
    big = 10**30
    assert cross_correlate([[big, 1]], [[1, 1]]).result == [[big + 1]]
    assert convolve([[Fraction(1, 3)]], [[Fraction(3, 7)]]).result == [[Fraction(1, 7)]]
    value = avg_pool([[Fraction(1, 3), 1]], (1, 2)).result[0][0]
    assert isinstance(value, Fraction)
    assert value == Fraction(2, 3)
    assert isinstance(avg_pool([[2, 2]], (1, 2)).result[0][0], Fraction)
    assert all(type(value) is int for value in flat(convolve(IMAGE, SOBEL).result))


def test_floats_give_floats():
    assert cross_correlate([[0.5, 1]], [[2, 1]], bias=0.25).result == [[2.25]]
    value = avg_pool([[0.5, 1]], (1, 2)).result[0][0]
    assert isinstance(value, float)
    assert value == 0.75


@pytest.mark.parametrize("kind", [np.array, torch.tensor, tuple])
def test_arrays_tensors_and_tuples_are_accepted(kind):
    assert convolve(kind(IMAGE), kind(SOBEL), padding=1) == convolve(IMAGE, SOBEL, padding=1)
    assert max_pool([kind(row) for row in IMAGE], 2) == max_pool(IMAGE, 2)


# independent oracles


@settings(max_examples=200, deadline=None)
@given(convolutions(), integers)
def test_one_filter_equals_torch(case, bias):
    x, kernel, options = case
    worked = cross_correlate(x, kernel, bias=bias, **options)
    expected = F.conv2d(torch.tensor(x)[None], torch.tensor(kernel)[None], **options)[0, 0] + bias
    assert worked.result == expected.tolist()


@settings(max_examples=60, deadline=None)
@given(convolutions(filters=True))
def test_several_filters_equal_torch(case):
    x, kernel, options = case
    bias = torch.arange(len(kernel))
    worked = cross_correlate(x, kernel, bias=bias, **options)
    expected = F.conv2d(torch.tensor(x)[None], torch.tensor(kernel), bias, **options)[0]
    assert worked.result == expected.tolist()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_convolution_equals_scipy(data):
    x = data.draw(grids(data.draw(lengths), data.draw(lengths)))
    kh, kw = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    kernel = data.draw(grids(kh, kw))
    full = convolve(x, kernel, padding=(kh - 1, kw - 1))
    assert full.result == convolve2d(x, kernel).tolist()
    if kh % 2 and kw % 2:
        same = convolve(x, kernel, padding=(kh // 2, kw // 2))
        assert same.result == convolve2d(x, kernel, mode="same").tolist()[: len(same.result)]


@settings(max_examples=200, deadline=None)
@given(poolings(dilations=(1, 2)))
def test_max_pooling_equals_torch(case):
    x, kernel, options = case
    expected = F.max_pool2d(torch.tensor(x, dtype=torch.float64)[None], kernel, **options)[0]
    if expected.isinf().any():  # the holes of a dilated window skip a short input
        with pytest.raises(ValueError, match="meets only padding"):
            max_pool(x, kernel, **options)
    else:
        assert max_pool(x, kernel, **options).result == expected.tolist()


@settings(max_examples=200, deadline=None)
@given(poolings(), st.booleans())
def test_average_pooling_equals_torch(case, count_include_pad):
    x, kernel, options = case
    options["count_include_pad"] = count_include_pad
    worked = avg_pool(x, kernel, **options)
    expected = F.avg_pool2d(torch.tensor(x, dtype=torch.float64)[None], kernel, **options)[0]
    found = torch.tensor([float(value) for value in flat(worked.result)], dtype=torch.float64)
    torch.testing.assert_close(found.reshape(expected.shape), expected)


def test_the_default_stride_of_pooling_is_the_kernel():
    x = torch.arange(30).reshape(5, 6).double()
    assert max_pool(x, (2, 3)).result == F.max_pool2d(x[None], (2, 3))[0].tolist()
    assert avg_pool(x, (2, 3)).result == F.avg_pool2d(x[None], (2, 3))[0].tolist()


# properties


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_windows_lead_to_the_result(case):
    x, kernel, options = case
    worked = convolve(x, kernel, bias=2, **options)
    assert [window.value for window in worked.windows] == list(flat(worked.result))
    (p, q), (s, t), (d, e) = options["padding"], options["stride"], options["dilation"]
    channels, height, width = x.shape
    for window in worked.windows:
        assert window.value == sum(flat(window.products)) + 2
        row, column = window.position
        assert window.corner == (row * s - p, column * t - q)
        assert np.array_equal(window.weights, kernel[:, ::-1, ::-1])
        # the entries are found in the input by the corner, the dilation and nothing else
        for c, i, j in product(range(channels), *map(range, kernel.shape[1:])):
            r, k = window.corner[0] + d * i, window.corner[1] + e * j
            inside = 0 <= r < height and 0 <= k < width
            assert window.entries[c][i][j] == (x[c, r, k] if inside else 0)


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_convolution_is_cross_correlation_with_the_turned_kernel(case):
    x, kernel, options = case
    turned = kernel[:, ::-1, ::-1]
    found = convolve(x, kernel, **options).result
    assert found == cross_correlate(x, turned, **options).result


@settings(max_examples=60, deadline=None)
@given(poolings())
def test_the_maximum_is_at_least_the_average(case):
    x, kernel, options = case
    most = max_pool(x, kernel, **options)
    mean = avg_pool(x, kernel, count_include_pad=False, **options)
    pairs = list(zip(most.windows, mean.windows, strict=True))
    assert pairs
    for largest, average in pairs:
        assert largest.position == average.position
        assert largest.entries == average.entries
        assert largest.value >= average.value
        assert average.divisor == sum(entry is not None for entry in flat(average.entries))


# errors


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([], "x is empty; give it at least one number"),
        ([[1], []], "x[1] is empty; give it at least one number"),
        (
            [[1, 2, 3], [4, 5]],
            "x is ragged: x[1] has 2 entries where x[0] has 3 entries; "
            "give all of them the same length",
        ),
        (
            [1, [2]],
            "x is ragged: x[1] has 1 entries where x[0] has a single number; "
            "give all of them the same length",
        ),
        (
            [["a"]],
            "x[0][0] is 'a', which is no number; give an integer, a fraction or a float",
        ),
        ([[None]], "x[0][0] is None, which is no number; give an integer, a fraction or a float"),
        ([[1j]], "x[0][0] is 1j, which is no number; give an integer, a fraction or a float"),
        ([[1, float("nan")]], "x[0][1] is nan; replace it by a finite number"),
        (np.array([[np.inf]]), "x[0][0] is inf; replace it by a finite number"),
        ([1, 2], "x has shape 2; give nested lists of shape H×W or C×H×W"),
        (7, "x is the single number 7; give nested lists of shape H×W or C×H×W"),
        (np.zeros((1, 1, 2, 2)), "x has shape 1×1×2×2; give nested lists of shape H×W or C×H×W"),
        (
            [[[[[1]]]]],
            "x[0][0][0][0] is nested more than 4 deep; remove the outer brackets",
        ),
        ("12", "x is '12', which is no number; give an integer, a fraction or a float"),
    ],
)
@pytest.mark.parametrize("calculate", [lambda x: convolve(x, [[1]]), lambda x: max_pool(x, 1)])
def test_unusable_images_are_refused_in_one_line(x, message, calculate):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        calculate(x)


@pytest.mark.parametrize(
    ("calculate", "message"),
    [
        (
            lambda: convolve(IMAGE, [[1] * 5] * 5),
            "kernel 5 is larger than the padded input 3; raise padding to at least 1",
        ),
        (
            lambda: convolve(IMAGE, [[[1]]]),
            "kernel has shape 1×1×1 but x is 3×5; give a kernel kh×kw, or x as C×H×W",
        ),
        (
            lambda: convolve([IMAGE, IMAGE], [[1]]),
            "kernel has shape 1×1 but x is 2×3×5; give a kernel with 2 channels, C×kh×kw",
        ),
        (
            lambda: convolve([IMAGE, IMAGE], [[[1]]] * 3),
            "kernel has 3 channels but x has 2; give both the same number",
        ),
        (
            lambda: convolve(IMAGE, SOBEL, bias=[1, 2]),
            "bias has 2 entries for 1 filter(s); give one number, or one per filter",
        ),
        (
            lambda: convolve(IMAGE, SOBEL, bias="b"),
            "bias is 'b', which is no number; give an integer, a fraction or a float",
        ),
        (
            lambda: convolve(IMAGE, SOBEL, stride=0),
            "stride 0 is not possible; give a whole number of at least 1",
        ),
        (
            lambda: max_pool(IMAGE, 2, padding=2),
            "padding 2 is more than half of the pooling kernel 2; lower padding to at most 1",
        ),
        (
            lambda: avg_pool(IMAGE, (3, 1), padding=1),
            "padding 1 is more than half of the pooling kernel 1; lower padding to at most 0",
        ),
        (
            lambda: max_pool([[1]], 3, padding=1, stride=3, dilation=2, ceil_mode=True),
            "the window at row 1, column 1 meets only padding; "
            "lower dilation (2, 2) or padding (1, 1)",
        ),
        (
            lambda: convolve(IMAGE, SOBEL, padding=1).at(0, 5),
            "the result has no entry (0, 5); the last one is (2, 4)",
        ),
        (
            lambda: max_pool(IMAGE, 2).at(5, 5),
            "the result has no entry (5, 5); the last one is (0, 1)",
        ),
    ],
)
def test_settings_that_do_not_fit_name_the_remedy(calculate, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        calculate()
