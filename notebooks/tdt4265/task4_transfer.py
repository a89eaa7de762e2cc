# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Task 4: transfer learning
#
# A network that was trained on ImageNet's photographs is put to CIFAR-10: its last stage and a new
# classifier are trained, everything before them is frozen. Then its filters and maps are looked at.
#
# **Prediction.** Edges, colours and textures are the same in both sets, so the frozen stages should
# serve CIFAR-10 as well: with the same few training images, the network should do far better than
# the best one of task 3, which had to find its filters by itself.

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
show_solution: bool = True  # show the worked solution below each answer
backbone: str = "resnet18"  # where its weights cannot be had, efficientnet_lite0
image_size: int = 112  # to which the 32 × 32 pixels are enlarged; the course: 224
epochs: int = 5  # at most, as in the course
train_images: int | None = 1600  # None: all 45,000
validation_images: int | None = 500  # None: all 5,000
test_images: int | None = 1000  # None: all 10,000
seeds: list[int] = [0]  # one run for each

learning_rate: float = 5e-4
batch_size: int = 32
early_stop: int | None = 4  # validations, of which there are two in an epoch; None: never
task3_epochs: int = 2  # of task 3's networks, which are compared: as in that task's profile
precision: str = "auto"  # bf16 where the hardware has it; or "fp32", "bf16"
filters: list[int] = [14, 26, 32, 49, 52]  # of 4b; of fewer filters, others in their place

# %%
import torch
from IPython.display import Markdown, display
from sklearn.datasets import load_sample_image

from labkit import figures
from labkit.data import load, preprocess
from labkit.data.weights import find_weights
from labkit.figures import show
from labkit.handcalc import check, question
from labkit.models import tdt4265_improved, transfer
from labkit.models.explain import activations, grad_cam
from labkit.report.claims import claim
from labkit.report.published import beside_published
from labkit.training import (
    Adam,
    Augmentation,
    Config,
    Data,
    Pretrained,
    Runs,
    first_model,
    full_scale,
    sweep,
    trained_model,
)
from labkit.widgets import answer_grid, kept_answer

# %%
wanted = backbone
if find_weights(backbone) is None:
    backbone = "efficientnet_lite0"
body = transfer.BACKBONES[backbone]
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
# ## 4a The last stage and a new classifier
#
# How many parameters of ResNet-18 are trained?

# %%
display(Markdown(question("tdt4265/4a-parameters").question))

# %% tags=["remove-output"]
answer_grid(question("tdt4265/4a-parameters"))

# %%
answer_4a = kept_answer("tdt4265/4a-parameters")  # or a whole number

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_4a = 8_398_858

# %%
check(answer_4a, question("tdt4265/4a-parameters"))

# %% jupyter={"source_hidden": true} tags=["solution"]
if show_solution:
    display(Markdown("**Solution.**"), question("tdt4265/4a-parameters").calculation)

# %% [markdown]
# The images are enlarged, and scaled as the backbone is used to. What the frozen stages make of
# each is computed once where that fits into memory, and the rest is trained on it. The batch
# normalisations of the frozen stages keep the statistics that they came with.

# %%
data = Data(
    train_images=train_images,
    validation_images=validation_images,
    test_images=test_images,
    pixel_mean=body.pixel_mean,
    pixel_std=body.pixel_std,
    image_size=image_size,
)
transferred = Config(
    network=body.layers(10, image_size),
    pretrained=Pretrained(backbone=backbone, trainable="last_stage"),
    optimizer=Adam(learning_rate=learning_rate),
    data=data,
    batch_size=batch_size,
    epochs=epochs,
    early_stop=early_stop,
    precision=precision,
)
# task 3's, on the same images
task3 = {
    f"task {part}": Config(
        network=tdt4265_improved(extra_convolution=extra),
        optimizer=Adam(learning_rate=2e-4, weight_decay=5e-4),
        augmentation=Augmentation(flip=True),
        data=Data(
            train_images=train_images,
            validation_images=validation_images,
            test_images=test_images,
        ),
        batch_size=64,
        epochs=task3_epochs,
        early_stop=early_stop,
        precision=precision,
    )
    for part, extra in (("3a", False), ("3e", True))
}
runs = sweep({"pretrained": transferred, **task3}, seeds=seeds)
show(
    figures.learning_curves(runs),
    "The pretrained network, of which the last stage and the classifier are trained, and the "
    "networks of task 3.",
    label="fig-task4-curves",
    runs=runs,
    profile=profile,
)

