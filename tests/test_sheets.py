"""`labkit check` as a student meets it: single answers, whole sheets, and what cannot be used."""

import subprocess
import sys

import pytest

from labkit import sheets
from labkit.errors import UsageError
from labkit.handcalc.questions import QUESTIONS, course_questions
from labkit.handcalc.render import answer_text

PUBLISHED_1A = "-11 2 4 -1 7; -24 8 4 -5 12; -19 10 12 -3 15"


def test_a_right_answer(labkit):
    status, out, err = labkit("check", "tdt4265/1c", "3")
    assert (status, err) == (0, "")
    assert out == "tdt4265/1c  correct\n"


def test_a_wrong_answer_gets_its_mistake_named(labkit):
    status, out, _ = labkit("check", "tdt4265/1a", "--", PUBLISHED_1A)
    assert status == 1
    assert "2 entries differ: row 2 column 3, row 3 column 3" in out
    assert "[4]" in out
    assert "two entries changed places" in out
    assert "0·2" not in out  # the working is not shown
    # a minus in front needs no `--` either
    assert labkit("check", "tdt4265/1a", PUBLISHED_1A)[:2] == (status, out)


def test_the_working_comes_when_asked_for(labkit):
    status, out, _ = labkit("check", "tdt4265/1e", "255", "--working")
    assert status == 1
    assert "= 253 + 1 = 254" in out


def test_an_answer_may_be_several_words(labkit):
    assert labkit("check", "tdt4265/1e", "254", "254")[0] == 0
    assert labkit("check", "tdt4265/1b", "max", "pooling")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tdt4265/1x", "3"], "did you mean tdt4265/1"),
        (["tdt4265/1c"], "no answer given; write: labkit check tdt4265/1c ANSWER"),
        (["tdt4265/1c", ""], "no answer given"),
        (["tdt4265/1c", "three"], "not readable: 'three' is no number"),
        ([], "nothing to check; give a question and an answer"),
        (["nowhere.yaml"], "there is no file nowhere.yaml"),
        (["--template", "tdt9"], "there is no course 'tdt9'; there are tdt4265, rdfia"),
        (["convolution/2/17", "3"], "convolution/2/17"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_status_2(labkit, arguments, told):
    status, out, err = labkit("check", *arguments)
    assert status == 2
    assert told in out + err
    assert "Traceback" not in err


def test_an_exercise_is_checked_by_its_name(labkit):
    from labkit.handcalc.exercises import exercise_named

    name = "output-size/1/3/1"
    right = answer_text(exercise_named(name).result)
    assert labkit("check", name, right)[0] == 0


@pytest.mark.parametrize("course", ["tdt4265", "rdfia", "nn_hw1", "ist_hw2"])
def test_a_template_filled_in_rightly_passes(labkit, tmp_path, course):
    status, template, _ = labkit("check", "--template", course)
    assert status == 0
    sheet = tmp_path / "answers.yaml"
    sheet.write_text(template)
    status, out, _ = labkit("check", sheet)
    assert status == 1
    assert out.count("no answer yet") == len(course_questions(course))

    filled = template
    for task in course_questions(course):
        answer = answer_text(task.result)
        if filled.count(f"\n{task.name}: |\n"):
            rows = "\n".join(f"  {line}".rstrip() for line in answer.split("\n"))
            filled = filled.replace(f"\n{task.name}: |\n", f"\n{task.name}: |\n{rows}\n")
        else:
            filled = filled.replace(f"\n{task.name}:\n", f"\n{task.name}: {answer}\n")
    sheet.write_text(filled)
    status, out, _ = labkit("check", sheet)
    assert status == 0, out
    assert out.count("correct") == len(course_questions(course))


def test_a_sheet_shows_every_verdict_and_how_many_are_right(labkit, tmp_path):
    sheet = tmp_path / "answers.yaml"
    sheet.write_text(
        "tdt4265/1a: |\n  -11 2 4 -1 7\n  -24 8 4 -5 12\n  -19 10 12 -3 15\n"
        "tdt4265/1c: 3\n"
        "tdt4265/1e: [254, 254]\n"
        "tdt4265/1g: 390.410\n"  # no decimal: YAML must not read it as one
        "rdfia/1-weights: 49.153\n"
        "rdfia/1-fully-connected: 3.221.225.472\n"
    )
    status, out, err = labkit("check", sheet)
    assert (status, err) == (1, "")
    assert out.count("  correct\n") == 4
    assert "two entries changed places" in out
    assert "the + 1 was forgotten" in out
    assert out.rstrip().endswith("4 of 6 right")
    assert max(map(len, out.split("\n"))) <= 100


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tdt4265/1c: 3\ntdt4265/9z: 4\n", "line 2: there is no question 'tdt4265/9z'"),
        ("tdt4265/1c: 3\ntdt4265/1c: 4\n", "line 2: tdt4265/1c has an answer already in line 1"),
        ("tdt4265/1c: 3\n  x: [\n", "line 2"),
        ("tdt4265/1c: {a: 3}\n", "line 1: an answer is a text, a number or a list of rows"),
        ("- 3\n- 4\n", "holds no answers"),
        ("", "holds no answers"),
        ("a: &x [1]\nb: *x\n", "line 1: write the answer out, without & and *"),
        (
            "tdt4265/1c: !!python/object/apply:os.getcwd []\n",
            "line 1: not readable: the answer is empty",
        ),
        ("tdt4265/1c: three\n", "answers.yaml, line 1: not readable: 'three' is no number"),
    ],
)
def test_an_unusable_sheet_names_file_line_and_reason(labkit, tmp_path, text, told):
    sheet = tmp_path / "answers.yaml"
    sheet.write_text(text)
    status, out, err = labkit("check", sheet)
    assert told in " ".join((out + err).split())
    assert status == 2
    assert "Traceback" not in err


