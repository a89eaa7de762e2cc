"""Executed notebooks bound into what is read: PDFs, the HTML page, and the numbers as files.

Nothing is written that would come out the same: each file carries, in `.bound.json` beside it, the
digest of what it was made from.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from labkit import project
from labkit.report import appendix, claims, html, published, results, verdicts
from labkit.report.execute import Source
from labkit.report.facts import Facts, Recorded, facts, recorded
from labkit.report.parts import Part
from labkit.report.published import Published
from labkit.report.typst import (
    APPENDIX,
    Section,
    cached_section,
    call,
    compile_pdf,
    document,
    failure,
)
from labkit.report.verdicts import Verdict


@dataclass
class Bound:
    """What was bound: the PDF to open, and of every file the seconds it took and its state."""

    pdf: Path
    written: dict[str, tuple[float, str]] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)


def bind(
    parts: Sequence[Part],
    folder: Path,
    profile: str,
    courses: Sequence[str] = (),
    *,
    show_code: bool = False,
) -> Bound:
    """Write the report of `parts` into `folder`: of `courses`, or of all, which adds a PDF of each.

    Of all it is `report.pdf`, `index.html` and `results.json` and `.csv`; of some courses the files
    have their names.
    """
    settings = project.read_yaml(project.root() / "params" / "report.yaml")
    told = facts((part.source.name, part.notebook) for part in parts)
    records = recorded(told.run_keys)
    every = dict.fromkeys(part.source.course for part in parts)
    judged = verdicts.verdicts(_published(every), told.measured)
    name = "-".join(courses)
    bound = Bound(folder / f"{name or 'report'}.pdf", verdicts=judged)
    writer = _Writer(folder, bound)

    groups = {bound.pdf: every} | ({} if courses else {folder / f"{c}.pdf": [c] for c in every})
    writer.convert(parts, show_code)
    for path, chosen in groups.items():
        its = [part for part in parts if part.source.course in chosen]
        pages = _pages(its, told, records, judged)
        writer.pdf(path, its, pages, settings, profile)

    pages = _pages(parts, told, records, judged)
    pages.pop("runs", None)  # the page lists them itself, with their curves
    page = folder / f"{name or 'index'}.html"
    files = [bound.pdf.name, *(f"{name or 'results'}.{form}" for form in ("csv", "json"))]
    writer.html(page, parts, pages, settings, profile, records, [(it, it) for it in files])
    content = {
        "profile": profile,
        "date": _date(parts),
        "numbers": results.numbers(told, records),
        "published": verdicts.as_records(judged),
        "claims": [claim.told() for claim in told.claims],
    }
    writer.file(folder / f"{name or 'results'}.json", results.as_json(content))
    writer.file(folder / f"{name or 'results'}.csv", results.as_csv(content["numbers"]))
    writer.close()
    return bound


def bind_one(part: Part, folder: Path, profile: str) -> Bound:
    """Write the PDF of a notebook that was run by itself."""
    settings = project.read_yaml(project.root() / "params" / "report.yaml")
    bound = Bound(folder / part.source.course / f"{part.source.stem}.pdf")
    writer = _Writer(folder, bound)
    writer.convert([part], show_code=False)
    writer.pdf(bound.pdf, [part], {}, settings, profile)
    writer.close()
    return bound


def _pages(
    parts: Sequence[Part],
    told: Facts,
    records: Mapping[str, Recorded],
    judged: Sequence[Verdict],
) -> dict[str, NotebookNode]:
    """The pages that are made from what the notebooks of `parts` tell together, by their names."""
    courses = {part.source.course for part in parts}
    names = {part.source.name for part in parts}
    its = Facts(
        [it for it in told.shown if it.notebook in names],
        [it for it in told.measured if it.question.partition("/")[0] in courses],
        [it for it in told.claims if it.notebook in names],
    )
    pages = {}
    if rows := [it for it in judged if it.published.course in courses]:
        pages["published"] = verdicts.page(rows)
    if its.claims:
        pages["claims"] = claims.page(its.claims)
    if any(key in records for key in its.run_keys):
        titles = {part.source.name: _title(part) for part in parts}
        pages["runs"] = appendix.page(its, records, titles)
    return pages


class _Writer:
    """Writes files that are not there yet, or would come out differently."""

    def __init__(self, folder: Path, bound: Bound):
        self.folder = folder
        self.bound = bound
        self.sections: dict[Source, Section] = {}
        self.kept = folder / ".sections"
        self.stamps = folder / ".bound.json"
        try:
            self.made = json.loads(self.stamps.read_text())
        except (OSError, ValueError):
            self.made = {}

    def convert(self, parts: Sequence[Part], show_code: bool) -> None:
        """Make the notebooks' sections, which the whole report has and the course's own."""

        def made(part: Part) -> Section:
            options = {"show_code": show_code, "name": f"{part.source.name}/"}
            return cached_section(part.notebook, self.kept, **options)

        with ThreadPoolExecutor() as pool:  # most of it is pandoc's and Typst's work
            self.sections |= zip(
                (part.source for part in parts), pool.map(made, parts), strict=True
            )

    def pdf(self, path, parts, pages, settings, profile) -> None:
        started = time.perf_counter()
        sections = list(self._sections(path.stem, parts, pages))
        courses = dict.fromkeys(part.source.course for part in parts)
        titles = [settings["courses"].get(course, course) for course in courses]
        source, files = document(
            sections,
            title=settings["title"],
            subtitle=titles[0] if len(titles) == 1 else settings.get("subtitle", ""),
            authors=settings.get("authors", ()),
            language=settings.get("language", "en"),
            logo=_logo(settings),
            date=_date(parts),
            provenance={"Profile": profile, **_data(parts)},
            lists=True,
            bibliography=_bibliography(),
        )
        made_with = [version(name) for name in ("typst", "manimgx-fonts", "manimgx-fonts-cjk")]
        digest = hashlib.sha256(f"{made_with} {source}".encode())
        for name, data in sorted(files.items()):
            digest.update(name.encode() + data)
        self._unless_made(path, digest.hexdigest(), lambda: compile_pdf(source, files), started)

    def html(self, path, parts, pages, settings, profile, records, downloads) -> None:
        started = time.perf_counter()
        titles = {part.source.course: part.source.course for part in parts} | settings["courses"]
        sections = [
            (titles[it.source.course], it.source.name, it.notebook, it.failure) for it in parts
        ]
        sections += [("", name, notebook, None) for name, notebook in pages.items()]
        html.write_html(
            sections,
            path,
            title=settings["title"],
            subtitle=settings.get("subtitle", ""),
            authors=settings.get("authors", ()),
            language=settings.get("language", "en"),
            date=_date(parts),
            provenance={"Profile": profile, **_data(parts)},
            bibliography=_bibliography(),
            runs=records,
            downloads=downloads,
        )
        name = str(path.relative_to(self.folder))
        self.bound.written[name] = (time.perf_counter() - started, "written")

    def file(self, path: Path, content: bytes, started: float | None = None) -> None:
        started = started or time.perf_counter()
        self._unless_made(path, hashlib.sha256(content).hexdigest(), lambda: content, started)

    def close(self) -> None:
        project.write_whole(self.stamps, json.dumps(self.made, indent=1).encode())

    def _unless_made(self, path: Path, digest: str, make, started: float) -> None:
        name = str(path.relative_to(self.folder))
        there = path.exists() and self.made.get(name) == digest
        if not there:
            project.write_whole(path, make())
            self.made[name] = digest
        state = "unchanged" if there else "written"
        self.bound.written[name] = (time.perf_counter() - started, state)

    def _sections(self, pdf: str, parts, pages):
        for index, part in enumerate(parts):
            if index:
                yield call("begin")
            if part.failure:
                yield failure(f"{part.source.name} did not run to its end", part.failure)
            yield self.sections[part.source]
        for name, notebook in pages.items():
            yield call("begin")
            if name == "runs":
                yield APPENDIX
            yield cached_section(notebook, self.kept / pdf, name=f"{name}/")


def _published(courses: Iterable[str]) -> list[Published]:
    """What the reports of these courses print."""
    if not (project.root() / published.FILE).exists():  # a project of other courses
        return []
    return [it for it in published.published_values() if it.course in courses]


def _title(part: Part) -> str:
    return project.read_yaml(part.source.params_path).get("title", part.source.name)


def _logo(settings: Mapping[str, Any]) -> Path | None:
    return project.root() / "params" / settings["logo"] if settings.get("logo") else None


def _bibliography() -> str:
    path = project.root() / "reports" / "bibliography.bib"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _data(parts: Sequence[Part]) -> dict[str, str]:
    """Every data set of the report, with its source and fingerprint."""
    found = {}
    for part in parts:
        for name, source in part.notebook.metadata.get("labkit", {}).get("data", {}).items():
            found[f"Data: {name}"] = source
    return found


def _date(parts: Sequence[Part]) -> str:
    """The day on which the newest notebook was executed: the same input gives the same bytes."""
    ends = [part.notebook.metadata.get("papermill", {}).get("end_time") or "" for part in parts]
    newest = max(ends, default="")
    return datetime.fromisoformat(newest).strftime("%-d %B %Y") if newest else ""
