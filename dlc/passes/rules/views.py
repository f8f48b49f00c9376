"""Rules of views: adjacent views merge, identities are removed."""

from __future__ import annotations

from dlc.ir.graph import Kind, Node, make
from dlc.ir.types import Type
from dlc.ops import leaf, view
from dlc.passes.rules.arithmetic import rule
from dlc.reference.rewrite import FunctionRule, Rule

_ONE = "broadcast(x, shape=p)"  # of one element: every view of it is another broadcast

VIEWS: tuple[Rule, ...] = (
    rule("reshape(x, shape=p) -> x", "tuple(x.shape) == p", examples=("x: f32[2, 3]; p = (2, 3)",)),
    rule("reshape(reshape(x, shape=p), shape=q) -> reshape(x)",
         examples=("x: f32[2, 3]; p = (6,); q = (3, 2)",)),
    rule("transpose(x, axes=p) -> x", "p == tuple(range(x.ndim))",
         examples=("x: f32[2, 3]; p = (0, 1)",)),
    rule("transpose(transpose(x, axes=p), axes=q) -> transpose(x, axes=tuple(p[i] for i in q))",
         examples=("x: f32[2, 3, 4]; p = (2, 0, 1); q = (0, 2, 1)",
                   "x: f32[2, 3]; p = (1, 0); q = (1, 0)")),
    rule("transpose(x, axes=p) -> reshape(x)", "moves_only_ones(x.shape, p)",
         examples=("x: f32[1, 5, 1, 3]; p = (1, 0, 3, 2)",)),
    rule("broadcast(x, shape=p) -> x", "tuple(x.shape) == p",
         examples=("x: f32[2, 3]; p = (2, 3)",)),
    rule("broadcast(x, shape=p) -> reshape(x)", "x.type.size == y.type.size",
         examples=("x: f32[2, 3]; p = (1, 1, 2, 3)",)),
    rule("broadcast(broadcast(x, shape=p), shape=q) -> broadcast(x)",
         examples=("x: f32[3, 1]; p = (3, 4); q = (2, 3, 4)",)),
    rule("broadcast(reshape(x, shape=p), shape=q) -> broadcast(x)",
         "len(p) >= x.ndim and p == (1,) * (len(p) - x.ndim) + tuple(x.shape)",
         examples=("x: f32[3]; p = (1, 3); q = (2, 3)",)),
    rule("broadcast(x, shape=p) -> broadcast(reshape(x, shape=()))",
         "x.ndim > 0 and x.type.size == 1", examples=("x: f32[1, 1]; p = (2, 3)",)),
    rule(f"reshape({_ONE}, shape=q) -> broadcast(reshape(x, shape=()))", "x.type.size == 1",
         examples=("x: f32[()]; p = (2, 3); q = (6,)",)),
    rule(f"transpose({_ONE}, axes=q) -> broadcast(reshape(x, shape=()))", "x.type.size == 1",
         examples=("x: f32[1]; p = (2, 3); q = (1, 0)",)),
    rule(f"flip({_ONE}, axes=q) -> broadcast(reshape(x, shape=()))", "x.type.size == 1",
         examples=("x: f32[1]; p = (2, 3); q = (1,)",)),
    rule(f"slice({_ONE}, start=q, stop=r, step=s) -> broadcast(reshape(x, shape=()))",
         "x.type.size == 1", examples=("x: f32[()]; p = (5,); q = (1,); r = (4,); s = (2,)",)),
    rule(f"window({_ONE}, size=q, stride=r, dilation=s) -> broadcast(reshape(x, shape=()))",
         "x.type.size == 1", examples=("x: f32[()]; p = (5,); q = (2,); r = (1,); s = (1,)",)),
    rule("flip(x, axes=p) -> x", "all_ones(x.shape, p)", examples=("x: f32[1, 3]; p = (0,)",)),
    rule("flip(flip(x, axes=p), axes=q) -> flip(x, axes=odd_axes(p, q))",
         examples=("x: f32[2, 3]; p = (0, 1); q = (1,)", "x: f32[2, 3]; p = (1,); q = (1,)")),
    rule("slice(x, start=p, stop=q, step=r) -> x", "tuple(x.shape) == tuple(y.shape)",
         examples=("x: f32[3]; p = (0,); q = (3,); r = (1,)",)),
    rule("slice(slice(x, start=p, stop=q, step=r), start=s, stop=t, step=u) -> "
         "slice(x, start=slice_start(p, r, s), stop=slice_stop(slice_start(p, r, s), "
         "product(r, u), y.shape), step=product(r, u))", "y.type.size > 0",
         examples=("x: f32[20]; p = (1,); q = (18,); r = (2,); s = (1,); t = (7,); u = (3,)",)),
    rule("pad(x, low=p, high=q, interior=r, value=v) -> x", "tuple(x.shape) == tuple(y.shape)",
         examples=("x: f32[3]; p = (0,); q = (0,); r = (0,); v = 0.0",)),
    rule("pad(pad(x, low=p, high=q, interior=r, value=v), low=s, high=t, interior=u, value=w) -> "
         "pad(x, low=plus(p, s), high=plus(q, t), interior=r, value=v)",
         "not any(u) and same_value(v, w)",
         examples=("x: f32[3]; p = (1,); q = (2,); r = (1,); v = 0.5; s = (3,); t = (0,); "
                   "u = (0,); w = 0.5",)),
    rule("slice(pad(x, low=p, high=q, interior=r, value=v), start=s, stop=t, step=u) -> x",
         "s == p and u == tuple(i + 1 for i in r) and tuple(x.shape) == tuple(y.shape)",
         examples=("x: f32[3]; p = (1,); q = (2,); r = (1,); v = 0.5; s = (1,); t = (6,); "
                   "u = (2,)",)),
    rule("slice(pad(x, low=p, high=q, interior=r, value=v), start=s, stop=t, step=u) -> "
         "slice(x, start=minus(s, p), stop=minus(t, p), step=u)",
         "not any(r) and inside(s, t, p, x.shape)",
         examples=("x: f32[5]; p = (1,); q = (2,); r = (0,); v = 0.5; s = (2,); t = (5,); "
                   "u = (2,)",)),
    rule("concat(x, axis=p) -> x", examples=("x: f32[3]; p = 0",)),
)


