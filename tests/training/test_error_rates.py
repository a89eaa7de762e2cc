"""Error rates of spelling: by hand, against jiwer, and what holds for all words."""

import random
import unicodedata

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.training.error_rates import (
    MISTAKE_KINDS,
    character_error_rate,
    edits,
    mistake_kind,
    word_error_rate,
    word_error_rate_at,
)

LETTERS = st.text("abceé", min_size=1, max_size=8)


def spoiled(word: str, draw: random.Random) -> str:
    """The word after none to three random edits; perhaps nothing is left."""
    letters = list(word)
    for _ in range(draw.randrange(4)):
        at = draw.randrange(len(letters) + 1)
        letters[at : at + draw.randrange(2)] = draw.choice(["", "e", "é"])
    return "".join(letters)


@pytest.fixture(scope="module")
def thousand() -> tuple[list[str], list[str]]:
    draw = random.Random(0)
    references = ["".join(draw.choices("abcdeé'ɬ", k=draw.randint(1, 12))) for _ in range(1000)]
    return references, [spoiled(word, draw) for word in references]


# --- rates ----------------------------------------------------------------------------------------


def test_character_errors_on_paper():
    # kitten → sitting: 3 edits of 6 letters; be → b: 1 of 2; the third is right: 4 letters
    references, hypotheses = ["kitten", "be", "crue"], ["sitting", "b", "crue"]
    assert character_error_rate(references, hypotheses) == 4 / 12
    # the mean of the words' own rates would be (1/2 + 1)/2
    assert character_error_rate(["kitten", "a"], ["sitting", ""]) == 4 / 7
    assert character_error_rate(["a"], ["bcd"]) == 3.0
    assert character_error_rate(["ab"], [""]) == 1.0


def test_case_accents_and_unicode_s_forms_count():
    apart = unicodedata.normalize("NFD", "é")
    assert character_error_rate(["Aé"], ["aé"]) == 0.5
    assert character_error_rate(["é"], ["e"]) == 1.0
    assert character_error_rate(["é"], [apart]) == 2.0  # e for é, and the accent too many
    assert word_error_rate(["é", "Aé"], [apart, "aé"]) == 1.0


def test_word_errors_on_paper():
    assert word_error_rate(["a", "b", "c", "d"], ["a", "x", "", "d"]) == 0.5
    assert word_error_rate(["New York"], ["New York"]) == 0.0


def test_one_right_sample_is_enough():
    references = ["ab", "cd", "ef"]
    samples = [["ab", "x", "y"], ["x", "y", "cd"], ["e", "f", "fe"]]
    assert word_error_rate_at(references, samples) == 1 / 3
    assert word_error_rate_at(references, [drawn[:2] for drawn in samples]) == 2 / 3
    firsts = [drawn[0] for drawn in samples]
    assert word_error_rate_at(references, [[it] for it in firsts]) == 2 / 3
    assert word_error_rate(references, firsts) == 2 / 3
    assert word_error_rate_at(["ab"], [("ab", "ab")]) == 0.0


def test_rates_are_those_of_jiwer(thousand):
    references, hypotheses = thousand
    assert "" in hypotheses
    assert character_error_rate(references, hypotheses) == pytest.approx(
        jiwer.cer(references, hypotheses), abs=1e-12
    )
    assert word_error_rate(references, hypotheses) == pytest.approx(
        jiwer.wer(references, hypotheses), abs=1e-12
    )
    assert 0.1 < character_error_rate(references, hypotheses) < 0.9


@pytest.mark.parametrize(
    ("references", "hypotheses", "said"),
    [
        (["ab"], ["ab", "c"], "1 references, but 2 hypotheses; give as many"),
        ([], [], "there are no references; give at least one word"),
        (["ab", ""], ["ab", "c"], r"references\[1\] is empty; leave it out"),
        ("ab", "cd", "references is the word 'ab'; give a list of words"),
        (["a", "b"], "cd", "hypotheses is the word 'cd'; give a list of words"),
        (["ab"], [["a", "b"]], r"hypotheses\[0\] is \['a', 'b'\] and no word; join its letters"),
        ([("a", "b")], ["ab"], r"references\[0\] is \('a', 'b'\) and no word"),
    ],
)
def test_what_cannot_be_compared_is_refused(references, hypotheses, said):
    for rate in (character_error_rate, word_error_rate):
        with pytest.raises(ValueError, match=said):
            rate(references, hypotheses)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([["ab"]], "2 references, but 1 samples; give as many"),
        ([["a", "b"], ["a"]], r"samples\[1\] has 1 words, samples\[0\] 2; give as many for each"),
        ([[], []], r"samples\[0\] has 0 words, samples\[0\] 0; .*, at least one"),
        ([["a", "b"], "cde"], r"samples\[1\] is the word 'cde'; give a list of words"),
        ([[["a", "b"]], [["c"]]], r"samples\[0\]\[0\] is \['a', 'b'\] and no word"),
    ],
)
def test_samples_that_cannot_be_compared_are_refused(samples, said):
    with pytest.raises(ValueError, match=said):
        word_error_rate_at(["ab", "cd"], samples)


