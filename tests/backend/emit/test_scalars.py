"""Every elementwise operator on every dtype at its edges: kernels do what `evaluate` says."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import nn, runtime
from dlc.backend.assemble import assembled
from dlc.compiler import instruction_set
from dlc.errors import DlcError
from dlc.ir.graph import Build, Graph, Kind, building, make
from dlc.ir.registry import REGISTRY
from dlc.ir.types import DTYPES, DType, Type
from dlc.ops import leaf
from dlc.passes import run_pipeline
from dlc.reference.evaluate import run
from tests.conformance.cut import chosen

FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, -7.25, 255.5, 256.0, 2.0**31, -(2.0**31),
          2.0**32 - 1, 2.0**63, 2.0**64, -300.0, -(2.0**63), 1e-30, math.inf, -math.inf, math.nan]
# ways to compute a float that may differ in the last bits, and by how many of f32's
ROUNDING = {"exp": 4, "expm1": 4, "log": 4, "log1p": 4, "tanh": 8, "sigmoid": 4, "sin": 8, "cos": 8,
            "erf": 8, "pow": 16, "rsqrt": 4, "exp2": 4, "log2": 4, "log10": 4, "cbrt": 4,
            "logaddexp": 4, "hypot": 4, "tan": 8, "asin": 4, "acos": 4, "atan": 4, "atan2": 4,
            "sinh": 4, "cosh": 4, "asinh": 4, "acosh": 4, "atanh": 4, "erfc": 64, "erfcx": 16,
            "erfinv": 8, "digamma": 16, "i0e": 16, "i1e": 16,
            "lgamma": 64, "polygamma": 512}  # below 0 by differences, which cancel near zeros
# sine and cosine reduce the argument to 2**20 pi at most; further out the reference is not exact
LARGEST = {"sin": 1e4, "cos": 1e4, "tan": 1e4}
Case = tuple[str, DType, dict[str, Any]]


def edges(kind: DType) -> np.ndarray[Any, Any]:
    """The values that go wrong first."""
    with np.errstate(all="ignore"):
        if kind.is_float:
            return np.array(FLOATS).astype(kind.numpy)
        if kind.category == "bool":
            return np.array([False, True])
        info = np.iinfo(kind.numpy)
        small = [v for v in (0, 1, -1, 2, -2, 3, -7, 7, 8, 31, 32, 33, 63, 64, 255, 1000, -1000)
                 if info.min <= v <= info.max]
        return np.array([*small, info.min, info.min + 1, info.max - 1, info.max], kind.numpy)


def cases() -> Iterator[Case]:
    """Operator, dtype of the (last) operand, attributes."""
    for name, op in REGISTRY.items():
        if op.kind is not Kind.ELEMENTWISE:
            continue
        for kind in DTYPES.values():
            if name in ("cast", "bitcast"):
                yield from ((name, kind, {"dtype": to}) for to in DTYPES.values())
            elif name == "polygamma":
                yield from ((name, kind, {"n": n}) for n in (1, 2, 3))
            else:
                yield name, kind, {}


def operands(name: str, kind: DType) -> list[np.ndarray[Any, Any]]:
    """All pairs (or triples with a condition) of edge values, flat."""
    op, values = REGISTRY[name], edges(kind)
    if name in LARGEST:
        values = values[~(np.abs(values.astype(np.float64)) > LARGEST[name])]
    assert op.samples is not None
    count = len(next(iter(op.samples()))[0])
    if count > 1:  # the pairs of the first and the last seven say enough
        values = np.concatenate([values[:7], values[7:][-7:]])
    if name == "where":
        return [np.array(c) for c in zip(*itertools.product(
            [False, True], values, values), strict=True)]
    columns = zip(*itertools.product(values, repeat=count), strict=True)
    return [np.array(list(c), values.dtype) for c in columns]


def graph_of(number: int, name: str, kind: DType, attrs: dict[str, Any]) -> Graph | None:
    """The operator alone, or None where it refuses the dtype."""
    arrays = operands(name, kind)
    with building(Build()):
        inputs = tuple(
            leaf.input_(f"x{i}", Type(DTYPES["bool"] if a.dtype == bool else kind, a.shape))
            for i, a in enumerate(arrays))
        try:
            result = make(REGISTRY[name], inputs, **attrs)
        except DlcError:
            return None
    return Graph(f"{name}_{kind}_{number}", inputs, (result,), ("y",))


def wrong(name: str, got: np.ndarray[Any, Any], want: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Where `got` is not `want`: bit for bit, or within rounding for functions of the reals."""
    if want.dtype.kind in "iub":
        return got != want
    a, b = got.astype(np.float64), want.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if name not in ROUNDING:
        return ~same
    eps = 2.0**-7 if want.dtype.kind == "V" else float(np.finfo(want.dtype).eps)
    tiny = 2.0**-120 if eps < 1e-3 else 2.0**-24
    with np.errstate(all="ignore"):
        return ~(same | (np.abs(a - b) <= ROUNDING[name] * eps * np.abs(b) + tiny))


