"""Factorizations as loops of the DSL over columns or rows, in f64, for ONNX which has none.

Source of the algorithms: Golub and Van Loan, Matrix Computations, 4th ed., 3.4, 4.2, 5.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dlc.ir.graph import Node
from dlc.ir.types import Type, f64, i32
from dlc.ops import elementwise, leaf
from dlc.ops.contract import matmul, swap
from dlc.ops.convert import cast
from dlc.ops.gather import take
from dlc.ops.linalg_solve import identity_like
from dlc.ops.matrix import triangle
from dlc.ops.reduce import argmax, sum_
from dlc.ops.view import concat

where = elementwise.where


def numbers(n: int) -> Node:
    """0, 1, ... n - 1."""
    return leaf.iota((n,), 0, i32)


def column(a: Node, j: Node) -> Node:
    """Column j of matrices a [..., m, n], as [..., m, 1]."""
    return take(a, j, a.ndim - 1, mode="clip")[..., None]


def row(a: Node, i: Node) -> Node:
    """Row i of matrices a [..., m, n], as [..., 1, n]."""
    return take(a, i, a.ndim - 2, mode="clip")[..., None, :]


def each(n: int, step: Callable[[Any, Node], Any], carry: Any, backwards: bool = False) -> Any:
    """`carry` after step(carry, i) for i = 0 .. n - 1."""
    from dlc.lang.loops import scan

    return scan(lambda c, i: (step(c, i), None), carry, numbers(n), reverse=backwards)[0]


def cholesky(a: Node) -> Node:
    """Column by column: what is left of a loses the column's outer product."""
    from dlc.lang.loops import scan

    n = int(a.shape[-1])
    below = numbers(n)[:, None]

    def step(left: Node, j: Node) -> tuple[Node, Node]:
        rest = column(left, j)
        pivot = row(rest, j)
        root = elementwise.sqrt(where(pivot > 0.0, pivot, math.nan))
        found = where(below >= j, rest / root, 0.0)
        return left - matmul(found, swap(found)), found[..., 0]

    lower = triangle(cast(a, f64))
    _, columns = scan(step, lower + swap(triangle(lower, diagonal=False)), numbers(n))
    order = (*range(1, columns.ndim), 0)
    return cast(columns.transpose(order), a.dtype)


def triangular_solve(a: Node, b: Node, lower: bool, trans: bool, unit: bool) -> Node:
    """Row after row, from the end for upper triangles."""
    n, forwards = int(a.shape[-1]), lower is not trans
    matrix = swap(a) if trans else a
    matrix, right = cast(matrix, f64), cast(b, f64)
    at = numbers(n)

    def step(x: Node, i: Node) -> Node:
        coefficients = row(matrix, i)
        known = at < i if forwards else at > i
        rest = row(right, i) - matmul(where(known, coefficients, 0.0), x)
        found = rest if unit else rest / column(coefficients, i)
        return where((at == i)[:, None], found, x)

    start = leaf.constant(0.0, Type(f64, tuple(b.shape)))
    return cast(each(n, step, start, not forwards), b.dtype)


def pivoted(matrix: Node, j: Node) -> tuple[Node, Node]:
    """Rows j and p exchanged, p [..., 1] the place of the largest of column j from row j on."""
    at, lead = numbers(int(matrix.shape[-2])), matrix.ndim - 2
    sizes = where(at >= j, elementwise.abs_(column(matrix, j)[..., 0]), -1.0)
    best = cast(argmax(sizes, -1), i32)[..., None]
    order = where(at == j, best, where(at == best, j, at))
    return take(matrix, order, lead, lead, mode="clip"), best


def solve(a: Node, b: Node, trans: bool) -> Node:
    """Gauss and Jordan with partial pivoting on [a | b]."""
    n = int(a.shape[-1])
    at = numbers(n)[:, None]
    both = concat([cast(swap(a) if trans else a, f64), cast(b, f64)], -1)

    def step(matrix: Node, j: Node) -> Node:
        matrix, _ = pivoted(matrix, j)
        chosen = row(matrix, j)
        chosen = chosen / column(chosen, j)
        return where(at == j, chosen, matrix - column(matrix, j) * chosen)

    return cast(each(n, step, both)[..., n:], b.dtype)


def slogdet(a: Node) -> tuple[Node, Node]:
    """Signs and logarithms of the pivots of Gauss' elimination."""
    n, at = int(a.shape[-1]), numbers(int(a.shape[-1]))[:, None]
    one = Type(f64, (*a.shape[:-2], 1))

    def step(carry: Any, j: Node) -> Any:
        matrix, sign, total = carry
        matrix, place = pivoted(matrix, j)
        chosen = row(matrix, j)
        pivot = column(chosen, j)
        factor = where((at > j) & (pivot != 0.0), column(matrix, j) / pivot, 0.0)
        pivot = pivot[..., 0]
        sign = sign * elementwise.sign(pivot) * where(place == j, 1.0, -1.0)
        total = total + elementwise.log(elementwise.abs_(pivot))
        return matrix - factor * chosen, sign, total

    start = cast(a, f64), leaf.constant(1.0, one), leaf.constant(0.0, one)
    _, sign, total = each(n, step, start)
    total = where(sign == 0.0, -math.inf, total)
    return cast(sign[..., 0], a.dtype), cast(total[..., 0], a.dtype)


def qr(a: Node) -> tuple[Node, Node]:
    """A reflection a column, applied to a from the left and gathered in q from the right."""
    m, n = int(a.shape[-2]), int(a.shape[-1])
    at = numbers(m)[:, None]
    wide = leaf.constant(0.0, Type(f64, (*a.shape[:-2], m, m)))

    def step(carry: Any, j: Node) -> Any:
        q, r = carry
        rest = where(at >= j, column(r, j), 0.0)
        first = row(rest, j)
        tail = sum_(where(at > j, rest * rest, 0.0), -2, keepdims=True)
        norm = elementwise.sqrt(first * first + tail)
        turned = where(at == j, first - where(first >= 0.0, -norm, norm), rest)
        size = sum_(turned * turned, -2, keepdims=True)
        # a column that is done already is not reflected
        scale = where(tail == 0.0, 0.0, 2.0 / size)
        r = r - turned * scale * matmul(swap(turned), r)
        return q - matmul(q, turned) * scale * swap(turned), r

    q, r = each(n, step, (identity_like(wide), cast(a, f64)))
    return (cast(q[..., :n], a.dtype),
            cast(triangle(r[..., :n, :], lower=False), a.dtype))
