"""No character may be shown as a box: PDF/A forbids it, so Typst itself is the judge."""

import io

import pytest
import typst
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_typst import code, display, notebook, stream, text_of

from labkit.report import svg
from labkit.report.fonts import fonts, missing
from labkit.report.typst import _on_disk, document, section

IPA = "ʃ ŋ ə ˈ ː ɹ t͡ʃ ɪ̈"
SCRIPTS = (
    f"{IPA} Ωμέγα Русский العربية שלום हिन्दी ไทย 日本語 中文 한국어 😀 👩‍💻 🇩🇪 ✓ ⚠ ⠋ █▓▒░ ╔═╗ → ½"
)
DRAWN = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="30"><text y="20">{}</text></svg>'
)


def everywhere(text):
    """A notebook with a text in prose, in a table, in code, in a figure and in its caption."""
    picture = {"image/svg+xml": DRAWN.format(text), "text/plain": "picture"}
    return notebook(
        f"# {text}\n\nProse {text} and `code {text}`.",
        code(f"x = '{text}'", stream(text)),
        code("", display({"text/html": f"<table><tr><td>{text}</td></tr></table>"})),
        code("", display(picture, kind="figure", caption=f"Drawn {text}")),
    )


def without_a_box(cells) -> bool:
    source, files = document([section(cells, show_code=True)], title="T", lists=True)
    with _on_disk(source, files) as main:
        try:
            typst.compile(main, root=main.parent, font_paths=fonts(), pdf_standards="a-2b")
        except typst.TypstError as error:  # it misses a date in any case
            return "could not be displayed" not in error.diagnostic
    return True


def test_phonemes_scripts_and_emoji_have_glyphs():
    assert missing(SCRIPTS) == {}
    assert without_a_box(everywhere(SCRIPTS))


def test_a_character_without_a_glyph_is_named():
    assert missing("a𓀀ᚠ") == {
        "𓀀": "egyptian hieroglyph a001",
        "ᚠ": "runic letter fehu feoh fe f",
    }
    assert missing("\U000f1234") == {"\U000f1234": "U+F1234"}
    text = text_of("A 𓀀 stands here.", code("", stream("𓀀")))
    assert text.replace("\n", " ").count("⟨egyptian hieroglyph a001⟩") == 2
    assert without_a_box(everywhere("x 𓀀 ᚠ"))


def test_what_leaves_no_mark_is_not_missing():
    assert missing(" \n\t\u200b\u200d\ufe0f\u00ad") == {}


def test_fonts_come_from_packages_alone():
    families = set(fonts().families())
    assert {"Libertinus Serif", "DejaVu Sans Mono", "Noto Sans", "Noto Emoji"} <= families
    assert all("site-packages" in font.path for font in fonts().fonts() if font.path)


def test_the_name_costs_nothing_where_all_have_glyphs():
    source, _ = document([section(notebook("Plain ʃ"))], title="T")
    assert "show: named.with" not in source


@settings(max_examples=8, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20))
def test_no_text_at_all_shows_a_box(text):
    assert without_a_box(notebook(code("", stream(f"{text}."))))


def test_letters_that_a_pdf_would_box_make_an_svg_pixels():
    latin = svg.settable(DRAWN.format("abc ʃ ŋ ə").encode())
    drawn = svg.settable(DRAWN.format(SCRIPTS).encode())
    assert latin == (DRAWN.format("abc ʃ ŋ ə").encode(), "svg")
    picture = Image.open(io.BytesIO(drawn[0]))
    assert drawn[1] == "png"
    assert picture.width / svg.PPI == pytest.approx(300 * 0.75 / 72, rel=0.01)  # as large as it was
    assert picture.info["dpi"][0] == pytest.approx(svg.PPI, rel=0.01)


def test_an_svg_takes_nothing_from_outside():
    links = '<image href="http://example.org/a.png"/><use xlink:href="b.svg#c"/><use href="#d"/>'
    data, _ = svg.settable(f"<svg>{links}</svg>".encode())
    assert data == b'<svg xmlns="http://www.w3.org/2000/svg"><image /><use /><use href="#d"/></svg>'
