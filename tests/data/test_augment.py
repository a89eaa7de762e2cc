import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from labkit.data import augment
from labkit.data._torchvision import import_torchvision


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_bytes(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator(seed))


def labelled(n: int, channels: int = 3, height: int = 8, width: int = 8):
    """Images that each hold their own number everywhere, and these numbers as labels."""
    labels = torch.arange(n)
    return labels.float().view(-1, 1, 1, 1).expand(n, channels, height, width).clone(), labels


AUGMENTATIONS = {
    "flip": augment.flip,
    "crop": lambda images, draws: augment.crop(images, 8, 2, draws),
    "rotate": lambda images, draws: augment.rotate(images.float(), 20.0, draws),
    "colour_jitter": lambda images, draws: augment.colour_jitter(images, 0.4, draws),
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_generator_decides(name, seed):
    images, function = random_bytes(32, 3, 8, 8), AUGMENTATIONS[name]
    assert torch.equal(function(images, generator(seed)), function(images, generator(seed)))
    assert not torch.equal(function(images, generator(seed)), function(images, generator(seed + 1)))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_memory_format_changes_the_speed_and_nothing_else(name):
    images, function = random_bytes(32, 3, 8, 8), AUGMENTATIONS[name]
    plain = function(images, generator())
    last = function(images.to(memory_format=torch.channels_last), generator())
    assert plain.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, plain)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_take_is_indexing(memory_format):
    images = random_bytes(9, 3, 4, 5).to(memory_format=memory_format)
    index = torch.tensor([8, 0, 0, 3])
    taken = augment.take(images, index)
    assert torch.equal(taken, images[index])
    assert taken.is_contiguous(memory_format=memory_format)


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


def test_crop_on_paper():
    # a frame of one pixel and a window of all of it: one place only
    image = torch.tensor([[[[7]]]], dtype=torch.uint8)
    framed = torch.tensor([[[[0, 0, 0], [0, 7, 0], [0, 0, 0]]]], dtype=torch.uint8)
    assert torch.equal(augment.crop(image, 3, 1, generator()), framed)


@given(
    n=st.integers(1, 4),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    padding=st.integers(0, 3),
    data=st.data(),
)
def test_a_crop_is_a_window_of_the_padded_image(n, height, width, padding, data):
    size = data.draw(st.integers(1, min(height, width) + 2 * padding))
    seed = data.draw(st.integers(0, 99))
    images = random_bytes(n, 2, height, width, seed=seed)
    cropped = augment.crop(images, size, padding, generator(seed))
    assert cropped.dtype == torch.uint8
    assert cropped.shape == (n, 2, size, size)
    for image, window in zip(F.pad(images, (padding,) * 4), cropped, strict=True):
        assert any(
            torch.equal(image[:, top : top + size, left : left + size], window)
            for top in range(image.shape[1] - size + 1)
            for left in range(image.shape[2] - size + 1)
        )


def test_every_place_of_the_window_is_equally_likely():
    # a number for each pixel: the first one of the window tells where it lies
    image = torch.arange(1.0, 7 * 6 + 1).view(1, 1, 7, 6)
    cropped = augment.crop(image.expand(9000, 1, 7, 6), 4, 0, generator())
    places, counts = cropped[:, 0, 0, 0].unique(return_counts=True)
    assert places.tolist() == [6 * top + left + 1 for top in range(4) for left in range(3)]
    assert counts.min() > 750 - 5 * 27  # 9000/12 ± 5 standard deviations
    assert counts.max() < 750 + 5 * 27


@pytest.mark.parametrize(("size", "padding"), [(13, 2), (0, 2), (4, -1)])
def test_a_crop_that_does_not_fit(size, padding):
    with pytest.raises(ValueError, match=f"crop of {size}×{size} with padding {padding} .* take"):
        augment.crop(random_bytes(2, 3, 8, 9), size, padding, generator())


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(5, 6), (6, 5), (8, 8), (7, 9)])
def test_the_centre_is_torchvision_s(shape, size):
    import_torchvision()
    from torchvision.transforms.v2.functional import center_crop

    images = random_bytes(2, 3, *shape)
    assert torch.equal(augment.centre_crop(images, size), center_crop(images, [size, size]))


