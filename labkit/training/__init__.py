"""Configs, the trainer, run records and sweeps."""

from labkit.training.config import (
    Augmentation,
    Config,
    Data,
    Pretrained,
    RunConfig,
    grid,
    resolve_device,
)
from labkit.training.engine import Engine, seeded
from labkit.training.loop import Result, fit
from labkit.training.model import first_model, trained_model
from labkit.training.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, RMSprop
from labkit.training.rate_finder import FoundRates, find_learning_rate
from labkit.training.schedules import Constant, Cosine, Exponential, OneCycle, Step
from labkit.training.spelling import EncoderDecoder, SpellingConfig, SpellingTrainer, Words
from labkit.training.store import Run
from labkit.training.strict import ConfigError
from labkit.training.sweep import Runs, at_best_scale, full_scale, sweep
from labkit.training.trainer import Trainer

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Augmentation",
    "Config",
    "ConfigError",
    "Constant",
    "Cosine",
    "Data",
    "EncoderDecoder",
    "Engine",
    "Exponential",
    "FoundRates",
    "OneCycle",
    "Pretrained",
    "RMSprop",
    "Result",
    "Run",
    "RunConfig",
    "Runs",
    "SpellingConfig",
    "SpellingTrainer",
    "Step",
    "Trainer",
    "Words",
    "at_best_scale",
    "find_learning_rate",
    "first_model",
    "fit",
    "full_scale",
    "grid",
    "resolve_device",
    "seeded",
    "sweep",
    "trained_model",
]
