"""Facts about the real CIFAR-10 and its splits. It is fetched the first time."""

import doctest
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from labkit.data import Split, datasets, load, sources


@pytest.fixture(scope="module")
def cifar10():
    return load("cifar10")


def image_set(split: Split) -> set[bytes]:
    return {image.tobytes() for image in split.images.numpy()}


def test_counts_shapes_types(cifar10):
    for split, n in [(cifar10.train, 45_000), (cifar10.validation, 5_000), (cifar10.test, 10_000)]:
        assert len(split) == n
        assert split.images.shape == (n, 3, 32, 32)
        assert split.images.dtype == torch.uint8
        assert split.labels.shape == (n,)
        assert split.labels.dtype == torch.int64


def test_content_is_the_known_one(cifar10):
    assert cifar10.fingerprint == sources.DATASETS["cifar10"].fingerprint
    assert sources.verify("cifar10").fingerprint == cifar10.fingerprint
    assert cifar10.source


def test_class_counts(cifar10):
    training = torch.cat([cifar10.train.labels, cifar10.validation.labels])
    assert training.bincount().tolist() == [5_000] * 10
    assert cifar10.test.labels.bincount().tolist() == [1_000] * 10


def test_published_mean_and_deviation():
    images = load("cifar10", validation_fraction=0).train.images.numpy()
    for channel, (mean, deviation) in enumerate(
        [(0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)]
    ):
        counts = np.bincount(images[:, channel].ravel(), minlength=256)
        values = np.arange(256) / 255
        measured = np.average(values, weights=counts)
        assert measured == pytest.approx(mean, abs=6e-5)
        spread = np.sqrt(np.average((values - measured) ** 2, weights=counts))
        assert spread == pytest.approx(deviation, abs=6e-5)


def test_known_pictures(cifar10):
    """Every tutorial shows these first test images: a cat, two ships, an airplane."""
    assert [cifar10.classes[i] for i in cifar10.test.labels[:4]] == [
        "cat",
        "ship",
        "ship",
        "airplane",
    ]
    # rows are rows: neighbours along both axes resemble each other, and channels are channels
    image = cifar10.test.images[:1000].double()
    for step in (image.diff(dim=2), image.diff(dim=3)):
        assert step.abs().mean() < 20


def test_validation_and_training_share_no_image(cifar10):
    whole = load("cifar10", validation_fraction=0).train
    training, validation = image_set(cifar10.train), image_set(cifar10.validation)
    assert not training & validation
    assert training | validation == image_set(whole)


def test_splits_nest(cifar10):
    whole = load("cifar10", validation_fraction=0)
    assert (len(whole.train), len(whole.validation)) == (50_000, 0)
    assert torch.equal(whole.train.images[:45_000], cifar10.train.images)
    larger = load("cifar10", validation_fraction=0.2)
    assert len(larger.validation) == 10_000
    assert torch.equal(larger.validation.labels[-5_000:], cifar10.validation.labels)
    assert torch.equal(cifar10.train.first(300).images, cifar10.train.first(1000).images[:300])


def test_splits_do_not_depend_on_seeds(cifar10):
    np.random.seed(7)
    torch.manual_seed(7)
    again = load("cifar10")
    assert torch.equal(again.train.labels, cifar10.train.labels)
    assert torch.equal(again.validation.images, cifar10.validation.images)
    # the official labels in the order of PCG64's raw bits, sorted by hand
    assert again.train.labels[:12].tolist() == [4, 1, 7, 1, 8, 5, 3, 5, 4, 1, 6, 6]


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_the_first_images_are_a_fair_sample(cifar10, part):
    counts = getattr(cifar10, part).first(1000).labels.bincount(minlength=10)
    # 100 expected, standard deviation 9.5
    assert counts.min() > 60
    assert counts.max() < 140


def test_first():
    split = Split(torch.zeros(5, 3, 2, 2, dtype=torch.uint8), torch.arange(5))
    assert split.first(None) is split
    assert split.first(2).labels.tolist() == [0, 1]
    assert len(split.first(5).images) == 5
    assert repr(split) == "Split(5 images (3, 2, 2))"


@pytest.mark.parametrize("n", [6, 0, -1])
def test_first_refuses_what_is_not_there(n):
    split = Split(torch.zeros(5, 3, 2, 2, dtype=torch.uint8), torch.arange(5))
    with pytest.raises(
        ValueError, match=rf"first {n} of 5 images; ask for 1 to 5, or None for all"
    ):
        split.first(n)


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan")])
def test_load_refuses_a_fraction_outside(fraction):
    with pytest.raises(
        ValueError, match=rf"validation_fraction is {fraction}; .* at least 0 and below 1"
    ):
        load("cifar10", validation_fraction=fraction)


def test_load_warns_of_nothing_and_can_be_written_to(cifar10):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mine = load("cifar10")
    mine.test.images[:10] = 0
    assert cifar10.test.images[:10].any()


def test_second_use_needs_no_torchvision(cifar10):
    command = (
        "import sys, labkit.data as d; d.load('cifar10'); sys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0


def test_docstrings(cifar10):
    failures, tried = doctest.testmod(datasets)
    assert (failures, tried) == (0, 5)
