"""Layer tables, parameter counts and receptive fields: numbers on paper, then PyTorch's."""

import itertools
import re
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import LINEAR_KINDS, POINTWISE, networks
from torch.utils.flop_counter import FlopCounterMode

from labkit import handcalc
from labkit.handcalc import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
    Residual,
    Sigmoid,
    Tanh,
    ZeroPad2d,
    derivation,
    layer_table,
    num_parameters,
)
from labkit.models import build

TASK_1G = [
    *(Conv2d(3, 32, 5, padding=2), ReLU(), MaxPool2d(2)),
    *(Conv2d(32, 64, 5, padding=2), ReLU(), MaxPool2d(2)),
    *(Conv2d(64, 128, 5, padding=2), ReLU(), MaxPool2d(2)),
    *(Flatten(), Linear(2048, 64), ReLU(), Linear(64, 10)),
]


# courses.md B: RDFIA 4-5 on 3×32×32
RDFIA = [
    *(Conv2d(3, 32, 5, padding=2), ReLU(), MaxPool2d(2)),
    *(Conv2d(32, 64, 5, padding=2), ReLU(), MaxPool2d(2)),
    *(Conv2d(64, 64, 5, padding=2), ReLU(), MaxPool2d(2)),
    *(Flatten(), Linear(1024, 1000), ReLU(), Linear(1000, 10)),
]
BLOCK = Residual(
    (Conv2d(4, 8, 3, 2, padding=1, bias=False), BatchNorm2d(8), Conv2d(8, 8, 3, padding=1)),
    (Conv2d(4, 8, 1, 2),),
)


def torch_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_task_1g():
    table = layer_table(TASK_1G, (3, 32, 32))
    counts = [row.num_parameters for row in table.rows if row.num_parameters]
    assert counts == [2_432, 51_264, 204_928, 131_136, 650]
    assert table.num_parameters == num_parameters(TASK_1G) == 390_410
    assert [row.derivation for row in table.rows if row.derivation] == [
        "32·(3·5·5) + 32 = 2,432",
        "64·(32·5·5) + 64 = 51,264",
        "128·(64·5·5) + 128 = 204,928",
        "64·2,048 + 64 = 131,136",
        "10·64 + 10 = 650",
    ]
    assert [row.output_shape for row in table.rows][::3] == [
        (32, 32, 32),
        (64, 16, 16),
        (128, 8, 8),
        (2048,),
        (10,),
    ]
    assert table.output_shape == (10,)
    assert table.rows[0].input_shape == (3, 32, 32)


def test_the_rdfia_network():
    # courses.md B: 2,432; 51,264; 102,464; 1,025,000; 10,010, together 1,191,170
    assert layer_table(RDFIA, (3, 32, 32)).num_parameters == 1_191_170


def test_the_geometry_of_the_rdfia_network():
    rows = [row for row in layer_table(RDFIA, (3, 32, 32)).rows if row.layer != "ReLU"]
    # published: 5, 6, 14, 16, 32, 36; the 4 × 4 positions that are flattened lie 8 apart
    fields = [5, 6, 14, 16, 32, 36, 36 + 3 * 8, 60, 60]
    assert [row.receptive_field for row in rows] == [(r, r) for r in fields]
    assert [row.jump for row in rows] == [(j, j) for j in (1, 2, 2, 4, 4, 8, 8, 8, 8)]
    # P + p·j: 2, then 2·2 and 2·4 more
    paddings = [2, 2, 6, 6, 14, 14, 14, 14, 14]
    assert [row.effective_padding for row in rows] == [(p, p) for p in paddings]


def test_multiply_adds_of_task_1g():
    table = layer_table(TASK_1G, (3, 32, 32))
    assert [row.multiply_adds for row in table.rows if row.multiply_adds] == [
        32 * 32 * 32 * 3 * 25,
        16 * 16 * 64 * 32 * 25,
        8 * 8 * 128 * 64 * 25,
        2048 * 64,
        64 * 10,
    ]
    assert table.multiply_adds == 28_803_712


