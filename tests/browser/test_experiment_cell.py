"""The cells of an experiment in JupyterLab: what a student sees while they run."""

import re

import nbformat
import pytest
from in_browser import needs_chromium
from playwright.sync_api import expect

pytestmark = needs_chromium

CELLS = {
    "train": """
        from labkit.handcalc import Conv2d, Flatten, Linear, ReLU
        from labkit.training import SGD, Config, Data, sweep

        wide = Conv2d(1, 32, 3, padding=1), ReLU(), Conv2d(32, 32, 3, padding=1), ReLU()
        base = Config(
            network=(*wide, Flatten(), Linear(32 * 8 * 8, 10)),
            data=Data(name="digits"),
            optimizer=SGD(learning_rate=0.01),
            batch_size=32,
            epochs=32,  # long enough to be told the time left
        )
        runs = sweep(base, {"optimizer.learning_rate": [0.01, 0.02]})
        runs.table({"test accuracy": "test_accuracy"})
    """,
    "after": "print('reached')",
    "mistaken": "base.replace(epoch=3)",
    "%tb": "%tb",
    "table": """
        import pandas as pd
        from labkit.figures import show

        accuracy, weights = ["0.803 ± 0.004", "0.79", "0.81"], ["1,234", "12,000", "99"]
        table = pd.DataFrame({"accuracy": accuracy, "weights": weights}, index=["b", "c", "a"])
        show(table, "A table.")
    """,
}

# every frame: height of the outputs, and of the curves; where the next cell is; what is written
WATCH = """() => {
  window.seen = [];
  const look = () => {
    const [cell, next] = document.querySelectorAll(".jp-Notebook .jp-CodeCell");
    const outputs = cell.querySelector(".jp-Cell-outputArea");
    const picture = outputs.querySelector(".jp-RenderedHTML svg");
    window.seen.push({
      height: outputs.getBoundingClientRect().height,
      picture: picture ? picture.getBoundingClientRect().height : 0,
      below: next.getBoundingClientRect().top,
      drawn: picture ? picture.outerHTML.length : 0,
      line: outputs.querySelector(".labkit-line")?.textContent ?? "",
    });
    requestAnimationFrame(look);
  };
  look();
}"""


@pytest.fixture(scope="module")
def written(lab):
    """The name of a notebook of these cells alone."""
    cells = [nbformat.v4.new_code_cell(_dedented(source)) for source in CELLS.values()]
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(made, lab.root / "notebooks" / "experiment.ipynb")
    return "experiment.ipynb"


@pytest.fixture
def opened(written, notebook):
    """That notebook, with a kernel of its own."""
    return notebook(written)


def _dedented(source: str) -> str:
    return re.sub(r"^ {8}", "", source, flags=re.MULTILINE).strip()


def test_curves_grow_in_place_and_an_interrupt_keeps_what_was_trained(
    opened, page, lab, notebook, written
):
    cell = opened.run("runs = sweep")
    line = cell.locator(".labkit-line")
    expect(line).to_contain_text(re.compile(r"run 1 of 2 .*, epoch (\d\d|[2-9])"))
    opened.command("notebook:interrupt-kernel")
    error = cell.locator(
        '[data-mime-type="application/vnd.jupyter.error"], [data-mime-type$=stderr]'
    )
    expect(error).to_contain_text(
        re.compile(
            r"^Interrupted: at run 1 of 2 \(learning_rate 0.01, seed 0\), epoch [\d.]+ of 32; "
            r"what was trained is kept: run the cell again to go on\s*$"
        )
    )
    reached = float(re.search(r"epoch ([\d.]+)", error.inner_text())[1])

    page.evaluate(WATCH)
    opened.run("runs = sweep")
    expect(cell.locator("table")).to_be_visible()  # the cell's own
    seen = page.evaluate("window.seen")
    lines = list(dict.fromkeys(frame["line"] for frame in seen))
    epochs = [float(it[1]) for it in (re.match(r"run 1 .*epoch ([\d.]+)", x) for x in lines) if it]
    # the state of that very step; the line is a quarter of a second behind at most
    assert min(epochs) >= reached
    assert any(re.search(r"run 2 of 2 .*, about \d+ s left$", text) for text in lines)
    assert re.fullmatch(r"2 runs trained in \d+ s", lines[-1])

    # what the interrupted run had shown is taken away first
    cleared = next(i for i, frame in enumerate(seen) if not frame["picture"])
    first = next(i for i, frame in enumerate(seen) if i > cleared and frame["picture"])
    grown = seen[first:]
    assert len({frame["drawn"] for frame in grown}) > 3
    # the same in every frame: nothing flickers, and nothing below is moved, up to the table
    assert len({frame["picture"] for frame in grown}) == 1
    tops = [frame["below"] for frame in grown]
    assert tops == sorted(tops)
    assert len(set(tops)) <= 2

    opened.save()
    lab.stop_kernels()
    again = notebook(written)
    cell = again.cell("runs = sweep")
    expect(cell.locator(".jp-RenderedHTML svg")).to_be_visible()  # what was shown last
    again.run("runs = sweep")
    expect(cell.locator("summary")).to_have_text(
        re.compile(r"2 runs: all from the records \(trained \d{4}-\d\d-\d\d on .+\)")
    )
    assert cell.locator(".jp-RenderedHTML svg").count() == 0
    cell.locator("summary").click()
    expect(cell.locator("details code")).to_have_text(re.compile(r"%env LABKIT_FRESH=\d{4}-"))


def test_a_mistake_is_a_line_with_its_traceback_folded(opened):
    opened.run("runs = sweep")
    cell = opened.run("base.replace(epoch=3)")
    expect(cell.locator("summary")).to_have_text("traceback")
    expect(cell).to_contain_text("ConfigError: ")
    expect(cell).to_contain_text("did you mean epochs?")
    trace = cell.locator("details pre")
    expect(trace).to_be_hidden()
    cell.locator("summary").click()
    expect(trace).to_be_visible()
    expect(trace).to_contain_text("base.replace(epoch=3)")
    expect(opened.run("%tb")).to_contain_text("Traceback (most recent call last)")


def test_a_table_is_sorted_by_click_and_by_keyboard(opened):
    cell = opened.run("A table.")
    rows = cell.locator("tbody tr td:nth-child(1)")
    expect(rows).to_have_text(["b", "c", "a"])
    for heading, up in (("accuracy", "cba"), ("weights", "abc")):
        button = cell.get_by_role("button", name=heading)
        button.click()
        expect(rows).to_have_text(list(up))
        head = cell.locator("th", has_text=heading)
        expect(head).to_have_attribute("aria-sort", "ascending")
        button.press("Enter")
        expect(rows).to_have_text(list(reversed(up)))
        expect(head).to_have_attribute("aria-sort", "descending")
        button.press("Enter")
        expect(rows).to_have_text(["b", "c", "a"])
    align = "element => getComputedStyle(element).textAlign"
    assert rows.first.evaluate(align) == "left"
    assert cell.locator("tbody td:nth-child(2)").first.evaluate(align) == "right"
