import pytest

from labkit.handcalc import Conv2d, Flatten, Linear
from labkit.training import SGD, Adam, Augmentation, Config, ConfigError, Data

NETWORK = (Flatten(), Linear(192, 4))


def make(**changes) -> Config:
    return Config(**{"network": NETWORK, "optimizer": SGD(learning_rate=0.1)} | changes)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: make(batch_size=0), "Config.batch_size: 0: input should be greater than 0"),
        (lambda: make(epoch=3), "Config.epoch: unknown; the fields are network, optimizer"),
        (lambda: make(seed="1"), "Config.seed: '1': input should be a valid integer"),
        (lambda: make(epochs=1.5), "Config.epochs: 1.5: input should be a valid integer"),
        (lambda: make(precision="fp16"), "Config.precision: 'fp16': input should be 'auto', "),
        (lambda: make(network=("relu",)), "Config.network.0: 'relu': input should be an instance"),
        (lambda: make(optimizer="Adam"), "Config.optimizer"),
        (lambda: SGD(learning_rate=-1.0), "SGD.learning_rate: -1.0: input should be greater"),
        (lambda: SGD(learning_rate=float("nan")), "SGD.learning_rate: nan"),
        (lambda: SGD(learning_rate=0.1, momentum=1.0), "SGD.momentum: 1.0: input should be less"),
        (lambda: Adam(), "Adam.learning_rate: missing"),
        (lambda: Data(train_images=0), "Data.train_images: 0"),
        (lambda: Augmentation(flip=1), "Augmentation.flip: 1"),
        (lambda: make().replace({"optimizer.learning_rate": 0}), "SGD.learning_rate: 0"),
        (lambda: make().replace({"optimizer.rate": 0.1}), "SGD.rate: unknown"),
        (lambda: make().replace({"seed.x": 1}), "Config.seed.x: seed has no fields"),
        (lambda: make(optimizer={"learning_rate": 0.1}), "Config.optimizer"),
        (lambda: make().replace({"data.nme": "x"}), "Data.nme: unknown"),
    ],
)
def test_mistakes_are_named_with_value_and_remedy(mistake, message):
    with pytest.raises(ConfigError) as caught:
        mistake()
    assert str(caught.value).startswith(message)


def test_replace_reaches_inner_fields_and_leaves_the_original():
    config = make()
    changed = config.replace({"optimizer.learning_rate": 0.5, "augmentation.flip": True}, seed=3)
    assert (changed.optimizer.learning_rate, changed.augmentation.flip, changed.seed) == (
        *(0.5, True),
        3,
    )
    assert config == make()


def test_json_names_layers_by_their_shortest_expression():
    config = make(network=(Conv2d(3, 8, 5, padding=2), Flatten()))
    assert config.to_json()["network"] == ["Conv2d(3, 8, 5, padding=2)", "Flatten()"]
    assert config.to_json()["optimizer"]["name"] == "SGD"
