"""Reductions: an identity and a combine over some axes; reduced axes disappear."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.access import Access, Combine, Index, Piece, Reduction
from dlc.ir.graph import Kind, Node, Op, OpError, describe, make
from dlc.ir.registry import register
from dlc.ir.types import Type, accumulator, bool_, f32, i32, sum_dtype
from dlc.ops.convert import as_node, broadcast_to, cast, in_accumulator
from dlc.ops.samples import over_axes
from dlc.ops.sums import LOGSUMS, simple, sums_of
from dlc.ops.varying import count, note_mean, present


def kept_axes(rank: int, axes: Sequence[int]) -> tuple[int, ...]:
    """The axes that stay, in order."""
    return tuple(a for a in range(rank) if a not in axes)


def check_axes(x: Type, axes: tuple[int, ...]) -> None:
    """Raise OpError for an axis out of range or named twice."""
    if len(set(axes)) != len(axes):
        raise OpError(f"axes {axes} name one axis twice")
    for axis in axes:
        if not 0 <= axis < x.ndim:
            raise OpError(f"axis {axis} of {x.describe()}", f"axes are 0 .. {x.ndim - 1}")


def reduced(x: Type, axes: tuple[int, ...], **changes: Any) -> Type:
    """x without `axes`. Raises OpError for an axis out of range or named twice."""
    check_axes(x, axes)
    shape = tuple(x.shape[a] for a in kept_axes(x.ndim, axes))
    return x.with_(shape=shape, layout=None, **changes)


def over_axes_access(y: Node, combine: Combine) -> Reduction:
    """The access of a reduction over attrs `axes`."""
    axes, rank = y.attrs["axes"], y.args[0].ndim
    kept = kept_axes(rank, axes)

    def read(out: Index, inner: Index) -> Access:
        index = [*out, *inner]
        place = {axis: i for i, axis in enumerate((*kept, *axes))}
        return Access((Piece(0, tuple(index[place[a]] for a in range(rank))),))

    return Reduction(tuple(y.args[0].shape[a] for a in axes), read, combine)


def lowest(d: Any) -> float:
    """The identity of max."""
    if d.is_float:
        return -math.inf
    return 0 if d is bool_ else int(np.iinfo(d.numpy).min)


def highest(d: Any) -> float:
    """The identity of min."""
    if d.is_float:
        return math.inf
    return 1 if d is bool_ else int(np.iinfo(d.numpy).max)


def expand(g: Node, x: Node, axes: tuple[int, ...]) -> Node:
    """`g`, which lacks `axes`, repeated to x's shape."""
    from dlc.ops.view import reshape

    shape = tuple(1 if a in axes else d for a, d in enumerate(x.shape))
    return broadcast_to(reshape(g, shape), x.shape)


def _reduce(name: str, doc: str, eval_: Callable[..., Any], infer: Callable[..., Type],
            combine: Combine | Callable[[Node], Combine], grad: Callable[..., Any] | None,
            samples: Callable[[], Iterable[Any]] | None = None, linear: tuple[int, ...] = (),
            defaults: Any = None, precision: str = "full") -> Op:
    return register(Op(
        name, Kind.REDUCE, infer, eval_, grad, lambda y: over_axes_access(
            y, combine if isinstance(combine, Combine) else combine(y)),
        samples or over_axes(), linear, doc, "smooth" if grad else "none",
        defaults, precision=precision))


def _eval_sum(x: Any, *, axes: tuple[int, ...]) -> Any:
    # f64 makes the reference exact to f32's rounding whatever the order
    wide = np.float64 if x.dtype.kind == "f" else None
    return np.sum(x, axis=axes, dtype=wide)


SUM = _reduce("sum", "sum over axes; f16 and bf16 accumulate in f32, bool and u8 in i32",
              _eval_sum, lambda x, *, axes: reduced(x, axes, dtype=sum_dtype(x.dtype)),
              sums_of,
              lambda g, y, x: (cast(expand(g, x, y.attrs["axes"]), x.dtype),), linear=(0,))


