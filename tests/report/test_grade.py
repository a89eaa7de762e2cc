"""`labkit grade`: a folder of answer sheets in, one table out, whatever the students handed in."""

import csv
import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.handcalc.questions import course_questions
from labkit.handcalc.render import answer_text
from labkit.report.grade import find_sheets, table

TDT4265 = [task.name for task in course_questions("tdt4265")]
FORMULA = tuple("=+-@＝＋－＠")


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "sheets").mkdir()
    return tmp_path / "sheets"


def hand_in(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows(text: str) -> dict[str, dict[str, str]]:
    """The table by student."""
    return {row["student"]: row for row in csv.DictReader(io.StringIO(text))}


def test_a_row_per_student_and_a_column_per_question(folder, labkit):
    hand_in(folder, "ben.yaml", "tdt4265/1c: 6\ntdt4265/1d: three\ntdt4265/1e:\n")
    hand_in(folder, "anna.yaml", "tdt4265/1c: 3\ntdt4265/1e: 254x254\n")
    status, out, err = labkit("grade", folder)
    assert (status, err) == (0, "")
    header = out.splitlines()[0].split(",")
    assert header[:8] == [
        *("student", "sheet", "right", "wrong", "unanswered", "unreadable", "share", "note")
    ]
    assert header[8:] == TDT4265
    found = rows(out)
    assert list(found) == ["anna", "ben"]
    assert found["anna"]["tdt4265/1c"] == found["anna"]["tdt4265/1e"] == "right"
    assert found["ben"]["tdt4265/1c"] == "wrong: the padding was counted once instead of twice"
    assert found["ben"]["tdt4265/1d"] == "unreadable: 'three' is no number"
    assert found["ben"]["tdt4265/1e"] == found["ben"]["tdt4265/1f"] == "unanswered"
    others = len(TDT4265) - 2
    assert [found["anna"][it] for it in header[2:7]] == [
        *("2", "0", str(others), "0", f"{2 / len(TDT4265):.3f}")
    ]
    assert [found["ben"][it] for it in header[2:7]] == ["0", "1", str(others), "1", "0.000"]


def test_the_right_answers_of_a_whole_course_have_a_share_of_one(folder, labkit):
    lines = []
    for task in course_questions("rdfia"):
        lines += [f"{task.name}: {answer_text(task.result)!r}"]
    hand_in(folder, "anna.yaml", "\n".join(lines))
    row = rows(labkit("grade", folder)[1])["anna"]
    assert row["share"] == "1.000"
    assert row["right"] == str(len(lines))


def test_answers_yaml_goes_by_its_folder(folder, labkit):
    for name in ("anna/answers.yaml", "group 2/ben/answers.yml", "carl.yaml"):
        hand_in(folder, name, "tdt4265/1c: 3\n")
    found = rows(labkit("grade", folder)[1])
    assert {name: row["sheet"] for name, row in found.items()} == {
        "anna": "anna/answers.yaml",
        "ben": "group 2/ben/answers.yml",
        "carl": "carl.yaml",
    }


def test_it_is_written_to_a_file_the_same_each_time(folder, labkit, tmp_path):
    for name in ("Zoë", "anna", "Ben"):
        hand_in(folder, f"{name}.yaml", "tdt4265/1c: 3\n")
    grades = folder / "grades.csv"
    assert labkit("grade", folder, "--output", grades) == (0, f"{grades}\n", "")
    before = grades.read_bytes()
    assert list(rows(before.decode("utf-8"))) == ["Ben", "Zoë", "anna"]
    # nor does the table itself count as something handed in
    assert labkit("grade", folder, "--output", grades) == (0, f"{grades}\n", "")
    assert grades.read_bytes() == before
    assert labkit("grade", folder)[1] == before.decode("utf-8")


class TestQuestions:
    def test_those_of_every_course_that_is_named(self, folder, labkit):
        hand_in(folder, "anna.yaml", "tdt4265/1c: 3\n")
        hand_in(folder, "ben.yaml", "nn_hw1/1-size: 62\n")
        header = labkit("grade", folder)[1].splitlines()[0].split(",")
        assert header[8:] == TDT4265 + [task.name for task in course_questions("nn_hw1")]

    def test_exercises_count_where_half_of_the_sheets_name_them(self, folder, labkit):
        for name in ("anna", "ben", "carl"):
            hand_in(folder, f"{name}.yaml", "output-size/1/0/1: 2x2\n")
        hand_in(folder, "carl.yaml", "output-size/1/0/1: 2x2\noutput-size/1/0/2: 5\nnothing: 1\n")
        found = rows(labkit("grade", folder)[1])
        assert list(found["anna"])[8:] == ["output-size/1/0/1"]
        assert {row["share"] for row in found.values()} == {"1.000"}
        assert found["anna"]["note"] == ""
        assert found["carl"]["note"] == "not asked for: output-size/1/0/2, nothing"

    def test_the_sheet_that_was_handed_out_decides(self, folder, labkit):
        handed_out = hand_in(folder, "answers.yaml", "tdt4265/1e:\ntdt4265/1c:\n")
        hand_in(folder, "anna.yaml", "tdt4265/1c: 3\nrdfia/11: 1\n")
        status, out, _ = labkit("grade", folder, "--sheet", handed_out)
        assert status == 0
        found = rows(out)
        assert list(found) == ["anna"]  # the sheet that was handed out is no student's
        assert list(found["anna"])[8:] == ["tdt4265/1e", "tdt4265/1c"]
        assert (found["anna"]["share"], found["anna"]["note"]) == (
            *("0.500", "not asked for: rdfia/11"),
        )


DEEP = "tdt4265/1c: " + "[" * 5_000
BOMB = "a: &a [1, 1]\nb: &b [*a, *a]\nc: &c [*b, *b]\ntdt4265/1c: [*c, *c]\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("tdt4265/1c: [1\n", "line 2"),
        ("just words\n", "holds no answers"),
        ("", "holds no answers"),
        ("tdt4265/1c: 3\ntdt4265/1c: 4\n", "has an answer already in line 1"),
        ("tdt4265/1c: {a: 1}\n", "an answer is a text, a number or a list of rows"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "no UTF-8 text"),
        (b"tdt4265/1c: \x00", "bad.yaml"),
        (BOMB, "without & and *"),
        (DEEP, "bad.yaml"),
        ("# " + "x" * 200_001, "over 200,000 bytes"),
    ],
    ids=["broken", "words", "empty", "twice", "mapping", "binary", "nul", "bomb", "deep", "huge"],
)
def test_a_sheet_that_cannot_be_read_has_a_row_that_says_why(folder, labkit, content, told):
    hand_in(folder, "bad.yaml", content)
    hand_in(folder, "good.yaml", "tdt4265/1c: 3\n")
    status, out, err = labkit("grade", folder)
    assert (status, err) == (1, "not read: bad\n")
    found = rows(out)
    assert told in found["bad"]["note"]
    assert found["bad"]["right"] == found["bad"]["share"] == found["bad"]["tdt4265/1c"] == ""
    assert found["good"]["right"] == "1"


