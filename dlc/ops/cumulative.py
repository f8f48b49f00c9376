"""Cumulative folds along an axis: cumsum, cumprod, cummax, cummin, logcumsumexp, and the recurrence
y[i] = a[i] y[i-1] + b[i] that their derivatives are made of. Each is a routine: one pass along the
axis, rows and blocks of columns in parallel, halves in f32."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dlc.ir.graph import Kind, Node, Op, OpError, make
from dlc.ir.registry import register
from dlc.ir.types import DType, Type, accumulator, bool_, dtype, f32, f64, i32, sum_dtype, u8
from dlc.ops.convert import as_node, broadcast_shape, broadcast_to, cast, factors, in_accumulator
from dlc.ops.elementwise import exp, isfinite, where
from dlc.ops.gather import take_along_axis
from dlc.ops.reduce import axis_of
from dlc.ops.routine import Routine, Workspace, filled, kernel_dtype
from dlc.ops.samples import spread
from dlc.ops.varying import present
from dlc.ops.view import narrow, pad, reshape

# A position is a block of columns of one slab [n, inner]; their states lie in workspaces.
_FOLD = """
def cumulative($operands, y, $states, slab, block):
    base = slab * ($n * $inner)
    first = block * $width
    last = min(first + $width, $inner)
    home = (slab * $blocks + block) * $width - first
    for c in range(first, last):
$start
    for step in range($n):
        row = base + $place * $inner
        for c in range(first, last):
            at = row + c
            s = home + c
$fold
"""
_WIDTH = 64  # columns of a block: whole vectors, and enough blocks to share


def _lines(text: str, depth: int) -> str:
    return "\n".join(" " * 4 * depth + line for line in text.splitlines())


def _routine(y: Node, operands: str, states: dict[str, DType], start: str, fold: str,
             flops: int, **words: Any) -> Routine:
    """The fold along attrs `axis` as a routine: `start` and `fold` are statements of one column."""
    x, axis = y.args[0].type, y.attrs["axis"]
    n, inner = int(x.shape[axis]), math.prod(map(int, x.shape[axis + 1:]))
    outer = math.prod(map(int, x.shape[:axis]))
    width = min(_WIDTH, max(inner, 1))
    blocks = -(-inner // width)
    place = f"({n - 1} - step)" if y.attrs["reverse"] else "step"
    text = filled(_FOLD, operands=operands, states=", ".join(states), n=n, inner=inner,
                  blocks=max(blocks, 1), width=width, place=place, start=_lines(start, 2),
                  fold=_lines(fold, 3))
    # a second time for the dtypes and places that stand in `start` and `fold`
    text = filled(text, place=place, **words)
    spaces = tuple(Workspace(d, width) for d in states.values())
    return Routine(text, {"slab": outer, "block": blocks}, spaces, flops=flops * int(x.size))


def _check(x: Type, axis: int, reverse: bool) -> None:
    if not 0 <= axis < x.ndim:
        raise OpError(f"axis {axis} of {x.describe()}", f"axes are 0 .. {x.ndim - 1}")
    if not isinstance(reverse, bool):
        raise OpError(f"reverse={reverse!r}", "True or False")


def _usual(x: Type, *_: Type, **__: Any) -> dict[str, Any]:
    return {"axis": x.ndim - 1, "reverse": False}


def _samples(low: float = -2.0, zeros: bool = False) -> Callable[[], Iterator[Any]]:
    def samples() -> Iterator[Any]:
        rng = np.random.default_rng(43)
        for shape, axis, reverse in (((1,), 0, False), ((7,), 0, True), ((3, 5), 1, False),
                                     ((9, 70), 0, False), ((2, 6, 3), 1, True)):
            x = spread(rng, shape, low, 2)
            if zeros:
                x = np.where(rng.random(shape) < 0.3, np.float32(0), x)
            yield (x,), {"axis": axis, "reverse": reverse}

    return samples


def _turned(f: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function of (wide x, axis) as an operator's meaning: reversed where asked, f64."""
    def eval_(x: Any, *, axis: int, reverse: bool) -> Any:
        wide = x.astype(np.float64) if x.dtype.kind == "f" else x
        turned = np.flip(wide, axis) if reverse else wide
        y = f(turned, axis)
        return np.flip(y, axis) if reverse else y

    return eval_


# --- linear recurrence ----------------------------------------------------------------------------


def _infer_recurrence(a: Type, b: Type, *, axis: int, reverse: bool) -> Type:
    _check(b, axis, reverse)
    if b.dtype is bool_:
        raise OpError(f"{b.describe()} has no arithmetic", "cast it: x.astype(dlc.f32)")
    if (a.dtype, tuple(a.shape)) != (b.dtype, tuple(b.shape)):
        raise OpError(f"factors {a.describe()} and terms {b.describe()} differ",
                      "both need one dtype and one shape")
    return b.with_(layout=None)


