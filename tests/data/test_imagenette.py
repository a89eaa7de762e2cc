"""Imagenette's reader and its stand-in on a made set of a few pictures; at the end the real one."""

import io
import json
import os
import tarfile
import threading
from dataclasses import replace
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labkit.data import imagenette, load, sources
from labkit.data._download import DataError
from labkit.data._torchvision import import_torchvision
from labkit.data.images import square
from labkit.data.known import Download, Form, KnownSet, StandIn

# --- a made set -----------------------------------------------------------------------------------

CLASSES = {"n01": ("tench", 4, 2), "n02": ("church", 3, 3), "n03": ("golf ball", 5, 2)}
LABELS = {"train": [0] * 4 + [1] * 3 + [2] * 5, "test": [0] * 2 + [1] * 3 + [2] * 2}
# every picture has its own grey
SHADES = {"train": [20 + 8 * i for i in range(12)], "test": [124 + 8 * i for i in range(7)]}
# sizes whose central square begins at one of JPEG's blocks of 8×8 pixels: nothing bleeds into it
KINDS = [("RGB", (48, 16)), ("L", (16, 32)), ("CMYK", (32, 16)), ("RGB", (16, 16))]


def save_picture(path: Path, shade: int, mode: str, size: tuple[int, int]) -> None:
    """A square of this grey, with white beside it, or above and below it."""
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    made = Image.new("RGB", size, "white")
    made.paste((shade, shade, shade), (left, top, left + side, top + side))
    path.parent.mkdir(parents=True, exist_ok=True)
    made.convert(mode).save(path, "JPEG", quality=95, subsampling=0)


def save_set(folder: Path, kinds=KINDS) -> Path:
    """Write imagenette2-160/ into `folder`; return it."""
    for part, place in (("train", "train"), ("test", "val")):
        for i, (label, shade) in enumerate(zip(LABELS[part], SHADES[part], strict=True)):
            wnid = list(CLASSES)[label]
            path = folder / "imagenette2-160" / place / wnid / f"{wnid}_{i:02}.JPEG"
            save_picture(path, shade, *kinds[i % len(kinds)])
    return folder / "imagenette2-160"


def save_archive(path: Path) -> bytes:
    """Write the set as a tar archive without the folder; return its bytes."""
    root = save_set(path.parents[1] / "unpacked")  # not beside it, where it would be found as well
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tar:
        for file in sorted(root.rglob("*.JPEG")):
            tar.add(file, str(file.relative_to(root.parent)))
    return path.read_bytes()


def read_npz(folder: Path) -> sources.Arrays:
    with np.load(folder / "small.npz") as file:
        return dict(file)


class Small:
    """What stands in: images of 2×2 pixels in four classes, each with a colour of its own."""

    def __init__(self):
        images = (np.arange(480) % 256).astype(np.uint8).reshape(40, 3, 2, 2)
        labels = np.arange(40) * 7 % 4
        self.arrays = {"train_images": images, "train_labels": labels}
        self.arrays |= {"test_images": images[::-1], "test_labels": labels[::-1]}
        self.reachable, self.asked = True, 0

    def into(self, folder: Path) -> None:
        self.asked += 1
        if not self.reachable:
            raise DataError("no small set today")
        np.savez(folder / "small.npz", **self.arrays)

    def known(self) -> KnownSet:
        return KnownSet(
            name="small",
            title="Small",
            classes=("a", "b", "c", "d"),
            image_shape=(3, 2, 2),
            num_train=40,
            num_test=40,
            fingerprint=None,
            forms=(Form("small.npz", "small.npz", read_npz),),
            archives=(),
            downloads=(Download("somewhere", self.into),),
            shuffled=(),
        )


@pytest.fixture
def small() -> Small:
    return Small()


