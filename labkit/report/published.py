"""What the four reports printed (`reports/published.yaml`), beside what was measured.

Needs neither torch nor pandas to be read: a report without runs is bound in a blink.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from labkit import project
from labkit.errors import UsageError
from labkit.handcalc import answer_text
from labkit.handcalc import question as find_question
from labkit.report.facts import Measured

if TYPE_CHECKING:
    import pandas as pd

    from labkit.training import Run, Runs

FILE = "reports/published.yaml"


@dataclass(frozen=True)
class Published:
    """A value that a report prints, and what must be known to hold another against it."""

    report: str  # "TDT4265 A3 report"
    place: str  # in the report: "task 2b"
    question: str  # "tdt4265/2b"
    metric: str  # "test_accuracy": the name in a run's metrics, where a run measures it
    value: int | float | str | list  # a share in 0…1 for what is printed in per cent
    unit: str = ""
    what: str = ""  # what it is of, where `metric` does not tell
    check: tuple[str, ...] = ()  # the questions whose right answers decide it
    conditions: str = ""  # of the training that it came from
    not_comparable: str = ""  # why no run can be held against it

    @property
    def id(self) -> str:
        """The name that it keeps: "tdt4265/2b/test_accuracy"."""
        return f"{self.question}/{self.metric}"

    @property
    def course(self) -> str:
        """The course of its question: "tdt4265"."""
        return self.question.partition("/")[0]

    def __str__(self) -> str:
        return f"{as_text(self.value)} {self.unit}".rstrip()


def as_text(value: int | float | str | list) -> str:
    """A value as a report would print it.

    >>> as_text(8398858), as_text(0.72), as_text([2432, 650])
    ('8,398,858', '0.72', '2,432; 650')
    """
    if isinstance(value, list) and not isinstance(value[0], list):
        return "; ".join(map(as_text, value))
    return f"{value:g}" if isinstance(value, float) else answer_text(value)


def published(question: str) -> dict[str, Any]:
    """The values that a report prints for a `question`, by name: `published("tdt4265/2b")`.

    Shares are in 0…1, losses in nats, sizes are counts. Raises KeyError where nothing was
    published.
    """
    values = {it.metric: it.value for it in published_values() if it.question == question}
    if not values:
        there = ", ".join(dict.fromkeys(it.question for it in published_values()))
        raise KeyError(f"nothing published for {question!r}; there are {there}")
    return values


def published_values() -> tuple[Published, ...]:
    """Every value of the file, in its order; UsageError names the entry that cannot be read."""
    path = project.root() / FILE
    return _read(path, path.read_bytes() if path.exists() else b"")


@cache
def _read(path: Path, content: bytes) -> tuple[Published, ...]:
    return tuple(_values(project.read_yaml(path)))


def beside_published(
    recorded: Runs, names: Mapping[str, str], *, here: Runs | None = None, profile: str = ""
) -> pd.DataFrame:
    """Published values beside those measured at full scale (`recorded`): a table.

    `names` maps a question to its name in the runs. `here` are the runs that the notebook made, in
    `profile`: unless that is "full" too, a further column shows theirs. Raises ValueError for
    `here` without a profile.

    Names that the runs do not hold are shown as not measured; those whose data stand in for the
    course's own are not compared. The table tells the report what was measured, in `attrs`.

        recorded = full_scale(experiment)
        beside_published(recorded, {"tdt4265/2b": "base"}, here=runs, profile=profile)
    """
    import pandas as pd  # half a second, which only a notebook needs

    scales = {"full": recorded}
    if here is not None and profile != "full":
        if not profile:
            raise ValueError("profile: '': name the profile that the runs of `here` were made in")
        scales[profile] = here
    rows, told = [], []
    for asked, name in names.items():
        for metric, value in published(asked).items():
            digits = 0 if isinstance(value, int) else 3  # a count, or a share
            texts = {scale: _text(runs, name, metric, digits) for scale, runs in scales.items()}
            compared = _compares(recorded, name, metric)
            difference = recorded.mean(name, metric) - value if compared else None
            rows.append(
                {
                    "task": asked.partition("/")[2],
                    "metric": metric.replace("_", " "),
                    "published": as_text(value),
                    "measured": texts.pop("full"),
                    "seeds": len(recorded[name]) if compared else 0,
                    "difference": f"{difference:+,.{digits}f}" if compared else "–",
                    **texts,
                }
            )
            told += [
                _measured(asked, metric, runs[name], scale).told()
                for scale, runs in scales.items()
                if _has(runs, name, metric)
            ]
    table = pd.DataFrame(rows).set_index(["task", "metric"])
    table.attrs["labkit"] = {"measured": told}
    return table


def _has(runs: Runs, name: str, metric: str) -> bool:
    return name in runs and all(metric in run.metrics for run in runs[name])


def _compares(runs: Runs, name: str, metric: str) -> bool:
    return _has(runs, name, metric) and not runs.select(name).stand_in


def _text(runs: Runs, name: str, metric: str, digits: int) -> str:
    if name in runs and runs.select(name).stand_in:
        return "not compared: stand-in data"
    return runs.spread(name, metric, digits) if _has(runs, name, metric) else "not measured"


def _measured(asked: str, metric: str, group: list[Run], profile: str) -> Measured:
    def unique(name: str) -> str:
        return ", ".join(dict.fromkeys(run.environment[name] for run in group))

    data = [run.environment["data"] for run in group]
    return Measured(
        question=asked,
        metric=metric,
        values=[run.metrics[metric] for run in group],
        profile=profile,
        stand_in=any(it.get("stand_in") for it in data),
        examples=group[0].metrics.get(f"{metric.partition('_')[0]}_examples"),
        data=", ".join(dict.fromkeys(it["name"] for it in data)),
        device=unique("device"),
        torch=unique("torch"),
        date=max(run.environment["finished"] for run in group),
        runs=[run.key for run in group],
    )


# ------------------------------------------------------------------------------ the file


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _listed(names: Any) -> Any:
    return [names] if isinstance(names, str) else names


class _Value(_Entry):
    value: Any
    unit: str = ""
    what: str = ""
    check: Annotated[list[str], BeforeValidator(_listed)] = []
    place: str = ""
    conditions: str = ""
    not_comparable: str = ""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        return given if isinstance(given, Mapping) else {"value": given}

    @field_validator("value")
    @classmethod
    def _readable(cls, value: Any) -> Any:
        try:
            return _Readable.validate_python(value, strict=True)
        except ValidationError:
            raise ValueError(
                f"{value!r}; give a number, a list or matrix of whole numbers, or text"
            ) from None

    @field_validator("check")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            find_question(name)
        return names

    @model_validator(mode="after")
    def _one_check_each(self) -> _Value:
        entries = len(self.value) if isinstance(self.value, list) else 1
        if len(self.check) not in (0, 1, entries):
            raise ValueError(f"check: {len(self.check)} questions for {entries} entries; give each")
        return self


class _Question(_Entry):
    place: str
    conditions: str = ""
    values: dict[str, _Value]


class _Report(_Entry):
    report: str
    # a question named 12 is a number to YAML
    questions: dict[Annotated[str, BeforeValidator(str)], _Question]


_Readable = TypeAdapter(int | FiniteFloat | str | list[int] | list[list[int]])
_Courses = TypeAdapter(dict[str, _Report])


def _values(courses: Mapping[str, Any]) -> Iterator[Published]:
    try:
        read = _Courses.validate_python(courses)
    except ValidationError as error:
        raise UsageError(_explained(error)) from None
    for course, about in read.items():
        for part, asked in about.questions.items():
            for metric, given in asked.values.items():
                yield Published(
                    report=about.report,
                    place=given.place or asked.place,
                    question=f"{course}/{part}",
                    metric=metric,
                    value=given.value,
                    unit=given.unit,
                    what=given.what,
                    check=tuple(given.check),
                    conditions=given.conditions or asked.conditions,
                    not_comparable=given.not_comparable,
                )


def _explained(error: ValidationError) -> str:
    """The first problem: file, question, key, and what is allowed."""
    problem = error.errors()[0]
    # course, "questions", question, "values", name, key
    path = [str(step) for step in problem["loc"]]
    asked, keys = "/".join(path[0:3:2]), ".".join(path[4:] or path[3:] or path[1:2])
    reason = {
        "missing": "missing; give it",
        "extra_forbidden": "unknown; the keys are those at the head of the file",
    }.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    return ": ".join(filter(None, (FILE, asked, keys, reason)))
