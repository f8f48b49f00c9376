"""How each operator carries a value and its bound: the rules of tests/fuzzing/bounds.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dlc.ir.graph import Kind, Node
from dlc.ir.types import TupleType
from tests.fuzzing.bounds import STEPS, SUM_UNIT, Ball, corners, settle, unknown

Rule = Callable[..., Any]
# Roundings in half units: the prelude's functions are within 6 ulp by its tests, the reference
# within one (tests/fuzzing/test_bounds.py holds the two together); others are made of a few.
FUNCTION, COMPOSED = 14.0, 32.0
FUNCTIONS = ("exp", "exp2", "expm1", "log", "log2", "log1p", "log10", "tanh", "sigmoid", "rsqrt",
             "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh",
             "atanh", "cbrt", "erf", "erfc", "erfcx", "erfinv", "lgamma", "digamma", "i0e", "i1e")
ONE_ROUNDING = {"add", "sub", "mul", "sqrt", "neg", "abs", "sign", "floor", "ceil", "round",
                "trunc", "maximum", "minimum", "copysign", "stop_gradient", "cast", "where",
                "fmod", "rem", "floordiv", "ldexp"}
# by the reciprocal of a constant: three roundings instead of one
ULPS = {**dict.fromkeys(FUNCTIONS, FUNCTION), **dict.fromkeys(ONE_ROUNDING, 1.0), "div": 3.0}
# functions with jumps, where the change at the corners is not to be scaled
JUMPS = {"floor", "ceil", "round", "trunc", "sign", "floordiv", "rem", "fmod", "copysign", "cast"}
POLES = {"div": 1, "log": 0, "log2": 0, "log10": 0, "rsqrt": 0, "pow": 0, "lgamma": 0,
         "digamma": 0, "cbrt": 0}
# next to nothing of the f64 that a correct f64 result may be off: bounds of f64 are magnified
MAGNIFIED = 2.0**20


def rule_of(node: Node) -> Rule:
    """The rule of a node's operator."""
    name, kind = node.op.name, node.op.kind
    if name in RULES:
        return RULES[name]
    return {Kind.ELEMENTWISE: elementwise, Kind.VIEW: same_elements, Kind.GATHER: gathered,
            Kind.ROUTINE: small_routine}[kind]


def meaning(node: Node, **changes: Any) -> Callable[..., Any]:
    """The operator's NumPy definition with the node's attributes: for f64 as for its own dtype."""
    attrs = {**node.attrs, **changes}
    return lambda *args: node.op.eval(*args, **attrs)


# --- elementwise ----------------------------------------------------------------------------------


def elementwise(node: Node, *args: Ball) -> Ball:
    name = node.op.name
    if not node.dtype.is_float and all(a.exact for a in args):
        return settle(meaning(node)(*(a.value for a in args)), 0.0, node.type)
    narrow = any(a.dtype.name == "f64" for a in node.args) and node.dtype.is_float
    step = MAGNIFIED if narrow and name not in JUMPS else 1.0
    value, change = corners(meaning(node), args, step)
    change = np.where(unknown(args, change.shape), np.inf, change)
    if name in POLES:
        below = args[POLES[name]]
        change = np.where((below.error > 0) & (2 * below.error >= np.abs(below.value)), np.inf,
                          change)
    return settle(value, change, node.type, ULPS.get(name, COMPOSED), size_of(name, args))


def size_of(name: str, args: tuple[Ball, ...]) -> Any:
    """What the rounding is relative to: sums may be taken in another order."""
    if name in ("add", "sub") and not all(a.exact for a in args):
        return np.abs(args[0].value) + np.abs(args[1].value)
    # near their zeros these are as exact as their operands' sums
    return np.maximum(1.0, np.abs(args[0].value)) if name in ("lgamma", "digamma") else None


def zero_of_any_sign(node: Node, at: int, x: Ball) -> Any:
    """Where operand `at` is a computed zero: no order of a sum determines its sign, and rewriting
    (x * 0 + y, a border that is skipped) need not keep it. An input's is known."""
    computed = node.args[at].dtype.is_float and not is_given(node.args[at])
    return (x.value == 0) & computed


def signed(node: Node, *args: Ball) -> Ball:
    """copysign by its second operand, atan2 by its first: they tell -0 from 0."""
    at = 1 if node.op.name == "copysign" else 0
    found = elementwise(node, *args)
    return Ball(found.value, np.where(zero_of_any_sign(node, at, args[at]), np.inf, found.error))


