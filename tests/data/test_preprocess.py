import numpy as np
import pytest
import torch

from labkit.data import preprocess
from labkit.data.preprocess import METHODS, fit, scale

PER_CHANNEL = ("fixed", "standardise", "min-max", "robust")


def pictures(n: int, seed: int = 0) -> torch.Tensor:
    """Bytes (n, 3, 4, 5) of smooth images: neighbouring pixels and channels are correlated."""
    draws = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, 3, 4, 5, generator=draws).cumsum(1).cumsum(2).cumsum(3)
    return (110 + 12 * noise).clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def images():
    return pictures(300)


def test_scale_on_paper():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3)
    expected = torch.tensor([-2.0, (0.2 - 0.5) / 0.25, 2.0]).view(1, 1, 1, 3)
    torch.testing.assert_close(scale(images, 0.5, 0.25), expected)
    assert scale(images, 0.0, 1.0).max() == 1


@pytest.mark.parametrize(("mean", "std"), [(0.5, 0.25), (0.4914, 0.2023)])
def test_fixed_is_the_formula_of_stored_results_to_the_bit(images, mean, std):
    expected = images.to(torch.float32).sub_(255 * mean).div_(255 * std)
    assert torch.equal(fit("fixed", images, mean, std)(images), expected)
    assert torch.equal(scale(images, mean, std), expected)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("fixed", [-2.0, -1.2, -0.4, 0.4, 1.2]),
        ("standardise", [-(2**0.5), -(0.5**0.5), 0.0, 0.5**0.5, 2**0.5]),  # 0.4 and 0.2·√2
        ("min-max", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("robust", [-1.0, -0.5, 0.0, 0.5, 1.0]),  # the quartiles are 0.2 and 0.6
    ],
)
def test_one_map_a_channel_on_paper(method, expected):
    # pixels 0, 0.2, 0.4, 0.6, 0.8, beside a channel of other values
    images = torch.tensor([[0, 51, 102, 153, 204], [9, 8, 7, 6, 5]], dtype=torch.uint8)
    images = images.view(1, 2, 1, 5)
    torch.testing.assert_close(fit(method, images)(images)[0, 0, 0], torch.tensor(expected))


@pytest.mark.parametrize("method", PER_CHANNEL[1:])
def test_statistics_are_numpy_s(images, method):
    ours = fit(method, images)(images)
    for channel in range(3):
        x = images[:, channel].numpy().astype(np.float64) / 255
        quarter, half, three_quarters = np.quantile(x, [0.25, 0.5, 0.75])
        shift, factor = {
            "standardise": (x.mean(), x.std()),
            "min-max": (x.min(), np.ptp(x)),
            "robust": (half, three_quarters - quarter),
        }[method]
        np.testing.assert_allclose(ours[:, channel], (x - shift) / factor, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8])
def test_quantiles_between_two_values_are_numpy_s(n):
    values = torch.tensor([7, 250, 3, 40, 41, 90, 7, 11], dtype=torch.uint8)[:n]
    images = values.view(n, 1, 1, 1)
    quarter, half, three_quarters = np.quantile(values.numpy(), [0.25, 0.5, 0.75])
    expected = (values.double() - half) / ((three_quarters - quarter) or 255)
    torch.testing.assert_close(fit("robust", images)(images).flatten(), expected.float())


@pytest.mark.parametrize("method", PER_CHANNEL[1:])
def test_a_constant_channel_becomes_zero(images, method):
    constant = images.clone()
    constant[:, 1] = 77
    preprocessing = fit(method, constant)
    assert (preprocessing(constant)[:, 1] == 0).all()
    other = constant + 51  # as a test image may be: finite, in units of [0, 1]
    torch.testing.assert_close(preprocessing(other)[:, 1], torch.full((300, 4, 5), 0.2))


@pytest.mark.parametrize("method", ["pca", "zca"])
@pytest.mark.parametrize("epsilon", [1e-3, 0.01, 0.5])
def test_whitened_variances_are_numpy_s(images, method, epsilon):
    """λ/(λ + ε) along each principal axis, and nothing across."""
    whitened = fit(method, images, epsilon=epsilon)(images).flatten(1).double().numpy()
    x = images.flatten(1).double().numpy() / 255
    values, axes = np.linalg.eigh(np.cov(x.T, bias=True))
    expected = np.diag((values / (values + epsilon))[::-1])
    if method == "zca":
        expected = axes[:, ::-1] @ expected @ axes[:, ::-1].T
    np.testing.assert_allclose(whitened.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), expected, atol=1e-4)


def test_zca_is_the_inverse_square_root_of_the_covariance(images):
    """Of all whitenings the one that changes the images least: its matrix is symmetric."""
    x = images.flatten(1).double().numpy() / 255
    values, axes = np.linalg.eigh(np.cov(x.T, bias=True))
    root = axes / np.sqrt(values + 0.01) @ axes.T
    ours = fit("zca", images)(images).flatten(1)
    np.testing.assert_allclose(ours, (x - x.mean(0)) @ root, atol=1e-4)


