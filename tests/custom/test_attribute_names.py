"""Custom operators whose attributes are called as dlc's own arguments are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.errors import DlcError
from dlc.lang.custom import TAKEN

X = np.ones(3, np.float32)
OWN = ("k", "op", "args", "self", "g", "y", "node", "types", "value")


def scaled_by(word: str, folder: Path) -> Any:
    """x times the attribute `word`: an operator whose source is a file of its own."""
    space: dict[str, Any] = {}
    path = folder / f"{word}.py"
    path.write_text(f"def scaled(x, *, {word}):\n    return x * {word}\n")
    exec(compile(path.read_text(), str(path), "exec"), space)
    inner = space["scaled"]
    return dlc.custom_op(inner, name=f"scaled_by_{word}", elementwise=True, meaning=inner,
                         gradient="none", samples=[((X,), {word: 2.0})])


def test_attributes_are_called_as_the_user_likes(tmp_path: Path) -> None:
    made = {word: scaled_by(word, tmp_path) for word in OWN}

    def all_of_them(x: f32[3]) -> Any:
        return tuple(op(x, **{word: i + 2.0}) for i, (word, op) in enumerate(made.items()))

    with dlc.compile(all_of_them).load() as run:
        found = list(run(X).values())
    np.testing.assert_array_equal(found, [[i + 2] * 3 for i in range(len(OWN))])


@pytest.mark.parametrize("word", TAKEN)
def test_words_that_have_a_meaning_are_refused(word: str, tmp_path: Path) -> None:
    with pytest.raises(DlcError, match=f"an attribute can't be called '{word}'"):
        scaled_by(word, tmp_path)
