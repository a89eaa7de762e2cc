import json

from nbformat.v4 import new_code_cell, new_notebook, new_output

from labkit import project
from labkit.report.facts import Claim, Measured, facts, recorded

MEASURED = Measured(
    question="tdt4265/2b",
    metric="test_accuracy",
    values=[0.7, 0.72],
    profile="full",
    stand_in=False,
    examples=10_000,
    data="cifar10",
    device="a CPU",
    torch="2.13.0",
    date="2026-11-22",
    runs=["aa", "bb"],
)
CLAIM = Claim(
    sentence="Flips help",
    metric="test_accuracy",
    relation=">",
    first="flip",
    second="no flip",
    outcome="borne out",
    difference=0.02,
    margin=0.01,
    seeds=2,
    profile="full",
    stand_in=False,
    runs=["bb", "cc"],
)


def notebook(*told: object):
    outputs = [
        new_output("display_data", {"text/plain": "-"}, metadata={"labkit": it} if it else {})
        for it in told
    ]
    return new_notebook(cells=[new_code_cell(outputs=outputs)])


def test_what_the_outputs_tell_is_read_back_as_it_was_told():
    table = {"kind": "table", "caption": "T.", "label": "tab", "profile": "quick"}
    table |= {"runs": {"base": ["aa", "bb"]}, "measured": [MEASURED.told()], "alt": "T."}
    read = facts([("c/one", notebook(table, None, {"claim": CLAIM.told()}))])
    assert read.measured == [MEASURED]
    (claim,) = read.claims
    assert claim.notebook == "c/one"
    assert claim.told() | {"notebook": ""} == CLAIM.told()
    (shown,) = read.shown
    assert (shown.notebook, shown.kind, shown.label) == ("c/one", "table", "tab")
    assert shown.runs == {"base": ["aa", "bb"]}


def test_a_run_that_several_rest_on_is_named_once_in_the_order_of_the_report():
    figure = {"kind": "figure", "caption": "F.", "runs": {"base": ["zz", "aa"]}}
    table = {"kind": "table", "caption": "T.", "measured": [MEASURED.told()]}
    read = facts([("c/one", notebook(figure, table)), ("c/two", notebook({"claim": CLAIM.told()}))])
    assert read.run_keys == ["zz", "aa", "bb", "cc"]


def test_a_measurement_that_two_notebooks_tell_counts_once():
    table = {"kind": "table", "caption": "T.", "measured": [MEASURED.told()]}
    assert facts([("c/one", notebook(table)), ("c/two", notebook(table))]).measured == [MEASURED]


def test_notebooks_that_nobody_here_wrote_tell_nothing():
    foreign = notebook("a word", {"unknown": 1})
    foreign.cells[0].outputs.append(new_output("stream", text="x"))
    read = facts([("x", foreign)])
    assert (read.shown, read.measured, read.claims) == ([], [], [])


def write_record(folder, seed: int) -> None:
    folder.mkdir(parents=True)
    for name in ("config", "metrics", "environment"):
        (folder / f"{name}.json").write_text(json.dumps({"seed": seed}))
    (folder / "history.csv").write_text("step,validation_loss\n10,1.5\n20,\n")


def test_a_record_is_read_from_where_it_was_made_or_else_committed(mini):
    write_record(project.runs() / "made", 1)
    write_record(project.results() / "made", 2)
    write_record(project.results() / "committed", 3)
    found = recorded(["made", "committed", "gone"])
    assert {key: (it.config["seed"], it.committed) for key, it in found.items()} == {
        "made": (1, False),
        "committed": (3, True),
    }
    assert found["made"].history == [
        {"step": "10", "validation_loss": "1.5"},
        {"step": "20", "validation_loss": ""},
    ]
