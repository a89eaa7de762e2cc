"""Words as runs: batches, loss, what is measured, and that records of them are runs like others."""

import dataclasses
import math
import shutil

import jiwer
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from quarters import made_run
from spellings import make_pairs, make_spelling_config, make_words

from labkit.data.words import END, PAD, START, Vocabulary
from labkit.models.seq2seq import greedy
from labkit.training import (
    Adam,
    ConfigError,
    EncoderDecoder,
    Runs,
    SpellingConfig,
    Words,
    find_learning_rate,
    fit,
    kinds,
    loop,
    spelling,
    store,
    sweep,
)
from labkit.training.spelling import SpellingTrainer, first_speller, trained_speller

CPU = torch.device("cpu")
each_network = pytest.mark.parametrize("attention", [False, True])


@pytest.fixture(scope="module")
def words():
    return make_words()


@pytest.fixture
def config():
    return make_spelling_config(attention=True)


@pytest.fixture
def trainer(config, words):
    torch.manual_seed(0)
    return SpellingTrainer(config, words, CPU)


@pytest.fixture
def records(tmp_path, monkeypatch, words):
    """A store of its own, and runs on the made words."""
    monkeypatch.setenv("LABKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("LABKIT_FRESH", raising=False)
    monkeypatch.setattr(store.project, "results", lambda: tmp_path / "results")
    monkeypatch.setattr(kinds, "load_words", lambda name: words)
    store.committed_runs.cache_clear()
    yield tmp_path
    store.committed_runs.cache_clear()


# --- what is trained on ---------------------------------------------------------------------------


def test_every_word_is_seen_once_an_epoch_in_another_order(trainer):
    every = list(trainer.batches())
    assert [len(batch) for batch in every[:10]].count(16) == 9  # 150 = 9·16 + 6
    seen = [torch.cat(every[:10]).tolist(), torch.cat(every[10:]).tolist()]
    assert all(sorted(epoch) == list(range(150)) for epoch in seen)
    assert seen[0] != seen[1]
    rest = list(trainer.batches(skip=7))  # as after a checkpoint
    assert all(torch.equal(*pair) for pair in zip(rest, every[7:], strict=True))


def test_another_seed_gives_other_batches(config, words):
    first, other = (
        torch.cat(list(SpellingTrainer(config.replace(seed=seed), words, CPU).batches()))
        for seed in (0, 1)
    )
    assert not torch.equal(first, other)


def test_the_words_of_a_batch_are_of_like_length(trainer):
    lengths = trainer.train.num_letters
    spread = [int(lengths[it].max() - lengths[it].min()) for it in trainer.batches()]
    assert sum(spread) / len(spread) < 2  # at random they differ by 8 or 9
    sizes = [trainer.train.take(batch)[1].shape[1] for batch in trainer.batches()]
    assert sizes == [int(lengths[batch].max()) for batch in trainer.batches()]


def test_the_batches_do_not_come_by_length(trainer):
    longest = [int(trainer.train.num_letters[it].max()) for it in trainer.batches()][:10]
    assert longest != sorted(longest)


@each_network
def test_the_loss_is_the_mean_over_the_letters_of_each_word_alone(words, attention):
    config = make_spelling_config(attention=attention, dropout=0.0)
    torch.manual_seed(1)
    trainer = SpellingTrainer(config, words, CPU)
    batch = next(trainer.batches())
    total, count = 0.0, 0
    for index in batch.tolist():
        pair = words.train[index]
        right = [*trainer.letters.encode(pair.word), END]
        logits = trainer.model(
            torch.tensor([trainer.phonemes.encode(pair.phonemes)]),
            torch.tensor([[START, *right[:-1]]]),
        )
        total += F.cross_entropy(logits[0], torch.tensor(right), reduction="sum").item()
        count += len(right)
    loss = trainer.loss(batch).item()
    assert trainer.meter.result().loss == pytest.approx(total / count, abs=1e-5)
    assert loss / trainer.weight(batch) == pytest.approx(total / count, abs=1e-5)


def test_every_letter_of_an_epoch_weighs_the_same(trainer):
    lengths = trainer.train.num_letters
    each = [
        (trainer.weight(batch) / lengths[batch].sum().item(), trainer.weight(batch))
        for batch in trainer.batches()
    ]
    assert len({round(weight, 9) for weight, _ in each}) == 1
    full = [weight for _, weight in each[:10]]
    assert sum(full) == pytest.approx(150 / 16)  # that of an average batch of 16 is 1
    assert max(full) > 1.5 > 0.7 > min(full)


def test_the_first_loss_is_near_that_of_guessing(words):
    trainer = SpellingTrainer(make_spelling_config(hidden_size=128), words, CPU)
    chance = torch.tensor(float(len(trainer.letters))).log().item()
    trainer.loss(next(trainer.batches()))
    assert trainer.meter.result().loss == pytest.approx(chance, abs=0.3)


# --- what is learnt and measured ------------------------------------------------------------------


@pytest.fixture(scope="module")
def learnt(words):
    """What a network has learnt of more words in 40 epochs."""
    more = dataclasses.replace(words, train=make_pairs(300, 1))
    return fit(make_spelling_config(attention=True, hidden_size=32).replace(epochs=40), more)


def test_it_learns_to_spell(learnt):
    assert learnt.metrics["test_cer"] < 0.25
    assert learnt.history[0]["validation_cer"] > 0.35
    assert learnt.history[-1]["train_loss"] < 0.3 < learnt.history[0]["train_loss"]


def test_the_weights_of_the_lowest_character_error_rate_are_kept(learnt):
    rates = [row["validation_cer"] for row in learnt.history]
    assert learnt.metrics["validation_cer"] == min(rates)
    assert learnt.metrics["best_epoch"] == rates.index(min(rates)) + 1


def test_error_rates_are_those_of_what_was_spelled(learnt, words):
    letters = Vocabulary.of(pair.word for pair in words.train)
    right = [pair.word for pair in words.test]
    for name in ("test", "test_beam"):
        spelled = ["".join(letters.decode(row)) for row in learnt.arrays[f"{name}_spelled"]]
        assert learnt.metrics[f"{name}_cer"] == pytest.approx(jiwer.cer(right, spelled))
        assert learnt.metrics[f"{name}_wer"] == pytest.approx(jiwer.wer(right, spelled))


def test_what_was_spelled_is_what_the_weights_spell(learnt, words):
    model = trained_speller(
        make_spelling_config(attention=True, hidden_size=32), words, learnt.weights
    )
    phonemes = Vocabulary.of(pair.phonemes for pair in words.train)
    spelled = learnt.arrays["test_spelled"]
    for place in (0, 7, 29):
        sources = torch.tensor([phonemes.encode(words.test[place].phonemes)])
        alone = greedy(model, sources, longest=spelled.shape[1])
        assert torch.equal(alone[0], spelled[place].long())


def test_the_narrowest_nucleus_is_greedy(learnt):
    metrics = learnt.metrics
    assert metrics["test_nucleus_0.001_cer"] == pytest.approx(metrics["test_cer"])
    assert metrics["test_nucleus_0.001_wer"] == pytest.approx(metrics["test_wer"])
    assert metrics["test_nucleus_0.001_wer_at_3"] == pytest.approx(metrics["test_wer"])


def test_of_three_samples_one_is_right_more_often(learnt):
    metrics = learnt.metrics
    assert metrics["test_nucleus_0.9_wer_at_3"] < metrics["test_nucleus_0.9_wer"]


@each_network
def test_the_size_of_a_batch_changes_nothing_that_is_measured(words, attention, monkeypatch):
    torch.manual_seed(2)
    trainer = SpellingTrainer(make_spelling_config(attention=attention), words, CPU)
    found = []
    for size in (250, 7, 1):
        monkeypatch.setattr(spelling, "EVALUATION_BATCH", size)
        metrics, arrays = trainer.measured({})
        found.append((trainer.samples(trainer.test, 0.9), arrays, metrics))
    for samples, arrays, metrics in found[1:]:
        assert samples == found[0][0]
        assert all(torch.equal(arrays[name], found[0][1][name]) for name in arrays)
        assert metrics == pytest.approx(found[0][2], abs=1e-6)


def test_measuring_leaves_the_trainer_as_it_was(trainer):
    before, state = trainer.weights(), torch.get_rng_state()
    assert trainer.model.training
    trainer.measured({})
    trainer.validate()
    assert trainer.model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(it, before[name]) for name, it in trainer.weights().items())


