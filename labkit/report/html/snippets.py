"""Pieces of Markdown, HTML, LaTeX, BibTeX and code, which one pandoc process turns into HTML.

What it made of them is kept on disk, so that what is unchanged need not be converted again.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pypandoc
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from labkit import project
from labkit.report.html.sanitised import Place, escape, sanitised
from labkit.report.typst import TABLES_SCRIPT

PANDOC_SCRIPT = Path(__file__).with_name("pandoc.lua")
CODE = "code in "  # and the language: the format of a cell's source


@dataclass
class Snippet:
    """A piece of Markdown, HTML, LaTeX, BibTeX or code, and after `convert` its HTML.

    `names` are the labels that it may mention, with what they are called, or the works to list.
    `number` tells its footnotes from those of others.
    """

    format: str
    text: str
    number: int = 0
    names: Mapping[str, str] = field(default_factory=dict)
    attachments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notebook: Place | None = None
    plain: str = ""  # stands in where pandoc gives up
    converted: str | None = None

    @cached_property
    def job(self) -> dict[str, Any]:
        text = CONTROL.sub("", self.text)
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
        return sanitised(self.converted, self.notebook, self.number, self.attachments)


CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def convert(snippets: Sequence[Snippet], kept: Path) -> None:
    """Fill in the snippets' HTML, from the file `kept` where they are unchanged."""
    scripts = PANDOC_SCRIPT.read_bytes() + TABLES_SCRIPT.read_bytes()
    version = hashlib.sha256(scripts).hexdigest()
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
        content = {"version": version, "snippets": results}
        project.write_whole(kept, json.dumps(content).encode())


def _highlighted(format: str, text: str, **_) -> str:
    try:
        lexer = get_lexer_by_name(format.removeprefix(CODE))
    except ClassNotFound:
        return escape(text)
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