def converted(node: Node, x: Ball) -> Ball:
    if node.args[0].dtype.is_float and node.dtype.is_float:
        return settle(x.value, x.error, node.type)
    return elementwise(node, x)


def equal(node: Node, x: Ball, y: Ball) -> Ball:
    """Two equal values of one computation are equal in every backend; others may meet."""
    value = meaning(node)(x.value, y.value)
    near = np.abs(x.value.astype(np.float64) - y.value) <= x.error + y.error
    apart = x.value != y.value
    return settle(value, np.where(near & apart, 1.0, 0.0), node.type)


def where(node: Node, mask: Ball, x: Ball, y: Ball) -> Ball:
    chosen = np.where(mask.value, x.error, y.error)
    jump = np.abs(x.value.astype(np.float64) - y.value) + np.maximum(x.error, y.error)
    error = np.where(mask.error > 0, jump, chosen)
    return settle(np.where(mask.value, x.value, y.value), error, node.type, 0.0)


def is_given(node: Node) -> bool:
    """Whether a value is an input or a literal, or a view of one."""
    while node.op.kind is Kind.VIEW and len(node.args) == 1:
        node = node.args[0]
    return node.op.kind is Kind.LEAF


def bits(node: Node, *args: Ball) -> Ball:
    """Functions of the bits of a float, which must be known. Of a zero that was computed the sign
    is not: a sum of nothing, or of zeros, is 0 or -0 by where its additions begin."""
    native = [a.value.astype(n.dtype.numpy) for a, n in zip(args, node.args, strict=True)]
    value = meaning(node)(*native)
    unsure = np.any([a.error > 0 for a in args], axis=0)
    if node.op.name == "bitcast":
        unsure = unsure | zero_of_any_sign(node, 0, args[0])
    return Ball(settle(value, 0.0, node.type).value, np.where(unsure, np.inf, 0.0))


# --- the same elements elsewhere ------------------------------------------------------------------


def same_elements(node: Node, *args: Ball) -> Ball:
    value = meaning(node)(*(a.value for a in args))
    zero = {"value": 0.0} if "value" in node.attrs else {}
    error = meaning(node, **zero)(*(a.error for a in args))
    return Ball(np.asarray(value), np.asarray(error))


def barrier(node: Node, x: Ball, *others: Ball) -> Ball:
    return x


def gathered(node: Node, x: Ball, index: Ball) -> Ball:
    value, error = (np.asarray(meaning(node)(a, index.value)) for a in (x.value, x.error))
    if not index.exact:
        error = np.full(error.shape, np.inf)
    return Ball(value, error)


# --- sums -----------------------------------------------------------------------------------------


def whole(*args: Any) -> bool:
    """Whether all are multiples of 1/16."""
    return all(bool(np.all(np.isfinite(a)) and np.all(a * 16 == np.rint(a * 16))) for a in args)


def total(node: Node, value: Any, error: Any, sizes: Any, terms: float, *args: Ball) -> Ball:
    """The ball of a sum of `terms` terms whose absolute values add up to `sizes`."""
    if not node.dtype.is_float:
        unsure = not all(a.exact for a in args)
        return settle(value, np.inf if unsure else 0.0, node.type)
    name = node.dtype.name
    exact = all(a.exact for a in args) and whole(*(a.value for a in args)) and (
        float(np.max(sizes, initial=0.0)) * 256 <= STEPS[name])
    own = 0.0 if exact else (terms + 2) * SUM_UNIT[name] * sizes
    return settle(value, np.nan_to_num(error, nan=np.inf, posinf=np.inf) + own, node.type)


def linear(node: Node, x: Ball) -> Ball:
    """sum, fold, cumsum: of one operand."""
    f = meaning(node)
    ratio = math.prod(node.args[0].shape) / max(1, math.prod(node.shape))
    terms = node.args[0].type.size if node.op.name != "sum" else ratio
    if node.op.name == "cumsum":
        terms = int(node.shape[node.attrs["axis"]])
    elif node.op.name == "fold":
        terms = math.prod(node.attrs["size"])
    if not node.dtype.is_float:
        return total(node, f(x.value), 0.0, 0.0, terms, x)
    return total(node, f(x.value), f(x.error), f(np.abs(x.value)), terms, x)


