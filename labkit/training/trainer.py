"""Training: `fit`, and the two passes over data that it is made of, `train_epoch` and `evaluate`.

The whole data set lies on the device as bytes. A batch is taken by index, scaled and augmented as
a whole, so there is no loader, no worker and no copy to wait for; sums of loss and hits stay on the
device until a validation reads them.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from labkit import progress
from labkit.data import augment
from labkit.data.datasets import Dataset, Split
from labkit.data.preprocess import scale
from labkit.handcalc import layer_table
from labkit.models import build
from labkit.training.config import SGD, Config, ConfigError, resolve_device, resolve_precision
from labkit.training.metrics import Meter, Metrics

# large enough to fill a GPU, small enough for the activations to stay in a CPU's cache
EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Result:
    """What `fit` returns: the best weights, one history row per validation, the final metrics."""

    weights: dict[str, Tensor]
    history: list[dict[str, float]]
    metrics: dict


def fit(
    config: Config, dataset: Dataset, *, device: str = "auto", description: str = "training"
) -> Result:
    """Train `config.network` on `dataset`; measure it with its best weights.

    Best is the lowest validation loss; without a validation split it is the last. The final
    metrics (`train_…`, `validation_…`, `test_…`) are taken with these weights in evaluation mode,
    over every image of the split as the Config sizes it, without augmentation.
    """
    # a run is its seed: what this process drew before must not reach it, nor the other way round
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        trainer = Trainer(config, dataset, resolve_device(device))
        steps_per_epoch = math.ceil(len(trainer.train) / config.batch_size)
        history, best, step, started = [], None, 0, time.perf_counter()

        with progress.bar(config.epochs * steps_per_epoch, description) as bar:
            for batches in validation_intervals(config, len(trainer.train), trainer.device):
                running = trainer.train_epoch(batches, bar)
                validated = trainer.evaluate(trainer.validation)
                step += len(batches)
                history.append(
                    {
                        "step": step,
                        "epoch": step / steps_per_epoch,
                        "train_loss": running.loss,
                        "train_accuracy": running.accuracy,
                        "validation_loss": validated.loss,
                        "validation_accuracy": validated.accuracy,
                        "seconds": time.perf_counter() - started,
                    }
                )
                bar.set_postfix_str(
                    f"loss {running.loss:.3f}, validation accuracy {validated.accuracy:.3f}"
                )
                if best is None or not len(trainer.validation) or validated.loss < best["loss"]:
                    best = {"loss": validated.loss, "step": step, "weights": trainer.weights()}
                stopped = reason_to_stop(history, config.early_stop)
                if stopped:
                    break

        trainer.model.load_state_dict(best["weights"])
        metrics = {
            "num_parameters": sum(p.numel() for p in trainer.model.parameters()),
            "steps": step,
            "best_step": best["step"],
            "best_epoch": best["step"] / steps_per_epoch,
            "stopped": stopped or "all epochs done",
            "training_seconds": history[-1]["seconds"],
        }
        for name in ("train", "validation", "test"):
            measured = trainer.evaluate(getattr(trainer, name))
            metrics[f"{name}_loss"] = measured.loss
            metrics[f"{name}_accuracy"] = measured.accuracy
            metrics[f"{name}_examples"] = measured.num_examples
        metrics["test_confusion"] = measured.confusion.tolist()
    weights = {name: value.cpu().contiguous() for name, value in best["weights"].items()}
    return Result(weights, history, metrics)


class Trainer:
    """A model, its optimizer and the splits on one device."""

    def __init__(self, config: Config, dataset: Dataset, device: torch.device):
        self.config = config
        self.device = device
        self.precision = resolve_precision(config.precision, device)
        self.num_classes = len(dataset.classes)
        self.train = self._resident(dataset.train, config.data.train_images)
        self.validation = self._resident(dataset.validation, config.data.validation_images)
        self.test = self._resident(dataset.test, config.data.test_images)
        self._check_network(tuple(self.train.images.shape[1:]))
        # built on the CPU, so that a seed gives the same first weights on every device
        model = build(config.network)
        self.model = model.to(device, memory_format=torch.channels_last)
        self.optimizer = make_optimizer(config, self.model)
        self.augmentation_draws = torch.Generator(device).manual_seed(config.seed)

    def train_epoch(self, batches: Sequence[Tensor], bar=None) -> Metrics:
        """One step on each batch of indices; the metrics are those of the training itself, taken
        on augmented images, in training mode, before each step."""
        self.model.train()
        meter = Meter(self.num_classes, self.device)
        for batch in batches:
            labels = self.train.labels[batch]
            logits = self._logits(self._augmented(self._scaled(self.train.images[batch])))
            loss = F.cross_entropy(logits, labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            meter.add(logits, labels, loss)
            if bar is not None:
                bar.update()
        return meter.result()

    @torch.inference_mode()
    def evaluate(self, split: Split) -> Metrics:
        """Metrics of `split` as it is, in evaluation mode; the model's mode is restored."""
        was_training = self.model.training
        self.model.eval()
        meter = Meter(self.num_classes, self.device)
        # no batch is dropped: a ragged last one counts by its examples
        for start in range(0, len(split), EVALUATION_BATCH):
            images = split.images[start : start + EVALUATION_BATCH]
            labels = split.labels[start : start + EVALUATION_BATCH]
            meter.add(self._logits(self._scaled(images)), labels)
        self.model.train(was_training)
        return meter.result()

    def weights(self) -> dict[str, Tensor]:
        """A copy of the model's parameters and buffers."""
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    def _check_network(self, image_shape: tuple[int, ...]) -> None:
        outputs = layer_table(self.config.network, image_shape).output_shape
        if outputs != (self.num_classes,):
            raise ConfigError(
                f"Config.network: it ends with {outputs} outputs where the data has "
                f"{self.num_classes} classes; end with Linear(…, {self.num_classes})"
            )

    def _resident(self, split: Split, count: int | None) -> Split:
        chosen = split.first(count)
        # channels last from the start: a batch taken by index keeps the layout
        images = chosen.images.to(self.device, memory_format=torch.channels_last)
        return Split(images, chosen.labels.to(self.device))

    def _scaled(self, images: Tensor) -> Tensor:
        return scale(images, self.config.data.pixel_mean, self.config.data.pixel_std)

    def _augmented(self, images: Tensor) -> Tensor:
        chosen = self.config.augmentation
        if chosen.flip:
            images = augment.flip(images, self.augmentation_draws)
        if chosen.rotation:
            images = augment.rotate(images, chosen.rotation, self.augmentation_draws)
        return images

    def _logits(self, images: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.model(images).float()  # the loss is taken in float32


def make_optimizer(config: Config, model: torch.nn.Module) -> torch.optim.Optimizer:
    """The Config's optimizer over all parameters, in its fused form (one kernel a step)."""
    chosen = config.optimizer
    options = {"lr": chosen.learning_rate, "weight_decay": chosen.weight_decay, "fused": True}
    if isinstance(chosen, SGD):
        return torch.optim.SGD(model.parameters(), momentum=chosen.momentum, **options)
    return torch.optim.Adam(model.parameters(), **options)


def validation_intervals(
    config: Config, num_images: int, device: torch.device
) -> Iterator[tuple[Tensor, ...]]:
    """The batches (of indices) from one validation to the next, epoch after epoch.

    Each epoch is a fresh permutation; its batches are cut into `validations_per_epoch` parts of
    equal length to within one.
    """
    order = torch.Generator().manual_seed(config.seed)
    for _ in range(config.epochs):
        permutation = torch.randperm(num_images, generator=order).to(device)
        batches = permutation.split(config.batch_size)
        parts = min(config.validations_per_epoch, len(batches))
        for start, end in pairwise(len(batches) * part // parts for part in range(parts + 1)):
            yield batches[start:end]


def reason_to_stop(history: list[dict[str, float]], early_stop: int | None) -> str | None:
    """Why to stop now, or None.

    TDT4265's rule counts validations, not epochs: stop when the oldest of the last `early_stop`
    validation losses is the smallest of them.
    """
    if not math.isfinite(history[-1]["train_loss"]):
        return "diverged: the training loss is not a finite number"
    losses = [row["validation_loss"] for row in history]
    if early_stop is None or len(losses) < early_stop:
        return None
    recent = losses[-early_stop:]
    return "early: validation loss stopped falling" if recent[0] == min(recent) else None
