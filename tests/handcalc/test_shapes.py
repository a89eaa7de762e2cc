"""Output sizes: on paper, against PyTorch, and against counted windows."""

import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.handcalc import output_size, solve, transposed_output_size


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


# ------------------------------------------------------------------ forms of padding


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_keeps_the_size_as_in_torch(kernel, dilation):
    x = torch.zeros(1, 1, 17, 20)
    weight = torch.zeros(1, 1, kernel, kernel)
    expected = torch.nn.functional.conv2d(x, weight, padding="same", dilation=dilation)
    assert output_size((17, 20), kernel, padding="same", dilation=dilation) == (17, 20)
    assert tuple(expected.shape[2:]) == (17, 20)


def test_valid_is_no_padding():
    assert output_size(12, 5, padding="valid") == output_size(12, 5) == 8


def test_unequal_padding():
    # rows: 5 + 1 + 0 − 3 + 1 = 4; columns: 6 + 0 + 2 − 3 + 1 = 6
    assert output_size((5, 6), 3, padding=((1, 0), (0, 2))) == (4, 6)


@pytest.mark.parametrize(
    ("padding", "stride", "told"),
    [
        ("same", 2, 'padding "same" needs stride 1, not 2; give the padding in numbers'),
        ("full", 1, 'padding \'full\' is not known; give numbers, "same" or "valid"'),
        ((1, 2, 3), 1, "padding (1, 2, 3) is no pair"),
        (((1, -1), (0, 0)), 1, "padding -1 is not possible"),
    ],
)
def test_padding_that_cannot_be(padding, stride, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        output_size((8, 8), 3, stride=stride, padding=padding)


# ------------------------------------------------------------------ transposed convolution


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ({"input": 16, "kernel": 4, "stride": 2, "padding": 1}, 32),  # (16−1)·2 − 2 + 3 + 1
        ({"input": 7, "kernel": 3, "stride": 2, "padding": 1, "output_padding": 1}, 14),
        ({"input": 5, "kernel": 3, "dilation": 2}, 9),  # 4 + 2·2 + 1
        ({"input": (4, 5), "kernel": (2, 3), "stride": (2, 1)}, (8, 7)),
    ],
)
def test_transposed_convolution(arguments, size):
    assert transposed_output_size(**arguments) == size


def test_output_padding_is_smaller_than_the_stride():
    with pytest.raises(ValueError, match=r"output_padding 2 .* stride 2 .* lower it to at most 1"):
        transposed_output_size(5, 3, stride=2, output_padding=2)


# ------------------------------------------------------------------ solved for an unknown


@pytest.mark.parametrize(
    ("given", "solutions"),
    [
        ({"input": 32, "output": 32, "kernel": 7, "stride": 1}, [3]),  # task 1c
        ({"input": 512, "output": 508, "stride": 1, "padding": 0}, [5]),  # task 1d
        ({"output": 16, "kernel": 3, "stride": 2, "padding": 1}, [31, 32]),
        ({"input": 32, "output": 16, "kernel": 2, "padding": 0}, [2]),
        ({"input": 32, "output": 16, "stride": 2, "padding": 1}, [3, 4]),
        (
            {"input": 32, "kernel": 3, "padding": 2, "stride": 1, "output": 32, "dilation": None},
            [2],
        ),
        ({"input": 28, "kernel": 5, "padding": 2, "stride": 2}, [14]),  # the output
    ],
)
def test_solve(given, solutions):
    assert list(solve(**given).values) == solutions


def test_solutions_without_end():
    solution = solve(input=32, kernel=5, padding=0, output=1)  # any stride from 28 on
    assert (solution.lowest, solution.highest) == (28, None)
    assert 28 in solution
    assert 10**9 in solution
    assert 27 not in solution
    # a kernel of 1 has no holes: every dilation will do
    assert solve(input=8, kernel=1, padding=0, stride=1, output=8, dilation=None).highest is None


def test_the_working_of_solve():
    assert solve(input=512, output=508, stride=1, padding=0).working == (
        "o = ⌊(i + 2p − k)/s⌋ + 1",
        "508 = ⌊(512 + 2·0 − k)/1⌋ + 1",
        "507 is the floor exactly if 507 ≤ 512 − k ≤ 507",
        "k = 5",
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"input": 32, "kernel": 5}, "stride, padding, output are missing; give all but one"),
        (
            {"input": 8, "kernel": 3, "stride": 1, "padding": 0, "output": 6},
            "nothing is left to solve for",
        ),
        (
            {"input": 32, "output": 40, "padding": 1, "stride": 1},
            "no kernel gives output 40 from input 32, stride 1, padding 1, dilation 1: "
            "it needs a whole number with -5 ≤ k ≤ -5, at least 1; output 34 is possible",
        ),
        (
            {"input": 8, "kernel": 1, "padding": 0, "stride": 1, "output": 3, "dilation": None},
            "output 8 is possible",
        ),
        ({"input": 3, "kernel": 5, "padding": 0, "output": 2}, "raise padding to at least 1"),
        ({"input": -3, "kernel": 5, "padding": 0, "output": 2}, "input -3 is not possible"),
    ],
)
def test_what_has_no_solution_says_why(given, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        solve(**given)


@settings(max_examples=300, deadline=None)
@given(
    numbers=st.fixed_dictionaries(
        {
            "input": st.integers(1, 40),
            "kernel": st.integers(1, 7),
            "stride": st.integers(1, 5),
            "padding": st.integers(0, 4),
            "dilation": st.integers(1, 3),
        }
    ),
    unknown=st.sampled_from(["input", "kernel", "stride", "padding", "dilation"]),
)
def test_solve_finds_what_trying_finds(numbers, unknown):
    try:
        output = output_size(**numbers)
    except ValueError:
        return
    solution = solve(**{**numbers, unknown: None}, output=output)

    def leads_there(value):
        try:
            return output_size(**{**numbers, unknown: value}) == output
        except ValueError:
            return False

    for value in range(0 if unknown == "padding" else 1, 120):
        assert (value in solution) == leads_there(value)
