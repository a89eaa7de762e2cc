"""Pictures of a data set, and what networks found in them."""

import math
import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from labkit.data import Dataset
from labkit.style import COLOURS, STYLE, WIDTH
from labkit.training import Run

DPI = 150  # of pictures within a figure, which is vector graphics otherwise
TITLE_LINE = 0.13  # inches: the height of a line above a picture
LUMINANCE = np.array([0.299, 0.587, 0.114])  # of red, green and blue, after ITU-R BT.601


def pictures(images: Tensor, titles: Sequence[str] = (), *, columns: int = 6) -> Figure:
    """Images in rows: (N, C, H, W) as bytes or in [0, 1], C 3 or 1; a title above each.

    `titles` are as many as `images`, or none; `columns` stand in a row. A title too long for its
    picture is broken, if it can behind an arrow →.

    >>> figure = pictures(torch.rand(3, 3, 32, 32), ["cat", "dog", "cat → dog"])
    >>> [panel.get_title() for panel in figure.axes][:2]
    ['cat', 'dog']
    """
    if not len(images):
        raise ValueError("there are no pictures to show")
    rows = -(-len(images) // columns)
    side = WIDTH / columns
    titles = [_broken(title, side) for title in titles]
    with matplotlib.rc_context(STYLE):
        height = side * images.shape[2] / images.shape[3] + TITLE_LINE * _lines(titles)
        figure = Figure(figsize=(WIDTH, rows * height), dpi=DPI)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.axis("off")
        for place, (axes, image) in enumerate(zip(grid.flat, images, strict=False)):
            axes.imshow(colours(image))
            if titles:
                axes.set_title(titles[place], fontsize="small", pad=3, linespacing=1)
    return figure


def heat_over_pictures(
    images: Tensor,
    heat: Tensor,
    titles: Sequence[str] = (),
    *,
    columns: int = 4,
    meaning: str = "heat, of the largest in the picture",
) -> Figure:
    """Each image, as in `pictures`, and below it the same with its heat laid over.

    `heat` (N, H, W), of the images' size, is in [0, 1], such as `labkit.models.explain.grad_cam`
    gives; `meaning` names it at the colour bar. `images`, `titles` and `columns` as in `pictures`.
    Below the heat the picture is grey, so that every colour is heat.

        heat = grad_cam(model, fed, classes, at="10")
        figures.heat_over_pictures(images, heat, names)
    """
    if not len(images) or heat.shape != (len(images), *images.shape[2:]):
        raise ValueError(
            f"pictures {tuple(images.shape)} and heat {tuple(heat.shape)}; give for each picture a "
            "map of its size"
        )
    columns = min(columns, len(images))
    bands = -(-len(images) // columns)
    side = min(1.6, (WIDTH - 0.5) / columns)  # inches
    titles = [_broken(title, side) for title in titles]
    with matplotlib.rc_context(STYLE):
        height = 2 * side * images.shape[2] / images.shape[3] + TITLE_LINE * _lines(titles)
        figure = Figure(figsize=(columns * side + 0.5, bands * height), dpi=DPI)
        grid = figure.subplots(2 * bands, columns, squeeze=False)
        for axes in grid.flat:
            axes.axis("off")
        for place, image in enumerate(images):
            band, column = divmod(place, columns)
            upper, lower = grid[2 * band, column], grid[2 * band + 1, column]
            upper.imshow(colours(image))
            grey = 0.2 + 0.8 * colours(image) @ LUMINANCE
            lower.imshow(grey, cmap="gray", vmin=0, vmax=1)
            shown = heat[place].float().numpy()
            laid = lower.imshow(shown, cmap="inferno", vmin=0, vmax=1, alpha=0.6)
            if titles:
                upper.set_title(titles[place], fontsize="small", pad=3, linespacing=1)
        size = min(1, 2.4 / (bands * height))  # of the figure's height
        bar = figure.colorbar(laid, ax=grid, shrink=size, aspect=25, pad=0.01, ticks=[0, 0.5, 1])
        bar.set_label(meaning, fontsize="small")
        bar.ax.tick_params(labelsize="small")
    return figure


def wrong_predictions(
    run: Run, dataset: Dataset, *, count: int = 12, pair: tuple[str, str] | None = None
) -> Figure:
    """Test images that `run` is wrong about, the surest first; titles say `class → taken for`.

    `dataset` is the one that it was trained on, `count` how many are shown. `pair` asks for one
    confusion alone: `("cat", "dog")` for cats that were taken for dogs.

        figures.wrong_predictions(runs["Adam"][0], load("cifar10"), count=6)
    """
    predictions, confidences = run.arrays["test_predictions"].long(), run.arrays["test_confidences"]
    test = dataset.test.first(len(predictions))
    wrong = predictions != test.labels
    if pair:
        for name in pair:
            if name not in dataset.classes:
                raise ValueError(f"no class {name!r}; there are {', '.join(dataset.classes)}")
        true, taken = map(dataset.classes.index, pair)
        wrong &= (test.labels == true) & (predictions == taken)
    order = torch.argsort(confidences.float() * wrong, descending=True)[: int(wrong.sum())][:count]
    names = dataset.classes
    titles = [
        f"{names[test.labels[i]]} → {names[predictions[i]]}, {confidences[i]:.2f}"
        for i in order.tolist()
    ]
    return pictures(test.images[order], titles, columns=4)


def over_picture(
    picture: Tensor,
    labels: Tensor,
    names: Sequence[str],
    *,
    first: float,
    step: float,
    strength: Tensor | None = None,
    framed: Sequence[tuple[int, int]] = (),
    frame: str = "",
) -> Figure:
    """A map of classes drawn over the picture that it was computed from.

    `picture` (C, H, W) is as in `pictures`; `labels` (rows, columns) are indices into `names`. The
    place (0, 0) of the map lies `first` pixels from the upper and the left edge, its neighbours
    `step` pixels further. Each gets a tile with its class's name; the tiles of one class have one
    colour, the denser the larger `strength` (rows, columns), which is in [0, 1]. The places in
    `framed` are outlined, which the legend calls `frame`.

        labels = model(picture[None])[0].argmax(0)  # (rows, columns)
        figures.over_picture(picture, labels, dataset.classes, first=15.5, step=8)
    """
    if int(labels.max()) >= len(names):
        raise ValueError(f"label {int(labels.max())} has no name among the {len(names)} given")
    strength = torch.ones(labels.shape) if strength is None else strength
    _, height, width = picture.shape
    present = sorted(set(labels.flatten().tolist()))
    # lighter ones after the first eight, so that ten classes are ten colours
    palette = (*COLOURS, "#B9E3C6", "#6A3D9A", "#F0E442", "#FFFFFF")
    side = 0.94 * step
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        entries = [names[label] for label in present] + [frame] * bool(framed and frame)
        lines = math.ceil(sum(len(entry) + 6 for entry in entries) / 100)  # of the legend
        figure = Figure(figsize=(WIDTH, WIDTH * height / width + 0.4 + 0.19 * lines))
        axes = figure.subplots()
        axes.imshow(
            colours(picture),
            extent=(0, width, height, 0),
            interpolation="nearest",
        )
        points = 72 * WIDTH * step / width  # of one step, on paper
        for row, column in np.ndindex(*labels.shape):
            label = int(labels[row, column])
            x, y = first + step * column, first + step * row
            place = (x - side / 2, y - side / 2), side, side
            dense = 0.35 + 0.5 * float(strength[row, column])
            axes.add_patch(
                Rectangle(*place, color=palette[label % len(palette)], alpha=dense, linewidth=0)
            )
            if (row, column) in framed:
                axes.add_patch(Rectangle(*place, fill=False, linewidth=1.6, zorder=3))
            name = axes.text(
                x,
                y,
                names[label],
                ha="center",
                va="center_baseline",
                fontsize=min(9, 1.5 * points / max(map(len, names))),
            )
            name.set_path_effects([withStroke(linewidth=1.4, foreground="white")])
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.set_xticks(range(0, width + 1, 32))
        axes.set_yticks(range(0, height + 1, 32))
        axes.set_xlabel("pixels")
        axes.set_ylabel("pixels")
        handles = [
            Rectangle((0, 0), 1, 1, color=palette[label % len(palette)], alpha=0.85, linewidth=0)
            for label in present
        ]
        if framed and frame:
            handles.append(Rectangle((0, 0), 1, 1, fill=False, linewidth=1.6))
        figure.legend(
            handles,
            entries,
            loc="outside lower center",
            ncols=math.ceil(len(entries) / lines),
            handlelength=1,
            handleheight=1,
        )
    return figure


def _broken(title: str, width: float) -> str:
    """The title on as many lines as it needs above a picture so many inches wide."""
    room = int(19 * width)  # letters
    if max(map(len, title.split("\n"))) > room:
        title = title.replace(" → ", " →\n")
    return "\n".join(textwrap.fill(line, room) for line in title.split("\n"))


def _lines(titles: Sequence[str]) -> int:
    return max((title.count("\n") + 1 for title in titles), default=0)


def colours(image: Tensor) -> np.ndarray:
    """An image (C, H, W), as bytes or in [0, 1], as matplotlib wants it: (H, W, 3) in [0, 1]."""
    shown = image.float() / 255 if image.dtype == torch.uint8 else image.float().clamp(0, 1)
    return shown.expand(3, -1, -1).permute(1, 2, 0).numpy()
