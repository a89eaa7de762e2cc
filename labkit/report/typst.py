"""Executed notebooks as Typst markup and as PDF, alone or bound into one report.

The way of a notebook: its cells become blocks of Typst; whatever in them is Markdown, HTML or
LaTeX is converted by one pandoc process; the blocks are tried, and one that Typst refuses is
replaced by its plain source. A `Section` therefore always compiles. `template.typ` holds the look.
"""

import base64
import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, unquote_to_bytes

import pypandoc
import typst
from nbconvert.exporters import Exporter
from nbformat import NotebookNode
from traitlets import Bool, default

from labkit import project
from labkit.errors import UsageError
from labkit.report import svg
from labkit.report.fonts import fonts, missing

TEMPLATE = Path(__file__).with_name("template.typ")
PANDOC_SCRIPT = Path(__file__).with_name("pandoc.lua")
TABLES_SCRIPT = Path(__file__).with_name("tables.lua")  # that it and html's own read

HIDDEN_INPUT = {"remove_input", "remove-input", "hide-input", "parameters", "injected-parameters"}
HIDDEN_OUTPUT = {"remove_output", "remove-output", "hide-output"}
HIDDEN_CELL = {"remove_cell", "remove-cell", "hide-cell"}

PICTURES = {
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "application/pdf": "pdf",
}
LOGOS = (".svg", ".png", ".jpg", ".pdf")
MARKUP = {"text/markdown": "markdown", "text/html": "html", "text/latex": "latex"}
WIDGET = "application/vnd.jupyter.widget-view+json"
REPLACED_WIDGET = "labkit-replaced-widget"  # of `labkit.lab.opening`

TRACEBACK_LINES = 24
LONGEST_WHOLE_TABLE = 24  # rows; a table of more may go over pages
LONGEST_WHOLE_TEXT = 2_000  # characters of a table; one of more may as well
LONGEST_ENTRY = 78  # characters of a caption in the lists of figures and tables: one line
LONGEST_ALT = 500  # characters, read aloud
MOST_LINES, LONGEST_LINE = 400, 4_000  # of a text output: six pages
LONGEST_HTML = 200_000  # characters; beyond it comes the text form, except for tables


class TypesettingError(RuntimeError):
    """Typst refused a document; the message holds the line of source."""


@dataclass(frozen=True)
class Section:
    """A part of a report: Typst markup, and the picture files that it names."""

    body: str
    files: Mapping[str, bytes] = field(default_factory=dict)


APPENDIX = Section("#show: appendix")  # the sections behind it are numbered A, B, …


# ------------------------------------------------------------------------------ public functions


def section(
    notebook: NotebookNode,
    *,
    show_code: bool = False,
    name: str = "",
    heading_offset: int = 0,
    folder: Path | None = None,
) -> Section:
    """An executed notebook as a section.

    `name` prefixes file names and labels, and must differ between the sections of one document.
    `folder` is where pictures that the Markdown links by relative path are looked for.
    """
    language = notebook.metadata.get("language_info", {}).get("name", "python")
    writer = _Writer(name, folder)
    for cell in notebook.cells:
        writer.cell(cell, show_code, language)
    return writer.section(heading_offset)


def cached_section(notebook: NotebookNode, folder: Path, **options) -> Section:
    """What `section` gives, kept in `folder` until notebook, options or this code change."""
    settings = {key: str(it) for key, it in options.items()}
    written = json.dumps([_what_is_shown(notebook), settings])
    digest = hashlib.sha256(f"{_converter()} {written}".encode()).hexdigest()
    slug = re.sub(r"\W+", "-", options.get("name", "")).strip("-") or "notebook"
    kept = folder / f"{slug}.section.json"
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["digest"] == digest:
            files = {name: base64.b64decode(data) for name, data in found["files"].items()}
            return Section(found["body"], files)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never made, or damaged: made anew
    made = section(notebook, **options)
    files = {name: base64.b64encode(data).decode() for name, data in made.files.items()}
    content = {"digest": digest, "body": made.body, "files": files}
    project.write_whole(kept, json.dumps(content).encode())
    return made


def markdown(text: str, *, name: str = "", heading_offset: int = 0) -> Section:
    """Markdown as a section."""
    writer = _Writer(name, None)
    writer.markdown(text)
    return writer.section(heading_offset)


