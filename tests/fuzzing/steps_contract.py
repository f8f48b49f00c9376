"""Steps of random programs: products, convolutions of every kind, pooling, small linear algebra."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dlc
from dlc import linalg
from dlc.ir.graph import Node, make
from dlc.ir.types import DType, Type, f16, f32, f64
from dlc.ops import contract
from tests.fuzzing.draw import Maker, is_float

# letters of an einsum by role: batch, rows, columns, summed
EINSUMS = ("ij,jk->ik", "ij,kj->ik", "bij,bjk->bik", "bij,bkj->bki", "ij,j->i", "i,j->ij",
           "ij,ij->i", "ij,ij->", "bij,jk->bik", "ij,ik->jk", "bij,bik->jk", "ii,ij->j")


def partner(m: Maker, x: Node, shape: tuple[int, ...]) -> Node:
    """A node of this shape and x's dtype: of the pool, or a new parameter."""
    found = m.find(lambda n: n.dtype is x.dtype and tuple(n.shape) == shape)
    return found if found is not None and m.chance(60) else m.input(Type(x.dtype, shape), "param")


Bilinear = tuple[Node, Node, Callable[[Node, Node], Node]]


def a_product(m: Maker) -> Bilinear | None:
    """matmul, also batched, also read transposed."""
    x = m.find(lambda n: is_float(n) and n.ndim >= 1 and n.type.size > 0)
    if x is None:
        return None
    k, n = int(x.shape[-1]), m.pick(m.dims) or 1
    batched = x.ndim > 2 and m.chance(40)
    shape = (*map(int, x.shape[:-2]), k, n) if batched else (k,) if m.chance(10) else (k, n)
    if x.ndim == 2 and m.chance(20):
        return x, partner(m, x, (int(x.shape[0]), n)), lambda a, b: dlc.swapaxes(a, 0, 1) @ b
    if len(shape) > 1 and m.chance(30):
        turned = (*shape[:-2], *shape[-2:][::-1])
        return x, partner(m, x, turned), lambda a, b: a @ dlc.swapaxes(b, -1, -2)
    return x, partner(m, x, shape), dlc.matmul


def a_long_product(m: Maker) -> Bilinear | None:
    """A product that sums along the memory of both its operands, often of values that are made on
    the way: what is packed by rows that are evaluated and then turned, part by part."""
    x = m.find(lambda n: is_float(n) and n.ndim == 2 and max(n.shape) > 24 and min(n.shape) > 0)
    if x is None or m.chance(30):
        if m.depth:
            return None
        x = matrix(m)
    across = int(x.shape[0]) > int(x.shape[1])
    w = partner(m, x, (m.pick((1, 2, 3, 5, 7, 8, 9, 17)), max(map(int, x.shape))))
    by, also = m.pick((0.5, -0.25, 1.0)), m.pick((0.5, 2.0, 1.0))

    def product(a: Node, b: Node) -> Node:
        a, b = (v if f == 1.0 else v * f for v, f in ((a, by), (b, also)))
        return (dlc.swapaxes(a, 0, 1) if across else a) @ dlc.swapaxes(b, 0, 1)
    return x, w, product


def an_einsum(m: Maker) -> Bilinear | None:
    x = m.find(lambda n: is_float(n) and 0 < n.ndim < 4 and n.type.size > 0)
    if x is None:
        return None
    fitting = [e for e in EINSUMS if len(e.split(",")[0]) == x.ndim and (
        e[:2] != "ii" or x.shape[0] == x.shape[1])]
    text = m.pick(fitting)
    first, second = text.split("->")[0].split(",")
    sizes = dict(zip(first, map(int, x.shape), strict=True))
    shape = tuple(sizes.setdefault(c, m.pick(m.dims) or 1) for c in second)
    return x, partner(m, x, shape), lambda a, b: dlc.einsum(text, a, b)


def an_image(m: Maker) -> Node | None:
    """Something to walk windows over; a new image where there is nothing, outside of bodies."""
    x = m.find(lambda n: is_float(n) and n.ndim in (3, 4, 5) and min(n.shape) > 0)
    return image(m) if x is None and not m.depth else x


