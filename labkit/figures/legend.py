"""A legend under the panels of a figure."""

import math
from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.lines import Line2D


def legend_below(figure: Figure, entries: Mapping[str, tuple[str, str]]) -> None:
    """A legend of (line, colour) by name under the panels, for which the figure grows."""
    columns = max(1, 95 // (max(map(len, entries)) + 8))  # so many names fit into the width
    columns = min(columns, len(entries))
    figure.set_figheight(figure.get_figheight() + 0.19 * (math.ceil(len(entries) / columns) - 1))
    handles = [Line2D([], [], linestyle=line, color=colour) for line, colour in entries.values()]
    figure.legend(handles, list(entries), loc="outside lower center", ncols=columns)
