"""Which classes are taken for which, over the test images of one or several runs."""

import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.style import STYLE, WIDTH
from labkit.training import Run, Runs

SMALLEST = 5  # points: smaller numbers cannot be read


def confusion_matrix(
    group: Run | Sequence[Run], classes: Sequence[str], *, rates: bool = True
) -> Figure:
    """How often each class (row) was taken for each (column), over the test images of all `group`.

    `group` is a run or several, `classes` are the names of the labels 0, 1, … In per cent of the
    row (`rates`), or as counts.

        figures.confusion_matrix(runs["Adam"], dataset.classes)
    """
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(WIDTH * 0.75, WIDTH * 0.68))
        axes = figure.subplots()
        _draw(axes, _counts(group), rates=rates, size=7.5)
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axes.set_yticks(range(len(classes)), classes)
        axes.set_xlabel("taken for" + (" (%)" if rates else " (images)"))
        axes.set_ylabel("class")
    return figure


def confusion_matrices(runs: Runs, classes: Sequence[str], *, rates: bool = True) -> Figure:
    """`confusion_matrix` of each name in `runs`, side by side, two or three in a row.

    The `classes` are named along the outer edges alone. With `rates` in per cent of the row, else
    as counts. What is below 1 % of its row has no number. Numbers and names are left out where
    there are so many classes that they could not be read.

        figures.confusion_matrices(runs.select("base", "improved"), dataset.classes)
    """
    if not runs:
        raise ValueError("there are no runs to show")
    counted = {name: _counts(group) for name, group in runs.items()}
    columns = len(runs) if len(runs) <= 3 else 2 if len(runs) == 4 else 3
    rows = -(-len(runs) // columns)
    longest = max(map(len, classes))
    left, below = 0.065 * longest + 0.3, 0.05 * longest + 0.2  # inches, for names and labels
    side = min(2.6, (WIDTH - left) / columns)
    cell = 72 * side / len(classes)  # points
    digits = 3 if rates else len(str(max(counts.max() for counts in counted.values())))
    size = min(7.5, 0.6 * cell, 0.85 * cell / (digits * 0.5))  # a digit is half as wide as high
    titles = [textwrap.fill(name, int(17 * side)) for name in runs]
    above = 0.06 + 0.14 * max(title.count("\n") + 1 for title in titles)
    names = list(classes) if cell >= SMALLEST + 1 else []
    places = range(len(names))
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(columns * side + left, rows * (side + above) + below))
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.tick_params(labelsize=min(7.5, cell - 1), length=2)
        for axes in grid.flat[len(runs) :]:
            axes.axis("off")
        for axes, title, counts in zip(grid.flat, titles, counted.values(), strict=False):
            _draw(axes, counts, rates=rates, size=size, least=0.01)
            axes.set_title(title, fontsize="medium", pad=3, linespacing=1)
        for axes in grid[:, 0]:
            axes.set_yticks(places, names)
        for axes in grid[-1]:
            axes.set_xticks(places, names, rotation=90)
        figure.supxlabel("taken for" + (" (% of the class)" if rates else " (images)"), size=9)
        figure.supylabel("class", size=9)
        for _ in range(3):  # until the layout, which begins from its last result, stays
            figure.draw_without_rendering()
        figure.set_layout_engine("none")
        # above an empty place of the last row names hang down into it, for which no row moves away
        for axes in grid.flat[len(runs) - columns : (rows - 1) * columns]:
            axes.set_xticks(places, names, rotation=90)
    return figure


def most_confused(
    group: Run | Sequence[Run], classes: Sequence[str], count: int = 5
) -> pd.DataFrame:
    """The most frequent mistakes over the test images of all `group`: a row for each pair.

    With how many images of the class were taken for the other, and which share of it that is.
    `group` is a run or several, `classes` are the names of the labels. Pairs that are as frequent
    stand in the order of the classes; fewer than `count` rows come where there are no more
    mistakes.

        figures.most_confused(runs["Adam"], dataset.classes, count=5)
    """
    counts = _counts(group)
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(counts)) for place in order if wrong.flat[place]]
    table = pd.DataFrame(
        {
            "class": [classes[true] for true, _ in pairs],
            "taken for": [classes[taken] for _, taken in pairs],
            "images": [int(counts[pair]) for pair in pairs],
            "share of the class (%)": [
                round(100 * counts[pair] / counts[pair[0]].sum(), 1) for pair in pairs
            ],
        }
    )
    return table.set_index(pd.RangeIndex(1, len(pairs) + 1, name="rank"))


def _counts(group: Run | Sequence[Run]) -> np.ndarray:
    """The confusion matrices of all `group` together: rows true, columns predicted."""
    group = [group] if isinstance(group, Run) else group
    return np.sum([run.metrics["test_confusion"] for run in group], axis=0)


def _draw(axes: Axes, counts: np.ndarray, *, rates: bool, size: float, least: float = 0.0) -> None:
    """The matrix as a picture, with a number of `size` points in each cell of `least` or more."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        share = shares[row, column]
        if size >= SMALLEST and share >= least:
            axes.text(
                column,
                row,
                f"{100 * share:.0f}" if rates else f"{counts[row, column]}",
                ha="center",
                va="center_baseline",
                color="white" if share > 0.5 else "black" if counts[row, column] else "#bbbbbb",
                fontsize=size,
            )
