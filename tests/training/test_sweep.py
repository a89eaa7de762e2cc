import dataclasses
import math
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from quarters import made_run
from scipy import stats

from labkit import progress, project
from labkit.handcalc import Flatten, Linear
from labkit.training import (
    Adam,
    ConfigError,
    Runs,
    at_best_scale,
    full_scale,
    kinds,
    store,
    sweep,
    wanted,
)
from labkit.training.trainer import Trainer
from labkit.training.wanted import Wanted


@pytest.fixture(autouse=True)
def _data(monkeypatch, dataset):
    monkeypatch.setattr(kinds, "load", lambda name, validation_fraction: dataset)


@pytest.fixture
def fits(monkeypatch) -> list[str]:
    """What is trained, in order."""
    real, trained = wanted.fit, []

    def counted(*args, description, **options):
        trained.append(description)
        return real(*args, description=description, **options)

    monkeypatch.setattr(wanted, "fit", counted)
    return trained


def test_nothing_trains_twice(config, fits):
    configs = {"slow": config, "fast": config.replace({"optimizer.learning_rate": 0.3})}
    first = sweep(configs, seeds=[0, 1])
    assert fits == ["slow, seed 0", "slow, seed 1", "fast, seed 0", "fast, seed 1"]
    second = sweep({"slow again": config} | configs, seeds=[1, 0])
    assert len(fits) == 4
    assert [run.key for run in second["slow again"]] == [run.key for run in first["slow"]][::-1]


def test_axes_of_one_config(config, fits):
    axes = {"optimizer.learning_rate": [0.1, 0.2], "batch_size": [16, 32]}
    runs = sweep(config, axes, seeds=[0, 1])
    assert list(runs)[1] == "learning_rate 0.1, batch_size 32"
    assert len(fits) == 8
    tried = runs["learning_rate 0.2, batch_size 32"]
    assert [run.config["seed"] for run in tried] == [0, 1]
    assert tried[0].config["optimizer"]["learning_rate"] == 0.2
    # what they have in common with others is not trained again
    sweep({"base": config, "Adam": config.replace(optimizer=Adam(learning_rate=0.01))})
    assert len(fits) == 9
    with pytest.raises(ConfigError, match="give that one"):
        sweep({"base": config}, axes)


def test_without_seeds_each_config_has_its_own(config, fits):
    runs = sweep(config.replace(seed=12))
    assert fits == ["run, seed 12"]
    assert runs["run"][0].config["seed"] == 12


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda config: sweep([config]), "configs: .*give a Config, or several as"),
        (lambda config: sweep(config, seeds=3), r"seeds: 3: give a list, such as \[3\]"),
        (lambda config: sweep(config, device="gpu"), "device 'gpu': give 'cpu'"),
        (
            lambda config: sweep(config, {"augmentation.crop": [8, 5]}),
            r"^crop 5, seed 0: layer 6 .*32",
        ),
    ],
)
def test_a_mistake_is_named_with_its_run(config, fits, mistake, message):
    with pytest.raises(ConfigError, match=message):
        mistake(config)


def test_what_diverged_says_so(config, fits, labkit):
    network = (Flatten(), Linear(192, 4))
    wild = config.replace({"optimizer.learning_rate": 3e38}, network=network)
    runs = sweep({"tame": config, "wild": wild})
    table = runs.table({"test accuracy": "test_accuracy"})
    assert table["diverged"].to_dict() == {"tame": 0, "wild": 1}
    assert runs.best("test_accuracy") == "tame"
    _, out, _ = labkit("runs", "list")
    assert out.count("diverged") == 1
    assert "SGD 0.1, batch 16" in out


def test_an_unknown_metric_is_answered_with_those_that_are(runs):
    with pytest.raises(KeyError, match=r"'accuracy'; a run has .*test_accuracy"):
        runs.table({"accuracy": "accuracy"})


def test_a_run_under_two_names_is_trained_once(config, fits):
    sweep({"first": config, "second": config})
    assert fits == ["first, seed 0"]


