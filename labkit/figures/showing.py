"""A figure or a table with its caption, displayed such that the report can number and place it."""

import html
import json
from pathlib import Path

import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from labkit import progress
from labkit.data import Dataset
from labkit.style import svg
from labkit.training import Runs

SORTING = Path(__file__).with_name("sorting.js")
# JupyterLab sets all cells to the right; words belong to the left
_IN_JUPYTERLAB = """<style>
.labkit-sorted button {all: unset; cursor: pointer; font-weight: bold}
.labkit-sorted button:focus-visible {outline: 2px solid}
.labkit-sorted button::after {content: "↕"; opacity: .35; padding-left: .3em}
.labkit-sorted [aria-sort=ascending] button::after {content: "↑"; opacity: 1}
.labkit-sorted [aria-sort=descending] button::after {content: "↓"; opacity: 1}
table.labkit-sorted :is(th, td).labkit-words {text-align: left}
</style>
<script>{
SORTING
const table = document.currentScript.parentElement.querySelector("table");
table.classList.add("labkit-sorted");
[...table.tHead.rows[0].cells].forEach((head, column) => {
  const cells = [...table.tBodies[0].rows].map(row => row.cells[column]);
  const words = cells.some(cell => /\\w/.test(cell.textContent) && isNaN(number(cell.textContent)));
  if (words) for (const cell of [head, ...cells]) cell.classList.add("labkit-words");
});
sorting(table);
}</script>"""

STAND_IN = "Stand-in data (not the course's)."


def show(
    shown: Figure | pd.DataFrame,
    caption: str,
    *,
    label: str = "",
    runs: Runs | None = None,
    dataset: Dataset | None = None,
    profile: str = "",
    alt: str = "",
) -> None:
    """Display a figure or a table with its caption; the report numbers it and sets it in place.

    What is `shown` is a matplotlib figure or a pandas table. `caption` is Markdown and may hold
    math; `label` is what `@label` in the text refers to. `runs` (and `profile`) add the line that
    says which data, seeds and device the numbers come from; `dataset` adds one where there are no
    runs, as for its pictures. Where the data stand in for the course's own, the caption says so
    first. `alt` describes a figure to who cannot see it; without it the caption does.

        show(figures.learning_curves(runs), "Loss and accuracy.", label="fig-curves", runs=runs)

    The output's metadata name the runs and hold a table's cells, from which `labkit.report` makes
    its lists of runs and numbers; so does what a table carries in `attrs["labkit"]`.
    """
    lines = [runs.provenance()] if runs else []
    if dataset:
        lines.append(f"{dataset.name} from {dataset.source}, sha256 {dataset.fingerprint[:12]}…")
    provenance = (f"Profile {profile}. " if profile and lines else "") + "; ".join(lines)
    stand_in = (runs and runs.stand_in) or (dataset and dataset.stand_in)
    strong, plain = (f"**{STAND_IN}** ", f"{STAND_IN} ") if stand_in else ("", "")
    kind = "figure" if isinstance(shown, Figure) else "table"
    about = {
        "kind": kind,
        "caption": strong + caption,
        "provenance": provenance,
        "alt": plain + (alt or caption),
    }
    if label:
        about["label"] = label
    if runs:
        about["runs"] = {name: [run.key for run in group] for name, group in runs.items()}
    if profile:
        about["profile"] = profile
    if kind == "table":
        about["table"] = _cells(shown)
        about |= shown.attrs.get("labkit", {})
    body = svg(shown) if kind == "figure" else _html(shown)
    small = f"<br><small>{html.escape(provenance)}</small>" if provenance else ""
    words = html.escape(plain + caption)
    note = f"<figcaption>{words}{small}</figcaption>"
    data = {"text/html": f"<figure>{body}{note}</figure>", "text/plain": plain + caption}
    if kind == "figure":
        data["image/svg+xml"] = body
    else:
        data["text/html"] = f"{body}<p>{words}{small}</p>"
        if progress.in_notebook():
            script = SORTING.read_text(encoding="utf-8")
            data["text/html"] += _IN_JUPYTERLAB.replace("SORTING", script)
    display(data, metadata={"labkit": about}, raw=True)


def _cells(table: pd.DataFrame) -> dict[str, list]:
    """Headings and rows as JSON knows them, row labels first."""
    flat = table.reset_index(names=[str(name or "") for name in table.index.names])
    flat.columns = flat.columns.map(str)
    cells = json.loads(flat.to_json(orient="split", index=False))
    return {"columns": cells["columns"], "data": cells["data"]}


def _html(table: pd.DataFrame) -> str:
    """The table with its row labels as first columns, so that it has one line of headings."""
    names = [name or "" for name in table.index.names]
    return table.reset_index(names=names).to_html(index=False, border=0)
