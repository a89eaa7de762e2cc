"""What a form for a hand calculation needs, wherever it is shown: answers cell by cell, settings.

JupyterLab's widgets and the page in the browser draw the cells and fields; what is typed into them
is read here, never executed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product

from labkit.handcalc.answers import numbers, read
from labkit.handcalc.checking import Verdict, check, shape_of
from labkit.handcalc.mistakes import named_place
from labkit.handcalc.tasks import Choice
from labkit.handcalc.windows import (
    Worked,
    avg_pool,
    by,
    convolve,
    cross_correlate,
    max_pool,
    reshape,
)

POOLINGS = {"max pooling": max_pool, "average pooling": avg_pool}
OPERATIONS = {"convolution": convolve, "cross-correlation": cross_correlate, **POOLINGS}

EMPTY = "?"  # a cell that is empty beside others that are not, in a sheet


@dataclass(frozen=True)
class Judgement:
    """What a form says about an answer: a `sentence` and perhaps a `hint`.

    `signs` has one for each cell: ✓, ✗, ? (cannot be read) or nothing. `answered`: it is an
    answer, `right` or wrong.
    """

    right: bool
    answered: bool
    sentence: str
    hint: str
    signs: list[str]


class AnswerForm:
    """The cells of an answer to a `task`, which is what `check` takes.

    `shape` is that of the answer and `positions` those of its cells in reading order, () for the
    one cell of a number. An answer in words has one cell too, or `options` to choose from.

    >>> AnswerForm([[1, 2], [3, 4]]).names[2]
    'row 2 column 1'
    """

    def __init__(self, task):
        calculation = getattr(task, "calculation", task)
        result = getattr(calculation, "result", calculation)
        self.task = task
        self.shape = shape_of(result.tolist() if hasattr(result, "tolist") else result)
        self.positions = list(product(*map(range, self.shape)))
        self.options = calculation.options if isinstance(calculation, Choice) else ()
        self.is_words = isinstance(result, str)
        self.is_size = isinstance(result, tuple) and self.shape == (2,)

    @property
    def names(self) -> list[str]:
        """What each cell is called."""
        if self.is_size:
            return ["rows", "columns"]
        return [named_place(position) if position else "answer" for position in self.positions]

    def rows(self) -> Iterator[tuple[str, slice]]:
        """The cells of each line, and the name of the channel that begins with it, else "".

        >>> list(AnswerForm([[[1, 2]], [[3, 4]]]).rows())
        [('channel 1', slice(0, 2, None)), ('channel 2', slice(2, 4, None))]
        """
        length = self.shape[-1] if self.shape else 1
        for start in range(0, len(self.positions), length):
            position = self.positions[start]
            begins = len(position) == 3 and position[1] == 0
            yield f"channel {position[0] + 1}" if begins else "", slice(start, start + length)

    def judge(self, cells: Sequence[str]) -> Judgement:
        """The verdict on what stands in the `cells`.

        >>> judgement = AnswerForm([[1, 2]]).judge(["1", "3"])
        >>> judgement.sentence, judgement.signs
        ('✗ 1 entry differs: row 1 column 2', ['✓', '✗'])
        """
        written = [cell.strip() for cell in cells]
        missing = written.count("")
        answer = "" if missing == len(written) else reshape(written, self.shape)
        verdict = check(answer, self.task)
        answered = not missing and verdict.readable
        sentence = verdict.message
        if verdict.right:
            sentence = f"✓ {sentence}"
        elif 0 < missing < len(written):
            sentence = f"empty cells: {missing} of {len(written)}"
        elif answered:
            sentence = f"✗ {sentence}"
        hint = f"Hint: {verdict.hint}" if verdict.hint else ""
        signs = list(self._signs(verdict, written))
        return Judgement(verdict.right, answered, sentence, hint, signs)

    def _signs(self, verdict: Verdict, written: Sequence[str]) -> Iterator[str]:
        for position, entry in zip(self.positions, written, strict=True):
            if not verdict.readable:
                yield "" if _is_number(entry) else "?"
            elif verdict.right or verdict.wrong:
                yield "✗" if position in verdict.wrong else "✓"
            else:
                yield ""  # the answer has another shape

    def as_text(self, cells: Sequence[str]) -> str:
        r"""What stands in the `cells`, for a sheet: a row a line, an empty line between channels.

        Tabs part the entries, as in a spreadsheet: blanks may stand within one.

        >>> AnswerForm([[1, 2], [-3, 1000]]).as_text(["1", "", "-3", "1 000"])
        '1\t?\n-3\t1 000'
        """
        written = [_one_line(cell) for cell in cells]
        if not any(written):
            return ""
        lines = []
        for channel, line in self.rows():
            if channel and lines:
                lines.append("")
            lines.append("\t".join(entry or EMPTY for entry in written[line]))
        return "\n".join(lines)

    def as_cells(self, text: str) -> list[str]:
        r"""What belongs into each cell, of `as_text` or as people write it themselves.

        Raises ValueError where that does not fit the cells.

        >>> form = AnswerForm([[1, 2], [-3, 1000]])
        >>> form.as_cells("1\t?\n-3\t1 000"), form.as_cells("[[1, 2], [3, 4]]")
        (['1', '', '-3', '1 000'], ['1', '2', '3', '4'])
        """
        size = len(self.positions)
        if size == 1:
            return [text.strip()]
        rows = [line.split("\t") for line in text.split("\n") if line.strip()]
        cells = [cell.strip() for row in rows for cell in row]
        columns = self.shape[-1]
        if [len(row) for row in rows] != [columns] * (size // columns):
            cells = re.split(r"[,;]?\s+", text.strip())
            if len(cells) != size or not all(cell == EMPTY or _is_number(cell) for cell in cells):
                entries, _ = next(read(text, self.shape))
                cells = list(map(str, entries))
        if len(cells) != size:
            raise ValueError(
                f"the sheet has {len(cells)} numbers, the task asks for {by(self.shape)}"
            )
        return ["" if cell == EMPTY else cell for cell in cells]


def _is_number(entry: str) -> bool:
    try:
        return bool(numbers(entry))
    except ValueError:
        return False


def _one_line(cell: str) -> str:
    """What a cell holds without what YAML does not allow."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in cell).split())


