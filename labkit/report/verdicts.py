"""Each published value judged: reproduced, better, not reached, wrong, or why it is not judged.

A published accuracy is one run. Another run of the same training need not give the same, so a
difference counts only beyond the margin that one more run has: see `margin`. What was worked out
by hand is decided by `labkit.handcalc.check`, which knows the right answer and the mistakes.
"""

import html
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from scipy.special import stdtrit

from labkit.handcalc import answer_text, check
from labkit.report.facts import Measured
from labkit.report.published import Published

BETTER = "better"
REPRODUCED = "reproduced"
WRONG = "published value is wrong"
NOT_REACHED = "not reached"
NOT_COMPARABLE = "not comparable"
NOT_MEASURED = "not measured"

MEANINGS = {
    REPRODUCED: "measured within the margin, or for counts and hand calculations exactly",
    BETTER: "measured better by more than the margin",
    NOT_REACHED: "measured worse by more than the margin, or a count that is another",
    WRONG: "by the hand calculation; the right value stands beside it, the mistake in the notes",
    NOT_COMPARABLE: "for the reason in the notes",
    NOT_MEASURED: "by any run of this report",
}
# the best first; a value known to be wrong is as settled as one that is reproduced
_RANKS = {BETTER: 0, REPRODUCED: 1, WRONG: 1, NOT_REACHED: 2, NOT_COMPARABLE: 3, NOT_MEASURED: 4}

_LOWER_IS_BETTER = re.compile(r"(loss|cer|wer)(_at_\d+)?$")
_SHARE = re.compile(r"(accuracy|cer|wer)(_at_\d+)?$")


@dataclass(frozen=True)
class Verdict:
    """What came of one published value; only the full scale is judged, the other is beside it."""

    published: Published
    kind: str
    why: str = ""
    right: str = ""  # where a hand calculation decides: the right value, or its entries that differ
    printed: str = ""  # those entries as they are published
    full: Measured | None = None
    here: Measured | None = None  # of the profile at hand
    difference: float | None = None  # measured − published, where they were compared
    margin: float | None = None  # within which a difference says nothing; None for a count


def verdicts(published: Iterable[Published], measured: Iterable[Measured]) -> list[Verdict]:
    """One for each published value, in their order."""
    found: dict[tuple[str, str, bool], list[Measured]] = {}
    for it in measured:
        found.setdefault((it.question, it.metric, it.profile == "full"), []).append(it)

    def chosen(value: Published, full: bool) -> Measured | None:
        """Of several measurements the one on the course's own data, with most seeds, the newest."""
        those = found.get((value.question, value.metric, full), [])
        return max(those, key=lambda it: (not it.stand_in, len(it.values), it.date), default=None)

    return [_verdict(value, chosen(value, True), chosen(value, False)) for value in published]


def margin(values: Sequence[float], published: float, metric: str, examples: int | None) -> float:
    """By how much one more run may differ from the mean of these, in 19 of 20 cases.

    Of n seeds with standard deviation s it is the prediction interval t·s·√(1 + 1/n), t of n − 1
    degrees of freedom; of a share p of N examples at least the sampling error 2·√(2p(1 − p)/N) of
    two such shares (of a character error rate, counted in words, it is too wide). NaN where neither
    can be told: of one seed's loss.

    >>> round(margin([0.5, 0.6], 0.55, "test_accuracy", 10_000), 3)  # 12.706·0.0707·1.2247
    1.1
    >>> round(margin([0.5], 0.5, "test_accuracy", 10_000), 4)
    0.0141
    """
    n = len(values)
    bounds = []
    if n > 1:
        bounds.append(stdtrit(n - 1, 0.975) * statistics.stdev(values) * math.sqrt(1 + 1 / n))
    if examples and _SHARE.search(metric):
        p = min(1.0, (published + statistics.fmean(values)) / 2)  # an error rate may be above 1
        bounds.append(2 * math.sqrt(2 * p * (1 - p) / examples))
    return float(max(bounds, default=math.nan))


def worse(now: str, before: str) -> bool:
    """Whether a value's verdict got worse.

    What was reproduced and is now wrong, or the other way round, is worse as well: what is printed
    does not change, so the calculation did.

    >>> worse(NOT_REACHED, REPRODUCED), worse(BETTER, REPRODUCED), worse(REPRODUCED, WRONG)
    (True, False, True)
    """
    return _RANKS[now] > _RANKS[before] or {now, before} == {REPRODUCED, WRONG}


