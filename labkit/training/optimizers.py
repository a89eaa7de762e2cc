"""The optimizers: their settings, and PyTorch's implementation of each.

`weight_decay` λ is added to the gradient (∇ + λw), but for AdamW, which shrinks the weights apart
from the gradient. The defaults of all other settings are PyTorch's.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from labkit.training.strict import Choice

Fraction = Annotated[float, Field(ge=0, lt=1)]


class Optimizer(Choice):
    """What all have; one of the subclasses is chosen."""

    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat = 0.0


class SGD(Optimizer):
    """Stochastic gradient descent with `momentum` (Polyak 1964), as torch.optim.SGD defines it.

    `learning_rate` > 0, `weight_decay` λ (∇ + λw), `nesterov`: look ahead by the momentum.

    >>> SGD(learning_rate=0.05, momentum=0.9)
    SGD(learning_rate=0.05, momentum=0.9)
    """

    momentum: Fraction = 0.0
    nesterov: bool = False  # look ahead by the momentum (Nesterov 1983)
    name: Literal["SGD"] = "SGD"

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self):
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov looks ahead by the momentum, which is 0; raise momentum")
        return self


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980).

    `learning_rate` > 0, `weight_decay` λ (∇ + λw); the rest is PyTorch's default.

    >>> Adam(learning_rate=0.001)
    Adam(learning_rate=0.001)
    """

    name: Literal["Adam"] = "Adam"


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101).

    `learning_rate` > 0, `weight_decay`: by how much the weights shrink, apart from the gradient.

    >>> AdamW(learning_rate=0.001, weight_decay=0.01)
    AdamW(learning_rate=0.001, weight_decay=0.01)
    """

    name: Literal["AdamW"] = "AdamW"


class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012, lecture 6.5), with `momentum` where it is given.

    `learning_rate` > 0, `weight_decay` λ (∇ + λw); the rest is PyTorch's default.

    >>> RMSprop(learning_rate=0.001)
    RMSprop(learning_rate=0.001)
    """

    momentum: Fraction = 0.0
    name: Literal["RMSprop"] = "RMSprop"


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan & Singer 2011), whose steps become smaller where gradients were large.

    `learning_rate` > 0, `weight_decay` λ (∇ + λw); the rest is PyTorch's default.

    >>> Adagrad(learning_rate=0.01)
    Adagrad(learning_rate=0.01)
    """

    name: Literal["Adagrad"] = "Adagrad"


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012, arXiv:1212.5701); its own `learning_rate` is 1.

    `weight_decay` λ is added to the gradient (∇ + λw); the rest is PyTorch's default.

    >>> Adadelta()
    Adadelta()
    """

    learning_rate: PositiveFloat = 1.0
    name: Literal["Adadelta"] = "Adadelta"


# PyTorch has a fused form (all parameters in one kernel) of these
_FUSED = (SGD, Adam, AdamW, Adagrad)


def make_optimizer(
    chosen: Optimizer, parameters: Iterable[torch.Tensor], *, fused: bool = True
) -> torch.optim.Optimizer:
    """PyTorch's optimizer with the settings of `chosen`, fused where there is such a form."""
    settings = chosen.model_dump(exclude={"name", "learning_rate"})
    if fused and isinstance(chosen, _FUSED):
        settings["fused"] = True
    return getattr(torch.optim, chosen.name)(parameters, lr=chosen.learning_rate, **settings)
