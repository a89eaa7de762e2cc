import sys
from pathlib import Path

import pytest
from in_browser import chromium, lab, notebook, page  # noqa: F401 - fixtures
from quarters import make_config, make_dataset
from report_project import make_project

from labkit import cli
from labkit.data import Dataset
from labkit.training import Config


@pytest.fixture(autouse=True)
def _own_runs(tmp_path, monkeypatch):
    """No test reads or writes the run records of the checkout."""
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("LABKIT_FRESH", raising=False)


@pytest.fixture
def dataset() -> Dataset:
    return make_dataset()


@pytest.fixture
def config() -> Config:
    return make_config()


@pytest.fixture
def mini(tmp_path, monkeypatch) -> Path:
    """A project of its own, with one course `mini` of one notebook `one`."""
    monkeypatch.setenv("LABKIT_ROOT", str(tmp_path / "project"))
    return make_project(tmp_path / "project")


@pytest.fixture
def labkit(monkeypatch, capsys):
    """Runs the command line in this process; returns (exit status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["labkit", *map(str, arguments)])
        try:
            cli.main()
            status = 0
        except SystemExit as exit:
            status = exit.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    return run
