"""Factorizations and custom operators on intervals, by perturbing their inputs.

A backward stable algorithm gives the exact result for an operand that is off by p(n) u of its norm
(Higham, chapters 9, 10, 19 and 20). What such perturbations do is measured with random signs;
a sum of s random terms is some sqrt(s) below the largest, so the largest that is seen counts
sqrt(s) times, s the elements of a matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir.graph import Node
from dlc.ir.types import TupleType
from dlc.reference.rounding.interval import UNIT, Array, Interval, rounded, wide

TRIES = 4
STEPS = 8.0  # p(n) = 8 n: the constants of Cholesky, LU, Householder's QR and one sweep of Jacobi
OWN = 64.0  # a user's function of one element: so many operations


def perturbed(node: Node, operands: Sequence[Interval]) -> list[Interval]:
    """The intervals of a node's results when its operands are perturbed."""
    types = node.type.items if isinstance(node.type, TupleType) else (node.type,)
    mids = _results(node, [x.mid for x in operands], types)
    if not any(x.mid.dtype.kind == "f" for x in operands) and all(x.certain for x in operands):
        return [Interval(m, m, m) for m in mids]
    rng = np.random.default_rng(len(mids) + node.args[0].type.size)
    tries = [_results(node, [_shaken(node, x, rng) for x in operands], types)
             for _ in range(TRIES)]
    free = any(bool(np.any(x.free)) for x in operands)
    return [_around(mid, [t[i] for t in tries], type_, node).freed(np.broadcast_to(
        free, mid.shape)) for i, (mid, type_) in enumerate(zip(mids, types, strict=True))]


def _results(node: Node, args: Sequence[Any], types: Any) -> list[Array]:
    made = node.op.eval(*args, **node.attrs)
    values = made if isinstance(node.type, TupleType) else (made,)
    return [wide(v).astype(np.float64 if t.dtype.is_float else t.dtype.numpy).reshape(
        tuple(map(int, t.shape))) for v, t in zip(values, types, strict=True)]


def _side(node: Node) -> int:
    """n of the matrices that a routine takes."""
    shape = node.args[0].type.shape
    return max((int(d) for d in shape[-2:]), default=1)


def _shaken(node: Node, x: Interval, rng: np.random.Generator) -> Array:
    if x.mid.dtype.kind != "f":
        return x.mid
    unit = UNIT[node.args[0].type.dtype.name]
    if node.op.functions:
        size: Any = OWN * unit * abs(x.mid)
    else:
        size = STEPS * _side(node) * unit * np.linalg.norm(x.mid) / max(x.mid.size, 1) ** 0.5
    reach = np.where(np.isfinite(x.radius), x.radius, 0.0)
    shaken: Array = x.mid + rng.choice((-1.0, 1.0), x.mid.shape) * (size + reach)
    return shaken


def _around(mid: Array, tries: Sequence[Array], type_: Any, node: Node) -> Interval:
    """The value, and what was seen around it."""
    if mid.dtype.kind != "f":
        moved = np.any([t != mid for t in tries], axis=0)
        return Interval(mid, mid, mid).freed(moved)
    with np.errstate(all="ignore"):
        seen = np.max([np.abs(t - mid) for t in tries], axis=0)
    known = np.isfinite(seen) | (np.isnan(mid) & np.all(np.isnan(tries), axis=0))
    by = _side(node) * np.where(np.isfinite(seen), seen, 0.0)
    units = OWN if node.op.functions else STEPS * _side(node)
    largest = np.max(np.abs(np.nan_to_num(mid, posinf=0, neginf=0)), initial=0.0)
    found = rounded(Interval(mid, mid - by, mid + by), type_.dtype, units,
                    units * UNIT[type_.dtype.name] * largest)
    return found.freed(~known)
