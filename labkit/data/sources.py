"""Where each data set comes from: found or downloaded, verified, prepared once, then memory-mapped.

    LABKIT_DATA folders ─→ cache ─→ each download in turn ─→ its stand-in
                                          │ unpack, read, shuffle, check the fingerprint
                                          ▼
    <cache>/data/<name>/   train_images.npy   uint8 (N, C, H, W)     train_labels.npy   int64 (N,)
                           test_images.npy    uint8 (M, C, H, W)     test_labels.npy    int64 (M,)
                           meta.json          name, classes, source, fingerprint, stand_in, date

The training part is stored in a random order, the same on every machine, so that a split or a
smaller training set is a slice of the file. The test part keeps its own order where that is a
random one already.

    cifar10        60,000 colour photographs of 32×32 pixels, downloaded (170 MB)
    digits          1,797 handwritten digits of 8×8 pixels in grey, out of scikit-learn: no network
    imagenette-64  13,394 colour photographs of 64×64 pixels, downloaded (99 MB, kept for the other
                   sizes: -96, -128, -160)
    intel-48       17,034 colour photographs of 48×48 pixels, downloaded from Kaggle (370 MB)

`LABKIT_DATA` names folders to search first (colon-separated). `LABKIT_CACHE` moves the cache.

Where a set lies nowhere and cannot be reached, another one may stand in, so that what needs it
still runs (`KnownSet.stand_in`). It has a folder of its own, <cache>/data/<name>.stand-in/, and
serves until the real set is there. A set that lies in LABKIT_DATA and is damaged is an error.

To add a set, write its `KnownSet` in a module beside this one (`known` says what belongs into it)
and name it in `DATASETS` below. The rest is the same for every set. A fingerprint that is wrong yet
is named in the error that `fetch` raises.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit.data import imagenette, intel
from labkit.data._download import AbsentError, DataError, UnknownDataSetError
from labkit.data._prepare import (
    cache_folder,
    data_folders,
    fingerprint,
    is_near,
    locked,
    prepare,
    prepare_stand_in,
    say,
)
from labkit.data.cifar10 import CIFAR10
from labkit.data.digits import DIGITS
from labkit.data.known import Arrays, KnownSet, reason
from labkit.errors import nearest

DATASETS: dict[str, KnownSet] = {
    known.name: known
    for known in [
        *(CIFAR10, DIGITS),
        *(imagenette.imagenette(size) for size in imagenette.SIZES),
        intel.intel(48),
    ]
}


@dataclass(frozen=True)
class Status:
    """What is known of a set on this machine."""

    name: str
    prepared: bool  # it can be loaded, or its stand-in
    folder: Path  # where it lies, or would lie
    num_bytes: int  # on disk
    source: str | None
    fingerprint: str | None
    problem: str | None  # of a damaged set: what is wrong and what to do
    stand_in: bool = False
    remarks: tuple[str, ...] = ()  # on what is in it

    def __str__(self) -> str:
        if self.problem:
            return self.problem
        if not self.prepared:
            return f"{self.name}: not on this machine yet; run `labkit data fetch {self.name}`"
        lies = f"{self.num_bytes / 1e6:.1f} MB in {self.folder}"
        if self.stand_in:
            return (
                f"{self.name}: only a stand-in, {lies}\n"
                f"  {self.source}\n"
                f"  sha256 {self.fingerprint}\n"
                f"  `labkit data fetch {self.name}` tries again for the real set"
            )
        lines = [f"{self.name}: {lies}", f"from {self.source}", f"sha256 {self.fingerprint}"]
        return "\n  ".join([*lines, *self.remarks])


def fetch(name: str) -> Path:
    """Return the folder with the prepared set `name`; find or download and prepare it if necessary.

    Where it lies nowhere and cannot be reached, return the folder of its stand-in, and say so: the
    next call tries again. May be killed at any moment and called by several processes at once.
    Raises `DataError`.
    """
    known = known_set(name)
    folder = find(name)
    if folder is None:
        try:
            folder = _prepared(known)
        except AbsentError as absent:
            if known.stand_in is None:
                raise
            folder = _stood_in(known, absent)
    open_arrays(name, folder)
    return folder


def at_hand(name: str) -> Path:
    """Return the folder from which the set `name` is loaded; ask the network only if it must.

    That is the real set's where it is prepared or lies in LABKIT_DATA, else its stand-in's where
    one was made; else it is fetched. Raises `DataError`.
    """
    if find(name) is None and not is_near(known_set(name)):
        stand_in = _stand_in_folder(name)
        if stand_in.exists():
            return stand_in
    return fetch(name)


def find(name: str) -> Path | None:
    """Return the folder with the prepared set `name`, in `LABKIT_DATA` or the cache, or None.

    A stand-in is not the set.
    """
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
        meta.setdefault("stand_in", False)  # folders from before there were any
        # of a set that is decoded here, and of a stand-in, the noted one is all there is
        fixed = None if meta["stand_in"] else known.fingerprint
        for key, expected in [("name", name), ("fingerprint", fixed or meta["fingerprint"])]:
            if meta[key] != expected:
                raise ValueError(f"its {key} is {meta[key]}, expected {expected}")
        for key, (dtype, shape) in known.layout().items():
            path = folder / f"{key}.npy"
            # "c": writable in memory, never on disk; torch warns about read-only arrays
            array = np.load(path, mmap_mode="c", allow_pickle=False)
            if (array.dtype, array.shape) != (dtype, shape):
                raise ValueError(f"it holds {array.dtype} {array.shape}, expected {dtype} {shape}")
            arrays[key] = array
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise DataError(
            f"{name}: {path} is damaged ({reason(error)}); "
            f"remove the folder {folder} and run `labkit data fetch {name}`"
        ) from error
    return arrays, meta


def status(name: str) -> Status:
    """Return what is known of the set `name`, without network and without reading its content."""
    folder = _here(name)
    if folder is None:
        return Status(name, False, cache_folder() / name, 0, None, None, None)
    num_bytes = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
    try:
        _, meta = open_arrays(name, folder)
    except DataError as error:
        return Status(name, False, folder, num_bytes, None, None, str(error))
    return Status(
        name, True, folder, num_bytes, meta["source"], meta["fingerprint"], None, meta["stand_in"]
    )


def verify(name: str) -> Status:
    """Read the whole prepared set and compare its sha256 with the known one, or where none can be
    known with that of the day on which it was prepared; raise `DataError`.
    """
    folder = _here(name)
    if folder is None:
        raise DataError(f"{name} is not on this machine yet; run `labkit data fetch {name}`")
    arrays, meta = open_arrays(name, folder)
    found, expected = fingerprint(arrays), meta["fingerprint"]
    if found != expected:
        raise DataError(
            f"{name}: the content of {folder} was changed: its sha256 is {found}, expected "
            f"{expected}; remove the folder and run `labkit data fetch {name}`"
        )
    return status(name)


def known_set(name: str) -> KnownSet:
    """Return the registered set `name`; an unknown name raises and suggests the nearest."""
    if name in DATASETS:
        return DATASETS[name]
    raise UnknownDataSetError(f"there is no data set {name!r}; {nearest(name, DATASETS)}")


# --- the real set, or what stands in for it -------------------------------------------------------


def _prepared(known: KnownSet) -> Path:
    """The cache's folder with the real set, prepared now unless another process was faster."""
    folder = cache_folder() / known.name
    with _cache_writable(), locked(folder):
        if not folder.exists():
            prepare(known, folder)
    shutil.rmtree(_stand_in_folder(known.name), ignore_errors=True)
    return folder


