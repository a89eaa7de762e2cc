"""The layer table of a network: sizes, parameters, multiplications, and what its outputs see.

The layers themselves are in `layers.py`. `layer_table` also takes a `torch.nn.Module`, which
`torch_modules.py` reads as such layers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import TYPE_CHECKING

from labkit.handcalc.layers import (
    ONE_ENTRY,
    Layer,
    Shape,
    Step,
    Windows,
    follow,
    steps,
    then,
    union,
)
from labkit.handcalc.shapes import whole
from labkit.handcalc.windows import by

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Row:
    """One line of a layer table.

    The last three are pairs (rows, columns), None where the network's input is no map.
    """

    layer: str
    input_shape: Shape  # of several inputs, that of the first
    output_shape: Shape
    num_parameters: int
    derivation: str  # of the parameters; empty where there are none
    kind: str  # the layer's class
    multiply_adds: int  # for one example
    receptive_field: tuple[int, int] | None  # how much of the input one output sees
    jump: tuple[int | Fraction, ...] | None  # in the input, between neighbouring outputs
    effective_padding: tuple[int | Fraction, ...] | None  # before what the first output sees


@dataclass(frozen=True, repr=False)
class LayerTable:
    """The layers of a network in order, for one input shape: what `layer_table` gives.

    `input_shape` is that of one example; each of `rows` has a layer's name, shapes, number of
    parameters, multiply-adds and receptive field. It shows itself as a table; `records()` gives
    that as data, `pandas.DataFrame(table.records())`.
    """

    input_shape: Shape
    rows: tuple[Row, ...]

    @property
    def num_parameters(self) -> int:
        """The parameters of all layers together."""
        return sum(row.num_parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """The multiplications for one example, see `Layer.multiply_adds`."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def output_shape(self) -> Shape:
        """The shape that leaves the last layer."""
        return self.rows[-1].output_shape

    def records(self, *, geometry: bool = False) -> list[dict[str, str]]:
        """The table with its total as dictionaries of text, e.g. for `pandas.DataFrame`.

        With `geometry` also the multiplications, the receptive field, the jump (the cumulative
        stride) and the effective padding: one number where rows and columns agree.
        """
        lines = [
            {
                "layer": row.layer,
                "output": by(row.output_shape),
                "weights + biases": row.derivation.partition(" = ")[0],
                "parameters": f"{row.num_parameters:,}",
                "multiply-adds": f"{row.multiply_adds:,}",
                "receptive field": _both(row.receptive_field),
                "jump": _both(row.jump),
                "padding": _both(row.effective_padding),
            }
            for row in self.rows
        ]
        total = {
            "layer": "total",
            "parameters": f"{self.num_parameters:,}",
            "multiply-adds": f"{self.multiply_adds:,}",
        }
        lines.append({column: total.get(column, "") for column in lines[0]})
        shown = list(lines[0]) if geometry else list(lines[0])[:4]
        return [{column: line[column] for column in shown} for line in lines]


def layer_table(network: Iterable[Layer] | torch.nn.Module, input_shape: Shape) -> LayerTable:
    """Follow one example of `input_shape` through the layers, or through a torch module.

    What an output sees grows from layer to layer: with window k, stride s and padding p (before
    the first entry) the receptive field is r + (k − 1)·j, the jump j·s and the effective padding
    P + p·j, from r = j = 1 and P = 0. Of paths that are added or joined it is what they see
    together; after `Flatten` what all positions see together. Both may exceed the input, for
    padding is seen as well. After a transposed convolution it is an upper bound: not every output
    sees as much.

    Source: Araujo, Norris & Sim (2019), Computing Receptive Fields of Convolutional Neural
    Networks, Distill, doi 10.23915/distill.00021.

    >>> from labkit.handcalc import Conv2d, Flatten, Linear, MaxPool2d, ReLU
    >>> network = [Conv2d(3, 32, 5, padding=2), ReLU(), MaxPool2d(2), Flatten(), Linear(8192, 10)]
    >>> table = layer_table(network, (3, 32, 32))
    >>> [row.output_shape for row in table.rows]
    [(32, 32, 32), (32, 32, 32), (32, 16, 16), (8192,), (10,)]
    >>> table.rows[0].derivation, table.num_parameters
    ('32·(3·5·5) + 32 = 2,432', 84362)
    >>> [row.receptive_field for row in table.rows]
    [(5, 5), (5, 5), (6, 6), (36, 36), (36, 36)]
    """
    shape = tuple(whole(length, "input_shape", at_least=1) for length in input_shape)
    if len(shape) > 3:
        raise ValueError(
            f"input_shape {by(shape)} has more axes than one example C×H×W; "
            f"leave the batch out: {shape[-3:]}"
        )
    seen: list[Windows | None] = [ONE_ENTRY if len(shape) == 3 else None]
    rows = []
    for step, inputs, after in follow(_steps(network), shape):
        before = [seen[number] for number in step.inputs]
        windows = step.layer.window_on(inputs[0])
        field = None if None in before else reduce(union, before)
        seen.append(then(field, windows) if field and windows else field)
        rows.append(_row(step, inputs[0], after, seen[-1]))
    if not rows:
        raise ValueError("the network has no layers; give at least one")
    return LayerTable(shape, tuple(rows))


def _steps(network: Iterable[Layer] | torch.nn.Module) -> list[Step]:
    torch = sys.modules.get("torch")  # who holds a module has imported it
    if torch is not None and isinstance(network, torch.nn.Module):
        from labkit.handcalc.torch_modules import steps as module_steps

        return module_steps(network)
    return steps([network] if isinstance(network, Layer) else network)


def _row(step: Step, before: Shape, after: Shape, seen: Windows | None) -> Row:
    layer = step.layer
    return Row(
        layer=f"{layer}, shared" if step.shared else str(layer),
        input_shape=before,
        output_shape=after,
        num_parameters=0 if step.shared else layer.num_parameters(),
        derivation="" if step.shared else derivation(layer),
        kind=type(layer).__name__,
        multiply_adds=layer.multiply_adds(before),
        # an output sees whole entries; fractions come from transposed convolutions
        receptive_field=seen and tuple(math.ceil(axis.span) for axis in seen),
        jump=seen and tuple(axis.stride for axis in seen),
        effective_padding=seen and tuple(axis.padding for axis in seen),
    )


def num_parameters(layers: Layer | Iterable[Layer]) -> int:
    """The number of weights and biases of one layer, or of several `layers` together.

    >>> from labkit.handcalc import Conv2d, Linear
    >>> num_parameters(Conv2d(3, 32, 5))
    2432
    >>> num_parameters([Linear(2048, 64), Linear(64, 10)])
    131786
    """
    layers = [layers] if isinstance(layers, Layer) else layers
    return sum(layer.num_parameters() for layer in layers)


def derivation(layer: Layer) -> str:
    """How `num_parameters` of a `layer` comes about; empty for a layer without parameters.

    >>> from labkit.handcalc import Conv2d
    >>> derivation(Conv2d(3, 32, 5))
    '32·(3·5·5) + 32 = 2,432'
    """
    return f"{layer.counted()} = {layer.num_parameters():,}" if layer.counted() else ""


def _both(pair: tuple[int | Fraction, ...] | None) -> str:
    """One number where both axes have the same, else '5×7'; empty for None."""
    return "×".join(map(str, dict.fromkeys(pair))) if pair else ""
