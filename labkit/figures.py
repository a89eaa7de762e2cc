"""Records and worked calculations → figures and tables that can stand in a report.

Draws; never trains, never writes files.
"""

import html
import math
import textwrap
from collections.abc import Container, Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
import torch
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from labkit.data import Dataset
from labkit.handcalc import Window, Worked, text
from labkit.handcalc.render import matrices, plain
from labkit.handcalc.windows import by, flat
from labkit.style import COLOURS, STYLE, WIDTH, svg
from labkit.training import FoundRates, Run, Runs

HEIGHT = 8.5  # of a drawing that shares a page with its caption
CELL = 0.21  # of a matrix that is drawn
GAP = 1.6  # cells between two such matrices


def show(
    shown: Figure | pd.DataFrame,
    caption: str,
    *,
    label: str = "",
    runs: Runs | None = None,
    profile: str = "",
    alt: str = "",
) -> None:
    """Display a figure or a table with its caption; the report numbers it and sets it in place.

    `caption` is Markdown and may hold math. `runs` (and `profile`) add the line that says which
    data, seeds and device the numbers come from. `alt` describes a figure to who cannot see it;
    without it the caption does.
    """
    provenance = ""
    if runs:
        provenance = (f"Profile {profile}. " if profile else "") + runs.provenance()
    kind = "figure" if isinstance(shown, Figure) else "table"
    about = {"kind": kind, "caption": caption, "provenance": provenance, "alt": alt or caption}
    if label:
        about["label"] = label
    body = svg(shown) if kind == "figure" else _html(shown)
    small = f"<br><small>{html.escape(provenance)}</small>" if provenance else ""
    note = f"<figcaption>{html.escape(caption)}{small}</figcaption>"
    data = {"text/html": f"<figure>{body}{note}</figure>", "text/plain": caption}
    if kind == "figure":
        data["image/svg+xml"] = body
    else:
        data["text/html"] = f"{body}<p>{html.escape(caption)}{small}</p>"
    display(data, metadata={"labkit": about}, raw=True)


