"""The promotion table, cell by cell: types.promote against the rules and against the evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlc import runtime
from dlc.backend.assemble import assembled
from dlc.compiler import instruction_set
from dlc.errors import DlcError
from dlc.ir.graph import Build, Graph, building
from dlc.ir.types import (
    DTYPES,
    DType,
    DTypeError,
    Type,
    accumulator,
    bf16,
    bool_,
    f16,
    f32,
    i32,
    promote,
    promotion_table,
    sum_dtype,
    u8,
)
from dlc.ops import leaf
from dlc.ops.elementwise import exp, maximum, where
from dlc.ops.reduce import mean, sum_
from dlc.passes import run_pipeline
from dlc.reference.evaluate import evaluate

# docs/ir.md's table, row with column; "-" asks for a cast.
TABLE = """
     f64  f32  f16  bf16 i64  i32  i16  i8   u64  u32  u16  u8   bool
f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64
f32  f64  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32
f16  f64  f32  f16  -    f16  f16  f16  f16  f16  f16  f16  f16  f16
bf16 f64  f32  -    bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16
i64  f64  f32  f16  bf16 i64  i64  i64  i64  -    -    -    i64  i64
i32  f64  f32  f16  bf16 i64  i32  i32  i32  -    -    -    i32  i32
i16  f64  f32  f16  bf16 i64  i32  i16  i16  -    -    -    i16  i16
i8   f64  f32  f16  bf16 i64  i32  i16  i8   -    -    -    -    i8
u64  f64  f32  f16  bf16 -    -    -    -    u64  u64  u64  u64  u64
u32  f64  f32  f16  bf16 -    -    -    -    u64  u32  u32  u32  u32
u16  f64  f32  f16  bf16 -    -    -    -    u64  u32  u16  u16  u16
u8   f64  f32  f16  bf16 i64  i32  i16  -    u64  u32  u16  u8   u8
bool f64  f32  f16  bf16 i64  i32  i16  i8   u64  u32  u16  u8   bool
"""


def cells() -> list[tuple[str, str, str]]:
    head, *rows = [line.split() for line in TABLE.strip().splitlines()]
    return [(row[0], column, cell) for row in rows
            for column, cell in zip(head, row[1:], strict=True)]


def test_the_table_has_every_pair() -> None:
    assert {(a, b) for a, b, _ in cells()} == {(a, b) for a in DTYPES for b in DTYPES}


@pytest.mark.parametrize(("a", "b", "result"), cells())
def test_cell(a: str, b: str, result: str) -> None:
    if result == "-":
        with pytest.raises(DTypeError, match="cast"):
            promote(DTYPES[a], DTYPES[b])
    else:
        assert promote(DTYPES[a], DTYPES[b]) is DTYPES[result]


@pytest.mark.parametrize(("a", "b", "result"), cells())
def test_cell_in_the_evaluator(a: str, b: str, result: str) -> None:
    """The larger of 3 and 2 has the table's dtype, or the line is an error that asks for a cast."""
    x, y = (leaf.input_(n, Type(DTYPES[d], (2,))) for n, d in (("x", a), ("y", b)))
    arrays = [np.array([3, 0]).astype(x.dtype.numpy), np.array([0, 2]).astype(y.dtype.numpy)]
    if result == "bool":
        return  # bool has no maximum: the rows of bool with others are arithmetic
    with building(Build()):
        if result == "-":
            with pytest.raises(DlcError, match="cast one"):
                maximum(x, y)
            return
        value = evaluate(Graph("f", (x, y), (maximum(x, y),)), *arrays)
    assert value.dtype == DTYPES[result].numpy
    expected = [1 if a == "bool" else 3, 1 if b == "bool" else 2]
    assert value.astype(float).tolist() == expected


def promoted(a: str, b: str) -> Graph:
    """x + y and where(c, x, y) of two dtypes; of two bools only the second, which bool has."""
    with building(Build()):
        c, x, y = (leaf.input_(n, Type(DTYPES[d], (2,)))
                   for n, d in (("c", "bool"), ("x", a), ("y", b)))
        sums = () if a == b == "bool" else (x + y,)
        chosen = where(c, x, y)
        return Graph(f"{a}_{b}", (c, x, y), (chosen, *sums), ("where", "sum")[:1 + len(sums)])


@pytest.mark.parametrize("device", [
    "interpret", pytest.param("cpu", marks=pytest.mark.conformance)])
