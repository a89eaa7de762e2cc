"""What JupyterLab shows below a cell while its sweep trains: one line of text, and growing curves.

Both are outputs of their own, replaced in place, so that nothing below them moves. What they show
last stays in the saved notebook.
"""

import html
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import matplotlib
from matplotlib.figure import Figure

from labkit import progress
from labkit.errors import Told
from labkit.style import COLOURS, METRIC_TITLES, STYLE, WIDTH, svg
from labkit.training.checkpoint import History
from labkit.training.store import Run
from labkit.training.wanted import Wanted

SECONDS = 1.0  # between two drawings: drawing takes a tenth of that
WARM_UP = 2.0  # seconds of first steps, which are too slow to tell how long the others take


class Interrupted(Told, KeyboardInterrupt):
    """■ while a sweep trained; says what is kept."""

    folded = False  # nobody who pressed it asks where


class LiveSweep:
    """Shows how far a sweep is, and loss and accuracy or error rate of its runs.

    `recorded` are the runs that need no training, `missing` those that do, in their order. Inside
    of `with`, the progress bars of this thread become part of the line.

    Nothing of it outside JupyterLab: a notebook that is executed for a report shows its own
    figures, and no curves in between; a terminal has bars.
    """

    def __init__(self, recorded: Sequence[Run], missing: Sequence[Wanted]):
        self._recorded = recorded
        self._epochs = {one.description: one.config.epochs for one in missing}
        self._histories: dict[str, History] = {}
        self._states: dict[str, dict] = {}  # of the bars of runs, in the order they were begun
        self._finished = 0
        self._line, self._picture = progress.Shown(), progress.Shown()
        self._started = time.monotonic()
        self._began: float | None = None  # the first step
        self._warm: tuple[float, float] | None = None  # when it was so, and the epochs by then
        self._drawn = 0.0
        self._bars = progress.sent_to(self._hear)

    def __enter__(self) -> "LiveSweep":
        if progress.in_notebook():
            self._bars.__enter__()
            if self._epochs:
                self._say(self._begun())
        return self

    def __exit__(self, kind: type[BaseException] | None, error, traceback) -> None:
        if not progress.in_notebook():
            return
        self._bars.__exit__(kind, error, traceback)
        if self._histories:
            self._draw()  # what came after the last drawing
        if kind is None:
            self._line.show(*self._summary())
        elif kind is KeyboardInterrupt:
            self._say(self._position())
            raise Interrupted(
                f"at {self._position()}; what was trained is kept: run the cell again to go on"
            ) from None

    def show(self, description: str, history: History) -> None:
        """The rows of `history` that the run `description` has so far."""
        if not progress.in_notebook():
            return
        self._histories[description] = list(history)
        if time.monotonic() - self._drawn > SECONDS:
            self._draw()

    def finished(self) -> None:
        """One more run is in the records."""
        self._finished += 1

    def _draw(self) -> None:
        # as part of the page, and not as a picture that it loads, it is there in the same moment
        picture = svg(draw(self._histories))
        picture = picture[picture.index("<svg") :]
        self._picture.show(f"<div>{picture}</div>", "loss and accuracy by epoch")
        self._drawn = time.monotonic()

    def _hear(self, state: dict) -> None:
        """A bar has moved: that of a run, or of what it needs, such as a download."""
        run = state["description"].strip().partition(" (from step")[0]
        if run in self._epochs:
            self._states[run] = state
            left = self._seconds_left()
            about = f", about {progress.duration(left)} left" if left else ""
            self._say(self._position() + about)
        elif state["unit"] != "run" and not state["closed"]:
            self._say(f"{run}: {progress.percent(state['n'], state['total'])}")

    def _begun(self) -> str:
        count, missing = len(self._recorded) + len(self._epochs), len(self._epochs)
        kept = f"{len(self._recorded)} of {_runs(count)} from the records, " * bool(self._recorded)
        return f"{kept}{missing if kept else _runs(missing)} to train"

    def _position(self) -> str:
        """Which run and which epoch it is at."""
        count, at_work = len(self._epochs), list(self._states)[self._finished :]
        if len(at_work) > 1:  # beside each other
            return f"{self._finished} of {_runs(count)} trained, {len(at_work)} begun"
        if not self._states:
            return f"run 1 of {count}"
        run = list(self._states)[-1]
        epochs = self._epochs[run]
        reached = f"epoch {epochs * self._done(run):.1f} of {epochs}"
        return f"run {len(self._states)} of {count} ({run}), {reached}"

    def _done(self, run: str, since: str = "") -> float:
        """The share of a run that is trained; with `since`="initial" what of it was so before."""
        return self._states[run][since or "n"] / self._states[run]["total"]

    def _seconds_left(self) -> float:
        """For all runs, by the epochs since it is warm; 0 where there are none yet."""
        now = time.monotonic()
        done = sum(self._epochs[run] * self._done(run) for run in self._states)
        before = sum(self._epochs[run] * self._done(run, "initial") for run in self._states)
        trained = done - before
        if self._began is None:
            self._began = now
        if self._warm is None and now - self._began >= WARM_UP:
            self._warm = now, trained
        seconds, epochs = (now - self._warm[0], trained - self._warm[1]) if self._warm else (0, 0)
        if not epochs or seconds < SECONDS:
            return 0.0
        return seconds * (sum(self._epochs.values()) - done) / epochs

    def _summary(self) -> tuple[str, str]:
        """HTML and text of what came of it."""
        trained, kept = len(self._epochs), len(self._recorded)
        took = f"trained in {progress.duration(time.monotonic() - self._started)}"
        if not kept:
            text = f"{_runs(trained)} {took}"
            return progress.line(text), text
        if trained:
            text = f"{_runs(kept + trained)}: {kept} from the records, {trained} {took}"
        else:
            text = f"{_runs(kept)}: {'all ' * (kept > 1)}from the records ({_made(self._recorded)})"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        anew = (
            "<details style='color: var(--jp-ui-font-color2, inherit)'>"
            f"<summary>{html.escape(text)}</summary>To train them anew, run this first: "
            f"<code>%env LABKIT_FRESH={now}</code></details>"
        )
        return anew, text

    def _say(self, text: str) -> None:
        self._line.show(progress.line(text), text)


def _runs(count: int) -> str:
    return f"{count} run{'s' if count != 1 else ''}"


def _made(runs: Sequence[Run]) -> str:
    """When and on what runs were trained: `trained 2026-11-21 to 2026-11-22 on NVIDIA H200`."""
    days = sorted({run.environment["finished"][:10] for run in runs})
    devices = dict.fromkeys(run.environment["device"] for run in runs)
    return f"trained {' to '.join(dict.fromkeys((days[0], days[-1])))} on {', '.join(devices)}"


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
