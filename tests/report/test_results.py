import csv
import io
import json

import pytest

from labkit.report import results
from labkit.report.facts import Facts, Recorded, Shown


def record(key: str, seed: int, accuracy: float) -> Recorded:
    environment = {"data": {"name": "cifar10"}, "device": "a CPU", "torch": "2.13.0"}
    environment["finished"] = f"2026-11-2{seed}T00:00:00+00:00"
    metrics = {"test_accuracy": accuracy, "stopped": "at the end", "test_confusion": [[1]]}
    return Recorded(key, {"seed": seed}, metrics, environment, [], committed=False)


CURVES = Shown("c/one", "figure", "Curves.", "fig-a", "", "quick", {"base": ["aa", "bb"]})
TABLE = Shown(
    "c/one",
    "table",
    "Sizes.",
    table={"columns": ["layer", "output", "note"], "data": [["conv", "32×32", "no digit"]]},
)
RECORDS = {"aa": record("aa", 1, 0.5), "bb": record("bb", 2, 0.7)}


def test_a_number_of_runs_is_a_mean_with_its_spread_meaning_and_provenance():
    (number,) = results.numbers(Facts([CURVES], [], []), RECORDS)
    assert number["value"] == pytest.approx(0.6)
    assert number["sd"] == pytest.approx(0.141421, abs=1e-6)  # √((0.1² + 0.1²) / 1)
    assert number["meaning"] == (
        "share of the examples that are classified rightly, on the test examples"
    )
    assert number["unit"] == "share of 1"
    assert (number["what"], number["n"], number["seeds"]) == ("base", 2, "1, 2")
    assert (number["profile"], number["date"], number["runs"]) == ("quick", "2026-11-22", "aa, bb")


def test_one_seed_has_no_spread():
    alone = Shown("c/one", "figure", "F.", runs={"base": ["aa"]})
    (number,) = results.numbers(Facts([alone], [], []), RECORDS)
    assert (number["n"], number["sd"]) == (1, None)


def test_runs_that_two_figures_show_are_counted_once():
    again = Shown("c/one", "table", "The same.", runs={"base": ["aa", "bb"]})
    assert len(results.numbers(Facts([CURVES, again], [], []), RECORDS)) == 1


def test_runs_whose_records_are_gone_are_left_out():
    assert results.numbers(Facts([CURVES], [], []), {}) == []


def test_a_table_s_cells_with_digits_are_numbers_whose_meaning_is_its_caption():
    (cell,) = results.numbers(Facts([TABLE], [], []), {})
    assert (cell["what"], cell["quantity"], cell["value"]) == ("conv", "output", "32×32")
    assert cell["meaning"] == "Sizes."


@pytest.mark.parametrize(
    ("metric", "text", "unit"),
    [
        ("train_loss", "mean cross-entropy of an example, on the training examples", "nats"),
        ("test_cer", "character error rate: edits over characters of the corpus, on the test", ""),
        ("test_nucleus_0.8_wer_at_3", "share of words of which none of 3 samples is right", ""),
        ("test_beam_wer", "decoded by beam, on the test examples", "share of 1"),
        ("num_parameters", "parameters of the network", "count"),
        ("measured_test_accuracy", "on the examples that were also measured", "share of 1"),
        ("validation_examples", "examples in this split, on the validation examples", "count"),
    ],
)
def test_every_metric_of_a_run_has_a_meaning_and_a_unit(metric, text, unit):
    assert text in results.meaning(metric)[0]
    assert unit in results.meaning(metric)[1]


def test_every_metric_of_the_committed_records_has_a_unit():
    from labkit import project

    every = set()
    for path in project.results().glob("*/metrics.json"):
        metrics = json.loads(path.read_text())
        every |= {name for name, value in metrics.items() if isinstance(value, int | float)}
    assert len(every) > 20
    assert [name for name in every if not results.meaning(name)[1]] == []


def test_the_csv_has_the_numbers_of_the_json():
    numbers = results.numbers(Facts([CURVES, TABLE], [], []), RECORDS)
    rows = list(csv.DictReader(io.StringIO(results.as_csv(numbers).decode())))
    read = json.loads(results.as_json({"numbers": numbers}))["numbers"]
    assert len(rows) == len(read) == 2
    for row, number in zip(rows, read, strict=True):
        assert set(row) == set(number)
        assert row["value"] == str(number["value"])
        assert row["meaning"] == number["meaning"]
