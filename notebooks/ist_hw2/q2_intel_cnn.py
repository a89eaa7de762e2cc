# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # IST HW2 question 2: photographs of places
#
# A convolutional network is to tell six kinds of places apart. 2.1 looks for its learning rate; 2.2
# adds batch normalisation and puts global average pooling in the place of the flattening; 2.3
# counts the parameters of both networks; 2.4 asks what small kernels and pooling are good for. The
# course changes both things at once. Here each is also changed alone, so that it can be told which
# of them does what.
#
# **Prediction.** Averaging takes away nearly all weights of the first fully connected layer, and
# with them the means to learn the training images by heart, but also all knowledge of where in the
# picture something is. Batch normalisation should let the network learn in fewer steps. Together
# they should do better than the base network; which of the two that is owed to is open.

# %% tags=["parameters"]
show_solution: bool = True  # show the worked solution below each answer
profile: str = "quick"  # the name under which figures and tables are shown
epochs: int = 4  # the course: 40
train_images: int | None = 1280  # None: all 12,630
validation_images: int | None = 400  # None: all 1,404
test_images: int | None = 1000  # None: all 3,000
seeds: list[int] = [42]  # one run for each; the course's

learning_rates: list[float] = [0.1, 0.01, 0.001]  # of 2.1
learning_rate: float = 0.1  # of all else; the course: 0.01
batch_size: int = 8
probed_images: int = 150  # test images that are shifted in 2.4
shifts: list[int] = [1, 4, 8]  # pixels
precision: str = "auto"  # bf16 where the hardware has it; or "fp32", "bf16"

# %%
import math
from dataclasses import replace

import matplotlib
import pandas as pd
import torch
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from labkit import figures
from labkit.data import load
from labkit.data.preprocess import scale
from labkit.figures import show
from labkit.handcalc import (
    BatchNorm1d,
    Conv2d,
    ReLU,
    check,
    compare,
    layer_table,
    num_parameters,
    question,
)
from labkit.models import build, ist_hw2
from labkit.report.claims import claim
from labkit.report.published import beside_published, published
from labkit.style import COLOURS, STYLE, WIDTH
from labkit.training import (
    SGD,
    Config,
    Data,
    Runs,
    at_best_scale,
    full_scale,
    sweep,
    trained_model,
)
from labkit.widgets import answer_grid, confusion, kept_answer

# %% [markdown]
# ## 2.1 A basic network
#
# The set has 14,034 photographs to train on, of which the course keeps 1,404 for validation, and
# 3,000 to test, all reduced to 48 × 48 pixels.

# %%
validation_fraction = 1404 / 14034
intel = load("intel-48", validation_fraction=validation_fraction)
firsts = [(intel.train.labels == label).nonzero()[0].item() for label in range(len(intel.classes))]
show(
    figures.pictures(intel.train.images[firsts], intel.classes, columns=len(intel.classes)),
    "One training image of each class.",
    label="fig-ist-cnn-classes",
    dataset=intel,
)

# %% [markdown]
# Three convolutions of 3 × 3 with 32, 64 and 128 filters, each followed by ReLU, 2 × 2 pooling and
# dropout with a rate of 0.1; then 1,024 and 512 units, and six.

# %%
input_shape = (3, 48, 48)
base_table = layer_table(ist_hw2(), input_shape)
lines = pd.DataFrame(base_table.records()).set_index("layer")
show(
    lines[~lines.index.str.contains("ReLU|dropout")],
    "The base network, without ReLU and dropout, which keep the size and have no parameters.",
    label="tab-ist-cnn-layers",
)

# %% [markdown]
# It is trained with plain stochastic gradient descent, in batches of eight. The weights of the
# lowest validation loss are kept, and every number in a table is measured with those.

# %%
options = {
    "base": {},
    "batch normalisation": {"batch_norm": True},
    "global average pooling": {"global_pooling": True},
    "both": {"batch_norm": True, "global_pooling": True},
}
experiment = {
    name: Config(
        network=ist_hw2(**parts),
        optimizer=SGD(learning_rate=learning_rate),
        data=Data(
            name="intel-48",
            validation_fraction=validation_fraction,
            train_images=train_images,
            validation_images=validation_images,
            test_images=test_images,
            pixel_mean=0.0,  # the course divides pixels by 256
            pixel_std=256 / 255,
        ),
        batch_size=batch_size,
        epochs=epochs,
        validations_per_epoch=1,
        precision=precision,
    )
    for name, parts in options.items()
}
of_course = {  # at its rate, for which there may be records of full scale
    name: config.replace({"optimizer.learning_rate": 0.01}) for name, config in experiment.items()
}

# %%
rates = {
    f"rate {rate:g}": experiment["base"].replace({"optimizer.learning_rate": rate})
    for rate in learning_rates
}
rate_runs = sweep(rates, seeds=seeds)
judged, judged_profile = at_best_scale(rate_runs, rates, profile)
show(
    figures.learning_curves(judged),
    "The base network with three learning rates. Training curves are taken along the way, with "
    "dropout, while the weights still moved.",
    label="fig-ist-cnn-rates",
    runs=judged,
    profile=judged_profile,
)

