import pytest
import torch
import torch.nn.functional as F
from torch import nn

from labkit import handcalc
from labkit.handcalc import (
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    Sigmoid,
)
from labkit.models import build, nn_hw1, rdfia, tdt4265_first, tdt4265_improved

NETWORKS = {
    "first": tdt4265_first(),
    "improved": tdt4265_improved(),
    "3 × 3": tdt4265_improved(kernel=3),
    "sigmoid": tdt4265_improved(activation=Sigmoid),
    "no norm": tdt4265_improved(batch_norm=False),
    "extra": tdt4265_improved(extra_convolution=True),
    "rdfia": rdfia(),
    "rdfia, all": rdfia(dropout=0.2, batch_norm=True, ceil_mode=True),
    "nn_hw1": nn_hw1(image_size=32),
    "nn_hw1, all": nn_hw1(image_size=32, activation=LeakyReLU, batch_norm=True, dropout=0.3),
}
each_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_course_s_own_counts():
    # TDT4265 1g on paper: 2,432 + 51,264 + 204,928 + 131,136 + 650
    assert num_parameters(build(tdt4265_first())) == 390_410
    # 3a on paper: convolutions 2,432 + 51,264 + 102,464, norms 128 + 128,
    # fully connected 128·4096 + 128 = 524,416 and 1,290
    assert num_parameters(build(tdt4265_improved())) == 682_122
    # RDFIA Q11: 2,432 + 51,264 + 102,464 + 1,025,000 + 10,010; norms 2·(32 + 64 + 64)
    assert num_parameters(build(rdfia())) == 1_191_170
    assert num_parameters(build(rdfia(batch_norm=True, dropout=0.5))) == 1_191_170 + 320


def test_the_nn_hw1_network_on_paper():
    # convolutions 4,736 + 51,264 + 73,856; 512·(128·20·20) + 512 = 26,214,912; 5,130
    assert num_parameters(build(nn_hw1())) == 26_349_898
    # at 64 pixels 128·8·8 inputs: 512·8,192 + 512 = 4,194,816
    assert num_parameters(build(nn_hw1(image_size=64))) == 129_856 + 4_194_816 + 5_130
    # norms 2·(32 + 64 + 128 + 512); dropout has nothing to learn
    assert num_parameters(build(nn_hw1(batch_norm=True, dropout=0.3))) == 26_349_898 + 1_472


@pytest.mark.parametrize("image_size", [64, 96, 128, 160])
@pytest.mark.parametrize("extras", [{}, {"batch_norm": True, "dropout": 0.3}], ids=["base", "all"])
def test_the_nn_hw1_network_takes_every_size_of_imagenette(image_size, extras):
    network = nn_hw1(image_size=image_size, **extras)
    side = image_size // 8
    table = handcalc.layer_table(network, (3, image_size, image_size))
    pooled = [row.output_shape for row in table.rows if "pooling" in row.layer]
    assert pooled == [(32, 4 * side, 4 * side), (64, 2 * side, 2 * side), (128, side, side)]
    with torch.device("meta"):
        model = build(network)
        assert model(torch.zeros(2, 3, image_size, image_size)).shape == (2, 10)
        with pytest.raises(RuntimeError):  # it is made for one size
            model(torch.zeros(2, 3, image_size + 32, image_size + 32))


def test_the_nn_hw1_network_in_order():
    def kinds(**options):
        return [type(layer) for layer in nn_hw1(**options)]

    block = [Conv2d, ReLU, MaxPool2d]
    assert kinds() == [*block * 3, Flatten, Linear, ReLU, Linear]
    # before every activation
    block = [Conv2d, BatchNorm2d, ReLU, MaxPool2d]
    assert kinds(batch_norm=True) == [*block * 3, Flatten, Linear, BatchNorm1d, ReLU, Linear]
    # after each pooling, and after the activation of the first fully connected layer
    block = [Conv2d, ReLU, MaxPool2d, Dropout]
    assert kinds(dropout=0.3) == [*block * 3, Flatten, Linear, ReLU, Dropout, Linear]
    block = [Conv2d, BatchNorm2d, Sigmoid, MaxPool2d, Dropout]
    full = [Linear, BatchNorm1d, Sigmoid, Dropout, Linear]
    every = {"batch_norm": True, "dropout": 0.3, "activation": Sigmoid}
    assert kinds(**every) == [*block * 3, Flatten, *full]


