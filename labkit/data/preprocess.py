"""From stored bytes to what a network is fed, and back to pictures.

What a method has to know about the images, it learns from the training images alone; validation and
test images go through the same map.
"""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from labkit import progress

METHODS = ("fixed", "standardise", "min-max", "robust", "pca", "zca")

# images at a time through a whitening: as float32 a set has four times its bytes, and one copy of
# it, the result, is enough
CHUNK = 2500


@dataclass(frozen=True)
class Affine:
    """(byte − shift)/factor; both are one number, or one for each channel, (C, 1, 1) float32."""

    shift: float | Tensor
    factor: float | Tensor
    whitens: ClassVar[bool] = False

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 → float32, in the same memory format."""
        return images.to(torch.float32).sub_(self.shift).div_(self.factor)

    def inverse(self, batch: Tensor) -> Tensor:
        """What the network was fed (`batch`) → pixels in [0, 1]: (N, C, H, W) float32."""
        return (batch * self.factor).add_(self.shift).div_(255).clamp_(0, 1)

    def numbers(self) -> list[list[float]]:
        """Shift and factor, to tell one from another by."""
        return [torch.as_tensor(each).flatten().tolist() for each in (self.shift, self.factor)]

    def to(self, device: torch.device | str) -> "Affine":
        """The same map for images on `device`."""
        shift, factor = (
            each.to(device) if isinstance(each, Tensor) else each
            for each in (self.shift, self.factor)
        )
        return Affine(shift, factor)


@dataclass(frozen=True)
class Whitening:
    """Uncorrelated numbers of variance (almost) 1 out of C·H·W correlated pixels.

    Images go through (pixels − `mean`) @ `matrix`, and back through `inverse_matrix`: mean
    (C·H·W,), matrices (C·H·W, C·H·W), of pixels in [0, 1]. A matrix product for each image: worth
    doing once to a whole set, not batch by batch.
    """

    mean: Tensor  # (C·H·W,), of pixels in [0, 1]
    matrix: Tensor  # (C·H·W, C·H·W), applied to rows from the right
    inverse_matrix: Tensor
    whitens: ClassVar[bool] = True

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 → float32, in the same memory format."""
        whitened = torch.empty_like(images, dtype=torch.float32)
        for part, out in zip(images.split(CHUNK), whitened.split(CHUNK), strict=True):
            out.copy_(((_pixels(part) - self.mean) @ self.matrix).view(part.shape))
        return whitened

    def inverse(self, batch: Tensor) -> Tensor:
        """What the network was fed (`batch`) → pixels in [0, 1]: (N, C, H, W) float32."""
        pixels = torch.empty_like(batch)
        for part, out in zip(batch.split(CHUNK), pixels.split(CHUNK), strict=True):
            out.copy_((part.flatten(1) @ self.inverse_matrix + self.mean).view(part.shape))
        return pixels.clamp_(0, 1)

    def to(self, device: torch.device | str) -> "Whitening":
        """The same map for images on `device`."""
        return Whitening(
            self.mean.to(device), self.matrix.to(device), self.inverse_matrix.to(device)
        )


def fit(
    method: str,
    images: Tensor,
    mean: float | Sequence[float] = 0.5,
    std: float | Sequence[float] = 0.25,
    epsilon: float = 0.01,
) -> Affine | Whitening:
    """Return the preprocessing `method`, fitted on the training images, (N, C, H, W) uint8.

    One map x ↦ (x − shift)/factor for each channel, x the pixels in [0, 1]:
      fixed        shift and factor are `mean` and `std` as given, one number or one a channel
      standardise  mean and standard deviation of the channel
      min-max      smallest value and range: the result is in [0, 1]
      robust       median and distance of the quartiles, which a few extreme pixels do not move

    One map of all C·H·W pixels of an image, less their means over the images:
      pca          along the principal axes, the largest variance λ first, divided by √(λ + epsilon)
      zca          the same turned back, so that it looks like an image again (Bell & Sejnowski
                   1997, The "independent components" of natural scenes are edge filters)

    `epsilon` keeps directions that hardly vary, most of them noise, from being blown up.

    >>> images = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)
    >>> fit("min-max", images)(images)
    tensor([[[[0.0000, 0.2000, 1.0000]]]])
    """
    if method not in METHODS:
        raise ValueError(f"unknown preprocessing {method!r}; choose one of {', '.join(METHODS)}")
    if images.dtype != torch.uint8:
        raise ValueError(
            f"preprocessing starts from stored bytes, and these images are {images.dtype}; "
            "give the uint8 images of the training set"
        )
    if method == "fixed":
        return Affine(_fixed(mean, images), _fixed(std, images))
    if method in ("pca", "zca"):
        return _whitening(method, images, epsilon)
    if not len(images):
        raise ValueError(f"{method!r} cannot be fitted on 0 images; give it at least 1")
    shift, factor = np.transpose([_CENTRE_AND_SPREAD[method](row) for row in _histograms(images)])
    # a channel of a constant cannot be divided by its spread, which is 0; in units of [0, 1] its
    # factor is 1
    factor[factor == 0] = 255
    return Affine(_per_channel(shift, images.device), _per_channel(factor, images.device))