def test_cells_in_kernels(device: str) -> None:
    """Every cell of the table: the dtype, and the values of both operands."""
    kept = [(a, b, DTYPES[r]) for a, b, r in cells() if r != "-"]
    graphs = {f"{a}_{b}": promoted(a, b) for a, b, _ in kept}
    done = {name: run_pipeline(g)[-1].graph for name, g in graphs.items()}
    running: Any = runtime.load(assembled("promotion", done, "cpu", instruction_set())[0], device)
    for a, b, kind in kept:
        name = f"{a}_{b}"
        values = {"c": np.array([True, False]), "x": np.array([3, 0]), "y": np.array([0, 2])}
        for node in graphs[name].inputs:
            label = node.attrs["label"]
            running.write(label, values[label].astype(node.dtype.numpy), name)
        running.run(name)
        x, y = 1 if a == "bool" else 3, 1 if b == "bool" else 2
        for output in graphs[name].output_names:
            got = running.read(output, name)
            assert got.dtype == kind.numpy, (name, output)
            assert got.astype(float).tolist() == [x, y], (name, output)
    running.close()


@pytest.mark.parametrize(("a", "b", "result"), cells())
def test_refused_cells_ask_for_a_cast(a: str, b: str, result: str) -> None:
    """Addition and selection refuse what the table refuses, with both dtypes in the message."""
    if result == "-":
        with pytest.raises(DlcError, match=f"{a}.*with {b}|{b}.*with {a}"):
            promoted(a, b)


@pytest.mark.parametrize("kind", DTYPES.values(), ids=str)
@pytest.mark.parametrize(("number", "dtypes"), [
    (2, {}),
    (0.5, {d.name: f32 for d in DTYPES.values() if d.is_integer}),
])
def test_python_numbers_are_weak(kind: DType, number: float, dtypes: dict[str, DType]) -> None:
    """A number takes the array's dtype; a float beside integers gives f32."""
    if kind is bool_:
        return
    with building(Build()):
        x = leaf.input_("x", Type(kind, (2,)))
        assert (x * number).dtype is dtypes.get(kind.name, kind)


def test_a_number_that_the_dtype_cannot_hold_is_an_error() -> None:
    with building(Build()):
        x = leaf.input_("x", Type(u8, (2,)))
        with pytest.raises(DlcError, match=r"300 is outside u8 \(0 .. 255\)"):
            x + 300
        with pytest.raises(DlcError, match="-1 is outside u8"):
            x - (-1)


@pytest.mark.parametrize("kind", DTYPES.values(), ids=str)
def test_sums_and_means(kind: DType) -> None:
    """Sums of bool and of 8 and 16 bits are i32, integer means f32, and nothing else changes."""
    narrow = not kind.is_float and kind.bytes < 4
    ones = np.ones(300).astype(kind.numpy)
    with building(Build()):
        x = leaf.input_("x", Type(kind, (300,)))
        total, average = sum_(x), mean(x)
        values = evaluate(Graph("f", (x,), (total, average), ("total", "mean")), ones)
    assert total.dtype is (i32 if narrow else kind)
    assert average.dtype is (kind if kind.is_float else f32)
    assert values["total"].dtype == sum_dtype(kind).numpy
    if kind is not bf16:  # 300 is not a bf16
        assert float(values["total"]) == 300
    assert float(values["mean"]) == 1


@pytest.mark.parametrize(("kind", "wide"), [(f16, f32), (bf16, f32), (f32, f32), (u8, i32)])
def test_accumulators(kind: DType, wide: DType) -> None:
    assert accumulator(kind) is wide


def test_small_floats_accumulate_in_f32() -> None:
    """4096 ones plus one: f16 alone would stop at 2048."""
    x = leaf.input_("x", Type(f16, (4097,)))
    with building(Build()):
        total: Any = evaluate(Graph("f", (x,), (sum_(x),)), np.ones(4097, np.float16))
    assert float(total) == float(np.float16(4097))


def test_functions_of_the_reals_take_integers_as_f32() -> None:
    with building(Build()):
        assert exp(leaf.input_("x", Type(i32, (2,)))).dtype is f32


def test_table_prints_every_cell() -> None:
    lines = [line.split() for line in promotion_table().splitlines()]
    shown = {(row[0], column): cell for row in lines[1:]
             for column, cell in zip(lines[0], row[1:], strict=True)}
    assert shown == {(a, b): cell for a, b, cell in cells()}
