import copy
import math

import pytest
import torch
import torch.nn.functional as F
from quarters import make_split

from labkit.data import Dataset, Split
from labkit.data.preprocess import scale
from labkit.handcalc import Flatten, Linear
from labkit.models import build
from labkit.training import SGD, Adam, Augmentation, ConfigError, Trainer, fit
from labkit.training.trainer import reason_to_stop, validation_intervals

CPU = torch.device("cpu")


def equal(first: dict, second: dict) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", [SGD(learning_rate=0.1), Adam(learning_rate=0.01)])
def test_one_batch_can_be_memorised(config, dataset, optimizer, precision):
    few = {"data.train_images": 16, "optimizer": optimizer, "precision": precision}
    result = fit(config.replace(few, epochs=40), dataset)
    assert result.metrics["train_accuracy"] == 1.0
    assert result.metrics["train_loss"] < 0.1


def test_it_learns_what_carries_over_to_other_images(config, dataset):
    metrics = fit(config.replace(epochs=8), dataset).metrics
    assert metrics["test_accuracy"] > 0.9
    assert metrics["test_examples"] == 35


def test_a_step_of_sgd_is_the_textbook_s(config, dataset):
    """One batch, one step, against autograd and w − η(∇ + λw) written out."""
    network = (Flatten(), Linear(192, 4))
    changes = {"network": network, "optimizer": SGD(learning_rate=0.1, weight_decay=0.01)}
    trainer = Trainer(config.replace(changes), dataset, CPU)
    batch = torch.arange(16)
    weight = trainer.model[1].weight.detach().clone().requires_grad_()
    bias = trainer.model[1].bias.detach().clone()
    images = scale(dataset.train.images[:16], 0.5, 0.25).flatten(1)
    loss = F.cross_entropy(images @ weight.T + bias, dataset.train.labels[:16])
    (gradient,) = torch.autograd.grad(loss, weight)

    measured = trainer.train_epoch([batch])
    assert measured.loss == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(
        trainer.model[1].weight, weight - 0.1 * (gradient + 0.01 * weight), rtol=1e-4, atol=1e-6
    )


