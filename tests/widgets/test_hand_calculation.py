"""The widgets are driven from Python, as JupyterLab does: values are set, buttons clicked."""

import subprocess
import sys
import time
from fractions import Fraction

import pytest

from labkit import progress, sheets
from labkit.handcalc import (
    OutputSize,
    avg_pool,
    check,
    convolve,
    cross_correlate,
    html,
    max_pool,
    question,
)
from labkit.handcalc.questions import QUESTIONS
from labkit.handcalc.windows import flat
from labkit.site import desk
from labkit.widgets import answer_grid, kept_answer, stepper
from labkit.widgets.answer_grid import NO_SIGN

IMAGE = [[2, 1, 2, 3, 1], [3, 9, 1, 1, 4], [4, 5, 0, 7, 0]]
SOBEL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
KERNEL = [[1, 2], [3, 4]]
WIDGET = "application/vnd.jupyter.widget-view+json"


def visible(widget) -> bool:
    return widget.layout.display != "none"


class TestStepper:
    def test_the_slider_goes_through_the_windows(self):
        widget = stepper(IMAGE, SOBEL, padding=1)
        worked = convolve(IMAGE, SOBEL, padding=1)
        assert (widget.slider.min, widget.slider.max, widget.play.max) == (1, 15, 15)
        assert widget.count.value == "of 15"
        assert widget.step.value == html(worked, at=(0, 0))
        widget.slider.value = 8
        assert widget.position == (1, 2)
        assert widget.step.value == html(worked, at=(1, 2))

    def test_it_goes_on_to_the_next_filter(self):
        widget = stepper([IMAGE], [[SOBEL], [SOBEL]])
        assert widget.slider.max == 6
        widget.slider.value = 5
        assert widget.position == (1, 0, 1)

    @pytest.mark.parametrize(
        ("typed", "meant"),
        [
            ({"kernel": "1 2\n3 4"}, convolve(IMAGE, KERNEL)),
            ({"kernel": "1, 2; 3, 4"}, convolve(IMAGE, KERNEL)),
            ({"kernel": "[[1, 2], [3, 4]]"}, convolve(IMAGE, KERNEL)),
            ({"kernel": "1/2\n-0.5"}, convolve(IMAGE, [[Fraction(1, 2)], [-0.5]])),
            ({"kernel": "7"}, convolve(IMAGE, [[7]])),
            ({"stride": "2"}, convolve(IMAGE, SOBEL, stride=2)),
            ({"stride": "1×2"}, convolve(IMAGE, SOBEL, stride=(1, 2))),
            ({"padding": "1, 2"}, convolve(IMAGE, SOBEL, padding=(1, 2))),
            ({"padding": "same"}, convolve(IMAGE, SOBEL, padding="same")),
            ({"kernel": "1 2\n3 4", "dilation": "2"}, convolve(IMAGE, KERNEL, dilation=2)),
            ({"operation": "cross-correlation"}, cross_correlate(IMAGE, SOBEL)),
            ({"operation": "max pooling"}, max_pool(IMAGE, 2, stride=1)),
            ({"operation": "average pooling", "window": "3x2"}, avg_pool(IMAGE, (3, 2), stride=1)),
        ],
    )
    def test_settings_are_read_as_they_are_typed(self, typed, meant):
        widget = stepper(IMAGE, SOBEL)
        for name, value in typed.items():
            getattr(widget, name).value = value
        assert widget.worked.operation == meant.operation
        assert widget.worked.result == meant.result
        assert widget.step.value == html(meant, at=(0, 0))

    @pytest.mark.parametrize(
        ("x", "kernel", "settings"),
        [
            (IMAGE, SOBEL, {"stride": (1, 2), "padding": (1, 0), "dilation": (1, 2)}),
            (IMAGE, [[Fraction(1, 2), 0.25]], {"padding": ((1, 0), (0, 2))}),
            ([IMAGE, IMAGE], [KERNEL, [[5, 6], [7, 8]]], {}),
            ([IMAGE], [[KERNEL], [[[1, 1], [Fraction(1, 3), 1]]]], {"padding": "same"}),
        ],
    )
    def test_what_is_given_stands_in_the_fields(self, x, kernel, settings):
        widget = stepper(x, kernel, **settings)
        assert widget.worked.result == convolve(x, kernel, **settings).result

    def test_a_kernel_of_one_channel_may_stand_in_any_brackets(self):
        meant = convolve([IMAGE], [KERNEL]).result
        assert stepper([IMAGE], [[KERNEL]]).worked.result == meant
        widget = stepper([IMAGE], [SOBEL])
        for typed in ("[[1, 2], [3, 4]]", "[[[1, 2], [3, 4]]]", "1 2\n3 4"):
            widget.kernel.value = typed
            assert widget.worked.result == meant

    @pytest.mark.parametrize("operation", ["max pooling", "average pooling"])
    def test_a_pooling_moves_by_its_window_unless_told(self, operation):
        pool = {"max pooling": max_pool, "average pooling": avg_pool}[operation]
        widget = stepper(IMAGE, (1, 2), operation=operation)
        assert widget.worked.result == pool(IMAGE, (1, 2)).result
        widget = stepper(IMAGE, operation=operation)
        assert widget.worked.result == pool(IMAGE, 2).result
        widget = stepper(IMAGE, 2, operation=operation, stride=1)
        assert widget.worked.result == pool(IMAGE, 2, stride=1).result

    def test_without_a_kernel_every_channel_has_one(self):
        assert stepper([IMAGE, IMAGE]).worked.result == convolve([IMAGE] * 2, [KERNEL] * 2).result

    def test_only_the_fields_that_matter_are_shown(self):
        widget = stepper(IMAGE)
        names = ("kernel", "window", "dilation")
        shown = {
            "cross-correlation": (True, False, True),
            "max pooling": (False, True, True),
            "average pooling": (False, True, False),
            "convolution": (True, False, True),
        }
        for operation, expected in shown.items():
            widget.operation.value = operation
            assert tuple(visible(getattr(widget, name)) for name in names) == expected

    @pytest.mark.parametrize(
        ("name", "typed", "message"),
        [
            ("kernel", "1 2\n3", "kernel: row 2 has 1 entries where row 1 has 2"),
            ("kernel", "", "kernel is empty; give it a number"),
            ("kernel", "__import__('os')", "is no number"),
            ("kernel", "1 " * 9, "raise padding to at least"),
            ("stride", "0", "stride 0 is not possible; give a whole number of at least 1"),
            ("stride", "1.5", "stride 1.5 is not possible"),
            ("padding", "some", "padding: &#x27;some&#x27; is no number"),
            ("padding", "9999", "more than 1,000,000; lower the padding"),
            ("dilation", "7", "raise padding"),
        ],
    )
    def test_settings_that_do_not_fit_are_answered_until_they_are_mended(
        self, name, typed, message
    ):
        widget = stepper(IMAGE, SOBEL, padding=1)
        widget.slider.value = 3
        before = widget.step.value
        field = getattr(widget, name)
        good, field.value = field.value, typed
        assert message in widget.step.value
        assert "<table" not in widget.step.value
        assert (widget.slider.disabled, widget.play.disabled) == (True, True)
        widget.slider.value = 3  # moves nothing and breaks nothing
        field.value = good
        assert widget.step.value == before
        assert (widget.slider.disabled, widget.play.disabled) == (False, False)

    def test_a_message_shows_what_was_typed_as_text(self):
        widget = stepper(IMAGE)
        widget.stride.value = "<img src=x>"
        assert "&lt;img" in widget.step.value
        assert "<img" not in widget.step.value

    def test_fewer_windows_bring_the_slider_back(self):
        widget = stepper(IMAGE, SOBEL, padding=1)
        widget.slider.value = 15
        widget.padding.value = "0"
        assert widget.slider.value == widget.slider.max == 3
        assert widget.step.value == html(convolve(IMAGE, SOBEL), at=(0, 2))

    def test_what_cannot_be_mended_in_the_widget_is_an_error(self):
        with pytest.raises(ValueError, match=r"no operation 'conv'; choose one of 'convolution'"):
            stepper(IMAGE, operation="conv")
        with pytest.raises(ValueError, match="average pooling has no dilation"):
            stepper(IMAGE, operation="average pooling", dilation=2)
        with pytest.raises(ValueError, match="x is ragged"):
            stepper([[1, 2], [3]])
        with pytest.raises(ValueError, match="kernel is the single number 3"):
            stepper(IMAGE, 3)

    def test_where_there_are_no_widgets_the_step_stands_as_markdown(self):
        widget = stepper(IMAGE, SOBEL, padding=1)
        widget.slider.value = 8
        shown = widget._repr_mimebundle_()
        assert WIDGET in shown
        assert shown["text/markdown"].endswith("= 12$$")
        assert shown["text/plain"].endswith("= 12")
        widget.stride.value = "0"
        assert set(widget._repr_mimebundle_()) == {WIDGET, "text/plain"}