# %%
columns = {
    "trained parameters": "trained_parameters",
    "train loss": "train_loss",
    "train accuracy": "train_accuracy",
    "validation accuracy": "validation_accuracy",
    "test accuracy": "test_accuracy",
    "best epoch": "best_epoch",
    "seconds": "training_seconds",
}
show(
    runs.table(columns),
    "Task 4a beside task 3, each with its best weights. Seconds are without those for what is "
    "computed once.",
    label="tab-task4-result",
    runs=runs,
    profile=profile,
)

# %%
recorded = {"pretrained": transferred.replace({"data.image_size": 224})}
at_scale = runs.select("pretrained") if profile == "full" else full_scale(recorded)
if backbone == "resnet18":
    show(
        beside_published(at_scale, {"tdt4265/4a": "pretrained"}, here=runs, profile=profile),
        "Task 4a at full scale beside the TDT4265 A3 report.",
        label="tab-task4-published",
        runs=at_scale,
        profile="full",
    )
else:
    display(
        Markdown(
            f"The report's 90.14 % are of ResNet-18; {backbone} is another network, and is not "
            "compared with them."
        )
    )

# %% jupyter={"source_hidden": true} tags=["solution"]
best_of_task3 = runs.select(*task3).best("test_accuracy")
ahead = claim(
    "A network pretrained on ImageNet is ahead of the best one that is trained on CIFAR-10 alone",
    runs.select("pretrained"),
    ">",
    runs.select(best_of_task3),
    profile=profile,
)
Markdown(
    f"**Answer** (profile {profile}, seeds: {len(runs['pretrained'])}). The pretrained network "
    f"reaches {runs.spread('pretrained', 'test_accuracy')} of the test images, the better one of "
    f"task 3 ({best_of_task3}) {runs.spread(best_of_task3, 'test_accuracy')}, from the same "
    f"{runs.mean('pretrained', 'train_examples'):,.0f} training images. "
    + (
        "As predicted it is ahead"
        + (", as far as one seed can tell" if ahead.seeds == 1 else "")
        + ". It differs from task 3's in more than its filters: it is larger, sees the images "
        "enlarged, and is trained with other rates and batches."
        if ahead.difference > ahead.margin
        else "The prediction is not borne out here."
    )
)

# %% [markdown]
# ## 4b Filters and activations of the first layer
#
# Each filter of the first convolution sees the three colour channels, so it can be looked at as a
# picture; below it stands what it makes of a photograph of 224 × 224 pixels, scaled as the network
# is used to. (The photograph, `china.jpg`, comes with scikit-learn, under
# the licence CC BY 2.0, flickr.com/photos/danielbuechele/6061409035; its middle is shown.)

# %%
photograph = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None]
photograph = photograph[:, :, :, 106:533]  # the middle, 427 × 427
photograph = torch.nn.functional.interpolate(
    photograph.float(), (224, 224), mode="bilinear", antialias=True
)
photograph = photograph.round().clamp(0, 255).to(torch.uint8)
show(
    figures.pictures(photograph, columns=3),
    "The photograph.",
    label="fig-task4-photograph",
)

# %%
fed = preprocess.fit("fixed", photograph, mean=body.pixel_mean, std=body.pixel_std)
pretrained = first_model(transferred.replace(network=body.layers(10, 224))).eval()
weight = pretrained[0].weight if hasattr(pretrained[0], "weight") else pretrained[0][-1].weight
count = len(weight)
shown = [each for each in filters if each < count]
shown += [each for each in range(3, count, 7) if each not in shown][: len(filters) - len(shown)]
maps = activations(pretrained, fed(photograph), at=0)[0]
show(
    figures.filters_and_activations(
        weight.detach()[shown], maps[shown], [f"filter {each}" for each in shown]
    ),
    f"Filters of the first convolution ({count} of {weight.shape[2]} × {weight.shape[3]} in all), "
    "each scaled to its own range, and below each its activation.",
    label="fig-task4-filters",
)

