# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # RDFIA part 2: training from scratch
#
# Questions 13 to 18 of the RDFIA practical 1-cd, with its figures 1 to 3: the network of part 1 is
# trained on CIFAR-10 ([Krizhevsky 2009](#cite-krizhevsky2009)) by stochastic gradient descent.
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
from labkit.training import SGD, Config, Data, Trainer, at_best_scale, sweep

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
epochs: int = 2
train_images: int | None = 15000  # None: all 45,000
validation_images: int | None = 1000  # None: all 5,000
test_images: int | None = 2000  # None: all 10,000
seeds: list[int] = [0, 1]  # of the base network, one run for each
other_seeds: list[int] = [0]  # of the other learning rates and batch sizes

learning_rate: float = 0.01  # the sheet's
# The sheet names no momentum, and has batches of 128 here (32 in figure 1). So short a training
# would show nothing with them; the full profile keeps to the same, so that its records fit beside
# it.
momentum: float = 0.9
batch_size: int = 32
learning_rates: list[float] = [0.001, 0.01, 0.1]  # of figure 1
batch_sizes: list[int] = [32, 128]  # of figure 2
precision: str = "auto"  # bf16 where the hardware has it; or "fp32", "bf16"

# %% [markdown]
# ## Question 13: the experiment
#
# One Config says all that decides a run. It is the *base network* of this and of the following
# parts: each improvement is compared with it. The test images are measured after every epoch,
# because the figures show them as the practical's do; nothing is chosen by them.

# %%
base = Config(
    network=rdfia(),
    optimizer=SGD(learning_rate=learning_rate, momentum=momentum),
    data=Data(
        train_images=train_images,
        measured_train_images=test_images or 10_000,  # as many of each
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
# The base network, before any improvement. Question 18 reads the curves.

# %%
base_runs = sweep({"base": base}, seeds=seeds)
long_runs, long_profile = at_best_scale(base_runs, {"base": base}, profile)
show(
    figures.learning_curves(long_runs, splits=curves),
    "Loss and accuracy before any improvement (figure 3 of the practical).",
    label="fig-rdfia-3",
    runs=long_runs,
    profile=long_profile,
)

# %% [markdown]
# ## Question 16: learning rate and batch size

# %%
rates = {
    f"learning rate {rate:g}": base.replace({"optimizer.learning_rate": rate}, batch_size=32)
    for rate in learning_rates
}
rate_runs = sweep(rates, seeds=other_seeds)
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
size_runs = sweep(sizes, seeds=other_seeds)
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

# %% jupyter={"source_hidden": true} tags=["solution"]
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
# The network is measured before its first step. Afterwards the training images are measured as the
# test images are: after the epoch, all with the same weights, in evaluation mode.

# %%
first_run = base_runs["base"][0]
torch.manual_seed(first_run.config["seed"])
untrained = Trainer(
    base.replace(seed=first_run.config["seed"]), load("cifar10"), torch.device("cpu")
)
at_start = untrained.evaluate(untrained.test)
first_epoch = first_run.history.iloc[0]
start = pd.DataFrame(
    {
        "ln 10, all classes alike": (math.log(10), 0.1),
        "test, before the first step": (at_start.loss, at_start.accuracy),
    }
    | {
        what: (first_epoch[f"{column}_loss"], first_epoch[f"{column}_accuracy"])
        for what, column in {
            "train, mean over the first epoch's batches": "train",
            "train, after the first epoch": "measured_train",
            "test, after the first epoch": "measured_test",
        }.items()
    },
    index=["loss (nats)", "accuracy"],
).T.round(3)
show(
    start,
    f"The start, and the first epoch (seed {first_run.config['seed']}).",
    label="tab-rdfia-start",
    runs=base_runs,
    profile=profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
batches_loss, after_loss, test_loss = (
    first_epoch[f"{column}_loss"] for column in ("train", "measured_train", "measured_test")
)
Markdown(
    f"**Answer** (profile {profile}). Before training the loss is {at_start.loss:.3f}, beside "
    f"$\\ln 10 = {math.log(10):.3f}$, with an accuracy of {at_start.accuracy:.3f}: "
    "the untrained network is about as good as guessing. In the first epoch the test "
    "loss is "
    + ("below" if test_loss < batches_loss else "not below")
    + f" the training loss ({test_loss:.3f} and {batches_loss:.3f}). "
    + (
        "It is not that test images are easier. The mean over the epoch still holds its first "
        "batches, on which the network had hardly been trained; on training images measured "
        f"*after* the epoch the loss is {after_loss:.3f}, and the difference that remains is "
        f"{test_loss - after_loss:+.3f}."
        if test_loss < batches_loss and after_loss < batches_loss
        else f"On training images measured after the epoch it is {after_loss:.3f}."
    )
)

# %% [markdown]
# ## Question 18: long training
#
# Overfitting begins where the test loss is lowest: from there on, what the network still learns of
# its training images no longer carries over.

# %% jupyter={"source_hidden": true} tags=["solution"]
histories = [run.history for run in long_runs["base"] if not run.diverged]
turns = [h["epoch"][h["measured_test_loss"].idxmin()] for h in histories]
ends = [h.iloc[-1] for h in histories]
at_turn = [h["measured_test_accuracy"][h["measured_test_loss"].idxmin()] for h in histories]
gap, last_accuracy, best_accuracy = (
    sum(values) / len(values) if values else math.nan
    for values in (
        [end["measured_train_accuracy"] - end["measured_test_accuracy"] for end in ends],
        [end["measured_test_accuracy"] for end in ends],
        at_turn,
    )
)
turned = histories and all(turn < end["epoch"] for turn, end in zip(turns, ends, strict=True))
Markdown(
    f"**Answer** (profile {long_profile}). "
    + (
        "The test loss is lowest after epoch "
        + ", ".join(f"{turn:.0f}" for turn in turns)
        + f" of {long_runs['base'][0].config['epochs']}, and rises from there on: that is where "
        f"overfitting begins. The test accuracy is {best_accuracy:.3f} there and "
        f"{last_accuracy:.3f} at the end"
        + (
            ": the network is right as often as before, but surer and surer of what it gets "
            "wrong, which the loss counts and the accuracy does not. "
            if last_accuracy >= best_accuracy
            else ". "
        )
        if turned
        else "The test loss has not turned upwards: this training is too short to overfit. "
    )
    + f"At the end the network is right on {100 * gap:.1f} points more of its training images "
    "than of the test images, both measured with the same weights."
)
