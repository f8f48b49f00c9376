"""Substitution of indices for variables in statements, in normal form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dlc.backend.ir import (
    Condition,
    Expression,
    For,
    If,
    Let,
    Load,
    Number,
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
from dlc.backend.ir.index import Atom, Computed, Minimum, Quotient, Remainder, Sum, least
from dlc.backend.ir.walks import with_operands
from dlc.backend.ir.whole import settled

Table = Mapping[str, Sum]


def substituted(statements: Sequence[Statement], table: Table) -> tuple[Statement, ...]:
    """The statements with `table[name]` wherever an index reads the variable `name`."""
    return tuple(_statement(s, table) for s in statements)


def _statement(s: Statement, table: Table) -> Statement:
    match s:
        case Let():
            return replace(s, value=_expression(s.value, table))
        case Store():
            return replace(s, index=put_in(s.index, table), value=_expression(s.value, table))
        case TileCall():
            return replace(s, args=tuple(_place(a, table) if isinstance(a, Pointer)
                                         else put_in(a, table) for a in s.args))
        case UserCall():
            return replace(s, args=tuple(replace(a, place=_place(a.place, table))
                                         if isinstance(a, View) else a for a in s.args))
        case For():
            return replace(s, low=put_in(s.low, table), high=put_in(s.high, table),
                           body=substituted(s.body, table))
        case While():
            return replace(s, condition=_expression(s.condition, table),
                           body=substituted(s.body, table))
        case If():
            return replace(s, condition=_expression(s.condition, table),
                           then=substituted(s.then, table),
                           otherwise=substituted(s.otherwise, table))
    return s


def _expression(value: Expression, table: Table) -> Expression:
    match value:
        case Load():
            return replace(value, index=put_in(value.index, table),
                           guard=_condition(value.guard, table))
        case Truth():
            return replace(value, condition=_condition(value.condition, table))
        case Position():
            index = put_in(value.index, table)
            if index.terms:
                return replace(value, index=index)
            return Number(index.const, value.dtype, value.level)
    return settled(with_operands(value, lambda part: _expression(part, table)))


def _condition(parts: Condition, table: Table) -> Condition:
    return tuple(replace(c, value=put_in(c.value, table)) for c in parts)


def _place(value: Pointer, table: Table) -> Pointer:
    return replace(value, offset=put_in(value.offset, table))


def put_in(value: Sum, table: Table) -> Sum:
    """The index with `table[name]` for each variable `name`."""
    if not value.variables() & table.keys():
        return value
    found = Sum(value.const)
    for atom, count in value.terms:
        found = found + _atom(atom, table) * count
    return found


def _atom(atom: Atom, table: Table) -> Sum:
    if not atom.variables & table.keys():
        return Sum(0, ((atom, 1),))
    match atom:
        case Quotient():
            return put_in(atom.value, table) // atom.by
        case Remainder():
            return put_in(atom.value, table) % atom.by
        case Minimum():
            return least(put_in(atom.a, table), put_in(atom.b, table))
        case Computed():
            names = frozenset(n for v in atom.variables
                              for n in (table[v].variables() if v in table else (v,)))
            return Sum(0, ((Computed(_expression(atom.value, table), names, atom.low, atom.high),
                            1),))
    return table[atom.name]
