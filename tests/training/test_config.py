import pytest
import torch

from labkit.handcalc import Conv2d, Flatten, Linear
from labkit.models import tdt4265_first
from labkit.training import (
    SGD,
    Adadelta,
    Adam,
    Augmentation,
    Config,
    ConfigError,
    Data,
    Exponential,
    OneCycle,
    Step,
    grid,
)

NETWORK = (Flatten(), Linear(192, 4))


def make(**changes) -> Config:
    return Config(**{"network": NETWORK, "optimizer": SGD(learning_rate=0.1)} | changes)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: make(batch_size=0), "Config.batch_size: 0: input should be greater than 0"),
        (
            lambda: make(epoch=3),
            "Config.epoch: 3: unknown; did you mean epochs? The fields are network, ",
        ),
        (lambda: make(seed="1"), "Config.seed: '1': input should be a valid integer"),
        (lambda: make(epochs=1.5), "Config.epochs: 1.5: input should be a valid integer"),
        (lambda: make(precision="fp16"), "Config.precision: 'fp16': input should be 'auto', "),
        (lambda: make(network=("relu",)), "Config.network.0: 'relu': input should be an instance"),
        (
            lambda: make(optimizer="Adam"),
            "Config.optimizer: 'Adam': give one of SGD(…), Adam(…), AdamW(…), RMSprop(…), "
            "Adagrad(…), Adadelta(…)",
        ),
        (lambda: make(schedule="step"), "Config.schedule: 'step': give one of Constant(…), "),
        (lambda: make(schedule=SGD(learning_rate=0.1)), "Config.schedule: SGD(learning_rate=0.1)"),
        (lambda: SGD(learning_rate=0.1, nesterov=True), "SGD: nesterov looks ahead by the"),
        (lambda: Exponential(decay=1.5), "Exponential.decay: 1.5: input should be less than"),
        (lambda: Step(every=0), "Step.every: 0: input should be greater than 0"),
        (lambda: OneCycle(warmup=1.0), "OneCycle.warmup: 1.0: input should be less than 1"),
        (lambda: Adadelta(learning_rate="1"), "Adadelta.learning_rate: '1': input should be a"),
        (lambda: make(label_smoothing=1.0), "Config.label_smoothing: 1.0: input should be less"),
        (lambda: make(validate_every=0), "Config.validate_every: 0: input should be greater"),
        (lambda: make(also_measure=("dev",)), "Config.also_measure.0: 'dev': input should be"),
        (lambda: Data(preprocessing="zka"), "Data.preprocessing: 'zka': input should be 'fixed',"),
        (lambda: SGD(0.1), "SGD(0.1): name the field: learning_rate=0.1"),
        (lambda: SGD(learning_rates=0.1), "SGD.learning_rate: missing"),
        (lambda: make(epoch=1), "Config.epoch: 1: unknown; did you mean epochs? The fields are"),
        (lambda: make(network=tdt4265_first), "it is a function that makes a network; call it"),
        (lambda: make(network=torch.nn.Linear(2, 2)), "a network is a list of the layers of"),
        (lambda: setattr(make(), "epochs", 3), "Config.epochs: 3: what is made stays as it is"),
        (lambda: grid(make(), {"seed": [1, 2]}), "axis seed: [1, 2]: give it as seeds=[1, 2]"),
        (lambda: grid(make(), {"data.preprocessing": "zca"}), "axis data.preprocessing: 'zca': "),
        (lambda: grid(make(), {"batch_size": []}), "axis batch_size: []: give at least one value"),
        (lambda: make(early_stop=1), "Config.early_stop: 1: input should be greater than or equal"),
        (
            lambda: make(early_stop=4, data=Data(validation_fraction=0.0)),
            "Config: early_stop counts validations, and data.validation_fraction is 0",
        ),
        (lambda: make(seed=2**70), f"Config.seed: {2**70}: input should be less than"),
        (lambda: make(seed=-1), "Config.seed: -1: input should be greater than or equal to 0"),
        (lambda: make(network=()), "Config.network: (): tuple should have at least 1 item"),
        (lambda: make().replace({"nope.x": 1}), "Config.nope: unknown; the fields are network"),
        (lambda: grid(make(), {"batch_size": 3}), "axis batch_size: 3: give a list of values"),
        (lambda: Augmentation(crop=0), "Augmentation.crop: 0: input should be greater than 0"),
        (lambda: Augmentation(crop_padding=4), "Augmentation: crop_padding pads for the crop"),
        (lambda: Augmentation(mixup=1.0, cutmix=1.0), "Augmentation: mixup and cutmix both mix"),
        (
            lambda: make().replace(
                {"data.preprocessing": "zca", "augmentation.colour_jitter": 0.2}
            ),
            "Config: data.preprocessing 'zca' leaves nothing that augmentation.colour_jitter",
        ),
        (lambda: SGD(learning_rate=-1.0), "SGD.learning_rate: -1.0: input should be greater"),
        (lambda: SGD(learning_rate=float("nan")), "SGD.learning_rate: nan"),
        (lambda: SGD(learning_rate=0.1, momentum=1.0), "SGD.momentum: 1.0: input should be less"),
        (lambda: Adam(), "Adam.learning_rate: missing"),
        (lambda: Data(train_images=0), "Data.train_images: 0"),
        (lambda: Augmentation(flip=1), "Augmentation.flip: 1"),
        (lambda: make().replace({"optimizer.learning_rate": 0}), "SGD.learning_rate: 0"),
        (
            lambda: make().replace({"optimizer.rate": 0.1}),
            "SGD.rate: 0.1: unknown; did you mean learning_rate?",
        ),
        (lambda: make().replace({"seed.x": 1}), "Config.seed.x: seed has no fields"),
        (lambda: make(optimizer={"learning_rate": 0.1}), "Config.optimizer"),
        (lambda: make().replace({"data.nme": "x"}), "Data.nme: 'x': unknown"),
    ],
)
def test_mistakes_are_named_with_value_and_remedy(mistake, message):
    with pytest.raises(ConfigError) as caught:
        mistake()
    assert message in str(caught.value)
    assert str(caught.value).startswith((message, "Config.network:", "SGD."))


