"""How kernels add up: the states of sums, of sums of squares, and of logarithms of sums.

    f32             runs of f32, whose sums go into an f64         (f16 and bf16 are summed in f32)
    squares of f32  an f64: a product of f32 is exact there
    f64             two words of f64, the second what the first loses to rounding

docs/design/math.md (Sums) has the bounds on their errors; dlc/backend/emit/runs.py cuts the runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dlc.ir.access import Combine
from dlc.ir.graph import Node
from dlc.ir.types import f32, f64
from dlc.ops.elementwise import MUL


def simple(identity: Callable[[Any], float], fold: str, total: Combine | None = None) -> Combine:
    """One state, folded by a primitive that may be reordered into lanes (docs/ir.md)."""
    return Combine(
        identity=lambda d: (identity(d),),
        step=lambda k, s, x, position: (k.fold(fold, s[0], x),),
        merge=lambda k, a, b: (k.fold(fold, a[0], b[0]),),
        finish=lambda k, s: s[0],
        state_dtypes=lambda d: (d,),
        reorders=True,
        total=total,
    )


def two_sum(k: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """(a + b rounded, what the rounding lost): their sum is a + b exactly (Knuth)."""
    new = k.let("new", k.binary("+", a, b))
    taken = k.let("taken", k.binary("-", new, a))
    return new, k.binary("+", k.binary("-", a, k.binary("-", new, taken)),
                         k.binary("-", b, taken))


def whole_of(k: Any, first: Any, rest: Any) -> Any:
    """A sum in two words as one; of an infinite one the rest is NaN."""
    return k.select(k.call("isfinite", first), k.binary("+", first, rest), first)


def _merge_pairs(k: Any, a: Any, b: Any) -> Any:
    """Sums in two words; of an element only the first."""
    new, lost = two_sum(k, a[0], b[0])
    for rest in b[1:]:
        lost = k.binary("+", lost, rest)
    return new, k.binary("+", a[1], lost)


def _of_runs(k: Any, a: Any, b: Any) -> Any:
    return (k.binary("+", a[0], k.cast(b[0], f64)),)


# of f32: runs, whose sums go into an f64
SUMS = simple(lambda d: 0, "radd", Combine(
    lambda d: (0.0,), _of_runs, _of_runs, lambda k, s: s[0], lambda d: (f64,)))
# of f64, which has no wider dtype: two words, the second what the first loses to rounding (Ogita,
# Rump and Oishi, "Accurate sum and dot product", 2005, Sum2)
PAIRS = Combine(
    lambda d: (0.0, 0.0), lambda k, s, x, position: _merge_pairs(k, s, (x,)), _merge_pairs,
    lambda k, s: whole_of(k, *s), lambda d: (f64, f64), lanes=True)
# of squares of f32, which are exact in f64
SQUARES = replace(SUMS, state_dtypes=lambda d: (f64,), total=None)


def are_squares(y: Node) -> bool:
    """Whether `y` is an f32 sum of squares: variances, norms and squared errors."""
    x = y.args[0]
    return x.dtype is f32 and x.op is MUL and x.args[0] is x.args[1]


def sums_of(y: Node) -> Combine:
    """How the sum `y` adds up: in one place for every kernel (docs/design/math.md, Sums)."""
    if y.dtype is f64:
        return PAIRS
    return SQUARES if are_squares(y) else SUMS


def products_of(y: Node, few: bool) -> Combine:
    """How the contraction `y` adds up its products: few as an accumulator of a tile does it."""
    return PAIRS if y.dtype is f64 and not few else SUMS


def _logsums() -> Combine:
    """States (max, sum of exp(x - max)): one pass over the input (Milakov & Gimelshein 2018).

    The sums of runs go into an f64; of f64 into two words, as those of a sum.
    """
    def join(k: Any, a: Any, top_b: Any) -> tuple[Any, Any, Any]:
        """The larger maximum, and how it scales either sum."""
        top = k.let("top", k.call("maximum", a[0], top_b))
        # an infinite maximum would give inf - inf
        safe = k.let("safe", k.select(k.call("isfinite", top), top, k.number(0.0, top.dtype)))
        kept, scale = (k.call("exp", k.binary("-", x, safe)) for x in (a[0], top_b))
        return top, k.cast(kept, a[1].dtype), scale

    def step(k: Any, s: Any, x: Any, position: Any) -> Any:
        top, kept, new = join(k, s, x)
        return top, k.binary("+", k.binary("*", s[1], kept), new)

    def merge(k: Any, a: Any, b: Any) -> Any:
        top, kept, scale = join(k, a, b[0])
        old = k.binary("*", a[1], kept)
        new = k.cast(k.binary("*", b[1], k.cast(scale, b[1].dtype)), a[1].dtype)
        if len(a) == 2:
            return top, k.binary("+", old, new)
        total, lost = two_sum(k, k.let("old", old), k.let("found", new))
        for rest in b[2:]:
            lost = k.binary("+", lost, k.binary("*", rest, scale))
        return top, total, k.binary("+", k.binary("*", a[2], kept), lost)

    def finish(k: Any, s: Any) -> Any:
        safe = k.select(k.call("isfinite", s[0]), s[0], k.number(0.0, s[0].dtype))
        total = s[1] if len(s) == 2 else whole_of(k, *s[1:])
        return k.binary("+", k.call("log", k.cast(total, s[0].dtype)), safe)

    def words(d: Any) -> tuple[Any, ...]:
        return (f64, f64) if d is f64 else (f64,)

    total = Combine(lambda d: (-math.inf, *(0.0 for _ in words(d))), step, merge, finish,
                    lambda d: (d, *words(d)))
    return Combine(lambda d: (-math.inf, 0.0), step, merge, finish, lambda d: (d, d), total=total)


LOGSUMS = _logsums()
