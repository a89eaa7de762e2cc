# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # RDFIA part 1: convolutions by hand
#
# Questions 1 to 12 of the practical: what a convolution computes and costs, what it sees, and how
# the network of part 2 comes to its number of parameters. Each question that has a number for an
# answer has a grid for it, a check of what the grid keeps, and a worked solution.

# %% tags=["parameters"]
show_solution: bool = True  # show the worked solution below each answer
profile: str = "quick"  # the name under which figures are shown
epochs: int = 2  # of the network that questions 6 and 7 look into; part 2 trains the same
train_images: int | None = 15000  # None: all 45,000
validation_images: int | None = 1000  # None: all 5,000
test_images: int | None = 2000  # None: all 10,000

# %%
import matplotlib
import pandas as pd
import torch
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch.nn import functional as F

from labkit import figures
from labkit.data import load
from labkit.data.preprocess import scale
from labkit.figures import show
from labkit.handcalc import Conv2d, Flatten, ReLU, answer_text, check, layer_table, question
from labkit.models import build, rdfia
from labkit.report.published import published
from labkit.style import COLOURS, STYLE, WIDTH
from labkit.training import SGD, Config, Data, sweep
from labkit.widgets import answer_grid, kept_answer

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
# places ([Dumoulin and Visin 2016](#cite-dumoulin2016), relationship 6). At all of
# them it uses the same $z k^2$ weights and one bias. A fully connected layer shares nothing: it has
# one weight for each pair of an input and an output, $x y z \cdot x' y'$.

# %% tags=["remove-output"]
answer_grid(question("rdfia/1-size"))

# %% tags=["remove-output"]
answer_grid(question("rdfia/1-weights"))

# %% tags=["remove-output"]
answer_grid(question("rdfia/1-fully-connected"))

# %%
answer_1_size = kept_answer("rdfia/1-size")  # or (rows, columns)
answer_1_weights = kept_answer("rdfia/1-weights")  # or a number: weights and bias of the filter
answer_1_fully_connected = kept_answer("rdfia/1-fully-connected")  # or a number, without biases

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_1_size = "129x129"
answer_1_weights = "49,153"
answer_1_fully_connected = "3,271,753,728"

# %%
check(answer_1_size, question("rdfia/1-size"))

# %%
check(answer_1_weights, question("rdfia/1-weights"))

# %%
check(answer_1_fully_connected, question("rdfia/1-fully-connected"))

# %% jupyter={"source_hidden": true} tags=["solution"]
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

# %% jupyter={"source_hidden": true} tags=["solution"]
images = load("cifar10").test.images[:200].sum(1, keepdim=True).float()  # grey: (200, 1, 32, 32)
# the edge filters of TDT4265, task 1a: whole numbers, so that no rounding enters
sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
edges = torch.stack([sobel, sobel.T])[:, None]  # (2, 1, 3, 3)
shifts = range(9)
# Windows of 18 × 18 out of the 32 × 32, each a pixel further to the left, so that what is in them
# moves to the right and what enters is the picture's own, no padding: responses of 16 × 16.
responses = [F.conv2d(images[..., 7:25, 8 - d : 26 - d], edges) for d in shifts]
# the unit: how far the responses to two different pictures lie apart, on average
apart = (responses[0] - responses[0].roll(1, 0)).flatten(1).norm(dim=1).mean()
in_place = [
    ((after - responses[0]).flatten(1).norm(dim=1).mean() / apart).item() for after in responses
]
along = [
    ((after[..., d:] - responses[0][..., : 16 - d]).flatten(1).norm(dim=1).mean() / apart).item()
    for d, after in zip(shifts, responses, strict=True)
]

# %% jupyter={"source_hidden": true} tags=["solution"]
# the same with ReLU and what may follow it: kind and window → output, stride = window
rectified = [after.relu() for after in responses]
maps = {("no pooling", 1): rectified}
for window in (2, 4, 8):
    maps["maximum", window] = [F.max_pool2d(after, window) for after in rectified]
    maps["average", window] = [F.avg_pool2d(after, window) for after in rectified]
    maps["one entry of each", window] = [after[..., ::window, ::window] for after in rectified]
change, kept = {}, {}
for way, (before, *rest) in maps.items():
    unit = (before - before.roll(1, 0)).flatten(1).norm(dim=1).mean()
    change[way] = [0.0] + [
        ((after - before).flatten(1).norm(dim=1).mean() / unit).item() for after in rest
    ]
    seen = (before != 0) | (rest[0] != 0)  # what is zero both times is no finding
    kept[way] = (before == rest[0])[seen].float().mean().item()  # a shift by one pixel

