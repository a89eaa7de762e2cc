"""The courses' questions that are answered by hand, each a `Task` with its calculation.

Notebooks, `labkit check` and the answer sheets all take them from here, so that a question has one
wording, one right answer and one working.
"""

from __future__ import annotations

from difflib import get_close_matches

from labkit.handcalc.counts import FullyConnectedEquivalent, ParameterCount, ReceptiveField
from labkit.handcalc.layers import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
)
from labkit.handcalc.shapes import OutputSize, solve
from labkit.handcalc.tasks import Choice, Quotient, Task
from labkit.handcalc.windows import convolve, cross_correlate

SOBEL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]


def question(name: str) -> Task:
    """The task of a course's question, by its `name`: `question("tdt4265/1c")`.

    An unknown name raises a ValueError that suggests the nearest.

    >>> question("tdt4265/1c").result
    3
    """
    try:
        return QUESTIONS[name]
    except (KeyError, TypeError):
        name = str(name)
        ends = [known for known in QUESTIONS if known.endswith(f"/{name}".casefold())]
        same_letters = [known for known in QUESTIONS if known == name.casefold()]
        near = same_letters or ends or get_close_matches(name, QUESTIONS, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(
            f"there is no question {name!r}; {hint}`labkit check --list` names them all"
        ) from None


def course_questions(course: str) -> list[Task]:
    """The tasks of one course, in order: `course_questions("tdt4265")`."""
    tasks = [task for name, task in QUESTIONS.items() if name.partition("/")[0] == course]
    if not tasks:
        known = dict.fromkeys(name.partition("/")[0] for name in QUESTIONS)
        raise ValueError(f"there is no course {course!r}; there are {', '.join(known)}")
    return tasks


def _network(*, channels: tuple[int, int, int], full: tuple[int, ...]) -> tuple[Layer, ...]:
    """Three times 5×5 convolution, ReLU and pooling on 3×32×32, then fully connected layers."""
    layers: list[Layer] = []
    before = 3
    for filters in channels:
        layers += [Conv2d(before, filters, 5, padding=2), ReLU(), MaxPool2d(2)]
        before = filters
    layers.append(Flatten())
    features = before * 4 * 4
    for units in full:
        layers += [Linear(features, units), ReLU()]
        features = units
    return tuple(layers[:-1])


TDT4265_NETWORK = _network(channels=(32, 64, 128), full=(64, 10))
RDFIA_NETWORK = _network(channels=(32, 64, 64), full=(1000, 10))
RDFIA_INPUT = (3, 32, 32)

NN_HW1_NETWORK = (
    *(Conv2d(3, 32, 7, padding=3), ReLU(), MaxPool2d(2)),
    *(Conv2d(32, 64, 5, padding=2), ReLU(), MaxPool2d(2)),
    *(Conv2d(64, 128, 3, padding=1), ReLU(), MaxPool2d(2)),
    *(Flatten(), Linear(128 * 20 * 20, 512), ReLU(), Linear(512, 10)),
)

RESNET18_CLASSIFIER = Linear(512, 10)
# five for each width: the stem's or the shortcut's, and two in each of two blocks
RESNET18_NORMS = tuple(BatchNorm2d(width) for width in (64, 128, 256, 512) for _ in range(5))
RESNET18_LAST_STAGE = (
    *(Conv2d(256, 512, 3, padding=1, stride=2, bias=False), BatchNorm2d(512)),
    *(Conv2d(512, 512, 3, padding=1, bias=False), BatchNorm2d(512)) * 3,
    *(Conv2d(256, 512, 1, stride=2, bias=False), BatchNorm2d(512)),  # the shortcut
)

IST_BLOCKS = (
    (Conv2d(3, 32, 3, padding=1), BatchNorm2d(32), ReLU(), MaxPool2d(2)),
    (Conv2d(32, 64, 3, padding=1), BatchNorm2d(64), ReLU(), MaxPool2d(2)),
    (Conv2d(64, 128, 3, padding=1), BatchNorm2d(128), ReLU(), MaxPool2d(2)),
)
IST_INPUT = (3, 48, 48)
IST_PLAIN = (
    *(layer for block in IST_BLOCKS for layer in block if not isinstance(layer, BatchNorm2d)),
    Flatten(),
    *(Linear(128 * 6 * 6, 1024), ReLU()),
    *(Linear(1024, 512), ReLU()),
    Linear(512, 6),
)
IST_NORMALISED = (
    *(layer for block in IST_BLOCKS for layer in block),
    *(GlobalAvgPool2d(), Flatten()),
    *(Linear(128, 1024), BatchNorm1d(1024), ReLU()),
    *(Linear(1024, 512), BatchNorm1d(512), ReLU()),
    Linear(512, 6),
)


def _layers(*kinds: type[Layer]) -> tuple[Layer, ...]:
    return tuple(layer for layer in RDFIA_NETWORK if isinstance(layer, kinds))


_CONV = _layers(Conv2d)
_FULL = _layers(Linear)
_WINDOWS = _layers(Conv2d, MaxPool2d)

_TASKS = [
    # ------------------------------------------------------------------ TDT4265 assignment 3
    Task(
        "tdt4265/1a",
        "Convolve the 3 × 5 image with the 3 × 3 kernel (a true convolution: the kernel is "
        "turned). Pad with zeros, so that the result is 3 × 5.\n\n"
        r"$$X = \begin{pmatrix} 2 & 1 & 2 & 3 & 1 \\ 3 & 9 & 1 & 1 & 4 \\ 4 & 5 & 0 & 7 & 0 "
        r"\end{pmatrix} \qquad K = \begin{pmatrix} -1 & 0 & 1 \\ -2 & 0 & 2 \\ -1 & 0 & 1 "
        r"\end{pmatrix}$$",
        convolve([[2, 1, 2, 3, 1], [3, 9, 1, 1, 4], [4, 5, 0, 7, 0]], SOBEL, padding=1),
    ),
    Task(
        "tdt4265/1b",
        "Which layer makes a convolutional network less sensitive to small shifts of its input: "
        "convolution, activation function or max pooling?",
        Choice(
            "max pooling",
            options=("convolution", "activation function", "max pooling"),
            also=("max pool", "MaxPool2d", "pooling"),
            working=(
                "Max pooling: the maximum of a window stays the same when the largest entry moves "
                "inside the window.",
            ),
        ),
    ),
    Task(
        "tdt4265/1c",
        "A convolution has 7 × 7 kernels and stride 1. Which padding keeps the height and the "
        "width, say of 32 × 32?",
        solve(input=32, output=32, kernel=7, stride=1),
    ),
    Task(
        "tdt4265/1d",
        "A square kernel turns 512 × 512 into 508 × 508, with stride 1 and no padding. "
        "How large is it?",
        solve(input=512, output=508, stride=1, padding=0),
    ),
    Task(
        "tdt4265/1e",
        "508 × 508 is pooled with windows of 2 × 2 and stride 2. What size remains?",
        OutputSize((508, 508), 2, stride=2),
    ),
    Task(
        "tdt4265/1f",
        "254 × 254 goes through a 3 × 3 convolution with stride 1 and no padding. "
        "What size remains?",
        OutputSize((254, 254), 3),
    ),
    Task(
        "tdt4265/1g",
        "How many parameters has this network for 3 × 32 × 32 images? Three times a 5 × 5 "
        "convolution with padding 2, ReLU and 2 × 2 max pooling, with 32, 64 and 128 filters; "
        "flatten; a fully connected layer of 64 units, ReLU; one of 10 units.",
        ParameterCount(TDT4265_NETWORK, (3, 32, 32)),
    ),
    Task(
        "tdt4265/3a-padding",
        "Which padding lets a 5 × 5 convolution with stride 1 keep a size of 32 × 32?",
        solve(input=32, output=32, kernel=5, stride=1),
    ),
    Task(
        "tdt4265/4a-parameters",
        "The last stage of ResNet-18 has a 3 × 3 convolution from 256 to 512 channels, three from "
        "512 to 512, and a 1 × 1 one from 256 to 512 beside them, all without bias and each with a "
        "batch normalisation; behind it stands a classifier of ten classes for 512 features. How "
        "many parameters have stage and classifier?",
        ParameterCount((*RESNET18_LAST_STAGE, RESNET18_CLASSIFIER), None),
    ),
    # ------------------------------------------------------------------ RDFIA practical 1-cd
    Task(
        "rdfia/1-size",
        "One 128 × 128 filter (stride 1, no padding) on a 3 × 256 × 256 image: "
        "how high and wide is the output?",
        OutputSize((256, 256), 128),
    ),
    Task(
        "rdfia/1-weights",
        "How many weights and biases does that filter have?",
        ParameterCount((Conv2d(3, 1, 128),), (3, 256, 256)),
    ),
    Task(
        "rdfia/1-fully-connected",
        "How many weights would a fully connected layer between that input and that output have "
        "(without biases)?",
        FullyConnectedEquivalent(Conv2d(3, 1, 128), (3, 256, 256)),
    ),
    Task(
        "rdfia/3-without-pooling",
        "Without its three poolings the network of question 10 would flatten 64 × 32 × 32. How "
        "many parameters would its fully connected layer of 1,000 units then have?",
        ParameterCount((Flatten(), Linear(64 * 32 * 32, 1000)), (64, 32, 32)),
    ),
    Task(
        "rdfia/6",
        "The network's first fully connected layer sees 4 × 4 maps. As a 4 × 4 convolution it also "
        "takes 3 × 64 × 64 images, of which the third pooling leaves 8 × 8. "
        "How large is the map of outputs?",
        OutputSize((8, 8), 4),
    ),
    Task(
        "rdfia/7",
        "The receptive field (in pixels along one axis) after conv1, pool1, conv2, pool2, conv3 "
        "and pool3; the convolutions are 5 × 5 with stride 1, the poolings 2 × 2 with stride 2.",
        ReceptiveField(_WINDOWS),
    ),
    Task(
        "rdfia/7-first",
        "The receptive field after conv1 (5 × 5, stride 1) and after pool1 (2 × 2, stride 2).",
        ReceptiveField(_WINDOWS[:2]),
    ),
    Task(
        "rdfia/7-strided",
        "The receptive field after each of two 3 × 3 convolutions with stride 2.",
        ReceptiveField((Conv2d(3, 16, 3, stride=2), Conv2d(16, 16, 3, stride=2))),
    ),
    Task(
        "rdfia/8",
        "Which padding lets the 5 × 5 convolutions with stride 1 keep the size of 32 × 32?",
        solve(input=32, output=32, kernel=5, stride=1),
    ),
    Task(
        "rdfia/9",
        "Which stride lets a 2 × 2 pooling without padding halve 32 × 32 to 16 × 16?",
        solve(input=32, output=16, kernel=2, padding=0),
    ),
    *(
        Task(
            f"rdfia/10-{name}",
            f"How many parameters has {name}: {layer}, on {inputs}?",
            ParameterCount((layer,), None),
        )
        for name, layer, inputs in zip(
            ("conv1", "conv2", "conv3", "fc4", "fc5"),
            (*_CONV, *_FULL),
            ("3 channels", "32 channels", "64 channels", "64 × 4 × 4 inputs", "1,000 inputs"),
            strict=True,
        )
    ),
    Task(
        "rdfia/11",
        "How many parameters have conv1, conv2, conv3, fc4 and fc5 together?",
        ParameterCount(RDFIA_NETWORK, RDFIA_INPUT),
    ),
    Task(
        "rdfia/12",
        "A bag of 1,000 visual words with a linear classifier of 10 classes has 10,010 "
        "parameters. How many times as many has the network of question 11 (three digits or more)?",
        Quotient(ParameterCount(RDFIA_NETWORK, RDFIA_INPUT), 10_010),
    ),
    # ------------------------------------------------------------------ NN HW1
    Task(
        "nn_hw1/1-size",
        "A 3 × 3 kernel (stride 1, dilation 1, no padding) on 64 × 64: what size is the output?",
        OutputSize((64, 64), 3),
    ),
    Task(
        "nn_hw1/1-dilated",
        "A 5 × 5 kernel with stride 2 and dilation 3 (no padding) on 64 × 64: "
        "what size is the output?",
        OutputSize((64, 64), 5, stride=2, dilation=3),
    ),
    Task(
        "nn_hw1/1-forward",
        "What does `F.conv2d(x, weight, bias, stride=2, groups=2)` give? Two channels of 3 × 5, "
        "two filters of 2 × 2 in two groups; write one 1 × 2 map below the other, with an empty "
        "line between.\n\n"
        r"$$x_1 = \begin{pmatrix} 1 & 2 & 0 & 3 & 1 \\ 0 & 4 & 1 & 2 & 5 \\ 3 & 1 & 2 & 0 & 4 "
        r"\end{pmatrix} \quad x_2 = \begin{pmatrix} 2 & 0 & 1 & 5 & 3 \\ 1 & 3 & 2 & 4 & 0 \\ "
        r"0 & 2 & 6 & 1 & 2 \end{pmatrix}$$"
        "\n\n"
        r"$$w_1 = \begin{pmatrix} 1 & -2 \\ 3 & 1 \end{pmatrix} \quad w_2 = \begin{pmatrix} 2 & 1 "
        r"\\ -1 & 4 \end{pmatrix} \quad b = (1, -3)$$",
        cross_correlate(
            [
                [[1, 2, 0, 3, 1], [0, 4, 1, 2, 5], [3, 1, 2, 0, 4]],
                [[2, 0, 1, 5, 3], [1, 3, 2, 4, 0], [0, 2, 6, 1, 2]],
            ],
            [[[[1, -2], [3, 1]]], [[[2, 1], [-1, 4]]]],
            stride=2,
            groups=2,
            bias=[1, -3],
        ),
    ),
    Task(
        "nn_hw1/2-parameters",
        "How many parameters has this network for 3 × 160 × 160 images? A 7 × 7 convolution with "
        "padding 3 and 32 filters, a 5 × 5 one with padding 2 and 64, a 3 × 3 one with padding 1 "
        "and 128, each followed by ReLU and 2 × 2 max pooling; flatten; fully connected layers of "
        "512 units (and ReLU) and of 10.",
        ParameterCount(NN_HW1_NETWORK, (3, 160, 160)),
    ),
    Task(
        "nn_hw1/3-classifier",
        "ResNet-18 gives 512 features to its classifier, which is replaced by one for ten classes. "
        "Everything else is frozen: how many parameters are trained?",
        ParameterCount(RESNET18_CLASSIFIER, None),
    ),
    Task(
        "nn_hw1/3-batch-norm",
        "ResNet-18 has twenty batch normalisations, five each for 64, 128, 256 and 512 channels. "
        "How many parameters are trained if theirs are, and those of the new classifier?",
        ParameterCount((*RESNET18_NORMS, RESNET18_CLASSIFIER), None),
    ),
    # ------------------------------------------------------------------ IST HW2
    Task(
        "ist_hw2/2.3-plain",
        "How many parameters has this network for 3 × 48 × 48 images? Three times a 3 × 3 "
        "convolution with padding 1, ReLU and 2 × 2 max pooling, with 32, 64 and 128 filters; "
        "flatten; fully connected layers of 1,024, 512 and 6 units.",
        ParameterCount(IST_PLAIN, IST_INPUT),
    ),
    Task(
        "ist_hw2/2.3-normalised",
        "And with batch normalisation after each convolution and after the first two fully "
        "connected layers, and global average pooling before the flattening?",
        ParameterCount(IST_NORMALISED, IST_INPUT),
    ),
]

QUESTIONS: dict[str, Task] = {task.name: task for task in _TASKS}
