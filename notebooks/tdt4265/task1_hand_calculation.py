# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Task 1: hand calculation
#
# Seven short questions on what a convolutional network computes, to be answered with pen and paper.
# Below each question stand the relation that it needs, a check of the answer, and the worked
# solution.

# %% tags=["parameters"]
show_solution: bool = True  # show the worked solution below each answer
windows_in_full: int = 2  # task 1a: how many windows to show with all their products

# %%
import pandas as pd
from IPython.display import Markdown, display

from labkit.figures import show
from labkit.handcalc import (
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    avg_pool,
    check,
    convolve,
    layer_table,
    max_pool,
    num_parameters,
    output_size,
)

# %% [markdown]
# ## 1a: a convolution, window by window
#
# Convolve the image $X$ with the kernel $K$. Surround the image with zeros, so that the result has
# the size of the image, and write down the products of every window.
#
# $$X = \begin{pmatrix} 2 & 1 & 2 & 3 & 1 \\ 3 & 9 & 1 & 1 & 4 \\ 4 & 5 & 0 & 7 & 0 \end{pmatrix}
# \qquad
# K = \begin{pmatrix} -1 & 0 & 1 \\ -2 & 0 & 2 \\ -1 & 0 & 1 \end{pmatrix}$$
#
# **Relation.** A convolution turns the kernel by 180° before it multiplies and adds; without the
# turn it would be a cross-correlation, which is what `Conv2d` in deep-learning libraries computes
# ([Goodfellow, Bengio and Courville 2016](https://www.deeplearningbook.org/contents/convnets.html),
# section 9.1). With the rows and columns of the 3 × 3 kernel counted from its middle,
#
# $$y_{r,c} = (X * K)_{r,c} = \sum_{i=-1}^{1} \sum_{j=-1}^{1} K_{i,j} \, X_{r-i,\,c-j} .$$

# %%
image = [
    [2, 1, 2, 3, 1],
    [3, 9, 1, 1, 4],
    [4, 5, 0, 7, 0],
]
kernel = [
    [-1, 0, 1],
    [-2, 0, 2],
    [-1, 0, 1],
]

# %%
answer_1a = ...  # three rows of five numbers: [[…], […], […]]

# %% tags=["solution"]
answer_1a = [
    [-11, 2, 4, -1, 7],
    [-24, 8, 12, -5, 12],
    [-19, 10, 4, -3, 15],
]

# %%
check(answer_1a, convolve(image, kernel, padding=1))

# %% tags=["solution"]
worked = convolve(image, kernel, padding=1)
if show_solution:
    display(
        Markdown(
            "**Solution.** Turn the kernel by 180°, lay it on the top left corner of the padded "
            "image, multiply entry by entry ($\\circ$), add, and move on by one. "
            f"The first {windows_in_full} windows in full:"
        ),
        *worked.windows[:windows_in_full],
        Markdown("All windows together, with the products that are zero left out:"),
        worked,
    )

# %% tags=["solution"]
published = [
    [-11, 2, 4, -1, 7],
    [-24, 8, 4, -5, 12],
    [-19, 10, 12, -3, 15],
]
marked = [
    [
        f"{printed}" if printed == right else f"{printed} (for {right})"
        for printed, right in zip(*rows, strict=True)
    ]
    for rows in zip(published, worked.result, strict=True)
]
if show_solution:
    show(
        pd.DataFrame(
            {
                "worked out here": [", ".join(map(str, row)) for row in worked.result],
                "published": [", ".join(row) for row in marked],
            },
            index=["row 1", "row 2", "row 3"],
        ),
        caption="Task 1a: the result beside the one that the TDT4265 A3 report prints.",
        label="task1a-published",
    )
    display(
        Markdown(
            f"Of what the TDT4265 A3 report prints, {check(published, worked)}. The entries "
            f"{published[1][2]} and {published[2][2]} of the third column have changed places; the "
            "windows that the report works out in full are right."
        )
    )

# %% [markdown]
# ## 1b: less sensitive to small shifts
#
# An object in the picture moves by one pixel. Which layer of a convolutional network keeps its
# output from changing much: the convolution, the activation function, or max pooling? And why?
#
# **Relation.** A convolution is *equivariant*: where the input shifts, the output shifts along. An
# activation function acts on each entry by itself, so the same holds for it. Max pooling passes on
# the largest entry of its window, wherever in the window it lies
# ([Goodfellow, Bengio and Courville 2016](https://www.deeplearningbook.org/contents/convnets.html),
# section 9.3).

# %%
answer_1b = ...  # "convolution", "activation function" or "max pooling"

# %% tags=["solution"]
answer_1b = "max pooling"

# %%
check(answer_1b, "max pooling")

# %% tags=["solution"]
ring = [
    [0, 1, 1, 0],
    [1, 0, 0, 1],
    [1, 0, 0, 1],
    [0, 1, 1, 0],
]
pictures = {}
for top in (2, 3):
    for left in (2, 3, 4):
        picture = [[0] * 10 for _ in range(10)]
        for row, values in enumerate(ring):
            picture[top + row][left : left + 4] = values
        pictures[top, left] = picture