@pytest.fixture
def mine(tmp_path, monkeypatch, small) -> Path:
    """The made set is known at 8 and at 12 pixels; an empty cache; the folder of LABKIT_DATA."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    offer(monkeypatch, "http://127.0.0.1:1/imagenette2-160.tgz", b"")  # where nobody listens
    of = small.known()
    monkeypatch.setitem(sources.DATASETS, "small", of)
    for size in (8, 12):
        made = imagenette.imagenette(size, CLASSES)
        made = replace(made, stand_in=StandIn(of, of.classes))
        monkeypatch.setitem(sources.DATASETS, made.name, made)
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def offer(monkeypatch, url: str, content: bytes) -> None:
    """Let this be the official archive."""
    monkeypatch.setattr(imagenette, "_official", lambda: (url, md5(content).hexdigest()))


def fetched(name: str = "imagenette-8") -> tuple[sources.Arrays, dict]:
    return sources.open_arrays(name, sources.fetch(name))


def cached(folder: str = "data") -> list[str]:
    place = sources.cache_folder().parent / folder
    return sorted(path.name for path in place.glob("*") if path.suffix != ".lock")


# --- what is known --------------------------------------------------------------------------------


def test_four_sizes_of_the_same_pictures():
    for size in (64, 96, 128, 160):
        known = sources.DATASETS[f"imagenette-{size}"]
        assert (known.num_train, known.num_test) == (9_469, 3_925)
        assert known.image_shape == (3, size, size)
        assert len(known.classes) == len(known.stand_in.classes) == 10
        assert known.stand_in.of is sources.DATASETS["cifar10"]


def test_torchvision_knows_the_same_classes_and_the_archive():
    theirs = import_torchvision().datasets.Imagenette._WNID_TO_CLASS
    assert {wnid: names[0] for wnid, names in theirs.items()} == {
        wnid: name for wnid, (name, _, _) in imagenette.CLASSES.items()
    }
    assert list(imagenette.CLASSES) == sorted(imagenette.CLASSES)
    url, digest = imagenette._official()
    assert url.endswith("/imagenette2-160.tgz")
    assert len(digest) == 32


# --- reading --------------------------------------------------------------------------------------


def test_every_picture_is_its_central_square_in_the_order_of_classes_and_names(mine):
    save_set(mine)
    for size in (8, 12, 16):
        [form] = imagenette.imagenette(size, CLASSES).forms
        arrays = form.read(mine)
        for part, shades in SHADES.items():
            images = arrays[f"{part}_images"].astype(int)
            assert images.shape == (len(shades), 3, size, size)
            # grey, CMYK and wide ones alike: JPEG may be off by some, the next shade is 8 away
            assert abs(images - np.reshape(shades, (-1, 1, 1, 1))).max() <= 3
            assert arrays[f"{part}_labels"].tolist() == LABELS[part]
            assert arrays[f"{part}_labels"].dtype.str == "<i8"


def test_rows_columns_and_channels_keep_their_places():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[0, 1] = (10, 20, 30)  # row 0, column 1
    found = square(Image.fromarray(pixels), 4)
    assert found[:, 0, 1].tolist() == [10, 20, 30]
    assert found.sum() == 60


def test_smaller_is_an_average():
    """Of a chessboard every pixel of the smaller picture is grey; picked pixels would not be."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    found = square(Image.fromarray(board), 16).astype(int)
    assert abs(found - 127.5).max() < 12


def test_both_parts_are_stored_in_a_fixed_random_order(mine):
    save_set(mine)
    arrays, meta = fetched()
    for part, labels in LABELS.items():
        raw = np.random.PCG64(seed=0).random_raw(len(labels)).tolist()
        order = sorted(range(len(labels)), key=lambda i, raw=raw: raw[i])
        assert arrays[f"{part}_labels"].tolist() == [labels[i] for i in order]
        shades = arrays[f"{part}_images"].astype(int).mean(axis=(1, 2, 3))
        assert abs(shades - [SHADES[part][i] for i in order]).max() <= 3
    assert meta["classes"] == ["tench", "church", "golf ball"]
    assert meta["stand_in"] is False
    assert sources.verify("imagenette-8").fingerprint == sources.fingerprint(arrays)


