"""Where things are: the project's folder, and the folders that its parts read and write."""

import copy
import os
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import labkit
from labkit.errors import UsageError

PROFILES = ("smoke", "quick", "full")  # how much is trained


def root() -> Path:
    """The project: the nearest folder around the working directory that holds `notebooks/` and
    `params/`, else the checkout that labkit was installed from. `LABKIT_ROOT` overrides both.
    """
    if chosen := os.environ.get("LABKIT_ROOT"):
        if not (Path(chosen) / "notebooks").is_dir():
            raise UsageError(f"LABKIT_ROOT is {chosen!r}, which holds no notebooks/; correct it")
        return Path(chosen).resolve()
    here = Path.cwd().resolve()
    checkout = Path(labkit.__file__).resolve().parents[1]
    for folder in (here, *here.parents, checkout):
        if (folder / "notebooks").is_dir() and (folder / "params").is_dir():
            return folder
    raise UsageError(
        f"no labkit project at {here}: no folder above it holds notebooks/ and params/; "
        "change into the checkout or set LABKIT_ROOT to it"
    )


def runs() -> Path:
    """Records of the runs made here (`LABKIT_RUNS`, else `reports/runs`); kept by `make clean`."""
    return Path(os.environ.get("LABKIT_RUNS") or root() / "reports" / "runs")


def results() -> Path:
    """Committed records of full-scale runs."""
    return root() / "reports" / "results"


def fresh_since() -> datetime | None:
    """What was made before this time is passed over (`LABKIT_FRESH`, ISO 8601, of `--fresh`)."""
    since = os.environ.get("LABKIT_FRESH")
    return datetime.fromisoformat(since) if since else None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file such that it is there whole or not at all, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@cache
def _parsed(text: str) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(text)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML 1.2 file of keys and values (so `1e-3` is a number, as PyYAML's 1.1 has it not)."""
    from ruamel.yaml import YAMLError  # read by few, this module is imported by all

    try:
        content = copy.deepcopy(_parsed(path.read_text()))
    except FileNotFoundError:
        raise UsageError(f"{path} is missing; write it beside those of the others") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise UsageError(f"{path.name}: {place}{getattr(error, 'problem', error)}") from None
    if not isinstance(content or {}, dict):
        raise UsageError(f"{path.name}: it holds no keys; write `name: value` lines")
    return dict(content or {})
