"""What JupyterLab saves in the place of widgets: the hook itself, and that its server calls it."""

import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from labkit import progress
from labkit.handcalc import question
from labkit.lab import launch
from labkit.lab.saving import STATE, WIDGET, replace_widgets
from labkit.report.typst import TypstExporter
from labkit.widgets import answer_grid, stepper

GO_ON = "To go on here, run the cells above and this one (Shift+Enter)."


@pytest.fixture(autouse=True)
def _in_notebook(monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.chdir(tmp_path)


def shown(widget) -> dict:
    """A cell's output that shows a widget."""
    return new_output("execute_result", widget._repr_mimebundle_(), execution_count=1)


def of(*outputs) -> nbformat.NotebookNode:
    return new_notebook(cells=[new_code_cell(outputs=[output]) for output in outputs])


def saved(notebook: nbformat.NotebookNode) -> list[dict]:
    """The outputs as they are saved."""
    replace_widgets(model={"type": "notebook", "content": notebook}, path="", contents_manager=None)
    nbformat.validate(notebook)
    return [output for cell in notebook.cells for output in cell.outputs]


def test_a_grid_s_line_says_where_its_answer_is_kept():
    kept, not_kept = saved(
        of(shown(answer_grid(question("tdt4265/1c"))), shown(answer_grid(3, sheet=None)))
    )
    assert WIDGET not in kept.data
    assert kept.data["text/plain"] == f"{GO_ON} What you typed is kept in answers.yaml."
    assert f">{kept.data['text/plain']}</div>" in kept.data["text/html"]
    assert kept.execution_count == 1
    assert not_kept.data["text/plain"] == GO_ON


def test_other_widgets_have_their_line_and_other_outputs_stay():
    ready = new_output("display_data", {"text/html": "<b>1</b>", "text/plain": "1"})
    printed = new_output("stream", text="printed")
    outputs = saved(of(shown(stepper([[1, 2], [3, 4]])), ready, printed))
    assert outputs[0].data["text/plain"] == GO_ON
    assert WIDGET not in outputs[0].data
    assert outputs[1:] == [ready, printed]


def test_a_widget_whose_state_is_saved_stays():
    notebook = of(
        new_output("display_data", {WIDGET: {"model_id": "7f"}, "text/plain": "IntText()"})
    )
    notebook.metadata["widgets"] = {STATE: {"state": {"7f": {}}, "version_major": 2}}
    (output,) = saved(notebook)
    assert WIDGET in output.data


def test_what_is_no_notebook_is_left_alone():
    for model in ({"type": "directory"}, {"type": "file", "format": "text", "content": "x = 1"}):
        before = dict(model)
        replace_widgets(model=model, path="x.py", contents_manager=None)
        assert model == before


def test_the_pdf_of_a_saved_notebook_is_that_of_the_open_one():
    widgets = [shown(answer_grid(question("tdt4265/1c"))), shown(stepper([[1, 2], [3, 4]]))]
    notebook = of(*widgets)
    before, _ = TypstExporter().from_notebook_node(notebook)
    saved(notebook)
    after, _ = TypstExporter().from_notebook_node(notebook)
    assert after == before
    assert "To go on here" not in after


# a contents manager as JupyterLab's server makes it: its class, configured by files and extensions
SAVE = """
import asyncio, json, sys
from jupyter_server.serverapp import ServerApp

app = ServerApp()
app.initialize(["--ServerApp.root_dir=.", "--allow-root", "--port=0"], new_httpserver=False)
notebook = json.load(sys.stdin)
asyncio.run(app.contents_manager.save({"type": "notebook", "content": notebook}, "one.py"))
print("torch" in sys.modules, [m for m in sys.modules if m.startswith("labkit")])
"""


def test_jupyterlab_s_server_calls_it_for_the_notebook_beside_a_py_file(tmp_path, monkeypatch):
    (tmp_path / "jupytext.toml").write_text('formats = "ipynb,py:percent"\n')
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):  # nothing of the user's own
        monkeypatch.setenv(f"JUPYTER_{name}", str(tmp_path / "jupyter"))
    done = subprocess.run(
        [sys.executable, "-c", SAVE],
        input=json.dumps(of(shown(answer_grid(question("tdt4265/1c"))))),
        env=launch.environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "one.py").exists()
    (cell,) = nbformat.read(tmp_path / "one.ipynb", as_version=4).cells
    assert cell.outputs[0].data["text/plain"].startswith(GO_ON)
    # nothing that JupyterLab would have to wait for
    loaded = ["labkit", "labkit.lab", "labkit.lab.saving"]
    assert done.stdout.splitlines()[-1] == f"False {loaded}"
