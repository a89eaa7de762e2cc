"""How well words are spelled: character and word error rates, and what kind of mistake each is.

Edits are Levenshtein's: letters replaced, missing or too many. A letter is one Unicode code point
of the word as it is written; nothing is normalised, and case counts.
"""

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from rapidfuzz.distance import OSA, Levenshtein

# what `mistake_kind` gives, in the order of a table: from a lesser mistake to a greater
MISTAKE_KINDS = (
    "right",
    "capital letter",
    "accent",
    "letter doubled or not",
    "final e",
    "vowel for a vowel",
    "one letter replaced",
    "one letter missing",
    "one letter too many",
    "two letters swapped",
    "two or three edits",
    "far off",
)

_VOWELS = frozenset("aeiouy")
_FAR = 3  # edits; more than these are not told apart


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return the edits of all words together over the letters of all references together (CER).

    So a long word counts for more than a short one; the mean of each word's own rate would be
    another number. It is above 1 where many letters are too many. Raises `ValueError` where the
    numbers of words differ, there are none, or a reference is empty.

    >>> character_error_rate(["prig", "chaplet"], ["prigg", "chaplit"])  # 2 edits, 11 letters
    0.18181818181818182
    """
    _check(references, hypotheses, "hypotheses")
    _check_words("hypotheses", hypotheses)
    num_edits = sum(map(Levenshtein.distance, references, hypotheses))
    return num_edits / sum(map(len, references))


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return the share of words that are not spelled exactly (WER). Raises `ValueError`.

    >>> word_error_rate(["prig", "chaplet"], ["prig", "chaplit"])
    0.5
    """
    _check(references, hypotheses, "hypotheses")
    _check_words("hypotheses", hypotheses)
    wrong = sum(it != wanted for wanted, it in zip(references, hypotheses, strict=True))
    return wrong / len(references)


def word_error_rate_at(references: Sequence[str], samples: Sequence[Sequence[str]]) -> float:
    """Return the share of words of which none of k samples is right (WER@k).

    `samples[i]` are the k spellings drawn for `references[i]`, as many for each. Raises
    `ValueError`.

    >>> word_error_rate_at(["prig", "chaplet"], [["brig", "prig"], ["chaplit", "chaplot"]])
    0.5
    """
    _check(references, samples, "samples")
    for index, drawn in enumerate(samples):
        if isinstance(drawn, str):
            raise ValueError(f"samples[{index}] is the word {drawn!r}; give a list of words")
        if len(drawn) != len(samples[0]) or not drawn:
            raise ValueError(
                f"samples[{index}] has {len(drawn)} words, samples[0] {len(samples[0])}; "
                "give as many for each, at least one"
            )
        _check_words(f"samples[{index}]", drawn)
    wrong = sum(wanted not in drawn for wanted, drawn in zip(references, samples, strict=True))
    return wrong / len(references)


def edits(reference: str, hypothesis: str) -> list[tuple[str, str]]:
    """Return the fewest edits from `reference` to `hypothesis`: (letter wanted, letter given).

    "" stands for no letter: on the right for one that is missing, on the left for one too many.
    Where several ways are as short, it is one of them.

    >>> edits("chaplet", "chapplit")
    [('', 'p'), ('e', 'i')]
    """
    found = []
    for operation, at, to in Levenshtein.editops(reference, hypothesis):
        wanted = "" if operation == "insert" else reference[at]
        given = "" if operation == "delete" else hypothesis[to]
        found.append((wanted, given))
    return found


def mistake_kind(reference: str, hypothesis: str) -> str:
    """Return which of `MISTAKE_KINDS` `hypothesis` is, as a spelling of `reference`.

    It is the first that fits. "capital letter" and "accent" differ in nothing else. "letter doubled
    or not" and "final e" are one letter too many or missing; vowels are a, e, i, o, u and y, with
    or without an accent. "far off" is more than three edits, or more than half of the letters.
    Raises ValueError where the reference is empty.

    >>> mistake_kind("Manitowoc", "manitowoc"), mistake_kind("surcease", "surceas")
    ('capital letter', 'final e')
    >>> mistake_kind("chaplet", "chaplit"), mistake_kind("believe", "beleive")
    ('vowel for a vowel', 'two letters swapped')
    """
    if not reference:
        raise ValueError("the reference is empty; give the word as it should be spelled")
    if hypothesis == reference:
        return "right"
    if hypothesis.lower() == reference.lower():
        return "capital letter"
    if _plain(hypothesis) == _plain(reference):
        return "accent"
    found = edits(reference, hypothesis)
    if len(found) == 1:
        return _single_mistake(reference, hypothesis, *found[0])
    if OSA.distance(reference, hypothesis) == 1:  # which counts a swap of neighbours as one
        return "two letters swapped"
    longest = max(len(reference), len(hypothesis))
    return "far off" if len(found) > min(_FAR, longest / 2) else "two or three edits"


def _single_mistake(reference: str, hypothesis: str, wanted: str, given: str) -> str:
    if wanted and given:
        both = {_plain(wanted.lower()), _plain(given.lower())}
        return "vowel for a vowel" if both <= _VOWELS else "one letter replaced"
    shorter, longer = sorted((reference, hypothesis), key=len)
    if _once(longer) == _once(shorter):
        return "letter doubled or not"
    if longer == f"{shorter}e":
        return "final e"
    return "one letter missing" if wanted else "one letter too many"


def _once(word: str) -> str:
    """The word with each run of a letter written once: `leter` for `letter`."""
    return word[:1] + "".join(after for before, after in pairwise(word) if after != before)


def _plain(word: str) -> str:
    """The word without accents and other marks on its letters."""
    letters = unicodedata.normalize("NFD", word)
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def _check(references: Sequence[str], others: Sequence, title: str) -> None:
    if len(references) != len(others):
        raise ValueError(f"{len(references)} references, but {len(others)} {title}; give as many")
    if len(references) == 0:
        raise ValueError("there are no references; give at least one word")
    _check_words("references", references)
    for index, reference in enumerate(references):
        if not reference:
            raise ValueError(f"references[{index}] is empty; leave it out")


def _check_words(title: str, words: Sequence[str]) -> None:
    """A word alone, or a word as a list of letters, would be compared without complaint."""
    if isinstance(words, str):
        raise ValueError(f"{title} is the word {words!r}; give a list of words")
    for index, word in enumerate(words):
        if not isinstance(word, str):
            raise ValueError(
                f"{title}[{index}] is {word!r} and no word; join its letters with ''.join"
            )
