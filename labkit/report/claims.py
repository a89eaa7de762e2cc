"""Claims that are executed: a sentence such as "batch normalisation raises the test accuracy" is
held against runs, and the text says what came of it.

A notebook shows each with `claim`; `page` gathers those of a whole report, and needs no torch.
"""

import html
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nbformat import NotebookNode, v4

from labkit import project
from labkit.errors import UsageError
from labkit.report.facts import Claim

if TYPE_CHECKING:  # torch comes with it
    from labkit.training import Runs

OUTCOMES = ("borne out", "contradicted", "not told apart", "one seed only", "not comparable")

# by how a metric's name ends: factor, digits behind the point, unit; all others as they are
_UNITS = {
    "accuracy": (100, 1, " points"),
    "cer": (100, 1, " points"),
    "wer": (100, 1, " points"),
    "epoch": (1, 1, " epochs"),
    "seconds": (1, 0, " s"),
}


def claim(
    sentence: str,
    first: "Runs",
    relation: str,
    second: "Runs | float",
    metric: str = "test_accuracy",
    *,
    profile: str = "",
    source: str = "",
) -> Claim:
    """Hold a sentence against runs, display what came of it, and return that.

    `sentence` is plain text without its full stop. `relation` is what it says of the mean of
    `metric` over the seeds of `first` against that of `second`, ">" or "<": runs of one name each,
    or a number that `first` is to be above or below. `profile` is the one that the runs were made
    in. `source` is the report that says so, such as "TDT4265 A3 report, 3c"; without one the
    sentence is labkit's own.

    It is borne out or contradicted where the 95 % interval of the difference leaves out zero (see
    `Runs.difference`). One seed gives no verdict, and neither do stand-in data, runs without a seed
    in common, or those that were not measured on as many examples.

        claim("Flips raise the test accuracy", runs.select("3a"), ">", runs.select("no flip"))

    Raises UsageError for another relation, and for runs of no name or of several.
    """
    if relation not in (">", "<"):
        raise UsageError(f"relation {relation!r}: give '>' or '<'")
    number = isinstance(second, int | float)
    sides = [first] if number else [first, second]
    names = [_only_name(side) for side in sides]
    # under other names: those of both sides may be the same
    together = first.renamed({names[0]: "first"})
    if not number:
        together |= second.renamed({names[1]: "second"})
    runs = [run for group in together.values() for run in group]

    difference, hindrance = None, ""
    if not number and not _seeds(together["first"]) & _seeds(together["second"]):
        hindrance = "they have no seed in common"
    elif len({run.metrics.get("test_examples") for run in runs}) > 1:
        hindrance = "they were not tested on as many examples"
    else:
        difference = together.difference("first", second if number else "second", metric)
        if math.isnan(difference.mean):
            difference, hindrance = None, "a run diverged"
        elif together.stand_in:
            hindrance = "**On stand-in data**, not the course's"

    if hindrance:
        outcome = "not comparable"
    elif difference.seeds == 1:
        outcome = "one seed only"
    else:
        agrees = difference.sign if relation == ">" else -difference.sign
        outcome = {1: "borne out", 0: "not told apart", -1: "contradicted"}[agrees]
    made = Claim(
        sentence=sentence,
        metric=metric,
        relation=relation,
        first=names[0],
        second=second if number else names[1],
        outcome=outcome,
        difference=difference and difference.mean,
        margin=difference.margin if difference and math.isfinite(difference.margin) else None,
        seeds=difference.seeds if difference else 0,
        profile=profile,
        stand_in=together.stand_in,
        source=source,
        runs=list(dict.fromkeys(run.key for run in runs)),
    )
    _display(made, hindrance)
    return made


