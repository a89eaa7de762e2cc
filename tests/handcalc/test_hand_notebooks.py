"""The notebooks of hand calculations: their checks with solutions, and as students find them."""

import ast
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECKS = {
    "notebooks/tdt4265/task1_hand_calculation.py": 7,
    "notebooks/rdfia/part1_hand_calculation.py": 15,
}


@pytest.fixture(scope="module", params=CHECKS, ids=lambda path: path.split("/")[1])
def notebook(request):
    """The code cells, and how many checks they hold."""
    cells = jupytext.read(ROOT / request.param).cells
    return [cell for cell in cells if cell.cell_type == "code"], CHECKS[request.param]


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


def test_the_solutions_are_right(notebook):
    cells, checks = notebook
    assert [str(verdict) for verdict in run(cells)] == ["correct"] * checks


def test_the_student_version_runs_and_awaits_answers(notebook):
    cells, checks = notebook
    cells = [cell for cell in cells if not has_tag(cell, "solution")]
    assert [str(verdict) for verdict in run(cells)] == ["no answer yet"] * checks


def test_solutions_can_be_hidden(notebook, capsys):
    cells, _ = notebook
    assert all(verdict.right for verdict in run(cells, show_solution=False))
    assert capsys.readouterr().out == ""


def test_it_defines_no_functions_and_no_classes(notebook):
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    for cell in notebook[0]:
        assert not any(isinstance(node, defined) for node in ast.walk(ast.parse(cell.source)))


def test_parameters_are_annotated_literals(notebook):
    (cell,) = [cell for cell in notebook[0] if has_tag(cell, "parameters")]
    for line, node in zip(cell.source.splitlines(), ast.parse(cell.source).body, strict=True):
        assert isinstance(node, ast.AnnAssign)
        assert isinstance(
            ast.literal_eval(node.value), {"bool": bool, "int": int}[node.annotation.id]
        )
        assert "  # " in line
