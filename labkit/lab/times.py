"""How long a notebook takes on this machine: what it took on another, scaled by their speeds.

There are measurements with and without bfloat16, which about halves the time of a training: those
of a machine like this one count.
"""

import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit import project
from labkit.report.execute import Source

FILE = "reports/times.yaml"  # written by benchmarks/notebook_times.py

SIZE = 1024  # of the matrices that are multiplied
ROUNDS = 12


@dataclass(frozen=True)
class Times:
    """Seconds that a notebook takes: the first time, and again when its runs are there."""

    first: float
    again: float


@functools.cache
def speed() -> float:
    """What this machine's cores do together, in billions of float32 operations a second.

    Taken from products of matrices, which training spends most of its time with; in half a second
    or so. Of GPUs it knows nothing.
    """
    matrix = np.ones((SIZE, SIZE), np.float32)
    seconds = []
    for _ in range(ROUNDS):
        # of the processor, all threads together: other work on the machine takes nothing away
        start = time.process_time()
        matrix @ matrix
        seconds.append(time.process_time() - start)
    return (os.cpu_count() or 1) * 2 * SIZE**3 / min(seconds) / 1e9


def times(source: Source, profile: str) -> Times | None:
    """What the notebook takes on this machine; None where that was never measured."""
    measured = _measured()
    found = measured.get(profile, {}).get(source.name)
    if not found:
        return None
    factor = measured["speed"] / speed()
    return Times(*(seconds * factor for seconds in found))


def measured_on() -> str:
    """The machine and the day of the measurement that `times` goes by."""
    measured = _measured()
    return f"{measured['machine']}, {measured['date']}" if measured else "nowhere yet"


def precision() -> str:
    """What `auto` is on this CPU, "bf16" or "fp32", told without torch, whose import takes seconds.

    >>> precision() in ("bf16", "fp32")
    True
    """
    try:
        return "bf16" if "avx512_bf16" in Path("/proc/cpuinfo").read_text() else "fp32"
    except OSError:  # not Linux
        return "fp32"


def _measured() -> dict:
    """The measurements with this machine's precision, else what there is."""
    path = project.root() / FILE
    every = project.read_yaml(path) if path.exists() else {}
    return every.get(precision()) or next(iter(every.values()), {})