@pytest.mark.parametrize("size", [0, 6])
def test_a_centre_crop_that_does_not_fit(size):
    with pytest.raises(ValueError, match=f"{size}×{size} does not fit in images of 5×8; take"):
        augment.centre_crop(random_bytes(2, 3, 5, 8), size)


def test_no_colour_jitter_changes_nothing():
    images = random_bytes(5, 3, 8, 8)
    assert torch.equal(augment.colour_jitter(images, 0.0, generator()), images)


def test_colour_jitter_of_grey_images_on_paper():
    """An even grey has no contrast and no saturation to change: brightness alone is left."""
    images = torch.full((500, 3, 2, 2), 100, dtype=torch.uint8)
    jittered = augment.colour_jitter(images, 0.2, generator())
    greys = jittered[:, 0, 0, 0].int()
    assert torch.equal(jittered.int(), greys.view(-1, 1, 1, 1).expand(500, 3, 2, 2))
    assert 80 <= greys.min() <= 81
    assert 119 <= greys.max() <= 120
    assert abs(greys.float().mean() - 100) < 5 * 40 / math.sqrt(12 * 500)
    # a strength above 1 cannot make an image negative, and 255 is the end
    assert set(augment.colour_jitter(images, 9.0, generator()).unique().tolist()) >= {255}


@pytest.mark.parametrize("strength", [0.3, 1.5])
def test_colour_jitter_is_torchvision_s(strength):
    """The same factors, drawn again from the same seed, through another library."""
    import_torchvision()
    from torchvision.transforms.v2 import functional

    images = random_bytes(40, 3, 6, 7)
    images[::2] //= 3  # dark ones, too
    low = max(0.0, 1 - strength)
    factors = low + (1 + strength - low) * torch.rand(3, 40, generator=generator(5))
    jittered = augment.colour_jitter(images, strength, generator(5))
    for image, ours, (brightness, contrast, saturation) in zip(
        images, jittered, factors.T.tolist(), strict=True
    ):
        theirs = functional.adjust_brightness(image / 255, brightness)
        theirs = functional.adjust_contrast(theirs, contrast)
        theirs = functional.adjust_saturation(theirs, saturation)
        # half a byte is what rounding to bytes takes
        assert (theirs * 255 - ours).abs().max() < 0.5 + 1e-3


@pytest.mark.parametrize(
    ("images", "strength", "message"),
    [
        (random_bytes(2, 1, 4, 4), 0.1, "1 channels; it takes uint8 images with 3"),
        (torch.rand(2, 3, 4, 4), 0.1, "torch.float32 .* takes uint8"),
        (random_bytes(2, 3, 4, 4), -0.1, "-0.1; take 0"),
    ],
)
def test_what_colour_jitter_refuses(images, strength, message):
    with pytest.raises(ValueError, match=message):
        augment.colour_jitter(images, strength, generator())


def test_mixup_on_paper():
    images, labels = labelled(3)
    mixed = augment.mixup(images, labels, 1.0, np.random.default_rng(0))
    share = np.random.default_rng(0).beta(1.0, 1.0)
    assert mixed.share == share
    assert mixed.labels.tolist() == [0, 1, 2]
    assert mixed.other_labels.tolist() == [2, 0, 1]
    expected = [2 * (1 - share), share, 2 * share + (1 - share)]
    torch.testing.assert_close(mixed.images[:, 0, 0, 0], torch.tensor(expected).float())


def test_mixup_is_linear():
    a, b = torch.randn(2, 4, 3, 5, 5, generator=generator())
    labels = torch.arange(4)

    def mix(images):
        return augment.mixup(images, labels, 0.4, np.random.default_rng(1)).images

    torch.testing.assert_close(mix(2 * a + b), 2 * mix(a) + mix(b))


