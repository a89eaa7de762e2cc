"""From notebooks to the report: run what changed, bind the sections, write the PDF."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from labkit import progress, project
from labkit.errors import LabkitError, UsageError
from labkit.report import execute, kernels
from labkit.report.execute import Source
from labkit.report.typst import Section, call, compile_pdf, document, failure, section


@dataclass(frozen=True)
class Part:
    """One notebook's place in the report."""

    source: Source
    notebook: NotebookNode
    seconds: float
    executed: bool  # False: the notebook of an earlier call, still valid

    @property
    def failure(self) -> str | None:
        return execute.failure(self.notebook)

    @property
    def state(self) -> str:
        return "failed" if self.failure else "executed" if self.executed else "unchanged"


@dataclass(frozen=True)
class Report:
    """What a call of `report` made."""

    pdf: Path
    parts: tuple[Part, ...]

    @property
    def failed(self) -> bool:
        return any(part.failure for part in self.parts)


def resolve_profile(profile: str) -> str:
    """`auto` is full where there is a CUDA GPU, else quick."""
    if profile != "auto":
        return profile
    import torch  # not before it is needed: it takes longer to import than a cached report to write

    return "full" if torch.cuda.is_available() else "quick"


def report(
    courses: Sequence[str] = (),
    *,
    profile: str = "auto",
    output: Path | None = None,
    fresh: bool = False,
    show_code: bool = False,
) -> Report:
    """Execute the notebooks of `courses` (none: of all) and write their PDF.

    Everything is checked before anything runs. A notebook whose source, settings and labkit are
    unchanged is not executed again; one that fails is shown as failed, and the others stay.
    """
    started = time.perf_counter()
    profile = resolve_profile(profile)
    courses = list(dict.fromkeys(course.strip("/") for course in courses))
    settings = project.read_yaml(project.root() / "params" / "report.yaml")
    sources = [
        source
        for course in courses or settings["courses"]
        for source in execute.find_notebooks(course)
    ]
    chosen = {source: execute.settings(source, profile) for source in sources}
    folder = _folder(output) / profile
    if fresh:  # the kernels inherit it
        # to the second, as records are dated
        os.environ["LABKIT_FRESH"] = datetime.now(UTC).isoformat(timespec="seconds")

    parts = [_executed(source, chosen[source], folder, fresh) for source in sources]
    name = "-".join(courses) or "report"
    return _bound(parts, folder / f"{name}.pdf", settings, profile, show_code, started)


def run(
    notebook: str, overrides: dict, *, profile: str = "auto", output: Path | None = None
) -> Report:
    """Execute one notebook with parameters of its own, and write its PDF."""
    profile = resolve_profile(profile)
    source = execute.find_notebook(notebook)
    chosen = execute.settings(source, profile, overrides)
    started = time.perf_counter()
    folder = _folder(output) / "run"
    part = _executed(source, chosen, folder, fresh=False)
    settings = project.read_yaml(project.root() / "params" / "report.yaml")
    pdf = folder / source.course / f"{source.stem}.pdf"
    return _bound([part], pdf, settings, chosen.get("profile", profile), False, started)


def write_pdf(
    parts: Sequence[Part], path: Path, settings: dict, profile: str, *, show_code: bool = False
) -> None:
    """Bind executed notebooks into the PDF at `path`, written whole or not at all."""
    sections: list[Section] = []
    for part in parts:
        if sections:
            sections.append(call("begin"))
        if part.failure:
            sections.append(failure(f"{part.source.name} did not run to its end", part.failure))
        sections.append(section(part.notebook, show_code=show_code, name=f"{part.source.name}/"))
    courses = dict.fromkeys(part.source.course for part in parts)
    titles = [settings["courses"].get(course, course) for course in courses]
    source, files = document(
        sections,
        title=settings["title"],
        subtitle="; ".join(titles) if len(titles) == 1 else settings.get("subtitle", ""),
        authors=settings.get("authors", ()),
        date=_date(parts),
        provenance={"Profile": profile, **_data(parts)},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".pdf.tmp")
    beside.write_bytes(compile_pdf(source, files))
    beside.replace(path)


