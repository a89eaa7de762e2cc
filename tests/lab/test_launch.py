"""`labkit lab` and `labkit notebooks`."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from labkit.lab import launch
from labkit.lab.elsewhere import write_notebooks
from labkit.report.execute import find_notebooks


def test_jupyterlab_starts_on_the_project_with_labkit_s_settings(monkeypatch, mini, labkit):
    monkeypatch.chdir(mini)  # it changes the folder; back to this one's afterwards
    started = {}

    def execve(program, command, environment):
        started.update(command=command, environment=environment)

    index = mini / "notebooks" / "index.py"
    index.write_text("# %%\nfrom labkit.lab.start_page import start_page\n\nstart_page()\n")
    monkeypatch.setattr(os, "execve", execve)
    begin = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command: begin(command).wait())
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/mine")
    labkit("lab", "--no-browser", "--port=1234")
    assert started["command"][-2:] == ["--no-browser", "--port=1234"]
    assert f"--ServerApp.root_dir={mini}" in started["command"]
    assert "mini/one" in index.with_suffix(".ipynb").read_text()
    assert started["environment"]["JUPYTER_CONFIG_PATH"] == f"{launch.CONFIG}:/mine"


def test_its_settings_are_known_to_jupyterlab():
    """A name that is misspelt is passed over silently."""
    command = [sys.executable, "-c", "from jupyterlab.commands import get_app_dir as a; print(a())"]
    app = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    path = launch.CONFIG / "labconfig" / "default_setting_overrides.json"
    for plugin, settings in json.loads(path.read_text()).items():
        package, _, name = plugin.partition(":")
        schema = json.loads(Path(app, "schemas", package, f"{name}.json").read_text())
        assert set(settings) <= set(schema["properties"]), plugin


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    return write_notebooks(tmp_path_factory.mktemp("elsewhere") / "notebooks")


class TestNotebooks:
    def test_each_notebook_is_there_without_outputs(self, elsewhere):
        folder, _ = elsewhere
        for source in find_notebooks():
            plain = nbformat.read(folder / "notebooks" / f"{source.name}.ipynb", as_version=4)
            nbformat.validate(plain)
            assert all(not cell.get("outputs") for cell in plain.cells)
            written = [cell.source for cell in source.read().cells]
            assert [cell.source for cell in plain.cells[1:]] == written
            assert plain.metadata.kernelspec.name == "python3"

    def test_the_archive_holds_the_same_and_the_same_bytes_again(self, elsewhere, tmp_path):
        folder, archive = elsewhere
        packed = zipfile.ZipFile(archive)
        for name in packed.namelist():
            assert packed.read(name) == (folder / name).read_bytes()
        assert "labkit/handcalc/windows.py" in packed.namelist()
        assert not [name for name in packed.namelist() if "__pycache__" in name]
        _, again = write_notebooks(tmp_path / "notebooks")
        assert again.read_bytes() == archive.read_bytes()

    def test_from_the_archive_alone_a_notebook_runs(self, elsewhere, tmp_path):
        """As on Colab: the archive beside the notebook, and labkit nowhere else."""
        folder, archive = elsewhere
        (tmp_path / "notebooks.zip").write_bytes(archive.read_bytes())
        name = "notebooks/errata/hand_calculation.ipynb"
        plain = nbformat.reads((folder / name).read_text(), as_version=4)
        first, *cells = [cell.source for cell in plain.cells if cell.cell_type == "code"]
        first = first.replace("%pip install", "# %pip install")  # what it asks for is here
        hidden = (
            "import importlib.util as u; find = u.find_spec\n"
            "u.find_spec = lambda name: None if name == 'labkit' else find(name)\n"
        )
        program = "\n".join([hidden, first, *cells, "import labkit; print(labkit.__file__)"])
        environment = {k: v for k, v in os.environ.items() if k != "LABKIT_ROOT"}
        done = subprocess.run(
            [sys.executable, "-P", "-c", program],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().endswith(str(tmp_path / "labkit" / "__init__.py"))

    def test_a_folder_with_something_of_one_s_own_is_not_replaced(self, mini, labkit, tmp_path):
        status, out, _ = labkit("notebooks", "--output", str(tmp_path / "out"))
        assert status == 0
        assert out.split() == [str(tmp_path / "out"), str(tmp_path / "out.zip")]
        (tmp_path / "out" / "mine.ipynb").write_text("{}")
        status, _, err = labkit("notebooks", "--output", str(tmp_path / "out"))
        assert status == 2
        assert "holds mine.ipynb" in err