def exclusive_products(x: Node, axes: tuple[int, ...]) -> Node:
    """For each element, the product of all others over `axes`: of those before it times those
    behind it. Nothing is divided, so it is exact at zeros."""
    from dlc.ops.cumulative import cumprod
    from dlc.ops.view import reshape, transpose

    order = (*kept_axes(x.ndim, axes), *axes)
    sizes = tuple(x.shape[a] for a in order)
    last = len(order) - len(axes)
    flat = reshape(transpose(x, order), (*sizes[:last], math.prod(map(int, sizes[last:]))))
    before, behind = (cumprod(flat, -1, reverse, exclusive=True) for reverse in (False, True))
    others = cast(reshape(before * behind, sizes), x.dtype)
    return transpose(others, tuple(order.index(a) for a in range(x.ndim)))


def _grad_prod(g: Node, y: Node, x: Node) -> tuple[Node]:
    """Product of the others, without dividing: a zero in x must not poison it."""
    return (expand(g, x, y.attrs["axes"]) * exclusive_products(x, y.attrs["axes"]),)


PROD = _reduce("prod", "product over axes", lambda x, *, axes: np.prod(x, axis=axes),
               lambda x, *, axes: reduced(x, axes, dtype=sum_dtype(x.dtype)),
               simple(lambda d: 1, "rmul"), _grad_prod)


def _grad_extreme(g: Node, y: Node, x: Node) -> tuple[Node]:
    """To the elements that attain the extreme: in equal parts, or (ties="first") to the first."""
    from dlc.ops.elementwise import eq, where

    axes = y.attrs["axes"]
    if y.attrs["ties"] == "first":
        first = expand(make(ARGMAX if y.op is MAX else ARGMIN, (x,), axes=axes), x, axes)
        return (where(eq(_position(x, axes), first), expand(g, x, axes), 0.0),)
    hit = cast(eq(x, expand(y, x, axes)), x.dtype)
    return (hit * expand(g / sum_(hit, axes), x, axes),)


def _position(x: Node, axes: tuple[int, ...]) -> Node:
    """The linear index of each element among those over `axes`; 0 over none."""
    from dlc.ops.leaf import constant, iota

    total = constant(0, Type(i32, x.shape))
    for axis in axes:
        total = total * int(x.shape[axis]) + iota(x.shape, axis)
    return total


def _nonempty(x: Type, axes: tuple[int, ...], **changes: Any) -> Type:
    if any(0 <= a < x.ndim and x.shape[a] == 0 for a in axes):
        raise OpError(f"{x.describe()} has no elements over axes {axes}")
    return reduced(x, axes, **changes)


MAX = _reduce("max", "largest over axes; NaN if any is NaN",
              lambda x, *, axes, ties: np.max(x, axis=axes),
              lambda x, *, axes, ties: _nonempty(x, axes), simple(lowest, "rmax"), _grad_extreme,
              over_axes(ties="even"), defaults=lambda x, **_: {"ties": "even"},
              precision="follow")
MIN = _reduce("min", "smallest over axes; NaN if any is NaN",
              lambda x, *, axes, ties: np.min(x, axis=axes),
              lambda x, *, axes, ties: _nonempty(x, axes), simple(highest, "rmin"), _grad_extreme,
              over_axes(ties="first"), defaults=lambda x, **_: {"ties": "even"},
              precision="follow")


def _position_of(better: str, lowest_: Callable[[Any], float]) -> Combine:
    """States (best value, its position); the first of equals wins, NaN wins over all.

    Loops may walk the elements in any order: among equals the position decides, not the time.
    """
    def merge(k: Any, a: Any, b: Any) -> Any:
        wins = k.or_(k.compare(better, b[0], a[0]), k.first_nan(b[0], a[0]))
        earlier = k.binary("&", k.same(b[0], a[0]), k.compare("<", b[1], a[1]))
        wins = k.let("wins", k.or_(wins, earlier))
        return k.select(wins, b[0], a[0]), k.select(wins, b[1], a[1])

    def step(k: Any, s: Any, x: Any, position: Any) -> Any:
        return merge(k, s, (x, k.cast(position, i32)))

    nowhere = int(np.iinfo(np.int32).max)
    return Combine(lambda d: (lowest_(d), nowhere), step, merge, lambda k, s: s[1],
                   lambda d: (d, i32))


