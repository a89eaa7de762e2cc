"""What JupyterLab saves in the place of a widget, which lives no longer than its kernel.

JupyterLab's server imports this as it starts: it needs the standard library alone.
"""

import html
import re

WIDGET = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
SAVED_WIDGET = "labkit-saved-widget"  # in the metadata of an output: the PDF leaves its line out

_KEPT_IN = re.compile(r"answer_grid: .*, kept in ([^;]+);")  # what a grid is as plain text


def replace_widgets(model: dict, **_) -> None:
    """JupyterLab's `pre_save_hook`: a line in the place of each widget says how to have it again.

    Without it a notebook that is opened again says "Error displaying widget". `model` is what is
    about to be saved; the open tab keeps its widgets. One whose state is saved as well, as
    JupyterLab can be told to, stays.
    """
    if model.get("type") != "notebook":
        return
    notebook = model["content"]
    saved = notebook.get("metadata", {}).get("widgets", {}).get(STATE, {}).get("state", {})
    for cell in notebook.get("cells", []):
        for output in cell.get("outputs", []):
            view = output.get("data", {}).get(WIDGET)
            if view and view.get("model_id") not in saved:
                line = _line("".join(output["data"].get("text/plain", "")))
                del output["data"][WIDGET]
                output["data"] |= {"text/html": _quiet(line), "text/plain": line}
                output.setdefault("metadata", {})[SAVED_WIDGET] = True


def _line(plain: str) -> str:
    """What to do, for a widget that is `plain` as text."""
    kept = _KEPT_IN.match(plain)
    return "To go on here, run the cells above and this one (Shift+Enter)." + (
        f" What you typed is kept in {kept[1]}." if kept else ""
    )


def _quiet(line: str) -> str:
    colour = "var(--jp-ui-font-color2, inherit)"
    return f'<div style="color: {colour}">{html.escape(line)}</div>'
