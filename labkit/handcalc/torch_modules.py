"""A torch module read as layers of labkit: its forward is traced, nothing is computed.

torch is imported by `steps` alone, which is called only with a torch module at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.handcalc import layers
from labkit.handcalc.layers import Layer, Pointwise, Shape, Step
from labkit.handcalc.shapes import as_pair
from labkit.handcalc.windows import by

if TYPE_CHECKING:
    import torch
    from torch.fx import Graph, Node


@dataclass(frozen=True, repr=False)
class _Activation(Pointwise):
    """Another function that acts entry by entry."""

    function: str

    def __str__(self) -> str:
        return self.function


@dataclass(frozen=True, repr=False)
class _View(layers.Flatten):
    """`view(-1, features)`: to flatten an example it must have exactly that many entries."""

    features: int

    def output_shape(self, shape: Shape) -> Shape:
        (entries,) = super().output_shape(shape)
        if entries != self.features:
            raise ValueError(
                f"view(…, {self.features}) does not fit the {entries} entries of {by(shape)}; "
                "write flatten(1)"
            )
        return (entries,)


def _adaptive(size) -> Layer:
    rows, columns = as_pair(size, "output_size")
    if (rows, columns) == (1, 1):
        return layers.GlobalAvgPool2d()
    return layers.AdaptiveAvgPool2d((rows, columns))


def _flatten(start_dim: int = 0, end_dim: int = -1) -> Layer:
    if start_dim != 1 or end_dim not in (-1, 3):
        raise ValueError(
            f"flatten({start_dim}, {end_dim}) does not flatten each example; write flatten(1)"
        )
    return layers.Flatten()


def _over_classes(layer: type[Layer]) -> Callable[..., Layer]:
    """A softmax: of each example, over its channels or units."""

    def make(dim: int | None = None, **_) -> Layer:
        if dim not in (1, -1, None):
            raise ValueError(f"a softmax along dim {dim} is not over the classes; write dim=1")
        return layer()

    return make


# functions without parameters that act entry by entry, beside those that labkit has layers for
_ACTIVATIONS = (
    *("ELU", "GELU", "Hardsigmoid", "Hardswish", "Hardtanh", "LogSigmoid", "Mish", "SELU"),
    *("SiLU", "Softplus", "Softsign"),
)

# the layer that a module is, by the module's class; None: it changes nothing
_MODULES: dict[str, Callable[..., Layer | None]] = {
    "Conv2d": lambda conv: layers.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
        conv.bias is not None,
    ),
    "ConvTranspose2d": lambda conv: layers.ConvTranspose2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.output_padding,
        conv.groups,
        conv.bias is not None,
        conv.dilation,
    ),
    "Linear": lambda full: layers.Linear(
        full.in_features, full.out_features, full.bias is not None
    ),
    "BatchNorm1d": lambda norm: layers.BatchNorm1d(
        norm.num_features, affine=norm.affine, eps=norm.eps, momentum=norm.momentum
    ),
    "BatchNorm2d": lambda norm: layers.BatchNorm2d(
        norm.num_features, affine=norm.affine, eps=norm.eps, momentum=norm.momentum
    ),
    "MaxPool2d": lambda pool: layers.MaxPool2d(
        pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode
    ),
    "AvgPool2d": lambda pool: layers.AvgPool2d(
        pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode
    ),
    "AdaptiveAvgPool2d": lambda pool: _adaptive(pool.output_size),
    "ZeroPad2d": lambda pad: layers.ZeroPad2d(pad.padding),
    "Flatten": lambda flatten: _flatten(flatten.start_dim, flatten.end_dim),
    "ReLU": lambda _: layers.ReLU(),
    "ReLU6": lambda _: layers.ReLU6(),
    "LeakyReLU": lambda relu: layers.LeakyReLU(relu.negative_slope),
    "Sigmoid": lambda _: layers.Sigmoid(),
    "Tanh": lambda _: layers.Tanh(),
    "Softmax": lambda softmax: _over_classes(layers.Softmax)(softmax.dim),
    "LogSoftmax": lambda softmax: _over_classes(layers.LogSoftmax)(softmax.dim),
    "Dropout": lambda dropout: layers.Dropout(dropout.p),
    "Dropout2d": lambda dropout: layers.Dropout(dropout.p),
    "Identity": lambda _: None,
    **{name: lambda module: _Activation(type(module).__name__) for name in _ACTIVATIONS},
}

# the same for functions and for methods of tensors, by name; they get the arguments of the call
# behind the tensor
_FUNCTIONS: dict[str, Callable[..., Layer | None]] = {
    "relu": lambda inplace=False: layers.ReLU(),
    "relu6": lambda inplace=False: layers.ReLU6(),
    "leaky_relu": lambda negative_slope=0.01, inplace=False: layers.LeakyReLU(negative_slope),
    "sigmoid": lambda: layers.Sigmoid(),
    "tanh": lambda: layers.Tanh(),
    "softmax": _over_classes(layers.Softmax),
    "log_softmax": _over_classes(layers.LogSoftmax),
    "dropout": lambda p=0.5, training=True, inplace=False: layers.Dropout(p),
    "flatten": _flatten,
    "max_pool2d": lambda kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, **_: (
        layers.MaxPool2d(kernel_size, stride or None, padding, dilation, ceil_mode)
    ),
    "avg_pool2d": lambda kernel_size, stride=None, padding=0, ceil_mode=False, *_, **__: (
        layers.AvgPool2d(kernel_size, stride or None, padding, ceil_mode)
    ),
    "adaptive_avg_pool2d": lambda output_size: _adaptive(output_size),
    "contiguous": lambda: None,
    **{name.lower(): lambda *_, name=name, **__: _Activation(name) for name in _ACTIVATIONS},
}
_SPECIAL = ("add", "cat", "view")  # read by `_called`
_ALIASES = {"iadd": "add", "concat": "cat", "concatenate": "cat", "reshape": "view"}


def steps(module: torch.nn.Module) -> list[Step]:
    """The layers that the module's forward goes through, in order, and what each takes.

    Parameters that are used twice are counted the first time. A module or function without a
    layer, and a forward that cannot be traced, raise a ValueError.
    """
    from torch import nn

    if _kind(module):
        module = nn.Sequential(module)
    found: list[Step] = []
    places: dict[Node, int] = {}  # the step whose output a node is; 0 is the network's input
    counted: set[int] = set()
    for node in _traced(module).nodes:
        if node.op == "placeholder":
            places.update({} if places else {node: 0})
            continue
        if node.op == "output":
            (result,) = node.args
            if result not in places:
                raise ValueError(
                    f"the forward of {type(module).__name__} returns {result}; "
                    "let it return one tensor that a layer gives"
                )
            return found[: places[result]]
        if _is_size(node, places):
            continue
        layer, inputs = _called(node, module)
        for each in inputs:
            if each not in places:
                raise ValueError(
                    f"{_name(node)} takes {each}, which no known layer gives; "
                    "write the network as a list of layers"
                )
        if layer is None:
            places[node] = places[inputs[0]]
            continue
        own = _parameters(node, module)
        place = tuple(places[each] for each in inputs)
        found.append(Step(layer, place, _name(node), shared=bool(own) and own <= counted))
        counted |= own
        places[node] = len(found)
    return found


def _traced(module: torch.nn.Module) -> Graph:
    from torch import fx

    class Tracer(fx.Tracer):
        def is_leaf_module(self, part: torch.nn.Module, name: str) -> bool:
            return _kind(part) is not None or super().is_leaf_module(part, name)

    try:
        return Tracer().trace(module)
    except Exception as error:  # of any kind: forward is the user's code, run on stand-ins
        raise ValueError(
            f"the forward of {type(module).__name__} cannot be traced, as where it decides by the "
            f"values of a tensor ({error}); write the network as a list of layers"
        ) from error


def _kind(part: torch.nn.Module) -> str | None:
    """The name of the known class that a module computes as, also where it is a subclass."""
    for base in type(part).__mro__:
        if base.__module__.startswith("torch.nn.") and base.__name__ in _MODULES:
            return base.__name__ if type(part).forward is base.forward else None
    return None


def _name(node: Node) -> str:
    return node.target if node.op == "call_module" else node.name


def _parameters(node: Node, module: torch.nn.Module) -> set[int]:
    if node.op != "call_module":
        return set()
    return {id(parameter) for parameter in module.get_submodule(node.target).parameters()}


def _function(node: Node) -> str:
    """The name of what is called, without the underscore of what works in place."""
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "?")
    name = name.rstrip("_")
    return _ALIASES.get(name, name)


def _is_size(node: Node, places: dict[Node, int]) -> bool:
    """Whether it is no tensor but a size, or computed from sizes: `x.shape[1] * 2`."""
    if node.op == "get_attr":
        return True
    if node.op == "call_module":
        return False
    if _function(node) == "size" or (_function(node) == "getattr" and node.args[1] == "shape"):
        return True
    return not any(each in places for each in node.all_input_nodes)


def _called(node: Node, module: torch.nn.Module) -> tuple[Layer | None, list[Node]]:
    """The layer of a call and the nodes that it takes."""
    if node.op == "call_module":
        part = module.get_submodule(node.target)
        kind = _kind(part)
        if kind is None:
            raise ValueError(
                f"{node.target} is a {type(part).__name__}, which layer_table does not know; "
                f"it knows {', '.join(sorted(_MODULES))}"
            )
        make, arguments, named, inputs = _MODULES[kind], (part,), {}, node.all_input_nodes
    else:
        name = _function(node)
        if name == "add":
            return layers.Sum(), node.all_input_nodes
        if name == "cat":
            return _joined(*node.args, **node.kwargs), node.all_input_nodes
        if name not in _FUNCTIONS and name not in _SPECIAL:
            known = ", ".join(sorted({*_FUNCTIONS, *_SPECIAL}))
            raise ValueError(
                f"forward calls {name}, which layer_table does not know; it knows {known}"
            )
        named = dict(node.kwargs)
        inputs = [node.args[0] if node.args else named.pop("input")]
        arguments = node.args[1:]
        make = _viewed if name == "view" else _FUNCTIONS[name]
    try:
        return make(*arguments, **named), inputs
    except (TypeError, ValueError) as error:
        raise ValueError(f"{_name(node)}: {error}") from None


def _joined(tensors, dim=0, *, axis=None) -> Layer:
    if (dim if axis is None else axis) != 1:
        raise ValueError(f"cat along dim {dim} does not join the channels; write dim=1")
    return layers.Concatenation()


def _viewed(*sizes) -> Layer:
    """`view` and `reshape`, of which only flattening is understood."""
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    if len(sizes) == 2:
        batch, features = sizes
        if _is_batch(batch) and (features == -1 or _is_node(features)):
            return layers.Flatten()  # what is left beside the batch is the whole example
        if (batch == -1 or _is_batch(batch)) and isinstance(features, int):
            return _View(features)
    raise ValueError("a view that does not flatten each example; to flatten, write flatten(1)")


def _is_batch(size) -> bool:
    """Whether it is `x.size(0)`, `x.size()[0]` or `x.shape[0]`."""
    return _is_node(size) and size.args[1:] == (0,) and _function(size) in ("size", "getitem")


def _is_node(size) -> bool:
    return hasattr(size, "op")
