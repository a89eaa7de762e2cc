"""A run that is killed goes on from its checkpoint and ends as if nothing had happened."""

import dataclasses
import io
import multiprocessing
import os
import random
import sys
import time
from pathlib import Path

import pytest
import torch
from quarters import make_config, make_dataset

from labkit import progress
from labkit.data import Split
from labkit.handcalc import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from labkit.training import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Augmentation,
    OneCycle,
    RMSprop,
    fit,
    kinds,
    loop,
    store,
    wanted,
)
from labkit.training.trainer import Trainer

NETWORK = (
    *(Conv2d(3, 8, 3, padding=1), ReLU(), MaxPool2d(2), BatchNorm2d(8)),
    Flatten(),
    Dropout(0.3),  # draws from the device's random state
    Linear(8 * 4 * 4, 4),
)
AUGMENTATION = Augmentation(crop=8, crop_padding=1, flip=True, rotation=10.0, cutmix=1.0)


@pytest.fixture
def everything(config):
    """A run that draws random numbers in every way there is."""
    return config.replace(
        network=NETWORK,
        optimizer=Adam(learning_rate=0.01),
        schedule=OneCycle(),
        augmentation=AUGMENTATION,
        epochs=4,
        label_smoothing=0.1,
    )


class Killed(BaseException):
    """As if the process ended: nothing catches it."""


def fit_until(step: int, config, dataset, path: Path, monkeypatch) -> None:
    """Train until `step` and no further."""
    real = Trainer.step

    def dies(self, *args):
        if self.steps == step:
            raise Killed
        real(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", dies)
        with pytest.raises(Killed):
            fit(config, dataset, save_to=path)


def without_time(history):
    return [{name: row[name] for name in row if name != "seconds"} for row in history]


def assert_same(first, second):
    assert without_time(first.history) == without_time(second.history)
    assert first.weights.keys() == second.weights.keys()
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    assert all(torch.equal(first.arrays[name], second.arrays[name]) for name in first.arrays)
    timeless = [
        {name: value for name, value in result.metrics.items() if name != "training_seconds"}
        for result in (first, second)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(learning_rate=0.1),
        SGD(learning_rate=0.05, momentum=0.9, nesterov=True),
        Adam(learning_rate=0.01, weight_decay=1e-3),
        RMSprop(learning_rate=0.001, momentum=0.5),
        Adagrad(learning_rate=0.05),
        Adadelta(),
    ],
    ids=str,
)
@pytest.mark.parametrize("every_step", [True, False])
def test_a_resumed_run_ends_with_the_same_bits(
    everything, dataset, tmp_path, monkeypatch, optimizer, every_step
):
    config = everything.replace(optimizer=optimizer)
    whole = fit(config, dataset)
    if every_step:  # as when an epoch takes hours: states from the middle of one
        monkeypatch.setattr("labkit.training.loop.CHECKPOINT_SECONDS", 0)
    path = tmp_path / "run.unfinished"
    for step in (3, 8, 8, 20):  # 6 steps an epoch; once twice at the same place
        fit_until(step, config, dataset, path, monkeypatch)
    assert_same(fit(config, dataset, save_to=path), whole)


@pytest.mark.parametrize("validation", ["every 5 steps", "none"])
def test_also_with_other_validations(everything, dataset, tmp_path, monkeypatch, validation):
    if validation == "none":
        empty = Split(dataset.validation.images[:0], dataset.validation.labels[:0])
        dataset = dataclasses.replace(dataset, validation=empty)
    else:
        everything = everything.replace(validate_every=5)
    whole = fit(everything, dataset)
    path = tmp_path / "run.unfinished"
    for step in (8, 14):
        fit_until(step, everything, dataset, path, monkeypatch)
    resumed = fit(everything, dataset, save_to=path)
    assert [row["step"] for row in whole.history] == [row["step"] for row in resumed.history]
    assert all(torch.equal(value, resumed.weights[name]) for name, value in whole.weights.items())
    assert resumed.metrics["best_step"] == whole.metrics["best_step"]


