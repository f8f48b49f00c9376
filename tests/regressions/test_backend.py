"""Small programs that the backend once got wrong, each named after what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, f64, i32, runtime
from dlc.backend.assemble import assembled
from dlc.compiler import instruction_set
from dlc.ir.graph import Build, Graph, Node, building, make
from dlc.ir.types import Type, bf16, bool_, f16, i64, u32
from dlc.ops import contract, elementwise, gather, leaf, reduce, view
from dlc.ops.convert import broadcast_to, cast
from dlc.passes import run_pipeline
from dlc.reference.evaluate import run
from tests.instruction_sets import on_every_instruction_set

Array = np.ndarray[Any, Any]


def graph_of(types: Sequence[Type], function: Callable[..., Any],
             updates: Sequence[int] = ()) -> Graph:
    """A graph of `function` on inputs x0, x1, ...; its last results replace inputs `updates`."""
    with building(Build()):
        inputs = [leaf.input_(f"x{i}", t, "param" if i in updates else "data")
                  for i, t in enumerate(types)]
        result = function(*inputs)
        outputs = tuple(result) if isinstance(result, tuple) else (result,)
    plain = len(outputs) - len(updates)
    names = (*(f"y{i}" for i in range(plain)), *(f"x{i}" for i in updates))
    return Graph("regression", tuple(inputs), outputs, names, {f"x{i}": f"x{i}" for i in updates})


def compute(graph: Graph, arrays: Sequence[Array], device: str) -> list[Array]:
    """Every output of the compiled graph, in order."""
    whole = assembled("regression", {"main": run_pipeline(graph)[-1].graph}, "cpu",
                     instruction_set())[0]
    running: Any = runtime.load(whole, device)
    for node, array in zip(graph.inputs, arrays, strict=True):
        running.write(node.attrs["label"], array,
                      None if node.attrs["role"] == "param" else "main")
    running.run("main")
    found = [running.read(n, None if n in graph.updates else "main") for n in graph.output_names]
    running.close()
    return found


def check(graph: Graph, *arrays: Array, device: str = "interpret") -> None:
    """The compiled graph gives what `evaluate` does, bit for bit: take values that do not round."""
    with np.errstate(all="ignore"):
        want = run(graph, arrays)
    for got, right in zip(compute(graph, arrays, device), want, strict=True):
        np.testing.assert_array_equal(got, right)


def ramp(type_: Type) -> Array:
    """0, 1, 2, ... modulo 7."""
    return (np.arange(type_.size).reshape(tuple(type_.shape)) % 7).astype(type_.dtype.numpy)


def test_an_input_is_given_out_as_it_was_before_its_update() -> None:
    graph = graph_of([f32[5]], lambda x: (x, x * 2.0), updates=[0])
    check(graph, ramp(f32[5]))


def test_two_parameters_change_places() -> None:
    graph = graph_of([f32[5], f32[5]], lambda a, b: (b, a), updates=[0, 1])
    check(graph, ramp(f32[5]), ramp(f32[5]) + 1)


def test_one_new_value_replaces_two_parameters() -> None:
    def same(a: Node, b: Node) -> tuple[Node, Node]:
        total = a + b
        return total, total

    check(graph_of([f32[5], f32[5]], same, updates=[0, 1]), ramp(f32[5]), ramp(f32[5]) + 1)


@pytest.mark.parametrize("device", ["interpret", "cpu"])
def test_values_without_elements(device: str) -> None:
    def step(x: Node, y: Node) -> tuple[Node, ...]:
        cut = view.slice_(x, (0, 3), (4, 3))
        return (cut, view.reshape(cut, (0, 2, 4)), reduce.sum_(cut, 1), reduce.sum_(cut, 0),
                contract.matmul(x, y), contract.matmul(cut, view.slice_(y, (3, 0), (3, 0))))

    check(graph_of([f32[4, 3], f32[3, 0]], step), ramp(f32[4, 3]), ramp(f32[3, 0]), device=device)


def test_a_launch_without_elements_keeps_the_barrier_of_the_next() -> None:
    def step(x: Node) -> tuple[Node, ...]:
        total = reduce.sum_(x, 1)
        return view.slice_(total, (2,), (2,)), x / broadcast_to(total + 1, (50, 50)), total

    graph = run_pipeline(graph_of([f32[50, 50]], step))[-1].graph
    whole = assembled("empty", {"main": graph}, "cpu", instruction_set())[0]
    for launch in whole.entries["main"].launches:
        assert launch.stages or not launch.barrier


def test_a_stack_without_elements_times_a_matrix() -> None:
    check(graph_of([f32[2, 0, 3], f32[3, 4]], contract.matmul), ramp(f32[2, 0, 3]),
          ramp(f32[3, 4]))


def test_a_literal_array_is_given_out() -> None:
    check(graph_of([f32[2]], lambda x: (x, leaf.array([1.0, 2.0, 4.0], f32[3]))), ramp(f32[2]))


def test_interior_padding_checks_bounds_before_it_divides() -> None:
    graph = graph_of([f64[1, 4, 1]],
                     lambda x: view.pad(x, (0, 0, 2), (0, 0, 2), 1.0, (0, 1, 1)))
    check(graph, ramp(f64[1, 4, 1]))


@pytest.mark.parametrize("kind", [f16, bf16], ids=str)
@pytest.mark.parametrize("device", ["interpret", "cpu"])
def test_half_precisions_scatter_in_f32(kind: Any, device: str) -> None:
    """300 ones: added one by one in f16 or bf16 they would stop at 256."""
    graph = graph_of([i32[600], kind[600]], lambda i, g: make(
        gather.SCATTER_ADD, (i, g), shape=(2,), axis=0, batch=0))
    index = (np.arange(600) % 2).astype(np.int32)
    check(graph, index, np.ones(600, kind.numpy), device=device)


def test_an_empty_slice_of_a_slice() -> None:
    def step(x: Node) -> Node:
        return view.slice_(view.slice_(x, (0,), (3,), (2,)), (2,), (2,))

    check(graph_of([f32[3]], step), ramp(f32[3]))


@pytest.mark.parametrize("kinds", [(f64, i64), (i32, f32), (f32, u32)], ids=str)
def test_a_value_is_not_written_over_one_of_another_dtype(kinds: Any) -> None:
    before, after = kinds
    graph = graph_of([before[6]], lambda x: cast(x + x, after) + cast(x, after))
    check(graph, ramp(before[6]))


@pytest.mark.parametrize("device", ["interpret", "cpu"])
def test_a_row_sum_over_columns_walks_no_diagonal(device: str) -> None:
    """x[i, j] - sum(x, 1)[j]: both axes have one size, and the sum's axis stands where j does."""
    graph = graph_of([f32[13, 13]], lambda x: x - broadcast_to(reduce.sum_(x, 1), (13, 13)))
    check(graph, ramp(f32[13, 13]), device=device)


