"""What can go wrong while a report is made, each made to happen: what was finished stays."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pypdf import PdfReader
from report_project import write_notebook

from labkit.report import build

COMMAND = [sys.executable, "-m", "labkit.cli", "report", "--profile", "smoke"]

# it says that it has begun, with its own process's number, and goes on when it is told to
SLOW = """
# %% tags=["parameters"]
n = 1

# %%
import os, pathlib, time
print("begun", flush=True)
pathlib.Path("{name}.begun.part").write_text(str(os.getpid()))
pathlib.Path("{name}.begun.part").rename("{name}.begun")

# %%
while not pathlib.Path("go").exists():
    time.sleep(0.05)
print("{name} went on")
"""
DYING = (
    '# %% tags=["parameters"]\nn = 1\n\n# %%\nimport os, signal\nos.kill(os.getpid(), signal.{})\n'
)


def slow(root: Path, name: str) -> None:
    write_notebook(root, name, SLOW.replace("{name}", name))


def wait_for(path: Path, process: subprocess.Popen | None = None) -> str:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} never came"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)
    return path.read_text()


def gone(pid: int) -> bool:
    """Whether the process ended within some seconds."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]:
            return True
        time.sleep(0.05)
    return False


def started(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
        # tests that run in the background ignore Ctrl-C, and so would what they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def states(made: build.Report) -> dict[str, str]:
    return {part.source.stem: part.state for part in made.parts}


def words(pdf: Path) -> str:
    pages = PdfReader(io.BytesIO(pdf.read_bytes())).pages
    return " ".join("\n".join(page.extract_text() for page in pages).split())


def finished(root: Path, stem: str) -> Path:
    return root / f"reports/build/smoke/notebooks/mini/{stem}.ipynb"


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)], ids=["9", "^C"]
)
def test_stopped_in_the_middle_it_goes_on_from_what_was_finished(mini, number, status):
    for name in ("slow", "slower"):
        slow(mini, name)
    process = started("--jobs", "3")
    kernels = [int(wait_for(mini / f"{name}.begun", process)) for name in ("slow", "slower")]
    wait_for(finished(mini, "one"), process)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in said
    assert number == signal.SIGKILL or "what was finished is kept, run it again" in said
    assert all(gone(kernel) for kernel in kernels)
    for name in ("slow", "slower"):
        assert not finished(mini, name).exists()
        unfinished = finished(mini, name).with_suffix(".unfinished.ipynb")
        assert "begun" in unfinished.read_text()  # its output was saved as it came

    (mini / "go").touch()
    again = build.report(profile="smoke")
    assert states(again) == {"one": "unchanged", "slow": "executed", "slower": "executed"}
    assert "slower went on" in words(again.pdf)
    assert not finished(mini, "slow").with_suffix(".unfinished.ipynb").exists()


@pytest.mark.parametrize("number", ["SIGKILL", "SIGSEGV"])
def test_a_kernel_that_dies_leaves_the_other_notebooks_alone(mini, number):
    write_notebook(mini, "dying", DYING.replace("{}", number))
    made = build.report(profile="smoke")
    assert states(made) == {"dying": "failed", "one": "executed"}
    assert "the kernel died" in words(made.pdf)
    assert "count is 1" in words(made.pdf)
    assert not finished(mini, "dying").exists()


def test_two_reports_at_once_execute_each_notebook_once(mini):
    slow(mini, "slow")
    first = started()
    wait_for(mini / "slow.begun", first)
    second = started()
    while "waiting" not in (line := second.stderr.readline()):
        assert second.poll() is None, line
    (mini / "slow.begun").unlink()
    (mini / "go").touch()
    for process in (first, second):
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert "unchanged" in said
    assert not (mini / "slow.begun").exists()  # the second did not run it


def test_what_is_half_written_is_not_read(mini):
    build.report(profile="smoke")
    path = finished(mini, "one")
    path.write_text(path.read_text()[:-200])
    (path.parent / ".one.ipynb.99.tmp").write_text("{")
    made = build.report(profile="smoke")
    assert states(made) == {"one": "executed"}
    assert made.parts[0].reasons == ["it has not been run to its end yet"]


def test_as_is_runs_nothing_and_says_what_is_missing(mini):
    build.report(profile="smoke")
    write_notebook(mini, "two", '# %% tags=["parameters"]\nn = 1\n')
    made = build.report(profile="smoke", as_is=True)
    assert states(made) == {"one": "unchanged", "two": "failed"}
    assert "mini/two did not run to its end" in words(made.pdf)
    assert "count is 1" in words(made.pdf)
    assert not finished(mini, "two").exists()


def mounted(folder: Path, options: str, script: str) -> subprocess.CompletedProcess:
    """Run a shell script with `folder`, its $0, a file system in memory that nobody else sees; "$@"
    is the command that makes a report there.
    """
    folder.mkdir()
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f'mount -t tmpfs -o {options} none "$0" && '
    allowed = shutil.which("unshare") and subprocess.run(
        [*inside, f"{mount} true", str(folder)], capture_output=True
    )
    if not allowed or allowed.returncode:
        pytest.skip("this machine mounts no file system for a test")
    command = [*inside, mount + script, str(folder), *COMMAND, "--output", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ)


def test_a_full_disk_is_one_sentence_and_with_room_it_goes_on(mini, tmp_path):
    long = '# %% tags=["parameters"]\nn = 1\n\n# %%\nprint("word " * 20_000)\n'
    write_notebook(mini, "two", long)  # after `one` in the order of names
    script = """(
        head -c 1970k /dev/zero >"$0/filler"
        "$@" --jobs 1; echo "first $?"
        rm "$0/filler"
        "$@" --jobs 1; echo "second $?"
    )"""
    done = mounted(tmp_path / "small", "size=2m", script)
    first, second = done.stderr.split("together")[0], done.stderr
    assert "first 1" in done.stdout
    assert "is full (No space left on device); make room" in first
    assert "second 0" in done.stdout
    assert [line.split()[-1] for line in second.splitlines() if line.startswith("mini/one ")] == [
        "unchanged"
    ]
    assert "Traceback" not in done.stderr


def test_a_folder_that_may_only_be_read_is_one_sentence(mini, tmp_path):
    done = mounted(tmp_path / "frozen", "ro", '"$@"')
    assert done.returncode == 2
    assert "Read-only file system); choose another folder with --output" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_where_the_folder_should_be_is_refused(mini, tmp_path):
    (tmp_path / "file").touch()
    process = started("--output", str(tmp_path / "file"))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Invalid value for '--output'" in said
    assert "is a file" in said