class TestAnswerGrid:
    RIGHT = tuple(map(str, (-11, 2, 4, -1, 7, -24, 8, 12, -5, 12, -19, 10, 4, -3, 15)))

    def fill(self, grid, values):
        for cell, value in zip(grid.cells, values, strict=True):
            cell.value = value
        grid.check_button.click()

    def signs(self, grid) -> str:
        return "".join(cell.description.replace(NO_SIGN, "-") for cell in grid.cells)

    def marked(self, grid) -> list[int]:
        return [
            index for index, cell in enumerate(grid.cells) if "labkit-marked" in cell._dom_classes
        ]

    def test_a_right_answer(self):
        grid = answer_grid(question("tdt4265/1a"))
        assert [len(row.children) for row in grid.children[2:5]] == [5, 5, 5]
        assert grid.children[1].value == "tdt4265/1a: 3×5 numbers, rows × columns"
        self.fill(grid, self.RIGHT)
        assert "✓ correct" in grid.verdict.value
        assert self.signs(grid) == "✓" * 15
        assert self.marked(grid) == []

    def test_wrong_cells_are_marked_by_sign_and_frame(self):
        grid = answer_grid(question("tdt4265/1a"))
        values = [*self.RIGHT]
        values[7], values[10] = "-12", "19"
        self.fill(grid, values)
        verdict = check([values[:5], values[5:10], values[10:]], question("tdt4265/1a"))
        assert f"✗ {verdict.message}" in grid.verdict.value
        assert self.marked(grid) == [7, 10]
        assert self.signs(grid) == "✓✓✓✓✓✓✓✗✓✓✗✓✓✓✓"

    def test_the_hint_names_the_mistake(self):
        grid = answer_grid(question("tdt4265/1a"))
        self.fill(grid, [str(-int(value)) for value in self.RIGHT])  # Sobel is odd
        assert "Hint: it looks as if the kernel was not flipped." in grid.verdict.value

    def test_what_was_typed_before_enter_and_comes_after_it_is_checked_too(self):
        grid = answer_grid([[1, 23]])
        self.fill(grid, ["1", "2"])
        assert self.signs(grid) == "✓✗"
        grid.cells[1].value = "23"
        assert "✓ correct" in grid.verdict.value

    def test_a_mark_goes_when_its_cell_is_changed(self, monkeypatch):
        grid = answer_grid([[1, 2]])
        self.fill(grid, ["3", "4"])
        later = time.monotonic() + 5
        monkeypatch.setattr("time.monotonic", lambda: later)
        grid.cells[0].value = "1"
        assert self.signs(grid) == "-✗"
        assert self.marked(grid) == [1]
        grid.check_button.click()
        assert self.signs(grid) == "✓✗"

    def test_the_working_can_be_had_after_an_answer(self):
        grid = answer_grid(question("tdt4265/1a"))
        assert not visible(grid.working_button)
        grid.check_button.click()
        assert "no answer yet" in grid.verdict.value
        assert not visible(grid.working_button)
        self.fill(grid, ["0"] * 15)
        assert visible(grid.working_button)
        assert grid.working.outputs == ()
        grid.working_button.click()
        (output,) = grid.working.outputs
        assert "y_{2,3}" in output["data"]["text/markdown"]
        assert grid.working_button.description == "Hide the working"
        grid.working_button.click()
        assert grid.working.outputs == ()
        assert grid.working_button.description == "Show the working"

    def test_empty_cells_are_counted_and_marked(self):
        grid = answer_grid([[1, 2], [3, 4]])
        self.fill(grid, ["1", "", " ", "4"])
        assert "empty cells: 2 of 4" in grid.verdict.value
        assert self.signs(grid) == "-??-"
        assert not visible(grid.working_button)

    def test_a_cell_that_cannot_be_read_is_marked(self):
        grid = answer_grid([[1, 2]])
        self.fill(grid, ["1", "<b>two"])
        assert "not readable: &#x27;&lt;b&gt;two&#x27; is no number" in grid.verdict.value
        assert self.signs(grid) == "-?"
        assert not visible(grid.working_button)

    def test_numbers_may_be_written_in_any_usual_way(self):
        grid = answer_grid([[Fraction(1, 2), -3, 1234]])
        self.fill(grid, ["1/2", "−3", "1,234"])
        assert self.signs(grid) == "✓✓✓"

    def test_one_number(self):
        grid = answer_grid(question("tdt4265/1c"))
        self.fill(grid, ["4"])
        assert self.signs(grid) == "✗"
        self.fill(grid, ["3"])
        assert self.signs(grid) == "✓"

    def test_a_size(self):
        grid = answer_grid(OutputSize((254, 300), 3))
        assert [cell.placeholder for cell in grid.cells] == ["rows", "columns"]
        self.fill(grid, ["252", "300"])
        assert self.signs(grid) == "✓✗"
        assert "not correct: columns" in grid.verdict.value

    def test_an_answer_in_one_cell_that_is_more_than_a_number(self):
        grid = answer_grid(3)
        self.fill(grid, ["3, 4"])
        assert "the task asks for one number" in grid.verdict.value
        assert self.signs(grid) == "-"

    def test_several_maps(self):
        grid = answer_grid(question("nn_hw1/1-forward"))
        labels = [row.value for row in grid.children if hasattr(row, "value")]
        assert labels[2:4] == ["channel 1", "channel 2"]
        self.fill(grid, [str(value) for value in (1, 2, 3, 4)])
        assert len(self.marked(grid)) > 0

    def test_a_choice(self):
        grid = answer_grid(question("tdt4265/1b"))
        assert len(grid.cells) == 1
        grid.check_button.click()
        assert "no answer yet" in grid.verdict.value
        self.fill(grid, ["convolution"])
        assert "✗ not correct" in grid.verdict.value
        self.fill(grid, ["max pooling"])
        assert "✓ correct" in grid.verdict.value

    def test_an_answer_in_words(self):
        grid = answer_grid("max pooling")
        self.fill(grid, ["Max-pooling"])
        assert "✓ correct" in grid.verdict.value

    def test_an_answer_too_large_for_cells_is_an_error(self):
        with pytest.raises(ValueError, match=r"20×20 numbers, too many .* labkit.handcalc.check"):
            answer_grid([[0] * 20] * 20)

    def test_without_widgets_it_says_what_to_do(self):
        shown = answer_grid(3)._repr_mimebundle_()
        assert set(shown) == {WIDGET, "text/plain"}
        assert "check([[…]], task)" in shown["text/plain"]


