"""A calculation by hand, drawn step by step."""

import textwrap
from collections.abc import Container, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from labkit.handcalc import Window, Worked, text
from labkit.handcalc.render import matrices, plain
from labkit.handcalc.windows import by, flat
from labkit.style import STYLE, WIDTH

HEIGHT = 8.5  # of a drawing that shares a page with its caption
CELL = 0.21  # of a matrix that is drawn
GAP = 1.6  # cells between two such matrices


def windows(worked: Worked, at: Sequence[int] | Sequence[Sequence[int]]) -> Figure:
    """Steps of a calculation: the input with its window, the weights on it, and the result.

    `worked` is what `convolve` or `max_pool` gives; `at` is a position in its result as in
    `Worked.at`, or several, drawn one below the other. The window, and the entry that comes of it,
    are framed; padding is in italics. Of several channels each has a row. Raises ValueError where
    the numbers would be too small to read.

    >>> from labkit.handcalc import max_pool
    >>> figure = windows(max_pool([[1, 5], [2, 0]], 2), at=(0, 0))
    """
    plan = worked.plan
    positions = at if hasattr(at[0], "__len__") else [at]
    steps = [worked.at(*position) for position in positions]
    height, width = (  # of the padded input, with what hangs over it
        max(axis.padded, (axis.size - 1) * axis.stride + axis.span) for axis in plan.axes
    )
    widths = [width, *([plan.kernel[1]] if plan.weights else []), plan.size[1]]
    columns = sum(widths) + GAP * (len(widths) - 1)
    rows = len(steps) * len(plan.reads[0]) * (height + 1)
    _scale(worked, columns * CELL, rows * CELL)  # before the result of a photograph is computed

    numbers = (*flat(plan.padded), *flat(plan.weights or []), *flat(worked.result))
    cell = max(CELL, 0.05 + 0.065 * max(len(plain(number)) for number in numbers))  # its width
    sums = [
        textwrap.wrap(text(step), 105, max_lines=4, placeholder=f" … = {plain(step.value)}")
        for step in steps
    ]
    rows += sum(len(lines) + 1 for lines in sums)
    scale = _scale(worked, columns * cell, rows * CELL)
    with matplotlib.rc_context({**STYLE, "font.size": 9 * scale}):
        figure = Figure(figsize=(WIDTH, rows * CELL * scale), layout="none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        margin = (WIDTH / (cell * scale) - columns) / 2
        axes.set(xlim=(-margin, columns + margin), ylim=(rows, 0))  # in cells, from the top
        top = 0
        for step, lines in zip(steps, sums, strict=True):
            top = _draw_step(axes, worked, step, top)
            for line in lines:
                _write(axes, columns / 2, top + 0.7, line)
                top += 1
            top += 1
    return figure


def _scale(worked: Worked, width: float, height: float) -> float:
    """By how much a drawing of so many inches is made smaller to fit the page."""
    scale = min(1, WIDTH / (width + 0.05), HEIGHT / height)  # the lines have a width as well
    if scale < 0.7:
        size = by((len(worked.plan.channels), *(axis.padded for axis in worked.plan.axes)))
        raise ValueError(
            f"a drawing of {width:.1f} × {height:.1f} inches (the padded input is {size}) cannot "
            f"be read on {WIDTH} × {HEIGHT}; draw fewer positions or a smaller input, or show the "
            "step with labkit.handcalc.html, which leaves out what is far from the window"
        )
    return scale


def _draw_step(axes: Axes, worked: Worked, step: Window, top: float) -> float:
    """The matrices of one step, from `top` down; gives where they end."""
    plan = worked.plan
    *maps, row, column = step.position
    feature_map = maps[0] if maps else 0
    (kh, kw), (dh, dw) = plan.kernel, plan.dilation
    first = row * plan.stride[0], column * plan.stride[1]
    if (dh, dw) == (1, 1):
        frames = [(*first, kh, kw)]
    else:
        frames = [
            (first[0] + dh * i, first[1] + dw * j, 1, 1) for i in range(kh) for j in range(kw)
        ]
    height, width = len(plan.padded[0]), len(plan.padded[0][0])
    (above, before), lengths = plan.before, (len(plan.channels[0]), len(plan.channels[0][0]))
    inside = range(above, above + lengths[0]), range(before, before + lengths[1])
    name = "padded input" if any(plan.before + plan.after) else "input"
    for index, channel in enumerate(plan.reads[feature_map]):
        below = top + index * (height + 1) + 1
        title = f"{name}, channel {channel + 1}" if len(plan.channels) > 1 else name
        _draw_matrix(axes, title, plan.padded[channel], 0, below, frames, inside)
        right = width + GAP
        if step.weights is not None:
            _write(axes, width + GAP / 2, below + height / 2, "∘", fontsize="x-large")
            weights = matrices(step.weights)[index]
            _draw_matrix(axes, "weights", weights, right, below + (height - kh) / 2)
            right += kw + GAP
    total = len(plan.reads[feature_map]) * (height + 1)
    _write(axes, right - GAP / 2, top + (total + 1) / 2, "→")
    result = matrices(worked.result)[feature_map]
    title = f"result, channel {feature_map + 1}" if len(plan.reads) > 1 else "result"
    middle = top + (total + 1 - len(result)) / 2
    _draw_matrix(axes, title, result, right, middle, [(row, column, 1, 1)])
    return top + total


def _draw_matrix(
    axes: Axes,
    title: str,
    matrix: Sequence[Sequence],
    left: float,
    top: float,
    frames: Sequence[tuple[int, int, int, int]] = (),
    inside: tuple[Container[int], Container[int]] | None = None,
) -> None:
    """A matrix from its corner on; `frames` are (row, column, rows, columns) to stand out.

    What is not in the rows and columns `inside` is padding.
    """
    _write(axes, left + len(matrix[0]) / 2, top - 0.5, title, fontsize="small")
    for row, column, rows, columns in frames:
        place = (left + column, top + row), columns, rows
        axes.add_patch(Rectangle(*place, color="#F3D690", linewidth=0))  # COLOURS[4], made lighter
        axes.add_patch(Rectangle(*place, fill=False, linewidth=1.5, zorder=3))
    for row, entries in enumerate(matrix):
        for column, entry in enumerate(entries):
            x, y = left + column, top + row
            axes.add_patch(Rectangle((x, y), 1, 1, fill=False, color="#aaaaaa", linewidth=0.4))
            padding = inside and not (row in inside[0] and column in inside[1])
            look = {"style": "italic", "color": "#666666"} if padding else {}
            _write(axes, x + 0.5, y + 0.5, plain(entry), **look)


def _write(axes: Axes, x: float, y: float, words: str, **look) -> None:
    """Words around a point."""
    axes.text(x, y, words.replace("-", "−"), ha="center", va="center_baseline", **look)
