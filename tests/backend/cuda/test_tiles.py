"""Products by tiles of a block: any extents and operands, decided by shapes, checked as regions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import bf16, f32, nn
from dlc.backend.contract.plan import Shape
from dlc.backend.cuda.machine import CUDA
from dlc.backend.cuda.tile_plan import DEPTH, cut_of, fitting
from dlc.checks.kernels.program import check_kernels
from dlc.program import Program
from dlc.runtime.cpu.check import ProgramError
from dlc.runtime.cuda.ptx import PtxCompiler


def dense(x: f32[70, 71], w: f32[71, 73], b: f32[73]) -> Any:
    return dlc.tanh(x @ w * 0.1 + b)


def linear(x: f32[70, 71], w: f32[71, 73], b: f32[73]) -> Any:
    return x @ w * 0.1 + b


def whole(x: f32[64, 96], w: f32[96, 64]) -> Any:
    return x @ w


def turned(x: f32[67, 130], y: f32[67, 70]) -> Any:
    return (x.T @ y).T


def batched(x: f32[3, 2, 50, 40], y: f32[3, 1, 45, 40]) -> Any:
    return x @ y.transpose(0, 1, 3, 2)


def doubled(x: f32[80, 65], w: f32[65, 60]) -> Any:
    return nn.relu(x * 2.0 + 1.0) @ w


def images(x: f32[9, 6, 16, 15], w: f32[16, 6, 3, 3], b: f32[16]) -> Any:
    return nn.relu(dlc.conv(x, w, padding=1, stride=2) + b.reshape(16, 1, 1))


def grouped(x: f32[4, 32, 10, 9], w: f32[32, 8, 3, 3]) -> Any:
    return dlc.conv(x, w, groups=4, dilation=2, padding=2)


def filters(x: f32[4, 8, 20, 20], w: f32[12, 8, 5, 5]) -> Any:
    return dlc.grad(lambda w: (dlc.conv(x, w) ** 2).sum())(w)


def widened(x: f32[4, 16, 12, 12], w: f32[16, 16, 3, 3]) -> Any:
    return dlc.conv_transpose(x, w, stride=2)


def halves(x: bf16[66, 80], w: bf16[80, 70]) -> Any:
    return x @ w


def long(x: f32[40, 9000], w: f32[9000, 20], b: f32[20]) -> Any:
    return (x @ w + b) * 0.5


def narrow(x: f32[40000, 3], y: f32[40000, 7]) -> Any:
    return x.T @ y


def row(x: f32[1, 30000], w: f32[30000, 20]) -> Any:
    return x @ w


FUNCTIONS = [dense, whole, turned, batched, doubled, images, grouped, filters, widened, halves,
             long, narrow, row]


def arrays(program: Any) -> list[Any]:
    made = np.random.default_rng(2)
    return [made.standard_normal(tuple(map(int, n.type.shape)), np.float32).astype(
        n.type.dtype.numpy) for n in program.source.graphs["main"].inputs]


def sums(function: Callable[..., Any], given: list[Any]) -> float:
    """The largest sum of magnitudes of products, which rounding errors are a part of."""
    magnitudes = dlc.evaluate({dense: linear}.get(function, function), *map(np.abs, given))
    return float(np.max(np.abs(np.asarray(magnitudes, np.float64))))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_agrees_with_the_evaluator(function: Callable[..., Any]) -> None:
    """32 products one after the other, then the steps: 2^-24 each, of the sum of magnitudes."""
    compiled = dlc.compile(function, target="cuda")
    assert any(k.block == 256 for k in compiled.kernels)
    given = arrays(compiled)
    exact = dlc.evaluate(function, *given)
    with compiled.load("emulate") as program:
        found = program(*given)
    steps = max(n for k in compiled.kernels for n in [0, *map(int, re.findall(
        r"for k0 in range\(.*?(\d+)(?:\)|), 32", k.text))])
    bits = 2.0**-9 if function is halves else (DEPTH + steps / DEPTH + 8) * 2.0**-24
    wrong = np.abs(np.asarray(found, np.float64) - np.asarray(exact, np.float64))
    assert np.max(wrong) <= 2 * bits * sums(function, given)


@pytest.mark.parametrize("function", [dense, batched], ids=lambda f: f.__name__)
def test_interpreted_and_shuffled_give_the_same(function: Callable[..., Any]) -> None:
    compiled = dlc.compile(function, target="cuda")
    found = {}
    for device in ("emulate", "interpret", "shuffle"):
        with compiled.load(device) as program:
            found[device] = program(*arrays(compiled))
    np.testing.assert_array_equal(found["emulate"], found["shuffle"])
    np.testing.assert_allclose(found["interpret"], found["emulate"], rtol=2e-6, atol=2e-6)


def test_cuts_follow_from_shapes() -> None:
    limits = CUDA.limits
    large = cut_of(Shape((), (4096,), (4096,), (512,)), limits)
    assert (large.rows, large.cols, large.parts) == (128, 64, 1)
    narrow = cut_of(Shape((), (6,), (64, 28, 28), (25,)), limits)
    assert (narrow.rows, narrow.cols, narrow.parts) == (32, 64, 1)
    few = cut_of(Shape((), (40,), (20,), (9000,)), limits)
    assert (few.rows, few.cols) == (32, 32) and few.parts > 8 and few.part % DEPTH == 0
    assert few.part * (few.parts - 1) < 9000 <= few.part * few.parts
    assert list(fitting(Shape((), (10,), (10,), (10,)))) == [(32, 32)]


@pytest.mark.parametrize("architecture", ["sm_80", "sm_100"])
def test_ptx_of_a_large_tile(architecture: str) -> None:
    """Sums lie in registers, elements of shared memory come four at a time, all threads meet."""
    def large(x: f32[2048, 64], w: f32[64, 2048]) -> Any:
        return x @ w

    compiled = dlc.compile(large, target="cuda")
    (kernel,) = compiled.kernels
    text = PtxCompiler(compiled.program, architecture).ptx(kernel)
    assert "local" not in text.replace("isspacep.local", "")
    assert text.count("fma.rn.f32") % 32 == 0 and text.count("fma.rn.f32") > 0
    assert text.count("ld.shared.v4") >= 3 * text.count("fma.rn.f32") // 32
    assert text.count("bar.sync") == kernel.text.count("threads(")


# ---- planted faults ------------------------------------------------------------------------------

FAULTS = {
    "a barrier is missing": (
        r"\n        for t3 in threads\(256\):\n((            .*\n)*)",
        lambda m: "\n" + m[1].replace("t3", "t2"), "threads .* meet at tile"),
    "threads run the steps differently often": (
        r"for k0 in range\(0, 71, 32\)", "for k0 in range(0, 71 - t, 32)", "differently often"),
    "a region in a region": (
        r"for k0 in range\(0, 71, 32\)", "for k0 in threads(2)", "at which not all threads meet"),
    "a thread takes another's sums": (
        r"acc\[(t\d) \* 4 \+ 1\]", "acc[4]", "no element of the thread's own part"),
    "sums at a place that is computed": (
        r"acc\[(t\d) \* 4 \+ 1\]", r"acc[\1 * 4 + imod(\1, 4)]", "no element of the thread's"),
    "a column too many": (
        r"n0 \+ 32, 73\)", "n0 + 32, 74)", "of 5110|meet at out"),
    "an operand past its end": (
        r"min\((.*?), 70\)", r"(\1)", "loads"),
    "a name is kept over the barrier": (
        r"\n                b\d = (tile.*)", r"\n                b2 = k2",
        "from an earlier region"),
    "a value that a region of the last round stored": (
        r"(\n        for t3 in threads)", "\n        kept = tile[0]\\1",
        "before another has read"),
    "two threads fill one element": (
        r"tile\[imod\((t\d), 32\) \* 36 \+ u \* 8", r"tile[imod(\1, 32) * 36 + u * 4", "meet at"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    program: Program = dlc.compile(dense, target="cuda").program
    (kernel,) = program.kernels
    check_kernels(program)
    pattern, replacement, message = FAULTS[fault]
    text, count = re.subn(pattern, replacement, kernel.text, count=1)
    assert count == 1, kernel.text
    with pytest.raises(ProgramError, match=message):
        check_kernels(replace(program, kernels=(replace(kernel, text=text),)))
