"""One training, written for labkit and for each of the tools it is measured against.

The setting is the RDFIA practical's: its network on CIFAR-10, batches of 128, random crops of 32
out of 40 and flips, (x − 0.5)/0.25, SGD with rate 0.01 and momentum 0.9. A way is a function of the
setting; what it returns trains one epoch. Each imports its own library, in its own process.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset
from turns import UnavailableError

from labkit.data import load
from labkit.data._torchvision import import_torchvision
from labkit.models import rdfia
from labkit.training import SGD, Augmentation, Config, Data, Engine, Trainer
from labkit.training.config import resolve_device, resolve_precision

MEAN, STD = 0.5, 0.25
RATE, MOMENTUM = 0.01, 0.9
ENGINE = Engine()  # labkit's own choice of switches

Epoch = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """How much is trained; `images` are the first of the 45,000, None for all."""

    images: int | None = None
    batch_size: int = 128
    seed: int = 0
    epochs: int = 1000  # at most: as many turns as anyone takes


def all_ways(setting: Setting) -> dict[str, Callable[[], Epoch]]:
    """By the names that the tables use."""
    return {
        "plain": partial(plain, setting),
        "plain, channels last, bf16": partial(plain, setting, precision="bf16"),
        "Lightning": partial(lightning, setting),
        "fastai": partial(fastai, setting),
        "fastai's loop, plain data": partial(fastai_learner, setting),
        "Keras, TensorFlow": partial(keras, setting),
        "labkit fp32": partial(labkit, setting),
        "labkit bf16": partial(labkit, setting, precision="bf16"),
    }


# --- labkit ---------------------------------------------------------------------------------------


def config(setting: Setting, precision: str = "fp32") -> Config:
    return Config(
        network=rdfia(),
        optimizer=SGD(learning_rate=RATE, momentum=MOMENTUM),
        augmentation=Augmentation(crop=32, crop_padding=4, flip=True),
        data=Data(train_images=setting.images, pixel_mean=MEAN, pixel_std=STD),
        batch_size=setting.batch_size,
        epochs=setting.epochs,
        seed=setting.seed,
        precision=precision,
    )


def labkit(setting: Setting, precision: str = "fp32", engine: Engine = ENGINE) -> Epoch:
    return partial(next, labkit_epochs(labkit_trainer(setting, precision, engine)))


def labkit_trainer(setting: Setting, precision: str = "fp32", engine: Engine = ENGINE) -> Trainer:
    device = resolve_device()
    refuse_emulated(precision, device)
    torch.manual_seed(setting.seed)
    return Trainer(config(setting, precision), load("cifar10"), device, engine)


def labkit_epochs(trainer: Trainer) -> Iterator[None]:
    """Train an epoch each time that the next item is asked for."""
    order = torch.Generator().manual_seed(trainer.config.seed)
    with trainer.engine.applied():
        while True:
            permutation = torch.randperm(len(trainer.train), generator=order)
            for batch in permutation.to(trainer.device).split(trainer.config.batch_size):
                trainer.step(batch)
            finish(trainer.device)
            yield


# --- the loop that one writes first ---------------------------------------------------------------


def network() -> nn.Sequential:
    """`labkit.models.rdfia()` as it is written by hand: the same first weights from a seed."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(64 * 4 * 4, 1000), nn.ReLU()),
        nn.Linear(1000, 10),
    )


class Pictures(Dataset):
    """One PIL image at a time through torchvision's transforms, as its CIFAR10 class does it."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor):
        from PIL import Image

        import_torchvision()
        from torchvision.transforms import v2

        self.images = images.permute(0, 2, 3, 1).contiguous().numpy()  # (N, H, W, C), for PIL
        self.labels = labels.tolist()
        self.to_image = Image.fromarray
        self.transform = v2.Compose(
            [
                v2.RandomCrop(32, padding=4),
                v2.RandomHorizontalFlip(),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([MEAN] * 3, [STD] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        return self.transform(self.to_image(self.images[index])), self.labels[index]


def loader(setting: Setting) -> DataLoader:
    split = load("cifar10").train.first(setting.images)
    pictures = Pictures(split.images, split.labels)
    return DataLoader(pictures, batch_size=setting.batch_size, shuffle=True)


class Plain:
    """The tutorials' loop. In bf16 with channels last: the two switches that tutorials add."""

    def __init__(self, setting: Setting, precision: str = "fp32"):
        self.device = resolve_device()
        refuse_emulated(precision, self.device)
        self.bf16 = precision == "bf16"
        self.format = torch.channels_last if self.bf16 else torch.contiguous_format
        torch.manual_seed(setting.seed)
        self.model = network().to(self.device, memory_format=self.format)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=RATE, momentum=MOMENTUM)
        self.loader = loader(setting)

    def epoch(self) -> None:
        self.model.train()
        for images, labels in self.loader:
            images = images.to(self.device, memory_format=self.format)
            labels = labels.to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                loss = F.cross_entropy(self.model(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()  # the running loss that such a loop prints
        finish(self.device)

    @torch.inference_mode()
    def test_accuracy(self) -> float:
        """The share of the test images that it gets right."""
        self.model.eval()
        test, hits = load("cifar10").test, 0
        for images, labels in zip(test.images.split(500), test.labels.split(500), strict=True):
            scaled = (images.to(self.device) / 255 - MEAN) / STD
            hits += (self.model(scaled).argmax(1).cpu() == labels).sum().item()
        return hits / len(test)


def plain(setting: Setting, precision: str = "fp32") -> Epoch:
    return Plain(setting, precision).epoch


# --- peers ----------------------------------------------------------------------------------------


def lightning(setting: Setting) -> Epoch:
    import logging

    import_torchvision()  # before it does
    import lightning as L

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = network()

        def training_step(self, batch, _):
            images, labels = batch
            return F.cross_entropy(self.model(images), labels)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=RATE, momentum=MOMENTUM)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")  # advises workers
    device = resolve_device()
    torch.manual_seed(setting.seed)
    module, pictures = Module(), loader(setting)
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    accelerator = "gpu" if device.type == "cuda" else "cpu"

    trainer = L.Trainer(max_epochs=0, accelerator=accelerator, devices=1, **quiet)

    def epoch() -> None:
        trainer.fit_loop.max_epochs += 1
        trainer.fit(module, pictures)
        finish(device)

    return epoch


def fastai(setting: Setting) -> Epoch:
    """With its own data block, transforms and optimizer, as its course teaches it."""
    import_torchvision()  # before it does
    from fastai.data.block import CategoryBlock, DataBlock
    from fastai.data.transforms import IndexSplitter
    from fastai.optimizer import SGD
    from fastai.vision.augment import CropPad, Flip, RandomCrop
    from fastai.vision.data import ImageBlock, Normalize

    split = load("cifar10").train.first(setting.images)
    images = split.images.permute(0, 2, 3, 1).contiguous().numpy()  # (N, H, W, C), for PIL
    labels = split.labels.tolist()
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=sorted(set(labels)))),
        get_x=lambda number: images[number],
        get_y=lambda number: labels[number],
        splitter=IndexSplitter([]),  # nothing is validated
        item_tfms=[CropPad(40, pad_mode="zeros"), RandomCrop(32)],
        batch_tfms=[Flip(), Normalize.from_stats([MEAN] * 3, [STD] * 3, cuda=False)],
    )
    loaders = block.dataloaders(
        range(len(labels)),
        bs=setting.batch_size,
        drop_last=False,
        num_workers=0,
        device=resolve_device(),
    )
    return _fastai_epoch(setting, loaders, partial(SGD, mom=MOMENTUM))


