"""What the page asks of Python: a form for each answer, verdicts, workings, steps, sheets.

It runs in the browser, on the standard library and labkit.handcalc alone. Nothing that is typed
into the page is executed, and nothing of it raises: a sentence says what is the matter.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape

from labkit.handcalc import Task, Worked, html
from labkit.handcalc.checking import find_task
from labkit.handcalc.exercises import exercises
from labkit.handcalc.forms import AnswerForm, typed, unused, work
from labkit.handcalc.mistakes import position_of
from labkit.handcalc.questions import QUESTIONS
from labkit.handcalc.render import working_text
from labkit.site.formulas import question_html

MOST_ENTRIES = 100_000  # of a padded input: more would keep the page waiting
MOST_EXERCISES = 20
LONGEST_SHEET = 200_000  # characters


def call(name: str, arguments: str) -> str:
    """One of the functions below, with its arguments and its reply as JSON."""
    return json.dumps(FUNCTIONS[name](*json.loads(arguments)))


# ---- questions and their answers


def article(task: Task, question: str) -> str:
    """A task as the page shows it: `question` is its wording in HTML."""
    name = escape(task.name)
    return (
        f'<article class="question" id="{name}"><h3>{name}</h3>{question}'
        f'<form class="answer" data-task="{name}" autocomplete="off" novalidate>'
        f'<fieldset><legend class="hidden">Answer to {name}</legend>{_cells(task)}</fieldset>'
        '<p class="buttons"><button type="submit">Check</button> '
        '<button type="button" class="show" aria-expanded="false" hidden>Show the working</button>'
        '</p><div class="verdict" role="status"></div><div class="working" hidden></div>'
        "</form></article>"
    )


def judged(name: str, cells: Sequence[str]) -> dict:
    """The `Judgement` on an answer that is given cell by cell, in reading order."""
    return asdict(AnswerForm(find_task(name)).judge(cells))


def working(name: str) -> dict:
    """The way to the right answer: as lines, or as so many steps, which `step_of` shows."""
    task = find_task(name)
    if isinstance(task.calculation, Worked):
        return {"steps": math.prod(task.calculation.shape), "lines": []}
    return {"steps": 0, "lines": working_text(task).split("\n")}


def step_of(name: str, number: int) -> str:
    """Step `number` (from 1) of a task's calculation window by window, as HTML."""
    worked = find_task(name).calculation
    return html(worked, at=position_of(number - 1, worked.shape))


def drawn(kind: str, level: str, seed: str, count: str) -> dict:
    """Exercises as HTML, or a message that says why there are none."""
    try:
        level, seed, count = (
            _whole(written, named)
            for written, named in ((level, "level"), (seed, "seed"), (count, "number"))
        )
        if count > MOST_EXERCISES:
            raise ValueError(f"{count} exercises are too many at once; at most {MOST_EXERCISES}")
        tasks = exercises(kind, level=level, seed=seed, count=count)
    except ValueError as error:
        return {"html": "", "message": str(error)}
    shown = "".join(article(task, question_html(task.question)) for task in tasks)
    return {"html": shown, "message": ""}


def _cells(task: Task) -> str:
    """Cells in the shape of a task's answer; over each of several channels its number."""
    form = AnswerForm(task)
    if form.options:
        return "".join(
            f'<label><input type="radio" name="{escape(task.name)}" value="{escape(option)}"> '
            f"{escape(option)}</label>"
            for option in form.options
        )
    kind = "words" if form.is_words else "" if form.shape else "single"
    cells = []
    for name in form.names:
        hint = f' placeholder="{name}"' if form.is_size else ""
        cells.append(
            f'<label class="cell {kind}"><b class="sign" aria-hidden="true"></b>'
            f'<span class="hidden">{name}</span>'
            f'<input type="text" spellcheck="false"{hint}></label>'
        )
    lines = []
    for channel, line in form.rows():
        if channel:
            lines.append(f'<p class="channel">{channel}</p>')
        row = ("<span>×</span>" if form.is_size else "").join(cells[line])
        lines.append(f'<div class="row">{row}</div>')
    return "".join(lines)


def _whole(written: str, name: str) -> int:
    try:
        return int(written)
    except ValueError:
        raise ValueError(f"{name}: {written!r} is no whole number; write one") from None


# ---- a calculation of one's own, window by window


