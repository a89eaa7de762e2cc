"""Pretrained backbones: their architecture beside torchvision's, and what of them is trained."""

import io
import math
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from labkit.data._torchvision import import_torchvision
from labkit.handcalc import Conv2d, Dropout, Residual, layer_table, num_parameters
from labkit.models import build, rdfia, transfer
from labkit.models.transfer import (
    BACKBONES,
    IMAGENETTE,
    efficientnet_lite0,
    frozen_modules,
    load_pretrained,
    resnet18,
    same_padding,
    train_only,
)

each_backbone = pytest.mark.parametrize("name", BACKBONES)


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    """torchvision's network in evaluation mode, with random tensors, statistics among them."""
    torch.manual_seed(0)
    module = import_torchvision().models.resnet18(num_classes=1000)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.1)
    return module.eval()


@pytest.fixture
def random_weights(theirs, monkeypatch) -> dict[str, torch.Tensor]:
    """What `load_weights` gives: theirs in the order of the published file, which is an old one."""
    kinds = ("running_mean", "running_var", "weight", "bias")
    stored = {}
    for name, module in theirs.named_modules():
        own = dict(module.named_parameters(recurse=False)) | dict(
            module.named_buffers(recurse=False)
        )
        stored |= {f"{name}.{kind}": own[kind].detach() for kind in kinds if kind in own}
    monkeypatch.setattr(transfer, "load_weights", lambda name: stored)
    return stored


def small(name: str) -> tuple[nn.Sequential, torch.Tensor]:
    """A backbone for ten classes as PyTorch draws it, and four images."""
    torch.manual_seed(0)
    return build(BACKBONES[name].layers(10, 32)), torch.randn(4, 3, 32, 32)


def trained(model: nn.Module) -> int:
    return sum(each.numel() for each in model.parameters() if each.requires_grad)


# --- architecture ---------------------------------------------------------------------------------


def test_resnet18_on_paper():
    assert layer_table(resnet18(1000), (3, 224, 224)).num_parameters == 11_689_512
    table = layer_table(resnet18(10), (3, 224, 224))
    assert table.num_parameters == 11_181_642
    assert table.output_shape == (10,)
    stages = [row.output_shape for row in table.rows if row.layer == "sum"]
    assert stages[::2] == [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]


def test_lite0_on_paper():
    table = layer_table(efficientnet_lite0(1000), (3, 224, 224))
    assert table.num_parameters == 4_652_008
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build(efficientnet_lite0(1000)).eval()(torch.zeros(1, 3, 224, 224))
    assert 2 * table.multiply_adds == counter.get_total_flops()
    assert layer_table(efficientnet_lite0(10, 96), (3, 96, 96)).num_parameters == (
        4_652_008 - 990 * 1281
    )


def test_lite0_adds_where_stride_and_channels_allow():
    blocks = [layer for layer in efficientnet_lite0() if isinstance(layer, Residual)]
    channels = [block.body[0].in_channels for block in blocks]
    assert channels == [24, 40, 80, 80, 112, 112, 192, 192, 192]
    for block in blocks:
        assert block.shortcut == ()
        assert all(layer.stride == 1 for layer in block.body if isinstance(layer, Conv2d))
        assert block.body[-1].num_features == block.body[0].in_channels


def test_lite0_drops_out_where_asked_only():
    assert not any(isinstance(layer, Dropout) for layer in efficientnet_lite0())
    assert efficientnet_lite0(dropout=0.2)[-2] == Dropout(0.2)


def test_same_output_as_torchvision(theirs, random_weights):
    torch.manual_seed(1)
    model = build(resnet18(1000))
    load_pretrained(model, "resnet18", classes=range(1000))
    images = torch.randn(3, 3, 75, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), theirs(images), rtol=1e-5, atol=1e-5)


