"""Calculations against PyTorch, SciPy and brute force on random cases, and their properties."""

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve as ndimage_convolve
from scipy.signal import convolve2d, correlate2d

from labkit.handcalc import (
    TransposedOutputSize,
    avg_pool,
    convolve,
    cross_correlate,
    max_pool,
    output_size,
    solve,
)
from labkit.handcalc.shapes import UNKNOWNS
from labkit.handcalc.windows import flat


def integers(rng, *shape):
    """An array of small whole numbers."""
    return np.array(rng.choices(range(-9, 10), k=math.prod(shape))).reshape(shape)


def pair(rng, values):
    """One value for both axes, or a pair."""
    return rng.choice(values) if rng.random() < 0.5 else (rng.choice(values), rng.choice(values))


def both(value):
    return value if isinstance(value, tuple) else (value, value)


def draw_filters(rng):
    """(x C×H×W, kernel O×C/g×kh×kw, bias, groups) for a convolution."""
    groups = rng.choice([1, 1, 2, 3])
    width, per_group = rng.randint(1, 2), rng.randint(1, 2)
    kernel = integers(rng, groups * per_group, width, rng.randint(1, 4), rng.randint(1, 4))
    x = integers(rng, groups * width, rng.randint(1, 8), rng.randint(1, 8))
    return x, kernel, integers(rng, groups * per_group), groups


def draw_padding(rng):
    """Padding in every form, and the same for `F.pad` (None: as it is given)."""
    form = rng.choice(["number", "number", "unequal", "same", "valid"])
    if form == "unequal":
        top, bottom, left, right = (rng.randint(0, 3) for _ in range(4))
        return ((top, bottom), (left, right)), (left, right, top, bottom)
    return (pair(rng, [0, 1, 2]) if form == "number" else form), None


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_600_convolutions_equal_torch():
    """Groups, bias, dilation, stride and every form of padding, flipped and not."""
    rng, fitting = random.Random(1), 0
    while fitting < 600:
        x, kernel, bias, groups = draw_filters(rng)
        padding, sides = draw_padding(rng)
        stride = 1 if padding == "same" else pair(rng, [1, 2, 3])
        dilation = pair(rng, [1, 1, 2])
        turned = rng.random() < 0.5
        weights = torch.tensor(kernel).flip(2, 3) if turned else torch.tensor(kernel)
        image = torch.tensor(x) if sides is None else F.pad(torch.tensor(x), sides)
        given_padding = padding if sides is None else 0
        calculate = convolve if turned else cross_correlate
        options = {"stride": stride, "dilation": dilation, "groups": groups, "bias": bias}
        try:
            expected = F.conv2d(
                *(image[None], weights, torch.tensor(bias), stride, given_padding, dilation, groups)
            )
        except RuntimeError:
            with pytest.raises(ValueError, match="is larger than the padded input"):
                calculate(x, kernel, padding=padding, **options)
            continue
        fitting += 1
        worked = calculate(x, kernel, padding=padding, **options)
        assert worked.result == expected[0].tolist()
        assert worked.shape == expected.shape[1:]
        size = output_size(
            x.shape[1:], kernel.shape[2:], stride=stride, padding=padding, dilation=dilation
        )
        assert size == expected.shape[2:]


