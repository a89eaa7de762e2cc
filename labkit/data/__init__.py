"""Data sets with fixed splits, wherever they come from: images as tensors in memory, and words."""

from labkit.data.datasets import Dataset, Split, load
from labkit.data.words import WordSet, load_words

__all__ = ["Dataset", "Split", "WordSet", "load", "load_words"]
