"""Claims held against made runs, whose verdicts are worked out by hand."""

import dataclasses
import subprocess
import sys

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quarters import made_run

from labkit.errors import UsageError
from labkit.report import facts, typst
from labkit.report.claims import OUTCOMES, claim, page
from labkit.training import Runs

SENTENCE = "Flips raise the test accuracy"


@pytest.fixture(autouse=True)
def displayed(monkeypatch) -> list:
    """What `claim` displays, as (Markdown, metadata)."""
    calls = []
    monkeypatch.setattr(
        "IPython.display.display",
        lambda data, metadata, raw: calls.append((data["text/markdown"], metadata)),
    )
    return calls


def made(name: str, values: list[float], metric: str = "test_accuracy", **more) -> Runs:
    """One run for each value, with seeds from 0 on, tested on so many images that they decide
    nothing."""
    more = {"test_examples": 10**8, **more}
    return Runs(
        {
            name: [
                made_run(f"{name}{seed}", seed, **{metric: v}, **more)
                for seed, v in enumerate(values)
            ]
        }
    )


FLIP, NONE = made("3a", [0.80, 0.82, 0.81]), made("no flip", [0.78, 0.78, 0.78])


@pytest.mark.parametrize(
    ("second", "higher", "lower", "measured"),
    [
        # sd 0.01: the margin is 4.303·0.01/√3 = 0.0248
        ([0.78, 0.78, 0.78], "borne out", "contradicted", "+3.0 ± 2.5 points"),
        ([0.84, 0.84, 0.84], "contradicted", "borne out", "−3.0 ± 2.5 points"),
        ([0.79, 0.79, 0.79], "not told apart", "not told apart", "+2.0 ± 2.5 points"),
    ],
)
def test_the_interval_over_paired_seeds_decides(second, higher, lower, measured, displayed):
    other = made("no flip", second)
    for relation, outcome in ((">", higher), ("<", lower)):
        found = claim(SENTENCE, FLIP, relation, other, profile="full", source="A report, 3c")
        text, metadata = displayed.pop()
        assert found.outcome == outcome
        assert found.margin == pytest.approx(0.0248, abs=5e-5)
        assert (found.first, found.second, found.seeds) == ("3a", "no flip", 3)
        assert text == (
            f"**Claim** (A report, 3c): *{SENTENCE}.* **{outcome.capitalize()}**: "
            f"*3a* − *no flip* is {measured} (95 %, 3 paired seeds, profile full)."
        )
        assert metadata == {"labkit": {"claim": found.told()}}
        assert found.runs == [f"{name}{seed}" for name in ("3a", "no flip") for seed in range(3)]


def test_a_number_may_be_what_is_to_be_reached(displayed):
    assert claim("It reaches 78 %", FLIP, ">", 0.78).outcome == "borne out"
    assert claim("It reaches 80 %", FLIP, ">", 0.8).outcome == "not told apart"
    assert claim("It reaches 85 %", FLIP, ">", 0.85).outcome == "contradicted"
    text, _ = displayed[1]
    assert text.endswith("**Not told apart**: *3a* − 0.8 is +1.0 ± 2.5 points (95 %, 3 seeds).")


def test_losses_error_rates_and_epochs_have_their_own_unit(displayed):
    for metric, values, measured in (
        ("validation_loss", [0.5, 0.6], "−0.450 ± 0.635"),  # 12.706·0.05
        ("test_cer", [0.25, 0.25], "−75.0 ± 0.0 points"),
        ("best_epoch", [3.0, 5.0], "+3.0 ± 12.7 epochs"),
    ):
        claim("So it is", made("a", values, metric), "<", made("b", [1, 1], metric), metric)
        assert f"*a* − *b* is {measured} (95 %, 2 paired" in displayed.pop()[0]


def test_one_seed_gives_no_verdict(displayed):
    first, second = made("a", [0.9], test_examples=800), made("b", [0.5], test_examples=800)
    found = claim(SENTENCE, first, ">", second, profile="quick")
    assert found.outcome == "one seed only"
    # 1.96·√(2·¼/800): what the images alone leave open
    assert (found.difference, found.margin) == pytest.approx((0.4, 0.049), abs=1e-5)
    assert displayed[0][0].endswith(
        "**One seed only**: *a* − *b* is +40.0 ± 4.9 points (one seed, profile quick; the ± is of "
        "the examples alone)."
    )
    loss = [made(name, [value], "test_loss") for name, value in (("a", 0.5), ("b", 0.9))]
    found = claim("The loss is lower", loss[0], "<", loss[1], "test_loss")
    assert (found.outcome, found.margin) == ("one seed only", None)
    assert displayed[1][0].endswith("*a* − *b* is −0.400 (seeds: 1).")


def test_a_verdict_on_the_border_is_told_to_one_digit_more(displayed):
    values = [0.80, 0.82, 0.81]  # the margin is 0.02484
    claim(SENTENCE, made("a", values), ">", made("b", [0.785, 0.785, 0.785]))
    assert "**Borne out**: *a* − *b* is +2.50 ± 2.48 points" in displayed[0][0]


