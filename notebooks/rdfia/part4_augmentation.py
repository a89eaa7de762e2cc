# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # RDFIA part 4: more examples by augmentation
#
# Questions 22 to 25 of the RDFIA practical 1-cd, with its figures 7 and 8: the base network of
# part 2 is trained on images that are cropped, mirrored and mixed, differently in every epoch.
#
# **Prediction.** Augmented images are harder: training should be slower, and the network should
# hardly be able to learn them by heart. So a long training should end better, and a short one,
# which does not overfit yet, should not profit.

# %%
import pandas as pd
import torch
from IPython.display import Markdown

from labkit import figures
from labkit.data import load
from labkit.figures import show
from labkit.handcalc import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from labkit.models import build, rdfia
from labkit.report.claims import claim
from labkit.training import SGD, Adam, Augmentation, Config, Data, Trainer, at_best_scale, sweep

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
epochs: int = 2
train_images: int | None = 15000  # None: all 45,000
validation_images: int | None = 1000  # None: all 5,000
test_images: int | None = 2000  # None: all 10,000
seeds: list[int] = [0, 1]  # of the base network and of crop and flip, one run for each
other_seeds: list[int] = [0]  # of the mixed images

learning_rate: float = 0.01  # the sheet's
momentum: float = 0.9  # the sheet names none; see part 2
batch_size: int = 32  # the sheet has 128; see part 2
crop: int = 28  # pixels, the side of a random crop
alpha: float = 1.0  # of the Beta distribution from which the shares of mixed images are drawn
mixed: list[str] = ["cutmix"]  # the full profile has "mixup" as well
digit_seeds: list[int] = [0, 1, 2, 3, 4]  # of the small network of question 23
digit_epochs: int = 15
precision: str = "auto"  # bf16 where the hardware has it; or "fp32", "bf16"

# %% [markdown]
# ## Question 22: crops and flips
#
# Each training image is cropped to 28 × 28 at a random place, and every second one, on average, is
# mirrored. A test image is cropped at its centre. Three poolings halve 28 to 14, 7 and 3; the third
# one rounds up, so that it leaves 4 × 4 and the fully connected layers stay as they are.

# %%
base = Config(
    network=rdfia(),
    optimizer=SGD(learning_rate=learning_rate, momentum=momentum),
    data=Data(
        train_images=train_images,
        measured_train_images=test_images or 10_000,  # as many of each
        validation_images=validation_images,
        test_images=test_images,
        pixel_mean=0.0,  # pixels in [0, 1], as the practical's base network gets them
        pixel_std=1.0,
    ),
    batch_size=batch_size,
    epochs=epochs,
    validations_per_epoch=1,
    also_measure=("train", "test"),
    precision=precision,
)
experiment = {
    "base": base,
    "crop and flip": base.replace(
        network=rdfia(ceil_mode=True), augmentation=Augmentation(crop=crop, flip=True)
    ),
} | {method: base.replace({f"augmentation.{method}": alpha}) for method in mixed}

