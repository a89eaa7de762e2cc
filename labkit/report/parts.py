"""The notebooks of a report in their executed form: what still holds is kept, the rest is run.

An executed notebook appears at its place whole, when it has run to its end. Until then, and where
it failed, it lies beside it as `<name>.unfinished.ipynb`, with the outputs as they came.
"""

import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from labkit import progress, project
from labkit.errors import LabkitError
from labkit.report import cache, execute, kernels
from labkit.report.execute import Source


@dataclass(frozen=True)
class Part:
    """One notebook's place in the report."""

    source: Source
    notebook: NotebookNode
    seconds: float = 0.0
    executed: bool = False  # False: the notebook of an earlier call
    reasons: list[str] = field(default_factory=list)  # why it had to be run; none: it still held

    @property
    def failure(self) -> str | None:
        """The one-line error of a notebook that did not run to its end."""
        return execute.failure(self.notebook)

    @property
    def state(self) -> str:
        """In a word."""
        return "failed" if self.failure else "executed" if self.executed else "unchanged"


@dataclass(frozen=True)
class Planned:
    """A notebook of a report: its checked parameters, where its executed form belongs, and why the
    one that may be there has to be made anew.
    """

    source: Source
    chosen: Mapping[str, Any]
    path: Path
    inputs: Mapping[str, str]
    executed: NotebookNode | None  # of an earlier call
    reasons: list[str]

    @property
    def unfinished(self) -> Path:
        """Where it is while it runs, and stays if it fails."""
        return self.path.with_suffix(".unfinished.ipynb")


def plan(wanted: Mapping[Source, Mapping[str, Any]], folder: Path, *, fresh: bool) -> list[Planned]:
    """What is to be done for these notebooks, given with their parameters."""
    planned = []
    for source, chosen in wanted.items():
        path = folder / "notebooks" / source.course / f"{source.stem}.ipynb"
        inputs = cache.inputs(source, chosen)
        executed = cache.read(path)
        reasons = ["--fresh"] if fresh else cache.reasons(executed, inputs)
        if not reasons:
            reasons = _other_data(executed.metadata.labkit)
        planned.append(Planned(source, chosen, path, inputs, executed, reasons))
    return planned


def parts(planned: Sequence[Planned], *, at_once: int, threads: int | None) -> list[Part]:
    """The notebooks of `planned` in their executed form, in the same order.

    `at_once` of them run side by side, each with so many `threads`. One that fails leaves the
    others alone; interrupted, those that run are stopped, and what was finished stays.
    """
    found = {it.source: Part(it.source, it.executed) for it in planned if not it.reasons}
    waiting = _interleaved([it for it in planned if it.reasons])
    if waiting:
        kernels.warm_up()  # while the data are looked at
    with ThreadPoolExecutor(max(1, at_once)) as pool:
        running: list[Future[Part]] = []
        try:
            for it in waiting:
                # the data here, not beside the kernel: a download can be interrupted, has a bar,
                # and its failure is a sentence
                try:
                    fetched = _fetch(it.source.data_sets(it.chosen), it.source.weights(it.chosen))
                except LabkitError as error:  # the other notebooks may do without
                    missing = execute.failed(it.source.read(), str(error))
                    found[it.source] = Part(it.source, missing, 0.0, True, it.reasons)
                else:
                    running.append(pool.submit(_executed, it, *fetched, threads))
            done, _ = wait(running, return_when=FIRST_EXCEPTION)
            found |= {part.source: part for part in (future.result() for future in done)}
        except BaseException:
            for future in running:
                future.cancel()
            execute.stop()
            raise
    return [found[it.source] for it in planned]


def as_they_are(planned: Sequence[Planned]) -> list[Part]:
    """What is there of `planned`, whether it still holds or not; what is not counts as failed."""
    parts = []
    for it in planned:
        notebook = it.executed or cache.read(it.unfinished) or it.source.read()
        if it.executed is None and not execute.failure(notebook):
            notebook = execute.failed(notebook, "it has not been run to its end yet")
        parts.append(Part(it.source, notebook, reasons=it.reasons))
    return parts


def _interleaved(planned: Sequence[Planned]) -> list[Planned]:
    """One notebook of each course in turn: those of one course wait for each other's runs."""
    courses: dict[str, list[Planned]] = {}
    for it in planned:
        courses.setdefault(it.source.course, []).append(it)
    turns = itertools.chain(*itertools.zip_longest(*courses.values()))
    return [it for it in turns if it is not None]


def _executed(
    it: Planned, data: Mapping[str, str], missing: Sequence[str], threads: int | None
) -> Part:
    started = time.perf_counter()
    relay = progress.Relay()
    try:
        notebook = execute.execute(it.source, it.chosen, it.unfinished, relay, threads=threads)
    finally:
        relay.close()
    if not execute.failure(notebook):
        about = {"inputs": dict(it.inputs), "data": data, "missing": missing}
        notebook.metadata["labkit"] = about
        project.write_whole(it.path, nbformat.writes(notebook).encode())
        it.unfinished.unlink(missing_ok=True)
    return Part(it.source, notebook, time.perf_counter() - started, True, it.reasons)


# --- data and weights -----------------------------------------------------------------------------


def _fetch(data_sets: Sequence[str], weights: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Fetch what a kernel will open.

    Returns where each set came from, for the title page, and the names of what could not be had: of
    sets that others stand in for, and of weights, without which the notebook says what it does.
    """
    known = {}
    for name in data_sets:
        of = _room(name)
        of.fetch(name)
        known[name] = of.status(name)
    missing = [name for name, it in known.items() if it.stand_in]
    missing += [name for name in weights if not _can_be_had(name)]
    return {name: _told(it) for name, it in known.items()}, missing


def _other_data(about: Mapping[str, Any]) -> list[str]:
    """Why data and weights ask for a new run, by what an executed notebook tells `about` itself."""
    told = []
    for name, before in about["data"].items():
        if name not in about["missing"]:
            now = _room(name).status(name)
            if now.prepared and _told(now) != before:
                told.append(f"data {name}: {before} → {_told(now)}")
    data_sets = [name for name in about["missing"] if name in about["data"]]
    weights = [name for name in about["missing"] if name not in about["data"]]
    if not told and (data_sets or weights):  # it may be there by now
        try:
            _, still = _fetch(data_sets, weights)
        except LabkitError as error:  # there by now, and damaged: the notebook says so
            return [str(error)]
        told += [f"{name} can be had now" for name in about["missing"] if name not in still]
    return told


def _room(name: str):
    """Which of labkit's modules knows the set: that of images or that of words."""
    from labkit.data import sources, words  # torch with them, which a report without data can spare

    return words if name in words.WORD_SETS else sources


def _told(status) -> str:
    return f"{status.source}, sha256 {status.fingerprint}"


def _can_be_had(weights: str) -> bool:
    from labkit.data.weights import WeightsError, fetch_weights

    try:
        fetch_weights(weights)
    except WeightsError as error:
        print(f"labkit: going on without {weights}: {error}", file=sys.stderr)
        return False
    return True
