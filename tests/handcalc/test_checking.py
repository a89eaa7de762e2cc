"""Answers compared: right ones, wrong ones, and what is no answer at all."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from labkit.handcalc import (
    Flatten,
    Linear,
    OutputSize,
    ParameterCount,
    ReceptiveField,
    ReLU,
    check,
    convolve,
    cross_correlate,
    exercise_named,
    max_pool,
    question,
    solve,
)

IMAGE = [[2, 1, 2, 3, 1], [3, 9, 1, 1, 4], [4, 5, 0, 7, 0]]
SOBEL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
RIGHT = [[-11, 2, 4, -1, 7], [-24, 8, 12, -5, 12], [-19, 10, 4, -3, 15]]
PUBLISHED = [[-11, 2, 4, -1, 7], [-24, 8, 4, -5, 12], [-19, 10, 12, -3, 15]]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (3, 3),
        (3.0, 3),
        (np.int64(3), 3),
        (torch.tensor(3), 3),
        ((254, 254), (254, 254)),
        ([254, 254], (254, 254)),
        (RIGHT, RIGHT),
        (np.array(RIGHT), RIGHT),
        (torch.tensor(RIGHT), RIGHT),
        (RIGHT, convolve(IMAGE, SOBEL, padding=1)),
        (3.75, Fraction(15, 4)),
        (0.3333333, Fraction(1, 3)),
        ("0.33", Fraction(1, 3)),  # rounded to two decimals
        (Fraction(6, 8), Fraction(3, 4)),
        ("Max  pooling.", "max pooling"),
    ],
)
def test_right_answers(answer, expected):
    verdict = check(answer, expected)
    assert verdict.right
    assert verdict.wrong == ()
    assert str(verdict) == "correct"


@pytest.mark.parametrize(
    ("answer", "expected", "wrong", "message"),
    [
        (4, 3, ((),), "not correct"),
        (0.3, Fraction(1, 3), ((),), "not correct"),
        (0.34, Fraction(1, 3), ((),), "not correct"),
        (10**30, 0.5, ((),), "not correct"),
        ("convolution", "max pooling", ((),), "not correct"),
        (3, "max pooling", ((),), "not correct"),
        ((254, 255), (254, 254), ((1,),), "1 entry differs: entry 2"),
        (PUBLISHED, RIGHT, ((1, 2), (2, 2)), "2 entries differ: row 2 column 3, row 3 column 3"),
        (
            [[[1, 0]], [[0, 4]]],
            [[[1, 2]], [[3, 4]]],
            ((0, 0, 1), (1, 0, 0)),
            "2 entries differ: channel 1 row 1 column 2, channel 2 row 1 column 1",
        ),
        (
            [[0] * 8],
            [[1] * 8],
            tuple((0, column) for column in range(8)),
            "every entry differs",
        ),
        (
            [[0] * 8],
            [[1] * 7 + [0]],
            tuple((0, column) for column in range(7)),
            "7 entries differ: row 1 column 1, row 1 column 2, row 1 column 3, row 1 column 4, "
            "row 1 column 5, row 1 column 6 and 1 more",
        ),
    ],
)
def test_wrong_answers_name_their_entries(answer, expected, wrong, message):
    verdict = check(answer, expected)
    assert not verdict.right
    assert verdict.wrong == wrong
    assert str(verdict).split("\n")[0] == verdict.message == message


@pytest.mark.parametrize(
    ("answer", "expected", "message"),
    [
        (None, 3, "no answer yet"),
        (..., RIGHT, "no answer yet"),
        (254, (254, 254), "the answer is one number, the task asks for 2 numbers"),
        ((3, 3), 3, "the answer is 2 numbers, the task asks for one number"),
        ([[1, 2]], RIGHT, "the answer is 1×2 numbers, rows × columns, the task asks for 3×5"),
        ([[1, 2], [3]], RIGHT, "not readable: part 2 has 1 entries where part 1 has 2"),
        ([], RIGHT, "not readable: the answer has an empty list"),
        ("three", 3, "not readable: 'three' is no number"),
        (float("nan"), 3, "not readable: nan is no finite number"),
        (10**400, 3, "not readable: a number is too large"),
        ([1, ...], (1, 2), "not readable: Ellipsis is no number"),
        ({1: 2}, 3, "not readable: {1: 2} is no number"),
        (print, 3, "not readable: <built-in function print> is no number"),
    ],
)
def test_what_is_no_answer_is_told_and_raises_nothing(answer, expected, message):
    verdict = check(answer, expected)
    assert not verdict.right
    assert verdict.wrong == ()
    assert str(verdict).startswith(message)
    assert "\n" not in str(verdict)


def test_an_endless_answer_is_refused():
    endless = []
    endless.append(endless)
    assert str(check(endless, 3)).startswith("not readable: ")


def test_a_verdict_shows_itself_in_jupyter():
    assert check(3, 3)._repr_markdown_() == "**Check:** 3, correct."
    shown = check("254x253", question("tdt4265/1e"))._repr_markdown_()
    assert shown.startswith("**Check tdt4265/1e:** 254 × 253, not correct: columns.")
    shown = check(PUBLISHED, convolve(IMAGE, SOBEL, padding=1))._repr_markdown_()
    assert shown.count(r"\boxed{") == 2
    assert r"\boxed{4}" in shown
    assert r"\boxed{12}" in shown
    assert "two entries changed places (row 2 column 3 and row 3 column 3)" in shown


def test_wrong_entries_stand_in_brackets_in_plain_text():
    assert str(check([[1, 2], [4, 3]], [[1, 2], [3, 4]])).split("\n")[1:] == [
        " 1    2",
        "[4]  [3]",
    ]


def test_a_square_size_may_be_given_as_one_number():
    assert check(254, OutputSize((508, 508), 2, stride=2)).right
    assert check("5x5", solve(input=512, output=508, stride=1, padding=0)).right
    assert not check("5x4", solve(input=512, output=508, stride=1, padding=0)).right
    assert not check(254, OutputSize((508, 510), 2, stride=2)).right


def test_any_of_several_solutions_is_right_and_so_is_the_list_of_all():
    task = solve(output=16, kernel=3, stride=2, padding=1)  # 31 or 32
    for answer in (31, 32, "31, 32", [31, 32]):
        assert check(answer, task).right, answer
    for answer in (30, 33, "31, 33", "32, 31.5"):
        assert not check(answer, task).right, answer


def test_the_working_is_shown_when_asked_for_only():
    verdict = check(255, OutputSize(508, 2, stride=2))
    assert "254" not in str(verdict) + verdict._repr_markdown_()
    assert "= 254" in verdict.working()
    assert verdict.corrections == (("255", "254"),)


def test_words_are_compared_without_regard_to_case_and_hyphens():
    task = question("tdt4265/1b")
    assert check("Max-Pooling", task).right
    assert str(check("stride", task)).startswith("not correct; choose one of: convolution")
    assert str(check("convolution", task)) == "not correct"


def test_a_verdict_is_true_for_a_right_answer_alone():
    assert check(3, 3)
    assert not check(4, 3)


def test_a_task_may_be_named():
    assert check(3, "tdt4265/1c")
    assert check("max pooling", "tdt4265/1b")
    assert check(exercise_named("convolution/1/3/2").result, "convolution/1/3/2")
    with pytest.raises(ValueError, match="no question 'tdt4265/9z'"):
        check(3, "tdt4265/9z")


def test_a_task_for_an_answer_is_told_and_a_calculation_is_its_result():
    swapped = check(question("tdt4265/1c"), 3)
    assert str(swapped) == "the answer comes first, then the task: check(answer, task)"
    assert check(convolve(IMAGE, SOBEL, padding=1), RIGHT).right


@pytest.mark.parametrize(
    ("answer", "task"),
    [  # mistakes that move the windows off the whole input
        ([[9]], convolve([[1]], [[1]])),
        ([[9]], max_pool([[1, 5]], (1, 2))),
        ([[9, 9, 9]], convolve([[1, 2, 3]], [[1, 1], [1, 1]], padding=1)),
        ([[1]], cross_correlate([[1, 2, 3]] * 3, [[1, 0, 1]] * 3, padding=3, dilation=4)),
        (5, ReceptiveField((ReLU(),))),
        (5, ParameterCount((Flatten(), Linear(10, 2)), (10,))),
    ],
)
def test_small_tasks_are_checked_as_well(answer, task):
    assert not check(answer, task).right


def test_the_float32_of_an_array_is_right():
    x, kernel = torch.rand(1, 1, 6, 6), torch.rand(1, 1, 3, 3)
    answer = torch.nn.functional.conv2d(x, kernel)[0, 0]
    task = cross_correlate(x[0, 0].double(), kernel[0, 0].double())
    assert check(answer, task).right
    assert not check(answer + 0.001, task).right
    assert check(np.float32([[1 / 3, 2 / 3]]), [[Fraction(1, 3), Fraction(2, 3)]]).right


def test_rows_may_be_written_one_after_the_other():
    flat = " ".join(str(entry) for row in RIGHT for entry in row)
    assert check(flat, convolve(IMAGE, SOBEL, padding=1)).right
    verdict = check("-11 2 4 -1 7", convolve(IMAGE, SOBEL, padding=1))
    assert verdict.explanations == ()  # right as far as it goes
    assert verdict.message.endswith("separate rows by ; or new lines")


def test_a_long_answer_is_read_in_no_time():
    # a pattern that backtracks would take minutes here; the test's own time limit holds it
    for answer in ("1" + " " * 150_000 + "2", "1;" * 50_000, "1\t" * 50_000):
        assert not check(answer, [[1, 2], [3, 4]]).right


def test_a_ratio_may_be_a_fraction_and_is_wanted_to_three_digits():
    for answer in ("1191170/10010", "119", "119.0", "118.998", question("rdfia/12").result):
        assert check(answer, "rdfia/12"), answer
    for answer in ("120", "100", "118"):
        assert not check(answer, "rdfia/12"), answer
    assert check("100", "rdfia/12").explanations == ()  # only the right answer, too coarse
