"""Records looked at by hand: one by its name, several side by side, and what can go."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from labkit import project
from labkit.errors import UsageError
from labkit.training import store
from labkit.training.store import Run

# what is compared of the results
METRICS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "test_loss")
METRICS += ("test_accuracy", "validation_cer", "test_cer", "test_wer")
METRICS += ("best_epoch", "training_seconds")


def named(start: str) -> Run:
    """The run, made here or committed, whose key begins with `start`."""
    every = {run.key: run for run in (*store.committed_runs(), *store.local_runs())}
    matching = [run for key, run in every.items() if key.startswith(start)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        keys = ", ".join(run.key for run in matching)
        raise UsageError(f"run {start!r} could be {keys}; give more of its key")
    raise UsageError(f"no run {start!r}; `labkit runs list` names those that there are")


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A recorded Config with one entry per field: `optimizer.learning_rate`, …"""
    entries = {}
    for name, value in config.items():
        if isinstance(value, dict):
            entries |= flat(value, f"{prefix}{name}.")
        else:
            entries[prefix + name] = " → ".join(value) if name == "network" else value
    return entries


def differences(runs: Sequence[Run]) -> pd.DataFrame:
    """What differs between the Configs of `runs`: a row per field, a column per run.

    A field that a run's Config does not have is `–`. Of networks that differ only those layers are
    named that not all have.
    """
    configs = {run.key: flat(run.config) for run in runs}
    networks = {run.key: run.config["network"] for run in runs}
    layers = {key: it for key, it in networks.items() if isinstance(it, list)}
    for key, its in layers.items():
        own = [it for it in its if not all(it in others for others in layers.values())]
        configs[key]["network"] = " → ".join(own) or f"{len(its)} layers"
    table = pd.DataFrame(configs, dtype=object)
    different = table.apply(lambda row: row.map(str).nunique() > 1, axis=1)
    return table[different].fillna("–")


def results(runs: Sequence[Run]) -> pd.DataFrame:
    """The metrics of `runs` side by side: a row per metric that any has, a column per run."""
    there = [name for name in METRICS if any(name in run.metrics for run in runs)]
    return pd.DataFrame({run.key: {name: run.metrics.get(name) for name in there} for run in runs})


@dataclass(frozen=True)
class Prunable:
    """Something under `reports/runs` that nothing will ask for any more."""

    path: Path
    reason: str

    @property
    def size(self) -> int:
        """In bytes."""
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(file.stat().st_size for file in files if file.is_file())

    def remove(self) -> None:
        """Delete it."""
        if self.path.is_dir():
            shutil.rmtree(self.path)
        else:
            self.path.unlink()


def prunable(*, unfinished: bool = False) -> list[Prunable]:
    """What can go: what killed processes left half-written, records that the present code no
    longer finds because the trainer was edited since, and states of runs that are finished; with
    `unfinished` those of all others as well.

    What a running process holds stays, and so do full-scale records that are not committed yet, and
    what was set aside as damaged.
    """
    return [found for found in _prunable(unfinished) if not _in_use(found.path)]


def _prunable(unfinished: bool) -> Iterator[Prunable]:
    folder = project.runs()
    for run in store.local_runs():
        kept_for_commit = store.is_full_scale(run) and not store.is_committed(run)
        if not store.is_current(run) and not kept_for_commit:
            yield Prunable(run.folder, "made by a trainer that was edited since")
    for path in sorted(folder.glob(".*")):
        if path.is_dir() or path.suffix == ".tmp":
            yield Prunable(path, "left half-written by a process that was killed")
        elif path.suffix == ".unfinished":
            if (folder / path.stem[1:]).is_dir():
                yield Prunable(path, "the state of a run that is finished")
            elif unfinished:
                yield Prunable(path, "the state of an unfinished run")


def _in_use(path: Path) -> bool:
    """Whether a process holds the lock of the run that `path` belongs to."""
    key = path.name.strip(".").split("-")[0].split(".")[0]
    path = project.runs() / f".{key}.lock"
    if not path.exists():
        return False
    lock = FileLock(path, timeout=0)
    try:
        with lock:
            return False
    except Timeout:
        return True