def test_at_most_one_epoch_is_done_again(everything, dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(progress.RELAY_VARIABLE, raising=False)
    path = tmp_path / "run.unfinished"
    fit_until(17, everything, dataset, path, monkeypatch)
    taken = []
    real = Trainer.step
    monkeypatch.setattr(
        Trainer, "step", lambda self, *args: (taken.append(self.steps), real(self, *args))
    )
    fit(everything, dataset, save_to=path)
    assert taken == list(range(12, 24))


def test_a_run_that_was_about_to_stop_stops(config, dataset, tmp_path, monkeypatch):
    config = config.replace(
        {"optimizer.learning_rate": 1e-12}, network=(Flatten(), Linear(192, 4)), epochs=9
    )
    config = config.replace(early_stop=4)
    whole = fit(config, dataset)
    path = tmp_path / "run.unfinished"
    fit_until(11, config, dataset, path, monkeypatch)
    assert_same(fit(config, dataset, save_to=path), whole)
    assert_same(fit(config, dataset, save_to=path), whole)  # from the state after the last step


@pytest.mark.parametrize("damage", ["truncated", "one bit"])
def test_a_damaged_checkpoint_is_set_aside_and_reported(
    everything, dataset, tmp_path, monkeypatch, capsys, damage
):
    path = tmp_path / "run.unfinished"
    fit_until(17, everything, dataset, path, monkeypatch)
    content = bytearray(path.read_bytes())
    content[-2000] ^= 1
    path.write_bytes(content if damage == "one bit" else content[:-100])
    assert_same(fit(everything, dataset, save_to=path), fit(everything, dataset))
    said = capsys.readouterr().err
    assert "run.unfinished cannot be read" in said
    assert "trained from the beginning" in said
    assert len(list(tmp_path.glob("damaged-*/run.unfinished"))) == 1  # never deleted


def train(runs: Path, seconds: float, begun) -> None:
    """A process that trains one run into the folder `runs`."""
    os.environ["LABKIT_RUNS"] = str(runs)
    os.environ.pop(progress.RELAY_VARIABLE, None)
    sys.stderr = io.StringIO()
    torch.set_num_threads(1)
    kinds.load = lambda name, validation_fraction: make_dataset()
    loop.CHECKPOINT_SECONDS = seconds
    config = make_config().replace(
        network=NETWORK, optimizer=Adam(learning_rate=0.01), augmentation=AUGMENTATION, epochs=150
    )
    real = Trainer.step

    def step(self, *args):
        begun.set()
        real(self, *args)

    Trainer.step = step
    wanted.Wanted("run", config).trained()


def test_killed_at_twenty_random_moments(tmp_path, monkeypatch):
    """SIGKILL; what is left is taken up by the next process."""
    moments = random.Random(20261121)
    # its children have torch imported and begin at once
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["labkit.training", "torch._dynamo"])

    def start(runs: str):
        begun = processes.Event()
        process = processes.Process(target=train, args=(tmp_path / runs, 0.02, begun))
        process.start()
        assert begun.wait(120), "it failed before its first step"
        return process

    process = start("whole")
    began = time.perf_counter()
    process.join()
    takes = time.perf_counter() - began
    for _ in range(20):
        process = start("killed")
        process.join(moments.uniform(0, takes / 30))
        assert process.is_alive()  # else it was not killed
        process.kill()
        process.join()
    assert list((tmp_path / "killed").glob("*.unfinished"))
    start("killed").join()

    records = []
    for runs in ("whole", "killed"):
        monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / runs))
        (record,) = store.local_runs()
        records.append(record)
        assert not list((tmp_path / runs).glob("*.unfinished"))
    whole, killed = records
    assert whole.key == killed.key
    assert whole.history.drop(columns="seconds").equals(killed.history.drop(columns="seconds"))
    for name in ("weights", "arrays"):
        first, second = getattr(whole, name), getattr(killed, name)
        assert all(torch.equal(value, second[each]) for each, value in first.items())