def page(claims: Sequence[Claim]) -> NotebookNode:
    """The page of all claims, as a notebook: how many had which outcome, and a table per course."""
    counts = Counter(it.outcome for it in claims)
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    text = (
        f"# Claims\n\nClaims that were held against runs: {len(claims)}"
        + (f" ({told})" if told else "")
        + ". The difference is that of the means over paired seeds, with its 95 % interval; where "
        "that leaves out zero, the claim is borne out or contradicted. One seed gives no verdict: "
        "its ± is what the sampling of the test examples alone leaves open, and another seed may "
        "differ by more. A claim without a source is labkit's own."
    )
    cells = [v4.new_markdown_cell(text, id="claims")]
    titles = project.read_yaml(project.root() / "params" / "report.yaml")["courses"]
    by_course: dict[str, list[Claim]] = {}
    for it in claims:
        by_course.setdefault(it.notebook.partition("/")[0], []).append(it)
    for course, group in by_course.items():
        reports = dict.fromkeys(_split(it.source)[0] for it in group if it.source)
        caption = f"{titles.get(course, course)}: claims"
        caption += f" of the {' and the '.join(reports)}, and labkit's own (–)." if reports else "."
        table = _table(group, caption, label=f"tab-claims-{course}")
        cells.append(v4.new_code_cell(outputs=[table], id=f"claims-{course}"))
    return v4.new_notebook(cells=cells)


def _only_name(runs: "Runs") -> str:
    if len(runs) != 1:
        there = ", ".join(map(repr, runs)) or "none"
        raise UsageError(f"runs of one name are compared, and there are {there}; select one")
    return next(iter(runs))


def _seeds(runs: Iterable) -> set[int]:
    return {run.config["seed"] for run in runs}


def _split(source: str) -> tuple[str, str]:
    """ "TDT4265 A3 report, 3c" as report and place."""
    report, _, place = source.rpartition(", ")
    return report or place, place


def _measured(claim: Claim) -> str:
    """The difference with its margin and unit: `−9.9 ± 4.4 points`."""
    if claim.difference is None:
        return "–"
    factor, digits, unit = _UNITS.get(claim.metric.rpartition("_")[2], (1, 3, ""))
    if claim.margin is None:
        return f"{factor * claim.difference:+.{digits}f}{unit}".replace("-", "−")
    difference, margin = factor * claim.difference, factor * claim.margin
    if f"{abs(difference):.{digits}f}" == f"{margin:.{digits}f}":  # which one is larger?
        digits += 1
    return f"{difference:+.{digits}f} ± {margin:.{digits}f}{unit}".replace("-", "−")


def _paragraph(claim: Claim, hindrance: str) -> str:
    second = f"*{claim.second}*" if isinstance(claim.second, str) else f"{claim.second:g}"
    measured = f"*{claim.first}* − {second} is {_measured(claim)}"
    paired = "paired " if isinstance(claim.second, str) else ""
    profile = f", profile {claim.profile}" if claim.profile else ""
    if claim.seeds == 1:
        where = f"(one seed{profile}; the ± is of the examples alone)"
    else:
        where = f"(95 %, {claim.seeds} {paired}seeds{profile})"
    if claim.margin is None:
        where = f"(seeds: {claim.seeds}{profile})"
    verdict = f"{measured} {where}."
    if claim.outcome == "not comparable":
        verdict = f"{hindrance}." if claim.difference is None else f"{hindrance}. {verdict}"
    source = f" ({claim.source})" if claim.source else ""
    outcome = claim.outcome.capitalize()
    return f"**Claim**{source}: *{claim.sentence}.* **{outcome}**: {verdict}"


def _display(claim: Claim, hindrance: str) -> None:
    from IPython.display import display  # `page` does without it

    text = _paragraph(claim, hindrance)
    display(
        {"text/markdown": text, "text/plain": text},
        metadata={"labkit": {"claim": claim.told()}},
        raw=True,
    )


def _table(claims: Sequence[Claim], caption: str, label: str) -> NotebookNode:
    columns = ["claim", "source", "difference", "seeds", "profile", "outcome"]
    rows = [
        [
            it.sentence,
            _split(it.source)[1] or "–",
            _measured(it),
            it.seeds,
            it.profile or "–",
            it.outcome,
        ]
        for it in claims
    ]
    lines = [
        "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row)
        for tag, row in [("th", columns), *(("td", row) for row in rows)]
    ]
    head, *body = (f"<tr>{line}</tr>" for line in lines)
    table = f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"
    about = {
        "kind": "table",
        "caption": caption,
        "alt": caption,
        "label": label,
        "table": {"columns": columns, "data": rows},
    }
    return v4.new_output(
        "display_data",
        {"text/html": f"{table}<p>{html.escape(caption)}</p>", "text/plain": caption},
        metadata={"labkit": about},
    )
