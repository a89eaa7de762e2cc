"""From the first source that works to a prepared folder: found or downloaded, read, checked, kept.

What a prepared folder holds, and who asks for one, is in `sources`.
"""

import hashlib
import json
import os
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
from tqdm import tqdm

from labkit.data._download import AbsentError, DataError, unpack
from labkit.data.images import resized
from labkit.data.known import Arrays, Download, Form, KnownSet, reason

# --- places ---------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Return the folder in which each prepared set has a folder."""
    root = os.environ.get("LABKIT_CACHE") or platformdirs.user_cache_dir("labkit")
    return Path(root).expanduser().absolute() / "data"


def archives_folder() -> Path:
    """Return the folder in which downloaded archives are kept that several sets share."""
    return cache_folder().parent / "archives"


def data_folders() -> list[Path]:
    """Return the folders of `LABKIT_DATA`, in its order."""
    folders = os.environ.get("LABKIT_DATA", "").split(os.pathsep)
    return [Path(folder).expanduser().absolute() for folder in folders if folder]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a set or archive; the system releases it even if the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{path.name}: another process is fetching it; waiting")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def say(line: str) -> None:
    """Tell the user, without tearing a progress bar."""
    tqdm.write(f"labkit: {line}", file=sys.stderr)


# --- the real set ---------------------------------------------------------------------------------


def prepare(known: KnownSet, home: Path) -> None:
    """Fill `home` from the first source that works. To be called under the lock.

    Raises `DataError` with what was tried: an `AbsentError` where the set lay nowhere and nothing
    could be reached.
    """
    failures, absent = [], True
    for source in _sources(known):
        with _scratch(home) as scratch:
            try:
                arrays, remarks = source.bring(scratch)
                shuffle(arrays, known.shuffled)
                found = _check_content(known, arrays)
            except Exception as error:  # whatever is wrong with this source, the next may do
                absent = absent and isinstance(error, AbsentError)
                failures.append(f"{source.where}: {reason(error)}")
                say(f"{known.name}: passed over {failures[-1]}")
                continue
            origin = ", ".join([source.title, *remarks])
            _write(known.name, known.classes, origin, found, arrays, scratch / "prepared")
            os.replace(scratch / "prepared", home)
            say(f"{known.name}: from {origin}, kept in {home}")
            return

    local = len(data_folders())
    tried = [
        *(failures[:local] or ["LABKIT_DATA: not set"]),
        f"cache {home}: nothing there",
        *failures[local:],
    ]
    raise (AbsentError if absent else DataError)(
        "\n  - ".join([f"{known.name} could not be had. Tried, in this order:", *tried])
        + f"\nMake one of them work and run `labkit data fetch {known.name}` again; "
        + f"or set LABKIT_DATA to a folder that holds one of: {_looked_for(known)}"
    )


def is_near(known: KnownSet) -> bool:
    """Whether something lies on this machine that the set may be prepared from."""
    return any(
        _marked(known, folder) or any((folder / archive).is_file() for archive in known.archives)
        for folder in [*data_folders(), archives_folder()]
    )


@dataclass(frozen=True)
class _Source:
    title: str  # as printed in reports
    where: str  # in messages
    bring: Callable[[Path], tuple[Arrays, list[str]]]  # to a scratch folder; arrays and remarks


def _sources(known: KnownSet) -> Iterator[_Source]:
    for folder in data_folders():

        def read(scratch: Path, folder: Path = folder) -> tuple[Arrays, list[str]]:
            it = _found(known, folder, scratch)
            arrays = it.form.read(it.folder)
            return arrays, known.remarks(it.folder, it.archive) if known.remarks else []

        # reports are handed in: they do not say where somebody keeps their files
        yield _Source("a folder in LABKIT_DATA", f"LABKIT_DATA folder {folder}", read)
    for place in known.downloads:

        def bring(scratch: Path, place: Download = place) -> tuple[Arrays, list[str]]:
            it = _found(known, _landed(place, scratch), scratch)
            return it.form.read(it.folder), []

        yield _Source(place.source, place.source, bring)


def _landed(place: Download, scratch: Path) -> Path:
    """The folder with what was downloaded; `AbsentError` where it could not be had from there."""
    try:
        if place.kept_as is None:
            folder = scratch / "download"
            folder.mkdir()
            place.into(folder)
        else:
            folder = archives_folder()
            with locked(folder / place.kept_as):
                place.into(folder)
    except DataError as error:  # a disk that is full, or may not be written, is no absence
        raise AbsentError(reason(error)) from error
    return folder


@dataclass(frozen=True)
class _Found:
    form: Form
    folder: Path  # that holds the form's marker
    archive: Path | None  # that it was unpacked from


