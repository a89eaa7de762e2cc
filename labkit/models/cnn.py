"""The convolutional networks of the reports, each a list of layers for `labkit.models.build`."""

from labkit.handcalc.layers import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    LogSoftmax,
    MaxPool2d,
    ReLU,
)


def tdt4265_first() -> tuple[Layer, ...]:
    """The network of TDT4265 tasks 1g and 2 for 3×32×32 images: 390,410 parameters.

    >>> from labkit.handcalc import layer_table
    >>> table = layer_table(tdt4265_first(), (3, 32, 32))
    >>> table.num_parameters, table.output_shape
    (390410, (10,))
    """
    return (
        *(Conv2d(3, 32, 5, padding=2), ReLU(), MaxPool2d(2)),  # 32 × 16 × 16
        *(Conv2d(32, 64, 5, padding=2), ReLU(), MaxPool2d(2)),  # 64 × 8 × 8
        *(Conv2d(64, 128, 5, padding=2), ReLU(), MaxPool2d(2)),  # 128 × 4 × 4
        Flatten(),
        *(Linear(128 * 4 * 4, 64), ReLU()),
        Linear(64, 10),
    )


def tdt4265_improved(
    *,
    kernel: int = 5,
    activation: type[Layer] = ReLU,
    batch_norm: bool = True,
    extra_convolution: bool = False,
) -> tuple[Layer, ...]:
    """The network of TDT4265 task 3a for 3×32×32 images, with the parts that 3c and 3e exchange.

    `kernel` is odd, padded to keep the size; `activation` is a class of layers, such as
    `LeakyReLU`; `batch_norm` stands before each activation. The report does not say where 3e's
    `extra_convolution` stands; here it is a third block of 128 filters, pooled to 4 × 4 and
    normalised like the others.

    >>> from labkit.handcalc import layer_table
    >>> layer_table(tdt4265_improved(kernel=3), (3, 32, 32)).output_shape
    (10,)
    """

    def convolution(in_channels: int, out_channels: int) -> tuple[Layer, ...]:
        return Conv2d(in_channels, out_channels, kernel, padding=kernel // 2), activation()

    def end_of_block(channels: int) -> tuple[Layer, ...]:
        return (MaxPool2d(2), BatchNorm2d(channels)) if batch_norm else (MaxPool2d(2),)

    blocks = (
        *convolution(3, 32),
        *convolution(32, 64),
        *end_of_block(64),  # 64 × 16 × 16
        *convolution(64, 64),
        *end_of_block(64),  # 64 × 8 × 8
    )
    features = 64 * 8 * 8
    if extra_convolution:
        blocks = (*blocks, *convolution(64, 128), *end_of_block(128))  # 128 × 4 × 4
        features = 128 * 4 * 4
    return (*blocks, Flatten(), Linear(features, 128), activation(), Linear(128, 10))


def rdfia(
    *, dropout: float = 0.0, batch_norm: bool = False, ceil_mode: bool = False
) -> tuple[Layer, ...]:
    """The network of the RDFIA practical for 3×32×32 images: 1,191,170 parameters.

    The sheet's variants: `dropout` at this rate between the fully connected layers; with
    `batch_norm` batch normalisation after each convolution; with `ceil_mode` the third pooling
    rounds up, so that images of 28×28 lead to the same 64 × 4 × 4.

    >>> from labkit.handcalc import layer_table
    >>> table = layer_table(rdfia(), (3, 32, 32))
    >>> table.num_parameters, table.output_shape
    (1191170, (10,))
    """

    def block(in_channels: int, out_channels: int, pooling: Layer) -> tuple[Layer, ...]:
        norm = (BatchNorm2d(out_channels),) if batch_norm else ()
        return Conv2d(in_channels, out_channels, 5, padding=2), *norm, ReLU(), pooling

    return (
        *block(3, 32, MaxPool2d(2)),  # 32 × 16 × 16
        *block(32, 64, MaxPool2d(2)),  # 64 × 8 × 8
        *block(64, 64, MaxPool2d(2, ceil_mode=ceil_mode)),  # 64 × 4 × 4
        Flatten(),
        *(Linear(64 * 4 * 4, 1000), ReLU()),
        *((Dropout(dropout),) if dropout else ()),
        Linear(1000, 10),
    )


def nn_hw1(
    *,
    image_size: int = 160,
    activation: type[Layer] = ReLU,
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> tuple[Layer, ...]:
    """The network of NN HW1 task 2 for Imagenette: 26,349,898 parameters at 160×160 pixels.

    `image_size` is the side S of its 3×S×S images. `activation` is a class of layers, such as
    `ReLU` or `Sigmoid`. `batch_norm` stands before every activation; `dropout`, of this rate, after
    each pooling and after the activation of the first fully connected layer, as the report
    describes them.

    >>> from labkit.handcalc import num_parameters
    >>> num_parameters(nn_hw1(image_size=160))
    26349898
    """

    def block(layer: Layer, norm: Layer, *pooling: Layer) -> tuple[Layer, ...]:
        return (
            layer,
            *((norm,) if batch_norm else ()),
            activation(),
            *pooling,
            *((Dropout(dropout),) if dropout else ()),
        )

    side = image_size // 2 // 2 // 2
    return (
        *block(Conv2d(3, 32, 7, padding=3), BatchNorm2d(32), MaxPool2d(2)),
        *block(Conv2d(32, 64, 5, padding=2), BatchNorm2d(64), MaxPool2d(2)),
        *block(Conv2d(64, 128, 3, padding=1), BatchNorm2d(128), MaxPool2d(2)),
        Flatten(),
        *block(Linear(128 * side * side, 512), BatchNorm1d(512)),
        Linear(512, 10),
    )


def ist_hw2(
    *, batch_norm: bool = False, global_pooling: bool = False, dropout: float = 0.1
) -> tuple[Layer, ...]:
    """The network of IST HW2 question 2 for 3×48×48 images: 5,340,742 parameters.

    `dropout` is a rate, after each pooling and after the first fully connected layer. `batch_norm`
    stands between each layer and its ReLU, also in the fully connected part, but not before the
    outputs; `global_pooling` averages each map instead of flattening all its pixels. With both the
    network has 756,742 parameters.

    >>> from labkit.handcalc import num_parameters
    >>> num_parameters(ist_hw2()), num_parameters(ist_hw2(batch_norm=True, global_pooling=True))
    (5340742, 756742)
    """

    def block(layer: Layer, norm: Layer) -> tuple[Layer, ...]:
        return layer, *((norm,) if batch_norm else ()), ReLU()

    def convolution(in_channels: int, out_channels: int) -> tuple[Layer, ...]:
        layer = Conv2d(in_channels, out_channels, 3, padding=1)
        return *block(layer, BatchNorm2d(out_channels)), MaxPool2d(2), Dropout(dropout)

    return (
        *convolution(3, 32),  # 32 × 24 × 24
        *convolution(32, 64),  # 64 × 12 × 12
        *convolution(64, 128),  # 128 × 6 × 6
        *((GlobalAvgPool2d(),) if global_pooling else ()),  # 128 × 1 × 1
        Flatten(),
        *block(Linear(128 if global_pooling else 128 * 6 * 6, 1024), BatchNorm1d(1024)),
        Dropout(dropout),
        *block(Linear(1024, 512), BatchNorm1d(512)),
        Linear(512, 6),
        LogSoftmax(),
    )
