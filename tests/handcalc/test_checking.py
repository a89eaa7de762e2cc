"""Answers compared: right ones, wrong ones, and what is no answer at all."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from labkit.handcalc import check, convolve

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
        (0.33, Fraction(1, 3), ((),), "not correct"),
        (10**400, 0.5, ((),), "not correct"),
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
            "8 entries differ: row 1 column 1, row 1 column 2, row 1 column 3, row 1 column 4, "
            "row 1 column 5, row 1 column 6 and 2 more",
        ),
    ],
)
def test_wrong_answers_name_their_entries(answer, expected, wrong, message):
    verdict = check(answer, expected)
    assert not verdict.right
    assert verdict.wrong == wrong
    assert str(verdict) == message


@pytest.mark.parametrize(
    ("answer", "expected", "message"),
    [
        (None, 3, "no answer yet"),
        (..., RIGHT, "no answer yet"),
        (254, (254, 254), "the answer is one number, the task asks for a list of 2"),
        ((3, 3), 3, "the answer is a list of 2, the task asks for one number"),
        ([[1, 2]], RIGHT, "the answer is 1×2, the task asks for 3×5"),
        ([[1, 2], [3]], RIGHT, "not readable: answer is ragged: answer[1] has 1 entries where"),
        ([], RIGHT, "not readable: answer is empty; give it at least one number"),
        ("three", 3, "not readable: answer is 'three', which is no number;"),
        (float("nan"), 3, "not readable: answer is nan; replace it by a finite number"),
        ([1, ...], (1, 2), "not readable: answer[1] is Ellipsis, which is no number;"),
        ({1: 2}, 3, "not readable: answer is {1: 2}, which is no number;"),
        (print, 3, "not readable: answer is <built-in function print>, which is no number;"),
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
    assert check(3, 3)._repr_markdown_() == "**Check:** correct."
