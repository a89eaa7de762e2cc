"""Any runs overlaid: a list to choose from, their curves, and what differs between them."""

import json
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ipywidgets import HTML, HBox, Label, SelectMultiple, Text, VBox

from labkit import progress, project
from labkit.widgets.parts import message, picture, style, table

if TYPE_CHECKING:  # torch takes its time, and the widgets of hand calculations do without
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from labkit.training import Run, Runs

MOST = 8  # runs at a time: so many colours can be told apart
RESULTS = ("test_accuracy", "test_cer", "test_wer", "validation_accuracy", "validation_cer")
RESULTS += ("train_accuracy", "validation_loss", "train_loss", "best_epoch", "training_seconds")
LONGEST_NAME = 60  # characters, in a legend
FILES = ("config.json", "metrics.json", "environment.json")

# what a line of the list says in its own words, and what would only make it longer
SAID = {"data.name", "optimizer.name", "optimizer.learning_rate", "batch_size", "epochs", "network"}
UNSAID = {"kind", "precision", "also_measure", "validations_per_epoch", "early_stop"}
UNSAID |= {f"data.{name}" for name in ("pixel_mean", "pixel_std", "validation_fraction")}
UNSAID |= {
    f"data.{part}_{examples}"
    for part in ("train", "measured_train", "validation", "test")
    for examples in ("images", "words")
}


def compare(runs: "Runs | None" = None) -> VBox:
    """Runs to choose from a list: their curves in one picture, their settings and results beside.

    `runs` is what `sweep` gives: each name is a line of the list, over its seeds. Without it the
    list has every run that was made here (`labkit runs list`) and every committed one, the newest
    first. The search field keeps those lines whose Config holds every word that is typed; Enter
    chooses them all. Shift or Ctrl and a click choose several; at most eight are shown.

    Loss is in nats; accuracies and error rates are shares, and so are their values in the table,
    which has the mean ± standard deviation over seeds.

        compare(runs)
        compare()

    In plain cells: `figures.learning_curves(runs)`, and `labkit runs compare KEY KEY` in a
    terminal. The PDF leaves it out.
    """
    return _Compare(runs)


class _Compare(VBox):
    def __init__(self, runs):
        self.named = runs is not None
        if self.named:
            self.groups = {name: list(group) for name, group in runs.items()}
        elif progress.in_notebook():
            self.groups = {run.key: [run] for run in _recorded()}
        else:  # nobody looks at it
            self.groups = {}
        self.lines = _lines(self.groups, self.named)
        self.words = {  # that a search finds
            key: f"{self.lines[key]} {json.dumps(group[0].config)} {group[0].key}".lower()
            for key, group in self.groups.items()
        }
        self.search = Text(placeholder="words, such as adam dropout; Enter", description="search")
        self.found = Label()
        self.choice = SelectMultiple(rows=min(max(len(self.groups), 3), 12))
        self.note = HTML()
        self.curves = HTML()
        self.table = HTML()
        self._search()
        self.choice.value = tuple(self.groups)[: MOST if self.named else 1]
        if progress.in_notebook():
            self._show()
        self.search.observe(self._search, "value")
        self.search.on_submit(self._choose)
        self.choice.observe(self._show, "value")
        head = HBox([self.search, self.found])
        super().__init__([style(), head, self.choice, self.note, self.curves, self.table])
        self.add_class("labkit-compare")

    def _matching(self) -> list[str]:
        words = self.search.value.lower().split()
        return [key for key, text in self.words.items() if all(word in text for word in words)]

    def _choose(self, field: Text) -> None:
        """Enter was pressed in the search field."""
        self.choice.value = tuple(self._matching())

    def _search(self, change=None) -> None:
        """Keep the lines with every word; what is chosen stays, so that more can be found to it."""
        found = self._matching()
        kept = self.choice.value
        self.searching = True
        self.choice.options = [(self.lines[key], key) for key in dict.fromkeys((*kept, *found))]
        self.choice.value = kept
        self.searching = False
        self.found.value = f"{len(found)} of {len(self.groups)}"

    def _show(self, change=None) -> None:
        if self.searching:  # new lines take back the choice for a moment
            return
        chosen = self.choice.value[:MOST]
        if not chosen:
            self.curves.value = self.table.value = ""
            self.note.value = message(
                "Choose one or several (Shift or Ctrl, and a click), or all that is found: Enter."
                if self.groups
                else f"There are no runs under {project.runs()} yet; sweep(…) makes some."
            )
            return
        from labkit.training import Runs

        try:
            for key in chosen:
                self.groups[key] = [_checked(run) for run in self.groups[key]]
        except ValueError as error:  # a damaged record
            self.note.value = message(str(error))
            return
        runs = Runs({key: self.groups[key] for key in chosen})
        if not self.named:
            runs = runs.renamed(dict(zip(runs, "ABCDEFGH", strict=False)))
        self.curves.value = picture(_curves(runs if self.named else _described(runs)))
        self.table.value = table(_beside(runs, keys=not self.named))
        more = len(self.choice.value) - MOST
        self.note.value = message(f"The first {MOST} of {MOST + more}.") if more > 0 else ""

    def _repr_mimebundle_(self, **kwargs):
        plain = (
            "compare: runs to choose from in JupyterLab; in plain cells, "
            "figures.learning_curves(runs)"
        )
        return {**super()._repr_mimebundle_(**kwargs), "text/plain": plain}