@given(
    side=st.integers(1, 300),
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.sampled_from([1, 2, 3]),
)
def test_same_padding_is_tensorflow_s(side, kernel, stride):
    outputs = math.ceil(side / stride)
    # its rule as its documentation has it
    over = side % stride or stride
    total = max(kernel - over, 0)
    padding = same_padding(side, kernel, stride)
    (before, after), columns = ((padding,) * 2,) * 2 if isinstance(padding, int) else padding
    assert (before, after) == columns == (total // 2, total - total // 2)
    layer = Conv2d(1, 1, kernel, stride, padding)
    assert layer.output_shape((1, side, side)) == (1, outputs, outputs)


@pytest.mark.parametrize("size", [64, 75, 96, 112, 128, 160, 224])
def test_lite0_s_sides_are_halved_upwards(size):
    def convolutions(layers):
        for layer in layers:
            if isinstance(layer, Residual):
                yield from convolutions(layer.body)
            elif isinstance(layer, Conv2d):
                yield layer

    side = size
    strides = 0
    for layer in convolutions(efficientnet_lite0(10, size)):
        after = layer.output_shape((layer.in_channels, side, side))[1]
        assert after == math.ceil(side / layer.stride)
        strides += layer.stride == 2
        side = after
    assert strides == 5
    assert layer_table(efficientnet_lite0(10, size), (3, size, size)).output_shape == (10,)


def test_lite0_pads_unevenly_where_the_side_is_even():
    assert efficientnet_lite0(10, 224)[0].padding == ((0, 1), (0, 1))
    assert efficientnet_lite0(10, 225)[0].padding == 1


@pytest.mark.parametrize("size", [0, 1.5])
def test_an_image_size_that_is_none(size):
    with pytest.raises(ValueError, match="image_size"):
        efficientnet_lite0(10, size)


# --- weights into the model -----------------------------------------------------------------------


@pytest.mark.parametrize("classes", [(217, 0, 999, 571), [3, 3, 1, 2], range(996, 1000)])
def test_each_output_begins_as_the_pretrained_one_of_its_class(random_weights, classes):
    model = build(resnet18(4))
    weight, bias = (random_weights[f"fc.{kind}"].clone() for kind in ("weight", "bias"))
    load_pretrained(model, "resnet18", classes=classes)
    for output, number in enumerate(classes):
        assert torch.equal(model[-1].weight[output], weight[number])
        assert torch.equal(model[-1].bias[output], bias[number])
    assert torch.equal(model[0].weight, random_weights["conv1.weight"])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((0, 1, 1000, 2), "class 1000 is none of the pretrained 1,000; they begin at 0"),
        ((0, -1, 2, 3), "class -1 is none of the pretrained 1,000; they begin at 0"),
        ((0, 1, 2), r"fc.weight .* 3×512 .* 22.weight .* 4×512; .* as many classes as are named"),
        (range(5), r"fc.weight .* 5×512 .* 22.weight .* 4×512"),
        ((), r"fc.weight .* 0×512 .* 22.weight .* 4×512"),
    ],
    ids=["beyond", "negative", "fewer", "more", "none"],
)
@pytest.mark.usefixtures("random_weights")
def test_classes_that_do_not_fit_are_refused_and_nothing_changes(classes, message):
    model = build(resnet18(4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_pretrained(model, "resnet18", classes=classes)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_lite0_s_classifier_is_found_as_well():
    chosen = build(efficientnet_lite0(10, 32))
    load_pretrained(chosen, "efficientnet_lite0", classes=IMAGENETTE)
    every = build(efficientnet_lite0(1000, 32))
    load_pretrained(every, "efficientnet_lite0", classes=range(1000))
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        logits, all_logits = chosen.eval()(images), every.eval()(images)
    torch.testing.assert_close(logits, all_logits[:, list(IMAGENETTE)])


@pytest.mark.usefixtures("random_weights")
def test_the_classifier_stays_unless_asked_for():
    model, _ = small("resnet18")
    own = model[-1].weight.clone()
    before = model[0].weight.clone()
    load_pretrained(model, "resnet18")
    assert torch.equal(model[-1].weight, own)
    assert not torch.equal(model[0].weight, before)


def test_a_tensor_that_does_not_fit_is_named_and_nothing_changes(random_weights):
    model, _ = small("resnet18")
    before = model[0].weight.clone()
    with pytest.raises(ValueError, match=r"fc.weight .* 1000×512 .* 22.weight .* 10×512; build"):
        load_pretrained(model, "resnet18", classes=range(1000))
    del random_weights["layer2.0.downsample.1.running_var"]
    with pytest.raises(ValueError, match=r"layer2.0.downsample.1.running_var .* is missing"):
        load_pretrained(model, "resnet18")
    assert torch.equal(model[0].weight, before)


def test_another_model_is_no_backbone():
    model = build(rdfia())
    with pytest.raises(ValueError, match="the model is no resnet18: 5 of its modules hold tensors"):
        load_pretrained(model, "resnet18")
    with pytest.raises(ValueError, match="the model is no efficientnet_lite0: 5 of"):
        train_only(model, "efficientnet_lite0", "all", "frozen")


def test_lite0_is_deterministic_and_sees_what_it_is_shown():
    model = build(efficientnet_lite0(10, 64))
    load_pretrained(model, "efficientnet_lite0")
    again = build(efficientnet_lite0(10, 64))
    load_pretrained(again, "efficientnet_lite0")
    images = torch.rand(2, 3, 64, 64).mul(255).sub(127).div(128)
    features, same = model[:-1].eval(), again[:-1].eval()
    with torch.no_grad():
        outputs = features(images)
        assert torch.equal(outputs, same(images))
    assert not torch.equal(outputs[0], outputs[1])
    assert outputs.min() >= 0  # behind ReLU6 and an average
    assert outputs.max() <= 6


def test_lite0_gives_what_its_authors_package_gives():
    """Recorded from efficientnet_lite_pytorch 0.1.0 of PyPI, which the weights were made for."""
    model = build(efficientnet_lite0(1000))
    load_pretrained(model, "efficientnet_lite0", classes=range(1000))
    wave = torch.sin(torch.arange(3 * 224 * 224, dtype=torch.float64) / 50)
    with torch.no_grad():
        logits = model.eval()(wave.float().view(1, 3, 224, 224))[0]
    expected = torch.tensor(
        [-1.8201, -0.6785, 1.4492, -1.0009, 0.3877, 0.3281, -1.283, -0.7455, 0.7661, 1.6708]
    )
    torch.testing.assert_close(logits[list(IMAGENETTE)], expected, rtol=0, atol=1e-3)
    assert logits.argmax() == 905


def imagenette() -> Path | None:
    folders = map(Path, filter(None, os.environ.get("LABKIT_DATA", "").split(os.pathsep)))
    archives = (folder / "imagenette2-160.tar" for folder in folders)
    return next((archive for archive in archives if archive.is_file()), None)


@pytest.mark.skipif(not imagenette(), reason="no imagenette2-160.tar in LABKIT_DATA")
def test_lite0_knows_imagenette():
    """40 pictures of val, four a class, at 128 pixels: of 1,000 it knows 92 % among the ten."""
    backbone = BACKBONES["efficientnet_lite0"]
    images, labels = [], []
    with tarfile.open(imagenette()) as tar:
        pictures = sorted(
            (each for each in tar if each.isfile() and "/val/" in each.name),
            key=lambda each: each.name,
        )
        folders = sorted({each.name.split("/")[-2] for each in pictures})  # IMAGENETTE's order
        for label, folder in enumerate(folders):
            of_class = [each for each in pictures if each.name.split("/")[-2] == folder]
            for each in of_class[::100][:4]:
                picture = Image.open(io.BytesIO(tar.extractfile(each).read())).convert("RGB")
                left, top = (picture.width - 160) // 2, (picture.height - 160) // 2
                square = picture.crop((left, top, left + 160, top + 160)).resize((128, 128))
                images.append(np.asarray(square))
                labels.append(label)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (backbone.pixel_mean, backbone.pixel_std))
    model = build(backbone.layers(1000, 128))
    load_pretrained(model, "efficientnet_lite0", classes=range(1000))
    with torch.no_grad():
        logits = model.eval()((pixels - mean) / std)
    right = logits[:, list(IMAGENETTE)].argmax(1) == torch.tensor(labels)
    assert len(labels) == 40
    assert right.float().mean() >= 0.8


# --- what is trained ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "part", "parameters"),
    [
        ("resnet18", "classifier", 5_130),
        ("resnet18", "last_stage", 8_398_858),
        ("resnet18", "batch_norm", 14_730),
        ("resnet18", "all", 11_181_642),
        ("efficientnet_lite0", "classifier", 12_810),
        # the block: 192·1152 + 2·1152 + 9·1152 + 2·1152 + 1152·320 + 2·320 = 605,440;
        # the head: 320·1280 + 2·1280 = 412,160; the classifier: 1280·10 + 10
        ("efficientnet_lite0", "last_stage", 605_440 + 412_160 + 12_810),
        ("efficientnet_lite0", "all", 4_652_008 - 990 * 1281),
    ],
)
@pytest.mark.parametrize("batch_norm", transfer.BATCH_NORMS)
def test_so_many_parameters_are_trained(name, part, parameters, batch_norm):
    model, _ = small(name)
    train_only(model, name, "all" if part == "classifier" else "classifier", "frozen")
    train_only(model, name, part, batch_norm)  # chooses anew
    assert trained(model) == parameters


