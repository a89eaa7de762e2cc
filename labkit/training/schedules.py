"""Learning-rate schedules: by what the Config's learning rate is multiplied at each step.

Pure functions of the step, so that there is no state to save and any step can be asked for.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from labkit.training.strict import Choice

Factor = Annotated[float, Field(gt=0, le=1)]


class Schedule(Choice):
    """One of the subclasses is chosen."""

    def factor(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """By what the learning rate is multiplied at `step` (the first is 0) of `total_steps`.

        An epoch has `steps_per_epoch` of them.
        """
        return 1.0


class Constant(Schedule):
    """The same learning rate throughout."""

    name: Literal["Constant"] = "Constant"


class Exponential(Schedule):
    """The learning rate multiplied by `decay` after every epoch.

    >>> Exponential(decay=0.95).factor(step=200, steps_per_epoch=100, total_steps=1000)
    0.9025
    """

    decay: Factor
    name: Literal["Exponential"] = "Exponential"

    def factor(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        return self.decay ** (step // steps_per_epoch)


class Step(Schedule):
    """The learning rate multiplied by `decay` after every `every` epochs.

    >>> Step(every=2, decay=0.1).factor(step=200, steps_per_epoch=100, total_steps=1000)
    0.1
    """

    every: PositiveInt
    decay: Factor = 0.1
    name: Literal["Step"] = "Step"

    def factor(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        return self.decay ** (step // steps_per_epoch // self.every)


class Cosine(Schedule):
    """Half a cosine from 1 to `final` over the run (Loshchilov & Hutter 2017, arXiv:1608.03983).

    >>> Cosine().factor(step=500, steps_per_epoch=100, total_steps=1000)
    0.5
    """

    final: Annotated[float, Field(ge=0, le=1)] = 0.0
    name: Literal["Cosine"] = "Cosine"

    def factor(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        return _half_cosine(1.0, self.final, step / total_steps)


class OneCycle(Schedule):
    """Up from 1/`start` to 1 over the first part of the run, then down to 1/(`start`·`end`).

    `warmup` is the share of the steps that go up. Smith & Topin 2018, arXiv:1708.07120, with half
    cosines, as PyTorch's OneCycleLR has it; the Config's learning rate is the highest, momentum
    stays as it is.

    >>> OneCycle(warmup=0.3).factor(step=299, steps_per_epoch=100, total_steps=1000)
    1.0
    """

    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.3
    start: PositiveFloat = 25.0
    end: PositiveFloat = 1e4
    name: Literal["OneCycle"] = "OneCycle"

    def factor(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        peak, last = self.warmup * total_steps - 1, total_steps - 1
        if step <= peak:
            return _half_cosine(1 / self.start, 1.0, step / peak if peak > 0 else 1.0)
        return _half_cosine(1.0, 1 / self.start / self.end, (step - peak) / (last - peak))


def _half_cosine(first: float, last: float, share: float) -> float:
    """From `first` (share 0) to `last` (share 1) along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
