"""Ten draws of every target (tests/fuzzing/targets.py) on every instruction set: fired, and right.

Natively where this machine can, interpreted where not; no peer is needed, but time is.
"""

from __future__ import annotations

import pytest

from tests.conformance import cut
from tests.fuzzing.targets_run import KNOWN, shoot

pytestmark = pytest.mark.conformance
ISAS = ("avx512", "avx2", "scalar", "neon")
PAIRS = [f"{name} on {isa}" for name in sorted(KNOWN) for isa in ISAS]
DRAWS = 10


# each is a case of its own: a shard of a full run takes its share of them
@pytest.mark.parametrize("pair", PAIRS if cut.FULL else cut.chosen("targets", PAIRS))
def test_it_fires_and_is_right(pair: str) -> None:
    """Nine of ten fire at least, and all results are within what rounding explains."""
    name, _, isa = pair.rpartition(" on ")
    found = shoot(name, isa, range(DRAWS))
    print(f"{pair}: {found.hits} of {found.drawn} fired, {found.elements:,} elements compared")
    assert found.enough, f"{pair}: {found.hits} of {found.drawn} fired"
    assert not found.wrong, "\n".join(found.wrong)
    assert found.free <= found.elements / 10
