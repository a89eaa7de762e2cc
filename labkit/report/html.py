"""Executed notebooks as one static HTML page that needs nothing but itself.

The way of a notebook: its cells become pieces of HTML, of which Markdown, HTML and LaTeX are
snippets that one pandoc process converts. Whatever comes from a notebook is then sanitised, and
pictures become `data:` URIs inside `<img>`, where no browser runs a script or loads anything. The
page's policy says the same once more: only labkit's own script and style, named by their digests.

`page.css` and `page.js` hold the look and what can be done with the page; without JavaScript
everything can still be read.
"""

import base64
import copy
import hashlib
import html
import json
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes
from xml.etree import ElementTree

import nh3
import pypandoc
from nbconvert.filters.ansi import ansi2html, strip_ansi
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from nbformat.v4.rwbase import rejoin_lines
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from labkit.errors import UsageError
from labkit.report.facts import Recorded
from labkit.report.typst import (
    HIDDEN_CELL,
    HIDDEN_INPUT,
    HIDDEN_OUTPUT,
    LONGEST_HTML,
    MARKUP,
    TRACEBACK_LINES,
    WIDGET,
)

PANDOC_SCRIPT = Path(__file__).with_name("pandoc_html.lua")
STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")

CODE = "code in "  # and the language: the format of a cell's source
PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp")
Placed = tuple[str, str, NotebookNode, str | None]  # course, name, notebook, failure


