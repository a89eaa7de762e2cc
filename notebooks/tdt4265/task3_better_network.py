# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Task 3: a better network
#
# The network of task 2 is improved here: deeper, normalised, with another optimizer and with
# flipped images. Every change is then measured alone: each row of a table differs from the
# reference in one thing.
#
# **Prediction.** Batch normalisation ([Ioffe & Szegedy 2015](#cite-ioffe2015)) lets the optimizer
# take larger useful steps, so without it the network should do worse. A horizontal flip makes new,
# plausible images: it should help once the network has begun to remember the old ones, and not
# before.

# %%
from collections import Counter

import pandas as pd
from IPython.display import Markdown

from labkit import figures
from labkit.data import load
from labkit.figures import show
from labkit.handcalc import Sigmoid, layer_table
from labkit.models import tdt4265_first, tdt4265_improved
from labkit.report.claims import claim
from labkit.report.published import beside_published
from labkit.training import SGD, Adam, Augmentation, Config, Data, at_best_scale, full_scale, sweep
from labkit.widgets import confusion

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
epochs: int = 2  # passes over the training images
train_images: int | None = 1600  # None: all 45,000
validation_images: int | None = 500  # None: all 5,000
test_images: int | None = 1000  # None: all 10,000
seeds: list[int] = [0]  # one run for each

learning_rate: float = 2e-4  # Adam's
weight_decay: float = 5e-4
batch_size: int = 64
early_stop: int | None = 4  # validations, of which there are two in an epoch; None: never
precision: str = "auto"  # bf16 where the hardware has it; or "fp32", "bf16"
rotation: float = 15.0  # degrees, for the ablation with rotated images
adam_rates: list[float] = [2e-4, 1e-3]  # from which 3d tunes Adam
sgd_rates: list[float] = [0.01, 0.05]  # from which 3d tunes SGD; task 2 took 0.05

# %% [markdown]
# ## 3a Architecture and training
#
# Two convolutions before the first pooling see more of the image at full resolution; a batch
# normalisation after each pooling keeps the scale of what the next layer gets; two fully connected
# layers classify. Adam ([Kingma & Ba 2015](#cite-kingma2015)) trains it.

# %%
network = tdt4265_improved()
show(
    pd.DataFrame(layer_table(network, (3, 32, 32)).records()).set_index("layer"),
    "The improved network: output of every layer, and its parameters.",
    label="tab-task3-layers",
)

# %%
improved = Config(
    network=network,
    optimizer=Adam(learning_rate=learning_rate, weight_decay=weight_decay),
    augmentation=Augmentation(flip=True),
    data=Data(
        train_images=train_images,
        validation_images=validation_images,
        test_images=test_images,
    ),
    batch_size=batch_size,
    epochs=epochs,
    early_stop=early_stop,
    precision=precision,
)
first = improved.replace(
    network=tdt4265_first(), optimizer=SGD(learning_rate=0.05), augmentation=Augmentation()
)

# %%
show(
    pd.DataFrame(
        {
            "optimizer": "Adam",
            "learning rate": f"{learning_rate:g}, constant",
            "weight decay": f"{weight_decay:g}, added to the gradient",
            "batch size": str(batch_size),
            "epochs": f"at most {epochs}",
            "early stopping": f"over {early_stop} validations, two per epoch",
            "augmentation": "horizontal flip of every second image, on average",
            "initial weights": "PyTorch's default: Kaiming-uniform with a = √5, for "
            "convolutions and fully connected layers alike",
        }.items(),
        columns=["", "choice"],
    ).set_index(""),
    "How the improved network is trained.",
    label="tab-task3-training",
)

# %% [markdown]
# ## 3b Result

# %%
experiment = {"task 2": first, "3a": improved}
runs = sweep(experiment, seeds=seeds)
columns = {
    "train loss": "train_loss",
    "train accuracy": "train_accuracy",
    "validation accuracy": "validation_accuracy",
    "test accuracy": "test_accuracy",
}

# %%
show(
    figures.learning_curves(runs),
    "The improved network (3a) and task 2's, trained on the same images.",
    label="fig-task3-curves",
    runs=runs,
    profile=profile,
)

# %%
show(
    runs.table(columns),
    "The improved network beside task 2's, each with its best weights.",
    label="tab-task3-result",
    runs=runs,
    profile=profile,
)

# %% [markdown]
# ## 3c What helped, and what did not
#
# Each bar is the improved network with one thing changed; left of zero, the change makes it worse.
# Adam stands here against task 2's SGD; 3d compares the two with both rates tuned.

# %%
ablations = {
    "3a": improved,
    "no batch normalisation": improved.replace(network=tdt4265_improved(batch_norm=False)),
    "no flip": improved.replace(augmentation=Augmentation()),
    f"rotation by ±{rotation:g}° added": improved.replace({"augmentation.rotation": rotation}),
    "sigmoid for ReLU": improved.replace(network=tdt4265_improved(activation=Sigmoid)),
    "3 × 3 kernels": improved.replace(network=tdt4265_improved(kernel=3)),
    "SGD 0.05 for Adam": improved.replace(
        optimizer=SGD(learning_rate=0.05, weight_decay=weight_decay)
    ),
}
ablation_runs = sweep(ablations, seeds=seeds)
judged, judged_profile = at_best_scale(ablation_runs, ablations, profile)

