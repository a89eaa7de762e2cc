from pathlib import Path

import pytest
from report_project import make_project


@pytest.fixture
def mini(tmp_path, monkeypatch) -> Path:
    """A project of its own, with one course `mini` of one notebook `one`."""
    monkeypatch.setenv("LABKIT_ROOT", str(tmp_path / "project"))
    return make_project(tmp_path / "project")