def test_nothing_but_the_files_of_the_folder_is_opened(folder, labkit, tmp_path):
    outside = hand_in(tmp_path, "elsewhere/answers.yaml", "tdt4265/1c: 3\nsecret: x\n")
    (folder / "file.yaml").symlink_to(outside)
    (folder / "folder").symlink_to(outside.parent)
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere.yaml").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.yaml")  # opened, it would wait for ever
    hand_in(folder, "good.yaml", "tdt4265/1c: 3\n")
    status, out, _ = labkit("grade", folder)
    assert status == 1
    found = rows(out)
    links = ("file", "folder", "loop", "nowhere")
    assert all(found[name]["note"].startswith("a link to somewhere else") for name in links)
    assert found["pipe"]["note"] == "no file that could be read"
    assert found["good"]["right"] == "1"
    assert "secret" not in out


def test_two_sheets_of_one_student_are_not_chosen_between(folder, labkit):
    for name in ("anna.yaml", "anna/answers.yaml", "ben.yaml"):
        hand_in(folder, name, "tdt4265/1c: 3\n")
    status, out, _ = labkit("grade", folder)
    assert status == 1
    found = rows(out)
    assert found["anna"]["note"] == "2 sheets of one student; keep one"
    assert found["anna"]["sheet"] == "anna.yaml, anna/answers.yaml"
    assert found["anna"]["right"] == ""
    assert found["ben"]["right"] == "1"


def test_one_name_spelled_in_two_ways_is_one_student(folder):
    hand_in(folder, "Zoe\u0308.yaml", "tdt4265/1c: 3\n")
    hand_in(folder, "Zo\u00eb.yaml", "tdt4265/1c: 3\n")
    (sheet,) = find_sheets(folder)[0]
    assert sheet.student == "Zoë"
    assert sheet.problem


def test_files_that_are_no_sheets_are_named(folder, labkit):
    hand_in(folder, "anna.yaml", "tdt4265/1c: 3\n")
    hand_in(folder, "ben/answers.docx", b"PK")
    hand_in(folder, ".DS_Store", b"")
    hand_in(folder, "__MACOSX/._anna.yaml", b"")
    status, _, err = labkit("grade", folder)
    assert (status, err) == (0, "no sheets, passed over: ben/answers.docx\n")


