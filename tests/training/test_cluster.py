"""Runs on several processes: a local cluster, and one whose scheduler and workers were started by
hand, as the README says."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from quarters import make_dataset

from labkit import project
from labkit.errors import LabkitError, UsageError
from labkit.training import kinds, store, sweep

# what a worker runs before its first task: its data, and steps slow enough to be caught at one
PRELOAD = """
import os, sys, time
sys.path.insert(0, {tests!r})
from quarters import make_dataset
from labkit.training import kinds, trainer
kinds.load = lambda name, validation_fraction: make_dataset()
def step(self, *args, real=trainer.Trainer.step):
    time.sleep({pause})
    with open({log!r}, "a") as log:
        print(os.getpid(), self.config.seed, self.config.batch_size, self.steps, file=log)
    real(self, *args)
if trainer.Trainer.step.__name__ != "paused":  # Dask loads a preload twice
    step.__name__ = "paused"
    trainer.Trainer.step = step
"""


class Cluster:
    """A scheduler and workers, each a process of its own on loopback."""

    def __init__(self, folder: Path, pause: float, runs: Path):
        self.log = folder / "steps"
        self.log.touch()
        self.preload = folder / "preload.py"
        self.preload.write_text(
            PRELOAD.format(tests=str(Path(__file__).parents[1]), pause=pause, log=str(self.log))
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.environment = {**os.environ, "LABKIT_RUNS": str(runs), "OMP_NUM_THREADS": "1"}
        self.processes = []
        self.start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            self.address.rpartition(":")[2],
            "--no-dashboard",
        )

    def start(self, *arguments: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dask"), *arguments],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def worker(self, *arguments: str) -> subprocess.Popen:
        return self.start(
            "worker",
            self.address,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--preload",
            str(self.preload),
            *arguments,
        )

    def steps(self) -> list[tuple[int, ...]]:
        """(process, seed, batch size, step) of every step that was taken."""
        return [tuple(map(int, line.split())) for line in self.log.read_text().splitlines()]


@pytest.fixture
def start_cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(kinds, "load", lambda name, validation_fraction: make_dataset())
    started = []

    def start(*, pause: float = 0.0, runs: Path | None = None) -> Cluster:
        started.append(Cluster(tmp_path, pause, runs or project.runs()))
        return started[-1]

    yield start
    for cluster in started:
        for process in cluster.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def test_twelve_runs_complete_although_a_worker_is_killed(config, start_cluster):
    cluster = start_cluster(pause=0.02)
    workers = [cluster.worker() for _ in range(3)]
    config = config.replace(epochs=4)
    killer = subprocess.Popen(
        [sys.executable, "-c", KILLER, cluster.log, *(str(w.pid) for w in workers)]
    )
    runs = sweep(config, {"batch_size": [16, 32, 45]}, seeds=range(4), scheduler=cluster.address)
    assert killer.wait() == 0
    assert sum(worker.poll() is None for worker in workers) == 2
    assert {name: len(group) for name, group in runs.items()} == {
        "batch_size 16": 4,
        "batch_size 32": 4,
        "batch_size 45": 4,
    }
    assert len(store.local_runs()) == 12
    # the run of the killed worker went on from its checkpoint, of the sixth step: those before it
    # were not taken again, and those after it once more
    times = Counter(step[1:] for step in cluster.steps())
    (killed,) = {(seed, size) for (seed, size, _), count in times.items() if count > 1}
    again = [step for (*run, step), count in times.items() if tuple(run) == killed and count > 1]
    assert min(again) >= 6
    assert max(again) <= 10 + 1
    assert max(times.values()) == 2


# kills, with SIGKILL, the first worker that has come to the tenth step of a run of batches of 16,
# which have six steps an epoch
KILLER = """
import os, signal, sys, time
log, *workers = sys.argv[1:]
while True:
    for line in open(log).read().splitlines():
        process, seed, size, step = line.split()
        if process in workers and (size, step) == ("16", "10"):
            os.kill(int(process), signal.SIGKILL)
            sys.exit()
    time.sleep(0.005)