def failure(title: str, message: str) -> Section:
    """A marked box that says what is missing from the report, and why."""
    return call("failure", title, message=_plain(message))


def call(function: str, *values, **named) -> Section:
    """What a function of `template.typ` makes of text, tuples of text, and sections."""
    files = {}
    for value in (*values, *named.values()):
        files |= value.files if isinstance(value, Section) else {}
    return Section(_call(function, *values, **named), files)


def document(
    sections: Iterable[Section],
    *,
    title: str,
    subtitle: str = "",
    authors: Sequence[str] = (),
    date: str = "",
    abstract: str = "",
    provenance: Mapping[str, str] | None = None,
    contents: bool = True,
    lists: bool = False,
    language: str = "en",
    logo: Path | None = None,
    bibliography: str = "",
) -> tuple[str, dict[str, bytes]]:
    """The source and the files of a whole report; `abstract` is Markdown, the rest plain text.

    With `lists` the contents are followed by lists of figures and tables. `bibliography` is BibTeX:
    a link to `#cite-KEY` gets the number of that work, and the works so cited are listed at the
    end. `logo` is a picture for the title page, and `language` the ISO 639 code of the text.

    Raises UsageError where the logo cannot be read.
    """
    sections = list(sections)
    opening = markdown(abstract, name="abstract")
    picture = _logo(logo) if logo else {}
    files = dict(picture)
    cited = {key for part in sections for key in re.findall(r'#cited\("([^"]+)"\)', part.body)}
    works = re.findall(r"^\s*@\w+\s*\{\s*([^,\s]+)\s*,", bibliography, flags=re.MULTILINE)
    if keys := tuple(key for key in works if key in cited):
        files["bibliography.bib"] = bibliography.encode()
        sections.append(call("references", "bibliography.bib", keys))
    start = _call(
        "show: report.with",
        title=title,
        subtitle=subtitle,
        authors=tuple(authors),
        date=date,
        abstract=_Markup(opening.body),
        provenance=tuple((provenance or {}).items()),
        contents=contents,
        lists=lists,
        language=language,
        logo=next(iter(picture), ""),
    )
    source, pictures = _joined(start, sections)
    return source, files | pictures


def _logo(path: Path) -> dict[str, bytes]:
    suffix = path.suffix.lower()
    if suffix not in LOGOS:
        raise UsageError(f"logo {path} is no picture; give a file {' or '.join(LOGOS)}")
    try:
        return {f"logo{suffix}": path.read_bytes()}
    except OSError as error:
        raise UsageError(f"cannot read the logo {path} ({error.strerror}); correct it") from None


def article(sections: Iterable[Section], *, title: str) -> tuple[str, dict[str, bytes]]:
    """The source and the files of a few pages, without title page and contents."""
    return _joined(_call("show: article.with", title=title), list(sections))


def _joined(start: str, sections: Sequence[Section]) -> tuple[str, dict[str, bytes]]:
    body = "\n\n".join(part.body for part in sections)
    files = {name: data for part in sections for name, data in part.files.items()}
    if names := missing(start + body):
        start = f"{_call('show: named.with', tuple(names.items()))}\n{start}"
    return f"{_template()}\n{start}\n\n{body}\n", files


def compile_pdf(source: str, files: Mapping[str, bytes]) -> bytes:
    """The PDF of a Typst source; the same bytes for the same input."""
    with _on_disk(source, files) as main:
        try:
            return typst.compile(main, root=main.parent, font_paths=fonts())
        except RuntimeError as error:
            message = getattr(error, "diagnostic", str(error))
            message = re.sub(rf"[^\s(]*{main.parent.name}/", "", message)
            raise TypesettingError(message) from error


