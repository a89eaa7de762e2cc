"""A line in the place of each widget that went with its kernel, as JupyterLab opens a notebook.

An extension of JupyterLab's server, which imports this as it starts: nothing else of labkit is
loaded, and no other package.
"""

import html
import re
import uuid
from typing import Any

from jupyter_server.utils import ensure_async

WIDGET = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
REPLACED = "labkit-replaced-widget"  # in the metadata of an output: the PDF leaves its line out

PATIENCE = 2.0  # seconds for a kernel's answer, which it gives while it runs a cell too

_KEPT_IN = re.compile(r"answer_grid: .*, kept in ([^;]+);")  # what a grid is as plain text


def replace_widgets(notebook: dict, living: set[str]) -> None:
    """Put a line that says how to have it again in the place of each widget not in `living`.

    Without it JupyterLab says "Error displaying widget". `notebook` is an .ipynb as it is read;
    `living` holds the ids of models. A widget whose state is saved, as JupyterLab can be told to,
    stays.
    """
    for output in _widgets(notebook):
        if output["data"][WIDGET].get("model_id") not in living:
            line = _line("".join(output["data"].get("text/plain", "")))
            del output["data"][WIDGET]
            output["data"] |= {"text/html": _quiet(line), "text/plain": line}
            output.setdefault("metadata", {})[REPLACED] = True


def _widgets(notebook: dict) -> list[dict]:
    """The outputs that show a widget whose state is not saved."""
    saved = notebook.get("metadata", {}).get("widgets", {}).get(STATE, {}).get("state", {})
    outputs = (output for cell in notebook["cells"] for output in cell.get("outputs", []))
    return [
        output
        for output in outputs
        if (view := output.get("data", {}).get(WIDGET)) and view.get("model_id") not in saved
    ]


def _line(plain: str) -> str:
    """What to do, for a widget that is `plain` as text."""
    kept = _KEPT_IN.match(plain)
    return "To go on here, run the cells above and this one (Shift+Enter)." + (
        f" What you typed is kept in {kept[1]}." if kept else ""
    )


def _quiet(line: str) -> str:
    colour = "var(--jp-ui-font-color2, inherit)"
    return f'<div style="color: {colour}">{html.escape(line)}</div>'


# ------------------------------------------------------------------------------ in the server


def _load_jupyter_server_extension(server: Any) -> None:
    # extensions are loaded by name, and Jupytext's, which sets this too, is before this one
    server.web_app.settings["contents_manager"] = _Opening(server)


class _Opening:
    """The server's contents manager as its handlers call it: what is read for a browser.

    Where the manager itself reads, as it does to copy or rename, it reads what is on disk. So
    what is on disk never changes here.
    """

    def __init__(self, server: Any):
        self._server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server.contents_manager, name)

    async def get(self, path: str, *args: Any, **kwargs: Any) -> dict:
        """The file or folder; of a notebook, with lines for the widgets that are gone."""
        model = await ensure_async(self._server.contents_manager.get(path, *args, **kwargs))
        if model["type"] == "notebook" and model["content"]:
            try:
                if _widgets(model["content"]):
                    living = await _living(self._server, path.strip("/"))
                    replace_widgets(model["content"], living)
            except Exception as error:  # such as a kernel that does not answer: it opens anyhow
                self._server.log.warning("labkit: %s: widgets left as they are: %r", path, error)
        return model


async def _living(server: Any, path: str) -> set[str]:
    """The models of the widgets that JupyterLab can take back from the notebook's kernel.

    Having a kernel does not suffice: it may be a new one, or have been restarted. The kernel is
    the one whose session has this very path, as JupyterLab goes by it.
    """
    living: set[str] = set()
    for session in await server.session_manager.list_sessions():
        if session["path"] == path:
            client = server.kernel_manager.get_kernel(session["kernel"]["id"]).client()
            client.session.session = uuid.uuid4().hex  # two that ask at once: to each its answer
            channel = client.control_channel  # the shell's waits while a cell runs
            try:
                target = {"target_name": "jupyter.widget"}
                channel.send(client.session.msg("comm_info_request", target))
                answer = await ensure_async(channel.get_msg(timeout=PATIENCE))
            finally:
                channel.stop()
            living |= answer["content"]["comms"].keys()
    return living
