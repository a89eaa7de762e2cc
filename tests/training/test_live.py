"""What a sweep shows in JupyterLab, as a kernel would display it."""

import re
import signal
import time

import pytest
from quarters import made_run

from labkit import progress
from labkit.training import interrupt, live, loop
from labkit.training.wanted import Wanted

ROWS = [
    {
        "epoch": epoch,
        "train_loss": 2.0 / epoch,
        "validation_loss": 2.1 / epoch,
        "train_accuracy": 0.3,
        "validation_accuracy": 0.25,
    }
    for epoch in (0.5, 1.0, 1.5)
]


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(live, "time", clock)
    return clock


@pytest.fixture
def shown(monkeypatch):
    """What is shown: (number of the output, HTML, text)."""
    calls = []

    class Shown:
        def show(self, body, text=""):
            calls.append((self, body, text))

    monkeypatch.setattr(progress, "Shown", Shown)
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    return calls


@pytest.fixture
def wanted(config):
    return [Wanted(name, config.replace(epochs=4)) for name in ("Adam, seed 0", "SGD, seed 0")]


def lines(shown):
    return [text for _, _, text in shown if not text.startswith("loss and")]


def pictures(shown):
    return [body for _, body, text in shown if text.startswith("loss and")]


def test_the_line_says_run_epoch_and_time_left_for_all(wanted, shown, clock):
    with live.LiveSweep([], wanted) as sweep:
        with progress.bar(20, "Adam, seed 0") as bar:
            for seconds, steps in ((2, 2), (8, 10)):
                clock.now += seconds
                bar.update(steps)
                bar.refresh()
        sweep.finished()
        with progress.bar(20, "SGD, seed 0 (from step 10)", done=10) as bar:
            clock.now += 2
            bar.update(5)
            bar.refresh()
        sweep.finished()
    said = lines(shown)
    assert said[:2] == ["2 runs to train", "run 1 of 2 (Adam, seed 0), epoch 0.0 of 4"]
    # 2 epochs took 8 s, and 5.6 of 8 are left
    assert "run 1 of 2 (Adam, seed 0), epoch 2.4 of 4, about 23 s left" in said
    # half of the second was trained before: 3 epochs took 10 s, and 8 − 2.4 − 3 are left
    assert "run 2 of 2 (SGD, seed 0), epoch 3.0 of 4, about 9 s left" in said
    assert said[-1] == "2 runs trained in 12 s"


def test_slow_first_steps_are_not_taken_for_the_pace(wanted, shown, clock):
    """One step in the first 2 s, then 10 a second: 800 of them take 80 s."""
    steps = [1, *[10] * 6]
    with live.LiveSweep([], wanted), progress.bar(400, "Adam, seed 0") as bar:
        for count in steps:
            clock.now += 2 if count == 1 else 1
            bar.update(count)
            bar.refresh()
    left = [it[1] for text in lines(shown) if (it := re.search("about (.+) left", text))]
    assert left[:3] == ["1 min 19 s", "1 min 18 s", "1 min 17 s"]


def test_what_a_run_needs_first_is_part_of_the_line(wanted, shown):
    with live.LiveSweep([], wanted), progress.bar(4, "download weights", unit="B") as bar:
        bar.update(1)
        bar.refresh()
    assert "download weights: 25 %" in lines(shown)


def test_runs_beside_each_other_are_counted(wanted, shown):
    with live.LiveSweep([], wanted):
        relay = progress.Relay()  # as of a cluster
        for one in wanted:
            state = {"initial": 0, "total": 20, "postfix": "", "unit": "step", "closed": False}
            relay.show(state | {"id": one.description, "n": 5, "description": one.description})
        relay.close()
    assert any(text.startswith("0 of 2 runs trained, 2 begun") for text in lines(shown))


def test_what_is_recorded_is_said_in_one_line_with_the_way_to_train_anew(shown):
    runs = [made_run("a", 0), made_run("b", 1)]
    runs[0].environment["finished"] = "2026-11-20T10:00:00+00:00"
    with live.LiveSweep(runs, []):
        pass
    ((_, body, text),) = shown
    assert text == "2 runs: all from the records (trained 2026-11-20 to 2026-11-21 on abacus)"
    assert re.search(r"%env LABKIT_FRESH=\d{4}-\d\d-\d\dT[\d:]+\+00:00<", body)


