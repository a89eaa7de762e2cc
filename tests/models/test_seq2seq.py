"""Spelling from phonemes: attention on paper, beside a textbook loop, and every way to spell."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from scipy.stats import chisquare

from labkit.data.words import END, PAD, START, UNKNOWN
from labkit.models.seq2seq import Encoded, Seq2Seq, beam, draw, greedy, nucleus

BOTH = pytest.mark.parametrize("attention", [False, True])
LONGEST = 9


def speller(attention: bool, *, letters: int = 12, seed: int = 6, end: float = 2.0) -> Seq2Seq:
    """A small untrained model in evaluation mode whose words end after some letters."""
    draws = torch.Generator().manual_seed(seed)
    model = Seq2Seq(14, 4 + letters, embedding_dim=16, hidden_size=16, attention=attention).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # larger than a first draw, so that letters differ
            parameter.copy_(0.8 * torch.randn(parameter.shape, generator=draws))
        model.output_bias[END] += end
        # what must not be spelled would be
        model.output_bias[[PAD, START, UNKNOWN]] += 20
    return model


def words(count: int = 24, longest: int = 7, seed: int = 1) -> torch.Tensor:
    """Phonemes (count, longest), of each length from 1 on, padded."""
    draws = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 14, (count, longest), generator=draws)
    lengths = torch.arange(count) % longest + 1
    return ids.masked_fill(torch.arange(longest) >= lengths[:, None], PAD)


def some_letters(*shape: int) -> torch.Tensor:
    return torch.randint(4, 15, shape, generator=torch.Generator().manual_seed(2))


def taught(model: Seq2Seq, sources: torch.Tensor, letters: torch.Tensor) -> torch.Tensor:
    """ln of the probability of each of these letters (N, T), 0 at padding."""
    logits = model(sources, F.pad(letters[:, :-1], (1, 0), value=START))
    logits[..., [PAD, START, UNKNOWN]] = -torch.inf
    log_p = logits.log_softmax(2).gather(2, letters[..., None])[..., 0]
    return log_p.where(letters != PAD, 0)


def textbook_loss(model: Seq2Seq, sources: torch.Tensor, letters: torch.Tensor) -> torch.Tensor:
    """Word by word, letter by letter: all of the decoder inside of the loops; nats per letter."""
    losses = []
    for row, source in enumerate(sources):
        phonemes = model.source_embedding(source[source != PAD])
        memory, (h, c) = model.encoder(phonemes)
        h, c = h.reshape(1, -1), c.reshape(1, -1)
        last = START
        for letter in letters[row][letters[row] != PAD].tolist():
            embedded = model.target_embedding.weight[last][None]
            _, (h, c) = model.decoder(embedded, (h, c))
            seen = h[0]
            if model.attention:
                scores = [
                    model.score.weight[0]
                    @ torch.tanh(model.query.weight @ seen + model.key.weight @ each)
                    for each in memory
                ]
                shares = torch.stack(scores).softmax(0)
                context = sum(share * each for share, each in zip(shares, memory, strict=True))
                seen = torch.tanh(model.combine(torch.cat([context, seen])))
            logits = model.target_embedding.weight @ seen + model.output_bias
            losses.append(logits.logsumexp(0) - logits[letter])
            last = letter
    return torch.stack(losses).mean()


@pytest.mark.parametrize(("attention", "count"), [(False, 257_117), (True, 322_909)])
def test_the_course_s_counts_of_parameters(attention, count):
    model = Seq2Seq(107, 93, attention=attention)
    assert sum(each.numel() for each in model.parameters()) == count


def test_the_output_layer_has_the_weight_of_the_embedding_and_can_be_saved(tmp_path):
    model = speller(True)
    save_file(model.state_dict(), tmp_path / "model.safetensors")  # refuses shared storage
    other = Seq2Seq(14, 16, embedding_dim=16, hidden_size=16, attention=True).eval()
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    letters = some_letters(24, 5)
    assert torch.equal(other(words(), letters), model(words(), letters))
    before = model(words(), torch.full((24, 1), START))
    with torch.no_grad():
        model.target_embedding.weight[7] += 1  # read by no step, as 7 is not fed in
    changed = (model(words(), torch.full((24, 1), START)) != before).any(dim=1).any(dim=0)
    assert changed.nonzero()[:, 0].tolist() == [7]


def test_attention_on_paper():
    """W_s s = (ln 2, 0); W_h h₁ = (0, 0), W_h h₂ = (ln 1.5, 0): tanh(ln 2) = .6, tanh(ln 3) = .8.

    With v = (5 ln 3, 0) the scores differ by .2 · 5 ln 3 = ln 3, so α = (¼, ¾), c = ¼ h₁ + ¾ h₂.
    """
    model = Seq2Seq(4, 6, embedding_dim=2, hidden_size=2, attention=True).eval()
    memory = torch.tensor([[[1.0, 0], [0, 1], [9, 9]]])  # the third is padding
    with torch.no_grad():
        model.query.weight[:] = torch.tensor([[math.log(2), 0], [0, 0]])
        model.key.weight[:] = torch.tensor([[0, math.log(1.5)], [0, 0]])
        model.score.weight[:] = torch.tensor([[5 * math.log(3), 0]])
        model.combine.weight[:] = torch.tensor([[1.0, 0, 0, 0.5], [0, 1, 0, 0]])
        model.combine.bias[:] = torch.tensor([0.0, 0.25])
        model.target_embedding.weight[4:] = torch.tensor([[1.0, 0], [0, 2]])
        model.output_bias[:] = torch.tensor([0.0, 0, 0, 0, 0.1, 0])
    mask = torch.tensor([[True, True, False]])
    encoded = Encoded(memory, model.key(memory), mask, (memory[:, 0], memory[:, 0]))
    logits = model.logits(torch.tensor([[[1.0, 4]]]), encoded)
    # c = (.25, .75); [c; s] ↦ (.25 + .5 · 4, .75 + .25)
    expected = [math.tanh(2.25) + 0.1, 2 * math.tanh(1)]
    torch.testing.assert_close(logits[0, 0, 4:], torch.tensor(expected))


@BOTH
def test_the_loss_and_its_gradients_are_the_textbook_loop_s(attention):
    model, sources = speller(attention).double(), words(7)
    letters = some_letters(7, 6).masked_fill(torch.arange(6) > torch.arange(7)[:, None], 0)
    logits = model(sources, F.pad(letters[:, :-1], (1, 0), value=START))
    loss = F.cross_entropy(logits.flatten(0, 1), letters.flatten(), ignore_index=PAD)
    expected = textbook_loss(model, sources, letters)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-9)
    ours = torch.autograd.grad(loss, list(model.parameters()))
    theirs = torch.autograd.grad(expected, list(model.parameters()))
    for (name, _), one, other in zip(model.named_parameters(), ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9, msg=lambda m, n=name: n + m)


def test_attention_to_padding_is_zero_and_the_rest_adds_up_to_one():
    sources = words()
    weights = speller(True).attention_weights(sources, some_letters(24, 5))
    assert weights.shape == (24, 5, 7)
    there = (sources != PAD)[:, None].expand_as(weights)
    assert (weights[~there] == 0).all()
    assert (weights[there] > 0).all()
    torch.testing.assert_close(weights.sum(2), torch.ones(24, 5))
    assert weights[there].std() > 0.05  # it has something to say


@BOTH
def test_a_word_gives_the_same_alone_and_in_any_batch(attention):
    # in double precision no rounding decides which letter is spelled
    model, sources = speller(attention).double(), words()
    letters = some_letters(24, 5)
    together = model(sources, letters)
    uniforms = torch.rand(24, 2, LONGEST, generator=torch.Generator().manual_seed(0))
    ways = {
        "greedy": lambda s, u: greedy(model, s, longest=LONGEST),
        "nucleus": lambda s, u: nucleus(model, s, p=0.8, samples=2, longest=LONGEST, uniforms=u),
        "beam": lambda s, u: beam(model, s, width=3, longest=LONGEST)[0],
    }
    spelled = {name: way(sources, uniforms) for name, way in ways.items()}
    for row in range(24):
        own = sources[row][sources[row] != PAD][None]
        alone = model(own, letters[row : row + 1])[0]
        torch.testing.assert_close(alone, together[row], rtol=0, atol=1e-9)
        for name, way in ways.items():
            assert torch.equal(way(own, uniforms[row : row + 1])[0], spelled[name][row]), name
    lengths = (spelled["greedy"] != PAD).sum(1)
    assert len(set(lengths.tolist())) >= 3  # words that end early were dropped from the batch
    for name, way in ways.items():
        pieces = [way(sources[i : i + 5], uniforms[i : i + 5]) for i in range(0, 24, 5)]
        assert torch.equal(torch.cat(pieces), spelled[name]), name


@BOTH
def test_a_word_s_outputs_depend_on_its_own_phonemes_and_earlier_letters(attention):
    model, sources, letters = speller(attention), words(4), some_letters(4, 5)
    before = model(sources, letters)
    other = sources.clone()
    other[1, 0] = 4 + (other[1, 0] - 3) % 10
    changed = (model(other, letters) != before).flatten(1).any(1)
    assert changed.tolist() == [False, True, False, False]
    letters[2, 3] += 1
    changed = (model(sources, letters) != before).any(2)
    assert changed.nonzero().tolist() == [[2, 3], [2, 4]]


@BOTH
def test_every_parameter_receives_a_gradient(attention):
    model = speller(attention).train()
    sources, letters = words(), some_letters(24, 5)
    F.cross_entropy(model(sources, letters).flatten(0, 1), letters.flatten()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@BOTH
def test_pairs_are_memorised_and_spelled(attention):
    torch.manual_seed(0)
    sources = words(6)
    letters = torch.tensor(
        [[4, 5, 2, 0], [5, 2, 0, 0], [6, 6, 6, 2], [2, 0, 0, 0], [7, 4, 2, 0], [4, 4, 2, 0]]
    )
    model = Seq2Seq(14, 8, embedding_dim=32, hidden_size=32, dropout=0.1, attention=attention)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        logits = model(sources, F.pad(letters[:, :-1], (1, 0), value=START))
        loss = F.cross_entropy(logits.flatten(0, 1), letters.flatten(), ignore_index=PAD)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    assert -taught(model, sources, letters).sum() / (letters != PAD).sum() < 0.02
    assert greedy(model, sources, longest=6).tolist() == F.pad(letters, (0, 2)).tolist()


@BOTH
def test_greedy_follows_the_likeliest_letter(attention):
    model, sources = speller(attention), words()
    letters = greedy(model, sources, longest=LONGEST)
    logits = model(sources, F.pad(letters[:, :-1], (1, 0), value=START))
    logits[..., [PAD, START, UNKNOWN]] = -torch.inf
    assert torch.equal(letters, logits.argmax(2).where(letters != PAD, PAD))
    _well_formed(letters)


@BOTH
def test_a_nucleus_of_one_letter_and_a_single_beam_are_greedy(attention):
    model, sources = speller(attention), words()
    letters = greedy(model, sources, longest=LONGEST)
    draws = torch.Generator().manual_seed(0)
    samples = nucleus(model, sources, p=1e-9, samples=3, longest=LONGEST, generator=draws)
    assert torch.equal(samples, letters[:, None].expand(-1, 3, -1))
    found, log_probability = beam(model, sources, width=1, longest=LONGEST)
    assert torch.equal(found, letters)
    torch.testing.assert_close(log_probability, taught(model, sources, letters).sum(1))


@BOTH
@pytest.mark.parametrize("seed", range(3))
def test_a_beam_of_all_spellings_is_exhaustive_search(attention, seed):
    """3 letters and END, at most 3 of them: 1 + 3 + 9 spellings that end, and 27 that do not."""
    model, sources = speller(attention, letters=3, seed=seed, end=1), words(8)
    spellings = [
        [*stem, END] for size in range(3) for stem in itertools.product([4, 5, 6], repeat=size)
    ]
    spellings += [list(stem) for stem in itertools.product([4, 5, 6], repeat=3)]
    every = torch.tensor([spelling + [PAD] * (3 - len(spelling)) for spelling in spellings])
    assert len(every) == 40
    log_p = torch.stack(
        [taught(model, sources, each.expand(8, -1)).sum(1) for each in every]
    )  # (40, 8)
    torch.testing.assert_close(log_p.exp().sum(0), torch.ones(8))
    found, log_probability = beam(model, sources, width=64, longest=3)
    assert torch.equal(found, every[log_p.argmax(0)])
    torch.testing.assert_close(log_probability, log_p.amax(0))


def test_beams_find_what_greedy_misses_and_report_its_probability():
    model, sources = speller(True, end=1), words()
    letters, log_probability = beam(model, sources, width=5, longest=LONGEST)
    _well_formed(letters)
    torch.testing.assert_close(log_probability, taught(model, sources, letters).sum(1))
    single = beam(model, sources, width=1, longest=LONGEST)[1]
    assert (log_probability > single + 1e-3).sum() > 3
    assert log_probability.sum() > single.sum()


def test_the_smallest_set_that_reaches_p():
    probabilities = torch.tensor([0.125, 0.5, 0.25, 0.125])
    uniforms = torch.linspace(0, 1 - 2**-24, 1000)
    for p, inside in (
        *((0.5, {1}), (0.51, {1, 2}), (0.75, {1, 2}), (0.8, {0, 1, 2}), (0.875, {0, 1, 2})),
        *((1e-12, {1}), (0.88, {0, 1, 2, 3}), (1, {0, 1, 2, 3})),
    ):
        found = draw(probabilities.expand(1000, -1), p, uniforms)
        assert set(found.tolist()) == inside, p
    # of 6 parts of 1/8 in {1, 2} four are 1's
    found = draw(probabilities.expand(4, -1), 0.75, torch.tensor([0, 0.66, 0.67, 0.99]))
    assert found.tolist() == [1, 1, 2, 2]
    # each letter has its lower bound: [0, .5) are 1's
    found = draw(probabilities.expand(2, -1), 1, torch.tensor([0.5 - 2**-25, 0.5]))
    assert found.tolist() == [1, 2]


def test_what_has_no_probability_is_never_drawn():
    """Also where rounding makes the largest number reach the whole sum, or the sum stay below p."""
    draws = torch.Generator().manual_seed(0)
    probabilities = torch.rand(20_000, 30, generator=draws).pow(6)
    probabilities[:, ::3] = 0
    probabilities /= probabilities.sum(1, keepdim=True)
    for p in (0.3, 0.9, 1):
        for number in (1 - 2**-24, 1):
            found = draw(probabilities, p, torch.full((20_000,), number))
            chosen = probabilities.gather(1, found[:, None])
            assert (chosen > 0).all()
            assert ((probabilities * (probabilities > chosen)).sum(1) < p + 1e-6).all()
        assert (draw(probabilities, p, torch.zeros(20_000)) == probabilities.argmax(1)).all()


def test_samples_follow_the_renormalised_probabilities():
    """First letters and, behind the commonest of them, second ones; nothing outside the nucleus."""
    model, source, p = speller(True, end=0), words(7)[1:2], 0.9
    draws = torch.Generator().manual_seed(0)
    samples = nucleus(model, source, p=p, samples=20_000, longest=2, generator=draws)[0]
    first = samples[:, 0].mode().values.item()
    assert first != END
    for stem, drawn in (([], samples[:, 0]), ([first], samples[samples[:, 0] == first, 1])):
        logits = model(source, torch.tensor([[START, *stem]]))[0, -1]
        logits[[PAD, START, UNKNOWN]] = -torch.inf
        probabilities, inside = logits.double().softmax(0).sort(descending=True)
        size = 1 + int((probabilities.cumsum(0) < p).sum())
        assert 2 < size < 11
        expected = probabilities[:size] / probabilities[:size].sum() * len(drawn)
        counts = torch.bincount(drawn, minlength=16)
        assert counts[inside[size:]].sum() == 0
        assert chisquare(counts[inside[:size]].numpy(), expected.detach().numpy()).pvalue > 0.01


def test_the_draws_alone_decide():
    model, sources = speller(True), words()
    settings = {"p": 0.9, "samples": 3, "longest": LONGEST}
    uniforms = torch.rand(24, 3, LONGEST, generator=torch.Generator().manual_seed(4))
    state = torch.get_rng_state()
    found = nucleus(model, sources, uniforms=uniforms, **settings)
    seeded = [
        nucleus(model, sources, generator=torch.Generator().manual_seed(seed), **settings)
        for seed in (4, 5)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(seeded[0], found)
    assert not torch.equal(seeded[1], found)
    assert not torch.equal(found[:, 0], found[:, 1])
    _well_formed(found.flatten(0, 1))
    # another's draws, and draws of later steps, change nothing
    uniforms[5], uniforms[6, :, 4:] = 0, 0
    again = nucleus(model, sources, uniforms=uniforms, **settings)
    assert torch.equal(again[:5], found[:5])
    assert not torch.equal(again[5], found[5])
    assert torch.equal(again[6, :, :4], found[6, :, :4])


@BOTH
def test_spelling_reads_the_word_once_and_stops_when_all_have_ended(attention, monkeypatch):
    model, sources = speller(attention, end=3).double(), words()
    # one that likes to go round in circles would go on
    sources = sources[(greedy(model, sources, longest=20) == END).any(dim=1)]
    sizes, encodings = [], []
    logits, encode = model.logits, model.encode
    monkeypatch.setattr(
        model,
        "logits",
        lambda states, encoded: (sizes.append(len(states)), logits(states, encoded))[1],
    )
    monkeypatch.setattr(model, "encode", lambda sources: (encodings.append(1), encode(sources))[1])
    ways = [
        lambda: greedy(model, sources, longest=200)[:, None],
        lambda: nucleus(model, sources, p=0.8, samples=3, longest=200, generator=torch.Generator()),
        lambda: beam(model, sources, width=3, longest=200)[0][:, None],
    ]
    for way in ways:
        sizes.clear()
        encodings.clear()
        letters = way()
        assert len(encodings) == 1
        lengths = (letters != PAD).sum(2).amax(1)
        if way is not ways[2]:  # a beam goes on until its first is one that has ended
            assert sizes == [int((lengths > step).sum()) for step in range(lengths.max())]
            assert sizes[-1] < sizes[0] == len(sources)
        assert len(sizes) < 50


def test_under_teacher_forcing_each_layer_is_called_once():
    model, calls = speller(True), []
    for name, module in model.named_children():
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
    model(words(), some_letters(24, 5))
    assert sorted(calls) == sorted(name for name, _ in model.named_children())


@BOTH
def test_spelling_is_in_evaluation_mode_and_leaves_the_model_as_it_was(attention):
    model, sources = speller(attention), words()
    expected = greedy(model, sources, longest=LONGEST), beam(model, sources, width=2, longest=4)[1]
    model.train()
    model.encoder.eval()
    assert torch.equal(greedy(model, sources, longest=LONGEST), expected[0])
    assert torch.equal(beam(model, sources, width=2, longest=4)[1], expected[1])
    assert model.training
    assert not model.encoder.training
    assert not beam(model, sources, width=2, longest=4)[1].requires_grad


def test_dropout_takes_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    model = Seq2Seq(14, 16, embedding_dim=16, hidden_size=16, dropout=0.25)
    found = model._drop(torch.ones(400, 100))
    assert found.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (found == 0).float().mean() == pytest.approx(0.25, abs=0.01)
    assert not torch.equal(model(words(), words()), model(words(), words()))
    model.eval()
    assert torch.equal(model(words(), words()), model(words(), words()))


def test_selected_words_are_those_words():
    encoded = speller(True).encode(words())
    chosen = encoded.select(torch.tensor([3, 3, 1]))
    for part, whole in zip(
        (chosen.memory, chosen.keys, chosen.mask, *chosen.state),
        (encoded.memory, encoded.keys, encoded.mask, *encoded.state),
        strict=True,
    ):
        assert torch.equal(part, torch.stack([whole[3], whole[3], whole[1]]))


@BOTH
def test_no_words_give_no_spellings(attention):
    model, none = speller(attention), torch.zeros(0, 5, dtype=torch.int64)
    draws = torch.Generator()
    assert model(none, none).shape == (0, 5, 16)
    assert greedy(model, none, longest=3).shape == (0, 3)
    assert nucleus(model, none, p=1, samples=2, longest=3, generator=draws).shape == (0, 2, 3)
    letters, log_probability = beam(model, none, width=2, longest=3)
    assert (letters.shape, log_probability.shape) == ((0, 3), (0,))


def test_what_cannot_be_spelled_is_named():
    model, sources, draws = speller(False), words(3), torch.Generator()
    settings = {"p": 0.8, "longest": 4}
    for value in (0, -0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"p is {value}; give a probability above 0"):
            nucleus(model, sources, p=value, longest=4, generator=draws)
    with pytest.raises(ValueError, match="samples is 0; give at least 1"):
        nucleus(model, sources, samples=0, generator=draws, **settings)
    with pytest.raises(ValueError, match="longest is 0; give at least 1"):
        nucleus(model, sources, p=0.8, longest=0, generator=draws)
    with pytest.raises(ValueError, match="neither of generator and uniforms given; give one"):
        nucleus(model, sources, **settings)
    with pytest.raises(ValueError, match="both of generator and uniforms given; give one"):
        nucleus(model, sources, generator=draws, uniforms=torch.rand(3, 1, 4), **settings)
    with pytest.raises(ValueError, match=r"uniforms are \(3, 4\); give .* here \(3, 1, 4\)"):
        nucleus(model, sources, uniforms=torch.rand(3, 4), **settings)
    with pytest.raises(ValueError, match="width is 0; give at least 1"):
        beam(model, sources, width=0, longest=4)
    with pytest.raises(ValueError, match="longest is -1; give at least 1"):
        greedy(model, sources, longest=-1)
    sources[1] = PAD
    for way in (lambda: greedy(model, sources, longest=4), lambda: model(sources, sources)):
        with pytest.raises(ValueError, match="row 1 of sources has no phonemes; leave it out"):
            way()
    with pytest.raises(ValueError, match="row 0 of sources has no phonemes"):
        model.encode(sources[:, :0])
    sources[1, 2] = 5
    with pytest.raises(ValueError, match="row 1 of sources has padding inside; put it behind"):
        model.encode(sources)
    with pytest.raises(ValueError, match=r"sources are \(7,\); give \(N, S\)"):
        model.encode(sources[0])
    with pytest.raises(ValueError, match="attention is False; build the model with attention=True"):
        model.attention_weights(words(3), words(3))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"embedding_dim": 64}, "embedding_dim is 64 and hidden_size 128; make them equal"),
        ({"embedding_dim": 7, "hidden_size": 7}, "embedding_dim is 7 .* and even"),
        ({"dropout": 1.0}, "dropout is 1.0; give a probability below 1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        Seq2Seq(14, 16, **sizes)


def _well_formed(letters: torch.Tensor) -> None:
    """Nothing but PAD behind END, nothing special before it."""
    for row in letters.tolist():
        size = row.index(END) if END in row else len(row)
        assert all(letter > UNKNOWN for letter in row[:size])
        assert set(row[size + 1 :]) <= {PAD}
