"""Whole-batch augmentation, on the device of the batch.

A per-image transform in a DataLoader runs Python once an image; these run a handful of tensor
operations once a batch. Randomness comes from the generator that is handed in, so that a run is
its seed.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability ½: (N, C, H, W) → (N, C, H, W)."""
    mirrored = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


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
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
