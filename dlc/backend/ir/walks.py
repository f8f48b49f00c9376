"""Traversals of the kernel IR: parts of statements and expressions, and the names in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

from dlc.backend.ir import (
    Alloc,
    Binary,
    Call,
    Choice,
    Expression,
    For,
    Function,
    If,
    Let,
    Load,
    Logical,
    Negative,
    Pointer,
    Position,
    Statement,
    Store,
    TileCall,
    Truth,
    UserCall,
    View,
    While,
)
from dlc.backend.ir.index import Computed, Minimum, Quotient, Remainder, Sum


def operands(value: Expression) -> tuple[Expression, ...]:
    """The expressions that an expression is made of."""
    rule = _OPERANDS.get(type(value))
    return rule(value) if rule is not None else ()


# By type: these are asked of every expression and statement several times.
_OPERANDS: Mapping[type, Callable[[Any], tuple[Expression, ...]]] = {
    Call: attrgetter("args"), Logical: attrgetter("parts"), Binary: attrgetter("a", "b"),
    Negative: lambda value: (value.value,), Choice: attrgetter("condition", "a", "b")}


def with_operands(value: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """The expression with each of its operands changed."""
    match value:
        case Call():
            return replace(value, args=tuple(map(change, value.args)))
        case Binary():
            return replace(value, a=change(value.a), b=change(value.b))
        case Negative():
            return replace(value, value=change(value.value))
        case Logical():
            return replace(value, parts=tuple(map(change, value.parts)))
        case Choice():
            return replace(value, condition=change(value.condition), a=change(value.a),
                           b=change(value.b))
    return value


def blocks(statement: Statement) -> tuple[Sequence[Statement], ...]:
    """The blocks of statements inside a statement."""
    match statement:
        case For() | While():
            return (statement.body,)
        case If():
            return statement.then, statement.otherwise
    return ()


def indices(item: Expression | Statement) -> tuple[Sum, ...]:
    """The index expressions that an expression or a statement itself holds."""
    rule = _INDICES.get(type(item))
    return rule(item) if rule is not None else ()


_INDICES: Mapping[type, Callable[[Any], tuple[Sum, ...]]] = {
    Load: lambda item: (item.index, *(c.value for c in item.guard)),
    Truth: lambda item: tuple(c.value for c in item.condition),
    Position: lambda item: (item.index,), Store: lambda item: (item.index,),
    For: attrgetter("low", "high"),
    TileCall: lambda item: tuple(a.offset if isinstance(a, Pointer) else a for a in item.args),
    UserCall: lambda item: tuple(a.place.offset for a in item.args if isinstance(a, View))}


def flattened(statements: Sequence[Statement]) -> Iterator[Statement]:
    """Every statement, those inside loops and branches too, in order."""
    for statement in statements:
        yield statement
        for inner in blocks(statement):
            yield from flattened(inner)


def expressions(statement: Statement) -> Iterator[Expression]:
    """Every expression of a statement itself, those inside its indices too."""
    stack = inside(indices(statement))
    if isinstance(statement, (Let, Store)):
        stack.append(statement.value)
    elif isinstance(statement, (While, If)):
        stack.append(statement.condition)
    while stack:
        value = stack.pop()
        yield value
        held = indices(value)
        if held:
            stack += inside(held)
        stack += operands(value)[::-1]


def inside(sums: Sequence[Sum]) -> list[Expression]:
    """The expressions that indices are made of."""
    found: list[Expression] = []
    for value in sums:
        for atom, _ in value.terms:
            match atom:
                case Computed():
                    found.append(atom.value)
                case Quotient() | Remainder():
                    found += inside((atom.value,))
                case Minimum():
                    found += inside((atom.a, atom.b))
    return found


def buffers_of(statements: Sequence[Statement]) -> set[str]:
    """The names of the buffers that are loaded, stored or given to tiles."""
    found: set[str] = set()
    for statement in flattened(statements):
        found |= {e.buffer for e in expressions(statement) if isinstance(e, Load)}
        if isinstance(statement, Store):
            found.add(statement.buffer)
        if isinstance(statement, TileCall):
            found |= {a.buffer for a in statement.args if isinstance(a, Pointer)}
        if isinstance(statement, UserCall):
            found |= {a.place.buffer for a in statement.args if isinstance(a, View)}
    return found


def names_of(function: Function) -> set[str]:
    """The names that a kernel gives or takes."""
    found = {p.name for p in function.params}
    for statement in flattened(function.body):
        if isinstance(statement, For):
            found.add(statement.var)
        elif isinstance(statement, (Let, Alloc)):
            found.add(statement.name)
    return found


def tiles_of(statements: Sequence[Statement]) -> tuple[str, ...]:
    """The names of the tiles that are called, sorted."""
    return tuple(sorted({s.tile for s in flattened(statements) if isinstance(s, TileCall)}))


def functions_of(statements: Sequence[Statement]) -> set[str]:
    """The functions that are called: primitives, the prelude's, a user's."""
    found: set[str] = set()
    for statement in flattened(statements):
        found |= {e.function for e in expressions(statement) if isinstance(e, Call)}
        if isinstance(statement, UserCall):
            found.add(statement.function)
    return found
