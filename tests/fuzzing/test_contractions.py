"""Random contractions of every scheme: a small cut always, a fresh and larger one in `make fuzz`.

With the bounds of windows forgotten, long sums packed as if they began at 0, or digits taken from
one axis that two make up, the small cut is red (window_beyond_its_operand,
long_sums_from_their_start and digit_of_two_axes in tests/faults).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from tests.fuzzing import fired
from tests.fuzzing.contractions import Outcome, Setting, limits_of, run, run_block
from tests.fuzzing.draw_contractions import configuration
from tests.instruction_sets import NATIVE

SEED = int(os.environ["FUZZ_SEED"])  # drawn for the run, or that of one to be repeated


def small_cut(seed: int, numbers: Sequence[int], isa: str) -> Outcome:
    """Some configurations of one Program, in this process."""
    found = run_block(Setting(seed, isa), 0, numbers)
    print(f"seed {seed}, {isa}", *found.wrong, sep="\n")
    return found


@pytest.mark.slow
def test_interpreted() -> None:
    """Every scheme once, and what the faults in tests/faults are seen by (4 s)."""
    found = small_cut(7, range(27), "neon")
    assert found.wrong == [] and fired.lacking(found.fired, fired.SCHEMES, 1) == []


@pytest.mark.slow
def test_native() -> None:
    """5 s, most of it compiling."""
    assert small_cut(2, range(14), NATIVE[-1]).wrong == []


@pytest.mark.fuzz
@pytest.mark.parametrize("isa", dict.fromkeys((*NATIVE, "neon")))
def test_fresh(isa: str) -> None:
    count = 200 if isa == "neon" else 80
    found = run(Setting(SEED, isa), range(count))
    print(f"seed {SEED}, {isa}", *found.wrong, fired.table(found.fired), sep="\n")
    assert found.wrong == [] and found.free < found.elements / 100
    assert fired.lacking(found.fired, fired.SCHEMES, 1) == []


def test_configurations_repeat() -> None:
    """The same number gives the same program and limits, another one others."""
    texts = [str(configuration(3, n, 4000)) for n in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]
    assert limits_of(3, 1) == limits_of(3, 1) != limits_of(3, 2)
