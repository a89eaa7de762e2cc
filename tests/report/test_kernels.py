import os
import signal
import subprocess
import sys
import time

from report_project import write_notebook

from labkit import progress
from labkit.report import execute


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
        assert "multiprocessing" in sys.modules
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
    while not (mini / "pid").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    kernel = int((mini / "pid").read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    while is_alive(kernel):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
