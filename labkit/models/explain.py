"""What a trained network looks at: its activations, and Grad-CAM."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def activations(model: nn.Sequential, images: Tensor, at: int | str) -> Tensor:
    """What the module `at` that place of `model` gives for images (N, C, H, W), in evaluation mode.

    `at` counts from 0, or from −1 backwards, or is the module's name. No gradients; the model is
    left as it was. Raises ValueError where there is no such module.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    >>> activations(model, torch.zeros(2, 3, 32, 32), at=0).shape
    torch.Size([2, 8, 30, 30])
    """
    place = _place(model, at)
    with evaluating(model), torch.no_grad():
        return model[: place + 1](images)


def grad_cam(model: nn.Sequential, images: Tensor, classes: Tensor, at: int | str) -> Tensor:
    """Where in each image the evidence for its class lies: (N, H, W), in [0, 1].

    The maps A_k (N, K, h, w) that the module `at` gives are added up with weights: the mean over
    the places of how fast the logit of the class rises with them, α_k = 1/(h·w) Σ_ij ∂y_c/∂A_k,ij.
    What is negative in the sum becomes 0; the rest is brought to the images' size (bilinear) and
    divided by its largest value. Where nothing speaks for the class all is 0.

    `images` (N, C, H, W) are as the `model` takes them, `classes` (N,) of any choice: the predicted
    ones, or the right ones. In evaluation mode; the model, frozen or not, is left as it was.

    Raises ValueError where there is no such module, or where it gives no maps.

    Source: Selvaraju et al. 2017, "Grad-CAM: visual explanations from deep networks via
    gradient-based localization", arXiv:1610.02391, equations 1 and 2.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 6 * 6, 10))
    >>> grad_cam(model, torch.rand(2, 3, 8, 8), torch.tensor([4, 7]), at=0).shape
    torch.Size([2, 8, 8])
    """
    if classes.shape != images.shape[:1]:
        raise ValueError(
            f"classes of shape {tuple(classes.shape)} for {len(images)} images; give one for each"
        )
    place = _place(model, at)
    maps = activations(model, images, place)  # (N, K, h, w)
    if maps.ndim != 4:
        raise ValueError(
            f"module {at!r} gives {tuple(maps.shape)}, no maps; choose one before the maps become "
            "a vector"
        )
    with evaluating(model), torch.enable_grad():
        maps.requires_grad_()
        logits = model[place + 1 :](maps.clone())  # the next module may work in place
        chosen = logits.gather(1, classes.to(logits.device)[:, None])  # (N, 1)
        # of the maps alone, so that no parameter gets a gradient
        (slopes,) = torch.autograd.grad(chosen.sum(), maps)  # (N, K, h, w)
    weights = slopes.mean((2, 3), keepdim=True)
    heat = F.relu((weights * maps.detach()).sum(1, keepdim=True))  # (N, 1, h, w)
    heat = F.interpolate(heat, size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    largest = heat.amax((1, 2), keepdim=True)
    return heat / torch.where(largest > 0, largest, 1)


def _place(model: nn.Sequential, at: int | str) -> int:
    # a module that stands at two places counts twice
    every = [name for name, _ in model.named_modules(remove_duplicate=False)]
    names = [name for name in every if name and "." not in name]
    if isinstance(at, str) and at in names:
        return names.index(at)
    if isinstance(at, int) and -len(names) <= at < len(names):
        return at % len(names)
    raise ValueError(
        f"no module {at!r}; there are {len(names)}: {', '.join(names)} (the first is 0)"
    )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards for each module the mode that it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
