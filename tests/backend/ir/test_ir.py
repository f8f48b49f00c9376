"""The kernel IR: literals, casts and brackets as text, what folding lets may and may not move."""

from __future__ import annotations

import ast
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.backend.emit.fold import fold_lets
from dlc.backend.ir import (
    Binary,
    Call,
    Compare,
    Expression,
    For,
    Function,
    Let,
    Load,
    Negative,
    Number,
    Pointer,
    Position,
    Ref,
    Statement,
    Store,
    Truth,
    tile_call,
)
from dlc.backend.ir.index import Sum, Var, least, sum_of
from dlc.backend.ir.printer import block, bounds, function_text, pack, text, unpack
from dlc.backend.ir.walks import buffers_of, tiles_of
from dlc.backend.ir.words import joined
from dlc.ir.types import DType, bf16, bool_, f16, f32, f64, i32, i64, u8, u32
from dlc.program import Kernel, Parameter
from dlc.runtime.compile.primitives import CONSTANTS
from dlc.runtime.reference.interpret import kernel_function
from tests.documents import ROOT

PARAMS = (Parameter("x", "f32", "pointer", True), Parameter("y", "f32", "pointer", True))
INDEX = sum_of(Var("i", 0, 9))
GUARDED = Load("x", INDEX - 5, f32, 1, (Compare(INDEX - 5, ">=", 0),), f32)


def load(buffer: str) -> Load:
    return Load(buffer, INDEX, f32, 1)


def plus(a: Expression, b: Expression) -> Binary:
    return Binary("+", a, b, f32, 1)


def over(var: str, count: int, *statements: Statement) -> For:
    return For(var, Sum(), Sum(count), list(statements))


def text_of(*statements: Statement) -> str:
    loop = over("i", 10, *statements)
    return function_text(Function("k", PARAMS, ("doc",), tuple(fold_lets([loop]))))


def run(*statements: Statement) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """x and y after the statements ran over ten elements."""
    function = kernel_function(Kernel("k", PARAMS, text_of(*statements)))
    x, y = np.arange(10, dtype=np.float32), np.zeros(10, np.float32)
    function(x, y, 0)
    return x, y


@pytest.mark.parametrize("value,dtype,word", [
    (1, f32, "f32(1.0)"), (0.5, f64, "f64(0.5)"), (3, i64, "3"), (3, i32, "i32(3)"),
    (7, u8, "u8(7)"), (True, bool_, "True"), (math.inf, f32, "f32(inf)"),
    (-math.inf, f64, "f64(-inf)"), (2**32 - 1, u32, "u32(4294967295)")])
def test_literals_name_their_dtype(value: Any, dtype: DType, word: str) -> None:
    assert text(Number(value, dtype)) == word


def test_floats_without_a_literal_have_names() -> None:
    assert text(Number(math.nan, f32)) == "f32(nan)"
    assert math.isnan(eval(text(Number(math.nan, f32)), {"f32": np.float32, **CONSTANTS}))


def test_what_lies_in_memory_is_converted() -> None:
    assert joined(unpack(bool_, ["x[0]"])) == "x[0] != u8(0)"
    assert joined(unpack(bf16, ["x[0]"])) == "bf16_to_f32(x[0])"
    assert joined(pack(f16, ["v"])) == "f32_to_f16(v)"
    assert joined(pack(bool_, ["v"])) == "u8(v)"
    assert unpack(f32, ["x[0]"]) == ["x[0]"] and pack(i64, ["v"]) == ["v"]


def test_narrow_integers_wrap() -> None:
    assert text(Binary("+", Ref("a", i32, 0), Ref("b", i32, 0), i32, 0)) == "i32(a + b)"
    assert text(Binary("+", Ref("a", i64, 0), Ref("b", i64, 0), i64, 0)) == "a + b"


