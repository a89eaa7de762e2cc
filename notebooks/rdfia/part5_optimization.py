# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # RDFIA part 5: learning-rate schedule and optimizers
#
# Questions 26 to 28 of the RDFIA practical 1-cd, with its figures 9 and 10: the base network of
# part 2 is trained with a learning rate that decays, and by other optimizers.
#
# **Prediction.** A decay of 5 % an epoch does little in the first epochs and much in the last of a
# long training: it should calm the curves there. An optimizer is as good as its learning rate, so
# that a comparison at one rate for all would say more about the rate than about the optimizers.

# %%
from IPython.display import Markdown

from labkit import figures
from labkit.figures import show
from labkit.models import rdfia
from labkit.report.claims import claim
from labkit.training import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Config,
    Data,
    Exponential,
    RMSprop,
    at_best_scale,
    sweep,
)
from labkit.widgets import playground

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
epochs: int = 2
train_images: int | None = 15000  # None: all 45,000
validation_images: int | None = 1000  # None: all 5,000
test_images: int | None = 2000  # None: all 10,000
seeds: list[int] = [0, 1]  # of the base network and of the decay, one run for each
other_seeds: list[int] = [0]  # of the other optimizers

learning_rate: float = 0.01  # the sheet's
momentum: float = 0.9  # the sheet names none; see part 2
batch_size: int = 32  # the sheet has 128; see part 2
decay: float = 0.95  # of the learning rate, after every epoch
optimizers: list[str] = ["momentum", "Adam"]  # of question 28; the full profile has them all
precision: str = "auto"  # bf16 where the hardware has it; or "fp32", "bf16"

