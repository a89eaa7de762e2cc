"""From stored bytes to what a network is fed."""

import torch
from torch import Tensor


def scale(images: Tensor, mean: float, std: float) -> Tensor:
    """Bytes 0…255 to (x/255 − mean)/std in float32: (N, C, H, W) uint8 → (N, C, H, W).

    The memory layout of `images` is kept, so channels-last bytes give channels-last floats.

    >>> scale(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), mean=0.5, std=0.25)
    tensor([[[[-2.,  2.]]]])
    """
    return images.to(torch.float32).sub_(255 * mean).div_(255 * std)
