"""Neighbouring threads access neighbouring elements: transposes by tiles, four elements at a time,
sums of several axes by a block. Each element is computed as before."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import bf16, f32
from dlc.backend.cuda.blocks import THREADS, Writer
from dlc.backend.ir import For, Let, Load, Number, Ref, Store
from dlc.backend.ir.index import Var, sum_of
from dlc.backend.ir.names import Names
from dlc.checks.kernels.program import check_kernels
from dlc.program import Segment, Slot
from dlc.runtime.cpu.check import ProgramError
from dlc.runtime.cuda.ptx import PtxCompiler


def turned(x: f32[257, 300]) -> Any:
    return dlc.exp(x.T)


def heads(x: f32[4, 128, 8, 64], y: f32[4, 8, 64, 128]) -> Any:
    return x.transpose(0, 2, 3, 1) * 2.0 + y


def permuted(x: f32[8, 40, 25, 20]) -> Any:
    return x.transpose(3, 0, 2, 1)


def two(x: f32[257, 300], y: f32[257, 300]) -> Any:
    return (x + 1.0).T * y.T


def padded(x: f32[257, 300]) -> Any:
    return dlc.pad(x.T, ((1, 2), (3, 0)))


def signs(x: f32[257, 300]) -> Any:
    return (x > 0).T


def short(x: bf16[280, 256]) -> Any:
    return x.T * 2


def elements(x: f32[512, 256], y: f32[512, 256]) -> Any:
    return dlc.exp(x) * y


def rows(x: f32[512, 256], y: f32[256]) -> Any:
    return dlc.tanh(x) * y


def given(program: Any) -> list[Any]:
    made = np.random.default_rng(3)
    return [made.standard_normal(tuple(map(int, n.type.shape)), np.float32).astype(
        n.type.dtype.numpy) for n in program.source.graphs["main"].inputs]


def run(function: Callable[..., Any], device: str = "emulate") -> Any:
    compiled = dlc.compile(function, target="cuda")
    with compiled.load(device) as program:
        return np.asarray(program(*given(compiled)))


@pytest.mark.parametrize("function", [turned, heads, permuted, two, padded, signs, short],
                         ids=lambda f: f.__name__)
def test_a_transpose_goes_through_shared_memory(function: Callable[..., Any]) -> None:
    compiled = dlc.compile(function, target="cuda")
    (kernel,) = compiled.kernels
    assert kernel.block == 256 and "= shared_" in kernel.text
    found, expected = run(function), np.asarray(dlc.evaluate(function, *given(compiled)))
    if function is turned:
        np.testing.assert_allclose(found, expected, rtol=2e-6)
    else:  # nothing but a product by 2, a sum, a product: each rounded once
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, run(function, "shuffle"))


def test_small_ones_and_rows_stay() -> None:
    """A transpose of few elements, and a reversal, which no axis reads side by side."""
    def few(x: f32[60, 70]) -> Any:
        return x.T + 1.0

    def backwards(x: f32[1024, 256]) -> Any:
        return x[:, ::-1] + 1.0

    for function in (few, backwards):
        assert [k.block for k in dlc.compile(function, target="cuda").kernels] == [0]


FAULTS = {
    "a tile's columns as rows": (r"n \* 33 \+ a - n0 \* 33 - a0", "a * 33 + n - a0 * 33 - n0",
                                 "which nothing has stored|of 1056"),
    "a place of the block beside": (r"x\[n \* 300", "x[(n + 1) * 300", "of 77100 elements"),
    "rows of a tile that overlap": (r"n \* 33 \+ a - n0 \* 33 - a0", "n * 31 + a - n0 * 31 - a0",
                                    "which nothing has stored|meet at tile"),
    "every eighth row twice": (r"(\(a0 \+ idiv\(t2, 32\), .*), 8\)", r"\1, 4)", "meet at out"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    program = dlc.compile(turned, target="cuda").program
    (kernel,) = program.kernels
    check_kernels(program)
    pattern, replacement, message = FAULTS[fault]
    text, count = re.subn(pattern, replacement, kernel.text, count=1)
    assert count == 1, kernel.text
    with pytest.raises(ProgramError, match=message):
        check_kernels(replace(program, kernels=(replace(kernel, text=text),)))


@pytest.mark.parametrize("function", [elements, rows], ids=lambda f: f.__name__)
def test_four_elements_are_one_access(function: Callable[..., Any]) -> None:
    compiled = dlc.compile(function, target="cuda")
    (kernel,) = compiled.kernels
    assert "chunk * 4 + 3" in kernel.text
    np.testing.assert_allclose(run(function), dlc.evaluate(function, *given(compiled)),
                               rtol=2e-6, atol=2e-6)
    text = PtxCompiler(compiled.program).ptx(kernel)
    assert "ld.global.nc.v4" in text and "st.global.v4" in text


def test_a_buffer_that_is_not_aligned_is_accessed_one_by_one() -> None:
    program = dlc.compile(elements, target="cuda").program
    entry = program.entries["main"]
    (launch,) = entry.launches

    def off(segment: Segment) -> Segment:
        args = tuple(Slot(a.offset, (4,)) if isinstance(a, Slot) else a for a in segment.args)
        return replace(segment, args=args)

    moved = replace(launch, stages=tuple(tuple(map(off, s)) for s in launch.stages))
    shifted = replace(program, entries={"main": replace(entry, launches=(moved,))})
    assert ".v4" not in PtxCompiler(shifted).ptx(shifted.kernels[0])


def batch_norm(x: f32[32, 8, 14, 14], w: f32[8]) -> Any:
    centred = x - x.mean(axis=(0, 2, 3), keepdims=True)
    scale = w.reshape(8, 1, 1) / dlc.sqrt((centred ** 2).mean(axis=(0, 2, 3), keepdims=True) + 0.1)
    return {"y": dlc.maximum(centred * scale, 0.0), "centred": centred, "scale": scale}


def layer_norm(x: f32[300, 512], w: f32[512]) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    return {"y": w * centred / dlc.sqrt((centred ** 2).mean(axis=1, keepdims=True) + 0.1),
            "centred": centred}


@pytest.mark.parametrize("function", [batch_norm, layer_norm], ids=lambda f: f.__name__)
def test_a_loop_that_folds_may_store_too(function: Callable[..., Any]) -> None:
    """What the gradient needs is stored while it is summed; then every thread stores its share."""
    compiled = dlc.compile(function, target="cuda")
    assert [k.block for k in compiled.kernels] == [128]
    check_kernels(compiled.program)
    expected = dlc.evaluate(function, *given(compiled))
    for device in ("emulate", "shuffle"):
        with compiled.load(device) as program:
            for name, value in program(*given(compiled)).items():
                np.testing.assert_allclose(value, expected[name], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("shape", [(64, 32, 28, 28), (3, 70, 7, 7), (5, 40, 6, 5)])
def test_sums_over_outer_and_inner_axes(shape: tuple[int, ...]) -> None:
    """As batch normalization takes them: rows of each plane by a block, or by a thread if short."""
    def sums(x: f32["a", "b", "c", "d"]) -> Any:
        return {"mean": x.mean(axis=(0, 2, 3)), "most": x.max(axis=(0, 2, 3))}

    compiled = dlc.compile(sums, target="cuda", **dict(zip("abcd", shape, strict=True)))
    blocks = shape[2] * shape[3] >= 32
    assert any(k.block == 128 for k in compiled.kernels) == blocks
    x = np.random.default_rng(1).standard_normal(shape, np.float32)
    with compiled.load("emulate") as program:
        found = program(x)
    exact = x.astype(np.float64)
    count = x.size // shape[1]
    # 32 additions in f32 at most, the rest in f64, a division and two roundings
    bound = 36 * 2.0**-24 * np.abs(exact).sum(axis=(0, 2, 3)) / count
    assert np.all(np.abs(found["mean"] - exact.mean(axis=(0, 2, 3))) <= bound)
    np.testing.assert_array_equal(found["most"], x.max(axis=(0, 2, 3)))


def test_one_thread_reads_what_it_writes_over() -> None:
    """A moment that is updated in the launch that sums its gradient: a thread that reads it outside
    of regions might find what the first thread has stored already."""
    place, writer = sum_of(Var("chunk", 0, 5)), Writer(Names(()))
    writer.region(THREADS, (Store("x", sum_of(writer.thread()), Number(1, f32), f32),))
    assert writer.add(Let("old", Load("m", place, f32)))
    assert writer.add(Store("m", place, Ref("old", f32), f32))
    settled = writer.settled()
    assert settled is not None and len(settled) == 2
    last = settled[1]
    assert isinstance(last, For) and [type(s) for s in last.body] == [Let, Store]
    writer.region(THREADS, (Store("x", sum_of(writer.thread()), Ref("old", f32), f32),))
    assert writer.settled() is None  # threads would need what one of them has read
