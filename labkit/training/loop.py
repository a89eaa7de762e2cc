"""Training from the first step to the last, or from where it was interrupted."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from labkit import progress
from labkit.data import Dataset, WordSet
from labkit.training import checkpoint
from labkit.training.base_trainer import BaseTrainer
from labkit.training.checkpoint import History, Progress
from labkit.training.config import RunConfig, resolve_device
from labkit.training.engine import DEFAULT, Engine, seeded
from labkit.training.kinds import kind_of

CHECKPOINT_SECONDS = 60
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Result:
    """What `fit` returns.

    - `weights`: the best ones, by their names in the module.
    - `history`: a row per validation, with the step, the epoch and what was measured.
    - `metrics`: measured with the best weights; shares in 0…1, losses in nats.
    - `arrays`: `step_loss` (steps,), and what the trainer gives with the best weights.
    """

    weights: dict[str, Tensor]
    history: History
    metrics: dict
    arrays: dict[str, Tensor]


def fit(
    config: RunConfig,
    dataset: Dataset | WordSet,
    *,
    device: str = "auto",
    description: str = "training",
    save_to: Path | None = None,
    on_validation: Callable[[History], None] = lambda history: None,
    engine: Engine = DEFAULT,
) -> Result:
    """Train `config.network` on `dataset`; measure it with its best weights.

    `device` is "auto", "cpu" or "cuda", `description` stands at the progress bar, `on_validation`
    is called with the history so far, and `engine` changes the speed alone. Most notebooks call
    `sweep`, which also keeps the records.

    Best is the lowest validation loss, of words the lowest character error rate; without a
    validation split it is the last. The final metrics (`train_…`, `validation_…`, `test_…`) are
    taken with these weights in evaluation mode, over every example of the split as the Config sizes
    it (`train_…` over its `data.measured_train_images`), without augmentation.

    With `save_to` the state is saved there after every epoch and every minute; if a state of this
    run is there already, training goes on from it, and ends with the same bits, on the same machine
    with as many threads.

        result = fit(config, load("cifar10"))
        result.metrics["test_accuracy"], result.history[-1]["validation_loss"]
    """
    place = resolve_device(device)
    with seeded(config.seed, place, engine):
        trainer = kind_of(config).trainer(config, dataset, place, engine)
        done = (save_to and checkpoint.load(save_to, trainer)) or Progress()
        validations = validation_steps(config, trainer.steps_per_epoch)
        started = time.perf_counter() - done.seconds
        saved = time.perf_counter()
        stopped = reason_to_stop(done.history, config.early_stop, trainer.best_by)

        if trainer.steps:
            description += f" (from step {trainer.steps})"
        with progress.bar(trainer.total_steps, description, done=trainer.steps) as bar:
            for batch in trainer.batches(skip=trainer.steps):
                if stopped:
                    break
                trainer.step(batch)
                bar.update()
                done.seconds = time.perf_counter() - started
                if trainer.steps in validations:
                    row = done.add(trainer.validate(), trainer)
                    said = trainer.shown.replace("_", " ")
                    bar.set_postfix_str(
                        f"loss {row['train_loss']:.3f}, {said} {row[trainer.shown]:.3f}"
                    )
                    on_validation(done.history)
                    stopped = reason_to_stop(done.history, config.early_stop, trainer.best_by)
                    if stopped:
                        bar.set_postfix_str(f"stopped {stopped}, loss {row['train_loss']:.3f}")
                late = time.perf_counter() - saved > CHECKPOINT_SECONDS
                if save_to and (late or trainer.steps % trainer.steps_per_epoch == 0):
                    checkpoint.save(save_to, trainer, done)
                    saved = time.perf_counter()

        return _measured(trainer, done, stopped or "all epochs done")


def validation_steps(config: RunConfig, steps_per_epoch: int) -> frozenset[int]:
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


def reason_to_stop(
    history: History, early_stop: int | None, best_by: str = "validation_loss"
) -> str | None:
    """Why to stop now, or None.

    TDT4265's rule counts validations, not epochs: stop when the oldest of the last `early_stop`
    values of `best_by` is the smallest of them.
    """
    if history and not math.isfinite(history[-1]["train_loss"]):
        return "diverged: the training loss is not a finite number"
    if early_stop is None or len(history) < early_stop:
        return None
    recent = [row[best_by] for row in history[-early_stop:]]
    return (
        f"early: {best_by.replace('_', ' ')} stopped falling" if recent[0] == min(recent) else None
    )


def _measured(trainer: BaseTrainer, done: Progress, stopped: str) -> Result:
    """What the best weights reach on every split."""
    trainer.model.load_state_dict(trainer.best)
    row = next((row for row in done.history if row["step"] == done.best_step), {})
    measured, arrays = trainer.measured(row)
    metrics = {
        "num_parameters": trainer.num_parameters,
        "trained_parameters": sum(each.numel() for each in trainer.trained),
        "steps": trainer.steps,
        "best_step": done.best_step,
        "best_epoch": done.best_step / trainer.steps_per_epoch,
        "stopped": stopped,
        "training_seconds": done.history[-1]["seconds"],
        **{f"{name}_examples": len(getattr(trainer, name)) for name in SPLITS},
        **measured,
    }
    return Result(
        weights={name: value.cpu().contiguous() for name, value in trainer.best.items()},
        history=done.history,
        metrics=metrics,
        arrays={"step_loss": trainer.step_loss[: trainer.steps].cpu(), **arrays},
    )