def test_an_interrupted_run_is_taken_up(config, fits, monkeypatch):
    config = config.replace(epochs=4)
    real = Trainer.step

    def interrupted(self, *args):
        if self.steps == 14:  # 6 steps an epoch
            raise KeyboardInterrupt
        real(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sweep({"only": config})
    assert len(list(project.runs().glob(".*.unfinished"))) == 1
    taken = []
    monkeypatch.setattr(
        Trainer, "step", lambda self, *args: (taken.append(self.steps), real(self, *args))
    )
    sweep({"only": config})
    assert taken == [*range(12, 24)]
    assert not list(project.runs().glob(".*.unfinished"))


def test_in_jupyterlab_an_interrupted_run_ends_with_the_same_bits(config, fits, monkeypatch):
    """It is saved at the very step, and not only at the end of an epoch."""
    config = config.replace(epochs=4)
    whole = sweep({"only": config})["only"][0]
    monkeypatch.setenv("LABKIT_RUNS", str(project.runs().parent / "others"))
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "Shown", lambda: SimpleNamespace(show=lambda *shown: None))
    real, taken = Trainer.step, []

    def slow(self, *args):
        taken.append(self.steps)
        real(self, *args)
        if taken == [*range(15)]:  # 6 steps an epoch
            signal.raise_signal(signal.SIGINT)
        elif len(taken) < 20:
            time.sleep(0.1)

    monkeypatch.setattr(Trainer, "step", slow)
    with pytest.raises(KeyboardInterrupt, match=r"run 1 of 1 .*what was trained is kept"):
        sweep({"only": config})
    before = len(taken)
    assert before < 20
    again = sweep({"only": config})["only"][0]
    assert 15 <= taken[before] <= before
    assert taken[before:] == [*range(taken[before], 24)]
    assert all((again.weights[name] == whole.weights[name]).all() for name in whole.weights)
    assert (again.arrays["step_loss"] == whole.arrays["step_loss"]).all()


def test_fresh_begins_anew_also_what_was_interrupted(config, dataset, monkeypatch):
    path = store.unfinished(config, dataset)
    path.parent.mkdir(parents=True)
    path.write_text("an older state")
    assert store.unfinished(config, dataset).exists()
    monkeypatch.setenv("LABKIT_FRESH", (datetime.now(UTC) + timedelta(minutes=1)).isoformat())
    assert not store.unfinished(config, dataset).exists()


