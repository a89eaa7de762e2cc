"""The notebooks as plain .ipynb files, with all that they need: for Colab, Binder or anywhere."""

import io
import zipfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

import labkit
from labkit import project
from labkit.errors import UsageError
from labkit.report.execute import Source, find_notebooks
from labkit.report.folder import write_folder

CONTENTS = ".labkit-notebooks"  # the folder's files with their checksums
LEFT_OUT = {"__pycache__", "build", "runs"}
PACKAGE = ("pyproject.toml", "README.md", "LICENSE")  # beside labkit/, for pip

# Colab opens a single notebook; the rest is uploaded beside it
FIRST_CELL = """\
# Where labkit is not installed: upload notebooks.zip into this folder first, then run this cell.
import importlib.util
import pathlib
import zipfile

if importlib.util.find_spec("labkit") is None:
    if pathlib.Path("notebooks.zip").exists():
        zipfile.ZipFile("notebooks.zip").extractall()
    here = pathlib.Path.cwd()
    labkit_folder = next(it for it in (here, *here.parents) if (it / "pyproject.toml").exists())
    %pip install --quiet --editable {labkit_folder}
    importlib.invalidate_caches()
    import sys

    sys.path.insert(0, str(labkit_folder))"""


def write_notebooks(out: Path) -> list[Path]:
    """Write the notebooks, without outputs, and labkit itself into `out`; the same as a .zip file
    beside it. Returns the folder and the file.

    `out` is new or was written by this function; UsageError if anything in it was changed since.
    """
    out = out.resolve()
    files = _files()
    write_folder(out, files, kind="set of notebooks", contents=CONTENTS, passed_over=LEFT_OUT)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            # the same time for all: the same files give the same bytes
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    path = out.with_name(f"{out.name}.zip")
    project.write_whole(path, packed.getvalue())
    return [out, path]


def plain(source: Source) -> NotebookNode:
    """The notebook as an .ipynb that stands alone: a first cell gets labkit; no outputs."""
    notebook = source.read()
    notebook.cells.insert(0, new_code_cell(FIRST_CELL))
    notebook.metadata.pop("jupytext", None)  # there is no .py beside it
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # jupytext's own are random
    return notebook


def _files() -> dict[str, bytes]:
    """What the folder holds, by path: a labkit project, with labkit's own source."""
    root, package = project.root(), Path(labkit.__file__).parent
    if not (package.parent / "pyproject.toml").exists():
        raise UsageError("labkit was installed without its source; call this from a checkout")
    files = {
        f"notebooks/{source.name}.ipynb": nbformat.writes(plain(source)).encode() + b"\n"
        for source in find_notebooks()
    }
    for top, folder in ((root, "params"), (root, "reports"), (package.parent, "labkit")):
        files |= {
            str(path.relative_to(top)): path.read_bytes()
            for path in sorted((top / folder).rglob("*"))
            if path.is_file() and not LEFT_OUT & set(path.relative_to(top).parts)
        }
    files |= {name: (package.parent / name).read_bytes() for name in PACKAGE}
    return files | {"requirements.txt": b"--editable .\n"}  # Binder's