def test_as_many_words_as_the_config_says(config, words):
    sizes = {"data.train_words": 40, "data.validation_words": 9, "data.test_words": 11}
    result = fit(config.replace(sizes, epochs=1), words)
    assert [result.metrics[f"{it}_examples"] for it in loop.SPLITS] == [40, 9, 11]
    assert result.metrics["steps"] == 3
    assert len(result.arrays["test_spelled"]) == 11
    # the symbols are those of the whole training part: the network does not change its size
    assert result.metrics["num_parameters"] == fit(config, words).metrics["num_parameters"]


def test_the_same_seed_gives_the_same_run(config, words):
    one, two, other = (fit(config.replace(seed=seed), words) for seed in (3, 3, 4))
    assert all(torch.equal(it, two.weights[name]) for name, it in one.weights.items())
    assert one.metrics["test_cer"] == two.metrics["test_cer"]
    assert not torch.equal(one.arrays["step_loss"], other.arrays["step_loss"])


def test_interrupted_it_goes_on_to_the_same_end(config, words, tmp_path):
    config = config.replace(epochs=3)
    whole = fit(config, words)

    def interrupt(history):
        if len(history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(config, words, save_to=tmp_path / "state", on_validation=interrupt)
    began = []
    again = fit(config, words, save_to=tmp_path / "state", on_validation=began.append)
    assert len(began) == 2  # of three validations: the first was not repeated
    assert all(torch.equal(it, again.weights[name]) for name, it in whole.weights.items())
    assert torch.equal(whole.arrays["step_loss"], again.arrays["step_loss"])
    assert again.metrics["test_cer"] == whole.metrics["test_cer"]


def test_what_diverges_says_so_and_is_never_the_best(config, words):
    config = config.replace({"optimizer.learning_rate": 1e38}, epochs=3)
    result = fit(config, words)
    assert result.metrics["stopped"].startswith("diverged")
    assert len(result.history) == 1
    assert math.isnan(result.history[0]["validation_cer"])


def test_what_diverges_later_does_not_replace_what_was_learnt(config, words, monkeypatch):
    real = SpellingTrainer.validate

    def validate(self):
        if self.steps > self.steps_per_epoch:  # after the first epoch
            with torch.no_grad():
                self.model.output_bias.fill_(math.nan)
        return real(self)

    monkeypatch.setattr(SpellingTrainer, "validate", validate)
    result = fit(config, words)
    assert math.isnan(result.history[1]["validation_cer"])
    assert result.metrics["best_epoch"] == 1
    assert not any(each.isnan().any() for each in result.weights.values())


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_an_empty_part_is_refused_by_name(config, words, part):
    with pytest.raises(ConfigError, match=f"cmudict: its {part} part is empty"):
        fit(config, dataclasses.replace(words, **{part: ()}))


# --- runs like others -----------------------------------------------------------------------------


def test_a_sweep_trains_each_once_and_shows_it(config, records, monkeypatch):
    configs = {"plain": make_spelling_config(), "attention": config}
    runs = sweep(configs, seeds=[0, 1])
    monkeypatch.setattr(loop, "kind_of", None)  # nothing could be trained now
    again = sweep(configs, seeds=[0, 1])
    assert [run.key for run in runs["plain"]] == [run.key for run in again["plain"]]
    assert "150 of 150 training words and 30 test words" in runs.provenance()
    assert "cmudict from made in spellings.py" in runs.provenance()
    table = runs.table({"CER": "test_cer", "WER@3": "test_nucleus_0.9_wer_at_3"})
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == ["CER", "WER@3", "seeds"]
    assert runs.best("validation_cer") in configs
    assert runs.difference("attention", "plain", "test_wer").seeds == 2
    line = runs["attention"][0].summary()
    assert "150 words × 2, encoder–decoder with attention, Adam 0.02" in line
    assert f"test cer {runs['attention'][0].metrics['test_cer']:.3f}" in line


def test_the_best_error_rate_is_the_lowest(records, config):
    runs = sweep({"short": config, "long": config.replace(epochs=12)})
    assert runs.mean("long", "test_cer") < runs.mean("short", "test_cer")
    assert runs.best("test_cer") == "long"
    assert isinstance(runs, Runs)


def test_of_three_samples_the_fewest_errors_are_the_best(records, config):
    runs = sweep({"short": config, "long": config.replace(epochs=25)})
    assert runs.mean("long", "test_nucleus_0.9_wer_at_3") < 1
    assert runs.best("test_nucleus_0.9_wer_at_3") == "long"


def test_rates_above_one_can_be_compared():
    few, many = (made_run(name, 0, test_cer=cer) for name, cer in (("few", 0.9), ("many", 1.4)))
    found = Runs({"few": [few], "many": [many]}).difference("few", "many", "test_cer")
    assert (found.mean, found.margin) == (pytest.approx(-0.5), 0)


def test_the_rate_finder_takes_words_as_well(config, words):
    found = find_learning_rate(config, words, steps=15)
    assert len(found.table) > 5


def test_what_is_not_on_all_words_is_not_full_scale(records, config):
    run = sweep({"some": config.replace({"data.test_words": 5})})["some"][0]
    assert not store.is_full_scale(run)
    assert store.commit() == []


def test_a_committed_run_is_found_by_its_config_and_by_its_experiment(records, config):
    run = sweep({"all": config})["all"][0]
    assert [it.key for it in store.commit()] == [run.key]
    short = config.replace({"data.train_words": 10}, epochs=1, seed=9)
    assert [it.key for it in store.full_scale(short)] == [run.key]
    assert store.full_scale(short.replace({"network.attention": False})) == []
    assert store.full_scale(short.replace({"data.name": "p2g"})) == []


def test_a_committed_run_of_other_words_under_the_same_name_is_another_run(
    records, config, words, monkeypatch
):
    run = sweep({"all": config})["all"][0]
    store.commit()
    shutil.rmtree(run.folder)
    assert store.find(config, words).metrics == run.metrics
    assert store.find(config, dataclasses.replace(words, fingerprint="2" * 64)) is None


def test_the_code_of_one_kind_does_not_decide_the_other(config, words, monkeypatch):
    before = store.key(config, words.fingerprint, "cpu")
    real = store._source_hash
    monkeypatch.setattr(
        store, "_source_hash", lambda kind: "edited" if kind == "images" else real(kind)
    )
    assert store.key(config, words.fingerprint, "cpu") == before
    monkeypatch.setattr(
        store, "_source_hash", lambda kind: "edited" if kind == "spelling" else real(kind)
    )
    assert store.key(config, words.fingerprint, "cpu") != before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_spelling_config().replace(nucleus=[0.0]), "SpellingConfig.nucleus.0: 0.0"),
        (lambda: make_spelling_config().replace(nucleus=[1.5]), "SpellingConfig.nucleus.0: 1.5"),
        (lambda: make_spelling_config().replace(precision="bf16"), "SpellingConfig.precision"),
        (lambda: make_spelling_config().replace(beam_width=0), "SpellingConfig.beam_width: 0"),
        (lambda: Words(name="p2h"), "Words.name: 'p2h'"),
        (lambda: EncoderDecoder(atention=True), "did you mean attention?"),
        (
            lambda: SpellingConfig(
                network=EncoderDecoder(hidden_size=15), optimizer=Adam(learning_rate=1.0)
            ),
            "hidden_size",
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ConfigError, match=message.replace(".", r"\.").replace("?", r"\?")):
        make()


def test_the_course_s_networks_have_the_course_s_parameters(words):
    symbols = [f"s{number}" for number in range(103)]
    letters = [chr(0x100 + number) for number in range(89)]
    pairs = (*words.train[:0], type(words.train[0])(tuple(symbols), "".join(letters)))
    made = type(words)(**{**words.__dict__, "train": pairs})
    for attention, published in ((False, 257_117), (True, 322_909)):
        config = SpellingConfig(
            network=EncoderDecoder(attention=attention), optimizer=Adam(learning_rate=0.003)
        )
        model = first_speller(config, made)
        assert sum(each.numel() for each in model.parameters()) == published
    assert PAD == 0