def scale(images: Tensor, mean: float, std: float) -> Tensor:
    """Bytes 0…255 to (x/255 − mean)/std in float32, the preprocessing "fixed" in one call.

    `images` are (N, C, H, W) uint8, `mean` and `std` one number each, for pixels in [0, 1].

    >>> scale(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), mean=0.5, std=0.25)
    tensor([[[[-2.,  2.]]]])
    """
    return Affine(255 * mean, 255 * std)(images)


def _fixed(value: float | Sequence[float], images: Tensor) -> float | Tensor:
    """A given number, or numbers one a channel, in bytes."""
    if not isinstance(value, Sequence):
        return float(255 * value)
    if len(value) != images.shape[1]:
        raise ValueError(
            f"'fixed' got {len(value)} numbers, {tuple(value)}, for images of {images.shape[1]} "
            "channels; give one number, or one for each channel"
        )
    return _per_channel(255 * np.asarray(value), images.device)


def _per_channel(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device, torch.float32).view(-1, 1, 1)


# --- one map for each channel: all that is asked of a channel is in the histogram of its bytes ---


def _histograms(images: Tensor) -> np.ndarray:
    """How often each channel has each byte: (C, 256)."""
    channels = images.unbind(1)
    return np.stack([c.flatten().bincount(minlength=256).cpu().numpy() for c in channels])


def _mean_and_std(histogram: np.ndarray) -> tuple[float, float]:
    values, count = np.arange(256), histogram.sum()
    mean = histogram @ values / count
    return mean, np.sqrt(histogram @ (values - mean) ** 2 / count)


def _minimum_and_range(histogram: np.ndarray) -> tuple[float, float]:
    present = histogram.nonzero()[0]
    return present[0], present[-1] - present[0]


def _median_and_quartiles(histogram: np.ndarray) -> tuple[float, float]:
    first, median, third = (_quantile(histogram, q) for q in (0.25, 0.5, 0.75))
    return median, third - first


def _quantile(histogram: np.ndarray, q: float) -> float:
    """As numpy.quantile: linear between the two neighbours in the sorted values."""
    cumulative = histogram.cumsum()
    place = q * (cumulative[-1] - 1)
    below, above = np.searchsorted(cumulative, [np.floor(place), np.ceil(place)], side="right")
    return below + (above - below) * (place % 1)


_CENTRE_AND_SPREAD = {
    "standardise": _mean_and_std,
    "min-max": _minimum_and_range,
    "robust": _median_and_quartiles,
}


# --- one map of all pixels ---


def _pixels(images: Tensor) -> Tensor:
    """Bytes as rows of pixels in [0, 1]: (N, C·H·W), in the order C, H, W in every format."""
    return images.flatten(1).to(torch.float32).div_(255)


def _whitening(method: str, images: Tensor, epsilon: float) -> Whitening:
    if len(images) < 2:
        raise ValueError(
            f"{method!r} cannot be fitted on {len(images)} images; give it at least 2, and better "
            "more than an image has pixels"
        )
    if epsilon <= 0:
        raise ValueError(
            f"epsilon is {epsilon}; take a small number above 0, because directions without "
            "variance would be divided by its root"
        )
    mean, variance, axes = _principal_axes(images)
    std = (variance + epsilon).sqrt()
    back = axes.T if method == "zca" else torch.eye(len(axes), device=axes.device)
    return Whitening(mean, axes / std @ back, back.T @ (std[:, None] * axes.T))


# of the last images: finding them takes seconds, and PCA, ZCA and every epsilon go by the same
_found: dict[bytes, tuple[Tensor, Tensor, Tensor]] = {}


def _principal_axes(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (D,), variances (D,), the largest first, and axes (D, D), in columns."""
    content = hashlib.sha256(images.cpu().contiguous().numpy()).digest()
    if content not in _found:
        with progress.bar(1, "principal axes of the images", unit="set") as bar:
            mean, covariance = _moments(images)
            with _one_thread():
                variance, axes = torch.linalg.eigh(covariance)
            bar.update()
        # eigh has the smallest first; tiny negative variances are rounding
        variance, axes = variance.flip(0).clamp(min=0), axes.flip(1)
        # an axis is one only up to its sign: its largest entry shall be positive on every machine
        axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
        _found.clear()
        _found[content] = mean, variance, axes
    return _found[content]


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D), both float32, of the D = C·H·W pixels in [0, 1]."""
    size = images[0].numel()
    total = torch.zeros(size, dtype=torch.float64, device=images.device)
    products = torch.zeros(size, size, dtype=torch.float64, device=images.device)
    for part in images.split(CHUNK):
        x = _pixels(part).sub_(0.5)  # about centred, so that little cancels below
        total += x.sum(0)
        products += x.T @ x
    mean = total / len(images)
    covariance = products / len(images) - torch.outer(mean, mean)
    return (mean + 0.5).float(), covariance.float()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """An eigendecomposition is thousands of small steps, and several threads meet after each.

    On two cores that also do something else, 3,072 pixels took 91 s with two threads, 7 s with one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
