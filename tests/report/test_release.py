"""`labkit release`: what a student gets holds no solution, and runs to its end without them."""

import ast
import builtins
import json
import re
import textwrap
import tomllib
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pypdf import PdfReader
from report_project import write_notebook

from labkit import progress, project, sheets
from labkit.errors import UsageError
from labkit.handcalc import check
from labkit.handcalc.questions import QUESTIONS, course_questions
from labkit.report import execute
from labkit.report.execute import find_notebooks
from labkit.report.published import FILE, Published, published_values
from labkit.report.release import student_version, write_release

ROOT = Path(__file__).parents[2]
COURSES = sorted(path.name for path in (ROOT / "notebooks").glob("[!.]*/"))


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its path there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def code(*sources: str, tags: tuple[str, ...] = ()) -> list:
    cells = [new_code_cell(textwrap.dedent(source).strip()) for source in sources]
    for cell in cells:
        cell.metadata["tags"] = list(tags)
    return cells


def released(*cells) -> list[str]:
    """What is left of the cells of a notebook."""
    return [cell.source for cell in student_version(new_notebook(cells=cells), "mini/one").cells]


class TestMarkers:
    def test_a_solution_becomes_a_placeholder_that_runs(self):
        (cell,) = code(
            """
            for size in (1, 2):
                ### BEGIN SOLUTION
                answer = size + 1
                print(answer)
                ### END SOLUTION
            ### BEGIN SOLUTION
            last = 7
            ### END SOLUTION
            size
            """
        )
        assert released(cell) == [
            "for size in (1, 2):\n    ...  # your answer\n...  # your answer\nsize"
        ]

    def test_a_value_alone_can_be_the_solution(self):
        (cell,) = code("answer = (\n    ### BEGIN SOLUTION\n    42\n    ### END SOLUTION\n)")
        (source,) = released(cell)
        names = {}
        exec(source, names)
        assert names["answer"] is ...

    def test_in_markdown_words_are_replaced_by_words(self):
        cell = new_markdown_cell("Why?\n\n### BEGIN SOLUTION\nBecause.\n### END SOLUTION\nGo on.")
        assert released(cell) == ["Why?\n\n*Your answer*\nGo on."]

    @pytest.mark.parametrize("kind", ["HIDDEN TESTS", "MARK SCHEME"])
    def test_hidden_tests_go_without_a_trace(self, kind):
        cells = code(
            f"answer = ...\n### BEGIN {kind}\nassert answer == 42\n### END {kind}\nanswer",
            f"### BEGIN {kind}\nassert answer == 42\n### END {kind}",
        )
        assert released(*cells) == ["answer = ...\nanswer"]

    @pytest.mark.parametrize(
        "begin",
        ["### BEGIN SOLUTION", "# BEGIN SOLUTION", "#begin  solution", "x = 1 ### BEGIN SOLUTION"],
    )
    def test_a_careless_marker_leaks_nothing(self, begin):
        (cell,) = code(f"{begin}\nanswer = 42\n### END SOLUTION")
        assert released(cell) == ["...  # your answer"]

    def test_words_about_solutions_are_no_markers(self):
        cells = [
            new_markdown_cell("In the end solutions are compared."),
            *code("end = 1  # solution"),
        ]
        assert released(*cells) == [cell.source for cell in cells]

    @pytest.mark.parametrize(
        ("source", "told"),
        [
            ("### BEGIN SOLUTION\nx = 1", "BEGIN SOLUTION without END SOLUTION"),
            ("x = 1\n### END SOLUTION", "END SOLUTION without BEGIN SOLUTION"),
            ("### BEGIN HIDDEN TESTS\n### END SOLUTION", "END SOLUTION without BEGIN SOLUTION"),
            (
                "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION",
                "BEGIN SOLUTION before END SOLUTION",
            ),
        ],
    )
    def test_unbalanced_ones_are_an_error_with_notebook_and_cell(self, source, told):
        with pytest.raises(UsageError, match=f"^mini/one, cell 2: {told}"):
            released(*code("1", source))

    def test_markers_that_tear_a_statement_apart_are_an_error(self):
        (cell,) = code("answer = [\n    1,\n### BEGIN SOLUTION\n    2]\n### END SOLUTION")
        with pytest.raises(UsageError, match=r"^mini/one, cell 1: .* no Python .*whole statements"):
            released(cell)

    def test_a_name_that_only_a_solution_defines_is_an_error(self):
        cells = code("### BEGIN SOLUTION\nanswer = 42\n### END SOLUTION", "check(answer, 42)")
        with pytest.raises(
            UsageError, match=r"^mini/one, cell 2: it needs 'answer'.*`answer = \.\.\.`"
        ):
            released(*cells)
        assert len(released(*code("answer = ..."), *cells)) == 3

    def test_magics_are_no_error(self):
        assert released(*code("%matplotlib inline\n!ls")) == ["%matplotlib inline\n!ls"]


