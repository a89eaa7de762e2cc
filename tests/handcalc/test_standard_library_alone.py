"""handcalc runs where there is nothing but Python, and its examples are true."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_import_names_neither_torch_nor_numpy():
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import labkit.handcalc"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[1].strip() for line in run.stderr.splitlines() if "|" in line}
    assert "labkit.handcalc" in imported
    roots = {name.split(".")[0] for name in imported}
    assert not roots & {"torch", "numpy", "pandas", "matplotlib", "IPython"}


def test_import_takes_a_blink():
    # processor time and the best of five: other work on the machine must not fail this
    measure = (
        "import time; start = time.process_time(); import labkit.handcalc; "
        "print(time.process_time() - start)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", measure], capture_output=True, text=True, check=True)
        for _ in range(5)
    ]
    assert min(float(run.stdout) for run in runs) < 0.1


def test_it_works_without_any_other_package():
    program = (
        "from labkit.handcalc import *\n"
        "print(check(convolve([[1, 2]], [[3]]).result, [[3, 6]]))\n"
        "print(avg_pool([[1, 2]], (1, 2)))"
    )
    # -S leaves site-packages out, where every other package lies
    run = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[0] == "correct"


@pytest.mark.parametrize("module", ["shapes", "windows", "network", "check", "render"])
def test_examples_in_docstrings(module):
    failed, attempted = doctest.testmod(importlib.import_module(f"labkit.handcalc.{module}"))
    assert attempted > 0
    assert failed == 0
