"""labkit: a deep-learning course whose every number and figure one command recomputes.

Import what you need from the rooms (`labkit.handcalc`, `labkit.data`, `labkit.models`,
`labkit.training`, `labkit.figures`, `labkit.report`). This file imports none of them, so that
`import labkit.handcalc` stays free of torch and NumPy.
"""

__version__ = "0.1.0"
