"""Published values judged: by hand calculations, and by runs within an honest margin."""

import json
import math
import re

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from labkit.report.facts import Measured
from labkit.report.published import Published, published_values
from labkit.report.typst import compile_pdf, document, section
from labkit.report.verdicts import (
    BETTER,
    NOT_COMPARABLE,
    NOT_MEASURED,
    NOT_REACHED,
    REPRODUCED,
    WRONG,
    as_records,
    margin,
    page,
    verdicts,
    worse,
)


def printed(value, metric: str = "test_accuracy", **more) -> Published:
    return Published("A report", "task 1", "a/1", metric, value, **more)


def measured(*values: float, metric: str = "test_accuracy", **more) -> Measured:
    about = {
        **{"profile": "full", "stand_in": False, "examples": 10_000, "data": "set"},
        **{"device": "abacus", "torch": "2.13.0", "date": "2026-11-21T10:00:00+00:00"},
    }
    return Measured("a/1", metric, list(values), **{**about, "runs": ["k"], **more})


def judge(value: Published, *those: Measured):
    (verdict,) = verdicts([value], those)
    return verdict


# ------------------------------------------------------------------------------ hand calculations


def test_the_reports_own_mistakes_are_found_and_no_others():
    """courses.md lists these errata among the values that hand calculations decide."""
    wrong = {it.published.id: it for it in verdicts(published_values(), []) if it.kind == WRONG}
    assert {name: (it.printed, it.right) for name, it in wrong.items()} == {
        "tdt4265/1a/result": ("4; 12", "12; 4"),
        "tdt4265/3a/padding": ("5", "2"),
        "rdfia/1/fully_connected_weights": ("3,221,225,472", "3,271,753,728"),
        "rdfia/7/receptive_field_conv1_pool1": ("7", "6"),
        "rdfia/7/receptive_field_two_strided_convolutions": ("5; 13", "3; 7"),
        "rdfia/12/parameters": ("231,170", "1,191,170"),
        "rdfia/12/times_as_many": ("20", "119"),
        "nn_hw1/1/output_size": ("63", "62×62"),
    }
    assert wrong["rdfia/1/fully_connected_weights"].why == "the + 1 was forgotten"
    assert all(it.why for it in wrong.values())


def test_every_other_value_with_a_check_is_right():
    every = [it for it in verdicts(published_values(), []) if it.published.check]
    right = {it.published.id: it.right for it in every if it.kind == REPRODUCED}
    assert len(right) == len(every) - 8
    assert right["tdt4265/1g/parameters"] == "390,410"
    assert right["rdfia/10/weights"] == "2,432; 51,264; 102,464; 1,025,000; 10,010"


def test_one_wrong_entry_of_a_list_with_a_check_for_each_is_named():
    # 5·5·32·64 without the 64 biases
    value = printed([2432, 51200], check=("rdfia/10-conv1", "rdfia/10-conv2"))
    verdict = judge(value)
    assert (verdict.kind, verdict.right) == (WRONG, "51,264")
    assert "bias" in verdict.why


# ------------------------------------------------------------------------------ margins


def test_the_margin_of_three_seeds_by_hand():
    # s = 0.1, t of 2 degrees of freedom is 4.3027; √(1 + 1/3) = 1.1547
    assert margin([0.4, 0.5, 0.6], 0.5, "test_accuracy", None) == pytest.approx(0.49683, abs=1e-5)


def test_the_margin_is_at_least_the_sampling_error():
    # p = 0.5: 2·√(0.5/5000) = 0.02
    assert margin([0.5], 0.5, "test_accuracy", 5000) == pytest.approx(0.02)
    assert margin([0.5, 0.5], 0.5, "test_accuracy", 5000) == pytest.approx(0.02)
    assert margin([0.5], 0.5, "test_nucleus_0.8_wer_at_3", 5000) == pytest.approx(0.02)
    # of a loss it is not known
    assert math.isnan(margin([0.5], 0.5, "test_loss", 5000))
    assert margin([0.5, 0.6], 0.5, "test_loss", 5000) > 1


def test_an_error_rate_above_one_has_a_margin():
    assert margin([1.5], 1.2, "test_cer", 1000) == 0


