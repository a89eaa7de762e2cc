"""The kinds of runs: of what data each is, what trains it, and which code decides its result."""

from collections.abc import Callable
from dataclasses import dataclass

from labkit.data import Dataset, WordSet, load, load_words
from labkit.errors import LabkitError
from labkit.training.base_trainer import BaseTrainer
from labkit.training.config import Config, RunConfig
from labkit.training.spelling import SpellingConfig, SpellingTrainer
from labkit.training.trainer import Trainer

_SHARED = (
    "training/base_trainer.py",
    "training/checkpoint.py",
    "training/loop.py",
    "training/metrics.py",
    "training/optimizers.py",
    "training/schedules.py",
)


@dataclass(frozen=True)
class Kind:
    """What belongs to Configs of one class."""

    examples: str  # what is counted
    load: Callable[[RunConfig], Dataset | WordSet]
    trainer: Callable[..., BaseTrainer]  # of Config, data, device and Engine
    # the same on every machine, to the bit; pixels depend on who decoded them
    exact_data: bool
    # the modules, as paths in the package, whose code decides what a run gives; a network of layers
    # is itself part of the Config
    decisive: tuple[str, ...]


def _load_images(config: Config) -> Dataset:
    """Memory-mapped: cheap to open, and to keep open."""
    return load(config.data.name, validation_fraction=config.data.validation_fraction)


def _load_words(config: SpellingConfig) -> WordSet:
    return load_words(config.data.name)


KINDS = {
    "images": Kind(
        examples="images",
        load=_load_images,
        trainer=Trainer,
        exact_data=False,
        decisive=(
            *_SHARED,
            "data/augment.py",
            "data/datasets.py",
            "data/preprocess.py",
            "handcalc/layers.py",
            "handcalc/shapes.py",
            "models/builder.py",
            "models/pooled.py",
            "models/transfer.py",
            "training/features.py",
            "training/model.py",
            "training/trainer.py",
        ),
    ),
    "spelling": Kind(
        examples="words",
        load=_load_words,
        trainer=SpellingTrainer,
        exact_data=True,
        decisive=(
            *_SHARED,
            "data/words.py",
            "models/seq2seq.py",
            "training/error_rates.py",
            "training/spelling.py",
        ),
    ),
}


def kind_name(config: RunConfig | dict) -> str:
    """The name in `KINDS` of what a Config, or a recorded one, describes."""
    if isinstance(config, dict):
        return config.get("kind", "images")
    return getattr(config, "kind", "images")


def kind_of(config: RunConfig | dict) -> Kind:
    """What belongs to a Config, or to a recorded one."""
    name = kind_name(config)
    if name not in KINDS:
        raise LabkitError(
            f"a run of kind {name!r}: this labkit knows {', '.join(KINDS)}; update it"
        )
    return KINDS[name]
