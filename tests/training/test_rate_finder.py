import dataclasses

import pytest
import torch

from labkit.data import Split
from labkit.handcalc import Flatten, Linear
from labkit.training import ConfigError, find_learning_rate, fit


@pytest.fixture
def linear(config):
    return config.replace(network=(Flatten(), Linear(192, 4)))


def test_rates_rise_in_equal_factors(linear, dataset):
    table = find_learning_rate(linear, dataset, lowest=1e-6, highest=1e-3, steps=31).table
    rates = table["learning_rate"]
    assert len(rates) == 31  # over several epochs of six steps
    assert (rates.iloc[0], rates.iloc[-1]) == (pytest.approx(1e-6), pytest.approx(1e-3))
    assert (rates / rates.shift()).dropna().tolist() == pytest.approx([10**0.1] * 30)


def test_the_losses_are_those_of_the_steps_smoothed(linear, dataset):
    table = find_learning_rate(linear, dataset, lowest=1e-6, highest=1e-4, steps=12).table
    losses = table["loss"]
    # weights 0.9^age, normalised
    weights = [0.9**age for age in range(12)][::-1]
    expected = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)
    assert table["smoothed_loss"].iloc[-1] == pytest.approx(expected)
    assert table["smoothed_loss"].iloc[0] == pytest.approx(losses.iloc[0])


def test_it_ends_when_the_loss_has_exploded(config, dataset):
    shuffled = dataset.train.labels.roll(1)  # which no network can learn from the images
    train = Split(dataset.train.images, shuffled)
    dataset = dataclasses.replace(dataset, train=train)
    found = find_learning_rate(config, dataset, lowest=1e-5, highest=1e4, steps=120)
    assert len(found.table) < 120
    lowest = found.table["smoothed_loss"].min()
    assert found.table["smoothed_loss"].iloc[-1] > 4 * lowest
    assert found.suggested < found.table["learning_rate"].iloc[-1] / 10


def test_a_run_at_the_rate_that_it_names_learns(config, dataset):
    rate = find_learning_rate(config, dataset, lowest=1e-4, highest=10.0, steps=60).suggested
    metrics = fit(config.replace({"optimizer.learning_rate": rate}, epochs=10), dataset).metrics
    assert metrics["train_accuracy"] > 0.8


def test_it_leaves_the_random_state_alone(linear, dataset):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    find_learning_rate(linear, dataset, steps=5)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("wrong", [{"lowest": 0}, {"lowest": 2.0}, {"steps": 1}])
def test_what_cannot_rise_is_refused(linear, dataset, wrong):
    with pytest.raises(ConfigError, match="give 0 < lowest < highest"):
        find_learning_rate(linear, dataset, **wrong)
