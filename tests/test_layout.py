"""Rules that hold for the whole tree: which way imports point, and what its files agree on."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from labkit.report.execute import find_notebooks, parameters, settings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "labkit"

# a module imports from what stands before it only; these four are below every room
GROUND = ("progress", "errors", "project", "style")
ROOMS = (
    "handcalc",
    "sheets",
    "data",
    "models",
    "training",
    "figures",
    "widgets",
    "report",
    "site",
    "lab",
    "cli",
)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "labkit"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """The labkit modules that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # `from labkit.data import sources` names a module, `from labkit.data import load` none
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return {name for name in found if name and name.split(".")[0] == "labkit"}


def test_every_room_has_its_place():
    rooms = {room(name) for name in MODULES} - {"labkit"}
    assert rooms <= {*GROUND, *ROOMS}


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_one_way(name):
    order = ["labkit", *GROUND, *ROOMS]
    here = room(name)
    for imported in imports(MODULES[name]):
        there = room(imported)
        if there != here:
            assert there in order, f"{name} imports {imported}"
            assert order.index(there) < order.index(here), f"{name} imports {imported}"


def test_no_import_goes_round():
    graph = {name: {i for i in imports(path) if i in MODULES} for name, path in MODULES.items()}
    done: set[str] = set()

    def follow(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join([*way, name])
        if name not in done:
            for imported in graph[name]:
                # a package's __init__ gathers its own modules, which do not import it back
                follow(imported, (*way, name))
            done.add(name)

    for name in graph:
        follow(name, ())


def test_handcalc_imports_the_standard_library_and_itself_alone():
    for name, path in MODULES.items():
        if room(name) == "handcalc":
            assert all(room(imported) == "handcalc" for imported in imports(path)), name


def test_every_place_that_the_readme_names_exists():
    text = (ROOT / "README.md").read_text()
    places = re.findall(r"\]\(([\w./]+)\)", text)  # links and pictures
    places += [line.split()[0] for line in re.findall(r"^    (\w+/\S*) +\S", text, re.MULTILINE)]
    places = [place.replace("<course>", "tdt4265") for place in places]
    assert len(places) > 10
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_environment_yml_has_the_dependencies_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = YAML(typ="safe").load((ROOT / "environment.yml").read_text())
    (pip,) = (item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert pip == project["dependencies"] + project["optional-dependencies"]["test"]
    assert f"python {project['requires-python']}" in environment["dependencies"]


def test_constraints_pin_every_direct_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name in pins}
    for requirement in project["dependencies"] + project["optional-dependencies"]["test"]:
        name = re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()
        assert name in pinned


NOTEBOOKS = {source.name: source for source in find_notebooks()}


@pytest.mark.parametrize("name", NOTEBOOKS)
class TestNotebook:
    def test_has_a_params_file_whose_title_is_its_heading(self, name):
        source = NOTEBOOKS[name]
        params = YAML(typ="safe").load(source.params_path.read_text())
        assert f"# # {params['title']}\n" in source.path.read_text()
        assert set(params) - {"data", "weights"} == {"title", "smoke", "quick", "full"}

    def test_has_parameters_with_defaults_of_the_quick_profile(self, name):
        source = NOTEBOOKS[name]
        assert parameters(source.read(), name)
        assert source.params("quick") == {}

    def test_defines_no_functions_and_no_classes(self, name):
        for cell in NOTEBOOKS[name].read().cells:
            if cell.cell_type == "code":
                for node in ast.walk(ast.parse(cell.source)):
                    assert not isinstance(node, ast.FunctionDef | ast.ClassDef)

    def test_marks_its_answers(self, name):
        tags = {
            tag for cell in NOTEBOOKS[name].read().cells for tag in cell.metadata.get("tags", [])
        }
        assert {"parameters", "solution"} <= tags

    def test_without_its_solutions_it_lacks_no_name(self, name):
        """What students get runs to its end: no cell needs what only a solution defines."""
        stored, loaded = {True: set(), False: set()}, {True: set(), False: set()}
        for cell in NOTEBOOKS[name].read().cells:
            if cell.cell_type == "code":
                solution = "solution" in cell.metadata.get("tags", [])
                for node in ast.walk(ast.parse(cell.source)):
                    if isinstance(node, ast.Name):
                        of = loaded if isinstance(node.ctx, ast.Load) else stored
                        of[solution].add(node.id)
                    elif isinstance(node, ast.alias):
                        stored[solution].add((node.asname or node.name).split(".")[0])
        assert loaded[False] & (stored[True] - stored[False]) == set()


@pytest.mark.parametrize("profile", ["quick", "full"])
def test_nn_hw1_task_3_compares_task_2_s_own_run(profile):
    """It describes that run again; where the two differed it would be trained a second time."""
    tasks = [NOTEBOOKS[f"nn_hw1/{name}"] for name in ("task2_small_network", "task3_transfer")]
    task2, task3 = (
        {name: it.default for name, it in parameters(source.read(), source.name).items()}
        | settings(source, profile)
        for source in tasks
    )
    for name in ("image_size", "epochs", "validation_images", "test_images"):
        assert task3[f"small_{name}"] == task2[name], name
    for name in ("train_images", "batch_size", "seeds", "precision"):
        assert task3[name] == task2[name], name


def test_no_params_file_is_without_a_notebook():
    params = {path.relative_to(ROOT / "params").with_suffix("") for path in ROOT.glob("params/*/*")}
    assert {str(path) for path in params} == set(NOTEBOOKS)
