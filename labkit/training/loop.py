"""Training from the first step to the last, or from where it was interrupted."""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from labkit import progress
from labkit.data.datasets import Dataset
from labkit.training import checkpoint
from labkit.training.checkpoint import History, Progress
from labkit.training.config import Config, resolve_device
from labkit.training.engine import DEFAULT, Engine, seeded
from labkit.training.metrics import Meter
from labkit.training.trainer import Trainer

CHECKPOINT_SECONDS = 60


@dataclass(frozen=True)
class Result:
    """What `fit` returns.

    weights: the best ones, by their names in the module.
    history: a row per validation.
    metrics: measured with the best weights.
    arrays: `step_loss` (steps,), and with the best weights `test_predictions` (N,) and their
        probabilities `test_confidences` (N,).
    """

    weights: dict[str, Tensor]
    history: History
    metrics: dict
    arrays: dict[str, Tensor]


def fit(
    config: Config,
    dataset: Dataset,
    *,
    device: str = "auto",
    description: str = "training",
    save_to: Path | None = None,
    on_validation: Callable[[History], None] = lambda history: None,
    engine: Engine = DEFAULT,
) -> Result:
    """Train `config.network` on `dataset`; measure it with its best weights.

    Best is the lowest validation loss; without a validation split it is the last. The final
    metrics (`train_…`, `validation_…`, `test_…`) are taken with these weights in evaluation mode,
    over every image of the split as the Config sizes it (`train_…` over its
    `data.measured_train_images`), without augmentation.

    With `save_to` the state is saved there after every epoch and every minute; if a state of this
    run is there already, training goes on from it, and ends with the same bits, on the same machine
    with as many threads.
    """
    place = resolve_device(device)
    with seeded(config.seed, place, engine):
        trainer = Trainer(config, dataset, place, engine)
        done = (save_to and checkpoint.load(save_to, trainer)) or Progress()
        validations = validation_steps(config, trainer.steps_per_epoch)
        started = time.perf_counter() - done.seconds
        saved = time.perf_counter()
        stopped = reason_to_stop(done.history, config.early_stop)

        if trainer.steps:
            description += f" (from step {trainer.steps})"
        with progress.bar(trainer.total_steps, description, done=trainer.steps) as bar:
            for batch in batches(config, len(trainer.train), trainer.device, skip=trainer.steps):
                if stopped:
                    break
                trainer.step(batch)
                bar.update()
                done.seconds = time.perf_counter() - started
                if trainer.steps in validations:
                    row = done.add(trainer.validate(), trainer)
                    bar.set_postfix_str(
                        f"loss {row['train_loss']:.3f}, "
                        f"validation accuracy {row['validation_accuracy']:.3f}"
                    )
                    on_validation(done.history)
                    stopped = reason_to_stop(done.history, config.early_stop)
                    if stopped:
                        bar.set_postfix_str(f"stopped {stopped}, loss {row['train_loss']:.3f}")
                late = time.perf_counter() - saved > CHECKPOINT_SECONDS
                if save_to and (late or trainer.steps % trainer.steps_per_epoch == 0):
                    checkpoint.save(save_to, trainer, done)
                    saved = time.perf_counter()

        return _measured(trainer, done, stopped or "all epochs done")


def batches(
    config: Config, num_images: int, device: torch.device, *, skip: int = 0
) -> Iterator[Tensor]:
    """The batches (of indices) of the whole run but for the first `skip`.

    Each epoch is a fresh permutation of the images; its last batch may be smaller.
    """
    order = torch.Generator().manual_seed(config.seed)

    def every() -> Iterable[Tensor]:
        for _ in range(config.epochs):
            permutation = torch.randperm(num_images, generator=order)
            yield from permutation.to(device, non_blocking=True).split(config.batch_size)

    return itertools.islice(every(), skip, None)


def validation_steps(config: Config, steps_per_epoch: int) -> frozenset[int]:
    """After which steps to validate: equal parts of each epoch (to within one step), or every
    `config.validate_every` steps; and after the last."""
    last = config.epochs * steps_per_epoch
    if config.validate_every:
        return frozenset({*range(config.validate_every, last, config.validate_every), last})
    parts = min(config.validations_per_epoch, steps_per_epoch)
    return frozenset(
        epoch * steps_per_epoch + steps_per_epoch * part // parts
        for epoch in range(config.epochs)
        for part in range(1, parts + 1)
    )


def reason_to_stop(history: History, early_stop: int | None) -> str | None:
    """Why to stop now, or None.

    TDT4265's rule counts validations, not epochs: stop when the oldest of the last `early_stop`
    validation losses is the smallest of them.
    """
    if history and not math.isfinite(history[-1]["train_loss"]):
        return "diverged: the training loss is not a finite number"
    losses = [row["validation_loss"] for row in history]
    if early_stop is None or len(losses) < early_stop:
        return None
    recent = losses[-early_stop:]
    return "early: validation loss stopped falling" if recent[0] == min(recent) else None


def _measured(trainer: Trainer, done: Progress, stopped: str) -> Result:
    """What the best weights reach on every split."""
    trainer.model.load_state_dict(trainer.best)
    metrics = {
        "num_parameters": trainer.num_parameters,
        "trained_parameters": sum(each.numel() for each in trainer.trained),
        "steps": trainer.steps,
        "best_step": done.best_step,
        "best_epoch": done.best_step / trainer.steps_per_epoch,
        "stopped": stopped,
        "training_seconds": done.history[-1]["seconds"],
    }
    for name in ("train", "validation", "test"):
        metrics[f"{name}_examples"] = len(getattr(trainer, name))
    row = next((row for row in done.history if row["step"] == done.best_step), {})
    for name, column, split in (
        ("train", "measured_train", trainer.measured_train),
        ("validation", "validation", trainer.validation),
    ):
        if f"{column}_loss" in row:  # taken then, with these very weights
            loss, accuracy = row[f"{column}_loss"], row[f"{column}_accuracy"]
        else:
            measured = trainer.evaluate(split)
            loss, accuracy = measured.loss, measured.accuracy
        metrics |= {f"{name}_loss": loss, f"{name}_accuracy": accuracy}
    logits = trainer.logits(trainer.test)
    meter = Meter(trainer.num_classes, trainer.device)
    meter.add(logits, trainer.test.labels)
    tested = meter.result()
    metrics |= {"test_loss": tested.loss, "test_accuracy": tested.accuracy}
    metrics["test_confusion"] = tested.confusion.tolist()
    confidences, predictions = logits.softmax(1).max(1)
    return Result(
        weights={name: value.cpu().contiguous() for name, value in trainer.best.items()},
        history=done.history,
        metrics=metrics,
        arrays={
            "step_loss": trainer.step_loss[: trainer.steps].cpu(),
            "test_predictions": predictions.to(torch.int16).cpu(),
            "test_confidences": confidences.half().cpu(),
        },
    )
