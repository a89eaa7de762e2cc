"""Intel Image Classification: 14,034 + 3,000 photographs of places in six classes, at 48×48 pixels.

Photographs of 150×150 pixels that Intel gave for a contest on Analytics Vidhya; Kaggle has them as
`puneet6060/intel-image-classification`, without a licence of their own. labkit carries none of
them. The parts are the contest's `seg_train` and `seg_test`; the pictures of `seg_pred` have no
labels.

The pixels depend on the JPEG decoder's version: there is no fingerprint known in advance, and the
one of the prepared set is in its `meta.json`.
"""

from collections.abc import Mapping
from pathlib import Path

from labkit.data._download import DataError, probe
from labkit.data.cifar10 import CIFAR10
from labkit.data.images import ImageFolders
from labkit.data.known import Arrays, Download, Form, KnownSet, StandIn, reason

# the class, which names the folder, and its images in seg_train/ and seg_test/
CLASSES = {
    "buildings": (2191, 437),
    "forest": (2271, 474),
    "glacier": (2404, 553),
    "mountain": (2512, 525),
    "sea": (2274, 510),
    "street": (2382, 501),
}

_SIDE = 150  # of nearly all original pictures
_KAGGLE = "puneet6060/intel-image-classification"


def intel(size: int, classes: Mapping[str, tuple[int, int]] = CLASSES) -> KnownSet:
    """Return the set as images of size×size pixels; tests give it other classes and counts."""
    train_counts, test_counts = zip(*classes.values(), strict=True)

    def found(folder: Path) -> tuple[ImageFolders, Path]:
        """The set as it lies in the folder that holds a form's marker, and the folder above it."""
        twice = folder.name == "seg_train"  # Kaggle's archive has a folder of this name in another
        layout = ImageFolders(
            title=f"prepare intel-{size}",
            root="intel" if (folder / "intel").is_dir() else "",
            train="seg_train/seg_train" if twice else "seg_train",
            test="seg_test/seg_test" if twice else "seg_test",
            classes=tuple(classes),
            train_counts=train_counts,
            test_counts=test_counts,
        )
        return layout, folder.parent if twice else folder

    def read(folder: Path) -> Arrays:
        layout, above = found(folder)
        return layout.read(above, size)

    def remarks(folder: Path, archive: Path | None) -> list[str]:
        layout, above = found(folder)
        side = layout.common_square(above)
        return [f"resampled copy ({side}×{side} pixels)"] if side and side < _SIDE else []

    return KnownSet(
        name=f"intel-{size}",
        title="Intel Image Classification",
        classes=tuple(classes),
        image_shape=(3, size, size),
        num_train=sum(train_counts),
        num_test=sum(test_counts),
        fingerprint=None,
        forms=(
            Form("intel/", "intel", read),
            Form("seg_train/seg_train/ and seg_test/seg_test/", "seg_train/seg_train", read),
            Form("seg_train/ and seg_test/", "seg_train", read),
        ),
        archives=("intel.tar", "intel-80px.tar"),
        downloads=(Download(f"Kaggle ({_KAGGLE})", _download_kaggle),),
        shuffled=("train", "test"),  # both lie class by class
        remarks=remarks,
        stand_in=StandIn(CIFAR10, CIFAR10.classes[: len(classes)]),
    )


def _download_kaggle(folder: Path) -> None:
    """A link in `folder` to what kagglehub keeps in a cache of its own (370 MB)."""
    # kagglehub itself would go on trying for minutes where there is no network
    probe("https://www.kaggle.com")
    import kagglehub  # half a second, which only this call should cost

    try:
        kept = kagglehub.dataset_download(_KAGGLE)
    except Exception as error:  # of its network library, of Kaggle's client, of its archive
        raise DataError(f"kagglehub could not download it ({reason(error)})") from error
    (folder / "kaggle").symlink_to(kept, target_is_directory=True)
