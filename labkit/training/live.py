"""Curves that grow while a sweep trains, in JupyterLab."""

import time

import matplotlib
from IPython.display import SVG, DisplayHandle
from matplotlib.figure import Figure

from labkit import progress
from labkit.style import COLOURS, METRIC_TITLES, STYLE, WIDTH, svg
from labkit.training.checkpoint import History

SECONDS = 1.0  # between two drawings: drawing takes a tenth of that


class LiveCurves:
    """Loss, and accuracy or error rate, of every run of a sweep, drawn anew in place.

    Nothing outside JupyterLab.
    A notebook that is executed for a report shows its own figures, and no curves in between.
    """

    def __init__(self):
        self._histories: dict[str, History] = {}
        self._handle: DisplayHandle | None = None
        self._drawn = 0.0

    def __enter__(self) -> "LiveCurves":
        return self

    def __exit__(self, *_) -> None:
        if self._handle:
            self._draw()  # what came after the last drawing

    def show(self, description: str, history: History) -> None:
        """The rows of `history` that the run `description` has so far."""
        if not progress.in_notebook():
            return
        self._histories[description] = list(history)
        if time.monotonic() - self._drawn > SECONDS:
            self._draw()

    def _draw(self) -> None:
        picture = SVG(svg(draw(self._histories)))
        if self._handle is None:
            self._handle = DisplayHandle()
            self._handle.display(picture)
        else:
            self._handle.update(picture)
        self._drawn = time.monotonic()


def draw(histories: dict[str, History]) -> Figure:
    """Training (dashed) and validation (solid) of each run; the latest in colour, others pale."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.4))
        *earlier, latest = histories
        reached = "cer" if "validation_cer" in histories[latest][-1] else "accuracy"
        for panel, metric in zip(figure.subplots(1, 2), ("loss", reached), strict=True):
            for name in (*earlier, latest):
                epochs = [row["epoch"] for row in histories[name]]
                now = name == latest
                for split, dashes in (("train", "--"), ("validation", "-")):
                    if f"{split}_{metric}" not in histories[name][-1]:
                        continue  # only what is validated is spelled
                    panel.plot(
                        epochs,
                        [row[f"{split}_{metric}"] for row in histories[name]],
                        dashes,
                        color=COLOURS[0] if now else "#bbbbbb",
                        linewidth=1.4 if now else 0.8,
                        marker="." if len(epochs) == 1 else "",
                        label=split if now else None,
                    )
            panel.set_xlabel("epoch")
            panel.set_ylabel(METRIC_TITLES.get(metric, metric))
            panel.set_xlim(left=0)
        panel.legend()
        figure.suptitle(latest)
    return figure