def test_a_sheet_that_is_no_text_is_refused(labkit, tmp_path):
    sheet = tmp_path / "answers.yaml"
    sheet.write_bytes(b"\xff\xfe\x00")
    status, _, err = labkit("check", sheet)
    assert status == 2
    assert "it is no UTF-8 text" in err
    assert labkit("check", tmp_path / "folder.yaml")[0] == 2


def test_every_question_can_be_asked_in_plain_text():
    for task in QUESTIONS.values():
        asked = sheets.asked(task)
        assert "\\" not in asked, task.name
        assert "$" not in asked, task.name


def test_the_command_runs_as_a_program():
    run = subprocess.run(
        [sys.executable, "-m", "labkit.cli", "check", "tdt4265/1c", "6"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "the padding was counted once instead of twice" in run.stdout


def test_list_names_every_question(labkit):
    status, out, _ = labkit("check", "--list")
    assert status == 0
    assert out.split() == list(QUESTIONS)


def test_a_misspelt_name_does_not_take_the_other_verdicts_along(labkit, tmp_path):
    sheet = tmp_path / "answers.yaml"
    sheet.write_text("tdt4265/1c: 3\ntdt4265/9z: 4\ntdt4265/1e: 254\n")
    status, out, _ = labkit("check", sheet)
    assert status == 2
    assert "answers.yaml, line 2: there is no question 'tdt4265/9z'" in " ".join(out.split())
    assert out.count("  correct\n") == 2


@pytest.mark.parametrize(
    "rows",
    [
        "- -11 2 4 -1 7\n  - -24 8 12 -5 12\n  - -19 10 4 -3 15",
        "- [-11, 2, 4, -1, 7]\n  - [-24, 8, 12, -5, 12]\n  - [-19, 10, 4, -3, 15]",
        "|\n  -11\t2\t4\t-1\t7\n  -24\t8\t12\t-5\t12\n  -19\t10\t4\t-3\t15",
        ">\n  -11 2 4 -1 7\n  -24 8 12 -5 12\n  -19 10 4 -3 15",  # folded into one line
    ],
)
def test_a_matrix_in_every_form_that_yaml_has(labkit, tmp_path, rows):
    sheet = tmp_path / "answers.yaml"
    sheet.write_text(f"tdt4265/1a:\n  {rows}\n" if rows[0] == "-" else f"tdt4265/1a: {rows}\n")
    assert labkit("check", sheet)[:2] == (0, "tdt4265/1a  correct\n")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("TDT4265/1C", "tdt4265/1c"), ("1c", "tdt4265/1c"), ("rdfia/12x", "rdfia/12")],
)
def test_a_name_that_is_nearly_right_is_recognised(labkit, name, meant):
    status, _, err = labkit("check", name, "3")
    assert status == 2
    assert f"did you mean {meant}?" in err


