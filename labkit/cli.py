"""The command line: `labkit report`, `labkit run`, `labkit data`, `labkit runs`.

Exit status: 0 all went well, 1 something failed, 2 what was asked for cannot be done as asked,
130 interrupted.
"""

import sys
from pathlib import Path

import click

from labkit.errors import LabkitError
from labkit.report.execute import PROFILES, parse_overrides

_profile = click.option(
    "--profile",
    type=click.Choice(["auto", *PROFILES]),
    default="auto",
    help="How much is trained; auto is full with a GPU, else quick.",
)
_output = click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to (default: reports/build).",
)


@click.group()
@click.version_option(package_name="labkit")
def cli():
    """A deep-learning course whose every number and figure one command recomputes."""


@cli.command()
@click.argument("courses", nargs=-1)
@_profile
@_output
@click.option("--fresh", is_flag=True, help="Train and execute everything anew.")
@click.option("--show-code", is_flag=True, help="Print the notebooks' code as well.")
def report(courses, profile, output, fresh, show_code):
    """Execute the notebooks of COURSES (default: all) and write their PDF."""
    from labkit.report import build

    made = build.report(courses, profile=profile, output=output, fresh=fresh, show_code=show_code)
    _finish(made)


@cli.command()
@click.argument("notebook")
@click.option("-p", "overrides", multiple=True, metavar="NAME=VALUE", help="Set a parameter.")
@_profile
@_output
def run(notebook, overrides, profile, output):
    """Execute one NOTEBOOK (e.g. tdt4265/task2) with parameters of your own."""
    from labkit.report import build

    made = build.run(notebook, parse_overrides(overrides), profile=profile, output=output)
    _finish(made)


@cli.group()
def data():
    """The data sets: where they are, fetch them, verify them."""


@data.command("list")
def list_data():
    """Each known data set: prepared or not, its source and its place."""
    from labkit.data import sources

    for name in sources.DATASETS:
        click.echo(sources.status(name))


@data.command()
@click.argument("name")
def fetch(name):
    """Download and prepare a data set, if it is not there yet."""
    from labkit.data import sources

    click.echo(sources.fetch(name))


@data.command()
@click.argument("name")
def verify(name):
    """Recompute the checksum of a prepared data set."""
    from labkit.data import sources

    click.echo(sources.verify(name))


@cli.group()
def runs():
    """The records of finished runs."""


@runs.command("list")
def list_runs():
    """Each run made here: key, device, what it was trained on, test accuracy."""
    from labkit.training import store

    for run in store.local_runs():
        click.echo(run.summary())


@runs.command()
def commit():
    """Copy the full-scale records made here, without weights, to reports/results/.

    Full-scale is a run on all images of its data set. Commit the folder with git afterwards.
    """
    from labkit.training import store

    for run in store.commit():
        click.echo(run.summary())


def _finish(made):
    print(made.pdf)
    if made.failed:
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
