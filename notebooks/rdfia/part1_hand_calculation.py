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
# # RDFIA part 1: convolutions by hand
#
# Questions 1 to 12 of the practical: what a convolution computes and costs, what it sees, and how
# the network of part 2 comes to its number of parameters. Each question that has a number for an
# answer has a cell for it, a check, and a worked solution.

# %% tags=["parameters"]
show_solution: bool = True  # show the worked solution below each answer

# %%
import pandas as pd
import torch
from IPython.display import Markdown, display

from labkit.figures import show
from labkit.handcalc import check, layer_table, question
from labkit.models import build

# %% [markdown]
# ## Question 1: size and cost of a convolution
#
# One filter of $k \times k$ is laid on an image of $x \times y$ pixels and $z$ channels, with
# stride $s$ and padding $p$. How large is the output, how many weights are learnt, and how many
# would a fully connected layer between the same input and output have? Put in $x = y = 256$,
# $z = 3$, $k = 128$, $s = 1$, $p = 0$.
#
# **Relation.** Along each axis the filter fits at
#
# $$x' = \left\lfloor \frac{x + 2p - k}{s} \right\rfloor + 1$$
#
# places ([Dumoulin and Visin 2016](https://arxiv.org/abs/1603.07285), relationship 6). At all of
# them it uses the same $z k^2$ weights and one bias. A fully connected layer shares nothing: it has
# one weight for each pair of an input and an output, $x y z \cdot x' y'$.

# %%
answer_1_size = ...  # (rows, columns)
answer_1_weights = ...  # weights and bias of the filter
answer_1_fully_connected = ...  # weights, without biases

# %% tags=["solution"]
answer_1_size = "129x129"
answer_1_weights = "49,153"
answer_1_fully_connected = "3,271,753,728"

# %%
check(answer_1_size, question("rdfia/1-size"))

# %%
check(answer_1_weights, question("rdfia/1-weights"))

# %%
check(answer_1_fully_connected, question("rdfia/1-fully-connected"))

# %% tags=["solution"]
shared = question("rdfia/1-weights").result
unshared = question("rdfia/1-fully-connected").result
if show_solution:
    display(
        Markdown("**Solution.** The size, with 127 steps to the right and 127 down:"),
        question("rdfia/1-size").calculation,
        Markdown("The weights and the bias of the filter:"),
        question("rdfia/1-weights").calculation,
        Markdown("The fully connected layer:"),
        question("rdfia/1-fully-connected").calculation,
        Markdown(f"That is {unshared / shared:,.0f} times as many."),
    )

# %% [markdown]
# ## Question 2: what convolutions are good for, and where they end
#
# What are the advantages of a convolution over a fully connected layer? What is its main limit?

# %% [markdown] tags=["solution"]
# **Solution.** It has few weights, because all places share them; it keeps the neighbourhood of
# pixels; it takes inputs of any size; and it is *equivariant* to shifts: where the input shifts,
# the output shifts along. That is not invariance, which would mean that the output stays as it is.
# (The RDFIA 1-cd report says invariance; the numbers below show the difference.) Its limit is its
# reach: one output sees one window, so that far-away pixels meet only after several layers
# (question 7).

# %% tags=["solution"]
torch.manual_seed(0)
convolution = torch.nn.Conv2d(1, 1, 5, bias=False)
picture = torch.randn(1, 1, 40, 40)
shifted = picture.roll(3, dims=-1)  # by three pixels to the right
with torch.no_grad():
    before, after = convolution(picture), convolution(shifted)
along = (after[..., 3:] - before[..., :-3]).abs().max().item()
stays = (after - before).abs().max().item()
if show_solution:
    display(
        Markdown(
            "A random picture shifted by three pixels: the output shifted along differs from the "
            f"new output by at most {along:g}, the output left in place by up to {stays:.2f}."
        )
    )

# %% [markdown]
# ## Question 3: why pool?
#
# What is spatial pooling good for? As an example: how many parameters would the first fully
# connected layer of the network in question 10 have if its three poolings were left out, so that it
# gets 64 × 32 × 32 inputs?

# %%
answer_3 = ...  # weights and biases

# %% tags=["solution"]
answer_3 = "65,537,000"

# %%
check(answer_3, question("rdfia/3-without-pooling"))

# %% tags=["solution"]
with_pooling = question("rdfia/10-fc4").result
without_pooling = question("rdfia/3-without-pooling").result
if show_solution:
    display(
        Markdown("**Solution.**"),
        question("rdfia/3-without-pooling").calculation,
        Markdown(
            f"instead of {with_pooling:,}. Pooling itself has no weights, and a convolution has as "
            "many before it as after it: what it saves are the weights of the fully connected "
            "layer alone, and the time of the convolutions that follow. It also widens what an "
            "output sees (question 7) and makes it less sensitive to small shifts (TDT4265, "
            "task 1b)."
        ),
    )

