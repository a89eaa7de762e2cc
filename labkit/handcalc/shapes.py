"""Sizes: how many windows of a convolution or a pooling fit along an axis."""

from __future__ import annotations

import operator
import reprlib

Size = int | tuple[int, int]


def output_size(
    input: Size,
    kernel: Size,
    *,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Size:
    """The number of places where a window fits: ⌊(i + 2p − d(k − 1) − 1) / s⌋ + 1.

    Numbers describe one axis and give a number; where any argument is a pair (rows, columns), the
    others hold for both axes and the answer is a pair.

    `ceil_mode` (pooling only) rounds up instead, so that a last window may hang over the edge;
    PyTorch's correction then drops that window if it would begin in the padding at the far end.

    Sources: Dumoulin & Visin (2016), arXiv:1603.07285, relationships 6 and 15; the notes on shape
    of `torch.nn.Conv2d` and `torch.nn.MaxPool2d`.

    >>> output_size(512, 5)
    508
    >>> output_size(508, 2, stride=2)
    254
    >>> output_size((3, 5), 3, padding=1)
    (3, 5)
    >>> output_size(6, 3, stride=2), output_size(6, 3, stride=2, ceil_mode=True)
    (2, 3)
    """
    settings = (input, kernel, stride, padding, dilation)
    if not any(isinstance(value, tuple | list) for value in settings):
        return _axis_output_size(*settings, ceil_mode)
    names = ("input", "kernel", "stride", "padding", "dilation")
    pairs = [as_pair(value, name) for value, name in zip(settings, names, strict=True)]
    rows, columns = zip(*pairs, strict=True)
    return _axis_output_size(*rows, ceil_mode), _axis_output_size(*columns, ceil_mode)


def _axis_output_size(input, kernel, stride, padding, dilation, ceil_mode) -> int:
    input = whole(input, "input", at_least=1)
    kernel = whole(kernel, "kernel", at_least=1)
    stride = whole(stride, "stride", at_least=1)
    padding = whole(padding, "padding", at_least=0)
    dilation = whole(dilation, "dilation", at_least=1)

    span = dilation * (kernel - 1) + 1  # what a dilated kernel covers, holes included
    room = input + 2 * padding - span  # how far the window can move
    if ceil_mode:
        size = -(-room // stride) + 1
        # the last window must begin inside the input or the near padding
        if (size - 1) * stride >= input + padding:
            size -= 1
    else:
        size = room // stride + 1 if room >= 0 else 0
    if size >= 1:
        return size

    overhang = stride - 1 if ceil_mode else 0  # by so much ceil_mode lets a window hang over
    needed = -(-(span - overhang - input) // 2)
    covered = f"kernel {kernel}" if dilation == 1 else f"kernel {kernel} at dilation {dilation}"
    spans = "is" if dilation == 1 else f"covers {span}, which is"
    raise ValueError(
        f"{covered} {spans} larger than the padded input {input + 2 * padding}; "
        f"raise padding to at least {needed}"
    )


def check_pool_padding(kernel: Size, padding: Size) -> None:
    """Pooling pads with at most half its kernel; else a window could lie in the padding alone.

    PyTorch's rule, without which the maximum of such a window would be −∞.
    """
    for k, p in zip(as_pair(kernel, "kernel"), as_pair(padding, "padding"), strict=True):
        if p > k // 2:
            raise ValueError(
                f"padding {p} is more than half of the pooling kernel {k}; "
                f"lower padding to at most {k // 2}"
            )


def as_pair(value: Size, name: str) -> tuple[int, int]:
    """One number for both axes, or a pair (rows, columns).

    >>> as_pair(3, "kernel"), as_pair((1, 2), "kernel")
    ((3, 3), (1, 2))
    """
    if not isinstance(value, tuple | list):
        return value, value
    if len(value) != 2:
        raise ValueError(f"{name} {shown(value)} is no pair; give one number or (rows, columns)")
    return tuple(value)


def whole(value: int, name: str, *, at_least: int) -> int:
    """`value` as an int of at least `at_least`, or a ValueError that says what would do."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < at_least:
        raise ValueError(
            f"{name} {shown(value)} is not possible; give a whole number of at least {at_least}"
        )
    return number


def whole_pair(value: Size, name: str, *, at_least: int) -> tuple[int, int]:
    """`as_pair`, with both numbers checked by `whole`."""
    rows, columns = as_pair(value, name)
    return whole(rows, name, at_least=at_least), whole(columns, name, at_least=at_least)


def shown(value: object) -> str:
    """A short form of any value for an error message: one line, whatever its repr is."""
    return " ".join(reprlib.repr(value).split())
