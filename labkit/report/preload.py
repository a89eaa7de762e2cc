"""What a kernel's fork server imports: all that the notebooks do, and the kernel itself.

Imported by nothing else. No tensor may be computed here, and no thread start: it would be missing
in the forks. (OpenBLAS starts its own with NumPy, and knows how to begin anew after a fork.)
"""

import os

# as ipykernel sets it, which comes too late for a matplotlib that is imported already
os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")

import ipykernel.kernelapp  # noqa: F401
import matplotlib.figure  # noqa: F401
import pandas  # noqa: F401
import torch
import torch._dynamo  # noqa: F401  (the first optimizer would import it: two seconds)

import labkit.figures
import labkit.report.published  # noqa: F401
