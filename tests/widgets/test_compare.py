"""The comparison, driven from Python as JupyterLab does: lines are chosen, words typed."""

import re

import pytest
from quarters import make_config
from spellings import make_spelling_config, make_words

from labkit import progress, project
from labkit.handcalc import Dropout, Flatten, Linear
from labkit.training import Runs, kinds, store, sweep
from labkit.widgets import compare

RATE = "optimizer.learning_rate"


@pytest.fixture(autouse=True)
def _notebook(monkeypatch, tmp_path, dataset):
    monkeypatch.setattr(kinds, "load", lambda name, validation_fraction: dataset)
    monkeypatch.setattr(kinds, "load_words", lambda name: make_words())
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(project, "results", lambda: tmp_path / "results")


@pytest.fixture
def runs() -> Runs:
    config = make_config().replace(epochs=1)
    network = (Flatten(), Dropout(0.5), Linear(192, 4))
    return sweep(
        {
            "base": config,
            "slow": config.replace({RATE: 0.001}),
            "dropout": config.replace(network=network),
        },
        seeds=[0, 1],
    )


def said(widget) -> str:
    return " ".join(re.findall(r"<p>(.*?)</p>", widget.note.value))


def table(widget) -> dict[str, list[str]]:
    rows = re.findall(r"<tr.*?</tr>", widget.table.value, re.DOTALL)
    cells = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in rows]
    return {name: values for name, *values in cells}


def test_runs_by_name(runs):
    widget = compare(runs)
    assert [key for _, key in widget.choice.options] == ["base", "slow", "dropout"]
    mean = runs.mean("base", "test_accuracy")
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\d +{mean:.3f}  base \(2 seeds\)", widget.choice.options[0][0]
    )
    assert widget.choice.value == ("base", "slow", "dropout")
    shown = table(widget)
    assert shown[""] == ["base", "slow", "dropout"]
    assert shown[RATE] == ["0.1", "0.001", "0.1"]
    assert shown["test accuracy"] == [runs.spread(name, "test_accuracy") for name in runs]
    assert "Dropout" in shown["network"][2]
    assert "seed" not in shown
    assert "batch_size" not in shown  # does not differ


def test_every_run_of_the_store_the_newest_first(runs):
    widget = compare()
    assert len(widget.choice.options) == 6
    times = [widget.groups[key][0].environment["finished"] for _, key in widget.choice.options]
    assert times == sorted(times, reverse=True)
    assert len(widget.choice.value) == 1
    by_key = {key: line for line, key in widget.choice.options}
    slow, dropout = by_key[runs["slow"][1].key], by_key[runs["dropout"][0].key]
    assert "cifar10 90 × 1, SGD 0.001, batch 16, " in slow  # the Config's data
    assert slow.endswith("seed 1") or by_key[runs["slow"][0].key].endswith("seed 0")
    assert "Dropout(" in dropout
    assert f"{runs['slow'][1].metrics['test_accuracy']:.3f}" in slow


def test_what_is_chosen_is_overlaid(runs):
    widget = compare()
    widget.choice.value = (runs["base"][0].key, runs["slow"][0].key)
    shown = table(widget)
    assert shown[""] == ["A", "B"]
    assert shown[RATE] == ["0.1", "0.001"]
    assert shown["run"] == [runs["base"][0].key, runs["slow"][0].key]
    assert shown["test accuracy"] == [
        f"{runs[name][0].metrics['test_accuracy']:.3f}" for name in ("base", "slow")
    ]
    assert "A: learning rate 0.1" in widget.curves.value  # a comment of the SVG's text
    assert "B: learning rate 0.001" in widget.curves.value
    widget.choice.value = ()
    assert widget.curves.value == widget.table.value == ""
    assert "Choose one or several" in said(widget)


def test_the_search_keeps_lines_with_every_word_and_what_is_chosen(runs):
    widget = compare()
    chosen = runs["base"][0].key
    widget.choice.value = (chosen,)
    before = widget.curves.value
    widget.search.value = "DROPOUT sgd"
    keys = [key for _, key in widget.choice.options]
    assert keys[0] == chosen
    assert set(keys[1:]) == {run.key for run in runs["dropout"]}
    assert widget.found.value == "2 of 6"
    assert widget.choice.value == (chosen,)
    assert widget.curves.value == before
    widget._choose(widget.search)  # Enter
    assert set(widget.choice.value) == set(keys[1:])
    widget.search.value = ""
    assert len(widget.choice.options) == 6
    assert set(widget.choice.value) == set(keys[1:])


def test_no_more_than_can_be_told_apart(config):
    runs = sweep(config.replace(epochs=1), seeds=range(9))["run"]
    widget = compare(Runs({str(run.config["seed"]): [run] for run in runs}))
    assert len(widget.choice.value) == 8
    widget.choice.value = tuple(map(str, range(9)))
    assert table(widget)[""] == [*"01234567"]
    assert said(widget) == "The first 8 of 9."


def test_words_beside_images_have_the_loss_in_common(runs):
    spelled = sweep(make_spelling_config().replace(epochs=1))["run"]
    widget = compare(Runs({"spelled": spelled}))
    assert f"CER {spelled[0].metrics['test_cer']:.3f}  spelled" in widget.choice.options[0][0]
    assert "character error rate" in widget.curves.value
    widget = compare(Runs({"spelled": spelled, "base": runs["base"]}))
    assert "character error rate" not in widget.curves.value
    assert "loss (nats)" in widget.curves.value
    shown = table(widget)
    assert [len(values) for values in shown.values()] == [2] * len(shown)
    assert shown["test cer"] == [f"{spelled[0].metrics['test_cer']:.3f}", "–"]


def test_little_is_read_before_a_run_is_chosen(runs, monkeypatch):
    read = []
    real = store.read
    monkeypatch.setattr(store, "read", lambda folder: read.append(folder.name) or real(folder))
    widget = compare()
    assert len(read) == 1  # the newest, which is shown
    widget.choice.value = (runs["base"][0].key, runs["base"][1].key)
    widget.choice.value = (runs["base"][0].key,)
    assert len(set(read)) == len(read) <= 3


def test_a_damaged_record_is_left_out_or_answered(runs):
    half, changed = runs["base"][0], runs["base"][1]
    (half.folder / "metrics.json").write_text("{")
    (changed.folder / "history.csv").write_text("step,epoch\n1,1\n")
    widget = compare()
    assert half.key not in widget.groups
    widget.choice.value = (changed.key,)
    assert "history.csv is not what was written" in said(widget)


def test_without_runs_it_says_what_makes_some():
    widget = compare()
    assert "sweep(…) makes some" in said(widget)


def test_where_nobody_looks_nothing_is_read(runs, monkeypatch):
    monkeypatch.setattr(progress, "in_notebook", lambda: False)
    monkeypatch.setattr(store, "read", None)
    assert compare().groups == {}
    widget = compare(runs)
    assert widget.curves.value == ""
    assert "learning_curves" in widget._repr_mimebundle_()["text/plain"]
