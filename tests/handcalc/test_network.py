"""Layer tables and parameter counts: the published ones, then PyTorch's."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.handcalc import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sigmoid,
    derivation,
    layer_table,
    num_parameters,
)

TASK_1G = [
    *(Conv2d(3, 32, 5, padding=2), ReLU(), MaxPool2d(2)),
    *(Conv2d(32, 64, 5, padding=2), ReLU(), MaxPool2d(2)),
    *(Conv2d(64, 128, 5, padding=2), ReLU(), MaxPool2d(2)),
    *(Flatten(), Linear(2048, 64), ReLU(), Linear(64, 10)),
]


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
    layers = [
        *(Conv2d(3, 32, 5, padding=2), MaxPool2d(2)),
        *(Conv2d(32, 64, 5, padding=2), MaxPool2d(2)),
        *(Conv2d(64, 64, 5, padding=2), MaxPool2d(2)),
        *(Flatten(), Linear(1024, 1000), ReLU(), Linear(1000, 10)),
    ]
    assert layer_table(layers, (3, 32, 32)).num_parameters == 1_191_170


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
        (MaxPool2d(3, 2, 1, 1, True), torch.nn.MaxPool2d(3, 2, 1, 1, ceil_mode=True)),
        (AvgPool2d((2, 3), ceil_mode=True), torch.nn.AvgPool2d((2, 3), ceil_mode=True)),
        (ReLU(), torch.nn.ReLU()),
        (Sigmoid(), torch.nn.Sigmoid()),
        (Flatten(), torch.nn.Flatten()),
    ],
)
def test_other_layers_equal_torch(layer, module):
    shape = (7,) if isinstance(layer, Linear) else (5, 8, 10)
    assert layer.output_shape(shape) == module(torch.zeros(1, *shape)).shape[1:]
    assert num_parameters(layer) == torch_parameters(module)
    assert bool(derivation(layer)) == bool(num_parameters(layer))


def test_layers_say_what_they_are():
    assert str(Conv2d(4, 8, (3, 5), stride=(1, 2), groups=2, bias=False)) == (
        "3×5 convolution, 8 filters, stride 1×2, groups 2, no bias"
    )
    assert str(MaxPool2d(3, 2, ceil_mode=True)) == "3×3 max pooling, stride 2, ceil mode"
    assert str(AvgPool2d(2)) == "2×2 average pooling, stride 2"
    assert str(Linear(2048, 1000)) == "fully connected, 1,000 units"
    # the repr can be read back: a Config keeps it
    for layer in (*TASK_1G, AvgPool2d(2), BatchNorm2d(3)):
        assert eval(repr(layer)) == layer


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
