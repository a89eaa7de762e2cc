"""What executed notebooks tell besides their text: figures and tables with their runs, measured
values, claims. Read from the outputs' metadata, so that no notebook need be run again for it.

Needs no torch: a report without runs is bound in a blink.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from labkit import project


@dataclass(frozen=True)
class Shown:
    """A figure or table of a notebook, as `figures.show` displayed it."""

    notebook: str  # "tdt4265/task2_first_network"
    kind: str  # "figure" or "table"
    caption: str  # Markdown
    label: str = ""
    provenance: str = ""
    profile: str = ""
    runs: Mapping[str, list[str]] = field(default_factory=dict)  # name → keys of its records
    table: Mapping[str, list] | None = None  # of a table: `columns`, and `data` row by row


@dataclass(frozen=True)
class Measured:
    """What runs reached of a metric for which a report prints a value: one value per seed."""

    question: str  # "tdt4265/2b", as in reports/published.yaml
    metric: str  # "test_accuracy", as in a run's metrics
    values: list[float]
    profile: str  # "full" for committed records
    stand_in: bool  # on data that stand in for the course's
    examples: int | None  # how many it was measured on; None for a count, such as of parameters
    data: str  # name of the data set
    device: str
    torch: str
    date: str  # when the last of the runs was finished, ISO 8601
    runs: list[str]  # keys of the records

    def told(self) -> dict[str, Any]:
        """As a notebook's output carries it."""
        return asdict(self)


@dataclass(frozen=True)
class Claim:
    """A sentence that was held against runs, and what came of it; see `labkit.report.claims`."""

    sentence: str  # "Batch normalisation raises the test accuracy"
    metric: str
    relation: str  # ">" or "<": what the sentence says of first against second
    first: str  # name of the runs, and what it is compared with: a name or a number
    second: str | float
    outcome: str  # "borne out", "contradicted", "not told apart", "one seed only", "not comparable"
    difference: float | None  # mean of first − second, in the metric's own unit; None: not measured
    margin: float | None  # half the width of its 95 % interval
    seeds: int
    profile: str
    stand_in: bool
    source: str = ""  # the report that says so: "TDT4265 A3 report, 3c"; "": labkit's own
    runs: list[str] = field(default_factory=list)  # keys of the records
    notebook: str = ""  # filled in when it is read back

    def told(self) -> dict[str, Any]:
        """As a notebook's output carries it."""
        return asdict(self)


@dataclass(frozen=True)
class Facts:
    """All that the notebooks of a report tell."""

    shown: list[Shown]
    measured: list[Measured]
    claims: list[Claim]

    @cached_property
    def run_keys(self) -> list[str]:
        """The key of every run that anything rests on, each once, in the order of the report."""
        keys = [key for it in self.shown for group in it.runs.values() for key in group]
        keys += [key for it in (*self.measured, *self.claims) for key in it.runs]
        return list(dict.fromkeys(keys))


def facts(notebooks: Iterable[tuple[str, NotebookNode]]) -> Facts:
    """What the notebooks, given with their names, tell."""
    found = Facts([], [], [])
    for name, notebook in notebooks:
        for about in _told(notebook):
            if "claim" in about:
                found.claims.append(Claim(**{**about["claim"], "notebook": name}))
            found.measured.extend(Measured(**it) for it in about.get("measured", ()))
            if about.get("kind") in ("figure", "table"):
                fields = Shown.__dataclass_fields__.keys() & about.keys()
                found.shown.append(Shown(name, **{key: about[key] for key in fields}))
    # two notebooks may hold the same runs against the same published value
    unique = {json.dumps(it.told(), sort_keys=True): it for it in found.measured}
    return Facts(found.shown, list(unique.values()), found.claims)


def _told(notebook: NotebookNode) -> Iterator[Mapping[str, Any]]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            about = output.get("metadata", {}).get("labkit")
            if isinstance(about, dict):
                yield about


@dataclass(frozen=True)
class Recorded:
    """A run record as its files have it, without its arrays; see `labkit.training.store`."""

    key: str
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    environment: Mapping[str, Any]
    history: list[dict[str, str]]  # one row per validation
    committed: bool  # it lies in reports/results/


def recorded(keys: Iterable[str]) -> dict[str, Recorded]:
    """The records of these runs that are here, made here or committed."""
    places = [(project.runs(), False), (project.results(), True)]
    every = ((key, folder / key, committed) for key in keys for folder, committed in places)
    found: dict[str, Recorded] = {}
    for key, folder, committed in every:
        if key not in found and (folder / "environment.json").is_file():
            found[key] = _read(folder, committed)
    return found


def _read(folder: Path, committed: bool) -> Recorded:
    contents = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("config", "metrics", "environment")
    )
    heads, *rows = (line.split(",") for line in (folder / "history.csv").read_text().splitlines())
    history = [dict(zip(heads, row, strict=True)) for row in rows]
    return Recorded(folder.name, *contents, history, committed)
