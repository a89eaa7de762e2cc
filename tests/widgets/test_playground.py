"""The playground, driven from Python as JupyterLab does: sliders moved, the button clicked."""

import re
import sys

import pytest
from spellings import make_spelling_config, make_words

from labkit import progress
from labkit.handcalc import Flatten, Linear
from labkit.training import Adam, ConfigError, kinds, sweep, wanted
from labkit.training.trainer import Trainer
from labkit.widgets import playground

RATE = "optimizer.learning_rate"
AXES = {RATE: [0.01, 0.1], "batch_size": [16, 32]}


@pytest.fixture(autouse=True)
def _notebook(monkeypatch, dataset):
    monkeypatch.setattr(kinds, "load", lambda name, validation_fraction: dataset)
    monkeypatch.setattr(progress, "in_notebook", lambda: True)


@pytest.fixture
def fits(monkeypatch) -> list:
    """The Configs that are trained, in order."""
    real, trained = wanted.fit, []

    def counted(config, *args, **options):
        trained.append(config)
        return real(config, *args, **options)

    monkeypatch.setattr(wanted, "fit", counted)
    return trained


def said(widget) -> str:
    return " ".join(re.findall(r"<p>(.*?)</p>", widget.note.value))


def lines(widget) -> list[list[str]]:
    rows = re.findall(r"<tr.*?</tr>", widget.table.value, re.DOTALL)[1:]
    return [re.findall(r"<td>(.*?)</td>", row) for row in rows]


def test_a_click_trains_what_the_sliders_say(config, fits):
    widget = playground(config, AXES)
    assert [control.value for control in widget.controls.values()] == ["0.1", "16"]  # its own
    assert "Not trained yet" in said(widget)
    assert widget.curves.value == widget.table.value == ""
    widget.controls["batch_size"].value = "32"
    widget.button.click()
    assert fits == [config.replace(batch_size=32)]
    (run,) = sweep(config.replace(batch_size=32))["run"]  # as in plain cells, and not again
    assert len(fits) == 1
    accuracy = f"{run.metrics['test_accuracy']:.3f}"
    assert said(widget).startswith(f"Trained: test accuracy {accuracy}, ")
    assert lines(widget)[0][:2] == ["0.1", "32"]
    assert lines(widget)[0][3] == accuracy
    assert "<svg" in widget.curves.value
    assert widget.button.description == "Train"


def test_what_is_in_the_records_is_shown_at_once(config, fits):
    sweep(config, AXES)
    widget = playground(config, {RATE: AXES[RATE], "batch_size": [16, 32, 64]})
    assert said(widget).startswith("From the records: test accuracy ")
    assert len(lines(widget)) == 4
    before = widget.curves.value
    widget.controls[RATE].value = "0.01"
    assert said(widget).startswith("From the records")
    assert widget.curves.value != before  # another is in colour
    assert [line[-1].endswith("← chosen") for line in lines(widget)] == [True, False, False, False]
    widget.button.click()
    assert len(fits) == 4
    widget.controls["batch_size"].value = "64"
    assert "Not trained yet" in said(widget)


def test_the_best_by_the_validation_images_has_the_star(config):
    runs = sweep(config, {RATE: [1e-6, 0.1]})
    best = runs.best("validation_accuracy")
    widget = playground(config, {RATE: [1e-6, 0.1]})
    starred = [line[0] for line in lines(widget) if "★" in line[-1]]
    assert [f"learning_rate {label}" for label in starred] == [best]


def test_the_curve_grows_among_the_pale_ones(config, monkeypatch):
    monkeypatch.setattr(sys.modules["labkit.widgets.playground"], "SECONDS", 0)
    sweep(config.replace({RATE: 0.01}))
    widget = playground(config, AXES)
    shown = []
    widget.curves.observe(lambda change: shown.append(change.new), "value")
    widget.button.click()
    assert len(shown) >= 4  # validations
    assert all("learning rate 0.1, batch size 16" in picture for picture in shown)
    assert all("#bbbbbb" in picture for picture in shown)


def test_it_says_how_far_it_is_and_how_to_interrupt(config):
    widget = playground(config, AXES)
    shown = []
    widget.note.observe(lambda change: shown.append(said(widget)), "value")
    widget.button.click()
    assert shown[0].startswith("Training ■ in the toolbar")
    assert any(text.startswith("Training: 0%") for text in shown)
    closed = next(text for text in shown if text.startswith("Training: 100%"))
    assert "validation accuracy" in closed
    assert closed.endswith("interrupts it.")