class TypstExporter(Exporter):
    """`jupyter nbconvert --to typst`: one `.typ` with its look inside, pictures beside it."""

    show_code = Bool(False, help="Show the code cells' source.").tag(config=True)
    export_from_notebook = "Typst"
    output_mimetype = "text/vnd.typst"

    @default("file_extension")
    def _file_extension_default(self) -> str:
        return ".typ"

    def from_notebook_node(self, nb, resources=None, **kw):
        nb, resources = super().from_notebook_node(nb, resources, **kw)
        metadata = resources.get("metadata", {})
        title, nb = _split_title(nb)
        name = resources.get("output_files_dir") or "notebook_files"
        part = section(
            nb, show_code=self.show_code, name=f"{name}/", folder=Path(metadata.get("path") or ".")
        )
        title = markdown(title).body if title else _call("text", metadata.get("name", "Notebook"))
        source, files = _joined(_call("show: article.with", title=_Markup(title)), [part])
        resources["outputs"] = {**(resources.get("outputs") or {}), **files}
        return source, resources


class TypstPDFExporter(TypstExporter):
    """`jupyter nbconvert --to typstpdf`: the notebook as PDF."""

    export_from_notebook = "PDF via Typst"
    output_mimetype = "application/pdf"

    @default("file_extension")
    def _file_extension_default(self) -> str:
        return ".pdf"

    def from_notebook_node(self, nb, resources=None, **kw):
        source, resources = super().from_notebook_node(nb, resources, **kw)
        return compile_pdf(source, resources.pop("outputs")), resources


# ------------------------------------------------------------------------------ Typst as text


class _Markup(str):
    """Typst markup; a plain str becomes a quoted string, which Typst takes literally."""


