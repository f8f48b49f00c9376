"""Each pass and each thing that the lowering does has a generator that makes it fire, and is right.

Without the counters a fuzzer may pass for years over what it no longer reaches. A few draws in
`make test`, each target on one instruction set; ten draws of every pair in `make conformance-full`,
some pairs a day in `make conformance`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance import cut
from tests.fuzzing.targets import TARGETS, Target
from tests.fuzzing.targets_loops import little
from tests.fuzzing.targets_run import KNOWN, shoot

ISAS = ("avx512", "avx2", "scalar", "neon")
PAIRS = [f"{name} on {isa}" for name in sorted(KNOWN) for isa in ISAS]
DRAWS = 10


def test_every_target_has_a_generator() -> None:
    """Every pass of PIPELINE, every scheme, packing, box, tail, loop and place that is counted."""
    assert sorted(TARGETS) == sorted(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_it_fires(name: str) -> None:
    """Three draws fire, the first is right; each target for one instruction set, interpreted."""
    isa = ISAS[KNOWN.index(name) % len(ISAS)]
    found = shoot(name, isa, range(3), 1, interpret=True)
    assert found.hits == found.drawn and not found.wrong, (isa, found)


def test_a_generator_that_no_longer_fires_is_told() -> None:
    """Programs of a few elements are no product: the counter of a scheme stays at 0."""
    found = shoot("gemm", "avx2", range(4), 0, Target(little))
    assert (found.drawn, found.hits, found.enough) == (4, 0, False)


@pytest.mark.conformance
@pytest.mark.parametrize("pair", PAIRS if cut.FULL else cut.chosen("targets", PAIRS))
def test_it_fires_and_is_right(pair: str, record_property: Callable[[str, object], None]) -> None:
    """Ten draws: nine fire at least, and all results are within what rounding explains."""
    name, _, isa = pair.rpartition(" on ")
    count = cut.Tally("targets of passes and lowering", record_property)
    found = shoot(name, isa, range(DRAWS))
    assert found.enough, f"{pair}: {found.hits} of {found.drawn} fired"
    assert not found.wrong, "\n".join(found.wrong)
    assert found.free <= found.elements / 10
    count.add()