@given(st.lists(st.tuples(LETTERS, st.text("abceé", max_size=8)), min_size=1, max_size=9))
def test_what_holds_for_all_words(pairs):
    references, hypotheses = [list(words) for words in zip(*pairs, strict=True)]
    characters = character_error_rate(references, hypotheses)
    words = word_error_rate(references, hypotheses)
    assert (characters == 0) == (words == 0) == (references == hypotheses)
    assert word_error_rate(references, references) == 0
    # a wrong word has one edit at least, and at most as many as the longer has letters
    num_letters = sum(map(len, references))
    assert characters * num_letters >= words * len(references) - 1e-9
    longest = sum(max(map(len, pair)) for pair in pairs)
    assert characters * num_letters <= longest + 1e-9
    # more samples never make it worse, and those of one alone are the word error rate
    assert word_error_rate_at(references, [[it] for it in hypotheses]) == words
    assert word_error_rate_at(references, [[it, "a"] for it in hypotheses]) <= words


# --- kinds of mistakes ----------------------------------------------------------------------------


def test_edits_on_paper():
    assert edits("kitten", "sitting") == [("k", "s"), ("e", "i"), ("", "g")]
    assert edits("nice", "nic") == [("e", "")]
    assert edits("prig", "prig") == []


@given(LETTERS, st.text("abceé", max_size=8))
def test_edits_are_the_letters_that_differ(reference, hypothesis):
    found = edits(reference, hypothesis)
    assert len(found) == pytest.approx(
        character_error_rate([reference], [hypothesis]) * len(reference)
    )
    assert all(wanted != given for wanted, given in found)
    # letters wanted leave, letters given come
    more = "".join(given for _, given in found)
    fewer = "".join(wanted for wanted, _ in found)
    assert sorted(reference + more) == sorted(hypothesis + fewer)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "kind"),
    [
        ("prig", "prig", "right"),
        ("Manitowoc", "manitowoc", "capital letter"),
        ("USA", "usa", "capital letter"),
        ("crudités", "crudites", "accent"),
        ("Éire", "Eire", "accent"),
        ("letter", "leter", "letter doubled or not"),
        ("leter", "letter", "letter doubled or not"),
        ("see", "se", "letter doubled or not"),  # before "final e"
        ("all", "al", "letter doubled or not"),
        ("oozed", "ozed", "letter doubled or not"),
        ("surcease", "surceas", "final e"),
        ("prig", "prige", "final e"),
        ("chaplet", "chaplit", "vowel for a vowel"),
        ("cafés", "cafis", "vowel for a vowel"),
        ("Amy", "imy", "vowel for a vowel"),
        ("gypsy", "gipsy", "vowel for a vowel"),
        ("cat", "kat", "one letter replaced"),
        ("cat", "cht", "one letter replaced"),
        ("knit", "nit", "one letter missing"),
        ("eat", "at", "one letter missing"),  # an e, but not the final one
        ("bed", "bede", "final e"),
        ("nit", "knit", "one letter too many"),
        ("at", "eat", "one letter too many"),
        ("abca", "abcba", "one letter too many"),  # doubles no neighbour
        ("believe", "beleive", "two letters swapped"),
        ("caught", "cot", "far off"),  # 4 edits
        ("restrengthen", "restrenkfnn", "far off"),  # 4 edits, though of 12 letters
        ("phone", "fone", "two or three edits"),
        ("chaplet", "japlet", "two or three edits"),
        ("nation", "nashun", "two or three edits"),
        ("cat", "dog", "far off"),  # 3 edits, but of 3 letters
        ("ab", "cd", "far off"),
        ("six", "sics", "two or three edits"),  # 2 of 4 letters
        ("prig", "", "far off"),
    ],
)
def test_kinds_on_paper(reference, hypothesis, kind):
    assert mistake_kind(reference, hypothesis) == kind


def test_every_kind_occurs_above():
    (mark,) = (it for it in test_kinds_on_paper.pytestmark if it.name == "parametrize")
    assert {kind for _, _, kind in mark.args[1]} == set(MISTAKE_KINDS)
    assert len(set(MISTAKE_KINDS)) == len(MISTAKE_KINDS)


def test_an_empty_reference_has_no_kind():
    with pytest.raises(ValueError, match="the reference is empty"):
        mistake_kind("", "a")


@given(LETTERS, st.text("abceé", max_size=8))
def test_every_spelling_has_a_kind(reference, hypothesis):
    kind = mistake_kind(reference, hypothesis)
    assert kind in MISTAKE_KINDS
    assert (kind == "right") == (reference == hypothesis)
    num_edits = len(edits(reference, hypothesis))
    if kind == "two or three edits":
        assert num_edits in (2, 3)
    if kind in ("one letter missing", "one letter too many", "final e", "letter doubled or not"):
        assert num_edits == 1
