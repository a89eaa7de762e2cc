"""The fonts of the PDFs: those that the typst package carries, and Noto's for what they lack.

All come with packages of pinned versions and none from the system, so that a report is the same on
every machine.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import typst

PACKAGES = ("manimgx_fonts", "manimgx_fonts_cjk")  # Noto Sans of most scripts, Emoji, and CJK
INVISIBLE = ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")  # Unicode's categories of what leaves no mark


@cache
def fonts() -> typst.Fonts:
    """Every font that a document is set in; read once, as that takes longer than a small page."""
    folders = [find_spec(name).submodule_search_locations[0] for name in PACKAGES]
    return typst.Fonts(include_system_fonts=False, font_paths=folders)


def missing(characters: Iterable[str]) -> dict[str, str]:
    """The characters that no font has, with their Unicode names (or numbers, such as U+E123).

    Typst itself tells: it refuses PDF/A, which allows no box in a character's place.

    >>> missing("aʃ語")
    {}
    """
    asked = sorted(it for it in set(characters) if unicodedata.category(it) not in INVISIBLE)
    with TemporaryDirectory(prefix="labkit-fonts-") as folder:
        page = Path(folder, "page.typ")
        page.write_text('#set document(title: "")\n' + "\n\n".join(map(_literal, asked)), "utf-8")
        try:
            typst.compile(page, font_paths=fonts(), pdf_standards="a-2b")
        except typst.TypstError as error:
            lines = re.findall(
                r"error: .*could not be displayed[^│]*?:(\d+):\d+\n", error.diagnostic
            )
            return {it: _name(it) for it in (asked[(int(line) - 2) // 2] for line in lines)}
    return {}


def _literal(character: str) -> str:
    return '#"' + f"\\u{{{ord(character):x}}}" + '"'


def _name(character: str) -> str:
    return unicodedata.name(character, "").lower() or f"U+{ord(character):04X}"
