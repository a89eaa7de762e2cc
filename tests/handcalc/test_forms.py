"""What is typed into a form: answers cell by cell, as a text in a sheet, and settings."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import sheets
from labkit.handcalc import Choice, Task, check, convolve, max_pool, question
from labkit.handcalc.forms import AnswerForm, typed, unused, work

LIST, MATRIX, COLUMN = [1, 2, 3], [[1, 2, 3], [4, 5, 6]], [[1], [2]]
CHANNELS = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
FIELDS = {
    "operation": "convolution",
    "kernel": "1 0\n0 1",
    **{"window": "2", "stride": "1", "padding": "0", "dilation": "1"},
}


def plain(cell: str) -> str:
    """What is kept of a cell, said once more: one blank for whatever is blank or no sign."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in cell).split())


entries = st.one_of(
    st.integers(-9999, 9999).map(str),
    st.sampled_from(["1 000", "a b", "1/2", "0,5", "-3.", "[1", "2]", "1; 2", "3, 4", "#", "? ?"]),
    st.text(max_size=6),
)


def filled(result) -> st.SearchStrategy[list[str]]:
    size = len(AnswerForm(result).positions)
    return st.lists(entries, min_size=size, max_size=size)


class TestCells:
    def test_a_number_has_one(self):
        form = AnswerForm(3)
        assert (form.shape, form.positions, form.names) == ((), [()], ["answer"])
        assert list(form.rows()) == [("", slice(0, 1))]

    def test_a_size_has_rows_and_columns(self):
        form = AnswerForm(question("tdt4265/1e"))
        assert form.is_size
        assert form.names == ["rows", "columns"]
        # a list of two is no size
        assert AnswerForm([1, 2]).names == ["entry 1", "entry 2"]

    def test_an_array_has_those_of_its_list(self):
        assert AnswerForm(np.array(MATRIX)).names == AnswerForm(MATRIX).names

    def test_several_channels_are_numbered_where_they_begin(self):
        lines = [(channel, [*range(8)][line]) for channel, line in AnswerForm(CHANNELS).rows()]
        assert lines == [
            ("channel 1", [0, 1]),
            ("", [2, 3]),
            ("channel 2", [4, 5]),
            ("", [6, 7]),
        ]
        assert [channel for channel, _ in AnswerForm(MATRIX).rows()] == ["", ""]

    def test_words(self):
        form = AnswerForm(Task("x/1", "", Choice("ReLU", options=("ReLU", "Tanh"))))
        assert (form.is_words, form.options) == (True, ("ReLU", "Tanh"))
        assert (AnswerForm("ReLU").is_words, AnswerForm("ReLU").options) == (True, ())


class TestJudgement:
    @pytest.mark.parametrize(
        ("cells", "sentence", "signs", "answered"),
        [
            (["1", "2", "3"], "✓ correct", "✓✓✓", True),
            (["1", "2", "4"], "✗ 1 entry differs: entry 3", "✓✓✗", True),
            (["1", " ", "4"], "empty cells: 1 of 3", " ? ", False),
            (["", "", ""], "no answer yet", "   ", False),
            (["1", "b", "3"], "not readable: 'b' is no number", " ? ", False),
            (["1", "2, 3", "3"], "not readable: '2, 3' is no number", " ? ", False),
        ],
    )
    def test_of_three_numbers(self, cells, sentence, signs, answered):
        judgement = AnswerForm(LIST).judge(cells)
        assert (judgement.sentence, judgement.answered) == (sentence, answered)
        assert "".join(sign or " " for sign in judgement.signs) == signs
        assert judgement.right == (signs == "✓✓✓")

    def test_a_mistake_has_a_name(self):
        judgement = AnswerForm(convolve([[1, 2]], [[3, 4]])).judge(["11"])  # 1·4 + 2·3 = 10
        assert judgement.hint.startswith("Hint: it looks as if the kernel was not flipped")

    def test_an_answer_of_another_shape_has_no_signs(self):
        judgement = AnswerForm(3).judge(["3, 4"])
        assert judgement.sentence.startswith("✗ the answer is 2 numbers")
        assert (judgement.signs, judgement.answered) == ([""], True)


