"""Where things are: the project's folder, and the folders that its parts read and write."""

import os
from pathlib import Path

import labkit


def root() -> Path:
    """The project: the nearest folder around the working directory that holds `notebooks/` and
    `params/`, else the checkout that labkit was installed from. `LABKIT_ROOT` overrides both.
    """
    if chosen := os.environ.get("LABKIT_ROOT"):
        return Path(chosen).resolve()
    here = Path.cwd().resolve()
    checkout = Path(labkit.__file__).resolve().parents[1]
    for folder in (here, *here.parents, checkout):
        if (folder / "notebooks").is_dir() and (folder / "params").is_dir():
            return folder
    raise FileNotFoundError(
        f"no labkit project at {here}: no folder above it holds notebooks/ and params/; "
        "change into the checkout or set LABKIT_ROOT to it"
    )


def runs() -> Path:
    """Records of the runs made here (`LABKIT_RUNS`, else `reports/runs`); kept by `make clean`."""
    return Path(os.environ.get("LABKIT_RUNS") or root() / "reports" / "runs")


def results() -> Path:
    """Committed records of full-scale runs."""
    return root() / "reports" / "results"
