"""handcalc runs where there is nothing but Python, and its examples are true."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import labkit.handcalc

ROOT = Path(__file__).resolve().parents[2]
OTHERS = {"torch", "numpy", "pandas", "matplotlib", "IPython", "ruamel", "click"}


def test_import_names_neither_torch_nor_numpy():
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import labkit.handcalc"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[1].strip() for line in run.stderr.splitlines() if "|" in line}
    assert "labkit.handcalc" in imported
    assert not {name.split(".")[0] for name in imported} & OTHERS


def test_nothing_that_it_loads_later_needs_another_package():
    program = "import sys; from labkit.handcalc import *; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = run.stdout.split()
    assert "labkit.handcalc.checking" in loaded
    assert not {name.split(".")[0] for name in loaded} & OTHERS


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


@pytest.mark.parametrize("name", labkit.handcalc.__all__)
def test_every_name_is_there_and_is_no_module(name):
    assert not isinstance(getattr(labkit.handcalc, name), ModuleType)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'convolv'"):
        labkit.handcalc.convolv  # noqa: B018
    with pytest.raises(ImportError, match="convolv"):
        from labkit.handcalc import convolv  # noqa: F401
    assert "convolve" in dir(labkit.handcalc)


def test_what_is_loaded_first_shows_itself():
    program = "from labkit.handcalc import max_pool; print(max_pool([[1, 5]], 1))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("max pooling, kernel 1×1, stride 1\n1  5\n")


@pytest.mark.parametrize(
    "module", ["shapes", "windows", "layers", "network", "checking", "render", "forms"]
)
def test_examples_in_docstrings(module):
    failed, attempted = doctest.testmod(importlib.import_module(f"labkit.handcalc.{module}"))
    assert attempted > 0
    assert failed == 0
