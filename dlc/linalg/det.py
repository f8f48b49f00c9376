"""The determinant as a polynomial: differentiable at singular matrices too.

Its gradient is the matrix of cofactors. With a = u diag(s) v^T that is
|u| |v| u diag(p) v^T, where p_i is the product of the other singular values: nothing is divided by
one that is 0. Derivatives of the cofactors need the products that leave out two of them.
"""

from __future__ import annotations

from collections.abc import Callable

from dlc.ir.graph import Node, make
from dlc.ir.types import f64, i32
from dlc.lang.gradient_rules import custom_gradient
from dlc.ops.contract import matmul, swap
from dlc.ops.convert import broadcast_to, cast
from dlc.ops.elementwise import eq, exp, where
from dlc.ops.linalg_solve import SLOGDET
from dlc.ops.linalg_spectral import svd_of
from dlc.ops.matrix import diagonal_only, positions
from dlc.ops.reduce import prod, sum_
from dlc.ops.tuples import item
from dlc.ops.view import reshape

Pullback = Callable[[Node], Node]


def determinant(a: Node) -> Node:
    """det a [...] of float matrices a [..., n, n], computed in f64."""
    found: Node = _determinant(cast(a, f64))
    return cast(found, a.dtype)


@custom_gradient
def _determinant(a: Node) -> tuple[Node, Pullback]:
    node = make(SLOGDET, (a,))

    def pullback(g: Node) -> Node:
        minors: Node = cofactors(a)
        return reshape(g, (*g.shape, 1, 1)) * minors

    return item(node, 0) * exp(item(node, 1)), pullback


@custom_gradient
def cofactors(a: Node) -> tuple[Node, Pullback]:
    """The signed minors of a [..., n, n]: det(a) a^-T where a is not singular.

    In the basis of u and v a change m of a changes the cofactors at (i, i) by the sum over k of
    p_ik m_kk, and at (i, j) by -p_ij m_ji; p_ij is the product of all s but s_i and s_j, 0 for
    i = j. The map is its own transpose.
    """
    u, s, vh = svd_of(a)
    turned = item(make(SLOGDET, (u,)), 0) * item(make(SLOGDET, (vh,)), 0)
    sign = reshape(turned, (*turned.shape, 1, 1))

    def pullback(g: Node) -> Node:
        inner = matmul(matmul(swap(u), g), swap(vh))
        pairs = _without_two(s)
        own = matmul(pairs, sum_(diagonal_only(inner), -1, True))
        moved = diagonal_only(broadcast_to(own, inner.shape)) - pairs * swap(inner)
        return sign * matmul(matmul(u, moved), vh)

    alone = reshape(_without_one(s), (*s.shape[:-1], 1, s.shape[-1]))
    return sign * matmul(u * alone, vh), pullback


def _parts(s: Node) -> tuple[Node, Node, Node]:
    """s with 1 in place of 0, where it is 0 (as numbers), and how often [..., 1]."""
    zero = eq(s, 0.0)
    count = cast(zero, i32)
    return where(zero, 1.0, s), count, sum_(count, -1, True)


def _without_one(s: Node) -> Node:
    """The product of the other elements, for each of s [..., n]."""
    plain, zero, zeros = _parts(s)
    return where(eq(zeros, zero), prod(plain, -1, True) / plain, 0.0)


def _without_two(s: Node) -> Node:
    """The products of all elements of s [..., n] but i and j [..., n, n]; 0 for i = j."""
    plain, zero, zeros = _parts(s)
    row, column = (*s.shape[:-1], 1, s.shape[-1]), (*s.shape, 1)
    total = reshape(prod(plain, -1, True), (*zeros.shape, 1))
    products = total / (reshape(plain, column) * reshape(plain, row))
    left = reshape(zeros, (*zeros.shape, 1)) - reshape(zero, column) - reshape(zero, row)
    apart = positions(products)
    return where(eq(left, 0), where(eq(*apart), 0.0, products), 0.0)