class TestAnswersThatAreKept:
    def test_a_new_sheet_is_one_that_check_reads(self, tmp_path, labkit):
        sheet = tmp_path / "answers.yaml"
        sheets.put_answer(sheet, "tdt4265/1c", "3")
        sheets.put_answer(sheet, "tdt4265/1a", PUBLISHED_1A.replace("; ", "\n"))
        status, out, _ = labkit("check", str(sheet))
        assert status == 1
        assert "1 of 2 right" in out
        assert "two entries changed places" in out

    def test_what_else_stands_in_the_sheet_stays(self, tmp_path):
        sheet = tmp_path / "answers.yaml"
        sheet.write_text(
            "# mine\ntdt4265/1a: |\n  1 2\n\n  3 4\n\n# of 1c\ntdt4265/1c:\ntdt4265/1d: 5\n"
        )
        sheets.put_answer(sheet, "tdt4265/1c", "3")
        sheets.put_answer(sheet, "tdt4265/1a", "5 6\n\n7 8")
        assert sheet.read_text() == (
            "# mine\ntdt4265/1a: |\n  5 6\n\n  7 8\n\n# of 1c\ntdt4265/1c: 3\ntdt4265/1d: 5\n"
        )

    def test_every_answer_of_a_template_can_be_filled_in(self, tmp_path):
        sheet = tmp_path / "answers.yaml"
        sheet.write_text(sheets.template("tdt4265"))
        comments = [line for line in sheet.read_text().splitlines() if line.startswith("#")]
        for task in course_questions("tdt4265"):
            sheets.put_answer(sheet, task.name, answer_text(task.result))
        assert all(it.verdict.right for it in sheets.check_sheet(sheet))
        assert [line for line in sheet.read_text().splitlines() if line[:1] == "#"] == comments

    @pytest.mark.parametrize(
        "answer", ["a: b", "# no", "- 1", "[1", "", "'", "|", "x\n\ny", "* &a"]
    )
    def test_any_text_comes_back_as_it_was(self, tmp_path, answer):
        sheet = tmp_path / "answers.yaml"
        for text in ("before", answer):
            sheets.put_answer(sheet, "tdt4265/1b", text)
        sheets.put_answer(sheet, "tdt4265/1c", "3")
        kept = sheets.answers_in(sheet)
        assert kept["tdt4265/1b"][0].strip() == answer
        assert kept["tdt4265/1c"][0] == "3"

    def test_a_sheet_that_cannot_be_read_is_left_alone(self, tmp_path):
        sheet = tmp_path / "answers.yaml"
        sheet.write_text("tdt4265/1c: [1\n")
        with pytest.raises(UsageError, match=r"answers.yaml, line \d"):
            sheets.put_answer(sheet, "tdt4265/1c", "3")
        assert sheet.read_text() == "tdt4265/1c: [1\n"

    def test_a_folder_that_cannot_be_written_to_is_one_line(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="cannot be written"):
            sheets.put_answer(tmp_path / "file" / "answers.yaml", "tdt4265/1c", "3")
