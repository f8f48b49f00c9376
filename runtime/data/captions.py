"""Digits with captions: a sentence for each picture, made by rule from five patterns."""

from __future__ import annotations

import numpy as np

from dlc.runtime.data.bundled import load_digits
from dlc.runtime.data.dataset import Arrays, Dataset, shuffle
from dlc.runtime.data.words import encoded

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PATTERNS = ("a handwritten {}", "the digit {}", "a picture of a {}", "{} in pencil",
            "someone wrote {} here")
# A word's number is its place here; 0 fills a caption up.
WORDS = ("", *sorted({word for pattern in PATTERNS for name in NAMES
                      for word in pattern.format(name).split()}))
LENGTH = 5  # words of the longest caption


def load_captions() -> Dataset:
    """The digits of 8x8 cells, and for each one of five captions of it, drawn by Philox: fields
    image f32[n, 1, 8, 8], caption i32[n, 5] (numbers of words), label i32[n]."""
    digits = load_digits(8)
    assert digits.test is not None
    return Dataset("captions", captioned(digits.train, 61), captioned(digits.test, 62),
                   digits.classes, source="bundled", words={"caption": WORDS})


def captioned(arrays: Arrays, key: int) -> Arrays:
    """Each picture with a caption; all patterns are as frequent."""
    table = np.array([[encoded(WORDS, p.format(name), LENGTH, "captions", "caption")
                       for p in PATTERNS] for name in NAMES], np.int32)
    which = shuffle(key, len(arrays["label"])) % len(PATTERNS)
    return {**arrays, "caption": table[arrays["label"], which]}
