"""Worksheets and their keys as PDF, read back with pypdf; and `labkit exercise`."""

import re

import pytest
from pypdf import PdfReader

from labkit.errors import UsageError
from labkit.handcalc.exercises import KINDS, exercise, exercises, key_answer, sheet_text
from labkit.handcalc.questions import course_questions
from labkit.report import worksheet
from labkit.report.worksheet import write_worksheet


def pages(path) -> list[str]:
    # Typst sets a minus, and letters of formulas in italics
    letters = {ord("−"): "-", ord("𝑋"): "X", ord("𝐾"): "K"}
    return [page.extract_text().translate(letters) for page in PdfReader(path).pages]


def words(text: str) -> str:
    return " ".join(text.split())


def numbers(text: str) -> list[int]:
    return sorted(int(number) for number in re.findall(r"-?\d+", text))


@pytest.fixture(scope="module")
def convolution(tmp_path_factory):
    tasks = exercises("convolution", level=2, seed=17, count=3)
    folder = tmp_path_factory.mktemp("sheets")
    return tasks, write_worksheet(tasks, folder, title="Convolution", key=True)


class TestMatrixExercise:
    def test_files_are_named_after_kind_level_and_seed(self, convolution):
        _, paths = convolution
        assert [path.name for path in paths] == [
            "worksheet-convolution-2-17.pdf",
            "key-convolution-2-17.pdf",
        ]
        assert sorted(paths[0].parent.iterdir()) == sorted(paths)

    def test_the_worksheet_has_names_and_questions(self, convolution):
        tasks, (path, _) = convolution
        text = words("\n".join(pages(path)))
        assert text.startswith("Convolution Name Date Check an answer with labkit check NAME")
        for task in tasks:
            assert f"{task.name} {task.question.partition('$X$')[0]}" in text

    def test_the_worksheet_shows_the_numbers_of_the_question_and_no_others(self, convolution):
        tasks, (path, _) = convolution
        text = "\n".join(pages(path))
        for task in tasks:
            shown = text.partition(task.name)[2].partition("\nAnswer")[0]
            assert numbers(shown) == numbers(task.question)

    def test_the_key_has_the_answer_and_every_window(self, convolution):
        tasks, (_, path) = convolution
        text = "\n".join(pages(path))
        for task, part in zip(tasks, re.split(r"convolution/2/17/\d", text)[1:], strict=True):
            found = {
                (int(row), int(column)): int(value)
                for row, column, value in re.findall(r"(\d),(\d) = .*= (-?\d+)$", part, re.M)
            }
            expected = {
                (row, column): value
                for row, entries in enumerate(task.result, start=1)
                for column, value in enumerate(entries, start=1)
            }
            assert expected.items() >= found.items()
            assert len(found) >= 10  # a sum of one product or none has no equation of its own
            assert set(numbers(part)) >= set(expected.values())


@pytest.mark.parametrize("kind", ["output-size", "solve", "parameters", "receptive-field"])
def test_answers_stand_in_the_key_alone(kind, tmp_path):
    tasks = exercises(kind, level=3, seed=4, count=3)
    sheet, key = write_worksheet(tasks, tmp_path, title="Numbers", key=True)
    sheet, key = ("\n".join(pages(path)) for path in (sheet, key))
    for task in tasks:
        assert task.name in sheet
        assert f"Answer: {key_answer(task)}\n" in key
        assert f"{task.name}\n" in key
    assert "Answer:" not in sheet
    assert "= " not in sheet  # the working is full of equations
    assert key.count("= ") > 3


def test_without_a_key_only_the_worksheet_is_written(tmp_path):
    (path,) = write_worksheet([exercise("pooling", 1, 0, 1)], tmp_path, title="One")
    assert list(tmp_path.iterdir()) == [path]


def test_a_long_sheet_keeps_every_exercise_whole(tmp_path):
    tasks = exercises("convolution", level=3, seed=1, count=20)
    sheet, key = (pages(it) for it in write_worksheet(tasks, tmp_path, title="Long", key=True))
    assert len(sheet) >= 10
    for page in sheet:
        begun, ended = (
            re.findall(it, page, re.M) for it in (r"^convolution/3/1/\d+$", r"^Answer$")
        )
        assert len(begun) == len(ended)
    names = re.findall(r"^convolution/3/1/\d+$", "\n".join(sheet), re.M)
    assert names == [task.name for task in tasks]
    for page in key:  # every page begins with an exercise: none goes on from the page before
        start = page.removeprefix("Long: key\n")
        assert re.match(r"convolution/3/1/\d+\n", start)


def test_questions_of_a_course_make_a_worksheet_too(tmp_path):
    sheet, _ = write_worksheet(course_questions("tdt4265"), tmp_path, title="TDT4265", key=True)
    assert sheet.name == "worksheet-tdt4265.pdf"
    assert "tdt4265/1b" in "\n".join(pages(sheet))


def test_nothing_is_written_where_the_key_fails(tmp_path, monkeypatch):
    def fails(task):
        raise RuntimeError

    monkeypatch.setattr(worksheet, "_solution", fails)
    with pytest.raises(RuntimeError):
        write_worksheet([exercise("solve")], tmp_path / "new", title="Half", key=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="choose another folder with --output"):
        write_worksheet([exercise("solve")], tmp_path / "file", title="Nowhere")


class TestCommand:
    def test_prints_the_sheet(self, labkit):
        expected = sheet_text(exercises("pooling", level=2, seed=7, count=2))
        status, out, err = labkit("exercise", "pooling", "--level", 2, "--seed", 7, "--count", 2)
        assert (status, out, err) == (0, expected + "\n", "")

    def test_prints_the_key(self, labkit):
        expected = sheet_text(exercises("solve"), key=True)
        assert labkit("exercise", "solve", "--key") == (0, expected + "\n", "")

    def test_writes_pdfs_and_prints_their_paths(self, labkit, tmp_path):
        status, out, _ = labkit(
            "exercise", "solve", "--count", 1, "--pdf", "--key", "--output", tmp_path
        )
        assert status == 0
        assert out.split() == [
            str(tmp_path / "worksheet-solve-1-0.pdf"),
            str(tmp_path / "key-solve-1-0.pdf"),
        ]
        assert "Exercises: solve, level 1, seed 0" in pages(out.split()[0])[0]

    def test_an_exercise_can_be_checked_by_its_name(self, labkit):
        status, out, _ = labkit("check", "receptive-field/2/17/3", "5, 7, 13, 16")
        assert (status, out) == (0, "receptive-field/2/17/3  correct\n")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["convolutin"], "kind 'convolutin'; did you mean convolution?"),
            (["solve", "--level", "4"], "no level 4; give 1, 2 or 3"),
            (["solve", "--seed", "-1"], "seed -1 is not possible"),
            (["solve", "--count", "0"], "count 0 is not possible"),
            (["solve", "--output", "x"], "--output is the folder for the PDF; add --pdf"),
        ],
    )
    def test_tells_in_one_line_what_cannot_be(self, labkit, arguments, message):
        status, out, err = labkit("exercise", *arguments)
        assert (status, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1

    def test_help_names_every_kind(self, labkit):
        _, out, _ = labkit("exercise", "--help")
        # click breaks a line after a hyphen
        text = words(out).replace("- ", "-")
        assert all(kind in text for kind in KINDS)
