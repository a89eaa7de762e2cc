# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # NN HW1 task 1: a convolution layer by hand
#
# The forward pass of a convolution, written out: with kernels of any shape, stride, dilation,
# groups and bias. Then it is held against PyTorch's, on twelve families of cases, and timed beside
# it.

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
show_solution: bool = True  # show the worked solution below each answer
images: int = 4  # in each case, of 64 × 64 pixels
repeats: int = 5  # of each timing, of which the median counts
seed: int = 0

# %%
import statistics
import time

import matplotlib
import pandas as pd
import torch
import torch.nn.functional as F
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from labkit.figures import show
from labkit.handcalc import check, question
from labkit.models import scratch
from labkit.report.published import published
from labkit.style import COLOURS, STYLE, WIDTH
from labkit.widgets import answer_grid, kept_answer

# %% [markdown]
# ## The size of the output
#
# A kernel of $k$ entries with dilation $d$ spans $d(k - 1) + 1$ pixels. How many places does it
# have along an axis of $H$ pixels, when it moves in steps of $s$? Put in $H = 64$, $k = 3$, $d = s
# = 1$.

# %% tags=["remove-output"]
answer_grid(question("nn_hw1/1-size"))

# %%
answer_size = kept_answer("nn_hw1/1-size")  # or (rows, columns)

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_size = (62, 62)

# %%
check(answer_size, question("nn_hw1/1-size"))

# %% jupyter={"source_hidden": true} tags=["solution"]
printed = published("nn_hw1/1")["output_size"]
if show_solution:
    display(
        Markdown(
            "**Solution.** From the first place, whose last pixel is $d(k - 1) + 1$, there are "
            "$H - d(k - 1) - 1$ pixels to go, in whole steps of $s$:"
        ),
        question("nn_hw1/1-size").calculation,
        Markdown(
            f"The NN HW1 report has a + 1 inside and rounds up, which gives {printed} (published):"
        ),
        check(printed, question("nn_hw1/1-size")),
    )

# %% [markdown]
# And with $k = 5$, $s = 2$, $d = 3$?

# %% tags=["remove-output"]
answer_grid(question("nn_hw1/1-dilated"))

# %%
answer_dilated = kept_answer("nn_hw1/1-dilated")  # or (rows, columns)

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_dilated = (26, 26)

# %%
check(answer_dilated, question("nn_hw1/1-dilated"))

# %% jupyter={"source_hidden": true} tags=["solution"]
if show_solution:
    display(Markdown("**Solution.**"), question("nn_hw1/1-dilated").calculation)

# %% [markdown]
# ## From windows to one product of matrices
#
# Every output is the sum of a window times the kernel. If each window is written as a column, the
# sums are a product of matrices: one row for each filter, one column for each place. The windows
# need no copy, since they are a *view*: the same numbers, walked through with other steps.

# %%
torch.manual_seed(seed)
small = torch.arange(1.0, 21).view(1, 1, 4, 5)
views = scratch.windows(small, (2, 3))
matrix = scratch.unfolded_matrix(views)[0, 0]  # (taps, places)
with matplotlib.rc_context({**STYLE, "axes.grid": False}):
    drawing = Figure(figsize=(WIDTH, 2.1))
    left, right = drawing.subplots(1, 2, width_ratios=[5, 9])
    for axes, numbers in ((left, small[0, 0]), (right, matrix)):
        axes.imshow(numbers, cmap="Greys", vmin=0, vmax=45)
        for row in range(numbers.shape[0]):
            for column in range(numbers.shape[1]):
                value = f"{numbers[row, column]:.0f}"
                axes.text(column, row, value, ha="center", va="center", fontsize="small")
        axes.set_xticks([])
        axes.set_yticks([])
    left.add_patch(
        matplotlib.patches.Rectangle((-0.5, -0.5), 3, 2, fill=False, color=COLOURS[1], linewidth=2)
    )
    right.add_patch(
        matplotlib.patches.Rectangle((-0.5, -0.5), 1, 6, fill=False, color=COLOURS[1], linewidth=2)
    )
    left.set_title("image, and its first window")
    right.set_title("one column for each window")
