"""Output sizes: on paper, against PyTorch, and against counted windows."""

import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from labkit.handcalc import output_size


@pytest.mark.parametrize(
    ("size", "settings", "expected"),
    [
        (32, {"kernel": 5, "padding": 2}, 32),  # 32 + 4 − 5 + 1
        (512, {"kernel": 5}, 508),
        (508, {"kernel": 2, "stride": 2}, 254),
        (254, {"kernel": 3}, 252),
        (7, {"kernel": 7}, 1),
        (5, {"kernel": 2, "stride": 2}, 2),  # one column is left over
        (5, {"kernel": 2, "stride": 2, "ceil_mode": True}, 3),
        (64, {"kernel": 3, "dilation": 1}, 62),
        (64, {"kernel": 3, "dilation": 3}, 58),  # the kernel covers 7
        (2, {"kernel": 3, "stride": 2, "ceil_mode": True}, 1),  # one window that hangs over
        (
            1,
            {"kernel": 2, "stride": 4, "padding": 1, "ceil_mode": True},
            1,
        ),  # 2nd dropped
    ],
)
def test_sizes_on_paper(size, settings, expected):
    assert output_size(size, **settings) == expected


def test_a_pair_anywhere_gives_a_pair():
    assert output_size((3, 5), 3, padding=1) == (3, 5)
    assert output_size(6, (1, 3)) == (6, 4)
    assert output_size(6, 2, stride=(1, 2)) == (5, 3)
    assert output_size([8, 9], [3, 2], dilation=[2, 1]) == (4, 8)


def test_integers_of_other_libraries_are_numbers():
    assert output_size(torch.tensor(512), torch.tensor(5)) == 508


@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
)
def test_convolution_equals_torch(size, kernel, stride, padding, dilation):
    x, weights = torch.zeros(1, 1, size), torch.zeros(1, 1, kernel)
    settings = {"stride": stride, "padding": padding, "dilation": dilation}
    try:
        expected = F.conv1d(x, weights, **settings).shape[-1]
    except RuntimeError:
        with pytest.raises(ValueError, match="larger than the padded input"):
            output_size(size, kernel, **settings)
    else:
        assert output_size(size, kernel, **settings) == expected


@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 6),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 3),
    ceil_mode=st.booleans(),
)
def test_pooling_equals_torch(size, kernel, stride, padding, dilation, ceil_mode):
    padding = min(padding, kernel // 2)
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    try:
        expected = F.max_pool1d(torch.zeros(1, 1, size), kernel, **settings).shape[-1]
    except RuntimeError:
        with pytest.raises(ValueError, match="larger than the padded input"):
            output_size(size, kernel, **settings)
    else:
        assert output_size(size, kernel, **settings) == expected


@given(
    size=st.integers(1, 30),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 5),
    padding=st.integers(0, 4),
    dilation=st.integers(1, 3),
)
def test_the_formula_counts_windows(size, kernel, stride, padding, dilation):
    starts = range(-padding, size + padding, stride)
    fitting = [s for s in starts if s + dilation * (kernel - 1) < size + padding]
    settings = {"stride": stride, "padding": padding, "dilation": dilation}
    if fitting:
        assert output_size(size, kernel, **settings) == len(fitting)
    else:
        with pytest.raises(ValueError, match="raise padding to at least") as error:
            output_size(size, kernel, **settings)
        # the remedy is enough, and no smaller padding is
        needed = int(str(error.value).split()[-1])
        settings["padding"] = needed
        assert output_size(size, kernel, **settings) >= 1
        settings["padding"] = needed - 1
        with pytest.raises(ValueError, match="larger than"):
            output_size(size, kernel, **settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"input": 4, "kernel": 5},
            "kernel 5 is larger than the padded input 4; raise padding to at least 1",
        ),
        (
            {"input": 4, "kernel": 3, "dilation": 3},
            "kernel 3 at dilation 3 covers 7, which is larger than the padded input 4; "
            "raise padding to at least 2",
        ),
        (
            {"input": 4, "kernel": 9, "padding": 1, "stride": 2, "ceil_mode": True},
            "kernel 9 is larger than the padded input 6; raise padding to at least 2",
        ),
        (
            {"input": 4, "kernel": 2, "stride": 0},
            "stride 0 is not possible; give a whole number of at least 1",
        ),
        (
            {"input": 4, "kernel": 2, "padding": -1},
            "padding -1 is not possible; give a whole number of at least 0",
        ),
        (
            {"input": 4, "kernel": 2.5},
            "kernel 2.5 is not possible; give a whole number of at least 1",
        ),
        (
            {"input": True, "kernel": 2},
            "input True is not possible; give a whole number of at least 1",
        ),
        (
            {"input": (4, 4, 4), "kernel": 2},
            "input (4, 4, 4) is no pair; give one number or (rows, columns)",
        ),
    ],
)
def test_impossible_settings_name_the_value_and_the_remedy(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        output_size(**arguments)