def _eval_position(f: Callable[..., Any]) -> Callable[..., Any]:
    def eval_(x: Any, *, axes: tuple[int, ...]) -> Any:
        kept = kept_axes(x.ndim, axes)
        width = math.prod(x.shape[a] for a in axes)
        flat = x.transpose(*kept, *axes).reshape([x.shape[a] for a in kept] + [width])
        return f(flat, axis=-1).astype(np.int32)

    return eval_


ARGMAX = _reduce("argmax", "index of the largest over axes (linear, row-major); first of equals",
                 _eval_position(np.argmax), lambda x, *, axes: _nonempty(x, axes, dtype=i32),
                 _position_of(">", lowest), None, precision="follow")
ARGMIN = _reduce("argmin", "index of the smallest over axes (linear, row-major); first of equals",
                 _eval_position(np.argmin), lambda x, *, axes: _nonempty(x, axes, dtype=i32),
                 _position_of("<", highest), None, precision="follow")


def _eval_logsumexp(x: Any, *, axes: tuple[int, ...]) -> Any:
    with np.errstate(all="ignore"):
        top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
        safe = np.where(np.isfinite(top), top, 0)
        total = np.sum(np.exp(x.astype(np.float64) - safe), axis=axes, keepdims=True)
        return np.squeeze(np.log(total) + safe, axis=axes).astype(x.dtype)


def _grad_logsumexp(g: Node, y: Node, x: Node) -> tuple[Node]:
    from dlc.ops.elementwise import exp

    axes = y.attrs["axes"]
    return (expand(g, x, axes) * exp(x - expand(y, x, axes)),)


LOGSUMEXP = _reduce("logsumexp", "log of the sum of exponentials over axes, without overflow",
                    _eval_logsumexp, lambda x, *, axes: _floats(reduced(x, axes), x),
                    LOGSUMS, _grad_logsumexp)


def _floats(result: Type, x: Type) -> Type:
    if not x.dtype.is_float:
        raise OpError(f"needs floats, not {x.dtype}", "cast first, e.g. x.cast(f32)")
    return result


# --- the DSL's functions ------------------------------------------------------------------------

Axes = int | Sequence[int] | None


def axes_of(x: Node, axis: Axes, what: str) -> tuple[int, ...]:
    """`axis` as sorted non-negative axes of x; None is all. Raises DlcError for any other axis."""
    if axis is None:
        return tuple(range(x.ndim))
    listed = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    if bad := [a for a in listed if isinstance(a, bool) or not isinstance(a, (int, np.integer))]:
        raise DlcError(f"{what}({describe(x)}): axis {bad[0]!r}", here(),
                       "an axis is an int, several are a tuple of ints, all are None")
    if lacking := [a for a in listed if not -x.ndim <= a < x.ndim]:
        raise DlcError(f"{what}({describe(x)}): axis {lacking[0]}", here(), axes_text(x))
    return tuple(sorted(int(a) % x.ndim for a in listed))


def axes_text(x: Node) -> str:
    """Which axes x has."""
    return f"axes are {-x.ndim} .. {x.ndim - 1}" if x.ndim else "it has no axes"


def axis_of(x: Node, axis: int, what: str) -> int:
    """`axis` as a non-negative axis of x. Raises DlcError when x has no such axis."""
    whole = isinstance(axis, (int, np.integer)) and not isinstance(axis, bool)
    if not whole or not -x.ndim <= axis < x.ndim:
        raise DlcError(f"{what}({describe(x)}): axis {axis!r}", here(), axes_text(x))
    return int(axis) % x.ndim


def reduction(op: Op, x: Any, axis: Axes = None, keepdims: bool = False, **attrs: Any) -> Node:
    """`op` over `axis` (None: all axes); keepdims leaves them with size 1. Padding behind the end
    of rows whose length varies does not count."""
    from dlc.ops.view import reshape

    node = as_node(x)
    axes = axes_of(node, axis, op.name)
    node = present(node, axes, _identity(op, node.dtype))
    y = make(op, (node,), axes=axes, **attrs)
    if not keepdims:
        return y
    return reshape(y, tuple(1 if a in axes else d for a, d in enumerate(node.shape)))


