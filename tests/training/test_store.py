import ast
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import torch

from labkit import project
from labkit.errors import LabkitError
from labkit.training import Pretrained, Result, Runs, fit, store
from labkit.training.kinds import KINDS

CPU = torch.device("cpu")


@pytest.fixture
def result(config, dataset) -> Result:
    return fit(config, dataset)


@pytest.fixture
def results_folder(tmp_path, monkeypatch):
    """An own `reports/results`, empty at first."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr(project, "results", lambda: folder)
    store.committed_runs.cache_clear()
    yield folder
    store.committed_runs.cache_clear()


def test_what_is_saved_is_found(config, dataset, result, results_folder):
    assert store.find(config, dataset) is None
    store.save(config, dataset, result)
    run = store.find(config, dataset)
    assert run.metrics == result.metrics
    pd.testing.assert_frame_equal(run.history, pd.DataFrame(result.history))
    assert all(torch.equal(run.weights[name], value) for name, value in result.weights.items())
    assert run.config == config.to_json()
    assert run.environment["data"]["fingerprint"] == dataset.fingerprint
    assert run.environment["torch"] == torch.__version__


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"epochs": 3},
        {"optimizer.learning_rate": 0.2},
        {"data.train_images": 50},
        {"augmentation.flip": True},
        {"precision": "bf16"},
    ],
)
def test_another_config_is_another_run(config, dataset, result, results_folder, change):
    store.save(config, dataset, result)
    assert store.find(config.replace(change), dataset) is None


def test_auto_precision_is_the_one_that_it_resolves_to(config):
    resolved = store.resolve_precision("auto", CPU)
    assert store.key(config.replace(precision="auto"), "f", CPU) == store.key(
        config.replace(precision=resolved), "f", CPU
    )


def test_the_key_depends_on_data_and_decisive_source(config, monkeypatch):
    key = store.key(config, "data", CPU)
    assert store.key(config, "other data", CPU) != key
    monkeypatch.setattr(store, "_source_hash", lambda kind: "an edited trainer")
    assert store.key(config, "data", CPU) != key


def test_comments_and_docstrings_do_not_count_as_source():
    plain = "def f(x):\n    return x + 1\n"
    told = '"""About."""\n\ndef f(x):  # why\n    """What."""\n    return (x + 1)\n'
    assert store._code_alone(plain) == store._code_alone(told)
    assert store._code_alone(plain) != store._code_alone(plain.replace("1", "2"))


def test_source_is_hashed_alike_by_every_python():
    # of syntax that versions write differently: f-strings, and fields that came later
    source = "def f(x: int = 1) -> str:\n    return f'{x!r} and {x:.3f}' if x else None\n"
    assert store._code_alone(source) == (
        "Module(body=[FunctionDef(name='f', args=arguments(args=[arg(arg='x', "
        "annotation=Name(id='int', ctx=Load()))], defaults=[Constant(value=1)]), "
        "body=[Return(value=IfExp(test=Name(id='x', ctx=Load()), "
        "body=JoinedStr(values=[FormattedValue(value=Name(id='x', ctx=Load()), conversion=114), "
        "Constant(value=' and '), FormattedValue(value=Name(id='x', ctx=Load()), conversion=-1, "
        "format_spec=JoinedStr(values=[Constant(value='.3f')]))]), orelse=Constant()))], "
        "returns=Name(id='str', ctx=Load()))])"
    )


def test_a_record_that_comes_from_elsewhere_replaces_a_damaged_one(
    config, dataset, result, results_folder, capsys
):
    run = store.save(config, dataset, result)
    files = store.pack(run)
    (run.folder / "metrics.json").write_text("{")
    assert store.unpack(run.key, files).metrics == result.metrics
    assert "set aside" in capsys.readouterr().err


def test_two_that_file_the_same_record_do_not_disturb_each_other(
    config, dataset, result, results_folder
):
    run = store.save(config, dataset, result)
    files = store.pack(run)
    for _ in range(10):
        shutil.rmtree(run.folder)
        with ThreadPoolExecutor(4) as pool:
            filed = [pool.submit(store.unpack, run.key, files) for _ in range(4)]
        assert all(it.result().metrics == result.metrics for it in filed)


def test_any_byte_that_changed_is_noticed(config, dataset, result, results_folder):
    run = store.save(config, dataset, result)
    for name in (*store.FILES[:3], store.ARRAYS, store.WEIGHTS):
        path = run.folder / name
        before = path.read_bytes()
        path.write_bytes(before[:-3] + bytes([before[-3] ^ 1]) + before[-2:])
        assert store.find(config, dataset) is None, name
        path.write_bytes(before)
    assert store.find(config, dataset) is not None


def test_decisive_modules_exist():
    package = Path(store.labkit.__file__).parent
    for kind in KINDS.values():
        assert all((package / name).is_file() for name in kind.decisive)
        assert len(set(kind.decisive)) == len(kind.decisive)


# imported by decisive modules, and no part of what a run gives
OTHERS = {
    *("errors.py", "progress.py", "project.py"),
    *("data/sources.py", "data/_download.py", "data/_prepare.py", "data/known.py"),
    "data/weights.py",  # files with a digest of their own
    "handcalc/windows.py",  # checks
    "models/explain.py",  # looks on
    *("training/config.py", "training/strict.py"),  # the values are in the key
    "training/engine.py",  # how, not what
    "training/kinds.py",  # which of them
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_a_decisive_module_computes_with_is_decisive_too(kind):
    package = Path(store.labkit.__file__).parent
    for name in kind.decisive:
        for node in ast.walk(ast.parse((package / name).read_text())):
            if not (isinstance(node, ast.ImportFrom) and node.module.startswith("labkit")):
                continue
            module = node.module.replace(".", "/").removeprefix("labkit").lstrip("/")
            names = {module, *(f"{module}/{each.name}".lstrip("/") for each in node.names)}
            found = {f"{each}.py" for each in names if (package / f"{each}.py").is_file()}
            assert found <= {*kind.decisive, *OTHERS}, name


@pytest.mark.parametrize("name", store.FILES)
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_record_is_set_aside_and_reported(
    config, dataset, result, results_folder, capsys, name, damage
):
    folder = store.save(config, dataset, result).folder
    if damage == "missing":
        (folder / name).unlink()
    elif name == "history.csv":
        (folder / name).write_text("")
    else:
        (folder / name).write_text((folder / name).read_text()[:-5])
    assert store.find(config, dataset) is None
    store.set_aside_damaged(config, dataset)
    said = capsys.readouterr().err
    assert name in said
    assert "set aside" in said
    aside = list(project.runs().glob("damaged-*/*"))
    assert [path.name for path in aside] == [folder.name]  # never deleted
    store.save(config, dataset, result)
    assert store.find(config, dataset) is not None


def test_a_process_killed_while_saving_leaves_no_record(config, dataset, result, tmp_path):
    """SIGKILL in the middle of `save`, in a process of its own."""
    script = tmp_path / "die.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, sys
            sys.path.insert(0, sys.argv[1])
            import torch
            from quarters import make_config, make_dataset
            from labkit.training import store, fit
            dataset, config = make_dataset(), make_config()
            result = fit(config, dataset)
            def die(*_, **__):
                os.kill(os.getpid(), signal.SIGKILL)
            store.safetensors.torch.save_file = die
            store.save(config, dataset, result)
            """
        )
    )
    tests = Path(__file__).parents[1]
    killed = subprocess.run([sys.executable, script, tests], capture_output=True, env=os.environ)
    assert killed.returncode == -9, killed.stderr.decode()
    assert any(project.runs().iterdir())  # it had begun
    assert store.find(config, dataset) is None
    store.save(config, dataset, result)
    assert store.find(config, dataset).metrics == result.metrics


