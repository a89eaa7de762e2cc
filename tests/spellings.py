"""Made words whose spelling follows from their phonemes, so that a small network can learn it."""

import random

from labkit.data.words import Pair, WordSet
from labkit.training import Adam, EncoderDecoder, SpellingConfig, Words

# a phoneme is written with one letter or with two, and "th" sounds unlike "t" and "h"
SPELLED = {"T": "t", "TH": "th", "H": "h", "EE": "ee", "A": "a", "SH": "sh"}


def make_pairs(count: int, seed: int) -> tuple[Pair, ...]:
    draws = random.Random(seed)
    sounds = [tuple(draws.choices(list(SPELLED), k=draws.randint(1, 5))) for _ in range(count)]
    return tuple(Pair(each, "".join(SPELLED[sound] for sound in each)) for each in sounds)


def make_words() -> WordSet:
    return WordSet(
        name="cmudict",
        title="made words",
        source="made in spellings.py",
        fingerprint="1" * 64,
        train=make_pairs(150, 1),
        validation=make_pairs(25, 2),
        test=make_pairs(30, 3),
        remarks=(),
    )


def make_spelling_config(**network) -> SpellingConfig:
    return SpellingConfig(
        network=EncoderDecoder(**{"hidden_size": 16, "dropout": 0.1, **network}),
        optimizer=Adam(learning_rate=0.02),
        data=Words(name="cmudict"),
        batch_size=16,
        epochs=2,
        validations_per_epoch=1,
        beam_width=3,
        nucleus=[0.001, 0.9],
    )