def _slice_of_concat(node: Node) -> Node | None:
    """A slice that stays within one part of a concat is a slice of that part."""
    joined = node.args[0]
    if joined.op is not view.CONCAT:
        return None
    axis, at = joined.attrs["axis"], 0
    start, stop = node.attrs["start"], node.attrs["stop"]
    for part in joined.args:
        end = at + int(part.shape[axis])
        if at <= start[axis] and stop[axis] <= end:
            return make(view.SLICE, (part,), step=node.attrs["step"],
                        start=(*start[:axis], start[axis] - at, *start[axis + 1:]),
                        stop=(*stop[:axis], stop[axis] - at, *stop[axis + 1:]))
        at = end
    return None


def _broadcast_later(node: Node) -> Node | None:
    """Compute once per source element, then repeat: for unary and binary operators alike."""
    if node.op.kind is not Kind.ELEMENTWISE:
        return None
    sources = {tuple(a.args[0].shape) for a in node.args if a.op is view.BROADCAST}
    others = [a for a in node.args if a.op is not view.BROADCAST and a.op is not leaf.CONSTANT]
    if len(sources) != 1 or others:
        return None
    shape = next(iter(sources))
    args = [a.args[0] if a.op is view.BROADCAST else
            leaf.constant(a.attrs["value"], Type(a.dtype, shape)) for a in node.args]
    small = make(node.op, args, **node.attrs)
    return make(view.BROADCAST, (small,), shape=tuple(node.shape))


VIEW_FUNCTIONS: tuple[FunctionRule, ...] = (
    FunctionRule("slice(concat(a, b, ...)) -> slice(b), when it stays within b", _slice_of_concat,
                 ("slice",), examples=(
                     ("slice(concat(a, b, axis=1), start=(0, 4), stop=(2, 6), step=(1, 1))",
                      "a: f32[2, 3]; b: f32[2, 4]"),)),
    FunctionRule("f(broadcast(a), broadcast(b)) -> broadcast(f(a, b)) for elementwise f",
                 _broadcast_later, examples=(
                     ("exp(broadcast(x, shape=(4, 3)))", "x: f32[3]"),
                     ("mul(broadcast(a, shape=(2, 3)), broadcast(b, shape=(2, 3)))",
                      "a: f32[1, 3]; b: f32[1, 3]"),
                     ("where(gt(broadcast(x, shape=(4, 3)), 0.5), 1.0, broadcast(x, shape=(4, 3)))",
                      "x: f32[3]"))),
)
