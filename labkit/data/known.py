"""What labkit knows of a data set: what it must contain, how it lies in a folder, where to get it.

Each set is a `KnownSet` in the module that reads it (`cifar10`, `digits`, `imagenette`). What
happens with all of them alike is in `sources`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit.data._download import DataError

# train_images, train_labels, test_images, test_labels; shapes and dtypes as `KnownSet.layout` says
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Form:
    """One way in which a set may lie in a folder."""

    title: str  # as named to the user
    marker: str  # the file or folder that gives it away
    read: Callable[[Path], Arrays]  # from the folder that holds the marker


@dataclass(frozen=True)
class Download:
    """One place from which a set can be downloaded, or copied out of a package."""

    source: str  # as printed in the report
    into: Callable[[Path], None]  # puts an archive or a form into this folder, verified
    # the archive's name in <cache>/archives/, where several sets share it: `into` is then called
    # with that folder, and finds there what an earlier call left
    kept_as: str | None = None


@dataclass(frozen=True)
class StandIn:
    """Another set's images that serve, enlarged, where a set cannot be had."""

    of: "KnownSet"  # colour images, no larger than those that they stand in for
    classes: tuple[str, ...]  # those of `of` that serve, in the order of the labels


@dataclass(frozen=True)
class KnownSet:
    """What a set must contain, how to read it, and where to get it."""

    name: str
    title: str  # in sentences
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]  # (C, H, W)
    num_train: int
    num_test: int
    # None where the pixels depend on the version of a decoder: then what was prepared counts
    fingerprint: str | None
    forms: tuple[Form, ...]
    archives: tuple[str, ...]  # file names of tar archives that hold one of the forms
    downloads: tuple[Download, ...]  # in the order in which they are tried
    shuffled: tuple[str, ...] = ("train",)  # the parts whose own order is not random
    # what a report should say of a copy in LABKIT_DATA: from the folder that holds the marker, and
    # the archive out of which it was unpacked
    remarks: Callable[[Path, Path | None], list[str]] | None = None
    stand_in: StandIn | None = None

    def layout(self) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        """Return dtype and shape of each array, in the fingerprint's order."""
        image, label = np.dtype("uint8"), np.dtype("<i8")
        return {
            "train_images": (image, (self.num_train, *self.image_shape)),
            "train_labels": (label, (self.num_train,)),
            "test_images": (image, (self.num_test, *self.image_shape)),
            "test_labels": (label, (self.num_test,)),
        }


# --- for those who read a form --------------------------------------------------------------------


@contextmanager
def naming(path: Path, title: str | None = None) -> Iterator[Path]:
    """Name the file in whatever goes wrong with it."""
    try:
        yield path
    except Exception as error:
        raise DataError(f"{title or path.name} cannot be read ({reason(error)})") from error


def reason(error: Exception) -> str:
    """The message alone where it was written for a reader, else with the error's type."""
    return str(error) if isinstance(error, DataError | ValueError | OSError) else repr(error)
