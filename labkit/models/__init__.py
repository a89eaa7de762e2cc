"""The networks of the four reports."""

from labkit.models.builder import build
from labkit.models.cnn import ist_hw2, nn_hw1, rdfia, tdt4265_first, tdt4265_improved

__all__ = ["build", "ist_hw2", "nn_hw1", "rdfia", "tdt4265_first", "tdt4265_improved"]
