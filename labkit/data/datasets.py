"""A data set in memory: uint8 images, integer labels, and the same splits on every machine."""

from dataclasses import dataclass

import torch

from labkit.data import sources


@dataclass(frozen=True, repr=False)
class Split:
    """Labelled images: `images` uint8 (N, C, H, W), `labels` int64 (N,), counted from 0.

    `len(split)` is N; `split.first(100)` are its first hundred.
    """

    images: torch.Tensor  # uint8 (N, C, H, W)
    labels: torch.Tensor  # int64 (N,)

    def __repr__(self) -> str:
        return f"Split({len(self)} images {tuple(self.images.shape[1:])})"

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, n: int | None) -> "Split":
        """Return the first `n` images (all for None), without copying.

        Splits are in random order, so this is a random sample, and contains every smaller one. (The
        test part of digits is the exception: it is in the order in which its forms were filled in.)

        >>> split = Split(torch.zeros(5, 3, 32, 32, dtype=torch.uint8), torch.arange(5))
        >>> split.first(2).labels
        tensor([0, 1])
        """
        if n is None:
            return self
        if not 1 <= n <= len(self):
            raise ValueError(
                f"cannot take the first {n} of {len(self)} images; "
                f"ask for 1 to {len(self)}, or None for all"
            )
        return Split(self.images[:n], self.labels[:n])


@dataclass(frozen=True)
class Dataset:
    """A data set with its fixed splits: `train`, `validation` and `test`, a `Split` each.

    `name` is what `load` was asked for, `classes` are the names of the labels 0, 1, …, `source`
    says in words where the set came from, and `fingerprint` is the sha256 of what it contains.

    Where `stand_in` is true, another set serves under this one's name, because this one could not
    be had: with its own `classes`, and `source` says which.

        cifar10 = load("cifar10")
        cifar10.classes[cifar10.train.labels[0]]
    """

    name: str
    classes: tuple[str, ...]
    fingerprint: str
    source: str
    train: Split
    validation: Split
    test: Split
    stand_in: bool = False


def load(name: str, *, validation_fraction: float = 0.1) -> Dataset:
    """Return the data set `name`, fetched and prepared if it is not on this machine yet.

    Where `fetch` has made a stand-in for it, that is returned without asking the network again
    (`Dataset.stand_in`).

    Train and validation are the beginning and the end of the official training set, which is stored
    in a fixed random order; validation is `validation_fraction` of it, from 0 to below 1. Test is
    the official test set, for Imagenette in such an order as well, else in its own, which for
    CIFAR-10 is random too. A larger validation part contains every smaller one. All stay
    memory-mapped: opening is instant, and what is never looked at is never read.

    Raises `labkit.data.sources.DataError` if the set cannot be had or is damaged.

    >>> cifar10 = load("cifar10")
    >>> len(cifar10.train), len(cifar10.validation), len(cifar10.test)
    (45000, 5000, 10000)
    >>> cifar10.train.images.shape
    torch.Size([45000, 3, 32, 32])
    """
    if not 0 <= validation_fraction < 1:
        raise ValueError(
            f"validation_fraction is {validation_fraction}; it must be at least 0 and below 1"
        )
    arrays, meta = sources.open_arrays(name, sources.at_hand(name))
    size = len(arrays["train_labels"])
    num_train = size - round(validation_fraction * size)
    return Dataset(
        name=name,
        classes=tuple(meta["classes"]),
        fingerprint=meta["fingerprint"],
        source=meta["source"],
        train=_split(arrays, "train", slice(num_train)),
        validation=_split(arrays, "train", slice(num_train, size)),
        test=_split(arrays, "test", slice(None)),
        stand_in=meta["stand_in"],
    )


def _split(arrays: sources.Arrays, part: str, index: slice) -> Split:
    return Split(
        torch.from_numpy(arrays[f"{part}_images"][index]),  # (N, C, H, W)
        torch.from_numpy(arrays[f"{part}_labels"][index]),  # (N,)
    )
