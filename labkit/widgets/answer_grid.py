"""Cells to put the answer of a hand calculation into, and a button that has it checked."""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from ipywidgets import HTML, Button, HBox, Label, Output, RadioButtons, Text, VBox, Widget
from traitlets import TraitError

from labkit import progress, sheets
from labkit.errors import UsageError
from labkit.handcalc import Choice, Task, Verdict, check
from labkit.handcalc.answers import read
from labkit.handcalc.checking import shape_of
from labkit.handcalc.mistakes import named_place
from labkit.handcalc.render import working
from labkit.handcalc.windows import by, reshape
from labkit.widgets.parts import message, set_visible, style

MOST_CELLS = 200  # of an answer; nobody types more
EMPTY = "?"  # an empty cell, in a sheet
NO_SIGN = "\u2007"  # a space of a digit's width: without any description the cell would move


def answer_grid(task, sheet: str | Path | None = "answers.yaml") -> VBox:
    """Cells in the shape of a task's answer, and a button that has them checked.

    `task` is what `check` takes. A cell takes a number in any usual notation (-3, 1/2, 0.25); Enter
    goes on to the next one, and from the last one to the check. Wrong cells are marked and the
    verdict's hint is shown; after a first answer there is a button for the working.

    What is typed is kept in the answer sheet `sheet`, in JupyterLab a file beside the notebook, and
    is there again after a restart; `labkit check answers.yaml` reads it too. It is not kept where
    `sheet` is None or the task has no name, nor where `labkit report` executes the notebook.

        answer_grid(question("tdt4265/1a"))

    In plain cells: `check([[1, 2], [3, 4]], task)`. The PDF leaves the grid out.
    """
    named = isinstance(task, Task) and task.name
    return _AnswerGrid(task, Path(sheet) if sheet and named and progress.in_notebook() else None)


class _AnswerGrid(VBox):
    def __init__(self, task, sheet: Path | None):
        self.task, self.sheet = task, sheet
        calculation = getattr(task, "calculation", task)
        result = getattr(calculation, "result", calculation)
        self.shape = shape_of(result.tolist() if hasattr(result, "tolist") else result)
        if math.prod(self.shape) > MOST_CELLS:
            raise ValueError(
                f"the answer has {by(self.shape)} numbers, too many to type into cells; "
                "give it to labkit.handcalc.check, as an array or as text"
            )
        self.positions = list(product(*map(range, self.shape)))  # in reading order; of (): [()]
        if isinstance(calculation, Choice) and calculation.options:
            self.cells = [RadioButtons(options=calculation.options, value=None)]
        else:
            self.cells = [_cell(position) for position in self.positions]
        if isinstance(result, tuple):  # a size
            for cell, name in zip(self.cells, ("rows", "columns"), strict=False):
                cell.placeholder = name
        elif isinstance(result, str):
            self.cells[0].add_class("labkit-words")
        self.check_button = Button(description="Check", button_style="primary")
        self.check_button.on_click(self._check)
        self.working_button = Button(description="Show the working")
        self.working_button.on_click(self._show_working)
        set_visible(self.working_button, False)
        self.verdict = HTML()
        self.working = Output()
        buttons = HBox([self.check_button, self.working_button])
        super().__init__([style(), *self._rows(), buttons, self.verdict, self.working])
        self.add_class("labkit-answer")
        self._fill()
        for cell in self.cells:
            cell.observe(self._typed, "value")
            if isinstance(cell, Text):
                cell.on_submit(self._go_on)

    def _rows(self) -> Iterator[Widget]:
        """The cells in lines; over each of several channels its number."""
        length = self.shape[-1] if self.shape else 1
        for start in range(0, len(self.cells), length):
            position = self.positions[start]
            if len(position) == 3 and position[1] == 0:
                yield Label(f"channel {position[0] + 1}")
            yield HBox(self.cells[start : start + length])

    def _fill(self) -> None:
        """Put the kept answer into the cells."""
        if not self.sheet:
            return
        try:
            kept = sheets.answers_in(self.sheet)
            text, _ = kept.get(self.task.name, ("", 0))
            if text:
                for cell, value in zip(self.cells, _entries(text, self.shape), strict=True):
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
                sheets.put_answer(self.sheet, self.task.name, _text(self._written(), self.shape))
            except UsageError as error:
                self.verdict.value = message(str(error))

    def _go_on(self, cell: Text) -> None:
        """Enter was pressed in a cell."""
        following = self.cells.index(cell) + 1
        if following < len(self.cells):
            self.cells[following].focus()
        else:
            self._check(self.check_button)

    def _written(self) -> list[str]:
        return [(cell.value or "").strip() for cell in self.cells]

    def _check(self, button) -> None:
        written = self._written()
        missing = written.count("")
        answer = "" if missing == len(written) else reshape(written, self.shape)
        verdict = check(answer, self.task)
        for cell, sign in zip(self.cells, self._signs(verdict, written), strict=True):
            _mark(cell, sign)
        sentence = verdict.message
        if verdict.right:
            sentence = f"✓ {sentence}"
        elif 0 < missing < len(written):
            sentence = f"empty cells: {missing} of {len(written)}"
        elif not missing and verdict.readable:
            sentence = f"✗ {sentence}"
        self.verdict.value = message(sentence, f"Hint: {verdict.hint}" if verdict.hint else "")
        if not missing and verdict.readable:  # an answer, right or wrong
            set_visible(self.working_button, True)

    def _signs(self, verdict: Verdict, written: Sequence[str]) -> Iterator[str]:
        """What is put before each cell."""
        for position, entry in zip(self.positions, written, strict=True):
            if not verdict.readable:
                yield "" if entry and check(entry, 0).readable else "?"
            elif verdict.right or verdict.wrong:
                yield "✗" if position in verdict.wrong else "✓"
            else:
                yield ""  # the answer has another shape

    def _show_working(self, button) -> None:
        shown = {"text/markdown": working(self.task)}
        output = {"output_type": "display_data", "data": shown, "metadata": {}}
        self.working.outputs = () if self.working.outputs else (output,)
        button.description = f"{'Hide' if self.working.outputs else 'Show'} the working"

    def _repr_mimebundle_(self, **kwargs):
        plain = "answer_grid: cells to fill in JupyterLab; in plain cells, check([[…]], task)"
        return {**super()._repr_mimebundle_(**kwargs), "text/plain": plain}