def as_records(judged: Iterable[Verdict]) -> list[dict[str, Any]]:
    """The verdicts as JSON knows them; `id` ("tdt4265/2b/test_accuracy") is the same for ever."""
    return [
        {
            "id": it.published.id,
            "report": it.published.report,
            "place": it.published.place,
            "conditions": it.published.conditions,
            "what": it.published.what,
            "unit": it.published.unit,
            "published": it.published.value,
            "verdict": it.kind,
            "why": it.why,
            "right": it.right,
            "printed": it.printed,
            "difference": it.difference,
            "margin": it.margin,
            "full": _summary(it.full),
            "here": _summary(it.here),
        }
        for it in judged
    ]


def page(judged: Sequence[Verdict]) -> NotebookNode:
    """The page `Published beside measured`, as an executed notebook: one table for each course."""
    cells = [new_markdown_cell(_introduction(judged))]
    reports = dict.fromkeys(it.published.report for it in judged)
    cells += [_table([it for it in judged if it.published.report == name]) for name in reports]
    return new_notebook(cells=cells)


# ------------------------------------------------------------------------------ judging


def _verdict(value: Published, full: Measured | None, here: Measured | None) -> Verdict:
    if value.check:
        return Verdict(value, **_by_hand(value), full=full, here=here)
    if why := value.not_comparable or _not_judged(full, here):
        return Verdict(value, NOT_COMPARABLE, why, full=full, here=here)
    if full is None:
        return Verdict(value, NOT_MEASURED, here=here)
    found = {"full": full, "here": here}
    if isinstance(value.value, int):  # a count
        kind = REPRODUCED if set(full.values) == {value.value} else NOT_REACHED
        difference = statistics.fmean(full.values) - value.value
        return Verdict(value, kind, **found, difference=difference)
    if not all(map(math.isfinite, full.values)):
        return Verdict(value, NOT_REACHED, "a run diverged", **found)
    width = margin(full.values, value.value, value.metric, full.examples)
    why = "one seed" if len(full.values) == 1 else ""
    if math.isnan(width):
        why = "one seed, and the scatter of a loss cannot be told from its mean"
        return Verdict(value, NOT_COMPARABLE, why, **found)
    difference = statistics.fmean(full.values) - value.value
    if abs(difference) <= width:
        kind = REPRODUCED
    elif (difference < 0) == bool(_LOWER_IS_BETTER.search(value.metric)):
        kind = BETTER
    else:
        kind = NOT_REACHED
    return Verdict(value, kind, why, **found, difference=difference, margin=width)


def _not_judged(full: Measured | None, here: Measured | None) -> str:
    """Why what was measured is not held against the published value; empty where it can be."""
    if full is None and here is not None:
        return "stand-in data" if here.stand_in else f"only the {here.profile} profile was run"
    return "stand-in data" if full is not None and full.stand_in else ""


def _by_hand(value: Published) -> dict[str, str]:
    """What a hand calculation decides: verdict, mistakes, and right beside printed entries."""
    answers = value.value if len(value.check) > 1 else [value.value]
    checked = [check(answer, name) for answer, name in zip(answers, value.check, strict=True)]
    wrong = [it for it in checked if not it.right]
    if not wrong:
        right = "; ".join(answer_text(it.task.result) for it in checked)
        return {"kind": REPRODUCED, "right": right}
    pairs = [pair for it in wrong for pair in it.corrections if isinstance(value.value, list)]
    pairs = pairs or [(str(value), answer_text(it.task.result)) for it in wrong]
    mistakes = dict.fromkeys(str(it.explanations[0]) for it in wrong if it.explanations)
    printed, right = ("; ".join(entries) for entries in zip(*pairs, strict=True))
    return {"kind": WRONG, "why": "; ".join(mistakes), "right": right, "printed": printed}


# ------------------------------------------------------------------------------ the page


def _introduction(judged: Sequence[Verdict]) -> str:
    counts = Counter(it.kind for it in judged)
    profiles = dict.fromkeys(it.here.profile for it in judged if it.here)
    beside = "".join(
        f" What the {name} profile measured stands beside it, and is not judged."
        for name in profiles
    )
    kinds = "\n".join(
        f"- **{kind}** ({counts[kind]}): {meaning}"
        for kind, meaning in MEANINGS.items()
        if counts[kind]
    )
    return f"""# Published beside measured

The reports print {len(judged)} values, shares in parts of 1 here. Each is held against what was
measured at full scale (mean ± standard deviation over the seeds, whose number stands in
parentheses) or, where it was worked out by hand, against the right answer.{beside} They are

{kinds}

A published accuracy is that of one run. The margin behind a difference is therefore that of one
more run: of $n$ seeds with standard deviation $s$ the 95 % prediction interval
$t\\,s\\sqrt{{1 + 1/n}}$, and at least the sampling error $2\\sqrt{{2p(1 - p)/N}}$ of a share $p$ of
$N$ examples, which for one seed is all that is known."""