def draw_pooling(rng, dilations):
    """(x C×H×W, kernel, options) as PyTorch accepts them, for which a window fits."""
    while True:
        kernel, dilation = pair(rng, [1, 2, 3, 4]), pair(rng, dilations)
        padding = tuple(rng.randint(0, k // 2) for k in both(kernel))
        x = integers(rng, rng.randint(1, 2), rng.randint(1, 9), rng.randint(1, 9))
        rooms = [
            n + 2 * p - d * (k - 1)
            for n, p, k, d in zip(x.shape[1:], padding, both(kernel), both(dilation), strict=True)
        ]
        if min(rooms) >= 1:
            break
    options = {"stride": rng.choice([None, pair(rng, [1, 2, 3, 5])]), "padding": padding}
    return x, kernel, dilation, options | {"ceil_mode": rng.random() < 0.5}


def test_300_max_poolings_equal_torch():
    rng = random.Random(2)
    for _ in range(300):
        x, kernel, dilation, options = draw_pooling(rng, [1, 1, 2])
        image = torch.tensor(x, dtype=torch.float64)[None]
        expected = F.max_pool2d(image, kernel, dilation=dilation, **options)[0]
        if expected.isinf().any():  # the holes of a window skip a short input
            with pytest.raises(ValueError, match="meets only padding"):
                max_pool(x, kernel, dilation=dilation, **options)
        else:
            assert max_pool(x, kernel, dilation=dilation, **options).result == expected.tolist()


def test_300_average_poolings_equal_torch():
    rng = random.Random(3)
    for _ in range(300):
        x, kernel, _, options = draw_pooling(rng, [1])
        options["count_include_pad"] = rng.random() < 0.5
        expected = F.avg_pool2d(torch.tensor(x, dtype=torch.float64)[None], kernel, **options)[0]
        worked = avg_pool(x, kernel, **options)
        assert worked.shape == expected.shape
        found = [float(value) for value in flat(worked.result)]
        np.testing.assert_allclose(found, expected.flatten(), rtol=1e-12, atol=1e-12)


def test_300_transposed_sizes_equal_torch():
    rng, fitting = random.Random(4), 0
    while fitting < 300:
        size = rng.randint(1, 9), rng.randint(1, 9)
        kernel, stride = pair(rng, [1, 2, 3, 4]), pair(rng, [1, 2, 3])
        padding, dilation = pair(rng, [0, 1, 2]), pair(rng, [1, 2])
        extra = pair(rng, [0, 1])
        weights = torch.zeros(1, 1, *both(kernel))
        try:
            expected = F.conv_transpose2d(
                *(torch.zeros(1, 1, *size), weights, None, stride, padding, extra, 1, dilation)
            )
        except RuntimeError:
            with pytest.raises(ValueError, match=r"output_padding .* is not smaller|takes away"):
                TransposedOutputSize(size, kernel, stride, padding, extra, dilation)
            continue
        if 0 in expected.shape:
            continue
        fitting += 1
        found = TransposedOutputSize(size, kernel, stride, padding, extra, dilation).result
        assert found == expected.shape[2:]


def test_300_convolutions_equal_scipy():
    """Modes full, same and valid; at an even kernel "same" begins as SciPy has it."""
    rng = random.Random(5)
    for _ in range(300):
        x, kernel = (integers(rng, rng.randint(4, 9), rng.randint(4, 9)) for _ in range(2))
        kernel = kernel[: rng.randint(1, 4), : rng.randint(1, 4)]
        mode = rng.choice(["full", "same", "valid"])
        padding = {
            "full": tuple((k - 1, k - 1) for k in kernel.shape),
            "same": tuple((k // 2, (k - 1) // 2) for k in kernel.shape),
            "valid": "valid",
        }[mode]
        found = convolve(x, kernel, padding=padding).result
        assert found == convolve2d(x, kernel, mode=mode).tolist()
        if mode == "valid":
            found = cross_correlate(x, kernel, padding=padding).result
            assert found == correlate2d(x, kernel, mode=mode).tolist()


def test_200_convolutions_equal_scipy_ndimage():
    """Odd kernels with zeros around the image."""
    rng = random.Random(6)
    for _ in range(200):
        x = integers(rng, rng.randint(1, 9), rng.randint(1, 9))
        kernel = integers(rng, rng.choice([1, 3, 5]), rng.choice([1, 3, 5]))
        expected = ndimage_convolve(x, kernel, mode="constant").tolist()
        assert convolve(x, kernel, padding="same").result == expected


BOUND = 150  # of a brute-force search: more than (30 − 1)·4 + 3·6 + 1


def leads_to(unknown, known, output, number) -> bool:
    """Whether so many windows fit, laid down one after the other."""
    i, k, s, p, d = ((known | {unknown: number})[name] for name in UNKNOWNS[:5])
    fitting, start = 0, 0
    while start + d * (k - 1) < i + 2 * p and fitting <= output:
        fitting, start = fitting + 1, start + s
    return fitting == output


def brute_force(unknown, known, output) -> list[int]:
    """Every number up to the bound that leads to the output."""
    numbers = range(0 if unknown == "padding" else 1, BOUND)
    return [number for number in numbers if leads_to(unknown, known, output, number)]


def test_400_solutions_equal_brute_force():
    rng, solved = random.Random(7), 0
    for _ in range(400):
        numbers = {
            "input": rng.randint(1, 30),
            "kernel": rng.randint(1, 7),
            "stride": rng.randint(1, 4),
            "padding": rng.randint(0, 3),
            "dilation": rng.randint(1, 3),
        }
        unknown, output = rng.choice(UNKNOWNS[:5]), rng.choice([1, 2, rng.randint(1, 30)])
        known = {name: value for name, value in numbers.items() if name != unknown}
        expected = brute_force(unknown, known, output)
        try:
            solution = solve(**known, **{unknown: None}, output=output)
        except ValueError:
            assert not expected
            continue
        solved += 1
        assert [number for number in range(BOUND) if number in solution] == expected
        assert solution.result == expected[0]
        assert (solution.highest is None) == leads_to(unknown, known, output, 10**6)
    assert solved >= 100


# properties

grids = st.integers(0, 2**32 - 1).map(lambda seed: integers(random.Random(seed), 2, 5, 6))
kernels = st.integers(0, 2**32 - 1).map(lambda seed: integers(random.Random(seed), 2, 3, 2))
options = st.fixed_dictionaries(
    {
        "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "padding": st.tuples(st.integers(0, 2), st.integers(0, 2)),
        "dilation": st.tuples(st.integers(1, 2), st.integers(1, 3)),
    }
)


def result(*args, **settings):
    return np.array(convolve(*args, **settings).result)


@settings(max_examples=40, deadline=None)
@given(grids, grids, kernels, options, st.integers(-5, 5))
def test_a_convolution_is_linear_in_the_image(x, other, kernel, options, factor):
    together = result(x + factor * other, kernel, **options)
    apart = result(x, kernel, **options) + factor * result(other, kernel, **options)
    assert (together == apart).all()


@settings(max_examples=40, deadline=None)
@given(grids, kernels, kernels, options, st.integers(-5, 5))
def test_a_convolution_is_linear_in_the_kernel(x, kernel, other, options, factor):
    together = result(x, kernel + factor * other, **options)
    assert (together == result(x, kernel, **options) + factor * result(x, other, **options)).all()


@settings(max_examples=40, deadline=None)
@given(grids, kernels, options, st.integers(-9, 9))
def test_a_bias_shifts_every_entry(x, kernel, options, bias):
    assert (result(x, kernel, bias=bias, **options) == result(x, kernel, **options) + bias).all()


@settings(max_examples=40, deadline=None)
@given(grids, kernels, st.integers(0, 3), st.integers(0, 3))
def test_at_stride_1_a_shifted_image_gives_a_shifted_result(x, kernel, down, right):
    shifted = np.pad(x, ((0, 0), (down, 0), (right, 0)))
    found = result(shifted, kernel)[down:, right:]
    assert (found == result(x, kernel)).all()


@settings(max_examples=40, deadline=None)
@given(grids, kernels, options)
def test_zeros_by_hand_are_padding(x, kernel, options):
    rows, columns = options.pop("padding")
    by_hand = np.pad(x, ((0, 0), (rows, rows), (columns, columns)))
    found = result(x, kernel, padding=(rows, columns), **options)
    assert (found == result(by_hand, kernel, **options)).all()


@settings(max_examples=40, deadline=None)
@given(grids, st.lists(kernels, min_size=3, max_size=3), st.permutations(range(3)), options)
def test_filters_in_another_order_give_the_maps_in_that_order(x, filters, order, options):
    found = result(x, np.stack(filters)[order], **options)
    assert (found == result(x, np.stack(filters), **options)[order]).all()


@settings(max_examples=40, deadline=None)
@given(grids, kernels, options)
def test_channels_in_another_order_change_nothing(x, kernel, options):
    found = result(x[::-1], kernel[::-1], **options)
    assert (found == result(x, kernel, **options)).all()


@settings(max_examples=40, deadline=None)
@given(grids, kernels, options)
def test_as_many_groups_as_channels_are_channels_apart(x, kernel, options):
    found = result(x, kernel[:, None], groups=2, **options)
    assert (found == [result(x[c], kernel[c], **options) for c in range(2)]).all()


@settings(max_examples=40, deadline=None)
@given(grids, kernels, options)
def test_a_transposed_image_and_kernel_give_the_transposed_result(x, kernel, options):
    turned = {name: value[::-1] for name, value in options.items()}
    found = result(x.swapaxes(1, 2), kernel.swapaxes(1, 2), **turned)
    assert (found == result(x, kernel, **options).T).all()


@settings(max_examples=40, deadline=None)
@given(grids, st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_the_maximum_is_at_least_the_average(x, kernel, stride, ceil_mode):
    options = {"stride": stride, "padding": kernel // 2, "ceil_mode": ceil_mode}
    most = np.array(max_pool(x, kernel, **options).result)
    assert (most >= avg_pool(x, kernel, count_include_pad=False, **options).result).all()
    assert (max_pool(x + 7, kernel, **options).result == most + 7).all()


@settings(max_examples=40, deadline=None)
@given(grids, st.integers(1, 4), st.integers(1, 3))
def test_an_average_is_a_convolution_with_ones_divided(x, kernel, stride):
    options = {"stride": stride, "padding": kernel // 2}
    sums = result(x[0], np.ones((kernel, kernel), int), **options)
    found = np.array(avg_pool(x[0], kernel, **options).result)
    assert (found * kernel**2 == sums).all()
