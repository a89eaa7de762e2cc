# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # NN HW1 task 3: a pretrained network
#
# A network that has learnt ImageNet's 1,000 classes gets a new classifier, for the ten of
# Imagenette; all else is frozen. What becomes of the batch normalisations in it? The NN HW1 report
# calls its two ways "frozen" and "unfrozen", and puts the difference down to running statistics
# that adapt. But its frozen layers stood in training mode, in which they adapt as well; and
# unfreezing them also trained their scales $\gamma$ and shifts $\beta$. Here the three are told
# apart:
#
# | | statistics | $\gamma$ and $\beta$ |
# |:---|:---|:---|
# | *frozen* | those that it came with | as they were |
# | *adapting* | those of the batch; running means for the test | as they were |
# | *trained* | those of the batch; running means for the test | trained with the classifier |
#
# **Prediction.** Imagenette is a part of ImageNet: the statistics that the network came with are
# already those of such photographs. Adapting them should gain nothing, and frozen truly, the
# network should do as well as with either.

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
show_solution: bool = True  # show the worked solution below each answer
backbone: str = "resnet18"  # where its weights cannot be had, efficientnet_lite0
image_size: int = 160  # of the stored images: 64, 96, 128 or 160
enlarged_to: int | None = 224  # the side that the network is fed; None: as stored
epochs: int = 20  # on features that are computed once
train_images: int | None = 1500  # None: all 8,522
validation_images: int | None = 300  # None: all 947
test_images: int | None = 1000  # None: all 3,925
seeds: list[int] = [0]  # one run for each

# of the three ways with batch normalisation, two of which take whole passes through the network
norm_enlarged_to: int | None = None
norm_epochs: int = 3
norm_learning_rate: float = 0.01  # the course's 0.001 takes its 20 epochs
norm_images: int | None = 400
norm_validation_images: int | None = 200
norm_test_images: int | None = 500

learning_rate: float = 0.001  # the course's
momentum: float = 0.9
batch_size: int = 32
rate_step: int = 7  # epochs after which the rate is divided by ten
# task 2's network, which is compared, as in that task's profile
small_image_size: int = 64
small_epochs: int = 4
small_validation_images: int | None = 200
small_test_images: int | None = 500
precision: str = "auto"  # bf16 where the hardware has it; or "fp32", "bf16"

# %%
import math
from dataclasses import replace

import torch
from IPython.display import Markdown, display

from labkit import figures
from labkit.data import load, preprocess
from labkit.data.weights import find_weights
from labkit.figures import show
from labkit.handcalc import check, question
from labkit.models import nn_hw1, transfer
from labkit.models.explain import grad_cam
from labkit.report.claims import claim
from labkit.report.published import beside_published
from labkit.training import (
    SGD,
    Adam,
    Augmentation,
    Config,
    Data,
    Pretrained,
    Runs,
    Step,
    Trainer,
    at_best_scale,
    full_scale,
    resolve_device,
    seeded,
    sweep,
    trained_model,
)
from labkit.widgets import answer_grid, kept_answer

# %%
wanted = backbone
if find_weights(backbone) is None:
    backbone = "efficientnet_lite0"
body = transfer.BACKBONES[backbone]
imagenette = load(f"imagenette-{image_size}")
Markdown(
    f"**Backbone.** {body.source}; {body.top1:.1%} of ImageNet's validation images right "
    f"(published, {body.top1_source})."
    + (
        f"\n\nThe weights of {wanted}, which was asked for, are not here. Where there is a "
        f"network, `labkit data fetch {wanted}` fetches them."
        if wanted != backbone
        else ""
    )
)

# %% [markdown]
# ## What is trained
#
# The course's network is ResNet-18 ([He et al. 2016](#cite-he2016)), which gives 512 features of
# each image. How many parameters are trained when the new classifier alone is?

# %% tags=["remove-output"]
answer_grid(question("nn_hw1/3-classifier"))

# %%
answer_classifier = kept_answer("nn_hw1/3-classifier")  # or a whole number

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_classifier = 5130

# %%
check(answer_classifier, question("nn_hw1/3-classifier"))

# %% [markdown]
# And with the scales and shifts of its twenty batch normalisations, five each for 64, 128, 256 and
# 512 channels?

# %% tags=["remove-output"]
answer_grid(question("nn_hw1/3-batch-norm"))

