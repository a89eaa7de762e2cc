# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # RDFIA part 7: everything combined
#
# Section 3.6 of the RDFIA practical 1-cd, with its figure 13: standardised images, crops and flips,
# the decaying learning rate, dropout with rate 0.2 and batch normalisation, all at once, beside
# each of them alone.
#
# **Prediction.** What makes learning faster (standardisation, batch normalisation) should help at
# once. What makes it harder (crops and flips, dropout) should pay in a long training, where the
# base network overfits, and cost something in a short one. Combined, a long training should gain
# most.

# %%
import pandas as pd
from IPython.display import Markdown, display

from labkit import figures
from labkit.figures import show
from labkit.handcalc import answer_text, check, question, working
from labkit.models import rdfia
from labkit.report.claims import claim
from labkit.report.published import beside_published, published
from labkit.training import (
    SGD,
    Augmentation,
    Config,
    Data,
    Exponential,
    at_best_scale,
    full_scale,
    sweep,
)
from labkit.widgets import compare

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
epochs: int = 2
train_images: int | None = 15000  # None: all 45,000
validation_images: int | None = 1000  # None: all 5,000
test_images: int | None = 2000  # None: all 10,000
seeds: list[int] = [0, 1]  # one run of every variant for each

learning_rate: float = 0.01  # the sheet's
momentum: float = 0.9  # the sheet names none; see part 2
batch_size: int = 32  # the sheet has 128; see part 2
crop: int = 28  # pixels
decay: float = 0.95  # of the learning rate, after every epoch
dropout: float = 0.5  # alone
combined_dropout: float = 0.2  # with everything else
precision: str = "auto"  # bf16 where the hardware has it; or "fp32", "bf16"

# %% [markdown]
# ## The variants
#
# The base network and each single improvement were trained in parts 2 to 6; they are found, not
# trained again.

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
augmentation = Augmentation(crop=crop, flip=True)
standardised = {"data.preprocessing": "standardise"}
experiment = {
    "base": base,
    "standardised images": base.replace(standardised),
    "crop and flip": base.replace(network=rdfia(ceil_mode=True), augmentation=augmentation),
    "decay": base.replace(schedule=Exponential(decay=decay)),
    f"dropout {dropout:g}": base.replace(network=rdfia(dropout=dropout)),
    "batch normalisation": base.replace(network=rdfia(batch_norm=True)),
    "combined": base.replace(
        standardised,
        network=rdfia(dropout=combined_dropout, batch_norm=True, ceil_mode=True),
        augmentation=augmentation,
        schedule=Exponential(decay=decay),
    ),
}
runs = sweep(experiment, seeds=seeds)
judged, judged_profile = at_best_scale(runs, experiment, profile)

# %%
ends = {name: experiment[name] for name in ("base", "combined")}
both, both_profile = at_best_scale(runs.select(*ends), ends, profile)
show(
    figures.learning_curves(both, splits=("train", "measured_test")),
    "Everything combined, beside the base network (figure 13 of the practical, whose caption "
    "repeats that of figure 12).",
    label="fig-rdfia-13",
    runs=both,
    profile=both_profile,
)

# %% [markdown]
# ## Every variant in numbers


# %%
# points of accuracy that the training images have over the test images
gaps = {
    name: 100 * (judged.mean(name, "train_accuracy") - judged.mean(name, "test_accuracy"))
    for name in judged
}
table = judged.table(
    {"test accuracy": "test_accuracy", "best epoch": "best_epoch", "seconds": "training_seconds"}
)
effects = {
    name: judged.difference(name, "base", "test_accuracy") for name in judged if name != "base"
}
table.insert(1, "against base (points)", ["–", *map(str, effects.values())])
table.insert(2, "train − test (points)", [f"{gap:+.1f}" for gap in gaps.values()])
here = f"{profile}, n = {len(seeds)}"
if judged_profile != profile:  # what was trained here stands beside the records
    table[here] = [runs.spread(name, "test_accuracy") for name in judged]
show(
    table,
    "Every variant with its best weights: test accuracy (mean ± standard deviation), difference to "
    "the base network (± half of a 95 % interval), lead of as many training images, and training "
    "time (by the clock: it compares only what ran on the same, quiet machine)."
    + (f" The last column: test accuracy, {here}." if here in table else ""),
    label="tab-rdfia-variants",
    runs=judged,
    profile=judged_profile,
)

