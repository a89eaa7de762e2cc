"""Convolution and blur written out in tensor code: what `torch.nn.Conv2d` computes, to be read.

    images (N, C, H, W) ─ pad ─→ windows (N, C, H', W', kh, kw): a view, no number is copied
                                    │ one column per place: the unfolded matrix
                                    ▼
    weight (C_out, C/groups, kh, kw) @ (C/groups·kh·kw, H'·W') ─→ (N, C_out, H', W')

The arguments are named as in torch. Everything can be differentiated. Slow on purpose where that is
easier to read (`conv2d_by_loops`), and about as fast as a product of matrices elsewhere.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.handcalc import output_size

Pair = int | tuple[int, int]

# the course's families of cases, on images of 64 × 64: channels in and out, kernel, and the rest
FAMILIES: dict[str, dict] = {
    "square kernel": {"in_channels": 3, "out_channels": 16, "kernel_size": 3},
    "one channel": {"in_channels": 1, "out_channels": 8, "kernel_size": 5},
    "wide kernel": {"in_channels": 8, "out_channels": 16, "kernel_size": (1, 9)},
    "tall kernel": {"in_channels": 8, "out_channels": 16, "kernel_size": (9, 2)},
    "stride": {"in_channels": 16, "out_channels": 32, "kernel_size": 3, "stride": 2},
    "dilation": {"in_channels": 16, "out_channels": 32, "kernel_size": 3, "dilation": 2},
    "stride and dilation": {
        **{"in_channels": 16, "out_channels": 32, "kernel_size": 5},
        **{"stride": (3, 2), "dilation": (2, 3)},
    },
    "many channels": {"in_channels": 243, "out_channels": 32, "kernel_size": 3},
    "4 groups": {"in_channels": 16, "out_channels": 32, "kernel_size": 3, "groups": 4},
    "64 groups (depthwise)": {
        **{"in_channels": 64, "out_channels": 64, "kernel_size": 3, "groups": 64}
    },
    "bias": {"in_channels": 3, "out_channels": 16, "kernel_size": (4, 7), "bias": True},
}


def conv2d(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation as `torch.nn.functional.conv2d` has it: (N, C, H, W) → (N, C_out, H', W').

    `images` (N, C, H, W), `weight` (C_out, C/groups, kh, kw), `bias` (C_out,). `stride`, `padding`
    and `dilation` are one number or a pair (rows, columns); `groups` cuts the channels into so many
    parts, which do not see each other. Raises ValueError where shapes do not fit.

    Source: Chellapilla, Puri and Simard 2006, "High performance convolutional neural networks for
    document processing", where the unfolding comes from.

    >>> images = torch.arange(9.0).view(1, 1, 3, 3)
    >>> conv2d(images, torch.ones(1, 1, 2, 2))
    tensor([[[[ 8., 12.],
              [20., 24.]]]])
    """
    stride, padding, dilation = _pair(stride), _pair(padding), _pair(dilation)
    _check(images, weight, bias, stride, padding, dilation, groups)
    views = windows(_padded(images, padding), weight.shape[2:], stride, dilation)
    if weight.shape[1] == 1:
        result = _tap_by_tap(views, weight)
    else:
        result = _unfolded(views, weight, groups)
    return result if bias is None else result + bias.view(-1, 1, 1)