def test_what_cannot_be_compared_says_why(displayed):
    elsewhere = Runs({"no flip": [made_run("k", 7, test_accuracy=0.5, test_examples=10**8)]})
    fewer = made("no flip", [0.5, 0.5, 0.5], test_examples=100)
    diverged = made("no flip", [float("nan"), 0.5], "test_loss")
    for first, second, metric, why in (
        (FLIP, elsewhere, "test_accuracy", "they have no seed in common."),
        (FLIP, fewer, "test_accuracy", "they were not tested on as many examples."),
        (made("3a", [0.5, 0.5], "test_loss"), diverged, "test_loss", "a run diverged."),
    ):
        found = claim(SENTENCE, first, ">", second, metric)
        assert (found.outcome, found.difference, found.margin) == ("not comparable", None, None)
        assert displayed.pop()[0].endswith(f"**Not comparable**: {why}")


def test_stand_in_data_give_a_difference_and_no_verdict(displayed):
    second = made("no flip", [0.5, 0.5, 0.5])
    second["no flip"][2].environment["data"]["stand_in"] = True
    found = claim(SENTENCE, FLIP, ">", second)
    assert (found.outcome, found.stand_in) == ("not comparable", True)
    assert found.difference == pytest.approx(0.31)
    assert (
        "**On stand-in data**, not the course's. *3a* − *no flip* is +31.0 ± 2.5 points"
        in displayed[0][0]
    )


def test_runs_of_one_name_at_two_scales_can_be_compared():
    found = claim("More images help", FLIP, ">", made("3a", [0.5, 0.5, 0.5]))
    assert (found.outcome, found.first, found.second) == ("borne out", "3a", "3a")


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=4))
def test_the_opposite_claim_has_the_opposite_outcome(values):
    first, second = (
        made(name, list(of)) for name, of in zip("ab", zip(*values, strict=True), strict=True)
    )
    opposite = {"borne out": "contradicted", "contradicted": "borne out"}
    outcome = claim("It is more", first, ">", second).outcome
    assert claim("It is less", first, "<", second).outcome == opposite.get(outcome, outcome)
    assert outcome in OUTCOMES


@pytest.mark.parametrize(
    ("first", "relation", "second", "message"),
    [
        (FLIP, ">=", NONE, "relation '>=': give '>' or '<'"),
        (FLIP | NONE, ">", NONE, "there are '3a', 'no flip'; select one"),
        (FLIP, ">", Runs({}), "there are none; select one"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(first, relation, second, message):
    with pytest.raises(UsageError, match=message):
        claim(SENTENCE, first, relation, second)


def test_what_a_notebook_shows_is_read_back(displayed):
    found = claim(SENTENCE, FLIP, ">", NONE, profile="full", source="A report, 3c")
    ((text, metadata),) = displayed
    output = nbformat.v4.new_output("display_data", {"text/markdown": text}, metadata=metadata)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])
    notebook = nbformat.reads(nbformat.writes(notebook), as_version=4)
    (read,) = facts.facts([("tdt4265/task3", notebook)]).claims
    assert read == dataclasses.replace(found, notebook="tdt4265/task3")


def test_the_page_counts_the_outcomes_and_has_a_table_for_each_course():
    told = [
        claim(SENTENCE, FLIP, ">", NONE, profile="full", source="A3 report, 3c"),
        claim("Flips are <not> bad", NONE, ">", FLIP, profile="full"),
        claim("They help", FLIP, ">", made("no flip", [0.5]), profile="quick"),
    ]
    courses = ["rdfia", "tdt4265", "rdfia"]
    told = [dataclasses.replace(it, notebook=f"{c}/x") for it, c in zip(told, courses, strict=True)]
    made_page = page(told)
    nbformat.validate(made_page)
    words, *tables = made_page.cells
    assert words.source.startswith("# Claims\n")
    assert "3 (1 borne out, 1 contradicted, 1 one seed only)" in words.source
    abouts = [cell.outputs[0].metadata["labkit"] for cell in tables]
    assert [about["label"] for about in abouts] == ["tab-claims-rdfia", "tab-claims-tdt4265"]
    first, second = (about["caption"] for about in abouts)
    assert first.startswith("Convolutional networks on CIFAR-10 (RDFIA")
    assert first.endswith(": claims of the A3 report, and labkit's own (–).")
    assert second.endswith(": claims.")
    assert abouts[0]["table"]["data"] == [
        [SENTENCE, "3c", "+3.0 ± 2.5 points", 3, "full", "borne out"],
        ["They help", "–", "+30.0 ± 0.0 points", 1, "quick", "one seed only"],
    ]
    assert "<td>Flips are &lt;not&gt; bad</td>" in tables[1].outputs[0].data["text/html"]
    assert nbformat.writes(page(told)) == nbformat.writes(made_page)


def test_the_page_can_be_typeset():
    one = dataclasses.replace(claim(SENTENCE, FLIP, ">", NONE), notebook="tdt4265/x")
    body = typst.section(page([one]), name="claims/").body
    assert "captioned(" in body
    assert "Flips raise the test accuracy" in body
    assert typst.section(page([]), name="claims/").body


def test_the_page_needs_no_torch():
    code = (
        "import sys, labkit.report.claims; print('torch' in sys.modules, 'IPython' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]
