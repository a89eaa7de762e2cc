"""A `Worked`, one of its windows or a layer table as plain text and as Markdown with LaTeX.

At the end of this file the three classes get `__repr__` and `_repr_markdown_` from here, so that
they show themselves: they stand below this module and cannot import it.
"""

from __future__ import annotations

from fractions import Fraction

from labkit.handcalc.network import LayerTable
from labkit.handcalc.windows import Nested, Number, Window, Worked, by, flat

TERMS_PER_LINE = 9  # of a sum: one 3 × 3 window, and what fits the width of a page
COLUMNS_PER_LINE = 18  # of matrices side by side
LONGEST_SIDE = 12  # of one matrix; a longer one shows its first and last entries
WINDOWS_SHOWN = 30  # more windows than that are shown by the first three and the last


def text(thing: Worked | Window | LayerTable, *, steps: bool | None = None) -> str:
    """Plain text. Of a `Worked`: with every window (`steps=True`), with none, or with as many as
    can be read (None).

    Products with zero are left out of the sums.

    >>> from labkit.handcalc import convolve
    >>> print(text(convolve([[1, 2, 3], [4, 5, 6]], [[0, 1], [2, 3]])))
    convolution, kernel 2×2 turned by 180°, stride 1
    11  17
    row 1, column 1: 3·1 + 2·2 + 1·4 = 11
    row 1, column 2: 3·2 + 2·3 + 1·5 = 17
    """
    if isinstance(thing, LayerTable):
        return _table_text(thing)
    if isinstance(thing, Window):
        return f"{_place(thing)}: {_sum(thing, _plain, '·')}"
    lines = [_relation(thing), *(_grid(matrix) for matrix in _matrices(thing.result))]
    shown, left_out = _choose(thing, steps)
    for index, window in enumerate(shown):
        if left_out and index == len(shown) - 1:
            lines.append(f"… {left_out} more windows …")
        lines.append(text(window))
    return "\n".join(lines)


def markdown(thing: Worked | Window | LayerTable, *, steps: bool | None = None) -> str:
    r"""Markdown with LaTeX, for Jupyter and for pandoc; `steps` as in `text`.

    >>> from labkit.handcalc import max_pool
    >>> print(markdown(max_pool([[1, 5], [2, 0]], 2).at(0, 0)))
    $$y_{1,1} = \max(1, 5, 2, 0) = 5$$
    """
    if isinstance(thing, LayerTable):
        return _table_markdown(thing)
    if isinstance(thing, Window):
        return _window_markdown(thing)
    parts = [_relation(thing).capitalize() + ":", _equation(thing)]
    shown, left_out = _choose(thing, steps)
    if shown:
        lines = []
        for index, window in enumerate(shown):
            if left_out and index == len(shown) - 1:
                lines.append(r"&\;\;\vdots")
            lines.append(f"{_symbol(window)} &= " + _sum(window, _latex, r" \cdot "))
        parts.append(_display(r"\begin{aligned}" + " \\\\\n".join(lines) + r"\end{aligned}"))
    return "\n\n".join(parts)


def _choose(worked: Worked, steps: bool | None) -> tuple[tuple[Window, ...], int]:
    """The windows to show, and how many are left out before the last of them."""
    windows = worked.windows
    if steps is None and len(windows) > WINDOWS_SHOWN:
        return (*windows[:3], windows[-1]), len(windows) - 4
    return ((), 0) if steps is False else (windows, 0)


def _relation(worked: Worked) -> str:
    """The relation in words, e.g. 'max pooling, kernel 3×3, stride 1, padding 1'."""
    turned = " turned by 180°" if worked.operation == "convolution" else ""
    kernel = f"kernel {by(worked.kernel_size)}{turned}"
    parts = [worked.operation, kernel, f"stride {_axes(worked.stride)}"]
    if worked.padding != (0, 0):
        parts.append(f"padding {_axes(worked.padding)}")
    if worked.dilation != (1, 1):
        parts.append(f"dilation {_axes(worked.dilation)}")
    if worked.ceil_mode:
        parts.append("size rounded up")
    if worked.count_include_pad is False and worked.padding != (0, 0):
        parts.append("padding not counted")
    return ", ".join(parts)


def _axes(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} and {pair[1]}"


def _place(window: Window) -> str:
    names = ("channel", "row", "column")[-len(window.position) :]
    named = zip(names, window.position, strict=True)
    return ", ".join(f"{name} {index + 1}" for name, index in named)


def _symbol(window: Window) -> str:
    return "y_{" + ",".join(str(index + 1) for index in window.position) + "}"


def _sum(window: Window, write, times: str) -> str:
    """What the window computes and its value; `write` turns a number into text or LaTeX."""
    latex = write is _latex
    value = write(window.value)
    if window.products is not None:
        pairs = zip(flat(window.weights), flat(window.entries), strict=True)
        terms = [_factor(w, write) + times + _factor(e, write) for w, e in pairs if w * e != 0]
        if window.bias != 0:
            terms.append(_factor(window.bias, write))
        if not terms:
            return value
        if not latex:
            return f"{' + '.join(terms)} = {value}"
        lines = [
            " + ".join(terms[start : start + TERMS_PER_LINE])
            for start in range(0, len(terms), TERMS_PER_LINE)
        ]
        return " \\\\\n&\\quad + ".join(lines) + f" = {value}"
    counted = [entry for entry in flat(window.entries) if entry is not None]
    if window.divisor is None:
        entries = [write(entry) for entry in counted]
        inside = ", ".join(_elide(entries, r"\ldots") if latex else entries)
        return f"\\max({inside}) = {value}" if latex else f"max({inside}) = {value}"
    entries = [_factor(entry, write) for entry in counted]
    total = " + ".join(_elide(entries, r"\cdots") if latex else entries)
    if latex:
        return f"\\frac{{{total}}}{{{window.divisor}}} = {value}"
    return f"({total})/{window.divisor} = {value}"