# %%
answer_batch_norm = kept_answer("nn_hw1/3-batch-norm")  # or a whole number

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_batch_norm = 14_730

# %%
check(answer_batch_norm, question("nn_hw1/3-batch-norm"))

# %% jupyter={"source_hidden": true} tags=["solution"]
if show_solution:
    display(
        Markdown("**Solution.**"),
        question("nn_hw1/3-classifier").calculation,
        question("nn_hw1/3-batch-norm").calculation,
    )

# %% [markdown]
# ## Before any training
#
# The network knows the ten classes already: of its 1,000 outputs, those of Imagenette's classes are
# compared, and the largest is its answer.

# %%
side = enlarged_to or image_size
classifier = Config(
    network=body.layers(10, side),
    pretrained=Pretrained(backbone=backbone),
    optimizer=SGD(learning_rate=learning_rate, momentum=momentum),
    schedule=Step(every=rate_step),
    data=Data(
        name=f"imagenette-{image_size}",
        train_images=train_images,
        measured_train_images=test_images or 3925,  # as many of each
        validation_images=validation_images,
        test_images=test_images,
        pixel_mean=body.pixel_mean,
        pixel_std=body.pixel_std,
        image_size=enlarged_to,
    ),
    batch_size=batch_size,
    epochs=epochs,
    validations_per_epoch=1,
    also_measure=("train", "test"),
    precision=precision,
)
known = not imagenette.stand_in  # whether its classes are among ImageNet's
fine_tuned = classifier.replace({"pretrained.classes": transfer.IMAGENETTE})

# %%
untrained = float("nan")
if known:
    device = resolve_device()
    with seeded(0, device):  # with the settings of a run, which will find what is kept here
        trainer = Trainer(fine_tuned, imagenette, device)
        untrained = trainer.evaluate(trainer.test).accuracy
Markdown(
    f"Without any training on Imagenette, {backbone} is right about {untrained:.1%} of "
    f"{len(trainer.test):,} test images, fed to it at {side} × {side} pixels."
    if known
    else "Not measured: the stand-in's classes are not among ImageNet's."
)

# %% [markdown]
# **What this is worth.** Imagenette's images are ImageNet's, and most of its test images were in
# the set that the network was trained on. None of the accuracies of this task says how well such a
# network does on photographs that it has never seen.

# %% [markdown]
# ## Trained, with a new classifier and with its own
#
# The course's way is a new classifier that begins at random. It could also begin as the ten outputs
# that there are already (*fine-tuned*: the classifier alone, the rest stays frozen). Stochastic
# gradient descent with momentum, the rate divided by ten after every seven epochs. In front of the
# classifier nothing changes, so its inputs are computed once for each image.

# %%
# task 2's with all additions, on the same images
small = Config(
    network=nn_hw1(image_size=small_image_size, batch_norm=True, dropout=0.3),
    optimizer=Adam(learning_rate=1e-3),
    initialisation="kaiming-normal",
    data=Data(
        name=f"imagenette-{small_image_size}",
        train_images=train_images,
        measured_train_images=small_test_images or 3925,
        validation_images=small_validation_images,
        test_images=small_test_images,
    ),
    augmentation=Augmentation(flip=True, colour_jitter=0.2, rotation=10.0),
    batch_size=batch_size,
    epochs=small_epochs,
    validations_per_epoch=1,
    also_measure=("test",),
    precision=precision,
)
experiment = {"new classifier": classifier}
if known:
    experiment["fine-tuned"] = fine_tuned
experiment["task 2, all"] = small
runs = sweep(experiment, seeds=seeds)
curves = ("train", "measured_test")
columns = {
    "trained parameters": "trained_parameters",
    "train loss": "train_loss",
    "train accuracy": "train_accuracy",
    "test loss": "test_loss",
    "test accuracy": "test_accuracy",
    "seconds": "training_seconds",
}
show(
    figures.learning_curves(runs, splits=curves),
    "A classifier on a frozen pretrained network, new or with the outputs that it had, and task "
    "2's network with all additions, which begins with nothing; the same training images, at "
    f"{side} and {small_image_size} pixels.",
    label="fig-nn-hw1-transfer",
    runs=runs,
    profile=profile,
)

