"""Sliders for the settings of a run, and a button that trains just that run."""

import contextlib
import math
import time
from collections.abc import Iterable, Mapping
from functools import reduce
from itertools import product
from typing import TYPE_CHECKING, Any

from ipywidgets import (
    HTML,
    Button,
    Output,
    SelectionSlider,
    ToggleButtons,
    ValueWidget,
    VBox,
)

from labkit import progress
from labkit.errors import LabkitError
from labkit.widgets.parts import message, picture, style, table

if TYPE_CHECKING:  # torch takes its time, and the widgets of hand calculations do without
    from labkit.training import Run, RunConfig
    from labkit.training.checkpoint import History
    from labkit.training.wanted import Wanted

Labels = tuple[str, ...]  # of the chosen values, in the order of the axes

MOST_LOOKED_UP = 100  # combinations looked for in the records at the beginning
SECONDS = 1.0  # between two drawings of a training, each of which takes a tenth of that
GOES_ON = "Train goes on from there."
INTERRUPT = "■ in the toolbar, or the key I twice, interrupts it."


def playground(base: "RunConfig", axes: Mapping[str, Iterable]) -> VBox:
    """Sliders for some fields of a Config, and a button that trains the run that they describe.

    `base` is a `Config` or `SpellingConfig`, and `axes` the values to choose from of some of its
    fields, as in `sweep(base, axes)`: numbers get a slider, words, None and booleans buttons. What
    stands in the records already, of this notebook or any other, is shown at once; nothing is
    trained twice. All combinations that were tried stay as pale curves and in a table: loss in
    nats, accuracies and error rates as shares, time in seconds. The best by the validation split
    has a star.

        playground(base, {"optimizer.learning_rate": [0.001, 0.01, 0.1], "batch_size": [32, 64]})

    JupyterLab's ■ interrupts the training; the next click on the button goes on from there. In
    plain cells: `sweep(base, axes)`. The PDF leaves it out. ConfigError where a field is unknown,
    ValueError where it has no values.
    """
    return _Playground(base, axes)