# %%
show(
    figures.comparison(
        judged,
        "test_accuracy",
        reference="3a",
        title="test accuracy minus that of 3a (percentage points)",
    ),
    "One change at a time: bars are means, dots single seeds.",
    label="fig-task3-ablations",
    runs=judged,
    profile=judged_profile,
)

# %%
show(
    judged.table(columns | {"best epoch": "best_epoch"}),
    "The ablations in numbers.",
    label="tab-task3-ablations",
    runs=judged,
    profile=judged_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
says = {
    "no batch normalisation": "Batch normalisation raises the test accuracy",
    "no flip": "Horizontal flips raise the test accuracy",
    f"rotation by ±{rotation:g}° added": "Flips alone do better on the test images than flips and "
    "rotations",
    "sigmoid for ReLU": "Sigmoids in place of ReLUs lower the test accuracy",
    "3 × 3 kernels": "Kernels of 3 × 3 in place of 5 × 5 lower the test accuracy",
    "SGD 0.05 for Adam": "Adam raises the test accuracy, in place of SGD at 0.05",
}
told = {
    change: claim(
        sentence,
        judged.select("3a"),
        ">",
        judged.select(change),
        profile=judged_profile,
        source="TDT4265 A3 report, 3c",
    )
    for change, sentence in says.items()
}
smaller = claim(
    "Kernels of 3 × 3 in place of 5 × 5 raise the training accuracy",
    judged.select("3 × 3 kernels"),
    ">",
    judged.select("3a"),
    "train_accuracy",
    profile=judged_profile,
    source="TDT4265 A3 report, 3c",
)

# %% jupyter={"source_hidden": true} tags=["solution"]
outcomes = Counter(each.outcome for each in (*told.values(), smaller))
norm, flip = told["no batch normalisation"], told["no flip"]
Markdown(
    f"**Answer** (profile {judged_profile}). What the A3 report says of its changes, by outcome: "
    + ", ".join(f"{outcome} {count}" for outcome, count in outcomes.items())
    + (
        ". There is one seed, so that none has a verdict: what it gave stands beside each claim, "
        "and its ± tells what so many images leave open, not how much another seed would change. "
        "The full profile has several seeds."
        if norm.seeds == 1
        else f". Of the prediction: batch normalisation, {norm.outcome}; the flip, {flip.outcome}. "
        "A ± is half of a 95 % interval: Student's t over the paired seeds, and no less than so "
        "many images leave open."
    )
)

# %% [markdown]
# ## 3d The most useful change
#
# The A3 report names Adam in place of SGD, at the rates of 3c. The comparison is fair only when
# each optimizer has a learning rate that suits it, so both are tuned on the validation loss, over
# the rates named in the parameters.

# %%
adam = {
    f"Adam at {rate:g}": improved.replace({"optimizer.learning_rate": rate}) for rate in adam_rates
}
sgd = {
    f"SGD at {rate:g}": improved.replace(
        optimizer=SGD(learning_rate=rate, weight_decay=weight_decay)
    )
    for rate in sgd_rates
}
rates = adam | sgd
rate_runs = sweep(rates, seeds=seeds)
best_adam, best_sgd = rate_runs.select(*adam).best(), rate_runs.select(*sgd).best()

# %%
show(
    figures.learning_curves(
        rate_runs.renamed({best_sgd: f"{best_sgd} (before)", best_adam: f"{best_adam} (after)"})
    ),
    "SGD and Adam, each at its best rate: the same network, images and order.",
    label="fig-task3-optimizers",
    runs=rate_runs.select(best_adam, best_sgd),
    profile=profile,
)

# %%
show(
    rate_runs.table(
        {"validation loss": "validation_loss", "validation accuracy": "validation_accuracy"}
        | {"test accuracy": "test_accuracy", "best epoch": "best_epoch"}
    ),
    "Both optimizers at every rate that was tried; the lowest validation loss chooses.",
    label="tab-task3-rates",
    runs=rate_runs,
    profile=profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
for change, what in (("no batch normalisation", "batch normalisation"), ("no flip", "the flips")):
    claim(
        f"To give up Adam for SGD at 0.05 costs more test accuracy than to give up {what}",
        judged.select("SGD 0.05 for Adam"),
        "<",
        judged.select(change),
        profile=judged_profile,
        source="TDT4265 A3 report, 3d",
    )
tuned = claim(
    "Adam is ahead of SGD also where each has the best of its rates",
    rate_runs.select(best_adam),
    ">",
    rate_runs.select(best_sgd),
    profile=profile,
)
Markdown(
    f"**Answer** (profile {profile}). At their best rates, {best_adam} reaches "
    f"{rate_runs.spread(best_adam, 'test_accuracy')} and {best_sgd} reaches "
    f"{rate_runs.spread(best_sgd, 'test_accuracy')} on the test images. That Adam is ahead "
    f"with both tuned: {tuned.outcome}."
)

# %% [markdown]
# ## 3e One more convolution
#
# A third block (5 × 5 convolution with 128 filters, ReLU, pooling, batch normalisation) widens what
# the last map sees and halves its side, so that the first fully connected layer gets
# 128 · 4 · 4 numbers in place of 64 · 8 · 8. The course asks for 80 % on the test images.

# %%
extra = {
    "3a": improved,
    "3e": improved.replace(network=tdt4265_improved(extra_convolution=True)),
}
extra_runs = sweep(extra, seeds=seeds)
recorded_extra = extra_runs if profile == "full" else full_scale(extra)

# %%
show(
    figures.learning_curves(extra_runs),
    "With and without the extra convolution.",
    label="fig-task3-extra",
    runs=extra_runs,
    profile=profile,
)

# %%
candidates = runs | ablation_runs | rate_runs | extra_runs
best = candidates.select(*(name for name in candidates if name != "task 2")).best(
    "validation_accuracy"
)
show(
    candidates.select(*dict.fromkeys(["task 2", "3a", "3e", best])).table(columns),
    f"Task 2, 3a and 3e, and the network of task 3 that is best on the validation images ({best}).",
    label="tab-task3-best",
    runs=candidates.select(*dict.fromkeys(["task 2", "3a", "3e", best])),
    profile=profile,
)

# %%
recorded_each = recorded_extra or full_scale({"3a": improved}) | full_scale({"3e": extra["3e"]})
show(
    beside_published(
        recorded_each, {"tdt4265/3b": "3a", "tdt4265/3e": "3e"}, here=extra_runs, profile=profile
    ),
    "Tasks 3b and 3e at full scale, beside the TDT4265 A3 report.",
    label="tab-task3-published",
    runs=recorded_each,
    profile="full",
)

# %% jupyter={"source_hidden": true} tags=["solution"]
judged_3e, profile_3e = (recorded_each, "full") if "3e" in recorded_each else (extra_runs, profile)
reached = claim(
    "With the extra convolution more than 80 % of the test images are right",
    judged_3e.select("3e"),
    ">",
    0.8,
    profile=profile_3e,
    source="TDT4265 A3 report, 3e",
)
if "3a" in judged_3e:
    claim(
        "The extra convolution raises the test accuracy",
        judged_3e.select("3e"),
        ">",
        judged_3e.select("3a"),
        profile=profile_3e,
        source="TDT4265 A3 report, 3e",
    )
Markdown(
    f"**Answer** (profile {profile_3e}, seeds: {len(judged_3e['3e'])}). With the extra convolution "
    f"the test accuracy is {judged_3e.spread('3e', 'test_accuracy')}"
    + (f", without it {judged_3e.spread('3a', 'test_accuracy')}" if "3a" in judged_3e else "")
    + ". The course's 80 % are "
    + ("reached" if reached.difference >= 0 else "not reached at this scale")
    + (
        "."
        if reached.outcome in ("borne out", "contradicted")
        else ", though other seeds may tell otherwise."
    )
)

# %% [markdown] tags=["remove-cell"]
# ### Try it yourself
#
# In JupyterLab, click on a cell of the confusion matrix of the best network to see the images
# behind it. (In plain cells: `figures.wrong_predictions(run, dataset, pair=("cat", "dog"))`.)

# %% tags=["remove-cell"]
confusion(candidates[best][0], load(improved.data.name))

# %% [markdown]
# ## 3f Over- or underfitting?

# %% jupyter={"source_hidden": true} tags=["solution"]
gaps = {
    name: 100
    * (judged_3e.mean(name, "train_accuracy") - judged_3e.mean(name, "validation_accuracy"))
    for name in ("3a", "3e")
    if name in judged_3e
}
largest = max(gaps, key=gaps.get)
validated, count = (
    judged_3e.mean(largest, "validation_accuracy"),
    judged_3e[largest][0].metrics["validation_examples"],
)
noise = 1.96 * (validated * (1 - validated) / count) ** 0.5  # half of a 95 % interval
Markdown(
    f"**Answer** (profile {profile_3e}). With its best weights "
    f"{largest} is right on {judged_3e.mean(largest, 'train_accuracy'):.1%} of its training images "
    "(taken without augmentation, in evaluation mode) and on "
    f"{judged_3e.mean(largest, 'validation_accuracy'):.1%} of the validation images: a gap, in "
    "points, of "
    + ", ".join(f"{gap:.1f} for {name}" for name, gap in gaps.items())
    + ". "
    + (
        f"That is more than the {100 * noise:.1f} points that so many validation images leave "
        "open: it is overfitting, also where the validation loss has not yet turned upwards, for "
        "the network knows its training images better than it knows the classes. The A3 report, "
        "with a gap of ten points of its own, says that it does not overfit."
        if gaps[largest] > 100 * noise
        else "At this scale the network is limited by how little it has been trained, not by "
        "overfitting."
    )
)