def _typst(value) -> str:
    match value:
        case _Markup():
            return f"[{value}]"
        case Section():
            return f"[{value.body}]"
        case str():
            return '"' + _clean(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
        case bool():
            return str(value).lower()
        case float() | int():
            return f"{value}pt"
        case tuple():
            return "(" + "".join(f"{_typst(item)}, " for item in value) + ")"
    raise TypeError(f"no Typst form for {value!r}")


def _call(function: str, *values, **named) -> str:
    arguments = [_typst(value) for value in values]
    arguments += [f"{key}: {_typst(value)}" for key, value in named.items()]
    return f"#{function}({', '.join(arguments)})"


def _what_is_shown(notebook: NotebookNode) -> list[dict]:
    """The cells without what each execution changes: its times, its count, ids."""
    shown = []
    for cell in notebook.cells:
        about = {key: it for key, it in cell.metadata.items() if key not in _OF_AN_EXECUTION}
        outputs = [
            {key: it for key, it in output.items() if key != "execution_count"}
            for output in cell.get("outputs", [])
        ]
        attachments = cell.get("attachments", {})
        shown.append({"source": cell.source, "metadata": about, "type": cell.cell_type})
        shown[-1] |= {"outputs": outputs, "attachments": attachments}
    return shown


_OF_AN_EXECUTION = ("papermill", "execution")


@cache
def _converter() -> str:
    """What decides how a notebook is converted, beside the notebook."""
    modules = (Path(__file__).with_name(f"{name}.py") for name in ("typst", "svg", "fonts"))
    own = (*modules, TEMPLATE, PANDOC_SCRIPT, TABLES_SCRIPT)
    return hashlib.sha256(b"".join(path.read_bytes() for path in own)).hexdigest()


@cache
def _template() -> str:
    return TEMPLATE.read_text(encoding="utf-8")


@contextmanager
def _on_disk(source: str, files: Mapping[str, bytes]) -> Iterator[Path]:
    with TemporaryDirectory(prefix="labkit-typst-") as folder:
        for name, data in {"main.typ": source.encode(), **files}.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        yield Path(folder, "main.typ")


def _compiles(markup: str, files: Mapping[str, bytes]) -> bool:
    with _on_disk(f"{_template()}\n#show: style\n{markup}\n", files) as main:
        try:  # a query lays the document out, and spares the PDF
            typst.query(main, "<none>", root=main.parent, font_paths=fonts())
        except RuntimeError:
            return False
    return True


# ------------------------------------------------------------------------------ plain text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-_]?")


def _clean(text: str) -> str:
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _terminal(text: str) -> str:
    """What a terminal shows in the end: no colours, and only the last state of a progress bar."""
    lines = _ANSI.sub("", text).replace("\r\n", "\n").split("\n")
    states = ([part for part in line.split("\r") if part.strip()] for line in lines)
    shown = (re.sub(r"[^\b]\x08", "", parts[-1]) if parts else "" for parts in states)
    return "\n".join(line.expandtabs(8).rstrip() for line in shown).strip("\n")


def _plain(value) -> str:
    """The text of a MIME value: nbformat allows a string, a list of lines, or JSON."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "".join(value)
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


# what must not be cut: formulas, code, links and emphasis
_WORD = re.compile(r"(?:\$[^$]+\$|`[^`]+`|\[[^\]]*\]\([^)]*\)|\*+[^*]+\*+|\S)+")


def _first_sentence(caption: str) -> str:
    """What a list of figures shows of a caption: its first sentence, or how that begins.

    >>> _first_sentence("Loss for $t . T$ (seeds 0, 1). Dotted: the mean.")
    'Loss for $t . T$ (seeds 0, 1)'
    """
    text = re.sub(r"^\*\*[^*]*\*\*\s*", "", caption)  # such as that the data are a stand-in
    text = re.sub(r"\[([^\]]*)\]\(#cite-[^)]*\)", r"\1", text)
    words = _WORD.findall(text)
    sentence = ""
    for word, following in pairwise([*words, ""]):
        if len(sentence) + len(word) > LONGEST_ENTRY:
            if sentence.count("(") > sentence.count(")"):
                sentence = sentence[: sentence.rindex("(")]
            return sentence.rstrip(" ,;:–") + " …"
        sentence += f" {word}" if sentence else word
        if word[-1] == "." and (not following or following[0].isupper()):
            break
    return sentence.rstrip(".:;")


# Jupyter renders these environments without dollars around them; CommonMark does not know them.
_BARE_MATH = re.compile(
    r"(?P<kept>^(?P<fence>`{3,}|~{3,}).*?^(?P=fence)|(?P<ticks>`+)[^`]+(?P=ticks)"
    r"|\$\$.*?\$\$|\$[^$\n]+\$)"
    r"|\\begin\{(?P<name>(?:align|equation|gather|multline|eqnarray|alignat)\*?)\}.*?\\end\{(?P=name)\}",
    re.DOTALL | re.MULTILINE,
)


_CODE = re.compile(r"^(`{3,}|~{3,}).*?^\1|(`+)[^`]+\2", re.DOTALL | re.MULTILINE)
_BRACES = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_MACRO = re.compile(
    r"\\(?:(?:re)?newcommand|DeclareMathOperator|def)\*?\s*(?:\{\\[a-zA-Z]+\}|\\[a-zA-Z]+)"
    rf"(?:\[[^\]]*\]|#\d)*\s*{_BRACES}"
)


def jupyter_markdown(text: str) -> str:
    """Markdown with dollars around the environments that Jupyter renders without them."""
    return _BARE_MATH.sub(lambda m: m[0] if m["kept"] else f"$${m[0]}$$", text)


def _split_title(notebook: NotebookNode) -> tuple[str, NotebookNode]:
    """The first `# ` heading as Markdown, and the notebook without it."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            outside_fences = re.sub(
                r"^(```|~~~).*?^\1", lambda m: " " * len(m[0]), cell.source, flags=re.S | re.M
            )
            heading = re.search(r"^# +(.+?)[ #]*$", outside_fences, flags=re.M)
            if heading:
                cell.source = cell.source[: heading.start()] + cell.source[heading.end() :]
                return heading[1], notebook
    return "", notebook


# ------------------------------------------------------------------------------ pandoc


@dataclass
class _Snippet:
    """A piece of Markdown, HTML or LaTeX, and after `_convert` its Typst (None if it has none)."""

    format: str
    text: str
    attachments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    typst: str | None = None
    formulas: Sequence[Mapping[str, str]] = ()
    pictures: Sequence[str] = ()


