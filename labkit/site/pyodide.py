"""Python for the browser: pyodide's files out of its npm package, kept in labkit's cache."""

import base64
import os
import tempfile
from pathlib import Path

from labkit.data._download import DataError, check_digest, npm_pack, unpack
from labkit.data._prepare import archives_folder, data_folders, locked

VERSION = "314.0.7"  # with Python 3.14
INTEGRITY = (
    "sha512-0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOtty"
    "McWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A=="
)
NUM_BYTES = 6_488_647
ARCHIVE = f"pyodide-{VERSION}.tgz"
FILES = (
    *("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip"),
    "pyodide-lock.json",
)


class PyodideError(DataError):
    """Pyodide cannot be had; the message says what to do."""


def files() -> dict[str, bytes]:
    """What a page needs of pyodide, by name; downloaded if it is nowhere yet.

    May be killed at any moment and called by several processes at once. Raises `PyodideError`.
    """
    for folder in [*data_folders(), archives_folder()]:
        if (folder / ARCHIVE).is_file():
            return _unpacked(folder / ARCHIVE)
    target = archives_folder() / ARCHIVE
    try:
        with locked(target):
            if not target.is_file():  # another process may have been faster
                _download(target)
    except DataError as error:
        raise PyodideError(
            f"pyodide {VERSION} could not be had from npm: {error}; install npm (it comes with "
            f"Node.js) and try again where there is a network, or put {ARCHIVE} "
            f"(`npm pack pyodide@{VERSION}`) into a folder of LABKIT_DATA"
        ) from error
    except OSError as error:
        raise PyodideError(
            f"the cache {target.parent} cannot be written ({error}); "
            "make room there, or set LABKIT_CACHE to another folder"
        ) from error
    return _unpacked(target)


def _download(target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".pyodide-", dir=target.parent) as folder:
        package = f"pyodide@{VERSION}"
        npm_pack(package, Path(folder), integrity=INTEGRITY, num_bytes=NUM_BYTES)
        os.replace(Path(folder) / ARCHIVE, target)


def _unpacked(archive: Path) -> dict[str, bytes]:
    algorithm, digest = INTEGRITY.split("-", 1)
    try:
        check_digest(archive, algorithm, base64.b64decode(digest).hex())
    except DataError as error:
        raise PyodideError(f"{error}; remove {archive}, and it is fetched anew") from None
    with tempfile.TemporaryDirectory() as folder:
        unpack(archive, Path(folder))
        return {name: (Path(folder) / "package" / name).read_bytes() for name in FILES}
