"""Digits with captions: a sentence for each picture, made by rule from five patterns."""

from __future__ import annotations

import numpy as np

from dlc.runtime.data.bundled import load_digits
from dlc.runtime.data.dataset import Arrays, DataError, Dataset, shuffle

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PATTERNS = ("a handwritten {}", "the digit {}", "a picture of a {}", "{} in pencil",
            "someone wrote {} here")
# A word's number is its place here; 0 fills a caption up.
WORDS = ("", *sorted({word for pattern in PATTERNS for name in NAMES
                      for word in pattern.format(name).split()}))
LENGTH = 5  # words of the longest caption


def encoded(caption: str) -> list[int]:
    """The numbers of a caption's words, filled up to LENGTH. Raises DataError for unknown words."""
    words = caption.split()
    unknown = [word for word in words if word not in WORDS]
    if unknown or len(words) > LENGTH:
        raise DataError("captions", repr(caption), f"the word {unknown[0]!r} is in no caption"
                        if unknown else f"has {len(words)} words",
                        f"at most {LENGTH} of: {' '.join(WORDS[1:])}")
    return [WORDS.index(word) for word in words] + [0] * (LENGTH - len(words))


def load_captions() -> Dataset:
    """The digits of 8x8 cells, and for each one of five captions of it, drawn by Philox: fields
    image f32[n, 1, 8, 8], caption i32[n, 5] (numbers of words), label i32[n]."""
    digits = load_digits(8)
    assert digits.test is not None
    return Dataset("captions", captioned(digits.train, 61), captioned(digits.test, 62),
                   digits.classes, source="bundled")


def captioned(arrays: Arrays, key: int) -> Arrays:
    """Each picture with a caption; all patterns are as frequent."""
    table = np.array([[encoded(p.format(name)) for p in PATTERNS] for name in NAMES], np.int32)
    which = shuffle(key, len(arrays["label"])) % len(PATTERNS)
    return {**arrays, "caption": table[arrays["label"], which]}