@each_backbone
def test_the_last_stage_begins_where_it_should(name):
    backbone = BACKBONES[name]
    layers = backbone.layers(10, 224)
    rows = layer_table(layers[: backbone.last_stage], (3, 224, 224)).rows
    before = {"resnet18": (256, 14, 14), "efficientnet_lite0": (192, 7, 7)}[name]
    assert rows[-1].output_shape == before
    assert (
        num_parameters(layers[backbone.last_stage :])
        == {
            "resnet18": 8_398_858,
            "efficientnet_lite0": 605_440 + 412_160 + 12_810,
        }[name]
    )


def step(model: nn.Module, images: torch.Tensor) -> None:
    """One of training, as a training loop takes it."""
    model.train()
    learning = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(learning, 0.1, weight_decay=0.1)
    F.cross_entropy(model(images), torch.arange(len(images))).backward()
    optimizer.step()


def statistics(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.named_buffers()}


@each_backbone
def test_frozen_is_the_same_to_the_bit_in_training(name):
    model, images = small(name)
    names = list(model.state_dict())
    train_only(model, name, "classifier", "frozen")
    assert list(model.state_dict()) == names
    model.eval()
    body = model[:-1]
    with torch.no_grad():
        features = body(images)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    step(model, images)
    changed = [
        key for key, value in model.state_dict().items() if not torch.equal(value, before[key])
    ]
    assert changed == names[-2:]
    assert model.training
    with torch.no_grad():
        assert torch.equal(body(images), features)  # still in training mode


