"""Orthonormal columns completed to a basis, for the full forms of QR and SVD."""

from __future__ import annotations

from collections.abc import Callable

from dlc.ir.graph import Node
from dlc.lang.gradient_rules import custom_gradient
from dlc.ops.contract import matmul, swap
from dlc.ops.elementwise import stop_gradient
from dlc.ops.linalg_qr import qr_of_tall
from dlc.ops.view import concat, narrow, pad


def completed(u: Node) -> Node:
    """[..., m, m] orthonormal: the columns of u [..., m, k], then some that complete them.

    Which ones is not determined: gradients are those of functions of the space that they span.
    """
    if int(u.shape[-1]) == int(u.shape[-2]):
        return u
    return concat([u, _complement(u)], axis=u.ndim - 1)


@custom_gradient
def _complement(u: Node) -> tuple[Node, Callable[[Node], Node]]:
    """Orthonormal columns v with u^T v = 0, from Householder's reflections.

    v' = -u u'^T v keeps that, and turns v within its own space by nothing.
    """
    m, k = map(int, u.shape[-2:])
    ahead = (0,) * u.ndim
    found = qr_of_tall(pad(u, ahead, (*ahead[1:], m - k)))[0]
    v = narrow(found, u.ndim - 1, k, m - k)

    def pullback(g: Node) -> Node:
        # the same values with the derivative above, for a second derivative
        kept = stop_gradient(v)
        moving = kept - matmul(u, matmul(swap(u - stop_gradient(u)), kept))
        return -matmul(moving, matmul(swap(g), u))

    return v, pullback