def products(node: Node, x: Ball, y: Ball) -> Ball:
    """matmul and conv: linear in each operand."""
    f = meaning(node)
    if not node.dtype.is_float:
        return total(node, f(x.value, y.value), 0.0, 0.0, 1, x, y)
    a, b = np.abs(x.value), np.abs(y.value)
    terms = y.value.shape[-2] if y.value.ndim > 1 else y.value.shape[0]
    if node.op.name == "conv":
        terms = math.prod(y.value.shape[2 if node.attrs["grouped"] else 1:])
    ones = np.isfinite(x.error).all() and np.isfinite(y.error).all()
    error = f(a + x.error, b + y.error) - f(a, b) if ones else np.inf
    error = error * (1 + 1e-9) if ones else np.broadcast_to(np.inf, node.type.shape)
    if ones and node.dtype.name == "f64":  # the difference above is of the reference's own size
        error = f(x.error, b) + f(a, y.error)
    return total(node, f(x.value, y.value), error, f(a, b), terms, x, y)


def added(node: Node, index: Ball, *args: Ball) -> Ball:
    """scatter_add, scatter_onto: linear in what is added."""
    f = meaning(node)
    value = f(index.value, *(a.value for a in args))
    if not index.exact:
        return settle(value, np.inf, node.type)
    if not node.dtype.is_float:
        return total(node, value, 0.0, 0.0, 1, *args)
    if node.attrs.get("fold") == "set":
        return Ball(np.asarray(value), np.asarray(f(index.value, *(a.error for a in args))))
    errors, sizes, ones = ([g(a) for a in args] for g in (
        lambda a: a.error, lambda a: np.abs(a.value), lambda a: np.ones(a.value.shape)))
    terms = float(np.max(f(index.value, *ones), initial=0.0))
    # in f16 and bf16 each addition may round
    sizes_, per = f(index.value, *sizes), terms * 2.0**-24 / SUM_UNIT[node.dtype.name]
    return total(node, value, f(index.value, *errors), sizes_, per, *args)


def largest(node: Node, index: Ball, *args: Ball) -> Ball:
    """scatter_max, scatter_min: monotone."""
    value, change = corners(lambda *v: meaning(node)(index.value, *v), args)
    known = index.exact and all(a.known for a in args)
    return settle(value, change if known else np.inf, node.type, 0.0)


def product(node: Node, x: Ball) -> Ball:
    """prod and cumprod."""
    f = meaning(node)
    if not node.dtype.is_float:
        return total(node, f(x.value), 0.0, 0.0, 1, x)
    a = np.abs(x.value)
    axes = node.attrs.get("axes") or (node.attrs["axis"],)
    terms = math.prod(int(node.args[0].shape[i]) for i in axes)
    return total(node, f(x.value), f(a + x.error) - f(a), f(a), terms, x)


def monotone(node: Node, x: Ball) -> Ball:
    """max, min, and logsumexp, whose sum has a relative error that its logarithm makes absolute."""
    value, change = corners(meaning(node), (x,))
    change = change if x.known else np.full(change.shape, np.inf)
    if node.op.name in ("max", "min"):
        return settle(value, change, node.type, 0.0)
    terms = node.args[0].type.size / max(1, math.prod(value.shape))
    own = (2 * terms + COMPOSED) * SUM_UNIT[node.dtype.name]
    if node.op.name == "logcumsumexp":
        own *= 2 * math.log(2 + node.args[0].type.size)
    return settle(value, change + own, node.type, 4.0)


def recurrence(node: Node, a: Ball, b: Ball) -> Ball:
    f = meaning(node)
    if not node.dtype.is_float:
        return total(node, f(a.value, b.value), 0.0, 0.0, 1, a, b)
    x, y = np.abs(a.value), np.abs(b.value)
    steps = 2 * int(node.shape[node.attrs["axis"]])
    return total(node, f(a.value, b.value), f(x + a.error, y + b.error) - f(x, y), f(x, y), steps,
                 a, b)


# --- decisions ------------------------------------------------------------------------------------


def extreme_index(node: Node, x: Ball) -> Ball:
    """argmax, argmin: known where nothing else comes near the extreme. Equal elements are a tie
    only where both are exact: two sums that are equal here may round apart."""
    value = np.asarray(meaning(node)(x.value))
    if x.exact or not x.known:
        return settle(value, 0.0 if x.exact else np.inf, node.type)
    axes, sign = node.attrs["axes"], 1.0 if node.op.name == "argmax" else -1.0
    top = np.max(sign * x.value - x.error, axes, keepdims=True)
    best = np.max(sign * x.value, axes, keepdims=True)
    near = sign * x.value + x.error >= top
    ties = near & (sign * x.value == best) & (x.error == 0)
    unsure = (np.sum(near, axes) > 1) & np.any(near & ~ties, axes)
    return settle(value, np.where(unsure, np.inf, 0.0), node.type)