ALL = [(case, graph) for number, case in enumerate(cases())
       if (graph := graph_of(number, *case)) is not None]
USUAL = ("f32", "bool")  # the others in `make conformance`, those of the day
OTHERS = chosen("scalars", [f"{device} {kind}" for device in ("interpret", "cpu")
                            for kind in DTYPES if kind not in USUAL])


@pytest.mark.slow
@pytest.mark.parametrize("device,kinds", [
    pytest.param("interpret", USUAL, id="plain"), pytest.param("cpu", USUAL, id="compiled"),
    *(pytest.param(*(name.split()[0], (name.split()[1],)), id=name, marks=pytest.mark.conformance)
      for name in OTHERS)])
def test_edges(device: str, kinds: tuple[str, ...]) -> None:
    """One program with an entry for each operator and dtype."""
    tried = [(case, graph) for case, graph in ALL if case[1].name in kinds]
    whole = assembled("edges", {g.name: run_pipeline(g)[-1].graph for _, g in tried}, "cpu",
                     instruction_set())[0]
    running: Any = runtime.load(whole, device)
    mistakes = []
    for (name, kind, attrs), graph in tried:
        arrays = operands(name, kind)
        for node, array in zip(graph.inputs, arrays, strict=True):
            running.write(node.attrs["label"], array, graph.name)
        running.run(graph.name)
        got = running.read("y", graph.name)
        with np.errstate(all="ignore"):
            (want,) = run(graph, arrays)
        for at in np.flatnonzero(wrong(name, got, want))[:2]:
            values = ", ".join(repr(a[at]) for a in arrays)
            at_ = f" {attrs}" if attrs else ""
            mistakes.append(f"{name}{at_} of {kind}: {values}: {got[at]!r}, not {want[at]!r}")
    running.close()
    assert not mistakes, "\n".join(mistakes)


def test_signs_of_zero() -> None:
    """Operators that pass a zero on keep its sign."""
    for name in ("neg", "stop_gradient", "floor", "ceil", "round", "sqrt", "tanh", "sin", "erf",
                 "expm1", "log1p"):
        graph = graph_of(0, name, DTYPES["f32"], {})
        assert graph is not None
        x = np.array([0.0, -0.0], np.float32)
        padded = np.zeros(graph.inputs[0].type.shape, np.float32)
        padded[:2] = x[:2]
        whole, _ = assembled("zero", {"main": run_pipeline(graph)[-1].graph}, "cpu",
                             instruction_set())
        running: Any = runtime.load(whole, "interpret")
        running.write("x0", padded, "main")
        running.run("main")
        (want,) = run(graph, [padded])
        got = running.read("y", "main")
        assert np.array_equal(np.signbit(got[:2]), np.signbit(want[:2])), name


@pytest.mark.parametrize("function,calls", [
    (nn.softplus, {"softplus_f32"}), (lambda x: dlc.logaddexp(0.0, x), {"softplus_f32"}),
    (lambda x: dlc.logaddexp(x, -0.0), {"softplus_f32"}), (nn.log_sigmoid, {"softplus_f32"}),
    (lambda x: dlc.logaddexp(x, 1e-45), {"logaddexp_f32"}),
    (lambda x: dlc.logaddexp(x, x * 0.0), {"logaddexp_f32"})])  # 0 only where x is finite
def test_logaddexp_beside_zero_is_softplus(function: Any, calls: set[str]) -> None:
    """Two terms of which neither is negative need no f64."""
    graph = dlc.trace(function, dlc.f32[40])
    program, _ = assembled("zero", {"main": run_pipeline(graph)[-1].graph}, "cpu", "avx2")
    text = "".join(k.text for k in program.kernels)
    assert set(re.findall(r"\w+_f32", text)) - {"local_f32"} == calls
