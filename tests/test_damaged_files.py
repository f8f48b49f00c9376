"""Damaged files of every format are refused by one DlcError, or read; see tests/damaged/."""

from __future__ import annotations

import random
from pathlib import Path

from tests.damaged.mutate import damaged
from tests.damaged.run import read_damaged
from tests.damaged.sound import formats

SEED, TRIES = 20261129, 500


def test_damaged_files() -> None:
    """Within 5 seconds of processor time and 500 MB each; about 2 seconds for all."""
    counts = read_damaged(SEED, 0, TRIES)
    assert sum(counts.values()) == TRIES
    assert min(counts["refused"], counts["taken"]) > TRIES // 8


def test_damage_is_a_function_of_the_seed(tmp_path: Path) -> None:
    for form in formats(tmp_path):
        one, other, again = (damaged(form, random.Random(s)) for s in ("a", "b", "a"))
        assert one == again and (one != form.content or other != form.content)