def order(node: Node, x: Ball) -> Ball:
    """argsort, cumargmax: known where no two elements of a row are near each other, unless equal
    and exact."""
    value = np.asarray(meaning(node)(x.value))
    if x.exact or not x.known:
        return settle(value, 0.0 if x.exact else np.inf, node.type)
    axis = node.attrs["axis"]
    sorted_order = np.argsort(x.value, axis=axis, kind="stable")
    values, errors = (np.take_along_axis(a, sorted_order, axis) for a in (x.value, x.error))
    gaps = np.diff(values, axis=axis)
    # not only neighbours of the order: the largest error of the row stands for all
    both = 2 * np.max(errors, axis, initial=0.0, keepdims=True)
    unsure = np.any((gaps <= both) & ((gaps != 0) | (both > 0)), axis=axis, keepdims=True)
    return settle(value, np.where(np.broadcast_to(unsure, value.shape), np.inf, 0.0), node.type)


def places(node: Node, *args: Ball) -> Ball:
    """searchsorted: monotone in edges and values. scatter_last: of exact indices."""
    value, change = corners(meaning(node), args)
    known = all(a.known for a in args)
    return settle(value, np.where(change > 0, np.inf, 0.0) if known else np.inf, node.type)


# --- small dense routines -------------------------------------------------------------------------


# The place of the eigenvalues or singular values among the results of a factorization.
SPECTRA = {"eigh": 0, "svd": 1}


def small_routine(node: Node, *args: Ball) -> Any:
    """Factorizations and solvers: every element of the operands is moved by its bound, alone.

    The sum of the changes is the first-order bound; the routine's own error is that of its
    operands being off by some units of f64 (they compute in f64), rounded once. Of eigenvalues and
    singular values the largest change stands for all of a matrix: none moves by more than the norm
    of the change of the matrix (Weyl 1912), but equal ones part in ways that no single element's
    change shows.
    """
    f = meaning(node)
    types = node.type.items if isinstance(node.type, TupleType) else (node.type,)

    def results(values: Any) -> list[Any]:
        found = f(*values)
        return [np.asarray(r) for r in (found if isinstance(found, tuple) else (found,))]

    values = [a.value for a in args]
    base = results(values)
    changes = [np.zeros(b.shape) for b in base]
    for i, ball in enumerate(args):
        sizes = np.max(np.abs(ball.value), initial=0.0) * 64 * 2.0**-52
        for at in np.ndindex(ball.value.shape):
            if ball.value.dtype.kind != "f":
                continue
            by = ball.error[at] + sizes if np.isfinite(ball.error[at]) else np.inf
            other = ball.value.copy()
            scale = max(1.0, 1e-9 / by) if by else 1.0
            other[at] += by * scale
            found = results([*values[:i], other, *values[i + 1:]])
            for c, b, r in zip(changes, base, found, strict=True):
                c += np.where(b == r, 0.0, np.abs(r - b) / scale)
    if (at := SPECTRA.get(node.op.name)) is not None:
        changes[at][...] = np.max(changes[at], -1, initial=0.0, keepdims=True)
    balls = [settle(b, 2 * c, t, 2.0) for b, c, t in zip(base, changes, types, strict=True)]
    return tuple(balls) if isinstance(node.type, TupleType) else balls[0]


RULES: dict[str, Rule] = {
    "cast": converted, "eq": equal, "ne": equal, "where": where, "bitcast": bits,
    "copysign": signed, "atan2": signed,
    "nextafter": bits, "barrier": barrier, "sum": linear, "fold": linear, "cumsum": linear,
    "matmul": products, "conv": products, "scatter_add": added, "scatter_onto": added,
    "scatter_max": largest, "scatter_min": largest, "prod": product, "cumprod": product,
    "max": monotone, "min": monotone, "logsumexp": monotone, "logcumsumexp": monotone,
    "linear_recurrence": recurrence, "argmax": extreme_index, "argmin": extreme_index,
    "cumargmax": order, "argsort": order, "searchsorted": places, "scatter_last": places,
}