def test_records():
    table = layer_table([Conv2d(3, 8, (3, 5), (1, 2)), ReLU(), Flatten()], (3, 9, 9))
    first, *_, total = table.records()
    assert first == {
        "layer": "3×5 convolution, 8 filters, stride 1×2",
        "output": "8×7×3",
        "weights + biases": "8·(3·3·5) + 8",
        "parameters": "368",
    }
    assert total == {"layer": "total", "output": "", "weights + biases": "", "parameters": "368"}
    with_geometry = table.records(geometry=True)
    assert [list(record)[4:] for record in with_geometry] == [
        ["multiply-adds", "receptive field", "jump", "padding"]
    ] * 4
    assert [list(record.values())[4:] for record in with_geometry] == [
        ["7,560", "3×5", "1×2", "0"],
        ["0", "3×5", "1×2", "0"],
        ["0", "9", "1×2", "0"],  # 3 + 6·1 rows and 5 + 2·2 columns: all of the input
        ["7,560", "", "", ""],
    ]


def test_an_input_that_is_no_map_has_no_receptive_field():
    table = layer_table([Linear(4, 3), ReLU(), Linear(3, 2)], (4,))
    assert {row.receptive_field for row in table.rows} == {None}
    assert table.records(geometry=True)[0]["receptive field"] == ""
    assert table.multiply_adds == 18


def test_weights_and_biases():
    for layer, weights, biases in [
        (Conv2d(4, 6, 3, groups=2), 6 * 2 * 9, 6),
        (Conv2d(4, 6, 3, bias=False), 6 * 4 * 9, 0),
        (ConvTranspose2d(4, 6, (2, 3), groups=2), 4 * 3 * 6, 6),
        (Linear(5, 3), 15, 3),
        (BatchNorm2d(7), 7, 7),
        (BatchNorm1d(7, affine=False), 0, 0),
        (MaxPool2d(2), 0, 0),
        # 8·(4·9) + 8 + 8·(8·9) and 8·4; β and the biases of two convolutions
        (BLOCK, 288 + 8 + 576 + 32, 8 + 8 + 8),
    ]:
        assert (layer.weights, layer.biases) == (weights, biases)
        assert layer.num_parameters() == weights + biases


def test_a_residual_block_on_paper():
    table = layer_table([Conv2d(3, 4, 3), BLOCK, GlobalAvgPool2d()], (3, 18, 18))
    assert [(row.layer, row.output_shape) for row in table.rows[1:]] == [
        ("3×3 convolution, 8 filters, stride 2, padding 1, no bias", (8, 8, 8)),
        ("batch normalisation", (8, 8, 8)),
        ("3×3 convolution, 8 filters, padding 1", (8, 8, 8)),
        ("1×1 convolution, 8 filters, stride 2", (8, 8, 8)),
        ("sum", (8, 8, 8)),
        ("global average pooling", (8, 1, 1)),
    ]
    # the body sees 3, then 3 + 2·1 = 5, then 5 + 2·2 = 9; the shortcut 3; all 8 positions 9 + 7·2
    assert [row.receptive_field[0] for row in table.rows] == [3, 5, 5, 9, 3, 9, 23]
    assert [row.jump[0] for row in table.rows] == [1, 2, 2, 2, 2, 2, 2]
    assert [row.effective_padding[0] for row in table.rows] == [0, 1, 1, 3, 0, 3, 3]
    assert BLOCK.window() == ((7, 2, 3), (7, 2, 3))
    assert table.num_parameters == 112 + BLOCK.num_parameters()
    assert derivation(BLOCK) == "8·(4·3·3) + 2·8 + 8·(8·3·3) + 8 + 8·(4·1·1) + 8 = 928"
    assert BLOCK.multiply_adds((4, 16, 16)) == 64 * (288 + 576 + 32)


def test_transposed_convolution_on_paper():
    # the decoder's half: 10 → 20 positions, half an entry apart; each sees two of the inputs
    layer = ConvTranspose2d(16, 8, 4, stride=2, padding=1)
    assert layer.window() == ((2, Fraction(1, 2), 1),) * 2
    table = layer_table([Conv2d(3, 16, 3, 2), layer], (3, 21, 21))
    assert table.output_shape == (8, 20, 20)
    row = table.rows[-1]
    assert (row.receptive_field, row.jump) == ((3 + 1 * 2,) * 2, (1, 1))
    assert row.derivation == "16·(8·4·4) + 8 = 2,056"
    assert row.multiply_adds == 10 * 10 * 16 * 8 * 16


