"""The appendix: every run that the report rests on, with its settings and where it was made."""

import html
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from string import ascii_lowercase
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labkit.report.facts import Facts, Recorded

UNSET = (None, False, 0, 0.0, "default", "Constant", [])
MOST_LAYERS = 24  # that are listed; of a longer network (a pretrained one) the backbone tells more


def page(facts: Facts, records: Mapping[str, Recorded], titles: Mapping[str, str]) -> NotebookNode:
    """The appendix as a notebook: for each notebook (`titles` by name) a table of its runs.

    Settings that a run leaves at none (no weight decay, no crop) are not listed.
    """
    cells = [
        new_markdown_cell(
            "# The runs behind this report\n\n"
            "Every figure and table of runs names them by the first letters of their keys. Listed "
            "here are their settings, and where and when they were made. A setting that is not "
            "named is unset: no weight decay, no augmentation of that kind, a constant rate; of "
            "networks that differ, those layers are named that not all have. "
            "The complete record of a run is shown by `labkit runs show KEY`."
        )
    ]
    for notebook, title in titles.items():
        groups: dict[tuple[str, ...], str] = {}  # the keys of a configuration's runs → its name
        for shown in facts.shown:
            if shown.notebook == notebook:
                for name, keys in shown.runs.items():
                    groups.setdefault(tuple(keys), name)
        there = {
            name: [records[key] for key in keys if key in records] for keys, name in groups.items()
        }
        if any(there.values()):
            cells += _of_notebook(title, {name: runs for name, runs in there.items() if runs})
    return new_notebook(cells=cells)


def _of_notebook(title: str, groups: Mapping[str, Sequence[Recorded]]) -> list[NotebookNode]:
    configs = {name: runs[0].config for name, runs in groups.items()}
    settings = {name: _settings(config) for name, config in configs.items()}
    for name, layers in _own_layers(configs).items():
        settings[name]["network"] = layers
    every = [run for runs in groups.values() for run in runs]
    shared = {
        key: value
        for key, value in next(iter(settings.values())).items()
        if all(other.get(key) == value for other in settings.values())
    }
    columns = {
        "name": list(groups),
        "settings": [
            _listed((k, v) for k, v in its.items() if k not in shared) or "–"
            for its in settings.values()
        ],
        "seed: run": [
            _two_a_line([f"{run.config['seed']}: {run.key[:6]}" for run in runs])
            for runs in groups.values()
        ],
    }
    # where and when is long: said once, below, and by a letter in the rows where it differs
    signs = itertools.chain(ascii_lowercase, map(str, itertools.count(27)))
    made = dict(zip(dict.fromkeys(map(_made, every)), signs, strict=False))
    if len(made) > 1:
        columns["made"] = [
            ", ".join(dict.fromkeys(made[_made(run)] for run in runs)) for runs in groups.values()
        ]
    where = [f"{letter}: {it}" if len(made) > 1 else it for it, letter in made.items()]
    caption = f"The runs of “{title}”"
    caption += f". All have {_listed(shared.items())}" if shared else ""
    table = _table(columns, list(zip(*columns.values(), strict=True)))
    provenance = "; ".join(filter(None, (*where, _stored(every))))
    about = {"kind": "table", "caption": f"{caption}.", "provenance": provenance}
    output = new_output(
        "display_data",
        {"text/html": table, "text/plain": caption},
        metadata={"labkit": about},
    )
    return [new_markdown_cell(f"## {title}"), new_code_cell(outputs=[output])]


def _own_layers(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Of networks that differ those layers that not all have, each network once; nothing where all
    are the same.
    """
    networks = {
        name: tuple(config["network"])
        for name, config in configs.items()
        if isinstance(config["network"], list)
    }
    if len(set(networks.values())) < 2:
        return {}
    shared = set.intersection(*(set(layers) for layers in networks.values()))
    told, first = {}, {}
    for name, layers in networks.items():
        own = [layer for layer in layers if layer not in shared]
        if not own:
            told[name] = "as all have it"
        elif layers in first:
            told[name] = f"as in “{first[layers]}”"
        elif len(own) > MOST_LAYERS:
            told[name] = f"of {len(layers)} layers"
        else:
            told[name] = f"with {' → '.join(own)}"
        first.setdefault(layers, name)
    return told


def _settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The fields of a Config that are set, by the names that a Config has them under."""
    found = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= _settings(value, f"{prefix}{name}.")
        elif name == "network":
            listed = len(value) <= MOST_LAYERS
            found[name] = " → ".join(value) if listed else f"of {len(value)} layers"
        elif name != "seed" and value not in UNSET:
            found[prefix + name] = _value(value)
    return found


def _value(value: Any) -> str:
    """A setting in as many digits as say something: of a mean of pixels, six."""
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(settings: Iterable[tuple[str, str]]) -> str:
    return "; ".join(f"{name} {value}" for name, value in settings)


def _two_a_line(items: Sequence[str]) -> str:
    """More would take the width that the settings need."""
    return ",\n".join(", ".join(items[start : start + 2]) for start in range(0, len(items), 2))


def _made(run: Recorded) -> str:
    it = run.environment
    return f"{it['device']}, {it['precision']}, torch {it['torch']}, {it['finished'][:10]}"


def _stored(runs: Sequence[Recorded]) -> str:
    committed = sum(run.committed for run in runs)
    return f"{len(runs)} runs, {committed} of them from committed records" if committed else ""


def _table(heads: Iterable[str], rows: Collection[Sequence[str]]) -> str:
    head = "".join(f"<th>{it}</th>" for it in heads)
    cells = ([html.escape(cell).replace("\n", "<br>") for cell in row] for row in rows)
    body = "".join("<tr>" + "".join(f"<td>{it}</td>" for it in row) + "</tr>" for row in cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
