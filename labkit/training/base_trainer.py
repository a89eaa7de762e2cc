"""What is the same whatever is trained: steps of an optimizer on a schedule, the best weights kept.

A trainer of images is in `trainer`, one of words in `spelling`; the loop over steps is `fit`'s.
"""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from labkit.training.config import RunConfig, resolve_precision
from labkit.training.engine import Engine
from labkit.training.metrics import Meter
from labkit.training.optimizers import make_optimizer


class BaseTrainer(ABC):
    """A model and its optimizer on one device.

    A subclass sets `train`, `validation` and `test` (what has a length), calls `_begin` with its
    model, and says what a loss is and what is measured.
    """

    # of what `validate` gives: the weights of its lowest value are kept
    best_by: ClassVar[str] = "validation_loss"
    shown: ClassVar[str] = "validation_accuracy"  # in the progress bar

    def __init__(
        self, config: RunConfig, device: torch.device, engine: Engine, *, num_classes: int
    ):
        self.config = config
        self.device = device
        self.engine = engine
        self.precision = resolve_precision(config.precision, device)
        self.num_classes = num_classes

    def _begin(self, model: torch.nn.Module) -> None:
        """Before the first step."""
        self.model = model
        self.trained = [each for each in model.parameters() if each.requires_grad]
        self.steps_per_epoch = math.ceil(len(self.train) / self.config.batch_size)
        self.total_steps = self.steps_per_epoch * self.config.epochs
        self.optimizer = make_optimizer(
            self.config.optimizer, self.trained, fused=self.engine.fused_optimizer
        )
        self.augmentation_draws = torch.Generator(self.device).manual_seed(self.config.seed)
        # of the training since the last validation
        self.meter = Meter(self.num_classes, self.device)
        self.step_loss = torch.zeros(self.total_steps, device=self.device)
        self.steps = 0  # taken so far
        self.best = self.weights()
        compiled = self.engine.compile
        self._forward = torch.compile(model, mode=compiled) if compiled else model

    @abstractmethod
    def loss(self, batch: Tensor) -> Tensor:
        """The loss on the training examples with these indices; `meter` counts them."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """What goes into the history: of the training since the last call, and of validation."""

    @abstractmethod
    def measured(self, row: dict[str, float]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Metrics and arrays of a record, with the present weights; `row` is what the history says
        of these, if it does."""

    def step(self, batch: Tensor, learning_rate: float | None = None) -> None:
        """One step on the examples with the indices in `batch`, at the schedule's rate or another.

        `learning_rate` takes the place of the schedule's.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.steps) if learning_rate is None else learning_rate
        loss = self.loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step_loss[self.steps] = loss.detach()
        self.steps += 1

    def learning_rate(self, step: int) -> float:
        """The learning rate at `step`, the first being 0."""
        factor = self.config.schedule.factor(step, self.steps_per_epoch, self.total_steps)
        return self.config.optimizer.learning_rate * factor

    def batches(self, *, skip: int = 0) -> Iterator[Tensor]:
        """The batches (of indices) of the whole run but for the first `skip`.

        A function of the seed alone, so that a run that was interrupted goes on with the same.
        """
        order = torch.Generator().manual_seed(self.config.seed)
        epochs = (self.epoch(order) for _ in range(self.config.epochs))
        return itertools.islice(itertools.chain.from_iterable(epochs), skip, None)

    def epoch(self, order: torch.Generator) -> Iterable[Tensor]:
        """The batches of one epoch: a fresh permutation; the last may be smaller."""
        permutation = torch.randperm(len(self.train), generator=order)
        return permutation.to(self.device, non_blocking=True).split(self.config.batch_size)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the model's parameters and buffers."""
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    def keep_best(self) -> None:
        """Remember the present weights as the best."""
        self.best = self.weights()
