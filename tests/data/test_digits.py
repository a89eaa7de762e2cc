"""Facts about the digits that scikit-learn carries, and that they are had without a network."""

import json
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from labkit.data import Dataset, load, sources
from labkit.data.digits import copy as copy_digits
from labkit.data.digits import read as read_digits
from labkit.handcalc import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from labkit.training import Adam, Augmentation, Config, Data, sweep

# optdigits.names of the UCI repository: how many of each digit its test part has
UCI_COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]

# the first image as scikit-learn's tutorial prints it, a 0
FIRST = """
     0  0  5 13  9  1  0  0
     0  0 13 15 10 15  5  0
     0  3 15  2  0 11  8  0
     0  4 12  0  0  8  8  0
     0  5  8  0  0  9  8  0
     0  4 11  0  1 12  7  0
     0  2 14  5 10 12  0  0
     0  0  6 13 10  0  0  0
"""

# a part of the form that its writers filled in which none left gaps in
FORM = "095565098984177351"


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    """An empty cache, no LABKIT_DATA, and no way out of this machine."""

    def refuse(*args, **kwargs):
        raise AssertionError("digits asked for the network")

    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def digits(_offline) -> Dataset:
    return load("digits")


@pytest.fixture
def copied(tmp_path):
    """The folder with the file that was copied out of scikit-learn."""
    (tmp_path / "copy").mkdir()
    copy_digits(tmp_path / "copy")
    return tmp_path / "copy"


def test_counts_shapes_types(digits):
    for split, n in [(digits.train, 1167), (digits.validation, 130), (digits.test, 500)]:
        assert split.images.shape == (n, 1, 8, 8)
        assert split.images.dtype == torch.uint8
        assert split.labels.shape == (n,)
        assert split.labels.dtype == torch.int64
    assert digits.classes == tuple("0123456789")
    assert digits.source == "scikit-learn (sklearn.datasets.load_digits)"


def test_class_counts_are_those_of_uci(digits):
    parts = [digits.train, digits.validation, digits.test]
    labels = torch.cat([part.labels for part in parts])
    assert labels.bincount().tolist() == UCI_COUNTS
    test = digits.test.labels.bincount(minlength=10)
    assert test.min() >= 46
    assert test.max() <= 51


def test_an_empty_labkit_data_is_none(monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", "")
    assert load("digits").source.startswith("scikit-learn")


def test_values_are_seventeen_steps_of_the_byte_range(digits):
    steps = [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255]
    for split in (digits.train, digits.test):
        assert split.images.unique().tolist() == steps


def test_the_first_image_is_the_one_of_the_tutorial(copied):
    ink = np.array(FIRST.split(), dtype=int).reshape(8, 8)
    arrays = read_digits(copied)
    assert arrays["train_labels"][:3].tolist() == [0, 1, 2]
    assert arrays["test_labels"][-3:].tolist() == [8, 9, 8]
    # off by less than half a step of the bytes
    assert abs(arrays["train_images"][0, 0] / 255 - ink / 16).max() <= 0.5 / 255


def test_the_order_is_that_of_fourteen_forms(copied):
    arrays = read_digits(copied)
    test = "".join(map(str, arrays["test_labels"]))
    assert ("".join(map(str, arrays["train_labels"])) + test).count(FORM) == 14
    assert test.count(FORM) == 4


def test_no_image_is_in_two_parts(digits):
    train, validation, test = (
        {image.tobytes() for image in split.images.numpy()}
        for split in (digits.train, digits.validation, digits.test)
    )
    assert not train & validation | train & test | validation & test


def test_the_training_part_is_shuffled(digits):
    assert digits.train.first(200).labels.bincount(minlength=10).min() >= 10
    runs = (digits.train.labels.diff() == 1).double().mean()  # in its own order a third
    assert runs < 0.15


def test_one_changed_pixel_is_refused(copied, monkeypatch):
    path = copied / "digits.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["ink"][700, 3, 3] ^= 1
    np.savez(path, **arrays)
    monkeypatch.setenv("LABKIT_DATA", str(copied))
    monkeypatch.setitem(
        sources.DATASETS, "digits", replace(sources.DATASETS["digits"], downloads=())
    )
    with pytest.raises(sources.DataError, match="its content has the sha256"):
        load("digits")


def test_the_file_is_read_from_labkit_data_without_scikit_learn(copied, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(copied))
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)  # importing it fails
    assert load("digits").source == "a folder in LABKIT_DATA"


@pytest.mark.parametrize("damage", [lambda content: content[:100], lambda content: b""])
def test_a_damaged_file_is_named(copied, damage):
    path = copied / "digits.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(sources.DataError, match=r"^digits\.npz cannot be read \("):
        read_digits(copied)


def test_no_pickle_is_loaded(copied):
    np.savez(copied / "digits.npz", ink=np.array([{}], dtype=object), labels=np.arange(1))
    with pytest.raises(sources.DataError, match="allow_pickle=False"):
        read_digits(copied)


def test_without_scikit_learn_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(sources.DataError, match=r"load_digits\): .*sklearn.*\n.*digits\.npz"):
        load("digits")


def test_second_use_needs_no_scikit_learn(digits):
    command = "import sys, labkit.data as d; d.load('digits'); sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0


def test_the_command_line_knows_every_set(labkit):
    _, out, _ = labkit("data", "list")
    # below them stand the pretrained weights
    assert out.splitlines()[: len(sources.DATASETS)] == [
        f"{name}: not on this machine yet; run `labkit data fetch {name}`"
        for name in sources.DATASETS
    ]
    status, out, _ = labkit("data", "fetch", "digits")
    assert status == 0
    meta = json.loads((sources.cache_folder() / "digits" / "meta.json").read_text())
    assert out.strip() == str(sources.cache_folder() / "digits")
    status, out, _ = labkit("data", "verify", "digits")
    assert status == 0
    assert f"sha256 {meta['fingerprint']}" in out
    status, _, err = labkit("data", "fetch", "digit")
    assert status != 0
    assert "did you mean 'digits'?" in err


def test_a_flip_harms_digits():
    """Mirrored, 3, 5, 6 and 7 are no digits: what has to know both knows each less well."""
    config = Config(
        network=(
            *(Conv2d(1, 8, 3, padding=1), ReLU(), MaxPool2d(2)),
            *(Conv2d(8, 16, 3, padding=1), ReLU(), Flatten(), Linear(16 * 4 * 4, 10)),
        ),
        optimizer=Adam(learning_rate=2e-3),
        data=Data(name="digits", pixel_mean=0.0, pixel_std=1.0),
        batch_size=32,
        epochs=4,
        precision="fp32",
    )
    configs = {
        "plain": config,
        "flip": config.replace(augmentation=Augmentation(flip=True)),
    }
    runs = sweep(configs, seeds=[0, 1], device="cpu")
    assert runs["plain"][0].metrics["test_examples"] == 500
    assert runs.mean("plain", "test_accuracy") > 0.8
    assert runs.difference("flip", "plain", "test_accuracy").mean < -0.02
