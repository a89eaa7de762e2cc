"""Numbers of runs as lines and bars."""

from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from labkit.figures.legend import legend_below
from labkit.style import COLOURS, METRIC_TITLES, STYLE, WIDTH
from labkit.training import FoundRates, Run, Runs


def learning_curves(
    runs: Runs,
    metrics: Sequence[str] = ("loss", "accuracy"),
    splits: Sequence[str] = ("train", "validation"),
) -> Figure:
    """Metrics during training against epochs, one panel each; a colour per name, a line per split.

    `runs` is what `sweep` gives. `metrics` are "loss", "accuracy" or "cer". `splits` are "train",
    "validation", and what `Config.also_measure` has measured as well: "measured_train",
    "measured_test".

    Thin lines are single seeds; the thick one is their mean, as far as all of them go (a mean over
    the seeds that did not stop early would seem to turn). Training values are means over the steps
    since the validation before, taken while the weights still moved.

        show(figures.learning_curves(runs, metrics=["loss"]), "The loss.", runs=runs)
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
            panel.set_ylabel(METRIC_TITLES.get(metric, metric))
            panel.set_xlim(left=0)
        colours = dict(zip(runs, _colours(len(runs)), strict=True))
        one = next(iter(colours.values())) if len(runs) == 1 else "#555555"
        entries = {said[split]: (dashes[split], one) for split in splits}
        if len(runs) > 1:
            entries |= {name: ("-", colour) for name, colour in colours.items()}
        legend_below(figure, entries)
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

    `reference` is one of the names in `runs`; `title` says below the axis what is shown. Seeds are
    paired: each dot is the difference to the reference with the same seed where there is one, else
    to its mean.

        figures.comparison(runs, "test_accuracy", reference="base", title="test accuracy (points)")
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


def learning_rates(found: FoundRates) -> Figure:
    """What the learning-rate finder saw: the loss against the rate, and the rate it suggests.

    `found` is what `find_learning_rate` gives. The rate is logarithmic, the loss in nats.

        found = find_learning_rate(config, dataset)
        figures.learning_rates(found)
    """
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


def _colours(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]
