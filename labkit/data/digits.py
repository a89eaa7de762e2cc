"""Digits: 1,797 handwritten digits of 8×8 pixels in grey, out of scikit-learn, without a network.

Alpaydin & Kaynak 1998, "Optical recognition of handwritten digits", UCI Machine Learning
Repository: the test part, as scikit-learn carries it. Each pixel counts the ink, 0 to 16, in 4×4 of
a bitmap. UCI's training part is not in the copy, so that the split is labkit's own.
"""

from pathlib import Path

import numpy as np

from labkit.data.known import Arrays, Download, Form, KnownSet, naming

_FILE = "digits.npz"
_NUM_TRAIN = 1297


def read(folder: Path) -> Arrays:
    """What `copy` wrote: ink of 0 to 16 as the byte round(255·ink/16); the last 500 test.

    The order is that of the forms that were filled in: the same 130 digits (on some a few are
    missing), fourteen times; UCI says that 13 people wrote them. So the test part is the last four
    forms but for ten digits, probably by other people than the training part's, in no random order.
    """
    with naming(folder / _FILE) as path, np.load(path, allow_pickle=False) as file:
        ink, labels = file["ink"], file["labels"].astype("<i8")
    images = np.rint(ink[:, np.newaxis] * (255 / 16)).astype(np.uint8)  # (N, 8, 8) → (N, 1, 8, 8)
    return {
        "train_images": images[:_NUM_TRAIN],
        "train_labels": labels[:_NUM_TRAIN],
        "test_images": images[_NUM_TRAIN:],
        "test_labels": labels[_NUM_TRAIN:],
    }


def copy(folder: Path) -> None:
    from sklearn.datasets import load_digits  # seconds, for which the first fetch alone waits

    digits = load_digits()
    np.savez(folder / _FILE, ink=digits.images.astype(np.uint8), labels=digits.target)


DIGITS = KnownSet(
    name="digits",
    title="digits",
    classes=tuple("0123456789"),
    image_shape=(1, 8, 8),
    num_train=_NUM_TRAIN,
    num_test=500,
    fingerprint="7c6139acb6dab7142003d561a4b191371fab27e01c91b853e0f14c944f0d14d5",
    forms=(Form(_FILE, _FILE, read),),
    archives=(),
    downloads=(Download("scikit-learn (sklearn.datasets.load_digits)", copy),),
)
