"""Each optimizer's first two steps, written out from its paper, on one weight."""

import math

import pytest
import torch

from labkit.training import SGD, Adadelta, Adagrad, Adam, AdamW, RMSprop
from labkit.training.optimizers import make_optimizer

START, GRADIENTS = 2.0, (0.5, -0.3)


def sgd(w, g, s):
    return w - 0.1 * (g + 0.01 * w)


def momentum(w, g, s):
    s["v"] = 0.9 * s.get("v", 0) + g
    return w - 0.1 * s["v"]


def nesterov(w, g, s):
    s["v"] = 0.9 * s.get("v", 0) + g
    return w - 0.1 * (g + 0.9 * s["v"])


def adam(w, g, s):
    s["t"] = s.get("t", 0) + 1
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g * g
    m, v = s["m"] / (1 - 0.9 ** s["t"]), s["v"] / (1 - 0.999 ** s["t"])
    return w - 0.1 * m / (math.sqrt(v) + 1e-8)


def adam_with_decay_in_the_gradient(w, g, s):
    return adam(w, g + 0.01 * w, s)


def adamw(w, g, s):
    return adam(w - 0.1 * 0.01 * w, g, s)


def rmsprop(w, g, s):
    s["v"] = 0.99 * s.get("v", 0) + 0.01 * g * g
    return w - 0.1 * g / (math.sqrt(s["v"]) + 1e-8)


def adagrad(w, g, s):
    s["v"] = s.get("v", 0) + g * g
    return w - 0.1 * g / (math.sqrt(s["v"]) + 1e-10)


def adadelta(w, g, s):
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g * g
    step = math.sqrt(s.get("d", 0) + 1e-6) / math.sqrt(s["v"] + 1e-6) * g
    s["d"] = 0.9 * s.get("d", 0) + 0.1 * step * step
    return w - step


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("chosen", "rule"),
    [
        (SGD(learning_rate=0.1, weight_decay=0.01), sgd),
        (SGD(learning_rate=0.1, momentum=0.9), momentum),
        (SGD(learning_rate=0.1, momentum=0.9, nesterov=True), nesterov),
        (Adam(learning_rate=0.1), adam),
        (Adam(learning_rate=0.1, weight_decay=0.01), adam_with_decay_in_the_gradient),
        (AdamW(learning_rate=0.1, weight_decay=0.01), adamw),
        (RMSprop(learning_rate=0.1), rmsprop),
        (Adagrad(learning_rate=0.1), adagrad),
        (Adadelta(), adadelta),
    ],
)
def test_two_steps_on_paper(chosen, rule, fused):
    weight = torch.tensor([START], requires_grad=True)
    optimizer = make_optimizer(chosen, [weight], fused=fused)
    expected, state = START, {}
    for gradient in GRADIENTS:
        weight.grad = torch.tensor([gradient])
        optimizer.step()
        expected = rule(expected, gradient, state)
        assert weight.item() == pytest.approx(expected, rel=1e-5)


def test_fused_where_pytorch_has_it():
    weight = [torch.zeros(1, requires_grad=True)]
    assert make_optimizer(Adam(learning_rate=0.1), weight).defaults["fused"]
    assert not make_optimizer(Adam(learning_rate=0.1), weight, fused=False).defaults.get("fused")
