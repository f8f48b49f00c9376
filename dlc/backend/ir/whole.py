"""The normal form of integers: `+ - *` and min of indices are again indices.

    Binary("+", Position(i), Number(1))  ->  Position(i + 1)
    Call("f32", Position(i))             ->  Position(i, f32)
    Binary("<", Position(i), Number(5))  ->  Truth(i < 5)

Code that builds an expression (scalar.py), substitutes one into another (fold.py) or parses a text
(parser.py) normalizes it here, so no two forms print alike. A local that is not part of any index
is an ordinary scalar.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from dlc.backend.ir import (
    Binary,
    Call,
    Compare,
    Expression,
    For,
    If,
    Let,
    Load,
    Logical,
    Number,
    Position,
    Ref,
    Statement,
    Store,
    Truth,
    While,
)
from dlc.backend.ir.index import Atom, Minimum, Quotient, Remainder, Sum, Var, least
from dlc.backend.ir.walks import expressions, flattened, indices, with_operands
from dlc.backend.ir.words import LARGEST
from dlc.ir.types import DTYPES, bool_, i64

SIGNS = ("<", ">=", "==")


def settled(value: Expression) -> Expression:
    """The one form of an expression whose operands have theirs."""
    match value:
        case Binary(sign=sign, a=a, b=b):
            x, y = index_of(a), index_of(b)
            if x is None or y is None:
                return value
            if value.dtype is bool_:
                return compared(value, x, y)
            found = arithmetic(sign, x, y)
            if found is None:
                return value
            return Position(found, i64, value.level) if found.terms else Number(
                found.const, i64, value.level)
        case Call(args=args):
            return called(value, args)
    return value


def index_of(value: Expression) -> Sum | None:
    """The index that an expression is, if it is one."""
    if isinstance(value, Position) and value.dtype is i64:
        return value.index
    if isinstance(value, Number) and value.dtype is i64:
        return Sum(int(value.value))
    return None


def compared(value: Binary, x: Sum, y: Sum) -> Expression:
    """A comparison with a number, as a condition where it is one."""
    if value.sign in SIGNS and x.terms and not y.terms:
        return Truth((Compare(x, value.sign, y.const),), bool_, value.level)
    return value


def arithmetic(sign: str, x: Sum, y: Sum) -> Sum | None:
    """x sign y as an index; None where it is none, or may not fit into an i64."""
    if sign == "*" and x.terms and y.terms:
        return None
    if sign == "*":
        found = x * y.const if x.terms else y * x.const
    elif sign in ("+", "-"):
        found = x + y if sign == "+" else x - y
    else:
        return None
    small = all(abs(n) < LARGEST for n in (found.const, *(c for _, c in found.terms)))
    return found if small else None


def called(value: Call, args: tuple[Expression, ...]) -> Expression:
    """Casts of an index or of a number, the smaller of two indices."""
    found = [index_of(a) for a in args]
    if value.function == "min" and len(found) == 2:
        x, y = found
        if x is not None and y is not None:
            return Position(least(x, y), i64, value.level)
    to = DTYPES.get(value.function)
    if to is None or to is i64 or len(found) != 1 or found[0] is None:
        return value
    if found[0].terms:
        return Position(found[0], to, value.level)
    number = found[0].const
    bits = 8 * to.bytes - (to.category == "int")
    fits = to.is_integer and (-1 << bits if to.category == "int" else 0) <= number < 1 << bits
    return Number(number, to, value.level) if fits else value


# ---- locals that are not indices -----------------------------------------------------------------


def with_scalars(statements: Sequence[Statement]) -> list[Statement]:
    """The statements with a Ref for every local that is not part of an index."""
    parts = [(s, list(expressions(s))) for s in flattened(statements)]
    plain = {s.name for s, _ in parts if isinstance(s, Let)} - index_names(parts)
    if not plain:
        return list(statements)
    used = {n for _, held in parts for e in held for i in indices(e) for n in i.variables()}
    return list(_scalars(statements, used & plain)) if used & plain else list(statements)


def index_names(parts: Iterable[tuple[Statement, Sequence[Expression]]]) -> set[str]:
    """Loops' variables, and the locals that are part of an index, a bound or a divided number, or
    of what such a local is, in statements and their expressions."""
    found, made_of = {"chunk"}, dict[str, set[str]]()
    for s, values in parts:
        if isinstance(s, For):
            found.add(s.var)
        if isinstance(s, Let) and isinstance(s.value, Position):
            made_of.setdefault(s.name, set()).update(s.value.index.variables())
        for part in (s, *values):
            whole = not isinstance(part, (Truth, Position))
            guards = {c.value for c in part.guard} if isinstance(part, Load) else ()
            for held in indices(part):
                found |= held.variables() if whole and held not in guards else divided(held)
    pending = list(found)
    while pending:
        more = made_of.get(pending.pop(), set()) - found
        found |= more
        pending += more
    return found


def divided(index: Sum) -> set[str]:
    """The names in an index's quotients and remainders."""
    found: set[str] = set()
    for atom, _ in index.terms:
        if isinstance(atom, (Quotient, Remainder)):
            found |= atom.variables
        elif isinstance(atom, Minimum):
            found |= divided(atom.a) | divided(atom.b)
    return found


def _scalars(statements: Sequence[Statement], plain: set[str]) -> Iterator[Statement]:
    for s in statements:
        match s:
            case For():
                yield replace(s, body=tuple(_scalars(s.body, plain)))
            case Let() | Store():
                yield replace(s, value=_scalar(s.value, plain))
            case While():
                yield replace(s, condition=_scalar(s.condition, plain),
                              body=tuple(_scalars(s.body, plain)))
            case If():
                yield replace(s, condition=_scalar(s.condition, plain),
                              then=tuple(_scalars(s.then, plain)),
                              otherwise=tuple(_scalars(s.otherwise, plain)))
            case _:
                yield s


def _scalar(value: Expression, plain: set[str]) -> Expression:
    match value:
        case Position(index=index) if index.variables() & plain:
            whole = spelled(index, plain)
            return whole if value.dtype is i64 else Call(value.dtype.name, (whole,), value.dtype)
        case Truth(condition=parts) if any(c.value.variables() & plain for c in parts):
            found = tuple(settled(Binary(c.sign, spelled(c.value, plain), Number(c.bound, i64),
                                         bool_)) for c in parts)
            return found[0] if len(found) == 1 else Logical("and", found)
    return settled(with_operands(value, lambda part: _scalar(part, plain)))


def spelled(index: Sum, plain: set[str]) -> Expression:
    """An index as arithmetic, in the order in which it is printed."""
    parts: list[tuple[str, Expression]] = []
    for atom, c in index.terms:
        part = _atom(atom, plain)
        part = part if abs(c) == 1 else settled(Binary("*", part, Number(abs(c), i64), i64))
        parts.append(("+" if c > 0 else "-", part))
    if index.const:
        at = sum(sign == "+" for sign, _ in parts) if index.const > 0 else len(parts)
        parts.insert(at, ("+" if index.const > 0 else "-", Number(abs(index.const), i64)))
    found: Expression = Number(0, i64) if parts[0][0] == "-" else parts.pop(0)[1]
    for sign, part in parts:
        found = settled(Binary(sign, found, part, i64))
    return found


def _atom(atom: Atom, plain: set[str]) -> Expression:
    if isinstance(atom, Var) and atom.name in plain:
        return Ref(atom.name, i64)
    if isinstance(atom, Minimum) and atom.variables & plain:
        return Call("min", (spelled(atom.a, plain), spelled(atom.b, plain)), i64)
    return Position(Sum(0, ((atom, 1),)), i64)
