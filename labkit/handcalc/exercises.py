"""Exercises: drawn by chance, yet the same for the same name, and checked like every other task.

An exercise is named KIND/LEVEL/SEED/NUMBER, so that `labkit check convolution/2/17/3 …` needs the
name alone. Of the drafts drawn for a name the first is kept whose usual mistakes each lead to an
answer of its own, so that a check can tell which of them was made.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from difflib import get_close_matches

from labkit.handcalc.drafts import DRAFTS, Dice, Draft
from labkit.handcalc.render import answer_text, plain_question, working_text
from labkit.handcalc.shapes import Solution, shown, whole
from labkit.handcalc.tasks import Task
from labkit.handcalc.windows import Worked

KINDS = tuple(DRAFTS)
LEVELS = (1, 2, 3)
MOST_DRAWS = 60  # drafts for one exercise
LINE = 90  # characters of a text sheet


def exercise(kind: str, level: int = 1, seed: int = 0, number: int = 1) -> Task:
    """One exercise; the same arguments give the same one, in every process and Python version.

    `level` is 1, 2 or 3. Raises ValueError for a kind or level that there is none of, a seed below
    0 and a number below 1.

    >>> task = exercise("output-size", 1, seed=0, number=1)
    >>> print(task.name, task.result)
    output-size/1/0/1 (2, 2)
    """
    found = draft(kind, level, seed, number)
    return Task(f"{kind}/{level}/{seed}/{number}", found.question, found.calculation)


def exercises(kind: str, *, level: int = 1, seed: int = 0, count: int = 5) -> list[Task]:
    """A sheet of exercises: the numbers 1 to `count` of a kind, level and seed.

    >>> [task.name for task in exercises("pooling", level=2, seed=7, count=2)]
    ['pooling/2/7/1', 'pooling/2/7/2']
    """
    count = whole(count, "count", at_least=1)
    return [exercise(kind, level, seed, number) for number in range(1, count + 1)]


def exercise_named(name: str) -> Task:
    """The exercise of a `name`, which is kind/level/seed/number.

    Raises ValueError for a name that is none.

    >>> exercise_named("pooling/2/7/1") == exercise("pooling", 2, seed=7, number=1)
    True
    """
    match = re.fullmatch(r"([^/]*)/([0-9]+)/([0-9]+)/([0-9]+)", str(name))
    if not match:
        raise ValueError(
            f"{shown(name)} names no exercise; give KIND/LEVEL/SEED/NUMBER, "
            "such as convolution/2/17/3"
        )
    kind, *numbers = match.groups()
    return exercise(kind, *map(int, numbers))


def sheet_text(tasks: Iterable[Task], *, key: bool = False) -> str:
    """A sheet for the terminal: each task with its name, and with `key` its answer and working.

    >>> print(sheet_text(exercises("output-size", count=1), key=True))
    output-size/1/0/1
    -----------------
    Images of 20 × 20 are pooled with windows of 7 × 7 that do not overlap (stride 7), without
    padding. How high and how wide is the output? Answer as height × width.
    <BLANKLINE>
    Answer: 2×2
    <BLANKLINE>
    o = ⌊(i + 2p − k)/s⌋ + 1
    o = ⌊(20 + 2·0 − 7)/7⌋ + 1 = ⌊13/7⌋ + 1 = 1 + 1 = 2
    """
    return "\n\n\n".join(_task_text(task, key) for task in tasks)


def _task_text(task: Task, key: bool) -> str:
    parts = [_wrapped(plain_question(task.question))]
    if key:
        if not isinstance(task.calculation, Worked):  # whose working begins with the answer
            parts.append(f"Answer: {key_answer(task)}")
        parts.append(working_text(task))
    return "\n".join([task.name, "-" * len(task.name), "\n\n".join(parts)])


def _wrapped(text: str) -> str:
    """Its lines no longer than a line; those of matrices, which are indented, as they are."""
    lines = text.split("\n")
    return "\n".join(
        line if line.startswith("  ") else textwrap.fill(line, LINE, break_on_hyphens=False)
        for line in lines
    )


def key_answer(task: Task) -> str:
    """The right answer for a key: all of them, where an unknown can be several numbers.

    >>> from labkit.handcalc import solve
    >>> key_answer(Task("", "", solve(output=16, kernel=3, stride=2, padding=1)))
    '31 or 32'
    """
    solution = task.calculation
    if isinstance(solution, Solution) and solution.highest is None:
        return f"{solution.lowest} or more"
    if isinstance(solution, Solution):
        return " or ".join(map(str, solution.values))
    return answer_text(task.result)


def draft(kind: str, level: int, seed: int, number: int) -> Draft:
    """The draft behind an exercise, with the mistakes that it tells apart."""
    if kind not in KINDS:
        near = get_close_matches(str(kind), KINDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(KINDS)}"
        raise ValueError(f"there are no exercises of kind {shown(kind)}; {hint}")
    if type(level) is not int or level not in LEVELS:  # True is 1 as well
        raise ValueError(f"there is no level {shown(level)}; give 1, 2 or 3")
    seed = whole(seed, "seed", at_least=0)
    number = whole(number, "number", at_least=1)

    turn, variant = divmod(seed + number, len(DRAFTS[kind][level - 1]))
    write = DRAFTS[kind][level - 1][variant]
    dice = Dice(f"labkit {kind} {level} {seed} {number}", turn)
    best = None
    for _ in range(MOST_DRAWS):
        try:
            drawn = write(dice)
        except ValueError:  # numbers that do not fit each other
            continue
        if len(drawn.told_apart) == len(drawn.mistakes):
            return drawn
        if best is None or len(drawn.told_apart) > len(best.told_apart):
            best = drawn
    return best
