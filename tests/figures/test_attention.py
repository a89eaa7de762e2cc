"""Attention as maps: a row per letter, a column per phoneme."""

import pytest
import torch

from labkit import figures

WORDS = [(("t͡ʃ", "æ", "p"), "chap·"), (("ɡ", "ɹ", "ɪ", "p"), "grip·")]
MAPS = [
    torch.rand(len(letters), len(phonemes), generator=torch.Generator().manual_seed(0))
    for phonemes, letters in WORDS
]


def draw(maps=MAPS, words=WORDS, **options):
    return figures.attention_maps(
        maps,
        [phonemes for phonemes, _ in words],
        [list(letters) for _, letters in words],
        **options,
    )


def test_each_map_has_its_letters_and_phonemes():
    shown = [axes for axes in draw().axes if axes.images]
    assert len(shown) == 2
    for axes, weights, (phonemes, letters) in zip(shown, MAPS, WORDS, strict=True):
        assert [label.get_text() for label in axes.get_xticklabels()] == list(phonemes)
        assert [label.get_text() for label in axes.get_yticklabels()] == list(letters)
        (image,) = axes.images
        assert torch.equal(torch.tensor(image.get_array().data), weights)
        assert image.get_clim() == (0, 1)  # the same grey means the same weight in all


def test_more_maps_than_columns_go_on_below():
    figure = draw(MAPS * 2, WORDS * 2, columns=3)
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 4
    assert len({round(axes.get_position().y1, 2) for axes in shown}) == 2


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"map 1 is \(5, 3\) for 5 letters and 4 phonemes"):
        draw([MAPS[0], MAPS[0]])
    with pytest.raises(ValueError, match="no maps"):
        draw([], [])
