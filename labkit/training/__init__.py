"""Configs, the trainer, run records and sweeps."""

from labkit.training.config import SGD, Adam, Augmentation, Config, ConfigError, Data
from labkit.training.store import Run
from labkit.training.sweep import Runs, full_scale, sweep
from labkit.training.trainer import Result, Trainer, fit

__all__ = [
    "SGD",
    "Adam",
    "Augmentation",
    "Config",
    "ConfigError",
    "Data",
    "Result",
    "Run",
    "Runs",
    "Trainer",
    "fit",
    "full_scale",
    "sweep",
]