# %%
dataset = load("cifar10")
cropped = Trainer(experiment["crop and flip"], dataset, torch.device("cpu"))
some = torch.arange(6)
originals = cropped.train.images[some].float() / 255
batches = [cropped.batch(some).images for _ in range(3)]  # each draws anew
framed = [
    torch.nn.functional.pad(images, [(32 - crop) // 2, 32 - crop - (32 - crop) // 2] * 2, value=1.0)
    for images in batches
]
show(
    figures.pictures(torch.cat([originals, *framed])),
    f"Six training images, and what the network is given of them in three epochs: crops of "
    f"{crop} × {crop} at random places, half of them mirrored.",
    label="fig-rdfia-crops",
)

# %%
main = {name: experiment[name] for name in ("base", "crop and flip")}
runs = sweep(main, seeds=seeds) | sweep(
    {name: experiment[name] for name in mixed}, seeds=other_seeds
)
judged, judged_profile = at_best_scale(runs, experiment, profile)
curves = ("train", "measured_test")

# %%
augmented_runs = judged.select("base", "crop and flip")
show(
    figures.learning_curves(augmented_runs, splits=curves),
    "Random crops and flips, beside the base network (figure 7 of the practical). The training "
    "curves are taken on the augmented images.",
    label="fig-rdfia-7",
    runs=augmented_runs,
    profile=judged_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
better = claim(
    "Crops and flips raise the test accuracy",
    judged.select("crop and flip"),
    ">",
    judged.select("base"),
    profile=judged_profile,
    source="RDFIA 1-cd report, question 22",
)
gaps = {
    name: 100 * (judged.mean(name, "train_accuracy") - judged.mean(name, "test_accuracy"))
    for name in judged
}
Markdown(
    f"**Answer** (profile {judged_profile}). With crops and flips the test accuracy is "
    f"{judged.spread('crop and flip', 'test_accuracy')}, without "
    f"{judged.spread('base', 'test_accuracy')}. That they help: {better.outcome}. "
    "On training images that are cropped at their centre, as test images are, the augmented "
    f"network's accuracy is ahead of that on test images by {gaps['crop and flip']:.1f} points, "
    f"the base network's by {gaps['base']:.1f}. "
    + (
        "What augmentation is for, keeping the network from learning its images by heart, cannot "
        "show here: in so short a training the base network does not overfit either."
        if gaps["base"] < 5
        else "It is that gap which augmentation is to close."
    )
)

# %% [markdown]
# ## Question 23: when may an image be mirrored?

# %% [markdown] tags=["solution"]
# **Answer.** When its mirror image could have been taken as well, and would be of the same class. A
# mirrored horse is a horse. A mirrored 2 is no digit, a mirrored b is a d, an arrow on a road sign
# points the other way, and a heart on an X-ray changes sides. What the images show decides, not the
# method: shown here on CIFAR-10 and on handwritten digits ([Alpaydin & Kaynak
# 1998](#cite-alpaydin1998), 8 × 8 pixels).

# %% jupyter={"source_hidden": true} tags=["solution"]
digits = Config(
    network=(
        *(Conv2d(1, 16, 3, padding=1), ReLU(), MaxPool2d(2)),  # 16 × 4 × 4
        *(Conv2d(16, 32, 3, padding=1), ReLU(), Flatten()),
        Linear(32 * 4 * 4, 10),
    ),
    optimizer=Adam(learning_rate=1e-3),
    data=Data(name="digits", test_images=500, pixel_mean=0.0, pixel_std=1.0),
    batch_size=32,
    epochs=digit_epochs,
    validations_per_epoch=1,
)
digit_runs = sweep(
    {
        "digits as they are": digits,
        "digits, half of them mirrored": digits.replace({"augmentation.flip": True}),
    },
    seeds=digit_seeds,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
tested = (
    ("CIFAR-10 as it is", runs["base"], base),
    ("digits as they are", digit_runs["digits as they are"], digits),
    ("digits, half of them mirrored", digit_runs["digits, half of them mirrored"], digits),
)
rows = {}
for trained_on, group, config in tested:
    test = load(config.data.name).test.first(config.data.test_images)
    mirrored = []
    for run in group:
        if run.has_weights:  # a committed record has none
            module = build(config.network).eval()
            module.load_state_dict(run.weights)
            with torch.inference_mode():
                outputs = [module(part.flip(3).float() / 255) for part in test.images.split(500)]
            hits = torch.cat(outputs).argmax(1) == test.labels
            mirrored.append(hits.float().mean().item())
    upright = sum(run.metrics["test_accuracy"] for run in group) / len(group)
    rows[trained_on] = {
        "test accuracy": f"{upright:.3f}",
        "on mirrored test images": f"{sum(mirrored) / len(mirrored):.3f}" if mirrored else "–",
        "seeds": len(group),
    }
show(
    pd.DataFrame(rows).T.rename_axis("trained on"),
    "Networks trained with and without mirror images, tested on images as they are and mirrored.",
    label="tab-rdfia-mirrored",
    runs=runs.select("base") | digit_runs,
    profile=profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
harm = claim(
    "To mirror half of the digits lowers the accuracy on digits as they are",
    digit_runs.select("digits, half of them mirrored"),
    "<",
    digit_runs.select("digits as they are"),
    profile=profile,
)
seen = {
    name: f"{row['test accuracy']} and {row['on mirrored test images']}"
    for name, row in rows.items()
}
Markdown(
    f"**Answer, measured** (profile {profile}; accuracy on images as they are, and mirrored). "
    + "; ".join(f"{name}: {both}" for name, both in seen.items())
    + ". Of photographs a mirror image is as good; digits of which no mirror image was seen are, "
    f"mirrored, often taken for others. That the flip harms, after as many epochs: {harm.outcome}."
)

# %% [markdown]
# ## Question 24: the limits of augmentation

# %% [markdown] tags=["solution"]
# **Answer.** Augmentation adds what we already know: that a shifted or mirrored horse is a horse.
# It adds no new horse, no new pose and no new light; images made of the same one stay alike, and
# errors in the labels are multiplied too. Each change has to keep the label (question 23), its
# strength is one more number to choose, and a crop can cut off what the image is of. It costs time
# in every epoch, and the harder images ask for more epochs or a larger network.

# %% [markdown]
# ## Question 25: other augmentations
#
# Rotations, other scales, other colours and light, noise and blur change one image. **CutMix**
# ([Yun et al. 2019](#cite-yun2019)) pastes a box of one image into another, **Mixup** ([Zhang et
# al. 2018](#cite-zhang2018)) averages two; the label becomes the same mixture of both, by area or
# by weight.

# %%
names = {"cutmix": "CutMix", "mixup": "Mixup"}
batches = {}
for method in names:
    mixing = Trainer(base.replace({f"augmentation.{method}": alpha}), dataset, torch.device("cpu"))
    mixing.steps = 2  # each step draws another share; this one mixes visibly
    batches[method] = mixing.batch(some)
show(
    figures.pictures(torch.cat([originals, *(batch.images for batch in batches.values())])),
    "Six training images; below, as a batch, mixed by "
    + ", then by ".join(
        f"{names[method]} (each image keeps {batch.share:.2f} of its label)"
        for method, batch in batches.items()
    )
    + ".",
    label="fig-rdfia-mixed",
)

# %%
mixed_runs = judged.select("base", *mixed)
show(
    figures.learning_curves(mixed_runs, splits=curves),
    f"{' and '.join(names[method] for method in mixed)}, beside the "
    "base network (figure 8 of the practical). The training loss is that of the mixed labels.",
    label="fig-rdfia-8",
    runs=mixed_runs,
    profile=judged_profile,
)

# %%
show(
    judged.table(
        {
            "train loss": "train_loss",
            "test loss": "test_loss",
            "train accuracy": "train_accuracy",
            "test accuracy": "test_accuracy",
            "best epoch": "best_epoch",
            "seconds": "training_seconds",
        }
    ),
    "Every kind of augmentation, each run with its best weights, on images that are not augmented.",
    label="tab-rdfia-augmentation",
    runs=judged,
    profile=judged_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
told = {
    method: claim(
        f"{names[method]} raises the test accuracy",
        judged.select(method),
        ">",
        judged.select("base"),
        profile=judged_profile,
    )
    for method in mixed
}
Markdown(
    f"**Answer** (profile {judged_profile}). The base network reaches "
    f"{judged.spread('base', 'test_accuracy')}. That these do better: "
    + "; ".join(
        f"*{method}* ({judged.spread(method, 'test_accuracy')}), {found.outcome}"
        for method, found in told.items()
    )
    + ". Mixed images cannot be learnt by heart, since a pair hardly comes twice; the price is "
    "slower learning, which in a short training is all that is seen."
)
