import math

import pytest
import torch
from scipy import ndimage

from labkit.data import augment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_flip_mirrors_about_half_of_the_images_and_leaves_the_rest():
    images = torch.randn(400, 3, 4, 6)
    flipped = augment.flip(images, generator())
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    kept = (flipped == images).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert 150 < mirrored.sum() < 250  # 200 ± 5 standard deviations


def test_rotation_by_no_degrees_changes_nothing():
    images = torch.randn(5, 3, 8, 8)
    torch.testing.assert_close(augment.rotate(images, 0.0, generator()), images)


def test_rotation_is_scipy_s():
    """The same angle, drawn again from the same seed, through another library."""
    rows, columns = torch.meshgrid(torch.arange(21.0), torch.arange(21.0), indexing="ij")
    blob = torch.exp(-((rows - 8) ** 2 + (columns - 13) ** 2) / 8)
    angle = (torch.rand(1, generator=generator(3)) * 2 - 1).item() * 40.0
    turned = augment.rotate(blob[None, None], 40.0, generator(3))[0, 0]
    expected = ndimage.rotate(blob.numpy(), angle, reshape=False, order=1)
    inside = slice(2, -2)  # the two libraries fade the border differently
    torch.testing.assert_close(
        turned[inside, inside], torch.from_numpy(expected)[inside, inside], atol=1e-3, rtol=0
    )
    assert abs(angle) > 5  # else the test could not tell the directions apart


def test_each_image_turns_by_its_own_angle_within_the_limit():
    # a bright pixel at a known place: where it went tells the angle
    images = torch.zeros(200, 1, 33, 33)
    images[:, :, 15:18, 27:30] = 1.0
    turned = augment.rotate(images, 15.0, generator())
    rows = torch.arange(33.0) - 16
    mass = turned.sum((1, 2, 3))
    y = (turned.sum((1, 3)) * rows).sum(1) / mass
    x = (turned.sum((1, 2)) * rows).sum(1) / mass
    angles = torch.atan2(y, x).rad2deg()
    assert angles.abs().max() < 16
    assert angles.std() > 7  # uniform over ±15° has 8.7°


@pytest.mark.parametrize("seed", [0, 1])
def test_the_generator_decides(seed):
    images = torch.randn(32, 3, 8, 8)
    for function in (augment.flip, lambda x, g: augment.rotate(x, 20.0, g)):
        assert torch.equal(function(images, generator(seed)), function(images, generator(seed)))
        assert not torch.equal(
            function(images, generator(seed)), function(images, generator(seed + 1))
        )


def test_scale_on_paper():
    from labkit.data.preprocess import scale

    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    expected = torch.tensor([-2.0, (0.2 - 0.5) / 0.25, 2.0]).view(1, 1, 1, 3)
    torch.testing.assert_close(scale(images, 0.5, 0.25), expected)
    assert math.isclose(scale(images, 0.0, 1.0).max().item(), 1.0)


def test_scale_keeps_channels_last():
    from labkit.data.preprocess import scale

    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8).to(memory_format=torch.channels_last)
    assert scale(images, 0.5, 0.25).is_contiguous(memory_format=torch.channels_last)