def step(settings: Mapping[str, str], number: int) -> dict:
    """Step `number` (from 1) of the calculation that the fields describe.

    `settings` are texts: image, operation, kernel, window, stride, padding, dilation. The reply
    has the step as HTML with how many there are, or a message that says what does not fit, and
    the fields that this operation has no use for.
    """
    without = unused(settings["operation"])
    try:
        written = settings["image"]
        image = typed(written, "image", (0, 0, 0) if _has_channels(written) else (0, 0))
        worked = work(image, settings, most_entries=MOST_ENTRIES)
    except (ValueError, KeyError) as error:
        return {"html": "", "steps": 0, "number": 0, "message": str(error), "unused": without}
    steps = math.prod(worked.shape)
    number = min(max(1, number), steps)
    shown = html(worked, at=position_of(number - 1, worked.shape))
    return {"html": shown, "steps": steps, "number": number, "message": "", "unused": without}


def _has_channels(image: str) -> bool:
    """Whether an empty line separates matrices."""
    return bool(re.search(r"\S[ \t]*\n[ \t]*\n\s*\S", image))


# ---- answer sheets


def sheet(answers: Mapping[str, Sequence[str]]) -> str:
    """The answers as a sheet that `labkit check answers.yaml` reads; courses first."""
    parts = ["# Answers. To have them checked: labkit check answers.yaml\n"]
    courses = [name for name in QUESTIONS if name in answers]
    for name in dict.fromkeys([*courses, *answers]):
        try:
            form = AnswerForm(find_task(name))
        except ValueError:  # kept from a page that knew other questions
            continue
        text = form.as_text(answers[name])
        if text and form.shape:
            rows = (f"  {line}".rstrip() for line in text.split("\n"))
            parts.append("\n".join([f"{name}: |", *rows]) + "\n")
        elif text:
            # JSON's texts are YAML's, whatever they hold
            parts.append(f"{name}: {json.dumps(text, ensure_ascii=False)}\n")
    return "\n".join(parts)


def read_sheet(text: str) -> dict:
    """The answers of a sheet, cell by cell, and what could not be taken over, in sentences.

    It reads the YAML of `sheet` and of `labkit check --template`: `question: answer` lines, rows
    of a matrix indented below.
    """
    answers, problems = {}, []
    try:
        found = _written(text)
    except ValueError as error:
        return {"answers": {}, "problems": [str(error)]}
    for name, answer in found.items():
        try:
            if answer.strip():
                answers[name] = AnswerForm(find_task(name)).as_cells(answer)
        except ValueError as error:
            problems.append(f"{name}: {error}")
    if not found:
        problems = ["the sheet holds no answers; write `question: answer` lines"]
    return {"answers": answers, "problems": problems}


def _written(text: str) -> dict[str, str]:
    """Each question's answer as text."""
    if len(text) > LONGEST_SHEET:
        raise ValueError(f"the sheet has over {LONGEST_SHEET:,} characters; no answer sheet has")
    blocks: dict[str, list[str]] = {}
    name, is_literal = None, False
    text = text.replace("\r\n", "\n")
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if line.startswith(("#", "---", "%")):
            continue
        if name is not None and (not line.strip() or line[0] in " \t-"):
            blocks[name].append(line.strip() if is_literal else re.sub(r"^\s*(- )?", "", line))
        elif entry := re.fullmatch(r"""["']?([^\s"':]+)["']?\s*:(?:\s+(.*))?""", line):
            name = entry[1]
            if name in blocks:
                raise ValueError(f"line {number}: {name} has an answer already; keep one")
            is_literal = bool(re.match(r"[|>]", entry[2] or ""))
            blocks[name] = [] if is_literal else [_scalar(entry[2] or "")]
        elif line.strip():
            raise ValueError(
                f"line {number}: not readable; write `question: answer` with a blank after the "
                "colon, and the rows of a matrix below it, indented by blanks"
            )
    return {name: "\n".join(lines).strip("\n") for name, lines in blocks.items()}


def _scalar(written: str) -> str:
    """A text behind a colon: with or without quotes, with or without a comment."""
    written = written.strip()
    if quoted := re.match(r'"(?:[^"\\]|\\.)*"', written):
        try:
            return json.loads(quoted[0])
        except ValueError:
            return quoted[0].strip('"')
    if quoted := re.match(r"'((?:[^']|'')*)'", written):
        return quoted[1].replace("''", "'")
    return re.sub(r"(^|\s)#.*", "", written).strip()


FUNCTIONS = {
    function.__name__: function
    for function in (judged, working, step_of, drawn, step, sheet, read_sheet)
}
