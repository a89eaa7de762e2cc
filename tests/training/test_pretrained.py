"""Training from somebody's weights, here EfficientNet-Lite0's on made images of 8×8 pixels."""

import numpy as np
import pytest
import torch

from labkit.data import preprocess
from labkit.data.weights import load_weights
from labkit.models import transfer
from labkit.training import (
    Adam,
    Augmentation,
    Config,
    ConfigError,
    Data,
    Pretrained,
    features,
    first_model,
    fit,
    trained_model,
)
from labkit.training.trainer import Trainer

BACKBONE = transfer.BACKBONES["efficientnet_lite0"]
SIDE = 32


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def config() -> Config:
    return make_config()


def make_config(part: str = "classifier", batch_norm: str = "frozen", **changes) -> Config:
    return Config(
        network=BACKBONE.layers(4, SIDE),
        pretrained=Pretrained(backbone=BACKBONE.name, trainable=part, batch_norm=batch_norm),
        optimizer=Adam(learning_rate=0.01),
        data=Data(
            pixel_mean=BACKBONE.pixel_mean,
            pixel_std=BACKBONE.pixel_std,
            image_size=SIDE,
            train_images=40,
        ),
        batch_size=20,
        epochs=2,
        precision="fp32",
    ).replace(changes)


def fed(images: torch.Tensor) -> torch.Tensor:
    """What the backbone is fed, worked out without the trainer."""
    scaled = (images.float() - 127) / 128
    return torch.nn.functional.interpolate(scaled, (SIDE, SIDE), mode="bilinear")


def norms(weights: dict) -> dict:
    return {name: value for name, value in weights.items() if "running_" in name}


@pytest.mark.parametrize("part", ["classifier", "last_stage"])
def test_on_kept_features_it_is_the_same_network(dataset, part):
    config = make_config(part)
    result = fit(config, dataset, device="cpu")
    model = trained_model(config, result.weights)
    with torch.inference_mode():
        logits = model(fed(dataset.test.images))
    torch.testing.assert_close(
        logits.softmax(1).max(1).values.half(), result.arrays["test_confidences"], atol=2e-3, rtol=0
    )
    assert (logits.argmax(1) == result.arrays["test_predictions"]).float().mean() > 0.97


def test_it_learns_from_its_features(dataset, config):
    result = fit(config.replace(epochs=20), dataset, device="cpu")
    assert result.metrics["train_accuracy"] > 0.7  # a guess is right for 0.25


def test_the_frozen_part_is_not_recorded(dataset, config):
    names = set(fit(config, dataset, device="cpu").weights)
    whole = first_model(config)
    assert names == {f"{len(whole) - 1}.weight", f"{len(whole) - 1}.bias"}


@pytest.mark.parametrize(
    ("part", "count"),
    [("classifier", 4 * 1280 + 4), ("all", 3_371_008 + 4 * 1280 + 4)],
)
def test_parameters_are_counted(dataset, part, count):
    metrics = fit(make_config(part, epochs=1), dataset, device="cpu").metrics
    assert metrics["trained_parameters"] == count
    assert metrics["num_parameters"] == 3_371_008 + 4 * 1280 + 4


def test_features_are_computed_once(dataset, config, monkeypatch):
    first = fit(config, dataset, device="cpu")
    assert len(list(features.folder().iterdir())) == 3  # train, validation, test

    def never(*_, **__):
        raise AssertionError("a frozen module was asked again")

    monkeypatch.setattr(torch.nn.Conv2d, "forward", never)
    again = fit(config.replace(seed=0), dataset, device="cpu")
    for name, value in first.weights.items():
        assert torch.equal(value, again.weights[name])


def test_features_belong_to_the_images_and_to_what_made_them(dataset, config):
    fit(config, dataset, device="cpu")
    for changes in ({"data.train_images": 39}, {"data.pixel_mean": 0.4}):
        before = len(list(features.folder().iterdir()))
        fit(config.replace(changes, batch_size=13), dataset, device="cpu")
        assert len(list(features.folder().iterdir())) > before


@pytest.mark.parametrize(
    "config_",
    [
        make_config(**{"augmentation": Augmentation(flip=True)}),
        make_config(batch_norm="adapting"),
        make_config("batch_norm", "adapting"),
        make_config("all"),
    ],
    ids=["augmented", "adapting", "trained norms", "all"],
)
def test_what_changes_from_epoch_to_epoch_is_not_kept(dataset, config_):
    trainer = Trainer(config_, dataset, torch.device("cpu"))
    assert len(trainer.frozen) == 0
    assert not features.folder().exists()
    assert trainer.train.images.dtype == torch.uint8