def write_html(
    sections: Sequence[Placed],
    path: Path,
    *,
    title: str,
    subtitle: str = "",
    authors: Sequence[str] = (),
    language: str = "en",
    date: str = "",
    provenance: Mapping[str, str] | None = None,
    bibliography: str = "",
    runs: Mapping[str, Recorded] | None = None,
    downloads: Sequence[tuple[str, str]] = (),
) -> None:
    """Write notebooks as the HTML page at `path`, whole or not at all; the same bytes every time.

    A section is the title of its course (may be empty), a name such as "tdt4265/task2", which no
    other has, the executed notebook, and why it did not run to its end (None: it did).
    `bibliography` is BibTeX, of which what is cited is listed. `runs` are the records that figures
    and tables link by key. `downloads` are titles and paths relative to the page.

    What pandoc made of the notebooks is kept beside the page, in `.<its name>.json`, and taken from
    there next time. Raises UsageError for a bibliography that cannot be read.
    """
    page = _Page(runs or {})
    notebooks = [_Notebook(page, *section) for section in sections]
    text = " ".join(it.text for it in page.snippets if not it.format.startswith(CODE))
    cited = dict.fromkeys(sorted(set(re.findall(r"#cite-([\w:.+/-]+)", text))), "")
    works = page.snippet("references", bibliography, names=cited)
    _convert(page.snippets, path.with_name(f".{path.stem}.json"))
    if bibliography and works.converted is None:
        raise UsageError("the bibliography is not BibTeX that pandoc can read; correct it")

    parts = [notebook.html() for notebook in notebooks]
    entries = [notebook.entry for notebook in notebooks]
    if 'class="csl-entry"' in (works.converted or ""):
        parts.append(f'<section id="references"><h2>References</h2>{works.html()}</section>')
        entries.append(_Entry("", "references", "References", []))
    if page.runs:
        parts.append(page.records())
        entries.append(_Entry("", "runs", "Runs", []))
    head = _head(title, subtitle, authors, date, provenance or {}, downloads)
    body = _without_dead_links(head + "".join(parts))
    beside = path.with_name(path.name + ".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(_document(title, language, _contents(entries), body), "utf-8", "replace")
    beside.replace(path)


# ------------------------------------------------------------------------------ the page


def _document(title: str, language: str, contents: str, body: str) -> str:
    style, script = STYLE.read_text(encoding="utf-8"), SCRIPT.read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="{html.escape(language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{_escape(title)}</title>
<style>{style}</style>
<script>{script}</script>
</head>
<body>
<a class="skip" href="#text">Skip to the text</a>
<aside>
<div class="tools">
<search><label class="hidden" for="search">Search the report</label>
<input id="search" type="search" placeholder="Search  /" autocomplete="off">
<output id="hits" for="search"></output></search>
<button id="theme" type="button" aria-label="Dark or light" title="Dark or light">◐</button>
</div>
<details id="contents" open><summary>Contents</summary>
<nav aria-label="Contents">{contents}</nav></details>
</aside>
<main id="text" tabindex="-1">
{body}
</main>
</body>
</html>
"""


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _head(title, subtitle, authors, date, provenance, downloads) -> str:
    lines = [("subtitle", subtitle), ("authors", ", ".join(authors)), ("date", date)]
    facts = "".join(
        f"<div><dt>{_escape(name)}</dt><dd>{_escape(value)}</dd></div>"
        for name, value in provenance.items()
    )
    links = "".join(
        f'<li><a href="{html.escape(target)}" download>{_escape(text)}</a></li>'
        for text, target in downloads
    )
    return (
        f"<header><h1>{_escape(title)}</h1>"
        + "".join(f'<p class="{kind}">{_escape(line)}</p>' for kind, line in lines if line)
        + (f'<ul class="downloads" aria-label="Downloads">{links}</ul>' if links else "")
        + (f'<dl class="provenance">{facts}</dl>' if facts else "")
        + "</header>\n"
    )


@dataclass(frozen=True)
class _Entry:
    """A line of the contents, in HTML, and the lines below it: (id, heading)."""

    course: str
    id: str
    heading: str
    below: Sequence[tuple[str, str]]


def _contents(entries: Sequence[_Entry]) -> str:
    lines, course = [], ""
    for entry in entries:
        if entry.course and entry.course != course:
            lines.append(f'<li class="course">{_escape(entry.course)}</li>')
        course = entry.course
        below = "".join(f'<li><a href="#{id}">{heading}</a></li>' for id, heading in entry.below)
        below = below and f"<ol>{below}</ol>"
        lines.append(f'<li><a href="#{entry.id}">{entry.heading}</a>{below}</li>')
    return f"<ol>{''.join(lines)}</ol>"


def _without_dead_links(text: str) -> str:
    """A link whose target is not in the page becomes plain text."""
    ids = set(re.findall(r' id="([^"]+)"', text))
    return re.sub(
        r'<a href="#([^"]+)"[^>]*>(.*?)</a>',
        lambda link: link[0] if html.unescape(link[1]) in ids else link[2],
        text,
        flags=re.DOTALL,
    )


def _escape(text: Any) -> str:
    return html.escape(str(text), quote=False)


# ------------------------------------------------------------------------------ runs


class _Page:
    """What the sections of a page share."""

    def __init__(self, runs: Mapping[str, Recorded]):
        self.runs = runs
        self.snippets: list[_Snippet] = []
        self.numbers: Counter[str] = Counter()  # of figures and of tables so far
        self.titles: defaultdict[str, dict[str, None]] = defaultdict(dict)  # key → names of the run

    def snippet(self, format: str, text: str, **settings) -> "_Snippet":
        self.snippets.append(_Snippet(format, text, number=len(self.snippets), **settings))
        return self.snippets[-1]

    def run_links(self, groups: Any) -> str:
        """The records behind a figure or table; `groups` maps names to keys."""
        if not isinstance(groups, Mapping):
            return ""
        groups = {
            name: [str(key) for key in keys]
            for name, keys in groups.items()
            if keys and isinstance(keys, list)
        }
        for name, keys in groups.items():
            for key in keys:
                self.titles[key][name] = None
        items = "".join(
            f"<li>{_escape(name)}: {' '.join(map(self.run_link, keys))}</li>"
            for name, keys in groups.items()
        )
        count = len({key for keys in groups.values() for key in keys})
        words = f"{count} runs" if count > 1 else "1 run"
        return (
            items and f'<details class="runs"><summary>{words}</summary><ul>{items}</ul></details>'
        )

    def run_link(self, key: str) -> str:
        return f'<a href="#run-{html.escape(key)}"><code>{_escape(key[:8])}</code></a>'

    def records(self) -> str:
        return (
            '<section id="runs"><h2>Runs</h2>'
            "<p>The records behind the figures and tables: what each run was asked for, what it "
            "reached, and where it was trained.</p>"
            + "".join(self.record(key, run) for key, run in self.runs.items())
            + "</section>"
        )

    def record(self, key: str, run: Recorded) -> str:
        about = list(self.titles[key])
        if "seed" in run.config:
            about.append(f"seed {run.config['seed']}")
        for name in ("test_accuracy", "test_cer"):
            if isinstance(run.metrics.get(name), float):
                about.append(f"{name.replace('_', ' ')} {run.metrics[name]:.3f}")
        tables = (
            ("Configuration", _pairs(run.config)),
            ("Metrics", _pairs(run.metrics)),
            ("Environment", _pairs(run.environment)),
        )
        return (
            f'<details class="run" id="run-{html.escape(key)}"><summary><code>{_escape(key[:8])}'
            f"</code> {_escape(', '.join(about))}</summary>"
            + _history(run.history)
            + "".join(f"<h3>{name}</h3>{table}" for name, table in tables)
            + "</details>"
        )


def _history(rows: Sequence[Mapping[str, str]]) -> str:
    """One row per validation, which `page.js` draws as curves."""
    if not rows:
        return ""
    heads = "".join(f"<th>{_escape(name.replace('_', ' '))}</th>" for name in rows[0])
    lines = (
        "".join(f'<td class="number">{_escape(_short(value))}</td>' for value in row.values())
        for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        '<details class="history"><summary>History</summary><div class="table"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _pairs(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_escape(name)}</th><td>{_escape(_short(value))}</td></tr>'
        for name, value in _flat(values)
    )
    return f'<div class="table"><table class="pairs"><tbody>{rows}</tbody></table></div>'


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _short(value: Any) -> str:
    """A value as people write it: numbers with at most six digits, text without quotes."""
    if isinstance(value, str):
        try:
            value = value if value.isdigit() else float(value)
        except ValueError:
            return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return f"{value:.6g}" if isinstance(value, float) else _json_text(value)


def _json_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ------------------------------------------------------------------------------ pandoc


@dataclass
class _Snippet:
    """A piece of Markdown, HTML, LaTeX, BibTeX or code, and after `_convert` its HTML.

    `names` are the labels that it may mention, with what they are called, or the works to list.
    `number` tells its footnotes from those of others.
    """

    format: str
    text: str
    number: int = 0
    names: Mapping[str, str] = field(default_factory=dict)
    attachments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notebook: "_Notebook | None" = None
    plain: str = ""  # stands in where pandoc gives up
    converted: str | None = None

    @cached_property
    def job(self) -> dict[str, Any]:
        text = _CONTROL.sub("", self.text)
        names = self.names
        if self.format != "references":  # the others do not change what becomes of it
            names = {name: called for name, called in names.items() if name in text}
        return {"format": self.format, "text": text, "names": names}

    @cached_property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(self.job, sort_keys=True).encode()).hexdigest()

    def html(self) -> str:
        if self.converted is None:
            return self.plain
        if self.format.startswith(CODE):
            return self.converted
        return _sanitised(self.converted, self)


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def _convert(snippets: Sequence[_Snippet], kept: Path) -> None:
    """Fill in the snippets' HTML, from the file `kept` where they are unchanged."""
    version = hashlib.sha256(PANDOC_SCRIPT.read_bytes()).hexdigest()
    try:
        known = json.loads(kept.read_text(encoding="utf-8"))
        known = known["snippets"] if known["version"] == version else {}
    except (OSError, ValueError, LookupError, TypeError):  # never made, or damaged
        known = {}
    jobs = {it.key: it.job for it in snippets if it.key not in known}
    code = {key: job for key, job in jobs.items() if job["format"].startswith(CODE)}
    markup = {key: job for key, job in jobs.items() if key not in code}
    results = known | {key: _highlighted(**job) for key, job in code.items()} | _pandoc(markup)
    for snippet in snippets:
        snippet.converted = results.get(snippet.key)
    results = {it.key: it.converted for it in snippets if it.converted is not None}
    if results != known:
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_name(kept.name + ".tmp")
        beside.write_text(json.dumps({"version": version, "snippets": results}), encoding="utf-8")
        beside.replace(kept)


def _highlighted(format: str, text: str, **_) -> str:
    try:
        lexer = get_lexer_by_name(format.removeprefix(CODE))
    except ClassNotFound:
        return _escape(text)
    return highlight(text, lexer, HtmlFormatter(nowrap=True))


def _pandoc(jobs: Mapping[str, dict]) -> dict[str, str]:
    """HTML of those that pandoc can read.

    One process for all, because pandoc takes 60 ms to start; it reads each alone.
    """
    if not jobs:
        return {}
    try:
        run = subprocess.run(
            [pypandoc.get_pandoc_path(), "lua", str(PANDOC_SCRIPT)],
            input=json.dumps(list(jobs.values())).encode(),
            capture_output=True,
            timeout=120,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        if len(jobs) == 1:
            return {}
        keys = list(jobs)  # one of them brings pandoc down: the others shall not fall with it
        halves = keys[: len(keys) // 2], keys[len(keys) // 2 :]
        found = [_pandoc({key: jobs[key] for key in half}) for half in halves]
        return found[0] | found[1]
    read = zip(jobs, json.loads(run.stdout), strict=True)
    return {key: text for key, text in read if text is not False}


# ------------------------------------------------------------------------------ safety

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


def _sanitised(text: str, snippet: _Snippet) -> str:
    """HTML without anything that acts, loads or leaks; ids are the section's own."""
    notebook = snippet.notebook

    def own(name: str) -> str:
        if re.fullmatch(r"fn(ref)?\d+", name):
            name = f"{snippet.number}-{name}"
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
            return _linked(value, snippet.attachments)
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
        return next((_data_uri(m, str(v)) for m, v in found.items() if m in PICTURES), None)
    head, _, value = source.partition(",")
    mime, *options = head.removeprefix("data:").split(";")
    if mime not in PICTURES:
        return None
    if "base64" not in options:
        value = base64.b64encode(unquote_to_bytes(value)).decode()
    return _data_uri(mime, unquote(value))


def _data_uri(mime: str, value: str) -> str | None:
    """A picture as the page holds it; SVG comes as text or as base64, the others as base64."""
    try:
        if mime == "image/svg+xml":
            is_text = value.lstrip().startswith("<")
            text = value if is_text else base64.b64decode(value).decode()
            data = _safe_svg(text).encode("utf-8", "replace")
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


def _safe_svg(text: str) -> str:
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


def _as_image(svg: re.Match[str]) -> str:
    """SVG amid HTML as an `<img>`: pandoc would write its names small, which SVG does not know."""
    text = svg[0] if " xmlns=" in svg[0] else svg[0].replace("<svg", f'<svg xmlns="{_SVG}"', 1)
    return f'<img src="data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}">'


def _local(name: Any) -> str:
    return str(name).rpartition("}")[2].lower()


# ------------------------------------------------------------------------------ notebooks


class _Notebook:
    """One section: its cells as HTML and snippets, which become HTML once pandoc has run."""

    def __init__(
        self,
        page: _Page,
        course: str,
        name: str,
        notebook: NotebookNode,
        failure: str | None,
    ):
        self.page = page
        self.course = course
        self.name = name
        self.id = re.sub(r"[^\w/.-]", "-", name)
        self.labels: dict[str, str] = {}  # label → "Figure 3"
        self.ids: set[str] = set()
        self.pieces: list[str | _Snippet] = []
        self.entry = _Entry(course, self.id, _escape(name), [])
        if failure:
            self.failure(f"{name} did not run to its end", failure)
        notebook = rejoin_lines(copy.deepcopy(notebook))
        notebook, _ = CoalesceStreamsPreprocessor().preprocess(notebook, {})
        self.language = notebook.metadata.get("language_info", {}).get("name", "python")
        for cell in notebook.cells:
            self.cell(cell)

    def html(self) -> str:
        """The whole section; `entry` holds its headings from now on."""
        course = f'<p class="course">{_escape(self.course)}</p>' if self.course else ""
        text = "".join(it if isinstance(it, str) else it.html() for it in self.pieces)
        headings = re.findall(r'<h([23]) id="([^"]+)">(.*?)</h\1>', text, flags=re.DOTALL)
        chapters = [heading for level, _, heading in headings if level == "2"]
        below = [(id, _unlinked(heading)) for level, id, heading in headings if level == "3"]
        title = _unlinked(chapters[0]) if chapters else _escape(self.name)
        self.entry = _Entry(self.course, self.id, title, below)
        return f'<section class="notebook" id="{self.id}">{course}{text}</section>\n'

    # -- cells

    def cell(self, cell: NotebookNode) -> None:
        tags = set(cell.metadata.get("tags", ()))
        hidden = bool(tags & HIDDEN_CELL)
        if cell.cell_type == "markdown" and not hidden:
            self.markup("markdown", cell.source, attachments=cell.get("attachments") or {})
        elif cell.cell_type == "raw" and not hidden:
            kind = cell.metadata.get("raw_mimetype") or cell.metadata.get("format") or "text/plain"
            if kind in ("text/markdown", "text/html"):
                self.markup(MARKUP[kind], cell.source)
            elif kind == "text/plain":
                self.printed(cell.source)
        elif cell.cell_type == "code":
            if cell.source.strip() and not (hidden or tags & HIDDEN_INPUT):
                self.add('<details class="code"><summary>Code</summary><pre><code>')
                self.add(self.page.snippet(f"{CODE}{self.language}", cell.source))
                self.add("</code></pre></details>")
            self.outputs(cell, only_errors=hidden or bool(tags & HIDDEN_OUTPUT))

    def outputs(self, cell: NotebookNode, only_errors: bool) -> None:
        own = {key: cell.metadata[key] for key in ("caption", "label") if key in cell.metadata}
        for output in cell.outputs:
            if output.output_type == "error":
                trace = "\n".join(output.traceback).split("\n")
                if len(trace) > TRACEBACK_LINES:
                    trace = ["…", *trace[-TRACEBACK_LINES:]]
                self.failure(output.ename, output.evalue, "\n".join(trace))
            elif only_errors:
                continue
            elif output.output_type == "stream":
                self.printed(output.text)
            elif not output.data.keys() <= {WIDGET, "text/plain"} or WIDGET not in output.data:
                labkit = output.metadata.get("labkit")
                if not isinstance(labkit, dict):
                    pictured = output.data.keys() & {*PICTURES, "text/html"}
                    labkit, own = (own, {}) if pictured else ({}, own)
                self.display(output.data, output.metadata, labkit)

    def display(self, data: Mapping, metadata: Mapping, labkit: Mapping) -> None:
        table = re.search(r"<table.*</table>", str(data.get("text/html", "")), re.DOTALL)
        if table and "caption" in labkit:  # which the HTML repeats, for Jupyter
            data = {**data, "text/html": table[0]}
        if "caption" not in labkit:
            self.shown(data, metadata, str(labkit.get("alt", "")))
            return
        kind = (
            "table" if labkit.get("kind", "table" if table else "figure") == "table" else "figure"
        )
        self.page.numbers[kind] += 1
        number = f"{kind.title()} {self.page.numbers[kind]}"
        label = str(labkit.get("label") or "")
        if label:
            self.labels[label] = number
        id = label and f' id="{html.escape(self.new_id(f"{self.id}/{label.lower()}"))}"'
        provenance = str(labkit.get("provenance") or "")
        self.add(f'<figure class="{kind}"{id}>')
        if kind == "figure":
            self.shown(data, metadata, str(labkit.get("alt", "")))
        self.add(f"<figcaption><strong>{number}.</strong> ")
        self.markup("markdown", str(labkit["caption"]))
        self.add("</figcaption>")
        if kind == "table":
            self.shown(data, metadata, str(labkit.get("alt", "")))
        self.add(f'<p class="provenance">{_escape(provenance)}</p>' if provenance else "")
        self.add(self.page.run_links(labkit.get("runs")) + "</figure>")

    def shown(self, data: Mapping, metadata: Mapping, alt: str) -> None:
        """The richest form of an output that a page can hold."""
        plain = strip_ansi(str(data.get("text/plain", "")))
        for mime in [mime for mime in (*PICTURES, *MARKUP) if mime in data]:
            value = data[mime] if isinstance(data[mime], str) else _json_text(data[mime])
            if mime in PICTURES and (uri := _data_uri(mime, value)):
                size = metadata.get(mime)
                width = size.get("width") if isinstance(size, dict) else None
                wide = f' width="{width:.0f}"' if isinstance(width, int | float) else ""
                words = html.escape(alt or plain)
                self.add(f'<img src="{uri}" alt="{words}"{wide} decoding="async">')
                return
            if mime in MARKUP and (len(value) < LONGEST_HTML or "<table" in value):
                self.markup(MARKUP[mime], value, plain=plain)
                return
        rest = (data[mime] for mime in (*MARKUP, "application/json") if mime in data)
        self.printed(plain or _json_text(next(rest, "")) or f"({', '.join(data)})" * bool(data))

    # -- pieces

    def new_id(self, wanted: str) -> str:
        """`wanted`, or where another has it, something like it."""
        while wanted in self.ids:
            wanted += "-1"
        self.ids.add(wanted)
        return wanted

    def markup(self, format: str, text: str, *, plain: str = "", **settings) -> None:
        if format == "markdown":
            text = _BARE_MATH.sub(lambda m: m[0] if m["kept"] else f"$${m[0]}$$", text)
        elif format == "html":
            text = _INLINE_SVG.sub(_as_image, text)
        settings |= {"plain": _printed(plain or text), "names": self.labels, "notebook": self}
        self.add(self.page.snippet(format, text, **settings))

    def printed(self, text: str) -> None:
        if text.strip():
            self.add(_printed(text))

    def failure(self, name: str, message: str, trace: str = "") -> None:
        trace = f"<pre>{_terminal(trace)}</pre>" if trace.strip() else ""
        self.add(
            f'<div class="failure"><strong>{_terminal(name)}</strong>'
            f"<p>{_terminal(message)}</p>{trace}</div>"
        )

    def add(self, piece: "str | _Snippet") -> None:
        self.pieces.append(piece)


def _printed(text: str) -> str:
    return f'<pre class="printed">{_terminal(text)}</pre>'


def _terminal(text: str) -> str:
    """Text with ANSI's colours as classes."""
    return _CONTROL.sub("", ansi2html(text))


# Jupyter renders these environments without dollars around them; CommonMark does not know them.
_BARE_MATH = re.compile(
    r"(?P<kept>^(?P<fence>`{3,}|~{3,}).*?^(?P=fence)|(?P<ticks>`+)[^`]+(?P=ticks)"
    r"|\$\$.*?\$\$|\$[^$\n]+\$)"
    r"|\\begin\{(?P<name>(?:align|equation|gather|multline|eqnarray|alignat)\*?)\}.*?\\end\{(?P=name)\}",
    re.DOTALL | re.MULTILINE,
)


def _unlinked(heading: str) -> str:
    """A heading for the contents: without links, and without ids, which the heading has."""
    return re.sub(r"</?a[^>]*>|<sup>.*?</sup>| id=\"[^\"]*\"", "", heading)
