"""The notebooks of a report in their executed form: what still holds is kept, the rest is run.

An executed notebook appears at its place whole, when it has run to its end. Until then, and where
it failed, it lies beside it as `<name>.unfinished.ipynb`, with the outputs as they came.
"""

import itertools
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
from labkit.report.supply import Supply


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
        if self.failure or self.executed:
            return "failed" if self.failure else "executed"
        return "outdated" if self.reasons else "unchanged"


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


def plan(
    wanted: Mapping[Source, Mapping[str, Any]], folder: Path, supply: Supply, *, fresh: bool
) -> list[Planned]:
    """What is to be done for these notebooks, given with their parameters."""
    planned = []
    for source, chosen in wanted.items():
        path = folder / "notebooks" / source.course / f"{source.stem}.ipynb"
        inputs = cache.inputs(source, chosen)
        executed = cache.read(path)
        reasons = ["--fresh"] if fresh else cache.reasons(executed, inputs)
        if not reasons:
            reasons = supply.changed(executed.metadata.labkit)
        planned.append(Planned(source, chosen, path, inputs, executed, reasons))
    return planned


def parts(
    planned: Sequence[Planned], supply: Supply, *, at_once: int, threads: int | None
) -> list[Part]:
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
                    names = it.source.data_sets(it.chosen), it.source.weights(it.chosen)
                    fetched = supply.fetch(*names)
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
        notebook = cache.read(it.path)  # as the next call will find it
    return Part(it.source, notebook, time.perf_counter() - started, True, it.reasons)
