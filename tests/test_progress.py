import os
import pty
import re
import subprocess
import sys
import termios
import time

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


def test_in_a_notebook_it_is_a_line_of_text(monkeypatch):
    said = []
    monkeypatch.setattr(progress, "_has_kernel", lambda: True)
    monkeypatch.setattr(progress.Shown, "show", lambda self, body, text: said.append((body, text)))
    with progress.bar(4, "prepare <x>", unit="part") as bar:
        time.sleep(0.3)
        bar.update()
        bar.set_postfix_str("loss 0.5")
    bodies, texts = zip(*said, strict=True)
    assert texts[0] == "prepare <x>: 0 %"
    assert re.fullmatch(r"prepare <x>: 25 %, about \d+ s left; loss 0.5", texts[-2])
    assert re.fullmatch(r"prepare <x>: 1/4 parts in 0.\d s, loss 0.5", texts[-1])
    assert "prepare &lt;x&gt;: 0 %</div>" in bodies[0]


def test_a_place_is_displayed_once_and_then_replaced(monkeypatch):
    calls = []

    class Handle:
        def display(self, bundle, raw):
            calls.append(("display", self, bundle, raw))

        def update(self, bundle, raw):
            calls.append(("update", self, bundle, raw))

    monkeypatch.setattr("IPython.display.DisplayHandle", Handle)
    place = progress.Shown()
    place.show("<b>1</b>", "1")
    place.show("<b>2</b>", "2")
    assert [(call[0], call[2]["text/plain"]) for call in calls] == [
        ("display", "1"),
        ("update", "2"),
    ]
    assert calls[0][1] is calls[1][1]
    assert all(raw for *_, raw in calls)