# %%
show(
    runs.table(columns),
    "Each with its best weights. Seconds are of training, without those for what is computed once. "
    + ", ".join(
        f"{name}: {group[0].metrics['test_examples']:,} test images" for name, group in runs.items()
    )
    + ".",
    label="tab-nn-hw1-transfer",
    runs=runs,
    profile=profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
# compared on the images that both were tested on, the first of the set
shared = min(run.metrics["test_examples"] for group in runs.values() for run in group)
on_shared = {}
for name, group in runs.items():
    for run in group:
        right = run.arrays["test_predictions"][:shared] == imagenette.test.labels[:shared]
        alike = {"test_examples": shared, "test_accuracy": right.double().mean().item()}
        on_shared.setdefault(name, []).append(replace(run, metrics=run.metrics | alike))
ahead = claim(
    "A network pretrained on ImageNet, with a new classifier, does better than the best of task 2",
    Runs({"new classifier": on_shared["new classifier"]}),
    ">",
    Runs({"task 2, all": on_shared["task 2, all"]}),
    profile=profile,
    source="NN HW1 report, task 3",
)
on_what = "**On stand-in data**, the" if runs.stand_in else "The"
answer = (
    f"**Answer** (profile {profile}, seeds: {len(runs['new classifier'])}). {on_what} new "
    f"classifier reaches {runs.spread('new classifier', 'test_accuracy')} of the test images with "
    f"{runs.mean('new classifier', 'trained_parameters'):,.0f} trained parameters, task 2's "
    f"network {runs.spread('task 2, all', 'test_accuracy')} with "
    f"{runs.mean('task 2, all', 'trained_parameters'):,.0f}, from the same training images. That "
    f"pretraining is ahead, on the {shared:,} test images that both were given: {ahead.outcome}."
)
if known:
    own = claim(
        "The outputs that the network came with, fine-tuned, do better than a new classifier",
        runs.select("fine-tuned"),
        ">",
        runs.select("new classifier"),
        profile=profile,
    )
    tuned = runs.mean("fine-tuned", "test_accuracy")
    margin = 1.96 * math.sqrt(2 * untrained * (1 - untrained) / len(trainer.test))
    answer += (
        f" Before any training it was {untrained:.1%}, fine-tuned it is {tuned:.1%}: "
        f"{100 * (tuned - untrained):+.1f} ± {100 * margin:.1f} points (half of the 95 % interval "
        "that so many test images leave open). That this is better than a new classifier: "
        f"{own.outcome}. "
        + (
            "The old outputs were learnt from ImageNet's 1.28 million images, and the new "
            "classifier has only these. "
            if own.difference > own.margin
            else ""
        )
        + "Nearly all of it is pretraining, in which most of these test images took part."
    )
Markdown(answer)

# %% [markdown]
# ## Batch normalisation: frozen, adapting, trained
#
# The same classifier, images, order and rate three times. The accuracies of the table are measured
# in evaluation mode, with the running statistics.

# %%
norms = {
    name: classifier.replace(
        {
            "data.train_images": norm_images,
            "data.measured_train_images": norm_test_images or 3925,
            "data.validation_images": norm_validation_images,
            "data.test_images": norm_test_images,
            "data.image_size": norm_enlarged_to,
            "optimizer.learning_rate": norm_learning_rate,
        },
        network=body.layers(10, norm_enlarged_to or image_size),
        pretrained=Pretrained(backbone=backbone, trainable=part, batch_norm=statistics),
        epochs=norm_epochs,
        also_measure=(),
    )
    for name, part, statistics in (
        ("frozen", "classifier", "frozen"),
        ("adapting", "classifier", "adapting"),
        ("trained", "batch_norm", "adapting"),
    )
}
at_course = {  # as the course has it, for which there may be records
    name: config.replace(
        {
            "data.name": "imagenette-160",
            "data.image_size": 224,
            "optimizer.learning_rate": 0.001,
        },
        network=body.layers(10, 224),
    )
    for name, config in norms.items()
}
norm_runs = sweep(norms, seeds=seeds)
judged, judged_profile = at_best_scale(norm_runs, at_course, profile)
show(
    figures.learning_curves(judged),
    "Batch normalisations truly frozen, with adapting statistics, and trained.",
    label="fig-nn-hw1-batch-norm",
    runs=judged,
    profile=judged_profile,
)

# %%
show(
    judged.table(columns),
    "The three ways, each with its best weights.",
    label="tab-nn-hw1-batch-norm",
    runs=judged,
    profile=judged_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
unfrozen = claim(
    "To unfreeze the batch normalisations raises the test accuracy",
    judged.select("trained"),
    ">",
    judged.select("adapting"),  # what the report calls frozen
    profile=judged_profile,
    source="NN HW1 report, task 3",
)
adapting = claim(
    "Running statistics that adapt to Imagenette raise the test accuracy",
    judged.select("adapting"),
    ">",
    judged.select("frozen"),
    profile=judged_profile,
    source="NN HW1 report, task 3",
)
on_what = "**On stand-in data.** " if judged.stand_in else ""
Markdown(
    f"**Answer** (profile {judged_profile}, seeds: {len(judged['frozen'])}). {on_what}Truly frozen "
    f"the test accuracy is {judged.spread('frozen', 'test_accuracy')}, with adapting statistics "
    f"{judged.spread('adapting', 'test_accuracy')}, with $\\gamma$ and $\\beta$ trained as well "
    f"{judged.spread('trained', 'test_accuracy')}. That adapting statistics help: "
    f"{adapting.outcome}; that training $\\gamma$ and $\\beta$ helps: {unfrozen.outcome}. "
    "The report's two ways are 1.14 points apart; "
    + (
        f"with a margin of {100 * unfrozen.margin:.1f} points a difference of that size does not "
        "show here. "
        if unfrozen.margin > 0.0114
        else "a difference of that size would show here. "
    )
    + "Its own comparison could not tell the cause: in both of its ways the statistics adapted."
)

# %%
recorded = judged if judged_profile == "full" else full_scale(at_course)
if backbone == "resnet18":
    show(
        beside_published(
            recorded,
            {"nn_hw1/3-frozen": "adapting", "nn_hw1/3-unfrozen": "trained"},
            here=norm_runs,
            profile=profile,
        ),
        "Task 3 at full scale beside the NN HW1 report. What it calls frozen is *adapting* here, "
        "what it calls unfrozen is *trained*."
        + (
            ""
            if profile == "full"
            else f" {profile.capitalize()}: with the learning rate {norm_learning_rate:g}."
        ),
        label="tab-nn-hw1-transfer-published",
        runs=recorded,
        profile="full",
    )
else:
    display(
        Markdown(
            f"The report's 96.82 % and 97.96 % are of ResNet-18; {backbone} is another network, "
            "and is not compared with them."
        )
    )

# %% [markdown]
# ## What is still taken for something else

# %%
show(
    figures.confusion_matrices(judged, imagenette.classes, rates=False),
    "The three ways: how many test images of each class (row) were taken for each (column).",
    label="fig-nn-hw1-transfer-confusion",
    runs=judged,
    profile=judged_profile,
)

# %% [markdown]
# Where does the network look? Grad-CAM ([Selvaraju et al. 2017](#cite-selvaraju2017)) weighs the
# last maps by how much the output for a class rises with them; it is shown for the class that the
# network named.

# %%
shown = "fine-tuned" if known else "new classifier"
run = runs[shown][0]
if run.has_weights:  # a committed record has none
    model = trained_model(experiment[shown], run.weights)
    predictions = run.arrays["test_predictions"].long()
    labels = imagenette.test.labels[: len(predictions)]
    right, wrong = (
        torch.nonzero(predictions == labels).flatten()[:3],
        torch.nonzero(predictions != labels).flatten()[:3],
    )
    chosen = torch.cat([right, wrong])
    pictures = imagenette.test.images[chosen]
    fed = preprocess.fit("fixed", pictures, mean=body.pixel_mean, std=body.pixel_std)
    enlarge = torch.nn.Upsample((side, side), mode="bilinear")
    enlarged = enlarge(fed(pictures))
    last = len(model) - 4  # in front of averaging, flattening and the classifier
    heat = grad_cam(model, enlarged, predictions[chosen], at=last)
    names = imagenette.classes
    show(
        figures.heat_over_pictures(
            fed.inverse(enlarged),
            heat,
            [f"{names[labels[i]]} → {names[predictions[i]]}" for i in chosen.tolist()],
            columns=6,
        ),
        f"Grad-CAM of predictions, *{shown}*: {len(right)} right, then {len(wrong)} wrong ones "
        "(class → taken for).",
        label="fig-nn-hw1-grad-cam",
        runs=Runs({shown: [run]}),
        profile=profile,
    )
else:
    display(Markdown("The record of this run was committed without weights; no Grad-CAM."))
