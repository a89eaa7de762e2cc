"""Data sets as tensors in memory, with fixed splits, wherever they come from."""

from labkit.data.datasets import Dataset, Split, load

__all__ = ["Dataset", "Split", "load"]