def fastai_learner(setting: Setting) -> Epoch:
    """Its loop alone, around the loader and the optimizer of the plain one."""
    import_torchvision()  # before it does
    from fastai.data.core import DataLoaders
    from fastai.optimizer import OptimWrapper

    pictures = loader(setting)
    loaders = DataLoaders(pictures, pictures, device=resolve_device())
    optimizer = partial(OptimWrapper, opt=torch.optim.SGD, momentum=MOMENTUM)
    return _fastai_epoch(setting, loaders, optimizer)


def _fastai_epoch(setting: Setting, loaders, optimizer) -> Epoch:
    from fastai.callback.core import Callback, CancelValidException
    from fastai.learner import Learner

    class TrainOnly(Callback):
        def before_validate(self):
            raise CancelValidException

    device = resolve_device()
    torch.manual_seed(setting.seed)
    learner = Learner(
        loaders,
        network(),
        loss_func=nn.CrossEntropyLoss(),
        opt_func=optimizer,
        lr=RATE,
        cbs=TrainOnly(),
    )

    def epoch() -> None:
        with learner.no_logging():
            learner.fit(1)
        finish(device)

    return epoch


def keras(setting: Setting) -> Epoch:
    import os

    os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3")
    import keras
    import tensorflow as tf

    if resolve_device().type == "cuda" and not tf.config.list_physical_devices("GPU"):
        raise UnavailableError("TensorFlow does not see the GPU")
    tf.config.threading.set_intra_op_parallelism_threads(torch.get_num_threads())  # as the others
    keras.utils.set_random_seed(setting.seed)

    split = load("cifar10").train.first(setting.images)
    images = split.images.permute(0, 2, 3, 1).contiguous().numpy()  # (N, H, W, C), as it wants it

    def prepare(images, labels):
        """A whole batch at once: a tenth faster here than tf.image's functions image by image."""
        count = tf.shape(images)[0]
        images = tf.pad(images, [[0, 0], [4, 4], [4, 4], [0, 0]])
        for axis in (1, 2):
            kept = tf.random.uniform((count, 1), 0, 9, tf.int32) + tf.range(32)
            images = tf.gather(images, kept, axis=axis, batch_dims=1)
        mirrored = tf.random.uniform((count, 1, 1, 1)) < 0.5
        images = tf.where(mirrored, tf.reverse(images, [2]), images)
        return (tf.cast(images, tf.float32) / 255 - MEAN) / STD, labels

    dataset = (
        tf.data.Dataset.from_tensor_slices((images, split.labels.numpy()))
        .shuffle(len(split))
        .batch(setting.batch_size)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )

    def convolution(filters: int):
        layer = keras.layers.Conv2D(filters, 5, padding="same", activation="relu")
        return layer, keras.layers.MaxPooling2D(2)

    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            *(*convolution(32), *convolution(64), *convolution(64)),
            keras.layers.Flatten(),
            keras.layers.Dense(1000, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(RATE, momentum=MOMENTUM),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    # jit_compile stays "auto": XLA took more than twice as long on a CPU
    return partial(model.fit, dataset, verbose=0, shuffle=False)


# --- what they share ------------------------------------------------------------------------------


def refuse_emulated(precision: str, device: torch.device) -> None:
    if precision == "bf16" and resolve_precision("auto", device) != "bf16":
        raise UnavailableError("bf16 is not native here, and emulated it is many times slower")


def finish(device: torch.device) -> None:
    """Wait for what a GPU was only told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize()