def test_a_matrix_plus_its_transpose() -> None:
    check(graph_of([f32[6, 6]], lambda x: (x + x.T) * 2.0 - x), ramp(f32[6, 6]))


def test_f64_literals_in_plain_python() -> None:
    graph = graph_of([f64[4]], lambda x: elementwise.floordiv(x, 2.0))
    check(graph, ramp(f64[4]))
    x = np.linspace(-9, 9, 4)
    squashed = graph_of([f64[4]], lambda x: elementwise.sigmoid(elementwise.minimum(x, 4.0)))
    np.testing.assert_allclose(compute(squashed, [x], "interpret")[0],
                               1 / (1 + np.exp(-np.minimum(x, 4))), rtol=1e-14)


@pytest.mark.parametrize("device", ["interpret", "cpu"])
def test_any_and_all_down_a_column(device: str) -> None:
    graph = graph_of([bool_[5, 40]], lambda x: (reduce.any_(x, 0), reduce.all_(x, 0)))
    check(graph, np.arange(200).reshape(5, 40) % 3 == 0, device=device)


def test_the_absolute_value_of_unsigned_numbers() -> None:
    check(graph_of([u32[5]], lambda x: elementwise.abs_(x - 3)), ramp(u32[5]))


def test_one_hot_of_an_index_out_of_range_reads_nothing_outside() -> None:
    graph = dlc.trace(lambda x, i: dlc.take(x, i), f32[4, 3], i32[2])
    whole = assembled("take", {"main": run_pipeline(graph)[-1].graph}, "cpu", instruction_set())[0]
    running: Any = runtime.load(whole, "interpret")
    labels = [n.attrs["label"] for n in graph.inputs]
    running.write(labels[0], ramp(f32[4, 3]), "main")
    running.write(labels[1], np.array([-(2**31), 2**31 - 1], np.int32), "main")
    running.run("main")
    assert running.read("fault", "main") != 0


