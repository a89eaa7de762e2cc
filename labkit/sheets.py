"""Answer sheets: a YAML file of answers in, a table of verdicts out.

Students write such a sheet themselves, or the grids in a course's notebooks do (`put_answer`).
Every answer is read as the text that stands in the file and checked by `labkit.handcalc.check`;
nothing in a sheet is executed, and no value is turned into a number by YAML's own rules (which
would make 49.153 of "49.153", and a date of "2024-01-01").
"""

import re
import shutil
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from labkit import project
from labkit.errors import UsageError
from labkit.handcalc import Verdict, check, checking
from labkit.handcalc.checking import form, shape_of
from labkit.handcalc.questions import course_questions
from labkit.handcalc.render import plain_question, working_text
from labkit.handcalc.tasks import Choice, Expected, Task

LONGEST_SHEET = 200_000  # bytes
KEPT_HERE = "# Answers given in the notebooks. To check them all: labkit check answers.yaml"
FOLDER_VARIABLE = "LABKIT_NOTEBOOK_FOLDER"  # of the notebook that `labkit report` executes
LONGEST_LINE = 100  # characters of a comment or a table


@dataclass(frozen=True)
class Checked:
    """One question of a sheet: its `task`, its `verdict`, and the `line` that it stands in.

    Line 0: the answer does not come from a file.
    """

    task: Task
    verdict: Verdict
    line: int = 0


def template(course: str) -> str:
    """An empty answer sheet of a `course`: its questions as comments, a line for each answer.

    Raises UsageError for a course that has no questions.

    >>> template("tdt4265").splitlines()[0]
    '# Answers to tdt4265. Write each behind its name, then: labkit check answers.yaml'
    """
    try:
        tasks = course_questions(course)
    except ValueError as error:
        raise UsageError(str(error)) from None
    parts = [
        f"# Answers to {course}. Write each behind its name, then: labkit check answers.yaml\n"
        "# A matrix goes below its name, a row per line, indented. Leave empty what you skip.\n"
    ]
    for task in tasks:
        parts.append(f"{_comment(task)}\n{task.name}:{' |' if _has_rows(task) else ''}\n")
    return "\n".join(parts)