def _window_markdown(window: Window) -> str:
    """One step in full: the entries, the weights on them, every product, and the sum."""
    symbol = _symbol(window)
    total = _sum(window, _latex, r" \cdot ")
    if window.products is None:
        return _display(f"{symbol} = {total}")
    several = len(_matrices(window.entries)) > 1
    displays = []
    layers = (_matrices(part) for part in (window.entries, window.weights, window.products))
    for channel, (entries, weights, products) in enumerate(zip(*layers, strict=True), start=1):
        name = rf"\text{{channel {channel}: }}" if several else ""
        displays.append(f"{name}{_matrix(entries)} \\circ {_matrix(weights)} = {_matrix(products)}")
    if "&" in total:  # a sum that takes several lines
        displays.append(rf"\begin{{aligned}}{symbol} &= {total}\end{{aligned}}")
    else:
        displays.append(f"{symbol} = {total}")
    return "\n\n".join(_display(formula) for formula in displays)


def _equation(worked: Worked) -> str:
    """The padded input, the kernel as it lies on it, and the result, where they fit one line."""
    results = _matrices(worked.result)
    inputs = _matrices(worked.padded)
    window = worked.windows[0]
    columns = len(inputs[0][0]) + worked.kernel_size[1] + len(results[0][0])
    sides = [*_sides(inputs[0]), *_sides(results[0])]
    fits = columns <= COLUMNS_PER_LINE and max(sides) <= LONGEST_SIDE
    if window.weights is not None and len(inputs) == len(results) == 1 and fits:
        bias = f" + {_factor(window.bias, _latex)}" if window.bias != 0 else ""
        return _display(
            f"{_matrix(inputs[0])} \\star {_matrix(_matrices(window.weights)[0])}{bias} "
            f"= {_matrix(results[0])}"
        )
    if len(results) == 1:
        return _display(f"y = {_matrix(results[0])}")
    return "\n\n".join(
        _display(f"y_{{{number}}} = {_matrix(result)}")
        for number, result in enumerate(results, start=1)
    )


def _sides(matrix: Nested) -> tuple[int, int]:
    return len(matrix), len(matrix[0])


def _matrices(nested: Nested) -> list[Nested]:
    """The two-dimensional parts of nested lists of any depth from two."""
    if not isinstance(nested[0][0], list):
        return [nested]
    return [matrix for part in nested for matrix in _matrices(part)]


def _matrix(rows: Nested) -> str:
    lines = [" & ".join(_elide([_latex(entry) for entry in row], r"\cdots")) for row in rows]
    lines = _elide(lines, r"\vdots")
    return r"\begin{pmatrix}" + r" \\ ".join(lines) + r"\end{pmatrix}"


def _elide(items: list[str], dots: str) -> list[str]:
    """A list too long for a matrix: its first entries, dots, and its last."""
    return items if len(items) <= LONGEST_SIDE else [*items[: LONGEST_SIDE - 2], dots, items[-1]]


def _grid(rows: Nested) -> str:
    """A matrix in columns aligned at the right."""
    cells = [[_plain(entry) for entry in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )


def _plain(number: Number | None) -> str:
    if number is None:
        return "·"
    return f"{number:.6g}" if isinstance(number, float) else str(number)


def _latex(number: Number | None) -> str:
    """A number in LaTeX; a dot for an entry that does not count."""
    if number is None:
        return r"\cdot"
    if isinstance(number, Fraction) and number.denominator != 1:
        sign = "-" if number < 0 else ""
        return rf"{sign}\frac{{{abs(number.numerator)}}}{{{number.denominator}}}"
    written = _plain(number)
    mantissa, e, exponent = written.partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if e else mantissa


def _factor(number: Number, write) -> str:
    """A number inside a sum or product: in brackets if it is negative."""
    return f"({write(number)})" if number < 0 else write(number)


def _display(formula: str) -> str:
    return f"$${formula}$$"


def _table_text(table: LayerTable) -> str:
    records = table.records()
    rows = [tuple(records[0]), *(tuple(record.values()) for record in records)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join((layer.ljust(widths[0]), *map(str.rjust, others, widths[1:])))
        for layer, *others in rows
    )


def _table_markdown(table: LayerTable) -> str:
    records = table.records()
    lines = [f"| {' | '.join(records[0])} |", "|:--" + "|--:" * (len(records[0]) - 1) + "|"]
    lines += [f"| {' | '.join(record.values())} |" for record in records]
    return "\n".join(lines)


for _class in (Worked, Window, LayerTable):
    _class.__repr__ = text
    _class._repr_markdown_ = markdown
