"""Rules of reductions: over no axes, over broadcasts, of reductions."""

from __future__ import annotations

from dlc.passes.rules.arithmetic import rule
from dlc.reference.rewrite import Grade, Rule

_ROUNDING = Grade.ROUNDING

REDUCTIONS: tuple[Rule, ...] = (
    *(rule(f"{op}(x, axes=()) -> x", "x.dtype is y.dtype", examples=("x: f32[3]",))
      for op in ("sum", "prod", "max", "min", "logsumexp")),
    *(rule(f"{op}(x, axes=p) -> reshape(x)", "all_ones(x.shape, p) and x.dtype is y.dtype",
           examples=("x: f32[1, 3]; p = (0,)",)) for op in ("sum", "prod", "max", "min",
                                                            "logsumexp")),
    rule("sum(neg(x), axes=p) -> neg(sum(x, axes=p))", "x.dtype is y.dtype",
         examples=("x: f32[4, 9]; p = (1,)", "x: i32[4, 9]; p = (0, 1)")),
    # one reduction over all axes; in f16 and bf16 the inner result would round, and so is kept
    rule("sum(sum(x, axes=p), axes=q) -> sum(x, axes=merged_axes(p, q, x.ndim))",
         "x.dtype.bytes >= 4", _ROUNDING, ("x: f32[2, 3, 4]; p = (1,); q = (0,)",
                                           "x: i32[2, 3, 4]; p = (2,); q = (0, 1)")),
    rule("max(max(x, axes=p, ties=t), axes=q, ties=t) -> "
         "max(x, axes=merged_axes(p, q, x.ndim), ties=t)",
         examples=('x: f32[2, 3, 4]; p = (1,); q = (0,); t = "even"',)),
    rule("min(min(x, axes=p, ties=t), axes=q, ties=t) -> "
         "min(x, axes=merged_axes(p, q, x.ndim), ties=t)",
         examples=('x: f32[2, 3, 4]; p = (1,); q = (0,); t = "even"',)),
    rule("sum(transpose(x, axes=p), axes=q) -> sum(x, axes=tuple(range(x.ndim)))",
         "len(q) == x.ndim", _ROUNDING, ("x: f32[2, 3]; p = (1, 0); q = (0, 1)",)),
    rule("sum(reshape(x, shape=p), axes=q) -> sum(x, axes=tuple(range(x.ndim)))",
         "len(q) == len(p)", _ROUNDING, ("x: f32[2, 3]; p = (3, 2); q = (0, 1)",)),
    # n equal addends: the product rounds once
    rule("sum(broadcast(x, shape=p), axes=q) -> broadcast(mul(reshape(x, "
         "shape=kept_dims(x.shape, p, q)), constant(count(p, q), "
         "x.type.with_(shape=kept_dims(x.shape, p, q)))))",
         "x.dtype is y.dtype and only_repeated(x.shape, p, q) and count(p, q) > 0 "
         "and fits(count(p, q), x.dtype)", _ROUNDING,
         ("x: f32[3]; p = (4, 3); q = (0,)", "x: f32[2, 1]; p = (5, 2, 7); q = (2,)",
          "x: f32[()]; p = (3, 2); q = (0, 1)", "x: i32[3]; p = (4, 3); q = (0,)")),
    *(rule(f"{op}(broadcast(x, shape=p), axes=q) -> "
           "broadcast(reshape(x, shape=kept_dims(x.shape, p, q)))",
           "only_repeated(x.shape, p, q)",
           examples=("x: f32[3]; p = (4, 3); q = (0,)", "x: f32[2, 1]; p = (5, 2, 7); q = (2,)"))
      for op in ("max", "min")),
)
