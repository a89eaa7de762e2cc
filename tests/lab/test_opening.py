"""What JupyterLab opens in the place of widgets that are gone, and how its server knows of them."""

import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from labkit import progress
from labkit.handcalc import question
from labkit.lab import launch
from labkit.lab.opening import STATE, WIDGET, replace_widgets
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


def opened(notebook: nbformat.NotebookNode, living=frozenset()) -> list[dict]:
    """The outputs as they are given to JupyterLab."""
    replace_widgets(notebook, living)
    nbformat.validate(notebook)
    return [output for cell in notebook.cells for output in cell.outputs]


def test_a_grid_s_line_says_where_its_answer_is_kept():
    kept, not_kept = opened(
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
    outputs = opened(of(shown(stepper([[1, 2], [3, 4]])), ready, printed))
    assert outputs[0].data["text/plain"] == GO_ON
    assert WIDGET not in outputs[0].data
    assert outputs[1:] == [ready, printed]


def test_a_widget_whose_state_is_saved_stays():
    notebook = of(
        new_output("display_data", {WIDGET: {"model_id": "7f"}, "text/plain": "IntText()"})
    )
    notebook.metadata["widgets"] = {STATE: {"state": {"7f": {}}, "version_major": 2}}
    (output,) = opened(notebook)
    assert WIDGET in output.data


def test_a_widget_that_lives_stays():
    views = [shown(stepper([[1, 2], [3, 4]])) for _ in range(2)]
    living, gone = opened(of(*views), {views[0].data[WIDGET]["model_id"]})
    assert WIDGET in living.data
    assert WIDGET not in gone.data


def test_the_pdf_of_a_saved_notebook_is_that_of_the_open_one():
    widgets = [shown(answer_grid(question("tdt4265/1c"))), shown(stepper([[1, 2], [3, 4]]))]
    notebook = of(*widgets)
    before, _ = TypstExporter().from_notebook_node(notebook)
    opened(notebook)
    after, _ = TypstExporter().from_notebook_node(notebook)
    assert after == before
    assert "To go on here" not in after


# JupyterLab's server with its extensions, and what its handlers read; the kernel is a real one
SERVE = """
import asyncio, json, signal, sys
from pathlib import Path
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import ensure_async

app = ServerApp()
app.initialize(["--ServerApp.root_dir=.", "--allow-root", "--port=0", *sys.argv[1:]])
contents = app.web_app.settings["contents_manager"]
loaded = [m for m in sys.modules if m.startswith("labkit") or m in ("torch", "ipywidgets")]
seen = {"loaded": loaded}

from labkit.lab import opening

opening.PATIENCE = 60  # other tests share the cores

async def save(notebook):
    await ensure_async(contents.save({"type": "notebook", "content": notebook}, "one.py"))

async def texts(path="one.py"):
    (cell,) = (await ensure_async(contents.get(path)))["content"]["cells"]
    return [output["data"]["text/plain"] for output in cell["outputs"]]

async def work():
    notebook = json.load(sys.stdin)
    await save(notebook)
    seen["no kernel yet"] = await texts()
    session = await app.session_manager.create_session("one.py", "one.py", "file", "python3")
    kernel_id = session["kernel"]["id"]
    kernel = app.kernel_manager.get_kernel(kernel_id)
    client = kernel.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    seen["a new kernel"] = await texts()

    shown = []
    hear = lambda message: shown.append(message["content"])
    code = "import ipywidgets; ipywidgets.IntText()"
    await client.execute_interactive(code, timeout=60, output_hook=hear)
    data = next(it["data"] for it in shown if "text/plain" in it.get("data", {}))
    (outputs,) = (cell["outputs"] for cell in notebook["cells"])
    outputs.append({**outputs[0], "data": data})
    await save(notebook)
    stored = Path("one.ipynb").read_text()
    seen["its kernel"] = await texts()
    seen["four times at once"] = await asyncio.gather(*(texts() for _ in range(4)))
    seen["opened as another file"] = await texts("one.ipynb")
    client.execute("import time; print('busy', flush=True); time.sleep(600)")
    while (await client.get_iopub_msg(timeout=60))["msg_type"] != "stream":
        pass
    seen["its kernel, busy"] = await texts()
    kernel.provisioner.process.send_signal(signal.SIGSTOP)
    opening.PATIENCE = 0.1
    seen["no answer"] = await texts()
    kernel.provisioner.process.send_signal(signal.SIGCONT)
    opening.PATIENCE = 60
    client.stop_channels()
    await app.kernel_manager.restart_kernel(kernel_id)
    seen["restarted"] = await texts()
    await app.session_manager.delete_session(session["id"])
    seen["stopped"] = await texts()

    seen["no content"] = (await ensure_async(contents.get("one.py", content=False)))["content"]
    seen["a folder"] = (await ensure_async(contents.get("")))["type"]
    as_text = (await ensure_async(contents.get("one.ipynb", type="file")))["content"]
    seen["as it was saved"] = Path("one.ipynb").read_text() == as_text == stored

asyncio.run(work())
print(json.dumps(seen))
"""
SYNCHRONOUS = "jupyter_server.services.contents.largefilemanager.LargeFileManager"


@pytest.mark.parametrize("options", [[], [f"--ServerApp.contents_manager_class={SYNCHRONOUS}"]])
def test_jupyterlab_s_server_asks_the_notebook_s_kernel(tmp_path, monkeypatch, options):
    (tmp_path / "jupytext.toml").write_text('formats = "ipynb,py:percent"\n')
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):  # nothing of the user's own
        monkeypatch.setenv(f"JUPYTER_{name}", str(tmp_path / "jupyter"))
    grid = shown(answer_grid(question("tdt4265/1c")))
    done = subprocess.run(
        [sys.executable, "-c", SERVE, *options],
        input=json.dumps(of(grid)),
        env=launch.environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    grid, living = grid.data["text/plain"], "IntText(value=0)"
    gone = f"{GO_ON} What you typed is kept in answers.yaml."
    assert json.loads(done.stdout.splitlines()[-1]) == {
        # nothing that JupyterLab would have to wait for
        "loaded": ["labkit", "labkit.lab", "labkit.lab.opening"],
        "no kernel yet": [gone],
        "a new kernel": [gone],
        "its kernel": [gone, living],
        "four times at once": [[gone, living]] * 4,
        "opened as another file": [gone, GO_ON],  # which will have a kernel of its own
        "its kernel, busy": [gone, living],
        "no answer": [grid, living],
        "restarted": [gone, GO_ON],
        "stopped": [gone, GO_ON],
        "no content": None,
        "a folder": "directory",
        "as it was saved": True,
    }
