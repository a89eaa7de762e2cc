"""One frozen, strict description of a training run: all that decides its result, and nothing else.

Two runs with equal Configs on equal data are the same run; the store finds records by it.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Annotated, Any, Literal, Self, TypeVar

import torch
from pydantic import (
    BeforeValidator,
    Field,
    InstanceOf,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    model_validator,
)
from pydantic.functional_serializers import PlainSerializer

from labkit.data.preprocess import METHODS
from labkit.handcalc.layers import Layer
from labkit.training.optimizers import Optimizer
from labkit.training.schedules import Constant, Schedule
from labkit.training.strict import ConfigError, Strict


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_T = TypeVar("_T")
Several = Annotated[tuple[_T, ...], BeforeValidator(_as_tuple)]  # JSON has lists


def _layers(value: Any) -> Any:
    if callable(value) and not isinstance(value, torch.nn.Module):
        raise ValueError("it is a function that makes a network; call it")
    if isinstance(value, torch.nn.Module):
        raise ValueError("a network is a list of the layers of labkit.handcalc, not a module")
    return _as_tuple(value)


class Data(Strict):
    """Which images a run sees, and how they are scaled; a field None takes all.

    - `name`: a set that `labkit.data.load` knows: "cifar10", "imagenette-160", …
    - `validation_fraction`: the share of the training images that is kept for validation, 0 to
      below 1.
    - `train_images`, `validation_images`, `test_images`: so many of each split, its first.
    - `measured_train_images`: at most so many training images are measured in the end.
    - `preprocessing`: "fixed", "standardise", "min-max", "robust", "pca" or "zca", fitted on the
      training images alone (`labkit.data.preprocess.fit`).
    - `pixel_mean`, `pixel_std`: of "fixed", for pixels in [0, 1]; one number, or one a channel.
    - `whitening_epsilon`: of "pca" and "zca", added to the variances.
    - `image_size`: the side in pixels to which scaled images are enlarged.

    >>> Data(name="digits", train_images=500)
    Data(name='digits', train_images=500)
    """

    name: str = "cifar10"
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    train_images: PositiveInt | None = None
    validation_images: PositiveInt | None = None
    test_images: PositiveInt | None = None
    measured_train_images: PositiveInt | None = None
    preprocessing: Literal[METHODS] = "fixed"
    pixel_mean: float | Several[float] = 0.5
    pixel_std: PositiveFloat | Several[PositiveFloat] = 0.25
    whitening_epsilon: PositiveFloat = 0.01
    image_size: PositiveInt | None = None


class Augmentation(Strict):
    """What is done to training batches; other images are at most cropped, at their centre.

    - `crop`: the side in pixels of a random crop; `crop_padding`: zeros around the image before it.
    - `flip`: left to right, every second image on average.
    - `rotation`: in degrees; each image turns by up to this much either way.
    - `colour_jitter`: brightness, contrast and saturation change by a factor 1 ± it.
    - `mixup`, `cutmix`: α of the Beta distribution from which the shares of two mixed images are
      drawn (0: none); only one of the two.

    Mixup: Zhang et al. 2018, arXiv:1710.09412. CutMix: Yun et al. 2019, arXiv:1905.04899.

    >>> Augmentation(crop=32, crop_padding=4, flip=True)
    Augmentation(crop=32, crop_padding=4, flip=True)
    """

    crop: PositiveInt | None = None
    crop_padding: NonNegativeInt = 0
    flip: bool = False
    rotation: NonNegativeFloat = 0.0
    colour_jitter: NonNegativeFloat = 0.0
    mixup: NonNegativeFloat = 0.0
    cutmix: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _combines(self):
        if self.mixup and self.cutmix:
            raise ValueError("mixup and cutmix both mix the labels; leave one of them 0")
        if self.crop_padding and not self.crop:
            raise ValueError("crop_padding pads for the crop, which is None; set crop as well")
        return self


class Pretrained(Strict):
    """Where a network starts that others have trained, and which part of it goes on learning.

    - `backbone`: "resnet18" or "efficientnet_lite0" (`labkit.models.transfer`).
    - `trainable`: what goes on learning: "classifier", "last_stage" (with the classifier),
      "batch_norm" (γ and β, with the classifier) or "all".
    - `batch_norm`: "frozen", batch normalisations of which nothing is trained keep the statistics
      they came with; "adapting", all of them take those of the batch and go on averaging.
    - `classes`: with which of the backbone's own classes the new classifier begins; None: at
      random.

    >>> Pretrained(backbone="resnet18", trainable="last_stage")
    Pretrained(backbone='resnet18', trainable='last_stage')
    """

    backbone: Literal["resnet18", "efficientnet_lite0"]
    trainable: Literal["classifier", "last_stage", "batch_norm", "all"] = "classifier"
    batch_norm: Literal["frozen", "adapting"] = "frozen"
    classes: Several[NonNegativeInt] | None = None


class RunConfig(Strict):
    """What every training run says, whatever is trained: how, for how long, from which seed.

    - `optimizer`: such as `SGD(learning_rate=0.05)`; `schedule`: such as `Cosine()`.
    - `batch_size`: examples; `epochs`: how often every training example is seen.
    - `validations_per_epoch`, or `validate_every` so many steps in its place.
    - `early_stop`: stop when the oldest of so many last validations is the best of them; None:
      never.
    - `seed`: decides the first weights, the order of batches and what augmentation draws.
    - `precision`: "fp32", "bf16", or "auto", which is bf16 where the hardware has it.
    """

    optimizer: SerializeAsAny[InstanceOf[Optimizer]]
    schedule: SerializeAsAny[InstanceOf[Schedule]] = Constant()
    batch_size: PositiveInt = 64
    epochs: PositiveInt = 10
    validations_per_epoch: PositiveInt = 2
    validate_every: PositiveInt | None = None  # so many steps, in place of validations_per_epoch
    early_stop: Annotated[int, Field(ge=2)] | None = (
        None  # counted in validations, see loop.reason_to_stop
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    precision: Literal["auto", "bf16", "fp32"] = "auto"

    def replace(self, changes: Mapping[str, Any] | None = None, /, **values: Any) -> Self:
        """A copy with other values; `{"optimizer.learning_rate": 0.1}` reaches an inner field.

        `changes` is such a dictionary, `values` are fields by name:
        `config.replace(epochs=3, seed=1)`. Raises ConfigError where a field is unknown or its value
        is not allowed.
        """
        return _replaced(self, {**(changes or {}), **values})

    def to_json(self) -> dict:
        """The Config as plain JSON values, as `config.json` of a record holds them."""
        return json.loads(self.model_dump_json())


class Config(RunConfig):
    """A run that trains a network to tell images apart: all that decides its result.

    - `network`: a list of layers of `labkit.handcalc`, such as `tdt4265_first()`.
    - `optimizer`, `schedule`, `batch_size`, `epochs`, `validations_per_epoch`, `validate_every`,
      `early_stop`, `seed`, `precision`: as in every `RunConfig`.
    - `data`: which images, a `Data`; `augmentation`: what is done to them, an `Augmentation`.
    - `initialisation`: "default" (PyTorch's), or "kaiming-normal"; `pretrained`: a `Pretrained` in
      its place.
    - `label_smoothing`: the share of the label that goes to all classes, in the training loss
      alone.
    - `also_measure`: "train" and "test", if they are to be measured at every validation too.

    A ConfigError has a line for each field that cannot be, with what is allowed.

    >>> from labkit.models import tdt4265_first
    >>> from labkit.training import SGD
    >>> config = Config(network=tdt4265_first(), optimizer=SGD(learning_rate=0.05))
    >>> config.replace({"optimizer.learning_rate": 0.1}, seed=1).optimizer.learning_rate
    0.1
    """

    # by its repr, the shortest expression that makes the layer
    network: Annotated[
        tuple[Annotated[InstanceOf[Layer], PlainSerializer(repr)], ...],
        Field(min_length=1),
        BeforeValidator(_layers),
    ]
    # the first weights: PyTorch's own, or He et al. 2015's with biases of 0; or somebody's
    initialisation: Literal["default", "kaiming-normal"] = "default"
    pretrained: Pretrained | None = None
    data: Data = Data()
    augmentation: Augmentation = Augmentation()
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of the training loss alone
    # splits measured at every validation as well, in evaluation mode, for the history
    also_measure: Several[Literal["train", "test"]] = ()

    @model_validator(mode="after")
    def _combines(self):
        if self.early_stop and not self.data.validation_fraction:
            raise ValueError(
                "early_stop counts validations, and data.validation_fraction is 0; raise it, or "
                "leave early_stop None"
            )
        if self.pretrained and self.initialisation != "default":
            raise ValueError(
                f"initialisation {self.initialisation!r} would be lost under pretrained weights; "
                "leave one of them out"
            )
        if self.data.image_size and self.data.preprocessing in ("pca", "zca"):
            raise ValueError(
                f"data.preprocessing {self.data.preprocessing!r} whitens once what data.image_size "
                "enlarges batch by batch; leave one of them out"
            )
        lost = {"pca": ("crop", "flip", "rotation", "colour_jitter"), "zca": ("colour_jitter",)}
        for name in lost.get(self.data.preprocessing, ()):
            if getattr(self.augmentation, name):
                raise ValueError(
                    f"data.preprocessing {self.data.preprocessing!r} leaves nothing that "
                    f"augmentation.{name} could work on; leave one of them out"
                )
        return self


def grid(base: RunConfig, axes: Mapping[str, Iterable[Any]]) -> dict[str, RunConfig]:
    """Every combination of the values of some fields, by name: {name: Config}.

    `base` is the Config that is varied, `axes` maps a field to its values; a dot reaches an inner
    field. Raises ConfigError for an unknown field, no values, or a value that occurs twice.

    >>> from labkit.models import tdt4265_first
    >>> from labkit.training import SGD
    >>> base = Config(network=tdt4265_first(), optimizer=SGD(learning_rate=0.05))
    >>> list(grid(base, {"optimizer.learning_rate": [0.1, 0.01], "batch_size": [32]}))
    ['learning_rate 0.1, batch_size 32', 'learning_rate 0.01, batch_size 32']
    """
    if not axes:
        return {"run": base}
    for path, values in axes.items():
        if path == "seed":
            raise ConfigError(f"axis seed: {values!r}: give it as seeds={values!r} instead")
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ConfigError(f"axis {path}: {values!r}: give a list of values")
    axes = {path: list(values) for path, values in axes.items()}
    if empty := [path for path, values in axes.items() if not values]:
        raise ConfigError(f"axis {empty[0]}: []: give at least one value")
    configs = {}
    for values in product(*axes.values()):
        changes = dict(zip(axes, values, strict=True))
        names = (f"{path.split('.')[-1]} {value}" for path, value in changes.items())
        configs[", ".join(names)] = base.replace(changes)
    if len(configs) < math.prod(map(len, axes.values())):
        raise ConfigError(f"axes {', '.join(axes)}: a value occurs twice; give each once")
    return configs


def _replaced(model: Strict, changes: Mapping[str, Any]) -> Strict:
    values = {name: getattr(model, name) for name in type(model).model_fields}
    inner: dict[str, dict[str, Any]] = {}
    for path, value in changes.items():
        name, _, rest = path.partition(".")
        if rest:
            inner.setdefault(name, {})[rest] = value
        else:  # an unknown name as well: the strict constructor refuses it by name
            values[name] = value
    for name, deeper in inner.items():
        if name not in values:
            names = ", ".join(values)
            raise ConfigError(f"{type(model).__name__}.{name}: unknown; the fields are {names}")
        if not isinstance(values[name], Strict):
            path = f"{name}.{next(iter(deeper))}"
            raise ConfigError(f"{type(model).__name__}.{path}: {name} has no fields")
        values[name] = _replaced(values[name], deeper)
    return type(model)(**values)


def resolve_device(name: str = "auto") -> torch.device:
    """The device of a `name`: "cpu", "cuda", "cuda:1" or "auto".

    "auto" is what LABKIT_DEVICE names, else the GPU where CUDA has one, else the CPU. Raises
    ConfigError for another name, and for "cuda" where there is no GPU.

    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        name = os.environ.get("LABKIT_DEVICE") or "auto"
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r}: CUDA sees no GPU here; use 'cpu' or 'auto'")
    try:
        return torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device {name!r}: give 'cpu', 'cuda', 'cuda:1' or 'auto'") from None


def resolve_precision(precision: str, device: torch.device) -> Literal["bf16", "fp32"]:
    """`auto` is bf16 where the hardware multiplies it natively; emulated it is 15 times slower."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return "bf16" if native else "fp32"
