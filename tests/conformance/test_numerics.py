"""The error of sums, and of what is made of them, beside PyTorch's: against exact values, the
largest of 100 seeds at most twice as large, or below `FAITHFUL`, whatever PyTorch's is.

Errors are relative to what the operands allow: sum |x| of a sum, the value where nothing cancels.
docs/design/math.md has the bounds that they stay within.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import dlc
from dlc import nn
from dlc.ir.types import DType, bf16, dtype, f16, f32, f64
from tests.conformance.cut import chosen

pytestmark = pytest.mark.conformance
SEEDS = 100
SIZES = (10, 100, 1000, 10_000, 100_000)
Array = np.ndarray[Any, Any]
# eps: a faithful rounding, one of the two neighbours of the exact value in the dtype. Only the
# nearest is nearer, and to give that one always takes all bits of the sum (of 1 + 2**-24 + ...)
FAITHFUL = 1.0
EPS = {"f64": 2.0**-52, "f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}


def running(suite: str, *axes: Iterable[Any]) -> list[Any]:
    """Those of the product of `axes` that run: the slice of the day, or all."""
    cases = {" ".join(map(str, case)): case for case in itertools.product(*axes)}
    names = chosen(f"numerics {suite}", list(cases))
    return [pytest.param(*cases[name], id=name) for name in names]


def drawn(kind: str, rng: np.random.Generator, shape: tuple[int, ...], along: int = 0) -> Array:
    """Operands that are easy, that cancel over six decades, far from 0, or equal along an axis."""
    if kind == "uniform":
        return rng.uniform(0, 1, shape)
    if kind == "cancel":
        return rng.normal(size=shape) * 10.0 ** rng.uniform(-3, 3, shape)
    if kind == "offset":
        return rng.normal(size=shape) + 1000
    one = [1 if axis == along else n for axis, n in enumerate(shape)]
    return np.broadcast_to(rng.uniform(0.05, 0.15, one), shape).copy()


def exponentials(x: Array) -> Array:
    return np.exp(x - x.max(1, keepdims=True))


def logs(x: Array) -> Array:
    return np.log(exponentials(x).sum(1)) + x.max(1)


@dataclass(frozen=True)
class Case:
    """What both compute of [SEEDS, n], the exact result, and what its error is relative to."""

    ours: Callable[[Any], Any]
    theirs: Callable[[Any], Any]
    exact: Callable[[Array], Array]
    scale: Callable[[Array], Array]


LABELS = np.arange(SEEDS, dtype=np.int32) % 7
ROWS: dict[str, Case] = {
    "sum": Case(lambda x: x.sum(1), lambda x: x.sum(1), lambda x: x.sum(1),
                lambda x: np.abs(x).sum(1)),
    "mean": Case(lambda x: x.mean(1), lambda x: x.mean(1), lambda x: x.mean(1),
                 lambda x: np.abs(x).mean(1)),
    "variance": Case(lambda x: dlc.variance(x, 1), lambda x: x.var(1, correction=0),
                     lambda x: x.var(1), lambda x: x.var(1)),
    "norm": Case(lambda x: dlc.norm(x, 2, 1), lambda x: x.norm(dim=1),
                 lambda x: np.sqrt((x * x).sum(1)), lambda x: np.sqrt((x * x).sum(1))),
    "logsumexp": Case(lambda x: dlc.logsumexp(x, 1), lambda x: x.logsumexp(1), logs,
                      lambda x: np.maximum(np.abs(logs(x)), 1)),
    "softmax": Case(
        nn.softmax, lambda x: x.softmax(1),
        lambda x: exponentials(x) / exponentials(x).sum(1, keepdims=True),
        lambda x: exponentials(x) / exponentials(x).sum(1, keepdims=True) + 1e-30),
    "cross entropy": Case(
        lambda x: nn.cross_entropy(x, LABELS, reduction="none"),
        lambda x: torch.nn.functional.cross_entropy(x, torch.tensor(LABELS).long(),
                                                    reduction="none"),
        lambda x: logs(x) - x[np.arange(SEEDS), LABELS],
        lambda x: np.abs(logs(x)) + np.abs(x[np.arange(SEEDS), LABELS])),
}
OPERANDS = {"sum": ("uniform", "cancel", "equal"), "mean": ("uniform", "cancel", "equal"),
            "variance": ("uniform", "cancel", "offset"), "norm": ("uniform", "cancel", "equal")}


def wide(x: Array) -> Array:
    return x.astype(np.longdouble if x.dtype == np.float64 else np.float64)


def tensor(x: Array) -> Any:
    if x.dtype == bf16.numpy:
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(x)


def largest(found: Any, exact: Array, scale: Array) -> float:
    back = found.double().numpy() if isinstance(found, torch.Tensor) and (
        found.dtype is not torch.float64) else np.asarray(found)
    return float(np.max(np.abs(wide(np.asarray(back, np.float64)) - exact) / scale))


def hold(ours: float, theirs: float, kind: DType, what: str) -> None:
    eps = EPS[kind.name]
    print(f"{what}: {ours / eps:.2f} eps, PyTorch {theirs / eps:.2f} eps")
    assert ours <= max(2 * theirs, FAITHFUL * eps), what


def both(ours: Any, theirs: Any, arrays: list[Array]) -> tuple[Any, Any]:
    graph = dlc.trace(ours, *(dtype(a.dtype)[a.shape] for a in arrays))
    with dlc.compile(graph).load(threads=1) as program:
        return program(*arrays), theirs(*map(tensor, arrays))


@pytest.mark.parametrize(("name", "kind", "n"), running(
    "rows", ROWS, (f32, f64, f16, bf16), SIZES))
def test_along_the_last_axis(name: str, kind: DType, n: int) -> None:
    case = ROWS[name]
    for draw in OPERANDS.get(name, ("uniform", "offset")):
        if kind in (f16, bf16) and (draw != "uniform" or n > 10_000):
            continue
        x = drawn(draw, np.random.default_rng(n), (SEEDS, n), 1).astype(kind.numpy)
        exact, scale = case.exact(wide(x)), case.scale(wide(x))
        ours, theirs = (largest(r, exact, scale) for r in both(case.ours, case.theirs, [x]))
        hold(ours, theirs, kind, f"{name} {kind} {draw} {n}")


@pytest.mark.parametrize(("kind", "n"), running("columns", (f32, f64), SIZES))
def test_along_the_first_axis_and_both_ends(kind: DType, n: int) -> None:
    """sum(0) of [n, SEEDS]; sum over the first and last of [n / 5, SEEDS, 5]."""
    for draw in ("uniform", "cancel", "equal"):
        x = drawn(draw, np.random.default_rng(n), (n, SEEDS)).astype(kind.numpy)
        for what, shape, axes in (("first", (n, SEEDS), (0,)),
                                  ("ends", (n // 5, SEEDS, 5), (0, 2))):
            y = x.reshape(shape)
            exact, scale = wide(y).sum(axes), np.abs(wide(y)).sum(axes)
            ours, theirs = (largest(r, exact, scale) for r in both(
                lambda a, axes=axes: a.sum(axes), lambda a, axes=axes: a.sum(axes), [y]))
            hold(ours, theirs, kind, f"sum {what} {kind} {draw} {n}")


@pytest.mark.parametrize(("kind", "draw"), running(
    "long sums", (f32, f64), ("uniform", "cancel", "equal")))
def test_ten_million_elements(kind: DType, draw: str) -> None:
    """Of all elements at once, ten seeds."""
    n, ours, theirs = 10_000_000, 0.0, 0.0
    with dlc.compile(dlc.trace(lambda x: x.sum(), kind[n])).load(threads=1) as program:
        for seed in range(10):
            x = drawn(draw, np.random.default_rng(seed), (n,)).astype(kind.numpy)
            exact, scale = wide(x).sum(), np.abs(wide(x)).sum()
            ours = max(ours, largest(program(x), exact, scale))
            theirs = max(theirs, largest(torch.from_numpy(x).sum(), exact, scale))
    hold(ours, theirs, kind, f"sum {kind} {draw} {n}")


@pytest.mark.parametrize(("kind", "n"), running(
    "products", (f32, f64), (10, 100, 1000, 3000, 10_000)))
def test_products(kind: DType, n: int) -> None:
    """A matrix times a matrix, by rows and by columns: 10,000 dots; relative to |A| |B|."""
    for draw in ("uniform", "cancel"):
        for what, function, shape in (("rows", lambda x, y: x @ y.T, (SEEDS, n)),
                                      ("columns", lambda x, y: x.T @ y, (n, SEEDS))):
            rng = np.random.default_rng(n)
            x, y = (drawn(draw, rng, shape).astype(kind.numpy) for _ in range(2))
            exact, scale = function(wide(x), wide(y)), function(abs(wide(x)), abs(wide(y)))
            ours, theirs = (largest(r, exact, scale) for r in both(function, function, [x, y]))
            hold(ours, theirs, kind, f"{what} {kind} {draw} {n}")


@pytest.mark.parametrize(("kind", "n"), running("dots", (f32, f64), SIZES))
def test_dots(kind: DType, n: int) -> None:
    """A vector times a vector; relative to |x| |y|."""
    with dlc.compile(dlc.trace(lambda x, y: x @ y, kind[n], kind[n])).load(threads=1) as program:
        for draw in ("uniform", "cancel"):
            ours, theirs = 0.0, 0.0
            for seed in range(SEEDS):
                rng = np.random.default_rng(seed)
                x, y = (drawn(draw, rng, (n,)).astype(kind.numpy) for _ in range(2))
                exact, scale = wide(x) @ wide(y), abs(wide(x)) @ abs(wide(y))
                ours = max(ours, largest(program(x, y), exact, scale))
                theirs = max(theirs, largest(tensor(x) @ tensor(y), exact, scale))
            hold(ours, theirs, kind, f"dot {kind} {draw} {n}")
