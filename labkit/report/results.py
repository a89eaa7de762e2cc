"""Every number of a report for machines: `results.json`, and the same numbers as CSV."""

import csv
import io
import json
import re
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from labkit.report.facts import Facts, Recorded, Shown

# of a metric: what it means, and its unit
MEANINGS = {
    "accuracy": ("share of the examples that are classified rightly", "share of 1"),
    "loss": ("mean cross-entropy of an example", "nats"),
    "cer": ("character error rate: edits over characters of the corpus", "share of 1"),
    "wer": ("word error rate: share of words with any mistake", "share of 1"),
    "examples": ("examples in this split", "count"),
    "num_parameters": ("parameters of the network", "count"),
    "trained_parameters": ("parameters that were trained", "count"),
    "steps": ("steps of the optimizer", "count"),
    "best_step": ("step with the best validation", "step"),
    "best_epoch": ("epochs until the best validation", "epochs"),
    "training_seconds": ("training time by the clock", "s"),
}
SPLITS = {
    "train": "training examples",
    "validation": "validation examples",
    "test": "test examples",
    "measured": "examples that were also measured",
}
COLUMNS = (
    *("notebook", "place", "what", "quantity", "meaning", "unit", "value", "sd", "n"),
    *("seeds", "profile", "data", "device", "torch", "date", "runs"),
)


def numbers(facts: Facts, records: Mapping[str, Recorded]) -> list[dict[str, Any]]:
    """Each number with its meaning and unit: of the runs, then of the tables' cells.

    A number of runs is a mean over seeds (`value`), with its standard deviation (`sd`; None for one
    seed); a table's cell is what the table shows, and its caption the meaning.
    """
    found: dict[tuple, dict[str, Any]] = {}
    for shown in facts.shown:
        for name, keys in shown.runs.items():
            group = [records[key] for key in keys if key in records]
            for number in _of_runs(shown, name, group):
                found.setdefault((shown.notebook, name, number["runs"], number["quantity"]), number)
    return [*found.values(), *(cell for shown in facts.shown for cell in _cells(shown))]


def as_json(content: Mapping[str, Any]) -> bytes:
    """`results.json`."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def as_csv(numbers: list[dict[str, Any]]) -> bytes:
    """One row per number; UTF-8."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(numbers)
    return text.getvalue().encode()


def meaning(metric: str) -> tuple[str, str]:
    """What a metric of a run means, and its unit.

    >>> meaning("test_accuracy")
    ('share of the examples that are classified rightly, on the test examples', 'share of 1')
    """
    if metric in MEANINGS:
        return MEANINGS[metric]
    split, _, rest = metric.partition("_")
    of = re.search(r"(accuracy|loss|cer|wer|examples)(?:_at_(\d+))?$", rest or metric)
    if of is None:
        return metric.replace("_", " "), ""
    text, unit = MEANINGS[of[1]]
    if of[2]:
        text = f"share of words of which none of {of[2]} samples is right"
    if decoding := rest[: of.start()].strip("_").replace("_", " "):
        text += f", decoded by {decoding}" if split in SPLITS else f" ({decoding})"
    return f"{text}, on the {SPLITS[split]}" if split in SPLITS else text, unit


def _of_runs(shown: Shown, name: str, group: list[Recorded]) -> Iterator[dict[str, Any]]:
    if not group:
        return
    environments = [run.environment for run in group]
    about = {
        "notebook": shown.notebook,
        "place": shown.label or shown.caption,
        "what": name,
        "n": len(group),
        "seeds": _joined(run.config["seed"] for run in group),
        "profile": shown.profile,
        "data": _joined(it["data"]["name"] for it in environments)
        + (" (stand-in)" if any(it["data"].get("stand_in") for it in environments) else ""),
        "device": _joined(it["device"] for it in environments),
        "torch": _joined(it["torch"] for it in environments),
        "date": max(it["finished"] for it in environments)[:10],
        "runs": _joined(run.key for run in group),
    }
    for metric, first in group[0].metrics.items():
        values = [run.metrics.get(metric) for run in group]
        if isinstance(first, int | float) and None not in values:
            text, unit = meaning(metric)
            yield {
                "quantity": metric,
                "meaning": text,
                "unit": unit,
                "value": statistics.fmean(values),
                "sd": statistics.stdev(values) if len(values) > 1 else None,
                **about,
            }


def _cells(shown: Shown) -> Iterator[dict[str, Any]]:
    """The cells that hold a number, alone or in words."""
    if not shown.table:
        return
    columns, rows = shown.table["columns"], shown.table["data"]
    for row in rows:
        for column, value in zip(columns[1:], row[1:], strict=True):
            if value is not None and re.search(r"\d", str(value)):
                yield {
                    "notebook": shown.notebook,
                    "place": shown.label or shown.caption,
                    "what": str(row[0]),
                    "quantity": column,
                    "meaning": shown.caption,
                    "unit": "as the column says",
                    "value": value,
                    "sd": None,
                    "n": None,
                    "seeds": "",
                    "profile": shown.profile,
                    "data": "",
                    "device": "",
                    "torch": "",
                    "date": "",
                    "runs": "",
                }


def _joined(values) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values))
