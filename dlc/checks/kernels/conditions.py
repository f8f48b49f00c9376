"""What a condition implies: rows where it is false, and narrower ranges."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.backend.ir import Binary, Call, Expression, Logical, Number, Position, Ref, Truth
from dlc.backend.ir.index import Atom, Sum, Var
from dlc.backend.ir.printer import text
from dlc.backend.ir.words import joined
from dlc.checks.kernels.ranges import Range, between, least, most
from dlc.ir.types import i64

if TYPE_CHECKING:
    from dlc.checks.kernels.expressions import Expressions
    from dlc.checks.kernels.frames import Frame

_OPPOSITE = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}


def assume(walk: Expressions, node: Expression, truth: bool, frame: Frame) -> Frame:
    """The frame in which `node` is `truth`: fewer rows, and what is known there."""
    inner = frame.inner(frame.space)
    walk.silent += 1
    _assume(walk, node, truth, inner)
    walk.silent -= 1
    return inner


def _assume(walk: Expressions, node: Expression, truth: bool, frame: Frame) -> None:
    match node:
        case Logical(word="not"):
            _assume(walk, node.parts[0], not truth, frame)
        case Logical():
            if (node.word == "and") is truth:
                for part in node.parts:
                    _assume(walk, part, truth, frame)
        case Truth():
            if truth or len(node.condition) == 1:
                for c in node.condition:
                    sign = c.sign if truth else _OPPOSITE[c.sign]
                    _compare(walk, Position(c.value, i64), sign, Number(c.bound, i64), frame)
        case Binary(sign="&" | "|"):
            if (node.sign == "&") is truth:
                _assume(walk, node.a, truth, frame)
                _assume(walk, node.b, truth, frame)
        case Binary(sign=sign) if sign in _OPPOSITE:
            _compare(walk, node.a, sign if truth else _OPPOSITE[sign], node.b, frame)


def _compare(walk: Expressions, left: Expression, sign: str, right: Expression,
             frame: Frame) -> None:
    if not frame.space.rows:
        return
    a, b = walk.value(left, frame), walk.value(right, frame)
    if a is None or b is None:
        return
    a, b = a.within(frame.space), b.within(frame.space)
    if sign in (">", ">="):
        left, right, a, b = right, left, b, a
    bounds: tuple[tuple[Any, Any], tuple[Any, Any]] | None
    if sign in ("<", ">", "<=", ">="):
        gap = 1 if sign in ("<", ">") else 0
        keep, bounds = a.lo + gap <= b.hi, ((-math.inf, b.hi - gap), (a.lo + gap, math.inf))
    elif sign == "==":
        keep, bounds = (a.lo <= b.hi) & (b.lo <= a.hi), ((b.lo, b.hi), (a.lo, a.hi))
    elif a.exact and b.exact:
        keep, bounds = a.lo != b.lo, None
    else:
        return
    before = frame.space
    frame.space = before.kept(keep)
    if frame.space.rows and bounds is not None:
        for part, (lo, hi) in zip((left, right), bounds, strict=True):
            narrow = between(lo, hi, before).within(frame.space)
            _narrow(walk, part, narrow.lo, narrow.hi, frame)


def _narrow(walk: Expressions, node: Expression, lo: Any, hi: Any, frame: Frame) -> None:
    """`node` lies in lo .. hi: so do the names and calls in it, moved and divided."""
    match node:
        case Ref(name=name):
            _narrow_name(name, lo, hi, frame)
        case Position() if node.dtype is i64:
            _narrow_index(walk, node.index, lo, hi, frame)
        case Binary(sign="+" | "-") if node.dtype is i64:
            _narrow_sum(walk, node, lo, hi, frame)
        case Binary(sign="*", b=Number(value=by)) if node.dtype is i64 and by > 0:
            _narrow(walk, node.a, np.ceil(lo / by), np.floor(hi / by), frame)
        case Call():
            _teach(key_of(node), lo, hi, frame)


def _narrow_name(name: str, lo: Any, hi: Any, frame: Frame) -> None:
    old = frame.get(name)
    if isinstance(old, Range) and not old.exact:
        frame.values[name] = between(most(old.lo, lo), least(old.hi, hi), frame.space)


def _narrow_index(walk: Expressions, index: Sum, lo: Any, hi: Any, frame: Frame) -> None:
    """An index lies in lo .. hi: each of its parts does, less what the others may be."""
    for at, (atom, count) in enumerate(index.terms):
        rest = walk.index(Sum(index.const, (*index.terms[:at], *index.terms[at + 1:])), frame)
        rest = rest.within(frame.space)
        ends = (lo - rest.hi) / count, (hi - rest.lo) / count
        low, high = ends if count > 0 else ends[::-1]
        _narrow_atom(atom, np.ceil(low), np.floor(high), frame)


def _narrow_atom(atom: Atom, lo: Any, hi: Any, frame: Frame) -> None:
    if isinstance(atom, Var):
        _narrow_name(atom.name, lo, hi, frame)
    else:
        _teach(key_of(atom), lo, hi, frame)


def _teach(key: str, lo: Any, hi: Any, frame: Frame) -> None:
    if key in frame.taught:
        low, high = taught(frame, key)
        lo, hi = most(lo, low), least(hi, high)
    frame.taught[key] = (lo, hi, frame.space)


def _narrow_sum(walk: Expressions, node: Binary, lo: Any, hi: Any, frame: Frame) -> None:
    a, b = walk.value(node.a, frame), walk.value(node.b, frame)
    if a is None or b is None:
        return
    a, b = a.within(frame.space), b.within(frame.space)
    if node.sign == "+":
        _narrow(walk, node.a, lo - b.hi, hi - b.lo, frame)
        _narrow(walk, node.b, lo - a.hi, hi - a.lo, frame)
    else:
        _narrow(walk, node.a, lo + b.lo, hi + b.hi, frame)
        _narrow(walk, node.b, a.lo - hi, a.hi - lo, frame)


def known(node: Atom | Call, value: Range, frame: Frame) -> Range:
    """`value` of a call or a part of an index, narrowed by what conditions said of the same."""
    if not frame.taught or key_of(node) not in frame.taught:
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


def key_of(node: Atom | Call) -> str:
    """How a value is printed: alike for equal ones."""
    return text(node) if isinstance(node, Call) else joined(node.words())
