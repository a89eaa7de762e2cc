"""A calculation, one of its windows or a layer table as plain text and as Markdown with LaTeX.

At the end of this file the classes get `__repr__` and `_repr_markdown_` from here, so that they
show themselves: they stand below this module and cannot import it.
"""

from __future__ import annotations

import re
from fractions import Fraction

from labkit.handcalc.comparison import Comparison
from labkit.handcalc.counts import FullyConnectedEquivalent, ParameterCount, ReceptiveField
from labkit.handcalc.network import LayerTable
from labkit.handcalc.shapes import OutputSize, Solution, TransposedOutputSize
from labkit.handcalc.tasks import Choice, Expected, Quotient, Task
from labkit.handcalc.windows import Nested, Number, Window, Worked, by, flat

TERMS_PER_LINE = 9  # of a sum: one 3 × 3 window, and what fits the width of a page
COLUMNS_PER_LINE = 18  # of matrices side by side
LONGEST_SIDE = 12  # of one matrix; a longer one shows its first and last entries
WINDOWS_SHOWN = 30  # more windows than that are shown by the first three and the last


def text(thing: Worked | Window | LayerTable | Comparison, *, steps: bool | None = None) -> str:
    """Plain text: the result, and of a `Worked` its windows too.

    `thing` is a `Worked`, a `Window`, a `LayerTable` or a `Comparison`. With `steps` every window
    is written out, without none, and with None as many as can be read. Products with zero are left
    out of the sums.

    >>> from labkit.handcalc import convolve
    >>> print(text(convolve([[1, 2, 3], [4, 5, 6]], [[0, 1], [2, 3]])))
    convolution, kernel 2×2 turned by 180°, stride 1
    11  17
    row 1, column 1: 3·1 + 2·2 + 1·4 = 11
    row 1, column 2: 3·2 + 2·3 + 1·5 = 17
    """
    if isinstance(thing, LayerTable | Comparison):
        return _table_text(thing)
    if isinstance(thing, Window):
        return f"{_place(thing)}: {_sum(thing, plain, '·')}"
    lines = [_relation(thing), *(_grid(matrix) for matrix in matrices(thing.result))]
    shown, left_out = _choose(thing, steps)
    for index, window in enumerate(shown):
        if left_out and index == len(shown) - 1:
            lines.append(f"… {left_out} more windows …")
        lines.append(text(window))
    return "\n".join(lines)


def markdown(thing: Worked | Window | LayerTable | Comparison, *, steps: bool | None = None) -> str:
    r"""Markdown with LaTeX, for Jupyter and for pandoc; `thing` and `steps` as in `text`.

    >>> from labkit.handcalc import max_pool
    >>> print(markdown(max_pool([[1, 5], [2, 0]], 2).at(0, 0)))
    $$y_{1,1} = \max(1, 5, 2, 0) = 5$$
    """
    if isinstance(thing, LayerTable | Comparison):
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


def working(calculation, *, steps: bool | None = None) -> str:
    r"""The right answer and the way to it, as Markdown with LaTeX.

    `calculation` is a task, or anything with a `result`; `steps` as in `text`. Show it with
    `IPython.display.Markdown`.

    >>> from labkit.handcalc import OutputSize
    >>> print(working(OutputSize(508, 2, stride=2)).splitlines()[0])
    $$\begin{aligned}&o = \lfloor (i + 2p - k)/s\rfloor + 1 \\
    """
    calculation = getattr(calculation, "calculation", calculation)
    if isinstance(calculation, Worked | Window | LayerTable | Comparison):
        return markdown(calculation, steps=steps)
    lines = getattr(calculation, "working", ())
    if isinstance(calculation, Choice):
        return "\n\n".join(lines) or f"The answer is {calculation.result}."
    if lines:
        body = " \\\\\n".join(f"&{latex(line)}" for line in lines)
        return _display(rf"\begin{{aligned}}{body}\end{{aligned}}")
    return f"The answer is {answer_text(getattr(calculation, 'result', calculation))}."


def working_text(calculation) -> str:
    """The right answer and the way to it, as plain text."""
    calculation = getattr(calculation, "calculation", calculation)
    if isinstance(calculation, Worked | Window | LayerTable | Comparison):
        return text(calculation)
    lines = getattr(calculation, "working", ())
    return "\n".join(lines) or answer_text(getattr(calculation, "result", calculation))


def answer_text(result) -> str:
    """A right answer as it could be written.

    `result` is a number, a tuple (joined by ×), nested lists (a grid) or words.

    >>> answer_text((254, 254)), answer_text(49153)
    ('254×254', '49,153')
    """
    if isinstance(result, tuple):
        return "×".join(map(plain, result))
    if isinstance(result, str):
        return result
    if isinstance(result, Fraction) and result.denominator > 100:
        return f"{float(result):.4g}"
    if not isinstance(result, list):
        return f"{result:,}" if isinstance(result, int) else plain(result)
    if not isinstance(result[0], list):
        return ", ".join(map(answer_text, result))
    grids = [_grid([list(map(plain, row)) for row in matrix]) for matrix in matrices(result)]
    return "\n\n".join(grids)


