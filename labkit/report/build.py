"""From notebooks to the report: what is run, what is bound, and what is said of it."""

import ctypes
import errno
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from labkit import project
from labkit.errors import LabkitError, UsageError
from labkit.report import binding, execute, verdicts
from labkit.report.execute import Source
from labkit.report.parts import Part, Planned, as_they_are, parts, plan
from labkit.report.supply import Supply
from labkit.report.verdicts import Verdict

MOST_AT_ONCE = 4  # notebooks; each holds its data in memory


@dataclass(frozen=True)
class Report:
    """What a call of `report` made."""

    pdf: Path
    parts: tuple[Part, ...]
    verdicts: tuple[Verdict, ...] = ()

    @property
    def failed(self) -> bool:
        return any(part.failure for part in self.parts)


def resolve_profile(profile: str) -> str:
    """`auto` is full where there is a CUDA GPU, else quick."""
    return profile if profile != "auto" else "full" if _has_gpu() else "quick"


def report(
    courses: Sequence[str] = (),
    *,
    profile: str = "auto",
    output: Path | None = None,
    fresh: bool = False,
    show_code: bool = False,
    at_once: int | None = None,
    as_is: bool = False,
) -> Report:
    """Execute the notebooks of `courses` (none: of all) and write their PDF.

    Everything is checked before anything runs. A notebook that rests on nothing that has changed is
    not executed again; one that fails is shown as failed, and the others stay. `at_once` of them
    run side by side (default: as many as there are cores, at most four, and one where they share a
    GPU). With `as_is` nothing is run: what is there is bound, and what is missing says so.
    """
    started = time.perf_counter()
    profile = resolve_profile(profile)
    if fresh:  # the kernels inherit it
        # to the second, as records are dated
        os.environ["LABKIT_FRESH"] = datetime.now(UTC).isoformat(timespec="seconds")
    wanted = _wanted(courses, profile)
    with _writing(_folder(output) / profile) as folder:
        supply = Supply()
        planned = plan(wanted, folder, supply, fresh=fresh)
        found = as_they_are(planned) if as_is else _run(planned, supply, at_once)
        made = binding.bind(found, folder, profile, courses, show_code=show_code)
    _say(found, made, started)
    return Report(made.pdf, tuple(found), tuple(made.verdicts))


def run(
    notebook: str, overrides: dict, *, profile: str = "auto", output: Path | None = None
) -> Report:
    """Execute one notebook with parameters of its own, and write its PDF."""
    started = time.perf_counter()
    profile = resolve_profile(profile)
    source = execute.find_notebook(notebook)
    chosen = execute.settings(source, profile, overrides)
    with _writing(_folder(output) / "run") as folder:
        supply = Supply()
        found = _run(plan({source: chosen}, folder, supply, fresh=False), supply, at_once=1)
        made = binding.bind_one(found[0], folder, chosen.get("profile", profile))
    _say(found, made, started)
    return Report(made.pdf, tuple(found))


def why(
    courses: Sequence[str] = (), *, profile: str = "auto", output: Path | None = None
) -> dict[Source, list[str]]:
    """For each notebook the reasons why `report` would run it; none: it would not."""
    profile = resolve_profile(profile)
    folder = _folder(output) / profile
    planned = plan(_wanted(courses, profile), folder, Supply(), fresh=False)
    return {it.source: it.reasons for it in planned}


def accept(made: Report) -> Path:
    """Keep the verdicts of `made`, beside those of other courses that were kept before."""
    path = _accepted_path()
    kept = _accepted() | {it.published.id: it.kind for it in made.verdicts}
    project.write_whole(path, (json.dumps(kept, indent=1) + "\n").encode())
    return path


def worse(made: Report) -> list[str]:
    """The published values whose verdict is worse than the accepted one, in a line each."""
    before = _accepted()
    if not before:
        raise UsageError(
            f"there are no accepted verdicts in {_accepted_path()}; write them with "
            "`labkit report --accept` and commit the file"
        )
    told = []
    for it in made.verdicts:
        was = before.get(it.published.id, it.kind)
        if verdicts.worse(it.kind, was):
            why = f" ({it.why})" if it.why else ""
            told.append(f"{it.published.id}: {was} → {it.kind}{why}")
    return told


def _accepted_path() -> Path:
    return project.results() / "verdicts.json"


def _accepted() -> dict[str, str]:
    path = _accepted_path()
    try:
        return json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        raise UsageError(f"{path} cannot be read ({error}); restore it with git") from None


def _wanted(courses: Sequence[str], profile: str) -> dict[Source, Mapping[str, Any]]:
    """The notebooks of these courses, with their parameters, all of which are checked."""
    every = project.read_yaml(project.root() / "params" / "report.yaml")["courses"]
    courses = list(dict.fromkeys(course.strip("/") for course in courses)) or every
    sources = [source for course in courses for source in execute.find_notebooks(course)]
    return {source: execute.settings(source, profile) for source in sources}


def _run(planned: Sequence[Planned], supply: Supply, at_once: int | None) -> list[Part]:
    several = hasattr(os, "sched_getaffinity")  # what this process may use; not on macOS
    cores = len(os.sched_getaffinity(0)) if several else os.cpu_count() or 1
    to_run = sum(bool(it.reasons) for it in planned)
    if at_once is None:
        at_once = 1 if _has_gpu() else min(cores, MOST_AT_ONCE)
    at_once = max(1, min(at_once, to_run))
    shared = at_once > 1 and "OMP_NUM_THREADS" not in os.environ
    threads = max(1, cores // at_once) if shared else None
    return parts(planned, supply, at_once=at_once, threads=threads)


def _has_gpu() -> bool:
    try:  # without the driver torch finds none either, and takes two seconds to say so
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    import torch

    return torch.cuda.is_available()


def _folder(output: Path | None) -> Path:
    return output or project.root() / "reports" / "build"


@contextmanager
def _writing(folder: Path) -> Iterator[Path]:
    """Hold `folder` for this call alone, and say what to do where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"labkit: another report is being made in {folder}; waiting", file=sys.stderr)
            lock.acquire()
        try:
            yield folder
        finally:
            lock.release()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LabkitError(
                f"the disk of {folder} is full ({error.strerror}); make room, or choose another "
                "folder with --output. What was finished is kept; run it again"
            ) from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise UsageError(
                f"cannot write {error.filename or folder} ({error.strerror}); choose another "
                "folder with --output"
            ) from None
        raise


def _say(found: Sequence[Part], made: binding.Bound, started: float) -> None:
    """At the end, how long each part took and what failed."""
    lines = [(part.source.name, part.seconds, part.state) for part in found]
    lines += [(name, seconds, state) for name, (seconds, state) in made.written.items()]
    lines.append(("together", time.perf_counter() - started, ""))
    for name, seconds, state in lines:
        print(f"{name:40} {seconds:7.1f} s  {state}", file=sys.stderr)
    for part in found:
        if part.failure:
            print(f"{part.source.name} failed: {part.failure}", file=sys.stderr)