LEAVES = st.one_of(
    st.sampled_from([Ref("a", f32, 0), Ref("b", f32, 0), load("x"), Number(-2, i64),
                     Position(INDEX * 28 + Var("r", 0, 5), i64, 0), Position(INDEX + 1, f32, 0),
                     Truth((Compare(INDEX, ">=", 5), Compare(INDEX, "<", 9)), bool_, 0),
                     Position(sum_of(Var("rows", 1, 8)), i64, 0),
                     Load("m", INDEX, bool_, 0, memory=bool_),
                     GUARDED]))
TREES = st.recursive(LEAVES, lambda inner: st.one_of(
    st.builds(lambda sign, a, b: Binary(sign, a, b, f32, 0),
              st.sampled_from(["+", "-", "*", "/", "<", "<=", "==", "!=", "&", "|", "^"]),
              inner, inner),
    st.builds(lambda a, b: Binary("-", a, b, i32, 0), inner, inner),
    st.builds(lambda x: Negative(x, f32, 0), inner),
    st.builds(lambda x, y: Call("select", (x, y), f32, 0), inner, inner)), max_leaves=12)


def bracketed(value: Expression) -> str:
    """The text with every operand in brackets: what the tree means, whatever binds how."""
    if isinstance(value, Call):
        return f"{value.function}({', '.join(map(bracketed, value.args))})"
    if isinstance(value, Negative):
        return f"(-{bracketed(value.value)})"
    if isinstance(value, Binary):
        word = f"({bracketed(value.a)} {value.sign} {bracketed(value.b)})"
        return f"i32({word})" if value.dtype is i32 else word
    return f"({text(value)})"


@given(TREES)
def test_brackets_left_out_change_no_tree(tree: Any) -> None:
    assert ast.dump(ast.parse(text(tree))) == ast.dump(ast.parse(bracketed(tree)))


def test_no_bracket_that_says_nothing() -> None:
    a, b, product = Ref("a", f32, 0), Ref("b", f32, 0), Binary("*", Ref("a", f32, 0),
                                                               Ref("b", f32, 0), f32, 0)
    assert text(plus(product, product)) == "a * b + a * b"
    assert text(plus(plus(a, b), a)) == "a + b + a"
    assert text(plus(a, plus(b, a))) == "a + (b + a)"
    assert text(Negative(product, f32, 0)) == "-(a * b)"
    either = Binary("|", Binary("<", a, b, bool_, 0), Binary("<", b, a, bool_, 0), bool_, 0)
    assert text(either) == "(a < b) | (b < a)"


def test_a_value_that_is_used_once_stands_in_its_use() -> None:
    one = Let("a", plus(load("x"), Number(1, f32)))
    written = text_of(one, Store("y", INDEX, Call("abs", (Ref("a", f32, 1),), f32, 1), f32))
    assert "y[i] = abs(x[i] + f32(1.0))" in written


def test_a_value_that_is_used_twice_keeps_its_name() -> None:
    twice = Binary("*", Ref("a", f32, 1), Ref("a", f32, 1), f32, 1)
    assert "a = x[i]" in text_of(Let("a", load("x")), Store("y", INDEX, twice, f32))


def test_a_load_does_not_move_past_a_store_into_its_buffer() -> None:
    x, y = run(Let("old", load("x")), Store("x", INDEX, Number(7, f32), f32),
               Store("y", INDEX, Ref("old", f32, 1), f32))
    assert (x == 7).all() and (y == np.arange(10)).all()


def test_a_load_inside_an_expression_does_not_either() -> None:
    _, y = run(Let("old", plus(load("x"), Number(1, f32))), Store("x", INDEX, Number(7, f32), f32),
               Store("y", INDEX, Ref("old", f32, 1), f32))
    assert (y == np.arange(10) + 1).all()


def test_a_value_does_not_move_past_a_new_value_of_what_it_is_made_of() -> None:
    """t is made of s before s changes."""
    _, y = run(Let("s", load("x")), Let("t", plus(Ref("s", f32, 1), Number(1, f32))),
               Let("s", Number(100, f32)),
               Store("y", INDEX, plus(Ref("t", f32, 1), Ref("s", f32, 1)), f32))
    assert (y == np.arange(10) + 101).all()


