"""Steps of random programs: views, and what is made of views: rolls, tiles, stacks, diagonals."""

from __future__ import annotations

import dlc
from dlc.ir.graph import Node, make
from dlc.ops import view, window
from dlc.ops.convert import broadcast_to
from tests.fuzzing.draw import Maker, filled, is_number


def reshaped(m: Maker) -> Node | None:
    x = m.find(lambda n: n.type.size > 0)
    if x is None:
        return None
    dims, size = [], x.type.size
    for _ in range(m.draw.below(4)):
        d = m.pick([d for d in (1, 2, 3, 4, 5, 7, *m.dims) if d and size % d == 0])
        dims.append(d)
        size //= d
    dims.insert(m.draw.below(len(dims) + 1), size)
    return view.reshape(x, tuple(dims))


def transposed(m: Maker) -> Node | None:
    x = m.find(lambda n: n.ndim > 1)
    if x is None:
        return None
    if m.chance(20):
        return dlc.moveaxis(x, m.draw.below(x.ndim), m.draw.below(x.ndim))
    axes = list(range(x.ndim))
    return view.transpose(x, tuple(axes.pop(m.draw.below(len(axes))) for _ in range(x.ndim)))


def repeated(m: Maker) -> Node | None:
    x = m.find(lambda n: n.ndim < 4)
    if x is None:
        return None
    if x.ndim and m.chance(30):
        axis = m.draw.below(x.ndim)
        return dlc.repeat(x, 2 + m.draw.below(2), axis) if m.chance(50) else dlc.tile(
            x, [1 + (a == axis) for a in range(x.ndim)])
    shape = [m.pick(m.dims) if d == 1 and m.chance(50) else int(d) for d in x.shape]
    if m.chance(60):
        shape.insert(0, m.pick(m.dims))
    return broadcast_to(x, tuple(shape))


def flipped(m: Maker) -> Node | None:
    x = m.find(lambda n: n.ndim > 0)
    if x is None:
        return None
    if m.chance(25) and x.ndim > 1:
        return dlc.rot90(x, 1 + m.draw.below(3), (0, x.ndim - 1))
    axis = m.draw.below(x.ndim)
    return dlc.roll(x, 1 + m.draw.below(3), axis) if m.chance(40) else view.flip(x, axis)


def sliced(m: Maker) -> Node | None:
    x = m.find(lambda n: n.ndim > 0)
    if x is None:
        return None
    start, stop, step = [], [], []
    for d in map(int, x.shape):
        lo = m.draw.below(d + 1) if m.chance(40) else 0
        hi = lo + m.draw.below(d - lo + 1) if m.chance(40) else d
        if hi == lo and d and m.chance(90):
            lo, hi = 0, d
        start.append(lo)
        stop.append(hi)
        step.append(m.pick((1, 1, 2, 3)))
    return view.slice_(x, start, stop, step)


def indexed(m: Maker) -> Node | None:
    """Python's indexing: numbers, negative steps, new axes."""
    x = m.find(filled)
    if x is None:
        return None
    keys: list[object] = []
    for d in map(int, x.shape):
        way = m.draw.below(6)
        keys.append(m.draw.below(d) - d if way == 0 else slice(None, None, -1) if way == 1
                    else None if way == 2 else slice(None))
        if way == 2:
            keys.append(slice(None))
    found: Node = x[tuple(keys)]
    return found


def padded(m: Maker) -> Node | None:
    x = m.find(lambda n: n.ndim > 0 and is_number(n))
    if x is None:
        return None
    if m.chance(30) and filled(x):
        sides = [min(1 + m.draw.below(2), d - 1) if m.chance(60) else 0 for d in map(int, x.shape)]
        return dlc.pad(x, sides, sides, mode=m.pick(("reflect", "edge", "wrap", "symmetric")))
    low, high, inner = ([m.pick((0, 0, 1, 2)) for _ in range(x.ndim)] for _ in range(3))
    return view.pad(x, low, high, m.pick((0, 0, 0, 1, 2)), inner)


def joined(m: Maker) -> Node | None:
    x = m.find(lambda n: n.ndim > 0)
    if x is None:
        return None
    axis = m.draw.below(x.ndim)
    others = [m.like(x) if m.chance(70) else x for _ in range(1 + m.draw.below(2))]
    if m.chance(20):
        return dlc.stack([x, *others], axis)
    third = m.find(lambda n: n.dtype is x.dtype and n.ndim == x.ndim and all(
        d == e or a == axis for a, (d, e) in enumerate(zip(n.shape, x.shape, strict=True))))
    return view.concat([x, *others, *([third] if third is not None else [])], axis)


def diagonals(m: Maker) -> Node | None:
    x = m.find(lambda n: filled(n) and is_number(n))
    if x is None:
        return None
    if x.ndim == 1:
        return dlc.diag_embed(x, m.draw.below(3) - 1)
    return m.pick((dlc.tril, dlc.triu, dlc.diagonal))(x, m.draw.below(3) - 1)


def windowed(m: Maker) -> Node | None:
    x = m.find(lambda n: n.ndim > 0 and max(n.shape) > 1)
    if x is None:
        return None
    count = 1 + m.draw.below(min(2, x.ndim))
    size, stride, dilation = [], [], []
    for d in map(int, x.shape[x.ndim - count:]):
        if d == 0:
            return None
        k = 1 + m.draw.below(min(d, 3))
        dilation.append(1 if k == 1 else 1 + m.draw.below(max(1, min(2, (d - 1) // (k - 1)))))
        size.append(k)
        stride.append(1 + m.draw.below(3))
    return window.window(x, size, stride, dilation)


def folded(m: Maker) -> Node | None:
    """The transpose of a window of some value of the pool."""
    windows = windowed(m)
    if windows is None or windows.type.size > m.largest or not is_number(windows):
        return None
    x = windows.args[0]
    values = windows * windows if m.chance(50) else windows
    attrs = {k: windows.attrs[k] for k in ("size", "stride", "dilation")}
    extent = tuple(map(int, x.shape[x.ndim - len(attrs["size"]):]))
    return make(window.FOLD, (values,), extent=extent, **attrs)
