import io
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import nbformat
import numpy as np
import pytest
from pypdf import PdfReader
from report_project import write_notebook

from labkit.data import sources, weights
from labkit.data._download import DataError
from labkit.data.known import Arrays, Download, Form, KnownSet, StandIn
from labkit.data.weights import KnownWeights
from labkit.errors import UsageError
from labkit.report import build

BAD = '# %% tags=["parameters"]\nn = 1\n\n# %%\nprint("so far")\n1 / 0\n'


def pages(pdf: Path) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(pdf.read_bytes())).pages]


def text(pdf: Path) -> str:
    return "\n".join(pages(pdf))


def labkit(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "labkit.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, **options)


def test_a_report_holds_what_its_notebooks_print(mini):
    made = build.report(profile="quick")
    assert made.pdf == mini / "reports/build/quick/report.pdf"
    assert not made.failed
    words = text(made.pdf)
    for part in ("Mini report", "Somebody", "Contents", "One", "count is 2", "quick"):
        assert part in words


def test_each_notebook_begins_on_a_page_of_its_own_behind_the_pictures_of_the_one_before(mini):
    source = (mini / "notebooks/mini/one.py").read_text()
    drawing = """
# %%
from matplotlib.figure import Figure
from labkit.figures import show
for number in ("first", "second"):
    show(Figure((5, 6)), f"The {number} picture of one.")
"""
    write_notebook(mini, "one", source + drawing + "\n# %% [markdown]\n# The last word of one.\n")
    write_notebook(mini, "two", source.replace("# # One", "# # Two"))
    first, second, third = pages(build.report(profile="smoke").pdf)[-3:]
    assert "The last word of one." in first
    assert "The second picture of one." in second
    assert "Two" not in second  # nor in its running title
    assert "2 Two" in third.replace("\n", " ")


def test_a_second_report_executes_nothing_and_gives_the_same_bytes(mini):
    first = build.report(profile="smoke")
    before = first.pdf.read_bytes()
    second = build.report(profile="smoke")
    assert [part.executed for part in first.parts] == [True]
    assert [part.executed for part in second.parts] == [False]
    assert second.pdf.read_bytes() == before


def test_a_changed_word_executes_its_notebook_alone(mini):
    source = (mini / "notebooks/mini/one.py").read_text()
    write_notebook(mini, "two", source.replace("# # One", "# # Two"))
    build.report(profile="smoke")
    write_notebook(mini, "two", source.replace("# # One", "# # Second"))
    made = build.report(profile="smoke")
    assert {part.source.stem: part.executed for part in made.parts} == {"one": False, "two": True}
    assert "Second" in text(made.pdf)


def test_fresh_executes_everything_again(mini, monkeypatch):
    monkeypatch.setenv("LABKIT_FRESH", "")  # so that what `fresh` sets is undone after the test
    build.report(profile="smoke")
    assert [part.executed for part in build.report(profile="smoke", fresh=True).parts] == [True]


def test_profiles_do_not_share_notebooks(mini):
    assert "count is 1" in text(build.report(profile="smoke").pdf)
    assert "count is 10 rate is 0.001" in text(build.report(profile="full").pdf)
    assert "count is 1 " in text(build.report(profile="smoke").pdf)


def test_a_course_has_a_pdf_of_its_own(mini):
    assert build.report(["mini"], profile="smoke").pdf.name == "mini.pdf"


def test_of_all_courses_each_has_a_pdf_beside_the_whole_and_there_are_html_and_numbers(mini):
    (mini / "notebooks/other").mkdir()
    (mini / "params/other").mkdir()
    for kind, suffix in (("notebooks", "py"), ("params", "yaml")):
        written = (mini / kind / f"mini/one.{suffix}").read_text()
        (mini / kind / f"other/two.{suffix}").write_text(written.replace("One", "Two"))
    settings = mini / "params/report.yaml"
    settings.write_text(settings.read_text().replace("{mini:", "{other: Another course, mini:"))
    folder = build.report(profile="smoke").pdf.parent
    assert {path.name for path in folder.glob("[!.]*.*")} == {
        *("report.pdf", "mini.pdf", "other.pdf"),
        *("index.html", "results.json", "results.csv"),
    }
    assert "Two" not in text(folder / "mini.pdf")
    assert "Another course" in text(folder / "other.pdf")
    whole = text(folder / "report.pdf")
    assert whole.index("Two") < whole.index("One")  # the courses in the order of the params
    page = (folder / "index.html").read_text()
    assert "count is 1" in page
    assert 'href="report.pdf"' in page


def test_nothing_is_written_that_would_come_out_the_same(mini):
    folder = build.report(profile="smoke").pdf.parent
    before = {path: path.stat().st_mtime_ns for path in folder.glob("[!.]*.*")}
    build.report(profile="smoke")
    unchanged = {path.name for path, at in before.items() if path.stat().st_mtime_ns == at}
    assert unchanged >= {"report.pdf", "mini.pdf", "results.json", "results.csv"}
    (folder / "mini.pdf").unlink()
    build.report(profile="smoke")
    assert (folder / "mini.pdf").exists()


def test_notebooks_run_side_by_side(mini):
    """Each waits for the other to have begun."""
    for stem, other in (("left", "right"), ("right", "left")):
        write_notebook(
            mini,
            stem,
            f"""
            # %% tags=["parameters"]
            n = 1

            # %%
            import pathlib, time
            pathlib.Path("{stem}.begun").touch()
            while not pathlib.Path("{other}.begun").exists():
                time.sleep(0.05)
            """,
        )
    assert not build.report(profile="smoke", at_once=2).failed


def test_kernels_side_by_side_divide_the_cores(mini):
    counting = '# %% tags=["parameters"]\nn = 1\n\n# %%\nimport torch\n'
    counting += 'print("threads:", torch.get_num_threads())\n'
    for stem in ("left", "right"):
        write_notebook(mini, stem, counting)
    cores = len(os.sched_getaffinity(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS", raising=False)
        made = build.report(profile="smoke", at_once=2)
        assert text(made.pdf).count(f"threads: {max(1, cores // 2)}") == 2
        patch.setenv("OMP_NUM_THREADS", "1")  # who sets it has the last word
        assert (
            text(build.report(profile="smoke", at_once=2, fresh=True).pdf).count("threads: 1") == 2
        )


def test_why_names_what_changed_and_runs_nothing(mini):
    (source,) = build.why(profile="smoke")
    assert build.why(profile="smoke")[source] == ["it has not been run to its end yet"]
    build.report(profile="smoke")
    assert build.why(profile="smoke")[source] == []
    path = mini / "params/mini/one.yaml"
    path.write_text(path.read_text().replace("count: 1}", "count: 3}"))
    assert build.why(profile="smoke")[source] == ["parameter count: 1 → 3"]
    kept = build.report(profile="smoke", as_is=True)
    assert "count is 1" in text(kept.pdf)
    assert [part.state for part in kept.parts] == ["outdated"]


PUBLISHED = """
mini:
  report: Mini report
  questions:
    1a:
      place: task 1a
      values: {test_accuracy: 0.5}
"""
MEASURING = """
# %% tags=["parameters"]
n = 1

# %%
from IPython.display import display
from labkit.report.facts import Measured

measured = Measured(
    question="mini/1a", metric="test_accuracy", values=[0.51, VALUE], profile="full",
    stand_in=False, examples=10_000, data="made", device="a CPU", torch="2.13.0",
    date="2026-11-22", runs=[],
)
display({"text/plain": "measured"}, metadata={"labkit": {"measured": [measured.told()]}}, raw=True)
"""


class TestVerdicts:
    @pytest.fixture
    def measured(self, mini, monkeypatch):
        """Writes a notebook that measures a published value."""
        (mini / "reports/published.yaml").write_text(PUBLISHED)
        return lambda value: write_notebook(mini, "one", MEASURING.replace("VALUE", str(value)))

    def test_a_verdict_that_got_worse_is_status_1(self, mini, measured):
        measured(0.5)
        command = ("report", "--profile", "smoke")
        done = labkit(*command, "--check")
        assert done.returncode == 2
        assert "there are no accepted verdicts" in done.stderr
        assert labkit(*command, "--accept").returncode == 0
        assert labkit(*command, "--check").returncode == 0
        measured(0.4999)
        assert labkit(*command, "--check").returncode == 0
        write_notebook(mini, "one", MEASURING.replace("VALUE", "0.1").replace("0.51", "0.1001"))
        done = labkit(*command, "--check")
        assert done.returncode == 1
        assert "mini/1a/test_accuracy: reproduced → not reached" in done.stderr

    def test_the_report_has_the_page(self, mini, measured):
        measured(0.5)
        made = build.report(profile="smoke")
        assert [it.kind for it in made.verdicts] == ["reproduced"]
        assert "Published beside measured" in text(made.pdf)
        page = (made.pdf.parent / "index.html").read_text()
        assert "Published beside measured" in page


def test_output_goes_where_it_is_told(mini, tmp_path):
    made = build.report(profile="smoke", output=tmp_path / "elsewhere")
    assert made.pdf == tmp_path / "elsewhere/smoke/report.pdf"
    assert not (mini / "reports/build").exists()


def test_a_failing_notebook_is_shown_and_the_others_stay(mini, capsys):
    write_notebook(mini, "bad", BAD)
    made = build.report(profile="smoke")
    assert made.failed
    words = text(made.pdf)
    assert "ZeroDivisionError" in words
    assert "so far" in words
    assert "count is" in words
    assert "ZeroDivisionError: division by zero" in capsys.readouterr().err
    # mended, it runs, and only it
    write_notebook(mini, "bad", BAD.replace("1 / 0", "1 / 1"))
    made = build.report(profile="smoke")
    assert {part.source.stem: part.executed for part in made.parts} == {"bad": True, "one": False}
    assert not made.failed


def test_a_failed_notebook_is_tried_again(mini):
    write_notebook(mini, "bad", BAD)
    build.report(profile="smoke")
    made = build.report(profile="smoke")
    assert {part.source.stem: part.executed for part in made.parts} == {"bad": True, "one": False}


def test_nothing_runs_when_any_setting_is_wrong(mini):
    write_notebook(mini, "two", '# %% tags=["parameters"]\nn = 1\n', "{smoke: {m: 2}}")
    with pytest.raises(UsageError, match="mini/two has no parameter 'm'"):
        build.report(profile="smoke")
    assert not (mini / "reports/build").exists()


def test_a_damaged_executed_notebook_is_made_anew(mini):
    build.report(profile="smoke")
    path = mini / "reports/build/smoke/notebooks/mini/one.ipynb"
    path.write_text(path.read_text()[:-100])
    assert [part.executed for part in build.report(profile="smoke").parts] == [True]


def test_the_date_is_that_of_the_newest_notebook(mini):
    build.report(profile="smoke")
    path = mini / "reports/build/smoke/notebooks/mini/one.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.papermill.end_time = "2024-02-29T12:00:00+00:00"
    nbformat.write(notebook, path)
    assert "29 February 2024" in text(build.report(profile="smoke").pdf)


# --- what could not be had ------------------------------------------------------------------------

PLAIN = '# %% tags=["parameters"]\nbackbone: str = "small"\n\n# %%\nprint("ran with", backbone)\n'


def read_npz(folder: Path) -> Arrays:
    with np.load(folder / "made.npz") as file:
        return dict(file)


class Remote:
    """Where the made set `tiny` and the made weights `small` are downloaded from, while it works.

    The set `dots`, which stands in for `tiny`, is always to be had.
    """

    def __init__(self, folder: Path):
        self.works = True
        self.file = folder / "small.pth"
        self.file.write_bytes(b"weights")

    def url(self) -> str:
        return (self.file if self.works else self.file.with_name("nowhere")).as_uri()

    def set(self, name: str, side: int, stand_in: StandIn | None = None) -> KnownSet:
        def into(folder: Path) -> None:
            if not self.works and name == "tiny":
                raise DataError("nobody answers")
            images = np.arange(6 * 3 * side**2, dtype=np.uint8).reshape(6, 3, side, side)
            labels = np.arange(6) % 2
            arrays = {"train_images": images[:4], "train_labels": labels[:4]}
            arrays |= {"test_images": images[4:], "test_labels": labels[4:]}
            np.savez(folder / "made.npz", **arrays)

        return KnownSet(
            name=name,
            title=name.capitalize(),
            classes=("a", "b"),
            image_shape=(3, side, side),
            num_train=4,
            num_test=2,
            fingerprint=None,
            forms=(Form("made.npz", "made.npz", read_npz),),
            archives=(),
            downloads=(Download(f"the place of {name}", into),),
            stand_in=stand_in,
        )


@pytest.fixture
def remote(mini, tmp_path, monkeypatch) -> Remote:
    """Its set and its weights are known; nothing is in the cache."""
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    made = Remote(tmp_path)
    dots = made.set("dots", 2)
    for known in (dots, made.set("tiny", 4, StandIn(dots, dots.classes))):
        monkeypatch.setitem(sources.DATASETS, known.name, known)
    small = KnownWeights(
        name="small",
        file_name=made.file.name,
        sha256=sha256(made.file.read_bytes()).hexdigest(),
        source="the place of small",
        remedy="bring a network",
        url=made.url,
    )
    monkeypatch.setitem(weights.WEIGHTS, "small", small)
    return made


def executed(made: build.Report) -> dict[str, bool]:
    assert not made.failed
    return {part.source.stem: part.executed for part in made.parts}


def about(made: build.Report, stem: str) -> dict:
    (part,) = (part for part in made.parts if part.source.stem == stem)
    return part.notebook.metadata["labkit"]


@pytest.mark.parametrize(
    ("params", "missing", "said"),
    [
        (
            '{title: T, weights: ["{backbone}"]}',
            "small",
            "labkit: going on without small: the pretrained weights small could not be had. Tried",
        ),
        (
            "{title: T, data: [tiny]}",
            "tiny",
            "labkit: tiny: enlarged images of Dots stand in for Tiny; `labkit data fetch tiny`",
        ),
    ],
    ids=["weights", "data"],
)
def test_what_could_not_be_had_is_asked_for_again(mini, remote, capsys, params, missing, said):
    write_notebook(mini, "two", PLAIN, params)
    remote.works = False
    first = build.report(profile="smoke")
    assert executed(first) == {"one": True, "two": True}
    assert "ran with small" in text(first.pdf)
    assert about(first, "two")["missing"] == [missing]
    assert about(first, "one")["missing"] == []
    assert said in capsys.readouterr().err

    second = build.report(profile="smoke")  # it is still not there
    assert executed(second) == {"one": False, "two": False}
    assert about(second, "two")["missing"] == [missing]
    assert said in capsys.readouterr().err

    remote.works = True
    third = build.report(profile="smoke")
    assert executed(third) == {"one": False, "two": True}
    assert about(third, "two")["missing"] == []
    assert said not in capsys.readouterr().err

    remote.works = False  # what was fetched stays
    assert executed(build.report(profile="smoke")) == {"one": False, "two": False}


def test_the_title_page_names_the_stand_in_until_the_real_set_is_there(mini, remote):
    write_notebook(mini, "two", PLAIN, "{title: T, data: [tiny]}")

    def words() -> str:
        return " ".join(text(build.report(profile="smoke").pdf).split())

    remote.works = False
    for _ in range(2):  # executed, and taken from before
        said = words()
        assert "stand-in: Dots, enlarged to 4×4 pixels (Tiny could not be had)" in said
        assert "the place of tiny" not in said
    remote.works = True
    said = words()
    assert "the place of tiny" in said
    assert "stand-in" not in said


def test_what_several_notebooks_need_is_asked_for_once(mini, remote, capsys):
    for stem in ("two", "three"):
        write_notebook(mini, stem, PLAIN, '{title: T, weights: ["{backbone}"]}')
    remote.works = False
    for _ in range(2):  # executed, and looked for again
        build.report(profile="smoke")
        assert capsys.readouterr().err.count("going on without small") == 1


def test_each_of_what_could_not_be_had_counts_by_itself(mini, remote):
    params = '{title: T, data: [tiny, dots], weights: ["{backbone}"]}'
    write_notebook(mini, "two", PLAIN, params)
    remote.works = False
    first = build.report(profile="smoke")
    assert about(first, "two")["missing"] == ["tiny", "small"]
    assert set(about(first, "two")["data"]) == {"tiny", "dots"}
    shutil.copy(remote.file, weights.weights_folder())
    second = build.report(profile="smoke")
    assert executed(second) == {"one": False, "two": True}
    assert about(second, "two")["missing"] == ["tiny"]
    assert executed(build.report(profile="smoke")) == {"one": False, "two": False}


def test_a_set_that_can_be_had_by_no_means_fails_its_notebook_alone(mini, remote, monkeypatch):
    monkeypatch.setitem(sources.DATASETS, "tiny", remote.set("tiny", 4))  # nothing stands in
    write_notebook(mini, "two", PLAIN, "{title: T, data: [tiny]}")
    remote.works = False
    made = build.report(profile="smoke")
    assert {part.source.stem: part.state for part in made.parts} == {
        "one": "executed",
        "two": "failed",
    }
    assert "tiny could not be had" in text(made.pdf)


def test_a_set_that_is_there_by_now_but_damaged_fails_its_notebook_alone(
    mini, remote, tmp_path, monkeypatch
):
    write_notebook(mini, "two", PLAIN, "{title: T, data: [tiny]}")
    remote.works = False
    build.report(profile="smoke")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "made.npz").write_bytes(b"no numbers")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "mine"))
    made = build.report(profile="smoke")
    assert {part.source.stem: part.state for part in made.parts} == {
        "one": "unchanged",
        "two": "failed",
    }