def _found(known: KnownSet, folder: Path, scratch: Path) -> _Found:
    """Find whichever form or archive of the set lies in `folder`; unpack it into `scratch`."""
    if not folder.is_dir():
        raise AbsentError("there is no such folder")
    if marked := _marked(known, folder):
        return _Found(*marked, archive=None)
    for archive in known.archives:
        if (folder / archive).is_file():
            unpack(folder / archive, scratch / "unpacked")
            if marked := _marked(known, scratch / "unpacked"):
                return _Found(*marked, archive=folder / archive)
            raise DataError(f"{archive} does not hold the set")
    raise AbsentError(f"it holds none of {_looked_for(known)}")


def _marked(known: KnownSet, folder: Path) -> tuple[Form, Path] | None:
    """The form that lies in `folder`, one level below it, or is it; and what holds its marker."""
    for form in known.forms:
        markers = [folder / form.marker, *sorted(folder.glob(f"*/{form.marker}"))]
        markers += [folder] if folder.name == form.marker else []
        for marker in markers:
            if marker.exists():
                return form, marker.parent
    return None


def _looked_for(known: KnownSet) -> str:
    prepared = f"{known.name}/ (as another machine's cache has it)"
    return ", ".join([*known.archives, *(form.title for form in known.forms), prepared])


def shuffle(arrays: Arrays, parts: tuple[str, ...]) -> None:
    """Put these parts ("train", "test") into a fixed random order, in place."""
    for part in parts:
        order = fixed_order(len(arrays[f"{part}_labels"]))
        for key in [key for key in arrays if key.startswith(f"{part}_")]:
            _reorder(arrays[key], order)


def fixed_order(count: int) -> np.ndarray:
    """Return the numbers below `count` in a random order, the same on every machine.

    NumPy promises the raw bits of PCG64 for all versions, but not the result of `permutation`.
    """
    return np.argsort(np.random.PCG64(seed=0).random_raw(count), kind="stable")


def _reorder(array: np.ndarray, order: np.ndarray) -> None:
    """array[:] = array[order], but without a copy: of Imagenette that would be another gigabyte."""
    waiting = np.ones(len(order), dtype=bool)
    for first in range(len(order)):
        if waiting[first]:  # go once round the cycle that it belongs to
            held, place = array[first].copy(), first
            while (successor := order[place]) != first:
                array[place] = array[successor]
                waiting[place], place = False, successor
            array[place], waiting[place] = held, False


def _check_content(known: KnownSet, arrays: Arrays) -> str:
    """Return the fingerprint of arrays that are those of the set; else raise `DataError`."""
    for key, expected in known.layout().items():
        found = (arrays[key].dtype, arrays[key].shape)
        if found != expected:
            raise DataError(f"{key}: {found[0]} {found[1]}, expected {expected[0]} {expected[1]}")
    found = fingerprint(arrays)
    if known.fingerprint not in (None, found):
        raise DataError(f"its content has the sha256 {found}, expected {known.fingerprint}")
    return found


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


# --- its stand-in ---------------------------------------------------------------------------------


def prepare_stand_in(known: KnownSet, arrays: Arrays, home: Path) -> None:
    """Fill `home` with what stands in for the set: `arrays` of another one, enlarged.

    As many images as the real set has, the first of the stored order. To be called under the lock.
    """
    stand_in, size = known.stand_in, known.image_shape[-1]
    labels = np.full(len(stand_in.of.classes), -1, dtype="<i8")  # those of the other set → here
    for label, name in enumerate(stand_in.classes):
        labels[stand_in.of.classes.index(name)] = label

    made = {}
    for part, count in (("train", known.num_train), ("test", known.num_test)):
        its_labels = labels[arrays[f"{part}_labels"]]
        chosen = np.flatnonzero(its_labels >= 0)[:count]
        made[f"{part}_images"] = resized(
            arrays[f"{part}_images"][chosen], size, f"enlarge {stand_in.of.title} ({part})"
        )
        made[f"{part}_labels"] = its_labels[chosen]
    origin = (
        f"stand-in: {stand_in.of.title}, enlarged to {size}×{size} pixels "
        f"({known.title} could not be had)"
    )
    with _scratch(home) as scratch:
        found = fingerprint(made)
        _write(
            known.name, stand_in.classes, origin, found, made, scratch / "prepared", stand_in=True
        )
        os.replace(scratch / "prepared", home)


# --- the folder -----------------------------------------------------------------------------------


@contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    """A folder beside `home`, so that the rename at the end stays within one file system."""
    for leftover in home.parent.glob(f"{home.name}.part-*"):  # of a killed process
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix=f"{home.name}.part-", dir=home.parent, ignore_cleanup_errors=True
    ) as scratch:
        yield Path(scratch)


def _write(
    name: str,
    classes: tuple[str, ...],
    source: str,
    fingerprint: str,
    arrays: Arrays,
    folder: Path,
    stand_in: bool = False,
) -> None:
    folder.mkdir()
    meta = {
        "name": name,
        "classes": classes,
        "source": source,
        "fingerprint": fingerprint,
        "stand_in": stand_in,
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
