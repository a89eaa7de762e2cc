"""Hand calculation: sizes, windows, parameters and checks, on the standard library alone.

Nothing here imports torch or NumPy (their arrays are accepted all the same), so that it starts in a
blink and also runs in a browser.
"""

from labkit.handcalc.check import Verdict, check
from labkit.handcalc.network import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    LayerTable,
    Linear,
    MaxPool2d,
    ReLU,
    Sigmoid,
    derivation,
    layer_table,
    num_parameters,
)
from labkit.handcalc.render import markdown, text
from labkit.handcalc.shapes import output_size
from labkit.handcalc.windows import Window, Worked, avg_pool, convolve, cross_correlate, max_pool

__all__ = [
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "Flatten",
    "LayerTable",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "Sigmoid",
    "Verdict",
    "Window",
    "Worked",
    "avg_pool",
    "check",
    "convolve",
    "cross_correlate",
    "derivation",
    "layer_table",
    "markdown",
    "max_pool",
    "num_parameters",
    "output_size",
    "text",
]