class TestCommand:
    def test_report_prints_the_place_of_the_pdf(self, mini):
        done = labkit("report", "--profile", "smoke")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(mini / "reports/build/smoke/report.pdf")
        assert "executed" in done.stderr

    def test_a_failing_notebook_makes_the_status_1(self, mini):
        write_notebook(mini, "bad", BAD)
        done = labkit("report", "--profile", "smoke")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr

    def test_run_sets_parameters(self, mini):
        done = labkit("run", "mini/one", "-p", "count=5", "-p", "sizes=[3]")
        assert done.returncode == 0, done.stderr
        assert "count is 5 rate is 0.5 limit is None sizes are [3]" in " ".join(
            text(Path(done.stdout.strip())).split()
        )

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["run", "mini/one", "-p", "cout=3"], "did you mean 'count'?"),
            (["run", "mini/one", "-p", "count=x"], "'x' is not of type int"),
            (["run", "mini/one", "-p", "count"], "write -p name=value"),
            (["run", "mini/oen"], "did you mean 'mini/one'?"),
            (["report", "mni"], "did you mean 'mini'?"),
            (["report", "--profile", "huge"], "'huge' is not one of"),
            (["report", "--fesh"], "--fresh"),
            (["data", "fetch", "cifar11"], "cifar10"),
        ],
    )
    def test_what_cannot_be_done_is_status_2_and_one_line(self, mini, arguments, message):
        done = labkit(*arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
