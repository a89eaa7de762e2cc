"""What the insides of a network look like: filters, feature maps, receptive fields."""

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from labkit.figures.images import DPI, TITLE_LINE, colours
from labkit.figures.legend import legend_below
from labkit.style import COLOURS, STYLE, WIDTH


def filters_and_activations(filters: Tensor, maps: Tensor, titles: Sequence[str] = ()) -> Figure:
    """Filters (k, C, kh, kw), C 3 or 1, and below each the map (k, h, w) that it gives.

    Each of `filters` is scaled to its own smallest and largest weight. Each of `maps` has a scale
    of its own, which is written below it: from black for 0 to white, and where it has negative
    values from black for −x to white for +x, so that 0 is grey. `titles` stand above the filters.

        maps = activations(model, images, at=0)[0]  # of the first image
        figures.filters_and_activations(model[0].weight.detach()[:8], maps[:8])
    """
    if not 0 < len(filters) == len(maps):
        raise ValueError(f"{len(filters)} filters and {len(maps)} maps; give a map for each filter")
    side = min(1.3, (WIDTH - 0.25) / len(filters))  # inches
    ratio = filters.shape[2] / filters.shape[3] + maps.shape[1] / maps.shape[2]
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        height = side * ratio + 0.1 + TITLE_LINE * bool(titles)
        figure = Figure(figsize=(len(filters) * side + 0.25, height), dpi=DPI)
        upper, lower = figure.subplots(2, len(filters), squeeze=False)
        for place, (above, below) in enumerate(zip(upper, lower, strict=True)):
            weights = filters[place].float()
            spread = (weights.max() - weights.min()).clamp(min=1e-12)
            above.imshow(colours((weights - weights.min()) / spread), interpolation="nearest")
            _bare(above)
            _draw(below, maps[place])
            if titles:
                above.set_title(titles[place], fontsize="small", pad=3)
        upper[0].set_ylabel("filter")
        lower[0].set_ylabel("activation")
    return figure


def feature_maps(maps: Tensor, titles: Sequence[str] = (), columns: int = 5) -> Figure:
    """Feature maps (n, h, w) in rows; each has a scale of its own, as `filters_and_activations`.

    `titles` are as many as `maps`, or none; `columns` stand in a row.

    >>> import torch
    >>> figure = feature_maps(torch.rand(2, 4, 4), ["map 0", "map 1"])
    >>> figure.axes[1].get_title()
    'map 1'
    """
    if not len(maps):
        raise ValueError("there are no maps to show")
    rows = -(-len(maps) // columns)
    side = WIDTH / columns
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        line = side * maps.shape[1] / maps.shape[2] + 0.1 + TITLE_LINE * bool(titles)
        figure = Figure(figsize=(WIDTH, rows * line), dpi=DPI)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(maps) :]:
            axes.axis("off")
        for place, (axes, shown) in enumerate(zip(grid.flat, maps, strict=False)):
            _draw(axes, shown)
            if titles:
                axes.set_title(titles[place], fontsize="small", pad=3)
    return figure


def _draw(axes: Axes, shown: Tensor) -> None:
    """A map (h, w) in grey, and its scale below it."""
    shown = shown.float()
    largest = float(shown.abs().max()) or 1.0
    least = -largest if shown.min() < 0 else 0.0
    axes.imshow(shown.numpy(), cmap="gray", vmin=least, vmax=largest)
    _bare(axes)
    scale = f"±{largest:.3g}" if least else f"0 to {largest:.3g}"
    axes.set_xlabel(scale, fontsize="x-small", labelpad=1)


def _bare(axes: Axes) -> None:
    """Without ticks and frame, but with room for labels."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def receptive_fields(
    rows: Mapping[str, Mapping[str, Tensor]],
    holding: Mapping[str, Mapping[str, int]],
    held: str,
) -> Figure:
    """How much each pixel of a receptive field bears on the output, layer by layer.

    `rows` names lines of pictures (e.g. random and trained weights), each with one map (r, r) per
    layer: the size of the gradient of an output with respect to the r × r pixels of its theoretical
    receptive field, which is framed. Each picture has a scale of its own, in space and in grey.
    `holding` has for each of them the side, in pixels, of the square around the middle that holds
    what `held` says in the legend. Titles say `layer: r, side`.

        figures.receptive_fields({"random": {"conv1": gradient}}, {"random": {"conv1": 3}}, "95 %")
    """
    squares = {"theoretical field": ("-", COLOURS[1]), held: ("--", COLOURS[0])}
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        columns = max(map(len, rows.values()))
        height = len(rows) * (WIDTH / columns + 0.2) + 0.5
        figure = Figure(figsize=(WIDTH, height))
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for line, (row, maps) in zip(grid, rows.items(), strict=True):
            for axes, (layer, shown) in zip(line, maps.items(), strict=True):
                sides = (len(shown), holding[row][layer])
                half = sides[0] / 2
                image = axes.imshow(
                    (shown / shown.max()).numpy(),
                    cmap="Greys",
                    vmin=0,
                    vmax=1,
                    extent=(-half, half, half, -half),
                    interpolation="nearest",
                )
                for side, (dashes, colour) in zip(sides, squares.values(), strict=True):
                    look = {"edgecolor": colour, "linestyle": dashes, "linewidth": 1.2}
                    place = (-side / 2, -side / 2), side, side
                    axes.add_patch(Rectangle(*place, fill=False, clip_on=False, **look))
                axes.set(xlim=(-1.15 * half, 1.15 * half), ylim=(1.15 * half, -1.15 * half))
                axes.spines[:].set_visible(False)
                axes.set_title(f"{layer}: {sides[0]}, {sides[1]}", fontsize="small", pad=2)
                axes.set_xticks([-half, 0, half], [f"−{half:g}", "0", f"{half:g}"])
                axes.set_yticks([])
                axes.tick_params(labelsize="small")
            line[0].set_ylabel(row)
        for axes in grid[-1]:
            axes.set_xlabel("pixels", fontsize="small")
        bar = figure.colorbar(image, ax=grid, shrink=0.8, aspect=25, pad=0.01)
        bar.set_label("gradient (of the largest)")
        legend_below(figure, squares)
    return figure
