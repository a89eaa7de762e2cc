"""From a list of layers to a module.

One list serves the hand calculation (`labkit.handcalc.layer_table` derives its sizes and
parameters), the Config of a run and this builder, so that the three cannot disagree.
"""

from collections.abc import Iterable
from itertools import pairwise

from torch import nn

from labkit.handcalc import network as layers
from labkit.handcalc.network import Layer, MaxPool2d

_MODULES = {
    layers.Conv2d: lambda conv: nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel,
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
        conv.bias,
    ),
    layers.Linear: lambda full: nn.Linear(full.in_features, full.out_features, full.bias),
    layers.BatchNorm2d: lambda norm: nn.BatchNorm2d(norm.num_features),
    layers.MaxPool2d: lambda pool: nn.MaxPool2d(
        pool.kernel, pool.stride, pool.padding, pool.dilation, ceil_mode=pool.ceil_mode
    ),
    layers.AvgPool2d: lambda pool: nn.AvgPool2d(
        pool.kernel, pool.stride, pool.padding, ceil_mode=pool.ceil_mode
    ),
    layers.ReLU: lambda _: nn.ReLU(),
    layers.Sigmoid: lambda _: nn.Sigmoid(),
    layers.Flatten: lambda _: nn.Flatten(),
}

# the maximum of a window commutes with every function that never falls
_NEVER_FALLING = (layers.ReLU, layers.Sigmoid)


def build(network: Iterable[Layer]) -> nn.Sequential:
    """The module that computes `network`: (N, C, H, W) → (N, …), weights drawn as PyTorch does.

    Where max pooling follows an activation the two are exchanged: the result is the same, and the
    activation then has a quarter of the entries to work on.

    >>> build([layers.Conv2d(3, 8, 5), layers.ReLU(), layers.MaxPool2d(2)])
    Sequential(
      (0): Conv2d(3, 8, kernel_size=(5, 5), stride=(1, 1))
      (1): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
      (2): ReLU()
    )
    """
    order = list(network)
    for place, (first, second) in enumerate(pairwise(list(order))):
        if isinstance(first, _NEVER_FALLING) and isinstance(second, MaxPool2d):
            order[place], order[place + 1] = second, first
    return nn.Sequential(*(_MODULES[type(layer)](layer) for layer in order))
