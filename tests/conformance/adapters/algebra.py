"""torch.linalg and einsum in dlc's DSL."""

from __future__ import annotations

from typing import Any

import dlc
from dlc import linalg
from dlc.ir.graph import Node
from tests.conformance.adapters.registry import Excluded, add, axis_of, covers

swapped = dlc.swapaxes


SUMMED = "axes of an ellipsis that the result lacks: NumPy and dlc refuse them"


@covers("einsum", excludes=(SUMMED,))
def einsum(operands: Any, equation: str) -> Node:
    left, arrow, right = equation.partition("->")
    if arrow and "..." in left and "..." not in right:
        raise Excluded(SUMMED)
    return dlc.einsum(equation, *(operands if isinstance(operands, (list, tuple)) else [operands]))


@covers("linalg.cholesky", scale=20.0)
def cholesky(a: Node, upper: bool = False) -> Node:
    return linalg.cholesky(a, upper)


add("cholesky", cholesky, scale=20.0)
add("linalg.det", linalg.det, scale=50.0)
add("logdet", lambda a: log_of(linalg.slogdet(a)), scale=50.0)
add("linalg.slogdet", lambda a: list(linalg.slogdet(a)), scale=50.0)
add("linalg.inv", linalg.inv, scale=50.0)
add("linalg.solve", lambda a, b, left=True: solve(a, b, left), scale=50.0)
add("linalg.matrix_power", lambda a, n: linalg.matrix_power(a, n), scale=50.0)
add("matrix_exp", linalg.expm, scale=50.0)
add("cross", lambda a, b, dim=None: cross(a, b, dim))
add("linalg.cross", lambda a, b, dim=-1: cross(a, b, dim))


def log_of(pair: Any) -> Node:
    """The logarithm of a determinant, NaN where it is negative."""
    sign, log = pair
    return dlc.where(sign < 0, float("nan"), log)


def cross(a: Node, b: Node, dim: Any) -> Node:
    """torch's `dim` left out is the first axis of size 3."""
    at = dim if dim is not None else next(i for i, d in enumerate(a.shape) if int(d) == 3)
    return dlc.cross(a, b, at)


def solve(a: Node, b: Node, left: bool) -> Node:
    """Vectors are those of one axis less than the matrices."""
    vector = b.ndim == 1 or (b.ndim == a.ndim - 1 and tuple(b.shape) == tuple(a.shape[:-1]))
    columns = dlc.expand_dims(b, -1) if vector else b
    lead = tuple(map(int, columns.shape[:-2]))
    lead_a = tuple(map(int, a.shape[:-2]))
    if lead != lead_a:
        wide = dlc.ops.convert.broadcast_shape("solve", [dlc.zeros((*lead, 1)),
                                                         dlc.zeros((*lead_a, 1))])[:-1]
        a = dlc.broadcast_to(a, (*wide, *a.shape[-2:]))
        columns = dlc.broadcast_to(columns, (*wide, *columns.shape[-2:]))
    if left:
        found = linalg.solve(a, columns)
    else:
        found = swapped(linalg.solve(swapped(a, -1, -2), swapped(columns, -1, -2)), -1, -2)
    return dlc.squeeze(found, -1) if vector else found


@covers("linalg.solve_triangular", scale=50.0)
def solve_triangular(a: Node, b: Node, upper: bool, left: bool = True,
                     unitriangular: bool = False) -> Node:
    if left:
        return linalg.solve_triangular(a, b, lower=not upper, unit_diagonal=unitriangular)
    turned = linalg.solve_triangular(swapped(a, -1, -2), swapped(b, -1, -2), lower=upper,
                                     unit_diagonal=unitriangular)
    return swapped(turned, -1, -2)


@covers("linalg.qr", scale=50.0)
def qr(a: Node, mode: str = "reduced") -> list[Node]:
    found = linalg.qr(a, mode)
    return list(found) if isinstance(found, tuple) else [found]


@covers("linalg.svdvals", scale=50.0)
def svdvals(a: Node) -> Node:
    return linalg.svdvals(a)


@covers("linalg.eigh", scale=50.0)
def eigh(a: Node, UPLO: str = "L") -> list[Node]:
    """What torch_unique.eigh gives."""
    values, vectors = linalg.eigh(a + swapped(a, -1, -2))
    both = (vectors * dlc.expand_dims(dlc.tanh(values), -2)) @ swapped(vectors, -1, -2)
    return [values, vectors * vectors, both]


@covers("linalg.svd", scale=200.0)
def svd(a: Node, full_matrices: bool = True) -> list[Node]:
    """What torch_unique.svd gives; the spaces left over by the vectors that complete the bases."""
    u, s, vh = linalg.svd(a, full_matrices)
    k = int(s.shape[-1])
    left, right = u[..., :, :k], vh[..., :k, :]
    found = [s, left * left, right * right, left @ right]
    if not full_matrices:
        return found
    rest_u, rest_v = u[..., :, k:], vh[..., k:, :]
    return [*found, rest_u @ swapped(rest_u, -1, -2), swapped(rest_v, -1, -2) @ rest_v]


@covers("linalg.lstsq linalg.lstsq/grad_oriented", scale=100.0)
def lstsq(a: Node, b: Node, driver: Any = None) -> list[Node]:
    return [linalg.lstsq(a, b)]


@covers("linalg.pinv", scale=100.0)
def pinv(a: Node, rcond: Any = None, rtol: Any = None, hermitian: bool = False) -> Node:
    given = rcond if rcond is not None else rtol
    return linalg.pinv(a) if given is None else linalg.pinv(a, given)


def norm_over(x: Node, ord: Any, dim: Any, keepdim: bool) -> Node:
    if isinstance(dim, list):
        dim = tuple(dim)
    if x.ndim == 0:
        return linalg.vector_norm(x.reshape((1,)), 2 if ord is None else ord)
    return linalg.norm(x, ord, dim, keepdim)


@covers("linalg.norm", scale=20.0)
def norm(x: Node, ord: Any = None, dim: Any = None, keepdim: bool = False,
         dtype: Any = None) -> Node:
    return norm_over(x, ord, dim, keepdim)


@covers("linalg.vector_norm", scale=10.0)
def vector_norm(x: Node, ord: float = 2, dim: Any = None, keepdim: bool = False,
                dtype: Any = None) -> Node:
    if x.ndim == 0:
        return linalg.vector_norm(x.reshape((1,)), ord)
    axis = None if dim is None else (dim if isinstance(dim, int) else tuple(dim))
    return linalg.vector_norm(x, ord, axis, keepdim)


@covers("linalg.matrix_norm", scale=50.0)
def matrix_norm(x: Node, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False,
                dtype: Any = None) -> Node:
    return linalg.matrix_norm(x, ord, tuple(dim), keepdim)


@covers("norm", scale=10.0)
def plain_norm(x: Node, p: Any = "fro", dim: Any = None, keepdim: bool = False,
               dtype: Any = None) -> Node:
    order = 2.0 if p in (None, "fro") else float(p)
    return vector_norm(x, order, dim, keepdim)


# --- diagonals and triangles ----------------------------------------------------------------------


@covers("diag")
def diag(x: Node, diagonal: int = 0) -> Node:
    return dlc.diag(x, diagonal)


@covers("diag_embed")
def diag_embed(x: Node, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Node:
    found = dlc.diag_embed(x, offset)
    return dlc.moveaxis(found, (-2, -1), (axis_of(found, dim1), axis_of(found, dim2)))


add("diagflat", lambda x, offset=0: dlc.diag(x.reshape((-1,)), offset))