@given(
    st.lists(st.floats(0.1, 0.9), min_size=2, max_size=8),
    st.floats(0.1, 0.9),
    st.integers(10, 100_000),
)
def test_the_margin_is_scipy_s_prediction_interval_or_the_sampling_error(values, value, examples):
    n, p = len(values), (value + sum(values) / len(values)) / 2
    spread = np.std(values, ddof=1) * math.sqrt(1 + 1 / n)
    interval = stats.t.interval(0.95, n - 1, scale=spread)[1] if spread else 0.0
    sampling = 2 * math.sqrt(2 * p * (1 - p) / examples)
    found = margin(values, value, "test_accuracy", examples)
    assert found == pytest.approx(max(interval, sampling))


# ------------------------------------------------------------------------------ verdicts


def test_within_the_margin_it_is_reproduced_and_beyond_it_better_or_not_reached():
    # one seed of 10,000: the margin near p = 0.5 is 0.0141
    kinds = {value: judge(printed(0.5), measured(value)).kind for value in (0.51, 0.53, 0.47)}
    assert kinds == {0.51: REPRODUCED, 0.53: BETTER, 0.47: NOT_REACHED}
    one = judge(printed(0.5), measured(0.53))
    assert one.why == "one seed"
    assert one.difference == pytest.approx(0.03)
    assert judge(printed(0.5), measured(0.53, 0.53)).why == ""


@pytest.mark.parametrize("metric", ["test_loss", "test_cer", "test_wer", "test_x_wer_at_3"])
def test_of_losses_and_error_rates_the_lower_is_better(metric):
    def kind(value: float) -> str:
        those = [value, value + 1e-6]
        return judge(printed(0.5, metric), measured(*those, metric=metric)).kind

    assert (kind(0.4), kind(0.6)) == (BETTER, NOT_REACHED)


@given(st.lists(st.floats(0.1, 0.9), min_size=1, max_size=5), st.floats(0.1, 0.9))
def test_an_accuracy_and_its_error_rate_are_judged_alike(values, value):
    accuracy = judge(printed(value), measured(*values))
    errors = [1 - it for it in values]
    rate = judge(printed(1 - value, "test_wer"), measured(*errors, metric="test_wer"))
    if abs(abs(accuracy.difference) - accuracy.margin) > 1e-9:  # else it rounds either way
        assert rate.kind == accuracy.kind


def test_counts_are_compared_exactly():
    def kind(*found: int) -> str:
        value = printed(100, "num_parameters")
        return judge(value, measured(*found, metric="num_parameters", examples=None)).kind

    assert (kind(100, 100), kind(101, 101), kind(99, 101)) == (REPRODUCED, NOT_REACHED, NOT_REACHED)


def test_the_loss_of_one_seed_is_not_judged():
    loss = measured(0.1, metric="test_loss")
    verdict = judge(printed(0.9, "test_loss"), loss)
    assert (verdict.kind, verdict.margin) == (NOT_COMPARABLE, None)
    assert verdict.why.startswith("one seed")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_diverged_did_not_reach_it(value):
    verdict = judge(printed(0.5), measured(0.6, value))
    assert (verdict.kind, verdict.why) == (NOT_REACHED, "a run diverged")
    json.dumps(as_records([verdict]), allow_nan=False)
    assert "diverged" in rows(page([verdict]))[0]


@pytest.mark.parametrize(
    ("those", "kind", "why"),
    [
        ([], NOT_MEASURED, ""),
        ([measured(0.5, profile="quick")], NOT_COMPARABLE, "only the quick profile was run"),
        ([measured(0.5, profile="quick", stand_in=True)], NOT_COMPARABLE, "stand-in data"),
        ([measured(0.5, stand_in=True)], NOT_COMPARABLE, "stand-in data"),
        ([measured(0.5, 0.5), measured(0.1, profile="quick")], REPRODUCED, ""),
    ],
)
def test_only_the_full_scale_on_the_course_s_data_is_judged(those, kind, why):
    verdict = judge(printed(0.5), *those)
    assert (verdict.kind, verdict.why) == (kind, why)


def test_what_is_said_not_to_be_comparable_is_not_compared():
    verdict = judge(printed(0.5, not_comparable="another clock"), measured(0.5, 0.5))
    assert (verdict.kind, verdict.why, verdict.difference) == (
        NOT_COMPARABLE,
        "another clock",
        None,
    )
    assert verdict.full is not None


def test_of_several_measurements_it_takes_the_real_one_with_most_seeds():
    real, more = measured(0.5), measured(0.5, 0.5)
    other = measured(0.9, 0.9, 0.9, stand_in=True)
    quick = measured(0.3, profile="quick")
    verdict = judge(printed(0.5), other, real, more, quick)
    assert (verdict.full, verdict.here) == (more, quick)