class TestTags:
    def test_cells_with_the_tag_go_and_markdown_leaves_room_for_words(self):
        words = new_markdown_cell("Because.", metadata={"tags": ["solution"]})
        cells = [*code("x = ..."), *code("x = 42", tags=("solution",)), words]
        student = student_version(new_notebook(cells=cells), "mini/one")
        assert [cell.source for cell in student.cells] == ["x = ...", "*Your answer*"]
        assert "tags" not in student.cells[1].metadata  # the student's words are no solution

    def test_the_notebook_itself_stays_as_it_was(self):
        notebook = new_notebook(cells=code("### BEGIN SOLUTION\nx = 1\n### END SOLUTION"))
        before = nbformat.writes(notebook)
        student_version(notebook, "mini/one")
        assert nbformat.writes(notebook) == before


def published_in(folder: Path, monkeypatch) -> tuple[Published, ...]:
    monkeypatch.setenv("LABKIT_ROOT", str(folder))
    return published_values() if (folder / FILE).exists() else ()


@pytest.fixture(scope="module")
def releases(tmp_path_factory) -> dict[str, Path]:
    """Every course, released."""
    folder = tmp_path_factory.mktemp("releases")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_ROOT", str(ROOT))
        for course in COURSES:
            write_release(course, folder / course)
    return {course: folder / course for course in COURSES}


@pytest.mark.parametrize("course", COURSES)
class TestEveryCourse:
    def test_no_cell_of_a_solution_remains(self, releases, course):
        written = {name: content.decode() for name, content in files(releases[course]).items()}
        for name, content in list(written.items()):
            if name.endswith(".ipynb"):  # where the text is escaped
                cells = json.loads(content)["cells"]
                written[name] = "\n".join("".join(cell["source"]) for cell in cells)
        for source in (ROOT / "notebooks" / course).glob("*.py"):
            for cell in jupytext.read(source).cells:
                if "solution" in cell.metadata.get("tags", []):
                    lines = "\n".join(f"# {line}".rstrip() for line in cell.source.split("\n"))
                    for text in written.values():
                        assert cell.source not in text
                        assert lines not in text  # Markdown, as py:percent has it

    def test_no_answer_stands_among_the_published_values(self, releases, course, monkeypatch):
        for it in published_in(releases[course], monkeypatch):
            assert it.question.startswith(f"{course}/")
            assert it.question != "tdt4265/1a"  # wrong in two of fifteen entries alone
            for task in course_questions(course):
                assert not check(it.value, task), f"{it.id} answers {task.name}"

    def test_a_published_value_is_there_where_a_cell_compares_with_it(
        self, releases, course, monkeypatch
    ):
        questions = {it.question for it in published_in(releases[course], monkeypatch)}
        for path in (releases[course] / "notebooks" / course).glob("*.py"):
            text = path.read_text()
            for call in re.findall(r"published\((.*?)\)$", text, re.MULTILINE | re.DOTALL):
                asked = set(re.findall(rf"['\"]({course}/[\w.-]+)['\"]", call))
                assert asked <= questions, path.name

    def test_its_cells_lack_no_name(self, releases, course):
        """Every name that is read was stored, imported or built in somewhere above it."""
        for path in (releases[course] / "notebooks" / course).glob("*.py"):
            known = {*dir(builtins), "display"}
            for cell in jupytext.read(path).cells:
                if cell.cell_type != "code":
                    continue
                nodes = list(ast.walk(ast.parse(cell.source)))
                known |= {
                    n.id for n in nodes if isinstance(n, ast.Name) and type(n.ctx) is ast.Store
                }
                known |= {n.arg for n in nodes if isinstance(n, ast.arg)}
                known |= {
                    (n.asname or n.name).split(".")[0] for n in nodes if isinstance(n, ast.alias)
                }
                read = {n.id for n in nodes if isinstance(n, ast.Name) and type(n.ctx) is ast.Load}
                assert read <= known, path.name

    def test_every_check_and_every_parameter_is_kept(self, releases, course):
        for path in (releases[course] / "notebooks" / course).glob("*.py"):
            original = jupytext.read(ROOT / "notebooks" / course / path.name).cells
            kept = [cell.source for cell in jupytext.read(path).cells]
            for cell in original:
                tags = cell.metadata.get("tags", [])
                if "solution" not in tags:
                    assert cell.source in kept

    def test_both_forms_of_a_notebook_are_one_and_hold_no_output(self, releases, course):
        paths = sorted((releases[course] / "notebooks" / course).glob("*.py"))
        assert paths
        for path in paths:
            notebook = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
            nbformat.validate(notebook)
            assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
                (cell.cell_type, cell.source) for cell in jupytext.read(path).cells
            ]
            for cell in notebook.cells:
                assert cell.get("outputs", []) == []
                assert cell.get("execution_count") is None

    def test_it_is_a_project_of_its_own(self, releases, course, monkeypatch):
        monkeypatch.setenv("LABKIT_ROOT", str(releases[course]))
        sources = find_notebooks()
        assert {source.course for source in sources} == {course}
        assert all(source.params("smoke") is not None for source in sources)
        report = project.read_yaml(releases[course] / "params" / "report.yaml")
        assert list(report["courses"]) == [course]
        assert not (releases[course] / "reports" / "results").exists()

    def test_the_answer_sheet_is_the_course_s_own(self, releases, course, labkit):
        sheet = releases[course] / "notebooks" / course / "answers.yaml"
        has_questions = any(name.startswith(f"{course}/") for name in QUESTIONS)
        assert sheet.exists() is has_questions
        if has_questions:
            assert sheet.read_text() == labkit("check", "--template", course)[1]
        assert ("answers.yaml" in (releases[course] / "README.md").read_text()) is has_questions

    def test_jupytext_pairs_its_notebooks_as_it_does_labkit_s_own(self, releases, course):
        ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["jupytext"]
        assert tomllib.loads((releases[course] / "jupytext.toml").read_text()) == ours

    def test_the_same_bytes_again(self, releases, course, tmp_path, monkeypatch):
        monkeypatch.setenv("LABKIT_ROOT", str(ROOT))
        write_release(course, tmp_path / "again")
        assert files(tmp_path / "again") == files(releases[course])