def commit(run: store.Run, folder: Path, name: str) -> Path:
    """A committed record: the same without weights."""
    shutil.copytree(run.folder, folder / name, ignore=shutil.ignore_patterns(store.WEIGHTS))
    store.committed_runs.cache_clear()
    return folder / name


@contextmanager
def recorded_config(folder: Path) -> Iterator[dict]:
    """The Config of a committed record, to be made what an older labkit wrote."""
    recorded = json.loads((folder / "config.json").read_text())
    yield recorded
    (folder / "config.json").write_text(json.dumps(recorded))
    environment = json.loads((folder / "environment.json").read_text())
    environment.pop("sha256", None)  # which came later as well
    (folder / "environment.json").write_text(json.dumps(environment))
    store.committed_runs.cache_clear()


def test_a_committed_record_is_found_by_config_alone(
    config, dataset, result, results_folder, monkeypatch
):
    run = store.save(config, dataset, result)
    commit(run, results_folder, "full")
    shutil.rmtree(run.folder)
    monkeypatch.setattr(store, "_source_hash", lambda kind: "a later trainer")
    found = store.find(config.replace(precision="auto"), dataset)
    assert found.metrics == result.metrics
    assert run.has_weights is False  # its folder is gone
    assert not found.has_weights
    with pytest.raises(FileNotFoundError, match="--fresh"):
        _ = found.weights
    assert store.find(config.replace(seed=5), dataset) is None


def test_a_committed_record_outlives_new_fields_of_the_config(
    config, dataset, result, results_folder
):
    folder = commit(store.save(config, dataset, result), results_folder, "full")
    with recorded_config(folder) as recorded:  # as if they came later
        del recorded["early_stop"], recorded["augmentation"]["rotation"]
    shutil.rmtree(project.runs())
    assert store.find(config, dataset) is not None
    assert store.find(config.replace(early_stop=4), dataset) is None
    assert store.find(config.replace({"augmentation.rotation": 3.0}), dataset) is None


PRETRAINED = Pretrained(backbone="resnet18")


def test_a_record_from_before_pretrained_networks_matches_the_defaults_alone(
    config, dataset, result, results_folder
):
    folder = commit(store.save(config, dataset, result), results_folder, "full")
    with recorded_config(folder) as recorded:
        del recorded["pretrained"], recorded["initialisation"], recorded["data"]["image_size"]
    shutil.rmtree(project.runs())
    assert store.find(config, dataset).metrics == result.metrics
    assert [run.metrics for run in store.full_scale(config.replace(epochs=9))] == [result.metrics]
    for change in (
        {"pretrained": PRETRAINED},
        {"initialisation": "kaiming-normal"},
        {"data.image_size": 32},
        {"data.pixel_mean": (0.5, 0.5, 0.5)},
    ):
        assert store.find(config.replace(change), dataset) is None, change
        assert store.full_scale(config.replace(change)) == [], change


def test_a_record_with_pretrained_null_is_none_of_a_pretrained_network(
    config, dataset, result, results_folder
):
    folder = commit(store.save(config, dataset, result), results_folder, "full")
    assert json.loads((folder / "config.json").read_text())["pretrained"] is None
    shutil.rmtree(project.runs())
    assert store.find(config, dataset) is not None
    assert store.find(config.replace(pretrained=PRETRAINED), dataset) is None


def test_a_record_of_a_pretrained_network_matches_that_one_alone(
    config, dataset, result, results_folder
):
    folder = commit(store.save(config, dataset, result), results_folder, "full")
    wanted = config.replace(pretrained=PRETRAINED)
    with recorded_config(folder) as recorded:
        recorded["pretrained"] = wanted.to_json()["pretrained"]
    shutil.rmtree(project.runs())
    assert store.find(wanted, dataset).metrics == result.metrics
    assert store.find(config, dataset) is None
    for change in (
        {"backbone": "efficientnet_lite0"},
        {"trainable": "all"},
        {"batch_norm": "adapting"},
        {"classes": (0, 1, 2, 3)},
    ):
        other = wanted.replace({f"pretrained.{name}": value for name, value in change.items()})
        assert store.find(other, dataset) is None, change
    with recorded_config(folder) as recorded:
        del recorded["pretrained"]["classes"]  # as if they came later
    assert store.find(wanted, dataset) is not None


def test_classes_and_channels_are_found_as_json_lists_them(config, dataset, result, results_folder):
    wanted = config.replace(
        {"data.pixel_mean": (0.1, 0.2, 0.3)},
        pretrained=PRETRAINED.model_copy(update={"classes": (4, 2)}),
    )
    folder = commit(store.save(config, dataset, result), results_folder, "full")
    with recorded_config(folder) as recorded:
        recorded.update(wanted.to_json())
    shutil.rmtree(project.runs())
    assert store.find(wanted, dataset) is not None
    assert store.find(wanted.replace({"pretrained.classes": (2, 4)}), dataset) is None
    assert store.find(wanted.replace({"data.pixel_mean": (0.1, 0.3, 0.2)}), dataset) is None


@pytest.mark.parametrize("stand_in", [False, True])
def test_a_record_says_whether_the_data_stood_in(config, dataset, result, stand_in):
    run = store.save(config, replace(dataset, stand_in=stand_in), result)
    assert run.environment["data"]["stand_in"] is stand_in
    assert Runs({"only": [run]}).stand_in is stand_in


def test_full_scale_takes_the_longest_runs_one_per_seed(config, dataset, result, results_folder):
    old = commit(store.save(config, dataset, result), results_folder, "old")
    environment = json.loads((old / "environment.json").read_text())
    environment["finished"] = "2020-01-01T00:00:00+00:00"
    (old / "environment.json").write_text(json.dumps(environment))
    commit(store.save(config, dataset, result), results_folder, "new")
    short = config.replace(epochs=1, seed=4)
    commit(store.save(short, dataset, fit(short, dataset)), results_folder, "short")
    assert [run.folder.name for run in store.full_scale(config)] == ["new"]


def test_commit_takes_whole_data_runs_once_and_leaves_weights_out(
    config, dataset, result, results_folder
):
    store.save(config, dataset, result)
    small = config.replace({"data.train_images": 20})
    store.save(small, dataset, fit(small, dataset))
    (run,) = store.commit()
    assert run.config == config.to_json()
    assert sorted(path.name for path in run.folder.iterdir()) == sorted(
        (*store.FILES, store.ARRAYS)
    )
    assert store.commit() == []
    assert store.find(config.replace(seed=1), dataset) is None
    shutil.rmtree(project.runs())
    assert store.find(config, dataset).metrics == result.metrics


def test_a_record_from_before_pretrained_networks_trained_all_its_parameters(
    config, dataset, result, results_folder
):
    folder = commit(store.save(config, dataset, result), results_folder, "full")
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["trained_parameters"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    about = json.loads((folder / "environment.json").read_text())
    del about["sha256"]["metrics.json"]
    (folder / "environment.json").write_text(json.dumps(about))
    assert store.read(folder).metrics["trained_parameters"] == metrics["num_parameters"]


def test_runs_on_stand_in_data_are_not_committed_and_find_no_committed_ones(
    config, dataset, result, results_folder
):
    """A committed record is found by its Config alone, which does not know that others stood in."""
    stood_in = replace(dataset, stand_in=True)
    store.save(config, stood_in, result)
    assert store.commit() == []
    store.save(config, dataset, result)
    assert len(store.commit()) == 1
    shutil.rmtree(project.runs())
    assert store.find(config, dataset) is not None
    assert store.find(config, stood_in) is None


def test_a_damaged_committed_record_is_named_with_the_remedy(
    config, dataset, result, results_folder
):
    folder = commit(store.save(config, dataset, result), results_folder, "full")
    (folder / "metrics.json").unlink()
    store.committed_runs.cache_clear()
    with pytest.raises(LabkitError, match=r"metrics\.json .*git checkout reports"):
        store.full_scale(config)


def test_a_precision_asked_for_by_name_is_the_one_that_is_given(
    config, dataset, result, results_folder
):
    commit(store.save(config, dataset, result), results_folder, "full")  # fp32
    shutil.rmtree(project.runs())
    assert store.find(config.replace(precision="auto"), dataset) is not None
    assert store.find(config.replace(precision="fp32"), dataset) is not None
    assert store.find(config.replace(precision="bf16"), dataset) is None


def test_a_save_that_fails_leaves_the_record_before_it(config, dataset, result, monkeypatch):
    before = store.save(config, dataset, result)
    real = Path.rename

    def fails(path, target):
        if target == before.folder and path.name.startswith("."):
            raise OSError("disk full")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="disk full"):
        store.save(config, dataset, result)
    monkeypatch.undo()
    assert store.read(before.folder).metrics == result.metrics


def test_full_scale_ignores_the_budget_and_nothing_else(config, dataset, result, results_folder):
    commit(store.save(config, dataset, result), results_folder, "full")
    small = config.replace({"data.train_images": 10}, epochs=1, seed=9)
    assert [run.metrics for run in store.full_scale(small)] == [result.metrics]
    assert store.full_scale(small.replace({"optimizer.learning_rate": 0.3})) == []


def test_fresh_passes_over_what_is_older(config, dataset, result, results_folder, monkeypatch):
    commit(store.save(config, dataset, result), results_folder, "full")
    now = datetime.now(UTC)
    monkeypatch.setenv("LABKIT_FRESH", (now + timedelta(minutes=1)).isoformat())
    assert store.find(config, dataset) is None
    monkeypatch.setenv("LABKIT_FRESH", (now - timedelta(minutes=1)).isoformat())
    assert store.find(config, dataset) is not None


def test_the_committed_records_can_be_read():
    store.committed_runs.cache_clear()
    for run in store.committed_runs():
        assert run.environment["device"]
        assert run.environment["data"]["fingerprint"]
        assert not (run.folder / store.WEIGHTS).exists()