def test_more_features_than_memory_has_room_for_are_not_kept(dataset, config, monkeypatch):
    kept = fit(config, dataset, device="cpu")
    monkeypatch.setattr(features, "MOST_BYTES", 1000)
    trainer = Trainer(config, dataset, torch.device("cpu"))
    assert len(trainer.frozen) == 0
    result = fit(config, dataset, device="cpu")  # the whole network at each step: the same run
    assert result.metrics["test_loss"] == pytest.approx(kept.metrics["test_loss"], abs=1e-3)


def test_frozen_batch_norms_keep_their_statistics_truly(dataset):
    config = make_config(augmentation=Augmentation(flip=True), epochs=1)
    before, after = norms(first_model(config).state_dict()), fit(config, dataset, device="cpu")
    assert before.keys() == norms(after.weights).keys() != set()
    for name, value in before.items():
        assert torch.equal(value, after.weights[name]), name


def test_adapting_batch_norms_change_their_statistics_and_nothing_else(dataset):
    config = make_config(batch_norm="adapting", epochs=1)
    before, after = first_model(config).state_dict(), fit(config, dataset, device="cpu").weights
    last = f"{len(first_model(config)) - 1}."
    for name, value in before.items():
        same = torch.equal(value, after[name])
        adapts = "running_" in name or "num_batches" in name or name.startswith(last)
        assert same != adapts, name


def test_killed_in_the_middle_it_goes_on_to_the_same_end(dataset, tmp_path):
    config = make_config("last_stage")
    straight = fit(config, dataset, device="cpu")

    class KilledError(Exception):
        pass

    def stop(history):
        if len(history) == 3:  # in the second epoch
            raise KilledError

    with pytest.raises(KilledError):
        fit(config, dataset, device="cpu", save_to=tmp_path / "state", on_validation=stop)
    resumed = fit(config, dataset, device="cpu", save_to=tmp_path / "state")
    assert resumed.metrics["steps"] == straight.metrics["steps"]
    for name, value in straight.weights.items():
        assert torch.equal(value, resumed.weights[name]), name


def test_weights_of_another_run_are_refused(dataset, config):
    weights = fit(config.replace(epochs=1), dataset, device="cpu").weights
    renamed = {f"0.{name}": value for name, value in weights.items()}
    with pytest.raises(ValueError, match="weights of another run"):
        trained_model(config, renamed)
    plain = config.replace(pretrained=None)
    with pytest.raises(ValueError, match="needs"):
        trained_model(plain, weights)


def test_the_classes_of_the_config_reach_the_model(dataset, config):
    classes = (701, 0, 217, 482)
    pretrained = load_weights(BACKBONE.name)
    chosen = config.replace({"pretrained.classes": classes})
    model = first_model(chosen)
    assert torch.equal(model[-1].weight, pretrained["_fc.weight"][list(classes)])
    assert torch.equal(model[-1].bias, pretrained["_fc.bias"][list(classes)])
    assert not torch.equal(first_model(config)[-1].bias, model[-1].bias)  # drawn at random
    # and the run begins with it
    trainer = Trainer(chosen, dataset, torch.device("cpu"))
    assert torch.equal(trainer.model[-1].weight, model[-1].weight)
    expected = model.eval()(fed(dataset.test.images)).argmax(1)
    trained = fit(chosen.replace({"optimizer.learning_rate": 1e-12}), dataset, device="cpu")
    assert (expected == trained.arrays["test_predictions"]).float().mean() > 0.97


def test_classes_that_the_backbone_has_not_are_named(dataset, config):
    with pytest.raises(ValueError, match="class 1000 is none of the pretrained 1,000"):
        fit(config.replace({"pretrained.classes": (0, 1, 2, 1000)}), dataset, device="cpu")
    with pytest.raises(ValueError, match="as many classes as are named"):
        fit(config.replace({"pretrained.classes": (0, 1, 2)}), dataset, device="cpu")


def test_the_config_s_words_are_the_transfer_s():
    fields = Pretrained.model_fields
    assert set(fields["backbone"].annotation.__args__) == set(transfer.BACKBONES)
    assert fields["trainable"].annotation.__args__ == transfer.PARTS
    assert fields["batch_norm"].annotation.__args__ == transfer.BATCH_NORMS


def test_pretrained_weights_leave_no_room_for_an_initialisation(config):
    with pytest.raises(ConfigError, match="would be lost under pretrained weights"):
        config.replace(initialisation="kaiming-normal")


# --- images as the network is fed them ------------------------------------------------------------


def test_images_are_enlarged_after_the_augmentation(dataset, config):
    trainer = Trainer(
        config.replace(augmentation=Augmentation(flip=True)), dataset, torch.device("cpu")
    )
    images = trainer.batch(torch.arange(3)).images
    assert images.shape == (3, 3, SIDE, SIDE)
    unflipped, flipped = fed(dataset.train.images[:3]), fed(dataset.train.images[:3].flip(3))
    for image, one, other in zip(images, unflipped, flipped, strict=True):
        near = [torch.allclose(image, each, atol=1e-5) for each in (one, other)]
        assert any(near)