# %%
show(
    figures.comparison(
        judged,
        "test_accuracy",
        reference="base",
        title="test accuracy minus that of the base network (percentage points)",
    ),
    "Each improvement alone, and all of them: bars are means, dots single seeds.",
    label="fig-rdfia-variants",
    runs=judged,
    profile=judged_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
best_alone = judged.select(*(name for name in effects if name != "combined")).best(
    "validation_accuracy"
)
together = {
    reference: claim(
        sentence,
        judged.select("combined"),
        ">",
        judged.select(reference),
        profile=judged_profile,
        source="RDFIA 1-cd report, section 3.6",
    )
    for reference, sentence in {
        "base": "All improvements combined raise the test accuracy",
        best_alone: "All improvements combined do better than the best one alone",
    }.items()
}

# %% jupyter={"source_hidden": true} tags=["solution"]
sorted_out = {
    sign: [f"*{name}* ({effect})" for name, effect in effects.items() if effect.sign == sign]
    for sign in (1, 0, -1)
}
base_gap = gaps["base"]
short = base_gap < 5
Markdown(
    f"**Answer** (profile {judged_profile}, seeds: {len(judged['base'])}). In points of test "
    f"accuracy beside the base network's {judged.spread('base', 'test_accuracy')}: "
    + "; ".join(
        f"{what}: {', '.join(sorted_out[sign])}"
        for sign, what in ((1, "better"), (0, "not told apart"), (-1, "worse"))
        if sorted_out[sign]
    )
    + f". That the combined network is ahead of the base network: {together['base'].outcome}; of "
    f"*{best_alone}*, alone the best on the validation images: {together[best_alone].outcome}. "
    + (
        f"The base network's lead on its training images is {base_gap:+.1f} points: it does not "
        "overfit yet, so that what works against overfitting (crop and flip, dropout) has nothing "
        "to work on. In the last epoch the decaying rate is still "
        f"{decay ** (judged['decay'][0].config['epochs'] - 1):.2f} of the first. So short a "
        "training does not tell what these are worth. "
        if short
        else f"The base network's lead on its training images is {base_gap:+.1f} points. "
    )
    + "A ± is half of a 95 % interval: Student's t over the paired seeds, and no less than so many "
    "test images leave open."
)

# %% [markdown] tags=["remove-cell"]
# ### Try it yourself
#
# In JupyterLab, choose which variants to overlay. (In plain cells:
# `figures.learning_curves(runs.select("base", "decay"))`; `compare()` has every run that was ever
# made here.)

# %% tags=["remove-cell"]
compare(runs)

# %% [markdown]
# ## Beside what others reached
#
# The RDFIA 1-cd report prints curves and no final numbers. Others who worked on the same sheet
# report about 70 % for the base network and over 80 % for the combined one.

# %%
# each beside what is published, not beside the other: they may have had different epochs
at_scale = runs.select(*ends)
if profile != "full":
    at_scale = full_scale({"base": base}) | full_scale({"combined": ends["combined"]})
show(
    beside_published(
        at_scale,
        {"rdfia/15": "base", "rdfia/3.6": "combined"},
        here=runs.select(*ends),
        profile=profile,
    ),
    "Base network and combined one at full scale, beside what others report of the same sheet; "
    f"here with momentum {momentum:g} and batches of {batch_size}.",
    label="tab-rdfia-published",
    runs=at_scale,
    profile="full",
)

# %% [markdown]
# ## Where the practical's figures are
#
# | figure | shows | here |
# |:--|:-----|:---|
# | 1 | learning rates, at batches of 32 | part 2, question 16 |
# | 2 | batch sizes, at a learning rate of 0.01 | part 2, question 16 |
# | 3 | the base network in a long training | part 2, question 15 |
# | 4 | standardised images | part 3, question 21 |
# | 5 | PCA whitening (and ZCA) | part 3, question 21 |
# | 6 | min-max scaling (and robust scaling) | part 3, question 21 |
# | 7 | random crops and flips | part 4, question 22 |
# | 8 | CutMix (and Mixup) | part 4, question 25 |
# | 9 | exponential decay of the learning rate | part 5, question 26 |
# | 10 | Adam (and other optimizers) | part 5, question 28 |
# | 11 | dropout | part 6, question 29 |
# | 12 | batch normalisation | part 6, question 34 |
# | 13 | everything combined (its caption says figure 12's) | part 7 |

# %% [markdown]
# ## Errata of the RDFIA 1-cd report
#
# Its printed numbers go through the same check as a student's answer, which finds the mistake from
# the number alone.

# %% jupyter={"source_hidden": true} tags=["solution"]
printed = {
    "1": ("rdfia/1-fully-connected", published("rdfia/1")["fully_connected_weights"]),
    "7, r₂": ("rdfia/7-first", published("rdfia/7")["receptive_field_conv1_pool1"]),
    "7, r₁ and r₂": (
        "rdfia/7-strided",
        published("rdfia/7")["receptive_field_two_strided_convolutions"],
    ),
    "12, parameters": ("rdfia/11", published("rdfia/12")["parameters"]),
    "12, times as many": ("rdfia/12", published("rdfia/12")["times_as_many"]),
}
verdicts = {where: check(value, question(name)) for where, (name, value) in printed.items()}
show(
    pd.DataFrame(
        {
            where: {
                "printed": answer_text(printed[where][1]),
                "right": answer_text(question(printed[where][0]).result),
                "mistake": str(verdict.explanations[0]) if verdict.explanations else "none known",
            }
            for where, verdict in verdicts.items()
            if not verdict.right
        }
    ).T.rename_axis("question"),
    "Printed numbers of the RDFIA 1-cd report that are wrong, and the right ones.",
    label="tab-rdfia-errata",
)
for where, verdict in verdicts.items():
    if not verdict.right:
        display(Markdown(f"**Question {where}.**"))
        display(Markdown(working(question(printed[where][0]), steps=False)))

# %% [markdown] tags=["solution"]
# What it states without a number:
#
# - **Question 2**: that convolutions are invariant to shifts. They are equivariant: the output
#   shifts along, as part 1 measures.
# - **Question 3**: that pooling saves weights. It does so in the fully connected layer that
#   follows, and nowhere else: a convolution has as many weights on a smaller map.
# - **Question 6**: that the network has fewer weights once it is written as convolutions. It has
#   the same, rearranged (part 1).
# - **Question 21**: min-max scaling as one more preprocessing. For pixels in [0, 1] it is the
#   identity, or nearly (part 3).
# - **Figure 13**: its caption is that of figure 12.
