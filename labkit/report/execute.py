"""Notebooks through papermill, with what papermill leaves open put right in one place.

- Parameters are checked before anything runs: an unknown name or a value of the wrong type is
  refused, as is a notebook without a `parameters` cell (papermill would only warn).
- Each kernel talks over sockets in a private folder: parallel kernels cannot take each other's
  ports. It is forked from a process that has the notebooks' imports behind it (see `kernels`).
- Progress bars of the kernel are drawn here and stay out of the notebook.
"""

import ast
import asyncio
import copy
import functools
import logging
import os
import re
import signal
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from pydantic import ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML, YAMLError
from traitlets.config import Config

from labkit import progress, project, sheets
from labkit.errors import UsageError, nearest
from labkit.report import kernels

SAVED_EVERY = 2  # seconds, unless saving takes a good part of that


@dataclass(frozen=True)
class Parameter:
    """One assignment of a parameters cell: `epochs: int = 2  # passes over the images`."""

    name: str
    type: Any
    default: Any

    def check(self, value: Any, notebook: str) -> None:
        """Raise UsageError unless `value` is of this parameter's type."""
        try:
            TypeAdapter(self.type, config=ConfigDict(strict=True)).validate_python(value)
        except ValidationError:
            name = getattr(self.type, "__name__", None)
            wanted = name if name and not hasattr(self.type, "__args__") else str(self.type)
            raise UsageError(
                f"parameter {self.name!r} of {notebook}: {value!r} is not of type {wanted} "
                f"(the notebook's own value is {self.default!r})"
            ) from None


@dataclass(frozen=True)
class Source:
    """A notebook as it is written: `notebooks/<course>/<stem>.py`, with its params file."""

    course: str
    stem: str

    @property
    def name(self) -> str:
        return f"{self.course}/{self.stem}"

    @property
    def path(self) -> Path:
        return project.root() / "notebooks" / self.course / f"{self.stem}.py"

    @property
    def params_path(self) -> Path:
        return project.root() / "params" / self.course / f"{self.stem}.yaml"

    def read(self) -> NotebookNode:
        """The notebook, without outputs."""
        return copy.deepcopy(_read(self.path, self.path.stat().st_mtime_ns))

    def data_sets(self, chosen: Mapping[str, Any]) -> list[str]:
        """The data sets that its runs need with the parameters `chosen`.

        The params file names them; `imagenette-{image_size}` goes by the parameter of that name.
        """
        return self._named("data", chosen)

    def weights(self, chosen: Mapping[str, Any]) -> list[str]:
        """The pretrained weights that it makes use of where they can be had."""
        return self._named("weights", chosen)

    def _named(self, key: str, chosen: Mapping[str, Any]) -> list[str]:
        written = self._given().get(key)
        if not written:  # most have none: the notebook need not be read
            return []
        known = parameters(self.read(), self.name)
        values = {name: parameter.default for name, parameter in known.items()} | dict(chosen)
        try:
            names = [name.format(**values) for name in written]
        except KeyError as error:
            raise UsageError(
                f"{self.params_path.name}: {key} goes by {error}, which is no parameter of the "
                f"notebook; there are {', '.join(known)}"
            ) from None
        except (IndexError, ValueError):
            raise UsageError(
                f"{self.params_path.name}: a name in {key} has braces without a parameter's name"
            ) from None
        return list(dict.fromkeys(names))

    def _given(self) -> dict[str, Any]:
        given = project.read_yaml(self.params_path)
        unknown = set(given) - {"title", "data", "weights", *project.PROFILES}
        if unknown:
            raise UsageError(
                f"{self.params_path.name}: unknown key {sorted(unknown)[0]!r}; "
                f"the keys are title, data, weights, {', '.join(project.PROFILES)}"
            )
        return given

    def params(self, profile: str) -> dict[str, Any]:
        """What the params file overrides for `profile`."""
        given = self._given()
        overrides = given.get(profile) or {}
        if not isinstance(overrides, dict):
            raise UsageError(
                f"{self.params_path.name}: {profile} is {overrides!r}; write {{name: value, …}}"
            )
        return overrides


@functools.cache
def _read(path: Path, changed: int) -> NotebookNode:
    return jupytext.read(path, fmt="py:percent")


