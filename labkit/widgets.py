"""JupyterLab's side of the hand calculator: a stepper through windows, and a grid for answers.

Both are views of `labkit.handcalc`, and what they show can be had in plain cells too: a step is
`convolve(x, kernel).at(row, column)`, a checked answer `check([[1, 2], [3, 4]], task)`.
"""

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from html import escape
from itertools import product

from ipywidgets import (
    HTML,
    Button,
    Dropdown,
    HBox,
    IntSlider,
    Label,
    Output,
    Play,
    RadioButtons,
    Text,
    Textarea,
    VBox,
    Widget,
    jslink,
)

from labkit.handcalc import (
    Choice,
    Verdict,
    Worked,
    avg_pool,
    check,
    convolve,
    cross_correlate,
    html,
    markdown,
    max_pool,
    text,
)
from labkit.handcalc.answers import read
from labkit.handcalc.checking import shape_of
from labkit.handcalc.mistakes import named_place, position_of
from labkit.handcalc.render import matrices, working
from labkit.handcalc.windows import by, reshape, to_lists

POOLINGS = {"max pooling": max_pool, "average pooling": avg_pool}
OPERATIONS = {"convolution": convolve, "cross-correlation": cross_correlate, **POOLINGS}

MOST_ENTRIES = 1_000_000  # of a padded input; with more, each change of a setting takes seconds
MOST_CELLS = 200  # of an answer; nobody types more
NO_SIGN = "\u2007"  # a space of a digit's width: without any description the cell would move

# lines and colours that hold on a light and on a dark page; signs say the same without colour
STYLE = """<style>
.labkit-stepper .widget-label {width: 5.5em}
.labkit-stepper .widget-dropdown, .labkit-stepper .widget-text {width: 17em}
.labkit-stepper .widget-textarea {width: 16em; height: 9em}
.labkit-stepper .widget-textarea textarea {font-family: monospace}
.labkit-stepper .widget-slider {width: 26em}
.labkit-stepper .widget-readout {min-width: 3em; text-align: right}
.labkit-stepper .labkit-step {margin-top: .5em}
.labkit-answer .labkit-cell {width: 6em}
.labkit-answer .labkit-cell.labkit-words {width: 20em}
.labkit-answer .labkit-cell .widget-label {width: 1em; font-weight: bold}
.labkit-answer .labkit-marked input {box-shadow: inset 0 0 0 2px #d55e00}
.labkit-message {border-left: 4px solid currentColor; padding: .1em .7em; margin: .5em 0;
  line-height: 1.5}
.labkit-message p {margin: 0}
</style>"""


# ------------------------------------------------------------------------------ stepper


def stepper(x, kernel=None, *, operation="convolution", stride=None, padding=0, dilation=1) -> VBox:
    """A slider through the windows of a calculation, and fields for all its settings.

    `x` is H × W or C × H × W. `operation` is "convolution", "cross-correlation", "max pooling" or
    "average pooling"; `kernel` and the settings are those of the function of that name. Settings
    that do not fit are met by a sentence that says why, until they fit again.

    In plain cells: `convolve(x, kernel, padding=1).at(row, column)`. In the PDF stands the step
    that was shown when the cell had run.
    """
    if operation not in OPERATIONS:
        known = ", ".join(map(repr, OPERATIONS))
        raise ValueError(f"there is no operation {operation!r}; choose one of {known}")
    if operation == "average pooling" and dilation != 1:
        raise ValueError(f"average pooling has no dilation; leave out dilation {dilation}")
    return _Stepper(x, kernel, operation, stride, padding, dilation)


