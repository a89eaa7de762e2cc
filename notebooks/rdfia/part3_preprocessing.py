# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # RDFIA part 3: preprocessing
#
# Questions 19 to 21 of the RDFIA practical 1-cd, with its figures 4 to 6: the network of part 1 is
# given the same images, standardised, whitened or scaled in other ways.
#
# **Prediction.** Pixels in [0, 1] are all positive, so the gradients of a filter's weights tend to
# have one sign in common. Around zero they have not, and training should be faster. Scaling by
# minimum and maximum should change nothing: the pixels fill [0, 1] already.

# %%
import pandas as pd
import torch
from IPython.display import Markdown

from labkit import figures
from labkit.data import load, preprocess
from labkit.figures import show
from labkit.models import rdfia
from labkit.report.claims import claim
from labkit.training import SGD, Config, Data, at_best_scale, sweep

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
epochs: int = 2
train_images: int | None = 15000  # None: all 45,000
validation_images: int | None = 1000  # None: all 5,000
test_images: int | None = 2000  # None: all 10,000
seeds: list[int] = [0, 1]  # of the base network and of standardisation, one run for each
other_seeds: list[int] = [0]  # of the other kinds
others: list[str] = ["pca", "zca", "min-max"]  # the full profile has "robust" as well

learning_rate: float = 0.01  # the sheet's
momentum: float = 0.9  # the sheet names none; see part 2
batch_size: int = 32  # the sheet has 128; see part 2
whitening_epsilon: float = 0.01  # added to the variances along the principal axes
precision: str = "auto"  # bf16 where the hardware has it; or "fp32", "bf16"

# %% [markdown]
# ## Question 19: standardisation
#
# From each pixel the mean of its channel is subtracted, and the difference is divided by the
# standard deviation. Both are taken over the training images.

# %%
dataset = load("cifar10")
images = dataset.train.first(train_images).images
standardise = preprocess.fit("standardise", images)
show(
    pd.DataFrame(
        {
            "mean": (standardise.shift / 255).flatten().tolist(),
            "standard deviation": (standardise.factor / 255).flatten().tolist(),
            "mean, as published": [0.491, 0.482, 0.447],
        },
        index=["red", "green", "blue"],
    ).round(3),
    f"Statistics of the {len(images):,} training images, of pixels in [0, 1].",
    label="tab-rdfia-statistics",
)

# %% [markdown]
# ## Question 20: why the statistics of the training images

# %% [markdown] tags=["solution"]
# **Answer.** Preprocessing is a part of the model, like its weights, and is learnt from the same
# images. Statistics of the test images would let the model know something of what it is to be
# tested on; in use they are not there at all, since images come one by one. And the same map must
# be applied to both: an image that was standardised otherwise is not the image that the network
# has learnt to read.

# %% [markdown]
# ## Question 21: other kinds of preprocessing
#
# **Whitening** makes the 3,072 numbers of an image uncorrelated, with variance one (less where it
# was far below the parameter `whitening_epsilon`, so that noise is not blown up): along the
# principal axes (PCA), or turned back so that the result looks like an image again (ZCA, [Bell and
# Sejnowski 1997](#cite-bell1997)). **Min-max scaling** brings each channel to [0, 1], **robust
# scaling** takes the median and the quartiles for mean and standard deviation.
#
# Where the lowest and the highest value of every channel are 0 and 1 already, min-max scaling is
# the identity. Then its run *is* the base network's, and is not trained again.

# %%
some = dataset.test.images[:6]
shown = [some.float() / 255]
for method in ("standardise", "pca", "zca"):
    seen = preprocess.fit(method, images, epsilon=whitening_epsilon)(some)
    shown.append((0.5 + seen / 6).clamp(0, 1))  # grey is 0, black −3, white 3
