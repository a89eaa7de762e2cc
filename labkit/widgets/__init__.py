"""JupyterLab: what a notebook shows to be moved, typed into and clicked.

All of it are views of what can be had in plain cells too: a step of the stepper is
`convolve(x, kernel).at(row, column)`, a checked answer `check([[1, 2], [3, 4]], task)`.
"""

from labkit.widgets.answer_grid import answer_grid
from labkit.widgets.stepper import stepper

__all__ = ["answer_grid", "stepper"]