def test_images_are_not_reduced(dataset, config):
    with pytest.raises(ConfigError, match=r"Data.image_size: 4: images of 8×8 are enlarged to it"):
        fit(config.replace({"data.image_size": 4}), dataset, device="cpu")


def test_whitened_images_are_not_enlarged(config):
    with pytest.raises(ConfigError, match="image_size"):
        config.replace({"data.preprocessing": "zca"})


def test_large_images_are_measured_fewer_at_a_time(dataset, config):
    small = Trainer(config, dataset, torch.device("cpu"))
    assert small._evaluation_batch() == 500
    large = BACKBONE.layers(4, 128)
    large = config.replace({"data.image_size": 128}, network=large)
    large = large.replace(augmentation=Augmentation(flip=True))
    assert Trainer(large, dataset, torch.device("cpu"))._evaluation_batch() == 31


# --- the keeping itself ---------------------------------------------------------------------------


def kept(images, calls, made_by="it"):
    def compute(part):
        calls.append(len(part))
        return part.float().mean((2, 3))

    return features.kept(images, compute, made_by=made_by, batch=4, description="test")


def test_kept_features_come_back_without_computing(dataset):
    calls = []
    first = kept(dataset.train.images[:10], calls)
    assert calls == [4, 4, 2]
    again = kept(dataset.train.images[:10], calls)
    assert calls == [4, 4, 2]
    assert torch.equal(first, again)
    torch.testing.assert_close(first, dataset.train.images[:10].float().mean((2, 3)))
    assert not first.is_inference()


def test_features_of_other_code_or_from_before_fresh_are_computed_anew(dataset, monkeypatch):
    images, calls = dataset.train.images[:4], []
    kept(images, calls)
    monkeypatch.setattr(features, "_code", lambda: ["another builder"])
    kept(images, calls)
    assert calls == [4, 4]
    monkeypatch.setenv("LABKIT_FRESH", "2000-01-01T00:00:00+00:00")
    kept(images, calls)
    assert calls == [4, 4]  # those are newer
    monkeypatch.setenv("LABKIT_FRESH", "2100-01-01T00:00:00+00:00")
    kept(images, calls)
    assert calls == [4, 4, 4]


def test_what_was_being_written_when_it_was_killed_is_removed(dataset, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kept(dataset.train.images[:4], [])
    assert list(features.folder().iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"no numbers", "half"])
def test_damaged_features_are_computed_anew(dataset, damage):
    calls = []
    first = kept(dataset.train.images[:4], calls)
    (path,) = features.folder().iterdir()
    path.write_bytes(path.read_bytes()[:-9] if damage == "half" else damage)
    assert torch.equal(kept(dataset.train.images[:4], calls), first)
    assert calls == [4, 4]
    assert np.load(path).shape == (4, 3)


def test_features_that_cannot_be_kept_are_used_all_the_same(dataset, tmp_path, monkeypatch, capsys):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("LABKIT_CACHE", str(blocked))
    calls = []
    assert kept(dataset.train.images[:4], calls).shape == (4, 3)
    assert "could not be kept" in capsys.readouterr().err


# --- first weights, and a number for each channel ------------------------------------------------


def test_kaiming_normal_has_its_variance_and_no_biases(config):
    wide = make_config().replace(pretrained=None, initialisation="kaiming-normal")
    torch.manual_seed(0)
    model = first_model(wide)
    head = [module for module in model if isinstance(module, torch.nn.Conv2d)][-1]  # 1280 of 320
    assert head.weight.std().item() == pytest.approx((2 / 320) ** 0.5, rel=0.02)
    assert head.weight.mean().item() == pytest.approx(0, abs=1e-3)
    assert torch.count_nonzero(model[-1].bias) == 0


def test_each_channel_can_have_numbers_of_its_own():
    images = torch.full((2, 3, 1, 1), 51, dtype=torch.uint8)
    scaled = preprocess.fit("fixed", images, mean=(0.1, 0.2, 0.0), std=(0.1, 1.0, 0.5))(images)
    torch.testing.assert_close(scaled[0].flatten(), torch.tensor([1.0, 0.0, 0.4]))


def test_as_many_numbers_as_channels():
    with pytest.raises(ValueError, match=r"2 numbers, \(0.1, 0.2\), for images of 3 channels"):
        preprocess.fit("fixed", torch.zeros(1, 3, 2, 2, dtype=torch.uint8), mean=(0.1, 0.2))
