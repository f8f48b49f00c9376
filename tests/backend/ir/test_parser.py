"""Kernel texts read as the IR: what was printed comes back equal, anything else is refused."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.backend.emit.fold import fold_lets
from dlc.backend.ir import (
    Alloc,
    Binary,
    Call,
    Choice,
    Compare,
    Condition,
    Expression,
    For,
    Function,
    If,
    Let,
    Load,
    Logical,
    Negative,
    Number,
    Position,
    Ref,
    Store,
    Truth,
    While,
)
from dlc.backend.ir.index import Sum, Var, least, sum_of
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import function_text
from dlc.backend.ir.reading import KernelSyntaxError
from dlc.backend.ir.whole import settled
from dlc.errors import printable
from dlc.ir.types import bf16, bool_, f16, f32, f64, i32, i64, u8
from dlc.program import Kernel, Parameter
from dlc.runtime.reference.interpret import kernel_function
from tests.conftest import GOLDEN
from tests.test_golden import MODELS, compile_model, kernel_texts

PARAMS = (Parameter("x", "f32", "pointer"), Parameter("h", "f16", "pointer"),
          Parameter("m", "bool", "pointer"), Parameter("k", "i64", "pointer"),
          Parameter("y", "f32", "pointer", True), Parameter("n", "i64", "scalar"))
ROW, COLUMN = Var("i", 0, 9), Var("r", 0, 4)
AT = sum_of(ROW) * 5 + COLUMN

INDICES = st.sampled_from([AT, sum_of(ROW), AT // 3, AT % 7, least(AT + 1, 40), 49 - AT, Sum(3),
                           (AT // 3) % 4 * 8 + sum_of(COLUMN)])
CONDITIONS = st.lists(st.builds(Compare, st.sampled_from([AT - 7, sum_of(ROW), AT % 2]),
                                st.sampled_from(["<", ">=", "=="]), st.integers(-3, 9)),
                      min_size=1, max_size=3, unique=True).map(tuple)
FLOATS = st.one_of(
    st.builds(lambda v: Number(v, f32), st.floats(width=32)),
    st.builds(lambda v: Call("f32", (Number(v, f64),), f32), st.floats()),
    st.builds(lambda at: Load("x", at, f32), INDICES),
    st.builds(lambda at, c: Load("h", at, f32, 0, c, f16), INDICES, CONDITIONS),
    st.builds(lambda at: Position(at, f32), INDICES.filter(lambda s: bool(s.terms))),
    st.just(Ref("a", f32)))
WHOLE = st.one_of(
    st.builds(lambda v: Number(v, i64), st.integers(-9, 9)),
    st.builds(lambda at: Load("k", at, i64), INDICES),
    st.builds(lambda at: Position(at, i64), INDICES.filter(lambda s: bool(s.terms))))
TRUTHS = st.one_of(
    st.builds(lambda at: Load("m", at, bool_), INDICES),
    st.builds(lambda c: Truth(c, bool_), CONDITIONS), st.just(Number(True, bool_)))


def deeper(values: st.SearchStrategy[Expression], signs: str) -> st.SearchStrategy[Expression]:
    """Sums, products, choices of what is given."""
    def grow(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        dtype = f32 if values is FLOATS else i64
        return st.one_of(
            st.builds(lambda s, a, b: settled(Binary(s, a, b, dtype)), st.sampled_from(signs),
                      inner, inner),
            st.builds(lambda c, a, b: Choice(c, a, b, dtype), TRUTHS, inner, inner).filter(
                lambda c: not (isinstance(c.a, Load) and isinstance(c.condition, Truth))),
            st.builds(lambda c, a, b: Call("select", (c, a, b), dtype), TRUTHS, inner, inner))

    return st.recursive(values, grow, max_leaves=6)


def function(*values: Expression) -> Function:
    """A kernel that stores the f32 values, one after the other."""
    stores = [Store("y", AT, v, f32) for v in values]
    inner = For("r", Sum(), Sum(5), stores)
    body = (Let("a", Load("x", Sum(2), f32)), For("i", Sum(), Sum(10), [inner]))
    return Function("kernel", PARAMS, ("what it does",), body)


def bool_of(sign: str, a: Expression, b: Expression) -> Expression:
    return settled(Binary(sign, a, b, bool_))


@given(deeper(FLOATS, "+-*/"), deeper(WHOLE, "+-*&|^"), deeper(FLOATS, "+-"), TRUTHS, TRUTHS,
       st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), st.sampled_from(["and", "or"]))
def test_what_is_printed_is_read_as_it_was(a: Expression, k: Expression, b: Expression,
                                           p: Expression, q: Expression, sign: str,
                                           word: str) -> None:
    test = Logical("and" if word == "and" else "or",
                   (Logical("not", (p,)), bool_of(sign, a, b), q))
    whole = settled(Call("f32", (k,), f32))
    given_ = function(a, whole, Negative(b, f32), Choice(test, a, whole, f32),
                      Call("select", (bool_of(sign, k, Number(4, i64)), a, b), f32))
    text = function_text(given_)
    assert parse(text, PARAMS) == given_, text
    assert function_text(parse(text, PARAMS)) == text


@given(INDICES, CONDITIONS, st.integers(1, 3))
def test_bounds_that_are_arguments_print_alike(at: Sum, c: Condition, count: int) -> None:
    """As in kernels that differ in numbers and are shared."""
    text = function_text(function(Load("x", at, f32, 0, c)))
    shared = re.sub(r"(<|>=|==) -?\d+(?= and| else)", r"\1 n", text, count=count)
    assert shared != text and function_text(parse(shared, PARAMS)) == shared


def test_statements_of_every_kind_are_read_as_they_were() -> None:
    low = sum_of(Var("low", 0, 9))
    body = (
        Alloc("flags", bool_, 8), Alloc("table", i64, 8),
        Let("low", Position(sum_of(Var("chunk", 0, 3)) * 4, i64)),
        While(Logical("and", (Binary("<", Position(low, i64), Position(sum_of(Var("n", 0, 9)), i64),
                                     bool_), Load("m", low, bool_))),
              (Let("low", Position(low + 1, i64)),
               If(Load("m", low, bool_), (Store("flags", low, Number(True, bool_), bool_),),
                  (Store("table", low, Number(-1, i64), i64),)))),
        For("i", low, least(low + 4, 9), [], 2),
        Store("y", low, Call("f32_to_f16", (Number(-0.0, f32),), u8), f32))
    given_ = Function("kernel", PARAMS, ("a", "", "b"), body)
    text = function_text(given_)
    found = parse(text, PARAMS)
    assert found.body[:5] == body[:5] and found.doc == given_.doc
    assert function_text(found) == text


@given(st.lists(st.text(max_size=12).map(printable).map(lambda line: line + "/net.py:3"),
                min_size=1, max_size=4))
def test_docstrings_hold_whatever_a_file_is_called(doc: list[str]) -> None:
    given_ = Function("kernel", PARAMS, tuple(doc), ())
    assert parse(function_text(given_), PARAMS).doc == tuple(doc)


def test_zeros_and_numbers_that_round_alike() -> None:
    assert Number(0.0, f32) != Number(-0.0, f32)
    assert Number(0.1, f32) == Number(float(np.float32(0.1)), f32) != Number(0.1, f64)
    assert Number(math.nan, f32) == Number(-math.nan, f32)
    assert Number(3, i32) != Number(3, i64) and Number(1, bf16) == Number(1.0, bf16)


HAND = """
def taken(x, h, m, k, y, n, chunk):
    total = 0.0
    at = chunk * (2 * 3)
    while at < n and x[at] > f32(0.0):
        at += 1
        if (k[at] & 255) == 3:
            break
    for i in range(at, min(at + 4, n)):
        y[i] += x[i * n + (k[i] >> 3)] if m[i] != u8(0) else f32(1)
        total = radd(total, f64(y[i]))
    y[at] = f32(total)
