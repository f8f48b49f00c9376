"""Each pass and each thing that the lowering does has a generator that makes it fire, and is right.

Without the counters a fuzzer may pass for years over what it no longer reaches. Here are a few
draws for one instruction set each; tests/conformance/test_targets_fire.py has ten for every one.
"""

from __future__ import annotations

import pytest

from tests.fuzzing.targets import TARGETS, Target
from tests.fuzzing.targets_loops import little
from tests.fuzzing.targets_run import KNOWN, shoot

ISAS = ("avx512", "avx2", "scalar", "neon")


def test_every_target_has_a_generator() -> None:
    """Every pass of PIPELINE, every scheme, packing, box, tail, loop and place that is counted."""
    assert sorted(TARGETS) == sorted(KNOWN)


@pytest.mark.swept(4, keep=("taps",))
@pytest.mark.parametrize("name", KNOWN)
def test_it_fires(name: str) -> None:
    """Three draws fire, the first is right; each target for one instruction set, interpreted."""
    isa = ISAS[KNOWN.index(name) % len(ISAS)]
    found = shoot(name, isa, range(3), 1, interpret=True)
    assert found.hits == found.drawn and not found.wrong, (isa, found)


def test_a_generator_that_no_longer_fires_is_told() -> None:
    """Programs of a few elements are not a product: the counter of a scheme stays at 0."""
    found = shoot("gemm", "avx2", range(4), 0, Target(little))
    assert (found.drawn, found.hits, found.enough) == (4, 0, False)
