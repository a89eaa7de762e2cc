"""JupyterLab on a copy of the project, and a page of headless Chromium to use it with."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
COPIED = ("notebooks", "params", "reports/results", "reports/published.yaml", "pyproject.toml")
PATIENCE = 60_000  # milliseconds: CI has two cores, which other tests share
expect.set_options(timeout=PATIENCE)


needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium")


@dataclass
class Lab:
    """A running JupyterLab: its address, the project that it works on, where runs are kept."""

    url: str
    root: Path
    runs: Path
    seconds_to_answer: float

    def stop_kernels(self) -> None:
        """As after a restart of the computer: what is opened next begins anew."""
        with urllib.request.urlopen(f"{self.url}/api/sessions") as answer:
            sessions = json.load(answer)
        for session in sessions:
            gone = urllib.request.Request(f"{self.url}/api/sessions/{session['id']}")
            gone.method = "DELETE"
            urllib.request.urlopen(gone).close()

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", *arguments]
        return subprocess.run(
            command, cwd=self.root, check=True, capture_output=True, text=True
        ).stdout


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    root = folder / "project"
    for name in COPIED:
        source, copy = ROOT / name, root / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.ipynb", ".*", "*.tmp"))
        else:
            shutil.copy(source, copy)
    shutil.copy(ROOT / ".gitignore", root)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "LABKIT_ROOT": str(root),
        "LABKIT_RUNS": str(folder / "runs"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),  # nothing of the user's own
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
    }
    command = [sys.executable, "-m", "labkit.cli", "lab", "--no-browser", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"]
    command += ["--ServerApp.disable_check_xsrf=True"]
    url = f"http://127.0.0.1:{port}"
    started = time.monotonic()
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            while not _answers(f"{url}/api"):
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() - started < PATIENCE / 1000, (folder / "log").read_text()
                time.sleep(0.1)
            found = Lab(url, root, folder / "runs", time.monotonic() - started)
            found.git("init", "--quiet")
            found.git("add", ".")
            found.git("commit", "--quiet", "--message=as it was cloned")
            yield found
        finally:
            server.terminate()
            server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, lab, tmp_path) -> Iterator[Page]:
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(PATIENCE)
    yield page
    page.screenshot(path=tmp_path / "last.png")
    page.close()


class Notebook:
    """A notebook that is open in JupyterLab."""

    def __init__(self, page: Page, lab: Lab, name: str):
        self.page = page
        page.goto(f"{lab.url}/lab/workspaces/auto-{time.time_ns()}/tree/notebooks/{name}")
        self.panel = page.locator(".jp-NotebookPanel:visible")
        self.idle()
        # JupyterLab drops without a word what is run before its kernel answers
        page.wait_for_function(
            "jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.connectionStatus"
            " === 'connected'"
        )

    def idle(self) -> None:
        """Wait until the kernel has nothing to do."""
        self.page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]:visible').wait_for()

    def command(self, name: str, **arguments) -> None:
        """One of JupyterLab's commands, as its menus and shortcuts call them."""
        self.page.evaluate(
            "([name, given]) => jupyterapp.commands.execute(name, given).then(() => null)",
            [name, arguments],
        )

    def cell(self, text: str) -> Locator:
        """The first code cell whose source has `text`."""
        pattern = re.compile(re.escape(text))
        source = self.page.locator(".jp-InputArea-editor").filter(has_text=pattern)
        return self.panel.locator(".jp-CodeCell").filter(has=source).first

    def run(self, text: str) -> Locator:
        """Run the cell with `text`, without waiting for its end; returns it."""
        cell = self.cell(text)
        cell.scroll_into_view_if_needed()
        cell.locator(".jp-InputPrompt").click()
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell'); }")
        return cell

    def save(self) -> None:
        self.command("docmanager:save")


@pytest.fixture
def notebook(page, lab):
    """`notebook("tdt4265/task1_hand_calculation.py")` opens one."""
    return lambda name: Notebook(page, lab, name)