class _Playground(VBox):
    def __init__(self, base, axes):
        if not axes:
            raise ValueError("axes: {}: give at least one field and its values")
        self.base = base
        # by labels, of which None is one as well; a widget's value None means that none is chosen
        self.values = {path: _labelled(path, values) for path, values in axes.items()}
        self.controls = {path: self._control(path) for path in axes}
        self.tries: dict[Labels, Run] = {}
        self.drawn = 0.0
        self.wanted: Wanted | None = None  # the one whose data the others share
        self.button = Button(description="Train", button_style="primary")
        self.button.on_click(self._train)
        self.note = HTML()
        self.output = Output()  # of what nobody expected
        self.curves = HTML()
        self.table = HTML()
        if progress.in_notebook():
            self._look_up()
            self._show()
        for control in self.controls.values():
            control.observe(self._show, "value")
        views = (self.button, self.note, self.output, self.curves, self.table)
        super().__init__([style(), *self.controls.values(), *views])
        self.add_class("labkit-playground")

    def _control(self, path: str) -> ValueWidget:
        """What a field is chosen with: at first its own value, where that is offered."""
        labels, values = list(self.values[path]), list(self.values[path].values())
        try:
            own = reduce(getattr, path.split("."), self.base)
        except AttributeError:
            self.base.replace({path: values[0]})  # whose error names the fields that there are
            raise
        first = labels[values.index(own)] if own in values else labels[0]
        options = {"options": labels, "value": first, "description": _words(path)}
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            return SelectionSlider(**options, continuous_update=False)  # drawn when it is let go
        return ToggleButtons(**options)

    @property
    def labels(self) -> Labels:
        """What is chosen."""
        return tuple(control.value for control in self.controls.values())

    def _wanted(self, labels: Labels) -> "Wanted":
        from labkit.training.wanted import Wanted

        chosen = zip(self.values.items(), labels, strict=True)
        config = self.base.replace({path: values[label] for (path, values), label in chosen})
        self.wanted = self.wanted or Wanted("Training", self.base)
        return self.wanted.with_config(config)

    def _look_up(self) -> None:
        """What was tried before, in this notebook or another."""
        if math.prod(map(len, self.values.values())) <= MOST_LOOKED_UP:
            for labels in product(*self.values.values()):
                with contextlib.suppress(ValueError, LabkitError):  # said where it is chosen
                    self._found(labels)

    def _found(self, labels: Labels) -> "Run | None":
        """The run of these settings, if there is one."""
        if labels not in self.tries and (run := self._wanted(labels).found()):
            self.tries[labels] = run
        return self.tries.get(labels)

    def _show(self, change=None) -> None:
        """What is known of the chosen settings."""
        try:
            if run := self._found(self.labels):
                said = f"From the records: {_reached(run)}."
                self._draw_curves(self.labels)
            elif _is_begun(self._wanted(self.labels)):
                said = f"Interrupted before. {GOES_ON}"
            else:
                said = f"Not trained yet. Train does it; {INTERRUPT}"
        except (ValueError, LabkitError) as error:
            said = str(error)
        self.note.value = message(said)
        self._fill_table()

    def _train(self, button) -> None:
        labels = self.labels
        if labels in self.tries:
            return
        self.button.description = "Training …"
        self.note.value = message("Training", INTERRUPT)
        seen: list[dict[str, float]] = []
        said = ""

        def on_validation(history: "History") -> None:
            seen[:] = history
            if time.monotonic() - self.drawn > SECONDS:
                self._draw_curves(labels, seen)

        def on_progress(bar: Mapping[str, Any]) -> None:
            told = (f"{bar['n'] / bar['total']:.0%}", bar["postfix"])
            said = ", ".join(filter(None, told))
            self.note.value = message(f"{bar['description']}: {said}", INTERRUPT)

        # a bar of its own would stand still: JupyterLab updates nothing within an Output
        with self.output, progress.sent_to(on_progress):
            try:
                wanted = self._wanted(labels)
                self.tries[labels] = wanted.trained(on_validation)
                said = f"Trained: {_reached(self.tries[labels])}."
            except KeyboardInterrupt:  # caught, so that the kernel lives
                reached = f"after epoch {seen[-1]['epoch']:.3g}" if seen else "at the beginning"
                follows = GOES_ON if _is_begun(wanted) else "Train begins it anew."
                said = f"Interrupted {reached}, of {wanted.config.epochs}. {follows}"
            except (ValueError, LabkitError) as error:
                said = str(error)
        if said:  # what nobody expected has left its traceback there
            self.output.clear_output()
        self.button.description = "Train"
        self.note.value = message(said) if said else ""
        if seen or labels in self.tries:
            self._draw_curves(labels, seen)
        self._fill_table()

    def _draw_curves(self, shown: Labels, history: "History" = ()) -> None:
        """The curves of all that was tried, those of `shown` in colour: `history`, while it is
        trained."""
        from labkit.training.live import draw

        histories = {
            labels: run.history.to_dict("records")
            for labels, run in sorted(self.tries.items(), key=lambda tried: tried[0] == shown)
        }
        if history:
            histories[shown] = history
        self.curves.value = picture(draw({self._name(it): rows for it, rows in histories.items()}))
        self.drawn = time.monotonic()

    def _fill_table(self) -> None:
        """A line for each try: its settings, what it reached and the time that it took."""
        from pandas import DataFrame

        from labkit.training import Runs

        if not self.tries:
            return
        first = next(iter(self.tries.values()))
        reached = "cer" if "test_cer" in first.metrics else "accuracy"
        tried = Runs({it: [run] for it, run in self.tries.items()})
        best = tried.best(f"validation_{reached}") if len(tried) > 1 else None
        lines = [
            {
                **dict(zip(map(_words, self.values), labels, strict=True)),
                f"validation {reached}": f"{run.metrics[f'validation_{reached}']:.3f}",
                f"test {reached}": f"{run.metrics[f'test_{reached}']:.3f}",
                "seconds": f"{run.metrics['training_seconds']:.0f}",
                "": "★ best " * (labels == best) + "← chosen" * (labels == self.labels),
            }
            for labels, run in self.tries.items()
        ]
        self.table.value = table(DataFrame(lines), index=False)

    def _name(self, labels: Labels) -> str:
        return ", ".join(map(" ".join, zip(map(_words, self.values), labels, strict=True)))

    def _repr_mimebundle_(self, **kwargs):
        plain = "playground: sliders and training in JupyterLab; in plain cells, sweep(base, axes)"
        return {**super()._repr_mimebundle_(**kwargs), "text/plain": plain}


def _labelled(path: str, values: Iterable) -> dict[str, Any]:
    """The values of a field by what is shown of them."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"axis {path}: {values!r}: give a list of values")
    values = list(values)
    labelled = {_label(value): value for value in values}
    if not values or len(labelled) < len(values):
        raise ValueError(f"axis {path}: {values!r}: give at least one value, each once")
    return labelled


def _is_begun(wanted: "Wanted") -> bool:
    """Whether its training was interrupted and can go on."""
    from labkit.training import store

    return store.unfinished(wanted.config, wanted.dataset, wanted.device).exists()


def _words(path: str) -> str:
    """What a field is called: `optimizer.learning_rate` is a learning rate."""
    return path.split(".")[-1].replace("_", " ")


def _label(value: Any) -> str:
    """A value of a Config in few letters.

    >>> [_label(value) for value in (0.001, 32, True, None, "pca")]
    ['0.001', '32', 'yes', 'none', 'pca']
    """
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _reached(run: "Run") -> str:
    """In words: `test accuracy 0.512, 12 seconds`."""
    if run.diverged:
        return f"diverged after {run.metrics['steps']:,} steps"
    metric = "test_cer" if "test_cer" in run.metrics else "test_accuracy"
    said = "test character error rate" if metric == "test_cer" else "test accuracy"
    return f"{said} {run.metrics[metric]:.3f}, {run.metrics['training_seconds']:.0f} seconds"
