"""Imagenette: 9,469 + 3,925 photographs in ten classes, as squares of 64, 96, 128 or 160 pixels.

fast.ai's Imagenette (https://github.com/fastai/imagenette) is a part of ImageNet (Russakovsky et
al. 2015): ten classes that are easy to tell apart, split by fast.ai into `train` and `val`; `val`
is the test part here. Networks pretrained on ImageNet have seen most of its pictures, also of the
test part. The pictures belong to their photographers; ImageNet gives them for research and teaching
that is not commercial. labkit carries none of them.

In the official archive the shorter side has 160 pixels and the aspect ratio is kept, so that the
central square is what a network sees. The pixels depend on the JPEG decoder's version: there is no
fingerprint known in advance, and the one of the prepared set is in its `meta.json`.
"""

from collections.abc import Mapping
from pathlib import Path

from labkit.data._download import DataError, check_digest, download_once
from labkit.data._torchvision import import_torchvision
from labkit.data.cifar10 import CIFAR10
from labkit.data.images import ImageFolders
from labkit.data.known import Arrays, Download, Form, KnownSet, StandIn

SIZES = (64, 96, 128, 160)

# WordNet's number, which names the folder: the class, and its images in train/ and val/
CLASSES = {
    "n01440764": ("tench", 963, 387),
    "n02102040": ("English springer", 955, 395),
    "n02979186": ("cassette player", 993, 357),
    "n03000684": ("chain saw", 858, 386),
    "n03028079": ("church", 941, 409),
    "n03394916": ("French horn", 956, 394),
    "n03417042": ("garbage truck", 961, 389),
    "n03425413": ("gas pump", 931, 419),
    "n03445777": ("golf ball", 951, 399),
    "n03888257": ("parachute", 960, 390),
}

_ROOT = "imagenette2-160"
_ARCHIVE = f"{_ROOT}.tgz"


def imagenette(size: int, classes: Mapping[str, tuple[str, int, int]] = CLASSES) -> KnownSet:
    """Return the set as images of size×size pixels; tests give it other classes and counts."""
    names, train_counts, test_counts = zip(*classes.values(), strict=True)
    folders = ImageFolders(
        title=f"prepare imagenette-{size}",
        root=_ROOT,
        train="train",
        test="val",
        classes=tuple(classes),
        train_counts=train_counts,
        test_counts=test_counts,
    )

    def read(folder: Path) -> Arrays:
        return folders.read(folder, size)

    def remarks(folder: Path, archive: Path | None) -> list[str]:
        said = ["official archive"] if archive is not None and _is_official(archive) else []
        if side := folders.common_square(folder):  # the official ones differ in size
            said.append(f"resampled copy (every image {side}×{side} pixels)")
        return said

    return KnownSet(
        name=f"imagenette-{size}",
        title="Imagenette",
        classes=names,
        image_shape=(3, size, size),
        num_train=sum(train_counts),
        num_test=sum(test_counts),
        fingerprint=None,
        forms=(Form(f"{_ROOT}/", _ROOT, read),),
        archives=(_ARCHIVE, f"{_ROOT}.tar"),
        downloads=(
            Download(
                "official archive (torchvision.datasets.Imagenette)",
                _download_official,
                kept_as=_ARCHIVE,
            ),
        ),
        shuffled=("train", "test"),  # both lie class by class
        remarks=remarks,
        stand_in=StandIn(CIFAR10, CIFAR10.classes),
    )


def _official() -> tuple[str, str]:
    """URL and md5 of the official archive."""
    return import_torchvision().datasets.Imagenette._ARCHIVES["160px"]


def _download_official(folder: Path) -> None:
    url, md5 = _official()
    download_once(url, folder / _ARCHIVE, digest=md5)


def _is_official(archive: Path) -> bool:
    _, md5 = _official()
    try:
        check_digest(archive, "md5", md5)
    except DataError:
        return False
    return True
