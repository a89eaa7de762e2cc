"""A slider through the windows of a convolution or pooling."""

import math

from ipywidgets import HTML, Dropdown, HBox, IntSlider, Label, Play, Text, Textarea, VBox, jslink

from labkit.handcalc import Worked, html, markdown, text
from labkit.handcalc.checking import shape_of
from labkit.handcalc.forms import OPERATIONS, POOLINGS, unused, work
from labkit.handcalc.mistakes import position_of
from labkit.handcalc.render import matrices
from labkit.handcalc.windows import to_lists
from labkit.widgets.parts import message, set_visible, style

FIELDS = ("operation", "window", "stride", "padding", "dilation", "kernel")  # as shown

MOST_ENTRIES = 1_000_000  # of a padded input; with more, each change of a setting takes seconds


def stepper(x, kernel=None, *, operation="convolution", stride=None, padding=0, dilation=1) -> VBox:
    """A slider through the windows of a calculation, and fields for all its settings.

    `x` is H × W or C × H × W. `operation` is "convolution", "cross-correlation", "max pooling" or
    "average pooling"; `kernel` and the settings (`stride`, `padding`, `dilation`) are those of the
    function of that name. Settings that do not fit are met by a sentence that says why, until they
    fit again.

        stepper([[1, 2, 3], [4, 5, 6]], [[0, 1], [2, 3]], padding=1)

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
        for name in FIELDS:
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

        *short, kernel_field = (getattr(self, name) for name in FIELDS)
        way = HBox([self.play, self.slider, self.count])
        super().__init__([style(), HBox([VBox(short), kernel_field]), way, self.step])
        self.add_class("labkit-stepper")

    @property
    def position(self) -> tuple[int, ...]:
        """Where in the result the step leads that is shown, as in `Worked.at`."""
        return position_of(self.slider.value - 1, self.worked.shape)

    def _settle(self, change=None) -> None:
        """Work out what the settings ask for; where they do not fit, say why."""
        fields = {name: getattr(self, name).value for name in FIELDS}
        for name in FIELDS:
            set_visible(getattr(self, name), name not in unused(self.operation.value))
        try:
            self.worked = work(self.x, fields, most_entries=MOST_ENTRIES)
        except ValueError as error:
            self.worked = None
            self.step.value = message(str(error))
        else:
            steps = math.prod(self.worked.shape)
            self.slider.max = self.play.max = steps
            self.count.value = f"of {steps:,}"
            self._show()
        self.slider.disabled = self.play.disabled = self.worked is None

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
    """A kernel as `work` reads it: a row a line, an empty line between channels."""
    if len(shape_of(kernel)) == 4:  # filters: in brackets, one a line
        return "[" + ",\n".join(map(_in_brackets, kernel)) + "]"
    blocks = ["\n".join(" ".join(map(str, row)) for row in matrix) for matrix in matrices(kernel)]
    return "\n\n".join(blocks)


def _setting_text(setting) -> str:
    """A stride, padding, … as `work` reads it: 2, 2×3, [[1, 0], [0, 2]] or same."""
    pair = len(shape_of(setting)) == 1
    return "×".join(map(str, setting)) if pair else _in_brackets(setting)


def _in_brackets(nested) -> str:
    # not str(nested), in which a half is Fraction(1, 2)
    several = isinstance(nested, list | tuple)
    return f"[{', '.join(map(_in_brackets, nested))}]" if several else str(nested)