# %% [markdown]
# ## Question 4: a larger image
#
# The network is made for images of one size. How much of it can be used on a larger image?

# %% [markdown] tags=["solution"]
# **Solution.** The convolutions and the poolings: their windows move over whatever is there, and
# their outputs grow with the image. Only the first fully connected layer cannot follow, because it
# has one weight for each of its inputs.

# %% [markdown]
# ## Question 5: a fully connected layer is a convolution
#
# Show that a fully connected layer can be written as a convolution.
#
# **Relation.** A unit that is connected with all of a $C \times H \times W$ map has a weight for
# each of its entries. So has a filter whose kernel is as large as the map, and there is just one
# place where it fits.

# %% tags=["solution"]
torch.manual_seed(0)
full = torch.nn.Linear(64 * 4 * 4, 1000)
as_convolution = torch.nn.Conv2d(64, 1000, 4)
with torch.no_grad():
    as_convolution.weight.copy_(full.weight.view(1000, 64, 4, 4))
    as_convolution.bias.copy_(full.bias)
    maps = torch.randn(8, 64, 4, 4)
    difference = (as_convolution(maps).flatten(1) - full(maps.flatten(1))).abs().max().item()
if show_solution:
    display(
        Markdown(
            "**Solution.** Here is the network's layer of 1,000 units as a 4 × 4 convolution with "
            "1,000 filters, its weights rearranged from rows of 1,024 into 64 × 4 × 4. On eight "
            f"random maps the two give the same outputs: they differ by at most {difference:.0e}, "
            "which is the rounding of float32."
        )
    )

# %% [markdown]
# ## Question 6: the network as convolutions only
#
# With its fully connected layers turned into convolutions the network takes images of any size.
# What does it give for an image of 64 × 64, of which the third pooling leaves 8 × 8?

# %%
answer_6 = ...  # (rows, columns) of the map of outputs

# %% tags=["solution"]
answer_6 = (5, 5)

# %%
check(answer_6, question("rdfia/6"))

# %% tags=["solution"]
torch.manual_seed(0)
network = question("rdfia/11").calculation
module = build(network.layers).eval()
flatten = next(place for place, part in enumerate(module) if isinstance(part, torch.nn.Flatten))
first, activation, second = module[flatten + 1 :]
conv_first = torch.nn.Conv2d(64, 1000, 4)
conv_second = torch.nn.Conv2d(1000, 10, 1)
with torch.no_grad():
    conv_first.weight.copy_(first.weight.view(1000, 64, 4, 4))
    conv_first.bias.copy_(first.bias)
    conv_second.weight.copy_(second.weight.view(10, 1000, 1, 1))
    conv_second.bias.copy_(second.bias)
    everywhere = torch.nn.Sequential(*module[:flatten], conv_first, activation, conv_second)
    image = torch.randn(1, 3, 64, 64)
    outputs = everywhere(image)
    corner = image[..., :32, :32]
    small = (everywhere(corner).flatten(1) - module(corner)).abs().max()
by_times = " × ".join(map(str, outputs.shape[1:]))
convolutional = sum(parameter.numel() for parameter in everywhere.parameters())
if show_solution:
    display(
        Markdown("**Solution.** The layer of 1,000 units, as a 4 × 4 convolution, fits at"),
        question("rdfia/6").calculation,
        Markdown(
            "places along each axis. Run on a random image of 64 × 64, the network gives "
            f"{by_times}: a map of class scores, one vector for each place of "
            "a window of 32 × 32 that moves by the product of the strides, 8 pixels. (It is not "
            "quite the network on cut-outs, whose borders would be padded with zeros.) On an image "
            f"of 32 × 32 it gives what the network gave, to {small.item():.0e}. Its number of "
            f"parameters is the same, {convolutional:,}; the RDFIA 1-cd report says that it falls."
        ),
    )

# %% [markdown]
# ## Question 7: receptive fields
#
# How many pixels of the image, along one axis, does an output see after each layer? The layers are
# conv1 (5 × 5, stride 1), pool1 (2 × 2, stride 2), and both twice more.
#
# **Relation.** With $r_0 = 1$, a layer whose window has $f_k$ entries adds $f_k - 1$ steps, each as
# long as the strides of the layers before it make it:
#
# $$r_k = r_{k-1} + (f_k - 1) \prod_{i=1}^{k-1} s_i$$
#
# ([Araujo, Norris and Sim 2019](https://distill.pub/2019/computing-receptive-fields/)).

# %%
answer_7 = ...  # six numbers: after conv1, pool1, conv2, pool2, conv3, pool3

# %% tags=["solution"]
answer_7 = "5, 6, 14, 16, 32, 36"

# %%
check(answer_7, question("rdfia/7"))