def plain_question(question: str) -> str:
    r"""A question's Markdown for a terminal: matrices in columns, formulas without LaTeX.

    >>> print(plain_question(r"Add $X$: $$X = \begin{pmatrix} 1 & 20 \\\\ 3 & 4 \end{pmatrix}$$"))
    Add X:
    <BLANKLINE>
    X =
      1  20
      3   4
    """
    pieces = re.split(r"\s*\$\$(.*?)\$\$\s*", question, flags=re.DOTALL)
    plain_pieces = []
    for number, piece in enumerate(pieces):
        if number % 2 == 0:
            piece = re.sub(r"\$([^$]+)\$", lambda formula: _plain_formula(formula[1]), piece)
        else:
            piece = re.sub(
                r"\\begin\{pmatrix\}(.*?)\\end\{pmatrix\}",
                lambda matrix: "\n" + _indented(matrix[1]) + "\n",
                piece,
                flags=re.DOTALL,
            )
            piece = _plain_formula(piece)
        plain_pieces.append(piece.strip("\n ") if number % 2 == 0 else piece.strip("\n"))
    return "\n\n".join(piece for piece in plain_pieces if piece).replace("`", "")


def _indented(rows: str) -> str:
    """The rows of a LaTeX matrix as aligned columns."""
    cells = [[cell.strip() for cell in row.split("&")] for row in rows.split(r"\\") if row.strip()]
    cells = [[re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"\1/\2", cell) for cell in row] for row in cells]
    return "\n".join(f"  {line}" for line in _grid(cells).split("\n"))


def _plain_formula(formula: str) -> str:
    for command, sign in ((r"\times", "×"), (r"\cdot", "·"), (r"\qquad", ""), (r"\quad", "")):
        formula = formula.replace(command, sign)
    formula = re.sub(r"[ ]*\n[ ]*(?=[A-Za-z]\w* =)", "\n", formula)
    formula = re.sub(r"= *\n", "=\n", formula)
    return formula.replace(r"\,", " ").replace("{", "").replace("}", "")


def latex(line: str) -> str:
    r"""A line of plain text with the signs of arithmetic as LaTeX; words stay upright.

    >>> print(latex("rows: ⌊(7 − 3)/2⌋ ≤ 1,024·p"))
    \text{rows: }\lfloor (7 - 3)/2\rfloor \le 1{,}024 \cdot p
    """
    line = re.sub(r"(?:[A-Za-z]{2,}[ ,:;]*)+", lambda words: rf"\text{{{words[0]}}}", line)
    line = re.sub(r"(?<=\d),(?=\d{3})", "{,}", line)
    line = re.sub(r" (?=\\text)", r"\\ ", line)
    return re.sub(f"[{''.join(_LATEX_SIGNS)}]", lambda sign: _LATEX_SIGNS[sign[0]], line)


_LATEX_SIGNS = {
    "·": r" \cdot ",
    "−": "-",
    "≤": r"\le",
    "≈": r"\approx",
    "×": r" \times ",
    "⌊": r"\lfloor ",
    "⌋": r"\rfloor",
    "⌈": r"\lceil ",
    "⌉": r"\rceil",
    "₁": "_1",
    "₂": "_2",
    "′": "'",
}


def marked(grid: tuple[tuple[str, ...], ...]) -> list[str]:
    """The lines of an answer's matrix, whose wrong entries stand in brackets."""
    cells = [[cell if cell.startswith("[") else f" {cell} " for cell in row] for row in grid]
    return [line.rstrip() for line in _grid(cells).split("\n")]


def marked_latex(grid: tuple[tuple[str, ...], ...]) -> str:
    """An answer's matrix in LaTeX, its wrong entries boxed."""
    rows = [
        " & ".join(
            # the {} keeps pandoc's Typst from taking the row break as the end of the box
            rf"\boxed{{{_latex_text(cell[1:-1])}}}{{}}" if cell[0] == "[" else _latex_text(cell)
            for cell in _elide(list(row), r"\cdots")
        )
        for row in grid
    ]
    return _display(r"\begin{pmatrix}" + r" \\ ".join(_elide(rows, r"\vdots")) + r"\end{pmatrix}")


def _latex_text(cell: str) -> str:
    over = re.fullmatch(r"(-?)(\d+)/(\d+)", cell)
    return rf"{over[1]}\frac{{{over[2]}}}{{{over[3]}}}" if over else cell


