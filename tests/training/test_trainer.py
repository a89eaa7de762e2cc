import copy
import math

import pytest
import torch
import torch.nn.functional as F
from quarters import make_split

from labkit.data import Dataset, Split
from labkit.handcalc import BatchNorm1d, Conv2d, Flatten, Linear, MaxPool2d, ReLU
from labkit.models import build
from labkit.training import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Augmentation,
    ConfigError,
    Constant,
    Engine,
    Exponential,
    RMSprop,
    Trainer,
    fit,
)
from labkit.training.loop import reason_to_stop, validation_steps

CPU = torch.device("cpu")


def scale(images, mean, std):
    """Written out, for comparison."""
    return (images.float() / 255 - mean) / std


def equal(first: dict, second: dict) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(learning_rate=0.1),
        SGD(learning_rate=0.02, momentum=0.9, nesterov=True),
        Adam(learning_rate=0.01),
        AdamW(learning_rate=0.01),
        RMSprop(learning_rate=0.003),
        Adagrad(learning_rate=0.05),
        Adadelta(),
    ],
    ids=lambda it: it.name,
)
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

    trainer.step(batch)
    assert trainer.validate()["train_loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert trainer.step_loss[0].item() == pytest.approx(loss.item(), rel=1e-5)
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
        trainer.step(torch.arange(16))
        gradients.append([parameter.grad.clone() for parameter in trainer.model.parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


def test_evaluate_repeats_itself_and_leaves_the_model_alone(config, dataset):
    trainer = Trainer(config.replace({"augmentation.flip": True}), dataset, CPU)
    trainer.step(torch.arange(16))
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


def test_any_loss_is_better_than_none(config, dataset, monkeypatch):
    """Losses nan, .5, .3, .4: the best is the third."""
    losses = iter([float("nan"), 0.5, 0.3, 0.4])
    real = Trainer.validate
    monkeypatch.setattr(
        Trainer, "validate", lambda self: real(self) | {"validation_loss": next(losses)}
    )
    assert fit(config, dataset).metrics["best_step"] == 9  # validated after 3, 6, 9 and 12 steps


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


def test_every_image_is_seen_once_an_epoch(config, dataset):
    trainer = Trainer(config.replace({"data.train_images": 90}, epochs=2), dataset, CPU)
    every = list(trainer.batches())
    assert [len(batch) for batch in every] == [16, 16, 16, 16, 16, 10] * 2
    seen = [torch.cat(every[:6]), torch.cat(every[6:])]
    assert all(sorted(epoch.tolist()) == list(range(90)) for epoch in seen)
    assert not torch.equal(*seen)
    rest = list(trainer.batches(skip=7))  # as after a checkpoint
    assert all(torch.equal(*pair) for pair in zip(rest, every[7:], strict=True))


def test_validations_cut_the_epoch_into_equal_parts(config):
    config = config.replace(epochs=2)
    assert sorted(validation_steps(config, 6)) == [3, 6, 9, 12]
    assert sorted(validation_steps(config, 5)) == [2, 5, 7, 10]
    assert sorted(validation_steps(config.replace(validations_per_epoch=99), 3)) == [*range(1, 7)]
    assert sorted(validation_steps(config.replace(validate_every=5), 6)) == [5, 10, 12]


def test_the_schedule_sets_the_rate_of_every_step(config, dataset):
    """A step at rate 0.1·0.5 is half the step at 0.1 from the same weights on the same batch."""
    network = (Flatten(), Linear(192, 4))
    moved = []
    for schedule in (Constant(), Exponential(decay=0.5)):
        torch.manual_seed(0)
        trainer = Trainer(config.replace(network=network, schedule=schedule), dataset, CPU)
        start = trainer.weights()["1.weight"]
        trainer.steps = trainer.steps_per_epoch  # the first of the second epoch
        trainer.step(torch.arange(16))
        moved.append(trainer.weights()["1.weight"] - start)
    torch.testing.assert_close(moved[1], 0.5 * moved[0])


def test_label_smoothing_is_the_formula_s(config, dataset):
    config = config.replace(network=(Flatten(), Linear(192, 4)), label_smoothing=0.2)
    trainer = Trainer(config, dataset, CPU)
    images, labels = dataset.train.images[:16], dataset.train.labels[:16]
    with torch.no_grad():
        logs = trainer.model(scale(images, 0.5, 0.25)).log_softmax(1)
    trainer.step(torch.arange(16))
    hit = logs.gather(1, labels[:, None]).mean()
    # 1 − ε on the label, ε spread over all classes (Szegedy et al. 2016)
    assert trainer.step_loss[0].item() == pytest.approx(-(0.8 * hit + 0.2 * logs.mean()).item())
    unsmoothed = Trainer(config.replace(label_smoothing=0.0), dataset, CPU)
    assert trainer.evaluate(trainer.test).loss != unsmoothed.step_loss[0]
    assert unsmoothed.evaluate(unsmoothed.test).loss == pytest.approx(
        F.cross_entropy(
            unsmoothed.model(scale(dataset.test.images, 0.5, 0.25)), dataset.test.labels
        ).item(),
        rel=1e-5,
    )


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixed_labels_share_the_loss(config, dataset, mix):
    config = config.replace({f"augmentation.{mix}": 1.0}, network=(Flatten(), Linear(192, 4)))
    trainer = Trainer(config, dataset, CPU)
    images, labels, others, share = mixed = trainer.batch(torch.arange(16))
    assert 0 < share < 1
    assert not torch.equal(labels, others)
    again = trainer.batch(torch.arange(16))
    assert torch.equal(again.images, images)  # drawn from the step alone
    logits = trainer.model(images)
    expected = share * F.cross_entropy(logits, labels) + (1 - share) * F.cross_entropy(
        logits, others
    )
    trainer.step(torch.arange(16))
    assert trainer.step_loss[0].item() == pytest.approx(expected.item(), rel=1e-5)
    assert trainer.batch(torch.arange(16)).share != mixed.share


def test_a_smaller_crop_is_random_in_training_and_central_in_evaluation(config, dataset):
    config = config.replace({"augmentation.crop": 6}, network=(Flatten(), Linear(108, 4)))
    trainer = Trainer(config, dataset, CPU)
    assert trainer.batch(torch.arange(16)).images.shape == (16, 3, 6, 6)
    centre = scale(dataset.test.images[..., 1:7, 1:7], 0.5, 0.25)
    with torch.no_grad():
        torch.testing.assert_close(trainer.logits(trainer.test), trainer.model(centre))
    with pytest.raises(ValueError, match="192 does not fit the 108 inputs"):
        Trainer(config.replace(network=(Flatten(), Linear(192, 4))), dataset, CPU)


@pytest.mark.parametrize("preprocessing", ["standardise", "min-max", "robust", "pca", "zca"])
def test_it_learns_on_preprocessed_images(config, dataset, preprocessing):
    config = config.replace(
        {"data.preprocessing": preprocessing, "optimizer": Adam(learning_rate=0.01)}
    )
    metrics = fit(config.replace(epochs=15), dataset).metrics
    assert metrics["train_accuracy"] > 0.9


def test_preprocessing_is_fitted_on_the_images_of_the_run(config, dataset):
    config = config.replace({"data.preprocessing": "min-max", "data.train_images": 20})
    trainer = Trainer(config, dataset, CPU)
    ours = dataset.train.images[:20].amax((0, 2, 3))
    assert not torch.equal(ours, dataset.train.images.amax((0, 2, 3)))
    top = trainer.preprocessing(ours.view(1, 3, 1, 1))
    torch.testing.assert_close(top, torch.ones(1, 3, 1, 1))


def test_other_splits_are_measured_along_the_way(config, dataset):
    result = fit(config.replace(also_measure=("train", "test"), epochs=3), dataset)
    best = next(r for r in result.history if r["step"] == result.metrics["best_step"])
    for split in ("train", "test"):
        for metric in ("loss", "accuracy"):
            assert best[f"measured_{split}_{metric}"] == pytest.approx(
                result.metrics[f"{split}_{metric}"]
            )
    plain = fit(config.replace(epochs=3), dataset)
    assert equal(plain.weights, result.weights)  # looking changes nothing


def test_what_was_measured_along_the_way_is_not_measured_again(config, dataset, monkeypatch):
    counts = []
    logits = Trainer.logits
    monkeypatch.setattr(
        Trainer, "logits", lambda self, split: counts.append(len(split)) or logits(self, split)
    )
    fit(config.replace(validations_per_epoch=1, also_measure=("train",)), dataset)
    # validation and training images after each of the two epochs, the test images at the end
    assert counts == [30, 90, 30, 90, 35]


def test_so_many_of_the_training_images_are_measured(config, dataset):
    few = config.replace({"data.measured_train_images": 10}, also_measure=("train",))
    result, whole = fit(few, dataset), fit(config, dataset)
    assert equal(result.weights, whole.weights)  # all were trained on
    trainer = Trainer(config, dataset, CPU)
    trainer.model.load_state_dict(result.weights)
    first = trainer.evaluate(dataset.train.first(10))
    assert result.metrics["train_loss"] == pytest.approx(first.loss, rel=1e-5)
    assert result.metrics["train_accuracy"] == first.accuracy
    assert result.metrics["train_loss"] != whole.metrics["train_loss"]
    assert result.metrics["train_examples"] == 90
    best = next(row for row in result.history if row["step"] == result.metrics["best_step"])
    assert best["measured_train_loss"] == result.metrics["train_loss"]


def test_where_there_are_fewer_training_images_all_are_measured(config, dataset):
    most = fit(config.replace({"data.measured_train_images": 91}), dataset)
    assert most.metrics["train_loss"] == fit(config, dataset).metrics["train_loss"]


def test_arrays_hold_every_step_s_loss_and_every_test_image_s_prediction(config, dataset):
    result = fit(config.replace(epochs=3), dataset)
    losses = result.arrays["step_loss"]
    assert len(losses) == result.metrics["steps"] == 18
    first = result.history[0]  # of three steps of 16 images each
    assert losses[:3].mean().item() == pytest.approx(first["train_loss"], rel=1e-5)
    hits = result.arrays["test_predictions"] == dataset.test.labels
    assert hits.float().mean().item() == pytest.approx(result.metrics["test_accuracy"])
    assert (result.arrays["test_confidences"] >= 0.25).all()  # the largest of four shares


ENGINES = {
    "default layout": Engine(channels_last=False),
    "activation first": Engine(pooling_first=False),
    "bias with the convolution": Engine(bias_after_pooling=False),
    "unfused": Engine(fused_optimizer=False),
    "memory given back": Engine(keep_memory=False),
    "tf32": Engine(tf32=True),
}


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_changes_how_but_not_what(config, dataset, name):
    config = config.replace(augmentation=Augmentation(crop=8, crop_padding=1, flip=True))
    reference = fit(config, dataset)
    other = fit(config, dataset, engine=ENGINES[name])
    torch.testing.assert_close(
        other.arrays["step_loss"], reference.arrays["step_loss"], rtol=1e-3, atol=1e-4
    )


def test_a_bias_is_added_after_pooling_in_float32_alone(config, dataset):
    config = config.replace(
        network=(Conv2d(3, 4, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(36, 4))
    )

    def first_layer(precision: str, engine: Engine) -> str:
        trainer = Trainer(config.replace(precision=precision), dataset, CPU, engine)
        return type(trainer.model[0]).__name__

    assert first_layer("fp32", Engine()) == "PooledConv2d"
    assert first_layer("bf16", Engine()) == "Conv2d"
    assert first_layer("fp32", Engine(bias_after_pooling=False)) == "Conv2d"


def test_a_finished_run_leaves_pytorch_s_switches_as_they_were(config, dataset):
    before = torch.backends.cudnn.deterministic, torch.backends.cuda.matmul.allow_tf32
    fit(config, dataset, engine=Engine(tf32=True))
    after = torch.backends.cudnn.deterministic, torch.backends.cuda.matmul.allow_tf32
    assert after == before


def test_bf16_and_fp32_agree(config, dataset):
    exact = fit(config.replace(epochs=4), dataset).metrics
    rough = fit(config.replace(epochs=4, precision="bf16"), dataset).metrics
    assert rough["test_loss"] == pytest.approx(exact["test_loss"], abs=0.1)
    assert rough != exact


def test_a_network_for_other_classes_is_refused(config, dataset):
    with pytest.raises(ConfigError, match=r"ends with \(5,\) outputs .* 4 classes"):
        fit(config.replace(network=(Flatten(), Linear(192, 5))), dataset)


def test_what_is_cropped_larger_than_the_images_is_refused(config, dataset):
    config = config.replace({"augmentation.crop": 9, "augmentation.crop_padding": 1})
    with pytest.raises(ConfigError, match=r"augmentation.crop: 9: images of 8×8 .* at most 8"):
        fit(config, dataset)


def test_a_last_batch_that_cannot_be_normalised_is_refused(config, dataset):
    network = (Flatten(), Linear(192, 8), BatchNorm1d(8), Linear(8, 4))
    config = config.replace(network=network, batch_size=89)  # of 90
    with pytest.raises(ConfigError, match=r"batch_size: 89: it leaves a last batch of a single"):
        fit(config, dataset)
    fit(config.replace(batch_size=88, epochs=1), dataset)


def test_an_unknown_device_is_refused(config, dataset):
    with pytest.raises(ConfigError, match=r"device 'gpu': give 'cpu', 'cuda'"):
        fit(config, dataset, device="gpu")


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
    plain.step(batch)
    flipped.step(batch)
    assert plain.step_loss[0] != flipped.step_loss[0]


def test_the_made_set_is_learnable_by_no_accident():
    # the fixture itself: were a class missing, several tests above would pass for nothing
    assert make_split(90, 1).labels.unique().tolist() == [0, 1, 2, 3]