show(
    drawing,
    f"An image of 4 × 5 and its unfolded matrix for a kernel of 2 × 3: {matrix.shape[0]} entries "
    f"of the kernel by {matrix.shape[1]} places. Most numbers occur several times.",
    label="fig-nn-hw1-unfolded",
)

# %% [markdown]
# With groups there is one such product for each group. Where a group has one channel only
# (depthwise), the matrix of filters has a single row, and a sum over the kernel's entries, each of
# them times a shifted image, is faster.

# %% [markdown]
# By hand, in the smallest case with everything in it: two channels $x_1$, $x_2$ in two groups, one
# filter for each, stride 2, bias $(1, -3)$.

# %%
display(Markdown(question("nn_hw1/1-forward").question))

# %% tags=["remove-output"]
answer_grid(question("nn_hw1/1-forward"))

# %%
answer_forward = kept_answer("nn_hw1/1-forward")  # or a map for each filter: [[[a, b]], [[c, d]]]

# %% jupyter={"source_hidden": true} tags=["solution"]
x_1 = [[1, 2, 0, 3, 1], [0, 4, 1, 2, 5], [3, 1, 2, 0, 4]]
x_2 = [[2, 0, 1, 5, 3], [1, 3, 2, 4, 0], [0, 2, 6, 1, 2]]
w_1, w_2 = [[1, -2], [3, 1]], [[2, 1], [-1, 4]]
answer_forward = scratch.conv2d(
    torch.tensor([[x_1, x_2]]).float(),
    torch.tensor([[w_1], [w_2]]).float(),
    torch.tensor([1.0, -3.0]),
    stride=2,
    groups=2,
)
answer_forward = answer_forward[0].int().tolist()

# %%
check(answer_forward, question("nn_hw1/1-forward"))

# %% jupyter={"source_hidden": true} tags=["solution"]
if show_solution:
    display(
        Markdown("**Solution.** The layer written here gave the answer above; window by window:"),
        question("nn_hw1/1-forward").calculation,
    )

# %% [markdown]
# ## Held against PyTorch
#
# Eleven families of convolutions, and a blur of every channel with binomial kernels of size 1 to 6.
# In double precision the outputs and the gradients should agree to rounding; in single precision
# the course asks for $10^{-3}$.

# %%
rows, timings = {}, {}
for name, family in scratch.FAMILIES.items():
    layer = {"stride": 1, "dilation": 1, "groups": 1, "bias": False} | family
    kernel = layer["kernel_size"]
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    chosen = {option: layer[option] for option in ("stride", "dilation", "groups")}
    double = [
        torch.randn(images, layer["in_channels"], 64, 64, dtype=torch.float64),
        torch.randn(
            layer["out_channels"], layer["in_channels"] // layer["groups"], *kernel
        ).double(),
    ]
    if layer["bias"]:
        double.append(torch.randn(layer["out_channels"], dtype=torch.float64))
    results = []
    for convolve in (scratch.conv2d, F.conv2d):
        inputs = [tensor.clone().requires_grad_() for tensor in double]
        output = convolve(*inputs, **chosen)
        torch.manual_seed(seed)
        output.backward(torch.randn_like(output))
        results.append([output.detach(), *(tensor.grad for tensor in inputs)])
    relative = [
        ((ours - theirs).abs().max() / theirs.abs().max()).item()
        for ours, theirs in zip(*results, strict=True)
    ]
    single = [tensor.float() for tensor in double]
    absolute = (scratch.conv2d(*single, **chosen) - F.conv2d(*single, **chosen)).abs().max().item()
    rows[name] = {
        "output": "×".join(map(str, results[0][0].shape[1:])),
        "double: output": f"{relative[0]:.0e}",
        "gradients": f"{max(relative[1:]):.0e}",
        "single: output": f"{absolute:.0e}",
        "passes": "yes" if max(relative) < 1e-9 and absolute < 1e-3 else "no",
    }
    seconds = {"by hand": [], "F.conv2d": []}
    with torch.inference_mode():
        for _ in range(repeats):  # in turns, so that both meet the same machine
            for by, convolve in (("by hand", scratch.conv2d), ("F.conv2d", F.conv2d)):
                started = time.perf_counter()
                convolve(*single, **chosen)
                seconds[by].append(time.perf_counter() - started)
    timings[name] = {by: statistics.median(measured) for by, measured in seconds.items()}