class TestSheet:
    def test_what_stands_in_the_file(self):
        cells = ["-11", "", " 1  000 ", "a b", "5", "6", "7", "8"]
        assert AnswerForm(CHANNELS).as_text(cells) == "-11\t?\n1 000\ta b\n\n5\t6\n7\t8"
        assert AnswerForm(LIST).as_text(["1/2", "", "3"]) == "1/2\t?\t3"
        assert AnswerForm("max pooling").as_text(["max pooling"]) == "max pooling"
        assert AnswerForm(MATRIX).as_text([" "] * 6) == ""

    @pytest.mark.parametrize("result", [LIST, MATRIX, COLUMN, CHANNELS, (4, 5), 3, [[3]], "words"])
    @given(data=st.data())
    def test_nothing_that_was_typed_is_lost(self, result, data, tmp_path_factory):
        cells = data.draw(filled(result))
        form = AnswerForm(result)
        text = form.as_text(cells)
        kept = [plain(cell) for cell in cells]
        if len(kept) > 1:
            kept = ["" if cell == "?" else cell for cell in kept]  # whoever types ? leaves it open
        if not text:
            assert not any(kept)
            return
        assert form.as_cells(text) == kept
        path = tmp_path_factory.getbasetemp() / "kept.yaml"
        path.unlink(missing_ok=True)
        sheets.put_answer(path, "x/1", text)
        sheets.put_answer(path, "x/2", "3")
        assert form.as_cells(sheets.read_sheet(path)["x/1"][0]) == kept

    @given(
        st.lists(
            st.sampled_from(["1", "2", "−3", "4.0", "1 000", "1,000", "1/2", "0.50"]),
            min_size=4,
            max_size=4,
        )
    )
    def test_the_text_is_judged_as_the_cells_are(self, cells):
        for task in ([[1, 2], [-3, 1000]], [[[1, 2]], [[4, Fraction(1, 2)]]], [1, 4, 2, 1000]):
            form = AnswerForm(task)
            verdict = check(form.as_text(cells), task)
            judgement = form.judge(cells)
            assert verdict.readable
            assert (verdict.right, verdict.message) == (judgement.right, judgement.sentence[2:])

    @pytest.mark.parametrize(
        ("result", "text", "cells"),
        [
            ((254, 254), "254x254", ["254", "254"]),
            ((254, 254), "254 x 253", ["254", "253"]),
            ((254, 254), "254 × 253", ["254", "253"]),
            ((254, 254), "[254, 253]", ["254", "253"]),
            (LIST, "1, 2, 3", ["1", "2", "3"]),
            (LIST, "1\n2\n3", ["1", "2", "3"]),
            (LIST, "[1,\n2,\n3]", ["1", "2", "3"]),
            (LIST, "1,5; 49.153; 1/2", ["1,5", "49.153", "1/2"]),  # as it was written
            (LIST, "1 ? 3", ["1", "", "3"]),
            (MATRIX, "1 2 3; 4 5 6", ["1", "2", "3", "4", "5", "6"]),
            (MATRIX, "[[1, 2, 3], [4, 5, 6]]", ["1", "2", "3", "4", "5", "6"]),
            (MATRIX, "1 2 3\n4 5 6", ["1", "2", "3", "4", "5", "6"]),
            (MATRIX, "1\t2\t3\t\n4\t5\t6\t", ["1", "2", "3", "4", "5", "6"]),
            (CHANNELS, "1 2\n3 4\n\n5 6\n7 8", [*"12345678"]),
            (3, " 1 000\n", ["1 000"]),
            ("words", "max pooling", ["max pooling"]),
        ],
    )
    def test_what_people_write_themselves(self, result, text, cells):
        assert AnswerForm(result).as_cells(text) == cells

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("1 2", "the sheet has 2 numbers, the task asks for 2×3"),
            ("1 2 3\n4 5", "row 2 has 2 entries"),
            ("a lot of words to be read", "'a' is no number"),
            ("[1, 2", "is not closed"),
        ],
    )
    def test_what_does_not_fit_is_said(self, text, message):
        with pytest.raises(ValueError, match=message):
            AnswerForm(MATRIX).as_cells(text)


class TestSettings:
    def test_a_calculation_is_read_from_its_fields(self):
        assert work(MATRIX, FIELDS, most_entries=6).result == [[6, 8]]  # 1 + 5, 2 + 6
        fields = FIELDS | {"padding": "1, 2", "stride": "2×3", "kernel": "[[1, 0], [0, 1]]"}
        meant = convolve(MATRIX, [[1, 0], [0, 1]], padding=(1, 2), stride=(2, 3))
        assert work(MATRIX, fields, most_entries=99).result == meant.result
        same = convolve(MATRIX, [[1, 0], [0, 1]], padding="same")
        assert work(MATRIX, FIELDS | {"padding": " same"}, most_entries=99).result == same.result

    @pytest.mark.parametrize("kernel", ["1 0\n0 1", "[[1, 0], [0, 1]]", "[[[1, 0], [0, 1]]]"])
    def test_a_kernel_of_one_channel_may_stand_in_any_brackets(self, kernel):
        meant = convolve([MATRIX], [[[1, 0], [0, 1]]])
        worked = work([MATRIX], FIELDS | {"kernel": kernel}, most_entries=99)
        assert worked.result == meant.result

    def test_fields_that_have_no_use_are_not_read(self):
        assert unused("convolution") == ["window"]
        fields = FIELDS | {"operation": "max pooling", "kernel": "no"}
        assert work(MATRIX, fields, most_entries=99).result == max_pool(MATRIX, 2, stride=1).result
        fields |= {"operation": "average pooling", "dilation": "no"}
        assert work(MATRIX, fields, most_entries=99).result == [[3, 4]]  # 12/4, 16/4

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"stride": " "}, "^stride is empty; give it a number"),
            ({"kernel": "a b"}, "^kernel: 'a' is no number"),
            ({"padding": "some"}, "^padding: 'some' is no number"),
            ({"padding": "9"}, "has 1×20×21 entries, more than 400; lower the padding"),
        ],
    )
    def test_what_does_not_fit_is_said(self, change, message):
        with pytest.raises(ValueError, match=message):
            work(MATRIX, FIELDS | change, most_entries=400)

    def test_half_a_number(self):
        assert typed("0.5", "stride", (2,)) == 0.5
        assert typed("1/2; 3", "kernel", (0, 0)) == [[Fraction(1, 2)], [3]]