def _identity(op: Op, d: Any) -> float:
    """What changes no result of `op`."""
    if op in (MAX, ARGMAX, LOGSUMEXP):
        return lowest(d)
    return highest(d) if op in (MIN, ARGMIN) else 1 if op is PROD else 0


def _function(op: Op) -> Callable[..., Node]:
    def function(x: Any, axis: Axes = None, keepdims: bool = False) -> Node:
        return reduction(op, x, axis, keepdims)

    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = op.doc
    return function


sum_, prod, argmax, argmin = map(_function, (SUM, PROD, ARGMAX, ARGMIN))
logsumexp = in_accumulator(_function(LOGSUMEXP))  # its gradient is made of the f32 result


def max_(x: Any, axis: Axes = None, keepdims: bool = False, ties: str = "even") -> Node:
    """Largest over `axis`; on ties the gradient goes to all in equal parts, or to the "first"."""
    return reduction(MAX, x, axis, keepdims, ties=ties)


def min_(x: Any, axis: Axes = None, keepdims: bool = False, ties: str = "even") -> Node:
    """Smallest over `axis`; ties as in max."""
    return reduction(MIN, x, axis, keepdims, ties=ties)


def mean(x: Any, axis: Axes = None, keepdims: bool = False) -> Node:
    """Arithmetic mean over `axis`; of integers and bool an f32."""
    node = as_node(x)
    node = node if node.dtype.is_float else cast(node, f32)
    axes = axes_of(node, axis, "mean")
    wide = cast(node, accumulator(node.dtype))
    return cast(_over_count(wide, wide, axes, keepdims, 0), node.dtype)


def _over_count(terms: Node, x: Node, axes: tuple[int, ...], keepdims: bool,
                correction: float) -> Node:
    """The sum of `terms` over the number of elements of x that it counts, less `correction`."""
    from dlc.ops.view import reshape

    many = count(x, axes)
    if isinstance(many, Node):
        found = reduction(SUM, terms, axes, True) / (cast(many, terms.dtype) - correction)
        kept = tuple(d for a, d in enumerate(x.shape) if a not in axes)
        return found if keepdims else note_mean(reshape(found, kept), many)
    total, left = reduction(SUM, terms, axes, keepdims), many - correction
    return _divided(total, left) if left > 0 or not correction else total * math.inf


def _divided(total: Node, count: float) -> Node:
    """total / count with one rounding; NaN for a count of 0."""
    if count and math.frexp(count)[0] != 0.5:
        return total / count
    return total * (1.0 / count if count else math.nan)  # a power of two: exact


@in_accumulator
def variance(x: Any, axis: Axes = None, keepdims: bool = False, correction: float = 0) -> Node:
    """Mean squared distance from the mean over `axis`, in two passes.

    correction 1 divides the sum by one less than the count (Bessel), as NumPy's ddof.
    """
    node = as_node(x)
    axes = axes_of(node, axis, "variance")
    centred = node - mean(node, axes, keepdims=True)
    return _over_count(centred * centred, node, axes, keepdims, correction)


def any_(x: Any, axis: Axes = None, keepdims: bool = False) -> Node:
    """Whether any element of the bool array x holds; of no elements False."""
    return _quantified(MAX, x, axis, keepdims)


def all_(x: Any, axis: Axes = None, keepdims: bool = False) -> Node:
    """Whether all elements of the bool array x hold; of no elements True."""
    return _quantified(MIN, x, axis, keepdims)


def _quantified(op: Op, x: Any, axis: Axes, keepdims: bool) -> Node:
    """The largest or smallest of bools; of none, what changes no other."""
    from dlc.ops.leaf import constant

    node = as_node(x)
    what = "any" if op is MAX else "all"
    if node.dtype is not bool_:
        raise DlcError(f"{what}({describe(node)}): needs bool", here(),
                       "compare first, e.g. x != 0")
    axes = axes_of(node, axis, what)
    if not any(node.shape[a] == 0 for a in axes):
        return reduction(op, node, axis, keepdims, ties="even")
    kept = tuple(1 if a in axes else d for a, d in enumerate(node.shape) if keepdims or
                 a not in axes)
    return constant(op is MIN, Type(bool_, kept))
