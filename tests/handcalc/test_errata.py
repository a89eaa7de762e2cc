"""The reports' own wrong values, each diagnosed by name from the value alone."""

import pytest

from labkit.handcalc import check, question
from labkit.report.published import published


@pytest.mark.parametrize(
    ("place", "name", "right", "mistake"),
    [
        (
            ("tdt4265/1a", "result"),
            "tdt4265/1a",
            [[-11, 2, 4, -1, 7], [-24, 8, 12, -5, 12], [-19, 10, 4, -3, 15]],
            "two entries changed places (row 2 column 3 and row 3 column 3)",
        ),
        (
            ("tdt4265/3a", "padding"),
            "tdt4265/3a-padding",
            2,
            "the kernel's size was given for the padding",
        ),
        (
            ("rdfia/1", "fully_connected_weights"),
            "rdfia/1-fully-connected",
            3_271_753_728,
            "the + 1 was forgotten",
        ),
        (
            ("rdfia/7", "receptive_field_conv1_pool1"),
            "rdfia/7-first",
            [5, 6],
            "one stride factor too many was taken",
        ),
        (
            ("rdfia/7", "receptive_field_two_strided_convolutions"),
            "rdfia/7-strided",
            [3, 7],
            "one stride factor too many was taken",
        ),
        (
            ("rdfia/12", "parameters"),
            "rdfia/11",
            1_191_170,
            "the fully connected layer was counted without the spatial size "
            "(fully connected, 1,000 units)",
        ),
        (
            ("rdfia/12", "times_as_many"),
            "rdfia/12",
            "119.0",
            "the fully connected layer was counted without the spatial size "
            "(fully connected, 1,000 units)",
        ),
        (
            ("nn_hw1/1", "output_size"),
            "nn_hw1/1-size",
            62,
            "the + 1 was put inside the rounding",
        ),
    ],
)
def test_a_wrong_value_is_diagnosed_and_the_right_one_accepted(place, name, right, mistake):
    section, entry = place
    verdict = check(published(section)[entry], question(name))
    assert not verdict.right
    assert str(verdict.explanations[0]) == mistake
    assert check(right, question(name)).right


def test_the_receptive_fields_are_those_of_the_printed_formulas():
    # r₁ = 1 + (f₁ − 1)·s₁ and r₂ = r₁ + (f₂ − 1)·s₁·s₂, as the RDFIA report has them
    def printed(f1, s1, f2, s2):
        first = 1 + (f1 - 1) * s1
        return [first, first + (f2 - 1) * s1 * s2]

    values = published("rdfia/7")
    assert values["receptive_field_conv1_pool1"] == printed(5, 1, 2, 2)
    assert values["receptive_field_two_strided_convolutions"] == printed(3, 2, 3, 2)


def test_the_size_is_that_of_the_printed_formula():
    height, kernel, dilation, stride = 64, 3, 1, 1
    size = -(-(height - (kernel - 1) * dilation + 1) // stride)
    assert published("nn_hw1/1")["output_size"] == size


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (("rdfia/1", "weights"), "rdfia/1-weights"),
        (("rdfia/11", "parameters"), "rdfia/11"),
        (("nn_hw1/2", "parameters"), "nn_hw1/2-parameters"),
        (("nn_hw1/3-frozen", "trained_parameters"), "nn_hw1/3-classifier"),
        (("nn_hw1/3-unfrozen", "trained_parameters"), "nn_hw1/3-batch-norm"),
        (("tdt4265/4a", "trained_parameters"), "tdt4265/4a-parameters"),
        (("ist_hw2/2.3", "parameters_plain"), "ist_hw2/2.3-plain"),
        (("ist_hw2/2.3", "parameters_normalised"), "ist_hw2/2.3-normalised"),
    ],
)
def test_printed_values_that_are_right_are_accepted(place, name):
    section, entry = place
    assert check(published(section)[entry], question(name)).right


def test_one_batch_normalisation_too_few():
    # courses.md D: with one batch normalisation in the MLP the network has 755,718
    verdict = check(755_718, question("ist_hw2/2.3-normalised"))
    assert str(verdict.explanations[0]) == "a layer was left out (batch normalisation)"