def _table(judged: Sequence[Verdict]) -> NotebookNode:
    """A cell whose output is the table of one report, with its notes below."""
    first = judged[0].published
    profiles = dict.fromkeys(it.here.profile for it in judged if it.here)
    reasons = list(dict.fromkeys(it.why for it in judged if it.why))
    marks = {why: _superscript(number) for number, why in enumerate(reasons, start=1)}
    columns = ["place", "value", "published", "measured", *profiles, "difference", "verdict"]
    rows, before = [], ""
    for it in judged:
        place = it.published.place
        count = isinstance(it.published.value, int)
        rows.append(
            [
                place if place != before else "",
                _name(it.published),
                it.printed or str(it.published),
                it.right or _spread(it.full, count),
                *(_spread(it.here, count) for _ in profiles),
                _difference(it, count),
                it.kind + marks.get(it.why, ""),
            ]
        )
        before = place
    caption = f"What the {first.report} prints, beside what labkit finds."
    notes = [f"{mark} {why}" for why, mark in marks.items()]
    provenance = " ".join(filter(None, ("; ".join(notes) + "." if notes else "", _origin(judged))))
    about = {
        "kind": "table",
        "caption": caption,
        "label": f"tab-published-{first.question.partition('/')[0]}",
        "provenance": provenance,
        "table": {"columns": columns, "data": rows},
    }
    note = f"{html.escape(caption)}<br><small>{html.escape(provenance)}</small>"
    data = {"text/html": f"{_html(columns, rows)}<p>{note}</p>", "text/plain": caption}
    output = new_output("display_data", data=data, metadata={"labkit": about})
    return new_code_cell(outputs=[output])


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _name(value: Published) -> str:
    name = value.metric.replace("_", " ")
    return f"{name} ({value.what})" if value.what else name


def _spread(it: Measured | None, count: bool) -> str:
    if it is None:
        return "–"
    if it.stand_in:
        return "stand-in data"
    if count:
        return ", ".join(f"{value:,}" for value in dict.fromkeys(it.values))
    if not all(map(math.isfinite, it.values)):
        return "diverged"
    text = f"{statistics.fmean(it.values):.3f}"
    if len(it.values) > 1:
        text += f" ± {statistics.stdev(it.values):.3f}"
    return f"{text} ({len(it.values)})"


def _difference(it: Verdict, count: bool) -> str:
    if it.difference is None:
        return "–"
    text = f"{it.difference:+,.0f}" if count else f"{it.difference:+.3f} ± {it.margin:.3f}"
    return "0" if text == "+0" else text.replace("-", "−")


def _origin(judged: Sequence[Verdict]) -> str:
    """Where and when each was measured, and under which conditions it was published."""
    measured = [
        (it.published.place, f"{f.data}, {f.device}, torch {f.torch}, {f.date[:10]}")
        for it in judged
        if (f := it.full)
    ]
    published = [(it.published.place, it.published.conditions) for it in judged]
    groups = {"Measured": _grouped(measured), "Published": _grouped(published)}
    return " ".join(f"{name}: {text}." for name, text in groups.items() if text)


def _grouped(said: Iterable[tuple[str, str]]) -> str:
    """What is said of places, each once: "task 2b, task 3b: this; task 4a: that"."""
    places: dict[str, dict[str, None]] = {}
    for place, text in said:
        if text:
            places.setdefault(text, {})[place] = None
    return "; ".join(f"{', '.join(those)}: {text}" for text, those in places.items())


def _html(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
        return f"<tr>{inner}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(columns, 'th')}</thead><tbody>{body}</tbody></table>"


# ------------------------------------------------------------------------------ as JSON


def _summary(it: Measured | None) -> dict[str, Any] | None:
    """A measurement with its mean and standard deviation; None for what JSON does not know."""
    if it is None:
        return None
    finite = all(map(math.isfinite, it.values))
    return {
        **it.told(),
        "values": [value if math.isfinite(value) else None for value in it.values],
        "mean": statistics.fmean(it.values) if finite else None,
        "sd": statistics.stdev(it.values) if finite and len(it.values) > 1 else None,
    }
