"""What the page asks of Python, asked here without a browser."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import sheets
from labkit.handcalc import Choice, Task, convolve, html, max_pool, question
from labkit.handcalc.exercises import KINDS, LEVELS, exercise
from labkit.handcalc.questions import QUESTIONS
from labkit.handcalc.windows import flat
from labkit.site import desk

# question 1a of TDT4265 as the report prints it: two entries changed places
REPORTED = ["-11", "2", "4", "-1", "7", "-24", "8", "4", "-5", "12", "-19", "10", "12", "-3", "15"]
RIGHT = ["-11", "2", "4", "-1", "7", "-24", "8", "12", "-5", "12", "-19", "10", "4", "-3", "15"]
IMAGE = [[2, 1, 2, 3, 1], [3, 9, 1, 1, 4], [4, 5, 0, 7, 0]]
SOBEL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
FIELDS = {
    "image": "2 1 2 3 1\n3 9 1 1 4\n4 5 0 7 0",
    "operation": "convolution",
    "kernel": "-1 0 1\n-2 0 2\n-1 0 1",
    **{"window": "2", "stride": "1", "padding": "1", "dilation": "1"},
}
TASKS = [
    *QUESTIONS.values(),
    *(exercise(kind, level, seed=5, number=2) for kind in KINDS for level in LEVELS),
]


def right_cells(task) -> list[str]:
    result = task.result
    return [str(entry) for entry in (result if isinstance(result, tuple) else flat(result))]


class Inputs(HTMLParser):
    """The names that a screen reader has for the cells, and what each choice is."""

    def __init__(self, text):
        super().__init__()
        self.names, self.choices, self.opened = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "input" and attributes["type"] == "radio":
            self.choices.append(attributes["value"])
        elif tag == "input":
            self.names.append("".join(self.opened).strip())
        if tag == "label":
            self.opened = []

    def handle_data(self, data):
        self.opened.append(data)


# ---- answers


def test_the_reported_answer_is_wrong_in_two_cells_that_changed_places():
    reply = desk.judged("tdt4265/1a", REPORTED)
    assert reply["sentence"] == "✗ 2 entries differ: row 2 column 3, row 3 column 3"
    assert reply["hint"].startswith("Hint: it looks as if two entries changed places")
    assert [i for i, sign in enumerate(reply["signs"]) if sign == "✗"] == [7, 12]
    assert reply["signs"].count("✓") == 13
    assert (reply["right"], reply["answered"]) == (False, True)


def test_the_right_answer():
    reply = desk.judged("tdt4265/1a", RIGHT)
    assert (reply["sentence"], reply["right"], reply["hint"]) == ("✓ correct", True, "")
    assert reply["signs"] == ["✓"] * 15


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_right_answer_of_every_task_is_accepted(task):
    assert desk.judged(task.name, right_cells(task))["right"]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_there_is_a_named_cell_for_each_entry(task):
    shown = Inputs(desk.article(task, ""))
    if shown.choices:
        assert task.result in shown.choices
        assert shown.names == []
    else:
        assert len(shown.names) == len(set(shown.names)) == len(right_cells(task))
        assert all(shown.names)


def test_words_have_one_cell():
    article = desk.article(Task("x/1", "", Choice("ReLU")), "<p>Which?</p>")
    assert Inputs(article).names == ["answer"]
    assert "<p>Which?</p>" in article


def test_cells_are_named_by_their_place():
    # the name of a size's second cell follows the × that stands before it
    assert Inputs(desk.article(question("tdt4265/1e"), "")).names == ["rows", "columns"]
    assert Inputs(desk.article(question("tdt4265/1a"), "")).names[7] == "row 2 column 3"
    assert desk.article(question("nn_hw1/1-forward"), "").count("channel 2</p>") == 1


def test_empty_cells_are_counted_and_the_others_not_judged():
    reply = desk.judged("tdt4265/1a", ["-11", " ", *REPORTED[2:]])
    assert reply["sentence"] == "empty cells: 1 of 15"
    assert not reply["answered"]
    assert reply["signs"][1] == "?"
    assert desk.judged("tdt4265/1a", [""] * 15)["sentence"] == "no answer yet"


def test_a_cell_that_is_no_number_has_a_question_mark():
    reply = desk.judged("tdt4265/1e", ["254", "many"])
    assert (reply["signs"], reply["answered"]) == (["", "?"], False)
    assert "'many' is no number" in reply["sentence"]


def test_a_choice():
    assert desk.judged("tdt4265/1b", ["max pooling"])["right"]
    assert desk.judged("tdt4265/1b", ["convolution"])["sentence"] == "✗ not correct"


@given(st.lists(st.text(max_size=12), min_size=2, max_size=2))
def test_nothing_that_is_typed_raises(cells):
    reply = desk.judged("tdt4265/1e", cells)
    assert len(reply["signs"]) == 2
    assert json.loads(json.dumps(reply)) == reply


def test_the_working_of_a_convolution_is_shown_window_by_window():
    assert desk.working("tdt4265/1a") == {"steps": 15, "lines": []}
    worked = question("tdt4265/1a").calculation
    assert desk.step_of("tdt4265/1a", 8) == html(worked, at=(1, 2))


def test_any_other_working_is_lines():
    # ⌊(508 + 2·0 − 2)/2⌋ + 1 = 254
    assert desk.working("tdt4265/1e")["steps"] == 0
    assert desk.working("tdt4265/1e")["lines"][-1].endswith("= 253 + 1 = 254")


# ---- the stepper


def test_a_step_is_that_of_the_calculation():
    reply = desk.step(FIELDS, 8)
    assert reply["html"] == html(convolve(IMAGE, SOBEL, padding=1), at=(1, 2))
    assert (reply["steps"], reply["number"], reply["unused"]) == (15, 8, ["window"])


def test_pooling_takes_the_window_and_no_kernel():
    fields = FIELDS | {"operation": "max pooling", "stride": "2×1", "padding": "0", "kernel": "no"}
    reply = desk.step(fields, 1)
    assert reply["html"] == html(max_pool(IMAGE, 2, stride=(2, 1)), at=(0, 0))
    assert reply["unused"] == ["kernel"]
    average = desk.step(fields | {"operation": "average pooling", "dilation": "no"}, 1)
    assert average["unused"] == ["kernel", "dilation"]
    assert average["steps"] == 4


def test_channels_are_parted_by_an_empty_line():
    fields = FIELDS | {"image": "1 2\n3 4\n\n5 6\n7 8", "kernel": "1 0\n\n0 1", "padding": "0"}
    expected = convolve([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], [[[1, 0]], [[0, 1]]])
    assert desk.step(fields, 1)["html"] == html(expected, at=(0, 0))


def test_a_step_beyond_the_last_is_the_last():
    assert desk.step(FIELDS, 99)["number"] == 15
    assert desk.step(FIELDS, 0)["number"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride": ""}, "stride is empty; give it a number"),
        ({"stride": "0"}, "stride"),
        ({"kernel": "a b"}, "kernel: 'a' is no number"),
        ({"image": "1 2\n3"}, "image: row 2 has 1 entries"),
        ({"padding": "400"}, "padded input has 1×803×805 entries, more than 100,000"),
        ({"padding": "0", "image": "1"}, "larger than the"),
        ({"image": "1 2\n\n3 4"}, "channel"),
    ],
)
def test_what_does_not_fit_is_said(change, message):
    reply = desk.step(FIELDS | change, 1)
    assert message in reply["message"]
    assert (reply["html"], reply["steps"]) == ("", 0)


# ---- exercises


def test_exercises_are_those_of_the_command_line():
    reply = desk.drawn("pooling", "2", "7", "2")
    assert re.findall(r'data-task="([^"]+)"', reply["html"]) == ["pooling/2/7/1", "pooling/2/7/2"]
    assert reply["message"] == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pooling", "1", "x", "1"), "seed: 'x' is no whole number; write one"),
        (("pooling", "1", "-1", "1"), "seed"),
        (("pooling", "9", "0", "1"), "there is no level 9; give 1, 2 or 3"),
        (("pooling", "1", "0", "0"), "count"),
        (("pooling", "1", "0", "21"), "at most 20"),
        (("poling", "1", "0", "1"), "did you mean pooling?"),
    ],
)
def test_why_there_are_no_exercises_is_said(arguments, message):
    reply = desk.drawn(*arguments)
    assert message in reply["message"]
    assert reply["html"] == ""


# ---- sheets


def test_labkit_check_reads_the_sheet(tmp_path):
    path = tmp_path / "answers.yaml"
    answers = {task.name: right_cells(task) for task in TASKS}
    path.write_text(desk.sheet(answers), encoding="utf-8")
    checked = sheets.check_sheet(path)
    assert [it.task.name for it in checked] == [task.name for task in TASKS]
    assert all(it.verdict.right for it in checked)


def test_a_sheet_can_be_loaded_again():
    answers = {task.name: right_cells(task) for task in TASKS}
    assert desk.read_sheet(desk.sheet(answers)) == {"answers": answers, "problems": []}


def test_a_gap_stays_a_gap(tmp_path):
    answers = {"tdt4265/1a": ["", *RIGHT[1:]], "tdt4265/1e": ["254", ""], "tdt4265/1c": [""]}
    text = desk.sheet(answers)
    assert desk.read_sheet(text)["answers"] == {k: answers[k] for k in ("tdt4265/1a", "tdt4265/1e")}
    (tmp_path / "answers.yaml").write_text(text)
    verdicts = [it.verdict for it in sheets.check_sheet(tmp_path / "answers.yaml")]
    assert not any(it.right or it.readable for it in verdicts)


def test_what_is_kept_of_a_question_that_is_gone_is_left_out():
    assert "old" not in desk.sheet({"old/1": ["3"], "convolution/9/9/9": ["3"]})


@given(st.text(max_size=30), st.text(max_size=10))
def test_any_text_makes_a_sheet_that_can_be_read(tmp_path_factory, words, entry):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    answers = {"tdt4265/1c": [words], "tdt4265/1a": [entry, *RIGHT[1:]]}
    path.write_text(desk.sheet(answers), encoding="utf-8", newline="")
    found = {name: text for name, (text, _) in sheets.read_sheet(path).items()}
    printable = "".join(sign if sign.isprintable() else " " for sign in words)
    assert found.get("tdt4265/1c", "") == " ".join(printable.split())


def test_a_filled_in_template_is_read():
    text = sheets.template("tdt4265")
    text = text.replace("tdt4265/1c:", "tdt4265/1c: 3  # as I think")
    text = text.replace("tdt4265/1e:", "'tdt4265/1e': '254x254'")
    rows = "    1 2 3 4 5\n    6 7 8 9 10\n    0 0 0 0 0"
    text = text.replace("tdt4265/1a: |", f"tdt4265/1a: |\n{rows}")
    assert desk.read_sheet(text.replace("\n", "\r\n")) == {
        "answers": {
            "tdt4265/1a": [*map(str, range(1, 11)), *"00000"],
            "tdt4265/1c": ["3"],
            "tdt4265/1e": ["254", "254"],
        },
        "problems": [],
    }


def test_rows_as_a_list_are_read():
    sheet = 'convolution/1/3/1:\n- 1 2 3\n- 4 5 -6\n"tdt4265/1b": max pooling\n'
    assert desk.read_sheet(sheet)["answers"] == {
        "convolution/1/3/1": ["1", "2", "3", "4", "5", "-6"],
        "tdt4265/1b": ["max pooling"],
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no answers"),
        ("hello", "line 1: not readable"),
        ("x/y: 3", "x/y: there is no question"),
        ("tdt4265/1e: 1; 2; 3", "tdt4265/1e: the sheet has 3 numbers, the task asks for 2"),
        ("tdt4265/1e: a lot", "tdt4265/1e: 'a' is no number"),
        ("tdt4265/1c: 3\ntdt4265/1c: 4", "line 2: tdt4265/1c has an answer already"),
        ("x" * 200_001, "the sheet has over 200,000 characters"),
    ],
)
def test_what_cannot_be_taken_over_is_said(text, problem):
    reply = desk.read_sheet(text)
    assert len(reply["problems"]) == 1
    assert problem in reply["problems"][0]
    assert reply["answers"] == {}


@given(st.text(alphabet=st.sampled_from("a:/1 \t\n|\"'#-?;[]×"), max_size=60))
def test_no_text_makes_the_reader_raise(text):
    desk.read_sheet(text)
    desk.read_sheet(f"tdt4265/1e: {text}")


# ---- the way from JavaScript


def test_arguments_and_replies_are_json():
    reply = json.loads(desk.call("judged", json.dumps(["tdt4265/1c", ["3"]])))
    assert reply["right"]


def test_it_needs_the_standard_library_alone():
    program = (
        "from labkit.site import desk\n"
        "print(desk.judged('tdt4265/1c', ['3'])['sentence'], desk.drawn('solve', '1', '0', '1'))"
    )
    # -S leaves site-packages out, where every other package lies
    run = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("✓ correct")