def test_a_value_does_not_move_into_a_loop_or_past_a_tile() -> None:
    inner = over("r", 3, Store("y", INDEX, plus(load("y"), Ref("a", f32, 1)), f32))
    written = text_of(Let("a", load("x")), inner)
    assert written.index("a = x[i]") < written.index("for r")
    tile = tile_call("copy_f32", Pointer("x", INDEX), 1, Pointer("y"), 1, 1, 1)
    written = text_of(Let("a", load("x")), tile, Store("y", INDEX, Ref("a", f32, 1), f32))
    assert written.index("a = x[i]") < written.index("copy_f32(at(x, i), 1, y, 1, 1, 1)")
    assert buffers_of([tile]) == {"x", "y"} and tiles_of([over("i", 3, tile)]) == ("copy_f32",)


def test_a_state_is_never_folded_away() -> None:
    statements: list[Statement] = [
        Let("s", Number(0, f32)),
        over("r", 3, Let("s", plus(Ref("s", f32, 2), Number(1, f32)))),
        Store("y", INDEX, Ref("s", f32, 1), f32)]
    _, y = run(*statements)
    assert (y == 3).all()


def test_an_empty_block_passes() -> None:
    assert block([], "  ") == [["  pass"]]


def test_guarded_loads_touch_nothing_where_the_guard_fails() -> None:
    assert text(GUARDED) == "x[i - 5] if i - 5 >= 0 else f32(0.0)"
    _, y = run(Store("y", INDEX, GUARDED, f32))
    assert (y == [0, 0, 0, 0, 0, 0, 1, 2, 3, 4]).all()


def test_steps_and_bounds_of_loops() -> None:
    assert joined(bounds(For("i", Sum(), Sum(9), [], 4))) == "0, 9, 4"
    assert joined(bounds(over("i", 9))) == "9"
    chunk = sum_of(Var("chunk", 0, 3))
    last = least(chunk * 4 + 4, 14)
    assert joined(bounds(For("i", chunk * 4, last))) == "chunk * 4, min(chunk * 4 + 4, 14)"
    assert (last.low, last.high) == (4, 14) and last.variables() == {"chunk"}
    assert last.coefficient("chunk") is None and last.coefficient("i") == 0


def test_a_long_signature_is_wrapped() -> None:
    names = [f"parameter_{i}" for i in range(20)]
    params = tuple(Parameter(n, "f32", "pointer") for n in names)
    written = function_text(Function("kernel", params, ("doc",), ()))
    assert max(map(len, written.splitlines())) <= 100
    compile(written, "kernel", "exec")


def test_an_index_is_written_with_its_signs() -> None:
    assert (INDEX * -2 + 3).text() == "3 - i * 2"
    assert Sum().text() == "0" and Sum(-4).text() == "-4"


READERS = {  # of dlc/backend: what may take a text apart, and which
    "ir/parser.py": "kernels", "ir/reading.py": "kernels", "ir/names.py": "hints of names",
    "cpu/tiles.py": "names of tiles", "cpu/prelude/__init__.py": "the prelude"}


def test_only_the_parser_reads_kernel_texts() -> None:
    """Every stage works on the IR: none has the means to read a text."""
    folder = ROOT / "dlc" / "backend"
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else (
                [node.module] if isinstance(node, ast.ImportFrom) else [])
            if {"ast", "re", "tokenize"} & set(names):
                found.add(str(path.relative_to(folder)))
    assert found == set(READERS)


def test_the_ir_and_its_writers_are_typed() -> None:
    """At most ten names of unknown type in all that emits, maps and prints kernels."""
    found = [(path.name, node.lineno) for part in ("ir", "emit", "nest", "contract")
             for path in (ROOT / "dlc" / "backend" / part).rglob("*.py")
             for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.Name) and node.id == "Any"]
    assert len(found) <= 10, found