def test_it_goes_on_after_an_interruption(config, fits, monkeypatch):
    real = Trainer.step

    def interrupted(trainer, batch):
        if trainer.steps == 10:  # in the second of two epochs of 6 steps
            raise KeyboardInterrupt
        return real(trainer, batch)

    widget = playground(config, AXES)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        widget.button.click()
    assert said(widget).startswith("Interrupted after epoch 1.5, of 2. Train goes on")
    assert widget.button.description == "Train"
    assert lines(widget) == []
    assert "<svg" in widget.curves.value  # as far as it came
    widget.controls["batch_size"].value = "32"
    assert "Not trained yet" in said(widget)
    widget.controls["batch_size"].value = "16"
    assert said(widget).startswith("Interrupted before. Train goes on")
    widget.button.click()
    assert said(widget).startswith("Trained: ")
    assert len(fits) == 2


def test_interrupted_at_once_it_begins_anew(config, monkeypatch):
    widget = playground(config, AXES)
    with monkeypatch.context() as patch:
        patch.setattr(
            Trainer, "step", lambda trainer, batch: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        widget.button.click()
    assert said(widget) == "Interrupted at the beginning, of 2. Train begins it anew."


def test_combinations_that_do_not_fit_are_answered(config, fits):
    axes = {"augmentation.crop": [None, 4], "augmentation.crop_padding": [0, 2]}
    widget = playground(config, axes)
    widget.controls["augmentation.crop_padding"].value = "2"
    assert "which is None; set crop as well" in said(widget)
    widget.button.click()
    assert "set crop as well" in said(widget)
    assert fits == []
    widget.controls["augmentation.crop_padding"].value = "0"
    assert "Not trained yet" in said(widget)


def test_a_network_that_does_not_fit_is_answered(config):
    widget = playground(config.replace(network=(Flatten(), Linear(7, 4))), AXES)
    widget.button.click()
    assert "does not fit the 192 inputs" in said(widget)
    assert widget.button.description == "Train"


def test_words_booleans_and_none_get_buttons(config):
    axes = {
        "data.preprocessing": ["fixed", "standardise"],
        "augmentation.flip": [False, True],
        "augmentation.crop": [None, 6],
        "optimizer": [config.optimizer, Adam(learning_rate=0.001)],
        "epochs": [1, 2],
    }
    widget = playground(config, axes)
    kinds_ = [type(control).__name__ for control in widget.controls.values()]
    assert kinds_ == ["ToggleButtons"] * 4 + ["SelectionSlider"]
    assert widget.labels[:3] == ("fixed", "no", "none")
    widget.controls["augmentation.flip"].value = "yes"
    widget.controls["augmentation.crop"].value = "6"
    chosen = widget._wanted(widget.labels).config
    assert (chosen.augmentation.flip, chosen.augmentation.crop) == (True, 6)


def test_words_are_spelled_as_well(monkeypatch):
    monkeypatch.setattr(kinds, "load_words", lambda name: make_words())
    axes = {"network.attention": [False, True], "network.hidden_size": [8, 16]}
    widget = playground(make_spelling_config(), axes)
    widget.button.click()
    (run,) = sweep(make_spelling_config())["run"]
    rate = f"{run.metrics['test_cer']:.3f}"
    assert said(widget).startswith(f"Trained: test character error rate {rate}, ")
    assert lines(widget)[0][:2] == ["no", "16"]
    assert lines(widget)[0][3] == rate


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({}, "at least one field"),
        ({"batch_size": []}, "at least one value"),
        ({"batch_size": [16, 16]}, "each once"),
        ({"data.preprocessing": "pca"}, "give a list"),
        ({"batch_size": 16}, "give a list"),
    ],
)
def test_axes_without_values_are_an_error(config, axes, words):
    with pytest.raises(ValueError, match=words):
        playground(config, axes)


def test_an_unknown_field_is_an_error(config):
    with pytest.raises(ConfigError, match="rate: "):
        playground(config, {"optimizer.rate": [0.1]})


def test_where_nobody_looks_nothing_is_read(config, monkeypatch):
    monkeypatch.setattr(progress, "in_notebook", lambda: False)
    monkeypatch.setattr(kinds, "load", None)
    widget = playground(config, AXES)
    assert widget.note.value == ""
    assert "sweep(base, axes)" in widget._repr_mimebundle_()["text/plain"]