@each_backbone
@pytest.mark.parametrize("part", ["classifier", "batch_norm"])
def test_adapting_takes_the_statistics_of_the_batch(name, part):
    model, images = small(name)
    train_only(model, name, part, "frozen")
    train_only(model, name, part, "adapting")
    before = statistics(model)
    parameters = {key: value.clone() for key, value in model.named_parameters()}
    step(model, images)
    assert all(not torch.equal(value, before[key]) for key, value in model.named_buffers())
    norms = {
        id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()
    }
    for key, value in model.named_parameters():
        learns = id(value) in norms if part == "batch_norm" else False
        learns |= key.startswith(f"{len(model) - 1}.")
        assert torch.equal(value, parameters[key]) != learns, key


@each_backbone
def test_normalisations_that_are_trained_are_never_frozen(name):
    model, images = small(name)
    train_only(model, name, "last_stage", "frozen")
    place = BACKBONES[name].last_stage
    front, back = statistics(model[:place]), statistics(model[place:])
    step(model, images)
    assert all(torch.equal(value, front[key]) for key, value in model[:place].named_buffers())
    assert all(not torch.equal(value, back[key]) for key, value in model[place:].named_buffers())


def test_frozen_at_once_also_in_a_model_that_trains():
    model, images = small("resnet18")
    model.train()
    train_only(model, "resnet18", "classifier", "frozen")
    before = statistics(model)
    model(images)
    assert all(torch.equal(value, before[key]) for key, value in model.named_buffers())
    train_only(model, "resnet18", "classifier", "adapting")
    model(images)
    assert not any(torch.equal(value, before[key]) for key, value in model.named_buffers())


