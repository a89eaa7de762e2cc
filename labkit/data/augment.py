"""Whole-batch augmentation, on the device of the batch.

A per-image transform in a DataLoader runs Python once an image; these run a handful of tensor
operations once a batch. Randomness comes from the generator that is handed in, so that a run is
its seed. The memory format of the batch is kept, and nothing here waits for the device.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def take(images: Tensor, index: Tensor) -> Tensor:
    """`images[index]` for whole images: (N, C, H, W) and (M,) → (M, C, H, W).

    Brackets copy number by number; this copies image by image, ten times as fast on a CPU.
    """
    if images.is_contiguous(memory_format=torch.channels_last):
        # index_select answers in the order of the dimensions, so they go in as they lie in memory
        return images.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)
    return images.index_select(0, index)


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability ½: (N, C, H, W) → (N, C, H, W)."""
    n, device = len(images), images.device
    mirrored = torch.rand(n, generator=generator, device=device) < 0.5
    # each image or its mirror image out of both; on a CPU faster than torch.where
    return take(torch.cat([images, images.flip(3)]), torch.arange(n, device=device) + n * mirrored)


def crop(images: Tensor, size: int, padding: int, generator: torch.Generator) -> Tensor:
    """A random window of each image in a frame of zeros: (N, C, H, W) → (N, C, size, size).

    The frame is `padding` wide on all four sides; every place where the window fits is equally
    likely. Bytes stay bytes: in them 0 is black, in standardised images the mean.
    """
    height, width = (length + 2 * padding for length in images.shape[2:])
    if padding < 0 or not 1 <= size <= min(height, width):
        raise ValueError(
            f"a crop of {size}×{size} with padding {padding} does not fit in images of "
            f"{images.shape[2]}×{images.shape[3]}; take a padding of at least 0 and a size from 1 "
            "to the padded height and width"
        )
    n, device = len(images), images.device
    top = torch.randint(height - size + 1, (n,), generator=generator, device=device)
    left = torch.randint(width - size + 1, (n,), generator=generator, device=device)
    # a view of every window (N, C, tops, lefts, size, size); only the chosen ones are copied
    windows = F.pad(images, (padding,) * 4).unfold(2, size, 1).unfold(3, size, 1)
    return windows[torch.arange(n, device=device), :, top, left]


def centre_crop(images: Tensor, size: int) -> Tensor:
    """The middle of each image, as a view: (N, C, H, W) → (N, C, size, size).

    Where there is no exact middle, the window lies where torchvision's CenterCrop puts it.
    """
    height, width = images.shape[2:]
    if not 1 <= size <= min(height, width):
        raise ValueError(
            f"a crop of {size}×{size} does not fit in images of {height}×{width}; "
            f"take a size from 1 to {min(height, width)}"
        )
    top, left = round((height - size) / 2), round((width - size) / 2)
    return images[:, :, top : top + size, left : left + size]


def rotate(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    """Turn each image by its own angle, uniform in [−degrees, degrees]; (N, C, H, W) as before.

    Bilinear; what comes in from outside the image is 0, which is the mean of normalised images.
    """
    angle = (torch.rand(len(images), generator=generator, device=images.device) * 2 - 1) * (
        math.radians(degrees)
    )
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # rows of the affine map from output to input coordinates; exact for square images
    theta = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False).to(images.dtype)
    turned = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return torch.empty_like(images).copy_(turned)  # grid_sample forgets the memory format