def _choose(worked: Worked, steps: bool | None) -> tuple[tuple[Window, ...], int]:
    """The windows to show, and how many are left out before the last of them."""
    windows = worked.windows
    if steps is None and len(windows) > WINDOWS_SHOWN:
        return (*windows[:3], windows[-1]), len(windows) - 4
    return ((), 0) if steps is False else (windows, 0)


def _relation(worked: Worked) -> str:
    """The relation in words, e.g. 'max pooling, kernel 3×3, stride 1, padding 1'."""
    plan = worked.plan
    turned = " turned by 180°" if worked.operation == "convolution" else ""
    parts = [worked.operation, f"kernel {by(plan.kernel)}{turned}", f"stride {_axes(plan.stride)}"]
    padded = any(plan.before + plan.after)
    if plan.before == plan.after and padded:
        parts.append(f"padding {_axes(plan.before)}")
    elif padded:
        (top, left), (bottom, right) = plan.before, plan.after
        parts.append(f"padding {top} above, {bottom} below, {left} left, {right} right")
    if plan.dilation != (1, 1):
        parts.append(f"dilation {_axes(plan.dilation)}")
    if worked.groups != 1:
        parts.append(f"{worked.groups} groups")
    if plan.ceil_mode:
        parts.append("size rounded up")
    if worked.count_include_pad is False and padded:
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
    several = len(matrices(window.entries)) > 1
    displays = []
    layers = (matrices(part) for part in (window.entries, window.weights, window.products))
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
    results = matrices(worked.result)
    inputs = matrices(worked.padded)
    window = worked.windows[0]
    columns = len(inputs[0][0]) + worked.plan.kernel[1] + len(results[0][0])
    sides = [*_sides(inputs[0]), *_sides(results[0])]
    fits = columns <= COLUMNS_PER_LINE and max(sides) <= LONGEST_SIDE
    if window.weights is not None and len(inputs) == len(results) == 1 and fits:
        bias = f" + {_factor(window.bias, _latex)}" if window.bias != 0 else ""
        return _display(
            f"{_matrix(inputs[0])} \\star {_matrix(matrices(window.weights)[0])}{bias} "
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


def matrices(nested: Nested) -> list[Nested]:
    """The two-dimensional parts of nested lists of any depth from two."""
    if not isinstance(nested[0][0], list):
        return [nested]
    return [matrix for part in nested for matrix in matrices(part)]


def _matrix(rows: Nested) -> str:
    lines = [" & ".join(_elide([_latex(entry) for entry in row], r"\cdots")) for row in rows]
    lines = _elide(lines, r"\vdots")
    return r"\begin{pmatrix}" + r" \\ ".join(lines) + r"\end{pmatrix}"


def _elide(items: list[str], dots: str) -> list[str]:
    """A list too long for a matrix: its first entries, dots, and its last."""
    return items if len(items) <= LONGEST_SIDE else [*items[: LONGEST_SIDE - 2], dots, items[-1]]


def _grid(rows: Nested) -> str:
    """A matrix in columns aligned at the right."""
    cells = [[entry if isinstance(entry, str) else plain(entry) for entry in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )


def plain(number: Number | None) -> str:
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
    written = plain(number)
    mantissa, e, exponent = written.partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if e else mantissa


def _factor(number: Number, write) -> str:
    """A number inside a sum or product: in brackets if it is negative."""
    return f"({write(number)})" if number < 0 else write(number)


def _display(formula: str) -> str:
    return f"$${formula}$$"


# what a table's rows are called by; its other columns are numbers, and stand at the right
_NAMES = {LayerTable: 1, Comparison: 2}


def _table_text(table: LayerTable | Comparison) -> str:
    records, names = table.records(), _NAMES[type(table)]
    rows = [tuple(records[0]), *(tuple(record.values()) for record in records)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            (*map(str.ljust, row[:names], widths), *map(str.rjust, row[names:], widths[names:]))
        )
        for row in rows
    )


def _table_markdown(table: LayerTable | Comparison) -> str:
    records, names = table.records(), _NAMES[type(table)]
    numbers = len(records[0]) - names
    lines = [f"| {' | '.join(records[0])} |", "|:--" * names + "|--:" * numbers + "|"]
    lines += [f"| {' | '.join(record.values())} |" for record in records]
    return "\n".join(lines)


for _class in (Worked, Window, LayerTable, Comparison):
    _class.__repr__ = text
    _class._repr_markdown_ = markdown
for _class in (
    *(OutputSize, TransposedOutputSize, Solution),
    *(ParameterCount, ReceptiveField, FullyConnectedEquivalent),
    *(Quotient, Expected, Choice),
):
    _class.__repr__ = working_text
    _class._repr_markdown_ = working
Task.__repr__ = lambda task: plain_question(task.question)
