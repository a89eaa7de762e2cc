"""A hand calculation in JupyterLab, as a student meets it."""

import re

from in_browser import needs_chromium
from playwright.sync_api import expect

pytestmark = needs_chromium

TASK_1 = "tdt4265/task1_hand_calculation.py"
RIGHT = ["-11", "2", "4", "-1", "7", "-24", "8", "12", "-5", "12", "-19", "10", "4", "-3", "15"]
PUBLISHED = [*RIGHT]
PUBLISHED[7], PUBLISHED[12] = RIGHT[12], RIGHT[7]  # two values changed places


def open_grid(notebook):
    """Task 1 with its imports and the grid of 1a run; returns the grid's cell."""
    task = notebook(TASK_1)
    task.run("from labkit.widgets import answer_grid")
    cell = task.run('answer_grid(question("tdt4265/1a"))')
    expect(cell.locator("input")).to_have_count(15)
    return task, cell


def test_a_wrong_matrix_a_named_mistake_the_right_one(notebook, lab):
    _, cell = open_grid(notebook)
    cell.locator("input").first.click()
    for value in PUBLISHED:  # with the keyboard alone
        cell.page.keyboard.type(value)
        cell.page.keyboard.press("Tab" if value is not PUBLISHED[-1] else "Enter")
    message = cell.locator(".labkit-message")
    expect(message).to_contain_text("✗ 2 entries differ: row 2 column 3, row 3 column 3")
    expect(message).to_contain_text("two entries changed places")
    expect(cell.locator(".labkit-marked")).to_have_count(2)
    for index in (7, 12):
        cell.locator("input").nth(index).fill(RIGHT[index])
    cell.get_by_role("button", name="Check").click()
    expect(message).to_contain_text("✓ correct")
    expect(cell.locator(".labkit-marked")).to_have_count(0)
    assert "tdt4265/1a: |" in (lab.root / "notebooks/tdt4265/answers.yaml").read_text()


def test_after_a_restart_the_answer_is_there(notebook, labkit, lab):
    lab.stop_kernels()
    _, cell = open_grid(notebook)
    values = [it.input_value() for it in cell.locator("input").all()]
    assert values == RIGHT
    sheet = lab.root / "notebooks/tdt4265/answers.yaml"
    status, out, _ = labkit("check", str(sheet))
    assert (status, out) == (0, "tdt4265/1a  correct\n")


def test_run_all_and_save_change_nothing_that_git_tracks(notebook, lab):
    task = notebook(TASK_1)
    task.command("notebook:run-all-cells")
    task.idle()
    expect(task.panel.locator(".jp-OutputArea-output", has_text="390,410, correct")).to_be_visible()
    assert task.panel.locator('[data-mime-type*="stderr"]').count() == 0
    task.save()
    saved = (lab.root / "notebooks" / TASK_1).with_suffix(".ipynb")
    assert "390,410, correct" in saved.read_text()
    assert lab.git("status", "--porcelain") == ""
    task = notebook(TASK_1)  # its outputs are there again, without being run
    shown = task.panel.locator(".jp-OutputArea-output", has_text="390,410, correct")
    expect(shown).to_be_visible()


def test_the_start_page_leads_to_a_notebook_and_knows_how_far_one_is(page, lab):
    page.goto(lab.url)
    row = page.get_by_role("row").filter(has_text="Task 1: hand calculation")
    row.get_by_role("link").click()
    expect(page.locator(".lm-TabBar-tabLabel", has_text="task1_hand_calculation")).to_be_visible()
    expect(page.locator(".jp-NotebookPanel:visible")).to_contain_text("1a: a convolution")
    page.locator(".lm-TabBar-tabLabel", has_text="index").click()
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")
    expect(row).to_contain_text(re.compile(r"1 of 7\s*1 right"))


def test_what_is_typed_is_what_the_cells_below_check(notebook):
    task, _ = open_grid(notebook)
    grid = task.run('answer_grid(question("tdt4265/1c"))')
    grid.locator("input").fill("6")
    grid.locator("input").press("Tab")
    task.idle()
    task.run("answer_1c = kept_answer")
    expect(task.run("check(answer_1c")).to_contain_text("Check tdt4265/1c: 6, not correct.")


def test_opened_again_while_its_kernel_runs_a_grid_goes_on(notebook):
    task, _ = open_grid(notebook)
    stepped = task.run("stepper([[1, 0")
    grid = task.run('answer_grid(question("tdt4265/1c"))')

    def check(value):
        grid.locator("input").fill(value)
        grid.locator("input").press("Enter")
        expect(grid.locator(".labkit-message")).to_contain_text("✗ not correct")

    check("4")
    task.save()
    task.page.reload()
    expect(grid.locator("input")).to_have_value("4")
    expect(stepped.locator(".widget-slider").first).to_be_visible()
    check("5")  # the kernel answers
    task.save()
    task.command("application:close")
    expect(task.panel).to_have_count(0)
    task.command("docmanager:open", path=f"notebooks/{TASK_1}", factory="Notebook")
    expect(grid.locator("input")).to_have_value("5")
    check("6")


def test_opened_again_without_its_kernel_a_grid_s_cell_says_how_to_go_on(notebook, lab):
    task, _ = open_grid(notebook)
    grid = task.run('answer_grid(question("tdt4265/1c"))')
    stepped = task.run("stepper([[1, 0")
    expect(stepped.locator(".widget-slider").first).to_be_visible()
    grid.locator("input").fill("5")
    grid.locator("input").press("Enter")
    expect(grid.locator(".labkit-message")).to_contain_text("✗ not correct")
    task.save()

    lab.stop_kernels()
    go_on = "To go on here, run the cells above and this one (Shift+Enter)."
    lines = {
        'answer_grid(question("tdt4265/1c"))': f"{go_on} What you typed is kept in answers.yaml.",
        "stepper([[1, 0": go_on,
    }
    for _ in range(2):  # the second time with a kernel, which knows nothing of them
        task = notebook(TASK_1)
        for cell, line in lines.items():
            expect(task.cell(cell).locator(".jp-OutputArea-output")).to_have_text(line)
        expect(task.panel).not_to_contain_text("Error displaying widget")
    task.run("from labkit.widgets import answer_grid")
    grid = task.run('answer_grid(question("tdt4265/1c"))')
    expect(grid.locator("input")).to_have_value("5")
