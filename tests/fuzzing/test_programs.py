"""The fuzzer in the tests: a few programs of fixed seeds, native and interpreted, small limits."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pytest

from tests.fuzzing.programs import SIZES, Report, fuzz, operators, share
from tests.fuzzing.run import Setting, draw

NATIVE = Setting("cpu", sizes=SIZES[True, "cpu"])
INTERPRETED = Setting("interpret", sizes=SIZES[True, "interpret"])


@pytest.mark.slow
def test_native_programs() -> None:
    assert share(range(8), NATIVE).wrong == {}


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["neon", "avx2"])
def test_interpreted_programs(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CPU", isa)
    assert share(range(20, 26), INTERPRETED).wrong == {}


def test_a_seed_gives_one_program() -> None:
    first, second = (draw(7, NATIVE) for _ in range(2))
    assert str(first.graph) == str(second.graph)
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name])


def test_programs_hold_a_dozen_operators() -> None:
    """At least 12 in the median program, and many different ones in few programs."""
    names: Sequence[list[str]] = [list(operators(draw(s, INTERPRETED).graph)) for s in range(30)]
    assert sorted(map(len, names))[15] >= 12
    assert len(set().union(*names)) >= 60


def dies(seeds: Sequence[int], setting: Setting) -> Report:
    """A share that ends its process at one seed, as an overrun of a stack buffer does."""
    if 3 in seeds:
        os.abort()
    return Report(programs=len(seeds))


@pytest.mark.slow
def test_a_program_that_ends_its_process_is_named() -> None:
    report = fuzz((2, 3), INTERPRETED, work=dies)
    assert report.wrong == {3: ["the process died"]}
    assert report.programs == 2
