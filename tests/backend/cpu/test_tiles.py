"""The SIMD tiles, on each instruction set that this machine runs, against their Python body."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

from dlc.backend.cpu.isa import ISAS, gemm_block, isa_of
from dlc.backend.cpu.tiles import WIDE, TileError, tile
from dlc.ir.types import dtype, f32, f64
from dlc.runtime.bench.machine import native

HOST = llvm.get_host_cpu_features()
RUNNABLE = [i for i in ISAS.values() if all(HOST.get(f) for f in i.features) or i.name == "neon"]
CTYPES = {"i64": ctypes.c_int64, "i64*": ctypes.c_void_p, "f32*": ctypes.c_void_p,
          "f64*": ctypes.c_void_p}


class Compiled:
    """A tile as a native function over NumPy arrays."""

    def __init__(self, name: str, isa: str) -> None:
        self.text = tile(name, isa)
        ir = self.text.ir.replace("linkonce_odr ", "")
        kinds = [CTYPES[p] for p in self.text.params]
        self.native = native(ir, name, None, *kinds)

    def __call__(self, *args: Any) -> None:
        self.native(*[a.ctypes.data if isinstance(a, np.ndarray) else a for a in args])

    def plain(self) -> Callable[..., None]:
        names: dict[str, Any] = {}
        exec(self.text.plain, names)
        function: Callable[..., None] = names[self.text.name]
        return function


def agree(compiled: Compiled, args: list[Any], written: int, rtol: float,
          meant: slice = slice(None)) -> None:
    """Native code and the Python body leave the same `meant` values, and the same NaN untouched."""
    other = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    compiled(*args)
    compiled.plain()(*other)
    got, want = args[written][meant], other[written][meant]
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * 10)
    assert np.array_equal(np.isnan(want), np.isnan(got))


def operands(kind: str, *sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(sum(sizes))
    return [rng.standard_normal(n).astype(dtype(kind).numpy) for n in sizes]


def tolerance(kind: str) -> float:
    return 1e-5 if kind == "f32" else 1e-13


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("isa", RUNNABLE, ids=lambda i: i.name)
@pytest.mark.parametrize("family", ["gemm", "taps"])
def test_gemm(family: str, isa: Any, kind: str) -> None:
    height, width = gemm_block(isa, dtype(kind))
    compiled = Compiled(f"{family}_{kind}_{height}x{width}", isa.name)
    ldc = width + 3
    for rows in range(1, height + 1):
        for k, add in ((1, 0), (7, 1)):
            a, b, c = operands(kind, k * height, k * (width + 5), height * ldc)
            c.reshape(-1, ldc)[:, width:] = np.nan
            stride = np.arange(k) * (width + 5)
            where = [width + 5] if family == "gemm" else [stride[::-1].copy()]
            # rows past `rows` may hold anything: panels are padded to the next row count
            agree(compiled, [a, b, *where, k, c, ldc, rows, add], 4, tolerance(kind),
                  slice(rows * ldc))


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("isa", RUNNABLE, ids=lambda i: i.name)
def test_dots(isa: Any, kind: str) -> None:
    lanes = isa.lanes(dtype(kind))
    compiled = Compiled(f"dots_{kind}_3x5", isa.name)
    for runs, repeat in ((1, 1), (3, 4)):
        k = runs * lanes
        a, b, c = operands(kind, repeat * 3 * k, repeat * k + 40, 3 * 8)
        c[:] = np.nan
        table = np.array([0, 1, 5, 13, 2])
        args = [a, k, b, table, k, repeat, 3 * k, k, c, 8]
        agree(compiled, args, 8, tolerance(kind) * 10)


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("isa", RUNNABLE, ids=lambda i: i.name)
def test_transpose(isa: Any, kind: str) -> None:
    compiled = Compiled(f"transpose_{kind}", isa.name)
    lanes = isa.lanes(dtype(kind))
    edges = [(n, lanes + n % 3) for n in range(1, lanes)] + [(lanes, n) for n in range(1, lanes)]
    for rows, cols in ((1, 1), (lanes, lanes), (14, 3 * lanes + 1), (2 * lanes + 3, 5), *edges):
        dst, src = operands(kind, cols * (rows + 2), rows * (cols + 1))
        dst[:] = np.nan
        agree(compiled, [dst, rows + 2, src, cols + 1, rows, cols], 0, 0.0)


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("isa", RUNNABLE, ids=lambda i: i.name)
def test_copy(isa: Any, kind: str) -> None:
    compiled = Compiled(f"copy_{kind}", isa.name)
    lanes = isa.lanes(dtype(kind))
    edges = [(2, lanes + n) for n in range(1, lanes)]
    line = WIDE // dtype(kind).bytes  # elements that are copied row by row
    lines = [(3, line), (2, line - 1), (2, line + 1), (1, 2 * line + lanes), (4, 3 * line - 1)]
    for rows, cols in ((1, 1), (3, lanes), (5, 2 * lanes + 3), *edges, *lines):
        dst, src = operands(kind, rows * (cols + 2), rows * (cols + 1))
        dst[:] = np.nan
        agree(compiled, [dst, cols + 2, src, cols + 1, rows, cols], 0, 0.0)


@pytest.mark.parametrize("tile_name", ["copy", "transpose"])
@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("isa", RUNNABLE, ids=lambda i: i.name)
def test_rows_without_a_gap(isa: Any, kind: str, tile_name: str) -> None:
    """Whole vectors reach into the next row; behind the last one nothing is written."""
    compiled = Compiled(f"{tile_name}_{kind}", isa.name)
    lanes = isa.lanes(dtype(kind))
    for wide in range(1, lanes + 2):
        for long in (1, 2, 7, lanes, lanes + 1, 2 * lanes, 2 * lanes + 3):
            extents = (long, wide) if tile_name == "copy" else (wide, long)
            dst, src = operands(kind, long * wide + 64, extents[0] * (extents[1] + 3))
            dst[:] = np.nan
            agree(compiled, [dst, wide, src, extents[1] + 3, *extents], 0, 0.0)
            assert np.isnan(dst[long * wide:]).all()


@pytest.mark.parametrize("name", ["copy_f32", "transpose_f32", "transpose_f64"])
def test_parts_of_vectors_are_stored_without_masks_where_registers_have_none(name: str) -> None:
    """AVX2's masked stores take some twenty cycles on Zen."""
    held = {isa: "masked.store" in tile(name, isa).ir for isa in ISAS}
    assert held == {"avx512": True, "avx2": False, "neon": False, "scalar": False}


def test_block_fills_registers() -> None:
    assert gemm_block(ISAS["avx512"], f32) == (14, 32)
    assert gemm_block(ISAS["avx512"], f64) == (14, 16)
    assert gemm_block(ISAS["avx2"], f32) == (6, 16)


def test_isa_of_features() -> None:
    avx2 = {"avx2": True, "fma": True}
    avx512 = dict.fromkeys(("avx512f", "avx512bw", "avx512dq", "avx512vl"), True)
    assert isa_of({**avx512, **avx2}).name == "avx512"
    assert isa_of({**avx512, **avx2, "avx512vl": False}).name == "avx2"
    assert isa_of({"neon": True}).name == "neon"
    assert isa_of({}).name == "scalar"


@pytest.mark.parametrize(("name", "isa", "says"), [
    ("gemm_f32", "avx512", "not a tile"), ("gemm_i32_14x32", "avx512", "not a tile"),
    ("transpose_f32_4x4", "avx512", "not a tile"), ("gemm_f32_14x33", "avx512", "not a multiple"),
    ("gemm_f32_14x32", "mmx", "instruction set")])
def test_refuses(name: str, isa: str, says: str) -> None:
    with pytest.raises(TileError, match=says):
        tile(name, isa)
