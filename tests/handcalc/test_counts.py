"""Parameters, receptive fields and what a fully connected layer would need: published numbers."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import LINEAR_KINDS, networks

from labkit.handcalc import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    FullyConnectedEquivalent,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ParameterCount,
    ReceptiveField,
    ReLU,
    Residual,
    layer_table,
    num_parameters,
)

RDFIA = (
    *(Conv2d(3, 32, 5, padding=2), ReLU(), MaxPool2d(2)),
    *(Conv2d(32, 64, 5, padding=2), ReLU(), MaxPool2d(2)),
    *(Conv2d(64, 64, 5, padding=2), ReLU(), MaxPool2d(2)),
    *(Flatten(), Linear(1024, 1000), ReLU(), Linear(1000, 10)),
)


def computed(line):
    """Both sides of every = in a line of arithmetic, computed."""
    line = re.sub(r", \d+ times$", "", line)
    line = re.sub(r"(?<=\d),(?=\d{3})", "", line)
    line = line.replace("·", "*").replace("−", "-").replace("⌈", "-(-").replace("⌉", "//1)")
    return [eval(side) for side in line.split(" = ") if not re.fullmatch("[a-z]+", side)]


def test_parameters_of_the_rdfia_network():
    count = ParameterCount(RDFIA, (3, 32, 32))
    assert count.result == 1_191_170
    assert count.working == (
        "32·(3·5·5) + 32 = 2,432",
        "64·(32·5·5) + 64 = 51,264",
        "64·(64·5·5) + 64 = 102,464",
        "1,000·1,024 + 1,000 = 1,025,000",
        "10·1,000 + 10 = 10,010",
        "2,432 + 51,264 + 102,464 + 1,025,000 + 10,010 = 1,191,170",
    )


def test_parameters_of_one_layer_and_of_none():
    count = ParameterCount(Conv2d(3, 1, 128))
    assert (count.result, count.layers) == (49_153, (Conv2d(3, 1, 128),))
    assert count.working == ("1·(3·128·128) + 1 = 49,153",)
    none = ParameterCount([ReLU(), MaxPool2d(2)])
    assert (none.result, none.working) == (0, ("no layer has parameters",))


def test_parameters_of_a_residual_block_are_shown_layer_by_layer():
    body = (Conv2d(4, 4, 3, padding=1, bias=False), BatchNorm2d(4))
    assert ParameterCount(Residual(body)).working == (
        "4·(4·3·3) = 144",
        "2·4 = 8",
        "144 + 8 = 152",
    )


def test_up_to_eight_equal_layers_have_a_line_each():
    count = ParameterCount([BatchNorm2d(4)] * 8)
    assert count.working == (*["2·4 = 8"] * 8, "8 + 8 + 8 + 8 + 8 + 8 + 8 + 8 = 64")


def test_of_more_layers_equal_ones_share_a_line():
    count = ParameterCount([BatchNorm2d(4), Linear(3, 2), *[ReLU(), BatchNorm2d(4)] * 7])
    assert count.working == ("2·4 = 8, 8 times", "2·3 + 2 = 8", "8·8 + 8 = 72")
    assert count.result == 72
    # layers that differ but have as many parameters are not equal
    lines = ParameterCount([Linear(1, 2), Linear(3, 1), *[BatchNorm2d(2)] * 7]).working
    assert lines == ("2·1 + 2 = 4", "1·3 + 1 = 4", "2·2 = 4, 7 times", "4 + 4 + 7·4 = 36")


def test_nine_equal_layers_still_have_their_sum():
    count = ParameterCount([Linear(1_000, 1_000)] * 9)
    product = "1,000·1,000 + 1,000 = 1,001,000"
    assert count.working == (f"{product}, 9 times", "9·1,001,000 = 9,009,000")


def test_nine_layers_that_all_differ_have_a_line_each():
    count = ParameterCount([BatchNorm2d(channels) for channels in range(1, 10)])
    assert count.working[:-1] == tuple(f"2·{n} = {2 * n}" for n in range(1, 10))
    assert computed(count.working[-1]) == [90, 90]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.builds(BatchNorm2d, st.integers(1, 2))
        | st.builds(Linear, st.integers(1, 2), st.integers(1, 600)),
        min_size=1,
        max_size=20,
    )
)
def test_the_working_of_many_layers_computes_the_result(layers):
    count = ParameterCount(layers)
    lines = count.working[:-1] if len(layers) > 1 else count.working
    assert len(lines) == len(set(layers) if len(layers) > 8 else layers)
    total = 0
    for line in lines:
        left, right = computed(line)
        assert left == right
        times = re.search(r", (\d+) times$", line)
        total += right * (int(times[1]) if times else 1)
    assert total == count.result == num_parameters(layers)
    if len(layers) > 1:
        assert computed(count.working[-1]) == [total, total]


def test_a_network_that_does_not_fit_its_input_is_refused():
    with pytest.raises(ValueError, match=r"^layer 11 \(fully connected, 1,000 units\): in_feat"):
        ParameterCount(RDFIA, (3, 64, 64))
    with pytest.raises(ValueError, match="in_channels 3 does not fit the 1 channels; make it 1"):
        FullyConnectedEquivalent(Conv2d(3, 1, 3), (1, 8, 8))


@settings(max_examples=50, deadline=None)
@given(networks((2, 13, 16)))
def test_the_working_of_parameters_computes_the_result(network):
    count = ParameterCount(network, (2, 13, 16))
    assert count.result == layer_table(network, (2, 13, 16)).num_parameters
    assert count.result == num_parameters(network)
    if count.result:
        for line in count.working:
            assert len(set(computed(line))) == 1
        assert computed(count.working[-1])[-1] == count.result


def test_receptive_fields_of_the_rdfia_network():
    field = ReceptiveField(RDFIA)
    assert field.result == [5, 6, 14, 16, 32, 36]
    assert field.working == (
        "r = r′ + (k − 1)·j′, jump j = j′·s; r′ = j′ = 1 before the first layer",
        "r = 1 + (5 − 1)·1 = 5, jump 1·1 = 1",
        "r = 5 + (2 − 1)·1 = 6, jump 1·2 = 2",
        "r = 6 + (5 − 1)·2 = 14, jump 2·1 = 2",
        "r = 14 + (2 − 1)·2 = 16, jump 2·2 = 4",
        "r = 16 + (5 − 1)·4 = 32, jump 4·1 = 4",
        "r = 32 + (2 − 1)·4 = 36, jump 4·2 = 8",
    )


def test_two_strided_convolutions():
    # RDFIA 7: 3, then 3 + 2·2
    layers = (Conv2d(3, 16, 3, stride=2), Conv2d(16, 16, 3, stride=2))
    assert ReceptiveField(layers).result == [3, 7]


def test_rows_and_columns_may_differ():
    field = ReceptiveField((Conv2d(3, 8, (3, 5), (2, 1), dilation=(2, 1)), AvgPool2d(2)))
    assert field.result == [(5, 5), (7, 6)]
    assert field.working == (
        "r = r′ + d·(k − 1)·j′, jump j = j′·s; r′ = j′ = 1 before the first layer",
        "rows: r = 1 + 2·(3 − 1)·1 = 5, jump 1·2 = 2",
        "columns: r = 1 + (5 − 1)·1 = 5, jump 1·1 = 1",
        "rows: r = 5 + (2 − 1)·2 = 7, jump 2·2 = 4",
        "columns: r = 5 + (2 − 1)·1 = 6, jump 1·2 = 2",
    )


def test_a_transposed_convolution_and_a_residual_block():
    field = ReceptiveField((Conv2d(3, 8, 3, 2), ConvTranspose2d(8, 8, 5, 4), Conv2d(8, 8, 4)))
    assert field.result == [3, 5, 7]
    assert field.working[2:] == (
        "r = 3 + (⌈5/4⌉ − 1)·2 = 5, jump 2/4 = 1/2",
        "r = 5 + (4 − 1)·(1/2) = 13/2, at most 7 entries, jump (1/2)·1 = 1/2",
    )
    block = Residual((Conv2d(8, 8, 3, padding=1), Conv2d(8, 8, 3, padding=1)))
    assert ReceptiveField((MaxPool2d(2), block)).working[-1] == (
        "r = 2 + (5 − 1)·2 = 10, jump 2·1 = 2"
    )


def test_receptive_fields_end_where_the_whole_map_is_seen():
    assert ReceptiveField((Conv2d(3, 8, 3), GlobalAvgPool2d(), Conv2d(8, 8, 1))).result == [3]
    assert ReceptiveField(ReLU()).result == []
    assert ReceptiveField(ReLU()).working == ("no layer has a window: r = 1",)


@settings(max_examples=50, deadline=None)
@given(networks((2, 37, 41), kinds=(*LINEAR_KINDS, "transposed"), classifier=False))
def test_receptive_fields_are_those_of_the_layer_table(network):
    field = ReceptiveField(network)
    windows = [layer for layer in network if layer.window()]
    assert len(field.result) == len(windows)
    if windows:
        last = field.result[-1]
        row = layer_table(network, (2, 37, 41)).rows[-1]
        assert (last if isinstance(last, tuple) else (last, last)) == row.receptive_field
    for line in field.working[1:]:
        r, jump = re.fullmatch(r"(?:\w+: )?r = (.*), jump (.*)", line).groups()
        for part in (re.sub(", at most .*", "", r), jump):
            left, right = computed(part)
            assert left == pytest.approx(right)


def test_what_a_fully_connected_layer_would_need():
    # RDFIA 1: 196,608 inputs and 129·129 = 16,641 outputs
    equivalent = FullyConnectedEquivalent(Conv2d(3, 1, 128), (3, 256, 256))
    assert equivalent.result == 3_271_753_728
    assert equivalent.working == (
        "weights = x·y·z · x′·y′·z′",
        "weights = 256·256·3 · 129·129·1 = 196,608 · 16,641 = 3,271,753,728",
        "convolution = 1·(3·128·128) + 1 = 49,153",
    )
    # a case with several channels out, as the layer that it would be
    several = FullyConnectedEquivalent(Conv2d(2, 5, 3, padding=1), (2, 4, 6))
    assert several.result == Linear(2 * 4 * 6, 5 * 4 * 6).weights
    assert several.working[1] == "weights = 4·6·2 · 4·6·5 = 48 · 120 = 5,760"
