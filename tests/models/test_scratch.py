"""The convolution written out: by hand, beside PyTorch's, and as a property of all shapes."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.models import scratch


def test_a_convolution_worked_on_paper():
    """TDT4265 1a, as cross-correlation: a 3×3 Sobel kernel on 3×5 with zeros around."""
    image = torch.tensor([[2.0, 1, 2, 3, 1], [3, 9, 1, 1, 4], [4, 5, 0, 7, 0]])
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    flipped = kernel.flip(0, 1)  # a true convolution turns the kernel round
    found = scratch.conv2d(image[None, None], flipped[None, None], padding=1)
    right = [[-11, 2, 4, -1, 7], [-24, 8, 12, -5, 12], [-19, 10, 4, -3, 15]]
    assert found[0, 0].tolist() == right


def test_two_groups_on_paper():
    """Channels 1, 2 | 10, 20 and filters of ones: each sees its own two."""
    images = torch.tensor([1.0, 2, 10, 20]).view(1, 4, 1, 1)
    weight = torch.ones(2, 2, 1, 1)
    bias = torch.tensor([0.5, -0.5])
    found = scratch.conv2d(images, weight, bias, groups=2)
    assert found.flatten().tolist() == [3.5, 29.5]


@st.composite
def cases(draw, largest: int = 9):
    """Images, weight, bias or none, and the settings of a convolution that fits."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, filters = draw(st.integers(1, 3)) * groups, draw(st.integers(1, 3)) * groups
    pairs = {
        "stride": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        "padding": (draw(st.integers(0, 2)), draw(st.integers(0, 2))),
        "dilation": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
    }
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    size = [
        draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), largest + d * (k - 1)))
        for k, d, p in zip(kernel, pairs["dilation"], pairs["padding"], strict=True)
    ]
    draws = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    images = torch.randn(2, channels, *size, generator=draws, dtype=torch.float64)
    weight = torch.randn(filters, channels // groups, *kernel, generator=draws, dtype=torch.float64)
    bias = torch.randn(filters, generator=draws, dtype=torch.float64)
    return images, weight, draw(st.sampled_from([bias, None])), {**pairs, "groups": groups}


@given(cases())
@settings(max_examples=60, deadline=None)
def test_outputs_and_gradients_are_pytorch_s(case):
    images, weight, bias, chosen = case
    given_tensors = [tensor for tensor in (images, weight, bias) if tensor is not None]
    for tensor in given_tensors:
        tensor.requires_grad_()
    found = scratch.conv2d(images, weight, bias, **chosen)
    expected = F.conv2d(images, weight, bias, **chosen)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    direction = torch.randn_like(expected)
    ours = torch.autograd.grad(found, given_tensors, direction)
    theirs = torch.autograd.grad(expected, given_tensors, direction)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@given(cases(largest=3))
@settings(max_examples=15, deadline=None)
def test_the_loops_give_the_same(case):
    images, weight, bias, chosen = case
    found = scratch.conv2d_by_loops(images, weight, bias, **chosen)
    torch.testing.assert_close(found, F.conv2d(images, weight, bias, **chosen))


@pytest.mark.parametrize("size", range(1, 7))
def test_blur_is_a_depthwise_convolution_with_the_binomial_kernel(size):
    images = torch.randn(2, 5, 12, 9, dtype=torch.float64)
    row = scratch.binomial(size)
    kernel = torch.outer(row, row).expand(5, 1, size, size)
    torch.testing.assert_close(scratch.blur(images, size), F.conv2d(images, kernel, groups=5))


def test_the_blur_of_a_flat_image_is_flat_and_pascal_s_triangle_is_known():
    flat = torch.full((1, 2, 8, 8), 3.0)
    torch.testing.assert_close(scratch.blur(flat, 4), torch.full((1, 2, 5, 5), 3.0))
    assert (scratch.binomial(5) * 16).tolist() == [1, 4, 6, 4, 1]


def test_windows_are_a_view():
    images = torch.arange(20.0).view(1, 1, 4, 5)
    views = scratch.windows(images, (2, 3), stride=(1, 2))
    assert views.shape == (1, 1, 3, 2, 2, 3)
    assert views[0, 0, 1, 1].tolist() == [[7, 8, 9], [12, 13, 14]]
    assert views.untyped_storage().data_ptr() == images.untyped_storage().data_ptr()


def test_the_layer_takes_pytorch_s_weights():
    torch.manual_seed(0)
    theirs = torch.nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, dilation=(1, 2), groups=2)
    ours = scratch.Conv2d(4, 6, (3, 2), stride=2, padding=1, dilation=(1, 2), groups=2)
    bound = 1 / (2 * 3 * 2) ** 0.5
    assert 0.8 * bound < ours.weight.abs().max() <= bound
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(3, 4, 9, 10)
    torch.testing.assert_close(ours(images), theirs(images))
    assert scratch.Conv2d(4, 6, 3, bias=False).bias is None


@pytest.mark.parametrize(
    ("images", "weight", "chosen", "message"),
    [
        ((1, 3, 8, 8), (4, 2, 3, 3), {}, "3 channels and 4 filters of 2 channels do not make 1"),
        ((1, 4, 8, 8), (3, 2, 3, 3), {"groups": 2}, "do not make 2 groups"),
        (
            (1, 3, 8, 8),
            (4, 3, 9, 3),
            {},
            r"kernel of \(9, 3\) .* does not fit in images of \(8, 8\)",
        ),
        ((1, 3, 8, 8), (4, 3, 3, 3), {"stride": 0}, r"stride is \(0, 0\)"),
        ((1, 3, 8, 8), (4, 3, 3, 3), {"padding": -1}, r"padding is \(-1, -1\)"),
        ((3, 8, 8), (4, 3, 3, 3), {}, r"images are \(3, 8, 8\)"),
        ((1, 3, 8, 8), (4, 3, 3, 3), {"bias": torch.zeros(3)}, r"bias is \(3,\)"),
    ],
)
def test_what_does_not_fit_is_named(images, weight, chosen, message):
    with pytest.raises(ValueError, match=message):
        scratch.conv2d(torch.zeros(images), torch.zeros(weight), **chosen)


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="groups is 2; it must divide in_channels"):
        scratch.Conv2d(3, 4, 3, groups=2)
    with pytest.raises(ValueError, match="size is 0"):
        scratch.blur(torch.zeros(1, 1, 4, 4), 0)
