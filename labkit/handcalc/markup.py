"""One step of a worked calculation as HTML, with the window marked. For notebooks and widgets."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from textwrap import shorten

from labkit.handcalc.render import matrices, plain, text
from labkit.handcalc.windows import Number, Window, Worked

MOST_SHOWN = 9, 12  # rows and columns; of a larger matrix the part around the window
MOST_CHANNELS = 4
LONGEST_SUM = 400  # characters: some 60 products

Span = tuple[int, int]  # first and last


def html(worked: Worked, *, at: tuple[int, ...]) -> str:
    """One step as HTML: the padded input with the window marked, its products, and the result.

    `worked` is what `convolve` or `max_pool` gives, `at` the position in its result, as in
    `Worked.at`. Show it with `IPython.display.HTML`; it follows the light or dark theme around it.
    Of large matrices it shows the part around the window, of many channels the first.

    >>> from labkit.handcalc import max_pool
    >>> html(max_pool([[1, 5], [2, 0]], 2), at=(0, 0)).count('<td class="window')
    4
    """
    window = worked.at(*at)
    feature_map = at[0] if len(at) == 3 else 0
    reads = worked.plan.reads[feature_map]
    rows = [
        _channel(worked, window, index, channel)
        for index, channel in enumerate(reads[:MOST_CHANNELS])
    ]
    if len(reads) > MOST_CHANNELS:
        rows.append(f"<div>and {len(reads) - MOST_CHANNELS:,} more channels</div>")
    arrow = {"sum": "sum →", "max": "maximum →", "mean": "mean →"}[worked.plan.reduce]
    result = f'<div class="channel">{_sign(arrow)}{_result(worked, feature_map, at[-2:])}</div>'
    value = plain(window.value)
    line = shorten(text(window), LONGEST_SUM, placeholder=f" … = {value}")
    return (
        f'<div class="labkit-step"><style>{_STYLE}</style>'
        f'<div class="calculation"><div class="channels">{"".join(rows)}</div>{result}</div>'
        f'<p class="sum">{escape(line)}</p></div>'
    )


# currentColor and transparent backgrounds: legible on a light and on a dark page. JupyterLab sets
# tables of its own kind, with stripes, which has to be undone.
_STYLE = """
.labkit-step {line-height: 1.4; overflow-x: auto}
.labkit-step .calculation, .labkit-step .channel {display: flex; align-items: center; gap: .7em}
.labkit-step .calculation {flex-wrap: wrap}
.labkit-step .channels {display: flex; flex-direction: column; gap: .9em}
.labkit-step .caption {font-size: 85%; opacity: .75; white-space: nowrap; margin-bottom: .15em}
.labkit-step .sign {white-space: nowrap; padding-top: 1.3em}
.labkit-step table {border-collapse: collapse; table-layout: auto; width: auto; margin: 0;
  border: none; font-size: inherit; font-variant-numeric: tabular-nums}
.labkit-step table tr {background: none !important}
.labkit-step table td {border: 1px solid #8885; padding: .1em .4em; min-width: 1.1em;
  text-align: right; vertical-align: middle; line-height: 1.5; white-space: nowrap}
