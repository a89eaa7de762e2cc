# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # RDFIA part 2: training from scratch
#
# Questions 13 to 18 of the RDFIA practical 1-cd, with its figures 1 to 3: the network of part 1 is
# trained on CIFAR-10 (Krizhevsky 2009) by stochastic gradient descent.
#
# **Prediction.** Before its first step the network knows nothing: it should give each of the ten
# classes a tenth, a loss of $\ln 10 \approx 2.303$. Too small a learning rate should leave it near
# there, too large a one should throw it about. With 1,191,170 weights it can learn its training
# images by heart, so in a long training the test loss should turn upwards.

# %%
import math

import pandas as pd
import torch
from IPython.display import Markdown

from labkit import figures
from labkit.data import load
from labkit.figures import show
from labkit.models import rdfia
from labkit.training import SGD, Config, Data, Trainer, full_scale, sweep

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
epochs: int = 2  # of the runs that compare learning rates and batch sizes
long_epochs: int = 6  # of the run that is to overfit
train_images: int | None = 10000  # None: all 45,000
validation_images: int | None = 500  # None: all 5,000
test_images: int | None = 1000  # None: all 10,000
seeds: list[int] = [0]  # one run for each

momentum: float = 0.9  # the sheet has none; with it a short training shows what a long one would
learning_rates: list[float] = [0.001, 0.01, 0.1]  # of figure 1
batch_sizes: list[int] = [32, 128, 512]  # of figure 2
learning_rate: float = 0.01  # the sheet's
batch_size: int = 128  # the sheet's
precision: str = "auto"  # bf16 where the hardware has it; or "fp32", "bf16"

# %% [markdown]
# ## Question 13: the experiment
#
# One Config says all that decides a run. The test images are measured along the way, because the
# figures show them as the practical's do; nothing is chosen by them.

# %%
base = Config(
    network=rdfia(),
    optimizer=SGD(learning_rate=learning_rate, momentum=momentum),
    data=Data(
        train_images=train_images,
        validation_images=validation_images,
        test_images=test_images,
        pixel_mean=0.0,  # pixels in [0, 1]; part 3 standardises them
        pixel_std=1.0,
    ),
    batch_size=batch_size,
    epochs=epochs,
    validations_per_epoch=1,
    also_measure=("train", "test"),
    precision=precision,
)
curves = ("train", "measured_test")

# %% [markdown]
# ## Question 14: how train and test are measured

# %% [markdown] tags=["solution"]
# **Answer.** The training loss of an epoch is the mean over its batches, each taken just before
# the step on it: with weights that still move, in training mode (dropout on, batch statistics), on
# augmented images where there is augmentation. The test loss is taken after the epoch, with the
# weights as they then are, in evaluation mode, without gradients, over every image once. So the two
# differ in more than the images, and a difference between them is not yet overfitting.

# %% [markdown]
# ## Question 15: training to convergence
#
# The network is trained for long (figure 3 of the practical); question 18 reads the curves.

# %%
long = {"base": base.replace(epochs=long_epochs)}
long_runs = sweep(long, seeds=seeds)
long_judged = long_runs if profile == "full" else full_scale(long) or long_runs
long_profile = profile if long_judged is long_runs else "full"
show(
    figures.learning_curves(long_judged, splits=curves),
    "Loss and accuracy in a long training, before any improvement (figure 3 of the practical).",
    label="fig-rdfia-3",
    runs=long_judged,
    profile=long_profile,
)

# %% [markdown]
# ## Question 16: learning rate and batch size

# %%
rates = {
    f"learning rate {rate:g}": base.replace({"optimizer.learning_rate": rate}, batch_size=32)
    for rate in learning_rates
}
rate_runs = sweep(rates, seeds=seeds)
show(
    figures.learning_curves(rate_runs, splits=curves),
    "The learning rate, at batches of 32 (figure 1 of the practical).",
    label="fig-rdfia-1",
    runs=rate_runs,
    profile=profile,
)

# %%
columns = {
    "train loss": "train_loss",
    "test loss": "test_loss",
    "train accuracy": "train_accuracy",
    "test accuracy": "test_accuracy",
    "best epoch": "best_epoch",
    "seconds": "training_seconds",
}
show(
    rate_runs.table(columns),
    "The learning rates in numbers, each run with its best weights.",
    label="tab-rdfia-rates",
    runs=rate_runs,
    profile=profile,
)

# %%
sizes = {
    f"batches of {size}": base.replace({"optimizer.learning_rate": 0.01}, batch_size=size)
    for size in batch_sizes
}
size_runs = sweep(sizes, seeds=seeds)
show(
    figures.learning_curves(size_runs, splits=curves),
    "The batch size, at a learning rate of 0.01 (figure 2 of the practical).",
    label="fig-rdfia-2",
    runs=size_runs,
    profile=profile,
)