def test_pca_on_paper():
    # two pixels that are always equal: one axis along (1, 1)/√2, nothing along the other
    images = torch.tensor([[0, 0], [255, 255]], dtype=torch.uint8).view(2, 1, 1, 2)
    whitened = fit("pca", images, epsilon=0.5)(images)
    # λ = ½: the coordinates are ∓1/√2, divided by √(½ + ½)
    expected = torch.tensor([[-(0.5**0.5), 0.0], [0.5**0.5, 0.0]]).view(2, 1, 1, 2)
    torch.testing.assert_close(whitened, expected)


def test_the_sign_of_an_axis_is_fixed(images):
    # seen through the inverse: a step along one axis moves the pixel that it moves most upwards
    preprocessing = fit("pca", images, epsilon=1e-3)
    steps = (torch.eye(60) * 0.01).view(60, 3, 4, 5)
    moved = preprocessing.inverse(steps) - preprocessing.inverse(torch.zeros(1, 3, 4, 5))
    moved = moved.flatten(1)
    assert (moved.gather(1, moved.abs().argmax(1, keepdim=True)) > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_inverse_gives_the_pixels_back(images, method):
    preprocessing = fit(method, images)
    for seen in (images, pictures(20, seed=1)):  # and of images it was not fitted on
        pixels = preprocessing.inverse(preprocessing(seen))
        assert pixels.dtype == torch.float32
        torch.testing.assert_close(pixels, seen / 255, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_pictures_stay_within_black_and_white(images, method):
    preprocessing = fit(method, images)
    pixels = preprocessing.inverse(100 * torch.randn(50, 3, 4, 5))
    assert (pixels.min(), pixels.max()) == (0, 1)


@pytest.mark.parametrize("method", METHODS)
def test_an_image_s_numbers_do_not_depend_on_the_others(images, method):
    """What is learnt comes from the images of `fit` alone."""
    preprocessing = fit(method, images)
    alone = preprocessing(pictures(5, seed=2))
    together = preprocessing(torch.cat([pictures(5, seed=2), pictures(50, seed=3) // 2]))
    torch.testing.assert_close(alone, together[:5])
    if method != "fixed":
        assert not torch.allclose(fit(method, images // 2)(images), preprocessing(images))


@pytest.mark.parametrize("method", METHODS)
def test_the_memory_format_is_kept_and_changes_nothing(images, method):
    last = images.to(memory_format=torch.channels_last)
    preprocessing = fit(method, images)
    result = preprocessing(last)
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert preprocessing(images).is_contiguous()
    assert preprocessing.inverse(result).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(result, preprocessing(images))
    torch.testing.assert_close(fit(method, last)(images), preprocessing(images))


@pytest.mark.parametrize("method", ["pca", "zca"])
def test_in_chunks_as_in_one(images, method, monkeypatch):
    expected = fit(method, images)
    monkeypatch.setattr(preprocess, "CHUNK", 7)
    chunked = fit(method, images)
    torch.testing.assert_close(chunked(images), expected(images), rtol=0, atol=1e-3)
    torch.testing.assert_close(expected.inverse(expected(images)), images / 255, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_only_a_whitening_whitens(images, method):
    preprocessing = fit(method, images)
    assert preprocessing.whitens == (method in ("pca", "zca"))
    assert torch.equal(preprocessing.to("cpu")(images), preprocessing(images))


@pytest.mark.parametrize("method", METHODS)
def test_to_moves_everything(images, method):
    moved = fit(method, images).to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == {"fixed": 0, "pca": 3, "zca": 3}.get(method, 2)
    assert all(tensor.device.type == "meta" for tensor in tensors)
    batch = moved(images.to("meta"))
    assert batch.device.type == moved.inverse(batch).device.type == "meta"


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("whiten", {}, "unknown preprocessing 'whiten'; choose one of fixed, standardise, min-max"),
        ("standardise", {"images": torch.rand(3, 1, 2, 2)}, "are torch.float32; give the uint8"),
        ("pca", {"images": pictures(1)}, "'pca' cannot be fitted on 1 images; give it at least 2"),
        ("robust", {"images": pictures(0)}, "'robust' cannot be fitted on 0 images; give"),
        ("zca", {"epsilon": 0.0}, "epsilon is 0.0; take a small number above 0"),
    ],
)
def test_what_fit_refuses(images, method, change, message):
    with pytest.raises(ValueError, match=message):
        fit(method, **{"images": images, **change})


def test_the_principal_axes_of_the_same_images_are_found_once(monkeypatch, capsys):
    found = []
    real = torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda matrix: (found.append(1), real(matrix))[1])
    images = torch.randint(0, 256, (40, 3, 4, 4), dtype=torch.uint8)
    first = preprocess.fit("zca", images)
    preprocess.fit("pca", images.clone())
    preprocess.fit("zca", images, epsilon=0.5)
    again = preprocess.fit("zca", images)
    assert len(found) == 1
    assert torch.equal(first(images), again(images))
    said = capsys.readouterr().err
    assert said.startswith("principal axes of the images: 1/1 sets in ")
    images[0, 0, 0, 0] ^= 1  # other images, if only by one bit
    preprocess.fit("zca", images)
    assert len(found) == 2
