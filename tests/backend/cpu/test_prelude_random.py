"""Counter-based random bits: known answers, kernel against NumPy, and statistics at fixed seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dlc.ops.random_reference import random_bits, threefry2x32
from dlc.program import Kernel, Parameter
from dlc.runtime.compile.isa import machine_isa
from tests.backend.cpu.prelude_native import Native, assembly, compiled, toolchain

ONES = 0xFFFFFFFF
# key, counter, block: the vectors published with Random123 for Threefry2x32 with 20 rounds
KNOWN = [((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
         ((ONES, ONES), (ONES, ONES), (0x1CB996FC, 0xBB002BE7)),
         ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0))]
COUNT = 1 << 20


@pytest.mark.parametrize(("key", "counter", "block"), KNOWN)
def test_known_answers(key: tuple[int, int], counter: tuple[int, int],
                       block: tuple[int, int]) -> None:
    assert tuple(int(word) for word in threefry2x32(key, counter)) == block
    native = compiled("threefry2x32")(*(np.array([word], np.uint32) for word in (*key, *counter)))
    assert tuple(int(word[0]) for word in native) == block


@pytest.mark.parametrize("seed", [0, 1, ONES])
@pytest.mark.parametrize("step", [0, 7, 2**31 - 1, -1])
@pytest.mark.parametrize("site", [0, 0x9E3779B9, ONES])
def test_kernel_and_reference_agree_on_every_bit(seed: int, step: int, site: int) -> None:
    index = np.concatenate([np.arange(1000), 2**31 + np.arange(-8, 8), 2**32 + np.arange(-8, 8),
                            2**40 + np.arange(8), [2**63 - 1]]).astype(np.int64)
    n = len(index)
    got, = compiled("random_bits")(np.full(n, seed, np.uint32), np.full(n, step, np.int32),
                                   np.full(n, site, np.uint32), index)
    np.testing.assert_array_equal(got, random_bits(seed, step, site, index))


FILL = Kernel("fill", (Parameter("y", "u32", "pointer"), Parameter("n", "i64", "scalar")), """
def fill(y, n, chunk):
    for i in range(n):
        y[i] = random_bits(u32(5), i32(9), u32(77), i)
""")


def test_filling_an_array_vectorizes() -> None:
    """In a loop over the index all rounds work on full vectors (the last needs no exclusive or)."""
    got = np.empty(1001, np.uint32)
    Native(FILL)(got, len(got))
    np.testing.assert_array_equal(got, random_bits(5, 9, 77, np.arange(len(got))))
    registers = {"avx512": "zmm", "avx2": "ymm", "neon": ".4s", "scalar": "xmm"}[machine_isa()]
    vectors = [x for x in assembly(toolchain(), FILL).splitlines() if registers in x]
    assert sum("xor" in x or "eor" in x for x in vectors) >= 19


def uniform(seed: int, step: int = 0, site: int = 0, count: int = COUNT) -> np.ndarray:
    """The documented conversion to [0, 1), in f64 for exact sums."""
    return (random_bits(seed, step, site, np.arange(count)) >> 8) * 2.0**-24


def test_uniform_moments_and_cells() -> None:
    """Mean, variance and 256 cells within 4.5 standard deviations at three fixed seeds."""
    for seed in (0, 1, 12345):
        u = uniform(seed)
        assert u.min() >= 0.0
        assert u.max() < 1.0
        assert abs(u.mean() - 0.5) < 4.5 * math.sqrt(1 / 12 / COUNT)
        assert abs(u.var() - 1 / 12) < 4.5 * math.sqrt(1 / 180 / COUNT)
        cells = np.bincount((u * 256).astype(int), minlength=256)
        chi = float(((cells - COUNT / 256) ** 2).sum() / (COUNT / 256))
        assert abs(chi - 255) < 4.5 * math.sqrt(2 * 255)


def test_each_bit_is_fair() -> None:
    bits = random_bits(3, 1, 4, np.arange(COUNT))
    for place in range(32):
        ones = int(((bits >> np.uint32(place)) & np.uint32(1)).sum())
        assert abs(ones - COUNT / 2) < 4.5 * math.sqrt(COUNT) / 2, place


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_streams_of_neighbours_are_uncorrelated(other: tuple[int, int, int]) -> None:
    """Another seed, step or site gives numbers that do not correlate, shifted or not."""
    a, b = uniform(0) - 0.5, uniform(*other) - 0.5
    for shift in (0, 1, 2):
        correlation = float((a[: COUNT - shift] * b[shift:]).mean()) * 12
        assert abs(correlation) < 4.5 / math.sqrt(COUNT)


def test_blocks_of_a_step_do_not_repeat() -> None:
    """A block is a bijection of its counter: within one key no block occurs twice."""
    index = np.arange(COUNT, dtype=np.uint64)
    a, b = threefry2x32((5, 6), (index.astype(np.uint32), 9))
    assert len(np.unique(a.astype(np.uint64) << np.uint64(32) | b)) == COUNT


@pytest.mark.parametrize("field", ["seed", "step", "site", "index"])
def test_one_input_bit_flips_half_of_the_output(field: str) -> None:
    fields = {"seed": 77, "step": 5, "site": 1234, "index": 42}
    flipped = []
    for place in range(31):
        changed = {**fields, field: fields[field] ^ (1 << place)}
        pair = [random_bits(f["seed"], f["step"], f["site"], np.array([f["index"]]))[0]
                for f in (fields, changed)]
        flipped.append(int(pair[0] ^ pair[1]).bit_count())
    assert abs(sum(flipped) - 31 * 16) < 4.5 * math.sqrt(31 * 8)
    assert min(flipped) >= 4


def test_normal_has_moments_tails_and_symmetry() -> None:
    """sqrt(2) erfinv(k 2**-23 + (2**-24 - 1)): moments, shares beyond 1 to 4 sigma, both signs."""
    for seed in (0, 9):
        bits = random_bits(seed, 0, 0, np.arange(COUNT)) >> np.uint32(8)
        u = bits.astype(np.float32) * np.float32(2.0**-23) + np.float32(2.0**-24 - 1)
        np.testing.assert_array_equal(u, (bits + 0.5) * 2.0**-23 - 1)  # nothing rounds
        z = compiled("erfinv_f32")(u)[0].astype(np.float64) * math.sqrt(2)
        assert np.isfinite(z).all()
        assert abs(z.mean()) < 4.5 / math.sqrt(COUNT)
        assert abs(z.var() - 1) < 4.5 * math.sqrt(2 / COUNT)
        assert abs((z**3).mean()) < 4.5 * math.sqrt(15 / COUNT)
        assert abs((z**4).mean() - 3) < 4.5 * math.sqrt(96 / COUNT)
        for sigma in (1.0, 2.0, 3.0, 4.0):
            share = math.erfc(sigma / math.sqrt(2))
            beyond = int((abs(z) > sigma).sum())
            assert abs(beyond - share * COUNT) < 4.5 * math.sqrt(share * COUNT)
