"""Texts as the numbers of their words, for fields whose data set says what the numbers mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlc.runtime.data.dataset import DataError

Words = Mapping[str, Sequence[str]]


def encoded(words: Sequence[str], text: str, length: int, source: object,
            field: str) -> list[int]:
    """The numbers of a text's words: their places in `words`. Words stand between blanks, or are
    the characters where all of `words` are single ones; where words[0] is empty it fills a shorter
    text up to `length`. Raises DataError for an unknown word and a text that does not fit."""
    letters = max(map(len, words), default=0) <= 1
    parts = list(text) if letters else text.split()
    places = {word: number for number, word in enumerate(words)}
    unknown = [part for part in parts if part not in places]
    fills = bool(words) and not words[0]
    known = ("" if letters else " ").join(word for word in words if word)
    what = "character" if letters else "word"
    if unknown:
        raise DataError(source, field, f"the {what} {unknown[0]!r} of {text!r} is not in the data",
                        f"the data's are {known}")
    if len(parts) > length or (len(parts) < length and not fills):
        raise DataError(source, field, f"{text!r} has {len(parts)} {what}s",
                        f"{'at most ' if fills else ''}{length} of {known}")
    return [places[part] for part in parts] + [0] * (length - len(parts))


def in_numbers(value: Any, field: str, words: Words, length: int, source: object) -> Any:
    """A text as one row of numbers, several as as many rows; anything else as it is. Raises
    DataError for a text where the data do not say what numbers mean."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple, np.ndarray)) or not len(texts) or not all(
            isinstance(text, str) for text in texts):
        return value
    if field not in words:
        raise DataError(source, field, f"{texts[0]!r} is a text, and its data have no words for it",
                        "numbers" + "".join(f"; {name} takes texts" for name in words))
    return np.array([encoded(words[field], text, length, source, field) for text in texts],
                    np.int32)
