"""What a student meets at `?` and Shift-Tab: what it is, what it takes, and how it is called."""

import ast
import importlib
import inspect
import re
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args, get_origin

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("handcalc", "data", "models", "training", "figures", "widgets")
LONGEST = 100  # characters of a first line, which Shift-Tab shows without wrapping


# (module, name) of everything that a notebook takes from labkit
IMPORTED = {
    (node.module, alias.name)
    for path in (ROOT / "notebooks").rglob("*.py")
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("labkit")
    for alias in node.names
}


def taken(origin: str, name: str) -> object:
    """What `from origin import name` gives."""
    try:
        return getattr(importlib.import_module(origin), name)
    except AttributeError:  # a module that its package does not import
        return importlib.import_module(f"{origin}.{name}")


def can_be_asked_about(it: object) -> bool:
    return inspect.isclass(it) or inspect.isfunction(it)


def own(module: ModuleType) -> dict[str, object]:
    """A module's public functions and classes, by their dotted names."""
    return {
        f"{module.__name__}.{name}": it
        for name, it in vars(module).items()
        if can_be_asked_about(it) and it.__module__ == module.__name__ and not name.startswith("_")
    }


def public_names() -> dict[str, object]:
    """What the packages export, what notebooks import, and answer sheets."""
    found = own(importlib.import_module("labkit.sheets"))
    for package in (f"labkit.{name}" for name in PACKAGES):
        module = importlib.import_module(package)
        found |= {f"{package}.{name}": getattr(module, name) for name in module.__all__}
    for origin, name in sorted(IMPORTED):
        it = taken(origin, name)
        if can_be_asked_about(it):
            found[f"{origin}.{name}"] = it
        elif isinstance(it, ModuleType) and not hasattr(it, "__all__"):  # such as models.scratch
            found |= own(it)
    return found


def methods(cls: type) -> set[str]:
    """The public methods and properties that labkit gives it, inherited ones too."""
    kinds = (property, cached_property, classmethod, staticmethod)
    return {
        name
        for each in cls.__mro__
        if each.__module__.startswith("labkit")
        for name, it in vars(each).items()
        if not name.startswith("_") and (inspect.isfunction(it) or isinstance(it, kinds))
    }


NAMES = public_names()
METHODS = {
    f"{name}.{method}": getattr(cls, method)
    for name, cls in NAMES.items()
    if inspect.isclass(cls)
    for method in methods(cls)
}
EVERY = {**NAMES, **METHODS}
# functions, and the classes that a notebook names to make one; others are handed to it
CALLED = {name for name, it in NAMES.items() if inspect.isfunction(it)}
CALLED |= {name for name in NAMES if tuple(name.rsplit(".", 1)) in IMPORTED}


def text(name: str) -> str:
    """The docstring as `?` shows it: of a method also an inherited one, of a class its own."""
    it = EVERY[name]
    if inspect.isclass(it) and "__doc__" not in vars(it):
        return ""
    return inspect.getdoc(it) or ""


def arguments(name: str) -> list[str]:
    """The names of what can be given."""
    it = EVERY[name]
    its_own = getattr(it.__init__ if inspect.isclass(it) else it, "__module__", "")
    if not its_own.startswith("labkit"):  # as torch's layers, or none at all, as an exception
        return []
    return [
        each.name
        for each in inspect.signature(it).parameters.values()
        if each.name != "self"
        and each.kind is not each.VAR_POSITIONAL
        # the tag that tells an optimizer from another has one value only
        and not (get_origin(each.annotation) is Literal and len(get_args(each.annotation)) == 1)
    ]


def test_finds_what_there_is():
    assert len(NAMES) > 140
    assert {"labkit.training.Runs.table", "labkit.data.Split.first"} <= METHODS.keys()
    assert {"labkit.models.scratch.conv2d", "labkit.report.claims.claim"} <= NAMES.keys()
    assert arguments("labkit.training.SGD")[0] == "learning_rate"
    assert arguments("labkit.handcalc.Linear") == ["in_features", "out_features", "bias"]


@pytest.mark.parametrize("name", sorted(EVERY))
def test_begins_with_a_sentence_in_a_line_of_its_own(name):
    first, *rest = text(name).splitlines() or [""]
    assert first, "no docstring"
    assert first.endswith((".", ":", "`")), f"no full stop: {first}"
    assert len(first) <= LONGEST, f"{len(first)} characters: {first}"
    assert not re.search(r"[a-z`)]\. [A-Z]", first), f"more than a sentence: {first}"
    assert not rest or not rest[0], f"goes on in the next line: {first}"


# the one argument of a method is what its sentence is about
TAKING = sorted(name for name in EVERY if name in NAMES or len(arguments(name)) > 1)


@pytest.mark.parametrize("name", TAKING)
def test_says_what_each_argument_is(name):
    words = set(re.findall(r"\w+", text(name)))
    missing = [argument for argument in arguments(name) if argument not in words]
    assert not missing, f"does not name {', '.join(missing)}"


@pytest.mark.parametrize("name", sorted(CALLED))
def test_shows_a_call(name):
    called = name.rpartition(".")[2] + "("
    assert called in text(name), f"no example with {called}…)"