.labkit-step table td.padding {opacity: .55; font-style: italic}
.labkit-step table td.gap {border: none; opacity: .55; text-align: center}
.labkit-step table td.window {background: #e69f0044; opacity: 1}
.labkit-step table td.entry {background: #56b4e955; border: 2px solid currentColor}
.labkit-step table td.top {border-top: 2px solid currentColor}
.labkit-step table td.bottom {border-bottom: 2px solid currentColor}
.labkit-step table td.left {border-left: 2px solid currentColor}
.labkit-step table td.right {border-right: 2px solid currentColor}
.labkit-step .sum {margin: .7em 0 0; overflow-wrap: anywhere}
"""


def _channel(worked: Worked, window: Window, index: int, channel: int) -> str:
    """What the window sees of a channel, the weights that lie there, and the products."""
    shown = [_input(worked, window, channel)]
    if window.weights is not None:
        kernel = worked.plan.kernel
        whole = (0, kernel[0] - 1), (0, kernel[1] - 1)
        for sign, name in (("∘", "weights"), ("=", "products")):
            matrix = matrices(getattr(window, name))[index]

            def cell(row: int, column: int, matrix=matrix) -> tuple[Number, str]:
                return matrix[row][column], ""

            shown += [_sign(sign), _matrix(name, kernel, whole, cell)]
    return f'<div class="channel">{"".join(shown)}</div>'


def _input(worked: Worked, window: Window, channel: int) -> str:
    plan = worked.plan
    matrix = plan.padded[channel]
    (row, column), (dh, dw) = window.position[-2:], plan.dilation
    top, left = row * plan.stride[0], column * plan.stride[1]
    bottom, right = top + dh * (plan.kernel[0] - 1), left + dw * (plan.kernel[1] - 1)
    above, before = plan.before
    height, width = len(plan.channels[0]), len(plan.channels[0][0])

    def seen(row: int, column: int) -> bool:
        in_span = top <= row <= bottom and left <= column <= right
        return in_span and (row - top) % dh == 0 and (column - left) % dw == 0

    def cell(row: int, column: int) -> tuple[Number | None, str]:
        classes = []
        if seen(row, column):
            neighbours = {
                "top": (row - 1, column),
                "bottom": (row + 1, column),
                "left": (row, column - 1),
                "right": (row, column + 1),
            }
            # one frame around the window; with dilation, one around each of its entries
            classes = ["window", *(side for side, at in neighbours.items() if not seen(*at))]
        if not (above <= row < above + height and before <= column < before + width):
            classes.append("padding")
        return matrix[row][column], " ".join(classes)

    name = "padded input" if any(plan.before + plan.after) else "input"
    if len(plan.channels) > 1:
        name += f", channel {channel + 1}"
    return _matrix(name, (len(matrix), len(matrix[0])), ((top, bottom), (left, right)), cell)


def _result(worked: Worked, feature_map: int, position: tuple[int, int]) -> str:
    plan = worked.plan

    def cell(row: int, column: int) -> tuple[Number, str]:
        # not from worked.result, which would compute what is not shown as well
        return plan.value(feature_map, row, column), "entry" if (row, column) == position else ""

    name = f"result, channel {feature_map + 1}" if len(plan.reads) > 1 else "result"
    row, column = position
    return _matrix(name, plan.size, ((row, row), (column, column)), cell)


def _matrix(
    name: str,
    size: tuple[int, int],
    around: tuple[Span, Span],
    cell: Callable[[int, int], tuple[Number | None, str]],
) -> str:
    """A table with its name; `cell` gives an entry and its CSS classes.

    Of a large one the part `around` rows and columns is shown.
    """
    in_view = [
        _in_view(length, *span, most)
        for length, span, most in zip(size, around, MOST_SHOWN, strict=True)
    ]
    lines = []
    for row in in_view[0]:
        cells = []
        for column in in_view[1]:
            if row is None or column is None:
                cells.append(f'<td class="gap">{"⋮" if row is None else "⋯"}</td>')
                continue
            entry, classes = cell(row, column)
            written = escape(plain(entry))
            if classes.startswith(("window", "entry")):
                written = f"<b>{written}</b>"  # a mark that needs no style
            attribute = f' class="{classes}"' if classes else ""
            cells.append(f"<td{attribute}>{written}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    for axis, shown, length in zip(("rows", "columns"), in_view, size, strict=True):
        if None in shown:
            numbers = [number + 1 for number in shown if number is not None]
            name += f", {axis} {numbers[0]:,}–{numbers[-1]:,} of {length:,}"
    caption = f'<div class="caption">{escape(name)}</div>'
    return f"<div>{caption}<table>{''.join(lines)}</table></div>"


def _in_view(length: int, first: int, last: int, most: int) -> list[int | None]:
    """Which rows or columns to show, so that first … last are among them; None for a gap.

    >>> _in_view(9, 4, 5, most=4), _in_view(9, 1, 8, most=4)
    ([None, 3, 4, 5, 6, None], [None, 1, 2, None, 8])
    """
    if length <= most:
        return list(range(length))
    if last - first >= most:  # what has to be in view is too long itself
        shown = [*range(first, first + most - 2), None, last]
    else:
        start = first - (most - (last - first + 1)) // 2
        start = min(max(0, start), length - most)
        shown = list(range(start, start + most))
    before = [None] if shown[0] > 0 else []
    behind = [None] if shown[-1] < length - 1 else []
    return [*before, *shown, *behind]


def _sign(sign: str) -> str:
    return f'<span class="sign">{sign}</span>'