def _recorded() -> list["Run"]:
    """Every run made here or committed, the newest first, of which little is read.

    Checksums, curves and weights are left alone until a run is chosen: of hundreds of records they
    take seconds.
    """
    from labkit.training import Run

    found = {}
    for place in (project.results(), project.runs()):
        for path in place.glob("[!.]*/config.json"):
            try:
                read = [json.loads((path.parent / name).read_text()) for name in FILES]
                read[2]["finished"], read[1]["train_examples"]
            except (OSError, ValueError, LookupError, TypeError):
                continue  # damaged, which training it again would tell
            found[path.parent.name] = Run(path.parent, *read)
    return sorted(found.values(), key=lambda run: run.environment["finished"], reverse=True)


def _checked(run: "Run") -> "Run":
    """The run with its curves, if its files are what was written."""
    from labkit.training import store

    return run if "history" in vars(run) else store.read(run.folder)


def _lines(groups: Mapping[str, Sequence["Run"]], named: bool) -> dict[str, str]:
    """What the list says of each group of runs: date, test accuracy or error rate, and its name, or
    else its Config."""
    firsts = [group[0] for group in groups.values()]
    about = groups if named else _telling(firsts)
    lines = {}
    for (key, group), words in zip(groups.items(), about, strict=True):
        date = max(run.environment["finished"] for run in group)[:10]
        seeds = f" ({len(group)} seeds)" if len(group) > 1 else ""
        lines[key] = f"{date}  {_reached(group):>9}  {words}{seeds}"
    return lines


def _reached(group: Sequence["Run"]) -> str:
    if any(run.diverged for run in group):
        return "diverged"
    for metric, unit in (("test_cer", "CER "), ("test_accuracy", "")):
        values = [run.metrics[metric] for run in group if metric in run.metrics]
        if values:
            return f"{unit}{sum(values) / len(values):.3f}"
    return "–"


