"""The browser's own way from an exercise's Markdown to HTML, held against pandoc's."""

import re
from html import unescape
from xml.etree import ElementTree

import pytest

from labkit.handcalc.exercises import KINDS, LEVELS, exercises
from labkit.report.html.snippets import Snippet, convert
from labkit.site.formulas import apart, question_html

TASKS = [
    task
    for kind in KINDS
    for level in LEVELS
    for seed in range(6)
    for task in exercises(kind, level=level, seed=seed, count=4)
]


def test_a_matrix_on_paper():
    assert question_html(r"$$X_1 = \begin{pmatrix} 1 & -2 \\ 3 & 4 \end{pmatrix}$$") == (
        '<p><math display="block"><mrow><msub><mi>X</mi><mn>1</mn></msub><mo>=</mo>'
        "<mrow><mo>(</mo><mtable>"
        "<mtr><mtd><mrow><mn>1</mn></mrow></mtd><mtd><mrow><mo>−</mo><mn>2</mn></mrow></mtd></mtr>"
        "<mtr><mtd><mrow><mn>3</mn></mrow></mtd><mtd><mrow><mn>4</mn></mrow></mtd></mtr>"
        "</mtable><mo>)</mo></mrow></mrow></math></p>"
    )


def test_markup_in_a_question_is_text():
    assert question_html("a < b & `<b>`") == "<p>a &lt; b &amp; <code>&lt;b&gt;</code></p>"


def words(html: str) -> str:
    """All text, and the table cells, rows, items and code that it stands in."""
    html = re.sub(r"<annotation.*?</annotation>", "", html, flags=re.DOTALL)
    html = re.sub(r"<(?!/?(mtr|mtd|li|code|ol|math)\b)[^>]*>", "", html)
    html = re.sub(r"<(\w+)[^>]*>", r"<\1>", html)
    return re.sub(r"\s+", "", unescape(html).replace("-", "−"))


@pytest.fixture(scope="module")
def by_pandoc(tmp_path_factory):
    snippets = [Snippet("markdown", apart(task.question)) for task in TASKS]
    convert(snippets, tmp_path_factory.mktemp("pandoc") / "kept.json")
    return [snippet.html() for snippet in snippets]


def test_it_says_what_pandoc_says(by_pandoc):
    for task, expected in zip(TASKS, by_pandoc, strict=True):
        assert words(question_html(task.question)) == words(expected), task.name


def test_it_is_well_formed_and_leaves_no_latex():
    for task in TASKS:
        html = question_html(task.question)
        ElementTree.fromstring(f"<div>{html}</div>")
        assert not re.search(r"[\\$`]", html), task.name
