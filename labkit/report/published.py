"""What the four reports printed (`reports/published.yaml`), beside what was measured."""

from functools import cache

import pandas as pd

from labkit import project
from labkit.training import Runs


@cache
def _values() -> dict:
    courses = project.read_yaml(project.root() / "reports" / "published.yaml")
    return {  # a question named 12 is a number to YAML
        course: {str(question): values for question, values in parts.items()}
        for course, parts in courses.items()
    }


def published(question: str) -> dict:
    """The values that a report prints for a question, by name: `published("tdt4265/2b")`."""
    course, _, part = question.partition("/")
    try:
        return dict(_values()[course][part])
    except KeyError:
        there = ", ".join(f"{c}/{q}" for c, parts in _values().items() for q in parts)
        raise KeyError(f"nothing published for {question!r}; there are {there}") from None


def beside_published(runs: Runs, names: dict[str, str]) -> pd.DataFrame:
    """Published and measured values side by side: `names` maps a question to its name in `runs`.

    Names that `runs` does not hold are shown as not measured; those whose data stand in for the
    course's own are not compared.
    """
    rows = []
    for question, name in names.items():
        compared, instead = name in runs, "not measured"
        if compared and runs.select(name).stand_in:
            compared, instead = False, "not compared: stand-in data"
        for metric, value in published(question).items():
            digits = 0 if isinstance(value, int) else 3  # a count, or a share
            row = {"task": question.partition("/")[2], "metric": metric.replace("_", " ")}
            row["published"] = f"{value:,}" if digits == 0 else f"{value:g}"
            there = compared and all(metric in run.metrics for run in runs[name])
            row["measured"] = runs.spread(name, metric, digits) if there else instead
            row["seeds"] = len(runs[name]) if there else 0
            difference = runs.mean(name, metric) - value if there else None
            row["difference"] = f"{difference:+,.{digits}f}" if there else "–"
            rows.append(row)
    return pd.DataFrame(rows).set_index(["task", "metric"])