class TestFormulas:
    """No cell that a spreadsheet would compute, whatever separates its cells."""

    NAME = "=HYPERLINK(1)"

    def cells(self, out: str, delimiter: str = ",") -> list[str]:
        return [cell for row in csv.reader(io.StringIO(out), delimiter=delimiter) for cell in row]

    def test_names_of_files(self, folder, labkit):
        for name in (self.NAME, "+1", "-1", "@SUM(A1)", " =1", "a;=1+1", "a\t=1+1", "＝1"):
            hand_in(folder, f"{name}.yaml", "tdt4265/1c: 3\n")
        out = labkit("grade", folder)[1]
        assert f"'{self.NAME}" in out
        for delimiter in ",;\t":
            assert not any(it.lstrip(' "').startswith(FORMULA) for it in self.cells(out, delimiter))

    @pytest.mark.parametrize("sheet", ['"=1+1": 3', 'tdt4265/1c: "=1+1"', '"x;=1": "\\t=1"'])
    def test_answers_and_names_of_questions(self, folder, labkit, sheet):
        hand_in(folder, "anna.yaml", f"tdt4265/1e: 1\n{sheet}\n")
        out = labkit("grade", folder)[1]
        for delimiter in ",;\t":
            assert not any(it.lstrip(' "').startswith(FORMULA) for it in self.cells(out, delimiter))

    def test_numbers_of_our_own_stay_numbers(self, folder, labkit):
        hand_in(folder, "anna.yaml", "tdt4265/1c: 3\n")
        row = rows(labkit("grade", folder)[1])["anna"]
        assert float(row["share"]) == pytest.approx(1 / len(TDT4265), abs=5e-4)


def test_a_name_that_is_no_utf_8(folder, labkit):
    path = os.fsencode(folder) + b"/\xff.yaml"
    try:
        with open(path, "w") as file:
            file.write("tdt4265/1c: 3\n")
    except OSError:
        pytest.skip("this file system has no such names")
    status, out, _ = labkit("grade", folder)
    assert status == 0
    assert "\\udcff" in rows(out)


def test_a_long_text_is_cut(folder, labkit):
    hand_in(
        folder, "anna.yaml", "tdt4265/1c: 3\n" + "".join(f"strange {n}: 1\n" for n in range(99))
    )
    assert len(rows(labkit("grade", folder)[1])["anna"]["note"]) == 300


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_whatever_a_sheet_holds_it_has_one_row(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    hand_in(folder, "any.yaml", content)
    handed_in, _ = find_sheets(folder)
    assert list(rows(table(handed_in, course_questions("nn_hw1")))) == ["any"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(answer=st.text(st.sampled_from("0123456789.,;x×[]()/^e-+ =\n"), max_size=30))
def test_whatever_an_answer_is_it_has_a_verdict(tmp_path_factory, answer):
    folder = tmp_path_factory.mktemp("any")
    quoted = answer.replace("\n", "\\n")
    hand_in(folder, "any.yaml", f'tdt4265/1a: "{quoted}"\ntdt4265/1e: "{quoted}"\n')
    row = rows(table(find_sheets(folder)[0], course_questions("tdt4265")))["any"]
    assert row["note"] == ""
    kinds = {row[name].partition(":")[0] for name in TDT4265}
    assert kinds <= {"right", "wrong", "unanswered", "unreadable"}


@pytest.mark.parametrize("make", ["nothing", "file", "empty", "no sheet"])
def test_unusable_input_is_one_line_and_status_2(tmp_path, labkit, make):
    folder = tmp_path / "sheets"
    if make == "file":
        folder.write_text("tdt4265/1c: 3\n")
    elif make != "nothing":
        folder.mkdir()
    if make == "no sheet":
        (folder / "notes.txt").write_text("")
    status, out, err = labkit("grade", folder)
    assert (status, out) == (2, "")
    assert err.startswith("labkit: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("output", ["grades.txt", "anna.yaml", "nowhere/grades.csv"])
def test_an_output_that_cannot_be_is_refused(folder, labkit, output):
    before = hand_in(folder, "anna.yaml", "tdt4265/1c: 3\n").read_bytes()
    hand_in(folder, "ben.yaml", "tdt4265/1c: 3\n")
    status, _, err = labkit("grade", folder, "--output", folder / output)
    assert (status, err.count("\n")) == (2, 1)
    assert (folder / "anna.yaml").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["anna.yaml", "ben.yaml"]
