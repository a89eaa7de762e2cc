"""Words to be spelled from their phonemes: what such a run is, and how it is trained and measured.

pairs ─→ ids, padded ─→ batches of words of like length ─→ Seq2Seq, right letters fed in ─→ loss
                         └─ spelled by itself: greedy, beam, nucleus ─→ error rates
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from labkit.data.words import PAD, START, Pair, Vocabulary, WordSet, encoded
from labkit.models.seq2seq import Seq2Seq, beam, greedy, nucleus
from labkit.training.base_trainer import BaseTrainer
from labkit.training.config import RunConfig, Several
from labkit.training.engine import DEFAULT, Engine
from labkit.training.error_rates import (
    character_error_rate,
    word_error_rate,
    word_error_rate_at,
)
from labkit.training.metrics import Meter
from labkit.training.strict import ConfigError, Strict

# what follows changes speed, and by it which words share a batch or a draw, so it is fixed
POOL = 20  # batches whose words are sorted by length together
EVALUATION_BATCH = 250  # words

Probability = Annotated[float, Field(gt=0, le=1)]


class Words(Strict):
    """Which words a run sees; a field None takes all of its part.

    `name` is "p2g" or "cmudict"; `train_words`, `validation_words` and `test_words` take so many of
    each part, its first.

    >>> Words(name="cmudict", train_words=1000)
    Words(train_words=1000)
    """

    name: Literal["p2g", "cmudict"] = "cmudict"
    train_words: PositiveInt | None = None
    validation_words: PositiveInt | None = None
    test_words: PositiveInt | None = None


class EncoderDecoder(Strict):
    """The sizes of a `labkit.models.seq2seq.Seq2Seq`.

    `hidden_size` is that of the decoder and of all embeddings, and even: the encoder has a half for
    each direction. `dropout` is a rate; `attention` is Bahdanau's, or none.

    >>> EncoderDecoder(hidden_size=64, attention=True)
    EncoderDecoder(hidden_size=64, attention=True)
    """

    hidden_size: PositiveInt = 128  # of the decoder and all embeddings; the encoder has two halves
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    attention: bool = False

    @model_validator(mode="after")
    def _halves(self):
        if self.hidden_size % 2:
            raise ValueError(
                f"hidden_size is {self.hidden_size}; give an even one, half for each direction"
            )
        return self


class SpellingConfig(RunConfig):
    """A run that trains a network to spell words from their phonemes.

    - `network`: an `EncoderDecoder`; `data`: which words, a `Words`.
    - `optimizer`, `schedule`, `batch_size`, `epochs`, `validations_per_epoch`, `validate_every`,
      `early_stop`, `seed`: as in every `RunConfig`.
    - `beam_width`: spell the test words with such a beam, too.
    - `nucleus`: values of p to draw spellings for, `samples` of each word.

    The weights of the lowest validation character error rate (spelled greedily) are kept.

    >>> from labkit.training import Adam
    >>> config = SpellingConfig(network=EncoderDecoder(), optimizer=Adam(learning_rate=0.003))
    >>> config.replace({"network.attention": True}).network
    EncoderDecoder(attention=True)
    """

    kind: Literal["spelling"] = "spelling"
    network: EncoderDecoder
    data: Words = Words()
    # how the test words are spelled besides greedily, with the weights that are kept
    beam_width: PositiveInt | None = None
    nucleus: Several[Probability] = ()  # values of p
    samples: PositiveInt = 3  # of each word for each p
    precision: Literal["fp32"] = "fp32"  # rounding of bfloat16 adds up along an LSTM


class Part:
    """The pairs of one part as ids on a device, and what they say."""

    def __init__(
        self, pairs: Sequence[Pair], phonemes: Vocabulary, letters: Vocabulary, device: torch.device
    ):
        self.words = [pair.word for pair in pairs]
        # lengths stay on the host: a batch is cut to its longest word without asking the device
        self.num_phonemes = torch.tensor([len(pair.phonemes) for pair in pairs])
        self.num_letters = torch.tensor([len(word) + 1 for word in self.words])  # with END
        if pairs:
            ids = encoded(pairs, phonemes, letters)
            self.phonemes, self.letters = ids.phonemes.to(device), ids.letters.to(device)

    def __len__(self) -> int:
        return len(self.words)

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Phonemes (n, S) and letters (n, T) of these words, no wider than their longest."""
        place = indices.to(self.phonemes.device)
        phonemes = self.phonemes[place, : int(self.num_phonemes[indices].max())]
        return phonemes, self.letters[place, : int(self.num_letters[indices].max())]

    def by_length(self) -> Iterator[Tensor]:
        """All indices in batches of like length, so that little is padding."""
        order = (self.num_phonemes * 1000 + self.num_letters).argsort(stable=True)
        return iter(order.split(EVALUATION_BATCH))