def _convert(
    snippets: Sequence[_Snippet],
    *,
    name: str,
    labels: Sequence[str],
    macros: Sequence[str],
    heading_offset: int,
    verbatim: Sequence[str] = (),
) -> None:
    """Fills in the snippets' Typst; formulas listed in `verbatim` are shown as their source.

    `macros` are LaTeX definitions, which hold in all formulas, as MathJax has it.

    One process for all, because pandoc takes 60 ms to start; it reads each alone, so that an
    unclosed comment or fence ends with its cell.
    """
    if not snippets:
        return
    common = {
        "name": name,
        "labels": labels,
        "macros": macros,
        "heading_offset": heading_offset,
        "verbatim": verbatim,
    }
    pieces = [{"format": it.format, "text": _clean(it.text)} for it in snippets]
    try:
        run = subprocess.run(
            [pypandoc.get_pandoc_path(), "lua", str(PANDOC_SCRIPT)],
            input=json.dumps({**common, "snippets": pieces}).encode(),
            capture_output=True,
            timeout=60,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        if len(snippets) > 1:  # one of them brings pandoc down: the others shall not fall with it
            middle = len(snippets) // 2
            for half in (snippets[:middle], snippets[middle:]):
                _convert(half, **common)
        return
    for snippet, result in zip(snippets, json.loads(run.stdout), strict=True):
        snippet.typst = result.get("typst")
        snippet.formulas = result["formulas"]
        snippet.pictures = result["pictures"]


# ------------------------------------------------------------------------------ cells to blocks


@dataclass
class _Block:
    """A piece of the page: `make` writes it from converted snippets, `plain` stands in for it."""

    make: Callable[[], str]
    plain: str
    snippets: Sequence[_Snippet] = ()
    refused: bool = False

    @property
    def typst(self) -> str:
        unread = any(snippet.typst is None for snippet in self.snippets)
        return self.plain if self.refused or unread else self.make()


class _Writer:
    """Collects the blocks and files of one section."""

    def __init__(self, name: str, folder: Path | None):
        self.name = name
        self.folder = folder
        self.blocks: list[_Block] = []
        self.files: dict[str, bytes] = {}
        self.labels: list[str] = []
        self.broken: set[str] = set()  # files that Typst cannot read

    # -- cells

    def cell(self, cell: NotebookNode, show_code: bool, language: str) -> None:
        tags = set(cell.metadata.get("tags", ()))
        hidden = bool(tags & HIDDEN_CELL)
        if cell.cell_type == "markdown" and not hidden:
            self.markdown(cell.source, cell.get("attachments", {}))
        elif cell.cell_type == "raw" and not hidden:
            self.raw(cell)
        elif cell.cell_type == "code":
            removed = cell.get("transient", {}).get("remove_source")  # by nbconvert's own filter
            if show_code and cell.source.strip() and not (hidden or removed or tags & HIDDEN_INPUT):
                self.add(_call("code", cell.source, lang=language))
            self.outputs(cell, only_errors=hidden or bool(tags & HIDDEN_OUTPUT))

    def markdown(self, text: str, attachments: Mapping | None = None) -> None:
        if text.strip():
            snippet = _Snippet("markdown", jupyter_markdown(text), attachments or {})
            self.add(lambda: snippet.typst, _call("printed", text), snippet)

    def raw(self, cell: NotebookNode) -> None:
        kind = cell.metadata.get("raw_mimetype") or cell.metadata.get("format") or "text/plain"
        if kind == TypstExporter.output_mimetype:
            self.add(cell.source, _call("printed", cell.source))
        elif kind == "text/markdown":
            self.markdown(cell.source)
        elif kind == "text/plain":
            self.printed(cell.source)

    def outputs(self, cell: NotebookNode, only_errors: bool) -> None:
        own = {key: cell.metadata[key] for key in ("caption", "label") if key in cell.metadata}
        for output in map(_as_displayed, _joined_streams(cell.outputs)):
            if output.output_type == "error":
                trace = _terminal("\n".join(output.traceback)).split("\n")
                if len(trace) > TRACEBACK_LINES:
                    trace = ["…", *trace[-TRACEBACK_LINES:]]
                name, message = _terminal(output.ename), _terminal(output.evalue)
                self.add(_call("failure", name, message=message, trace="\n".join(trace)))
            elif only_errors or _is_bare_widget(output):
                continue
            elif output.output_type == "stream":
                self.printed(output.text)
            else:
                labkit = output.metadata.get("labkit")
                pictured = output.data.keys() & {*PICTURES, "text/html"}
                if not isinstance(labkit, dict):
                    labkit, own = (own, {}) if pictured else ({}, own)
                self.display(output.data, output.metadata, labkit)

    def printed(self, text: str) -> None:
        if text := _terminal(_plain(text)):
            self.add(_call("printed", _shortened(text)))

    def display(self, data: Mapping, metadata: Mapping, labkit: Mapping) -> None:
        table = re.search(r"<table.*</table>", _plain(data.get("text/html", "")), re.DOTALL)
        if table and "caption" in labkit:  # which the HTML repeats, for Jupyter
            data = {**data, "text/html": table[0]}
        words = labkit.get("alt") or labkit.get("caption") or data.get("text/plain", "")
        alt = _terminal(_plain(words))[:LONGEST_ALT] or "A picture without a description"
        make, plain, snippets = self.shown(data, metadata, alt)
        if "caption" not in labkit:
            if plain:
                self.add(make, plain, *snippets)
            return
        caption = _Snippet("markdown", str(labkit["caption"]))
        short = _Snippet("markdown", _first_sentence(caption.text))
        label = str(labkit.get("label") or "")
        if label:
            self.labels.append(label)
        settings = {
            "kind": str(labkit.get("kind") or ("table" if table else "figure")),
            "provenance": str(labkit.get("provenance") or ""),
            "name": label and self.name + label,
            "long": _is_long(_plain(data.get("text/html", ""))),
        }

        def figure(caption: str, short: str, body: str) -> str:
            captions = {"caption": _Markup(caption), "short": _Markup(short)}
            return _call("captioned", _Markup(body), **captions, **settings)

        self.add(
            lambda: figure(caption.typst, short.typst, make()),
            figure(_call("text", caption.text), _call("text", short.text), plain),
            caption,
            short,
            *snippets,
        )

    def shown(self, data: Mapping, metadata: Mapping, alt: str):
        """The richest form of an output that we can set, as (make, plain, snippets)."""
        plain = _plain_output(data)
        for mime in [mime for mime in (*PICTURES, *MARKUP) if mime in data]:
            value = _plain(data[mime])
            if mime in PICTURES and (picture := _decoded(mime, value)):
                size = metadata.get(mime)
                pixels = size.get("width") if isinstance(size, dict) else None
                width = {"width": pixels * 0.75} if isinstance(pixels, int | float) else {}
                file = self.keep(picture, PICTURES[mime])
                return partial(_call, "shown", file, alt=alt, **width), plain, []
            if mime in MARKUP and (len(value) < LONGEST_HTML or "<table" in value):
                snippet = _Snippet(MARKUP[mime], value)
                return partial(lambda it: it.typst or plain, snippet), plain, [snippet]
        return (lambda: plain), plain, []

    # -- files

    def keep(self, data: bytes, suffix: str) -> str:
        if suffix == "svg":
            data, suffix = svg.settable(data)
        separator = "" if self.name.endswith("/") or not self.name else "-"
        file = f"{self.name}{separator}{hashlib.sha256(data).hexdigest()[:12]}.{suffix}"
        self.files[file] = data
        return file

    def linked(self, source: str, attachments: Mapping) -> str | None:
        """The file of a picture that Markdown or HTML names; None where there is none."""
        data, suffix = None, ""
        if source.startswith("attachment:"):
            for mime, value in attachments.get(unquote(source[11:]), {}).items():
                data, suffix = _decoded(mime, _plain(value)), PICTURES.get(mime, "")
        elif source.startswith("data:"):
            head, _, value = source[5:].partition(",")
            mime, *options = head.split(";")
            data = _decoded(mime, value) if "base64" in options else unquote_to_bytes(value)
            suffix = PICTURES.get(mime, "")
        elif self.folder and "://" not in source:
            path = self.folder / unquote(source)
            suffix = {"jpeg": "jpg"}.get(path.suffix[1:].lower(), path.suffix[1:].lower())
            if suffix in PICTURES.values() and path.is_file():
                data = path.read_bytes()
        return self.keep(data, suffix) if data and suffix in PICTURES.values() else None

    # -- blocks

    def add(self, make: str | Callable[[], str], plain: str = "", *snippets: _Snippet) -> None:
        if isinstance(make, str):
            self.blocks.append(_Block(lambda: make, plain or make))
        else:
            self.blocks.append(_Block(make, plain, snippets))

    def section(self, heading_offset: int) -> Section:
        snippets = [snippet for block in self.blocks for snippet in block.snippets]
        texts = [_CODE.sub("", it.text) for it in snippets]
        macros = [macro for text in texts for macro in _MACRO.findall(text)]

        def convert(blocks: Sequence[_Block], verbatim: Sequence[str] = ()) -> None:
            snippets = [snippet for block in blocks for snippet in block.snippets]
            _convert(
                snippets,
                name=self.name,
                labels=self.labels,
                macros=macros,
                heading_offset=heading_offset,
                verbatim=verbatim,
            )
            for snippet in snippets:
                self.place_pictures(snippet)

        convert(self.blocks)
        refused = self.refused(self.blocks)
        if refused:  # most often for one formula or picture in a long cell
            linked = {name for name in self.files if any(name in it.typst for it in refused)}
            self.broken = {it for it in linked if not _compiles(_call("picture", it), self.files)}
            formulas = [f for block in refused for s in block.snippets for f in s.formulas]
            convert(refused, [f["tex"] for f in formulas if not _compiles(f["typst"], {})])
            for block in self.refused(refused):
                block.refused = True
        return Section("\n\n".join(block.typst for block in self.blocks), dict(self.files))

    def place_pictures(self, snippet: _Snippet) -> None:
        for source in snippet.pictures:
            file = self.linked(source, snippet.attachments)
            there = file and file not in self.broken
            put = f"picture({_typst(file)}" if there else f"missing-picture({_typst(source)}"
            snippet.typst = snippet.typst.replace(f"picture({_typst(source)}", put)

    def refused(self, blocks: Sequence[_Block]) -> list[_Block]:
        """The blocks that Typst does not accept, found by halving."""
        if _compiles("\n\n".join(block.typst for block in blocks), self.files):
            return []
        if len(blocks) == 1:
            return list(blocks)
        middle = len(blocks) // 2
        return self.refused(blocks[:middle]) + self.refused(blocks[middle:])


def _plain_output(data: Mapping) -> str:
    """An output's text as Typst, if need be its source or the bare names of its types."""
    text = _terminal(_plain(data.get("text/plain", "")))
    sources = (_plain(data[mime]) for mime in (*MARKUP, "application/json") if mime in data)
    readable = (it for it in sources if not re.search("<script", it, re.IGNORECASE))
    text = text or next(readable, "") or (f"({', '.join(data)})" if data else "")
    return text and _call("printed", _shortened(text))


def _shortened(text: str) -> str:
    """A text of bearable length: beyond it the middle is left out, and it says so."""
    lines = text.split("\n")
    lines = [it if len(it) <= LONGEST_LINE else f"{it[:LONGEST_LINE]} …" for it in lines]
    if len(lines) > MOST_LINES:
        left_out = len(lines) - MOST_LINES
        half = MOST_LINES // 2
        lines[half:-half] = [f"… {left_out:,} lines left out …"]
    return "\n".join(lines)


def _is_long(html: str) -> bool:
    """Whether a table may be too high for a page."""
    text = re.sub(r"<[^>]*>", "", html)
    return html.count("<tr") > LONGEST_WHOLE_TABLE or len(text) > LONGEST_WHOLE_TEXT


def _as_displayed(output: NotebookNode) -> NotebookNode:
    """A widget again where `labkit.lab.opening` put a line, which was saved with the notebook."""
    if not output.get("metadata", {}).get(REPLACED_WIDGET):
        return output
    data = {mime: value for mime, value in output.data.items() if mime != "text/html"}
    return NotebookNode({**output, "data": NotebookNode({**data, WIDGET: {}})})


def _is_bare_widget(output: NotebookNode) -> bool:
    """Whether an output is a widget, which lives in JupyterLab alone, and beside it only its repr.

    `labkit.widgets.stepper`, for one, brings Markdown to stand in for it.
    """
    data = output.get("data", {})
    return WIDGET in data and data.keys() <= {WIDGET, "text/plain"}


def _joined_streams(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Outputs with neighbouring pieces of one stream joined, as they were written."""
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            joined[-1] = NotebookNode({**last, "text": _plain(last.text) + _plain(output.text)})
        else:
            joined.append(output)
    return joined


def _decoded(mime: str, value: str) -> bytes | None:
    """The bytes of a picture: SVG comes as text, the others as base64."""
    if mime == "image/svg+xml" and value.lstrip().startswith("<"):
        return value.encode("utf-8", "replace")
    try:
        return base64.b64decode(value)
    except ValueError:
        return None
