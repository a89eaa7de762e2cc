"""Whether an executed notebook still holds: what it rests on, and what of that has changed.

An executed notebook carries a digest of everything that its outputs rest on (`inputs`). It holds as
long as the same is found again. The template and what binds a report are not among it: they change
the report and not the notebook.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

import labkit
from labkit import project, sheets
from labkit.errors import UsageError
from labkit.report.execute import Source

# the libraries whose version shows in a notebook's outputs
SHAPING = ("torch", "numpy", "pandas", "matplotlib")
PACKAGE = Path(labkit.__file__).parent

# kept_answer("tdt4265/1c"), or of question("tdt4265/1c")
_KEPT = re.compile(r"""\bkept_answer\((?:question\()?["']([^"']+)["']""")


def inputs(source: Source, chosen: Mapping[str, Any]) -> dict[str, str]:
    """What the outputs of `source`, run with the parameters `chosen`, rest on: names, digests.

    The data are not among it, which may have to be fetched first.
    """
    modules = _reached(_imported(source.path))
    found = {"the notebook": _digest(source.path)}
    found |= {f"parameter {name}": json.dumps(value) for name, value in sorted(chosen.items())}
    needs = {"data": source.data_sets(chosen), "weights": source.weights(chosen)}
    found |= {kind: ", ".join(names) for kind, names in needs.items() if names}
    found |= {f"version of {name}": version(name) for name in SHAPING}
    found |= {
        str(_path(module).relative_to(PACKAGE.parent)): _digest(_path(module)) for module in modules
    }
    if "labkit.report.published" in modules:
        found["reports/published.yaml"] = _digest(project.root() / "reports" / "published.yaml")
    if "labkit.training.store" in modules:
        records = sorted(project.results().glob("*/metrics.json"))
        found["committed records"] = _digest(*records)
    return found | _answers(source)


def _answers(source: Source) -> dict[str, str]:
    """The answers in the sheet beside a notebook that it asks for: those of its other questions
    and of other notebooks may change.
    """
    names = _KEPT.findall(source.path.read_text(encoding="utf-8"))
    if not names:
        return {}
    try:
        kept = sheets.answers_in(source.path.with_name("answers.yaml"))
    except UsageError as error:  # which the notebook's checks say
        return {"answers.yaml": str(error)}
    texts = {f"the answer to {name}": kept.get(name, ("", 0))[0] for name in names}
    return {what: text for what, text in texts.items() if text.strip()}


def reasons(executed: NotebookNode | None, now: Mapping[str, str]) -> list[str]:
    """Why a notebook that was `executed` earlier must be run again; none: it still holds."""
    if executed is None:
        return ["it has not been run to its end yet"]
    before = executed.metadata.get("labkit", {}).get("inputs")
    if before is None:
        return ["it was run by an older labkit"]
    told = []
    for name in dict.fromkeys([*now, *before]):
        if before.get(name) == now.get(name):
            continue
        if name.startswith(("parameter ", "version of ", "data", "weights")):
            was, becomes = before.get(name, "unset"), now.get(name, "unset")
            told.append(f"{name}: {was} → {becomes}")
        else:
            what = "is new" if name not in before else "is gone" if name not in now else "changed"
            told.append(f"{name} {what}")
    return told


def read(path: Path) -> NotebookNode | None:
    """The executed notebook at `path`; None where there is none, or a damaged one."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError):
        return None


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(_content(path, _changed(path)))
    return digest.hexdigest()[:16]


def _changed(path: Path) -> int:
    """When a file was last written, so that what is known of it may be kept until then."""
    return path.stat().st_mtime_ns if path.exists() else 0


@cache
def _content(path: Path, changed: int) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest() if changed else b""


def _imported(path: Path) -> frozenset[str]:
    """The labkit modules that a file imports, wherever in the file."""
    return _imports(path, _changed(path))


@cache
def _imports(path: Path, changed: int) -> frozenset[str]:
    # a notebook in the py:percent format is Python, but for lines of Jupyter's own (`%time …`)
    lines = path.read_text(encoding="utf-8").splitlines()
    code = "\n".join("" if line.startswith(("%", "!")) else line for line in lines)
    found: set[str] = set()
    for node in _statements(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from labkit.data import sources` names a module, `from labkit.data import load` none
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in found if name.split(".")[0] == "labkit" and _path(name))


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement, wherever it stands: a walk through the expressions too takes ten times as
    long.
    """
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in ("body", "orelse", "handlers", "finalbody", "cases"):
            within = getattr(node, name, None)
            waiting += within if isinstance(within, list) else []


def _reached(modules: Iterable[str]) -> list[str]:
    """These modules, and all that are imported with them."""
    waiting, reached = list(modules), set()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += _imported(_path(name))
            if "." in name:  # importing a module runs the packages around it
                waiting.append(name.rpartition(".")[0])
    return sorted(reached)


def _path(module: str) -> Path | None:
    """Where a module of labkit's lies; None if it is no module."""
    return _place(PACKAGE, module)


@cache
def _place(package: Path, module: str) -> Path | None:
    place = package.parent / module.replace(".", "/")
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file():
            return path
    return None
