import nbformat
import pytest
from report_project import write_notebook

from labkit import sheets
from labkit.report import cache, execute


def inputs(stem: str = "one", **overrides) -> dict[str, str]:
    source = execute.find_notebook(f"mini/{stem}")
    return cache.inputs(source, execute.settings(source, "quick", overrides))


def executed(before: dict[str, str]) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(metadata={"labkit": {"inputs": before}})


def test_nothing_changed_is_no_reason(mini):
    assert cache.reasons(executed(inputs()), inputs()) == []


def test_what_was_never_run_or_is_damaged_has_a_reason(mini, tmp_path):
    assert cache.read(tmp_path / "nowhere.ipynb") is None
    (tmp_path / "damaged.ipynb").write_text('{"cells": [')
    assert cache.read(tmp_path / "damaged.ipynb") is None
    assert cache.reasons(None, inputs()) == ["it has not been run to its end yet"]
    assert cache.reasons(nbformat.v4.new_notebook(), inputs()) == ["it was run by an older labkit"]


def test_a_changed_word_of_the_notebook_is_the_reason(mini):
    before = inputs()
    path = mini / "notebooks/mini/one.py"
    path.write_text(path.read_text().replace("# One", "# Two"))
    assert cache.reasons(executed(before), inputs()) == ["the notebook changed"]


def test_a_changed_parameter_is_told_with_both_values(mini):
    before = inputs(count=3)
    assert cache.reasons(executed(before), inputs(count=4)) == ["parameter count: 3 → 4"]
    assert cache.reasons(executed(before), inputs()) == ["parameter count: 3 → unset"]


def test_the_sets_that_it_needs_count(mini):
    sized = '# %% tags=["parameters"]\nsize: int = 64\n'
    write_notebook(mini, "sized", sized, '{title: T, data: ["set-{size}"]}')
    before = inputs("sized")
    write_notebook(mini, "sized", sized, '{title: T, data: ["other-{size}"]}')
    assert cache.reasons(executed(before), inputs("sized")) == ["data: set-64 → other-64"]


@pytest.fixture
def package(mini, tmp_path, monkeypatch):
    """A labkit of its own, whose `figures` imports `style`, and `data` nothing."""
    package = tmp_path / "place" / "labkit"
    for name, text in {
        "__init__.py": "",
        "style.py": "",
        "figures/__init__.py": "from labkit.figures.curves import draw\n",
        "figures/curves.py": "def draw():\n    from labkit import style\n",
        "data.py": "",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(cache, "PACKAGE", package)
    return package


SOURCE = '# %% tags=["parameters"]\nn = 1\n\n# %%\n# %time x\nfrom labkit import figures\n'


def test_only_the_modules_that_it_imports_count_through_others_as_well(mini, package):
    write_notebook(mini, "two", SOURCE)
    before = inputs("two")
    assert {name for name in before if name.startswith("labkit")} == {
        "labkit/__init__.py",
        "labkit/style.py",
        "labkit/figures/__init__.py",
        "labkit/figures/curves.py",
    }
    (package / "data.py").write_text("# changed\n")
    assert cache.reasons(executed(before), inputs("two")) == []
    (package / "style.py").write_text("# changed\n")
    assert cache.reasons(executed(before), inputs("two")) == ["labkit/style.py changed"]
    (package / "figures" / "curves.py").write_text("def draw(): ...\n")  # imports it no more
    assert cache.reasons(executed(before), inputs("two")) == [
        "labkit/figures/curves.py changed",
        "labkit/style.py is gone",
    ]


def test_published_values_and_committed_records_count_for_who_reads_them(mini):
    write_notebook(
        mini, "two", SOURCE.replace("labkit import figures", "labkit.report.published import x")
    )
    write_notebook(mini, "three", SOURCE.replace("import figures", "import handcalc"))
    before = {stem: inputs(stem) for stem in ("one", "two", "three")}
    (mini / "reports" / "published.yaml").write_text("mini: {}\n")
    assert cache.reasons(executed(before["two"]), inputs("two")) == [
        "reports/published.yaml changed"
    ]
    for stem in ("one", "three"):
        assert cache.reasons(executed(before[stem]), inputs(stem)) == []


def test_a_new_committed_record_counts_for_who_looks_for_runs(mini):
    write_notebook(mini, "two", SOURCE.replace("import figures", "import training"))
    before = {stem: inputs(stem) for stem in ("one", "two")}
    (mini / "reports/results/key").mkdir()
    (mini / "reports/results/key/metrics.json").write_text("{}")
    assert cache.reasons(executed(before["two"]), inputs("two")) == ["committed records changed"]
    assert cache.reasons(executed(before["one"]), inputs("one")) == []


def test_an_answer_counts_for_the_notebook_that_asks_for_it(mini):
    cell = '\n# %%\nanswer = kept_answer("tdt4265/1c")  # or one number\n'
    write_notebook(mini, "two", SOURCE.replace("import figures", "import handcalc") + cell)
    sheet = mini / "notebooks/mini/answers.yaml"
    before = inputs("two")
    sheets.put_answer(sheet, "tdt4265/1c", "")
    sheets.put_answer(sheet, "tdt4265/1d", "5 5")
    assert cache.reasons(executed(before), inputs("two")) == []
    sheets.put_answer(sheet, "tdt4265/1c", "4")
    assert cache.reasons(executed(before), inputs("two")) == ["the answer to tdt4265/1c is new"]
    assert cache.reasons(executed(inputs("one")), inputs("one")) == []
    before = inputs("two")
    sheets.put_answer(sheet, "tdt4265/1c", "3")
    assert cache.reasons(executed(before), inputs("two")) == ["the answer to tdt4265/1c changed"]
    sheet.write_text("tdt4265/1c: [1\n")
    told = ["answers.yaml is new", "the answer to tdt4265/1c is gone"]
    assert cache.reasons(executed(before), inputs("two")) == told


def test_a_library_s_version_counts(mini, monkeypatch):
    before = inputs()
    monkeypatch.setattr(cache, "version", lambda name: "99")
    told = cache.reasons(executed(before), inputs())
    assert len(told) == len(cache.SHAPING)
    assert told[0].startswith("version of torch: 2.")
    assert told[0].endswith("→ 99")
