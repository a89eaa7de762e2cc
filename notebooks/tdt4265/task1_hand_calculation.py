# ---
# jupyter:
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
# solution. The check says which entries are wrong and, where a known mistake leads to exactly this
# answer, which one. Numbers may be written as one pleases: `254x254`, `(254, 254)`, `390 410`,
# `"1 2; 3 4"`. In JupyterLab each question has a grid for its answer, which is kept beside the
# notebook in `answers.yaml`. The cell below takes it from there, or has it written in.

# %% tags=["parameters"]
show_solution: bool = True  # show the worked solution below each answer
windows_in_full: int = 2  # task 1a: how many windows to show with all their products

# %%
import pandas as pd
from IPython.display import Markdown, display

from labkit import figures
from labkit.figures import show
from labkit.handcalc import avg_pool, check, layer_table, max_pool, output_size, question
from labkit.report.published import published
from labkit.widgets import answer_grid, kept_answer, stepper

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
# ([Goodfellow, Bengio and Courville 2016](#cite-goodfellow2016),
# [section 9.1](https://www.deeplearningbook.org/contents/convnets.html)). With the rows and
# columns of the 3 × 3 kernel counted from its middle,
#
# $$y_{r,c} = (X * K)_{r,c} = \sum_{i=-1}^{1} \sum_{j=-1}^{1} K_{i,j} \, X_{r-i,\,c-j} .$$

# %% tags=["remove-output"]
answer_grid(question("tdt4265/1a"))

# %%
answer_1a = kept_answer("tdt4265/1a")  # or three rows of five numbers: [[…], […], […]]

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_1a = [
    [-11, 2, 4, -1, 7],
    [-24, 8, 12, -5, 12],
    [-19, 10, 4, -3, 15],
]

# %%
check(answer_1a, question("tdt4265/1a"))

# %% [markdown]
# In JupyterLab any convolution can be stepped through window by window: slide, and change the
# kernel, the stride and the padding. This one shows another image, so that it gives nothing away.

# %% tags=["remove-output"]
stepper([[1, 0, 2, 1], [0, 3, 1, 0], [2, 1, 0, 1]], [[1, 2], [0, -1]], padding=1)

# %% jupyter={"source_hidden": true} tags=["solution"]
worked = question("tdt4265/1a").calculation
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

# %% jupyter={"source_hidden": true} tags=["solution"]
if show_solution:
    show(
        figures.windows(worked, at=(1, 2)),
        caption="Task 1a: the window of row 2, column 3, and the kernel as it lies on it, turned "
        "by 180°.",
        label="task1a-window",
    )

# %% jupyter={"source_hidden": true} tags=["solution"]
verdict = check(published("tdt4265/1a")["result"], worked)
if show_solution:
    display(
        Markdown("The TDT4265 A3 report prints another result. Given to the check, it finds:"),
        verdict,
        Markdown(
            "The windows that the report works out in full are right; the two values were put "
            "down in each other's place."
        ),
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
# ([Goodfellow, Bengio and Courville 2016](#cite-goodfellow2016),
# [section 9.3](https://www.deeplearningbook.org/contents/convnets.html)).

# %% tags=["remove-output"]
answer_grid(question("tdt4265/1b"))

# %%
answer_1b = kept_answer("tdt4265/1b")  # or "convolution", "activation function" or "max pooling"

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_1b = "max pooling"

# %%
check(answer_1b, question("tdt4265/1b"))

# %% jupyter={"source_hidden": true} tags=["solution"]
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

# %% jupyter={"source_hidden": true} tags=["solution"]
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
# places ([Dumoulin and Visin 2016](#cite-dumoulin2016), relationship 6). Questions 1c
# to 1g all rest on it.

# %% tags=["remove-output"]
answer_grid(question("tdt4265/1c"))

# %%
answer_1c = kept_answer("tdt4265/1c")  # or one number

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_1c = 3

# %%
check(answer_1c, question("tdt4265/1c"))

# %% jupyter={"source_hidden": true} tags=["solution"]
sizes, tried = range(7, 65), range(33)
fitting = [
    padding
    for padding in tried
    if all(output_size(size, 7, padding=padding) == size for size in sizes)
]
paddings = ", ".join(map(str, fitting))
if show_solution:
    display(
        Markdown("**Solution.** The relation holds exactly if"),
        question("tdt4265/1c").calculation,
        Markdown(
            "The size of the input drops out, and the number of filters never comes in. Trying "
            f"every padding up to {max(tried)} on every size from {min(sizes)} to {max(sizes)} "
            f"finds the same: {paddings} and no other."
        ),
    )

# %% [markdown]
# ## 1d: the kernel from the sizes
#
# The input is 512 × 512. Convolved with stride 1 and without padding, with a square kernel of odd
# size, it gives feature maps of 508 × 508. How large is the kernel?

# %% tags=["remove-output"]
answer_grid(question("tdt4265/1d"))

# %%
answer_1d = kept_answer("tdt4265/1d")  # or (rows, columns)

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_1d = (5, 5)

# %%
check(answer_1d, question("tdt4265/1d"))

# %% jupyter={"source_hidden": true} tags=["solution"]
kernel = question("tdt4265/1d").calculation
if show_solution:
    display(
        Markdown("**Solution.** The relation of 1c, solved for $k$:"),
        kernel,
        Markdown(
            f"The kernel is {kernel.result} × {kernel.result}. With stride 1 nothing is rounded, "
            "so this is the only solution."
        ),
    )

# %% [markdown]
# ## 1e: after pooling
#
# The feature maps of 508 × 508 are pooled with windows of 2 × 2 and stride 2. How large are they
# afterwards?

# %% tags=["remove-output"]
answer_grid(question("tdt4265/1e"))

# %%
answer_1e = kept_answer("tdt4265/1e")  # or (rows, columns)

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_1e = (254, 254)

# %%
check(answer_1e, question("tdt4265/1e"))

# %% jupyter={"source_hidden": true} tags=["solution"]
if show_solution:
    display(
        Markdown(
            "**Solution.** Pooling moves a window like a convolution does, so the same relation "
            "holds, with $k = s = 2$ and $p = 0$:"
        ),
        question("tdt4265/1e").calculation,
    )

# %% [markdown]
# ## 1f: one more convolution
#
# The pooled maps go through a second convolution, with 3 × 3 kernels, stride 1 and no padding. How
# large are its feature maps?

# %% tags=["remove-output"]
answer_grid(question("tdt4265/1f"))

# %%
answer_1f = kept_answer("tdt4265/1f")  # or (rows, columns)

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_1f = (252, 252)

# %%
check(answer_1f, question("tdt4265/1f"))

# %% jupyter={"source_hidden": true} tags=["solution"]
if show_solution:
    display(
        Markdown("**Solution.** A kernel of 3 without padding takes one entry off each side:"),
        question("tdt4265/1f").calculation,
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

# %% tags=["remove-output"]
answer_grid(question("tdt4265/1g"))

# %%
answer_1g = kept_answer("tdt4265/1g")  # or one number

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_1g = 390_410

# %%
check(answer_1g, question("tdt4265/1g"))

# %% jupyter={"source_hidden": true} tags=["solution"]
network = question("tdt4265/1g").calculation
table = layer_table(network.layers, network.input_shape)
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