def test_gradients_do_not_pile_up(config, dataset):
    """Two steps from the same weights on the same batch leave the same gradient."""
    trainer = Trainer(config, dataset, CPU)
    start = copy.deepcopy(trainer.model.state_dict())
    gradients = []
    for _ in range(2):
        trainer.model.load_state_dict(start)
        trainer.train_epoch([torch.arange(16)])
        gradients.append([parameter.grad.clone() for parameter in trainer.model.parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


def test_evaluate_repeats_itself_and_leaves_the_model_alone(config, dataset):
    trainer = Trainer(config.replace({"augmentation.flip": True}), dataset, CPU)
    trainer.train_epoch([torch.arange(16)])
    before = copy.deepcopy(trainer.model.state_dict())
    first, second = trainer.evaluate(trainer.test), trainer.evaluate(trainer.test)
    assert (first.loss, first.accuracy) == (second.loss, second.accuracy)
    assert trainer.model.training
    assert equal(before, trainer.model.state_dict())


def test_evaluate_counts_every_example_once(config, dataset, monkeypatch):
    trainer = Trainer(config, dataset, CPU)
    whole = trainer.evaluate(trainer.test)
    monkeypatch.setattr("labkit.training.trainer.EVALUATION_BATCH", 8)  # 35 = 4·8 + 3
    ragged = trainer.evaluate(trainer.test)
    assert ragged.num_examples == 35
    assert ragged.loss == pytest.approx(whole.loss, rel=1e-5)
    assert torch.equal(ragged.confusion, whole.confusion)


def test_same_seed_same_run_other_seed_other_run(config, dataset):
    config = config.replace(augmentation=Augmentation(flip=True, rotation=10.0))
    first = fit(config, dataset)
    torch.manual_seed(12345)  # what happened before in the process must not reach the run
    second = fit(config, dataset)
    other = fit(config.replace(seed=1), dataset)
    assert equal(first.weights, second.weights)
    assert not equal(first.weights, other.weights)

    def without_time(rows):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    assert without_time(first.history) == without_time(second.history)


def test_a_run_leaves_the_random_state_as_it_was(config, dataset):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    fit(config, dataset)
    assert torch.equal(torch.rand(3), expected)


def test_the_best_weights_are_kept_and_measured(config, dataset):
    result = fit(config.replace(epochs=6), dataset)
    losses = {row["step"]: row["validation_loss"] for row in result.history}
    assert result.metrics["best_step"] == min(losses, key=losses.get)
    assert result.metrics["validation_loss"] == pytest.approx(min(losses.values()), rel=1e-5)
    model = build(config.network)
    model.load_state_dict(result.weights)
    model.eval()
    logits = model(scale(dataset.test.images, 0.5, 0.25))
    hits = (logits.argmax(1) == dataset.test.labels).sum().item()
    assert result.metrics["test_accuracy"] == hits / 35
    assert sum(map(sum, result.metrics["test_confusion"])) == 35


def test_without_validation_the_last_weights_are_the_best(config, dataset):
    empty = Split(dataset.train.images[:0], dataset.train.labels[:0])
    unvalidated = Dataset(
        **{**{name: getattr(dataset, name) for name in dataset.__annotations__}}
        | {"validation": empty}
    )
    metrics = fit(config.replace(early_stop=2), unvalidated).metrics
    assert metrics["best_step"] == metrics["steps"] == 12
    assert math.isnan(metrics["validation_loss"])


def test_early_stopping_is_the_course_s():
    def reason(*losses: float, early_stop: int | None = 4):
        rows = [{"train_loss": 1.0, "validation_loss": loss} for loss in losses]
        return reason_to_stop(rows, early_stop)

    assert reason(0.5, 0.6, 0.7) is None  # fewer than four validations
    assert reason(0.5, 0.6, 0.7, 0.8)  # the oldest of the last four is the smallest
    assert reason(0.4, 0.45, 0.6, 0.5, 0.55)  # an older, lower one does not count
    assert reason(0.5, 0.6, 0.49, 0.8) is None
    assert reason(0.5, 0.5, 0.5, 0.5)  # no progress at all
    assert reason(0.5, 0.6, 0.7, 0.8, early_stop=None) is None
    assert "diverged" in reason_to_stop([{"train_loss": float("nan"), "validation_loss": 1.0}], 4)


def test_fit_stops_early(config, dataset):
    # with so small a rate the loss stands still to the last bit, which is no progress
    config = config.replace({"optimizer.learning_rate": 1e-12}, network=(Flatten(), Linear(192, 4)))
    result = fit(config.replace(epochs=50, early_stop=4), dataset)
    assert result.metrics["stopped"].startswith("early")
    assert len(result.history) < 100


def test_a_run_that_diverges_ends_and_says_so(config, dataset):
    changes = {"optimizer.learning_rate": 3e38, "network": (Flatten(), Linear(192, 4))}
    result = fit(config.replace(changes, epochs=50), dataset)
    assert result.metrics["stopped"].startswith("diverged")
    assert len(result.history) < 10


def test_every_image_is_seen_once_an_epoch(config):
    parts = list(validation_intervals(config.replace(epochs=2), 90, CPU))
    assert [len(part) for part in parts] == [3, 3, 3, 3]  # 6 batches, two validations an epoch
    seen = [torch.cat(parts[0] + parts[1]), torch.cat(parts[2] + parts[3])]
    assert all(sorted(epoch.tolist()) == list(range(90)) for epoch in seen)
    assert not torch.equal(*seen)


def test_more_validations_than_batches_is_one_each(config):
    parts = list(validation_intervals(config.replace(epochs=1, validations_per_epoch=99), 40, CPU))
    assert [len(part) for part in parts] == [1, 1, 1]


def test_bf16_and_fp32_agree(config, dataset):
    exact = fit(config.replace(epochs=4), dataset).metrics
    rough = fit(config.replace(epochs=4, precision="bf16"), dataset).metrics
    assert rough["test_loss"] == pytest.approx(exact["test_loss"], abs=0.1)
    assert rough != exact


def test_a_network_for_other_classes_is_refused(config, dataset):
    with pytest.raises(ConfigError, match=r"ends with \(5,\) outputs .* 4 classes"):
        fit(config.replace(network=(Flatten(), Linear(192, 5))), dataset)


def test_more_images_than_there_are_is_refused(config, dataset):
    with pytest.raises(ValueError, match="91"):
        fit(config.replace({"data.train_images": 91}), dataset)


def test_a_gpu_that_is_not_there_is_refused(config, dataset):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ConfigError, match="CUDA sees no GPU"):
        fit(config, dataset, device="cuda")


def test_augmentation_changes_training_batches_only(config, dataset):
    plain = Trainer(config, dataset, CPU)
    flipped = Trainer(config.replace({"augmentation.flip": True}), dataset, CPU)
    flipped.model.load_state_dict(plain.model.state_dict())
    assert plain.evaluate(plain.test).loss == flipped.evaluate(flipped.test).loss
    batch = torch.arange(16)
    assert plain.train_epoch([batch]).loss != flipped.train_epoch([batch]).loss


def test_the_made_set_is_learnable_by_no_accident():
    # the fixture itself: were a class missing, several tests above would pass for nothing
    assert make_split(90, 1).labels.unique().tolist() == [0, 1, 2, 3]
