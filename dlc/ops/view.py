"""Views: index maps without arithmetic. Reshape, transpose, broadcast, slice, flip, pad, window."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.access import Access, Condition, Divides, Index, Piece, Within, ravel, unravel
from dlc.ir.graph import Kind, Node, Op, OpError, check_shape, describe, make
from dlc.ir.registry import register
from dlc.ir.types import Type
from dlc.ops import batch_rules
from dlc.ops.convert import as_node, as_nodes, common_type, whole_numbers
from dlc.ops.leaf import check_whole
from dlc.ops.reduce import Axes, axes_of, axis_of, check_axes
from dlc.ops.samples import spread


def _samples(*cases: tuple[tuple[int, ...], dict[str, Any]]) -> Any:
    def samples() -> Iterator[Any]:
        rng = np.random.default_rng(7)
        for shape, attrs in cases:
            yield (spread(rng, shape, -3, 3),), attrs

    return samples


def _view(name: str, doc: str, infer: Any, eval_: Any, grad: Any, emit: Any, samples: Any,
          defaults: Any = None, batch: Any = None, axes: Any = None) -> Op:
    return register(Op(name, Kind.VIEW, infer, eval_, grad, emit, samples, (0,), doc,
                       defaults=defaults, batch=batch, axes=axes, precision="follow"))


# --- reshape ------------------------------------------------------------------------------------


def _infer_reshape(x: Type, *, shape: tuple[int, ...]) -> Type:
    if math.prod(check_shape(shape)) != x.size:
        raise OpError(f"{x.size} elements do not make shape {tuple(map(int, shape))}")
    return x.with_(shape=tuple(shape), layout=None)


def reshape_pairs(new: Sequence[Any], old: Sequence[Any]) -> list[tuple[int, int]]:
    """Axes that a reshape leaves whole: those with equal sizes and equal products before them."""
    def placed(shape: Sequence[Any]) -> dict[tuple[int, int], int]:
        before, found = 1, {}
        for i, d in enumerate(shape):
            if int(d) != 1:
                found[(before, int(d))] = i
            before *= int(d)
        return found

    a, b = placed(new), placed(old)
    return [(a[k], b[k]) for k in a if k in b]


RESHAPE = _view(
    "reshape", "the same elements in row-major order, in another shape", _infer_reshape,
    lambda x, *, shape: np.reshape(x, shape),
    lambda g, y, x: (reshape(g, x.shape),),
    lambda index, y: Access((Piece(0, unravel(ravel(index, y.shape), y.args[0].shape)),)),
    _samples(((6,), {"shape": (2, 3)}), ((2, 3, 4), {"shape": (6, 4)}), ((1,), {"shape": ()}),
             ((4, 6), {"shape": (3, 8)})),
    axes=lambda y, x: reshape_pairs(y.shape, x.shape))


def reshape(x: Any, *shape: Any) -> Node:
    """x in another shape of the same size; one dimension may be -1.

    Raises DlcError when sizes do not agree or two dimensions are -1.
    """
    node = as_node(x)
    listed = len(shape) == 1 and isinstance(shape[0], (tuple, list))
    dims = tuple(shape[0]) if listed else shape
    if not all(isinstance(d, (int, np.integer)) for d in dims):
        raise DlcError(f"reshape({describe(node)}): shape {dims}", here(),
                       "a shape is whole numbers; one of them may be -1")
    if sum(d == -1 for d in dims) > 1:
        raise DlcError(f"reshape({describe(node)}): two dimensions of {dims} are -1", here())
    if -1 in dims:
        rest = math.prod(d for d in dims if d != -1)
        if rest == 0 or node.type.size % rest:
            raise DlcError(f"reshape({describe(node)}): {node.type.size} elements do not fill "
                           f"{tuple(map(int, dims))}", here())
        dims = tuple(node.type.size // rest if d == -1 else d for d in dims)
    if any(d < 0 for d in dims):
        raise DlcError(f"reshape({describe(node)}): {dims} has a negative dimension", here())
    return node if dims == tuple(node.shape) else make(RESHAPE, (node,), shape=dims)


# --- transpose, broadcast, flip -------------------------------------------------------------------


def _infer_transpose(x: Type, *, axes: tuple[int, ...]) -> Type:
    if sorted(axes) != list(range(x.ndim)):
        raise OpError(f"axes {axes} are not a permutation of 0 .. {x.ndim - 1}")
    return x.with_(shape=tuple(x.shape[a] for a in axes), layout=None)


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort(axes))


TRANSPOSE = _view(
    "transpose", "axes in another order", _infer_transpose,
    lambda x, *, axes: np.transpose(x, axes),
    lambda g, y, x: (transpose(g, _inverse(y.attrs["axes"])),),
    lambda index, y: Access((Piece(0, tuple(index[i] for i in _inverse(y.attrs["axes"]))),)),
    _samples(((2, 3), {"axes": (1, 0)}), ((2, 3, 4), {"axes": (2, 0, 1)})),
    batch=batch_rules.transpose)


def transpose(x: Any, *axes: Any) -> Node:
    """x with its axes in the given order, one sequence or several numbers; none reverses them."""
    node = as_node(x)
    given = axes[0] if len(axes) == 1 and not isinstance(axes[0], (int, np.integer)) else axes
    order = () if given is None else whole_numbers(given, f"transpose({describe(node)}): axes")
    order = order or tuple(range(node.ndim))[::-1]
    order = tuple(a + node.ndim if -node.ndim <= a < 0 else a for a in order)
    return node if order == tuple(range(node.ndim)) else make(TRANSPOSE, (node,), axes=order)


def moved(x: Node, source: int, target: int) -> Node:
    """x with the axis `source` at the position `target`, both counted from the front."""
    order = [a for a in range(x.ndim) if a != source]
    order.insert(target, source)
    return transpose(x, order)


def _infer_broadcast(x: Type, *, shape: tuple[int, ...]) -> Type:
    skip = len(check_shape(shape)) - x.ndim
    if skip < 0 or any(d not in (1, s) for d, s in zip(x.shape, shape[skip:], strict=True)):
        raise OpError(f"{x.describe()} does not broadcast to {tuple(map(int, shape))}")
    return x.with_(shape=tuple(shape), layout=None)


def _grad_broadcast(g: Node, y: Node, x: Node) -> tuple[Node]:
    from dlc.ops.reduce import sum_

    skip = y.ndim - x.ndim
    axes = [a for a in range(y.ndim) if a < skip or (x.shape[a - skip] == 1 and y.shape[a] != 1)]
    return (reshape(sum_(g, axes), x.shape),)


def _emit_broadcast(index: Index, y: Node) -> Access:
    x = y.args[0]
    skip = y.ndim - x.ndim
    return Access((Piece(0, tuple(0 if d == 1 else index[skip + a]
                                  for a, d in enumerate(x.shape))),))


BROADCAST = _view(
    "broadcast", "elements repeated along new axes and axes of size 1", _infer_broadcast,
    lambda x, *, shape: np.broadcast_to(x, shape), _grad_broadcast, _emit_broadcast,
    _samples(((), {"shape": (3, 2)}), ((3,), {"shape": (2, 3)}), ((3, 1), {"shape": (2, 3, 5)})),
    batch=batch_rules.broadcast)


def _infer_flip(x: Type, *, axes: tuple[int, ...]) -> Type:
    check_axes(x, axes)
    return x.with_(layout=None)


FLIP = _view(
    "flip", "elements in reverse order along axes", _infer_flip,
    lambda x, *, axes: np.flip(x, axes), lambda g, y, x: (flip(g, y.attrs["axes"]),),
    lambda index, y: Access((Piece(0, tuple(int(d) - 1 - i if a in y.attrs["axes"] else i
                                            for a, (i, d) in enumerate(zip(index, y.shape,
                                                                           strict=True)))),)),
    _samples(((3, 4), {"axes": (1,)}), ((2, 3, 4), {"axes": (0, 2)})))


def flip(x: Any, axis: Axes = None) -> Node:
    """x reversed along `axis` (None: all axes)."""
    node = as_node(x)
    axes = axes_of(node, axis, "flip")
    return make(FLIP, (node,), axes=axes) if axes else node


# --- slice and pad: each other's gradients
# ---------------------------------------------------------


def _slice_shape(start: Any, stop: Any, step: Any) -> tuple[int, ...]:
    return tuple(max(0, -(-(b - a) // s)) for a, b, s in zip(start, stop, step, strict=True))


def _infer_slice(x: Type, *, start: Any, stop: Any, step: Any) -> Type:
    if not len(start) == len(stop) == len(step) == x.ndim:
        raise OpError(f"slice {start} .. {stop} by {step} of {x.describe()}",
                      f"one entry for each of {x.ndim} axes")
    for a, (lo, hi, s, d) in enumerate(zip(start, stop, step, x.shape, strict=True)):
        if s < 1 or not 0 <= lo <= hi <= d:
            raise OpError(f"axis {a}: slice {lo}:{hi}:{s} of size {int(d)}",
                          f"needs 0 <= start <= stop <= {int(d)} and step >= 1")
    shape = _slice_shape(start, stop, step)
    return x.with_(shape=tuple(d if n == d else n for n, d in zip(shape, x.shape, strict=True)),
                   layout=None)


def _grad_slice(g: Node, y: Node, x: Node) -> tuple[Node]:
    start, step = y.attrs["start"], y.attrs["step"]
    high = tuple(int(d) - lo - ((n - 1) * s + 1 if n else 0)
                 for d, lo, n, s in zip(x.shape, start, g.shape, step, strict=True))
    return (pad(g, start, high, interior=tuple(s - 1 for s in step)),)


SLICE = _view(
    "slice", "elements start, start + step, ... below stop, per axis", _infer_slice,
    lambda x, *, start, stop, step: x[tuple(map(slice, start, stop, step))], _grad_slice,
    lambda index, y: Access((Piece(0, tuple(
        i if (s, lo) == (1, 0) else i * s + lo
        for i, s, lo in zip(index, y.attrs["step"], y.attrs["start"], strict=True))),)),
    _samples(((7,), {"start": (1,), "stop": (6,), "step": (2,)}),
             ((4, 5), {"start": (0, 2), "stop": (4, 5), "step": (3, 1)})),
    lambda x, **_: {"start": (0,) * x.ndim, "stop": tuple(x.shape), "step": (1,) * x.ndim})


def slice_(x: Any, start: Sequence[int], stop: Sequence[int],
           step: Sequence[int] | None = None) -> Node:
    """x[start:stop:step] with one entry per axis, all non-negative, steps positive."""
    node = as_node(x)
    step = (1,) * node.ndim if step is None else tuple(step)
    if tuple(start) == (0,) * node.ndim and tuple(stop) == tuple(node.shape) and set(step) <= {1}:
        return node
    return make(SLICE, (node,), start=tuple(start), stop=tuple(stop), step=step)


def narrow(x: Node, axis: int, start: int, count: int, step: int = 1) -> Node:
    """`count` elements of x along `axis`: start, start + step, ...; step may be negative."""
    axis = axis % x.ndim
    if step < 0 and count:
        back = narrow(x, axis, start + (count - 1) * step, count, -step)
        return flip(back, axis) if count > 1 else back
    low = [start if a == axis and count else 0 for a in range(x.ndim)]
    high = [start + (count - 1) * step + 1 if count else 0 for _ in range(x.ndim)]
    stop = [high[a] if a == axis else int(d) for a, d in enumerate(x.shape)]
    return slice_(x, low, stop, [step if a == axis else 1 for a in range(x.ndim)])


def _infer_pad(x: Type, *, low: Any, high: Any, interior: Any, value: float) -> Type:
    if min((*low, *high, *interior), default=0) < 0:
        raise OpError(f"negative padding {low} .. {high}", "use a slice to cut")
    if not len(low) == len(high) == len(interior) == x.ndim:
        raise OpError(f"padding for {len(low)} axes of {x.describe()}")
    if x.dtype.is_integer:
        check_whole(value, x.dtype)
    shape = [lo + hi + d + max(0, d - 1) * i
             for lo, hi, i, d in zip(low, high, interior, x.shape, strict=True)]
    return x.with_(shape=tuple(d if n == d else n for n, d in zip(shape, x.shape, strict=True)),
                   layout=None)


def _eval_pad(x: Any, *, low: Any, high: Any, interior: Any, value: float) -> Any:
    shape = [lo + hi + d + max(0, d - 1) * i
             for lo, hi, i, d in zip(low, high, interior, x.shape, strict=True)]
    y = np.full(shape, value, x.dtype)
    y[tuple(slice(lo, lo + max(0, (d - 1) * (i + 1) + 1) if d else lo, i + 1)
            for lo, i, d in zip(low, interior, x.shape, strict=True))] = x
    return y


def _grad_pad(g: Node, y: Node, x: Node) -> tuple[Node]:
    low, interior = y.attrs["low"], y.attrs["interior"]
    stop = tuple(lo + ((d - 1) * (i + 1) + 1 if d else 0)
                 for lo, i, d in zip(low, interior, map(int, x.shape), strict=True))
    return (slice_(g, low, stop, tuple(i + 1 for i in interior)),)


def _emit_pad(index: Index, y: Node) -> Access:
    source: list[Any] = []
    conditions: list[Condition] = []
    axes = zip(index, y.attrs["low"], y.attrs["high"], y.attrs["interior"], y.args[0].shape,
               strict=True)
    for i, lo, hi, gap, d in axes:
        at = i - lo if lo else i
        if gap:
            # the bounds come before the division, which takes no negative number
            conditions += [Within(at, 0, (int(d) - 1) * (gap + 1) + 1), Divides(at, gap + 1)]
            at = at // (gap + 1)
        elif lo or hi:
            conditions += [Within(at, 0, int(d))]
        source.append(at)
    return Access((Piece(0, tuple(source), tuple(conditions)),), y.attrs["value"])


PAD = register(Op(
    "pad", Kind.VIEW, _infer_pad, _eval_pad, _grad_pad, _emit_pad,
    _samples(((3,), {"low": (1,), "high": (2,), "interior": (0,), "value": 0.0}),
             ((2, 3), {"low": (0, 1), "high": (1, 0), "interior": (1, 2), "value": 0.0})),
    # with another fill than 0 the map is affine, not linear
    (), "a constant around (low, high) and between (interior) the elements",
    defaults=lambda x, **_: {"low": (0,) * x.ndim, "high": (0,) * x.ndim,
                             "interior": (0,) * x.ndim, "value": 0.0}, precision="follow"))


def pad(x: Any, low: Sequence[int], high: Sequence[int], value: float = 0.0,
        interior: Sequence[int] | None = None) -> Node:
    """x with `low` and `high` elements of `value` around each axis, `interior` between elements."""
    node = as_node(x)
    inner = (0,) * node.ndim if interior is None else tuple(interior)
    if not any((*low, *high, *inner)):
        return node
    # the largest i64 is not a float
    kept = float(value) if float(value) == value or not node.dtype.is_integer else value
    return make(PAD, (node,), low=tuple(low), high=tuple(high), interior=inner, value=kept)


# --- concat and window
# ------------------------------------------------------------------------------


def _infer_concat(*types: Type, axis: int) -> Type:
    first = types[0]
    for other in types[1:]:
        same = all(a == axis or d == e for a, (d, e) in enumerate(
            zip(first.shape, other.shape, strict=False)))
        if other.ndim != first.ndim or not same or other.dtype is not first.dtype:
            raise OpError(f"{first.describe()} and {other.describe()} differ beside axis {axis}")
    if not 0 <= axis < first.ndim:
        raise OpError(f"axis {axis} of {first.describe()}", f"axes are 0 .. {first.ndim - 1}")
    total = sum(int(t.shape[axis]) for t in types)
    return first.with_(shape=(*first.shape[:axis], total, *first.shape[axis + 1:]), layout=None)


def _grad_concat(g: Node, y: Node, *args: Node) -> tuple[Node, ...]:
    axis, at, parts = y.attrs["axis"], 0, []
    for x in args:
        start = tuple(at if a == axis else 0 for a in range(y.ndim))
        stop = tuple(at + int(x.shape[axis]) if a == axis else int(d)
                     for a, d in enumerate(y.shape))
        parts.append(slice_(g, start, stop))
        at += int(x.shape[axis])
    return tuple(parts)


def _emit_concat(index: Index, y: Node) -> Access:
    axis, at, pieces = y.attrs["axis"], 0, []
    for i, x in enumerate(y.args):
        d = int(x.shape[axis])
        source = (*index[:axis], index[axis] - at if at else index[axis], *index[axis + 1:])
        pieces.append(Piece(i, source, (Within(index[axis], at, at + d),)))
        at += d
    return Access(tuple(pieces))


def _sample_concat() -> Iterator[Any]:
    rng = np.random.default_rng(8)
    yield (spread(rng, (2, 3), -3, 3), spread(rng, (2, 4), -3, 3)), {"axis": 1}
    yield tuple(spread(rng, (n, 2), -3, 3) for n in (1, 3, 2)), {"axis": 0}


CONCAT = register(Op("concat", Kind.VIEW, _infer_concat,
                     lambda *xs, axis: np.concatenate(xs, axis), _grad_concat, _emit_concat,
                     _sample_concat, (), "arrays one after the other along an axis",
                     precision="follow"))


WIDE = 16  # pieces of a concat that is a value of its own: a reader would choose among all of them


def concat(xs: Sequence[Any], axis: int = 0) -> Node:
    """Arrays joined along `axis`; dtypes are promoted. Many are joined WIDE at a time."""
    nodes = common_type("concat", *as_nodes(*xs))
    if not nodes:
        raise DlcError("concat of no arrays", here(), "give at least one")
    axis = axis_of(nodes[0], axis, "concat")
    while len(nodes) > WIDE:
        nodes = [joined(nodes[i:i + WIDE], axis) for i in range(0, len(nodes), WIDE)]
    return joined(nodes, axis)


def joined(nodes: Sequence[Node], axis: int) -> Node:
    return nodes[0] if len(nodes) == 1 else make(CONCAT, nodes, axis=axis)