def _telling(runs: Sequence["Run"]) -> list[str]:
    """A line for the Config of each run: the main settings, and what is not as in most of them."""
    from labkit.training.records import flat

    configs = [flat(run.config) for run in runs]
    kinds = [set(map(_kind, _layers(run))) for run in runs]
    common = Counter(kind for its in kinds for kind in its)
    counts: dict[str, Counter] = {}
    for config in configs:
        for field, value in config.items():
            counts.setdefault(field, Counter())[str(value)] += 1
    usual = {field: count.most_common(1)[0][0] for field, count in counts.items()}
    lines = []
    for run, config, its in zip(runs, configs, kinds, strict=True):
        special = [kind for kind in sorted(its) if common[kind] < len(runs) / 2]
        other = [
            _setting(field, value)
            for field, value in config.items()
            if field not in SAID | UNSAID and str(value) != usual[field]
        ]
        lines.append(
            f"{config['data.name']} {run.metrics['train_examples']:,} × {config['epochs']}, "
            f"{config['optimizer.name']} {config['optimizer.learning_rate']:g}, "
            f"batch {config['batch_size']}, {run.metrics['num_parameters']:,} parameters"
            + "".join(f", {word}" for word in (*special, *other))
        )
    return lines


def _layers(run: "Run") -> list[str]:
    network = run.config["network"]
    return network if isinstance(network, list) else []


def _kind(layer: str) -> str:
    """What tells networks apart at a glance: the kind of a layer, of dropout its rate as well.

    >>> _kind("Conv2d(3, 32, 5)"), _kind("Dropout(0.5)")
    ('Conv2d', 'Dropout(0.5)')
    """
    return layer if layer.startswith("Dropout") else layer.split("(")[0]


def _setting(field: str, value) -> str:
    """A field of a Config and its value, in words.

    >>> _setting("optimizer.momentum", 0.9), _setting("augmentation.flip", True)
    ('momentum 0.9', 'flip')
    >>> _setting("augmentation.crop", None)
    'no crop'
    """
    name = field.removesuffix(".name").split(".")[-1].replace("_", " ")
    if value is True or value is False or value is None:
        return name if value else f"no {name}"
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _described(runs: "Runs") -> "Runs":
    """The runs under names that say what differs between them, as far as there is room."""
    from labkit.training.records import differences

    firsts = {name: group[0] for name, group in runs.items()}
    kinds = {name: set(map(_kind, _layers(run))) for name, run in firsts.items()}
    shared = set.intersection(*kinds.values())
    between = differences([*firsts.values()]).drop(["network", "precision"], errors="ignore")
    names = {}
    for name, run in firsts.items():
        words = sorted(kinds[name] - shared)
        words += [
            _setting(field, value)
            for field, value in between[run.key].items()
            if value is not False and str(value) != "–"  # what others have
        ]
        title = f"{name}: {', '.join(words)}" if words else name
        names[name] = textwrap.shorten(title, LONGEST_NAME, placeholder=" …")
    return runs.renamed(names)


def _curves(runs: "Runs") -> "Figure":
    """The learning curves that all of them have."""
    from labkit import figures

    there = set.intersection(*(set(run.history) for group in runs.values() for run in group))
    metrics = ("loss", "cer" if "validation_cer" in there else "accuracy")
    splits = [
        split
        for split in ("train", "validation")
        if all(f"{split}_{metric}" in there for metric in metrics)
    ]
    return figures.learning_curves(runs, metrics=metrics, splits=splits)


def _beside(runs: "Runs", *, keys: bool) -> "DataFrame":
    """A column for each name: their results, and what differs between their Configs."""
    from pandas import DataFrame

    from labkit.training.records import differences
    from labkit.training.sweep import DIGITS

    between = differences([group[0] for group in runs.values()])
    if any(len(group) > 1 for group in runs.values()):
        between = between.drop("seed", errors="ignore")
    columns = {}
    for name, group in runs.items():
        cells = {}
        for metric in RESULTS:
            there = all(metric in run.metrics for run in group)
            spread = runs.spread(name, metric, DIGITS.get(metric, 3)) if there else "–"
            cells[metric.replace("_", " ")] = spread
        cells |= between[group[0].key]
        cells["device"] = ", ".join(dict.fromkeys(run.environment["device"] for run in group))
        if keys:
            cells["run"] = group[0].key
        columns[name] = cells
    frame = DataFrame(columns)
    return frame[(frame.map(str) != "–").any(axis=1)]
