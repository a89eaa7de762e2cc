import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from report_project import write_notebook

from labkit import progress
from labkit.report import execute

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")


def test_a_kernel_has_the_imports_behind_it_and_a_group_and_environment_of_its_own(
    mini, tmp_path, monkeypatch
):
    monkeypatch.setenv("LABKIT_TEST_COLOUR", "blue")
    write_notebook(
        mini,
        "forked",
        """
        # %% tags=["parameters"]
        n = 1

        # %%
        import os, sys
        assert {"torch", "pandas", "matplotlib.figure", "labkit.figures"} <= {*sys.modules}
        assert os.getpgid(0) == os.getpid()
        assert os.environ["LABKIT_TEST_COLOUR"] == "blue"
        os.environ["LABKIT_TEST_COLOUR"] = "red"
        import matplotlib.pyplot
        assert "inline" in matplotlib.pyplot.get_backend()
        """,
    )
    source = execute.find_notebook("mini/forked")
    for _ in range(2):  # the second shows that a kernel leaves nothing behind for the next
        notebook = execute.execute(source, {}, tmp_path / "forked.ipynb", progress.Relay())
        assert execute.failure(notebook) is None
    assert os.environ["LABKIT_TEST_COLOUR"] == "blue"


def test_a_kernel_ends_with_the_process_that_started_it(mini):
    write_notebook(
        mini,
        "slow",
        """
        # %% tags=["parameters"]
        n = 1

        # %%
        import os, pathlib, time
        pathlib.Path("pid.part").write_text(str(os.getpid()))
        pathlib.Path("pid.part").rename("pid")
        time.sleep(300)
        """,
    )
    process = subprocess.Popen([sys.executable, "-m", "labkit.cli", "run", "mini/slow"])
    deadline = time.monotonic() + 120
    try:
        while not (mini / "pid").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    kernel = int((mini / "pid").read_text())
    try:
        while is_alive(kernel):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        if is_alive(kernel):
            os.kill(kernel, signal.SIGKILL)


def test_ctrl_c_while_the_imports_are_made_leaves_no_traceback(mini):
    """A terminal interrupts the whole group: the fork server too, before any kernel is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "labkit.cli", "report", "--profile", "smoke"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while b"forkserver" not in b"".join(map(command_line, children(process.pid))):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in found for child in path.read_text().split()]


def command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def is_alive(pid: int) -> bool:
    """Whether it runs; what is dead and only not yet buried does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
