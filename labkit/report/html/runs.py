"""What the sections of a page share: the numbers of figures and tables, and the run records."""

import html
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labkit.report.facts import Recorded
from labkit.report.html.sanitised import escape
from labkit.report.html.snippets import Snippet


class Page:
    """What the sections of a page share."""

    def __init__(self, runs: Mapping[str, Recorded]):
        self.runs = runs
        self.snippets: list[Snippet] = []
        self.numbers: Counter[str] = Counter()  # of figures and of tables so far
        self.titles: defaultdict[str, dict[str, None]] = defaultdict(dict)  # key → names of the run

    def snippet(self, format: str, text: str, **settings) -> Snippet:
        self.snippets.append(Snippet(format, text, number=len(self.snippets), **settings))
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
            f"<li>{escape(name)}: {' '.join(map(self.run_link, keys))}</li>"
            for name, keys in groups.items()
        )
        count = len({key for keys in groups.values() for key in keys})
        words = f"{count} runs" if count > 1 else "1 run"
        return (
            items and f'<details class="runs"><summary>{words}</summary><ul>{items}</ul></details>'
        )

    def run_link(self, key: str) -> str:
        return f'<a href="#run-{html.escape(key)}"><code>{escape(key[:8])}</code></a>'

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
            f'<details class="run" id="run-{html.escape(key)}"><summary><code>{escape(key[:8])}'
            f"</code> {escape(', '.join(about))}</summary>"
            + _history(run.history)
            + "".join(f"<h3>{name}</h3>{table}" for name, table in tables)
            + "</details>"
        )


def _history(rows: Sequence[Mapping[str, str]]) -> str:
    """One row per validation, which `page.js` draws as curves."""
    if not rows:
        return ""
    heads = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in rows[0])
    lines = (
        "".join(f'<td class="number">{escape(_short(value))}</td>' for value in row.values())
        for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        '<details class="history"><summary>History</summary><div class="table"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _pairs(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(_short(value))}</td></tr>'
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
    return f"{value:.6g}" if isinstance(value, float) else json_text(value)


def json_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