@pytest.mark.parametrize("mix", [augment.mixup, augment.cutmix])
def test_the_share_is_beta_distributed(mix):
    # in CutMix but for what the border cuts off and rounding to pixels: it can only become larger
    images, labels = labelled(2, 1, 40, 40)
    rng = np.random.default_rng(0)
    shares = np.array([mix(images, labels, 0.3, rng).share for _ in range(1000)])
    drawn = np.random.default_rng(1).beta(0.3, 0.3, 1000)
    if mix is augment.mixup:
        np.testing.assert_allclose(shares.mean(), drawn.mean(), atol=5 * drawn.std() / 31)
        np.testing.assert_allclose(shares.std(), drawn.std(), atol=0.05)
    else:
        assert 0.5 < shares.mean() < 0.8
        assert shares.min() < 0.2  # a large box, if its centre is near that of the image


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    alpha=st.floats(0.1, 4),
    seed=st.integers(0, 999),
)
def test_the_share_of_cutmix_is_what_is_counted(height, width, alpha, seed):
    images, labels = labelled(3, 2, height, width)
    original = images.clone()
    mixed = augment.cutmix(images, labels, alpha, np.random.default_rng(seed))
    assert torch.equal(images, original)
    for image, own, other in zip(mixed.images, mixed.labels, mixed.other_labels, strict=True):
        assert other == (own - 1) % 3
        kept = (image == own).float().mean().item()
        assert math.isclose(kept, mixed.share, abs_tol=1e-6)
        replaced = (image == other)[0]
        assert torch.equal(replaced, (image == other)[1])
        # a box is the product of its rows and its columns
        assert torch.equal(replaced, replaced.any(1)[:, None] & replaced.any(0)[None])


def test_the_box_of_cutmix_has_the_area_drawn_unless_it_is_cut_off():
    images, labels = labelled(2, 1, 100, 200)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        side = math.sqrt(1 - rng.beta(1.0, 1.0))
        mixed = augment.cutmix(images, labels, 1.0, np.random.default_rng(seed))
        box = mixed.images[0, 0] == 1
        rows, columns = box.any(1).nonzero().flatten(), box.any(0).nonzero().flatten()
        if len(rows) and rows[0] > 0 and rows[-1] < 99:
            assert 100 * side - 2 < len(rows) <= 100 * side
        if len(columns) and columns[0] > 0 and columns[-1] < 199:
            assert 200 * side - 2 < len(columns) <= 200 * side


def test_the_centre_of_the_box_is_uniform():
    # α so large that λ = ½: a box of 28 × 28 in 40 × 40, from centre − 14 up to centre + 14
    images, labels = labelled(2, 1, 40, 40)
    rng = np.random.default_rng(0)
    boxes = [augment.cutmix(images, labels, 1e6, rng).images[0, 0] for _ in range(800)]
    reached = torch.stack(boxes).mean(0)[[0, 20, 39]][:, [0, 20, 39]]
    # by how many of the 40 centres the first, the middle and the last pixel are reached
    centres = torch.tensor([15, 28, 14]) / 40
    torch.testing.assert_close(reached, torch.outer(centres, centres), atol=0.09, rtol=0)


@pytest.mark.parametrize("mix", [augment.mixup, augment.cutmix])
def test_mixing_keeps_the_memory_format_and_the_batch(mix):
    images = torch.rand(4, 3, 8, 8).to(memory_format=torch.channels_last)
    before = images.clone()
    mixed = mix(images, torch.arange(4), 1.0, np.random.default_rng(0))
    assert mixed.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


@pytest.mark.parametrize("mix", [augment.mixup, augment.cutmix])
def test_mixing_without_a_distribution(mix):
    with pytest.raises(ValueError, match="alpha is 0; take a number above 0"):
        mix(*labelled(2), 0, np.random.default_rng(0))