def test_replace_reaches_inner_fields_and_leaves_the_original():
    config = make()
    changed = config.replace({"optimizer.learning_rate": 0.5, "augmentation.flip": True}, seed=3)
    assert (changed.optimizer.learning_rate, changed.augmentation.flip, changed.seed) == (
        *(0.5, True),
        3,
    )
    assert config == make()


def test_fields_that_go_together_are_replaced_together():
    # either alone would be refused
    for changes in ({"crop_padding": 4, "crop": 32}, {"crop": 32, "crop_padding": 4}):
        named = {f"augmentation.{name}": value for name, value in changes.items()}
        assert make().replace(named).augmentation.crop_padding == 4


def test_a_mistake_is_one_line_per_field():
    with pytest.raises(ConfigError) as caught:
        make(optimizer="Adam", batch_size=-1, epoch=1)
    lines = str(caught.value).splitlines()
    assert sorted(line.split(":")[0] for line in lines) == [
        "Config.batch_size",
        "Config.epoch",
        "Config.optimizer",
    ]


def test_a_grid_is_every_combination_by_name():
    configs = grid(make(), {"optimizer.learning_rate": [0.1, 0.01], "batch_size": [32, 64]})
    assert list(configs) == [
        "learning_rate 0.1, batch_size 32",
        "learning_rate 0.1, batch_size 64",
        "learning_rate 0.01, batch_size 32",
        "learning_rate 0.01, batch_size 64",
    ]
    third = configs["learning_rate 0.01, batch_size 32"]
    assert (third.optimizer.learning_rate, third.batch_size) == (0.01, 32)
    optimizers = grid(make(), {"optimizer": [SGD(learning_rate=0.1), Adam(learning_rate=0.1)]})
    assert list(optimizers) == [
        "optimizer SGD(learning_rate=0.1)",
        "optimizer Adam(learning_rate=0.1)",
    ]
    with pytest.raises(ConfigError, match="occurs twice"):
        grid(make(), {"batch_size": [32, 32]})


def test_every_field_reaches_the_json():
    config = make(optimizer=SGD(learning_rate=0.1, momentum=0.9), schedule=Step(every=3))
    assert config.to_json()["optimizer"]["momentum"] == 0.9
    assert config.to_json()["schedule"] == {"every": 3, "decay": 0.1, "name": "Step"}


def test_lists_do_for_tuples():
    config = make(network=[Flatten(), Linear(192, 4)], also_measure=["train"])
    assert config == make(also_measure=("train",))


def test_json_names_layers_by_their_shortest_expression():
    config = make(network=(Conv2d(3, 8, 5, padding=2), Flatten()))
    assert config.to_json()["network"] == ["Conv2d(3, 8, 5, padding=2)", "Flatten()"]
    assert config.to_json()["optimizer"]["name"] == "SGD"
