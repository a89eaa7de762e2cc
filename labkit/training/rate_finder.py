"""A learning-rate finder: the loss while the rate rises from step to step.

Smith 2017, arXiv:1506.01186. The steps are those of a run, on its batches; the weights are thrown
away. A good rate lies well before the one at which the loss turns upwards, where it still falls.
"""

from dataclasses import dataclass

import pandas as pd

from labkit import progress
from labkit.data import Dataset, WordSet
from labkit.training.config import RunConfig, resolve_device
from labkit.training.engine import seeded
from labkit.training.kinds import kind_of
from labkit.training.strict import ConfigError

SMOOTHING = 0.9  # of the running mean that single batches are too noisy without
DIVERGED = 4.0  # times the lowest loss


@dataclass(frozen=True)
class FoundRates:
    """What the learning-rate finder saw: a `table` with a row per step.

    Its columns are `learning_rate`, `loss` and `smoothed_loss` (nats).
    `labkit.figures.learning_rates` draws it.
    """

    table: pd.DataFrame

    @property
    def suggested(self) -> float:
        """A tenth of the rate at which the smoothed loss is lowest: one to begin with."""
        return float(self.table["learning_rate"][self.table["smoothed_loss"].idxmin()]) / 10


def find_learning_rate(
    config: RunConfig,
    dataset: Dataset | WordSet,
    *,
    lowest: float = 1e-5,
    highest: float = 1.0,
    steps: int = 100,
    device: str = "auto",
) -> FoundRates:
    """Raise the rate from `lowest` to `highest` in equal factors, one a step, and watch the loss.

    The `steps` are those of a run of `config` on `dataset`, on its `device`; the weights are thrown
    away. Ends early when the loss is four times the lowest so far, or no number. The Config's own
    rate and schedule do not matter. Raises ConfigError unless 0 < lowest < highest and steps ≥ 2.

        found = find_learning_rate(config, load("cifar10"))
        config.replace({"optimizer.learning_rate": found.suggested})

    Source: Smith 2017, arXiv:1506.01186, section 3.3.
    """
    if not 0 < lowest < highest or steps < 2:
        raise ConfigError(
            f"lowest {lowest}, highest {highest}, steps {steps}: give 0 < lowest < highest and at "
            "least 2 steps"
        )
    factor = (highest / lowest) ** (1 / (steps - 1))
    rows, mean = [], 0.0
    place = resolve_device(device)
    with seeded(config.seed, place):
        # more than enough: an epoch has at least one step
        trainer = kind_of(config).trainer(config.replace(epochs=steps), dataset, place)
        with progress.bar(steps, "learning rates") as bar:
            for step, batch in zip(range(steps), trainer.batches(), strict=False):
                rate = lowest * factor**step
                trainer.step(batch, learning_rate=rate)
                loss = trainer.step_loss[step].item()
                mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
                smoothed = mean / (1 - SMOOTHING ** (step + 1))  # the mean began at 0
                rows.append({"learning_rate": rate, "loss": loss, "smoothed_loss": smoothed})
                bar.update()
                lowest_so_far = min(row["smoothed_loss"] for row in rows)
                if not smoothed <= DIVERGED * lowest_so_far:  # NaN as well
                    break
    return FoundRates(pd.DataFrame(rows))