@pytest.mark.parametrize(
    ("course", "notebook", "checks"),
    [
        ("tdt4265", "task1_hand_calculation", 7),
        ("nn_hw1", "task1_convolution", 3),
        ("errata", "hand_calculation", 0),
    ],
)
def test_a_released_hand_calculation_runs_to_its_end(
    releases, course, notebook, checks, labkit, monkeypatch, tmp_path
):
    monkeypatch.setenv("LABKIT_ROOT", str(releases[course]))
    source = execute.find_notebook(f"{course}/{notebook}")
    relay = progress.Relay()
    executed = execute.execute(
        source, execute.settings(source, "smoke"), tmp_path / "executed.ipynb", relay
    )
    relay.close()
    assert execute.failure(executed) is None
    shown = [
        output.get("data", {}) for cell in executed.cells for output in cell.get("outputs", [])
    ]
    verdicts = [
        data["text/plain"] for data in shown if "no answer yet" in data.get("text/plain", "")
    ]
    assert verdicts == ["no answer yet"] * checks


def test_a_student_s_report_shows_the_verdicts_on_what_the_grids_keep(
    tmp_path, labkit, monkeypatch
):
    """Of a hand calculation alone: the other notebooks of the course train."""
    monkeypatch.setenv("LABKIT_ROOT", str(ROOT))
    write_release("tdt4265", tmp_path / "student")
    monkeypatch.setenv("LABKIT_ROOT", str(tmp_path / "student"))
    for path in (tmp_path / "student").glob("*/tdt4265/task[234]*"):
        path.unlink()
    assert labkit("report", "--profile", "smoke")[0] == 0
    sheet = tmp_path / "student" / "notebooks" / "tdt4265" / "answers.yaml"
    sheets.put_answer(sheet, "tdt4265/1c", "6")
    sheets.put_answer(sheet, "tdt4265/1f", "252\t252")
    _, told, _ = labkit("report", "--profile", "smoke", "--why")
    for name in ("tdt4265/1c", "tdt4265/1f"):
        assert f"the answer to {name} is new" in told
    assert labkit("report", "--profile", "smoke")[0] == 0
    pdf = tmp_path / "student" / "reports" / "build" / "smoke" / "report.pdf"
    text = " ".join("".join(page.extract_text() for page in PdfReader(pdf).pages).split())
    assert "Check tdt4265/1c: 6, not correct. Hint: it looks as if the padding was counted" in text
    assert "Check tdt4265/1f: 252 × 252, correct." in text
    assert text.count("no answer yet") == 5