show(
    figures.pictures(torch.cat(shown)),
    "Six test images; below, what the network is given of them: standardised, PCA- and "
    "ZCA-whitened. Grey is 0, black −3, white 3. In the PCA row nothing can be seen: its entries "
    "are coordinates along the principal axes, and have no place in the image.",
    label="fig-rdfia-whitened",
)

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
        whitening_epsilon=whitening_epsilon,
    ),
    batch_size=batch_size,
    epochs=epochs,
    validations_per_epoch=1,
    also_measure=("train", "test"),
    precision=precision,
)
min_max = preprocess.fit("min-max", images)
identity = bool(min_max.shift.eq(0).all() and min_max.factor.eq(255).all())
experiment = {"base": base} | {
    method: base
    if method == "min-max" and identity
    else base.replace({"data.preprocessing": method})
    for method in ("standardise", *others)
}
main = {name: experiment[name] for name in ("base", "standardise")}
runs = sweep(main, seeds=seeds) | sweep(
    {name: experiment[name] for name in others}, seeds=other_seeds
)
judged, judged_profile = at_best_scale(runs, experiment, profile)
curves = ("train", "measured_test")

# %%
made = {
    "standardise": "standardised",
    "pca": "whitened by PCA",
    "zca": "whitened by ZCA",
    "min-max": "scaled by minimum and maximum",
    "robust": "scaled by median and quartiles",
}
for number, pair in ((4, ["standardise"]), (5, ["pca", "zca"]), (6, ["min-max", "robust"])):
    methods = [method for method in pair if method in judged]
    if not methods:
        continue
    shown_here = judged.select("base", *methods)
    show(
        figures.learning_curves(shown_here, splits=curves),
        f"Images {' or '.join(made[method] for method in methods)}, beside the base network "
        f"(figure {number} of the practical).",
        label=f"fig-rdfia-{number}",
        runs=shown_here,
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
    "Every kind of preprocessing, each run with its best weights.",
    label="tab-rdfia-preprocessing",
    runs=judged,
    profile=judged_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
claim(
    "Standardisation makes training faster: the lowest validation loss comes earlier",
    judged.select("standardise"),
    "<",
    judged.select("base"),
    "best_epoch",
    profile=judged_profile,
    source="RDFIA 1-cd report, question 19",
)
told = {
    name: claim(
        f"The test accuracy is higher with images {made[name]}",
        judged.select(name),
        ">",
        judged.select("base"),
        profile=judged_profile,
    )
    for name in judged
    if name not in ("base", "min-max")
}
Markdown(
    f"**Answer** (profile {judged_profile}). The base network is right on "
    f"{judged.spread('base', 'test_accuracy')} of the test images. That these do better: "
    + "; ".join(
        f"*{name}* ({judged.spread(name, 'test_accuracy')}), {found.outcome}"
        for name, found in told.items()
    )
    + ". A ± of a claim is half of a 95 % interval: Student's t over the paired seeds, and no less "
    "than so many test images leave open. "
    + (
        "Min-max scaling is the identity here: in every channel the training images have a pixel "
        "of 0 and one of 255, and its curve is the base network's. The RDFIA 1-cd report compares "
        "its performance with PCA's as if it were another preprocessing (erratum)."
        if identity
        else "Min-max scaling is nearly the identity: the pixels almost fill [0, 1]."
    )
    + " PCA takes the place away: its coordinates lie along the principal axes, so that a "
    "convolution's window holds numbers that are no neighbours. ZCA turns them back."
)

# %% [markdown]
# What the first layer has learnt from the one and from the other:

# %%
for name in ("base", "zca"):
    if name in runs and (run := runs[name][0]).has_weights:
        filters = run.weights["0.weight"]  # (32, 3, 5, 5)
        lowest, highest = filters.amin((1, 2, 3), True), filters.amax((1, 2, 3), True)
        show(
            figures.pictures((filters - lowest) / (highest - lowest), columns=16),
            f"The 32 filters of the first layer after training ({name}), each from its lowest "
            "weight (black) to its highest (white).",
            label=f"fig-rdfia-filters-{name}",
            runs=runs.select(name),
            profile=profile,
        )
