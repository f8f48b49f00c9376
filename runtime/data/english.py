"""English text that every Python has: the topics of `pydoc`, as windows of characters."""

from __future__ import annotations

import math

import numpy as np

from dlc.runtime.data.dataset import DataError, Dataset
from dlc.runtime.data.options import Options
from dlc.runtime.data.textfile import in_lanes, windows

ALPHABET = ("\n", *map(chr, range(32, 127)))


def load_pydoc(options: Options) -> Dataset:
    """Python's documentation of its language, some 460,000 characters: x i32[n, length], and y, the
    next character of each; `length` characters a window, a fraction `test` held out at the end; in
    `lanes` as a text file's.

    The 96 classes are ASCII's printable characters and the newline; others, a few dashes and
    quotes, become "?". The text is that of the Python that runs: figures differ between versions.
    """
    from pydoc_data import topics

    text = "".join(topics.topics[name] for name in sorted(topics.topics))
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8)
    places = np.full(128, ALPHABET.index("?"), np.int32)
    places[[ord(c) for c in ALPHABET]] = np.arange(len(ALPHABET))
    ids = places[codes]
    if not 1 <= options.length < len(ids) // 4:
        raise DataError("pydoc", "length", f"windows of {options.length} characters",
                        "length=1 or more, e.g. 64")
    if not 0 < options.test <= 0.5:
        raise DataError("pydoc", "test", f"{options.test} is not a fraction to hold out",
                        "0 < test <= 0.5")
    cut = len(ids) - math.ceil(len(ids) * options.test)
    return Dataset("pydoc", in_lanes("pydoc", windows(ids[:cut], options.length), options.lanes),
                   windows(ids[cut:], options.length), ALPHABET, source="bundled",
                   lanes=options.lanes)
