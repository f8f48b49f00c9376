"""Packing by a launch of its own outside of loops: which operands, by which kernels, right."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, f64
from dlc.backend.contract.ready import Form, pack
from dlc.compiler import Compiled
from dlc.program import Launch, Loop
from tests.instruction_sets import NATIVE, RUNS, loaded

Function = Callable[..., Any]


def chunks(x: f32[300, 70], w: f32[70, 100]) -> Any:
    """Each run of panels would pack w for itself."""
    return dlc.tanh(x @ w)


def turned(x: f32[300, 100], w: f32[90, 100]) -> Any:
    return dlc.tanh(x @ w.T)


def unrolled(x: f32[8, 70], w: f32[70, 70]) -> Any:
    """Five launches read w, of one chunk of rows each."""
    for _ in range(5):
        x = dlc.sort(dlc.tanh(x @ w), 0)
    return x


def rows_of_three(x: f32[130, 90], a: f32[90, 70], b: f32[90, 30], c: f32[30, 30]) -> Any:
    """x is packed as rows for a, and for b in a launch further down."""
    return dlc.sort(x @ a, 0), dlc.sort(x @ b, 0) @ c, dlc.sort(dlc.exp(x @ b), 1) @ c


def few(x: f32[8, 70], w: f32[70, 50]) -> Any:
    return dlc.tanh(x @ w)


def inside(h0: f32[300, 70], ws: f32[3, 70, 70]) -> Any:
    """The loop changes the matrix: it is packed in each step."""
    return dlc.scan(lambda h, w: (dlc.tanh(h @ w), None), h0, ws)[0]


# of a function: how many launches pack, on AVX-512
PACKED: dict[Function, int] = {chunks: 1, turned: 1, unrolled: 1, rows_of_three: 1, few: 0,
                               inside: 1}


def packs(compiled: Compiled) -> int:
    return sum(x.name == "pack" for e in compiled.program.entries.values() for x in e.flat)


@pytest.mark.parametrize("function", PACKED, ids=lambda f: f.__name__)
def test_packed_apart_where_it_pays(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CPU", "avx512")
    assert packs(dlc.compile(function)) == PACKED[function]


def drawn(function: Function) -> tuple[dlc.Graph, list[Any]]:
    graph, rng = dlc.trace(function), np.random.default_rng(7)
    return graph, [rng.standard_normal([int(d) for d in i.shape]).astype(i.dtype.numpy) / 4
                   for i in graph.inputs]


def listed(results: Any) -> list[Any]:
    return list(results.values()) if isinstance(results, dict) else [results]


@pytest.mark.swept(4)
@pytest.mark.parametrize("isa", NATIVE)
@pytest.mark.parametrize("function", PACKED, ids=lambda f: f.__name__)
def test_results(function: Function, isa: str) -> None:
    """Passes, launches and what they hand on are held to what the function means."""
    graph, arrays = drawn(function)
    want = listed(dlc.evaluate(graph, *arrays))
    with loaded(function, isa, "cpu", verify=True) as program:
        for value, exact in zip(listed(program(*arrays)), want, strict=True):
            # up to five products of at most 100 terms, of which each rounds by eps a term
            np.testing.assert_allclose(value, exact, rtol=0, atol=5 * 100 * 6e-8 * max(
                1.0, float(abs(exact).max())))


def kernels_of(launch: Launch, compiled: Compiled) -> list[str]:
    return [compiled.program.kernels[s.kernel].text for stage in launch.stages for s in stage]


@pytest.mark.parametrize("columns", [33, 47, 99, 119, 131])
@pytest.mark.parametrize("isa", ("avx512", "avx2", "scalar", "neon"))
def test_what_is_packed_is_read_as_it_lies(isa: str, columns: int,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where columns fill no whole box. The product evaluates nothing of it again: it has one
    stage, and its tiles read the packed array."""
    def f(h0: Any, w: Any, xs: Any) -> Any:
        return dlc.scan(lambda h, x: (dlc.tanh(h @ w + x), None), h0, xs)[0]

    monkeypatch.setenv("DLC_CPU", isa)
    compiled = dlc.compile(dlc.trace(
        f, f32[8, columns], f32[columns, columns], f32[3, 8, columns]))
    assert packs(compiled) == 1
    (loop,) = (s for s in compiled.program.entries["main"].launches if isinstance(s, Loop))
    launches = [s for s in loop.launches if isinstance(s, Launch)]
    assert all(len(launch.stages) == 1 for launch in launches)
    text = "".join(kernels_of(launches[0], compiled))
    assert re.search(r"gemm_f32_\d+x\d+\([^\n]*at\(w_packed", text) and "bp" not in text


# ---- the kernels that pack -----------------------------------------------------------------------

LAYOUTS = {  # shape, order of its axes, form
    "columns": ((128, 120), (1, 0), Form("b", 1, 2, 128, 64, 120)),
    "columns of rows": ((120, 128), (0, 1), Form("b", 1, 2, 128, 64, 120)),
    "stack of panels": ((3, 30, 20), (0, 1, 2), Form("a", 3, 3, 20, 14, 30)),
    "stack, last axis first": ((20, 30, 3), (2, 1, 0), Form("a", 3, 3, 20, 14, 30)),
    "one block, most of it zeros": ((5, 33), (1, 0), Form("b", 1, 1, 5, 64, 33)),
    "whole blocks": ((64, 256), (1, 0), Form("b", 1, 4, 64, 64, 256)),
    "parts of k": ((700, 70), (1, 0), Form("b", 1, 2, 700, 64, 70)),
    "a kernel": ((16, 16, 3, 3), (0, 1, 2, 3), Form("a", 1, 2, 144, 14, 16)),
    "one lane": ((1, 50), (0, 1), Form("b", 1, 1, 50, 16, 1)),
    "one k": ((1, 128), (1, 0), Form("b", 1, 2, 1, 64, 128)),
}


@pytest.mark.parametrize("kind", [f32, f64], ids=str)
def test_arrays_are_laid_out_by_tiles(kind: Any) -> None:
    """Every layout at once, on each instruction set: not a bit differs, zeros and all."""
    def f(*arrays: Any) -> Any:
        return tuple(pack(x, order, form)
                     for x, (_, order, form) in zip(arrays, LAYOUTS.values(), strict=True))

    graph = dlc.trace(f, *(kind[shape] for shape, _, _ in LAYOUTS.values()))
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal(s).astype(kind.numpy) for s, _, _ in LAYOUTS.values()]
    want = listed(dlc.evaluate(graph, *arrays))
    for isa, device in RUNS:
        with loaded(graph, isa, device) as program:
            for name, value, exact in zip(LAYOUTS, listed(program(*arrays)), want, strict=True):
                assert value.tobytes() == exact.tobytes(), (name, isa, device)
            names = {k.name for k in program.compiled.program.kernels}
            assert {f"blocks_copy_{kind}", f"blocks_transpose_{kind}"} <= names, names


def test_other_views_are_loops() -> None:
    """A border in front, every second column, another layout of as many axes."""
    def f(x: f32[4, 6, 10, 16], y: f32[1, 2, 8, 40]) -> Any:
        bordered = dlc.pad(x, (0, 0, 1, 0), (0, 0, 0, 0))
        return bordered * 1.0, y[:, :, :, ::2], dlc.transpose(x, (3, 1, 2, 0))[:, :, :, ::2]

    compiled = dlc.compile(f)
    assert not any(k.name.startswith("blocks_") for k in compiled.kernels)
