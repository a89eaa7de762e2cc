"""A bias behind the pooling, against the layers as they are written."""

import copy

import pytest
import torch
from torch import nn

from labkit.handcalc import Conv2d, MaxPool2d, ReLU, Residual
from labkit.models import build, rdfia
from labkit.models.pooled import PooledConv2d, bias_after_pooling


def pooled(*layers: nn.Module) -> nn.Sequential:
    return bias_after_pooling(nn.Sequential(*layers))


def gradients(model: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Of the images and of every parameter, for a loss in which no two outputs count the same."""
    images = images.clone().requires_grad_()
    outputs = model(images)
    weights = torch.linspace(-1, 1, outputs.numel(), dtype=outputs.dtype).view(outputs.shape)
    return list(torch.autograd.grad((outputs * weights).sum(), [images, *model.parameters()]))


def test_worked_on_paper():
    """Twice the largest of 1, −2, 3 and 0, and 1: 7. It is 2·1 + 1 = 3 for half of it."""
    model = pooled(nn.Conv2d(1, 1, 1), nn.MaxPool2d(2))
    with torch.no_grad():
        model[0].weight.fill_(2)
        model[0].bias.fill_(1)
    images = torch.tensor([[1.0, -2.0, 0.5, 0.5], [3.0, 0.0, 1.0, -9.0]]).view(1, 1, 2, 4)
    outputs = model(images)
    assert outputs.flatten().tolist() == [7, 3]
    outputs.sum().backward()
    assert model[0].weight.grad.item() == 3 + 1  # the maxima themselves
    assert model[0].bias.grad.item() == 2  # one for each of them


CASES = {
    "as in the reports": (nn.Conv2d(4, 6, 5, padding=2), nn.MaxPool2d(2), nn.ReLU()),
    "without an activation": (nn.Conv2d(4, 6, 3), nn.MaxPool2d(2)),
    "another activation": (nn.Conv2d(4, 6, 3), nn.MaxPool2d(2), nn.Tanh()),
    "windows that overlap": (nn.Conv2d(4, 6, 3), nn.MaxPool2d(3, 2, 1), nn.ReLU()),
    "a ragged border": (nn.Conv2d(4, 6, 3, 2), nn.MaxPool2d(2, ceil_mode=True), nn.ReLU()),
    "holes and groups": (nn.Conv2d(4, 6, 3, 1, 2, 2, 2), nn.MaxPool2d(2, 1, 0, 2), nn.ReLU()),
    "padding by name": (nn.Conv2d(4, 6, 3, padding="same"), nn.MaxPool2d(2), nn.ReLU()),
}


@pytest.mark.parametrize("layers", CASES.values(), ids=CASES)
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_values_and_gradients_are_those_of_the_layers_one_by_one(layers, memory_format):
    torch.manual_seed(0)
    reference = nn.Sequential(*copy.deepcopy(layers)).double().to(memory_format=memory_format)
    model = bias_after_pooling(copy.deepcopy(reference))
    assert isinstance(model[0], PooledConv2d)
    images = torch.randn(3, 4, 11, 13).double().to(memory_format=memory_format)
    before = images.clone()
    torch.testing.assert_close(model(images), reference(images))
    assert torch.equal(images, before)
    for ours, theirs in zip(gradients(model, images), gradients(reference, images), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_parameters_keep_their_names_and_layers_their_places():
    reference = build(rdfia())
    parameters = dict(reference.named_parameters())
    model = bias_after_pooling(reference)
    assert [type(layer).__name__ for layer in model[:4]] == [
        *("PooledConv2d", "Identity", "ReLU", "PooledConv2d")
    ]
    assert dict(model.named_parameters()).keys() == parameters.keys()
    assert all(each is parameters[name] for name, each in model.named_parameters())


def test_blocks_are_changed_too():
    (block,) = bias_after_pooling(build([Residual((Conv2d(3, 3, 1), MaxPool2d(2)), ())]))
    assert isinstance(block.body[0], PooledConv2d)


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Conv2d(3, 4, 3, bias=False), nn.MaxPool2d(2)),
        (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.MaxPool2d(2)),
        (nn.Conv2d(3, 4, 3), nn.AvgPool2d(2)),
        (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2)),
    ],
    ids=lambda layers: f"{layers[0].bias is not None} {type(layers[1]).__name__}",
)
def test_what_it_is_not_made_for_stays(layers):
    assert list(pooled(*layers)) == list(layers)


def test_a_relu_overwrites_nothing_that_another_layer_needs():
    (first, *_) = build([ReLU(), Conv2d(3, 3, 1), MaxPool2d(2)])
    model = bias_after_pooling(
        build([Conv2d(3, 3, 1), MaxPool2d(2), ReLU(), Conv2d(3, 3, 1), ReLU()])
    )
    assert [layer.inplace for layer in (first, model[2], model[4])] == [False, True, False]
