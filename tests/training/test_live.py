"""The curves that grow in JupyterLab, as a kernel would display them."""

import pytest

from labkit import progress
from labkit.training import live

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


class Handle:
    """Records what JupyterLab would show."""

    def __init__(self):
        self.shown = []

    def display(self, picture):
        self.shown.append(("display", picture.data))

    def update(self, picture):
        self.shown.append(("update", picture.data))


@pytest.fixture
def handle(monkeypatch):
    handle = Handle()
    monkeypatch.setattr(live, "DisplayHandle", lambda: handle)
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(live, "SECONDS", 0)
    return handle


def test_one_picture_is_updated_in_place(handle):
    with live.LiveCurves() as curves:
        for length in (1, 2, 3):
            curves.show("Adam, seed 0", ROWS[:length])
        curves.show("SGD, seed 0", ROWS[:1])
    ways, pictures = zip(*handle.shown, strict=True)
    assert ways == ("display", "update", "update", "update", "update")
    assert len(set(pictures[:4])) == 4
    assert "SGD, seed 0" in pictures[-1]  # the latest is named


def test_it_does_not_draw_more_often_than_it_may(handle, monkeypatch):
    monkeypatch.setattr(live, "SECONDS", 1000)
    with live.LiveCurves() as curves:
        for length in (1, 2, 3):
            curves.show("Adam, seed 0", ROWS[:length])
        assert len(handle.shown) == 1
    assert len(handle.shown) == 2  # the end is always shown


def test_nothing_is_drawn_outside_of_a_notebook(handle, monkeypatch):
    monkeypatch.setattr(progress, "in_notebook", lambda: False)
    with live.LiveCurves() as curves:
        curves.show("Adam, seed 0", ROWS)
    assert handle.shown == []


def test_curves_have_the_rows_values():
    figure = live.draw({"a": ROWS[:2], "b": ROWS})
    loss, accuracy = figure.axes
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss (nats)", "accuracy")
    train, validation = loss.lines[-2:]
    assert list(train.get_ydata()) == [row["train_loss"] for row in ROWS]
    assert list(validation.get_xdata()) == [0.5, 1.0, 1.5]
    assert loss.lines[0].get_color() != train.get_color()  # an earlier run is pale