def test_two_processes_train_each_run_once(tmp_path):
    script = tmp_path / "sweep.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            sys.path.insert(0, sys.argv[1])
            from quarters import make_config, make_dataset
            from labkit.training import kinds, sweep, wanted
            kinds.load = lambda name, validation_fraction: make_dataset()
            real = wanted.fit
            def told(*args, **options):
                print("trained", options["description"], flush=True)
                return real(*args, **options)
            wanted.fit = told
            sweep({"only": make_config()}, seeds=[0, 1, 2])
            """
        )
    )
    command = [sys.executable, script, Path(__file__).parents[1]]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) for _ in range(2)]
    said = b"".join(process.communicate()[0] for process in both).decode().splitlines()
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(said) == [f"trained only, seed {seed}" for seed in range(3)]
    assert len([path for path in project.runs().iterdir() if path.is_dir()]) == 3


@pytest.fixture
def runs() -> Runs:
    return Runs(
        {
            "a": [
                made_run("k1", 0, test_accuracy=0.70, validation_loss=1.0),
                made_run("k2", 1, test_accuracy=0.74, validation_loss=1.2),
            ],
            "b": [made_run("k3", 0, test_accuracy=0.71, validation_loss=0.9)],
            "none": [],
        }
    )


def test_mean_and_spread_on_paper(runs):
    assert runs.mean("a", "test_accuracy") == pytest.approx(0.72)
    assert runs.spread("a", "test_accuracy") == "0.720 ± 0.028"  # 0.04/√2
    assert runs.spread("b", "test_accuracy") == "0.710"


def test_best_takes_the_lowest_loss_and_the_highest_accuracy(runs):
    assert runs.best("validation_loss") == "b"
    assert runs.best("test_accuracy") == "a"


def test_the_spread_of_what_diverged_is_no_number():
    nan = [made_run(f"k{seed}", seed, validation_loss=float("nan")) for seed in (0, 1)]
    assert Runs({"nan": nan}).spread("nan", "validation_loss") == "nan ± nan"


def test_best_passes_over_what_diverged(runs):
    diverged = runs | Runs({"nan": [made_run("k4", 0, validation_loss=float("nan"))]})
    assert diverged.best("validation_loss") == "b"


def test_difference_of_one_seed_on_paper():
    made = {"test_examples": 5000}
    runs = Runs(
        {
            "a": [made_run("k1", 0, test_accuracy=0.53, test_loss=1.5, **made)],
            "b": [made_run("k2", 0, test_accuracy=0.50, test_loss=1.75, **made)],
        }
    )
    difference = runs.difference("a", "b", "test_accuracy")
    assert difference.mean == pytest.approx(0.03)
    assert difference.margin == pytest.approx(0.0196, abs=1e-6)  # 1.96·√(2·¼/5000)
    assert (difference.sign, difference.seeds, str(difference)) == (1, 1, "+3.0 ± 2.0")
    assert runs.difference("b", "a", "test_accuracy").sign == -1
    assert runs.difference("a", "a", "test_accuracy").sign == 0
    # how much a loss varies between images is not in the records
    loss = runs.difference("a", "b", "test_loss")
    assert (loss.mean, loss.margin, loss.sign) == (-0.25, math.inf, 0)


def pair(metric: str, first: list[float], second: list[float], examples: int = 10**8) -> Runs:
    """Two names with as many seeds each, measured on so many images."""
    values = {"first": first, "second": second}
    return Runs(
        {
            name: [
                made_run(f"{name}{seed}", seed, **{metric: value}, test_examples=examples)
                for seed, value in enumerate(of)
            ]
            for name, of in values.items()
        }
    )


# Student's t, 95 %, from the printed tables: 12.706 for 1 degree of freedom, 4.303 for 2
@pytest.mark.parametrize(
    ("first", "margin"),
    [
        ([0.54, 0.58], 12.706 * 0.02),  # sd 0.04/√2
        ([0.50, 0.53, 0.56], 4.303 * 0.03 / 3**0.5),
    ],
)
@pytest.mark.parametrize("metric", ["test_accuracy", "test_cer", "test_wer_at_3", "test_loss"])
def test_the_margin_of_few_seeds_is_student_s_t(metric, first, margin):
    difference = pair(metric, first, [0.5] * len(first)).difference("first", "second", metric)
    assert difference.mean == pytest.approx(sum(first) / len(first) - 0.5)
    assert difference.margin == pytest.approx(margin, rel=1e-4)
    assert difference.seeds == len(first)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_margin_is_that_of_scipy_s_paired_t_test(seeds):
    rng = random.Random(seeds)
    first, second = ([rng.random() for _ in range(seeds)] for _ in range(2))
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    found = pair("test_loss", first, second).difference("first", "second", "test_loss")
    assert found.mean - found.margin == pytest.approx(expected.low)
    assert found.mean + found.margin == pytest.approx(expected.high)


def test_difference_pairs_the_seeds_that_both_have():
    def made(key: str, first: float, step: float, seeds: tuple[int, ...]):
        return [
            made_run(f"{key}{s}", s, test_accuracy=first + step * s, test_examples=10**8)
            for s in seeds
        ]

    runs = Runs({"a": made("a", 0.5, 0.1, (0, 1, 2)), "b": made("b", 0.46, 0.08, (2, 0))})
    difference = runs.difference("a", "b", "test_accuracy")
    # seed 0: 0.04, seed 2: 0.08; mean 0.06, sd 0.02·√2
    assert difference.mean == pytest.approx(0.06)
    assert difference.margin == pytest.approx(12.706 * 0.02, rel=1e-4)
    assert difference.seeds == 2
    runs = Runs({"a": made("a", 0.5, 0.1, (0, 1)), "b": made("b", 0.5, 0.1, (2, 3))})
    with pytest.raises(ValueError, match="'a' and 'b' have no seed in common"):
        runs.difference("a", "b", "test_accuracy")


def test_seeds_that_agree_do_not_outdo_the_images_that_they_share():
    agreed = pair("test_accuracy", [0.55, 0.55], [0.5, 0.5], examples=800)
    difference = agreed.difference("first", "second", "test_accuracy")
    assert difference.mean == pytest.approx(0.05)
    assert difference.margin == pytest.approx(0.049, abs=1e-5)  # 1.96·√(2·¼/800)
    # and where the images say nothing, they tell nothing of other seeds
    epochs = pair("best_epoch", [2.5, 3.5], [2.0, 3.0]).difference("first", "second", "best_epoch")
    assert (epochs.mean, epochs.margin, epochs.sign) == (0.5, math.inf, 0)


def test_difference_to_a_number_is_that_of_the_mean_itself():
    runs = pair("test_accuracy", [0.80, 0.82, 0.84], [0, 0, 0])
    difference = runs.difference("first", 0.8, "test_accuracy")
    assert difference.mean == pytest.approx(0.02)
    assert difference.margin == pytest.approx(4.303 * 0.02 / 3**0.5, rel=1e-4)
    one = pair("test_accuracy", [0.9], [0], examples=1600)
    # one set of images against a number that has none: 1.96·√(0.8·0.2/1600)
    margin = one.difference("first", 0.8, "test_accuracy").margin
    assert margin == pytest.approx(0.0196, abs=1e-6)


def test_what_diverged_is_told_apart_from_nothing():
    runs = pair("test_loss", [math.nan, 0.5], [0.4, 0.4])
    assert runs.difference("first", "second", "test_loss").sign == 0
    with pytest.raises(KeyError, match="'loss'; a run has"):
        runs.difference("first", "second", "loss")


@pytest.mark.parametrize("seeds", [[], [0, 0]])
def test_seeds_are_given_once_each(config, seeds):
    with pytest.raises(ConfigError, match="give at least one, each once"):
        sweep({"only": config}, seeds=seeds)


def test_table(runs):
    expected = pd.DataFrame(
        {"test accuracy": ["0.720 ± 0.028", "0.710"], "seeds": [2, 1]}, index=["a", "b"]
    )
    pd.testing.assert_frame_equal(runs.table({"test accuracy": "test_accuracy"}), expected)


def test_counts_have_no_decimals_and_seconds_neither():
    runs = Runs(
        {
            "last stage": [
                made_run("k1", 0, trained_parameters=8_398_858, training_seconds=1234.567)
            ],
            "classifier": [made_run("k2", 0, trained_parameters=5_130, training_seconds=0.4)],
        }
    )
    table = runs.table({"trained": "trained_parameters", "seconds": "training_seconds"})
    assert table["trained"].to_dict() == {"last stage": "8,398,858", "classifier": "5,130"}
    assert table["seconds"].to_dict() == {"last stage": "1,235", "classifier": "0"}


def test_seconds_of_several_seeds_are_whole():
    runs = Runs({"a": [made_run(f"k{s}", s, training_seconds=1200.25 + s) for s in (0, 2)]})
    table = runs.table({"seconds": "training_seconds"})
    assert table["seconds"].to_dict() == {"a": "1,201 ± 1"}  # 1,201.25 ± 2/√2


def test_one_run_on_a_stand_in_is_enough_to_say_so(runs):
    assert runs.stand_in is False  # records from before there were any do not say
    stood_in, real = made_run("k4", 0), made_run("k5", 0)
    stood_in.environment["data"]["stand_in"] = True
    real.environment["data"]["stand_in"] = False
    assert Runs({"real": [real]}).stand_in is False
    mixed = runs | Runs({"real": [real], "both": [real, stood_in]})
    assert mixed.stand_in is True
    assert mixed.select("a", "real").stand_in is False
    assert Runs({}).stand_in is False


def test_runs_on_a_stand_in_say_so(config, dataset, monkeypatch):
    assert sweep({"only": config}).stand_in is False
    changed = dataclasses.replace(dataset, stand_in=True, fingerprint="1" * 64)
    monkeypatch.setattr(kinds, "load", lambda name, validation_fraction: changed)
    assert sweep({"only": config}).stand_in is True


def test_a_name_that_is_not_there_is_answered_with_those_that_are(runs):
    with pytest.raises(KeyError, match="'c'; there are 'a', 'b'") as error:
        runs["c"]
    assert str(error.value) == "'c'; there are 'a', 'b'"  # without KeyError's quotes around it


def test_provenance_names_data_size_seeds_device_and_keys(runs):
    line = runs.provenance()
    for part in (
        "set from here",
        "ffffffffffff…",
        "50 of 100",
        "20 test images",
        "3 epochs",
        "seeds 0, 1",
    ):
        assert part in line
    for part in ("abacus", "fp32", "torch 2.13.0", "2026-11-21", "k1, k2, k3"):
        assert part in line


def test_full_scale_is_all_or_nothing(config, monkeypatch, runs):
    have = {0.1: runs["a"], 0.2: []}
    monkeypatch.setattr(store, "full_scale", lambda config: have[config.optimizer.learning_rate])
    known = {"a": config}
    assert list(full_scale(known)) == ["a"]
    assert not full_scale(known | {"b": config.replace({"optimizer.learning_rate": 0.2})})


def test_at_best_scale_takes_the_committed_runs_where_there_are_some(monkeypatch):
    made, recorded = Runs({"a": [made_run("k1", 0)]}), Runs({"a": [made_run("k2", 0)]})
    module = sys.modules["labkit.training.sweep"]  # the package's attribute is the function
    monkeypatch.setattr(module, "full_scale", lambda configs: recorded)
    assert at_best_scale(made, {}, "quick") == (recorded, "full")
    assert at_best_scale(made, {}, "full") == (made, "full")
    (run,) = made["a"]
    run.environment["data"]["stand_in"] = True
    assert at_best_scale(made, {}, "quick") == (made, "quick")
    monkeypatch.setattr(module, "full_scale", lambda configs: Runs({}))
    assert at_best_scale(made, {}, "quick") == (made, "quick")


def test_a_count_that_is_the_same_for_every_seed_has_no_deviation():
    runs = Runs({"a": [made_run("k", seed, trained_parameters=5130) for seed in (0, 1)]})
    assert runs.spread("a", "trained_parameters", digits=0) == "5,130"


def test_another_config_on_the_same_data_loads_them_once(config, dataset, monkeypatch):
    loaded = []
    monkeypatch.setattr(kinds, "load", lambda *_, **how: loaded.append(how) or dataset)
    wanted = Wanted("one", config)
    other = wanted.with_config(config.replace(batch_size=2))
    assert other.key != wanted.key
    assert len(loaded) == 1
    assert other.key == Wanted("two", config.replace(batch_size=2)).key
    wanted.with_config(config.replace({"data.validation_fraction": 0.3})).dataset  # noqa: B018
    assert [how["validation_fraction"] for how in loaded][-1] == 0.3
