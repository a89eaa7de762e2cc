"""What `build` makes of each layer: the sizes and parameters of the layer table, and its values."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from networks import networks
from torch import nn

from labkit.handcalc import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    LeakyReLU,
    LogSoftmax,
    MaxPool2d,
    ReLU6,
    Residual,
    Softmax,
    Tanh,
    layer_table,
)
from labkit.models import build


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@settings(max_examples=80, deadline=None)
@given(networks((2, 13, 16)))
def test_the_module_has_the_sizes_and_parameters_of_the_table(network):
    table = layer_table(network, (2, 13, 16))
    module = build(network).eval()
    assert module(torch.zeros(3, 2, 13, 16)).shape == (3, *table.output_shape)
    assert num_parameters(module) == table.num_parameters


def test_unequal_padding():
    torch.manual_seed(0)
    images = torch.randn(2, 3, 5, 6)
    module = build([Conv2d(3, 4, 3, padding=((1, 2), (0, 3)))])
    (convolution,) = (part for part in module.modules() if isinstance(part, nn.Conv2d))
    padded = F.pad(images, (0, 3, 1, 2))  # left, right, top, bottom
    expected = F.conv2d(padded, convolution.weight, convolution.bias)
    torch.testing.assert_close(module(images), expected)
    assert expected.shape == (2, 4, 6, 7)


def test_padding_that_is_equal_after_all_needs_no_other_module():
    (convolution,) = build([Conv2d(3, 4, 3, padding=((1, 1), (2, 2)))])
    assert convolution.padding == (1, 2)


def test_settings_reach_the_module():
    network = (
        ConvTranspose2d(4, 8, (3, 5), 2, (1, 2), 1, 2, False, 3),
        LeakyReLU(0.2),
        Dropout(0.25),
        BatchNorm2d(8, affine=False, eps=1e-2, momentum=0.01),
        GlobalAvgPool2d(),
        Flatten(),
        BatchNorm1d(8, eps=1e-3, momentum=None),
    )
    transposed, leaky, dropout, plain, pool, _, norm = build(network)
    assert (transposed.kernel_size, transposed.stride) == ((3, 5), (2, 2))
    assert (transposed.padding, transposed.output_padding) == ((1, 2), (1, 1))
    assert (transposed.groups, transposed.bias, transposed.dilation) == (2, None, (3, 3))
    assert (leaky.negative_slope, dropout.p) == (0.2, 0.25)
    assert (plain.affine, norm.num_features, pool.output_size) == (False, 8, 1)
    assert (plain.eps, plain.momentum) == (1e-2, 0.01)
    assert (norm.eps, norm.momentum, norm.affine) == (1e-3, None, True)
    (usual,) = build([BatchNorm2d(8)])
    assert (usual.eps, usual.momentum) == (1e-5, 0.1)  # PyTorch's own


def test_softmax_is_over_the_classes():
    scores = torch.randn(4, 7)
    torch.testing.assert_close(build([Softmax()])(scores).sum(1), torch.ones(4))
    torch.testing.assert_close(build([LogSoftmax()])(scores), F.log_softmax(scores, dim=1))


def test_a_residual_block_adds_its_paths():
    torch.manual_seed(0)
    images = torch.randn(2, 3, 6, 6)
    body, shortcut = Conv2d(3, 5, 3, 2, padding=1), Conv2d(3, 5, 1, 2)
    module = build((Tanh(), MaxPool2d(2)), pooling_first=False)
    assert isinstance(module[0], nn.Tanh)
    block = Residual((Tanh(), MaxPool2d(2)), (MaxPool2d(2),))
    (block,) = build([block], pooling_first=False)
    assert isinstance(block.body[0], nn.Tanh)
    (block,) = build([Residual((body, Tanh()), (shortcut,))])
    torch.testing.assert_close(block(images), block.body(images) + block.shortcut(images))
    (plain,) = build([Residual((Tanh(),))])
    torch.testing.assert_close(plain(images), torch.tanh(images) + images)


@pytest.mark.parametrize("slope", [0.2, -0.2])
def test_pooling_before_a_leaky_relu_only_where_it_changes_nothing(slope):
    torch.manual_seed(0)
    images = torch.randn(2, 3, 6, 6)
    module = build((LeakyReLU(slope), MaxPool2d(2)))
    assert isinstance(module[0], nn.MaxPool2d) == (slope > 0)
    torch.testing.assert_close(module(images), F.max_pool2d(F.leaky_relu(images, slope), 2))


def test_relu6_has_its_end_at_six_and_changes_place_with_pooling():
    torch.manual_seed(0)
    images = 10 * torch.randn(2, 3, 6, 6)
    module = build((ReLU6(), MaxPool2d(2)))
    assert isinstance(module[0], nn.MaxPool2d)
    torch.testing.assert_close(module(images), F.max_pool2d(images.clamp(0, 6), 2))
    assert module(images).max() == 6


def test_layers_in_a_residual_block_are_exchanged_too():
    module = build((Tanh(), MaxPool2d(2)), pooling_first=False)
    assert isinstance(module[0], nn.Tanh)
    (block,) = build([Residual((Tanh(), MaxPool2d(2)), (MaxPool2d(2),))])
    assert isinstance(block.body[0], nn.MaxPool2d)
