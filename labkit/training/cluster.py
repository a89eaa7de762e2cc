"""Runs on a Dask cluster: some processes of this machine, or the workers of any scheduler.

A worker trains one run at a time, into its own store, and sends the record back whole. If it dies,
the scheduler gives its run to another, which goes on from the checkpoint where the two share a
store (LABKIT_RUNS). Where workers announce the resource `GPU`, each run asks for one.
"""

import contextlib
import logging
import os
import queue
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from labkit import progress
from labkit.errors import LabkitError, UsageError
from labkit.training import store
from labkit.training.checkpoint import History
from labkit.training.config import RunConfig
from labkit.training.wanted import Wanted

SECONDS_TO_ANSWER = 15  # for a scheduler


def chosen(jobs: int | None, scheduler: str | None) -> tuple[int, str | None]:
    """What was asked for, else what LABKIT_JOBS and LABKIT_SCHEDULER say, else one and none."""
    if jobs is None and scheduler is None:
        jobs, scheduler = os.environ.get("LABKIT_JOBS"), os.environ.get("LABKIT_SCHEDULER")
    jobs = 1 if jobs in (None, "") else jobs
    if not str(jobs).isdecimal() or int(jobs) < 1:
        raise UsageError(f"jobs is {jobs!r}; give a number of processes, at least 1")
    return int(jobs), scheduler or None


@contextlib.contextmanager
def local(jobs: int) -> Iterator[str]:
    """The address of a cluster of `jobs` processes, which divide the cores of this machine."""
    from distributed import LocalCluster

    threads = str(max(1, _cores() // jobs))
    try:
        cluster = LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            memory_limit=0,  # what training needs is not Dask's to ration
            dashboard_address=":0",  # any free port, instead of a warning that one is taken
            silence_logs=logging.CRITICAL,
            env={"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        )
    except RuntimeError as error:
        raise UsageError(
            f"no {jobs} processes could be started ({error}); a script that asks for jobs is "
            'imported by each of them, so it must call sweep under `if __name__ == "__main__":`'
        ) from None
    with cluster:
        yield cluster.scheduler_address


def _cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check(address: str) -> None:
    """Raise UsageError unless a scheduler answers at `address`, with workers that can train."""
    with _client(address):
        pass


def train(
    runs: Sequence[Wanted],
    address: str,
    finished: Callable[[], None] = lambda: None,
    on_validation: Callable[[str, History], None] = lambda description, history: None,
) -> None:
    """Train `runs` on the cluster at `address` and file their records here.

    A run that fails raises, after the others have come to their end.
    """
    by_topic = {f"labkit-{run.key}": run for run in runs}
    news: queue.SimpleQueue = queue.SimpleQueue()  # from Dask's thread to this one, which draws
    failed: list[tuple[Wanted, Exception]] = []
    with _client(address) as client, contextlib.closing(progress.Relay()) as relay:
        resources = _resources(client)
        waiting, histories, looked = {}, {run.description: [] for run in runs}, time.monotonic()

        def show_news() -> None:
            while not news.empty():
                topic, (kind, content) = news.get()
                about = by_topic[topic].description
                if kind == "bar":  # a run that was begun again goes on in its bar
                    relay.show({**content, "id": topic, "description": about})
                else:
                    histories[about].append(content)
                    on_validation(about, histories[about])

        for topic, run in by_topic.items():
            client.subscribe_topic(topic, lambda event, topic=topic: news.put((topic, event[1])))
            fresh = os.environ.get("LABKIT_FRESH")
            future = client.submit(
                _train_here,
                run.config,
                run.device,
                _identity(run),
                topic,
                fresh,
                # by its content, so that notebooks which want the same run share it
                key=f"{topic} {fresh or ''}",
                resources=resources,
                priority=-len(waiting),  # in the order given
            )
            waiting[future] = run
        while waiting:
            time.sleep(0.1)
            show_news()
            if time.monotonic() - looked > SECONDS_TO_ANSWER:
                looked = time.monotonic()
                if not _workers(client):
                    _say_that_workers_are_wanted(address)
            for future in [future for future in waiting if future.done()]:
                run = waiting.pop(future)
                try:
                    store.unpack(*_record_of(future))
                    finished()
                except Exception as error:
                    failed.append((run, error))
        show_news()
    if failed:
        run, error = failed[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise LabkitError(f"{run.description}{more}: {error}") from error


def _record_of(future) -> tuple[str, dict[str, bytes]]:
    from distributed.scheduler import KilledWorker

    try:
        name, files = future.result()
    except KilledWorker as error:
        raise LabkitError(
            "every worker that tried it died, most often for want of memory; give the workers more "
            "of it, or start fewer of them"
        ) from error
    if name is None:  # then `files` says why
        raise LabkitError(files)
    return name, files


@contextlib.contextmanager
def _client(address: str) -> Iterator[Any]:
    from distributed import Client

    try:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it tells all in tracebacks
        client = Client(address, timeout=SECONDS_TO_ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address!r} ({error}); start one with "
            "`dask scheduler`, or correct --scheduler (LABKIT_SCHEDULER)"
        ) from None
    with client:
        if not _workers(client):
            _say_that_workers_are_wanted(address)
            client.wait_for_workers(1)
        for worker in _workers(client).values():
            # the random state of PyTorch is the process's own
            if worker["nthreads"] != 1:
                raise UsageError(
                    f"the worker {worker['name']} runs {worker['nthreads']} tasks at a time, and "
                    "a run needs a process of its own; start workers with --nthreads 1 "
                    "(OMP_NUM_THREADS sets how many cores each uses)"
                )
        yield client


def _say_that_workers_are_wanted(address: str) -> None:
    how = f"dask worker {address} --nthreads 1"
    print(f"waiting for workers; start them with `{how}`", file=sys.stderr, flush=True)


def _workers(client) -> dict[str, dict]:
    return client.scheduler_info(n_workers=-1)["workers"]


def _resources(client) -> dict[str, int] | None:
    has_gpu = any("GPU" in worker["resources"] for worker in _workers(client).values())
    return {"GPU": 1} if has_gpu else None


def _identity(run: Wanted) -> str:
    """What client and worker must agree on: all of the key but the precision, which `auto` leaves
    to the device."""
    return store.key(run.config.replace(precision="fp32"), run.dataset.fingerprint, "cpu")


def _train_here(
    config: RunConfig, device: str, identity: str, topic: str, fresh: str | None
) -> tuple[str | None, dict[str, bytes] | str]:
    """On the worker: train one run; gives the name and the files of its record, or else None and
    what went wrong: an exception that cannot be sent would leave the client waiting."""
    from distributed import get_worker

    worker = get_worker()
    os.environ.pop("LABKIT_FRESH", None)
    if fresh:  # as the client was told
        os.environ["LABKIT_FRESH"] = fresh
    # what was imported before the environment was set would go by the old one
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
    try:
        run = Wanted(topic, config, device)
        if _identity(run) != identity:
            return None, (
                f"the worker {worker.name} has another labkit or other data than this machine, so "
                "its results would not be the same; bring it up to date and start it again"
            )
        with progress.sent_to(lambda state: worker.log_event(topic, ("bar", state))):
            made = run.trained(lambda history: worker.log_event(topic, ("row", history[-1])))
        return made.key, store.pack(made)
    except (LabkitError, ValueError) as error:  # written to be read
        return None, str(error)
    except Exception:
        return None, f"it failed on the worker {worker.name}:\n{traceback.format_exc()}"
