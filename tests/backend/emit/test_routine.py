"""Routines as kernels: operands brought flat, results rounded, results that nobody reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f16, f32
from dlc.compiler import Compiled
from dlc.ir.graph import Node, make
from dlc.ops.linalg_factor import CHOLESKY
from dlc.ops.linalg_qr import qr_of_tall

RNG = np.random.default_rng(5)
A = RNG.uniform(-1, 1, (2, 4, 4)).astype(np.float32) + 2 * np.eye(4, dtype=np.float32)


def stages(compiled: Compiled) -> list[list[int]]:
    """The number of segments in each stage of each launch."""
    (entry,) = compiled.program.entries.values()
    return [[len(stage) for stage in launch.stages] for launch in entry.launches]


def run(compiled: Compiled, device: str, *arrays: Any) -> Any:
    with compiled.load(device) as program:
        return program(*arrays)


@pytest.mark.parametrize("device", ["cpu", "interpret"])
def test_a_view_of_an_operand_is_copied_in_the_same_launch(device: str) -> None:
    def f(a: f32[2, 4, 4]) -> Node:
        return qr_of_tall(a.transpose((0, 2, 1)))[1]

    compiled = dlc.compile(f)
    assert stages(compiled) == [[1, 1]]
    found = np.linalg.qr(np.swapaxes(A, 1, 2))[1]
    np.testing.assert_allclose(run(compiled, device, A), found, rtol=1e-5, atol=1e-6)


def test_halves_are_widened_before_and_rounded_after() -> None:
    def f(a: f16[2, 4, 4]) -> Any:
        return qr_of_tall(a)

    compiled = dlc.compile(f)
    assert stages(compiled) == [[1, 1, 2]]
    half = A.astype(np.float16)
    q, r = run(compiled, "cpu", half).values()
    want_q, want_r = np.linalg.qr(half.astype(np.float64))
    assert q.dtype == r.dtype == np.float16
    np.testing.assert_array_equal(q, want_q.astype(np.float16))
    np.testing.assert_array_equal(r, want_r.astype(np.float16))


def test_a_result_that_nobody_reads_has_a_workspace() -> None:
    def f(a: f32[2, 4, 4]) -> Node:
        return qr_of_tall(a)[0] + 1.0

    compiled = dlc.compile(f)
    spaces = [b for b in compiled.program.buffers if b.category == "workspace"]
    assert "qr_1" in {b.name for b in spaces}
    np.testing.assert_allclose(run(compiled, "cpu", A), np.linalg.qr(A)[0] + 1, atol=1e-6)


def test_equal_routines_are_launches_of_one_kernel() -> None:
    def f(a: f32[4, 4], b: f32[4, 4]) -> Any:
        return make(CHOLESKY, (a,)), make(CHOLESKY, (b,))

    compiled = dlc.compile(f)
    assert stages(compiled) == [[1], [1]] and len(compiled.kernels) == 1
    x = A @ np.swapaxes(A, 1, 2)
    for found, given in zip(run(compiled, "cpu", *x).values(), x, strict=True):
        np.testing.assert_allclose(found, np.linalg.cholesky(given), rtol=1e-5, atol=1e-6)


def test_the_reader_of_one_result_may_run_before_another_result_is_read() -> None:
    """Results belong to the routine's launch wherever they stand in the graph."""
    def f(a: f32[2, 4, 4]) -> Node:
        q, r = qr_of_tall(a)
        return dlc.exp(q) @ dlc.tanh(r)

    q, r = np.linalg.qr(A)
    np.testing.assert_allclose(run(dlc.compile(f), "cpu", A), np.exp(q) @ np.tanh(r), rtol=2e-5,
                               atol=1e-6)


def chunks_of(compiled: Compiled) -> list[int]:
    (entry,) = compiled.program.entries.values()
    return [s.chunks for launch in entry.flat for stage in launch.stages for s in stage]


def test_small_matrices_share_chunks_and_large_ones_have_their_own() -> None:
    """Of 300 matrices 3 x 3 a chunk is not worth a counter; each of 100 x 100 is."""
    for shape, fewest, most in (((300, 3, 3), 2, 30), ((6, 100, 100), 6, 6)):
        compiled = dlc.compile(dlc.trace(lambda a: make(CHOLESKY, (a,)), f32[shape]), verify=True)
        (count,) = chunks_of(compiled)
        assert fewest <= count <= most, (shape, count)
        x = RNG.uniform(-1, 1, shape).astype(np.float32)
        given = x @ np.swapaxes(x, 1, 2) + shape[-1] * np.eye(shape[-1], dtype=np.float32)
        run(compiled, "cpu", given)  # each launch, against the meaning


def test_values_that_are_searched_share_chunks() -> None:
    compiled = dlc.compile(dlc.trace(dlc.searchsorted, f32[100], f32[9000]))
    (count,) = chunks_of(compiled)
    assert 4 <= count <= 64
    edges, x = np.sort(RNG.uniform(0, 1, 100)), RNG.uniform(0, 1, 9000)
    edges, x = edges.astype(np.float32), x.astype(np.float32)
    np.testing.assert_array_equal(run(compiled, "cpu", edges, x), np.searchsorted(edges, x))
