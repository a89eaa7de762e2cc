"""Sets that lie as one folder of picture files per class, and images of another size.

Pictures are decoded by Pillow, one thread per core: it releases Python's lock while it decodes and
resizes. Every resize is bilinear, antialiased where it makes smaller.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from labkit import progress
from labkit.data._download import DataError
from labkit.data.known import Arrays, naming

SUFFIXES = (".jpeg", ".jpg", ".png")


@dataclass(frozen=True)
class ImageFolders:
    """How such a set lies: <root>/<part>/<class>/<any name>.JPEG, and what must be there."""

    title: str  # in the progress bar
    root: str  # "" where the parts lie at the top
    train: str  # the folder of the training part, below the root
    test: str
    classes: tuple[str, ...]  # the names of the class folders, in the order of the labels
    train_counts: tuple[int, ...]  # images of each class
    test_counts: tuple[int, ...]

    def read(self, folder: Path, size: int) -> Arrays:
        """Return the set in the folder that holds its root: the central square of each picture, as
        uint8 (N, 3, size, size), in the order of classes and file names.

        Raises `DataError` that names the class folder with too few or too many images, or the file
        that cannot be read.
        """
        train, test = self._files(folder)
        images = np.empty((len(train) + len(test), 3, size, size), np.uint8)

        def decode(path: Path) -> np.ndarray:
            with (
                naming(path, str(path.relative_to(folder))),
                Image.open(path) as picture,
            ):
                return square(picture, size)

        _fill(images, decode, train + test, self.title)
        return {
            "train_images": images[: len(train)],
            "train_labels": _labels(self.train_counts),
            "test_images": images[len(train) :],
            "test_labels": _labels(self.test_counts),
        }

    def common_square(self, folder: Path) -> int | None:
        """Return the pixels of a side where every picture is a square of the same size.

        Reads no more than the headers, and those only as far as the first that differs.
        """
        side = None
        train, test = self._files(folder)
        for path in train + test:
            with Image.open(path) as picture:
                if set(picture.size) != {side or picture.width}:
                    return None
                side = picture.width
        return side

    def _files(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """The files of the training and of the test part; all there, or a `DataError`."""
        parts, wrong = [], []
        for part, counts in ((self.train, self.train_counts), (self.test, self.test_counts)):
            files = []
            for name, count in zip(self.classes, counts, strict=True):
                place = folder / self.root / part / name
                found = sorted(_pictures(place), key=lambda path: path.name)
                if len(found) != count:
                    where = place.relative_to(folder).as_posix()
                    wrong.append(f"{where}: {len(found)} of {count} images")
                files += found
            parts.append(files)
        if wrong:
            more = f"; and {len(wrong) - 3} folders more" if len(wrong) > 3 else ""
            raise DataError("; ".join(wrong[:3]) + more)
        train, test = parts
        return train, test


def square(picture: Image.Image, size: int) -> np.ndarray:
    """Return the central square of a picture in size×size pixels: uint8 (3, size, size), RGB."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    # cropped first: the filter would also look at what lies outside a resize's box
    cropped = picture.convert("RGB").crop((left, top, left + side, top + side))
    resized = cropped.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized).transpose(2, 0, 1)  # (H, W, C) → (C, H, W)


def resized(images: np.ndarray, size: int, title: str) -> np.ndarray:
    """Return uint8 images (N, 3, H, W) as (N, 3, size, size), with a bar that bears `title`."""
    made = np.empty((len(images), 3, size, size), np.uint8)

    def resize(image: np.ndarray) -> np.ndarray:
        return square(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))), size)

    _fill(made, resize, images, title)
    return made


def _fill(images: np.ndarray, make: Callable, each: Sequence, title: str) -> None:
    """Put `make(it)` of each into its place among the images, on every core."""

    def put(place: int) -> None:
        images[place] = make(each[place])

    with (
        ThreadPoolExecutor(_cores()) as pool,
        progress.bar(len(images), title, unit="image") as bar,
    ):
        for _ in pool.map(put, range(len(images))):  # an error cancels what has not begun
            bar.update()


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pictures(folder: Path) -> Iterator[Path]:
    """The picture files in a folder (none where there is no folder), without hidden ones."""
    if folder.is_dir():
        for path in folder.iterdir():
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                yield path


def _labels(counts: Sequence[int]) -> np.ndarray:
    return np.repeat(np.arange(len(counts), dtype="<i8"), counts)