# %% [markdown]
# What do these filters respond to?

# %% jupyter={"source_hidden": true} tags=["solution"]
luminance = weight.detach()[shown].mean(1)
coloured = [
    f"filter {each}"
    for each, kernel, grey in zip(shown, weight.detach()[shown], luminance, strict=True)
    if (kernel - grey).norm() > grey.norm() * 3**0.5
]
uneven = [
    f"filter {each}"
    for each, grey in zip(shown, luminance, strict=True)
    if abs(grey.sum()) < 0.2 * grey.abs().sum()
]
Markdown(
    "**Answer.** A filter with a bright and a dark side answers where the picture has an edge in "
    "its direction, here the roofs and the balustrade. "
    + (
        f"The weights of {', '.join(uneven)}, averaged over the channels, nearly cancel: an even "
        "surface such as the sky gives nothing. "
        if uneven
        else "None of them is without an answer to an even surface such as the sky: their weights, "
        "averaged over the channels, do not cancel. "
    )
    + (
        f"In {', '.join(coloured)} the differences between the channels outweigh their mean: it "
        "answers to colour more than to brightness."
        if coloured
        else "In none of them do the differences between the channels outweigh their mean: they "
        "answer to brightness more than to colour."
    )
)

# %% [markdown]
# ## 4c Maps of the last block
#
# The first ten maps that leave the last block of convolutions.

# %%
last = len(pretrained) - 4  # in front of averaging, flattening and the classifier
deep = activations(pretrained, fed(photograph), at=last)[0]
show(
    figures.feature_maps(deep[:10], [f"map {number}" for number in range(10)]),
    f"The first ten of {len(deep)} maps of {deep.shape[1]} × {deep.shape[2]} after the last "
    "convolutional block.",
    label="fig-task4-maps",
)

# %% jupyter={"source_hidden": true} tags=["solution"]
silent = (deep[:10].flatten(1).amax(1) == 0).sum().item()
Markdown(
    f"**Answer.** {deep.shape[1]} × {deep.shape[2]} places are left of 224 × 224 pixels. An edge "
    "can no longer be told from such a map: each answers to something larger, where in the picture "
    f"it is, and stays silent elsewhere. Of these ten, {silent} "
    + ("is" if silent == 1 else "are")
    + " silent on the whole photograph. The average of each map is what the classifier gets."
)

# %% [markdown]
# ## Beyond the course: where the trained network looks
#
# Grad-CAM ([Selvaraju et al. 2017](#cite-selvaraju2017)) weighs the last maps by how much the
# output for a class rises with them; here for the class that the network named.

# %%
run = runs["pretrained"][0]
if run.has_weights:  # a committed record has none
    cifar10 = load("cifar10")
    model = trained_model(transferred, run.weights)
    predictions = run.arrays["test_predictions"].long()
    labels = cifar10.test.labels[: len(predictions)]
    right = torch.nonzero(predictions == labels).flatten()[:3]
    wrong = torch.nonzero(predictions != labels).flatten()[:3]
    chosen = torch.cat([right, wrong])
    enlarged = torch.nn.Upsample((image_size, image_size), mode="bilinear")(
        fed(cifar10.test.images[chosen])
    )
    heat = grad_cam(model, enlarged, predictions[chosen], at=last)
    names = cifar10.classes
    show(
        figures.heat_over_pictures(
            fed.inverse(enlarged),
            heat,
            [f"{names[labels[i]]} → {names[predictions[i]]}" for i in chosen.tolist()],
            columns=6,
        ),
        f"Grad-CAM of {len(right)} right and {len(wrong)} wrong predictions (class → taken for).",
        label="fig-task4-grad-cam",
        runs=Runs({"pretrained": [run]}),
        profile=profile,
    )
else:
    display(Markdown("The record of this run was committed without weights; no Grad-CAM."))