# %% jupyter={"source_hidden": true} tags=["solution"]
dashes = {"maximum": "-", "average": "--", "one entry of each": ":"}
looks = {2: ("o", COLOURS[0]), 4: ("s", COLOURS[1]), 8: ("^", COLOURS[2])}
with matplotlib.rc_context({**STYLE, "lines.markersize": 3.5}):
    figure = Figure(figsize=(WIDTH, 3.1))
    left, right = figure.subplots(1, 2, sharey=True)
    (stays,) = left.plot(shifts, in_place, "-D", color="black")
    (moved,) = left.plot(shifts, along, "--v", color="#777777")
    left.set_title("convolution", fontsize="medium")
    right.plot(shifts, change["no pooling", 1], "-D", color="black")
    for kind, line in dashes.items():
        for window, (marker, colour) in looks.items():
            right.plot(shifts, change[kind, window], line, marker=marker, color=colour)
    right.set_title("convolution, ReLU and pooling, left in place", fontsize="medium")
    left.set_ylabel("change (1: to another picture)")
    for panel in (left, right):
        panel.set_xlabel("shift (pixels)")
        panel.set_ylim(-0.03, 1.03)
    entries = {
        f"windows of {window} × {window}": Line2D([], [], linestyle="", marker=marker, color=colour)
        for window, (marker, colour) in looks.items()
    }
    entries |= {
        kind: Line2D([], [], linestyle=line, color="#555555") for kind, line in dashes.items()
    }
    entries |= {"left in place, no pooling": stays, "shifted along, no pooling": moved}
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=3)
if show_solution:
    show(
        figure,
        caption="What a shift changes: 200 test images of CIFAR-10, in grey, with two Sobel "
        "filters. The change is the mean distance between the outputs before and after, in units "
        "of that between two different images. Windows of pooling do not overlap.",
        label="fig-rdfia-shifts",
    )
    display(
        Markdown(
            f"Left: shifted along, the output of the convolution differs by {max(along):g} from "
            f"the new one, whatever the shift. Left in place it has changed by {in_place[1]:.2f} "
            f"after one pixel and by {in_place[8]:.2f} after eight, where 1 would be the distance "
            "to the output of another picture."
        )
    )

# %% [markdown]
# ## Question 3: why pool?
#
# What is spatial pooling good for? As an example: how many parameters would the first fully
# connected layer of the network in question 10 have if its three poolings were left out, so that it
# gets 64 × 32 × 32 inputs?

# %% tags=["remove-output"]
answer_grid(question("rdfia/3-without-pooling"))

# %%
answer_3 = kept_answer("rdfia/3-without-pooling")  # or a number: weights and biases

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_3 = "65,537,000"

# %%
check(answer_3, question("rdfia/3-without-pooling"))