def conv2d_by_loops(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """The same as `conv2d` from its definition, one output after the other: to be read, not used.

    `images`, `weight`, `bias`, `stride`, `padding`, `dilation` and `groups` are those of `conv2d`.

    >>> images, weight = torch.rand(2, 4, 5, 6), torch.rand(8, 2, 3, 3)
    >>> torch.allclose(conv2d_by_loops(images, weight, groups=2), conv2d(images, weight, groups=2))
    True
    """
    stride, padding, dilation = _pair(stride), _pair(padding), _pair(dilation)
    _check(images, weight, bias, stride, padding, dilation, groups)
    padded = _padded(images, padding)
    out_channels, _, kh, kw = weight.shape
    size = tuple(images.shape[2:])
    rows, columns = output_size(size, (kh, kw), stride=stride, padding=padding, dilation=dilation)
    result = images.new_zeros(len(images), out_channels, rows, columns)
    for image in range(len(images)):
        for channel, seen in enumerate(_seen(images.shape[1], out_channels, groups)):
            for row in range(rows):
                for column in range(columns):
                    top, left = row * stride[0], column * stride[1]
                    window = padded[
                        image,
                        seen,
                        top : top + dilation[0] * (kh - 1) + 1 : dilation[0],
                        left : left + dilation[1] * (kw - 1) + 1 : dilation[1],
                    ]
                    result[image, channel, row, column] = (window * weight[channel]).sum()
    return result if bias is None else result + bias.view(-1, 1, 1)


def windows(images: Tensor, kernel: Pair, stride: Pair = 1, dilation: Pair = 1) -> Tensor:
    """Every window of each channel, as a view: (N, C, H, W) → (N, C, H', W', kh, kw).

    `kernel`, `stride` and `dilation` of `images` are one number or a pair (rows, columns). No
    number is copied.

    >>> windows(torch.zeros(2, 3, 8, 8), kernel=(3, 5), stride=2).shape
    torch.Size([2, 3, 3, 2, 3, 5])
    """
    kernel, stride, dilation = _pair(kernel), _pair(stride), _pair(dilation)
    span = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    views = images.unfold(2, span[0], stride[0]).unfold(3, span[1], stride[1])
    return views[..., :: dilation[0], :: dilation[1]]


def unfolded_matrix(views: Tensor, groups: int = 1) -> Tensor:
    """A column for each place: (N, C, H', W', kh, kw) → (N, groups, C/groups·kh·kw, H'·W').

    `views` is what `windows` gives; `groups` is that of the convolution.

    >>> unfolded_matrix(windows(torch.zeros(2, 3, 8, 8), kernel=3)).shape
    torch.Size([2, 1, 27, 36])
    """
    n, channels, rows, columns, kh, kw = views.shape
    taps = channels // groups * kh * kw
    return views.permute(0, 1, 4, 5, 2, 3).reshape(n, groups, taps, rows * columns)


class Conv2d(nn.Module):
    """A layer over `conv2d`; arguments, weights and their names as in `torch.nn.Conv2d`.

    `in_channels`, `out_channels` and `groups` are numbers of channels and of parts; `kernel_size`,
    `stride`, `padding` and `dilation` are one number or a pair (rows, columns); without `bias`
    nothing is added. Weights are drawn uniformly within one over the root of an output's inputs.
    Raises ValueError where `groups` does not divide both numbers of channels.

    >>> layer = Conv2d(3, 16, kernel_size=3, padding=1)
    >>> layer(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 16, 32, 32])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
    ):
        super().__init__()
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"groups is {groups}; it must divide in_channels ({in_channels}) and out_channels "
                f"({out_channels})"
            )
        self.stride, self.padding = _pair(stride), _pair(padding)
        self.dilation, self.groups = _pair(dilation), groups
        shape = (out_channels, in_channels // groups, *_pair(kernel_size))
        # PyTorch's default: uniform within one over the root of the number of inputs of an output
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.bias = (
            nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None
        )

    def forward(self, images: Tensor) -> Tensor:
        """The outputs of `images`: (N, C, H, W) → (N, C_out, H', W')."""
        return conv2d(
            images,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )


def blur(images: Tensor, size: int) -> Tensor:
    """Each channel with the binomial kernel of this `size`: (N, C, H, W) → (N, C, H', W').

    Nothing is padded around `images`: H' = H − size + 1. The kernel is the outer product of a row
    of Pascal's triangle with itself, divided by its sum; one along the rows and then one along the
    columns give the same with 2·size products in place of size².

    >>> spot = torch.zeros(1, 1, 5, 5)
    >>> spot[0, 0, 2, 2] = 16
    >>> blur(spot, size=3)
    tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]])
    """
    row = binomial(size).to(images)
    along = row.view(1, 1, 1, -1).expand(images.shape[1], -1, -1, -1)
    return conv2d(
        conv2d(images, along, groups=images.shape[1]),
        along.transpose(2, 3),
        groups=images.shape[1],
    )


def binomial(size: int) -> Tensor:
    """A row of Pascal's triangle of this `size` that adds up to one: (size,) in float64.

    Raises ValueError for a size below 1.

    >>> binomial(3)
    tensor([0.2500, 0.5000, 0.2500], dtype=torch.float64)
    """
    if size < 1:
        raise ValueError(f"size is {size}; a kernel has at least one entry")
    row = [math.comb(size - 1, k) for k in range(size)]
    return torch.tensor(row, dtype=torch.float64) / 2 ** (size - 1)


def _unfolded(views: Tensor, weight: Tensor, groups: int) -> Tensor:
    """One product of matrices for each image and group."""
    n, _, rows, columns, _, _ = views.shape
    matrix = unfolded_matrix(views, groups)
    weights = weight.reshape(groups, -1, matrix.shape[2])  # (groups, C_out/groups, taps)
    return (weights @ matrix).reshape(n, len(weight), rows, columns)


def _tap_by_tap(views: Tensor, weight: Tensor) -> Tensor:
    """A sum over the kernel's entries: with one channel to a group a matrix would have one row."""
    times = len(weight) // views.shape[1]  # outputs of each channel
    result = 0
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            seen = views[..., row, column]
            seen = seen.repeat_interleave(times, dim=1) if times > 1 else seen
            result = result + seen * weight[:, 0, row, column].view(-1, 1, 1)
    return result


def _padded(images: Tensor, padding: tuple[int, int]) -> Tensor:
    return F.pad(images, (padding[1], padding[1], padding[0], padding[0]))


def _seen(in_channels: int, out_channels: int, groups: int) -> Iterator[slice]:
    """Of each output channel, the input channels that it sees."""
    size = in_channels // groups
    for channel in range(out_channels):
        first = channel // (out_channels // groups) * size
        yield slice(first, first + size)


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _check(images, weight, bias, stride, padding, dilation, groups) -> None:
    if images.ndim != 4 or weight.ndim != 4:
        raise ValueError(
            f"images are {tuple(images.shape)} and weight is {tuple(weight.shape)}; give (N, C, "
            "H, W) and (C_out, C/groups, kh, kw)"
        )
    for name, pair, least in (
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ):
        if len(pair) != 2 or min(pair) < least:
            raise ValueError(f"{name} is {pair}; give one or two whole numbers from {least} on")
    if groups < 1 or images.shape[1] != weight.shape[1] * groups or len(weight) % groups:
        raise ValueError(
            f"{images.shape[1]} channels and {len(weight)} filters of {weight.shape[1]} channels "
            f"do not make {groups} groups; channels must be groups times those of a filter, and "
            "groups divide the number of filters"
        )
    if bias is not None and bias.shape != (len(weight),):
        raise ValueError(
            f"bias is {tuple(bias.shape)}; give one number per filter ({len(weight)},)"
        )
    sizes = zip(images.shape[2:], weight.shape[2:], padding, dilation, strict=True)
    if any(d * (k - 1) + 1 > n + 2 * p for n, k, p, d in sizes):
        raise ValueError(
            f"a kernel of {tuple(weight.shape[2:])} with dilation {dilation} does not fit in "
            f"images of {tuple(images.shape[2:])} with padding {padding}"
        )
