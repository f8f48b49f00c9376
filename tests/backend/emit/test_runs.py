"""Long reductions are cut into runs: every shape of loops, any limits.

Their errors are held to the bounds in docs/design/math.md; tests/conformance/test_numerics.py holds
them to PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.backend.cpu.isa import ISAS
from dlc.backend.cpu.limits import Limits
from dlc.backend.cpu.prelude import prelude_text
from dlc.backend.emit.runs import Runs, runs_over
from dlc.backend.ir.printer import function_text
from dlc.backend.lower import lower
from dlc.ir.graph import Graph
from dlc.ir.types import DType, Type, dtype, f16, f32, f64, i32
from dlc.ops.reduce import LOGSUMEXP
from dlc.ops.sums import PAIRS, SUMS
from dlc.passes import run_pipeline
from dlc.runtime.compile.primitives import CONSTANTS, PRIMITIVES
from dlc.runtime.reference.interpret import code_of

LIMITS = Limits(run=8, chain=3, lanes=3, unrolled=2)


def kernels(function: Callable[..., Any], *types: Type, limits: Limits = LIMITS) -> list[str]:
    """The texts of the kernels of `function`."""
    graph = run_pipeline(dlc.trace(function, *types))[-1].graph
    isa = replace(ISAS["avx512"], limits=limits)
    bodies = [n.attrs["body"] for n in graph.nodes() if n.op.name == "fused"]
    return [function_text(w.kernel) for body in bodies for part in lower(body, isa, {}, {})
            for stage in part.stages for w in stage]


def run(function: Callable[..., Any], x: np.ndarray, limits: Limits = LIMITS) -> np.ndarray:
    """One fused group of one operand, in plain Python."""
    graph = run_pipeline(dlc.trace(function, dtype(x.dtype)[x.shape]))[-1].graph
    (node,) = [n for n in graph.nodes() if n.op.name == "fused"]
    body: Graph = node.attrs["body"]
    out = np.zeros(body.outputs[0].type.shape, body.outputs[0].type.dtype.numpy)
    memory = {body.inputs[0]: raw(x), body.outputs[0]: raw(out)}
    for part in lower(body, replace(ISAS["avx512"], limits=limits), {}, {}):
        for stage in part.stages:
            for work in stage:
                call = interpreted(function_text(work.kernel), work.kernel.name)
                with np.errstate(all="ignore"):
                    for chunk in range(work.chunks):
                        call(*(memory[o] for o in work.operands), chunk)
    return memory[body.outputs[0]].view(out.dtype).reshape(out.shape)


def interpreted(text: str, name: str) -> Callable[..., None]:
    names: dict[str, Any] = {**CONSTANTS, **{p.name: p.plain for p in PRIMITIVES.values()}}
    exec(code_of(prelude_text(), "<prelude>"), names)
    exec(text, names)
    call: Callable[..., None] = names[name]
    return call


def raw(a: np.ndarray) -> np.ndarray:
    """A copy as flat memory: halves as the bits that kernels read."""
    flat = a.reshape(-1).copy()
    return flat.view(np.uint16) if flat.dtype.itemsize == 2 else flat


def test_where_runs_start() -> None:
    """In lanes the loops inside are a run; a column takes as many rows as may be added up."""
    cut = Limits(run=512, chain=32)
    assert runs_over((512,), SUMS, f32, False, cut) is None
    assert runs_over((513,), SUMS, f32, False, cut) == Runs(0, 512)
    assert runs_over((64, 49), SUMS, f32, False, cut) == Runs(0, 1)
    assert runs_over((20, 5, 1), SUMS, f32, False, cut) == Runs(0, 1)
    assert runs_over((4, 5), SUMS, f32, False, cut) is None
    assert runs_over((64, 1000), SUMS, f32, False, cut) == Runs(1, 512)
    assert runs_over((3, 7, 200), SUMS, f32, False, cut) == Runs(1, 1)
    assert runs_over((3, 7, 200, 1), PAIRS, f64, False, cut) == Runs(2, 16, True)
    assert runs_over((32,), PAIRS, f64, False, cut) is None
    assert runs_over((3, 200), PAIRS, f64, True, cut) is None
    assert runs_over((100, 3), SUMS, f32, True, cut) == Runs(0, 10)
    assert runs_over((33,), LOGSUMEXP.emit(logsumexp()).combine, f32, False, cut) == Runs(0, 32)
    assert runs_over((10**6,), SUMS, i32, False, cut) is None


def logsumexp() -> Any:
    return dlc.trace(lambda x: dlc.logsumexp(x), f32[33]).outputs[0]


SHAPES: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "all": (lambda x: x.sum(), (37,)), "rows": (lambda x: x.sum(1), (5, 21)),
    "columns": (lambda x: x.sum(0), (19, 5)), "two loops": (lambda x: x.sum((0, 2)), (7, 3, 5)),
    "three loops": (lambda x: x.sum((0, 2, 4)), (3, 2, 4, 2, 3)),
    "loops of a column": (lambda x: x.sum((0, 2)), (4, 2, 7, 3)),
    "two sums": (lambda x: x.sum(1) * (x * x).sum(1), (5, 21)),
    "variance": (lambda x: dlc.variance(x, 0), (19, 5)),
    "softmax": (lambda x: dlc.nn.softmax(x, 1), (3, 26)),
    "logsumexp": (lambda x: dlc.logsumexp(x, 1), (3, 26)),
    "of columns": (lambda x: dlc.logsumexp(x, 0), (26, 3)),
    "in place": (lambda x: x.reshape(4, 6, 3).sum(1) + x.reshape(4, 6, 3)[:, 0], (4, 18)),
    "beside a maximum": (lambda x: x.sum(1) + x.max(1), (5, 21)),
}


@pytest.mark.parametrize("kind", [f32, f64, f16], ids=str)
@pytest.mark.parametrize("name", SHAPES)
def test_small_runs_give_what_the_evaluator_gives(name: str, kind: DType) -> None:
    """At limits so small that every loop is cut, tails included: within one rounding for each of
    the few operators, and (run + chain) for the sums."""
    function, shape = SHAPES[name]
    x = np.random.default_rng(3).uniform(0.5, 1.5, shape).astype(kind.numpy)
    graph = dlc.trace(function, kind[shape])
    got, want = (np.asarray(v, np.float64) for v in (run(function, x), dlc.evaluate(graph, x)))
    eps = np.finfo(kind.numpy).eps if kind is not f16 else 2.0**-10
    np.testing.assert_allclose(got, want, rtol=eps * (LIMITS.run + LIMITS.chain + 8))


@pytest.mark.parametrize("x", [np.inf, -np.inf, np.nan])
def test_totals_of_what_is_not_finite(x: float) -> None:
    """As in one run: infinities stay, opposite ones are NaN."""
    for kind in (f32, f64):
        row = np.ones(30, kind.numpy)
        row[5] = x
        np.testing.assert_array_equal(run(lambda v: v.sum(), row),
                                      row.sum(dtype=np.float64).astype(kind.numpy))
        row[17] = -x
        got = run(lambda v: v.sum(), row)
        assert np.isnan(got)


@pytest.mark.parametrize("kind", [f32, f64], ids=str)
def test_logarithms_of_sums_of_what_is_not_finite(kind: DType) -> None:
    row = np.zeros(30, kind.numpy)
    row[3:5] = -np.inf
    (some,) = run(lambda v: dlc.logsumexp(v), row).reshape(1)
    np.testing.assert_allclose(some, np.log(28), 4 * unit(kind))
    row[5] = np.inf
    assert run(lambda v: dlc.logsumexp(v), row) == np.inf
    assert run(lambda v: dlc.logsumexp(v), np.full(30, -np.inf, kind.numpy)) == -np.inf
    row[17] = np.nan
    assert np.isnan(run(lambda v: dlc.logsumexp(v), row))


def test_integers_are_summed_in_one_run() -> None:
    (text,) = kernels(lambda x: x.sum(), i32[1000])
    assert "total" not in text and "range(1000)" in text


def test_f64_totals_carry_what_rounding_loses() -> None:
    """1 + 2**-60 + ... : each addition loses all of the small term, the total of 10000 does not."""
    row = np.full(10001, 2.0**-60)
    row[0] = 1.0
    (got,) = run(lambda v: v.sum(), row, Limits(run=1, chain=1)).reshape(1)
    assert got == 1.0 + 10000 * 2.0**-60


def unit(kind: DType) -> float:
    return float(np.finfo(kind.numpy).eps) / 2


def lost(n: int, kind: DType) -> np.ndarray[Any, Any]:
    """Ones, one or more for each vector lane, then terms that a sum of a one and more would lose:
    all of them where a lane goes on to the end, (n / 64) u of the result."""
    return np.where(np.arange(n) < 64, 1.0, unit(kind)).astype(kind.numpy)


@pytest.mark.parametrize(("n", "adverse"), [(100_000, False), (65_000, True)],
                         ids=["parts", "whole"])
@pytest.mark.parametrize("kind", [f32, f64], ids=str)
def test_the_error_of_long_sums_does_not_grow(kind: DType, n: int, adverse: bool) -> None:
    """Compiled: equal elements in parts, and in one chunk those that are lost to a long sum, within
    the bound of one run."""
    limits = Limits()

    def sums(x: Any, y: Any) -> Any:
        return {"all": x.sum(), "mean": x.mean(), "columns": y.sum(0), "both": y.sum((0, 1)),
                "squares": (x * x).sum(), "logs": dlc.logsumexp(x * 0),
                "running": dlc.cumsum(x)[-1]}

    x = lost(n, kind) if adverse else np.full(n, 0.1, kind.numpy)
    with dlc.compile(dlc.trace(sums, kind[n], kind[n // 5, 5])).load(threads=1) as program:
        got = program(x, x.reshape(-1, 5))
    exact = x.astype(np.longdouble)
    whole = exact.sum()
    columns = np.ascontiguousarray(exact.reshape(-1, 5).T).sum(1)  # NumPy adds rows up pairwise
    want = {"all": whole, "mean": whole / n, "columns": columns, "both": whole,
            "squares": (exact * exact).sum(), "logs": np.log(np.longdouble(n)), "running": whole}
    # roundings: of a run of f32 and its total; of squares and means of f64
    runs = {"all": limits.run, "mean": limits.run, "both": limits.run, "columns": limits.chain,
            "running": 0} if kind is f32 else {"squares": 1, "mean": 1, "running": n}
    for name, value in want.items():
        error = float(np.max(np.abs(np.asarray(got[name], np.longdouble) - value) / value))
        most = 2 * limits.chain + 4 if name == "logs" else runs.get(name, 0) + 1.01
        assert error <= most * unit(kind), name


def test_sums_of_f64_are_as_of_twice_the_precision() -> None:
    """Compiled, terms that cancel over 30 decades: |error| <= u |sum| + n**2 u**2 S, in every
    order of loops (Ogita, Rump and Oishi 2005, proposition 4.5)."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 11, 7)) * 10.0 ** rng.integers(-15, 15, (300, 11, 7))
    x[::2] = -x[1::2] * (1 + rng.normal(size=(150, 11, 7)) * 1e-12)
    long = np.resize(x, 100_000)
    axes: dict[str, Any] = {"rows": 2, "inner": 1, "columns": 0, "ends": (0, 2), "tail": (1, 2),
                            "all": (0, 1, 2)}

    def sums(y: Any, z: Any) -> Any:
        return {**{name: y.sum(a) for name, a in axes.items()}, "parts": z.sum()}

    with dlc.compile(dlc.trace(sums, f64[x.shape], f64[long.shape])).load(threads=2) as program:
        got = program(x, long)
    for name, value in got.items():
        y, axis = (long, 0) if name == "parts" else (x, axes[name])
        rows = np.moveaxis(y, axis, range(-np.size(axis), 0)).reshape(np.size(value), -1)
        exact = np.array([math.fsum(row) for row in rows])
        n, u = rows.shape[1], unit(f64)
        bound = u * np.abs(exact) + (n * u) ** 2 * np.abs(rows).sum(1)
        # fsum's own rounding
        assert np.all(np.abs(value.reshape(-1) - exact) <= bound + u * np.abs(exact)), name