class TestFolder:
    @pytest.fixture(autouse=True)
    def _course(self, mini):
        write_notebook(
            mini,
            "one",
            """
            # %% tags=["parameters"]
            n: int = 1

            # %% tags=["solution"]
            print("the secret")
            """,
        )

    def test_the_command_names_what_it_wrote(self, labkit, tmp_path):
        out = tmp_path / "deep" / "student"
        status, printed, err = labkit("release", "mini", out)
        assert (status, err) == (0, "")
        assert sorted(printed.split()) == sorted(str(out / name) for name in files(out))
        assert set(files(out)) >= {
            "README.md",
            "notebooks/mini/one.py",
            "notebooks/mini/one.ipynb",
            "params/mini/one.yaml",
            "params/report.yaml",
        }
        assert not any(b"secret" in content for content in files(out).values())

    def test_an_earlier_release_is_replaced_whole(self, mini, tmp_path):
        out = tmp_path / "student"
        out.mkdir()  # empty: taken
        write_notebook(mini, "two", '# %% tags=["parameters"]\nn: int = 1\n')
        write_release("mini", out)
        assert "notebooks/mini/two.py" in files(out)
        (mini / "notebooks/mini/two.py").unlink()
        (out / "reports/build").mkdir(parents=True)
        (out / "reports/build/report.pdf").write_text("made by a trial run")
        write_release("mini", out)
        assert "notebooks/mini/two.py" not in files(out)
        assert not (out / "reports/build").exists()
        assert [path.name for path in tmp_path.iterdir() if "student" in path.name] == ["student"]

    @pytest.mark.parametrize("name", ["notes.txt", ".git/config", "notebooks/mini/one.py"])
    def test_anything_else_is_refused_and_stays(self, tmp_path, labkit, name):
        out = tmp_path / "student"
        write_release("mini", out)
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("dear to somebody")
        before = files(out)
        status, _, err = labkit("release", "mini", out)
        assert status == 2
        assert name in err
        assert err.count("\n") == 1
        assert files(out) == before

    def test_a_folder_that_was_never_a_release_is_refused(self, mini, tmp_path, labkit):
        before = files(mini)
        assert labkit("release", "mini", mini)[0] == 2
        (tmp_path / "file").write_text("")
        assert labkit("release", "mini", tmp_path / "file")[0] == 2
        assert files(mini) == before

    def test_where_a_notebook_is_wrong_nothing_is_written(self, mini, tmp_path, labkit):
        write_release("mini", tmp_path / "student")
        before = files(tmp_path / "student")
        source = '# %% tags=["parameters"]\nn: int = 1\n\n# %%\n### BEGIN SOLUTION\n'
        write_notebook(mini, "two", source)
        status, _, err = labkit("release", "mini", tmp_path / "student")
        assert (status, err.count("\n")) == (2, 1)
        assert "mini/two, cell 2: BEGIN SOLUTION without END" in err
        assert files(tmp_path / "student") == before

    def test_a_disk_that_fills_up_leaves_the_earlier_release(self, mini, tmp_path, monkeypatch):
        out = tmp_path / "student"
        write_release("mini", out)
        before = files(out)
        write = Path.write_bytes

        def full(self, *arguments, **options):
            if self.name == "README.md":
                raise OSError(28, "No space left on device")
            return write(self, *arguments, **options)

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            write_release("mini", out)
        assert files(out) == before
        assert [path.name for path in tmp_path.iterdir() if "student" in path.name] == ["student"]

    def test_an_unknown_course(self, labkit, tmp_path):
        status, _, err = labkit("release", "minni", tmp_path / "student")
        assert (status, err) == (2, "labkit: no course 'minni'; did you mean 'mini'?\n")
        assert not (tmp_path / "student").exists()
