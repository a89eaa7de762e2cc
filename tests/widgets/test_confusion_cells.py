"""The confusion matrix, driven from Python as JupyterLab does: cells and buttons are clicked."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from quarters import made_run

from labkit import progress
from labkit.data import Dataset, Split
from labkit.widgets import confusion

# of 20 images: class of each (a: 17, b: 3), what it is taken for, and how sure
LABELS = [0] * 17 + [1] * 3
TAKEN = [1] * 15 + [0, 0] + [1, 1, 0]
SURE = [0.5 + place / 100 for place in range(20)]


@pytest.fixture(autouse=True)
def _notebook(monkeypatch):
    monkeypatch.setattr(progress, "in_notebook", lambda: True)


@pytest.fixture
def pictures() -> Dataset:
    """Each image has its place as the value of all its pixels."""
    places = torch.arange(25, dtype=torch.uint8)
    images = places[:, None, None, None].expand(25, 3, 4, 4).contiguous()
    split = Split(images, torch.tensor([*LABELS, 0, 0, 1, 1, 1]))  # more than the run was tested on
    return Dataset("set", ("a", "b & c"), "f" * 64, "here", split, split, split)


@pytest.fixture
def run():
    run = made_run("key", 0, test_confusion=[[2, 15], [1, 2]])
    run.__dict__["arrays"] = {
        "test_predictions": torch.tensor(TAKEN, dtype=torch.int16),
        "test_confidences": torch.tensor(SURE).half(),
    }
    return run


def shown(widget) -> list[int]:
    """The places of the images that are shown."""
    found = []
    for code in re.findall(r"base64,([^\"]+)", widget.pictures.value):
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(code))))
        assert image.shape == (4, 4, 3)
        found.append(int(image[0, 0, 0]))
    return found


def visible(widget) -> bool:
    return widget.layout.display != "none"


def test_a_cell_shows_the_pictures_behind_it_the_surest_first(run, pictures):
    widget = confusion(run, pictures)
    assert [[cell.description for cell in row] for row in widget.cells] == [["2", "15"], ["1", "2"]]
    assert widget.cells[0][1].tooltip == "a, taken for b & c: 15 test images, 88%"
    widget.cells[1][1].click()
    assert shown(widget) == [18, 17]
    assert re.findall(r"<figcaption>(.*?)<", widget.pictures.value) == ["0.68", "0.67"]
    assert "b &amp; c, and taken for it: 2 test images" in widget.note.value
    assert not visible(widget.turning)


def test_pages(run, pictures):
    widget = confusion(run, pictures)
    widget.cells[0][1].click()
    assert shown(widget) == [*range(14, 2, -1)]
    assert "15 test images, 1 to 12" in widget.note.value
    assert visible(widget.turning)
    assert (widget.back.disabled, widget.more.description) == (True, "3 more")
    widget.more.click()
    assert shown(widget) == [2, 1, 0]
    assert "13 to 15" in widget.note.value
    assert (widget.back.disabled, widget.more.disabled) == (False, True)
    widget.back.click()
    assert shown(widget) == [*range(14, 2, -1)]
    widget.more.click()
    widget.cells[1][0].click()  # another cell begins with its first page
    assert shown(widget) == [19]


def test_the_fields_choose_a_cell_as_well(run, pictures):
    widget = confusion(run, pictures)
    widget.true.value = 1
    assert shown(widget) == []  # not yet
    widget.taken.value = 0
    assert shown(widget) == [19]
    widget.cells[0][0].click()
    assert (widget.true.value, widget.taken.value) == (0, 0)
    assert shown(widget) == [16, 15]
    chosen = [cell for row in widget.cells for cell in row if "labkit-chosen" in cell._dom_classes]
    assert chosen == [widget.cells[0][0]]


def test_a_cell_without_pictures_says_so(run, pictures):
    run.metrics["test_confusion"][1] = [0, 3]
    run.arrays["test_predictions"][19] = 1
    widget = confusion(run, pictures)
    widget.cells[1][0].click()
    assert "b &amp; c, taken for a: 0 test images." in widget.note.value
    assert shown(widget) == []


def test_a_record_without_arrays_says_so(pictures):
    widget = confusion(made_run("key", 0, test_confusion=[[2, 15], [1, 2]]), pictures)
    widget.cells[0][1].click()
    assert "run key has no arrays" in widget.note.value
    assert widget.pictures.value == ""


def test_another_data_set_is_an_error(run, dataset):
    with pytest.raises(ValueError, match="trained on 'set', the pictures are of 'quarters'"):
        confusion(run, dataset)


def test_a_run_on_words_is_an_error(pictures):
    with pytest.raises(ValueError, match="trained on 'set'"):
        confusion(made_run("key", 0, test_cer=0.3), pictures)


def test_where_nobody_looks_there_are_no_cells(run, pictures, monkeypatch):
    monkeypatch.setattr(progress, "in_notebook", lambda: False)
    widget = confusion(run, pictures)
    assert widget.cells == []
    assert "wrong_predictions" in widget._repr_mimebundle_()["text/plain"]
