import os
import pty
import subprocess
import sys
import termios

import pytest

from labkit import progress


@pytest.fixture(autouse=True)
def _no_relay(monkeypatch):
    monkeypatch.delenv(progress.RELAY_VARIABLE, raising=False)


def test_without_a_terminal_a_bar_is_one_line_when_it_ends(capsys):
    with progress.bar(3, "training") as bar:
        bar.update(2)
        assert capsys.readouterr().err == ""
        bar.set_postfix_str("loss 0.5")
        bar.update()
    said = capsys.readouterr()
    assert said.err.startswith("training: 3/3 steps in ")
    assert said.err.endswith(" s, loss 0.5\n")
    assert said.out == ""


def test_in_a_terminal_it_is_a_bar_with_the_time_left():
    script = (
        "import time\n"
        "from labkit import progress\n"
        "with progress.bar(4, 'training') as bar:\n"
        "    for _ in range(4):\n"
        "        time.sleep(0.15); bar.update()\n"
    )
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    process = subprocess.Popen([sys.executable, "-c", script], stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while part := os.read(master, 4096):
            shown += part
    except OSError:  # the terminal closes with the process
        pass
    assert process.wait() == 0
    text = shown.decode()
    assert "training:  50%" in text
    assert "<00:0" in text  # tqdm's time left
    assert "4/4" in text


def test_a_relay_draws_what_a_kernel_says(capsys):
    relay = progress.Relay()
    state = {
        "id": "k",
        "n": 1,
        "initial": 0,
        "total": 2,
        "description": "training",
        "postfix": "",
        "unit": "step",
    }
    relay.show(state | {"closed": False})
    relay.show(state | {"n": 2, "postfix": "loss 0.1", "closed": True})
    said = capsys.readouterr().err
    assert "training: 2/2 steps in" in said
    assert "loss 0.1" in said
    relay.show(state | {"id": "other", "closed": False})
    relay.close()  # its kernel died
    assert "1/2" in capsys.readouterr().err
