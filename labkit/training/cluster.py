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

from labkit import progress
from labkit.errors import LabkitError, UsageError
from labkit.training import store
from labkit.training.checkpoint import History
from labkit.training.config import Config
from labkit.training.strict import ConfigError
from labkit.training.wanted import Wanted

SECONDS_TO_ANSWER = 15  # for a scheduler


def chosen(jobs: int | None, scheduler: str | None) -> tuple[int, str | None]:
    """What was asked for, else what LABKIT_JOBS and LABKIT_SCHEDULER say, else one and none."""
    given = jobs if jobs is not None else os.environ.get("LABKIT_JOBS") or 1
    if not str(given).isdecimal() or int(given) < 1:
        raise UsageError(f"jobs is {given!r}; give a number of processes, at least 1")
    return int(given), scheduler or os.environ.get("LABKIT_SCHEDULER")


@contextlib.contextmanager
def local(jobs: int) -> Iterator[str]:
    """The address of a cluster of `jobs` processes, which divide the cores of this machine."""
    from distributed import LocalCluster

    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    with LocalCluster(
        n_workers=jobs,
        threads_per_worker=1,
        memory_limit=0,  # what training needs is not Dask's to ration
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
        env={"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
    ) as cluster:
        yield cluster.scheduler_address


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
        waiting = {}
        for topic, run in by_topic.items():
            client.subscribe_topic(topic, lambda event, topic=topic: news.put((topic, event[1])))
            # named by its content, so that notebooks which want the same run share it
            future = client.submit(
                _train_here,
                run.config,
                run.device,
                _identity(run),
                topic,
                key=topic,
                resources=resources,
                priority=-len(waiting),  # in the order given
            )
            waiting[future] = run
        while waiting:
            time.sleep(0.1)
            while not news.empty():
                topic, (kind, content) = news.get()
                about = by_topic[topic].description
                if kind == "bar":  # a run that was begun again goes on in its bar
                    relay.show({**content, "id": topic, "description": about})
                else:
                    on_validation(about, content)
            for future in [future for future in waiting if future.done()]:
                run = waiting.pop(future)
                try:
                    store.unpack(*_record_of(future))
                    finished()
                except Exception as error:
                    failed.append((run, error))
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
        client = Client(address, timeout=SECONDS_TO_ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address!r} ({error}); start one with "
            "`dask scheduler`, or correct --scheduler (LABKIT_SCHEDULER)"
        ) from None
    with client:
        if not _workers(client):
            how = f"dask worker {address} --nthreads 1"
            print(f"waiting for workers; start them with `{how}`", file=sys.stderr, flush=True)
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
    config: Config, device: str, identity: str, topic: str
) -> tuple[str | None, dict[str, bytes] | str]:
    """On the worker: train one run; gives the name and the files of its record, or else None and
    what went wrong: an exception that cannot be sent would leave the client waiting."""
    from distributed import get_worker

    worker = get_worker()
    try:
        run = Wanted(topic, config, device)
        if _identity(run) != identity:
            return None, (
                f"the worker {worker.name} has another labkit or other data than this machine, so "
                "its results would not be the same; bring it up to date and start it again"
            )
        with progress.sent_to(lambda state: worker.log_event(topic, ("bar", state))):
            made = run.trained(lambda history: worker.log_event(topic, ("history", history)))
        return made.key, store.pack(made)
    except (LabkitError, ConfigError) as error:
        return None, str(error)
    except Exception:
        return None, f"it failed on the worker {worker.name}:\n{traceback.format_exc()}"
