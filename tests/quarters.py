"""A made data set and a small network: learnable, and trained in a blink; and made records."""

from pathlib import Path

import torch

from labkit.data import Dataset, Split
from labkit.handcalc import BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU
from labkit.training import SGD, Config, Run


def make_split(count: int, seed: int) -> Split:
    """Images of 3×8×8 whose class shows: one of four quarters of the image is bright."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (count,), generator=draws)
    images = torch.randint(0, 120, (count, 3, 8, 8), generator=draws, dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[:, row : row + 4, column : column + 4] += 100
    return Split(images, labels)


def make_dataset() -> Dataset:
    return Dataset(
        name="quarters",
        classes=("a", "b", "c", "d"),
        fingerprint="0" * 64,
        source="made in quarters.py",
        train=make_split(90, 1),
        validation=make_split(30, 2),
        test=make_split(35, 3),
    )


def make_config() -> Config:
    """A small network with every kind of layer that the first courses use."""
    network = (
        *(Conv2d(3, 8, 3, padding=1), ReLU(), MaxPool2d(2), BatchNorm2d(8)),
        Flatten(),
        Linear(8 * 4 * 4, 4),
    )
    return Config(
        network=network,
        optimizer=SGD(learning_rate=0.1),
        batch_size=16,
        epochs=2,
        precision="fp32",
    )


def made_run(key: str, seed: int, **metrics: float) -> Run:
    """A run that was never trained, with the metrics given."""
    environment = {
        "data": {
            **{"name": "set", "source": "here", "fingerprint": "f" * 64},
            **{"examples": "images", "train_examples": 100},
        },
        "device": "abacus",
        "precision": "fp32",
        "torch": "2.13.0",
        "finished": "2026-11-21T10:00:00+00:00",
    }
    metrics = {"train_examples": 50, "test_examples": 20, **metrics}
    return Run(Path(key), {"seed": seed, "epochs": 3}, metrics, environment)
