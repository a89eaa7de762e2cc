"""A folder that labkit writes whole or not at all, and replaces only where nobody changed it."""

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

from labkit.errors import UsageError


def write_folder(
    out: Path,
    files: Mapping[str, bytes],
    *,
    kind: str,
    contents: str,
    passed_over: Collection[str] = (),
) -> None:
    """Write `files`, by their paths in it, into the folder `out`.

    `out` is new, empty or was written by this function before, and is then replaced. Raises
    UsageError if it holds anything else or a changed file, but for what is in a folder named in
    `passed_over`. `kind` is what messages call the folder ("release"), `contents` the file in
    it that lists the checksums of the others, as sha256sum writes them.
    """
    _look_for_what_would_be_lost(out, kind, contents, passed_over)
    sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
    with _replaced(out) as folder:
        for name, content in [*files.items(), (contents, "".join(sums).encode())]:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _look_for_what_would_be_lost(
    out: Path, kind: str, contents: str, passed_over: Collection[str]
) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{out} is a file; give a folder for the {kind}")
    lines = ""
    if (out / contents).is_file():
        lines = (out / contents).read_text(encoding="utf-8", errors="replace")
    sums = {
        name: digest for digest, _, name in (line.partition("  ") for line in lines.splitlines())
    }
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out)
        if name == Path(contents) or {*passed_over} & set(name.parts):
            continue
        if path.is_dir() and not path.is_symlink():
            continue
        as_written = sums.get(str(PurePosixPath(name)))
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != as_written:
            raise UsageError(
                f"{out} holds {name}, which is no file of a {kind} as it was written; choose "
                "another folder, or remove that one yourself"
            )


@contextlib.contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `out` at the end: whole, or not at all."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise UsageError(f"cannot write to {out} ({error.strerror}); choose another") from None
    try:
        (beside / "new").mkdir()
        yield beside / "new"
        if out.exists():
            out.rename(beside / "old")
        (beside / "new").rename(out)
    except BaseException:
        if (beside / "old").exists() and not out.exists():
            (beside / "old").rename(out)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