def learning_curves(
    runs: Runs,
    metrics: Sequence[str] = ("loss", "accuracy"),
    splits: Sequence[str] = ("train", "validation"),
) -> Figure:
    """Metrics during training against epochs, one panel each; a colour per name, a line per split.

    Splits are "train", "validation", and what `Config.also_measure` has measured as well:
    "measured_train", "measured_test".

    Thin lines are single seeds; the thick one is their mean, as far as all of them go (a mean over
    the seeds that did not stop early would seem to turn). Training values are means over the steps
    since the validation before, taken while the weights still moved.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.6))
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        dashes = dict(zip(splits, ("--", "-", ":"), strict=False))
        said = {it: it.replace("measured_test", "test").replace("_", " ") for it in splits}
        for panel, metric in zip(panels, metrics, strict=True):
            for colour, (name, group) in zip(_colours(len(runs)), runs.items(), strict=True):
                for split in splits:
                    column = f"{split}_{metric}"
                    curves = pd.concat(
                        [_column(run, column) for run in group],
                        axis=1,
                    )
                    together = curves.dropna().mean(axis=1)
                    label = f"{name}, {said[split]}"
                    marker = "." if len(together) == 1 else ""  # a line of one point is none
                    panel.plot(
                        together.index,
                        together,
                        dashes[split],
                        color=colour,
                        label=label,
                        marker=marker,
                    )
                    if len(group) > 1:
                        panel.plot(curves, dashes[split], color=colour, alpha=0.35, linewidth=0.7)
            panel.set_xlabel("epoch")
            panel.set_ylabel("loss (nats)" if metric == "loss" else metric)
            panel.set_xlim(left=0)
        colours = dict(zip(runs, _colours(len(runs)), strict=True))
        one = next(iter(colours.values())) if len(runs) == 1 else "#555555"
        entries = {said[split]: (dashes[split], one) for split in splits}
        if len(runs) > 1:
            entries |= {name: ("-", colour) for name, colour in colours.items()}
        _legend_below(figure, entries)
    return figure


def _column(run: Run, name: str) -> pd.Series:
    """A column of the history against epochs."""
    history = run.history.set_index("epoch")
    if name not in history:
        raise ValueError(
            f"run {run.key} has no {name!r}, only {', '.join(history)}; measured_… are there "
            "where the Config's also_measure asks for them"
        )
    return history[name]


def comparison(runs: Runs, metric: str, *, reference: str, title: str) -> Figure:
    """Each name's `metric` minus that of `reference`, in points of 0.01: dots per seed, bar = mean.

    Seeds are paired: each dot is the difference to the reference with the same seed where there
    is one, else to its mean.
    """
    base = {run.config["seed"]: run.metrics[metric] for run in runs[reference]}
    mean = runs.mean(reference, metric)
    names = [name for name in runs if name != reference]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.7 + 0.3 * len(names)))
        axes = figure.subplots()
        for row, name in enumerate(names):
            differences = [
                100 * (run.metrics[metric] - base.get(run.config["seed"], mean))
                for run in runs[name]
            ]
            average = sum(differences) / len(differences)
            axes.barh(row, average, height=0.6, color=COLOURS[0 if average >= 0 else 1], alpha=0.55)
            axes.plot(differences, [row] * len(differences), "o", color="black", markersize=3)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(title)
    return figure


def confusion_matrix(
    group: Run | Sequence[Run], classes: Sequence[str], *, rates: bool = True
) -> Figure:
    """How often each class (row) was taken for each (column), over the test images of all `group`.

    In per cent of the row (`rates`), or as counts.
    """
    group = [group] if isinstance(group, Run) else group
    counts = np.sum([run.metrics["test_confusion"] for run in group], axis=0)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(WIDTH * 0.75, WIDTH * 0.68))
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(counts.shape):
            share = shares[row, column]
            axes.text(
                column,
                row,
                f"{100 * share:.0f}" if rates else f"{counts[row, column]}",
                ha="center",
                va="center",
                color="white" if share > 0.5 else "black" if counts[row, column] else "#bbbbbb",
                fontsize="small",
            )
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axes.set_yticks(range(len(classes)), classes)
        axes.set_xlabel("taken for" + (" (%)" if rates else " (images)"))
        axes.set_ylabel("class")
    return figure


def pictures(images: Tensor, titles: Sequence[str] = (), *, columns: int = 6) -> Figure:
    """Images in rows: (N, C, H, W) as bytes or in [0, 1], C 3 or 1; a title above each."""
    if not len(images):
        raise ValueError("there are no pictures to show")
    shown = images.float() / 255 if images.dtype == torch.uint8 else images.clamp(0, 1)
    rows = -(-len(shown) // columns)
    side = WIDTH / columns
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, rows * side * (1.22 if titles else 1)))
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.axis("off")
        for place, (axes, image) in enumerate(zip(grid.flat, shown, strict=False)):
            image = image.permute(1, 2, 0)  # (H, W, C), as matplotlib wants it
            axes.imshow(image.expand(-1, -1, 3).numpy(), interpolation="nearest")
            if titles:
                axes.set_title(titles[place], fontsize="small", pad=2)
    return figure


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
    """
    if int(labels.max()) >= len(names):
        raise ValueError(f"label {int(labels.max())} has no name among the {len(names)} given")
    strength = torch.ones(labels.shape) if strength is None else strength
    shown = picture.float() / 255 if picture.dtype == torch.uint8 else picture.clamp(0, 1)
    _, height, width = shown.shape
    present = sorted(set(labels.flatten().tolist()))
    # lighter ones after the first eight, so that ten classes are ten colours
    colours = (*COLOURS, "#B9E3C6", "#6A3D9A", "#F0E442", "#FFFFFF")
    side = 0.94 * step
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        entries = [names[label] for label in present] + [frame] * bool(framed and frame)
        lines = math.ceil(sum(len(entry) + 6 for entry in entries) / 100)  # of the legend
        figure = Figure(figsize=(WIDTH, WIDTH * height / width + 0.4 + 0.19 * lines))
        axes = figure.subplots()
        axes.imshow(
            shown.expand(3, -1, -1).permute(1, 2, 0).numpy(),  # (H, W, C)
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
                Rectangle(*place, color=colours[label % len(colours)], alpha=dense, linewidth=0)
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
            Rectangle((0, 0), 1, 1, color=colours[label % len(colours)], alpha=0.85, linewidth=0)
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
        _legend_below(figure, squares)
    return figure


def wrong_predictions(
    run: Run, dataset: Dataset, *, count: int = 12, pair: tuple[str, str] | None = None
) -> Figure:
    """Test images that `run` is wrong about, the surest first; titles say `class → taken for`.

    `pair` asks for one confusion alone: `("cat", "dog")` for cats that were taken for dogs.
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


def learning_rates(found: FoundRates) -> Figure:
    """What the learning-rate finder saw: the loss against the rate, and the rate it suggests."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH * 0.7, 2.4))
        axes = figure.subplots()
        rates, losses = found.table["learning_rate"], found.table["smoothed_loss"]
        axes.plot(rates, found.table["loss"], color="#bbbbbb", linewidth=0.7, label="each batch")
        axes.plot(rates, losses, color=COLOURS[0], label="running mean")
        axes.axvline(
            found.suggested, color="black", linestyle=":", label="suggested: a tenth of the lowest"
        )
        axes.set_xscale("log")
        axes.set_ylim(top=min(found.table["loss"].max(), 2 * losses.iloc[0]))
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss (nats)")
        axes.legend()
    return figure


def windows(worked: Worked, at: Sequence[int] | Sequence[Sequence[int]]) -> Figure:
    """Steps of a calculation: the input with its window, the weights on it, and the result.

    `at` is a position in the result as in `Worked.at`, or several, drawn one below the other. The
    window, and the entry that comes of it, are framed; padding is in italics. Of several channels
    each has a row. Raises ValueError where the numbers would be too small to read.
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


def _colours(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _legend_below(figure: Figure, entries: Mapping[str, tuple[str, str]]) -> None:
    """A legend of (line, colour) by name under the panels, for which the figure grows."""
    columns = max(1, 95 // (max(map(len, entries)) + 8))  # so many names fit into the width
    columns = min(columns, len(entries))
    figure.set_figheight(figure.get_figheight() + 0.19 * (math.ceil(len(entries) / columns) - 1))
    handles = [Line2D([], [], linestyle=line, color=colour) for line, colour in entries.values()]
    figure.legend(handles, list(entries), loc="outside lower center", ncols=columns)


def _html(table: pd.DataFrame) -> str:
    """The table with its row labels as first columns, so that it has one line of headings."""
    names = [name or "" for name in table.index.names]
    return table.reset_index(names=names).to_html(index=False, border=0)