def _cell(position: tuple[int, ...]) -> Text:
    cell = Text(description=NO_SIGN, tooltip=named_place(position) if position else "")
    cell.add_class("labkit-cell")
    return cell


def _text(written: Sequence[str], shape: tuple[int, ...]) -> str:
    """What the cells hold, as a sheet has it: a row a line, an empty line between channels.

    >>> print(_text(["1", "", "-3", "1 000"], (2, 2)))
    1 ?
    -3 1_000
    """
    if len(written) == 1:
        return written[0]
    if not any(written):
        return ""
    entries = ["_".join(entry.split()) or EMPTY for entry in written]
    lines = [
        " ".join(entries[start : start + shape[-1]]) for start in range(0, len(entries), shape[-1])
    ]
    rows = shape[-2] if len(shape) > 2 else len(lines)
    blocks = ["\n".join(lines[start : start + rows]) for start in range(0, len(lines), rows)]
    return "\n\n".join(blocks)


def _entries(text: str, shape: tuple[int, ...]) -> list[str]:
    """What belongs into each cell, of a sheet that a grid has written, or somebody in a notation of
    their own. ValueError where it does not fit.

    >>> _entries("1 ? -3 1_000", (2, 2)), _entries("[[1, 2], [3, 4]]", (2, 2))
    (['1', '', '-3', '1_000'], ['1', '2', '3', '4'])
    """
    size = math.prod(shape)
    if size == 1:
        return [text.strip()]
    if len(entries := text.split()) == size and not re.search(r"[][;]|,(\s|$)", text):
        return ["" if entry == EMPTY else entry for entry in entries]
    for found, given in read(text, shape):
        if math.prod(given) == size:
            return list(map(str, found))
    raise ValueError(f"{text!r} has not {size} entries")


def _mark(cell: Widget, sign: str) -> None:
    """Put a sign before a cell; what is wrong or cannot be read gets a frame as well."""
    if isinstance(cell, Text):  # of a choice the verdict says enough
        cell.description = sign or NO_SIGN
        (cell.add_class if sign in ("✗", "?") else cell.remove_class)("labkit-marked")
