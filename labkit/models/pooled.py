"""A convolution whose bias is added behind the max pooling that follows it.

max(x + b) = max(x) + b. Backward, the gradient of a bias is the sum over all that it was added to:
behind the pooling that is a quarter of the entries, and the largest tensor is read once less.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class PooledConv2d(nn.Module):
    """`pooling(convolution(images))` but for rounding, with the convolution's own parameters.

    (N, C, H, W) → (N, out_channels, pooled height, pooled width).
    """

    def __init__(self, convolution: nn.Conv2d, pooling: nn.MaxPool2d):
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self.options = {
            name: getattr(convolution, name) for name in ("stride", "padding", "dilation", "groups")
        }
        self.pooling = pooling

    def forward(self, images: Tensor) -> Tensor:
        outputs = self.pooling(F.conv2d(images, self.weight, **self.options))
        return outputs.add_(self.bias[:, None, None])


def bias_after_pooling(model: nn.Module) -> nn.Module:
    """Put a `PooledConv2d` wherever in `model` max pooling follows a convolution; returns `model`.

    Parameters stay the same objects under the same names, and every other layer stays in its place:
    where the pooling stood, nothing is left to do. A ReLU behind it overwrites its input, which
    nobody needs any more.

    >>> import torch
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.MaxPool2d(2), nn.ReLU())
    >>> bias_after_pooling(model)(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 8, 14, 14])
    >>> list(model.state_dict()), model[1]
    (['0.weight', '0.bias'], Identity())
    """
    sequences = [each for each in model.modules() if isinstance(each, nn.Sequential)]
    for layers in sequences:
        for place, (first, second) in enumerate(pairwise(list(layers))):
            if not (isinstance(first, nn.Conv2d) and isinstance(second, nn.MaxPool2d)):
                continue
            if first.bias is None or first.padding_mode != "zeros":
                continue
            layers[place], layers[place + 1] = PooledConv2d(first, second), nn.Identity()
            if place + 2 < len(layers) and isinstance(layers[place + 2], nn.ReLU):
                layers[place + 2].inplace = True
    return model
