"""The matrix exponential: the record, batched over leading axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dlc.ir.graph import Kind, Node, Op, make
from dlc.ir.registry import register
from dlc.ir.types import Type, f64
from dlc.ops import leaf
from dlc.ops.contract import swap
from dlc.ops.matrix import square
from dlc.ops.routine import Routine, Workspace, batch_count, filled, kernel_dtype
from dlc.ops.view import concat, narrow

TERMS = 18  # of the series: below 1e-22 of a matrix whose norm is at most 1/2

# e^a = (e^(a / 2^s))^(2^s): the series by Horner's rule in f64, then s squarings.
_EXPM = """
def expm(a, e, x, t, p, item):
    base = item * ($n * $n)
    norm = 0.0
    for i in range($n):
        total = 0.0
        for j in range($n):
            x[base + i * $n + j] = f64(a[base + i * $n + j])
            t[base + i * $n + j] = 1.0 if i == j else 0.0
            total += abs(x[base + i * $n + j])
        norm = maximum(norm, total)
    squarings = 0
    scale = 1.0
    while norm > 0.5 and squarings < 1100:
        norm *= 0.5
        scale *= 0.5
        squarings += 1
    for i in range($n * $n):
        x[base + i] *= scale
    for step in range($terms + squarings):
        for i in range($n):
            for j in range($n):
                p[base + i * $n + j] = 0.0
            for k in range($n):
                factor = x[base + i * $n + k] if step < $terms else t[base + i * $n + k]
                for j in range($n):
                    p[base + i * $n + j] += factor * t[base + k * $n + j]
        for i in range($n):
            for j in range($n):
                value = p[base + i * $n + j]
                if step < $terms:
                    value = value / f64($terms - step) + (1.0 if i == j else 0.0)
                t[base + i * $n + j] = value
    for i in range($n * $n):
        e[base + i] = $T(t[base + i])
"""


def _infer_expm(a: Type) -> Type:
    square(a)
    return a.with_(layout=None)


def _eval_expm(a: Any) -> Any:
    wide = np.asarray(a, np.float64)
    norm = float(np.max(np.sum(np.abs(wide), -1), initial=0.0))
    squarings = max(0, int(np.ceil(np.log2(norm))) + 1) if 0.5 < norm < np.inf else 0
    scaled = wide / 2.0 ** squarings
    eye = np.eye(wide.shape[-1])
    total = np.broadcast_to(eye, wide.shape)
    for k in range(TERMS, 0, -1):
        total = scaled @ total / k + eye
    for _ in range(squarings):
        total = total @ total
    return total


def _emit_expm(y: Node) -> Routine:
    n, batch = int(y.shape[-1]), batch_count(y.shape, 2)
    text = filled(_EXPM, n=n, terms=TERMS, T=kernel_dtype(y.type))
    return Routine(text, {"item": batch}, (Workspace(f64, n * n),) * 3,
                   flops=batch * 2 * TERMS * n ** 3)


def _grad_expm(g: Node, y: Node, a: Node) -> tuple[Node]:
    """The upper right block of exp([[a^T, g], [0, a^T]]) (Najfeld & Havel 1995)."""
    n, last = int(a.shape[-1]), a.ndim - 1
    turned = swap(a)
    top = concat([turned, g], axis=last)
    low = concat([leaf.constant(0.0, a.type.with_(layout=None)), turned], axis=last)
    whole = make(EXPM, (concat([top, low], axis=last - 1),))
    return (narrow(narrow(whole, last - 1, 0, n), last, n, n),)


def _sample_expm() -> Iterator[Any]:
    rng = np.random.default_rng(38)
    for shape, size in (((1, 1), 1.0), ((3, 3), 0.2), ((2, 4, 4), 1.5)):
        yield ((size * rng.uniform(-1, 1, shape)).astype(np.float32),), {}


EXPM = register(Op(
    "expm", Kind.ROUTINE, _infer_expm, _eval_expm, _grad_expm, _emit_expm, _sample_expm,
    doc="the matrix exponential, by scaling and squaring in f64"))