# the first module alone is a convolution: what stands behind an adapting normalisation changes
@pytest.mark.parametrize(
    ("part", "batch_norm", "resnet", "lite"),
    [
        ("classifier", "frozen", 22, 70),
        ("last_stage", "frozen", 16, 57),
        ("batch_norm", "frozen", 1, 1),
        ("all", "frozen", 0, 0),
        ("classifier", "adapting", 1, 1),
        ("last_stage", "adapting", 1, 1),
        ("batch_norm", "adapting", 1, 1),
        ("all", "adapting", 0, 0),
    ],
)
def test_how_much_may_be_computed_once(part, batch_norm, resnet, lite):
    for name, count in (("resnet18", resnet), ("efficientnet_lite0", lite)):
        model, _ = small(name)
        train_only(model, name, part, batch_norm)
        assert frozen_modules(model.eval()) == frozen_modules(model.train()) == count


def test_dropout_ends_what_may_be_computed_once():
    model = build(efficientnet_lite0(10, 32, dropout=0.2))
    train_only(model, "efficientnet_lite0", "classifier", "frozen")
    assert isinstance(model[70], nn.Dropout)
    assert frozen_modules(model) == 70
    model[70].p = 0.0
    assert frozen_modules(model) == 71


def test_a_network_of_which_nothing_is_chosen_has_no_frozen_modules():
    assert frozen_modules(build(rdfia())) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("vgg", "all", "frozen"), "no backbone 'vgg'; choose one of resnet18, efficientnet_lite0"),
        (("resnet18", "head", "frozen"), "no part 'head'; choose one of classifier, last_stage"),
        (("resnet18", "all", "off"), "no batch_norm 'off'; choose one of frozen, adapting"),
    ],
)
def test_an_unknown_word_names_the_choices(words, message):
    model = build(rdfia())
    with pytest.raises(ValueError, match=message):
        train_only(model, *words)
    with pytest.raises(ValueError, match="no backbone 'vgg'"):
        load_pretrained(model, "vgg")


# --- what is said of them -------------------------------------------------------------------------


def test_what_is_said_of_resnet18_is_torchvision_s():
    published = import_torchvision().models.ResNet18_Weights.IMAGENET1K_V1
    backbone = BACKBONES["resnet18"]
    assert 100 * backbone.top1 == pytest.approx(published.meta["_metrics"]["ImageNet-1K"]["acc@1"])
    preset = published.transforms()
    assert (backbone.pixel_mean, backbone.pixel_std) == (tuple(preset.mean), tuple(preset.std))
    chosen = [published.meta["categories"][number] for number in IMAGENETTE]
    assert chosen == [
        *("tench", "English springer", "cassette player", "chain saw", "church"),
        *("French horn", "garbage truck", "gas pump", "golf ball", "parachute"),
    ]
