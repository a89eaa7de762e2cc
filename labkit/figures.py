"""Records → figures and tables that can stand in a report. Draws; never trains, never writes files.

Colours are Okabe and Ito's (distinguishable with any colour vision); what matters is told apart by
line style or position as well, so that a figure can be read in grey.
"""

import html
import io
from collections.abc import Sequence

import matplotlib
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from labkit.training import Runs

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
WIDTH = 6.3  # inches: the text width of the report, so that type is never scaled

STYLE = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "labkit",  # the same figure gives the same bytes
}


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
    body = _svg(shown) if kind == "figure" else _html(shown)
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

    Thin lines are single seeds; the thick one is their mean, as far as all of them go (a mean over
    the seeds that did not stop early would seem to turn). Training values are means over the steps
    since the validation before, taken while the weights still moved.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.6))
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        dashes = dict(zip(splits, ("--", "-", ":"), strict=False))
        for panel, metric in zip(panels, metrics, strict=True):
            for colour, (name, group) in zip(_colours(len(runs)), runs.items(), strict=True):
                for split in splits:
                    curves = pd.concat(
                        [run.history.set_index("epoch")[f"{split}_{metric}"] for run in group],
                        axis=1,
                    )
                    together = curves.dropna().mean(axis=1)
                    panel.plot(
                        together.index,
                        together,
                        dashes[split],
                        color=colour,
                        label=f"{name}, {split}" if len(runs) > 1 else split,
                    )
                    if len(group) > 1:
                        panel.plot(curves, dashes[split], color=colour, alpha=0.35, linewidth=0.7)
            panel.set_xlabel("epoch")
            panel.set_ylabel("loss (nats)" if metric == "loss" else metric)
            panel.set_xlim(left=0)
        _legend_below(figure, panels[0])
    return figure


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


def _colours(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _legend_below(figure: Figure, panel) -> None:
    handles, labels = panel.get_legend_handles_labels()
    columns = max(1, 95 // (max(map(len, labels)) + 8))  # so many labels fit into the width
    figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)))


def _html(table: pd.DataFrame) -> str:
    """The table with its row labels as first columns, so that it has one line of headings."""
    names = [name or "" for name in table.index.names]
    return table.reset_index(names=names).to_html(index=False, border=0)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
