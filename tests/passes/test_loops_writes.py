"""Writes to a carry: only the places that are named are written, where nobody reads the old value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f16, f32, i32
from dlc.compiler import Compiled
from dlc.derive.control import SCAN
from dlc.ir.graph import Graph
from dlc.passes import run_pipeline
from dlc.passes.check import same_meaning
from dlc.program import Launch, Loop
from dlc.reference.text import print_graph
from tests.conformance.cut import swept
from tests.fuzzing.bounds import labelled, mistakes

Golden = Callable[[str, str], None]
TABLE, ROWS = f32[64, 8], f32[20, 8]


def settled(graph: Graph) -> Graph:
    """The graph after `loops`; every pass keeps the meaning."""
    records = run_pipeline(graph, same_meaning)
    return next(r.graph for r in records if r.name == "loops")


def writes(graph: Graph) -> int:
    """How many writes in place the bodies of the graph's loops hold."""
    return sum(n.op.name == "scatter_onto" for s in graph.nodes() if s.op is SCAN
               for n in s.attrs["body"].nodes())


def scatters(compiled: Compiled) -> list[str]:
    """The kernels that write."""
    return [k.text for k in compiled.program.kernels if "scatter_onto" in k.text]


def copies(text: str) -> bool:
    """Whether a kernel of a write goes over all of the 64 rows first."""
    return "range(64)" in text or "range(512)" in text


def check(graph: Graph, arrays: list[np.ndarray], threads: int = 1) -> Compiled:
    """Kernels compute what the evaluator does."""
    compiled = dlc.compile(graph)
    with compiled.load(threads=threads) as program:
        found = program(*arrays)
    found = found if isinstance(found, dict) else {"out": found}
    assert mistakes(graph, labelled(graph, arrays), found) == []
    return compiled


def values(*types: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.normal(size=t.shape).astype(t.dtype.numpy) if t.dtype.is_float else
            rng.integers(0, 20, t.shape).astype(t.dtype.numpy) for t in types]


def filled(table: Any, rows: Any, at: Any) -> Any:
    """A cache: each step sets a row of the table, and reads what it held before."""
    def step(table: Any, element: Any) -> Any:
        row, i = element
        return table.at[i].set(row * 2.0), table[0].sum()

    return dlc.scan(step, table, (rows, at))


def test_a_row_of_a_table(golden: Golden) -> None:
    """Bytes and operations of a step: those of a row, not of the table."""
    graph = dlc.trace(filled, TABLE, ROWS, i32[20])
    compiled = check(graph, values(TABLE, ROWS, i32[20]))
    (kernel,) = scatters(compiled)
    assert not copies(kernel)
    (loop,) = [s for s in compiled.program.entries["main"].launches if isinstance(s, Loop)]
    table = [f"{x.name}: {x.flops} operations, {x.bytes} bytes"
             for x in loop.launches if isinstance(x, Launch)]
    golden("named/write_in_a_loop.txt", "\n".join([print_graph(settled(graph)), kernel, *table]))


@pytest.mark.parametrize("mode", ["set", "add", "max", "min"])
@pytest.mark.parametrize("axis", [0, 1])
def test_modes_and_axes(mode: str, axis: int) -> None:
    def f(table: Any, rows: Any, at: Any) -> Any:
        def step(table: Any, element: Any) -> Any:
            row, i = element
            key = i if axis == 0 else (slice(None), i)
            return getattr(table.at[key], mode)(row), None

        return dlc.scan(step, table, (rows, at))[0]

    types = (f32[64, 32], f32[20, 32 if axis == 0 else 64], i32[20])
    compiled = check(dlc.trace(f, *types), values(*types))
    kernels = [k.text for k in compiled.program.kernels if "scatter_" in k.text]
    assert len(kernels) == 1 and "range(2048)" not in kernels[0]
    assert kernels[0].count("range(64)") <= axis and "range(32)" not in kernels[0].split(
        "index")[0]


def test_several_places_at_once() -> None:
    """Of one place the last stays, and sums take all."""
    def f(table: Any, rows: Any, at: Any) -> Any:
        def step(carry: Any, element: Any) -> Any:
            a, b = carry
            row, i = element
            return (a.at[i].set(row), b.at[i].add(row)), None

        return dlc.scan(step, (table, table), (rows, at))[0]

    types = (TABLE, f32[20, 3, 8], i32[20, 3])
    arrays = values(*types)
    arrays[2][:, 2] = arrays[2][:, 0]
    compiled = check(dlc.trace(f, *types), arrays)
    assert len(scatters(compiled)) == 2 and not any(map(copies, scatters(compiled)))


def test_a_row_made_of_the_rows_before() -> None:
    """Dynamic programming: what a step reads of the table is read before it writes."""
    def f(table: Any, rows: Any, at: Any) -> Any:
        def step(table: Any, element: Any) -> Any:
            row, i = element
            before = dlc.take(table, dlc.maximum(i - 1, 0), 0)
            return table.at[i].set(dlc.tanh(before + row)), before

        return dlc.scan(step, table, (rows, at))

    types = (TABLE, ROWS, i32[20])
    arrays = values(*types)
    arrays[2] = np.arange(20, dtype=np.int32)
    assert not any(map(copies, scatters(check(dlc.trace(f, *types), arrays))))


