"""Random networks of labkit's layers, for tests that compare them with PyTorch."""

from hypothesis import strategies as st

from labkit.handcalc import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MaxPool2d,
    ReLU,
    ReLU6,
    Residual,
    Sigmoid,
    Softmax,
    Tanh,
    ZeroPad2d,
)

POINTWISE = (
    *(ReLU(), ReLU6(), LeakyReLU(0.2), Sigmoid(), Tanh()),
    *(Softmax(), LogSoftmax(), Dropout(0.3)),
)
LINEAR_KINDS = ("convolution", "average", "zeros", "residual")  # no gradient vanishes in them
KINDS = (*LINEAR_KINDS, "transposed", "maximum", "adaptive", "normalisation", "pointwise")


def sizes(low, high):
    """One number, or a pair."""
    numbers = st.integers(low, high)
    return numbers | st.tuples(numbers, numbers)


@st.composite
def convolutions(draw, channels):
    groups = draw(st.sampled_from([1, channels]))
    outputs = groups * draw(st.integers(1, 2))
    kernel, dilation, bias = draw(sizes(1, 4)), draw(sizes(1, 2)), draw(st.booleans())
    stride = draw(sizes(1, 3))
    unequal = st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2)
    padding = draw(sizes(0, 2) | unequal | st.sampled_from(["same", "valid"]))
    if padding == "same":
        stride = 1
    return Conv2d(channels, outputs, kernel, stride, padding, dilation, groups, bias)


@st.composite
def transposed_convolutions(draw, channels):
    groups = draw(st.sampled_from([1, channels]))
    outputs = groups * draw(st.integers(1, 2))
    stride = draw(st.integers(1, 3))
    return ConvTranspose2d(
        channels,
        outputs,
        draw(sizes(1, 4)),
        stride,
        draw(sizes(0, 1)),
        draw(st.integers(0, stride - 1)),
        groups,
        draw(st.booleans()),
        draw(sizes(1, 2)),
    )


@st.composite
def pools(draw, kind):
    kernel = draw(sizes(1, 3))
    stride = draw(st.none() | sizes(1, 3))
    most = min(kernel) // 2 if isinstance(kernel, tuple) else kernel // 2
    padding, ceil_mode = draw(sizes(0, most)), draw(st.booleans())
    if kind == "average":
        return AvgPool2d(kernel, stride, padding, ceil_mode)
    return MaxPool2d(kernel, stride, padding, draw(sizes(1, 2)), ceil_mode)


@st.composite
def residuals(draw, channels):
    half = draw(st.integers(0, 2))
    same = Conv2d(channels, channels, 2 * half + 1, padding=half)
    stride = draw(st.integers(1, 2))
    if stride == 1 and draw(st.booleans()):
        return Residual((same, Conv2d(channels, channels, 3, padding="same")))
    first = Conv2d(channels, channels + 1, 3, stride, 1)
    return Residual(
        (first, BatchNorm2d(channels + 1)), (Conv2d(channels, channels + 1, 1, stride),)
    )


def layers(kind, channels):
    return {
        "convolution": lambda: convolutions(channels),
        "transposed": lambda: transposed_convolutions(channels),
        "average": lambda: pools(kind),
        "maximum": lambda: pools(kind),
        "adaptive": lambda: st.builds(AdaptiveAvgPool2d, sizes(1, 9)),
        "zeros": lambda: st.builds(ZeroPad2d, st.tuples(*[st.integers(0, 2)] * 4)),
        "residual": lambda: residuals(channels),
        "normalisation": lambda: st.builds(BatchNorm2d, st.just(channels), affine=st.booleans()),
        "pointwise": lambda: st.sampled_from(POINTWISE),
    }[kind]()


@st.composite
def networks(draw, shape, *, kinds=KINDS, classifier=True):
    """One to five layers that fit `shape`, and perhaps fully connected ones behind them."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        layer = draw(layers(draw(st.sampled_from(kinds)), shape[0]))
        try:
            after = layer.output_shape(shape)
        except ValueError:  # its window does not fit
            continue
        if max(after) <= 64:
            found.append(layer)
            shape = after
    if classifier and draw(st.booleans()):
        if draw(st.booleans()):
            found.append(GlobalAvgPool2d())
            shape = (shape[0], 1, 1)
        features = shape[0] * shape[1] * shape[2]
        found += [Flatten(), Linear(features, 5, draw(st.booleans())), BatchNorm1d(5)]
    return found or [ReLU()]