# %%
worst = 0.0
blurred = torch.randn(images, 128, 64, 64)
for size in range(1, 7):
    row = scratch.binomial(size).float()
    kernel = torch.outer(row, row).expand(128, 1, size, size)
    expected = F.conv2d(blurred, kernel, groups=128)
    worst = max(worst, (scratch.blur(blurred, size) - expected).abs().max().item())
rows["blur, size 1 to 6"] = {
    "output": f"128×{65 - size}×{65 - size} (size 6)",
    "double: output": "–",
    "gradients": "–",
    "single: output": f"{worst:.0e}",
    "passes": "yes" if worst < 1e-3 else "no",
}
show(
    pd.DataFrame(rows).T.rename_axis("family"),
    f"The twelve families of checks, on {images} images of 64 × 64: the largest difference to "
    "PyTorch, in double precision relative to the largest value (outputs and all gradients), in "
    "single precision absolute.",
    label="tab-nn-hw1-checks",
)

# %% jupyter={"source_hidden": true} tags=["solution"]
passed = sum(row["passes"] == "yes" for row in rows.values())
Markdown(
    f"**Result.** {passed} of {len(rows)} families pass. "
    f"The NN HW1 report prints 12 checks in {published('nn_hw1/1')['seconds']} s (published)."
)

# %% [markdown]
# ## How long it takes

# %%
torch.manual_seed(seed)
tiny = torch.randn(1, 3, 16, 16), torch.randn(8, 3, 3, 3)
by_way = {}
with torch.inference_mode():
    for by, convolve in (
        ("by loops", scratch.conv2d_by_loops),
        ("by hand", scratch.conv2d),
        ("F.conv2d", F.conv2d),
    ):
        measured = []
        for _ in range(repeats):
            started = time.perf_counter()
            convolve(*tiny)
            measured.append(time.perf_counter() - started)
        by_way[by] = statistics.median(measured)
timings = {"one image of 3×16×16": by_way} | timings
with matplotlib.rc_context(STYLE):
    drawing = Figure(figsize=(WIDTH, 0.9 + 0.27 * len(timings)))
    axes = drawing.subplots()
    for by, mark, colour in (
        ("F.conv2d", "o", COLOURS[0]),
        ("by hand", "s", COLOURS[1]),
        ("by loops", "^", "black"),
    ):
        there = [(1000 * t[by], row) for row, t in enumerate(timings.values()) if by in t]
        axes.plot(*zip(*there, strict=True), mark, color=colour, label=by, markersize=5)
    axes.set_yticks(range(len(timings)), timings)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds (median)")
    drawing.legend(loc="outside lower center", ncols=3)
show(
    drawing,
    f"The time of one forward pass, {torch.get_num_threads()} threads, {images} images of 64 × 64 "
    "in all but the first line; the loops only there.",
    label="fig-nn-hw1-times",
)

# %% jupyter={"source_hidden": true} tags=["solution"]
ratios = {
    name: measured["by hand"] / measured["F.conv2d"]
    for name, measured in timings.items()
    if "by loops" not in measured
}
slowest = max(ratios, key=ratios.get)
Markdown(
    f"**Result.** The layer by hand takes {statistics.median(ratios.values()):.1f} times as long "
    f"as PyTorch's (median of the {len(ratios)} families), and at most {ratios[slowest]:.1f} times "
    f"(*{slowest}*); depthwise it is {ratios['64 groups (depthwise)']:.1f} times. On a small image "
    f"the loops take {by_way['by loops'] / by_way['by hand']:,.0f} times as long as the product of "
    "matrices: not the arithmetic costs that, but Python, once for each output."
)
