"""The fuzzer in the tests: a few programs of fixed seeds always, fresh ones in `make fuzz`."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pytest

from dlc import runtime
from dlc.backend.assemble import assembled
from dlc.compiler import instruction_set
from dlc.passes import run_pipeline
from dlc.passes.check import structure
from dlc.passes.differentiate import differentiate
from dlc.passes.fuse.fuse import fuse
from dlc.runtime.compile.isa import machine_isa
from tests.conformance.cut import chosen, swept
from tests.fuzzing.programs import SIZES, STEPS, Report, fuzz, operators, share
from tests.fuzzing.run import Setting, draw, wrong

SEED = int(os.environ["FUZZ_SEED"])  # drawn for the run, or that of one to be repeated
NATIVE = {"avx512": ("avx512", "avx2", "scalar"), "avx2": ("avx2", "scalar"), "neon": ("neon",),
          "scalar": ("scalar",)}[machine_isa()]
COMPILED = Setting("cpu", steps=STEPS["cpu"], sizes=SIZES[True, "cpu"])
INTERPRETED = Setting("interpret", steps=STEPS["interpret"], sizes=SIZES[True, "interpret"])


@pytest.mark.slow
@pytest.mark.parametrize("block", swept("native programs", 1, 21))
def test_native_programs(block: int) -> None:
    assert share(range(3 * block, 3 * block + 3), COMPILED).wrong == {}


@pytest.mark.slow
@pytest.mark.parametrize("block", swept("native programs at the limits", 1, 21))
def test_native_programs_at_the_limits_of_the_compiler(block: int) -> None:
    setting = Setting("cpu", small=False, steps=STEPS["cpu"], sizes=SIZES[False, "cpu"])
    assert share(range(3000 + 3 * block, 3003 + 3 * block), setting).wrong == {}


@pytest.mark.swept(2)
@pytest.mark.slow
@pytest.mark.parametrize("block", swept("interpreted programs", 1, 22))
@pytest.mark.parametrize("isa", ["neon", "avx2"])
def test_interpreted_programs(isa: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CPU", isa)
    assert share(range(20 + 3 * block, 23 + 3 * block), INTERPRETED).wrong == {}


# Programs among the first 200 that show the faults of tests/faults that are named after them.
TELLING = {"window": ("avx2", 129), "later_loop": ("avx2", 1), "long_sums": ("avx2", 9)}


@pytest.mark.slow
@pytest.mark.parametrize("fault", TELLING)
def test_programs_that_tell_of_a_fault(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right today; wrong when windows never end, a result goes over what is still read, or parts
    of long sums are packed from 0."""
    isa, seed = TELLING[fault]
    monkeypatch.setenv("DLC_CPU", isa)
    assert share([seed], INTERPRETED).wrong == {}


@pytest.mark.slow
@pytest.mark.parametrize("block", swept("unoptimized programs", 1, 21))
def test_unoptimized_programs(block: int) -> None:
    """Only differentiated and fused: what the passes between would have made of it, they mean."""
    for drawn in (draw(2000 + 5 * block + i, INTERPRETED) for i in range(5)):
        graph = run_pipeline(drawn.graph, structure, (differentiate, fuse))[-1].graph
        plain = assembled("plain", {graph.name: graph}, "cpu", instruction_set())[0]
        assert wrong(drawn, [runtime.load(plain, "interpret")]) == [], drawn.seed


@pytest.mark.fuzz
@pytest.mark.parametrize("isa", NATIVE)
def test_fresh_native_programs(isa: str) -> None:
    count = -(-100 // len(NATIVE))
    report = fuzz(range(SEED, SEED + count), Setting("cpu", isa, steps=STEPS["cpu"],
                                                     sizes=SIZES[True, "cpu"]))
    print(f"seed {SEED}, {isa}, native: FUZZ_SEED={SEED} repeats it")
    assert report.wrong == {} and report.programs == count


@pytest.mark.fuzz
@pytest.mark.parametrize("isa", ["avx512", "neon"])
def test_fresh_interpreted_programs(isa: str) -> None:
    setting = Setting("interpret", isa, sizes=SIZES[True, "interpret"])
    report = fuzz(range(SEED, SEED + 250), setting)
    print(f"seed {SEED}, {isa}, interpreted: FUZZ_SEED={SEED} repeats it")
    assert report.wrong == {} and report.programs == 250
    assert len(report.operators) >= 80 and np.median(report.sizes) >= 12


MANY = [int(seed) for seed in chosen("programs", list(map(str, range(5000, 5200))))]


@pytest.mark.conformance
@pytest.mark.parametrize("seeds", [MANY[i:i + 20] for i in range(0, len(MANY), 20)],
                         ids=lambda seeds: f"{seeds[0]}-and-{len(seeds) - 1}")
def test_many_native_programs(seeds: list[int]) -> None:
    """Of 200 fixed ones those of the day."""
    setting = Setting("cpu", small=False, sizes=SIZES[False, "cpu"])
    assert share(seeds, setting).wrong == {}


def test_a_seed_gives_one_program() -> None:
    first, second = (draw(7, COMPILED) for _ in range(2))
    assert str(first.graph) == str(second.graph)
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name])


def test_programs_hold_a_dozen_operators() -> None:
    """At least 12 in the median program, and many different ones in few programs."""
    names: Sequence[list[str]] = [list(operators(draw(s, COMPILED).graph)) for s in range(30)]
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
