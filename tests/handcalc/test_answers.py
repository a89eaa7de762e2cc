"""Answers in every usual notation are read, and nothing else is."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit.handcalc import ParameterCount, check, question
from labkit.handcalc.answers import numbers, read, same


def first(answer, shape):
    return next(read(answer, shape))


@pytest.mark.parametrize(
    "text",
    [
        "3271753728",
        "3.271.753.728",
        "3,271,753,728",
        "3 271 753 728",
        "3\u00a0271\u202f753\u2009728",  # no-break and thin spaces
        "3'271'753'728",
        "3’271’753’728",
        "3_271_753_728",
        "3271753728.0",
        " 3,271,753,728. ",
        "+3271753728",
    ],
)
def test_thousands_in_every_usual_way(text):
    assert first(text, ()) == ([3_271_753_728], ())
    assert check(text, question("rdfia/1-fully-connected")).right


def test_a_point_or_comma_before_three_digits_is_read_both_ways():
    assert numbers("49.153") == [49_153, Decimal("49.153")]
    assert numbers("49,153") == [49_153, Decimal("49.153")]
    assert check("49.153", question("rdfia/1-weights")).right
    assert check("49.153", Fraction(49_153, 1000)).right
    assert check("3.000", 3).right
    assert check("3.000", 3000).right


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("-7", -7),
        ("−7", -7),
        ("–7", -7),
        ("1/2", Fraction(1, 2)),
        ("-3 / 4", Fraction(-3, 4)),
        ("1⁄2", Fraction(1, 2)),
        ("0.5", Decimal("0.5")),
        ("0,5", Decimal("0.5")),
        (".5", Decimal("0.5")),
        ("1e3", 1000),
        ("2.5e-1", Decimal("0.25")),
        ("1,234.5", Decimal("1234.5")),
        ("1.234,5", Decimal("1234.5")),
    ],
)
def test_numbers(text, number):
    assert number in numbers(text)


@pytest.mark.parametrize(
    "text", ["254x254", "254 x 254", "254×254", "254 × 254", "(254, 254)", "[254,254]", "254, 254",
             "254 254", "254 by 254", "254*254", "254;254", "254\t254", "254"]
)  # fmt: skip
def test_sizes(text):
    assert check(text, question("tdt4265/1e")).right


@pytest.mark.parametrize(
    "answer",
    [
        "1 -2 3; 4 5/2 6",
        "1 -2 3\n4 5/2 6",
        "1, -2, 3\n4, 2.5, 6\n",
        "1,-2,3;4,5/2,6",
        "1\t-2\t3\n4\t2,5\t6\n",
        "1\t-2\t3\t\r\n4\t2.5\t6\t\r\n",
        "[[1, -2, 3], [4, 2.5, 6]]",
        "((1, −2, 3), (4, 5/2, 6))",
        "[1 -2 3\n 4 5/2 6]",
        "array([[ 1. , -2. ,  3. ],\n       [ 4. ,  2.5,  6. ]])",
        "tensor([[1, -2, 3], [4, 2.5, 6]])",
        [[1, -2, 3], [4, 2.5, 6]],
        [["1", "-2", "3"], ["4", "5/2", "6"]],
        ((1, -2, 3), (4, Fraction(5, 2), 6)),
        np.array([[1, -2, 3], [4, 2.5, 6]]),
        torch.tensor([[1, -2, 3], [4, 2.5, 6]]),
    ],
)
def test_matrices(answer):
    right = [[1, -2, 3], [4, Fraction(5, 2), 6]]
    assert check(answer, right).right, list(read(answer, (2, 3)))


def test_several_maps_stand_below_each_other():
    assert first("1 2\n3 4\n\n5 6\n7 8", (2, 2, 2)) == ([1, 2, 3, 4, 5, 6, 7, 8], (2, 2, 2))
    assert check("2 0\n\n12 18", question("nn_hw1/1-forward")).right


def test_a_number_that_is_not_whole_may_be_rounded_to_two_decimals_or_more():
    for written in ("3.67", "3.667", "3,6667", 3.6666666666666665, "11/3"):
        assert check(written, Fraction(11, 3)).right, written
    for written in ("3.6", "3.7", "3.66", "3.666", "4", "0.00"):
        assert not check(written, Fraction(11, 3)).right, written
    assert not same(Decimal("0.00"), Fraction(1, 1000))
    assert not check("3.0001", 3).right


@given(st.integers(-(10**12), 10**12), st.sampled_from(",.' _\u202f"))
def test_every_whole_number_with_separators_is_right(number, mark):
    written = f"{number:,}".replace(",", mark)
    assert check(written, number).right
    assert check(str(number), number).right


@given(st.lists(st.lists(st.integers(-99, 99), min_size=3, max_size=3), min_size=2, max_size=4))
def test_every_matrix_of_whole_numbers_is_right_in_every_form(rows):
    for cell, row in ((" ", "; "), (" ", "\n"), ("\t", "\n"), (", ", "\n"), (",", ";")):
        written = row.join(cell.join(map(str, line)) for line in rows)
        assert check(written, rows).right, written
    assert check(str(rows), rows).right
    assert check(str(np.array(rows)), rows).right


MALFORMED = [
    "", " ", "\n\n", "\t", ";", ";;;", ",", ".", "-", "+", "--3", "3-", "3..4", "1,2,3,4,5,6,7",
    "1 2 3", "1;2", "1 2;3", "1 2\n3", "[", "]", "[[", "]]", "[1", "1]", "[1,2", "(1,2]", "[(])",
    "{}", "{1: 2}", "[]", "[[]]", "[[],[]]", "()", "[[1,2],[3]]", "[1,[2,3]]", "[[1],[[2]]]",
    "[" * 10_000, "[" * 10_000 + "]" * 10_000, "[[[[[[[[[[1]]]]]]]]]]", "((((((((((3))))))))))",
    "nan", "NaN", "-nan", "inf", "-inf", "Infinity", "1 nan; 2 3", "[[nan, 1], [2, 3]]",
    "1e999999999", "9" * 5_000, "-" + "9" * 4_400, "1e-999", "0x1F", "0b11", "1j", "3+4j",
    "3 apples", "three", "drei", "?", "…", "None", "null", "true", "False", "NULL", "n/a", "idk",
    "1/0", "0/0", "1/", "/2", "1/2/3", "½½", "√2", "π", "10^3", "2**10", "3!", "5 %", "€ 5",
    "__import__('os').system('true')", "exec('x=1')", "print(3)", "open('/dev/null')", "lambda: 3",
    "(lambda: 3)()", "[x for x in range(3)]", "os.getcwd()", "'; DROP TABLE answers; --",
    "${HOME}", "`ls`", "$(ls)", "{{3}}", "%s%s%s", "<script>alert(3)</script>", "&amp;", "\\frac12",
    "!!python/object/apply:os.system ['true']", "&a [*a]", "*a", "- 3", "a: b", "# 3", "---",
    "...", "3,271,75", "1.23.456",
    "12,34,56", "1,,2", "1..2", "1 . 2", "., .", "x", "xx", "3x", "x3",
    "3x3x", "axb", "3 by", "by 3", "1\x002", "\x00", "\x1b[31m3", "\ud800", "٣x", "一", "🙂",
    "💥" * 50,
    "1\t\t2\n3\t4\t5", "\t1\t2", "1|2", "1 & 2", "1\\\\2", "1/2 1/0", "a b; c d", "1 a; 2 b",
    "array([1, 2", "np.array()", "tensor()", "tensor(nan)", "matrix", "[1, 2, ...]", "1 ... 5",
    "3" + " " * 10_000 + "4 x", "1 " * 30_000, ("1 2 3 4 5 " * 10 + ";") * 500, "a" * 300_000,
    *(sign + word for sign in ("", "-", "+") for word in ("abc", "e5", "1e", "1e+", "..", ",,")),
]  # fmt: skip
MALFORMED_VALUES = [
    float("nan"), float("inf"), -float("inf"), 1 + 2j, b"3", bytearray(b"3"), {}, {1: 2}, {1, 2},
    object(), object, print, len, int, Exception("3"), ..., None, [], [[]], [[], [1]], [1, [2]],
    [None], [...], [[None, 1], [2, 3]], ["a"], [float("nan")], [[float("inf")]], [1, "x"], ["", ""],
    (i for i in range(3)), range(0), iter([]), lambda: 3, 10**5000, -(10**5000), Fraction(10**5000),
    Decimal("NaN"), Decimal("Infinity"), Decimal("1e999999"), np.array([]), np.array([np.nan]),
    np.array(["a"]), np.zeros((0, 3)), torch.tensor([]), torch.tensor(float("nan")),
    [[[[[[[[1]]]]]]]],
    type("Hostile", (), {"tolist": lambda self: 1 / 0})(),
]  # fmt: skip
TASKS = [
    "tdt4265/1a",
    "tdt4265/1c",
    "tdt4265/1e",
    "tdt4265/1g",
    "rdfia/7",
    "rdfia/12",
    "tdt4265/1b",
]


def test_there_are_over_200_malformed_answers():
    assert len(MALFORMED) + len(MALFORMED_VALUES) >= 200


@pytest.mark.parametrize("name", TASKS)
def test_malformed_answers_give_one_line(name):
    task = question(name)
    for answer in [*MALFORMED, *MALFORMED_VALUES]:
        verdict = check(answer, task)
        assert not verdict.right, answer
        assert verdict.message
        assert "\n" not in verdict.message, answer
        assert "Traceback" not in str(verdict)
        assert len(verdict.message) < 300, answer


def test_an_endless_list_is_refused():
    endless = []
    endless.append(endless)
    assert not check(endless, question("tdt4265/1a")).right


def test_nothing_in_an_answer_is_executed(tmp_path):
    witness = tmp_path / "executed"
    code = f"__import__('pathlib').Path({str(witness)!r}).touch()"
    for answer in (code, f"[{code}]", f"3; {code}", f"{{{code}}}", f"f'{{{code}}}'"):
        for name in TASKS:
            check(answer, question(name))
    assert not witness.exists()


def test_a_count_may_be_rounded_in_no_way():
    assert not check("390,000", question("tdt4265/1g")).right
    assert not check("390410.5", question("tdt4265/1g")).right
    assert not check(390_411, ParameterCount(question("tdt4265/1g").calculation.layers)).right
