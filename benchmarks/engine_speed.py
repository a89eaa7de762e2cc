"""What labkit takes around a training: opening the data, finding and filing runs, several at once.

Opening the data is timed in fresh processes (without imports), next to torchvision's CIFAR10 class
reading its pickles where a folder of LABKIT_DATA holds its archive, else next to `numpy.load` of an
.npz file. A memory-mapped set is open before it is read, so reading it all is a line of its own.

All of a sweep is timed in a scratch folder for records; yours are not touched.

    make bench ARGS="--rounds 3"
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import numpy as np
from turns import machine, options, parse, ratios, spread
from ways import Setting, config

from labkit.data import load
from labkit.data.sources import data_folders
from labkit.training import fit, store, sweep

LABKIT = ("from labkit.data import load", "data = load('cifar10')")
READ = "[split.images.clone() for split in (data.train, data.validation, data.test)]"
JOBS = (1, 2)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=4, help="in a sweep")
    chosen = parse(parser)
    if chosen.quick:
        chosen.runs = 2
    print(machine("torchvision"))
    with tempfile.TemporaryDirectory() as scratch:
        data_set(Path(scratch), chosen.rounds)
        records(Path(scratch), chosen)
        several_at_once(Path(scratch), chosen)


def data_set(scratch: Path, rounds: int) -> None:
    """Open the 60,000 images, each time in a new process."""
    setup, load_it = LABKIT
    ways = {
        "labkit.data.load": LABKIT,
        "labkit.data.load, then read it all": (setup, f"{load_it}; {READ}"),
        **_other_reader(scratch),
    }
    seconds = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, (setup, statement) in ways.items():
            timed = (
                f"import time; {setup}; start = time.perf_counter(); {statement}; "
                "print(time.perf_counter() - start)"
            )
            printed = subprocess.check_output([sys.executable, "-c", timed], text=True)
            seconds[name].append(float(printed))
    print(f"\n{'opening CIFAR-10, in a new process':40} {'ms':>24}")
    for name, values in seconds.items():
        print(f"{name:40} {spread([1000 * v for v in values[1:]], ',.1f'):>24}")


def _other_reader(scratch: Path) -> dict[str, tuple[str, str]]:
    for folder in data_folders():
        if (folder / "cifar-10-batches-py").is_dir():
            setup = (
                "from labkit.data._torchvision import import_torchvision; import_torchvision(); "
                "from torchvision.datasets import CIFAR10"
            )
            statement = f"CIFAR10({str(folder)!r}), CIFAR10({str(folder)!r}, train=False)"
            return {"torchvision.datasets.CIFAR10": (setup, statement)}
    data, path = load("cifar10"), scratch / "cifar10.npz"
    images = [split.images.numpy() for split in (data.train, data.validation, data.test)]
    labels = [split.labels.numpy() for split in (data.train, data.validation, data.test)]
    np.savez(path, images=np.concatenate(images), labels=np.concatenate(labels))
    statement = f"file = np.load({str(path)!r}); file['images'], file['labels']"
    return {"numpy.load of an .npz": ("import numpy as np", statement)}


def records(scratch: Path, chosen) -> None:
    """What a sweep takes for runs that are there already, and what filing a run takes."""
    one = config(Setting(images=chosen.images, epochs=1)).replace(
        {"data.validation_images": 500, "data.test_images": 500}
    )
    dataset, seeds = load("cifar10"), range(chosen.runs)
    found, filed, trained = [], [], []
    with _records_in(scratch / "records"):
        for _ in range(chosen.rounds):
            started = time.perf_counter()
            result = fit(one, dataset)
            ended = time.perf_counter()
            store.save(one, dataset, result)
            trained.append(ended - started)
            filed.append(time.perf_counter() - ended)
        tiny = one.replace({"data.train_images": 1})
        sweep({"tiny": tiny}, seeds=seeds)
        for _ in range(chosen.rounds):
            started = time.perf_counter()
            sweep({"tiny": tiny}, seeds=seeds)
            found.append((time.perf_counter() - started) / chosen.runs)
    title = f"a run of {chosen.images} images"
    print(f"\n{'records':40} {'ms':>24} {f'share of {title}':>34}")
    for name, values in (
        (f"{title}, measured on 1,000", trained),
        ("filing its record", filed),
        (f"finding each of {chosen.runs} finished runs", found),
    ):
        share = spread(ratios(values, trained), ".1%")
        print(f"{name:40} {spread([1000 * v for v in values], ',.1f'):>24} {share:>34}")


# --- scaling over --jobs --------------------------------------------------------------------------


def several_at_once(scratch: Path, chosen) -> None:
    """The same sweep by so many processes; the start of these is part of the time."""
    one = config(Setting(images=chosen.images, epochs=1)).replace(
        {"data.validation_images": 500, "data.test_images": 500}
    )
    seconds = {jobs: [] for jobs in JOBS}
    for number in range(chosen.rounds):
        for jobs in JOBS:
            with _records_in(scratch / f"jobs-{jobs}-{number}"):  # empty: all are trained
                started = time.perf_counter()
                sweep({"": one}, seeds=range(chosen.runs), jobs=jobs)
                seconds[jobs].append(time.perf_counter() - started)
    print(f"\n{f'a sweep of {chosen.runs} such runs':40} {'s':>24} {'times as fast':>34}")
    for jobs, values in seconds.items():
        faster = spread(ratios(seconds[1], values), ".2f")
        print(f"{f'jobs={jobs}':40} {spread(values, ',.1f'):>24} {faster:>34}")


@contextmanager
def _records_in(folder: Path) -> Iterator[None]:
    """In place of the runs that were made here, quietly."""
    before = os.environ.get("LABKIT_RUNS")
    os.environ["LABKIT_RUNS"] = str(folder)
    try:
        with redirect_stderr(io.StringIO()):  # progress bars
            yield
    finally:
        del os.environ["LABKIT_RUNS"]
        if before is not None:
            os.environ["LABKIT_RUNS"] = before


if __name__ == "__main__":
    main()
