"""Test accuracy after five epochs, by a plain loop and by labkit: the speed must not cost any.

Both train the same network from the same first weights on the same 45,000 images (5,000 are kept
for validation, which is not looked at here), see `ways.py`, and are measured with their last
weights on the 10,000 test images. What remains different is the order of the random numbers.

Each finished (way, seed) is appended to a file, so that an interrupted run goes on from there; runs
of another size are passed over. Too long for a part of `make bench`:

    make bench-accuracy ARGS="--epochs 5 --seeds 0 1 2"
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path

from turns import machine
from ways import Plain, Setting, labkit_epochs, labkit_trainer

from labkit import project
from labkit.training.config import resolve_device, resolve_precision

WAYS = ("plain", "labkit fp32", "labkit bf16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--images", type=int, help="the first so many of the 45,000")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="default: all that are native here")
    parser.add_argument("--quick", action="store_true", help="as little as runs: for debugging")
    parser.add_argument("--results", type=Path, help="the file of finished runs (JSON lines)")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.epochs, chosen.images, chosen.seeds = 1, 256, [0, 1]
    if not chosen.ways:
        native = resolve_precision("auto", resolve_device()) == "bf16"
        chosen.ways = WAYS if native else WAYS[:2]
    path = chosen.results or project.runs() / "accuracy.jsonl"

    print(machine("torchvision"))
    size = {"epochs": chosen.epochs, "images": chosen.images}
    for seed in chosen.seeds:
        for way in chosen.ways:
            run = {"way": way, "seed": seed, **size}
            if not finished(path, run):
                started = time.perf_counter()
                accuracy = train(**run)
                done = {**run, "accuracy": accuracy, "seconds": time.perf_counter() - started}
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a") as file:
                    file.write(json.dumps(done) + "\n")
            done = finished(path, run)
            print(f"{way:14} seed {seed}: {done['accuracy']:.2%} in {done['seconds']:,.0f} s")

    print()
    found = {
        way: [
            finished(path, {"way": way, "seed": seed, **size})["accuracy"] for seed in chosen.seeds
        ]
        for way in chosen.ways
    }
    for way, values in found.items():
        print(f"{way:14} {statistics.fmean(values):.2%} ± {_sd(values):.2%} (standard deviation)")
    first, *others = chosen.ways
    for way in others:
        difference = statistics.fmean(found[way]) - statistics.fmean(found[first])
        error = math.hypot(_sd(found[way]), _sd(found[first])) / math.sqrt(len(chosen.seeds))
        print(f"{way} − {first}: {difference:+.2%} ± {error:.2%} (standard error)")


def train(way: str, seed: int, epochs: int, images: int | None) -> float:
    """The test accuracy at the end."""
    setting = Setting(images=images, seed=seed, epochs=epochs)
    if way == "plain":
        plain = Plain(setting)
        for _ in range(epochs):
            plain.epoch()
        return plain.test_accuracy()
    trainer = labkit_trainer(setting, way.removeprefix("labkit "))
    training = labkit_epochs(trainer)
    for _ in range(epochs):
        next(training)
    return trainer.evaluate(trainer.test).accuracy


def finished(path: Path, run: dict) -> dict | None:
    """The line of the run with these values, the newest; None where there is none."""
    lines = path.read_text().splitlines() if path.exists() else []
    matching = (line for line in map(json.loads, reversed(lines)) if run.items() <= line.items())
    return next(matching, None)


def _sd(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan


if __name__ == "__main__":
    main()