def test_the_nn_hw1_network_s_settings():
    network = nn_hw1(batch_norm=True, dropout=0.3, activation=LeakyReLU)
    convolutions = [layer for layer in network if isinstance(layer, Conv2d)]
    assert [(c.out_channels, c.kernel, c.padding) for c in convolutions] == [
        *((32, 7, 3), (64, 5, 2)),
        (128, 3, 1),
    ]
    assert {layer.p for layer in network if isinstance(layer, Dropout)} == {0.3}
    norms = [layer for layer in network if isinstance(layer, BatchNorm1d | BatchNorm2d)]
    assert [norm.num_features for norm in norms] == [32, 64, 128, 512]
    assert [layer for layer in network if isinstance(layer, LeakyReLU)] == [LeakyReLU()] * 4


def test_the_rdfia_network_takes_smaller_images_in_ceil_mode():
    images = torch.zeros(2, 3, 28, 28)
    assert build(rdfia(ceil_mode=True))(images).shape == (2, 10)
    with pytest.raises(ValueError, match="in_features 1024 does not fit the 576 inputs"):
        handcalc.layer_table(rdfia(), (3, 28, 28))  # 64 × 3 × 3


@each_network
def test_the_module_has_the_sizes_that_hand_calculation_gives(network):
    table = handcalc.layer_table(network, (3, 32, 32))
    model = build(network)
    assert num_parameters(model) == table.num_parameters
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10) == (2, *table.output_shape)


@each_network
def test_every_parameter_receives_a_gradient(network):
    torch.manual_seed(0)
    model = build(network)
    F.cross_entropy(model(torch.randn(8, 3, 32, 32)), torch.arange(8)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@each_network
def test_an_example_depends_on_itself_alone_in_evaluation(network):
    torch.manual_seed(0)
    model = build(network).eval()
    images = torch.randn(4, 3, 32, 32)
    changed = images.clone()
    changed[1:] = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(model(images)[0], model(changed)[0], rtol=1e-5, atol=1e-6)


@each_network
def test_untrained_logits_take_both_signs_and_guess(network):
    torch.manual_seed(0)
    logits = build(network)(torch.randn(64, 3, 32, 32))
    assert logits.min() < 0 < logits.max()
    loss = F.cross_entropy(logits, torch.arange(64) % 10).item()
    assert loss == pytest.approx(2.303, abs=0.25)  # ln 10


@pytest.mark.parametrize("activation", [ReLU, Sigmoid])
def test_pooling_before_the_activation_changes_nothing(activation):
    torch.manual_seed(0)
    network = (Conv2d(3, 4, 3), activation(), MaxPool2d(2), Conv2d(4, 2, 3), activation())
    model = build(network)
    assert isinstance(model[1], nn.MaxPool2d)
    function = {ReLU: torch.relu, Sigmoid: torch.sigmoid}[activation]
    images = torch.randn(2, 3, 12, 12)
    expected = function(model[3](F.max_pool2d(function(model[0](images)), 2)))
    torch.testing.assert_close(model(images), expected)


def test_average_pooling_stays_behind_the_activation():
    model = build((Conv2d(1, 1, 3), ReLU(), AvgPool2d(2), Flatten(), Linear(4, 2)))
    assert isinstance(model[1], nn.ReLU)


def test_settings_reach_the_module():
    conv, pool = build((Conv2d(4, 8, (3, 5), 2, (1, 2), 1, 2, False), MaxPool2d(3, 2, 1)))
    assert (conv.kernel_size, conv.stride, conv.padding) == ((3, 5), (2, 2), (1, 2))
    assert (conv.groups, conv.bias) == (2, None)
    assert (pool.kernel_size, pool.stride, pool.padding) == (3, 2, 1)