def test_a_value_of_another_layout_is_not_written_in_place() -> None:
    """`moved` is stored in the order its reader walks; `kept`, which it is made of, row by row."""
    def step(x: Node, w: Node) -> Node:
        kept = contract.matmul(x, w)
        moved = elementwise.maximum(kept * 2.0, kept * kept)
        last = view.transpose(view.reshape(moved, (60, 8, 9)), (1, 0, 2))
        return contract.matmul(last, broadcast_to(view.reshape(w, (72, 30))[:9], (8, 9, 30)))

    x, w = ramp(f32[60, 30]) % 2, ramp(f32[30, 72]) % 2
    check(graph_of([f32[60, 30], f32[30, 72]], step), x, w, device="cpu")


def test_a_gather_clamps_its_indices() -> None:
    graph = graph_of([f32[4, 3], i64[5]], lambda x, i: make(gather.GATHER, (x, i), axis=0, batch=0))
    check(graph, ramp(f32[4, 3]), np.array([-(2**40), -1, 2, 4, 2**40]))


@pytest.mark.parametrize("kind", [i32, f32], ids=str)
@pytest.mark.parametrize("device", ["interpret", "cpu"])
def test_the_first_of_equals_wins_in_any_order_of_loops(kind: Any, device: str) -> None:
    """The loops walk the memory of x, the positions count along its transpose."""
    def step(x: Node) -> tuple[Node, ...]:
        moved = view.transpose(view.flip(x, 0), (2, 0, 1))
        return reduce.argmin(moved, (1, 2)), reduce.argmax(moved, (1, 2)), reduce.argmax(
            view.flip(x, 0), (0, 2))

    x = ramp(kind[8, 3, 6]) % 3
    check(graph_of([kind[8, 3, 6]], step), x, device=device)
    if kind is f32:
        x[2:4] = np.nan
        check(graph_of([kind[8, 3, 6]], step), x, device=device)


@pytest.mark.parametrize("onto", [False, True])
def test_a_scatter_of_no_updates_reads_none(onto: bool) -> None:
    """Its place and value were loaded in front of the loop that has no round."""
    def picked(x: f32[3], i: i32[0], g: f32[0]) -> Any:
        return dlc.grad(lambda x: (dlc.take(x, i, 0) * g).sum())(x)

    def added(x: f32[3, 2], i: i32[0], g: f32[0, 2]) -> Any:
        return (x * 2.0).at[i].add(g)

    function = added if onto else picked
    given = [np.ones([int(d) for d in n.shape], n.dtype.numpy)
             for n in dlc.trace(function).inputs]
    want = dlc.evaluate(dlc.trace(function), *given)
    for which, got in on_every_instruction_set(function, *given):
        found = got["out"] if isinstance(got, dict) and "out" in got else got
        expected = want["out"] if isinstance(want, dict) and "out" in want else want
        np.testing.assert_equal(found, expected, err_msg=which)