# %%
show(
    size_runs.table(columns),
    "The batch sizes in numbers, each run with its best weights.",
    label="tab-rdfia-sizes",
    runs=size_runs,
    profile=profile,
)

# %% tags=["solution"]
best_rate, best_size = rate_runs.best("validation_loss"), size_runs.best("validation_loss")
reached = {
    name: "diverged"
    if any(run.diverged for run in group)
    else f"reaches {rate_runs.spread(name, 'test_accuracy')}"
    for name, group in rate_runs.items()
}
Markdown(
    f"**Answer** (profile {profile}). Of the learning rates, the lowest validation loss is that of "
    f"*{best_rate}*, with {rate_runs.spread(best_rate, 'test_accuracy')} of the test images right; "
    + ", ".join(f"*{name}* {what}" for name, what in reached.items() if name != best_rate)
    + ". A step is the rate times the gradient: small steps are safe and slow, and large ones "
    "overshoot the valley that they are to descend into. "
    f"Of the batch sizes, *{best_size}* is best after the same number of epochs, with "
    f"{size_runs.spread(best_size, 'test_accuracy')}. Larger batches give a less noisy gradient, "
    "and fewer steps an epoch: at the same rate they are compared after fewer steps, so a "
    "difference here is not the noise's alone."
)

# %% [markdown]
# ## Question 17: the error at the start
#
# The network is measured before its first step, on the test images.

# %%
dataset = load("cifar10")
torch.manual_seed(seeds[0])
untrained = Trainer(base.replace(seed=seeds[0]), dataset, torch.device("cpu"))
at_start = untrained.evaluate(untrained.test)
first_epoch = size_runs[f"batches of {batch_sizes[0]}"][0].history.iloc[0]
show(
    pd.DataFrame(
        {
            "loss (nats)": {
                "ln 10, all classes alike": math.log(10),
                "test, before the first step": at_start.loss,
                "train, mean over the first epoch's batches": first_epoch["train_loss"],
                "train, after the first epoch": first_epoch["measured_train_loss"],
                "test, after the first epoch": first_epoch["measured_test_loss"],
            },
            "accuracy": {
                "ln 10, all classes alike": 0.1,
                "test, before the first step": at_start.accuracy,
                "train, mean over the first epoch's batches": first_epoch["train_accuracy"],
                "train, after the first epoch": first_epoch["measured_train_accuracy"],
                "test, after the first epoch": first_epoch["measured_test_accuracy"],
            },
        }
    ).round(3),
    f"The start, and the first epoch with batches of {batch_sizes[0]}.",
    label="tab-rdfia-start",
    runs=size_runs.select(f"batches of {batch_sizes[0]}"),
    profile=profile,
)

# %% tags=["solution"]
below = first_epoch["measured_test_loss"] < first_epoch["train_loss"]
explained = first_epoch["measured_train_loss"] < first_epoch["train_loss"]
Markdown(
    f"**Answer** (profile {profile}). Before training the loss is {at_start.loss:.3f}, beside "
    f"$\\ln 10 = {math.log(10):.3f}$: the untrained network is about as good as guessing. "
    "In the first epoch the test loss "
    + ("is below" if below else "is not below")
    + f" the training loss ({first_epoch['measured_test_loss']:.3f} and "
    f"{first_epoch['train_loss']:.3f}). "
    + (
        "The reason can be measured: on the same training images, taken after the epoch, the loss "
        f"is {first_epoch['measured_train_loss']:.3f}. The mean over the epoch still holds the "
        "first batches, on which the network had hardly been trained."
        if below and explained
        else "On the same training images, taken after the epoch, the loss is "
        f"{first_epoch['measured_train_loss']:.3f}."
    )
)

# %% [markdown]
# ## Question 18: long training
#
# Overfitting begins where the test loss is lowest: from there on, what the network still learns of
# its training images no longer carries over.

# %% tags=["solution"]
histories = [run.history for run in long_judged["base"]]
turns = [h["epoch"][h["measured_test_loss"].idxmin()] for h in histories]
last = [h.iloc[-1] for h in histories]
gaps = [row["measured_train_accuracy"] - row["measured_test_accuracy"] for row in last]
gap = sum(gaps) / len(gaps)
turned = any(turn < row["epoch"] for turn, row in zip(turns, last, strict=True))
Markdown(
    f"**Answer** (profile {long_profile}). "
    + (
        "The test loss is lowest after epoch "
        + ", ".join(f"{turn:.0f}" for turn in turns)
        + f" of {long_judged['base'][0].config['epochs']}, and rises from there on: that is where "
        "overfitting begins. "
        if turned
        else "The test loss falls to the end: this training is too short to overfit. "
    )
    + f"At the end the network is right on {100 * gap:.1f} points more of its training images "
    "than of the test images, both measured with the same weights."
)