"""


def test_records_travel_back_whole_from_a_store_of_its_own(config, start_cluster, tmp_path):
    cluster = start_cluster(runs=tmp_path / "elsewhere")
    cluster.worker()
    (run,) = sweep({"only": config}, scheduler=cluster.address)["only"]
    assert run.folder.parent == project.runs()
    assert (tmp_path / "elsewhere" / run.key).is_dir()
    assert store.read(run.folder).weights.keys()  # read checks every file's checksum
    steps = len(cluster.steps())
    sweep({"only": config}, scheduler=cluster.address)
    assert len(cluster.steps()) == steps == 12


def test_fresh_reaches_the_workers(config, start_cluster, monkeypatch):
    cluster = start_cluster()
    cluster.worker()
    (old,) = sweep({"only": config}, scheduler=cluster.address)["only"]
    steps = len(cluster.steps())
    time.sleep(1)  # records are dated to the second
    monkeypatch.setenv("LABKIT_FRESH", datetime.now(UTC).isoformat(timespec="seconds"))
    (new,) = sweep({"only": config}, scheduler=cluster.address)["only"]
    assert len(cluster.steps()) == 2 * steps
    assert new.environment["finished"] > old.environment["finished"]


def test_a_run_is_the_same_wherever_it_is_trained(config, start_cluster, tmp_path, monkeypatch):
    cluster = start_cluster()
    cluster.worker()
    (there,) = sweep({"only": config}, scheduler=cluster.address)["only"]
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "alone"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the worker has
    (here,) = sweep({"only": config})["only"]
    torch.set_num_threads(threads)
    assert here.folder != there.folder
    assert here.key == there.key
    assert all(torch.equal(value, there.weights[name]) for name, value in here.weights.items())


def test_one_gpu_is_never_given_to_two_runs(config, start_cluster):
    """Two workers, one of which announces a GPU: the other gets no run that asks for one."""
    cluster = start_cluster()
    with_gpu = cluster.worker("--resources", "GPU=1")
    without = cluster.worker()
    from distributed import Client

    with Client(cluster.address) as client:
        client.wait_for_workers(2)
    sweep({"only": config}, seeds=[0, 1, 2], scheduler=cluster.address)
    assert {process for process, *_ in cluster.steps()} == {with_gpu.pid}
    assert without.poll() is None


def test_a_scheduler_that_is_not_there(config, start_cluster, monkeypatch):
    monkeypatch.setattr("labkit.training.cluster.SECONDS_TO_ANSWER", 1)
    start_cluster()
    with pytest.raises(
        UsageError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9'.*--scheduler"
    ):
        sweep({"only": config}, scheduler="tcp://127.0.0.1:9")


def test_the_command_line_says_so_before_anything_runs(mini, labkit, monkeypatch):
    monkeypatch.setattr("labkit.training.cluster.SECONDS_TO_ANSWER", 1)
    status, _, err = labkit("report", "--scheduler", "tcp://127.0.0.1:9")
    assert status == 2
    assert err.startswith("labkit: no Dask scheduler answers at 'tcp://127.0.0.1:9'")
    assert err.count("\n") == 1
    assert not (mini / "reports" / "build").exists()


def test_a_worker_that_would_mix_runs_is_refused(config, start_cluster):
    cluster = start_cluster()
    cluster.start("worker", cluster.address, "--nthreads", "2", "--no-nanny", "--no-dashboard")
    with pytest.raises(UsageError, match="--nthreads 1"):
        sweep({"only": config}, scheduler=cluster.address)


def test_a_worker_with_another_labkit_is_refused(config, start_cluster):
    cluster = start_cluster()
    cluster.preload.write_text(
        cluster.preload.read_text()
        + "\nfrom labkit.training import store\nstore._source_hash = lambda kind: 'older'\n"
    )
    cluster.worker()
    with pytest.raises(LabkitError, match="another labkit or other data"):
        sweep({"only": config}, scheduler=cluster.address)
    assert store.local_runs() == []


@pytest.mark.parametrize("jobs", [0, -1, "two"])
def test_jobs_are_a_number(config, start_cluster, monkeypatch, jobs):
    start_cluster()
    with pytest.raises(UsageError, match="at least 1"):
        sweep({"only": config}, jobs=jobs)
    monkeypatch.setenv("LABKIT_JOBS", str(jobs))
    with pytest.raises(UsageError, match="at least 1"):
        sweep({"only": config})