# %% jupyter={"source_hidden": true} tags=["solution"]
with_pooling = question("rdfia/10-fc4").result
without_pooling = question("rdfia/3-without-pooling").result
if show_solution:
    display(
        Markdown("**Solution.**"),
        question("rdfia/3-without-pooling").calculation,
        Markdown(
            f"instead of {with_pooling:,}. Pooling itself has no weights, and a convolution has as "
            "many before it as after it: what it saves are the weights of the later fully "
            "connected layer alone, not weights in general as the RDFIA 1-cd report has it, and "
            "the time of the convolutions that follow. It also widens what an output sees "
            "(question 7)."
        ),
        Markdown(
            "And it makes the output less sensitive to small shifts (the right panel of the figure "
            f"in question 2). A shift by one pixel changes it by {change['no pooling', 1][1]:.2f} "
            f"without pooling, with the maximum of 2 × 2 by {change['maximum', 2][1]:.2f}, of "
            f"4 × 4 by {change['maximum', 4][1]:.2f}, of 8 × 8 by {change['maximum', 8][1]:.2f}. "
            "The lower resolution is not the reason: one entry of each 8 × 8, taken without "
            f"pooling, still changes by {change['one entry of each', 8][1]:.2f}. The window is. An "
            "average over 8 × 8 lowers the change by this measure too (to "
            f"{change['average', 8][1]:.2f}); what the maximum alone does is to keep outputs "
            f"exactly as they were: {kept['maximum', 8]:.0%} of them, beside "
            f"{kept['average', 8]:.0%} of the averages. "
            "It is no invariance: after eight pixels, a whole window, the change is "
            f"{change['maximum', 8][8]:.2f} with 8 × 8 and {change['maximum', 2][8]:.2f} with "
            "2 × 2."
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

# %% jupyter={"source_hidden": true} tags=["solution"]
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

# %% tags=["remove-output"]
answer_grid(question("rdfia/6"))

# %%
answer_6 = kept_answer("rdfia/6")  # or (rows, columns) of the map of outputs

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_6 = (5, 5)

# %%
check(answer_6, question("rdfia/6"))

# %% jupyter={"source_hidden": true} tags=["solution"]
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

# %% [markdown] tags=["solution"]
# What the map is good for needs weights that know something: those of the network that part 2
# trains in question 15. The larger picture is eight test images side by side.

# %% jupyter={"source_hidden": true} tags=["solution"]
short = {"airplane": "plane", "automobile": "car"}
if show_solution:
    base = Config(
        network=rdfia(),
        optimizer=SGD(learning_rate=0.01, momentum=0.9),
        data=Data(
            train_images=train_images,
            measured_train_images=test_images or 10_000,
            validation_images=validation_images,
            test_images=test_images,
            pixel_mean=0.0,
            pixel_std=1.0,
        ),
        batch_size=32,
        epochs=epochs,
        validations_per_epoch=1,
        also_measure=("train", "test"),
    )
    runs = sweep({"base": base}, seeds=[0])
    run = runs["base"][0]
    trained = build(rdfia())
    if run.has_weights:
        trained.load_state_dict(run.weights)
    else:
        display(
            Markdown(
                "The record of this run was committed without its weights, so the map over a "
                "picture is not shown; with `--fresh` it is trained here."
            )
        )

# %% jupyter={"source_hidden": true} tags=["solution"]
if show_solution and run.has_weights:
    cifar10 = load("cifar10")
    names = [short.get(name, name) for name in cifar10.classes]
    rows, columns = 2, 4
    chosen = cifar10.test.first(rows * columns)
    mosaic = (
        chosen.images.unflatten(0, (rows, columns))  # (rows, columns, C, 32, 32)
        .permute(2, 0, 3, 1, 4)
        .reshape(3, 32 * rows, 32 * columns)
    )
    layers = [layer for layer in rdfia() if not isinstance(layer, Flatten)]
    layers[-3:] = Conv2d(64, 1000, 4), ReLU(), Conv2d(1000, 10, 1)
    geometry = layer_table(layers, mosaic.shape).rows[-1]
    wide = build(layers)
    reshaped = zip(wide.parameters(), trained.parameters(), strict=True)
    with torch.no_grad():
        for parameter, weights in reshaped:
            parameter.copy_(weights.reshape(parameter.shape))
        pixels = scale(mosaic[None], mean=0.0, std=1.0)
        scores = wide(pixels)[0]  # (10, rows, columns of the map)
        # the same windows, each cut out and given to the network by itself
        cut = pixels.unfold(2, 32, 8).unfold(3, 32, 8)[0].permute(1, 2, 0, 3, 4)
        alone = trained(cut.flatten(0, 1)).argmax(1).view(scores.shape[1:])
    surest, labels = scores.softmax(0).max(0)
    # the middle of what the first output sees, in pixels from the edge: it begins in the padding
    first = geometry.receptive_field[0] / 2 - geometry.effective_padding[0]
    whole = [(4 * row, 4 * column) for row in range(rows) for column in range(columns)]
    right = sum(
        labels[place].item() == label
        for place, label in zip(whole, chosen.labels.tolist(), strict=True)
    )
    show(
        figures.over_picture(
            mosaic,
            labels,
            names,
            first=first,
            step=float(geometry.jump[0]),
            strength=surest,
            framed=whole,
            frame="window is one image",
        ),
        caption="The network as convolutions on a picture made of eight test images. Each tile is "
        "the middle of a window of 32 × 32, with the class of the highest score; the denser its "
        "colour, the higher the probability.",
        label="fig-rdfia-map",
        runs=runs,
        profile=profile,
    )
    display(
        Markdown(
            f"By shape arithmetic a picture of {mosaic.shape[1]} × {mosaic.shape[2]} gives "
            f"{' × '.join(map(str, geometry.output_shape))}, and "
            + ("that came out" if geometry.output_shape == tuple(scores.shape) else "that did not")
            + f": {labels.numel()} predictions in one pass, {first:g} pixels from the edge and "
            f"{geometry.jump[0]} apart. {right} of the {len(whole)} windows that hold one image "
            f"alone get its class (test accuracy of the network: "
            f"{run.metrics['test_accuracy']:.2f}). On {(alone == labels).float().mean():.0%} of "
            "the windows the network gives the same class when the window is cut out for it: "
            "there its convolutions meet zeros where in the picture they meet the neighbours, for "
            f"an output sees {geometry.receptive_field[0]} × {geometry.receptive_field[1]} pixels."
        )
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
# ([Araujo, Norris and Sim 2019](#cite-araujo2019)).

# %% tags=["remove-output"]
answer_grid(question("rdfia/7"))

# %%
answer_7 = kept_answer("rdfia/7")  # or six numbers: after conv1, pool1, conv2, pool2, conv3, pool3

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_7 = "5, 6, 14, 16, 32, 36"

# %%
check(answer_7, question("rdfia/7"))

# %% jupyter={"source_hidden": true} tags=["solution"]
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
printed = published("rdfia/7")
if show_solution:
    display(
        Markdown("**Solution.**"),
        question("rdfia/7").calculation,
        Markdown(
            "Counted by the machine: with all weights one (and averages for maxima, so that "
            f"nothing hides), the gradient of one output of the last pooling reaches {reached} "
            "pixels along an axis."
        ),
        Markdown(
            "The RDFIA 1-cd report has one stride factor too many in $r_1$ and in $r_2$, against "
            "its own general formula. Right are $r_1 = f_1$ and $r_2 = f_1 + (f_2 - 1) s_1$: the "
            "strides before a layer count, not its own. Its formulas give "
            f"{answer_text(printed['receptive_field_conv1_pool1'])} after conv1 and pool1, where "
            f"{answer_text(question('rdfia/7-first').result)} is right, and "
            f"{answer_text(printed['receptive_field_two_strided_convolutions'])} for two 3 × 3 "
            "convolutions with stride 2, where "
            f"{answer_text(question('rdfia/7-strided').result)} is right."
        ),
    )

# %% [markdown] tags=["solution"]
# **What an output sees most.** All pixels of the field bear on the output, but not equally: more
# paths lead through the middle, which [Luo et al. 2016](#cite-luo2016) call the
# *effective* receptive field. It is the mean size of the gradient of one output with respect to
# the pixels, here over 128 test images, each with one channel of the layer. The images are
# mirrored at their borders to 40 × 40, so that no field reaches the padding.

# %% jupyter={"source_hidden": true} tags=["solution"]
if show_solution:
    table = layer_table(rdfia(), (3, 32, 32))
    torch.manual_seed(0)
    networks = {"random weights": build(rdfia(), pooling_first=False)}
    if run.has_weights:
        networks["trained weights"] = build(rdfia(), pooling_first=False)
        networks["trained weights"].load_state_dict(run.weights)
    pixels = scale(load("cifar10").test.images[:128], mean=0.0, std=1.0)
    pixels = F.pad(pixels, (4,) * 4, mode="reflect").requires_grad_()  # (128, 3, 40, 40)
    each = torch.arange(len(pixels))
    kinds = {"Conv2d": "conv", "MaxPool2d": "pool"}
    seen_most, beyond = {}, 0
    for weights, layers in networks.items():
        seen_most[weights] = {}
        output = pixels
        for row, layer in zip(table.rows, layers, strict=True):
            if row.kind == "Flatten":
                break
            output = layer(output)  # (128, C, side, side)
            if row.kind not in kinds:
                continue
            middle = output.shape[2] // 2
            units = output[each, each % output.shape[1], middle, middle]
            (gradient,) = torch.autograd.grad(units.sum(), pixels, retain_graph=True)
            strength = gradient.abs().mean((0, 1))  # (40, 40)
            start = middle * row.jump[0] - row.effective_padding[0]
            field = strength[start:, start:][: row.receptive_field[0], : row.receptive_field[1]]
            beyond += int((strength > 0).sum() - (field > 0).sum())
            depth = 1 + sum(name.startswith(kinds[row.kind]) for name in seen_most[weights])
            seen_most[weights][f"{kinds[row.kind]}{depth}"] = field / field.sum()

# %% jupyter={"source_hidden": true} tags=["solution"]
if show_solution:
    # the smallest square around the middle that holds this share of the gradient
    sides = {
        share: {
            weights: {
                layer: min(
                    len(field) - 2 * cut
                    for cut in range((len(field) + 1) // 2)
                    if field[cut : len(field) - cut, cut : len(field) - cut].sum() >= share
                )
                for layer, field in fields.items()
            }
            for weights, fields in seen_most.items()
        }
        for share in (0.5, 0.95)
    }
    show(
        figures.receptive_fields(seen_most, sides[0.95], "95% of the gradient"),
        caption="The theoretical receptive field, and the effective one: the mean size of the "
        "gradient of one output, each picture in a scale of its own. Above it are the sides, in "
        "pixels, of the theoretical field and of the square around its middle that holds 95% of "
        "the gradient.",
        label="fig-rdfia-effective",
        runs=runs if run.has_weights else None,
        profile=profile,
    )
    found = []
    for weights, fields in seen_most.items():
        field, (half, most) = fields["pool3"], (sides[share][weights]["pool3"] for share in sides)
        ring = {}  # the outermost pixels' mean, of that of the inner half along each axis
        for layer, part in fields.items():
            inner = slice(len(part) // 4, -(len(part) // 4))
            outermost = (part.sum() - part[1:-1, 1:-1].sum()) / (4 * len(part) - 4)
            ring[layer] = (outermost / part[inner, inner].mean()).item()
        found.append(
            f"With {weights} half of the gradient after pool3 lies in the middle "
            f"{half} × {half} of the {len(field)} × {len(field)} pixels "
            f"({(half / len(field)) ** 2:.0%} of the area), and 95% in {most} × {most}. A pixel "
            f"of the outermost ring counts for {ring['pool3']:.0%} of one in the middle (of the "
            f"inner half along each axis), after conv1 for {ring['conv1']:.0%}, because there each "
            "pixel has one path to the output."
            if not found
            else f"With {weights} the numbers are {half} × {half}, {most} × {most}, "
            f"{ring['pool3']:.0%} and {ring['conv1']:.0%}."
        )
    display(
        Markdown(
            f"Outside the theoretical field {beyond} pixels have a gradient: the formula is its "
            f"bound. {' '.join(found)}"
        )
    )

# %% [markdown]
# ## Questions 8 and 9: padding and stride
#
# Which padding lets the 5 × 5 convolutions with stride 1 keep the size of 32 × 32? Which stride
# lets the 2 × 2 poolings without padding halve it?

# %% tags=["remove-output"]
answer_grid(question("rdfia/8"))

# %% tags=["remove-output"]
answer_grid(question("rdfia/9"))

# %%
answer_8 = kept_answer("rdfia/8")  # or a number: the padding of the convolutions
answer_9 = kept_answer("rdfia/9")  # or a number: the stride of the poolings

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_8 = 2
answer_9 = 2

# %%
check(answer_8, question("rdfia/8"))

# %%
check(answer_9, question("rdfia/9"))

# %% jupyter={"source_hidden": true} tags=["solution"]
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

# %% tags=["remove-output"]
answer_grid(question("rdfia/10-conv1"))

# %% tags=["remove-output"]
answer_grid(question("rdfia/10-conv2"))

# %% tags=["remove-output"]
answer_grid(question("rdfia/10-conv3"))

# %% tags=["remove-output"]
answer_grid(question("rdfia/10-fc4"))

# %% tags=["remove-output"]
answer_grid(question("rdfia/10-fc5"))

# %% tags=["remove-output"]
answer_grid(question("rdfia/11"))

# %%
answer_10_conv1 = kept_answer("rdfia/10-conv1")  # or a number
answer_10_conv2 = kept_answer("rdfia/10-conv2")
answer_10_conv3 = kept_answer("rdfia/10-conv3")
answer_10_fc4 = kept_answer("rdfia/10-fc4")
answer_10_fc5 = kept_answer("rdfia/10-fc5")
answer_11 = kept_answer("rdfia/11")  # or a number: all together

# %% jupyter={"source_hidden": true} tags=["solution"]
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

# %% jupyter={"source_hidden": true} tags=["solution"]
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

# %% tags=["remove-output"]
answer_grid(question("rdfia/12"))

# %%
answer_12 = kept_answer("rdfia/12")  # or one number, to two digits or more

# %% jupyter={"source_hidden": true} tags=["solution"]
answer_12 = "119.0"

# %%
check(answer_12, question("rdfia/12"))

# %% jupyter={"source_hidden": true} tags=["solution"]
if show_solution:
    display(
        Markdown("**Solution.**"),
        question("rdfia/12").calculation,
        Markdown(
            "The last layer of the network alone, fc5, is as large as the whole classifier of the "
            "bag of words: what the rest learns are the features."
        ),
    )
