import math

import pytest
import torch
import torch.nn.functional as F

from labkit.training.metrics import Meter


def test_on_paper():
    meter = Meter(2, torch.device("cpu"))
    # equal logits: loss ln 2 each, argmax takes class 0
    meter.add(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
    meter.add(torch.tensor([[0.0, 50.0]]), torch.tensor([1]))  # sure and right: loss 0
    result = meter.result()
    assert result.loss == pytest.approx(3 * math.log(2) / 4)
    assert result.accuracy == 0.5
    assert result.confusion.tolist() == [[1, 0], [2, 1]]


def test_ragged_batches_count_like_one():
    torch.manual_seed(0)
    logits, labels = torch.randn(37, 5), torch.randint(0, 5, (37,))
    meter = Meter(5, torch.device("cpu"))
    for start in range(0, 37, 8):
        meter.add(logits[start : start + 8], labels[start : start + 8])
    result = meter.result()
    assert result.loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert result.accuracy == (logits.argmax(1) == labels).sum().item() / 37
    assert result.num_examples == 37


def test_of_nothing():
    result = Meter(3, torch.device("cpu")).result()
    assert math.isnan(result.loss)
    assert result.num_examples == 0
