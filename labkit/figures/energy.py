"""What the energy of a Hopfield network looks like, and the ways its states go on it."""

import math
from collections.abc import Mapping

import matplotlib
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from labkit.models.hopfield import Hopfield
from labkit.style import COLOURS, STYLE, WIDTH

PLACES = 121  # along each axis at which the energy is computed
STEP = 0.2  # of the energy, from one contour to the next

LOOKS = {  # of what lies on the landscape; told apart by form, not by colour alone
    "stored pattern": {"marker": "*", "markersize": 11, "markerfacecolor": "white"},
    "query": {"marker": "s", "markersize": 4, "markerfacecolor": "white"},
    "its updates": {"marker": ".", "markersize": 4, "linestyle": "-", "linewidth": 0.9},
    "its end": {"marker": "o", "markersize": 5},
}
STYLES = {
    name: {"color": "black" if name == "stored pattern" else COLOURS[1], "linestyle": "", **look}
    for name, look in LOOKS.items()
}


def energy_landscapes(
    networks: Mapping[str, Hopfield], queries: Tensor, *, steps: int = 100
) -> Figure:
    """The energy of `networks` with patterns (N, 2), one panel each, and where `queries` (S, 2) go.

    Titles are the names of the networks. All panels share their axes and the levels of their
    contours, dark where the energy is high. Of each query the states after `steps` updates and less
    are drawn. Raises ValueError where the patterns do not lie in a plane.

    >>> network = Hopfield(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), beta=4.0)
    >>> figure = energy_landscapes({"β = 4": network}, torch.tensor([[0.5, 0.1]]))
    >>> figure.axes[0].get_title()
    'β = 4'
    """
    for name, network in networks.items():
        if network.patterns.shape[1] != 2:
            raise ValueError(
                f"the patterns of {name!r} have {network.patterns.shape[1]} entries; a landscape "
                "can be drawn over 2"
            )
    if not networks:
        raise ValueError("there is no network to draw; give at least one")
    stored = [network.patterns for network in networks.values()]
    reach = 1.12 * torch.cat([queries, *stored]).abs().max().item()
    axis = torch.linspace(-reach, reach, PLACES).to(queries)
    plane = torch.cartesian_prod(axis, axis)  # (places², 2)
    energies = torch.stack([network.energy(plane) for network in networks.values()])
    first, last = math.floor(energies.min() / STEP), math.ceil(energies.max() / STEP)
    levels = [STEP * level for level in range(first, max(last, first + 1) + 1)]
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        side = (WIDTH - 0.9) / len(networks)
        figure = Figure(figsize=(WIDTH, min(side, 4) + 0.75))
        row = figure.subplots(1, len(networks), sharex=True, sharey=True, squeeze=False)[0]
        for axes, along, (name, network) in zip(row, energies, networks.items(), strict=True):
            energy = along.view(PLACES, PLACES).T  # matplotlib has the second entry along the rows
            filled = axes.contourf(axis, axis, energy, levels, cmap="Greys", alpha=0.75)
            axes.contour(axis, axis, energy, levels, colors="#777777", linewidths=0.3)
            path = network.trajectory(queries, steps)  # (steps + 1, S, 2)
            axes.plot(*network.patterns.T, **STYLES["stored pattern"])
            axes.plot(path[..., 0], path[..., 1], **STYLES["its updates"])
            axes.plot(*queries.T, **STYLES["query"])
            axes.plot(*path[-1].T, **STYLES["its end"])
            axes.set_title(name, fontsize="medium")
            axes.set_aspect("equal")
            axes.set_xlabel("$q_1$")
        row[0].set_ylabel("$q_2$")
        whole = range(math.ceil(levels[0]), math.floor(levels[-1]) + 1)
        bar = figure.colorbar(filled, ax=row, shrink=0.9, aspect=30, pad=0.01, ticks=whole)
        bar.set_label("energy")
        handles = [Line2D([], [], label=name, **look) for name, look in STYLES.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure
