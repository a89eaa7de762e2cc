import pytest
from quarters import make_dataset

from labkit import project
from labkit.errors import UsageError
from labkit.handcalc import Flatten, Linear
from labkit.training import Adam, kinds, records, store, sweep


@pytest.fixture(autouse=True)
def _data(monkeypatch):
    monkeypatch.setattr(kinds, "load", lambda name, validation_fraction: make_dataset())


@pytest.fixture
def two(config):
    """Two runs that differ in optimizer and network."""
    other = config.replace(optimizer=Adam(learning_rate=0.01), network=(Flatten(), Linear(192, 4)))
    runs = sweep({"a": config, "b": other})
    return runs["a"][0], runs["b"][0]


def test_a_run_is_named_by_the_beginning_of_its_key(two):
    assert records.named(two[0].key[:8]).key == two[0].key
    with pytest.raises(UsageError, match=r"no run 'zzz'; `labkit runs list`"):
        records.named("zzz")
    with pytest.raises(UsageError, match=r"could be .*; give more of its key"):
        records.named("")


def test_differences_name_the_fields_that_differ_and_no_others(two):
    table = records.differences(two)
    fields = {"network", "optimizer.learning_rate", "optimizer.name"}
    # a field that only one of the two optimizers has differs as well
    assert set(table.index) == fields | {"optimizer.momentum", "optimizer.nesterov"}
    assert table.loc["optimizer.name"].tolist() == ["SGD", "Adam"]
    # the layers that both have are not repeated
    assert "Linear(192, 4)" in table.loc["network"].iloc[1]
    assert "Flatten" not in table.loc["network"].iloc[1]
    assert records.differences([two[0], two[0]]).empty


def test_results_are_the_metrics_side_by_side(two):
    table = records.results(two)
    assert table.loc["test_accuracy"].tolist() == [run.metrics["test_accuracy"] for run in two]


def test_prune_names_what_nothing_asks_for_and_keeps_the_rest(two, config, monkeypatch):
    folder = project.runs()
    assert records.prunable() == []
    (folder / f".{two[0].key}-killed").mkdir()
    (folder / f".{two[0].key}-killed" / "config.json").write_text("{}")
    (folder / f".{two[0].key}.unfinished").write_bytes(b"state")
    (folder / ".0123456789abcdef.unfinished").write_bytes(b"state of another")
    (folder / "damaged-0123-x").mkdir()
    found = {it.path.name: it for it in records.prunable()}
    assert set(found) == {f".{two[0].key}-killed", f".{two[0].key}.unfinished"}
    assert found[f".{two[0].key}.unfinished"].size == 5
    assert len(records.prunable(unfinished=True)) == 3
    for it in found.values():
        it.remove()
    assert records.prunable() == []
    assert (folder / "damaged-0123-x").is_dir()

    monkeypatch.setattr(store, "_source_hash", lambda kind: "an edited trainer")
    assert records.prunable() == []  # full-scale, and not committed yet
    monkeypatch.setattr(store, "is_committed", lambda run: run.key == two[1].key)
    (stale,) = records.prunable()
    assert (stale.path, "edited" in stale.reason) == (two[1].folder, True)


def test_prune_leaves_what_a_process_holds(config, dataset):
    store.unfinished(config, dataset)  # names it only
    with store.lock(config, dataset):
        name = store.key(config, dataset.fingerprint, "cpu")
        (project.runs() / f".{name}.unfinished").write_bytes(b"state")
        (project.runs() / f".{name}-beside").mkdir()
        assert records.prunable(unfinished=True) == []
    assert len(records.prunable(unfinished=True)) == 2


class TestCommandLine:
    def test_show(self, two, labkit):
        status, out, _ = labkit("runs", "show", two[0].key[:10])
        assert status == 0
        assert out.startswith(two[0].key)
        for part in ("optimizer.learning_rate", "0.1", "test_accuracy", "torch", "step"):
            assert part in out

    def test_compare_prints_what_differs_and_draws_the_curves(self, two, labkit, tmp_path):
        picture = tmp_path / "curves.svg"
        keys = [run.key for run in two]
        status, out, _ = labkit("runs", "compare", *keys, "--output", picture)
        assert status == 0
        assert f"optimizer.name\n{keys[0]}  SGD\n{keys[1]}  Adam\n" in out
        assert f"optimizer.momentum\n{keys[0]}  0.0\n{keys[1]}  –\n" in out
        assert "batch_size" not in out
        assert all(key in picture.read_text() for key in keys)

    def test_prune_removes_only_when_told(self, two, labkit):
        left = project.runs() / f".{two[0].key}-killed"
        left.mkdir()
        status, out, _ = labkit("runs", "prune")
        assert (status, left.is_dir()) == (0, True)
        assert "add --yes" in out
        status, out, _ = labkit("runs", "prune", "--yes")
        assert (status, left.exists()) == (0, False)
        assert "1 removed" in out

    def test_an_unknown_run_is_one_line(self, labkit):
        status, _, err = labkit("runs", "show", "abc")
        assert status == 2
        assert err.count("\n") == 1
