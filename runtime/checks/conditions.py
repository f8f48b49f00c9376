"""What a condition tells of the values in it: rows where it can't hold, and narrower ranges."""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.runtime.checks.ranges import Range, between, least, most

if TYPE_CHECKING:
    from dlc.runtime.checks.expressions import Expressions
    from dlc.runtime.checks.frames import Frame

_OPPOSITE = {ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
             ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}


def assume(walk: Expressions, node: ast.expr, truth: bool, frame: Frame) -> Frame:
    """The frame in which `node` is `truth`: fewer rows, and what is known there."""
    inner = frame.inner(frame.space)
    walk.silent += 1
    _assume(walk, node, truth, inner)
    walk.silent -= 1
    return inner


def _assume(walk: Expressions, node: ast.expr, truth: bool, frame: Frame) -> None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _assume(walk, node.operand, not truth, frame)
    elif isinstance(node, ast.BoolOp):
        if isinstance(node.op, ast.And) is truth:
            for part in node.values:
                _assume(walk, part, truth, frame)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        if isinstance(node.op, ast.BitAnd) is truth:
            _assume(walk, node.left, truth, frame)
            _assume(walk, node.right, truth, frame)
    elif isinstance(node, ast.Compare) and (truth or len(node.ops) == 1):
        parts = [node.left, *node.comparators]
        for left, op, right in zip(parts, node.ops, parts[1:], strict=False):
            kind = type(op) if truth else _OPPOSITE.get(type(op), type(op))
            _compare(walk, left, kind, right, frame)


def _compare(walk: Expressions, left: ast.expr, kind: type, right: ast.expr, frame: Frame) -> None:
    if not frame.space.rows:
        return
    a, b = walk.value(left, frame), walk.value(right, frame)
    if not isinstance(a, Range) or not isinstance(b, Range):
        return
    a, b = a.within(frame.space), b.within(frame.space)
    if kind in (ast.Gt, ast.GtE):
        left, right, a, b = right, left, b, a
    if kind in (ast.Lt, ast.Gt, ast.LtE, ast.GtE):
        gap = 1 if kind in (ast.Lt, ast.Gt) else 0
        keep, bounds = a.lo + gap <= b.hi, ((-math.inf, b.hi - gap), (a.lo + gap, math.inf))
    elif kind is ast.Eq:
        keep, bounds = (a.lo <= b.hi) & (b.lo <= a.hi), ((b.lo, b.hi), (a.lo, a.hi))
    elif kind is ast.NotEq and a.exact and b.exact:
        keep, bounds = a.lo != b.lo, None
    else:
        return
    before = frame.space
    frame.space = before.kept(keep)
    if frame.space.rows and bounds is not None:
        for part, (lo, hi) in zip((left, right), bounds, strict=True):
            narrow = between(lo, hi, before).within(frame.space)
            _narrow(walk, part, narrow.lo, narrow.hi, frame)


def _narrow(walk: Expressions, node: ast.expr, lo: Any, hi: Any, frame: Frame) -> None:
    """`node` lies in lo .. hi: so do the names and calls in it, moved and divided."""
    if isinstance(node, ast.Name):
        old = frame.get(node.id)
        if isinstance(old, Range) and not old.exact:
            frame.values[node.id] = between(most(old.lo, lo), least(old.hi, hi), frame.space)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        _narrow_sum(walk, node, lo, hi, frame)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        by = node.right.value if isinstance(node.right, ast.Constant) else 0
        if isinstance(by, int) and by > 0:
            _narrow(walk, node.left, np.ceil(lo / by), np.floor(hi / by), frame)
    elif isinstance(node, ast.Call):
        key = key_of(node)
        if key in frame.taught:
            low, high = taught(frame, key)
            lo, hi = most(lo, low), least(hi, high)
        frame.taught[key] = (lo, hi, frame.space)


def _narrow_sum(walk: Expressions, node: ast.BinOp, lo: Any, hi: Any, frame: Frame) -> None:
    a, b = walk.value(node.left, frame), walk.value(node.right, frame)
    if not isinstance(a, Range) or not isinstance(b, Range):
        return
    a, b = a.within(frame.space), b.within(frame.space)
    if isinstance(node.op, ast.Add):
        _narrow(walk, node.left, lo - b.hi, hi - b.lo, frame)
        _narrow(walk, node.right, lo - a.hi, hi - a.lo, frame)
    else:
        _narrow(walk, node.left, lo + b.lo, hi + b.hi, frame)
        _narrow(walk, node.right, a.lo - hi, a.hi - lo, frame)


def known(node: ast.expr, value: Range, frame: Frame) -> Range:
    """`value` of a call, narrowed by what conditions said of the same call."""
    if not isinstance(node, ast.Call) or key_of(node) not in frame.taught:
        return value
    lo, hi = taught(frame, key_of(node))
    value = value.within(frame.space)
    return value if value.exact else between(most(value.lo, lo), least(value.hi, hi), frame.space)


def taught(frame: Frame, key: str) -> tuple[Any, Any]:
    lo, hi, space = frame.taught[key]
    if space is not frame.space:
        there = between(lo, hi, space).within(frame.space)
        return there.lo, there.hi
    return lo, hi


def key_of(node: ast.AST) -> str:
    """The text of an expression: equal for equal ones."""
    found = getattr(node, "key", None)
    if found is None:
        found = node.key = ast.unparse(node)  # type: ignore[attr-defined]
    word: str = found
    return word
