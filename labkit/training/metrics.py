"""Loss and accuracy, counted per example."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Metrics:
    """Over `num_examples` labelled examples: mean cross-entropy (nats), accuracy, confusion.

    `confusion[i, j]` counts the examples of class i that were taken for class j.
    """

    loss: float
    accuracy: float
    num_examples: int
    confusion: Tensor


class Meter:
    """Sums metrics on the device; reading them (`result`) is the one synchronisation."""

    def __init__(self, num_classes: int, device: torch.device):
        self._num_classes = num_classes
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._counts = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=device)

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor | None = None) -> None:
        """Count one batch: logits (N, K), labels (N,); `loss` is its mean where already known."""
        logits = logits.detach()
        if loss is None:
            loss = F.cross_entropy(logits, labels)
        # a mean of batch means would weigh a ragged last batch too much
        self._loss_sum += loss.detach() * len(labels)
        cell = labels * self._num_classes + logits.argmax(1)
        self._counts.scatter_add_(0, cell, torch.ones_like(cell))

    def state_dict(self) -> dict[str, Tensor]:
        """The sums so far, for a checkpoint."""
        return {"loss_sum": self._loss_sum, "counts": self._counts}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from the sums that `state_dict` gave."""
        self._loss_sum.copy_(state["loss_sum"])
        self._counts.copy_(state["counts"])

    def result(self) -> Metrics:
        """The metrics of all that was counted; of nothing, loss and accuracy are NaN."""
        confusion = self._counts.view(self._num_classes, self._num_classes).cpu()
        num_examples = int(confusion.sum())
        if num_examples == 0:
            return Metrics(float("nan"), float("nan"), 0, confusion)
        return Metrics(
            loss=self._loss_sum.item() / num_examples,
            accuracy=confusion.trace().item() / num_examples,
            num_examples=num_examples,
            confusion=confusion,
        )