def find_notebooks(course: str | None = None) -> list[Source]:
    """The notebooks of one course or of all, in the order of their names."""
    paths = sorted((project.root() / "notebooks").glob("[!.]*/[!.]*.py"))
    courses = list(dict.fromkeys(path.parent.name for path in paths))
    if course is not None and course not in courses:
        raise UsageError(f"no course {course!r}; {nearest(course, courses)}")
    return [Source(p.parent.name, p.stem) for p in paths if course in (None, p.parent.name)]


def find_notebook(name: str) -> Source:
    """The notebook that `name` means: `tdt4265/task2`, a longer part of it, or a path."""
    wanted = re.sub(r"^.*notebooks/|\.(py|ipynb)$", "", name)
    every = find_notebooks()
    matching = [s for s in every if s.name.startswith(wanted) or s.stem.startswith(wanted)]
    exact = [source for source in matching if source.name == wanted]
    if exact or len(matching) == 1:
        return (exact or matching)[0]
    if matching:
        names = ", ".join(source.name for source in matching)
        raise UsageError(f"notebook {name!r} could be {names}; give more of its name")
    raise UsageError(f"no notebook {name!r}; {nearest(wanted, (s.name for s in every))}")


def parse_overrides(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`("epochs=3", "seeds=[0, 1]")` as a dictionary; values are YAML."""
    overrides = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"-p {pair!r} is no parameter; write -p name=value")
        try:
            overrides[name] = YAML(typ="safe").load(value)
        except YAMLError:
            raise UsageError(f"-p {pair!r}: the value is no YAML; put quotes around it") from None
    return overrides


def parameters(notebook: NotebookNode, name: str) -> dict[str, Parameter]:
    """The parameters that the notebook's `parameters` cell assigns, by name."""
    cells = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", [])
    ]
    if not cells:
        raise UsageError(
            f"{name} has no parameters cell; tag the cell that assigns them with `parameters`"
        )
    found = {}
    for statement in ast.parse(cells[0].source).body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=key), value=ast.expr() as value):
                annotation = _annotation(statement.annotation, name)
            case ast.Assign(targets=[ast.Name(id=key)], value=value):
                annotation = None
            case _:
                line = ast.unparse(statement)
                raise UsageError(f"{name}: the parameters cell holds {line!r}, no plain assignment")
        try:
            default = ast.literal_eval(value)
        except ValueError:
            raise UsageError(
                f"{name}: parameter {ast.unparse(statement)!r} is computed; give a plain value"
            ) from None
        found[key] = Parameter(key, annotation or _type_of(default), default)
        found[key].check(default, name)
    return found


def settings(source: Source, profile: str, overrides: Mapping[str, Any] = {}) -> dict[str, Any]:
    """What a run of `source` in `profile` sets: its params file, then `overrides`; checked."""
    chosen = {**source.params(profile), **overrides}
    if "profile" in chosen:
        raise UsageError("the profile is no parameter; choose it with --profile")
    known = parameters(source.read(), source.name)
    for name, value in chosen.items():
        if name not in known:
            raise UsageError(f"{source.name} has no parameter {name!r}; {nearest(name, known)}")
        known[name].check(value, source.name)
    if "profile" in known:
        # what is no longer the profile does not go by its name
        changed = ", ".join(f"{name}={value!r}" for name, value in overrides.items())
        chosen["profile"] = f"{profile} with {changed}" if changed else profile
    return chosen


def execute(
    source: Source,
    chosen: Mapping[str, Any],
    output: Path,
    relay: progress.Relay,
    *,
    threads: int | None = None,
) -> NotebookNode:
    """Run `source` with the (checked) parameters `chosen`; the executed notebook is at `output`,
    and what there is of it until then, every few seconds.

    A cell that raises ends the run; its traceback stays in the returned notebook (`failure`). The
    kernel computes with so many `threads`; None: as many as it likes. May be called from several
    threads at once; `stop` ends them all.
    """
    notebook = source.read()
    # the interpreter's own kernel, whichever the author's editor wrote down
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        return papermill.execute_notebook(
            notebook,
            output,
            parameters=dict(chosen),
            engine_name="labkit",
            kernel_name="python3",
            language="python",
            progress_bar=False,
            autosave_cell_every=SAVED_EVERY,
            relay=relay,
            title=source.name,
            folder=source.path.parent,
            threads=threads,
        )
    except papermill.PapermillExecutionError:
        raised = nbformat.read(output, as_version=4)
        # papermill's own banner repeats what the failing cell shows
        raised.cells = [
            cell
            for cell in raised.cells
            if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])
        ]
        return raised
    except RuntimeError as error:  # DeadKernelError, or it died before its first cell
        died = nbformat.read(output, as_version=4)
        return failed(died, "the kernel died, most often for want of memory", str(error))