def read_sheet(path: Path) -> dict[str, tuple[str, int]]:
    """The answers of a sheet by question, each as text with its line number.

    Raises UsageError, with the line, where the file at `path` is absent or cannot be read as a
    sheet.

        read_sheet(Path("answers.yaml"))  # {"tdt4265/1c": ("3", 4)}
    """
    from ruamel.yaml import YAML, YAMLError
    from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

    def text_of(node, depth: int = 0) -> str:
        if node.anchor:  # an alias could repeat itself without end
            line = node.start_mark.line + 1
            raise UsageError(f"{path.name}, line {line}: write the answer out, without & and *")
        if isinstance(node, ScalarNode):
            return node.value
        if isinstance(node, SequenceNode) and depth == 0:
            scalars = [part.value for part in node.value if isinstance(part, ScalarNode)]
            if len(scalars) == len(node.value) and any(len(text.split()) > 1 for text in scalars):
                return "\n".join(scalars)  # a row of a matrix each
        if isinstance(node, SequenceNode) and depth < 4:
            return "[" + ", ".join(text_of(part, depth + 1) for part in node.value) + "]"
        raise UsageError(
            f"{path.name}, line {node.start_mark.line + 1}: an answer is a text, a number or a "
            "list of rows; write it behind its question"
        )

    try:
        if path.stat().st_size > LONGEST_SHEET:
            raise UsageError(f"{path.name} has over {LONGEST_SHEET:,} bytes; no answer sheet has")
        sheet = YAML(typ="safe", pure=True).compose(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"there is no file {path}; `labkit check --template COURSE` writes a sheet to fill in"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise UsageError(f"{path} cannot be read ({reason})") from None
    except (YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        deep = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or deep
        raise UsageError(
            f"{path.name}{place}: {problem}; write `question: answer` with a blank after the "
            "colon, and the rows of a matrix below it, indented by blanks (not tabs)"
        ) from None
    if not isinstance(sheet, MappingNode):
        raise UsageError(f"{path.name} holds no answers; write `question: answer` lines")
    answers: dict[str, tuple[str, int]] = {}
    for key, value in sheet.value:
        line = key.start_mark.line + 1
        name = key.value if isinstance(key, ScalarNode) else "?"
        if name in answers:
            raise UsageError(
                f"{path.name}, line {line}: {name} has an answer already in line "
                f"{answers[name][1]}; keep one"
            )
        answers[name] = text_of(value), line
    return answers


def answers_in(path: Path) -> dict[str, tuple[str, int]]:
    """The answers of the sheet at `path`; none where it is absent or holds comments alone.

    As `read_sheet` else: `answers_in(Path("answers.yaml"))`.
    """
    try:
        lines = path.read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError:
        return read_sheet(path)  # which says what is the matter
    return read_sheet(path) if any(it.strip() and not it.startswith(b"#") for it in lines) else {}


def put_answer(path: Path, name: str, answer: str) -> None:
    """Write the answer to one question into a sheet, which is made where there is none.

    `name` is the question's, `answer` the text as it was given, `path` the sheet. All else in it
    stays as it is, comments too. Raises UsageError where the sheet cannot be read.

        put_answer(Path("answers.yaml"), "tdt4265/1c", "3")
    """
    answers_in(path)  # what cannot be read shall not be written to
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else [KEPT_HERE, ""]
        first = next((i for i, it in enumerate(lines) if it.startswith(f"{name}:")), len(lines))
        rest = lines[first + 1 :]
        # the rows below belong to the answer, and empty lines between them
        kept = next((i for i, it in enumerate(rest) if it and not it[0].isspace()), len(rest))
        while kept and not rest[kept - 1].strip():
            kept -= 1
        lines[first:] = [*_entry(name, answer), *rest[kept:]]
        project.write_whole(path, "\n".join([*lines, ""]).encode())
    except OSError as error:
        raise UsageError(
            f"{path.name} cannot be written ({error.strerror}); the answer is not kept"
        ) from None


def _entry(name: str, answer: str) -> list[str]:
    """An answer as lines of YAML: behind its name where that is safe, else below it."""
    if not answer or re.fullmatch(r"[-+]?\w([\w .,/×+-]*\w)?", answer):
        return [f"{name}: {answer}".rstrip()]
    return [f"{name}: |", *(f"  {line}".rstrip() for line in answer.split("\n"))]


def find_task(name: str) -> Task:
    """The task of a course's question or an exercise, by `name`.

    Raises UsageError for a name that is none.

    >>> find_task("tdt4265/1c").result
    3
    """
    try:
        return checking.find_task(name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def checked(task: Task, answer: str, line: int = 0) -> Checked:
    """An `answer` to a `task`, given as text, checked; `line` is where it stands in a sheet.

    >>> checked(find_task("tdt4265/1c"), "3").verdict.right
    True
    """
    return Checked(task, check(answer, task), line)


def check_sheet(path: Path) -> list[Checked]:
    """Every answer of the sheet at `path`, checked, in its order.

    An answer to an unknown question has a verdict that says so. Raises UsageError where the sheet
    cannot be read or holds no answers.

        print(report(check_sheet(Path("answers.yaml"))))
    """
    found = []
    for name, (answer, line) in read_sheet(path).items():
        try:
            found.append(checked(find_task(name), answer, line))
        except UsageError as error:  # the other answers are checked all the same
            unknown = Task(name, "", Expected(None))
            found.append(Checked(unknown, Verdict(False, (), str(error), readable=False), line))
    if not found:
        raise UsageError(f"{path.name} holds no answers; write `question: answer` lines")
    return found


def report(checked: Iterable[Checked], *, working: bool = False, sheet: str = "") -> str:
    """Verdicts and hints as a table of plain text, and how many are right.

    `checked` are the questions of a sheet. With `working` the solution follows each wrong answer;
    `sheet` is the file's name, which stands with the line where an answer could not be read.

    >>> print(report([checked(find_task("tdt4265/1c"), "3")]))
    tdt4265/1c  correct
    """
    checked = list(checked)
    width = max(len(it.task.name) for it in checked)
    lines = []
    for it in checked:
        place = f"{sheet}, line {it.line}: " if not it.verdict.readable and it.line else ""
        lines += _row(it.task.name.ljust(width), place + it.verdict.message)
        indent = " " * width
        lines += [f"{indent}  {line}" for line in it.verdict.grid_lines]
        if it.verdict.hint:
            lines += _row(indent, f"Hint: {it.verdict.hint}")
        if working and not it.verdict.right and it.verdict.readable:
            lines += [f"{indent}  {line}" for line in working_text(it.task).split("\n")]
    right = sum(it.verdict.right for it in checked)
    if len(checked) > 1:
        lines += ["", f"{right} of {len(checked)} right"]
    return "\n".join(lines)


def asked(task: Task) -> str:
    """The question of a `task` as plain text, with the form that its answer has.

    Lines are as long as the terminal, at most 100 characters.

        print(asked(find_task("tdt4265/1c")))
    """
    lines = []
    for line in [*plain_question(task.question).split("\n"), f"({_form(task)})"]:
        matrix = line.startswith("  ")
        lines += [line] if matrix else textwrap.wrap(line, _columns()) or [""]
    return "\n".join(lines)


def _columns() -> int:
    return min(LONGEST_LINE, shutil.get_terminal_size((LONGEST_LINE, 24)).columns)


def _row(start: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        max(_columns(), len(start) + 30),
        initial_indent=f"{start}  ",
        subsequent_indent=" " * len(start) + "  ",
        break_long_words=False,
    ) or [start]


def _comment(task: Task) -> str:
    return "\n".join(f"# {line}".rstrip() for line in asked(task).split("\n"))


def _has_rows(task: Task) -> bool:
    return len(shape_of(task.result)) > 1


def _form(task: Task) -> str:
    if isinstance(task.calculation, Choice):
        return "one of: " + ", ".join(task.calculation.options)
    return form(shape_of(task.result))