def test_a_measurement_of_another_metric_or_question_is_not_taken():
    (verdict,) = verdicts([printed(0.5)], [measured(0.5, metric="train_accuracy")])
    assert verdict.kind == NOT_MEASURED


# ------------------------------------------------------------------------------ records and page


def test_records_keep_their_ids_and_hold_both_measurements():
    quick = measured(0.4, profile="quick")
    (record,) = as_records([judge(printed(0.5), measured(0.49, 0.51), quick)])
    assert json.loads(json.dumps(record)) == record
    assert (record["id"], record["verdict"]) == ("a/1/test_accuracy", REPRODUCED)
    assert record["full"]["mean"] == pytest.approx(0.5)
    assert record["full"]["sd"] == pytest.approx(math.sqrt(2) / 100)
    assert (record["full"]["device"], record["full"]["runs"]) == ("abacus", ["k"])
    assert (record["here"]["mean"], record["here"]["sd"]) == (0.4, None)


def test_worse_is_further_down():
    order = [BETTER, REPRODUCED, NOT_REACHED, NOT_COMPARABLE, NOT_MEASURED]
    for place, now in enumerate(order):
        for before_place, before in enumerate(order):
            assert worse(now, before) is (place > before_place)
    assert worse(WRONG, REPRODUCED)
    assert worse(REPRODUCED, WRONG)
    assert not worse(WRONG, WRONG)
    assert worse(NOT_REACHED, WRONG)
    assert not worse(WRONG, NOT_MEASURED)


def rows(notebook) -> list[list[str]]:
    """The cells of every table row of a page, without its headings."""
    tables = [cell.outputs[0].metadata["labkit"]["table"] for cell in notebook.cells[1:]]
    return [row for table in tables for row in table["data"]]


def test_the_page_has_a_row_for_each_value_and_its_counts():
    judged = [
        judge(printed(0.5), measured(0.5, 0.52), measured(0.4, profile="quick")),
        judge(printed(7, "size", check=("rdfia/8",))),
        judge(printed(12.5, "seconds", unit="s", not_comparable="another <clock>")),
        judge(printed(1200, "num_parameters"), measured(1100, metric="num_parameters")),
    ]
    notebook = page(judged)
    nbformat.validate(notebook)
    introduction = notebook.cells[0].source
    assert introduction.startswith("# Published beside measured\n")
    assert "print 4 values" in introduction
    assert re.findall(r"- \*\*(.+)\*\* \((\d+)\)", introduction) == [
        (REPRODUCED, "1"),
        (NOT_REACHED, "1"),
        (WRONG, "1"),
        (NOT_COMPARABLE, "1"),
    ]
    (output,) = notebook.cells[1].outputs
    about = output.metadata["labkit"]
    assert (about["kind"], about["label"]) == ("table", "tab-published-a")
    assert about["table"]["columns"] == [
        *("place", "value", "published", "measured", "quick", "difference", "verdict"),
    ]
    first, second, third, fourth = rows(notebook)
    assert first[:5] == ["task 1", "test accuracy", "0.5", "0.510 ± 0.014 (2)", "0.400 (1)"]
    assert re.fullmatch(r"\+0\.010 ± 0\.\d{3}", first[5])
    assert second[0] == ""  # the same place
    assert (second[2], second[3]) == ("7", "2")
    assert second[6].startswith(WRONG)
    assert (third[2], third[6][:-1]) == ("12.5 s", NOT_COMPARABLE)
    assert (fourth[3], fourth[5]) == ("1,100", "−100")
    assert "another <clock>" in about["provenance"]
    assert "task 1: set, abacus, torch 2.13.0, 2026-11-21" in about["provenance"]
    html = output.data["text/html"]
    assert html.count("<tr>") == 5
    assert "another &lt;clock&gt;" in html


def test_without_another_profile_there_is_no_column_for_it():
    notebook = page([judge(printed(0.5), measured(0.5))])
    columns = notebook.cells[1].outputs[0].metadata["labkit"]["table"]["columns"]
    assert columns == ["place", "value", "published", "measured", "difference", "verdict"]
    assert "profile" not in notebook.cells[0].source


def test_the_page_of_all_four_reports_becomes_a_pdf():
    notebook = page(verdicts(published_values(), []))
    assert len(notebook.cells) == 5
    assert len(rows(notebook)) == len(published_values())
    source, files = document([section(notebook, name="published")], title="Report")
    assert source.count("#captioned(") == 4
    assert compile_pdf(source, files).startswith(b"%PDF")