def measured(module, image, place):
    """(first, last) row and column of the input that an output depends on; module all ones."""
    output = module(image)
    (gradient,) = torch.autograd.grad(output[(0, slice(None), *place)].sum(), image)
    seen = gradient.abs().sum((0, 1)).nonzero()
    return [(min(axis), max(axis)) for axis in seen.T.tolist() if axis]


def ones(network):
    module = build(network).double().eval()
    for parameter in module.parameters():
        torch.nn.init.ones_(parameter)
    return module


@settings(max_examples=60, deadline=None)
@given(networks((2, 37, 41), kinds=LINEAR_KINDS, classifier=False), st.data())
def test_receptive_fields_are_what_a_gradient_reaches(network, data):
    row = layer_table(network, (2, 37, 41)).rows[-1]
    place = [  # most often in the middle, where no padding is seen
        data.draw(st.integers(length // 3, length - 1 - length // 3))
        for length in row.output_shape[1:]
    ]
    image = torch.zeros(1, 2, 37, 41, dtype=torch.double, requires_grad=True)
    found = measured(ones(network), image, place)
    starts = [
        index * jump - padding
        for index, jump, padding in zip(place, row.jump, row.effective_padding, strict=True)
    ]
    ends = [start + field - 1 for start, field in zip(starts, row.receptive_field, strict=True)]
    predicted = list(zip(starts, ends, strict=True))
    if min(starts) >= 0 and ends[0] < 37 and ends[1] < 41:
        assert found == predicted
    for (first, last), (start, end) in zip(found, predicted, strict=False):
        assert start <= first <= last <= end


def test_the_middle_of_the_rdfia_network_sees_36_entries():
    # the independent measurement once more, without the draws: averages for maxima, no ReLU
    network = [AvgPool2d(2) if isinstance(layer, MaxPool2d) else layer for layer in RDFIA[:9]]
    network = [layer for layer in network if not isinstance(layer, ReLU)]
    image = torch.zeros(1, 3, 96, 96, dtype=torch.double, requires_grad=True)
    # output 5 begins at 5·8 − 14 = 26
    assert measured(ones(network), image, (5, 6)) == [(26, 26 + 35), (34, 34 + 35)]


def test_transposed_windows_are_what_a_gradient_reaches():
    image = torch.zeros(1, 1, 32, 1, dtype=torch.double, requires_grad=True)
    for kernel, stride, padding, dilation in itertools.product(
        (1, 2, 3, 5), (1, 2, 3), (0, 1), (1, 2, 3)
    ):
        layer = ConvTranspose2d(1, 1, (kernel, 1), stride, (padding, 0), dilation=dilation)
        window = layer.window()[0]
        outputs = ones([layer])(image)[0, 0, :, 0]
        spans = []
        for place in range(15 * stride, 18 * stride):
            (gradient,) = torch.autograd.grad(outputs[place], image, retain_graph=True)
            seen = gradient.flatten().nonzero().flatten().tolist()
            if seen:  # between the entries of a dilated kernel an output may see nothing
                spans.append(seen[-1] - seen[0] + 1)
                if dilation == 1 and place % stride == 0:
                    assert seen[0] == place * window.stride - window.padding
        assert max(spans) == window.span


def test_fractions_are_rounded_up_to_what_an_output_sees():
    # 2×2 upsampling, then 2×2: neighbours half an entry apart see 1 or 2 entries, 1 + 1·½
    rows = layer_table([ConvTranspose2d(1, 1, 2, 2), Conv2d(1, 1, 2)], (1, 8, 8)).rows
    assert [row.receptive_field for row in rows] == [(1, 1), (2, 2)]
    assert rows[1].jump == (Fraction(1, 2), Fraction(1, 2))


@pytest.mark.parametrize(("length", "outputs"), [(13, 6), (12, 6), (3, 7), (9, 1), (5, 5)])
def test_adaptive_windows_are_what_a_gradient_reaches(length, outputs):
    layer = AdaptiveAvgPool2d((outputs, 1))
    image = torch.zeros(1, 1, length, 1, requires_grad=True)
    pooled = ones([layer])(image).flatten()
    seen = [
        torch.autograd.grad(output, image, retain_graph=True)[0].count_nonzero().item()
        for output in pooled
    ]
    rows, columns = layer.window_on((1, length, 1))
    assert (rows.span, rows.padding) == (max(seen), 0)
    assert rows.stride == (Fraction(length, outputs) if outputs > 1 else 1)
    assert columns == (1, 1, 0)


@settings(max_examples=60, deadline=None)
@given(networks((2, 13, 16)))
def test_multiply_adds_equal_what_torch_counts(network):
    table = layer_table(network, (2, 13, 16))
    module = build(network).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, 2, 13, 16))
    assert 2 * table.multiply_adds == counter.get_total_flops()  # torch counts the additions too
    by_layer = sum(
        layer.multiply_adds(shape) for layer, shape in zip(network, inputs(network), strict=True)
    )
    assert by_layer == table.multiply_adds


