"""The student version of a course: a labkit project of its own, without the solutions.

A teacher keeps back whole cells, tagged `solution`, or parts of a cell, between nbgrader's markers:

    ### BEGIN SOLUTION          becomes `...  # your answer`, or *Your answer* in Markdown
    ### BEGIN HIDDEN TESTS      goes, as does what stands between BEGIN and END MARK SCHEME

Committed records of full runs stay behind, for they are what students are to measure, and of the
published values those go along that the remaining cells compare with and that answer no question.
"""

import ast
import copy
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from ruamel.yaml import YAML

from labkit import project, sheets
from labkit.errors import UsageError
from labkit.handcalc import check
from labkit.handcalc.questions import course_questions
from labkit.handcalc.tasks import Task
from labkit.report.execute import Source, find_notebooks
from labkit.report.folder import write_folder
from labkit.report.published import FILE

CONTENTS = ".labkit-release"  # a release's files with their checksums, as sha256sum writes them
# Jupytext's settings, as in labkit's own pyproject.toml
PAIRED = {
    "formats": "ipynb,py:percent",
    "notebook_metadata_filter": "kernelspec,-all",
    "cell_metadata_filter": "tags,jupyter,-all",
    "outdated_text_notebook_margin": 1e9,
}
PLACEHOLDERS = {"code": "...  # your answer", "markdown": "*Your answer*", "raw": ""}

_MARKER = re.compile(
    r"(?:^|#|<!--)\W*(BEGIN|END)\s+(SOLUTION|HIDDEN TESTS|MARK SCHEME)\b", re.IGNORECASE
)
_MADE_AGAIN = {"build", ".ipynb_checkpoints"}  # folders of which nobody misses anything


def write_release(course: str, out: Path) -> list[Path]:
    """Write the student version of `course` into the folder `out`; returns its files.

    The same course gives the same bytes. `out` is new, empty or an earlier release, which is then
    replaced whole or not at all. Raises UsageError if it holds anything else, a changed notebook
    for instance, and if a notebook cannot do without its solutions.
    """
    out = out.resolve()
    files = {name: text.encode() for name, text in _files(course.strip("/")).items()}
    write_folder(out, files, kind="release", contents=CONTENTS, passed_over=_MADE_AGAIN)
    return [out / name for name in (*files, CONTENTS)]


def student_version(notebook: NotebookNode, name: str) -> NotebookNode:
    """The notebook without its solutions. It runs to its end without them, or UsageError says why.

    A tagged code cell goes; in the place of a tagged Markdown cell students write their own words.
    """
    student, kept = copy.deepcopy(notebook), {}
    for number, cell in enumerate(student.cells, start=1):
        if "solution" not in cell.metadata.get("tags", []):
            before = cell.source
            cell.source = _without_regions(before, cell.cell_type, f"{name}, cell {number}")
            if cell.source or not before:
                kept[number] = cell
        elif cell.cell_type == "markdown":
            cell.source, cell.metadata = PLACEHOLDERS["markdown"], NotebookNode()
            kept[number] = cell
    _look_for_names_that_only_a_solution_defines(notebook, kept, name)
    for number, cell in kept.items():
        cell.id = f"cell-{number}"  # jupytext's own are random
    student.cells = list(kept.values())
    return student


def _files(course: str) -> dict[str, str]:
    """What a release holds, by its path in it."""
    sources = find_notebooks(course)
    notebooks = {source: student_version(source.read(), source.name) for source in sources}
    settings = project.read_yaml(project.root() / "params" / "report.yaml")
    title = settings["courses"].get(course, course)
    try:
        tasks = course_questions(course)
    except ValueError:  # a course of experiments alone
        tasks = []

    files = {}
    for source, notebook in notebooks.items():
        notebook.metadata.pop("jupytext", None)
        # a change in either of the two files reaches the other; the .py comes last, because
        # Jupytext takes the cells from it and wants it no older
        files[f"notebooks/{source.name}.ipynb"] = nbformat.writes(notebook) + "\n"
        notebook.metadata["jupytext"] = NotebookNode(PAIRED)
        files[f"notebooks/{source.name}.py"] = jupytext.writes(notebook, fmt="py:percent")
        files[f"params/{source.name}.yaml"] = source.params_path.read_text(encoding="utf-8")
    files["jupytext.toml"] = "".join(
        f"{key} = {json.dumps(value)}\n" for key, value in PAIRED.items()
    )
    start_page = project.root() / "notebooks" / "index.py"
    if start_page.exists():
        files["notebooks/index.py"] = start_page.read_text(encoding="utf-8")
    files["params/report.yaml"] = _yaml(
        {"title": settings["title"], "authors": settings.get("authors", [])}
        | {"courses": {course: title}}
    )
    if values := _published(notebooks.values(), tasks):
        files[FILE] = _yaml(values)
    if tasks:
        files[f"notebooks/{course}/answers.yaml"] = sheets.template(course)
    files["README.md"] = _readme(title, sources, tasks)
    return files