# a stride of 2 treats even and odd places differently, so the ring starts once from each kind
shifts = [(pictures[top, left], pictures[top, left + 1]) for top in (2, 3) for left in (2, 3)]

ways = {
    "the pixel itself": (max_pool, 1),
    "the average of 2 × 2": (avg_pool, 2),
    "the maximum of 2 × 2": (max_pool, 2),
}
change, kept = {}, {}
for way, (pool, window) in ways.items():
    for stride in (1, 2):
        pairs = []
        for before, after in shifts:
            windows = zip(
                pool(before, window, stride=stride).windows,
                pool(after, window, stride=stride).windows,
                strict=True,
            )
            pairs += [(a.value, b.value) for a, b in windows if a.value or b.value]
        change[way, stride] = float(sum(abs(b - a) for a, b in pairs) / sum(a for a, _ in pairs))
        kept[way, stride] = sum(a == b for a, b in pairs) / len(pairs)

# %% tags=["solution"]
pixel, average, maximum = ways
if show_solution:
    display(
        Markdown(
            "**Solution.** Max pooling. To see why, move a ring of ones, four pixels wide, to the "
            "right by one pixel, and let each output be a pixel, the average of a window or its "
            "maximum, once at every place (stride 1) and once at every second place (stride 2, so "
            "that the resolution halves). *Change* is the sum of the absolute differences over the "
            "sum of the outputs before; *kept* is the share of the outputs that stay exactly the "
            "same, where those that are zero both times are left out. Each value covers four "
            "starting places, because a stride of 2 treats even and odd places differently."
        )
    )
    show(
        pd.DataFrame(
            {
                "change, stride 1": [f"{change[way, 1]:.2f}" for way in ways],
                "kept, stride 1": [f"{kept[way, 1]:.0%}" for way in ways],
                "change, stride 2": [f"{change[way, 2]:.2f}" for way in ways],
                "kept, stride 2": [f"{kept[way, 2]:.0%}" for way in ways],
            },
            index=list(ways),
        ),
        caption="What a shift by one pixel changes, with and without pooling.",
        label="task1b-shift",
    )
    display(
        Markdown(
            f"The maximum lowers the change from {change[pixel, 1]:.2f} to "
            f"{change[maximum, 1]:.2f} and keeps {kept[maximum, 1]:.0%} of the outputs. The "
            f"average blurs, which lowers the change as well (to {change[average, 1]:.2f}), but "
            f"only {kept[average, 1]:.0%} of its outputs stay as they were. The lower resolution "
            "is not the reason: pixels taken at every second place change by "
            f"{change[pixel, 2]:.2f} too, and the maximum helps as much where the resolution stays "
            f"({change[maximum, 1]:.2f}) as where it halves ({change[maximum, 2]:.2f}). It makes "
            "the network less sensitive, not invariant: an entry that crosses the border of its "
            "window still changes the output. The TDT4265 A3 report names the right layer, but "
            "gives the lower resolution as the reason."
        )
    )

# %% [markdown]
# ## 1c: the padding that keeps the size
#
# A convolution has 7 × 7 kernels and stride 1. Which padding makes its output as high and as wide
# as its input?
#
# **Relation.** A window of $k$ entries, moved in steps of $s$ along $i$ entries with $p$ zeros at
# either end, fits at
#
# $$o = \left\lfloor \frac{i + 2p - k}{s} \right\rfloor + 1$$
#
# places ([Dumoulin and Visin 2016](https://arxiv.org/abs/1603.07285), relationship 6). Questions 1c
# to 1g all rest on it.

# %%
answer_1c = ...  # one number

# %% tags=["solution"]
answer_1c = 3

