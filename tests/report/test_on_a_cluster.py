"""The whole report on a Dask cluster whose scheduler and workers were started by hand.

Its notebooks run here, and every run of theirs is trained by a worker.
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from distributed import Client
from report_project import write_notebook

from labkit.training import store

TESTS = Path(__file__).parents[1]

# makes the set of quarters.py the one that is loaded, and keeps a line for each step that is taken
QUARTERS = """
import os, sys
sys.path.insert(0, {tests!r})
from quarters import make_config, make_dataset
from labkit.training import kinds, trainer
kinds.load = lambda name, validation_fraction: make_dataset()
def step(self, *args, real=trainer.Trainer.step):
    with open({log!r}, "a") as log:
        print(os.getpid(), self.config.batch_size, self.config.seed, file=log)
    real(self, *args)
if trainer.Trainer.step.__name__ != "logged":  # Dask loads a preload twice
    step.__name__ = "logged"
    trainer.Trainer.step = step
"""

NOTEBOOK = """
# %% [markdown]
# # Batches of {batch_size}

# %% tags=["parameters"]
seeds: list[int] = [0, 1]

# %%
{quarters}
# %%
from labkit.training import sweep
runs = sweep({{"small": make_config().replace(batch_size={batch_size})}}, seeds=seeds)
print(len(runs["small"]), "runs")
"""


@pytest.fixture
def log(tmp_path) -> Path:
    (tmp_path / "steps").touch()
    return tmp_path / "steps"


@pytest.fixture
def cluster(tmp_path, log):
    """A scheduler and two workers on loopback: its address, and the workers' process ids."""
    (tmp_path / "preload.py").write_text(QUARTERS.format(tests=str(TESTS), log=str(log)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dask = Path(sys.executable).with_name("dask")
    scheduler = [*("scheduler", "--host", "127.0.0.1", "--port", port), "--no-dashboard"]
    worker = [*("worker", address, "--nthreads", 1, "--no-nanny", "--no-dashboard")]
    worker += ["--preload", tmp_path / "preload.py"]
    started = []
    try:
        for arguments in (scheduler, worker, worker):
            started.append(
                subprocess.Popen(
                    [dask, *map(str, arguments)],
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        with Client(address) as client:
            client.wait_for_workers(2)
        yield address, {process.pid for process in started[1:]}
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def steps(log: Path) -> list[tuple[int, ...]]:
    """(process, batch size, seed) of every step that was taken anywhere."""
    return [tuple(map(int, line.split())) for line in log.read_text().splitlines()]


def test_its_runs_are_trained_by_the_workers_and_only_once(mini, labkit, cluster, log):
    address, workers = cluster
    for stem, batch_size in (("one", 16), ("two", 45)):
        quarters = QUARTERS.format(tests=str(TESTS), log=str(log))
        write_notebook(mini, stem, NOTEBOOK.format(batch_size=batch_size, quarters=quarters))

    status, out, err = labkit("report", "--profile", "smoke", "--scheduler", address)
    assert status == 0, err
    assert Path(out.split()[0]).read_bytes().startswith(b"%PDF")
    taken = steps(log)
    # kernels keep the same log: none of them took a step
    assert {process for process, *_ in taken} <= workers
    assert Counter((batch_size, seed) for _, batch_size, seed in taken) == {
        **{(16, seed): 2 * 6 for seed in (0, 1)},  # two epochs of 90 images
        **{(45, seed): 2 * 2 for seed in (0, 1)},
    }
    assert len(store.local_runs()) == 4

    for one in (mini / "reports" / "build").rglob("*.ipynb"):  # executed anew, and trained no more
        one.unlink()
    status, again, err = labkit("report", "--profile", "smoke", "--scheduler", address)
    assert (status, again) == (0, out), err
    assert steps(log) == taken
