"""JupyterLab on a labkit project: the start page open, notebooks on a double click."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from labkit import project

# how JupyterLab differs from its defaults here: a .py file opens as a notebook, times of cells are
# recorded, nothing is asked of the network
CONFIG = Path(__file__).with_name("config")
START = "notebooks/index.py"
WRITE_START_PAGE = "from labkit.lab.start_page import write_start_page as it; it()"


def command(arguments: Sequence[str] = ()) -> list[str]:
    """The command that opens JupyterLab on the project, with `arguments` of the user's own."""
    root = project.root()
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # containers
    return [
        *(sys.executable, "-m", "jupyterlab"),
        # the project, not notebooks/: the report can be opened too, and Jupytext finds its settings
        f"--ServerApp.root_dir={root}",
        "--FileContentsManager.preferred_dir=notebooks",
        f"--LabApp.default_url=/lab/tree/{START}",
        # open tabs come back, and those of other projects do not
        f"--LabApp.workspaces_dir={root / 'reports' / 'build' / 'lab'}",
        *as_root,
        *arguments,
    ]


def environment() -> dict[str, str]:
    """The variables that JupyterLab is started with."""
    configured = filter(None, (str(CONFIG), os.environ.get("JUPYTER_CONFIG_PATH")))
    return {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(configured)}


def launch(arguments: Sequence[str] = ()) -> None:
    """Become JupyterLab; the start page is written meanwhile, by a process of its own."""
    os.chdir(project.root())
    subprocess.Popen([sys.executable, "-c", WRITE_START_PAGE])
    os.execve(sys.executable, command(arguments), environment())