def inputs(network):
    shape = (2, 13, 16)
    for layer in network:
        yield shape
        shape = layer.output_shape(shape)


@settings(max_examples=60, deadline=None)
@given(networks((2, 13, 16)))
def test_reprs_and_counts_can_be_read_back(network):
    for layer in network:
        assert eval(repr(layer), vars(handcalc)) == layer
        if layer.counted():
            count = derivation(layer).split(" = ")[0]
            assert eval(count.replace("·", "*").replace(",", "")) == layer.num_parameters()


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 3),
    inputs=st.integers(1, 3),
    outputs=st.integers(1, 3),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
)
def test_convolutions_equal_torch(groups, inputs, outputs, **options):
    channels = (groups * inputs, groups * outputs)
    layer = Conv2d(*channels, groups=groups, **options)
    options["kernel_size"] = options.pop("kernel")
    module = torch.nn.Conv2d(*channels, groups=groups, **options)
    assert num_parameters(layer) == torch_parameters(module)
    expected = module(torch.zeros(1, channels[0], 9, 11)).shape[1:]
    assert layer.output_shape((channels[0], 9, 11)) == expected
    count = derivation(layer).split(" = ")[0]
    assert eval(count.replace("·", "*").replace(",", "")) == num_parameters(layer)


@pytest.mark.parametrize(
    ("layer", "module"),
    [
        (Linear(7, 3), torch.nn.Linear(7, 3)),
        (Linear(7, 3, bias=False), torch.nn.Linear(7, 3, bias=False)),
        (BatchNorm2d(5), torch.nn.BatchNorm2d(5)),
        (BatchNorm1d(7), torch.nn.BatchNorm1d(7).eval()),
        (Dropout(), torch.nn.Dropout()),
        (LeakyReLU(), torch.nn.LeakyReLU()),
        (Tanh(), torch.nn.Tanh()),
        (GlobalAvgPool2d(), torch.nn.AdaptiveAvgPool2d(1)),
        (AdaptiveAvgPool2d((3, 4)), torch.nn.AdaptiveAvgPool2d((3, 4))),
        (ZeroPad2d((1, 2, 3, 4)), torch.nn.ZeroPad2d((1, 2, 3, 4))),
        (
            ConvTranspose2d(5, 4, 3, 2, 1, 1, 1, False, 2),
            torch.nn.ConvTranspose2d(5, 4, 3, 2, 1, 1, 1, False, 2),
        ),
        (MaxPool2d(3, 2, 1, 1, True), torch.nn.MaxPool2d(3, 2, 1, 1, ceil_mode=True)),
        (AvgPool2d((2, 3), ceil_mode=True), torch.nn.AvgPool2d((2, 3), ceil_mode=True)),
        (ReLU(), torch.nn.ReLU()),
        (ReLU6(), torch.nn.ReLU6()),
        (Sigmoid(), torch.nn.Sigmoid()),
        (Flatten(), torch.nn.Flatten()),
    ],
)
def test_other_layers_equal_torch(layer, module):
    shape = (7,) if isinstance(layer, Linear | BatchNorm1d) else (5, 8, 10)
    assert layer.output_shape(shape) == module(torch.zeros(1, *shape)).shape[1:]
    assert num_parameters(layer) == torch_parameters(module)
    assert bool(derivation(layer)) == bool(num_parameters(layer))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps": -1e-5}, "eps -1e-05 is negative"),
        ({"eps": float("nan")}, "eps nan is negative"),
        ({"momentum": 1.5}, "momentum 1.5 is no share; give a number from 0 to 1"),
    ],
)
def test_settings_of_a_batch_normalisation_are_checked(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        BatchNorm2d(8, **settings)


def test_layers_say_what_they_are():
    assert str(Conv2d(4, 8, (3, 5), stride=(1, 2), groups=2, bias=False)) == (
        "3×5 convolution, 8 filters, stride 1×2, groups 2, no bias"
    )
    assert str(MaxPool2d(3, 2, ceil_mode=True)) == "3×3 max pooling, stride 2, ceil mode"
    assert str(AvgPool2d(2)) == "2×2 average pooling, stride 2"
    assert str(Linear(2048, 1000)) == "fully connected, 1,000 units"
    same = Conv2d(3, 8, 4, padding="same")
    assert str(same) == "4×4 convolution, 8 filters, padding same"
    assert str(Conv2d(3, 8, 3, padding=((1, 2), (0, 0)))) == (
        "3×3 convolution, 8 filters, padding 1 above, 2 below, 0 left, 0 right"
    )
    assert str(Conv2d(3, 8, 3, (1, 1), ((1, 1), (2, 2)))) == (
        "3×3 convolution, 8 filters, padding 1×2"
    )
    assert str(ConvTranspose2d(8, 4, 4, 2, 1, 1)) == (
        "4×4 transposed convolution, 4 filters, stride 2, padding 1, output padding 1"
    )
    assert str(ZeroPad2d((1, 2, 3, 3))) == "zero padding 3 above, 3 below, 1 left, 2 right"
    assert [str(layer) for layer in (*POINTWISE, BLOCK, GlobalAvgPool2d())] == [
        *("ReLU", "ReLU6", "leaky ReLU, slope 0.2", "sigmoid", "tanh", "softmax"),
        *("log-softmax", "dropout 0.3", "residual block", "global average pooling"),
    ]


def test_reprs_are_short_and_can_be_read_back():
    # a Config keeps them: a setting at its default must not appear
    assert repr(Conv2d(3, 32, 5, padding=2)) == "Conv2d(3, 32, 5, padding=2)"
    assert repr(Residual((ReLU(), Dropout()))) == "Residual((ReLU(), Dropout()))"
    assert repr(BatchNorm2d(8)) == "BatchNorm2d(8)"
    assert repr(BatchNorm1d(8, eps=1e-3)) == "BatchNorm1d(8, eps=0.001)"
    for layer in (*TASK_1G, *POINTWISE, BLOCK, GlobalAvgPool2d(), BatchNorm1d(3, affine=False)):
        assert eval(repr(layer), {**globals(), **vars(handcalc)}) == layer
        assert hash(layer) == hash(eval(repr(layer), {**globals(), **vars(handcalc)}))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: layer_table([Conv2d(3, 8, 3), Conv2d(16, 8, 3)], (3, 8, 8)),
            "layer 2 (3×3 convolution, 8 filters): "
            "in_channels 16 does not fit the 8 channels; make it 8",
        ),
        (
            lambda: layer_table([Linear(10, 2)], (3, 8, 8)),
            "layer 1 (fully connected, 2 units): "
            "a fully connected layer gets 3×8×8; put Flatten() before it",
        ),
        (
            lambda: layer_table([Flatten(), Linear(10, 2)], (3, 8, 8)),
            "layer 2 (fully connected, 2 units): "
            "in_features 10 does not fit the 192 inputs; make it 192",
        ),
        (
            lambda: layer_table([Flatten(), MaxPool2d(2)], (3, 8, 8)),
            "layer 2 (2×2 max pooling, stride 2): "
            "it needs C×H×W but gets 192; put it before Flatten()",
        ),
        (
            lambda: layer_table([MaxPool2d(2)] * 4, (3, 8, 8)),
            "layer 4 (2×2 max pooling, stride 2): "
            "kernel 2 is larger than the padded input 1; raise padding to at least 1",
        ),
        (
            lambda: layer_table([MaxPool2d(2, padding=2)], (3, 8, 8)),
            "layer 1 (2×2 max pooling, stride 2, padding 2): padding 2 is more than half of "
            "the pooling kernel 2; lower padding to at most 1",
        ),
        (
            lambda: layer_table([BatchNorm2d(4)], (3, 8, 8)),
            "layer 1 (batch normalisation): num_features 4 does not fit the 3 channels; make it 3",
        ),
        (lambda: layer_table([], (3, 8, 8)), "the network has no layers; give at least one"),
        (
            lambda: layer_table([BatchNorm1d(4)], (4, 2, 2)),
            "layer 1 (batch normalisation): it needs one axis of features but gets 4×2×2; "
            "put it behind Flatten(), or take BatchNorm2d",
        ),
        (
            lambda: layer_table([Flatten(), BatchNorm1d(4)], (4, 2, 2)),
            "layer 2 (batch normalisation): num_features 4 does not fit the 16 features; "
            "make it 16",
        ),
        (
            lambda: layer_table([ReLU(), Residual((Conv2d(3, 4, 3),))], (3, 8, 8)),
            "layer 2 (sum): 4×6×6 and 3×8×8 cannot be added; make the paths agree, e.g. with a "
            "1×1 convolution of the same filters and stride as the shortcut",
        ),
        (
            lambda: layer_table([ReLU(), Residual((Tanh(), Conv2d(4, 3, 3)))], (3, 8, 8)),
            "layer 2, body layer 2 (3×3 convolution, 3 filters): "
            "in_channels 4 does not fit the 3 channels; make it 3",
        ),
        (
            lambda: Residual((Tanh(),), (Conv2d(4, 3, 3),)).output_shape((3, 8, 8)),
            "residual block, shortcut layer 1 (3×3 convolution, 3 filters): "
            "in_channels 4 does not fit the 3 channels; make it 3",
        ),
        (
            lambda: layer_table([ConvTranspose2d(3, 3, 2, padding=9)], (3, 8, 8)),
            "layer 1 (2×2 transposed convolution, 3 filters, padding 9): "
            "padding 9 takes away more than the output 9 has; lower padding to at most 4",
        ),
        (
            lambda: layer_table([ReLU(), 5], (3, 8, 8)),
            "layer 2 is a int, no layer of labkit.handcalc; give layers such as "
            "Conv2d(3, 32, 5), or one torch module as the whole network",
        ),
        (
            lambda: layer_table([ReLU()], (1, 3, 8, 8)),
            "input_shape 1×3×8×8 has more axes than one example C×H×W; "
            "leave the batch out: (3, 8, 8)",
        ),
        (
            lambda: layer_table([AvgPool2d(3, padding="same")], (3, 8, 8)),
            "layer 1 (3×3 average pooling, stride 3, padding same): "
            "padding 'same' is not possible; give a whole number of at least 0",
        ),
        (
            lambda: Conv2d(3, 8, 3, stride=2, padding="same"),
            'padding "same" needs stride 1, not 2; give the padding in numbers',
        ),
        (lambda: Dropout(1.5), "p 1.5 is no probability; give a number from 0 to 1"),
        (
            lambda: Conv2d(3, 8, 3, groups=2),
            "in_channels 3 is not a multiple of groups 2; "
            "choose groups that divide both numbers of channels",
        ),
        (
            lambda: Conv2d(0, 8, 3),
            "in_channels 0 is not possible; give a whole number of at least 1",
        ),
        (
            lambda: Linear(8, 1.5),
            "out_features 1.5 is not possible; give a whole number of at least 1",
        ),
    ],
)
def test_layers_that_do_not_fit_name_the_remedy(build, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build()
