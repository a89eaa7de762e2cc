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
    Pretrained,
    Step,
    grid,
)

NETWORK = (Flatten(), Linear(192, 4))
PRETRAINED = Pretrained(backbone="resnet18")


def make(**changes) -> Config:
    return Config(**{"network": NETWORK, "optimizer": SGD(learning_rate=0.1)} | changes)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: make(batch_size=0), "Config.batch_size: 0: input should be greater than 0"),
        (
            lambda: make(epoch=3),
            "Config.epoch: 3: unknown; did you mean epochs? The fields are optimizer, ",
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
        (lambda: make().replace({"nope.x": 1}), "Config.nope: unknown; the fields are optimizer"),
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
        (lambda: Pretrained(), "Pretrained.backbone: missing; give it a value"),
        (lambda: Pretrained("resnet18"), "Pretrained('resnet18'): name the field: backbone="),
        (
            lambda: Pretrained(backbone="vgg"),
            "Pretrained.backbone: 'vgg': input should be 'resnet18' or 'efficientnet_lite0'",
        ),
        (
            lambda: Pretrained(backbone="resnet18", trainable="head"),
            "Pretrained.trainable: 'head': input should be 'classifier', 'last_stage', "
            "'batch_norm' or 'all'",
        ),
        (
            lambda: Pretrained(backbone="resnet18", batch_norm="off"),
            "Pretrained.batch_norm: 'off': input should be 'frozen' or 'adapting'",
        ),
        (
            lambda: Pretrained(backbone="resnet18", part="all"),
            "Pretrained.part: 'all': unknown; the fields are backbone, trainable, batch_norm, ",
        ),
        (
            lambda: Pretrained(backbone="resnet18", classes=(1, -2)),
            "Pretrained.classes.1: -2: input should be greater than or equal to 0",
        ),
        (
            lambda: Pretrained(backbone="resnet18", classes=(1, "tench")),
            "Pretrained.classes.1: 'tench': input should be a valid integer",
        ),
        (
            lambda: Pretrained(backbone="resnet18", classes=3),
            "Pretrained.classes: 3: input should be a valid tuple",
        ),
        (
            lambda: make(pretrained=PRETRAINED).replace({"pretrained.trainable": "head"}),
            "Pretrained.trainable: 'head': input should be 'classifier', ",
        ),
        (lambda: make(pretrained="resnet18"), "Config.pretrained: 'resnet18': "),
        (lambda: make(initialisation="he"), "Config.initialisation: 'he': input should be "),
        (
            lambda: make(pretrained=PRETRAINED, initialisation="kaiming-normal"),
            "Config: initialisation 'kaiming-normal' would be lost under pretrained weights; ",
        ),
        (lambda: Data(image_size=0), "Data.image_size: 0: input should be greater than 0"),
        (lambda: Data(pixel_mean="grey"), "Data.pixel_mean: 'grey': "),
        (lambda: Data(pixel_std=0.0), "Data.pixel_std: 0.0: input should be greater than 0"),
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


@pytest.mark.parametrize(
    ("field", "value", "place", "wrong", "allowed"),
    [
        ("pixel_mean", (0.1, "grey", 0.2), 1, "'grey'", "input should be a valid number"),
        ("pixel_mean", (0.1, float("nan")), 1, "nan", "input should be a finite number"),
        ("pixel_std", (0.1, 0.2, 0.0), 2, "0.0", "input should be greater than 0"),
        ("pixel_std", [-1.0, 0.2, 0.5], 0, "-1.0", "input should be greater than 0"),
    ],
)
def test_of_several_numbers_the_wrong_one_is_named_by_its_place(
    field, value, place, wrong, allowed
):
    with pytest.raises(ConfigError) as caught:
        Data(**{field: value})
    lines = str(caught.value).splitlines()
    assert f"Data.{field}.{place}: {wrong}: {allowed}" in lines
    # and nothing of pydantic's own ways to say which of the kinds it tried
    assert {line.split(": ")[0] for line in lines} <= {f"Data.{field}", f"Data.{field}.{place}"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("pixel_mean", value) for value in ("grey", None, (0.1, "grey", 0.2), {})),
        *(("pixel_std", value) for value in ("grey", None, (0.1, "grey", 0.2), {}, 0, -1.0)),
    ],
)
def test_no_message_says_which_validators_there_are(field, value):
    with pytest.raises(ConfigError) as caught:
        Data(**{field: value})
    for word in ("function", "validator", "tuple[", "constrained", f"{field}.float"):
        assert word not in str(caught.value)


def test_one_number_or_one_for_each_channel():
    assert Data().pixel_mean == 0.5
    assert Data(pixel_mean=[0.1, 0.2, 0.3]) == Data(pixel_mean=(0.1, 0.2, 0.3))
    config = make(data=Data(pixel_mean=(0.1, 0.2, 0.3), pixel_std=0.5))
    assert config.to_json()["data"]["pixel_mean"] == [0.1, 0.2, 0.3]
    assert config.to_json()["data"]["pixel_std"] == 0.5
    assert Data(**config.to_json()["data"]) == config.data  # what JSON lists is a tuple again


def test_what_pretrained_takes_comes_back_from_json():
    assert (PRETRAINED.trainable, PRETRAINED.batch_norm, PRETRAINED.classes) == (
        *("classifier", "frozen"),
        None,
    )
    config = make(pretrained=PRETRAINED).replace({"pretrained.classes": [0, 217, 482, 491]})
    assert config.pretrained.classes == (0, 217, 482, 491)
    assert PRETRAINED.classes is None
    written = config.to_json()["pretrained"]
    assert written == {
        "backbone": "resnet18",
        "trainable": "classifier",
        "batch_norm": "frozen",
        "classes": [0, 217, 482, 491],
    }
    assert Pretrained(**written) == config.pretrained
    assert isinstance(Pretrained(**written).classes, tuple)
    assert hash(Pretrained(**written)) == hash(config.pretrained)
    assert make().to_json()["pretrained"] is None


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