def stop(patience: float = 10.0) -> None:
    """Interrupt every notebook that runs, and kill its kernel if that does not end it in so many
    seconds.
    """
    deadline = time.monotonic() + patience
    interrupted: set[_Client] = set()
    while _running and time.monotonic() < deadline:
        for client in _running - interrupted:
            if client.km and client.km.has_kernel:  # else it is only starting
                asyncio.run(client.km.provisioner.send_signal(signal.SIGINT))
                interrupted.add(client)
        time.sleep(0.05)
    for client in _running & interrupted:
        asyncio.run(client.km.provisioner.kill())


def failed(notebook: NotebookNode, message: str, details: str = "") -> NotebookNode:
    """`notebook` with a failure that is not one of its cells'."""
    error = new_output(
        "error", ename="NotRun", evalue=message, traceback=details.splitlines() or [message]
    )
    notebook.cells.append(new_code_cell(outputs=[error]))
    return notebook


def failure(notebook: NotebookNode) -> str | None:
    """The one-line error of a notebook whose run failed, else None."""
    for cell in notebook.cells:
        expected = "raises-exception" in cell.metadata.get("tags", [])
        for output in cell.get("outputs", []):
            if output.output_type == "error" and not expected:
                return f"{output.ename}: {output.evalue}"
    return None


_running: set["_Client"] = set()


class _Client(PapermillNotebookClient):
    """Hands the kernel's progress bars to `relay` instead of keeping them as outputs."""

    relay: progress.Relay

    def process_message(self, msg, cell, cell_index):
        state = msg["content"].get("data", {}).get(progress.MIME)
        if state is None:
            return super().process_message(msg, cell, cell_index)
        self.relay.show(state)
        return None


class _Engine(NBClientEngine):
    """papermill's engine with our client, private sockets and a bar over the cells."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man, kernel_name, *, relay, title, folder, threads, **options
    ):
        kernels.fork_them()
        code_cells = sum(cell.cell_type == "code" for cell in nb_man.nb.cells)
        with (
            tempfile.TemporaryDirectory(prefix="labkit-") as sockets,
            # what the kernel says outside of cells is of interest only when it dies
            open(os.path.join(sockets, "log"), "w+") as log,
            progress.bar(code_cells, title, unit="cell") as bar,
        ):
            manager = {"transport": "ipc", "ip": os.path.join(sockets, "kernel")}
            client = _Client(
                nb_man,
                kernel_name=kernel_name,
                timeout=None,
                config=Config({"KernelManager": manager}),
                on_cell_complete=lambda cell, cell_index: bar.update(),
            )
            client.relay = relay
            environment = {
                **os.environ,
                progress.RELAY_VARIABLE: "1",
                sheets.FOLDER_VARIABLE: str(folder),
            }
            if threads:
                environment["OMP_NUM_THREADS"] = str(threads)
            _running.add(client)
            try:
                return client.execute(
                    env=environment, cwd=str(project.root()), stdout=log, stderr=log
                )
            except DeadKernelError:
                log.seek(0)
                last_words = log.read().strip()[-2000:]
                raise DeadKernelError(last_words or "it left no message") from None
            finally:
                _running.discard(client)


papermill_engines.register("labkit", _Engine)
# its own look at the parameters does not understand `int | None` and warns of what is checked here
logging.getLogger("papermill").setLevel(logging.ERROR)


def _annotation(annotation: ast.expr, name: str) -> Any:
    written = ast.unparse(annotation)
    try:
        return eval(written, {})  # the notebook's own code, which is executed anyway
    except Exception:
        raise UsageError(
            f"{name}: parameter type {written!r} is not built in; write int, float, str, bool, "
            "list[…] or … | None"
        ) from None


def _type_of(default: Any) -> Any:
    if isinstance(default, list):
        kinds = {type(item) for item in default}
        return list[kinds.pop()] if len(kinds) == 1 else list
    return Any if default is None else type(default)
