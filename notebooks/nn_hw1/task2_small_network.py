# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # NN HW1 task 2: a small network on Imagenette
#
# Five layers that learn anything may be used to tell ten kinds of photographs apart. Three
# activations are compared, then batch normalisation, dropout and augmentation: each alone, and all
# together.
#
# **Prediction.** There are few images and, in the first fully connected layer, very many weights:
# the base network should come to know its training images by heart and do much worse on others.
# Each of the three measures works against that; together they should do best, if training lasts
# long enough for them to pay.

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
show_solution: bool = True  # show the worked solution below each answer
image_size: int = 64  # 64, 96, 128 or 160 (the course's); another size is another experiment
epochs: int = 4  # the course: 20
train_images: int | None = 1500  # None: all 8,522
validation_images: int | None = 200  # None: all 947
test_images: int | None = 500  # None: all 3,925
seeds: list[int] = [0]  # one run for each

learning_rate: float = 1e-3
batch_size: int = 32
dropout: float = 0.3
colour_jitter: float = 0.2
rotation: float = 10.0  # degrees, either way
precision: str = "auto"  # bf16 where the hardware has it; or "fp32", "bf16"

# %%
import pandas as pd
import torch
from IPython.display import Markdown, display

from labkit import figures
from labkit.data import load
from labkit.figures import show
from labkit.handcalc import LeakyReLU, Sigmoid, check, layer_table, question
from labkit.models import nn_hw1
from labkit.report.claims import claim
from labkit.report.published import beside_published
from labkit.training import Adam, Augmentation, Config, Data, Runs, at_best_scale, full_scale, sweep
from labkit.widgets import answer_grid, confusion, kept_answer, playground

# %% [markdown]
# ## The images
#
# Imagenette is the part of ImageNet ([Deng et al. 2009](#cite-deng2009)) with ten classes that are
# easy to tell apart; in this version the shorter side has 160 pixels (or, in a resampled copy, both
# have; the line below the picture tells). A tenth of its 9,469 training images, always the same, is
# set aside for validation; its 3,925 validation images are the test images here, as in the NN HW1
# report.

# %%
imagenette = load(f"imagenette-{image_size}")
firsts = [
    (imagenette.train.labels == label).nonzero()[0].item()
    for label in range(len(imagenette.classes))
]
show(
    figures.pictures(imagenette.train.images[firsts], imagenette.classes, columns=5),
    f"One training image of each class, at {image_size} × {image_size} pixels.",
    label="fig-nn-hw1-classes",
    dataset=imagenette,
)

# %% [markdown]
# ## The network
#
# Kernels of 7 × 7, 5 × 5 and 3 × 3 with 32, 64 and 128 filters, each followed by an activation and
# 2 × 2 pooling; then 512 units, and ten. How many parameters is that for the course's images of 160
# × 160 pixels?

# %% tags=["remove-output"]
answer_grid(question("nn_hw1/2-parameters"))

# %%
answer_parameters = kept_answer("nn_hw1/2-parameters")  # or a whole number

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_parameters = 26_349_898

# %%
check(answer_parameters, question("nn_hw1/2-parameters"))

# %% jupyter={"source_hidden": true} tags=["solution"]
if show_solution:
    display(Markdown("**Solution.**"), question("nn_hw1/2-parameters").calculation)

# %% [markdown]
# Nearly all of them are in the first fully connected layer, and their number goes with the area of
# the image. At the size that is trained here:

# %%
network = nn_hw1(image_size=image_size)
show(
    pd.DataFrame(layer_table(network, (3, image_size, image_size)).records()).set_index("layer"),
    f"The base network at {image_size} × {image_size} pixels.",
    label="tab-nn-hw1-layers",
)

# %% [markdown]
# ## Three activations
#
# Adam ([Kingma and Ba 2015](#cite-kingma2015)) with a rate of 0.001, batches of 32; the first
# weights are normal with variance $2/n$ for $n$ inputs ([He et al. 2015](#cite-he2015)), which is
# made for ReLU. The weights of the lowest validation loss are kept, and every accuracy in a table
# is measured with those.

# %%
augmentation = Augmentation(flip=True, colour_jitter=colour_jitter, rotation=rotation)
options = {
    "base": ({}, Augmentation()),
    "batch normalisation": ({"batch_norm": True}, Augmentation()),
    "dropout": ({"dropout": dropout}, Augmentation()),
    "augmentation": ({}, augmentation),
    "all": ({"batch_norm": True, "dropout": dropout}, augmentation),
}
at_size = {  # here, and at the course's size, for which there may be records
    size: {
        name: Config(
            network=nn_hw1(image_size=size, **parts),
            optimizer=Adam(learning_rate=learning_rate),
            initialisation="kaiming-normal",
            data=Data(
                name=f"imagenette-{size}",
                train_images=train_images,
                measured_train_images=test_images or 3925,  # as many of each
                validation_images=validation_images,
                test_images=test_images,
            ),
            augmentation=changed,
            batch_size=batch_size,
            epochs=epochs,
            validations_per_epoch=1,
            also_measure=("test",),
            precision=precision,
        )
        for name, (parts, changed) in options.items()
    }
    for size in (image_size, 160)
}
experiment = at_size[image_size]
base = experiment["base"]