@pytest.mark.parametrize("where", ["imagenette2-160", "..", "."])
def test_the_folder_is_found_from_itself_and_from_above(mine, monkeypatch, where):
    save_set(mine)
    monkeypatch.setenv("LABKIT_DATA", str((mine / where).resolve()))
    if where == "..":  # the cache lies there too
        monkeypatch.setenv("LABKIT_CACHE", str(mine / "cache"))
    assert fetched()[1]["source"] == "a folder in LABKIT_DATA"


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("train/n02", "imagenette2-160/train/n02: 0 of 3 images"),
        ("train/n03/n03_08.JPEG", "imagenette2-160/train/n03: 4 of 5 images"),
        ("val/n01/n01_00.JPEG", "imagenette2-160/val/n01: 1 of 2 images"),
        ("val", "imagenette2-160/val/n01: 0 of 2 images; imagenette2-160/val/n02: 0 of 3 images; "),
    ],
)
def test_what_is_missing_is_named_by_its_folder(mine, gone, message):
    root = save_set(mine)
    (root / gone).rename(mine / "gone")
    with pytest.raises(DataError) as error:
        sources.fetch("imagenette-8")
    [line] = [line for line in str(error.value).splitlines() if str(mine) in line]
    assert line.startswith(f"  - LABKIT_DATA folder {mine}: {message}")
    assert cached() == []


def test_of_many_folders_the_first_three_are_named(mine):
    save_set(mine).rename(mine / "gone")
    (mine / "imagenette2-160").mkdir()
    with pytest.raises(DataError, match=r"train/n03: 0 of 5 images; and 3 folders more\n"):
        sources.fetch("imagenette-8")


def test_a_picture_too_many_is_refused_and_hidden_files_are_not_counted(mine):
    root = save_set(mine)
    for name in ("._n01_00.JPEG", ".DS_Store", "list.csv"):
        (root / "val" / "n01" / name).write_bytes(b"x")
    fetched()
    save_picture(root / "val" / "n01" / "another.jpg", 0, "RGB", (16, 16))
    with pytest.raises(DataError, match="imagenette2-160/val/n01: 3 of 2 images"):
        sources.fetch("imagenette-12")


