"""JupyterLab: what a notebook shows to be moved, typed into and clicked.

All of it are views of what can be had in plain cells too: a step of the stepper is
`convolve(x, kernel).at(row, column)`, a checked answer `check([[1, 2], [3, 4]], task)`, what the
playground trains `sweep(base, axes)`.
"""

from labkit.errors import tell_value_errors
from labkit.widgets.answer_grid import answer_grid, kept_answer
from labkit.widgets.compare import compare
from labkit.widgets.confusion import confusion
from labkit.widgets.playground import playground
from labkit.widgets.stepper import stepper

__all__ = ["answer_grid", "compare", "confusion", "kept_answer", "playground", "stepper"]

tell_value_errors()  # a notebook that imports widgets is one that somebody works in
