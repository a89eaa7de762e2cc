"""From a list of layers to a module.

One list serves the hand calculation (`labkit.handcalc.layer_table` derives its sizes and
parameters), the Config of a run and this builder, so that the three cannot disagree.
"""

from collections.abc import Iterable
from itertools import pairwise

from torch import Tensor, nn

from labkit.handcalc import layers
from labkit.handcalc.layers import Layer, MaxPool2d
from labkit.handcalc.shapes import sides, whole_pair


class Residual(nn.Module):
    """The sum of what `body` and `shortcut` make of the same input."""

    def __init__(self, body: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.shortcut(x)


def _convolution(conv: layers.Conv2d) -> nn.Module:
    padding, before = conv.padding, None
    if not isinstance(padding, str):
        pairs = (
            whole_pair(size, "size", at_least=1)
            for size in (conv.kernel, conv.stride, conv.dilation)
        )
        (top, bottom), (left, right) = sides(padding, *pairs)
        padding = (top, left)
        if padding != (bottom, right):
            # nn.Conv2d pads both ends alike
            before, padding = nn.ZeroPad2d((left, right, top, bottom)), 0
    convolution = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel,
        conv.stride,
        padding,
        conv.dilation,
        conv.groups,
        conv.bias,
    )
    return nn.Sequential(before, convolution) if before else convolution


_MODULES = {
    layers.Conv2d: _convolution,
    layers.ConvTranspose2d: lambda conv: nn.ConvTranspose2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel,
        conv.stride,
        conv.padding,
        conv.output_padding,
        conv.groups,
        conv.bias,
        conv.dilation,
    ),
    layers.Linear: lambda full: nn.Linear(full.in_features, full.out_features, full.bias),
    layers.BatchNorm1d: lambda norm: nn.BatchNorm1d(
        norm.num_features, norm.eps, norm.momentum, norm.affine
    ),
    layers.BatchNorm2d: lambda norm: nn.BatchNorm2d(
        norm.num_features, norm.eps, norm.momentum, norm.affine
    ),
    layers.MaxPool2d: lambda pool: nn.MaxPool2d(
        pool.kernel, pool.stride, pool.padding, pool.dilation, ceil_mode=pool.ceil_mode
    ),
    layers.AvgPool2d: lambda pool: nn.AvgPool2d(
        pool.kernel, pool.stride, pool.padding, ceil_mode=pool.ceil_mode
    ),
    layers.AdaptiveAvgPool2d: lambda pool: nn.AdaptiveAvgPool2d(pool.size),
    layers.GlobalAvgPool2d: lambda _: nn.AdaptiveAvgPool2d(1),
    layers.ZeroPad2d: lambda pad: nn.ZeroPad2d(pad.padding),
    layers.ReLU: lambda _: nn.ReLU(),
    layers.ReLU6: lambda _: nn.ReLU6(),
    layers.LeakyReLU: lambda relu: nn.LeakyReLU(relu.negative_slope),
    layers.Sigmoid: lambda _: nn.Sigmoid(),
    layers.Tanh: lambda _: nn.Tanh(),
    layers.Softmax: lambda _: nn.Softmax(dim=1),
    layers.LogSoftmax: lambda _: nn.LogSoftmax(dim=1),
    layers.Dropout: lambda dropout: nn.Dropout(dropout.p),
    layers.Flatten: lambda _: nn.Flatten(),
}


def build(network: Iterable[Layer], *, pooling_first: bool = True) -> nn.Sequential:
    """The module that computes `network`: (N, C, H, W) → (N, …), weights drawn as PyTorch does.

    `network` is a list of the layers of `labkit.handcalc`. Where max pooling follows an activation
    the two are exchanged (`pooling_first`): the result is the same, and the activation then has a
    quarter of the entries to work on.

    >>> build([layers.Conv2d(3, 8, 5), layers.ReLU(), layers.MaxPool2d(2)])
    Sequential(
      (0): Conv2d(3, 8, kernel_size=(5, 5), stride=(1, 1))
      (1): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
      (2): ReLU()
    )
    """
    order = list(network)
    if pooling_first:
        for place, (first, second) in enumerate(pairwise(list(order))):
            if _never_falls(first) and isinstance(second, MaxPool2d):
                order[place], order[place + 1] = second, first
    return nn.Sequential(*(_module(layer, pooling_first) for layer in order))


def _module(layer: Layer, pooling_first: bool) -> nn.Module:
    if isinstance(layer, layers.Residual):
        parts = (layer.body, layer.shortcut)
        return Residual(*(build(part, pooling_first=pooling_first) for part in parts))
    return _MODULES[type(layer)](layer)


def _never_falls(layer: Layer) -> bool:
    """Whether it is a function of each entry that never falls: the maximum commutes with those."""
    if isinstance(layer, layers.LeakyReLU):
        return layer.negative_slope >= 0
    return isinstance(layer, layers.ReLU | layers.ReLU6 | layers.Sigmoid | layers.Tanh)