@pytest.mark.parametrize("damage", [lambda it: it[: len(it) // 2], lambda it: b"", lambda it: b"x"])
def test_a_damaged_picture_is_named_and_nothing_is_kept(mine, damage):
    path = save_set(mine) / "val" / "n02" / "n02_03.JPEG"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r": imagenette2-160/val/n02/n02_03\.JPEG cannot be r"):
        sources.fetch("imagenette-8")
    assert cached() == []


# --- archives -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["imagenette2-160.tgz", "imagenette2-160.tar"])
def test_an_archive_reads_like_the_folder(mine, name, monkeypatch):
    save_archive(mine / name)
    from_archive, _ = fetched()
    monkeypatch.setenv("LABKIT_CACHE", str(mine.parent / "other"))
    monkeypatch.setenv("LABKIT_DATA", str(mine.parent / "unpacked"))
    from_folder, _ = fetched()
    assert sources.fingerprint(from_archive) == sources.fingerprint(from_folder)


def cuts(content: bytes) -> dict[str, bytes]:
    """Where an archive may break off, or break."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tenth = tar.getmembers()[10]
    return {
        "within a picture": content[: tenth.offset_data + 100],
        "within a header": content[: tenth.offset + 100],
        "between two pictures": content[: tenth.offset],
        "damaged header": content[: tenth.offset] + b"?" * 512 + content[tenth.offset + 512 :],
    }


@pytest.mark.parametrize(
    "where", ["within a picture", "within a header", "between two pictures", "damaged header"]
)
def test_a_damaged_tar_is_named(mine, where):
    archive = mine / "imagenette2-160.tar"
    archive.write_bytes(cuts(save_archive(archive))[where])
    with pytest.raises(DataError, match=r": imagenette2-160\.tar cannot be unpacked \("):
        sources.fetch("imagenette-8")
    assert cached() == []


def test_an_archive_that_aims_outside_is_refused(mine, tmp_path):
    save_archive(mine / "imagenette2-160.tar")
    with tarfile.open(mine / "imagenette2-160.tar", "a") as tar:
        tar.addfile(tarfile.TarInfo("imagenette2-160/../../../../../evil"))
    with pytest.raises(DataError, match=r"imagenette2-160\.tar refused: .*evil' aims outside"):
        sources.fetch("imagenette-8")
    assert not list(tmp_path.rglob("evil"))


class Server(ThreadingHTTPServer):
    """Gives the same content whatever is asked for; or the first half, or nothing."""

    daemon_threads = True
    content, asked, works = b"", 0, True

    class RequestHandlerClass(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked += 1
            if self.server.works is False:
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.content)))
            self.end_headers()
            half = len(self.server.content) // 2 if self.server.works == "half" else None
            self.wfile.write(self.server.content[:half])

        def log_message(self, *args):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)


@pytest.fixture
def server(mine, tmp_path, monkeypatch):
    """A server that has the official archive, whose md5 is known."""
    (tmp_path / "served").mkdir()
    server = Server()
    server.content = save_archive(tmp_path / "served" / "imagenette2-160.tgz")
    offer(monkeypatch, f"http://127.0.0.1:{server.server_port}/any.tgz", server.content)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_downloaded_archive_serves_every_size(server):
    _, meta = fetched("imagenette-8")
    assert meta["source"] == "official archive (torchvision.datasets.Imagenette)"
    server.works = False
    _, meta = fetched("imagenette-12")
    assert meta["source"] == "official archive (torchvision.datasets.Imagenette)"
    assert server.asked == 1
    assert cached("archives") == ["imagenette2-160.tgz"]


@pytest.mark.parametrize("left", ["imagenette2-160.tgz", "imagenette2-160.tgz.part"])
def test_what_a_killed_download_left_is_not_believed(server, left):
    archives = sources.cache_folder().parent / "archives"
    archives.mkdir(parents=True)
    (archives / left).write_bytes(server.content[:-100])
    assert not fetched()[1]["stand_in"]
    assert server.asked == 1
    assert (archives / "imagenette2-160.tgz").read_bytes() == server.content


@pytest.mark.parametrize("content", ["half", "other"])
def test_a_wrong_download_is_not_kept(server, content):
    if content == "half":
        server.works = "half"
    else:
        server.content = b"<html>please log in</html>"
    assert fetched()[1]["stand_in"]
    assert "imagenette2-160.tgz" not in cached("archives")


# --- what the report says of it -------------------------------------------------------------------


def test_pictures_of_different_sizes_need_no_remark(mine):
    save_archive(mine / "imagenette2-160.tar")
    assert fetched()[1]["source"] == "a folder in LABKIT_DATA"


def test_the_official_archive_is_known_by_its_md5(mine, monkeypatch):
    offer(monkeypatch, "http://127.0.0.1:1/", save_archive(mine / "imagenette2-160.tgz"))
    assert fetched()[1]["source"] == "a folder in LABKIT_DATA, official archive"


def test_a_resampled_copy_is_called_so(mine):
    save_set(mine, [("RGB", (24, 24)), ("L", (24, 24))])
    remark = "resampled copy (every image 24×24 pixels)"
    assert fetched()[1]["source"] == f"a folder in LABKIT_DATA, {remark}"


@pytest.mark.parametrize("other", [(24, 16), (16, 16), (16, 24)])
def test_one_picture_of_another_size_makes_it_no_resampled_copy(mine, other):
    root = save_set(mine, [("RGB", (24, 24))])
    save_picture(root / "val" / "n03" / "n03_06.JPEG", SHADES["test"][6], "RGB", other)
    assert fetched()[1]["source"] == "a folder in LABKIT_DATA"


# --- the stand-in ---------------------------------------------------------------------------------


def test_where_the_set_cannot_be_had_another_stands_in(mine, small, capfd):
    folder = sources.fetch("imagenette-8")
    assert folder == sources.cache_folder() / "imagenette-8.stand-in"
    arrays, meta = sources.open_arrays("imagenette-8", folder)
    assert meta["stand_in"] is True
    assert meta["source"] == "stand-in: Small, enlarged to 8×8 pixels (Imagenette could not be had)"
    assert meta["classes"] == ["a", "b", "c", "d"]
    assert meta["fingerprint"] == sources.fingerprint(arrays)
    for part, count in (("train", 12), ("test", 7)):
        assert arrays[f"{part}_images"].shape == (count, 3, 8, 8)
        assert arrays[f"{part}_labels"].tolist() == small.arrays[f"{part}_labels"][:count].tolist()
        # enlarged: the corners are those of the small image
        for at in (0, -1):
            corners = small.arrays[f"{part}_images"][:count, :, at, at]
            assert (arrays[f"{part}_images"][:, :, at, at] == corners).all()
    said = capfd.readouterr().err.splitlines()
    passed = [line for line in said if "imagenette-8: passed over" in line]
    assert len(passed) == 2
    assert f"LABKIT_DATA folder {mine}: it holds none of imagenette2-160.tgz" in passed[0]
    assert "torchvision.datasets.Imagenette): cannot be reached" in passed[1]
    assert said[-1] == (
        "labkit: imagenette-8: enlarged images of Small stand in for Imagenette; "
        "`labkit data fetch imagenette-8` tries again for the real set"
    )


def test_some_of_the_other_sets_classes_may_stand_in(mine, small, monkeypatch):
    made = replace(sources.DATASETS["imagenette-8"], stand_in=StandIn(small.known(), ("d", "b")))
    monkeypatch.setitem(sources.DATASETS, "imagenette-8", made)
    arrays, meta = fetched()
    assert meta["classes"] == ["d", "b"]
    labels = small.arrays["train_labels"]
    chosen = [i for i, label in enumerate(labels) if label in (1, 3)][:12]
    assert arrays["train_labels"].tolist() == [0 if labels[i] == 3 else 1 for i in chosen]
    corners = small.arrays["train_images"][chosen][:, :, 0, 0]
    assert (arrays["train_images"][:, :, 0, 0] == corners).all()


def test_a_stand_in_is_labelled_wherever_it_is_named(mine, labkit):
    assert load("imagenette-8").stand_in
    status = sources.verify("imagenette-8")
    assert (status.prepared, status.stand_in) == (True, True)
    assert status == sources.status("imagenette-8")
    assert sources.find("imagenette-8") is None
    _, out, _ = labkit("data", "list")
    listed = out[out.index("imagenette-8: ") :].splitlines()
    assert listed[0].startswith("imagenette-8: only a stand-in, ")
    assert listed[1].startswith("  stand-in: Small, enlarged to 8×8 pixels")
    assert listed[3] == "  `labkit data fetch imagenette-8` tries again for the real set"


def test_a_changed_stand_in_is_found(mine):
    path = sources.fetch("imagenette-8") / "test_images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="was changed: its sha256 is"):
        sources.verify("imagenette-8")


def test_the_real_set_replaces_its_stand_in(server):
    server.works = False
    assert load("imagenette-8").stand_in
    server.works = True
    assert load("imagenette-8").stand_in  # until somebody fetches
    assert sources.fetch("imagenette-8") == sources.cache_folder() / "imagenette-8"
    dataset = load("imagenette-8")
    assert not dataset.stand_in
    assert dataset.classes == ("tench", "church", "golf ball")
    assert not sources.status("imagenette-8").stand_in
    assert cached() == ["imagenette-8", "small"]


@pytest.mark.parametrize("put", [save_set, lambda at: save_archive(at / "imagenette2-160.tar")])
def test_load_takes_what_was_put_into_labkit_data(mine, put):
    assert load("imagenette-8").stand_in
    put(mine)
    assert load("imagenette-8").source == "a folder in LABKIT_DATA"


def test_load_takes_the_archive_that_another_size_left(server):
    server.works = False
    assert load("imagenette-8").stand_in
    server.works = True
    sources.fetch("imagenette-12")
    assert not load("imagenette-8").stand_in
    assert server.asked == 2


def test_load_asks_the_network_once_and_fetch_each_time(server, small):
    server.works = False
    for _ in range(3):
        assert load("imagenette-8").stand_in
    assert (server.asked, small.asked) == (1, 1)
    for _ in range(2):
        sources.fetch("imagenette-8")
    assert (server.asked, small.asked) == (3, 1)


def test_a_damaged_set_has_no_stand_in(mine):
    root = save_set(mine)
    (root / "train" / "n01" / "n01_00.JPEG").unlink()
    for ask in (sources.fetch, load):
        with pytest.raises(DataError, match="train/n01: 3 of 4 images"):
            ask("imagenette-8")
    assert cached() == []


def test_a_set_damaged_later_is_not_passed_over_for_a_stand_in(mine):
    assert load("imagenette-8").stand_in
    (mine / "imagenette2-160.tar").write_bytes(b"not a tar")
    with pytest.raises(DataError, match=r"imagenette2-160\.tar cannot be unpacked"):
        load("imagenette-8")


def test_a_damaged_folder_is_passed_over_where_another_source_works(server, mine):
    (mine / "imagenette2-160.tgz").write_bytes(b"not a tar")
    assert load("imagenette-8").source == "official archive (torchvision.datasets.Imagenette)"


def test_a_damaged_prepared_set_has_no_stand_in(mine):
    save_set(mine)
    (sources.fetch("imagenette-8") / "test_labels.npy").unlink()
    with pytest.raises(DataError, match=r"test_labels\.npy is damaged"):
        load("imagenette-8")


def test_a_downloaded_archive_that_does_not_hold_the_set_is_an_error(server, monkeypatch):
    server.content = b"not a tar, but with the right md5"
    offer(monkeypatch, imagenette._official()[0], server.content)
    with pytest.raises(DataError, match=r"imagenette2-160\.tgz cannot be unpacked"):
        sources.fetch("imagenette-8")


def test_a_bug_is_not_taken_for_a_missing_network(mine, monkeypatch):
    monkeypatch.setattr(imagenette, "_official", lambda: 1 / 0)
    with pytest.raises(DataError, match="ZeroDivisionError"):
        sources.fetch("imagenette-8")


def test_where_neither_can_be_had_the_error_names_both(mine, small):
    small.reachable = False
    with pytest.raises(DataError) as error:
        load("imagenette-8")
    said = str(error.value)
    assert said.startswith("imagenette-8 could not be had. Tried, in this order:")
    assert "\nNor can Small stand in for it: small could not be had." in said
    assert "no small set today" in said
    assert cached() == []


def test_a_stand_in_in_labkit_data_is_not_the_set(mine, monkeypatch):
    folder = sources.fetch("imagenette-8")
    folder.rename(mine / "imagenette-8")
    assert sources.find("imagenette-8") is None
    monkeypatch.setenv("LABKIT_DATA", str(mine / "imagenette-8"))
    assert sources.find("imagenette-8") is None


def test_the_real_cifar10_stands_in(tmp_path, monkeypatch):
    """As many images as the real set has, of the first ones, with CIFAR-10's own classes."""
    cifar10 = load("cifar10", validation_fraction=0)
    prepared = sources.find("cifar10")
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    offer(monkeypatch, "http://127.0.0.1:1/", b"")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    sources.cache_folder().mkdir(parents=True)
    (sources.cache_folder() / "cifar10").symlink_to(prepared)
    found = load("imagenette-64", validation_fraction=0)
    assert found.stand_in
    assert found.classes == cifar10.classes
    assert (found.train.labels == cifar10.train.labels[:9_469]).all()
    assert (found.test.labels == cifar10.test.labels[:3_925]).all()
    # enlarged twice, each pixel became four around the same mean
    enlarged = found.train.images[:100].float().unflatten(3, (32, 2)).unflatten(2, (32, 2))
    enlarged = enlarged.mean(dim=(3, 5))
    assert (enlarged - cifar10.train.images[:100]).abs().mean() < 6


# --- the real set ---------------------------------------------------------------------------------

REAL = [
    folder / name
    for folder in sources.data_folders()
    for name in ("imagenette2-160.tgz", "imagenette2-160.tar")
    if (folder / name).is_file()
]


@pytest.mark.skipif(not REAL, reason="needs Imagenette's archive in LABKIT_DATA")
def test_the_real_archive(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(REAL[0].parent))
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    arrays, meta = fetched("imagenette-64")
    assert meta["source"].startswith("a folder in LABKIT_DATA, ")
    assert ("official archive" in meta["source"]) != ("resampled copy" in meta["source"])
    for part, column in (("train", 1), ("test", 2)):
        counts = np.bincount(arrays[f"{part}_labels"])
        assert counts.tolist() == [known[column] for known in imagenette.CLASSES.values()]
        first = np.bincount(arrays[f"{part}_labels"][:1000], minlength=10)
        assert first.min() > 60  # of some 100: the order is random
        assert 100 < arrays[f"{part}_images"].mean() < 130  # photographs
    assert json.loads((sources.fetch("imagenette-64") / "meta.json").read_text()) == meta
    assert sources.verify("imagenette-64").fingerprint == meta["fingerprint"]
    assert os.listdir(sources.cache_folder().parent) == ["data"]
