"""Data sets with fixed splits, wherever they come from: images as tensors in memory, and words."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.data.datasets import Dataset, Split, load
    from labkit.data.words import WordSet, load_words

_NAMES = {"datasets": ("Dataset", "Split", "load"), "words": ("WordSet", "load_words")}
__all__ = ["Dataset", "Split", "WordSet", "load", "load_words"]


def __getattr__(name: str):
    # only when asked for: where a set comes from is told without torch, which takes two seconds
    for module, names in _NAMES.items():
        if name in names:
            return getattr(import_module(f"labkit.data.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
