"""How a step is computed, never what: switches that change speed and, at most, rounding.

They are no part of a Config, and so of no record's key. A switch is on where `benchmarks/` shows
that it pays; `benchmarks/switches.py` turns each off, or on, alone.
"""

import contextlib
import ctypes
from collections.abc import Iterator
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Engine:
    """How a step is computed, never what: switches that change speed and, at most, rounding.

    - `channels_last`: images and weights with the channels innermost, which convolutions read in
      one piece.
    - `pooling_first`: max pooling before the activation where the two commute
      (`labkit.models.build`).
    - `bias_after_pooling`: a convolution's bias behind the max pooling that follows
      (`labkit.models.pooled`). In float32 on a CPU; in bf16 it loses there.
    - `fused_optimizer`: one kernel for all parameters, where PyTorch has it.
    - `keep_memory`: glibc keeps freed buffers instead of giving them back to the system and
      fetching them again, page by page, at every step. For the whole process, from then on.
    - `tf32`: TensorFloat-32 for float32 products on CUDA (10 bits of mantissa instead of 23).
    - `deterministic`: on CUDA, convolutions that give the same bits each time. Some other layers'
      gradients (overlapping max pooling) have no such form there.
    - `compile`: a mode of torch.compile; "reduce-overhead" captures CUDA graphs. None: not at all.

    >>> Engine(tf32=True, deterministic=False).memory_format
    torch.channels_last
    """

    channels_last: bool = True
    pooling_first: bool = True
    bias_after_pooling: bool = True
    fused_optimizer: bool = True
    keep_memory: bool = True
    tf32: bool = False
    deterministic: bool = True
    compile: str | None = None

    @property
    def memory_format(self) -> torch.memory_format:
        """That of images, activations and weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The switches that are PyTorch's or the process's own, for as long as a run takes."""
        if self.keep_memory:
            _keep_memory()
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        try:
            with torch.backends.cudnn.flags(
                enabled=True,
                benchmark=not self.deterministic,
                deterministic=self.deterministic,
                allow_tf32=self.tf32,
            ):
                yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before


DEFAULT = Engine()


@contextlib.contextmanager
def seeded(seed: int, device: torch.device, engine: Engine = DEFAULT) -> Iterator[None]:
    """Draw as a run with this `seed` does, whatever was drawn before.

    A context for `device`, in which the switches of `engine` hold; afterwards PyTorch's generators
    are as they were.

    >>> with seeded(1, torch.device("cpu")):
    ...     first = torch.rand(3)
    >>> with seeded(1, torch.device("cpu")):
    ...     bool((torch.rand(3) == first).all())
    True
    """
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpus), engine.applied():
        torch.manual_seed(seed)
        yield


def _keep_memory() -> None:
    """Raise glibc's thresholds for giving memory back; elsewhere nothing is done."""
    trim_threshold, mmap_threshold = -1, -3  # the parameters' numbers in malloc.h
    with contextlib.suppress(OSError, AttributeError):  # no glibc
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_threshold, 1 << 30)
        libc.mallopt(trim_threshold, (1 << 31) - 1)
