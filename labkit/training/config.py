"""One frozen, strict description of a training run: all that decides its result, and nothing else.

Two runs with equal Configs on equal data are the same run; the store finds records by it.
"""

import json
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)
from pydantic.functional_serializers import PlainSerializer

from labkit.handcalc.layers import Layer


class ConfigError(ValueError):
    """A Config that cannot be: one line for each field, with its value and what is allowed."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, **values: Any):
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_explain(type(self), error)) from None


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            allowed = f"unknown; the fields are {', '.join(model.model_fields)}"
        elif problem["type"] == "missing":
            allowed = "missing; give it a value"
        else:
            allowed = f"{problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
        lines.append(f"{model.__name__}.{field}: {allowed}")
    return "\n".join(lines)


class Data(_Strict):
    """Which images a run sees: all of a split (`None`), or so many of its first."""

    name: str = "cifar10"
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    train_images: PositiveInt | None = None
    validation_images: PositiveInt | None = None
    test_images: PositiveInt | None = None
    pixel_mean: float = 0.5  # the course's normalisation, of pixels in [0, 1]
    pixel_std: PositiveFloat = 0.25


class Augmentation(_Strict):
    """What is done to training batches; validation and test images stay as they are."""

    flip: bool = False
    rotation: NonNegativeFloat = 0.0  # degrees; each image turns by up to this much either way


class SGD(_Strict):
    """Stochastic gradient descent, with momentum as torch.optim.SGD defines it."""

    learning_rate: PositiveFloat
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: NonNegativeFloat = 0.0
    name: Literal["SGD"] = "SGD"


class Adam(_Strict):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980), weight decay added to the gradient."""

    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat = 0.0
    name: Literal["Adam"] = "Adam"


class Config(_Strict):
    """A training run.

    >>> from labkit.models import tdt4265_first
    >>> config = Config(network=tdt4265_first(), optimizer=SGD(learning_rate=0.05))
    >>> config.replace({"optimizer.learning_rate": 0.1}, seed=1).optimizer.learning_rate
    0.1
    """

    # by its repr, the shortest expression that makes the layer
    network: tuple[Annotated[InstanceOf[Layer], PlainSerializer(repr)], ...]
    optimizer: InstanceOf[SGD] | InstanceOf[Adam]
    data: Data = Data()
    augmentation: Augmentation = Augmentation()
    batch_size: PositiveInt = 64
    epochs: PositiveInt = 10
    validations_per_epoch: PositiveInt = 2
    early_stop: PositiveInt | None = None  # counted in validations, see trainer.reason_to_stop
    seed: int = 0
    precision: Literal["auto", "bf16", "fp32"] = "auto"

    def replace(self, changes: Mapping[str, Any] | None = None, /, **values: Any) -> "Config":
        """A copy with other values; `{"optimizer.learning_rate": 0.1}` reaches an inner field."""
        copy = self
        for path, value in {**(changes or {}), **values}.items():
            copy = _set(copy, path.split("."), value)
        return copy

    def to_json(self) -> dict:
        """The Config as plain JSON values, as `config.json` of a record holds them."""
        return json.loads(self.model_dump_json())


def _set(model: _Strict, path: list[str], value: Any) -> _Strict:
    values = {name: getattr(model, name) for name in type(model).model_fields}
    if len(path) > 1:
        inner = values.get(path[0])
        if not isinstance(inner, _Strict):
            raise ConfigError(f"{type(model).__name__}.{'.'.join(path)}: {path[0]} has no fields")
        value = _set(inner, path[1:], value)
    # an unknown name is passed on, so that the strict constructor refuses it by name
    return type(model)(**{**values, path[0]: value})


def resolve_device(name: str = "auto") -> torch.device:
    """`auto` is what LABKIT_DEVICE names, else the GPU where CUDA has one, else the CPU."""
    if name == "auto":
        name = os.environ.get("LABKIT_DEVICE") or "auto"
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r}: CUDA sees no GPU here; use 'cpu' or 'auto'")
    return torch.device(name)


def resolve_precision(precision: str, device: torch.device) -> Literal["bf16", "fp32"]:
    """`auto` is bf16 where the hardware multiplies it natively; emulated it is 15 times slower."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return "bf16" if native else "fp32"
