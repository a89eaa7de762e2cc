import dataclasses
import re

import pandas as pd
import pytest
from matplotlib.figure import Figure
from quarters import made_run, make_dataset

from labkit import figures, progress
from labkit.figures import showing
from labkit.training import Run, Runs

STAND_IN = "Stand-in data (not the course's). "


def drawing() -> Figure:
    figure = Figure()
    figure.subplots().plot([1, 3, 2])
    return figure


def table() -> pd.DataFrame:
    return pd.DataFrame({"x": ["<1>"]}, index=pd.Index(["a"], name="row"))


def stand_in(run: Run) -> Run:
    run.environment["data"]["stand_in"] = True
    return run


@pytest.fixture
def shown(monkeypatch) -> list:
    """What `show` displays, as (data, metadata)."""
    calls = []
    monkeypatch.setattr(
        showing, "display", lambda data, metadata, raw: calls.append((data, metadata["labkit"]))
    )
    return calls


def test_show_gives_a_figure_its_caption_and_provenance(shown):
    runs = Runs({"base": [made_run("key", 0)]})
    figures.show(drawing(), "Curves.", label="fig-a", runs=runs, profile="quick")
    ((data, about),) = shown
    assert data["image/svg+xml"].lstrip().startswith("<?xml")
    assert about == {
        "kind": "figure",
        "caption": "Curves.",
        "provenance": f"Profile quick. {runs.provenance()}",
        "alt": "Curves.",
        "label": "fig-a",
        "runs": {"base": ["key"]},
        "profile": "quick",
    }
    assert about["provenance"].startswith("Profile quick. set from here")
    assert "<figcaption>Curves.<br><small>Profile quick." in data["text/html"]
    assert data["text/plain"] == "Curves."


def test_a_table_s_cells_and_what_it_carries_are_in_the_metadata(shown):
    carrying = pd.DataFrame(
        {"accuracy": [0.5, float("nan")], "spread": ["0.5 ± 0.1", "–"]},
        index=pd.MultiIndex.from_tuples([("2b", "test"), ("3b", "train")], names=["task", None]),
    )
    carrying.attrs["labkit"] = {"measured": [{"metric": "test_accuracy"}]}
    figures.show(carrying, "A table.")
    ((_, about),) = shown
    assert about["table"] == {
        "columns": ["task", "", "accuracy", "spread"],
        "data": [["2b", "test", 0.5, "0.5 ± 0.1"], ["3b", "train", None, "–"]],
    }
    assert about["measured"] == [{"metric": "test_accuracy"}]


def test_show_gives_a_table_one_line_of_headings(shown):
    figures.show(table(), "A table.")
    ((data, about),) = shown
    assert about["kind"] == "table"
    headings, *rows = re.findall(r"<tr.*?</tr>", data["text/html"], flags=re.DOTALL)
    assert re.findall(r"<th>(.*?)</th>", headings) == ["row", "x"]
    assert re.findall(r"<td>(.*?)</td>", rows[0]) == ["a", "&lt;1&gt;"]
    assert data["text/html"].endswith("<p>A table.</p>")


def test_in_jupyterlab_a_table_brings_what_sorts_it(shown, monkeypatch):
    figures.show(table(), "A table.")
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    figures.show(table(), "A table.")
    (report, about), (jupyterlab, same) = shown
    assert "<script" not in report["text/html"]
    added = jupyterlab["text/html"].removeprefix(report["text/html"])
    assert added != jupyterlab["text/html"]
    assert "function sorting(table)" in added
    # both exporters cut from the first of these to the last
    assert "table>" not in added
    assert "<table" not in added
    assert about == same
    assert len(added) < 4000


def test_the_same_figure_gives_the_same_bytes(shown):
    for _ in range(2):
        figures.show(drawing(), "Curves.")
    assert shown[0] == shown[1]


def test_a_data_set_gives_what_has_no_runs_its_provenance(shown):
    figures.show(drawing(), "Pictures.", dataset=make_dataset(), profile="smoke")
    ((data, about),) = shown
    where = "quarters from made in quarters.py, sha256 000000000000…"
    assert about["provenance"] == f"Profile smoke. {where}"
    assert about["caption"] == about["alt"] == "Pictures."
    assert f"<small>Profile smoke. {where}</small>" in data["text/html"]


@pytest.mark.parametrize("thing", [drawing, table])
def test_what_was_trained_on_a_stand_in_says_so_first(shown, thing):
    runs = Runs(
        {"real": [made_run("a", 0)], "other": [made_run("b", 0), stand_in(made_run("c", 1))]}
    )
    figures.show(thing(), "How *well* it does.", runs=runs, alt="Two curves.")
    figures.show(thing(), "How *well* it does.", runs=runs)
    (data, about), (_, without_alt) = shown
    assert about["caption"] == "**Stand-in data (not the course's).** How *well* it does."
    assert about["alt"] == STAND_IN + "Two curves."
    assert without_alt["alt"] == STAND_IN + "How *well* it does."
    assert data["text/plain"] == STAND_IN + "How *well* it does."
    escaped = "Stand-in data (not the course&#x27;s). How *well* it does."
    assert re.search(f"<(p|figcaption)>{re.escape(escaped)}<br>", data["text/html"])


def test_what_shows_a_stand_in_says_so_first(shown):
    figures.show(drawing(), "Pictures.", dataset=dataclasses.replace(make_dataset(), stand_in=True))
    figures.show(drawing(), "Pictures.", dataset=make_dataset())
    (_, about), real = shown
    assert about["caption"] == "**Stand-in data (not the course's).** Pictures."
    assert about["provenance"] == real[1]["provenance"]
    assert real[1]["caption"] == "Pictures."


def test_what_was_trained_on_the_data_itself_is_shown_as_ever(shown):
    unmarked, real = made_run("a", 0), made_run("a", 0)
    real.environment["data"]["stand_in"] = False
    for run in (unmarked, real):
        figures.show(table(), "A table.", runs=Runs({"it": [run]}))
    assert shown[0] == shown[1]
    assert "tand-in" not in str(shown)
