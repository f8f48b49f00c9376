"""The text of the report's tests: Python's own documentation, in 96 characters."""

from __future__ import annotations

import pydoc
import string
from pathlib import Path

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))


def write_corpus(path: Path, subjects: tuple[type, ...] = (str, int, dict, list, float)) -> Path:
    """Write what pydoc says of `subjects`; every character of CHARACTERS occurs at the beginning.
    """
    texts = (pydoc.plain(pydoc.render_doc(s, renderer=pydoc.plaintext)) for s in subjects)
    kept = "".join(c for c in "\n".join(texts) if c in CHARACTERS)
    assert set(string.ascii_lowercase) <= set(kept)
    path.write_text(CHARACTERS + "\n" + kept)
    return path