def a_convolution(m: Maker) -> Bilinear | None:
    """The operator itself: any padding, strides and both dilations; with five axes a group axis."""
    x = an_image(m)
    if x is None:
        return None
    lead = 3 if x.ndim > 3 and m.chance(30) else 2
    size = [1 + m.draw.below(min(3, int(d))) for d in x.shape[lead:]]
    channels = m.pick([d for d in m.dims if d] or [1])
    head = (int(x.shape[1]), channels, int(x.shape[2])) if lead == 3 else (
        channels, int(x.shape[1]))
    n = len(size)
    wide = [m.pick((1, 1, 2)) if k > 1 else 1 for k in size]
    attrs = {"grouped": lead == 3, "rhs_dilation": tuple(wide),
             "padding": tuple((m.draw.below(3) + d - 1, m.draw.below(3)) for d in wide),
             "stride": tuple(m.pick((1, 1, 2, 3)) for _ in range(n)),
             "lhs_dilation": tuple(m.pick((1, 1, 1, 2)) for _ in range(n))}
    return x, partner(m, x, (*head, *size)), lambda a, b: make(contract.CONV, (a, b), **attrs)


def a_layer(m: Maker) -> Bilinear | None:
    """conv and conv_transpose as networks call them: often stride 2, groups, an unread border."""
    x = an_image(m)
    if x is None:
        return None
    n, c = x.ndim - 2, int(x.shape[1])
    groups, dense = c if m.chance(15) else 1, m.chance(45)
    size = [min(m.pick((1, 1, 2, 3, 3, 4)), int(d)) for d in x.shape[2:]]
    holes = [1 + (m.chance(20) and (k - 1) * 2 < int(d)) for k, d in zip(size, x.shape[2:],
                                                                      strict=True)]
    step = [1 if dense else m.pick((1, 2, 2, 3)) for _ in range(n)]
    channels = groups * (1 + m.draw.below(3)) if groups > 1 else m.pick((1, 2, 3, 4, 6, 8, 9, 17))
    if m.chance(30):
        w, pads = partner(m, x, (c, channels // groups, *size)), m.draw.below(2)
        return x, w, lambda a, b: dlc.conv_transpose(a, b, step, pads, 0, holes, groups)
    w = partner(m, x, (channels, c // groups, *size))
    pairs = tuple((m.draw.below(3), m.draw.below(3)) for _ in range(n))
    around: Any = m.pick((0, "same", pairs, pairs))
    return x, w, lambda a, b: dlc.conv(a, b, step, around, holes, groups)


BILINEAR = (a_product, a_long_product, an_einsum, a_convolution, a_layer, a_layer)


def prologue(m: Maker, x: Node) -> Node:
    """x, or what a packing evaluates instead of copying it."""
    way = m.draw.below(4)
    return x * 0.5 if way == 0 else dlc.tanh(x) if way == 1 else x


def contraction(m: Maker) -> Node | None:
    """A product or convolution, often of a value that is made on the way."""
    found = m.pick(BILINEAR)(m)
    if found is None:
        return None
    x, w, function = found
    return function(prologue(m, x), prologue(m, w))


def trained(m: Maker) -> Any:
    """The gradients of a contraction by both operands, of first or second order."""
    found = m.pick(BILINEAR)(m)
    if found is None or found[0].dtype.bytes < 4 or m.depth > 1:
        return None
    x, w, function = found
    squared, first = m.chance(50), m.chance(70)

    def loss(a: Node, b: Node) -> Node:
        y = function(dlc.tanh(a) if squared else a, b)
        with m.body([y], [m.ball(function(x, w))], False):
            return dlc.sum(y * y) if squared else dlc.sum(y * m.like(y))

    if first:
        return dlc.grad(loss, wrt=(0, 1))(x, w)
    return dlc.grad(lambda a, b: dlc.sum(dlc.square(dlc.grad(loss)(a, b))), wrt=(0, 1))(x, w)


def other_product(m: Maker) -> Node | None:
    x = m.find(lambda n: n.dtype in (f32, f64) and 0 < n.ndim < 3 and n.type.size > 0)
    if x is None:
        return None
    way = m.draw.below(4)
    if way == 0:
        return dlc.outer(x, m.like(x))
    if way == 1:
        return dlc.inner(x, m.like(x))
    if way == 2:
        return dlc.tensordot(x, m.like(x), 1) if x.ndim == 1 else dlc.tensordot(
            x, m.like(x), ((0,), (0,)))
    return dlc.kron(x, partner(m, x, (2,) * x.ndim))


def image(m: Maker) -> Node:
    """A new image, or a row or a volume, so that windows have something to walk over."""
    sides = (1, 4, 5, 6, 7, 8, 9, 12) if m.largest < 3000 else (8, 12, 15, 16, 17, 31, 32)
    shape = (m.pick((1, 2, 3, 5)), m.pick((1, 2, 3, 8)),
             *(m.pick(sides) for _ in range(m.pick((1, 2, 2, 2, 3)))))
    while math.prod(shape) > m.largest:
        shape = tuple(max(1, d // 2) for d in shape)
    return m.input(Type(m.pick((f32, f32, f64)), shape))


def matrix(m: Maker) -> Node:
    """A new matrix with a long axis, as weights and flattened batches have it."""
    rows, long = m.pick((1, 2, 3, 5, 7, 15)), m.pick((24, 25, 33, 40, 41, 64, 67, 100, 129))
    long = max(2, min(long, m.largest // rows))
    shape = (rows, long) if m.chance(70) else (long, rows)
    return m.input(Type(m.pick((f32, f32, f32, f64, f16)), shape))


def pooled(m: Maker) -> Any:
    x = m.find(lambda n: is_float(n) and n.ndim in (3, 4) and min(n.shape[2:]) > 1)
    if x is None:
        return None
    n = x.ndim - 2
    size = tuple(1 + m.draw.below(3) for _ in range(n))
    stride = tuple(1 + m.draw.below(3) for _ in range(n))
    padding = tuple((m.draw.below(k), m.draw.below(k)) for k in size) if m.chance(40) else 0
    way = m.draw.below(8)
    if way == 0:
        return dlc.adaptive_avg_pool(x, tuple(1 + m.draw.below(3) for _ in range(n)))
    if way == 1:
        return dlc.max_pool_with_indices(x, size, stride, padding)
    if way == 2:
        return m.pick((dlc.global_avg_pool, dlc.global_max_pool))(x)
    if way == 3:
        return dlc.lp_pool(dlc.abs(x) + 0.25, 2, size, stride)
    if way == 4:
        return dlc.resize(x, tuple(m.pick((2, 3, 5, 8)) for _ in range(n)),
                          mode=m.pick(("linear", "nearest")))
    function = dlc.max_pool if m.chance(45) else dlc.avg_pool
    return function(x, size, stride, padding)


def small_matrix(m: Maker) -> Node | None:
    """Small matrices, a new one where there are none outside of bodies."""
    x = m.find(lambda n: n.dtype in (f32, f64) and n.ndim >= 2 and 0 < n.shape[-2] <= 4
               and n.shape[-1] > 0 and n.type.size <= 64)
    if x is None and not m.depth:
        x = m.input(Type(m.pick((f32, f64)), (m.pick((1, 2, 3, 4)), m.pick((1, 2, 3)))))
    return x


Dense = Callable[[Maker, Node, Node], Any]  # of x and of a matrix that is far from singular
DENSE: dict[str, Dense] = {
    "cholesky": lambda m, x, a: linalg.cholesky(a),
    "slogdet": lambda m, x, a: linalg.slogdet(a),
    "solve": lambda m, x, a: linalg.solve(a, x),
    "triangular_solve": lambda m, x, a: linalg.solve_triangular(a, x, lower=m.chance(50)),
    "inv": lambda m, x, a: linalg.inv(a),
    "expm": lambda m, x, a: linalg.expm(dlc.tanh(a) * 0.5),
    "eigvalsh": lambda m, x, a: linalg.eigvalsh(a),
    "svdvals": lambda m, x, a: linalg.svdvals(a),
    "qr": lambda m, x, a: linalg.qr(a + uneven(int(x.shape[-2]), x.dtype))}


def dense_algebra(m: Maker, name: str = "") -> Any:
    """A factorization or solver, of any kind or the one named."""
    x = small_matrix(m)
    if x is None:
        return None
    half = dlc.tanh(x)
    eye = dlc.cast(dlc.eye(int(x.shape[-2])), x.dtype)
    a = dlc.matmul(half, dlc.swapaxes(half, -1, -2)) + eye * 2.0
    return DENSE[name or m.pick(tuple(DENSE))](m, x, a)


def uneven(n: int, dtype: DType) -> Any:
    """An n x n matrix without zeros. QR reflects no column that is zero below its diagonal, as
    LAPACK does, so the sign of a row of R hangs on whether a rounding leaves a zero there."""
    row, column = np.indices((n, n))
    return dlc.cast(0.37 * (row + 1) + 0.11 * (column + 1) ** 2, dtype)
