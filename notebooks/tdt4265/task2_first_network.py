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
# # Task 2: a first convolutional network
#
# The network of task 1g is trained on CIFAR-10 (Krizhevsky 2009): 60,000 photographs of 32 × 32
# pixels in ten classes. The question is a plain one: how far does a small network get with plain
# stochastic gradient descent, and what do its curves tell about it?
#
# **Prediction.** Guessing is right for one image in ten. A network with 390,410 weights can
# remember much of 45,000 images, so the training loss should go on falling after the validation
# loss has stopped.

# %%
from IPython.display import Markdown

from labkit import figures
from labkit.figures import show
from labkit.models import tdt4265_first
from labkit.report.published import beside_published
from labkit.training import SGD, Config, Data, full_scale, sweep

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
epochs: int = 3  # passes over the training images
train_images: int | None = 4000  # None: all 45,000
validation_images: int | None = 1000  # None: all 5,000
test_images: int | None = 2000  # None: all 10,000
seeds: list[int] = [0]  # one run for each

learning_rate: float = 0.05
batch_size: int = 64
early_stop: int = 4  # validations, of which there are two in an epoch

# %% [markdown]
# ## 2a Training
#
# Pixels are brought to mean ½ and standard deviation ¼ by fixed numbers. A tenth of the training
# images, always the same, is set aside for validation; the test images are never used for choosing
# anything. Every half epoch the validation loss is taken. Training stops early when the oldest of
# the last four validation losses is the smallest of them, and the weights with the lowest one are
# kept.

# %%
experiment = {
    "first network": Config(
        network=tdt4265_first(),
        optimizer=SGD(learning_rate=learning_rate),
        data=Data(
            train_images=train_images,
            validation_images=validation_images,
            test_images=test_images,
        ),
        batch_size=batch_size,
        epochs=epochs,
        early_stop=early_stop,
    )
}
runs = sweep(experiment, seeds=seeds)

# %%
show(
    figures.learning_curves(runs),
    "Loss and accuracy of the first network while it trains.",
    label="fig-task2-curves",
    runs=runs,
    profile=profile,
)

# %% [markdown]
# ## 2b Accuracy after training
#
# All three accuracies are taken with the best weights, in evaluation mode, on images that are not
# augmented, over every image of the split. (The course's own code took them in training mode,
# which for this network, without dropout or batch normalisation, makes no difference.)

# %%
show(
    runs.table(
        {
            "train loss": "train_loss",
            "train accuracy": "train_accuracy",
            "validation accuracy": "validation_accuracy",
            "test accuracy": "test_accuracy",
            "best epoch": "best_epoch",
        }
    ),
    "The first network with its best weights (mean ± standard deviation over seeds).",
    label="tab-task2-accuracy",
    runs=runs,
    profile=profile,
)

# %%
recorded = runs if profile == "full" else full_scale(experiment)
show(
    beside_published(recorded, {"tdt4265/2b": "first network"}),
    "Task 2b at full scale (all images, 10 epochs), beside the TDT4265 A3 report.",
    label="tab-task2-published",
    runs=recorded,
    profile="full",
)

# %% tags=["solution"]
judged = recorded or runs
gap = judged.mean("first network", "train_accuracy") - judged.mean("first network", "test_accuracy")
Markdown(
    f"**Answer** (profile {'full' if recorded else profile}, {len(judged['first network'])} "
    f"seed(s)). With its best weights, of epoch {judged.mean('first network', 'best_epoch'):.1f}, "
    f"the network is right on {judged.spread('first network', 'test_accuracy')} of the test "
    f"images, {100 * gap:.1f} points less than on the images it was trained on. "
    + (
        "The gap says that it has begun to remember its training images: more of the same "
        "training would widen it, and what helps is to make the images or the network's task "
        "harder (task 3)."
        if gap > 0.03
        else "The gap is small: the network is still short of training rather than overfitted."
    )
)