# %%
columns = {
    "train loss": "train_loss",
    "train accuracy": "train_accuracy",
    "validation loss": "validation_loss",
    "validation accuracy": "validation_accuracy",
    "test accuracy": "test_accuracy",
    "best epoch": "best_epoch",
}
show(
    judged.table(columns),
    "The learning rates in numbers, each run with its best weights.",
    label="tab-ist-cnn-rates",
    runs=judged,
    profile=judged_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
by_loss, by_accuracy = judged.best("validation_loss"), judged.best("validation_accuracy")
preferred = "rate 0.01"  # by the report
told = {
    name: claim(
        f"The learning rate 0.01 does better on the validation images than {name.split()[1]}",
        judged.select(preferred),
        ">",
        judged.select(name),
        "validation_accuracy",
        profile=judged_profile,
        source="IST HW2 report, question 2.1",
    )
    for name in judged
    if preferred in judged and name != preferred
}
fates = []
for name, group in judged.items():
    counts = torch.tensor([run.metrics["test_confusion"] for run in group]).sum(0)
    commonest = (counts.sum(1).max() / counts.sum()).item()
    open_to_chance = 2 * math.sqrt(commonest * (1 - commonest) / counts.sum().item())
    reached = judged.spread(name, "test_accuracy")
    if any(run.diverged for run in group):
        fates.append(
            f"*{name}* diverges: after {group[0].metrics['steps']:,} steps its loss is no number "
            f"any more (with its best weights until then it is right on {reached})"
        )
    elif judged.mean(name, "test_accuracy") <= commonest + open_to_chance:
        fates.append(
            f"*{name}* learns next to nothing: it is right on {reached}, where always to give the "
            f"commonest class would be right on {commonest:.3f}, and gives "
            f"{int((counts.sum(0) > 0).sum())} of the {len(counts)} classes"
        )
    else:
        last = [run.history["validation_accuracy"].iloc[-1] for run in group]
        fates.append(
            f"*{name}* reaches {reached} of the test images, and in its last epoch "
            f"{sum(last) / len(last):.3f} of the validation images"
        )
on_what = "**On stand-in data**, the" if judged.stand_in else "The"
Markdown(
    f"**Answer** (profile {judged_profile}). {on_what} lowest validation loss is that of "
    f"*{by_loss}*"
    + (
        ", and so is the highest validation accuracy. "
        if by_accuracy == by_loss
        else f", the highest validation accuracy that of *{by_accuracy}*. "
    )
    + f"{'; '.join(fates)}. "
    + "The IST HW2 report found 0.01 to be the best"
    + (", as here" if by_loss == preferred else "")
    + "".join(
        f"; that it is ahead of {name.split()[1]}: {found.outcome}" for name, found in told.items()
    )
    + "."
    + (
        f" These are {judged[by_loss][0].metrics['steps']:,} steps, where the report's networks "
        "made 63,160: so short a training favours the rates that are fast over those that would "
        "get further."
        if judged_profile != "full"
        else ""
    )
)

# %% [markdown]
# ## 2.2 Batch normalisation and global average pooling
#
# Batch normalisation ([Ioffe and Szegedy 2015](#cite-ioffe2015)) stands between each layer and its
# ReLU, except before the outputs. Global average pooling ([Lin, Chen and Yan 2014](#cite-lin2014))
# makes one number of each of the last 128 maps, its mean, where the base network hands on all 36 of
# its pixels. The rate is the same for all: the course's 0.01 in the full profile, and 0.1 in the
# quick one, where at 0.01 the base network would not begin to learn.

# %%
runs = sweep(experiment, seeds=seeds)
compared, compared_profile = at_best_scale(runs, of_course, profile)
ends = ("base", "both")  # the course's two networks, of which there may be more records
at_the_ends, ends_profile = at_best_scale(
    runs.select(*ends), {name: of_course[name] for name in ends}, profile
)
show(
    figures.learning_curves(compared),
    "The base network, each change alone, and both. Training curves are taken along the way, with "
    "dropout.",
    label="fig-ist-cnn-variants",
    runs=compared,
    profile=compared_profile,
)

# %%
columns = {
    "train accuracy": "train_accuracy",
    "validation accuracy": "validation_accuracy",
    "test accuracy": "test_accuracy",
    "validation loss": "validation_loss",
    "parameters": "trained_parameters",
    "best epoch": "best_epoch",
    "seconds": "training_seconds",
}
show(
    compared.table(columns),
    "The base network, each change alone, and both, with the best weights of each run; all in "
    "evaluation mode, without dropout.",
    label="tab-ist-cnn-variants",
    runs=compared,
    profile=compared_profile,
)

# %%
if ends_profile != compared_profile:  # there are records of the course's two networks alone
    show(
        figures.learning_curves(at_the_ends),
        "The course's two networks at full scale.",
        label="fig-ist-cnn-ends",
        runs=at_the_ends,
        profile=ends_profile,
    )
    show(
        at_the_ends.table(columns),
        "The course's two networks at full scale, with the best weights of each run.",
        label="tab-ist-cnn-ends",
        runs=at_the_ends,
        profile=ends_profile,
    )

# %% jupyter={"source_hidden": true} tags=["solution"]
told = {}
for name, what in {
    "both": "Batch normalisation and global average pooling together raise",
    "batch normalisation": "Batch normalisation alone raises",
    "global average pooling": "Global average pooling alone raises",
}.items():
    of, its_profile = (at_the_ends, ends_profile) if name in ends else (compared, compared_profile)
    told[name] = claim(
        f"{what} the test accuracy",
        of.select(name),
        ">",
        of.select("base"),
        profile=its_profile,
        source="IST HW2 report, question 2.3",
    )
alone = compared.select("batch normalisation", "global average pooling").best("test_accuracy")
together = claim(
    "Batch normalisation and global average pooling together do better than either alone",
    compared.select("both"),
    ">",
    compared.select(alone),
    profile=compared_profile,
    source="IST HW2 report, question 2.7",
)
gaps = {
    name: 100 * (compared.mean(name, "train_accuracy") - compared.mean(name, "test_accuracy"))
    for name in compared
}
idle = []  # have learnt no more than which class is the commonest
for name, group in compared.items():
    counts = torch.tensor([run.metrics["test_confusion"] for run in group]).sum(0)
    commonest = (counts.sum(1).max() / counts.sum()).item()
    open_to_chance = 2 * math.sqrt(commonest * (1 - commonest) / counts.sum().item())
    if compared.mean(name, "test_accuracy") <= commonest + open_to_chance:
        idle.append(f"*{name}*")
on_what = "**On stand-in data**, the" if compared.stand_in else "The"
Markdown(
    f"**Answer** (profile {compared_profile}, seeds: {len(compared['base'])}). {on_what} base "
    f"network is right on {compared.spread('base', 'test_accuracy')} of the test images, "
    + ", ".join(f"*{name}* on {compared.spread(name, 'test_accuracy')}" for name in told)
    + ". That these do better than the base network: "
    + "; ".join(
        f"*{name}*, {found.outcome}"
        + (f" (profile {found.profile})" if found.profile != compared_profile else "")
        for name, found in told.items()
    )
    + f". That both do better than *{alone}*, the better of the two alone: {together.outcome}. "
    + (
        f"This is after {compared['base'][0].metrics['steps']:,} steps, where the course's "
        "networks made 63,160: what speeds up the beginning shows, what keeps a network from "
        "learning its images by heart cannot show yet. "
        if compared_profile != "full"
        else ""
    )
    + (
        f"So far {' and '.join(idle)} {'have' if len(idle) > 1 else 'has'} learnt next to nothing, "
        "no more than always to give the commonest class is worth. "
        if idle
        else ""
    )
    + (
        "What averaging does to networks that have learnt, *both* beside *batch normalisation* "
        f"says: {compared.difference('both', 'batch normalisation', 'test_accuracy')} points"
        + (" (one seed; the ± is of the test images alone). " if together.seeds == 1 else ". ")
        if idle and not {"*batch normalisation*", "*both*"} & set(idle)
        else ""
    )
    + "Between a network's accuracy on its training images and on the test images lie, in points, "
    + ", ".join(f"{gap:+.1f} (*{name}*)".replace("-", "−") for name, gap in gaps.items())
    + ".\n\n"
    "The report gives the credit for its improvement to both changes, each with reasons of its "
    "own, and has measured neither alone. Nor did it measure the reduced “internal covariate "
    "shift” that it names first, which [Santurkar et al. (2018)](#cite-santurkar2018) did, and "
    "found that batch normalisation helps without it."
)

# %% [markdown]
# Did training become more stable, as the report says? It shows the losses of its second network for
# that, and none to compare them with. Here stability is how evenly a curve goes: how far, on
# average, the value of an epoch lies from the mean of the epochs before and after it. A steady rise
# or fall does not count.

# %%
# the course's two networks at full scale tell more than all four trained shortly
steady, steady_profile = (
    (compared, compared_profile)
    if compared_profile == ends_profile
    else (at_the_ends, ends_profile)
)
uneven, rows = {}, []
for name, group in steady.items():
    curves = [run.history.set_index("epoch") for run in group]
    uneven[name] = {
        metric: pd.concat(
            [(curve - (curve.shift(1) + curve.shift(-1)) / 2)[column].abs() for curve in curves],
            keys=[run.config["seed"] for run in group],
        )
        for metric, column in (("loss", "validation_loss"), ("accuracy", "validation_accuracy"))
    }
    falls = [-curve["validation_accuracy"].diff().min() for curve in curves]
    above = [curve["validation_loss"].iloc[-1] - curve["validation_loss"].min() for curve in curves]
    rows.append(
        {
            "loss: uneven by": uneven[name]["loss"].mean(),
            "accuracy: uneven by (points)": 100 * uneven[name]["accuracy"].mean(),
            "accuracy: largest fall (points)": 100 * max(falls),
            "loss: end above its lowest": sum(above) / len(above),
        }
    )
show(
    pd.DataFrame(rows, index=list(steady)).map(
        lambda value: "–" if math.isnan(value) else f"{round(value, 3) + 0:.3f}".replace("-", "−")
    ),
    "How evenly training goes: validation loss and accuracy from epoch to epoch. A negative fall "
    "is the smallest rise.",
    label="tab-ist-cnn-stability",
    runs=steady,
    profile=steady_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
of_base = uneven["base"]["accuracy"].dropna()
long_enough = len(of_base) >= 10
if long_enough:
    by_evenness = {}
    for name in ends:
        of_seed = 100 * uneven[name]["accuracy"].groupby(level=0).mean()
        by_evenness[name] = [
            replace(run, metrics=run.metrics | {"unevenness": of_seed[run.config["seed"]]})
            for run in steady[name]
        ]
    stable = claim(
        "Batch normalisation and global average pooling make training more stable: the validation "
        "accuracy is uneven by fewer points",
        Runs(by_evenness).select("both"),
        "<",
        Runs(by_evenness).select("base"),
        "unevenness",
        profile=steady_profile,
        source="IST HW2 report, question 2.2",
    )
verdicts, signs = [], {}
for name in steady:
    less = (of_base - uneven[name]["accuracy"]).dropna()  # seeds and epochs that both have
    margin = 1.96 * less.std() / math.sqrt(max(len(less), 1))
    if name != "base":
        signs[name] = 0 if abs(less.mean()) <= margin else 1 if less.mean() > 0 else -1
        verdicts.append(
            f"*{name}* {-100 * less.mean():+.2f} ± {100 * margin:.2f}, ".replace("-", "−")
            + {1: "more stable", 0: "not told apart", -1: "less stable"}[signs[name]]
        )
on_what = "**On stand-in data**, the" if steady.stand_in else "The"
Markdown(
    f"**Answer** (profile {steady_profile}). "
    + (
        f"{on_what} base network's validation accuracy is uneven by {100 * of_base.mean():.2f} "
        f"points, and beside it: {'; '.join(verdicts)}. The ± is half of a 95 % interval over the "
        "epochs of these runs, roughly, because neighbouring epochs share values; of other seeds "
        f"it tells nothing. That training becomes more stable: {stable.outcome}."
        + (
            " That it is less even here has a likely reason: the statistics of so small a batch "
            "are noisy, and in evaluation a running mean of them takes their place."
            if signs["both"] < 0
            else ""
        )
        if long_enough
        else f"{on_what} epochs are too few to tell whose curve is the more even: only "
        f"{len(of_base)} of {steady['base'][0].config['epochs']} have one before and one after "
        "them. The claim of a more stable training is neither borne out nor refuted here."
    )
)

# %% [markdown]
# Beside what the report printed. It does not say with the weights of which epoch; here they are
# those of the lowest validation loss. Its training loss of 0.5421 is left out: it seems to be the
# mean over the last epoch's batches, with dropout, which is another thing than the training loss of
# these tables.

# %%
recorded = (
    runs.select(*ends) if profile == "full" else full_scale({it: of_course[it] for it in ends})
)
show(
    beside_published(
        recorded,
        {"ist_hw2/2.1": "base", "ist_hw2/2.2": "both"},
        here=runs.select(*ends),
        profile=profile,
    ),
    "Question 2 at full scale, beside the IST HW2 report"
    + ("." if profile == "full" else f"; {profile}: with the learning rate {learning_rate:g}."),
    label="tab-ist-cnn-published",
    runs=recorded,
    profile="full",
)

# %% jupyter={"source_hidden": true} tags=["solution"]
first, second = (published(f"ist_hw2/{part}") for part in ("2.1", "2.2"))
before, after = first["test_accuracy"], second["test_accuracy"]
on_3000 = 196 * math.sqrt(2 * before * (1 - before) / 3000)
measured = recorded.difference("both", "base", "test_accuracy") if recorded else None
on_what = "**On stand-in data**, which is not compared, it" if recorded.stand_in else "Here it"
Markdown(
    f"**Answer.** The published “+4.9 %” is a difference of {100 * (after - before):.2f} "
    f"percentage points; relative to the {100 * before:.2f} % that it starts from, it is "
    f"{100 * (after / before - 1):.2f} %. On 3,000 test images the 95 % interval of such a "
    f"difference reaches {on_3000:.1f} points to either side. "
    + (
        f"{on_what} is {measured} points"
        + (", as far as one seed can tell. " if measured.seeds == 1 else ". ")
        if measured
        else "At full scale it has not been measured here. "
    )
    + f"The second network has {1 - second['num_parameters'] / first['num_parameters']:.1%} fewer "
    "parameters, as the report says."
)

# %% [markdown]
# ## 2.3 Why the numbers of parameters differ
#
# How many parameters has the base network?

# %% tags=["remove-output"]
answer_grid(question("ist_hw2/2.3-plain"))

# %%
answer_plain = kept_answer("ist_hw2/2.3-plain")  # or a whole number

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_plain = 5_340_742

# %%
check(answer_plain, question("ist_hw2/2.3-plain"))

# %% jupyter={"source_hidden": true} tags=["solution"]
if show_solution:
    display(Markdown("**Solution.**"), question("ist_hw2/2.3-plain").calculation)

# %% [markdown]
# And with batch normalisation after each convolution and after the first two fully connected
# layers, and global average pooling before the flattening?

# %% tags=["remove-output"]
answer_grid(question("ist_hw2/2.3-normalised"))

# %%
answer_normalised = kept_answer("ist_hw2/2.3-normalised")  # or a whole number

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_normalised = 756_742

# %%
check(answer_normalised, question("ist_hw2/2.3-normalised"))

# %% jupyter={"source_hidden": true} tags=["solution"]
networks = {name: ist_hw2(**parts) for name, parts in options.items()}
comparison = compare(base_table, layer_table(networks["both"], input_shape))
largest = comparison.largest
rest = comparison.difference - largest.parameters
# what the course calls get_number_trainable_params
counted = {
    name: sum(each.numel() for each in build(network).parameters() if each.requires_grad)
    for name, network in networks.items()
}
if show_solution:
    display(
        Markdown(
            "**Solution.** Nearly all of the difference stands in one line: the first fully "
            f"connected layer has {largest.first.derivation} parameters behind the flattening and "
            f"{largest.second.derivation} behind the averages. The normalisations add {rest:,}, a "
            "factor and a shift for each channel or unit. With global average pooling alone there "
            f"would be {counted['global average pooling']:,}, with batch normalisation alone "
            f"{counted['batch normalisation']:,}. PyTorch's modules hold "
            + (
                "as many as the hand calculation says."
                if counted == {name: num_parameters(each) for name, each in networks.items()}
                else "another number than the hand calculation says."
            )
        )
    )
    show(
        pd.DataFrame(comparison.records())
        .set_index("first")
        .rename_axis("base")
        .rename(
            columns={
                "second": "both",
                "parameters (first)": "parameters (base)",
                "parameters (second)": "parameters (both)",
            }
        ),
        "The base network and the one with both changes, layer by layer.",
        label="tab-ist-cnn-comparison",
    )

# %% [markdown]
# The report speaks of batch normalisation “in the MLP block”. How often must it stand there for
# 756,742?

# %% jupyter={"source_hidden": true} tags=["solution"]
in_mlp = [layer for layer in networks["both"] if isinstance(layer, BatchNorm1d)]
choices = {
    "none": in_mlp,
    "behind the 1,024 units": in_mlp[1:],
    "behind the 512 units": in_mlp[:1],
    "behind both": [],
}
with_them = {
    where: num_parameters([layer for layer in networks["both"] if layer not in left_out])
    for where, left_out in choices.items()
}
printed = published("ist_hw2/2.3")["parameters_normalised"]
fitting = [where for where, number in with_them.items() if number == printed]
if show_solution:
    show(
        pd.DataFrame(
            {"parameters": [f"{number:,}" for number in with_them.values()]},
            index=list(with_them),
        ),
        "All parameters of the second network, by the batch normalisations in its fully connected "
        "part.",
        label="tab-ist-cnn-normalisations",
    )
    display(
        Markdown(
            f"**Solution.** The printed {printed:,} is the number with batch normalisation "
            f"{' or '.join(fitting) or 'nowhere of these'}. With one, behind the layer of 1,024 "
            f"units, there would be {with_them['behind the 1,024 units']:,}."
        )
    )

# %% [markdown]
# ## 2.4 What small kernels and pooling are good for
#
# **Small kernels.** What an output sees grows from layer to layer, and the poolings make the later
# layers' windows larger.

# %%
geometry = pd.DataFrame(base_table.records(geometry=True))
windows = [
    place for place, row in enumerate(base_table.rows) if row.kind in ("Conv2d", "MaxPool2d")
]
show(
    geometry.loc[
        windows, ["layer", "output", "receptive field", "jump", "multiply-adds"]
    ].set_index("layer"),
    "What an output of the base network sees (pixels of the picture along one axis), how far "
    "neighbouring outputs lie apart there, and the multiply-adds for one picture.",
    label="tab-ist-cnn-geometry",
)

# %%
maps = (64, 24, 24)  # what stacks of kernels are compared on
stacks = {
    "two 3 × 3": ([Conv2d(64, 64, 3, padding=1), ReLU()] * 2, maps),
    "one 5 × 5": ([Conv2d(64, 64, 5, padding=2), ReLU()], maps),
    "three 3 × 3": ([Conv2d(64, 64, 3, padding=1), ReLU()] * 3, maps),
    "one 7 × 7": ([Conv2d(64, 64, 7, padding=3), ReLU()], maps),
    "one 3 × 3": ([Conv2d(3, 32, 3, padding=1), ReLU()], input_shape),
    "one 48 × 48": ([Conv2d(3, 32, 48), ReLU()], input_shape),
}
tables = {name: layer_table(layers, shape) for name, (layers, shape) in stacks.items()}
show(
    pd.DataFrame(
        {
            "kernels": name,
            "input": "×".join(map(str, table.input_shape)),
            "output": "×".join(map(str, table.output_shape)),
            "sees": table.rows[-1].receptive_field[0],
            "ReLUs": sum(row.kind == "ReLU" for row in table.rows),
            "parameters": f"{table.num_parameters:,}",
            "multiply-adds": f"{table.multiply_adds:,}",
        }
        for name, table in tables.items()
    ).set_index("kernels"),
    "Small kernels one after another, and one large kernel that sees as much; and small and large "
    "ones as the first layer of the network.",
    label="tab-ist-cnn-kernels",
)

# %% jupyter={"source_hidden": true} tags=["solution"]
two, five, three, seven, small, whole = tables.values()
pooled = base_table.rows[windows[-1]]
if show_solution:
    display(
        Markdown(
            "**Solution.** Two 3 × 3 see what one 5 × 5 sees, with "
            f"{two.num_parameters / five.num_parameters:.2f} of its parameters (18 weights for 25 "
            "for each pair of an input and an output map), three what one 7 × 7 sees, with "
            f"{three.num_parameters / seven.num_parameters:.2f} (27 for 49), and the multiply-adds "
            "go with the weights; between them stand further ReLUs. A kernel of the picture's size "
            "fits at one place only. It is a fully connected layer, of "
            f"{whole.num_parameters:,} parameters where 32 kernels of 3 × 3 have "
            f"{small.num_parameters:,}, and what it has learnt of one place it knows of no other. "
            f"(It has fewer multiply-adds, {whole.multiply_adds:,} for {small.multiply_adds:,}, "
            "because it gives 32 numbers and no maps.) Six layers of small windows see "
            f"{pooled.receptive_field[0]} of the {input_shape[1]} pixels of a side. The report’s "
            "“9 parameters per channel” are 9 for each pair of an input channel and a filter."
        )
    )

# %% [markdown]
# **Pooling.** How much does it matter to a network that a picture is shifted by a few pixels? The
# networks of 2.2 are asked once more, with test pictures moved to the right and down; what comes in
# at the edge is the picture mirrored. The change of a network's probabilities is half the sum of
# their absolute differences, in units of that between two different pictures, because a network
# that always says nearly the same does not change either.

# %%
can_look = all(run.has_weights for group in runs.values() for run in group)
if not can_look:
    display(
        Markdown(
            "The records of these runs were committed without their weights, so nothing is shifted "
            "or shuffled here; with `--fresh` the networks are trained and asked."
        )
    )

# %%
if can_look:
    some = intel.test.first(min(probed_images, len(intel.test)))
    reach, side = max(shifts), input_shape[1]
    distances = [0, *shifts]
    pixels = scale(some.images, mean=0.0, std=256 / 255)
    wide = F.pad(pixels, (reach,) * 4, mode="reflect").to(memory_format=torch.channels_last)
    moved = {
        distance: [
            wide[..., reach - down : reach - down + side, reach - right : reach - right + side]
            for down, right in dict.fromkeys(((0, distance), (distance, 0)))
        ]
        for distance in distances
    }
    commonest = some.labels.bincount().max().item() / len(some)
    chance = commonest + 2 * math.sqrt(commonest * (1 - commonest) / len(some))
    modules, has_learnt, changed, drifted = {}, {}, {}, {}
    for name, config in experiment.items():
        modules[name] = trained_model(config, runs[name][0].weights)
        modules[name].to(memory_format=torch.channels_last)
        with torch.inference_mode():
            given = {
                distance: [
                    torch.cat([modules[name](part).exp() for part in images.split(250)])
                    for images in ways
                ]
                for distance, ways in moved.items()
            }
        still = given[0][0]  # (N, 6)
        has_learnt[name] = (still.argmax(1) == some.labels).double().mean().item() > chance
        apart = (still - still.roll(1, 0)).abs().sum(1).mean()
        changed[name] = [
            sum((each.argmax(1) != still.argmax(1)).double().mean().item() for each in ways)
            / len(ways)
            for ways in given.values()
        ]
        drifted[name] = [
            sum(((each - still).abs().sum(1).mean() / apart).item() for each in ways) / len(ways)
            for ways in given.values()
        ]

# %%
if can_look:
    # how far one network's maps go from what they were; a flattening one that learns in few steps
    layers = build(experiment["batch normalisation"].network, pooling_first=False).eval()
    layers.load_state_dict(runs["batch normalisation"][0].weights)
    stages = {distance: {} for distance in distances}
    with torch.inference_mode():
        for distance, (to_the_right, *_) in moved.items():
            output, block = to_the_right[:100], 0
            for part in layers:
                if isinstance(part, nn.Flatten):
                    break
                output = part(output)
                block += isinstance(part, nn.Conv2d)
                if isinstance(part, nn.ReLU):
                    stages[distance][f"block {block}, before pooling"] = output
                elif isinstance(part, nn.MaxPool2d):
                    stages[distance][f"block {block}, pooled"] = output
            stages[distance]["block 3, averaged"] = output.mean((2, 3))
    strayed = {}
    for stage, still in stages[0].items():
        apart = (still - still.roll(1, 0)).flatten(1).norm(dim=1).mean()
        strayed[stage] = [
            ((stages[distance][stage] - still).flatten(1).norm(dim=1).mean() / apart).item()
            for distance in distances
        ]

# %%
if can_look:
    dashes = {"base": "-", "batch normalisation": "-."}
    dashes |= {"global average pooling": "--", "both": ":"}
    looks = {
        "block 1, before pooling": ("--", "D", COLOURS[4]),
        "block 1, pooled": ("-", "D", COLOURS[4]),
        "block 3, before pooling": ("--", "s", COLOURS[6]),
        "block 3, pooled": ("-", "s", COLOURS[6]),
        "block 3, averaged": (":", "s", COLOURS[6]),
    }
    with matplotlib.rc_context({**STYLE, "lines.markersize": 3.5}):
        figure = Figure(figsize=(WIDTH, 3.1))
        left, middle, right = figure.subplots(1, 3)
        for colour, (name, line) in zip(COLOURS, dashes.items(), strict=False):
            shares = [100 * share for share in changed[name]]
            left.plot(distances, shares, line, marker="o", color=colour, label=name)
            middle.plot(distances, drifted[name], line, marker="o", color=colour)
        for stage, (line, marker, colour) in looks.items():
            right.plot(distances, strayed[stage], line, marker=marker, color=colour, label=stage)
        left.set_title("classes that change (%)", fontsize="medium")
        middle.set_title("change of probabilities", fontsize="medium")
        right.set_title("change of maps", fontsize="medium")
        for panel in (left, middle, right):
            panel.set_xlabel("shift (pixels)")
            panel.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=3)
    show(
        figure,
        f"What a shift changes. Left and middle: {len(some)} test images, mean of a shift to the "
        "right and one down, for the networks of 2.2. Right: maps of the network with batch "
        f"normalisation for the first {min(100, len(some))} of them, shifted to the right and "
        "compared place by place; places of the last maps lie 8 pixels apart. Middle and right in "
        "units of the change to another picture.",
        label="fig-ist-cnn-shifts",
        runs=runs,
        profile=profile,
    )

# %% jupyter={"source_hidden": true} tags=["solution"]
if can_look:
    verdicts = []
    for flattening, averaging in (
        ("base", "global average pooling"),
        ("batch normalisation", "both"),
    ):
        if not (has_learnt[flattening] and has_learnt[averaging]):
            verdicts.append(f"*{flattening}* and *{averaging}* have not both learnt enough to tell")
            continue
        for place in sorted({1, len(distances) - 1}):
            p = (changed[flattening][place] + changed[averaging][place]) / 2
            margin = 196 * math.sqrt(2 * p * (1 - p) / len(some))
            more = 100 * (changed[averaging][place] - changed[flattening][place])
            verdicts.append(
                f"shifted by {distances[place]}, {changed[flattening][place]:.1%} of the pictures "
                f"change their class for *{flattening}* and {changed[averaging][place]:.1%} for "
                f"*{averaging}*: "
                + f"{more:+.1f} ± {margin:.1f} points, ".replace("-", "−")
                + (
                    "not told apart"
                    if abs(more) <= margin
                    else "fewer with averaging"
                    if more < 0
                    else "more with averaging"
                )
            )
    near, far = distances[1], distances[-1]
    steadier = [
        block
        for block in (1, 2, 3)
        if strayed[f"block {block}, pooled"][1] < strayed[f"block {block}, before pooling"][1]
    ]
    on_what = "**On stand-in data**, what" if runs.stand_in else "What"
    display(
        Markdown(
            f"**Answer** (profile {profile}). {on_what} pooling does to shifts is seen best within "
            f"one network. A shift by {near} changes the maps of the first block by "
            f"{strayed['block 1, before pooling'][1]:.2f} before pooling and by "
            f"{strayed['block 1, pooled'][1]:.2f} after it, those of the third by "
            f"{strayed['block 3, before pooling'][1]:.2f} and {strayed['block 3, pooled'][1]:.2f}: "
            + (
                "the 2 × 2 maximum makes every block's maps a little less sensitive. "
                if len(steadier) == 3
                else f"the 2 × 2 maximum makes the maps less sensitive in {len(steadier)} of the 3 "
                "blocks. "
            )
            + f"That is no invariance. A shift by {far} changes what the flattening hands on by "
            f"{strayed['block 3, pooled'][-1]:.2f}, and the averages of the same maps by "
            f"{strayed['block 3, averaged'][-1]:.2f}.\n\n"
            f"On the answers: {'; '.join(verdicts)}. The probabilities, in units of the change to "
            f"another picture, move after {far} pixels by "
            + ", ".join(f"{values[-1]:.2f} (*{name}*)" for name, values in drifted.items())
            + ". The IST HW2 report claims that averaging makes the network more robust to shifts, "
            "and has not measured it."
        )
    )

# %% [markdown]
# The IST HW2 report says that global average pooling “maintains the spatial relationship of
# features”. If it did, it would matter where they are. So the 36 places of the last maps are
# shuffled, in the same way for all maps of all pictures.

# %%
if can_look:
    order = torch.randperm(36, generator=torch.Generator().manual_seed(0))
    shuffled = {}
    for name, module in modules.items():
        cut = next(
            place
            for place, part in enumerate(module)
            if isinstance(part, nn.AdaptiveAvgPool2d | nn.Flatten)
        )
        with torch.inference_mode():
            last = torch.cat([module[:cut](part) for part in pixels.split(250)])  # (N, 128, 6, 6)
            elsewhere = last.flatten(2)[..., order].view_as(last)
            before, after = module[cut:](last).exp(), module[cut:](elsewhere).exp()
        shuffled[name] = {
            "right": (before.argmax(1) == some.labels).double().mean().item(),
            "right, places shuffled": (after.argmax(1) == some.labels).double().mean().item(),
            "class changes": (before.argmax(1) != after.argmax(1)).double().mean().item(),
            "largest change of a probability": (before - after).abs().max().item(),
        }
    table = pd.DataFrame(shuffled).T
    shares = [column for column in table if column != "largest change of a probability"]
    table[shares] = table[shares].map("{:.3f}".format)
    table[table.columns[-1]] = table[table.columns[-1]].map("{:.1g}".format)
    show(
        table,
        f"The last maps with their 36 places shuffled: shares of {len(some)} test images.",
        label="tab-ist-cnn-shuffled",
        runs=runs,
        profile=profile,
    )

# %% jupyter={"source_hidden": true} tags=["solution"]
if can_look:
    pooled_ones = [name for name in shuffled if "global_pooling" in options[name]]
    flattened = [name for name in shuffled if name not in pooled_ones]
    rounding = max(shuffled[name]["largest change of a probability"] for name in pooled_ones)
    on_what = "**On stand-in data**, behind" if runs.stand_in else "Behind"
    display(
        Markdown(
            f"**Answer** (profile {profile}). {on_what} the flattening it matters where something "
            "is: shuffled, "
            + " and ".join(
                f"{shuffled[name]['class changes']:.0%} of the pictures change their class "
                f"(*{name}*" + (")" if has_learnt[name] else ", which has learnt next to nothing)")
                for name in flattened
            )
            + f". Behind the average no probability changes by more than {rounding:.0e}, the "
            "rounding of float32: a mean does not know its summands' places. Averaging keeps how "
            "much there is of a feature and forgets where; what it still knows of neighbourhoods "
            "is what the convolutions before it have put into each place."
        )
    )

# %% [markdown]
# ## 2.5 What is taken for what

# %%
show(
    figures.confusion_matrices(at_the_ends, intel.classes),
    "How often each class (row) was taken for each (column), in per cent of the class.",
    label="fig-ist-cnn-confusion",
    runs=at_the_ends,
    profile=ends_profile,
)

# %%
best = at_the_ends.best("validation_loss")
run = at_the_ends[best][0]  # of the first seed
of_best = Runs({best: [run]})
confused = figures.most_confused(run, intel.classes, count=5)
show(
    confused.set_index("class"),
    f"The most frequent confusions of *{best}*, the network with the lower validation loss.",
    label="tab-ist-cnn-confused",
    runs=of_best,
    profile=ends_profile,
)

# %%
pairs = list(zip(confused["class"], confused["taken for"], strict=True))
for true, taken in pairs[:1]:  # a network without mistakes has none
    show(
        figures.wrong_predictions(run, intel, count=4, pair=(true, taken)),
        f"Test images of class *{true}* that *{best}* took for *{taken}*, with the probability "
        "that it gave; the surest first.",
        label="fig-ist-cnn-confused",
        runs=of_best,
        profile=ends_profile,
    )

# %% jupyter={"source_hidden": true} tags=["solution"]
counts = torch.tensor(run.metrics["test_confusion"])
right_of = counts.diagonal() / counts.sum(1).clamp(min=1)
easiest, hardest = right_of.argmax().item(), right_of.argmin().item()
on_what = "**On stand-in data**, the" if at_the_ends.stand_in else "The"
Markdown(
    f"**Answer** (profile {ends_profile}). {on_what} better network, *{best}*, is right on "
    f"{right_of[easiest]:.0%} of the images of class *{intel.classes[easiest]}* and on "
    f"{right_of[hardest]:.0%} of those of class *{intel.classes[hardest]}*. "
    + "".join(
        f"Most often it takes *{true}* for *{taken}* ({confused.iloc[0]['images']} images; the "
        "other way round "
        f"{counts[intel.classes.index(taken), intel.classes.index(true)].item()})."
        for true, taken in pairs[:1]
    )
)

# %% [markdown] tags=["remove-cell"]
# ### Try it yourself
#
# In JupyterLab, click on a cell of the confusion matrix to see the photographs behind it. (In plain
# cells: `figures.wrong_predictions(run, intel, pair=("glacier", "mountain"))`.)

# %% tags=["remove-cell"]
confusion(run, intel)

# %% [markdown] tags=["solution"]
# ## 2.6 Errata of the report
#
# | place | printed | right |
# |:-------|:-----------------------------|:---------------------------------|
# | 2.2, 2.7 | +4.9 % | 4.9 percentage points, which are 6.97 % of 70.33 % |
# | 2.2 | batch normalisation in the MLP | 756,742 needs two of them; one gives 755,718 |
# | 2.2, 2.7 | more stable training | two losses of one network, and none to compare |
# | 2.3, 2.7 | what each change does | both were made at once, neither measured alone |
# | 2.4 | averaging keeps spatial relations | it does not: see the shuffled places |