class SpellingTrainer(BaseTrainer):
    """A Seq2Seq, its optimizer and the words on one `device`.

    `config` is a `SpellingConfig`, `dataset` what `load_words` gives, `engine` how steps are
    computed. `fit` makes one; by hand it is for looking at batches and at what the network spells.
    """

    best_by = shown = "validation_cer"

    def __init__(
        self,
        config: SpellingConfig,
        dataset: WordSet,
        device: torch.device,
        engine: Engine = DEFAULT,
    ):
        self.phonemes, self.letters = vocabularies(dataset)
        super().__init__(config, device, engine, num_classes=len(self.letters))
        chosen = config.data
        self.train, self.validation, self.test = (
            Part(pairs[:count], self.phonemes, self.letters, device)
            for pairs, count in (
                (dataset.train, chosen.train_words),
                (dataset.validation, chosen.validation_words),
                (dataset.test, chosen.test_words),
            )
        )
        for name, part in (
            ("train", self.train),
            ("validation", self.validation),
            ("test", self.test),
        ):
            if not len(part):
                raise ConfigError(f"{dataset.name}: its {name} part is empty; give it some words")
        # spelling that goes on and on is cut at the longest word that could have been learnt
        self.longest = int(self.train.num_letters.max())
        model = first_speller(config, dataset).to(device)
        self.num_parameters = sum(each.numel() for each in model.parameters())
        self._begin(model)

    def loss(self, batch: Tensor) -> Tensor:
        """The mean cross-entropy (nats) per letter of these words, times the batch's weight: ().

        `batch` holds indices of training words (n,); END counts as a letter.
        """
        logits, letters = self._taught(self.train, batch, self._forward)
        loss = F.cross_entropy(logits, letters)
        self.meter.add(logits, letters, loss)
        return loss * self.weight(batch)

    def weight(self, batch: Tensor) -> float:
        """How many letters these words have, beside those of an average batch.

        Batches are of words of like length: without it a letter of a short word would count for
        more than one of a long word.
        """
        lengths = self.train.num_letters
        average = lengths.sum().item() / len(lengths) * self.config.batch_size
        return lengths[batch].sum().item() / average

    def epoch(self, order: torch.Generator) -> Iterator[Tensor]:
        """Batches of like length in random order: words at random, sorted in pools of batches."""
        size = self.config.batch_size
        key = self.train.num_letters * 1000 + self.train.num_phonemes
        batches = []
        for pool in torch.randperm(len(self.train), generator=order).split(POOL * size):
            batches += pool[key[pool].argsort(stable=True)].split(size)
        return (batches[place] for place in torch.randperm(len(batches), generator=order))

    def validate(self) -> dict[str, float]:
        """Loss and accuracy per letter, with the right letters fed in, and error rates, without.

        Training values are means over the steps, taken in training mode while the weights moved.
        The error rates are those of what the network spells by itself.
        """
        running, self.meter = self.meter.result(), Meter(self.num_classes, self.device)
        taught = self._taught_metrics(self.validation, "validation")
        spelled = self.letter_ids(self.validation)
        rates = _rates("validation", self.validation.words, self._read(spelled))
        if not math.isfinite(taught["validation_loss"]):
            # what has diverged spells nothing, which would count as no worse than rubbish
            rates = dict.fromkeys(rates, math.nan)
        return {
            "train_loss": running.loss,
            "train_accuracy": running.accuracy,
            **taught,
            **rates,
        }

    def measured(self, row: dict[str, float]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Error rates of the test words, spelled in every way that the Config asks for.

        Metrics `test_cer` and `test_wer` (greedy), `test_beam_cer` and so on, and for each p
        `test_nucleus_0.8_cer`, `…_wer` (over all samples) and `…_wer_at_3` (over words: right if
        one of 3 samples is). Arrays: `test_spelled` (N, T), the ids that were spelled greedily, and
        with a beam `test_beam_spelled`.
        """
        test = self.test
        metrics: dict[str, Any] = self._taught_metrics(self.train, "train")
        metrics |= {name: row[name] for name in row if name.startswith("validation_")}
        metrics |= self._taught_metrics(test, "test")
        letters = self.letter_ids(test)
        arrays = {"test_spelled": letters.to(torch.int16).cpu()}
        metrics |= _rates("test", test.words, self._read(letters))
        if width := self.config.beam_width:
            letters = self.letter_ids(test, beam_width=width)
            arrays["test_beam_spelled"] = letters.to(torch.int16).cpu()
            metrics |= _rates("test_beam", test.words, self._read(letters))
        for p in self.config.nucleus:
            metrics |= self._sampled(test, p)
        return metrics, arrays

    def letter_ids(self, part: Part, *, beam_width: int | None = None) -> Tensor:
        """What the network makes of the phonemes of `part`, as ids: (N, longest), padded.

        Greedily, or with a beam of `beam_width`.
        """
        letters = part.letters.new_full((len(part), self.longest), PAD)
        for batch in part.by_length():
            phonemes, _ = part.take(batch)
            letters[batch] = (
                beam(self.model, phonemes, width=beam_width, longest=self.longest)[0]
                if beam_width
                else greedy(self.model, phonemes, longest=self.longest)
            )
        return letters

    def samples(self, part: Part, p: float) -> list[list[str]]:
        """`config.samples` spellings of each word of `part`, drawn from the nucleus of `p`.

        For every p they are drawn by the same random numbers.
        """
        shape = len(part), self.config.samples, self.longest
        draws = torch.rand(shape, generator=torch.Generator().manual_seed(self.config.seed))
        letters = part.letters.new_full(shape, PAD)
        for batch in part.by_length():
            phonemes, _ = part.take(batch)
            letters[batch] = nucleus(
                self.model,
                phonemes,
                p=p,
                samples=self.config.samples,
                longest=self.longest,
                uniforms=draws[batch],
            )
        return [self._read(each) for each in letters]

    def _sampled(self, part: Part, p: float) -> dict[str, float]:
        samples, count = self.samples(part, p), self.config.samples
        each = [word for group in samples for word in group]
        name = f"test_nucleus_{p:g}"
        return {
            **_rates(name, [word for word in part.words for _ in range(count)], each),
            f"{name}_wer_at_{count}": word_error_rate_at(part.words, samples),
        }

    def _taught(self, part: Part, batch: Tensor, model: torch.nn.Module) -> tuple[Tensor, Tensor]:
        """Logits (M, K) and right letters (M,) of all M letters of these words, END included."""
        phonemes, letters = part.take(batch)
        before = F.pad(letters[:, :-1], (1, 0), value=START)  # (n, T): each letter's predecessor
        there = letters != PAD
        return model(phonemes, before)[there], letters[there]

    @torch.inference_mode()
    def _taught_metrics(self, part: Part, name: str) -> dict[str, float]:
        was_training = self.model.training
        self.model.eval()
        meter = Meter(self.num_classes, self.device)
        for batch in part.by_length():
            meter.add(*self._taught(part, batch, self.model))
        self.model.train(was_training)
        found = meter.result()
        return {f"{name}_loss": found.loss, f"{name}_accuracy": found.accuracy}

    def _read(self, letters: Tensor) -> list[str]:
        return ["".join(self.letters.decode(row)) for row in letters.tolist()]


def vocabularies(words: WordSet) -> tuple[Vocabulary, Vocabulary]:
    """Of the phonemes and of the letters, by the whole training part of `words`.

    Each turns symbols into ids and back (`labkit.data.words.Vocabulary`).

        phonemes, letters = vocabularies(load_words("cmudict"))
        "".join(letters.decode(ids))
    """
    return (
        Vocabulary.of(pair.phonemes for pair in words.train),
        Vocabulary.of(pair.word for pair in words.train),
    )


def first_speller(config: SpellingConfig, words: WordSet) -> Seq2Seq:
    """The network of `config` as training begins, drawn from PyTorch's global generator."""
    phonemes, letters = vocabularies(words)
    sizes = config.network
    return Seq2Seq(
        len(phonemes),
        len(letters),
        embedding_dim=sizes.hidden_size,
        hidden_size=sizes.hidden_size,
        dropout=sizes.dropout,
        attention=sizes.attention,
    )


def trained_speller(
    config: SpellingConfig, words: WordSet, weights: Mapping[str, Tensor]
) -> Seq2Seq:
    """The network of `config` with the `weights` of its run on `words`, in evaluation mode.

    Phonemes (N, S) and the letters before each (N, T) go in, logits (N, T, K) come out.

        run = sweep(config)["run"][0]
        model = trained_speller(config, words, run.weights)
    """
    model = first_speller(config, words)
    model.load_state_dict(weights)
    return model.eval()


def _rates(name: str, right: list[str], spelled: list[str]) -> dict[str, float]:
    return {
        f"{name}_cer": character_error_rate(right, spelled),
        f"{name}_wer": word_error_rate(right, spelled),
    }