class _Stepper(VBox):
    def __init__(self, x, kernel, operation, stride, padding, dilation):
        self.x, shape = to_lists(x, "x", axes=(2, 3))
        self.worked: Worked | None = None  # None while the settings do not fit
        weights, window = [[1, 2], [3, 4]], 2  # weights in which a flip is seen
        if len(shape) == 3:
            weights = [weights] * shape[0]
        if kernel is not None and operation in POOLINGS:
            window = kernel
        elif kernel is not None:
            weights, _ = to_lists(kernel, "kernel", axes=(2, 3, 4))
        if stride is None:
            stride = window if operation in POOLINGS else 1

        self.operation = Dropdown(options=list(OPERATIONS), value=operation)
        self.kernel = Textarea(_kernel_text(weights))
        self.window = Text(_setting_text(window))
        self.stride = Text(_setting_text(stride))
        self.padding = Text(_setting_text(padding))
        self.dilation = Text(_setting_text(dilation))
        settings = ("operation", "window", "stride", "padding", "dilation", "kernel")
        for name in settings:
            field = getattr(self, name)
            field.description = name
            field.observe(self._settle, "value")
        self.play = Play(min=1, interval=1200)
        self.slider = IntSlider(min=1, description="step")
        self.slider.observe(self._show, "value")
        jslink((self.play, "value"), (self.slider, "value"))
        self.count = Label()
        self.step = HTML()
        self._settle()

        *short, kernel_field = (getattr(self, name) for name in settings)
        way = HBox([self.play, self.slider, self.count])
        super().__init__([_style(), HBox([VBox(short), kernel_field]), way, self.step])
        self.add_class("labkit-stepper")

    @property
    def position(self) -> tuple[int, ...]:
        """Where in the result the step leads that is shown, as in `Worked.at`."""
        return position_of(self.slider.value - 1, self.worked.shape)

    def _settle(self, change=None) -> None:
        """Work out what the settings ask for; where they do not fit, say why."""
        pooling = self.operation.value in POOLINGS
        _set_visible(self.kernel, not pooling)
        _set_visible(self.window, pooling)
        _set_visible(self.dilation, self.operation.value != "average pooling")
        try:
            self.worked = self._work()
        except ValueError as error:
            self.worked = None
            self.step.value = _message(str(error))
        else:
            steps = math.prod(self.worked.shape)
            self.slider.max = self.play.max = steps
            self.count.value = f"of {steps:,}"
            self._show()
        self.slider.disabled = self.play.disabled = self.worked is None

    def _work(self) -> Worked:
        operation = self.operation.value
        settings = {name: self._setting(name) for name in ("stride", "padding", "dilation")}
        if operation == "average pooling":
            del settings["dilation"]  # it has none
        if operation in POOLINGS:
            kernel = self._setting("window")
        else:
            # 0 columns: as many as are typed, whatever stands between them
            kernel = _read(self.kernel.value, "kernel", (0,) * len(shape_of(self.x)))
            if len(shape_of(self.x)) == 3 and len(shape_of(kernel)) == 2:
                kernel = [kernel]  # of one channel, whose brackets are not read
        worked = OPERATIONS[operation](self.x, kernel, **settings)
        size = len(worked.plan.channels), *(axis.padded for axis in worked.plan.axes)
        if math.prod(size) > MOST_ENTRIES:
            raise ValueError(
                f"the padded input has {by(size)} entries, more than {MOST_ENTRIES:,}; "
                "lower the padding or cut the input"
            )
        return worked

    def _setting(self, name: str):
        written = getattr(self, name).value.strip()
        return written if written in ("same", "valid") else _read(written, name, (2,))

    def _show(self, change=None) -> None:
        if self.worked is not None:
            self.step.value = html(self.worked, at=self.position)

    def _repr_mimebundle_(self, **kwargs):
        """The widget, and the step as Markdown for where there are no widgets: PDF, GitHub."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if self.worked is None:
            return bundle
        step = self.worked.at(*self.position)
        return {**bundle, "text/markdown": markdown(step), "text/plain": text(step)}


def _kernel_text(kernel: list) -> str:
    """A kernel as `_read` reads it: a row a line, an empty line between channels."""
    if len(shape_of(kernel)) == 4:  # filters: in brackets, one a line
        return "[" + ",\n".join(map(_in_brackets, kernel)) + "]"
    blocks = ["\n".join(" ".join(map(str, row)) for row in matrix) for matrix in matrices(kernel)]
    return "\n\n".join(blocks)


def _setting_text(setting) -> str:
    """A stride, padding, … as `_read` reads it: 2, 2×3, [[1, 0], [0, 2]] or same."""
    pair = len(shape_of(setting)) == 1
    return "×".join(map(str, setting)) if pair else _in_brackets(setting)


def _in_brackets(nested) -> str:
    # not str(nested), in which a half is Fraction(1, 2)
    several = isinstance(nested, list | tuple)
    return f"[{', '.join(map(_in_brackets, nested))}]" if several else str(nested)


def _read(written: str, name: str, shape: tuple[int, ...]):
    """What was typed, never executed: a number, or nested lists of about that shape."""
    if not written.strip():
        raise ValueError(f"{name} is empty; give it a number")
    try:
        entries, found = next(read(written, shape))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return reshape([float(e) if isinstance(e, Decimal) else e for e in entries], found)


# ------------------------------------------------------------------------------ answer grid


def answer_grid(task) -> VBox:
    """Cells in the shape of a task's answer, and a button that has them checked.

    `task` is what `check` takes. A cell takes a number in any usual notation (-3, 1/2, 0.25).
    Wrong cells are marked and the verdict's hint is shown; after a first answer there is a button
    for the working.

    In plain cells: `check([[1, 2], [3, 4]], task)`. The PDF leaves the grid out.
    """
    return _AnswerGrid(task)


class _AnswerGrid(VBox):
    def __init__(self, task):
        self.task = task
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
        for cell in self.cells:
            cell.observe(lambda change: _mark(change.owner, ""), "value")

        self.check_button = Button(description="Check", button_style="primary")
        self.check_button.on_click(self._check)
        self.working_button = Button(description="Show the working")
        self.working_button.on_click(self._show_working)
        _set_visible(self.working_button, False)
        self.verdict = HTML()
        self.working = Output()
        buttons = HBox([self.check_button, self.working_button])
        super().__init__([_style(), *self._rows(), buttons, self.verdict, self.working])
        self.add_class("labkit-answer")

    def _rows(self) -> Iterator[Widget]:
        """The cells in lines; over each of several channels its number."""
        length = self.shape[-1] if self.shape else 1
        for start in range(0, len(self.cells), length):
            position = self.positions[start]
            if len(position) == 3 and position[1] == 0:
                yield Label(f"channel {position[0] + 1}")
            yield HBox(self.cells[start : start + length])

    def _check(self, button) -> None:
        written = [(cell.value or "").strip() for cell in self.cells]
        missing = written.count("")
        answer = "" if missing == len(written) else reshape(written, self.shape)
        verdict = check(answer, self.task)
        for cell, sign in zip(self.cells, self._signs(verdict, written), strict=True):
            _mark(cell, sign)
        message = verdict.message
        if verdict.right:
            message = f"✓ {message}"
        elif 0 < missing < len(written):
            message = f"empty cells: {missing} of {len(written)}"
        elif not missing and verdict.readable:
            message = f"✗ {message}"
        self.verdict.value = _message(message, f"Hint: {verdict.hint}" if verdict.hint else "")
        if not missing and verdict.readable:  # an answer, right or wrong
            _set_visible(self.working_button, True)

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


def _mark(cell: Widget, sign: str) -> None:
    """Put a sign before a cell; what is wrong or cannot be read gets a frame as well."""
    if isinstance(cell, Text):  # of a choice the verdict says enough
        cell.description = sign or NO_SIGN
        (cell.add_class if sign in ("✗", "?") else cell.remove_class)("labkit-marked")


# ------------------------------------------------------------------------------ both


def _message(sentence: str, hint: str = "") -> str:
    lines = "".join(f"<p>{escape(line)}</p>" for line in (sentence, hint) if line)
    return f'<div class="labkit-message" role="status">{lines}</div>'


def _set_visible(widget: Widget, visible: bool) -> None:
    widget.layout.display = None if visible else "none"


def _style() -> HTML:
    style = HTML(STYLE)
    _set_visible(style, False)  # it holds all the same, and takes no line
    return style
