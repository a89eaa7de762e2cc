"""One executed notebook as a section of the page: its cells as HTML, in the order they stand."""

import copy
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nbconvert.filters.ansi import ansi2html, strip_ansi
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from nbformat.v4.rwbase import rejoin_lines

from labkit.report.html.runs import Page, json_text
from labkit.report.html.sanitised import PICTURES, data_uri, escape, with_svg_as_images
from labkit.report.html.snippets import CODE, CONTROL, Snippet
from labkit.report.typst import (
    HIDDEN_CELL,
    HIDDEN_INPUT,
    HIDDEN_OUTPUT,
    LONGEST_HTML,
    MARKUP,
    TRACEBACK_LINES,
    WIDGET,
    jupyter_markdown,
)


@dataclass(frozen=True)
class Entry:
    """A line of the contents, in HTML, and the lines below it: (id, heading)."""

    course: str
    id: str
    heading: str
    below: Sequence[tuple[str, str]]


class Section:
    """One section: its cells as HTML and snippets, which become HTML once pandoc has run."""

    def __init__(
        self,
        page: Page,
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
        self.pieces: list[str | Snippet] = []
        self.entry = Entry(course, self.id, escape(name), [])
        if failure:
            self.failure(f"{name} did not run to its end", failure)
        notebook = rejoin_lines(copy.deepcopy(notebook))
        notebook, _ = CoalesceStreamsPreprocessor().preprocess(notebook, {})
        self.language = notebook.metadata.get("language_info", {}).get("name", "python")
        for cell in notebook.cells:
            self.cell(cell)

    def html(self) -> str:
        """The whole section; `entry` holds its headings from now on."""
        course = f'<p class="course">{escape(self.course)}</p>' if self.course else ""
        text = "".join(it if isinstance(it, str) else it.html() for it in self.pieces)
        headings = re.findall(r'<h([23]) id="([^"]+)">(.*?)</h\1>', text, flags=re.DOTALL)
        chapters = [heading for level, _, heading in headings if level == "2"]
        below = [(id, _unlinked(heading)) for level, id, heading in headings if level == "3"]
        title = _unlinked(chapters[0]) if chapters else escape(self.name)
        self.entry = Entry(self.course, self.id, title, below)
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
        self.add(f'<p class="provenance">{escape(provenance)}</p>' if provenance else "")
        self.add(self.page.run_links(labkit.get("runs")) + "</figure>")

    def shown(self, data: Mapping, metadata: Mapping, alt: str) -> None:
        """The richest form of an output that a page can hold."""
        plain = strip_ansi(str(data.get("text/plain", "")))
        for mime in [mime for mime in (*PICTURES, *MARKUP) if mime in data]:
            value = data[mime] if isinstance(data[mime], str) else json_text(data[mime])
            if mime in PICTURES and (uri := data_uri(mime, value)):
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
        self.printed(plain or json_text(next(rest, "")) or f"({', '.join(data)})" * bool(data))

    # -- pieces

    def new_id(self, wanted: str) -> str:
        """`wanted`, or where another has it, something like it."""
        while wanted in self.ids:
            wanted += "-1"
        self.ids.add(wanted)
        return wanted

    def markup(self, format: str, text: str, *, plain: str = "", **settings) -> None:
        if format == "markdown":
            text = jupyter_markdown(text)
        elif format == "html":
            text = with_svg_as_images(text)
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

    def add(self, piece: str | Snippet) -> None:
        self.pieces.append(piece)


def _printed(text: str) -> str:
    return f'<pre class="printed">{_terminal(text)}</pre>'


def _terminal(text: str) -> str:
    """Text with ANSI's colours as classes."""
    return CONTROL.sub("", ansi2html(text))


def _unlinked(heading: str) -> str:
    """A heading for the contents: without links, and without ids, which the heading has."""
    return re.sub(r"</?a[^>]*>|<sup>.*?</sup>| id=\"[^\"]*\"", "", heading)