def colour_jitter(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast and saturation: (N, 3, H, W) uint8 → (N, 3, H, W) uint8.

    In this order, each image by its own three factors, uniform in [max(0, 1 − strength),
    1 + strength]. What a factor does is torchvision's definition (`adjust_brightness`,
    `adjust_contrast`, `adjust_saturation`): it moves the image away from black, from its mean grey,
    or from its grey version. Values are clipped after each and rounded once, at the end.
    """
    if images.dtype != torch.uint8 or images.shape[1] != 3:
        raise ValueError(
            f"colour jitter of {images.dtype} with {images.shape[1]} channels; it takes uint8 "
            "images with 3 channels, red, green and blue, before they are scaled"
        )
    if strength < 0:
        raise ValueError(f"the strength of the colour jitter is {strength}; take 0 (none) or more")
    low, high = max(0.0, 1 - strength), 1 + strength
    draws = torch.rand(3, len(images), 1, 1, 1, generator=generator, device=images.device)
    brightness, contrast, saturation = low + (high - low) * draws
    pixels = images.float().mul_(brightness).clamp_(0, 255)
    # the grey of the mean is the mean of the grey, from one number a channel
    _blend(pixels, _grey(pixels.mean((2, 3), keepdim=True)), contrast)
    _blend(pixels, _grey(pixels), saturation)
    return pixels.round_().to(torch.uint8)


def _grey(pixels: Tensor) -> Tensor:
    red, green, blue = pixels.split(1, dim=1)
    return 0.2989 * red + 0.587 * green + 0.114 * blue  # (N, 1, H, W), weights of ITU-R BT.601


def _blend(pixels: Tensor, other: Tensor, factor: Tensor) -> None:
    pixels.mul_(factor).add_(other * (1 - factor)).clamp_(0, 255)


class Mixed(NamedTuple):
    """Images that each come from two, and the labels of both.

    The loss is share·CE(labels) + (1 − share)·CE(other_labels).
    """

    images: Tensor  # (N, C, H, W), float
    labels: Tensor  # (N,)
    other_labels: Tensor  # (N,)
    share: float  # of the image that `labels` belongs to


# Both mixtures draw λ ~ Beta(α, α) once a batch, on the host: as a plain number it needs no copy
# from the device and no wait for it. The partner of an image is its neighbour in the batch, which
# is as good as a random one, because batches are in random order already.


def mixup(images: Tensor, labels: Tensor, alpha: float, rng: np.random.Generator) -> Mixed:
    """λ·image + (1 − λ)·neighbour: (N, C, H, W) float and (N,) → Mixed.

    mixup: Beyond Empirical Risk Minimization (Zhang et al. 2018, arXiv:1710.09412).
    """
    share = _beta(alpha, rng)
    mixed = images.roll(1, 0).lerp_(images, share)
    return Mixed(mixed, labels, labels.roll(1, 0), share)


def cutmix(images: Tensor, labels: Tensor, alpha: float, rng: np.random.Generator) -> Mixed:
    """Replace a box of each image by its neighbour's: (N, C, H, W) and (N,) → Mixed.

    The box has the area 1 − λ and the shape of the image, around a centre uniform in the image;
    what would lie outside is cut off, and `share` is the area that is really kept.

    CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features
    (Yun et al. 2019, arXiv:1905.04899).
    """
    height, width = images.shape[2:]
    side = math.sqrt(1 - _beta(alpha, rng))  # of the box, as a part of the image's
    rows, columns = _interval(height, side, rng), _interval(width, side, rng)
    mixed = images.clone()
    mixed[:, :, rows, columns] = images[:, :, rows, columns].roll(1, 0)
    replaced = (rows.stop - rows.start) * (columns.stop - columns.start)
    return Mixed(mixed, labels, labels.roll(1, 0), 1 - replaced / (height * width))


def _beta(alpha: float, rng: np.random.Generator) -> float:
    if alpha <= 0:
        raise ValueError(f"alpha is {alpha}; take a number above 0, or leave the mixing out")
    return float(rng.beta(alpha, alpha))


def _interval(length: int, part: float, rng: np.random.Generator) -> slice:
    """`part` of `length` pixels around a uniform centre, cut off at both ends."""
    half = int(length * part) // 2
    centre = int(rng.integers(length))
    return slice(max(centre - half, 0), min(centre + half, length))