# %% [markdown]
# ## Question 26: a learning rate that decays
#
# After every epoch the learning rate is multiplied by 0.95.

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
experiment = {"base": base, "decay": base.replace(schedule=Exponential(decay=decay))}
runs = sweep(experiment, seeds=seeds)
judged, judged_profile = at_best_scale(runs, experiment, profile)
curves = ("train", "measured_test")
show(
    figures.learning_curves(judged, splits=curves),
    f"A learning rate multiplied by {decay:g} after every epoch, beside the base network's "
    "constant one (figure 9 of the practical).",
    label="fig-rdfia-9",
    runs=judged,
    profile=judged_profile,
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
    judged.table(columns),
    "Constant and decaying learning rate, each run with its best weights.",
    label="tab-rdfia-decay",
    runs=judged,
    profile=judged_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
better = claim(
    "An exponentially decaying learning rate raises the test accuracy",
    judged.select("decay"),
    ">",
    judged.select("base"),
    profile=judged_profile,
    source="RDFIA 1-cd report, question 26",
)
last = decay ** (judged["decay"][0].config["epochs"] - 1)
Markdown(
    f"**Answer** (profile {judged_profile}). With the decay the test accuracy is "
    f"{judged.spread('decay', 'test_accuracy')}, without it "
    f"{judged.spread('base', 'test_accuracy')}. That it helps: {better.outcome}. "
    f"In the last of {judged['decay'][0].config['epochs']} epochs the rate is still {last:.2f} of "
    "what it was"
    + (
        ", so that hardly anything has changed yet: the effect of a decay is that of its last "
        "epochs."
        if last > 0.8
        else "."
    )
)

# %% [markdown]
# ## Question 27: why a decay helps

# %% [markdown] tags=["solution"]
# **Answer.** A gradient over a batch is that over all images plus noise. Near a minimum the first
# becomes small and the second does not: with a constant rate the weights keep jumping about in a
# region whose width grows with the rate. So the rate is large first, to get there in few steps (and
# out of bad valleys), and smaller later, to settle. [Robbins and Monro (1951)](#cite-robbins1951)
# gave the condition for convergence: the rates have to add up to infinity, so that every place can
# be reached, and their squares to something finite, so that the noise dies out. A decay by a
# constant factor breaks the first half: with 0.95 all epochs together go no further than twenty at
# the first rate would. One has to arrive within that.

# %% [markdown]
# ## Question 28: other optimizers
#
# What they do with the gradient $g$ of a weight $w$ at learning rate $\eta$:
#
# - **momentum** ([Polyak 1964](#cite-polyak1964)) steps along a running sum:
#   $v \leftarrow \mu v + g$, $w \leftarrow w - \eta v$. A steady gradient adds up to $1/(1 - \mu)$
#   times its length, one that changes its sign cancels.
# - **Adagrad** ([Duchi, Hazan, Singer 2011](#cite-duchi2011)) divides by the root of the sum of all
#   squares so far: $w \leftarrow w - \eta\, g / \sqrt{\sum g^2}$. Rare features take large steps;
#   all steps shrink for ever.
# - **RMSProp** ([Tieleman and Hinton 2012](#cite-tieleman2012)) takes a running mean of the squares
#   in place of the sum, which forgets.
# - **Adadelta** ([Zeiler 2012](#cite-zeiler2012)) also multiplies by a running root mean square of
#   its own steps, so that the step has the unit of the weight; its learning rate is 1 in the paper.
# - **Adam** ([Kingma and Ba 2015](#cite-kingma2015)) is RMSProp with momentum and without the bias
#   of the first steps, where both means still start from zero.
#
# The practical's base network is trained here with momentum already; SGD stands for steps without.

# %%
tried = {
    "SGD": [SGD(learning_rate=rate) for rate in (0.01, 0.1)],
    "momentum": [SGD(learning_rate=rate, momentum=momentum) for rate in (0.001, 0.01)],
    "RMSProp": [RMSprop(learning_rate=rate) for rate in (1e-4, 1e-3)],
    "Adagrad": [Adagrad(learning_rate=rate) for rate in (1e-3, 1e-2)],
    "Adadelta": [Adadelta(learning_rate=rate) for rate in (0.1, 1.0)],
    "Adam": [Adam(learning_rate=rate) for rate in (1e-4, 1e-3)],
}
rates = {
    f"{name} {optimizer.learning_rate:g}": base.replace(optimizer=optimizer)
    for name in optimizers
    for optimizer in tried[name]
}
rate_runs = sweep(rates, seeds=other_seeds)
compared, compared_profile = at_best_scale(rate_runs, rates, profile)
best = [
    compared.select(*(name for name in rates if name.split()[0] == optimizer)).best()
    for optimizer in optimizers
]
show(
    figures.learning_curves(compared.select(*best), splits=curves),
    "Optimizers, each at the rate with the lowest validation loss of those tried (figure 10 of the "
    "practical, which shows Adam alone).",
    label="fig-rdfia-10",
    runs=compared.select(*best),
    profile=compared_profile,
)

# %%
show(
    compared.table(
        {
            "validation loss": "validation_loss",
            "train accuracy": "train_accuracy",
            "test accuracy": "test_accuracy",
            "best epoch": "best_epoch",
            "seconds": "training_seconds",
        }
    ),
    "Every optimizer and learning rate that was tried.",
    label="tab-rdfia-optimizers",
    runs=compared,
    profile=compared_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
winner = compared.select(*best).best()
adam = {rate: f"Adam {rate:g}" for rate in (1e-4, 1e-3)}
learns = [
    name
    for name in adam.values()
    if name in compared
    and not any(run.diverged for run in compared[name])
    and compared.mean(name, "test_accuracy") > 0.2
]
if all(name in compared for name in adam.values()):
    claim(
        "Adam does worse at a learning rate of 0.001 than at 0.0001",
        compared.select(adam[1e-3]),
        "<",
        compared.select(adam[1e-4]),
        profile=compared_profile,
        source="RDFIA 1-cd report, question 28",
    )
Markdown(
    f"**Answer** (profile {compared_profile}). Of the rates tried, the best by validation loss are "
    + ", ".join(f"*{name}* ({compared.spread(name, 'test_accuracy')})" for name in best)
    + f"; the lowest loss of all is that of *{winner}*. "
    + (
        "The RDFIA 1-cd report takes Adam at 0.0001 because it would not converge otherwise. Here "
        + (
            "it learns at 0.001 as well."
            if adam[1e-3] in learns
            else "it did not learn at 0.001 either."
        )
        if adam[1e-3] in compared
        else ""
    )
)

# %% [markdown] tags=["remove-cell"]
# ## Try it yourself
#
# In JupyterLab, choose a learning rate, a momentum and a schedule for the base network and train
# it; what was trained before is shown at once. Does a decay let the first rate be larger? (In plain
# cells: `sweep(base, axes)`.)

# %% tags=["remove-cell"]
playground(
    base,
    {
        "optimizer.learning_rate": sorted({0.001, 0.03, 0.1, learning_rate}),
        "optimizer.momentum": sorted({0.0, 0.5, momentum}),
        "schedule": [base.schedule, Exponential(decay=decay), Exponential(decay=decay / 2)],
    },
)
