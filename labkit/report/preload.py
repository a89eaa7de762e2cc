"""What a kernel's fork server imports: all that the notebooks do, and the kernel itself.

Imported by nothing else. No tensor may be computed here, and no thread start: it would be missing
in the forks. (OpenBLAS starts its own with NumPy, and knows how to begin anew after a fork.)
"""
# ruff: noqa: E402, F401

import os
import signal

# Ctrl-C reaches the whole group; the fork server ends with the process that it works for
signal.signal(signal.SIGINT, signal.SIG_IGN)
# as ipykernel sets it, which comes too late for a matplotlib that is imported already
os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")

import ipykernel.kernelapp
import matplotlib.figure
import pandas
import torch
import torch._dynamo  # the first optimizer would import it: two seconds

import labkit.figures
import labkit.report.claims
import labkit.report.published
