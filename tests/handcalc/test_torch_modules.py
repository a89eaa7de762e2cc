"""Torch modules as layer tables: like the list that they were built from, and known networks."""

import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from networks import networks
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from labkit.data._torchvision import import_torchvision
from labkit.handcalc import BatchNorm1d, BatchNorm2d, Flatten, ReLU6, layer_table, torch_modules
from labkit.handcalc import Residual as ResidualLayers
from labkit.models import build


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def rows(module, shape):
    return [row.layer for row in layer_table(module, shape).rows]


def without_exchange(network):
    """`build`, but with pooling where the list has it."""
    parts = []
    for layer in network:
        if isinstance(layer, ResidualLayers):
            parts += build([layer])
        else:
            parts += [part for part in build([layer]).modules() if not list(part.children())]
    return nn.Sequential(*parts)


@settings(max_examples=60, deadline=None)
@given(networks((2, 13, 16)))
def test_a_module_has_the_table_of_the_list_that_it_was_built_from(network):
    ours = layer_table(network, (2, 13, 16))
    traced = layer_table(without_exchange(network), (2, 13, 16))
    assert traced.output_shape == ours.output_shape
    assert traced.num_parameters == ours.num_parameters
    assert traced.multiply_adds == ours.multiply_adds
    # unequal padding is a layer of its own in torch
    last, expected = traced.rows[-1], ours.rows[-1]
    assert last.receptive_field == expected.receptive_field
    assert (last.jump, last.effective_padding) == (expected.jump, expected.effective_padding)
    if "above" not in str(ours):
        assert traced.records(geometry=True) == ours.records(geometry=True)


@pytest.fixture(scope="module")
def resnet18():
    return import_torchvision().models.resnet18()


def test_resnet18(resnet18):
    table = layer_table(resnet18, (3, 224, 224))
    assert table.num_parameters == 11_689_512
    pooling = next(row for row in table.rows if row.layer == "global average pooling")
    before = table.rows[table.rows.index(pooling) - 1]
    # Araujo, Norris & Sim (2019) have 435 for it; the last maps are 7 × 7
    assert (before.receptive_field, before.jump) == ((435, 435), (32, 32))
    assert pooling.receptive_field == (435 + 6 * 32,) * 2
    assert table.output_shape == (1000,)
    assert table.rows[0].layer == "7×7 convolution, 64 filters, stride 2, padding 3, no bias"
    assert sum(row.layer == "sum" for row in table.rows) == 8


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v2", "alexnet"])
def test_networks_of_torchvision(name):
    models = import_torchvision().models
    with torch.device("meta"):  # shapes alone: no weights are drawn, nothing is computed
        module = getattr(models, name)().eval()
        with FlopCounterMode(display=False) as counter:
            output = module(torch.zeros(1, 3, 224, 224))
    table = layer_table(module, (3, 224, 224))
    assert table.num_parameters == num_parameters(module)
    assert 2 * table.multiply_adds == counter.get_total_flops()
    assert table.output_shape == output.shape[1:]


def test_settings_of_batch_normalisations_and_relu6_are_read():
    module = nn.Sequential(
        nn.BatchNorm2d(4, 1e-3, 0.01), nn.ReLU6(), nn.Flatten(), nn.BatchNorm1d(4)
    )
    read = [step.layer for step in torch_modules.steps(module)]
    assert read == [BatchNorm2d(4, eps=1e-3, momentum=0.01), ReLU6(), Flatten(), BatchNorm1d(4)]


