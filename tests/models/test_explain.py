"""Grad-CAM by hand, beside class activation maps, which it is the general case of."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labkit.models.explain import activations, grad_cam


def averaging(filters: int = 4, classes: int = 3, activation: nn.Module | None = None):
    """Convolution, activation, global average pooling, linear: what Zhou et al. 2016 explain."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, filters, 1),
        activation or nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(filters, classes),
    )


def class_activation_maps(model, images, classes):
    """Zhou et al. 2016, arXiv:1512.04150: the last layer's weights instead of gradients."""
    maps = model[1](model[0](images))
    return torch.einsum("nk,nkhw->nhw", model[-1].weight[classes], maps).detach()


def batch():
    torch.manual_seed(1)
    return torch.rand(5, 3, 6, 7), torch.tensor([0, 1, 2, 2, 0])


def test_grad_cam_worked_on_paper():
    """Maps A1 = x and A2 = −x of x = [[1, 2], [−3, 0]]; logits mean(A1) and 4·mean(A2)."""
    model = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2, 2, bias=False),
    )
    model[0].weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    model[3].weight.data = torch.tensor([[1.0, 0.0], [0.0, 4.0]])
    image = torch.tensor([[1.0, 2.0], [-3.0, 0.0]])
    first, second = grad_cam(model, image.expand(2, 1, 2, 2), torch.tensor([0, 1]), at=0)
    assert first.tolist() == [[0.5, 1.0], [0.0, 0.0]]  # x/4 above 0, of its largest
    assert second.tolist() == [[0.0, 0.0], [1.0, 0.0]]  # −x, above 0


def test_behind_average_pooling_it_is_the_class_activation_map():
    model = averaging()
    images, classes = batch()
    cam = class_activation_maps(model, images, classes).clamp(min=0)
    assert (cam.flatten(1).amax(1) > 0).sum() >= 3  # not a test of zeros
    expected = cam / cam.amax((1, 2), keepdim=True).clamp(min=1e-30)
    torch.testing.assert_close(grad_cam(model, images, classes, at=1), expected)


def test_a_coarse_map_is_brought_to_the_images_size_and_fills_0_to_1():
    model = averaging()
    model.insert(0, nn.AvgPool2d(4))
    images = torch.rand(2, 3, 16, 24)
    classes = torch.tensor([1, 2])
    heat = grad_cam(model, images, classes, at="2")
    assert heat.shape == (2, 16, 24)
    assert heat.amin() >= 0
    assert heat.flatten(1).amax(1).tolist() == [1.0, 1.0]
    coarse = class_activation_maps(model[1:], F.avg_pool2d(images, 4), classes).clamp(min=0)
    fine = F.interpolate(coarse[:, None], (16, 24), mode="bilinear")[:, 0]
    torch.testing.assert_close(heat, fine / fine.amax((1, 2), keepdim=True))


def test_where_nothing_speaks_for_the_class_all_is_zero():
    model = averaging()
    model[-1].weight.data.fill_(-1)  # and maps behind a ReLU are never negative
    images, classes = batch()
    assert grad_cam(model, images, classes, at=1).tolist() == torch.zeros(5, 6, 7).tolist()


def test_a_batch_gives_what_its_images_give_one_by_one():
    model = averaging()
    model.insert(1, nn.BatchNorm2d(4))
    images, classes = batch()
    model(images)  # in training, so that the running statistics are not those of one image
    together = grad_cam(model, images, classes, at=0)
    alone = [
        grad_cam(model, image[None], label[None], at=0)[0]
        for image, label in zip(images, classes, strict=True)
    ]
    torch.testing.assert_close(together, torch.stack(alone))


@pytest.mark.parametrize("frozen", [False, True])
def test_the_model_is_left_as_it_was(frozen):
    model = averaging()
    model.insert(1, nn.BatchNorm2d(4))
    model.train()
    model[1].eval()  # as a frozen backbone keeps its statistics while the classifier is trained
    images, classes = batch()
    model.requires_grad_(not frozen)
    model[-1].bias.requires_grad_(True)
    model(images).sum().backward()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    asked = [parameter.requires_grad for parameter in model.parameters()]
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]

    heat = grad_cam(model, images, classes, at=0)
    found = activations(model, images, at=1)
    assert not heat.requires_grad
    assert not found.requires_grad
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == asked
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        assert (parameter.grad is None) == (grad is None)
        assert grad is None or torch.equal(parameter.grad, grad)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_it_works_on_frozen_networks_and_where_gradients_are_off():
    images, classes = batch()
    expected = grad_cam(averaging(), images, classes, at=0)
    assert expected.any()
    with torch.no_grad():
        frozen = averaging().requires_grad_(False)
        assert torch.equal(grad_cam(frozen, images, classes, at=0), expected)


def test_a_module_that_works_in_place_changes_nothing():
    images, classes = batch()
    plain, in_place = averaging(), averaging(activation=nn.ReLU(inplace=True))
    before = activations(in_place, images, at=0)
    assert (before < 0).any()  # taken in front of the ReLU
    assert torch.equal(before, plain[0](images))
    expected = grad_cam(plain, images, classes, at=0)
    assert torch.equal(grad_cam(in_place, images, classes, at=0), expected)


def test_activations_are_those_of_the_evaluation_mode():
    model = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(3, 2, 3), nn.Tanh(), nn.Flatten()).train()
    images = torch.rand(2, 3, 5, 5)
    expected = torch.tanh(F.conv2d(images, model[1].weight, model[1].bias)).detach()
    torch.testing.assert_close(activations(model, images, at=2), expected)
    torch.testing.assert_close(activations(model, images, at=-2), expected)
    torch.testing.assert_close(activations(model, images, at="2"), expected)
    assert activations(model, images, at=-1).shape == (2, 18)


def test_a_place_may_have_a_name_and_a_module_two_places():
    relu = nn.ReLU()
    model = nn.Sequential()
    for name, module in {
        "conv": nn.Conv2d(3, 2, 1),
        "a": relu,
        "turn": nn.Hardtanh(-2, -1),
    }.items():
        model.add_module(name, module)
    model.add_module("b", relu)
    images = torch.rand(1, 3, 2, 2)
    assert activations(model, images, at="turn").tolist() == torch.full((1, 2, 2, 2), -1.0).tolist()
    assert activations(model, images, at=3).tolist() == torch.zeros(1, 2, 2, 2).tolist()
    assert activations(model, images, at="b").tolist() == torch.zeros(1, 2, 2, 2).tolist()


def test_what_cannot_be_used_is_named_with_the_remedy():
    model = averaging()
    images, classes = batch()
    with pytest.raises(ValueError, match=r"no module 5; there are 5: 0, 1, 2, 3, 4"):
        activations(model, images, at=5)
    with pytest.raises(ValueError, match=r"no module 'conv'; there are 5"):
        grad_cam(model, images, classes, at="conv")
    with pytest.raises(ValueError, match=r"module -1 gives \(5, 3\), no maps; choose one before"):
        grad_cam(model, images, classes, at=-1)
    with pytest.raises(ValueError, match=r"classes of shape \(2,\) for 5 images"):
        grad_cam(model, images, classes[:2], at=0)
    assert model.training  # also after an error