"""


def test_texts_that_are_written_by_hand_take_the_printed_form() -> None:
    found = parse(HAND, PARAMS)
    printed = function_text(found)
    assert "at = chunk * 6" in printed and "at = at + 1" in printed
    assert "y[i] = y[i] + (x[i * n + (k[i] >> 3)] if m[i] != u8(0) else f32(1))" in printed
    assert parse(printed, PARAMS) == found and function_text(parse(printed, PARAMS)) == printed


def test_the_printed_form_computes_what_the_written_one_does() -> None:
    x, k = np.arange(1, 51, dtype=np.float32), np.arange(50, dtype=np.int64) * 8
    m, h = (np.arange(50) % 2).astype(np.uint8), np.zeros(50, np.uint16)
    results = []
    for text in (HAND, function_text(parse(HAND, PARAMS))):
        y = np.ones(50, np.float32)
        kernel_function(Kernel("taken", PARAMS, text))(x, h, m, k, y, 5, 0)
        results.append(y)
    assert results[0].tobytes() == results[1].tobytes() and (results[0] != 1).any()


@pytest.mark.parametrize(("line", "told"), [
    ("z[0] = x[0]", "z"), ("y[0] = x[0] ** f32(2.0)", r"\*\*"), ("y[0] = lost", "lost"),
    ("a, b = x[0], x[1]", "x.0., x.1."), ("y[0] = x[0:2]", "0:2"), ("import os", "import os"),
    ("y[0] = f32(1.0) < x[0] < f32(2.0)", "<"), ("h[0] = x[0]", "f32_to_f16"),
    ("for a in x: pass", "for a"), ("b = local_f32(n)", "local_f32"),
    ("y[0] = x[0].real", "real"), ("y[0] = [v for v in x]", "for v")])
def test_what_is_no_kernel_is_refused_with_its_line(line: str, told: str) -> None:
    text = f"def k(x, h, m, k, y, n, chunk):\n    {line}\n"
    with pytest.raises(KernelSyntaxError, match=told):
        parse(text, PARAMS)


def test_parameters_and_functions_that_do_not_fit() -> None:
    with pytest.raises(KernelSyntaxError, match="other parameters"):
        parse("def k(x, chunk):\n    pass\n", PARAMS)
    with pytest.raises(KernelSyntaxError, match="line 1"):
        parse("def k(x, chunk:\n", PARAMS)
    with pytest.raises(KernelSyntaxError, match="begins with its function"):
        parse("x = 1\n", PARAMS)


def test_a_let_that_goes_into_its_use_is_an_index_there() -> None:
    """What folding puts together has the form that the parser gives."""
    body = [For("i", Sum(), Sum(9), [
        Let("j", Position(sum_of(ROW) * 2, i64, 1)),
        Store("k", sum_of(ROW), Binary("+", Ref("j", i64, 1), Number(1, i64), i64, 1), i64)])]
    given_ = Function("kernel", PARAMS, (), tuple(fold_lets(body)))
    assert parse(function_text(given_), PARAMS) == given_


@pytest.mark.swept(3)
@pytest.mark.parametrize("name", MODELS)
def test_every_golden_kernel_is_read_and_prints_alike(name: str,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CPU", "avx512")
    kernels = compile_model(name).program.kernels
    assert kernel_texts(compile_model(name).program) == (GOLDEN / name / "kernels.py").read_text()
    for kernel in kernels:
        assert function_text(parse(kernel.text, kernel.params)) == kernel.text


def test_a_clamped_index_that_indexes_nothing_is_a_scalar() -> None:
    clamped = Call("min", (Call("max", (Load("k", Sum(), i64), Number(0, i64)), i64),
                           Number(9, i64)), i64)
    at = Var("at", 0, 9)
    body = [Let("at", clamped), Store("k", Sum(1), Position(5 - sum_of(at) * 2, i64), i64),
            Store("y", Sum(), Call("select", (Truth((Compare(sum_of(at), "<", 3),), bool_),
                                              Position(sum_of(at), f32), Number(0, f32)), f32),
                  f32)]
    given_ = Function("kernel", PARAMS, (), tuple(fold_lets(body)))
    text = function_text(given_)
    assert "k[1] = 5 - at * 2" in text and "select(at < 3, f32(at), f32(0.0))" in text
    assert parse(text, PARAMS) == given_


def test_nan_is_the_nan_that_was_printed() -> None:
    """Dataclasses of Python 3.13 compare field by field, and NaN is not equal to itself."""
    params = (Parameter("x", "f32", "pointer", True),)
    store = parse("def k(x, chunk):\n    x[0] = f32(nan)\n", params)
    again = parse(function_text(store), store.params)
    parse.cache_clear()
    assert parse(function_text(store), store.params) == again == store
    assert Number(float("nan"), f32) == Number(-float("nan") * -1.0, f32) != Number(0.0, f32)
