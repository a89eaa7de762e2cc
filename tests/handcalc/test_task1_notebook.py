"""TDT4265 task 1: its checks with the solutions, and as the student finds it."""

import ast
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = jupytext.read(ROOT / "notebooks/tdt4265/task1_hand_calculation.py")
CELLS = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]


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


def test_the_solutions_are_right(capsys):
    assert [str(verdict) for verdict in run(CELLS)] == ["correct"] * 7


def test_the_student_version_runs_and_awaits_answers():
    cells = [cell for cell in CELLS if not has_tag(cell, "solution")]
    assert [str(verdict) for verdict in run(cells)] == ["no answer yet"] * 7


def test_solutions_can_be_hidden(capsys):
    assert all(verdict.right for verdict in run(CELLS, show_solution=False))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("cell", CELLS, ids=range(len(CELLS)))
def test_it_defines_no_functions_and_no_classes(cell):
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert not any(isinstance(node, defined) for node in ast.walk(ast.parse(cell.source)))


def test_parameters_are_annotated_literals():
    (cell,) = [cell for cell in CELLS if has_tag(cell, "parameters")]
    for line, node in zip(cell.source.splitlines(), ast.parse(cell.source).body, strict=True):
        assert isinstance(node, ast.AnnAssign)
        assert isinstance(
            ast.literal_eval(node.value), {"bool": bool, "int": int}[node.annotation.id]
        )
        assert "  # " in line
