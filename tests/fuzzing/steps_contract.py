"""Steps of random programs: products, convolutions of every kind, pooling, small linear algebra."""

from __future__ import annotations

from typing import Any

import dlc
from dlc import linalg
from dlc.graph import Node, make
from dlc.ops import contract
from dlc.types import Type, f32, f64
from tests.fuzzing.draw import Maker, filled, is_float

# letters of an einsum by role: batch, rows, columns, summed
EINSUMS = ("ij,jk->ik", "ij,kj->ik", "bij,bjk->bik", "bij,bkj->bki", "ij,j->i", "i,j->ij",
           "ij,ij->i", "ij,ij->", "bij,jk->bik", "ij,ik->jk", "bij,bik->jk", "ii,ij->j")


def partner(m: Maker, x: Node, shape: tuple[int, ...]) -> Node:
    """A node of this shape and x's dtype: of the pool, or a new parameter."""
    found = m.find(lambda n: n.dtype is x.dtype and tuple(n.shape) == shape)
    return found if found is not None and m.chance(60) else m.input(Type(x.dtype, shape), "param")


def product(m: Maker) -> Node | None:
    x = m.find(lambda n: is_float(n) and n.ndim >= 1 and n.type.size > 0)
    if x is None:
        return None
    k, n = int(x.shape[-1]), m.pick(m.dims)
    batched = x.ndim > 2 and m.chance(40)
    shape = (*map(int, x.shape[:-2]), k, n) if batched else (k,) if m.chance(10) else (k, n)
    if m.chance(25):  # read transposed
        turned = (*shape[:-2], *shape[-2:][::-1])
        y = partner(m, x, turned)
        return dlc.matmul(x, dlc.swapaxes(y, -1, -2) if len(shape) > 1 else y)
    y = partner(m, x, shape)
    if m.chance(20) and x.ndim == 2:
        return dlc.matmul(dlc.swapaxes(x, 0, 1), m.like(x))
    return dlc.matmul(x, y)


def einsum(m: Maker) -> Node | None:
    x = m.find(lambda n: is_float(n) and 0 < n.ndim < 4 and n.type.size > 0)
    if x is None:
        return None
    fitting = [e for e in EINSUMS if len(e.split(",")[0]) == x.ndim and (
        e[:2] != "ii" or x.shape[0] == x.shape[1])]
    text = m.pick(fitting)
    first, second = text.split("->")[0].split(",")
    sizes = dict(zip(first, map(int, x.shape), strict=True))
    shape = tuple(sizes.setdefault(c, m.pick(m.dims)) for c in second)
    return dlc.einsum(text, x, partner(m, x, shape))


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


def convolution(m: Maker) -> Node | None:
    """The operator itself: any padding, strides and both dilations; with five axes a group axis."""
    x = m.find(lambda n: is_float(n) and n.ndim in (3, 4, 5) and min(n.shape) > 0)
    if x is None:
        return None
    lead = 3 if x.ndim > 3 and m.chance(40) else 2
    size = [1 + m.draw.below(min(3, int(d))) for d in x.shape[lead:]]
    channels = m.pick([d for d in m.dims if d] or [1])
    head = (int(x.shape[1]), channels, int(x.shape[2])) if lead == 3 else (
        channels, int(x.shape[1]))
    w = partner(m, x, (*head, *size))
    n = len(size)
    wide = [m.pick((1, 1, 2)) if k > 1 else 1 for k in size]
    padding = tuple((m.draw.below(3) + d, m.draw.below(3)) for d in wide)
    return make(contract.CONV, (x, w), grouped=lead == 3, padding=padding,
                stride=tuple(1 + m.draw.below(3) for _ in range(n)),
                lhs_dilation=tuple(m.pick((1, 1, 2)) for _ in range(n)), rhs_dilation=tuple(wide))


def network_convolution(m: Maker) -> Node | None:
    """conv and conv_transpose as networks call them: often stride 2, groups, an unread border."""
    x = m.find(lambda n: is_float(n) and n.ndim in (3, 4) and min(n.shape) > 0)
    if x is None:
        return None
    n, c = x.ndim - 2, int(x.shape[1])
    groups = c if m.chance(20) else 1
    size = [1 + m.draw.below(4) for _ in range(n)]
    dilation = [1 + (m.chance(20) and k > 1) for k in size]
    stride = [m.pick((1, 2, 2, 3)) for _ in range(n)]
    channels = groups * (1 + m.draw.below(3)) if groups > 1 else m.pick((1, 2, 3, 4, 6, 8, 9))
    if m.chance(35):
        w = partner(m, x, (c, channels // groups, *size))
        return dlc.conv_transpose(x, w, stride, m.draw.below(2), 0, dilation, groups)
    w = partner(m, x, (channels, c // groups, *size))
    pads = tuple((m.draw.below(3), m.draw.below(3)) for _ in range(n))
    return dlc.conv(x, w, stride, m.pick((0, "same", pads)), dilation, groups)


def image(m: Maker) -> Node:
    """A new image, or a row, so that windows have something to walk over."""
    sides = (5, 6, 7, 8, 9, 12) if m.largest < 3000 else (8, 12, 15, 16, 17, 31, 32)
    n = m.pick((1, 2, 2))
    shape = (m.pick((1, 2, 3)), m.pick((1, 2, 3, 8)), *(m.pick(sides) for _ in range(n)))
    return m.input(Type(m.pick((f32, f32, f64)), shape))


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


def dense_algebra(m: Maker) -> Any:
    """Factorizations and solvers of small matrices that are far from singular."""
    x = m.find(lambda n: n.dtype in (f32, f64) and n.ndim >= 2 and 0 < n.shape[-2] <= 4
               and n.shape[-1] > 0 and n.type.size <= 64)
    if x is None:
        return None
    n = int(x.shape[-2])
    half = dlc.tanh(x)
    a = dlc.matmul(half, dlc.swapaxes(half, -1, -2)) + dlc.cast(dlc.eye(n), x.dtype) * 2.0
    way = m.draw.below(6)
    if way == 0:
        return linalg.cholesky(a)
    if way == 1:
        return linalg.inv(a)
    if way == 2:
        return linalg.slogdet(a)
    if way == 3:
        return linalg.solve_triangular(a, x, lower=m.chance(50))
    if way == 4 and n <= 3:
        return linalg.expm(dlc.tanh(a) * 0.5)
    return linalg.solve(a, x)


def several_filled(m: Maker) -> bool:
    return m.find(filled) is not None
