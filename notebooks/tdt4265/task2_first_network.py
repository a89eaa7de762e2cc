# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Task 2: a first convolutional network
#
# The network of task 1g is trained on CIFAR-10 ([Krizhevsky 2009](#cite-krizhevsky2009)): 60,000
# photographs of 32 × 32 pixels in ten classes. The question is a plain one: how far does a small
# network get with plain stochastic gradient descent, and what do its curves tell about it?
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
from labkit.widgets import playground

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
epochs: int = 3  # passes over the training images
train_images: int | None = 4000  # None: all 45,000
validation_images: int | None = 1000  # None: all 5,000
test_images: int | None = 2000  # None: all 10,000
seeds: list[int] = [0]  # one run for each

learning_rate: float = 0.05
batch_size: int = 64
early_stop: int | None = 4  # validations, of which there are two in an epoch; None: never
precision: str = "auto"  # bf16 where the hardware has it; or "fp32", "bf16"

# %% [markdown]
# ## 2a Training
#
# Pixels are brought to mean ½ and standard deviation ¼ by fixed numbers. A tenth of the training
# images, always the same, is set aside for validation; the test images are never used for choosing
# anything. The validation loss is taken twice an epoch. Training stops early when the oldest of
# the last few validation losses (`early_stop`) is the smallest of them, and the weights with the
# lowest one are kept.

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
        precision=precision,
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
    beside_published(recorded, {"tdt4265/2b": "first network"}, here=runs, profile=profile),
    "Task 2b at full scale, beside the TDT4265 A3 report.",
    label="tab-task2-published",
    runs=recorded,
    profile="full",
)

# %% jupyter={"source_hidden": true} tags=["solution"]
judged = recorded or runs
name = "first network"
first_run = judged[name][0].history
lowest = first_run["validation_loss"].idxmin()
fell_on = first_run["train_loss"].iloc[-1] < first_run["train_loss"].iloc[lowest]
Markdown(
    f"**Answer** (profile {'full' if recorded else profile}, seeds: {len(judged[name])}). With "
    f"its best weights, of epoch {judged.mean(name, 'best_epoch'):.1f}, the network is right on "
    f"{judged.spread(name, 'test_accuracy')} of the test images and on "
    f"{judged.spread(name, 'train_accuracy')} of those that it was trained on. "
    + (
        "As predicted, the training loss fell on after the validation loss had reached its lowest "
        "value: from there on the network remembers its training images."
        if fell_on
        else "The prediction is not borne out here: the training ended before the training loss "
        "fell on without the validation loss."
    )
)

# %% [markdown] tags=["remove-cell"]
# ## Try it yourself
#
# In JupyterLab, choose other settings for this network and train it with them; what was trained
# before is shown at once. How far can the learning rate be raised before it diverges, and does
# momentum move that bound? (In plain cells: `sweep(base, axes)`.)

# %% tags=["remove-cell"]
playground(
    experiment["first network"],
    {
        "optimizer.learning_rate": sorted({0.005, 0.02, 0.1, 0.5, learning_rate}),
        "optimizer.momentum": [0.0, 0.5, 0.9],
        "batch_size": sorted({16, 256, batch_size}),
    },
)