class TestWhatIsKept:
    @pytest.fixture(autouse=True)
    def notebook(self, monkeypatch, tmp_path):
        """As in JupyterLab, where the kernel works in the notebook's folder."""
        monkeypatch.setattr(progress, "in_notebook", lambda: True)
        monkeypatch.chdir(tmp_path)
        self.sheet = tmp_path / "answers.yaml"

    def again(self, name) -> list[str | None]:
        return [cell.value for cell in answer_grid(question(name)).cells]

    def test_a_matrix_half_filled_in(self):
        grid = answer_grid(question("tdt4265/1a"))
        values = ["-11", "", "1/2", "a b", "1 234", *[""] * 10]
        for cell, value in zip(grid.cells, values, strict=True):
            cell.value = value
        assert self.again("tdt4265/1a") == values
        kept = "tdt4265/1a: |\n  -11\t?\t1/2\ta b\t1 234\n  ?\t?\t?\t?\t?\n"
        assert kept in self.sheet.read_text()
        # and the page in the browser takes it over
        answers = desk.read_sheet(self.sheet.read_text())["answers"]
        assert answers == {"tdt4265/1a": values}

    @pytest.mark.parametrize("name", QUESTIONS)
    def test_every_right_answer(self, name):
        grid = answer_grid(question(name))
        right = question(name).result
        for cell, value in zip(grid.cells, flat(right), strict=True):
            cell.value = str(value)
        answers = [cell.value for cell in grid.cells]
        assert self.again(name) == answers
        (checked,) = sheets.check_sheet(self.sheet)
        assert checked.verdict.right

    @pytest.mark.parametrize("name", ["tdt4265/1a", "tdt4265/1e", "nn_hw1/1-forward"])
    def test_a_sheet_from_the_page_in_the_browser(self, name):
        values = [f"1 00{i % 9}" if i % 3 else "" for i in range(1, len(self.again(name)) + 1)]
        self.sheet.write_text(desk.sheet({name: values}))
        assert self.again(name) == values

    def test_a_choice_and_a_number(self):
        answer_grid(question("tdt4265/1b")).cells[0].value = "convolution"
        answer_grid(question("tdt4265/1c")).cells[0].value = "4"
        assert self.again("tdt4265/1b") == ["convolution"]
        assert self.again("tdt4265/1c") == ["4"]

    def test_what_somebody_wrote_in_another_notation(self):
        self.sheet.write_text("tdt4265/1e: 254x253\ntdt4265/1b: dense\ntdt4265/1f: 1 2 3\n")
        assert self.again("tdt4265/1e") == ["254", "253"]
        for name in ("tdt4265/1b", "tdt4265/1f"):
            grid = answer_grid(question(name))
            assert not any(cell.value for cell in grid.cells)
            assert "does not fit the cells" in grid.verdict.value
        assert "1 2 3" in self.sheet.read_text()

    def test_a_sheet_that_cannot_be_read(self):
        self.sheet.write_text("tdt4265/1c: [1\n")
        grid = answer_grid(question("tdt4265/1c"))
        assert "answers.yaml, line 2" in grid.verdict.value
        grid.cells[0].value = "3"
        assert self.sheet.read_text() == "tdt4265/1c: [1\n"
        grid.check_button.click()
        assert "✓ correct" in grid.verdict.value

    def test_what_is_kept_can_be_checked(self):
        assert kept_answer("tdt4265/1c") is ...
        grid = answer_grid(question("tdt4265/1c"))
        grid.cells[0].value = "3"
        assert kept_answer("tdt4265/1c") == kept_answer(question("tdt4265/1c")) == "3"
        grid.cells[0].value = " "
        assert kept_answer("tdt4265/1c") is ...

    def test_a_matrix_half_filled_in_is_checked_as_such(self):
        grid = answer_grid(question("tdt4265/1a"))
        for cell in grid.cells[:12]:
            cell.value = "1"
        verdict = check(kept_answer("tdt4265/1a"), question("tdt4265/1a"))
        assert str(verdict) == "not readable: empty cells (?): 3"

    def test_the_verdict_says_why_a_sheet_cannot_be_read(self):
        self.sheet.write_text("tdt4265/1b: [1\n")
        for name in ("tdt4265/1b", "tdt4265/1c"):
            verdict = check(kept_answer(name), question(name))
            assert str(verdict).startswith("not readable: answers.yaml, line 2: ")
            assert not verdict.readable
        self.sheet.unlink()
        self.sheet.mkdir()
        verdict = check(kept_answer("tdt4265/1c"), question("tdt4265/1c"))
        assert str(verdict) == "not readable: answers.yaml cannot be read (Is a directory)"

    def test_a_report_finds_the_sheet_beside_the_notebook(self, monkeypatch, tmp_path):
        sheets.put_answer(tmp_path / "notebooks" / "mini" / "answers.yaml", "tdt4265/1c", "4")
        assert kept_answer("tdt4265/1c") is ...
        monkeypatch.setenv(sheets.FOLDER_VARIABLE, str(tmp_path / "notebooks" / "mini"))
        assert kept_answer("tdt4265/1c") == "4"

    def test_a_task_without_a_name_or_a_report_keeps_nothing(self, monkeypatch):
        answer_grid(3).cells[0].value = "3"
        answer_grid(question("tdt4265/1c"), sheet=None).cells[0].value = "3"
        monkeypatch.setattr(progress, "in_notebook", lambda: False)
        answer_grid(question("tdt4265/1c")).cells[0].value = "3"
        assert not self.sheet.exists()


def test_enter_checks():
    grid = answer_grid([[1, 2]])
    for cell, value in zip(grid.cells, "13", strict=True):
        cell.value = value
    submitted = {"method": "custom", "content": {"event": "submit"}}
    grid.cells[1]._handle_msg({"content": {"data": submitted}, "buffers": []})
    assert "✗ 1 entry differs" in grid.verdict.value


def test_widgets_start_without_torch():
    source = "import sys, labkit.widgets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", source]).returncode == 0
