"""A network that learns to tell images apart: its batches, its loss, the evaluation of a split.

The whole data set lies on the device as bytes. A batch is taken by index, augmented and scaled as
a whole, so there is no loader, no worker and no copy to wait for; sums of loss and hits stay on the
device until a validation reads them.

What gives the same numbers at every step is done once, before the first: whitening, and the frozen
first modules of a pretrained network, where no augmentation changes what they see.
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.data import augment, preprocess
from labkit.data.datasets import Dataset, Split
from labkit.handcalc import BatchNorm1d, layer_table
from labkit.models import transfer
from labkit.models.pooled import bias_after_pooling
from labkit.training import features
from labkit.training.base_trainer import BaseTrainer
from labkit.training.config import Augmentation, Config
from labkit.training.engine import DEFAULT, Engine
from labkit.training.metrics import Meter, Metrics
from labkit.training.model import first_model
from labkit.training.strict import ConfigError

# of 32×32 pixels: enough to fill a GPU, few enough for the activations to stay in a CPU's cache
EVALUATION_BATCH = 500


class Trainer(BaseTrainer):
    """A network, its optimizer and the splits on one `device`.

    `config` is a `Config`, `dataset` what `load` gives, `engine` how steps are computed. `fit`
    makes one; by hand it is for looking at batches: `batch` has them as the network is fed them.
    Raises ConfigError where the network does not fit the images or their classes.

        trainer = Trainer(config, load("cifar10"), torch.device("cpu"))
        images, labels, _, _ = trainer.batch(torch.arange(6))
    """

    def __init__(
        self, config: Config, dataset: Dataset, device: torch.device, engine: Engine = DEFAULT
    ):
        super().__init__(config, device, engine, num_classes=len(dataset.classes))
        chosen = config.data
        train_images = dataset.train.first(chosen.train_images)
        validation_images = dataset.validation.first(chosen.validation_images)
        test_images = dataset.test.first(chosen.test_images)
        self.image_shape = self._checked_shape(train_images)
        self.preprocessing = preprocess.fit(
            chosen.preprocessing,
            train_images.images,
            mean=chosen.pixel_mean,
            std=chosen.pixel_std,
            epsilon=chosen.whitening_epsilon,
        ).to(device)
        # built on the CPU, so that a seed gives the same first weights on every device
        model = first_model(config, pooling_first=engine.pooling_first)
        model = model.to(device, memory_format=engine.memory_format)
        self.num_parameters = sum(each.numel() for each in model.parameters())
        count = self._num_kept(model, len(train_images) + len(validation_images) + len(test_images))
        self.frozen, model = model[:count].eval(), model[count:]
        if engine.bias_after_pooling and self.precision == "fp32" and device.type == "cpu":
            model = bias_after_pooling(model)
        self.train = self._resident(train_images)
        count = chosen.measured_train_images
        self.measured_train = self.train.first(min(count, len(self.train)) if count else None)
        self.validation = self._resident(validation_images)
        self.test = self._resident(test_images)
        self._begin(model)

    def loss(self, batch: Tensor) -> Tensor:
        """The mean cross-entropy of the training images with these indices, augmented: ()."""
        images, labels, other_labels, share = self.batch(batch)
        logits = self._logits(images)
        smoothing = self.config.label_smoothing
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        if share < 1:
            other = F.cross_entropy(logits, other_labels, label_smoothing=smoothing)
            loss = share * loss + (1 - share) * other
        # what was mixed counts as the class of which it has more
        self.meter.add(logits, labels if share >= 0.5 else other_labels, loss)
        return loss

    def batch(self, indices: Tensor) -> augment.Mixed:
        """Training images and labels, augmented and scaled: (n,) → (n, C, H, W) and (n,)."""
        images, labels = augment.take(self.train.images, indices), self.train.labels[indices]
        chosen, draws = self.config.augmentation, self.augmentation_draws
        if chosen.crop:
            images = augment.crop(images, chosen.crop, chosen.crop_padding, draws)
        if chosen.flip:
            images = augment.flip(images, draws)
        if chosen.colour_jitter:
            images = augment.colour_jitter(images, chosen.colour_jitter, draws)
        images = self._scaled(images)
        if chosen.rotation:
            images = augment.rotate(images, chosen.rotation, draws)
        if chosen.mixup or chosen.cutmix:
            # drawn on the host, anew for each step: there is no state that could be lost
            host = np.random.default_rng([self.config.seed % 2**63, self.steps])
            mix, alpha = (
                (augment.mixup, chosen.mixup) if chosen.mixup else (augment.cutmix, chosen.cutmix)
            )
            return mix(images, labels, alpha, host)
        return augment.Mixed(images, labels, labels, 1.0)

    def validate(self) -> dict[str, float]:
        """Losses and accuracies: of the training since the last call, and of the validation split.

        Training values are means over the steps, taken on augmented images in training mode while
        the weights still moved. Splits in `config.also_measure` are measured like the validation
        split, as `measured_train_loss` and so on.
        """
        running, self.meter = self.meter.result(), Meter(self.num_classes, self.device)
        measured = {"train": running, "validation": self.evaluate(self.validation)}
        splits = {"train": self.measured_train, "test": self.test}
        for name in self.config.also_measure:
            measured[f"measured_{name}"] = self.evaluate(splits[name])
        return {
            f"{name}_{metric}": getattr(values, metric)
            for name, values in measured.items()
            for metric in ("loss", "accuracy")
        }

    def measured(self, row: dict[str, float]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Loss and accuracy on every split, the test set's confusion, and its predictions.

        Arrays: `test_predictions` (N,), and `test_confidences` (N,), their probabilities.
        """
        metrics: dict[str, Any] = {}
        for name, column, split in (
            ("train", "measured_train", self.measured_train),
            ("validation", "validation", self.validation),
        ):
            if f"{column}_loss" in row:  # taken then, with these very weights
                loss, accuracy = row[f"{column}_loss"], row[f"{column}_accuracy"]
            else:
                found = self.evaluate(split)
                loss, accuracy = found.loss, found.accuracy
            metrics |= {f"{name}_loss": loss, f"{name}_accuracy": accuracy}
        logits = self.logits(self.test)
        meter = Meter(self.num_classes, self.device)
        meter.add(logits, self.test.labels)
        tested = meter.result()
        metrics |= {"test_loss": tested.loss, "test_accuracy": tested.accuracy}
        metrics["test_confusion"] = tested.confusion.tolist()
        confidences, predictions = logits.softmax(1).max(1)
        return metrics, {
            "test_predictions": predictions.to(torch.int16).cpu(),
            "test_confidences": confidences.half().cpu(),
        }

    def evaluate(self, split: Split) -> Metrics:
        """Metrics of `split` as it is, in evaluation mode; the model's mode is restored."""
        meter = Meter(self.num_classes, self.device)
        if len(split):
            meter.add(self.logits(split), split.labels)
        return meter.result()

    @torch.inference_mode()
    def logits(self, split: Split) -> Tensor:
        """The outputs for every image of `split`, in evaluation mode: (N, K) in float32."""
        was_training = self.model.training
        self.model.eval()
        # no batch is dropped: drop_last would leave images unscored
        parts = [
            self._logits(self._scaled(self._centred(part)), self.model)
            for part in split.images.split(self._evaluation_batch())
        ]
        self.model.train(was_training)
        return torch.cat(parts)

    def _checked_shape(self, train: Split) -> tuple[int, ...]:
        """The shape of an image as the network is fed it; ConfigError where it cannot be."""
        channels, *sides = train.images.shape[1:]
        crop, image_size = self.config.augmentation.crop, self.config.data.image_size
        if crop and crop > min(sides):
            raise ConfigError(
                f"Config.augmentation.crop: {crop}: images of {sides[0]}×{sides[1]} are cropped at "
                f"their centre when they are measured; give at most {min(sides)}"
            )
        if crop:
            sides = [crop, crop]
        if image_size and image_size < max(sides):
            raise ConfigError(
                f"Data.image_size: {image_size}: images of {sides[0]}×{sides[1]} are enlarged to "
                f"it, never reduced; give at least {max(sides)}, or None"
            )
        shape = (channels, *([image_size] * 2 if image_size else sides))
        normalised = any(isinstance(layer, BatchNorm1d) for layer in self.config.network)
        if normalised and len(train) % self.config.batch_size == 1:
            raise ConfigError(
                f"Config.batch_size: {self.config.batch_size}: it leaves a last batch of a single "
                f"image of {len(train)}, which cannot be normalised; give another"
            )
        outputs = layer_table(self.config.network, shape).output_shape
        if outputs != (self.num_classes,):
            raise ConfigError(
                f"Config.network: it ends with {outputs} outputs where the data has "
                f"{self.num_classes} classes; end with Linear(…, {self.num_classes})"
            )
        return shape

    def _num_kept(self, model: torch.nn.Sequential, num_images: int) -> int:
        """How many of the first modules are computed once: frozen ones that always see the same.

        0 where their outputs would be more numbers than the images that they are made of, which
        spares too little, or more than fit into memory.
        """
        if not self.config.pretrained or self.config.augmentation != Augmentation():
            return 0
        count = transfer.frozen_modules(model)
        if not count:
            return 0
        each = math.prod(layer_table(self.config.network[:count], self.image_shape).output_shape)
        worth = each <= math.prod(self.image_shape) and num_images * each * 4 <= features.MOST_BYTES
        return count if worth else 0

    def _resident(self, split: Split) -> Split:
        images = split.images
        if self.preprocessing.whitens:
            # a product of 3072×3072 an image: once, not at every step
            images = self.preprocessing(images.to(self.device))
        # channels last from the start: a batch taken by index keeps the layout
        images = images.to(self.device, memory_format=self.engine.memory_format)
        if len(self.frozen) and len(split):
            images = features.kept(
                images,
                lambda part: self._logits(self._fed(part), self.frozen),
                made_by=f"{self.frozen} {features.checksum(self.frozen)} {self.precision} "
                f"{self.config.data.image_size} {self.preprocessing.numbers()}",
                batch=self._evaluation_batch(),
                description="features",
            )
            if images.dim() == 4:
                images = images.contiguous(memory_format=self.engine.memory_format)
        return Split(images, split.labels.to(self.device))

    def _scaled(self, images: Tensor) -> Tensor:
        """Stored bytes as the network is fed them; what was made of them before stays."""
        return images if self.preprocessing.whitens or len(self.frozen) else self._fed(images)

    def _fed(self, images: Tensor) -> Tensor:
        """Bytes (n, C, H, W) → scaled and, where it is asked for, enlarged."""
        images = self.preprocessing(images)
        if size := self.config.data.image_size:
            images = F.interpolate(images, (size, size), mode="bilinear", align_corners=False)
        return images

    def _centred(self, images: Tensor) -> Tensor:
        crop = self.config.augmentation.crop
        return augment.centre_crop(images, crop) if crop else images

    def _evaluation_batch(self) -> int:
        """As many pixels as EVALUATION_BATCH images of 32×32 have, and at least 16 images."""
        _, height, width = self.image_shape
        return max(16, min(EVALUATION_BATCH, EVALUATION_BATCH * 32 * 32 // (height * width)))

    def _logits(self, images: Tensor, model: torch.nn.Module | None = None) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return (model or self._forward)(images).float()  # the loss is taken in float32
