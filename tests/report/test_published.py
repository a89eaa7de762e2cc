"""Printed values beside measured ones."""

import subprocess
import sys

import pytest
from quarters import made_run

from labkit.errors import UsageError
from labkit.figures import show
from labkit.report import published as module
from labkit.report.facts import Measured
from labkit.report.published import beside_published, published, published_values
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


# ------------------------------------------------------------------------------ this notebook's own


def test_the_profile_at_hand_has_a_column_of_its_own(values):
    recorded, here = (Runs({"first": runs(values, by)}) for by in (0.125, -0.25))
    names = {QUESTION: "first"}
    table = beside_published(recorded, names, here=here, profile="quick")
    value = values["test_accuracy"]
    row = table.loc[("2b", "test accuracy")]
    assert (row["measured"], row["quick"]) == (f"{value + 0.125:.3f} ± 0.000", "0.470 ± 0.000")
    assert row["difference"] == "+0.125"  # of the full scale alone
    # the full profile is the full scale
    in_full = beside_published(recorded, names, here=recorded, profile="full")
    assert in_full.equals(beside_published(recorded, names))


def test_the_profile_at_hand_has_a_name(values):
    with pytest.raises(ValueError, match=r"^profile: '': name the profile"):
        beside_published(Runs({}), {QUESTION: "first"}, here=Runs({"first": runs(values, 0)}))


def test_the_table_tells_what_was_measured(values):
    recorded, here = Runs({"first": runs(values, 0.125)}), Runs({"first": runs(values, -0.25)[:1]})
    table = beside_published(recorded, {QUESTION: "first"}, here=here, profile="quick")
    told = [Measured(**it) for it in table.attrs["labkit"]["measured"]]
    assert [(it.metric, it.profile) for it in told] == [
        (name, profile) for name in values for profile in ("full", "quick")
    ]
    (test,) = (it for it in told if it.metric == "test_accuracy" and it.profile == "full")
    assert test == Measured(
        question=QUESTION,
        metric="test_accuracy",
        values=[values["test_accuracy"] + 0.125] * 2,
        profile="full",
        stand_in=False,
        examples=20,
        data="set",
        device="abacus",
        torch="2.13.0",
        date="2026-11-21T10:00:00+00:00",
        runs=["k0", "k1"],
    )


def test_of_a_count_no_examples_are_told():
    counted = Runs({"it": runs(published("tdt4265/4a"), 0)})
    table = beside_published(counted, {"tdt4265/4a": "it"})
    examples = {it["metric"]: it["examples"] for it in table.attrs["labkit"]["measured"]}
    assert examples == {"test_accuracy": 20, "trained_parameters": None}


def test_a_stand_in_is_told_as_such_and_what_was_not_measured_is_not_told(values):
    other = Runs({"first": runs(values, 0.1, stand_in=True)})
    table = beside_published(Runs({}), {QUESTION: "first"}, here=other, profile="quick")
    assert set(table["quick"]) == {"not compared: stand-in data"}
    told = table.attrs["labkit"]["measured"]
    assert {(it["profile"], it["stand_in"]) for it in told} == {("quick", True)}


def test_what_it_tells_is_in_the_metadata_of_the_output(values, monkeypatch):
    outputs = []
    monkeypatch.setattr("labkit.figures.showing.display", lambda *_, **it: outputs.append(it))
    table = beside_published(Runs({"first": runs(values, 0)}), {QUESTION: "first"})
    show(table, "A table.")
    about = outputs[0]["metadata"]["labkit"]
    assert about["measured"] == table.attrs["labkit"]["measured"] != []


# ------------------------------------------------------------------------------ the file


def test_every_value_has_its_place_and_an_id_of_its_own():
    every = published_values()
    assert len({it.id for it in every}) == len(every) > 60
    by_id = {it.id: it for it in every}
    first = by_id["tdt4265/2b/test_accuracy"]
    assert (first.report, first.place) == ("TDT4265 A3 report", "task 2b")
    assert "batches of 64" in first.conditions
    assert by_id["rdfia/1/weights"].check == ("rdfia/1-weights",)  # 1 is a number to YAML
    assert str(by_id["nn_hw1/1/seconds"]) == "15.573 s"
    for it in every:
        assert it.report
        assert it.place
        assert not (it.check and it.not_comparable), it.id


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Write a published.yaml of one question's values, to be read instead."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "reports").mkdir()
    monkeypatch.setenv("LABKIT_ROOT", str(tmp_path))

    def write(values: str, head: str = "place: task 1") -> None:
        text = f"a:\n  report: A report\n  questions:\n    1:\n      {head}\n      {values}\n"
        (tmp_path / module.FILE).write_text(text)

    return write


def test_a_value_takes_the_place_and_conditions_of_its_question_unless_it_has_its_own(file):
    file("values: {x: 0.5, y: {value: 2, unit: s, place: figure 3, conditions: two}}")
    x, y = published_values()
    assert (x.place, x.conditions, str(x)) == ("task 1", "", "0.5")
    assert (y.place, y.conditions, str(y)) == ("figure 3", "two", "2 s")
    assert published("a/1") == {"x": 0.5, "y": 2}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("values: {x: {value: 1, uni: s}}", "x.uni: unknown; the keys are"),
        ("values: {x: {unit: s}}", "x.value: missing; give it"),
        ("values: {x: {value: yes, check: rdfia/11}, y: {value: true}}", "y.value: True; give a"),
        ("values: {x: [0.5, 1]}", "x.value: [0.5, 1]; give a number"),
        ("values: {x: .nan}", "x.value: nan; give a number"),
        ("values: {x: {value: 1, check: rdfia/1}}", "x.check: there is no question 'rdfia/1'"),
        (
            "values: {x: {value: [1, 2, 3], check: [rdfia/8, rdfia/9]}}",
            "x: check: 2 questions for 3 entries; give each",
        ),
        ("value: {x: 1}", "values: missing; give it"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_with_its_question_and_key(file, values, message):
    file(values)
    with pytest.raises(UsageError) as error:
        published_values()
    text = str(error.value)
    assert text.startswith(f"reports/published.yaml: a/1: {message}")
    assert "\n" not in text


def test_a_question_without_its_place_is_named(file):
    file("values: {x: 1}", head="conditions: none")
    with pytest.raises(UsageError, match=r"yaml: a/1: place: missing"):
        published_values()


def test_reading_it_imports_neither_torch_nor_pandas():
    code = (
        "import sys, labkit.report.verdicts\n"
        "labkit.report.published.published_values()\n"
        "print({'torch', 'pandas'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
