"""The courses' questions: numbers on paper, and that they are about the networks that are trained.

Values that the reports printed, right and wrong, are in test_errata.
"""

from collections import Counter

import pytest

from labkit.handcalc import BatchNorm2d, check, question
from labkit.handcalc.layers import steps
from labkit.models import nn_hw1, rdfia, tdt4265_first, transfer

RESNET18 = transfer.resnet18()


def counted(name: str) -> tuple:
    """The layers whose parameters a question counts."""
    return question(name).calculation.layers


def learning(layers) -> Counter:
    """The layers with parameters, also those of residual blocks."""
    return Counter(step.layer for step in steps(layers) if step.layer.num_parameters())


@pytest.mark.parametrize(
    ("name", "right"),
    [
        # 32·3·7·7 + 32 = 4,736; 64·32·5·5 + 64 = 51,264; 128·64·3·3 + 128 = 73,856;
        # 512·(128·20·20) + 512 = 26,214,912; 10·512 + 10 = 5,130
        ("nn_hw1/2-parameters", 26_349_898),
        ("nn_hw1/3-classifier", 5_130),
        # 5·2·(64 + 128 + 256 + 512) = 9,600, and 5,130
        ("nn_hw1/3-batch-norm", 14_730),
        # 512·256·9 = 1,179,648; 3·512·512·9 = 7,077,888; 512·256 = 131,072; 5·2·512 = 5,120;
        # and 5,130
        ("tdt4265/4a-parameters", 8_398_858),
    ],
)
def test_numbers_on_paper(name, right):
    task = question(name)
    assert task.result == right
    assert check(f"{right:,}", task).right
    assert not check(right - 1, task).right


def test_the_networks_are_those_that_are_trained():
    assert counted("tdt4265/1g") == tdt4265_first()
    assert counted("rdfia/11") == rdfia()
    assert counted("nn_hw1/2-parameters") == nn_hw1() == nn_hw1(image_size=160)
    assert question("nn_hw1/2-parameters").calculation.input_shape == (3, 160, 160)


def test_the_classifier_is_resnet18_s():
    assert counted("nn_hw1/3-classifier") == (RESNET18[-1],)


def test_the_batch_normalisations_are_resnet18_s():
    norms = Counter(step.layer for step in steps(RESNET18) if isinstance(step.layer, BatchNorm2d))
    assert norms.total() == 20
    assert learning(counted("nn_hw1/3-batch-norm")) == norms + Counter([RESNET18[-1]])


def test_the_last_stage_is_resnet18_s():
    stage = RESNET18[transfer.BACKBONES["resnet18"].last_stage :]
    assert learning(counted("tdt4265/4a-parameters")) == learning(stage)


def test_of_many_layers_the_equal_ones_share_a_line():
    assert question("nn_hw1/3-batch-norm").calculation.working == (
        "2·64 = 128, 5 times",
        "2·128 = 256, 5 times",
        "2·256 = 512, 5 times",
        "2·512 = 1,024, 5 times",
        "10·512 + 10 = 5,130",
        "5·128 + 5·256 + 5·512 + 5·1,024 + 5,130 = 14,730",
    )
    assert question("tdt4265/4a-parameters").calculation.working == (
        "512·(256·3·3) = 1,179,648",
        "2·512 = 1,024, 5 times",
        "512·(512·3·3) = 2,359,296, 3 times",
        "512·(256·1·1) = 131,072",
        "10·512 + 10 = 5,130",
        "1,179,648 + 5·1,024 + 3·2,359,296 + 131,072 + 5,130 = 8,398,858",
    )
