"""SVG from anywhere, such that Typst can set it: nothing from outside, and no boxes."""

import html
import io
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import typst
from PIL import Image

from labkit.report.fonts import fonts, missing

PPI = 300  # of a picture that cannot stay vectors
PAGE = """#set document(title: "")
#set page(width: auto, height: auto, margin: 0pt, fill: none)
#image("picture.svg")"""

# what an SVG names outside of itself: Typst would refuse the whole picture
_LINK = re.compile(rb"""(?:xlink:)?href\s*=\s*(?:"\s*(?!data:|#)[^"]*"|'\s*(?!data:|#)[^']*')""")


def settable(data: bytes) -> tuple[bytes, str]:
    """An SVG as Typst can set it, and the suffix of its file: `svg`, or `png` if it must be.

    For the letters of an SVG Typst looks in more fonts where it makes a PNG than where it makes a
    PDF: what would show boxes there, such as several scripts in one line, becomes pixels.
    Characters that no font has are named.
    """
    data = _LINK.sub(b"", data)
    if b"xmlns" not in data:  # which HTML may leave out
        data = data.replace(b"<svg", b'<svg xmlns="http://www.w3.org/2000/svg"', 1)
    letters = html.unescape(data.decode("utf-8", "replace"))
    if b"<text" not in data or letters.isascii():
        return data, "svg"
    names = {it: f"⟨{name}⟩" for it, name in missing(letters).items()}
    data = data.decode("utf-8", "replace").translate(str.maketrans(names)).encode()
    with TemporaryDirectory(prefix="labkit-svg-") as folder:
        Path(folder, "picture.svg").write_bytes(data)
        page = Path(folder, "page.typ")
        page.write_text(PAGE)
        try:
            typst.compile(page, font_paths=fonts(), pdf_standards="a-2b")
        except typst.TypstError as error:
            if "could not be displayed" not in error.diagnostic:
                return data, "svg"
            png = io.BytesIO(typst.compile(page, font_paths=fonts(), format="png", ppi=PPI))
            pixels = io.BytesIO()
            Image.open(png).save(pixels, "png", dpi=(PPI, PPI))
            return pixels.getvalue(), "png"
    return data, "svg"