def _bound(parts, path: Path, settings, profile: str, show_code: bool, started: float) -> Report:
    """Write the PDF, and say at the end how long each part took."""
    binding = time.perf_counter()
    write_pdf(parts, path, settings, profile, show_code=show_code)
    now = time.perf_counter()
    lines = [(part.source.name, part.seconds, part.state) for part in parts]
    lines += [("PDF", now - binding, "written"), ("together", now - started, "")]
    for name, seconds, state in lines:
        print(f"{name:40} {seconds:7.1f} s  {state}", file=sys.stderr)
    for part in parts:
        if part.failure:
            print(f"{part.source.name} failed: {part.failure}", file=sys.stderr)
    return Report(path, tuple(parts))


def _folder(output: Path | None) -> Path:
    folder = output or project.root() / "reports" / "build"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder} ({error.strerror}); choose another folder with --output"
        ) from None
    return folder


def _executed(source: Source, chosen: dict, folder: Path, fresh: bool) -> Part:
    started = time.perf_counter()
    path = folder / "notebooks" / source.course / f"{source.stem}.ipynb"
    key = execute.cache_key(source, chosen)
    if not fresh and (notebook := _still_valid(path, key)) is not None:
        return Part(source, notebook, time.perf_counter() - started, executed=False)
    kernels.warm_up()  # while the data are looked at
    try:
        data, missing = _fetch(source.data_sets(chosen), source.weights(chosen))
    except LabkitError as error:  # the other notebooks may do without
        notebook = execute.failed(source.read(), str(error))
        return Part(source, notebook, time.perf_counter() - started, executed=True)
    relay = progress.Relay()
    try:
        notebook = execute.execute(source, chosen, path, relay)
    finally:
        relay.close()
    if not execute.failure(notebook):
        # only now, so that a notebook that was interrupted never counts as finished
        notebook.metadata["labkit"] = {"key": key, "data": data, "missing": missing}
        beside = path.with_suffix(".ipynb.tmp")
        nbformat.write(notebook, beside)
        beside.replace(path)
    return Part(source, notebook, time.perf_counter() - started, executed=True)


def _fetch(data_sets: Sequence[str], weights: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Fetch here what the kernel will open: its download has a bar, and its failure an end.

    Returns where each set came from, for the title page, and the names of what could not be had: of
    sets that others stand in for, and of weights, without which the notebook says what it does.
    """
    if not data_sets and not weights:
        return {}, []
    from labkit.data import sources, words  # torch with them, which a report without runs can spare

    known = {}
    for name in data_sets:
        of = words if name in words.WORD_SETS else sources
        of.fetch(name)
        known[name] = of.status(name)
    missing = [name for name, it in known.items() if it.stand_in]
    missing += [name for name in weights if not _can_be_had(name)]
    return {name: f"{it.source}, sha256 {it.fingerprint}" for name, it in known.items()}, missing


def _can_be_had(weights: str) -> bool:
    from labkit.data.weights import WeightsError, fetch_weights

    try:
        fetch_weights(weights)
    except WeightsError as error:
        print(f"labkit: going on without {weights}: {error}", file=sys.stderr)
        return False
    return True


def _still_valid(path: Path, key: str) -> NotebookNode | None:
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError):  # never made, or damaged: made anew
        return None
    about = notebook.metadata.get("labkit", {})
    if about.get("key") != key:
        return None
    if missing := about.get("missing"):  # it may be there by now
        data_sets = [name for name in missing if name in about["data"]]
        weights = [name for name in missing if name not in about["data"]]
        try:
            _, still = _fetch(data_sets, weights)
        except LabkitError:  # there by now, and damaged: the notebook says so
            return None
        if still != missing:
            return None
    return notebook


def _data(parts: Sequence[Part]) -> dict[str, str]:
    """Every data set of the report, with its source and fingerprint."""
    found = {}
    for part in parts:
        for name, source in part.notebook.metadata.get("labkit", {}).get("data", {}).items():
            found[f"Data: {name}"] = source
    return found


def _date(parts: Sequence[Part]) -> str:
    """The day on which the newest notebook was executed: the same input gives the same bytes."""
    ends = [part.notebook.metadata.get("papermill", {}).get("end_time") or "" for part in parts]
    newest = max(ends, default="")
    return datetime.fromisoformat(newest).strftime("%-d %B %Y") if newest else ""
