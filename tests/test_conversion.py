"""Conversions between all dtypes: every cell, against exact arithmetic, evaluated and compiled."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from dlc import runtime
from dlc.backend.assemble import assembled
from dlc.compiler import instruction_set
from dlc.ir.graph import Build, Graph, building
from dlc.ir.types import DTYPES, DType, Type
from dlc.ops import leaf
from dlc.ops.convert import cast
from dlc.passes import run_pipeline
from dlc.reference.evaluate import evaluate

PAIRS = [(a, b) for a in DTYPES.values() for b in DTYPES.values()]


def values(kind: DType) -> np.ndarray[Any, Any]:
    """NaN, infinities, ends of every range and their neighbours, ties of narrower types, spread."""
    rng = np.random.default_rng(3)
    if kind.category == "bool":
        return np.array([False, True])
    if kind.is_integer:
        info = np.iinfo(kind.numpy)
        powers = [s * 2**p + d for p in range(0, 64, 3) for s in (1, -1) for d in (-1, 0, 1)]
        ties = [s * (2**62 + 2**54 + 1) for s in (1, -1)] + [2**30 + 2**22 + 1, 2**31 + 2**23 + 1]
        kept = [v for v in (*powers, *ties, info.min, info.max) if info.min <= v <= info.max]
        spread = rng.integers(info.min, info.max, 60, kind.numpy, endpoint=True)
        return np.concatenate([np.array(kept, kind.numpy), spread])
    ends = [s * (2.0**p + d) for p in (7, 8, 15, 16, 24, 31, 32, 63, 64) for s in (1, -1)
            for d in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    ties = [1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-8 + 2.0**-45, 1 + 3 * 2.0**-11, 65519.99, 65520.0,
            3.3961775e38, 3.4028236e38, 1e39, 2.0**-25, 2.0**-25 + 2.0**-60, 2.0**-134, 1e-45]
    special = [0.0, -0.0, math.nan, math.inf, -math.inf, 0.99, -0.99, 5e-324, 1e308]
    spread = rng.uniform(-1, 1, 60) * 10.0 ** rng.uniform(-6, 20, 60)
    with np.errstate(all="ignore"):
        return np.concatenate([ends, ties, np.negative(ties), special, spread]).astype(kind.numpy)


def exact(value: Any, to: DType) -> Any:
    """docs/ir.md's rule for one number, in exact arithmetic."""
    number = value.item() if value.dtype.kind != "V" else float(value)
    if to.category == "bool":
        return bool(number != 0)
    if to.is_integer:
        info = np.iinfo(to.numpy)
        if isinstance(number, float):
            if math.isnan(number):
                return 0
            low, high = int(info.min), int(info.max)
            return high if number >= high else low if number <= low else int(number)
        return (int(number) - int(info.min)) % 2 ** (8 * to.bytes) + int(info.min)
    return float(number) if not isinstance(number, int) else nearest(number, to)


def nearest(number: float, to: DType) -> float:
    """The value of `to` nearest to a finite number, ties to even, beyond the largest infinite."""
    info = ml_dtypes.finfo(to.numpy)
    size = abs(Fraction(number))
    if size == 0:
        return math.copysign(0.0, number)
    exponent = math.floor(math.log2(size)) if size < 2**1000 else math.frexp(float(size))[1] - 1
    while Fraction(2) ** exponent > size:
        exponent -= 1
    while Fraction(2) ** (exponent + 1) <= size:
        exponent += 1
    unit = Fraction(2) ** (max(exponent, int(info.minexp)) - int(info.nmant))
    rounded = round(size / unit) * unit
    value = math.inf if rounded > Fraction(float(info.max)) else float(rounded)
    return -value if number < 0 else value


def wanted(array: np.ndarray[Any, Any], to: DType) -> np.ndarray[Any, Any]:
    found = [exact(v, to) for v in array]
    if to.is_float:
        found = [v if math.isnan(v) or math.isinf(v) else nearest(v, to) for v in found]
    # as objects: some are beyond i64
    return np.array(found, None if to.is_float else object).astype(to.numpy)


def graph_of(source: DType, to: DType) -> Graph:
    with building(Build()):
        x = leaf.input_("x", Type(source, values(source).shape))
        return Graph(f"{source}_to_{to}", (x,), (cast(x, to),), ("y",))


def same(got: np.ndarray[Any, Any], want: np.ndarray[Any, Any]) -> Any:
    """Equal, with NaN and the signs of zero."""
    if got.dtype.kind in "iub":
        return got == want
    a, b = got.astype(np.float64), want.astype(np.float64)
    return ((a == b) & (np.signbit(a) == np.signbit(b))) | (np.isnan(a) & np.isnan(b))


@pytest.mark.parametrize(("source", "to"), PAIRS, ids=str)
def test_evaluated(source: DType, to: DType) -> None:
    x = values(source)
    got, want = evaluate(graph_of(source, to), x), wanted(x, to)
    assert got.dtype == to.numpy
    bad = np.flatnonzero(~same(got, want))
    assert not bad.size, [(x[i], got[i], want[i]) for i in bad[:4]]


@pytest.mark.parametrize("device", ["interpret", "cpu"])
def test_compiled(device: str) -> None:
    """All 81 cells as the entries of one program."""
    graphs = [graph_of(a, b) for a, b in PAIRS if a is not b]
    done = {g.name: run_pipeline(g)[-1].graph for g in graphs}
    running: Any = runtime.load(assembled("cast", done, "cpu", instruction_set())[0], device)
    mistakes = []
    for graph in graphs:
        source, to = graph.inputs[0].dtype, graph.outputs[0].dtype
        x = values(source)
        running.write("x", x, graph.name)
        running.run(graph.name)
        got, want = running.read("y", graph.name), wanted(x, to)
        mistakes += [f"{source} to {to}: {x[i]!r}: {got[i]!r}, not {want[i]!r}"
                     for i in np.flatnonzero(~same(got, want))[:2]]
    running.close()
    assert not mistakes, "\n".join(mistakes)
