"""Cells to put the answer of a hand calculation into, and a button that has it checked."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ipywidgets import HTML, Button, HBox, Label, Output, RadioButtons, Text, VBox, Widget
from traitlets import TraitError

from labkit import progress, sheets
from labkit.errors import UsageError
from labkit.handcalc import Task
from labkit.handcalc.answers import Unreadable
from labkit.handcalc.checking import form
from labkit.handcalc.forms import AnswerForm
from labkit.handcalc.render import working
from labkit.handcalc.windows import by
from labkit.widgets.parts import message, set_visible, style

MOST_CELLS = 200  # of an answer; nobody types more
LATE = 1.0  # seconds after a check: what was typed just before Enter comes to the kernel behind it
NO_SIGN = "\u2007"  # a space of a digit's width: without any description the cell would move


def answer_grid(task, sheet: str | Path | None = "answers.yaml") -> VBox:
    """Cells in the shape of a task's answer, and a button that has them checked.

    `task` is what `check` takes. A cell takes a number in any usual notation (-3, 1/2, 0.25). Tab
    goes on to the next one, Enter checks. Wrong cells are marked and the verdict's hint is shown;
    after a first answer there is a button for the working.

    What is typed is kept in the answer sheet `sheet`, in JupyterLab a file beside the notebook, and
    is there again after a restart; `labkit check answers.yaml` reads it too. It is not kept where
    `sheet` is None or the task has no name, nor where `labkit report` executes the notebook.

        answer_grid(question("tdt4265/1a"))

    In plain cells: `check([[1, 2], [3, 4]], task)`. The PDF leaves the grid out.
    """
    named = isinstance(task, Task) and task.name
    return _AnswerGrid(task, Path(sheet) if sheet and named and progress.in_notebook() else None)


def kept_answer(task, sheet: str | Path = "answers.yaml"):
    """The answer to a task that its grid keeps, for `check`; `...` where there is none yet.

    `task` is the one that the grid was made of, or its name. `sheet` is the answer sheet, a file
    beside the notebook: so it is found in JupyterLab as well as by `labkit report`. Nothing is
    raised where it cannot be read: the verdict on such an answer says why.

        answer_1c = kept_answer("tdt4265/1c")
        check(answer_1c, question("tdt4265/1c"))

    A report is made anew where the answer has changed, as long as the name stands there in quotes.
    """
    name = task.name if isinstance(task, Task) else task
    # a notebook that is executed for a report works in the project's folder
    path = Path(os.environ.get(sheets.FOLDER_VARIABLE, ""), sheet)
    try:
        text, _ = sheets.answers_in(path).get(name, ("", 0))
    except UsageError as error:
        return Unreadable(str(error).replace(str(path), path.name))
    return text if text.strip() else ...


class _AnswerGrid(VBox):
    def __init__(self, task, sheet: Path | None):
        self.task, self.sheet, self.form = task, sheet, AnswerForm(task)
        if len(self.form.positions) > MOST_CELLS:
            raise ValueError(
                f"the answer has {by(self.form.shape)} numbers, too many to type into cells; "
                "give it to labkit.handcalc.check, as an array or as text"
            )
        if self.form.options:
            self.cells = [RadioButtons(options=self.form.options, value=None)]
        else:
            self.cells = list(map(self._cell, self.form.names))
        self.check_button = Button(description="Check", button_style="primary")
        self.check_button.on_click(self._check)
        self.working_button = Button(description="Show the working")
        self.working_button.on_click(self._show_working)
        set_visible(self.working_button, False)
        self.verdict = HTML()
        self.working = Output()
        buttons = HBox([self.check_button, self.working_button])
        children = [style(), *self._rows(), buttons, self.verdict, self.working]
        if isinstance(task, Task) and task.name:
            asked = "" if self.form.is_words else f": {form(self.form.shape)}"
            children.insert(1, Label(f"{task.name}{asked}"))
        super().__init__(children)
        self.add_class("labkit-answer")
        self._checked_at = -math.inf
        self._fill()
        for cell in self.cells:
            cell.observe(self._typed, "value")
            if isinstance(cell, Text):
                cell.on_submit(self._check)  # Enter

    def _cell(self, name: str) -> Text:
        placeholder = name if self.form.is_size else ""
        cell = Text(description=NO_SIGN, tooltip=name, placeholder=placeholder)
        cell.add_class("labkit-cell")
        if self.form.is_words:
            cell.add_class("labkit-words")
        return cell

    def _rows(self) -> Iterator[Widget]:
        """The cells in lines; over each of several channels its number."""
        for channel, line in self.form.rows():
            if channel:
                yield Label(channel)
            yield HBox(self.cells[line])

    def _fill(self) -> None:
        """Put the kept answer into the cells."""
        if not self.sheet:
            return
        try:
            kept = sheets.answers_in(self.sheet)
            text, _ = kept.get(self.task.name, ("", 0))
            if text:
                for cell, value in zip(self.cells, self.form.as_cells(text), strict=True):
                    cell.value = value
        except UsageError as error:
            self.verdict.value = message(str(error))
        except (ValueError, TraitError):
            self.verdict.value = message(
                f"the answer in {self.sheet.name} does not fit the cells: {text!r}; "
                "it stays there until another one is typed here"
            )

    def _typed(self, change) -> None:
        _mark(change.owner, "")
        if self.sheet:
            try:
                sheets.put_answer(self.sheet, self.task.name, self.form.as_text(self._written()))
            except UsageError as error:
                self.verdict.value = message(str(error))
        if time.monotonic() - self._checked_at < LATE:
            self._check()

    def _written(self) -> list[str]:
        return [cell.value or "" for cell in self.cells]

    def _check(self, _=None) -> None:
        self._checked_at = time.monotonic()
        judgement = self.form.judge(self._written())
        for cell, sign in zip(self.cells, judgement.signs, strict=True):
            _mark(cell, sign)
        self.verdict.value = message(judgement.sentence, judgement.hint)
        if judgement.answered:
            set_visible(self.working_button, True)

    def _show_working(self, button) -> None:
        shown = {"text/markdown": working(self.task)}
        output = {"output_type": "display_data", "data": shown, "metadata": {}}
        self.working.outputs = () if self.working.outputs else (output,)
        button.description = f"{'Hide' if self.working.outputs else 'Show'} the working"

    def _repr_mimebundle_(self, **kwargs):
        # `labkit.lab.opening` reads where the answer is kept
        kept = f", kept in {self.sheet.name}" if self.sheet else ""
        cells = f"answer_grid: cells to fill in JupyterLab{kept}"
        plain = f"{cells}; in plain cells, check([[…]], task)"
        return {**super()._repr_mimebundle_(**kwargs), "text/plain": plain}


def _mark(cell: Widget, sign: str) -> None:
    """Put a sign before a cell; what is wrong or cannot be read gets a frame as well."""
    if isinstance(cell, Text):  # of a choice the verdict says enough
        cell.description = sign or NO_SIGN
        (cell.add_class if sign in ("✗", "?") else cell.remove_class)("labkit-marked")
