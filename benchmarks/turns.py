"""Ways of doing the same work, each in a process of its own, taking turns; and what they print.

A process of its own, because thread pools, allocators and TensorFlow would disturb each other. In
turns, because a machine that is slower for a minute should be slower for all of them. So each round
gives a ratio of its own, and the tables show the median of those and their spread.
"""

import argparse
import importlib.metadata
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Way = Callable[[], Callable[[], object]]  # called in the child, gives what is then timed


class UnavailableError(Exception):
    """A way that cannot be gone on this machine; the message says why."""


@dataclass
class Turns:
    """What was measured: the seconds of each way's turns, and why others had none.

    `idle` is the largest share of a core that a process used while it was not its turn.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    idle: float = 0.0


def take_turns(ways: Mapping[str, Way], rounds: int) -> Turns:
    """Time each way `rounds` times, all in turn, after one round that warms up."""
    context = multiprocessing.get_context("spawn")
    turns, pipes = Turns(), {}
    for name, way in ways.items():
        pipe, childs_end = context.Pipe()
        context.Process(target=_serve, args=(childs_end, way), daemon=True).start()
        childs_end.close()
        pipes[name] = pipe
    for name in ways:
        if why := _answer(pipes[name], name):
            turns.left_out[name] = why
            del pipes[name]
        else:
            turns.seconds[name] = []
    for number in range(rounds + 1):
        if sys.stderr.isatty():
            print(f"round {number} of {rounds}", end="\r", file=sys.stderr, flush=True)
        for name, pipe in pipes.items():
            pipe.send("your turn")
            seconds, idle = _answer(pipe, name)
            if number:
                turns.seconds[name].append(seconds)
                turns.idle = max(turns.idle, idle)
    return turns  # the pipes close here, which ends the children


def _serve(pipe, way: Way) -> None:
    try:
        turn = way()
    except ImportError as error:
        pipe.send(f"not installed ({error})")
        return
    except UnavailableError as why:
        pipe.send(str(why))
        return
    pipe.send(None)
    while True:
        # process_time counts all threads, also those that spin while they wait for work
        clock, processor = time.perf_counter(), time.process_time()
        try:
            pipe.recv()
        except EOFError:
            return
        started = time.perf_counter()
        idle = (time.process_time() - processor) / (started - clock)
        turn()
        pipe.send((time.perf_counter() - started, idle))


def _answer(pipe, name: str):
    try:
        return pipe.recv()
    except EOFError:
        raise SystemExit(f"{name}: its process ended, see above") from None


def options(docstring: str, *, rounds: int = 5) -> argparse.ArgumentParser:
    """What every benchmark takes, so that `make bench ARGS=…` reaches all of them."""
    parser = argparse.ArgumentParser(description=docstring.splitlines()[0])
    parser.add_argument("--images", type=int, default=4000, help="images in an epoch")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--quick", action="store_true", help="as little as runs: for debugging")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.images, chosen.rounds = 256, 2
    return chosen


def machine(*packages: str) -> str:
    """Device, threads and versions, in one line."""
    import torch

    from labkit.training.config import resolve_device
    from labkit.training.store import device_name

    device = resolve_device()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return ", ".join(
        [
            device_name(device),
            f"{torch.get_num_threads()} threads",
            *(f"{name} {version(name)}" for name in ("torch", *packages)),
            f"load {load:.1f} at the start",
        ]
    )


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def spread(values: list[float], form: str = ",.0f") -> str:
    """Median and, in brackets, lowest–highest."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):{form}} ({low:{form}}–{high:{form}})"


def ratios(values: list[float], reference: list[float]) -> list[float]:
    """Round by round: what was slow in a round was slow for both."""
    return [value / other for value, other in zip(values, reference, strict=True)]
