"""Indices put in the places of variables: every form of an index means the same afterwards."""

from __future__ import annotations

import pytest

from dlc.backend.ir import (
    Binary,
    Compare,
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
    Truth,
    UserCall,
    View,
    While,
    tile_call,
)
from dlc.backend.ir.index import Computed, Sum, Var, least, sum_of
from dlc.backend.ir.printer import block
from dlc.backend.ir.substitute import substituted
from dlc.backend.ir.words import joined
from dlc.ir.types import bool_, f32, i32, i64

ROW, COLUMN = sum_of(Var("i", 0, 99)), sum_of(Var("j", 0, 9))
TO = sum_of(Var("chunk", 0, 9)) * 10 + 3
PRODUCT = Binary("*", Position(ROW + 1, i64), Position(COLUMN, i64), i64)
FORMS = [ROW, ROW * 3 + COLUMN, ROW // 7, (ROW * 4 + COLUMN) % 6, (ROW // 3) % 5 * 2 + COLUMN,
         least(ROW + 4, 40), 50 - ROW, Sum(0, ((Computed(PRODUCT, frozenset("ij")), 2),)) + ROW,
         COLUMN + 5]


@pytest.mark.parametrize("index", FORMS, ids=[f.text() for f in FORMS])
def test_every_form_of_an_index(index: Sum) -> None:
    (found,) = substituted([Let("x", Position(index, i64))], {"i": TO})
    assert isinstance(found, Let) and isinstance(found.value, Position)
    assert "i" not in found.value.index.variables()
    words = {"idiv": int.__floordiv__, "imod": int.__mod__, "min": min}
    for chunk in range(10):
        for j in range(10):
            at = {"i": chunk * 10 + 3, "j": j}
            assert eval(found.value.index.text(), words, {"chunk": chunk, "j": j}) == eval(
                index.text(), words, at)


def test_an_index_that_becomes_known_is_a_number() -> None:
    """As it is read: a chunk's part of an axis of one position is 0."""
    (found,) = substituted([Let("x", Position(ROW + 1, i64))], {name: Sum(0)
                                                             for name in ROW.variables()})
    assert isinstance(found, Let) and found.value == Number((ROW + 1).const, i64)


def guarded() -> Expression:
    return Load("x", ROW, f32, 0, (Compare(ROW - 2, ">=", 0),))


@pytest.mark.parametrize("statement", [
    Store("y", ROW, guarded(), f32), Let("a", Binary("+", guarded(), Number(1.0, f32), f32)),
    tile_call("copy_f32", Pointer("y", ROW * 2), 4, Pointer("x", ROW), 4, ROW, 4),
    UserCall("f", (View(Pointer("x", ROW), f32, (3,), False), 5)),
    For("k", ROW, ROW + 4, (Store("y", ROW, guarded(), f32),)),
    While(Truth((Compare(ROW, "<", 3),), bool_), (Store("y", ROW, guarded(), f32),)),
    If(Truth((Compare(ROW, "<", 3),), bool_), (Store("y", ROW, guarded(), f32),),
       (Store("y", ROW, guarded(), f32),)),
], ids=["store", "let", "tile", "view", "for", "while", "if"])
def test_every_statement(statement: Statement) -> None:
    """The text has what the variable stands for wherever the variable stood."""
    def text(s: Statement) -> str:
        return "\n".join(joined(line) for line in block([s], ""))

    renamed = {"i": sum_of(Var("renamed", 0, 99))}
    (found,) = substituted([statement], renamed)
    assert "renamed" in text(found)
    assert text(found).replace("renamed", "i") == text(statement)
    assert substituted([found], {"renamed": ROW}) == (statement,)


def test_a_position_that_becomes_a_number_is_one() -> None:
    """As it reads again: `i32(3)` is a number of every dtype."""
    for dtype in (i64, i32, f32):
        given = Let("x", Position(ROW + 1, dtype))
        (found,) = substituted([given], {"i": Sum(2)})
        assert found == Let("x", Number(3, dtype))
