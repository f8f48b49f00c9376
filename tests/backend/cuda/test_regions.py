"""Blocks of threads: regions divide loops, every element by one thread, and all threads meet."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32, nn
from dlc.backend.cuda.blocks import THREADS
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import function_text
from dlc.checks.kernels.program import check_kernels
from dlc.program import Kernel, Program
from dlc.runtime.cpu.check import ProgramError
from dlc.runtime.cuda.ptx import PtxCompiler, shape_of


def rows(x: f32[6, 1000], w: f32[1000]) -> Any:
    y = nn.softmax(x)
    return {"y": y, "total": (x * w).sum(), "most": x.max(axis=1)}


def test_softmax_is_a_block_for_each_row() -> None:
    compiled = dlc.compile(rows, target="cuda")
    blocks = {k.name: k.block for k in compiled.kernels}
    assert blocks["fused_max_exp_sum"] == THREADS
    text = next(k.text for k in compiled.kernels if k.name == "fused_max_exp_sum")
    assert "for t in threads(128):" in text and "= shared_f32(128)" in text
    x, w = (np.random.default_rng(3).standard_normal(s, np.float32) for s in ((6, 1000), 1000))
    expected = dlc.evaluate(rows, x, w)
    for device in ("emulate", "interpret", "shuffle"):
        with compiled.load(device) as program:
            for name, value in program(x, w).items():
                np.testing.assert_allclose(value, expected[name], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("extent", [127, 128, 129, 255, 1000, 4095, 4097, 20000])
def test_sums_of_any_length(extent: int) -> None:
    """Runs of 32 for each of 128 threads, whole or not."""
    def sums(x: f32[3, "n"], k: i32[3, "n"]) -> Any:
        return {"sum": x.sum(axis=1), "whole": k.sum(axis=1), "most": k.max(axis=1)}

    made = np.random.default_rng(extent)
    x = made.standard_normal((3, extent), np.float32)
    k = made.integers(-1000, 1000, (3, extent), np.int32)
    compiled = dlc.compile(sums, target="cuda", n=extent)
    with compiled.load("emulate") as program:
        found = program(x, k)
    exact = x.astype(np.float64).sum(axis=1)
    # 32 f32 additions a run, in f64 from there on, rounded once
    bound = 33 * 2.0**-24 * np.abs(x.astype(np.float64)).sum(axis=1)
    assert np.all(np.abs(found["sum"] - exact) <= bound)
    np.testing.assert_array_equal(found["whole"], k.sum(axis=1))
    np.testing.assert_array_equal(found["most"], k.max(axis=1))
    assert any(k.block for k in compiled.kernels) == (extent >= THREADS)


def test_columns_stay_threads() -> None:
    """Threads of neighbouring columns read neighbouring elements; a block for each would not."""
    compiled = dlc.compile(columns, target="cuda")
    assert not any(k.block for k in compiled.kernels)


def columns(x: f32[1000, 64]) -> Any:
    return x.sum(axis=0)


def test_argmax_keeps_its_order() -> None:
    """What is combined by no operation that commutes is folded by one thread."""
    compiled = dlc.compile(first_most, target="cuda")
    assert not any(k.block for k in compiled.kernels)


def first_most(x: f32[4, 1000]) -> Any:
    return x.argmax(axis=1)


def test_ptx_of_a_block() -> None:
    compiled = dlc.compile(rows, target="cuda")
    kernel = next(k for k in compiled.kernels if k.name == "fused_max_exp_sum")
    text = PtxCompiler(compiled.program).ptx(kernel)
    regions = kernel.text.count("threads(")
    assert text.count("bar.sync") == regions  # each region ends with a barrier, and keeps it
    assert ".shared .align" in text and "ld.shared" in text and "ld.local" not in text
    assert (shape_of(kernel, 6).blocks, shape_of(kernel, 6).threads) == (6, THREADS)


# ---- planted faults ------------------------------------------------------------------------------

FAULTS = {
    "a barrier is missing": (
        r"\n    for t in threads\(32\):\n        (.*)\n        (.*)\n        (.*)\n",
        "\n        for u in range(t, min(t + 1, 32)):\n"
        "            \\1\n            \\2\n            \\3\n",
        "threads 32 and 0 meet at max2_parts"),
    "every thread stores": (
        r"    for t in threads\(1\):\n        out\[chunk\]", "    out[chunk]",
        "every thread stores"),
    "a region in a branch": (
        r"    for t in threads\(1\):\n        out\[chunk\] = (.*)\n",
        "    if chunk < 1:\n        for t in threads(1):\n"
        "            out[chunk] = \\1\n", "in a loop or a branch"),
    "a name outlives its region": (
        r"    (\w+) = \1_parts\[0\]\n", "", "kept from an earlier region"),
    "all threads store one element": (
        r"_parts\[t\] = rmax", "_parts[0] = rmax", "threads 0 and 1 meet"),
    "a thread reads what its neighbour writes": (
        r"\[t \+ 64\]", "[t + 63]", "threads 63 and 0 meet at max2_parts"),
    "a thread reads past the buffer": (
        r"threads\(64\):", "threads(128):", r"loads max2_parts\[64 .. 191\] of 128"),
    "a part is never stored": (
        r"(\w+)_parts\[t\] = \1\n", "\\1_parts[0] = \\1\n", "which nothing has stored before"),
    "a buffer is used again too early": (
        r"(    (\w+) = (\w+)_parts\[0\]\n)", "\\1    for t in threads(128):\n"
        "        \\3_parts[t] = \\2\n", "before another has read it"),
    "a buffer of one thread": (
        r"= shared_f32\(128\)", "= local_f32(128)", "is not shared"),
}


def most(x: f32[6, 1000]) -> Any:
    return {"most": x.max(axis=1)}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    program: Program = dlc.compile(most, target="cuda").program
    (kernel,) = program.kernels
    pattern, replacement, message = FAULTS[fault]
    text, count = re.subn(pattern, replacement, kernel.text, count=1)
    assert count == 1, kernel.text
    check_kernels(program)
    with pytest.raises(ProgramError, match=message):
        check_kernels(with_kernel(program, replace(kernel, text=text)))


def with_kernel(program: Program, kernel: Kernel) -> Program:
    return replace(program, kernels=(kernel,))


def test_regions_print_as_they_are_read() -> None:
    for kernel in dlc.compile(rows, target="cuda").kernels:
        assert function_text(parse(kernel.text, kernel.params)) == kernel.text
