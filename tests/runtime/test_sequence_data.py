"""Text in lanes, NETtalk's files, and sequences made by a rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlc.errors import DlcError
from dlc.runtime.data import load_dataset
from dlc.runtime.data.nettalk import spoken

# a head, then words as NETtalk's dictionary has them
WORDS = """NETtalk corpus, in its public format
letters, phonemes, stress, kind

aardvark\ta-rdvark\t1<<<>2<<\t0
abbey\tab-i-\t1>0<<\t0
through\tTr-u---\t>>>1<<<\t0
cat\tk@t\t>1<\t0
"""


def text(codes: np.ndarray, classes: tuple[str, ...]) -> str:
    return "".join(classes[c] for c in codes)


def test_lanes_go_on_from_batch_to_batch(tmp_path: Path) -> None:
    """Row k of a batch begins behind row k of the one before; the lanes are parts of the text."""
    whole = "".join(chr(97 + at % 26) + str(at % 10) for at in range(1000))
    (tmp_path / "t.txt").write_text(whole)
    data = load_dataset(str(tmp_path / "t.txt"), length=8, lanes=4, test=0)
    assert data.lanes == 4 and data.samples % 4 == 0
    rows = data.train["x"].reshape(-1, 4, 8)
    for lane in range(4):
        joined = text(rows[:, lane].reshape(-1), data.classes)
        assert joined == whole[lane * len(joined):][:len(joined)]
    np.testing.assert_array_equal(data.train["y"].reshape(-1, 4, 8)[:-1, :, -1], rows[1:, :, 0])


@pytest.mark.parametrize("lanes", [-1, 10_000])
def test_lanes_that_there_are_not(lanes: int) -> None:
    with pytest.raises(DlcError, match=f"{lanes} lanes of 5812 windows"):
        load_dataset("pydoc", lanes=lanes)


def test_lanes_in_folds_are_refused() -> None:
    with pytest.raises(DlcError, match="rows in lanes keep their order"):
        load_dataset("pydoc?lanes=4&fold=1/3")


def test_words_of_nettalk(tmp_path: Path) -> None:
    file = tmp_path / "nettalk.data"
    file.write_text(WORDS)
    data = load_dataset(f"{file}?length=9&test=0")
    assert data.train["letters"].shape == data.train["phonemes"].shape == (4, 9)
    assert [text(row, data.classes).rstrip("\n") for row in data.train["letters"]] == [
        "aardvark", "abbey", "through", "cat"]
    assert text(data.train["phonemes"][3], data.classes) == "k@t\n\n\n\n\n\n"


@pytest.mark.parametrize(("change", "options", "message"), [
    (("cat\tk@t", "cat\tk@"), "", "line 7: 'cat"), (("", ""), "?length=5", "'aardvark' has 8"),
    ((WORDS, "nothing\n"), "", "holds no word with its phonemes"),
    (("k@t", "k\u00e4t"), "", "line 7")])
def test_other_lines_are_refused(tmp_path: Path, change: tuple[str, str], options: str,
                                 message: str) -> None:
    file = tmp_path / "nettalk.data"
    file.write_text(WORDS.replace(*change) if change[0] else WORDS, encoding="utf-8")
    with pytest.raises(DlcError, match=message):
        load_dataset(f"{file}{options}")


def test_the_rules_of_spelling() -> None:
    """Italian words, and a phoneme for each letter of every made one."""
    known = {"ciao": "C-ao", "chiesa": "k-ieza", "scena": "S-ena", "sciopero": "S--opero",
             "gnocco": "N-okko", "giusto": "J-usto", "ghiro": "g-iro", "cucina": "kuCina",
             "acqua": "akkwa", "scherzo": "sk-erzo"}
    assert {word: spoken(word) for word in known} == known
    data = load_dataset("spelling")
    letters = np.concatenate([data.train["letters"], data.test["letters"]])
    assert len(np.unique(letters, axis=0)) == 4000
    np.testing.assert_array_equal(data.train["letters"] == 0, data.train["phonemes"] == 0)


def test_sequences_to_reverse_and_to_sort() -> None:
    for name, rule in (("reverse", lambda x: x[:, ::-1]), ("sort", lambda x: np.sort(x, 1))):
        data = load_dataset(name)
        for part in (data.train, data.test):
            np.testing.assert_array_equal(part["y"], rule(part["x"]))
        assert data.samples == 4500 and set(data.train["x"].ravel()) == set(range(10))