class Functions(nn.Module):
    """A network whose layers without parameters are functions and methods."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.full = nn.Linear(8 * 4 * 4, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        y = F.relu6(F.leaky_relu(self.second(x), 0.1))
        y += x
        x = torch.cat([x, y], dim=1)
        x = F.gelu(F.avg_pool2d(x, 3, 2, padding=1))
        n, _, _, _ = x.shape
        x = F.dropout(torch.tanh(x).contiguous().view(n, -1), training=self.training)
        return F.log_softmax(self.full(x), dim=1)


def test_functions_and_methods():
    table = layer_table(Functions(), (3, 16, 16))
    assert [row.layer for row in table.rows] == [
        "3×3 convolution, 4 filters, padding 1",
        "ReLU",
        "2×2 max pooling, stride 2",
        "3×3 convolution, 4 filters, padding 1",
        "leaky ReLU, slope 0.1",
        "ReLU6",
        "sum",
        "concatenation",
        "3×3 average pooling, stride 2, padding 1",
        "GELU",
        "tanh",
        "flatten",
        "dropout 0.5",
        "fully connected, 5 units",
        "log-softmax",
    ]
    assert table.num_parameters == num_parameters(Functions())
    assert [row.output_shape for row in table.rows[6:9]] == [(4, 8, 8), (8, 8, 8), (8, 4, 4)]
    # 3, pooling 4, the second convolution 4 + 2·2 = 8; joined 8; average 8 + 2·2 = 12
    fields = [table.rows[row].receptive_field[0] for row in (0, 2, 3, 6, 7, 8)]
    assert fields == [3, 4, 8, 8, 8, 12]
    assert Functions()(torch.zeros(2, 3, 16, 16)).shape[1:] == table.output_shape


class Flattening(nn.Module):
    def __init__(self, flatten):
        super().__init__()
        self.flatten = flatten

    def forward(self, x):
        return self.flatten(x)


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: x.flatten(1),
        lambda x: torch.flatten(x, 1),
        lambda x: torch.flatten(x, start_dim=1),
        lambda x: x.view(x.size(0), -1),
        lambda x: x.view(x.shape[0], -1),
        lambda x: x.view(x.size()[0], -1),
        lambda x: x.view((x.size(0), -1)),
        lambda x: x.reshape(x.size(0), 48),
        lambda x: x.view(x.size(0), x.size(1) * x.size(2) * x.size(3)),
        lambda x: x.view(-1, 48),
        lambda x: torch.reshape(x, (-1, 48)),
        nn.Flatten(),
        lambda x: F.adaptive_avg_pool2d(x, (4, 4)).flatten(1),
    ],
)
def test_ways_to_flatten(flatten):
    module = nn.Sequential(nn.Identity(), Flattening(flatten))
    assert layer_table(module, (3, 4, 4)).output_shape == (48,)


@pytest.mark.parametrize(
    ("flatten", "message"),
    [
        (lambda x: x.view(-1, 40), "view (flatten): view(…, 40) does not fit the 48 entries"),
        (lambda x: x.view(1, -1), "a view that does not flatten each example; to flatten, write"),
        (lambda x: x.view(x.size(1), -1), "a view that does not flatten each example"),
        (lambda x: x.view(x.size(0), 3, 16), "a view that does not flatten each example"),
        (lambda x: torch.flatten(x), "flatten(0, -1) does not flatten each example; write"),
        (lambda x: torch.cat([x, x]), "cat along dim 0 does not join the channels; write dim=1"),
        (lambda x: F.softmax(x, dim=0), "a softmax along dim 0 is not over the classes"),
        (lambda x: x[:, 0], "forward calls getitem, which layer_table does not know; it knows "),
        (lambda x: x * 2, "forward calls mul, which layer_table does not know; it knows "),
        (lambda x: (x, x), "the forward of Flattening returns (x, x); let it return one tensor"),
        (
            lambda x: x if x.sum() > 0 else -x,
            "the forward of Flattening cannot be traced, as where it",
        ),
        (lambda x: F.max_pool2d(x), "cannot be traced"),
    ],
)
def test_what_is_not_understood_is_named(flatten, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        layer_table(Flattening(flatten), (3, 4, 4))


def test_an_unknown_module_is_named():
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(nn.GroupNorm(2, 8)))
    message = "1.0 is a GroupNorm, which layer_table does not know; it knows AdaptiveAvgPool2d, Avg"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        layer_table(module, (3, 8, 8))


def test_a_layer_that_does_not_fit_is_named_by_its_path():
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 8, 3)))
    message = "1.1 (3×3 convolution, 8 filters): in_channels 4 does not fit the 8 channels"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        layer_table(module, (3, 8, 8))


def test_what_a_layer_takes_must_be_known():
    class WithParameter(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3, 4, 4))

        def forward(self, x):
            return x + self.scale

    with pytest.raises(ValueError, match=r"^add takes scale, which no known layer gives; write"):
        layer_table(WithParameter(), (3, 4, 4))


def test_a_module_used_twice_counts_once():
    shared = nn.Conv2d(4, 4, 3, padding=1)
    module = nn.Sequential(shared, nn.ReLU(), shared)
    table = layer_table(module, (4, 8, 8))
    assert table.num_parameters == num_parameters(module) == 148
    first, _, again = table.rows
    assert (again.layer, again.num_parameters, again.derivation) == (
        "3×3 convolution, 4 filters, padding 1, shared",
        0,
        "",
    )
    assert first.multiply_adds == again.multiply_adds == 64 * 4 * 4 * 9
    assert again.receptive_field == (5, 5)


def test_a_single_module_and_subclasses():
    class Ours(nn.Conv2d):
        """Another initialisation, the same convolution."""

    class Scaled(nn.Conv2d):
        def forward(self, x):
            return super().forward(x) * 2

    assert rows(nn.Conv2d(3, 8, 3), (3, 8, 8)) == ["3×3 convolution, 8 filters"]
    assert rows(nn.Sequential(Ours(3, 8, 3)), (3, 8, 8)) == ["3×3 convolution, 8 filters"]
    with pytest.raises(ValueError, match="forward calls conv2d"):
        layer_table(nn.Sequential(Scaled(3, 8, 3)), (3, 8, 8))


def test_normalisation_without_parameters():
    module = nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.Flatten(), nn.BatchNorm1d(12))
    plain = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12, affine=False))
    assert layer_table(module, (3, 2, 2)).num_parameters == 24
    assert layer_table(plain, (3, 2, 2)).num_parameters == 0


def test_identity_passes_through_and_dropout_is_shown():
    module = nn.Sequential(nn.Identity(), nn.Dropout(0.1), nn.Conv2d(3, 2, 1), nn.Identity())
    assert rows(module, (3, 4, 4)) == ["dropout 0.1", "1×1 convolution, 2 filters"]
    with pytest.raises(ValueError, match=r"^the network has no layers; give at least one$"):
        layer_table(nn.Identity(), (3, 4, 4))