def _without_regions(source: str, cell_type: str, place: str) -> str:
    kept, opened = [], None
    for line in source.split("\n"):
        marker = _MARKER.search(line)
        which, kind = (marker[1].upper(), marker[2].upper()) if marker else (None, None)
        if marker is None:
            kept += [line] if opened is None else []
        elif which == "BEGIN" and opened is None:
            opened = kind
            indent = line[: len(line) - len(line.lstrip())]
            kept += [indent + PLACEHOLDERS[cell_type]] if kind == "SOLUTION" else []
        elif which == "END" and kind == opened:
            opened = None
        elif which == "BEGIN":
            raise UsageError(f"{place}: BEGIN {kind} before END {opened}; end the one before")
        else:
            raise UsageError(f"{place}: END {kind} without BEGIN {kind}; add or remove one")
    if opened:
        raise UsageError(f"{place}: BEGIN {opened} without END {opened}; add or remove one")
    return "\n".join(kept)


def _look_for_names_that_only_a_solution_defines(
    notebook: NotebookNode, kept: dict[int, NotebookNode], name: str
) -> None:
    def defined(cells: Sequence[NotebookNode]) -> set[str]:
        return {it for cell in cells if cell.cell_type == "code" for it in _stored(_tree(cell))}

    for number, cell in kept.items():
        try:
            _tree(cell)
        except SyntaxError as error:
            raise UsageError(
                f"{name}, cell {number}: without its solution it is no Python ({error.msg}, line "
                f"{error.lineno}); let the markers enclose whole statements or a whole value"
            ) from None
    missing = defined(notebook.cells) - defined(kept.values())
    for number, cell in kept.items():
        if lacking := sorted(_loaded(_tree(cell)) & missing):
            raise UsageError(
                f"{name}, cell {number}: it needs {lacking[0]!r}, which only a solution defines; "
                f"write `{lacking[0]} = ...` before the solution"
            )


def _tree(cell: NotebookNode) -> ast.AST:
    """The syntax of a code cell, magics included; of other cells nothing."""
    code = cell.source if cell.cell_type == "code" else ""
    return ast.parse(TransformerManager().transform_cell(code))


def _stored(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name, asname=other):
                yield (other or name).partition(".")[0]


def _loaded(tree: ast.AST) -> set[str]:
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return {node.id for node in names if isinstance(node.ctx, ast.Load)}


def _published(notebooks: Iterable[NotebookNode], tasks: Sequence[Task]) -> dict[str, dict]:
    """The published values that the notebooks ask for, without those that a check decides."""
    wanted = {
        constant.value
        for notebook in notebooks
        for cell in notebook.cells
        for node in ast.walk(_tree(cell))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in ("published", "beside_published")
        for constant in ast.walk(node)
        if isinstance(constant, ast.Constant)
    }
    path = project.root() / FILE
    chosen: dict[str, dict[str, Any]] = {}
    for course, about in (project.read_yaml(path) if path.exists() else {}).items():
        questions = {
            part: asked | {"values": values}
            for part, asked in about["questions"].items()
            if f"{course}/{part}" in wanted
            if (values := {n: v for n, v in asked["values"].items() if not _gives_away(v, tasks)})
        }
        if questions:
            chosen[course] = about | {"questions": questions}
    return chosen


def _gives_away(entry: Any, tasks: Sequence[Task]) -> bool:
    """Whether a published value is an answer to a task, a right or a wrong one."""
    about = entry if isinstance(entry, dict) else {"value": entry}
    return "check" in about or any(check(about["value"], task) for task in tasks)


def _yaml(content: dict[str, Any]) -> str:
    text, yaml = io.StringIO(), YAML()
    yaml.width = 1000  # a line that is broken ends in a blank
    yaml.dump(content, text)
    return text.getvalue()


def _readme(title: str, sources: Sequence[Source], tasks: Sequence[Task]) -> str:
    names = "\n".join(f"- `notebooks/{source.name}.ipynb`" for source in sources)
    parts = [
        f"# {title}",
        f"The notebooks of this course, for you to complete:\n\n{names}",
        f"You need labkit {version('labkit')} on your computer. In this folder:",
        "    labkit lab                   # JupyterLab, to work in the notebooks\n"
        "    labkit report                # run them and write reports/build/*/report.pdf",
        "Put your answer where a cell has `...`; the check below it says what is wrong, and often\n"
        "why. Where *Your answer* stands, or a table or figure wants an explanation, write words.\n"
        "Each notebook is there as a `.py` file with the same cells, too: JupyterLab keeps both\n"
        "alike, and `labkit report` reads the `.py`.",
    ]
    if tasks:
        sheet = f"notebooks/{sources[0].course}/answers.yaml"
        parts += [
            "What is worked out by hand goes into the grids of the notebooks, which keep it in\n"
            f"`{sheet}`, or into that file itself, each answer behind\n"
            "the name of its question. The checks in the notebooks and in the report are of what\n"
            "stands there:",
            f"    labkit check {sheet}    # what is right, what is wrong",
        ]
    return "\n\n".join(parts) + "\n"