# %%
activations = {
    "ReLU": base,
    "leaky ReLU 0.01": base.replace(network=nn_hw1(image_size=image_size, activation=LeakyReLU)),
    "sigmoid": base.replace(network=nn_hw1(image_size=image_size, activation=Sigmoid)),
}
activation_runs = sweep(activations, seeds=seeds)
judged, judged_profile = at_best_scale(activation_runs, activations, profile)
curves = ("train", "measured_test")
columns = {
    "train loss": "train_loss",
    "train accuracy": "train_accuracy",
    "validation accuracy": "validation_accuracy",
    "test accuracy": "test_accuracy",
    "best epoch": "best_epoch",
    "seconds": "training_seconds",
}
show(
    figures.learning_curves(judged, splits=curves),
    "The base network with three activations. Training curves are taken along the way, while the "
    "weights still moved.",
    label="fig-nn-hw1-activations",
    runs=judged,
    profile=judged_profile,
)

# %%
show(
    judged.table(columns),
    "Three activations, each run with its best weights.",
    label="tab-nn-hw1-activations",
    runs=judged,
    profile=judged_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
told = {
    name: claim(
        sentence,
        judged.select("ReLU"),
        ">",
        judged.select(name),
        profile=judged_profile,
        source="NN HW1 report, task 2",
    )
    for name, sentence in {
        "leaky ReLU 0.01": "ReLU does better on the test images than leaky ReLU",
        "sigmoid": "ReLU does better on the test images than the sigmoid",
    }.items()
}
on_what = "**On stand-in data**, " if judged.stand_in else ""
Markdown(
    f"**Answer** (profile {judged_profile}). {on_what}ReLU reaches "
    f"{judged.spread('ReLU', 'test_accuracy')} of the test images. That it is ahead: "
    + "; ".join(
        f"of {name} ({judged.spread(name, 'test_accuracy')}), {found.outcome}"
        for name, found in told.items()
    )
    + ". The NN HW1 report found ReLU slightly ahead of leaky ReLU, and the sigmoid far behind."
    + (
        " A likely reason for the last: a sigmoid's slope is at most ¼, so that each layer shrinks "
        "the gradient of those before it."
        if told["sigmoid"].difference > told["sigmoid"].margin
        else ""
    )
)

# %% [markdown]
# ## Batch normalisation, dropout, augmentation
#
# Batch normalisation stands before each activation, dropout behind each pooling and behind the
# activation of the 512 units. Augmentation mirrors every second image on average, changes
# brightness, contrast and saturation, and turns the image (in the course by a factor in 1 ± 0.2 and
# by up to 10° either way).

# %%
runs = sweep(experiment, seeds=seeds)
compared, compared_profile = at_best_scale(runs, experiment, profile)
show(
    figures.learning_curves(compared, splits=curves),
    "The base network and what is added to it. Dropout and augmentation make the training images "
    "harder than the test images, so that their two curves may lie the other way round.",
    label="fig-nn-hw1-variants",
    runs=compared,
    profile=compared_profile,
)

# %%
show(
    compared.table(columns),
    "Each addition alone and all of them, with the best weights of each run; all accuracies in "
    "evaluation mode, on images that are not augmented.",
    label="tab-nn-hw1-variants",
    runs=compared,
    profile=compared_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
source = "NN HW1 report, task 2"
told = {
    name: claim(
        f"{what} the test accuracy",
        compared.select(name),
        ">",
        compared.select("base"),
        profile=compared_profile,
        source=source,
    )
    for name, what in {
        "batch normalisation": "Batch normalisation raises",
        "dropout": "Dropout raises",
        "augmentation": "Augmentation raises",
        "all": "Batch normalisation, dropout and augmentation together raise",
    }.items()
}
runner_up = compared.select(*(name for name in compared if name != "all")).best("test_accuracy")
ahead = claim(
    "All together do better on the test images than the best other network",
    compared.select("all"),
    ">",
    compared.select(runner_up),
    profile=compared_profile,
    source=source,
)
gap = 100 * (compared.mean("base", "train_accuracy") - compared.mean("base", "test_accuracy"))
on_what = "**On stand-in data**, the" if compared.stand_in else "The"
Markdown(
    f"**Answer** (profile {compared_profile}, seeds: {len(compared['base'])}). {on_what} base "
    f"network reaches {compared.spread('base', 'test_accuracy')} of the test images. That these do "
    "better: "
    + "; ".join(
        f"*{name}* ({compared.spread(name, 'test_accuracy')}), {found.outcome}"
        for name, found in told.items()
    )
    + ". "
    f"With its best weights the base network's accuracy on its training images is {gap:+.1f} "
    "points beside that on the test images: "
    + (
        "there is overfitting to work against, as predicted. "
        if gap >= 5
        else "there is hardly any overfitting yet to work against. "
    )
    + f"The prediction that all together do best, beside the best other one (*{runner_up}*): "
    f"{ahead.outcome}. "
    + (
        "Perhaps what makes training harder needs more steps before it pays. "
        if ahead.difference < -ahead.margin
        else ""
    )
    + "A ± of a claim is half of a 95 % interval: Student's t over the paired seeds, and no less "
    "than so many test images leave open."
)

# %%
# at the course's size, with as many images and epochs as it had
recorded = runs if profile == "full" and image_size == 160 else full_scale(at_size[160])
show(
    beside_published(
        recorded,
        {
            "nn_hw1/2-base": "base",
            "nn_hw1/2-batch-norm": "batch normalisation",
            "nn_hw1/2-dropout": "dropout",
            "nn_hw1/2-augmentation": "augmentation",
            "nn_hw1/2-all": "all",
        },
        here=runs,
        profile=profile,
    ),
    "Task 2 at full scale, 160 × 160 pixels and 20 epochs, beside the NN HW1 report"
    + (
        "."
        if profile == "full"
        else f"; {profile}: at {image_size} × {image_size} pixels, epochs: {epochs}."
    ),
    label="tab-nn-hw1-published",
    runs=recorded,
    profile="full",
)

# %% [markdown]
# ## What is taken for what
#
# Taken with the best weights of each run: those of the last epoch may be worse.

# %%
show(
    figures.confusion_matrices(compared, imagenette.classes),
    "How often each class (row) was taken for each (column), in per cent of the class.",
    label="fig-nn-hw1-confusion-rates",
    runs=compared,
    profile=compared_profile,
)

# %%
show(
    figures.confusion_matrices(compared, imagenette.classes, rates=False),
    "The same as numbers of test images (of all seeds).",
    label="fig-nn-hw1-confusion-counts",
    runs=compared,
    profile=compared_profile,
)

# %%
best = compared.best("validation_loss")
run = compared[best][0]  # of the first seed
of_best = Runs({best: [run]})
confused = figures.most_confused(run, imagenette.classes, count=5)
show(
    confused.set_index("class"),
    f"The most frequent confusions of *{best}*, the network with the lowest validation loss.",
    label="tab-nn-hw1-confused",
    runs=of_best,
    profile=compared_profile,
)

# %%
pairs = list(zip(confused["class"], confused["taken for"], strict=True))
for true, taken in pairs[:1]:  # a network without mistakes has none
    show(
        figures.wrong_predictions(run, imagenette, count=8, pair=(true, taken)),
        f"Test images of class *{true}* that *{best}* took for *{taken}*, with the probability "
        "that it gave; the surest first.",
        label="fig-nn-hw1-confused",
        runs=of_best,
        profile=compared_profile,
    )

# %% jupyter={"source_hidden": true} tags=["solution"]
counts = torch.tensor(run.metrics["test_confusion"])
right = counts.diagonal() / counts.sum(1).clamp(min=1)
easiest, hardest = right.argmax().item(), right.argmin().item()
on_what = "**On stand-in data**, the" if compared.stand_in else "The"
Markdown(
    f"**Answer** (profile {compared_profile}). {on_what} best network, *{best}*, is right on "
    f"{right[easiest]:.0%} of the images of class *{imagenette.classes[easiest]}* and on "
    f"{right[hardest]:.0%} of those of class *{imagenette.classes[hardest]}*. "
    + "".join(
        f"Most often it takes *{true}* for *{taken}* ({confused.iloc[0]['images']} images)."
        for true, taken in pairs[:1]
    )
)

# %% [markdown] tags=["remove-cell"]
# ## Try it yourself
#
# In JupyterLab, click on a cell of the confusion matrix to see the images behind it. Then choose
# other settings for the base network and train it with them; what was trained before is shown at
# once. How much rotation helps, and from where on does it harm? (In plain cells:
# `sweep(base, axes)`.)

# %% tags=["remove-cell"]
confusion(run, imagenette)

# %% tags=["remove-cell"]
playground(
    base,
    {
        "optimizer.learning_rate": sorted({1e-4, 3e-4, 3e-3, learning_rate}),
        "augmentation.rotation": sorted({0.0, 45.0, rotation}),
        "augmentation.flip": [False, True],
        "label_smoothing": [0.0, 0.1],
    },
)
