"""Words and how they are spoken, a phoneme for each letter: files in NETtalk's format, and words
made by the rules of an orthography."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dlc.intake import Intake
from dlc.runtime.data.dataset import Arrays, DataError, Dataset, hold_out
from dlc.runtime.data.english import ALPHABET
from dlc.runtime.data.options import Options
from dlc.runtime.data.textfile import read_text

GROWS = 20  # the words are held as text, as tuples, and in two arrays
Words = Sequence[tuple[str, str]]

# --- files ----------------------------------------------------------------------------------------


def load_nettalk(path: Path, length: int, test: float, intake: Intake) -> Dataset:
    """A file of lines `word <tab> phonemes <tab> stress <tab> kind`, of which the first two are
    read: letters and phonemes, i32[n, length], characters of ALPHABET with newlines behind a word.

    Lines before the first that fits are its head. Raises DataError for another line, and for a word
    longer than `length`.
    """
    words, head = [], True
    for number, line in enumerate(read_text(path, intake, GROWS).splitlines(), 1):
        parts = line.split("\t")
        fits = len(parts) >= 2 and 0 < len(parts[0]) == len(parts[1]) and line.isascii()
        if fits:
            head = False
            words.append((parts[0], parts[1]))
        elif line.strip() and not head:
            raise DataError(path, f"line {number}", f"{line[:60]!r} is no word with its phonemes",
                            "a word, a tab, and a phoneme for each letter, - for a silent one")
    if not words:
        raise DataError(path, "", "holds no word with its phonemes", "lines such as aardvark, a "
                        "tab, a-rdvark, a tab, 1<<<>2<<, a tab, 0")
    longest = max(words, key=lambda pair: len(pair[0]))[0]
    if len(longest) > length:
        raise DataError(path, "length", f"{longest!r} has {len(longest)} letters, more than "
                        f"{length}", f"length={len(longest)}")
    train, held = hold_out(as_arrays(words, length), test, path)
    return Dataset(path.name, train, held, ALPHABET, source=str(path))


def as_arrays(words: Words, length: int) -> Arrays:
    """letters and phonemes, i32[n, length]; behind a word stands the newline, 0."""
    places = {character: number for number, character in enumerate(ALPHABET)}
    both = []
    for side in (0, 1):
        rows = np.zeros((len(words), length), np.int32)
        for row, pair in zip(rows, words, strict=True):
            row[:len(pair[side])] = [places[c] for c in pair[side]]
        both.append(rows)
    return {"letters": both[0], "phonemes": both[1]}


# --- words made by rules --------------------------------------------------------------------------

# Italian's: what is written, and what of it is spoken (C, J, S, N: ch, j, sh, ny); - is silent.
RULES = (("sch(?=[ei])", "sk-"), ("sci(?=[aou])", "S--"), ("sc(?=[ei])", "S-"),
         ("ch(?=[ei])", "k-"), ("ci(?=[aou])", "C-"), ("c(?=[ei])", "C"), ("c", "k"),
         ("gh(?=[ei])", "g-"), ("gi(?=[aou])", "J-"), ("gn", "N-"), ("g(?=[ei])", "J"),
         ("qu(?=[aeio])", "kw"), ("(?<=[aeiou])s(?=[aeiou])", "z"))
SPOKEN = re.compile("|".join(f"({rule})" for rule, _ in RULES) + "|(.)")
HARD = ("c", "g", "sc", "ci", "gi", "sci", "qu")
SOFT = ("c", "g", "sc", "ch", "gh", "sch", "qu")
OTHERS = ("b", "d", "f", "gn", "l", "m", "n", "p", "r", "s", "t", "v")
MADE, HELD, LONGEST = 4000, 500, 12


def spoken(word: str) -> str:
    """The phonemes of a word, one a letter."""
    return "".join(match[0] if match.lastindex == len(RULES) + 1 else RULES[match.lastindex - 1][1]
                   for match in SPOKEN.finditer(word) if match.lastindex)


def syllables() -> list[str]:
    """All that words are made of."""
    return [onset + vowel for vowels, onsets in (("ao", HARD + OTHERS), ("u", HARD[:-1] + OTHERS),
                                                 ("ei", SOFT + OTHERS))
            for vowel in vowels for onset in onsets]


def made_words() -> Iterator[str]:
    """Words of two to four syllables, LONGEST letters at most, from a fixed Philox stream."""
    parts = syllables()
    draws = np.random.Philox(key=71).random_raw(MADE * 2 * 5).reshape(-1, 5)
    for draw in draws >> np.uint64(32):
        count = 2 + int(draw[0] % np.uint64(3))
        word = "".join(parts[int(d % np.uint64(len(parts)))] for d in draw[1:count + 1])
        if len(word) <= LONGEST:
            yield word


def load_spelling(options: Options) -> Dataset:
    """Made words, all different, letters i32[n, 12], and how the rules speak them, phonemes."""
    words = [(word, spoken(word)) for word in dict.fromkeys(made_words())][:MADE]
    arrays = as_arrays(words, LONGEST)
    return Dataset("spelling", {k: v[:-HELD] for k, v in arrays.items()},
                   {k: v[-HELD:] for k, v in arrays.items()}, ALPHABET, source="bundled")