# %%
check(answer_1c, (7 - 1) // 2)

# %% tags=["solution"]
sizes, tried = range(7, 65), range(33)
fitting = [
    padding
    for padding in tried
    if all(output_size(size, 7, padding=padding) == size for size in sizes)
]
paddings = ", ".join(map(str, fitting))
if show_solution:
    display(
        Markdown(
            "**Solution.** Output and input are to be equal, $o = i$, with $k = 7$ and $s = 1$:\n\n"
            "$$i + 2p - 7 + 1 = i \\quad\\Longrightarrow\\quad 2p = 6 \\quad\\Longrightarrow\\quad "
            f"p = {paddings} .$$\n\n"
            "The size of the input and the number of filters drop out. Trying every padding up to "
            f"{max(tried)} on every size from {min(sizes)} to {max(sizes)} finds the same: "
            f"{paddings} and no other."
        )
    )

# %% [markdown]
# ## 1d: the kernel from the sizes
#
# The input is 512 × 512. Convolved with stride 1 and without padding, with a square kernel of odd
# size, it gives feature maps of 508 × 508. How large is the kernel?

# %%
answer_1d = ...  # (rows, columns)

# %% tags=["solution"]
answer_1d = (5, 5)

# %%
check(answer_1d, (512 - 508 + 1, 512 - 508 + 1))

# %% tags=["solution"]
kernels = [size for size in range(1, 513) if output_size(512, size) == 508]
if show_solution:
    display(
        Markdown(
            "**Solution.** The relation of 1c with $i = 512$, $o = 508$, $p = 0$ and $s = 1$, "
            "solved for $k$:\n\n"
            f"$$508 = 512 - k + 1 \\quad\\Longrightarrow\\quad k = {kernels[0]} .$$\n\n"
            f"The kernel is {kernels[0]} × {kernels[0]}. With stride 1 nothing is rounded, so this "
            "is the only solution."
        )
    )

# %% [markdown]
# ## 1e: after pooling
#
# The feature maps of 508 × 508 are pooled with windows of 2 × 2 and stride 2. How large are they
# afterwards?

# %%
answer_1e = ...  # (rows, columns)

# %% tags=["solution"]
answer_1e = (254, 254)

# %%
check(answer_1e, output_size((508, 508), 2, stride=2))

# %% tags=["solution"]
pooled = output_size(508, 2, stride=2)
if show_solution:
    display(
        Markdown(
            "**Solution.** Pooling moves a window like a convolution does, so the same relation "
            "holds, with $k = s = 2$ and $p = 0$:\n\n"
            "$$o = \\left\\lfloor \\frac{508 - 2}{2} \\right\\rfloor + 1 = 253 + 1 = "
            f"{pooled} .$$\n\n"
            f"The feature maps are {pooled} × {pooled}."
        )
    )

# %% [markdown]
# ## 1f: one more convolution
#
# The pooled maps go through a second convolution, with 3 × 3 kernels, stride 1 and no padding. How
# large are its feature maps?

# %%
answer_1f = ...  # (rows, columns)

# %% tags=["solution"]
answer_1f = (252, 252)

# %%
check(answer_1f, output_size((254, 254), 3))

# %% tags=["solution"]
second = output_size(254, 3)
if show_solution:
    display(
        Markdown(
            f"**Solution.** $o = 254 - 3 + 1 = {second}$: a kernel of 3 without padding takes one "
            f"entry off each side. The feature maps are {second} × {second}."
        )
    )

# %% [markdown]
# ## 1g: the parameters of a network
#
# A network classifies colour images of 32 × 32 pixels into ten classes. Three times in a row it has
# a 5 × 5 convolution with stride 1 and padding 2, a ReLU, and max pooling with 2 × 2 windows and
# stride 2; the convolutions have 32, 64 and 128 filters. The result is flattened and goes through a
# fully connected layer of 64 units with a ReLU, and one of 10 units. Every layer that can have a
# bias has one. How many parameters does the network learn?
#
# **Relation.** Each of the $C_\text{out}$ filters of a convolution has a weight for every entry of
# its window in every input channel, and one bias; each unit of a fully connected layer has a weight
# for every input, and one bias:
#
# $$n_\text{conv} = C_\text{out} \cdot (C_\text{in} \cdot k_h \cdot k_w) + C_\text{out}
# \qquad
# n_\text{linear} = n_\text{out} \cdot n_\text{in} + n_\text{out}$$
#
# (shapes of `weight` and `bias` of
# [`Conv2d`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html) and
# [`Linear`](https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html)).

# %%
answer_1g = ...  # one number

# %%
network = [
    Conv2d(3, 32, 5, padding=2),
    ReLU(),
    MaxPool2d(2),
    Conv2d(32, 64, 5, padding=2),
    ReLU(),
    MaxPool2d(2),
    Conv2d(64, 128, 5, padding=2),
    ReLU(),
    MaxPool2d(2),
    Flatten(),
    Linear(128 * 4 * 4, 64),
    ReLU(),
    Linear(64, 10),
]

# %% tags=["solution"]
answer_1g = 390_410

# %%
check(answer_1g, num_parameters(network))

# %% tags=["solution"]
table = layer_table(network, (3, 32, 32))
most, largest = max((row.num_parameters, row.layer) for row in table.rows)
flattened = next(row for row in table.rows if row.layer == "flatten")
channels, height, width = flattened.input_shape
counts = " + ".join(f"{row.num_parameters:,}" for row in table.rows if row.num_parameters)
if show_solution:
    display(
        Markdown(
            "**Solution.** The convolutions keep the height and the width (as $k = 5$, $p = 2$ and "
            "$s = 1$ give $o = i$), and each pooling halves both, so that flattening leaves "
            f"{channels} · {height} · {width} = {flattened.output_shape[0]:,} inputs for the first "
            "fully connected layer. ReLU, pooling and flattening learn nothing."
        )
    )
    show(
        pd.DataFrame(table.records()).set_index("layer").rename_axis(None),
        caption="The network of task 1g, layer by layer.",
        label="task1g-layers",
    )
    display(
        Markdown(
            f"Together: {counts} = **{table.num_parameters:,}** parameters, of which "
            f"{most / table.num_parameters:.0%} belong to one layer ({largest})."
        )
    )