def test_the_table_of_a_while_loop() -> None:
    """The step is a branch, whose other side hands the table on."""
    def f(table: Any, rows: Any, at: Any) -> Any:
        def step(carry: Any) -> Any:
            i, table, total = carry
            row = dlc.take(rows, i, 0)
            return i + 1, table.at[dlc.take(at, i, 0)].add(row), total + table[3].sum()

        start = (dlc.asarray(0), table, table[0, 0])
        (_, table, total), count = dlc.while_loop(
            lambda carry: (carry[0] < 15) & (carry[2] < 1e6), step, start, bound=20)
        return table, total, count

    types = (TABLE, ROWS, i32[20])
    compiled = check(dlc.trace(f, *types), values(*types))
    (kernel,) = scatters(compiled)
    assert not copies(kernel)


def test_old_values_that_are_read_later() -> None:
    """The old table is the other carry: it may not be overwritten."""
    def f(table: Any, rows: Any, at: Any) -> Any:
        def step(carry: Any, element: Any) -> Any:
            new, old = carry
            row, i = element
            return (new.at[i].set(row), new), old.sum()

        return dlc.scan(step, (table, table * 2.0), (rows, at))

    types = (TABLE, ROWS, i32[20])
    check(dlc.trace(f, *types), values(*types))


def test_rows_of_the_table_itself() -> None:
    """The update reads elsewhere in what is written: row i becomes the sum of all rows."""
    def f(table: Any, at: Any) -> Any:
        def step(table: Any, i: Any) -> Any:
            return table.at[i].set(table.sum(0) + table[5]), None

        return dlc.scan(step, table, at)[0]

    types = (TABLE, i32[20])
    check(dlc.trace(f, *types), values(*types))


def test_rows_that_change_places() -> None:
    """Rows 4 and 5 are written from each other by one launch: not over what it reads."""
    def f(table: Any, at: Any) -> Any:
        return dlc.scan(lambda t, i: (t.at[i].set(t[4:6] * 0.5), None), table, at)[0]

    arrays = [*values(TABLE), np.array([[5, 4]] * 3 + [[4, 5]], np.int32)]
    graph = dlc.trace(f, TABLE, i32[4, 2])
    assert writes(settled(graph)) == 1
    check(graph, arrays)


def test_gradients() -> None:
    def f(table: Any, rows: Any, at: Any) -> Any:
        return dlc.value_and_grad(lambda t, r: (filled(t, r, at)[0] ** 2.0).sum()
                                  + filled(t, r, at)[1].sum(), wrt=(0, 1))(table, rows)

    graph = dlc.trace(f, TABLE, ROWS, i32[20])
    settled(graph)
    check(graph, values(TABLE, ROWS, i32[20]))


def test_what_stays_as_it_is() -> None:
    """Half precisions, updates as large as the table, and writes to what is not a carry."""
    def f(table: Any, rows: Any, at: Any) -> Any:
        return dlc.scan(lambda t, e: (t.at[e[1]].set(e[0]), None), table, (rows, at))[0]

    half = settled(dlc.trace(f, f16[64, 8], f16[20, 8], i32[20]))
    large = settled(dlc.trace(f, f32[64, 8], f32[20, 40, 8], i32[20, 40]))

    def fresh(table: Any, rows: Any, at: Any) -> Any:
        return dlc.scan(lambda s, e: (s + table.at[e[1]].set(e[0]).sum(), None), table[0, 0],
                        (rows, at))[0]

    other = settled(dlc.trace(fresh, TABLE, ROWS, i32[20]))
    assert [writes(g) for g in (half, large, other)] == [0, 0, 0]


@pytest.mark.parametrize("seed", swept("random writes", 4, 60))
def test_random_writes(seed: int) -> None:
    """Two carries, written along random axes in random modes, read before and after."""
    rng = np.random.default_rng(seed)
    n, m, t = (int(d) for d in rng.integers(2, 40, 3))
    count = int(rng.integers(1, 4))
    modes = rng.choice(["set", "add", "max", "mul"], 2)
    axis, reads, swaps, reverse = (int(b) for b in rng.integers(0, 2, 4))
    size, width = (n, m) if axis == 0 else (m, n)

    def f(a: Any, b: Any, rows: Any, at: Any) -> Any:
        def step(carry: Any, element: Any) -> Any:
            a, b = carry
            row, i = element
            key = i if axis == 0 else (slice(None), i)
            shown = a.at[key].get().sum() if reads else b.sum()
            new = getattr(a.at[key], str(modes[0]))(row if axis == 0 else row.T)
            other = getattr(b.at[i[0] % n, 0], str(modes[1]))(shown * 0.1)
            return ((other, new) if swaps else (new, other)), shown

        return dlc.scan(step, (a, b), (rows, at), reverse=bool(reverse))

    types = (f32[n, m], f32[n, m], f32[t, count, width], i32[t, count])
    arrays = values(*types)
    arrays[3] %= size
    graph = dlc.trace(f, *types)
    settled(graph)
    check(graph, arrays, threads=1 + seed % 2)