def _stood_in(known: KnownSet, absent: AbsentError) -> Path:
    """The cache's folder with the set's stand-in, made now unless it is there."""
    folder, of = _stand_in_folder(known.name), known.stand_in.of
    if not folder.exists():
        try:
            arrays, _ = open_arrays(of.name, fetch(of.name))
        except DataError as error:
            raise DataError(f"{absent}\nNor can {of.title} stand in for it: {error}") from error
        with _cache_writable(), locked(folder):
            if not folder.exists():
                prepare_stand_in(known, arrays, folder)
    say(
        f"{known.name}: enlarged images of {of.title} stand in for {known.title}; "
        f"`labkit data fetch {known.name}` tries again for the real set"
    )
    return folder


def _stand_in_folder(name: str) -> Path:
    return cache_folder() / f"{name}.stand-in"


def _here(name: str) -> Path | None:
    """The folder with the set, else with its stand-in, else None."""
    stand_in = _stand_in_folder(name)
    return find(name) or (stand_in if stand_in.exists() else None)


@contextmanager
def _cache_writable() -> Iterator[None]:
    """Say what to do where the cache cannot be written."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"the cache {cache_folder()} cannot be written ({reason(error)}); "
            "make room there, or set LABKIT_CACHE to another folder"
        ) from error


def _describes(folder: Path, name: str) -> bool:
    """Whether `folder` says that it is the prepared set `name`, and no stand-in."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        return meta["name"] == name and not meta.get("stand_in")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
