"""How near a training step comes to what the machine can do, and what part of it the data takes.

The ceiling is F.conv2d alone: the network's own convolutions with all data in place, forward and
backward, in the memory format that is faster. The step is counted by `labkit.handcalc.layer_table`,
three times its forward multiply-adds: outputs, gradients of inputs and gradients of weights. The
first layer's input gradient is needed by nobody, and counted for neither.

Data and augmentation are `Trainer.batch` alone, beside the whole step.

    make bench ARGS="--images 2000 --rounds 3"
"""

import statistics
from functools import partial

import torch
import torch.nn.functional as F
from turns import machine, options, parse, ratios, spread, take_turns
from ways import Setting, finish, labkit, labkit_trainer, refuse_emulated

from labkit.handcalc import Conv2d, layer_table
from labkit.models import rdfia
from labkit.training import Engine
from labkit.training.config import resolve_device

ROWS = layer_table(rdfia(), (3, 32, 32)).rows
CONVOLUTIONS = [row for row in ROWS if row.kind == "Conv2d"]
MATRIX = 1024
FORMATS = {"default format": torch.contiguous_format, "channels last": torch.channels_last}


def training_multiply_adds(rows) -> int:
    """Of one image, forward and backward."""
    return 3 * sum(row.multiply_adds for row in rows) - rows[0].multiply_adds


def main() -> None:
    chosen = parse(options(__doc__))
    setting = Setting(images=chosen.images)
    steps = -(-chosen.images // setting.batch_size)
    full = steps * setting.batch_size  # what the convolutions alone work on

    ways, work = {}, {}  # work: multiply-adds in one turn
    for precision in ("fp32", "bf16"):
        for name, form in FORMATS.items():
            way = f"{precision} conv2d alone, {name}"
            ways[way] = partial(convolutions, setting.batch_size, steps, precision, form)
            work[way] = full * training_multiply_adds(CONVOLUTIONS)
        ways[f"{precision} step"] = partial(labkit, setting, precision)
        work[f"{precision} step"] = chosen.images * training_multiply_adds(ROWS)
        ways[f"{precision} data"] = partial(data_alone, setting, precision)
        # only for comparison: no convolution of these sizes gets there
        products = max(1, work[f"{precision} step"] // MATRIX**3)
        way = f"{precision} product {MATRIX}×{MATRIX}"
        ways[way] = partial(matrix_products, products, precision)
        work[way] = products * MATRIX**3

    print(machine())
    print(f"{chosen.images} images, batch {setting.batch_size}, {chosen.rounds} rounds in turn")
    print(
        f"a step's multiply-adds, forward and backward: {training_multiply_adds(ROWS):,} an image, "
        f"{training_multiply_adds(CONVOLUTIONS):,} of them in convolutions\n"
    )
    turns = take_turns(ways, chosen.rounds)

    print(f"{'':36} {'10⁹ multiply-adds/s':>24} {'share of the ceiling':>28}")
    for precision in ("fp32", "bf16"):
        rates = {
            way: [work[way] / seconds / 1e9 for seconds in turns.seconds[way]]
            for way in work
            if way.startswith(precision) and way in turns.seconds
        }
        if not rates:
            continue
        alone = [way for way in rates if "conv2d" in way]
        ceiling = max(alone, key=lambda way: statistics.median(rates[way]))
        for way, values in rates.items():
            share = spread(ratios(values, rates[ceiling]), ".0%")
            print(f"{way:36} {spread(values, ',.1f'):>24} {share:>28}")
        step, data = (turns.seconds[f"{precision} {part}"] for part in ("step", "data"))
        print(f"{precision} data and augmentation: {spread(ratios(data, step), '.1%')} of a step\n")
    for why in dict.fromkeys(turns.left_out.values()):
        print(f"left out: {why}")


def convolutions(batch_size: int, steps: int, precision: str, form: torch.memory_format):
    """The network's convolutions on random images; one turn is so many steps of them."""
    device, tensors = resolve_device(), []
    create = partial(_random, precision, form)
    layers = [layer for layer in rdfia() if isinstance(layer, Conv2d)]
    for number, (layer, row) in enumerate(zip(layers, CONVOLUTIONS, strict=True)):
        image = create(batch_size, *row.input_shape)
        weights = create(layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)
        needed = (weights,) if number == 0 else (image, weights)
        for each in needed:
            each.requires_grad_()
        gradient = create(batch_size, *row.output_shape)
        tensors.append((image, weights, layer.padding, needed, gradient))

    def turn() -> None:
        # cuDNN may choose its fastest algorithm, and memory is kept: a ceiling is given the best
        with Engine(deterministic=False).applied():
            for _ in range(steps):
                for image, weights, padding, needed, gradient in tensors:
                    output = F.conv2d(image, weights, padding=padding)
                    torch.autograd.grad(output, needed, gradient)
            finish(device)

    return turn


def matrix_products(count: int, precision: str):
    device = resolve_device()
    one, other = (_random(precision, torch.contiguous_format, MATRIX, MATRIX) for _ in range(2))

    def turn() -> None:
        for _ in range(count):
            torch.mm(one, other)
        finish(device)

    return turn


def data_alone(setting: Setting, precision: str):
    """An epoch's batches, augmented and scaled, and no step taken."""
    trainer = labkit_trainer(setting, precision)

    def turn() -> None:
        with trainer.engine.applied():
            for batch in torch.randperm(len(trainer.train)).split(setting.batch_size):
                trainer.batch(batch.to(trainer.device))
            finish(trainer.device)

    return turn


def _random(precision: str, form: torch.memory_format, *shape: int) -> torch.Tensor:
    device = resolve_device()
    refuse_emulated(precision, device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    values = torch.randn(shape, device=device, dtype=dtype)
    return values.to(memory_format=form) if len(shape) == 4 else values


if __name__ == "__main__":
    main()
