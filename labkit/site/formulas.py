"""The question of an exercise as HTML and MathML, where there is no pandoc: in the browser.

It reads what `labkit.handcalc.drafts` writes and no more: paragraphs, numbered lists, code, and
formulas of names, numbers, signs and matrices.
"""

import re
from html import escape

_PIECE = re.compile(
    r"\\begin\{pmatrix\}(?P<matrix>.*?)\\end\{pmatrix\}"
    r"|(?P<name>[A-Za-z])(?:_(?P<index>\d))?"
    r"|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<sign>[^\s\\])",
    re.DOTALL,
)


def apart(question: str) -> str:
    r"""Each of the displayed formulas that a space parts by itself, so that a line can break there.

    >>> print(apart(r"$$a = 1 \qquad b = 2$$"))
    $$a = 1$$ $$b = 2$$
    """
    return re.sub(r"\s*\\q?quad\s*", "$$ $$", question)


def question_html(question: str) -> str:
    r"""Markdown as the exercises have it.

    >>> question_html("Add `x`:\n\n1. one & two\n2. $b_1 = -2$")  # doctest: +ELLIPSIS
    '<p>Add <code>x</code>:</p><ol><li>one &amp; two</li><li><math><mrow><msub>...</ol>'
    """
    return "".join(map(_block, apart(question).strip().split("\n\n")))


def _block(block: str) -> str:
    if block.startswith("$$"):
        formulas = re.findall(r"\$\$(.*?)\$\$", block, re.DOTALL)
        shown = (f'<math display="block">{_formula(formula)}</math>' for formula in formulas)
        return f"<p>{' '.join(shown)}</p>"
    lines = [re.fullmatch(r"\d+\. (.*)", line) for line in block.split("\n")]
    if all(lines):
        items = "".join(f"<li>{_inline(line[1])}</li>" for line in lines)
        return f"<ol>{items}</ol>"
    return f"<p>{_inline(block)}</p>"


def _inline(text: str) -> str:
    def piece(found: re.Match[str]) -> str:
        if found["code"]:
            return f"<code>{escape(found['code'])}</code>"
        if found["formula"]:
            return f"<math>{_formula(found['formula'])}</math>"
        return escape(found[0], quote=False)

    return re.sub(r"`(?P<code>[^`]+)`|\$(?P<formula>[^$]+)\$|[^`$]+", piece, text)


def _formula(latex: str) -> str:
    return f"<mrow>{''.join(map(_piece, _PIECE.finditer(latex)))}</mrow>"


def _piece(found: re.Match[str]) -> str:
    if found["matrix"] is not None:
        rows = [row.split("&") for row in found["matrix"].split(r"\\")]
        cells = [[f"<mtd>{_formula(cell)}</mtd>" for cell in row] for row in rows]
        table = "".join(f"<mtr>{''.join(row)}</mtr>" for row in cells)
        return f"<mrow><mo>(</mo><mtable>{table}</mtable><mo>)</mo></mrow>"
    if found["index"]:
        return f"<msub><mi>{found['name']}</mi><mn>{found['index']}</mn></msub>"
    if found["name"]:
        return f"<mi>{found['name']}</mi>"
    if found["number"]:
        return f"<mn>{found['number']}</mn>"
    return f"<mo>{escape(found['sign'].replace('-', '−'))}</mo>"