def _eval_recurrence(a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    factors, terms = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    # integers wrap around in their own dtype
    wide = terms.dtype if terms.dtype.kind in "iu" else np.dtype(np.float64)
    y = np.zeros(terms.shape, wide)
    before = np.zeros(terms.shape[1:], wide)
    with np.errstate(over="ignore"):
        for i in reversed(range(len(terms))) if reverse else range(len(terms)):
            # the first factor multiplies nothing, not even where it is infinite
            first = i == (len(terms) - 1 if reverse else 0)
            y[i] = terms[i].astype(wide) + (0 if first else factors[i] * before)
            before = y[i]
    return np.moveaxis(y, 0, axis)


def _emit_recurrence(y: Node) -> Routine:
    kind = dtype(kernel_dtype(y.type))
    return _routine(y, "a, b", {"state": kind}, "state[home + c] = $T(0)",
                    "new = b[at]\nif step > 0:\n    new = $T(a[at] * state[s] + new)\n"
                    "state[s] = new\ny[at] = new", 2, T=kind)


def _grad_recurrence(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    """The adjoint l[i] = g[i] + a[i+1] l[i+1] runs the other way; b' = l, a' = l[i] y[i-1]."""
    axis, reverse = y.attrs["axis"], y.attrs["reverse"]
    adjoint = make(RECURRENCE, (shifted(a, axis, not reverse), g), axis=axis, reverse=not reverse)
    return adjoint * shifted(y, axis, reverse), adjoint


def shifted(x: Node, axis: int, reverse: bool, fill: float = 0.0) -> Node:
    """x moved by one place along `axis` in the direction of the fold; `fill` comes in."""
    size = int(x.shape[axis])
    if size == 0:
        return x
    rest = narrow(x, axis, 1 if reverse else 0, size - 1)
    ahead = tuple(int(a == axis and not reverse) for a in range(x.ndim))
    behind = tuple(int(a == axis and reverse) for a in range(x.ndim))
    return pad(rest, ahead, behind, fill)


def _sample_recurrence() -> Iterator[Any]:
    rng = np.random.default_rng(44)
    for (x,), attrs in _samples()():
        yield (spread(rng, x.shape, -1, 1), x), attrs
    for kind, axis in ((np.int32, 0), (np.uint8, 1)):
        whole = rng.integers(0, 256, (2, 40, 3)).astype(kind)
        yield (whole[0], whole[1]), {"axis": axis, "reverse": axis == 1}


RECURRENCE: Op = register(Op(
    "linear_recurrence", Kind.ROUTINE, _infer_recurrence, _eval_recurrence, _grad_recurrence,
    _emit_recurrence, _sample_recurrence, (1,),
    "y[i] = a[i] * y[i - 1] + b[i] along an axis, from y = 0; reverse: from its end",
    defaults=_usual))


def linear_recurrence(a: Any, b: Any, axis: int = 0, reverse: bool = False) -> Node:
    """y[i] = a[i] * y[i-1] + b[i] along `axis`, from y[-1] = 0; reverse runs from the end.

    Discounted returns (a constant, b rewards, reverse), exponential averages, gated linear
    recurrences. a and b broadcast to one shape; differentiable to any order. Bool and u8 give i32.
    """
    rates, terms = factors("linear_recurrence", a, b)
    shape = broadcast_shape("linear_recurrence", [rates, terms])
    terms = broadcast_to(terms, shape)
    axis = axis_of(terms, axis, "linear_recurrence")
    return make(RECURRENCE, (broadcast_to(rates, shape), terms), axis=axis, reverse=reverse)


# --- sums and products ----------------------------------------------------------------------------


def _infer_fold(x: Type, *, axis: int, reverse: bool) -> Type:
    _check(x, axis, reverse)
    if sum_dtype(x.dtype) is not x.dtype:
        raise OpError(f"{x.dtype} would overflow", f"cast to {sum_dtype(x.dtype)} first")
    return x.with_(layout=None)


def _emit_fold(sign: str, start: str) -> Callable[[Node], Routine]:
    def emit(y: Node) -> Routine:
        kind = dtype(kernel_dtype(y.type))
        # f32 adds up in f64: one after the other, errors would grow with n
        wide = f64 if kind is f32 and sign == "+" else kind
        return _routine(y, "x", {"state": wide}, f"state[home + c] = $W({start})",
                        f"new = $W(state[s] {sign} $W(x[at]))\nstate[s] = new\ny[at] = $T(new)", 1,
                        T=kind, W=wide)

    return emit


CUMSUM: Op = register(Op(
    "cumsum", Kind.ROUTINE, _infer_fold, _turned(np.cumsum),
    lambda g, y, x: (make(CUMSUM, (g,), axis=y.attrs["axis"], reverse=not y.attrs["reverse"]),),
    _emit_fold("+", "0"), _samples(), (0,), "sums of an axis up to each element", defaults=_usual))


def _grad_cumprod(g: Node, y: Node, x: Node) -> tuple[Node]:
    """x'[i] = prod(x[:i]) * s[i] with s[i] = g[i] + x[i+1] s[i+1]: no division, exact at zeros."""
    axis, reverse = y.attrs["axis"], y.attrs["reverse"]
    before = shifted(y, axis, reverse, 1.0)
    later = make(RECURRENCE, (shifted(x, axis, not reverse), g), axis=axis, reverse=not reverse)
    return (before * later,)


CUMPROD: Op = register(Op(
    "cumprod", Kind.ROUTINE, _infer_fold, _turned(np.cumprod), _grad_cumprod,
    _emit_fold("*", "1"), _samples(zeros=True), (), "products of an axis up to each element",
    defaults=_usual))


# --- logarithm of sums of exponentials ------------------------------------------------------------


def _infer_log(x: Type, *, axis: int, reverse: bool) -> Type:
    _check(x, axis, reverse)
    if not x.dtype.is_float:
        raise OpError(f"needs floats, not {x.dtype}", "cast first, e.g. x.cast(f32)")
    return x.with_(layout=None)


def _emit_log(y: Node) -> Routine:
    """States as in logsumexp: the largest so far, and the sum of exponentials relative to it."""
    kind = accumulator(y.dtype)
    return _routine(
        y, "x", {"top": kind, "total": kind}, "top[home + c] = $T(-inf)\n"
        "total[home + c] = $T(0.0)",
        "value = x[at]\nlargest = maximum(top[s], value)\n"
        "safe = largest if abs(largest) < $T(inf) else $T(0.0)\n"
        "new = total[s] * exp_$T(top[s] - safe) + exp_$T(value - safe)\n"
        "top[s] = largest\ntotal[s] = new\ny[at] = log_$T(new) + safe", 20, T=kind)


def _grad_log(g: Node, y: Node, x: Node) -> tuple[Node]:
    """x'[i] = exp(x[i] - y[i]) s[i] with s[i] = g[i] + exp(y[i] - y[i+1]) s[i+1]: no exponent is
    positive, whatever the sizes."""
    axis, reverse = y.attrs["axis"], y.attrs["reverse"]
    ratio = _power_of_e(y - shifted(y, axis, not reverse, math.inf))
    later = make(RECURRENCE, (ratio, g), axis=axis, reverse=not reverse)
    return (_power_of_e(x - y) * later,)


def _power_of_e(x: Node) -> Node:
    """exp(x) of what is finite, else 0, with derivatives that are finite too."""
    finite = isfinite(x)
    return where(finite, exp(where(finite, x, 0.0)), 0.0)


LOGCUMSUMEXP = register(Op(
    "logcumsumexp", Kind.ROUTINE, _infer_log, _turned(np.logaddexp.accumulate), _grad_log,
    _emit_log, _samples(), (), "log of the sums of exponentials up to each element",
    defaults=_usual))


# --- extremes -------------------------------------------------------------------------------------


def _infer_place(x: Type, *, axis: int, reverse: bool, largest: bool) -> Type:
    _check(x, axis, reverse)
    if x.dtype is bool_:
        raise OpError("bool has no kernel form", "cast to u8 first")
    if not isinstance(largest, bool):
        raise OpError(f"largest={largest!r}", "True or False")
    return x.with_(dtype=i32, layout=None)


def _eval_place(x: Any, *, axis: int, reverse: bool, largest: bool) -> Any:
    moved = np.moveaxis(x, axis, 0)
    place = np.zeros(moved.shape, np.int32)
    n = len(moved)
    best, where_ = None, np.zeros(moved.shape[1:], np.int32)
    for i in reversed(range(n)) if reverse else range(n):
        if best is None:
            wins = np.ones(moved.shape[1:], bool)
            best = moved[i]
        wins = (moved[i] >= best if largest else moved[i] <= best) & (best == best)
        wins = wins | (moved[i] != moved[i])
        best, where_ = np.where(wins, moved[i], best), np.where(wins, i, where_)
        place[i] = where_
    return np.moveaxis(place, 0, axis)


def _emit_place(y: Node) -> Routine:
    x = y.args[0].type
    kind = dtype(kernel_dtype(x))
    sign = ">=" if y.attrs["largest"] else "<="
    wins = f"value {sign} best[s]"
    if x.dtype.is_float:
        wins = f"({wins} and best[s] == best[s]) or value != value"
    return _routine(
        y, "x", {"best": kind, "found": i32}, "best[home + c] = $T(0)\nfound[home + c] = i32(0)",
        f"value = x[at]\nif step == 0 or {wins}:\n    best[s] = value\n"
        "    found[s] = i32($place)\ny[at] = found[s]", 1, T=kind)


def _sample_place() -> Iterator[Any]:
    rng = np.random.default_rng(45)
    for (x,), attrs in _samples()():
        yield (x,), {**attrs, "largest": x.ndim == 2}
    ties = rng.integers(-2, 3, (4, 11))
    yield (ties.astype(np.int32),), {"axis": 1, "reverse": False, "largest": True}
    special = np.array([1, 1, 0, np.nan, 3, np.nan, 0], np.float32)
    for largest in (False, True):
        yield (special,), {"axis": 0, "reverse": largest, "largest": largest}


CUMARGMAX = register(Op(
    "cumargmax", Kind.ROUTINE, _infer_place, _eval_place, None, _emit_place, _sample_place, (),
    "where the largest (or smallest) up to each element stands; the last of equals, NaN wins",
    gradient="none", defaults=lambda x, **_: {**_usual(x), "largest": True}))


# --- the DSL's functions --------------------------------------------------------------------------


def _along(x: Any, axis: int | None, what: str) -> tuple[Node, int]:
    """x and its axis; of None x as one flat row."""
    node = as_node(x)
    if axis is None:
        return reshape(node, (node.type.size,)), 0
    return node, axis_of(node, axis, what)


def _folded(op: Op, x: Any, axis: int | None, reverse: bool, exclusive: bool,
            empty: float) -> Node:
    node, axis = _along(x, axis, op.name)
    node = cast(present(node, (axis,) if reverse else (), empty), sum_dtype(node.dtype))
    if exclusive:
        node = shifted(node, axis, reverse, empty)
    return make(op, (node,), axis=axis, reverse=reverse)


def cumsum(x: Any, axis: int | None = None, reverse: bool = False,
           exclusive: bool = False) -> Node:
    """Sums of x along `axis` (None: of x as one flat row) up to each element, itself included
    unless `exclusive`.

    reverse: from the end. bool and u8 give i32; f16 and bf16 add up in f32.
    """
    return _folded(CUMSUM, x, axis, reverse, exclusive, 0)


def cumprod(x: Any, axis: int | None = None, reverse: bool = False,
            exclusive: bool = False) -> Node:
    """Products of x along `axis` up to each element; as cumsum. Derivatives are exact at zeros."""
    return _folded(CUMPROD, x, axis, reverse, exclusive, 1)


@in_accumulator
def logcumsumexp(x: Any, axis: int | None = None, reverse: bool = False) -> Node:
    """log of the sums of exp(x) along `axis` up to each element, without overflow."""
    node, axis = _along(x, axis, "logcumsumexp")
    node = node if node.dtype.is_float else cast(node, f32)
    return make(LOGCUMSUMEXP, (node,), axis=axis, reverse=reverse)


def cummax_with_indices(x: Any, axis: int | None = None,
                        reverse: bool = False) -> tuple[Node, Node]:
    """(largest of x along `axis` up to each element, i32 where it stands); the last of equals.

    NaN wins. The gradient goes to the element that stands there.
    """
    return _extremes(x, axis, reverse, True)


def cummin_with_indices(x: Any, axis: int | None = None,
                        reverse: bool = False) -> tuple[Node, Node]:
    """(smallest of x along `axis` up to each element, i32 where it stands); as cummax."""
    return _extremes(x, axis, reverse, False)


def _extremes(x: Any, axis: int | None, reverse: bool, largest: bool) -> tuple[Node, Node]:
    node, axis = _along(x, axis, "cummax" if largest else "cummin")
    plain = cast(node, u8) if node.dtype is bool_ else node
    place = make(CUMARGMAX, (plain,), axis=axis, reverse=reverse, largest=largest)
    return take_along_axis(node, place, axis, mode="clip"), place


def cummax(x: Any, axis: int | None = None, reverse: bool = False) -> Node:
    """Largest of x along `axis` up to each element."""
    return cummax_with_indices(x, axis, reverse)[0]


def cummin(x: Any, axis: int | None = None, reverse: bool = False) -> Node:
    """Smallest of x along `axis` up to each element."""
    return cummin_with_indices(x, axis, reverse)[0]
