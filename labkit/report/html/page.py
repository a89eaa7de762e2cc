"""Executed notebooks as one static HTML page that needs nothing but itself.

The way of a notebook: its cells become pieces of HTML, of which Markdown, HTML and LaTeX are
snippets that one pandoc process converts. Whatever comes from a notebook is then sanitised, and
pictures become `data:` URIs inside `<img>`, where no browser runs a script or loads anything. The
page's policy says the same once more: only labkit's own script and style, named by their digests.

`page.css` and `page.js` hold the look and what can be done with the page, `figures/sorting.js` what
sorts its tables; without JavaScript everything can still be read.
"""

import base64
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from nbformat import NotebookNode

from labkit import project
from labkit.errors import UsageError
from labkit.figures.showing import SORTING
from labkit.report.facts import Recorded
from labkit.report.html.runs import Page
from labkit.report.html.sanitised import escape
from labkit.report.html.section import Entry, Section
from labkit.report.html.snippets import CODE, convert

STYLE = Path(__file__).with_name("page.css")

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
    page = Page(runs or {})
    notebooks = [Section(page, *section) for section in sections]
    text = " ".join(it.text for it in page.snippets if not it.format.startswith(CODE))
    cited = dict.fromkeys(sorted(set(re.findall(r"#cite-([\w:.+/-]+)", text))), "")
    works = page.snippet("references", bibliography, names=cited)
    convert(page.snippets, path.with_name(f".{path.stem}.json"))
    if bibliography and works.converted is None:
        raise UsageError("the bibliography is not BibTeX that pandoc can read; correct it")

    parts = [notebook.html() for notebook in notebooks]
    entries = [notebook.entry for notebook in notebooks]
    if 'class="csl-entry"' in (works.converted or ""):
        parts.append(f'<section id="references"><h2>References</h2>{works.html()}</section>')
        entries.append(Entry("", "references", "References", []))
    if page.runs:
        parts.append(page.records())
        entries.append(Entry("", "runs", "Runs", []))
    head = _head(title, subtitle, authors, date, provenance or {}, downloads)
    body = _without_dead_links(head + "".join(parts))
    page = _document(title, language, _contents(entries), body)
    project.write_whole(path, page.encode("utf-8", "replace"))


def script() -> str:
    """The page's script: contents, search, theme, figures, and tables that are sorted."""
    own = Path(__file__).with_name("page.js")
    return own.read_text(encoding="utf-8") + SORTING.read_text(encoding="utf-8")


def _document(title: str, language: str, contents: str, body: str) -> str:
    style = STYLE.read_text(encoding="utf-8")
    code = script()
    policy = (
        f"default-src 'none'; script-src '{_digest(code)}'; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return f"""<!DOCTYPE html>
<html lang="{html.escape(language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>{style}</style>
<script>{code}</script>
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
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in provenance.items()
    )
    links = "".join(
        f'<li><a href="{html.escape(target)}" download>{escape(text)}</a></li>'
        for text, target in downloads
    )
    return (
        f"<header><h1>{escape(title)}</h1>"
        + "".join(f'<p class="{kind}">{escape(line)}</p>' for kind, line in lines if line)
        + (f'<ul class="downloads" aria-label="Downloads">{links}</ul>' if links else "")
        + (f'<dl class="provenance">{facts}</dl>' if facts else "")
        + "</header>\n"
    )


def _contents(entries: Sequence[Entry]) -> str:
    lines, course = [], ""
    for entry in entries:
        if entry.course != course:  # without one it is of them all
            of = entry.course or "Across the courses"
            lines.append(f'<li class="course">{escape(of)}</li>')
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