# %% tags=["solution"]
seen = torch.zeros(1, 3, 96, 96, requires_grad=True)
deep = build(question("rdfia/7").calculation.layers)
with torch.no_grad():
    for parameter in deep.parameters():
        parameter.fill_(1.0)
smooth = torch.nn.Sequential(
    *(torch.nn.AvgPool2d(2) if isinstance(part, torch.nn.MaxPool2d) else part for part in deep)
)
middle = smooth(seen)
middle[0, 0, middle.shape[2] // 2, middle.shape[3] // 2].backward()
reached = int((seen.grad[0, 0].abs().sum(0) > 0).sum())
if show_solution:
    display(
        Markdown("**Solution.**"),
        question("rdfia/7").calculation,
        Markdown(
            "Counted by the machine: with all weights one (and averages for maxima, so that "
            f"nothing hides), the gradient of one output of the last pooling reaches {reached} "
            "pixels along an axis."
        ),
    )

# %% [markdown]
# ## Questions 8 and 9: padding and stride
#
# Which padding lets the 5 × 5 convolutions with stride 1 keep the size of 32 × 32? Which stride
# lets the 2 × 2 poolings without padding halve it?

# %%
answer_8 = ...  # the padding of the convolutions
answer_9 = ...  # the stride of the poolings

# %% tags=["solution"]
answer_8 = 2
answer_9 = 2

# %%
check(answer_8, question("rdfia/8"))

# %%
check(answer_9, question("rdfia/9"))

# %% tags=["solution"]
if show_solution:
    display(
        Markdown("**Solution.** For the convolutions (question 8):"),
        question("rdfia/8").calculation,
        Markdown("For the poolings (question 9):"),
        question("rdfia/9").calculation,
    )

# %% [markdown]
# ## Questions 10 and 11: the network and its parameters
#
# For 3 × 32 × 32 images: conv1 with 32 filters, conv2 and conv3 with 64 (each 5 × 5, padding 2,
# followed by ReLU and a 2 × 2 max pooling with stride 2); fc4 with 1,000 units and ReLU; fc5 with
# 10 units. How many parameters has each layer, how many has the network, and how does that compare
# with 50,000 training images?

# %%
answer_10_conv1 = ...
answer_10_conv2 = ...
answer_10_conv3 = ...
answer_10_fc4 = ...
answer_10_fc5 = ...
answer_11 = ...  # all together

# %% tags=["solution"]
answer_10_conv1 = 2_432
answer_10_conv2 = 51_264
answer_10_conv3 = 102_464
answer_10_fc4 = 1_025_000
answer_10_fc5 = 10_010
answer_11 = 1_191_170

# %%
check(answer_10_conv1, question("rdfia/10-conv1"))

# %%
check(answer_10_conv2, question("rdfia/10-conv2"))

# %%
check(answer_10_conv3, question("rdfia/10-conv3"))

# %%
check(answer_10_fc4, question("rdfia/10-fc4"))

# %%
check(answer_10_fc5, question("rdfia/10-fc5"))

# %%
check(answer_11, question("rdfia/11"))

# %% tags=["solution"]
table = layer_table(network.layers, network.input_shape)
most, largest = max((row.num_parameters, row.layer) for row in table.rows)
if show_solution:
    display(Markdown("**Solution.** The poolings halve the size, the convolutions keep it."))
    show(
        pd.DataFrame(table.records()).set_index("layer").rename_axis(None),
        caption="Questions 10 and 11: the RDFIA network, layer by layer.",
        label="rdfia-layers",
    )
    show(
        pd.DataFrame(table.records(geometry=True))
        .set_index("layer")
        .rename_axis(None)
        .drop(columns=["weights + biases", "parameters"]),
        caption="The same layers as windows: multiply-adds for one image, and what an output sees "
        "(receptive field, distance of neighbouring outputs, padding; all in pixels of the image).",
        label="rdfia-geometry",
    )
    display(
        Markdown(
            f"Of {table.num_parameters:,} parameters {most / table.num_parameters:.0%} belong to "
            f"one layer ({largest}). For each of the 50,000 training images there are "
            f"{table.num_parameters / 50_000:.0f}: the network could learn them by heart, and "
            "nothing in its size keeps it from overfitting."
        )
    )

# %% [markdown]
# ## Question 12: beside a bag of words
#
# A bag of 1,000 visual words with a linear classifier for 10 classes learns $10 \cdot (1{,}000 + 1)
# = 10{,}010$ parameters. How many times as many has the network?

# %%
answer_12 = ...  # one number, to two digits or more

# %% tags=["solution"]
answer_12 = "119.0"

# %%
check(answer_12, question("rdfia/12"))

# %% tags=["solution"]
if show_solution:
    display(
        Markdown("**Solution.**"),
        question("rdfia/12").calculation,
        Markdown(
            "The last layer of the network alone, fc5, is as large as the whole classifier of the "
            "bag of words: what the rest learns are the features."
        ),
    )