def unused(operation: str) -> list[str]:
    """The fields that an `operation` has no use for.

    >>> unused("average pooling")
    ['kernel', 'dilation']
    """
    if operation == "average pooling":
        return ["kernel", "dilation"]
    return ["kernel"] if operation in POOLINGS else ["window"]


def work(x, fields: Mapping[str, str], *, most_entries: int) -> Worked:
    """The calculation on `x`, H × W or C × H × W, that the texts in the `fields` describe.

    The fields are operation, kernel or window, stride, padding and dilation. `most_entries` are
    those of the padded input. Raises ValueError with what does not fit.

    >>> fields = {"operation": "max pooling", "window": "1×2", "stride": "1", "padding": "0"}
    >>> work([[1, 3, 2]], fields | {"dilation": "1"}, most_entries=100).result
    [[3, 3]]
    """
    operation, axes = fields["operation"], len(shape_of(x))
    without = unused(operation)
    settings = {
        name: _setting(fields, name)
        for name in ("stride", "padding", "dilation")
        if name not in without
    }
    if operation in POOLINGS:
        kernel = _setting(fields, "window")
    else:
        # 0 columns: as many as are typed, whatever stands between them
        kernel = typed(fields["kernel"], "kernel", (0,) * axes)
        if axes == 3 and len(shape_of(kernel)) == 2:
            kernel = [kernel]  # of one channel, whose brackets are not read
    worked = OPERATIONS[operation](x, kernel, **settings)
    size = len(worked.plan.channels), *(axis.padded for axis in worked.plan.axes)
    if math.prod(size) > most_entries:
        raise ValueError(
            f"the padded input has {by(size)} entries, more than {most_entries:,}; "
            "lower the padding or cut the input"
        )
    return worked


def _setting(fields: Mapping[str, str], name: str):
    written = fields[name].strip()
    return written if written in ("same", "valid") else typed(written, name, (2,))


def typed(written: str, name: str, shape: tuple[int, ...]):
    """What was `written` into the field of that `name`: a number, or lists of about that `shape`.

    Raises ValueError, which begins with the name, where it cannot be read.

    >>> typed("2×3", "stride", (2,)), typed("1 2; 3 4", "kernel", (0, 0))
    ([2, 3], [[1, 2], [3, 4]])
    """
    if not written.strip():
        raise ValueError(f"{name} is empty; give it a number")
    try:
        entries, found = next(read(written, shape))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return reshape([float(e) if isinstance(e, Decimal) else e for e in entries], found)
