"""Printed values beside measured ones."""

import pytest
from quarters import made_run

from labkit.report.published import beside_published, published
from labkit.training import Runs

QUESTION = "tdt4265/2b"


@pytest.fixture
def values() -> dict:
    return published(QUESTION)


def runs(values: dict, by: float, *, stand_in: bool | None = None) -> list:
    """Two seeds whose every metric is a little beside what was printed."""
    pair = [
        made_run(f"k{seed}", seed, **{name: value + by for name, value in values.items()})
        for seed in (0, 1)
    ]
    if stand_in is not None:
        pair[1].environment["data"]["stand_in"] = stand_in
    return pair


def test_each_printed_value_stands_beside_the_mean(values):
    table = beside_published(Runs({"first": runs(values, 0.125)}), {QUESTION: "first"})
    assert list(table.index) == [("2b", name.replace("_", " ")) for name in values]
    assert list(table["difference"]) == ["+0.125"] * len(values)
    assert list(table["seeds"]) == [2] * len(values)
    value = next(iter(values.values()))
    assert table["published"].iloc[0] == f"{value:g}"
    assert table["measured"].iloc[0] == f"{value + 0.125:.3f} ± 0.000"


def test_counts_are_whole_numbers():
    values = published("tdt4265/4a")
    assert values["trained_parameters"] == 8_398_858
    table = beside_published(Runs({"it": runs(values, 1000)}), {"tdt4265/4a": "it"})
    row = table.loc[("4a", "trained parameters")]
    assert (row["published"], row["difference"]) == ("8,398,858", "+1,000")
    assert row["measured"] == "8,399,858"  # of all seeds


def test_what_was_not_measured_says_so():
    table = beside_published(Runs({}), {QUESTION: "first"})
    assert set(table["measured"]) == {"not measured"}
    assert set(table["difference"]) == {"–"}
    assert set(table["seeds"]) == {0}


def test_a_stand_in_is_not_compared_with_what_was_printed(values):
    both = Runs({"real": runs(values, 0.1), "other": runs(values, 0.1, stand_in=True)})
    table = beside_published(both, {QUESTION: "other"})
    assert set(table["measured"]) == {"not compared: stand-in data"}
    assert set(table["difference"]) == {"–"}
    assert set(table["seeds"]) == {0}
    assert list(table["published"]) == [f"{value:g}" for value in values.values()]
    # what was trained on the real data beside it is compared
    assert set(beside_published(both, {QUESTION: "real"})["seeds"]) == {2}


def test_data_that_are_no_stand_in_are_compared_as_ever(values):
    unmarked = beside_published(Runs({"a": runs(values, 0.1)}), {QUESTION: "a"})
    real = beside_published(Runs({"a": runs(values, 0.1, stand_in=False)}), {QUESTION: "a"})
    assert real.equals(unmarked)
    assert set(real["seeds"]) == {2}


def test_a_question_without_printed_values_is_named():
    with pytest.raises(KeyError, match="nothing published for 'tdt4265/9z'; there are"):
        published("tdt4265/9z")