def test_some_of_it_from_the_records(wanted, shown, clock):
    with live.LiveSweep([made_run("a", 0)], wanted):
        clock.now += 100
    assert lines(shown) == [
        "1 of 3 runs from the records, 2 to train",
        "3 runs: 1 from the records, 2 trained in 1 min 40 s",
    ]


def test_one_picture_is_replaced_in_place(wanted, shown, monkeypatch):
    monkeypatch.setattr(live, "SECONDS", 0)
    with live.LiveSweep([], wanted) as sweep:
        for length in (1, 2, 3):
            sweep.show("Adam, seed 0", ROWS[:length])
        sweep.show("SGD, seed 0", ROWS[:1])
    assert len({output for output, _, text in shown if text.startswith("loss and")}) == 1
    drawn = pictures(shown)
    assert len(set(drawn[:4])) == 4
    assert "SGD, seed 0" in drawn[-1]  # the latest is named
    assert drawn[0].startswith("<div><svg")  # part of the page, there in the same moment


def test_it_does_not_draw_more_often_than_it_may(wanted, shown, clock):
    with live.LiveSweep([], wanted) as sweep:
        for length in (1, 2, 3):
            sweep.show("Adam, seed 0", ROWS[:length])
        assert len(pictures(shown)) == 1
    assert len(pictures(shown)) == 2  # the end is always shown


def test_an_interrupt_says_where_in_one_line(wanted, shown):
    with (  # noqa: PT012
        pytest.raises(live.Interrupted, match="what was trained is kept: run the cell again") as it,
        live.LiveSweep([], wanted) as sweep,
    ):
        with progress.bar(20, "Adam, seed 0") as bar:
            bar.update(20)
        sweep.finished()
        with progress.bar(20, "SGD, seed 0") as bar:
            bar.update(15)
            raise KeyboardInterrupt
    assert isinstance(it.value, KeyboardInterrupt)
    assert str(it.value).startswith("at run 2 of 2 (SGD, seed 0), epoch 3.0 of 4;")
    assert it.value.__suppress_context__
    with pytest.raises(ZeroDivisionError), live.LiveSweep([], wanted):
        _ = 1 / 0  # what else is raised stays as it is


def test_nothing_is_shown_outside_of_a_notebook(wanted, shown, monkeypatch):
    monkeypatch.setattr(progress, "in_notebook", lambda: False)
    with live.LiveSweep([made_run("a", 0)], wanted) as sweep:
        sweep.show("Adam, seed 0", ROWS)
    assert shown == []
    with pytest.raises(KeyboardInterrupt) as it, live.LiveSweep([], wanted):
        raise KeyboardInterrupt
    assert it.type is KeyboardInterrupt


def test_curves_have_the_rows_values():
    figure = live.draw({"a": ROWS[:2], "b": ROWS})
    loss, accuracy = figure.axes
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss (nats)", "accuracy")
    train, validation = loss.lines[-2:]
    assert list(train.get_ydata()) == [row["train_loss"] for row in ROWS]
    assert list(validation.get_xdata()) == [0.5, 1.0, 1.5]
    assert loss.lines[0].get_color() != train.get_color()  # an earlier run is pale


def wait():
    for _ in range(200):
        time.sleep(0.01)
    pytest.fail("nothing has interrupted")


def test_after_an_interrupt_the_interval_and_the_handler_are_as_before(monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    before = signal.getsignal(signal.SIGINT)
    state = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt), interrupt.after_saving(state):  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        assert loop.CHECKPOINT_SECONDS < 0  # the next step is saved
        state.write_text("saved")
        wait()
    assert loop.CHECKPOINT_SECONDS == 60
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_waits_for_saving_no_longer_than_it_may(monkeypatch, tmp_path, times):
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(interrupt, "PATIENCE", 0.1 if times == 1 else 1000)
    with pytest.raises(KeyboardInterrupt), interrupt.after_saving(tmp_path / "state"):  # noqa: PT012
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        wait()


def test_an_interrupt_at_the_very_end_is_not_forgotten(monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    with pytest.raises(KeyboardInterrupt), interrupt.after_saving(tmp_path / "state"):
        signal.raise_signal(signal.SIGINT)
    with interrupt.after_saving(tmp_path / "state"):
        pass


def test_in_a_terminal_an_interrupt_does_not_wait(monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "in_notebook", lambda: False)
    # a process in the background is started without it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), interrupt.after_saving(tmp_path / "state"):  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        pytest.fail("nothing has interrupted")
    signal.signal(signal.SIGINT, before)
