"""What comes from a notebook made safe to show: nothing acts, loads, or leaks out of its place.

HTML is cut down to lists of tags, attributes and classes that are allowed. A picture becomes a
`data:` URI inside `<img>`, where no browser runs a script or loads anything.
"""

import base64
import html
import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import unquote, unquote_to_bytes
from xml.etree import ElementTree

import nh3

PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp")

_MATHML = {
    *("math", "semantics", "annotation", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace"),
    *("mfrac", "msqrt", "mroot", "mstyle", "merror", "mpadded", "mphantom", "menclose", "mfenced"),
    *("msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts", "mprescripts"),
    *("mtable", "mtr", "mtd", "none"),
}
_TAGS = _MATHML | {
    *("a", "abbr", "b", "blockquote", "br", "caption", "cite", "code", "dd", "del", "details"),
    *("div", "dl", "dt", "em", "figcaption", "figure", "h2", "h3", "h4", "h5", "h6", "hr", "i"),
    *("img", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s", "samp", "section", "small"),
    *("span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead"),
    *("tr", "tt", "u", "ul", "var"),
}
_MATHML_ATTRIBUTES = {
    *("display", "xmlns", "encoding", "mathvariant", "stretchy", "form", "fence", "separator"),
    *("accent", "accentunder", "linethickness", "columnalign", "rowspacing", "columnspacing"),
    *("width", "height", "depth", "lspace", "rspace", "minsize", "maxsize", "notation"),
    *("scriptlevel", "displaystyle", "movablelimits", "symmetric", "largeop"),
}
_ATTRIBUTES = {
    "*": {"id", "title", "lang", "dir"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start", "type"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    **dict.fromkeys(_MATHML, _MATHML_ATTRIBUTES),
}
_CLASSES = {
    "a": {"footnote-ref", "footnote-back"},
    "div": {"table", "note", "tip", "important", "warning", "caution", "title", "csl-entry"},
    "section": {"footnotes"},
    "span": {"math", "display", "tagged", "tag"},
    "td": {"number", "left", "centre"},
    "th": {"number", "left", "centre"},
}
_NO_TEXT = {"script", "style", "template", "noscript", "iframe", "object", "select", "textarea"}
_SCHEMES = {"http", "https", "mailto", "data", "attachment"}  # the last two for pictures alone


class Place(Protocol):
    """The section that HTML stands in."""

    id: str

    def new_id(self, wanted: str) -> str:
        """An id that is not taken yet."""


def sanitised(
    text: str,
    notebook: Place | None,
    number: int,
    attachments: Mapping[str, Mapping[str, str]],
) -> str:
    """HTML without anything that acts, loads or leaks; ids are the section's own.

    `number` tells footnotes from those of other snippets; `attachments` are pictures by name.
    """

    def own(name: str) -> str:
        if re.fullmatch(r"fn(ref)?\d+", name):
            name = f"{number}-{name}"
        return f"{notebook.id}/{name.lower()}"

    def attribute(tag: str, name: str, value: str) -> str | None:
        if name == "id":
            return notebook.new_id(own(value)) if notebook else value
        if tag == "a" and name == "href":
            if cited := re.fullmatch(r"#cite-(.+)", value):
                return f"#ref-{cited[1]}"
            if notebook and value.startswith("#") and not value.startswith("#run-"):
                return "#" + own(unquote(value[1:]))
            return value if re.match(r"(?i)#|https?:|mailto:", value) else None
        if tag == "img" and name == "src":
            return _linked(value, attachments)
        return value

    return nh3.clean(
        text,
        tags=_TAGS,
        clean_content_tags=_NO_TEXT,
        attributes=_ATTRIBUTES,
        allowed_classes=_CLASSES,
        attribute_filter=attribute,
        url_schemes=_SCHEMES,
        link_rel="noreferrer",
    )


def _linked(source: str, attachments: Mapping) -> str | None:
    """The `data:` URI of a picture that is named by Markdown or HTML; None for one elsewhere."""
    if source.startswith("attachment:"):
        found = attachments.get(unquote(source[11:]), {})
        return next((data_uri(m, str(v)) for m, v in found.items() if m in PICTURES), None)
    head, _, value = source.partition(",")
    mime, *options = head.removeprefix("data:").split(";")
    if mime not in PICTURES:
        return None
    if "base64" not in options:
        value = base64.b64encode(unquote_to_bytes(value)).decode()
    return data_uri(mime, unquote(value))


def data_uri(mime: str, value: str) -> str | None:
    """A picture as the page holds it; SVG comes as text or as base64, the others as base64."""
    try:
        if mime == "image/svg+xml":
            is_text = value.lstrip().startswith("<")
            text = value if is_text else base64.b64decode(value).decode()
            data = safe_svg(text).encode("utf-8", "replace")
        else:
            data = base64.b64decode(value)
    except (ValueError, ElementTree.ParseError):
        return None
    return f"data:{mime};base64,{base64.b64encode(data).decode()}" if data else None


# Each begins with a plain word, for which a search of megabytes is fast; XML knows one case only.
_ACTIVE = tuple(
    re.compile(pattern)
    for pattern in (
        *("script", "foreign", "frame", "<!ENTITY", "@import", "&#", r"on(?<=\Won)\w+\s*="),
        *(r"href\s*=\s*(?![\"']?(#|data:image/))", r"url\(\s*(?![\"']?(#|data:image/))"),
    )
)
_ACTIVE_ELEMENTS = {"script", "foreignobject", "iframe", "handler", "listener", "set", "animate"}
_LOADING_CSS = re.compile(r"@import[^;]*;?|url\(\s*(?![\"']?(#|data:image/))[^)]*\)", re.I)


_SVG = "http://www.w3.org/2000/svg"


def safe_svg(text: str) -> str:
    """A picture without what acts or loads. In an `<img>` that sleeps; who saves it, may wake it.

    Raises ValueError or ParseError where it is not well-formed.
    """
    if not any(pattern.search(text) for pattern in _ACTIVE):  # nearly all, of megabytes each
        return text
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(text)
    for element in root.iter():
        for child in list(element):
            if _local(child.tag) in _ACTIVE_ELEMENTS:
                element.remove(child)
        element.text = element.text and _LOADING_CSS.sub("", element.text)
        for name, value in list(element.items()):
            loads = _local(name) == "href" and not value.strip().startswith(("#", "data:image/"))
            if loads or _local(name).startswith("on"):
                del element.attrib[name]
            else:
                element.set(name, _LOADING_CSS.sub("none", value))
    return ElementTree.tostring(root, encoding="unicode")


_INLINE_SVG = re.compile(r"<svg\b.*?</svg\s*>", re.DOTALL)


def with_svg_as_images(text: str) -> str:
    """HTML whose SVG is in `<img>`: pandoc would write its names small, which SVG does not know."""
    return _INLINE_SVG.sub(_as_image, text)


def _as_image(svg: re.Match[str]) -> str:
    text = svg[0] if " xmlns=" in svg[0] else svg[0].replace("<svg", f'<svg xmlns="{_SVG}"', 1)
    return f'<img src="data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}">'


def _local(name: Any) -> str:
    return str(name).rpartition("}")[2].lower()


def escape(text: Any) -> str:
    return html.escape(str(text), quote=False)
