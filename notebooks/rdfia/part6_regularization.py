# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # RDFIA part 6: dropout and batch normalisation
#
# Questions 29 to 34 of the RDFIA practical 1-cd, with its figures 11 and 12: the base network of
# part 2, regularised by dropout between its fully connected layers, or normalised after each of its
# convolutions.
#
# **Prediction.** Dropout makes learning harder and learning by heart harder still: a short training
# should lose by it, a long one should gain. Batch normalisation keeps the scale of what each later
# layer gets, and takes from the first one's outputs the offset that all-positive pixels give them:
# it should train faster at once.

# %%
import pandas as pd
import torch
from IPython.display import Markdown

from labkit import figures
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
seeds: list[int] = [0, 1]  # of base, dropout and batch normalisation, one run for each
other_seeds: list[int] = [0]  # of the other dropout rates

learning_rate: float = 0.01  # the sheet's
momentum: float = 0.9  # the sheet names none; see part 2
batch_size: int = 32  # the sheet has 128; see part 2
dropout: float = 0.5  # the sheet's rate
other_rates: list[float] = [0.2]  # of question 32
precision: str = "auto"  # bf16 where the hardware has it; or "fp32", "bf16"

# %% [markdown]
# ## Question 29: dropout
#
# In training, each of the 1,000 inputs of the last layer is left out with probability 0.5, drawn
# anew for every image ([Srivastava et al. 2014](#cite-srivastava2014)).

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
    f"dropout {dropout:g}": base.replace(network=rdfia(dropout=dropout)),
    "batch normalisation": base.replace(network=rdfia(batch_norm=True)),
}
runs = sweep(experiment, seeds=seeds)
judged, judged_profile = at_best_scale(runs, experiment, profile)
curves = ("train", "measured_test")
dropped = judged.select("base", f"dropout {dropout:g}")
show(
    figures.learning_curves(dropped, splits=curves),
    f"Dropout with rate {dropout:g} between the fully connected layers, beside the base network "
    "(figure 11 of the practical). The training curves are taken with dropout on.",
    label="fig-rdfia-11",
    runs=dropped,
    profile=judged_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
later = claim(
    "Dropout delays overfitting: the lowest validation loss comes later",
    judged.select(f"dropout {dropout:g}"),
    ">",
    judged.select("base"),
    "best_epoch",
    profile=judged_profile,
    source="RDFIA 1-cd report, question 29",
)
better = claim(
    "Dropout raises the test accuracy",
    judged.select(f"dropout {dropout:g}"),
    ">",
    judged.select("base"),
    profile=judged_profile,
)

# points of accuracy that the training images have over the test images
gaps = {
    name: 100 * (judged.mean(name, "train_accuracy") - judged.mean(name, "test_accuracy"))
    for name in judged
}
Markdown(
    f"**Answer** (profile {judged_profile}). With dropout the test accuracy is "
    f"{judged.spread(f'dropout {dropout:g}', 'test_accuracy')}, without it "
    f"{judged.spread('base', 'test_accuracy')}. That it helps: {better.outcome}; that it delays "
    f"overfitting: {later.outcome}. Measured alike, in evaluation mode, the training images are "
    f"ahead of the test images by {gaps[f'dropout {dropout:g}']:.1f} points with it and by "
    f"{gaps['base']:.1f} without."
    + (
        " There is hardly an overfitting yet that dropout could prevent: so short a training hides "
        "what it is for."
        if gaps["base"] < 5
        else ""
    )
)

# %% [markdown]
# ## Question 30: what is regularisation?

# %% [markdown] tags=["solution"]
# **Answer.** Whatever makes a model do better on new data without doing better on its training
# data. It prefers, of the many networks that fit the images, one that is simple in some sense: with
# small weights (weight decay adds their squares to the loss), with outputs that do not depend on a
# single unit (dropout), that stay the same where the image is moved or mirrored (augmentation), or
# that training reached early (early stopping). The price is a bias: too much of it, and the network
# cannot fit the images at all.

# %% [markdown]
# ## Question 31: why dropout helps

# %% [markdown] tags=["solution"]
# **Answer.** A unit cannot rely on a certain other one being there, so that each has to be useful
# beside many different others; detectors that only work together (co-adaptation) do not pay. And a
# network of $n$ units with dropout is a set of $2^n$ networks that share their weights, of which
# each image, at each step, trains one: using all units at the test, with the right scale, comes
# near to averaging them, as an ensemble does ([Srivastava et al. 2014](#cite-srivastava2014)).

# %% [markdown]
# ## Question 32: the dropout rate

# %%
dropout_rates = {"dropout 0": base} | {
    f"dropout {rate:g}": base.replace(network=rdfia(dropout=rate))
    for rate in sorted({dropout, *other_rates})
}
rate_runs = sweep(dropout_rates, seeds=other_seeds)
compared, compared_profile = at_best_scale(rate_runs, dropout_rates, profile)
columns = {
    "test loss": "test_loss",
    "train accuracy": "train_accuracy",
    "validation accuracy": "validation_accuracy",
    "test accuracy": "test_accuracy",
    "best epoch": "best_epoch",
}
show(
    compared.table(columns),
    "Dropout rates; all measured in evaluation mode.",
    label="tab-rdfia-dropout",
    runs=compared,
    profile=compared_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
chosen = compared.best("validation_accuracy")
Markdown(
    f"**Answer** (profile {compared_profile}). The rate is the probability with which a unit is "
    "left out. The higher it is, the more noise and the fewer units a step has: more "
    "regularisation, slower learning, and underfitting in the end. It is a hyperparameter, so the "
    f"validation images choose it: here *{chosen}*, with "
    f"{compared.spread(chosen, 'validation_accuracy')} of them and "
    f"{compared.spread(chosen, 'test_accuracy')} of the test images right."
)

# %% [markdown]
# ## Question 33: dropout in training and at the test
#
# Shown on one layer: 100,000 units that all give 1.

# %%
torch.manual_seed(0)
ones = torch.ones(100_000)
layer = torch.nn.Dropout(dropout)
in_training, at_test = layer.train()(ones), layer.eval()(ones)
show(
    pd.DataFrame(
        {
            mode: {
                "units that are 0": f"{(given == 0).float().mean():.3f}",
                "value of the others": f"{given.max():.3f}",
                "mean": f"{given.mean():.3f}",
                "standard deviation": f"{given.std():.3f}",
            }
            for mode, given in (("in training", in_training), ("at the test", at_test))
        }
    ),
    f"What dropout with rate {dropout:g} makes of ones.",
    label="tab-rdfia-dropout-layer",
)

# %% jupyter={"source_hidden": true} tags=["solution"]
Markdown(
    "**Answer.** In training units are set to 0 at random, and the others are multiplied by "
    f"$1/(1 - p) = {1 / (1 - dropout):g}$: the expected sum that the next layer gets, "
    f"$(1 - p) \\cdot 1/(1 - p) = 1$ for each unit, is what it gets at the test, when nothing is "
    f"left out and nothing is scaled. The mean of {in_training.mean():.3f} shows it. (Scaling in "
    "training, *inverted* dropout, leaves the test as it is; the first paper scaled at the test, "
    "by $1 - p$.)"
)

# %% [markdown]
# ## Question 34: batch normalisation
#
# After each convolution every channel is brought to mean 0 and variance 1 over the batch and all
# places, then scaled and shifted by two learnt numbers ([Ioffe and Szegedy 2015](#cite-ioffe2015)).

# %%
normalised = judged.select("base", "batch normalisation")
show(
    figures.learning_curves(normalised, splits=curves),
    "Batch normalisation after every convolution, beside the base network (figure 12 of the "
    "practical).",
    label="fig-rdfia-12",
    runs=normalised,
    profile=judged_profile,
)

# %%
show(
    judged.table(columns | {"seconds": "training_seconds"}),
    "Dropout and batch normalisation, each run with its best weights.",
    label="tab-rdfia-regularised",
    runs=judged,
    profile=judged_profile,
)

# %% [markdown]
# In training the statistics are those of the batch; at the test they are running means that were
# taken along the way. Shown on one layer, which gets batches of 32 numbers around 3 with standard
# deviation 2:

# %%
torch.manual_seed(0)
layer = torch.nn.BatchNorm1d(1)
example = torch.full((1, 1), 3.0)
rows = {}
for batches_seen in range(101):
    if batches_seen in (0, 1, 10, 100):
        alone = layer.eval()(example).item()
        rows[batches_seen] = {
            "running mean": f"{layer.running_mean.item():.2f}",
            "running variance": f"{layer.running_var.item():.2f}",
            "the number 3, at the test": f"{alone:+.2f}",
        }
    layer.train()(3 + 2 * torch.randn(32, 1))
companions = [3 + 2 * torch.randn(31, 1) for _ in range(2)]
among = [layer.train()(torch.cat([example, others]))[0].item() for others in companions]
show(
    pd.DataFrame(rows).T.rename_axis("batches seen"),
    "One batch normalisation: the running statistics approach 3 and 4, and what the test makes of "
    "an input moves with them.",
    label="tab-rdfia-batch-norm-layer",
)

# %% jupyter={"source_hidden": true} tags=["solution"]
source = "RDFIA 1-cd report, question 34"
better = claim(
    "Batch normalisation raises the test accuracy",
    normalised.select("batch normalisation"),
    ">",
    normalised.select("base"),
    profile=judged_profile,
    source=source,
)
for sentence, metric in {
    "Batch normalisation lowers the validation loss": "validation_loss",
    "Batch normalisation makes training faster: the lowest validation loss comes earlier": (
        "best_epoch"
    ),
}.items():
    claim(
        sentence,
        normalised.select("batch normalisation"),
        "<",
        normalised.select("base"),
        metric,
        profile=judged_profile,
        source=source,
    )
Markdown(
    f"**Answer** (profile {judged_profile}). With batch normalisation the test accuracy is "
    f"{judged.spread('batch normalisation', 'test_accuracy')}, without it "
    f"{judged.spread('base', 'test_accuracy')}. That it helps: {better.outcome}. "
    "In training an output depends on the other images of the batch: the number 3 came out as "
    f"{among[0]:+.2f} among some and as {among[1]:+.2f} among others. At the test it is the same "
    "whoever keeps it company, but it is normalised by running means, which lag behind the "
    "weights: that is why the test curve can jump in the first epochs where the training curve "
    "does not."
)
