"""The notebooks of hand calculations: their checks with solutions, and as students find them."""

import ast
import re

import pytest

from labkit.report.execute import find_notebooks

CHECKS = {"tdt4265/task1_hand_calculation": 7, "rdfia/part1_hand_calculation": 15}
SOURCES = {source.name: source for source in find_notebooks()}


@pytest.fixture(scope="module", params=CHECKS, ids=lambda name: name.split("/")[0])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def notebook(name):
    """The code cells, and how many checks they hold."""
    cells = SOURCES[name].read().cells
    return [cell for cell in cells if cell.cell_type == "code"], CHECKS[name]


def has_tag(cell, tag):
    return tag in cell.metadata.get("tags", [])


def run(cells, **parameters):
    """Run cells as plain Python; returns what the cells that end in a check show."""
    variables, verdicts = {}, []
    for cell in cells:
        tree = ast.parse(cell.source)
        last = tree.body[-1]
        if isinstance(last, ast.Expr) and ast.unparse(last).startswith("check("):
            verdicts.append(eval(ast.unparse(last), variables))
        else:
            exec(cell.source, variables)
        if has_tag(cell, "parameters"):
            variables.update(parameters)
    return verdicts


def test_the_solutions_are_right(notebook, name):
    cells, checks = notebook
    smoke = SOURCES[name].params("smoke")
    assert [str(verdict) for verdict in run(cells, **smoke)] == ["correct"] * checks


def test_the_student_version_runs_and_awaits_answers(notebook):
    cells, checks = notebook
    cells = [cell for cell in cells if not has_tag(cell, "solution")]
    assert [str(verdict) for verdict in run(cells)] == ["no answer yet"] * checks


def test_solutions_can_be_hidden(notebook, capsys):
    cells, _ = notebook
    assert all(verdict.right for verdict in run(cells, show_solution=False))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", SOURCES)
def test_every_grid_s_answer_is_taken_and_checked(name):
    """A name that is misspelt there would be no answer, silently."""
    code = SOURCES[name].path.read_text()
    grids = re.findall(r'^answer_grid\(question\("(.+)"\)\)$', code, re.MULTILINE)
    kept = re.findall(r'^(answer_\w+) = kept_answer\("(.+?)"\)', code, re.MULTILINE)
    checked = re.findall(r'^check\((answer_\w+), question\("(.+)"\)\)$', code, re.MULTILINE)
    assert [question for _, question in kept] == grids
    assert checked == kept


def test_it_defines_no_functions_and_no_classes(notebook):
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    for cell in notebook[0]:
        assert not any(isinstance(node, defined) for node in ast.walk(ast.parse(cell.source)))


def test_parameters_are_annotated_literals(notebook):
    (cell,) = [cell for cell in notebook[0] if has_tag(cell, "parameters")]
    for line, node in zip(cell.source.splitlines(), ast.parse(cell.source).body, strict=True):
        assert isinstance(node, ast.AnnAssign)
        kinds = {"bool": bool, "str": str, "int": int, "int | None": int | None}
        assert isinstance(ast.literal_eval(node.value), kinds[ast.unparse(node.annotation)])
        assert "  # " in line
