"""Where attention looks: which phonemes a letter was spelled from."""

from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure
from torch import Tensor

from labkit.style import STYLE, WIDTH


def attention_maps(
    maps: Sequence[Tensor],
    phonemes: Sequence[Sequence[str]],
    letters: Sequence[Sequence[str]],
    *,
    columns: int = 3,
) -> Figure:
    """Weights (T, S) of attention, a map for each word: a row per letter, a column per phoneme.

    `maps` holds one such tensor a word, drawn from white for 0 to black for 1; each row adds up to
    1. `phonemes` and `letters` name the axes of each map, S and T of them. `columns` maps stand in
    a row.

    >>> import torch
    >>> figure = attention_maps([torch.eye(2)], [("HH", "AY1")], [("h", "i")])
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['HH', 'AY1']
    """
    if not maps:
        raise ValueError("there are no maps to show")
    for place, (weights, above, beside) in enumerate(zip(maps, phonemes, letters, strict=True)):
        if weights.shape != (len(beside), len(above)):
            raise ValueError(
                f"map {place} is {tuple(weights.shape)} for {len(beside)} letters and "
                f"{len(above)} phonemes; give (letters, phonemes)"
            )
    columns = min(columns, len(maps))
    bands = -(-len(maps) // columns)
    # squares of the same size in all maps: as large as the widest and the longest allow
    most_phonemes, most_letters = max(map(len, phonemes)), max(map(len, letters))
    side = min(0.22, (WIDTH / columns - 0.35) / most_phonemes)  # inches
    height = bands * (side * most_letters + 0.55) + 0.1
    # DejaVu Sans has all the letters of the phonetic alphabet and their marks
    fonts = {"font.family": ["DejaVu Sans"], "font.size": 7.5}
    with matplotlib.rc_context({**STYLE, **fonts, "axes.grid": False}):
        figure = Figure(figsize=(WIDTH, height))
        grid = figure.subplots(bands, columns, squeeze=False)
        for axes in grid.flat[len(maps) :]:
            axes.axis("off")
        for axes, weights, above, beside in zip(grid.flat, maps, phonemes, letters, strict=False):
            axes.imshow(weights.numpy(), cmap="Greys", vmin=0, vmax=1)
            axes.set_anchor("N")
            axes.set_xticks(range(len(above)), above)
            axes.set_yticks(range(len(beside)), beside)
            axes.xaxis.tick_top()
            axes.tick_params(length=0)
            axes.spines[:].set_visible(True)
        figure.supxlabel("phonemes (above), letters (at the left)", fontsize="small")
    return figure
