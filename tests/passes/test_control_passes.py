"""Loops through the passes, the order and the memory plan: what moves out, what lies where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.backend.assemble import draft
from dlc.backend.cpu.isa import ISAS
from dlc.backend.draft import Draft
from dlc.compiler import instruction_set
from dlc.derive.control import COND, SCAN
from dlc.ir.graph import Graph, Node
from dlc.ops import leaf
from dlc.passes import run_pipeline
from dlc.passes.check import same_meaning
from dlc.passes.schedule.lives import Scratch
from dlc.passes.schedule.plan_memory import Plan, plan_memory
from dlc.program import Branch, Launch, Loop
from tests.random_loops import LoopMaker


def optimized(function: Callable[..., Any], *types: Any) -> Graph:
    return run_pipeline(dlc.trace(function, *types), same_meaning)[-1].graph


def only(graph: Graph, op: Any) -> Node:
    (node,) = [n for n in graph.nodes() if n.op is op]
    return node


def operators(graph: Graph) -> list[str]:
    """The names of the operators inside a graph's fused groups."""
    return [n.op.name for group in graph.nodes() if group.op.name == "fused"
            for n in group.attrs["body"].nodes() if n.op is not leaf.INPUT]


def planned(graph: Graph) -> tuple[Draft, Plan]:
    d = draft("main", graph, ISAS[instruction_set()], {})
    scratch = {launch: [o for part in parts for stage in part.stages for w in stage
                        for o in w.operands if isinstance(o, Scratch)]
               for launch, parts in d.lowered.items()}
    kept = {n: 0 for n in graph.inputs if n.attrs["role"] in ("param", "state")}
    return d, plan_memory(d.schedule, kept, 0, scratch, d.shared, d.stages)


def test_what_does_not_change_leaves_the_loop() -> None:
    def f(x: Any, w: Any) -> Any:
        return dlc.scan(lambda c, row: (c + row @ dlc.exp(w), None), x[0], x)[0]

    graph = optimized(f, f32[9, 4], f32[4, 4])
    body = only(graph, SCAN).attrs["body"]
    assert "exp" in operators(graph) and "exp" not in operators(body)


def test_views_and_constants_move_into_the_loop() -> None:
    """A transpose or a broadcast of something that stands still is read where it is needed."""
    def f(x: Any, w: Any, b: Any) -> Any:
        shift = dlc.broadcast_to(b, (3, 4)) if hasattr(dlc, "broadcast_to") else b
        return dlc.scan(lambda c, row: (dlc.tanh(c @ w.T + shift + row * 2.0), None), x[0], x)[0]

    graph = optimized(f, f32[9, 3, 4], f32[4, 4], f32[4])
    scan = only(graph, SCAN)
    shapes = [tuple(a.shape) for a in scan.args]
    assert shapes.count((4,)) == 1 and (3, 4) not in shapes[2:]
    assert {"transpose", "broadcast", "constant"} <= set(operators(scan.attrs["body"]))


def test_carries_and_results_that_nobody_reads_are_dropped() -> None:
    def step(carry: Any, row: Any) -> Any:
        a, b, c = carry
        return (a + row, b * row, c), (a * 2.0, b)

    def f(x: Any) -> Any:
        (a, _, _), (doubled, _) = dlc.scan(step, (x[0], x[1], x[2]), x)
        return a + doubled.sum(0)

    scan = only(optimized(f, f32[5, 4]), SCAN)
    assert scan.attrs["carries"] == 1 and len(scan.type.items) == 2


def test_a_loop_that_another_loop_no_longer_needs_goes() -> None:
    """The second loop reads nothing of the first one's stack once its own result is unused."""
    def f(x: Any) -> Any:
        a, ys = dlc.scan(lambda c, row: (c + row, dlc.exp(c)), x[0], x)
        (b, _), _ = dlc.scan(lambda c, row: ((c[0] * 0.5, c[1] + row), None), (x[0], x[1]), ys)
        return a + b

    scans = [n for n in optimized(f, f32[5, 4]).nodes() if n.op is SCAN]
    assert all(len(n.type.items) == 1 for n in scans)
    assert not any("exp" in operators(n.attrs["body"]) for n in scans)


@pytest.mark.parametrize("length,left", [(0, 0), (1, 0), (2, 1)])
def test_loops_of_no_and_of_one_iteration(length: int, left: int) -> None:
    def f(x: Any, start: Any) -> Any:
        return dlc.scan(lambda c, row: (c * 0.5 + row, c), start, x)

    graph = optimized(f, f32[length, 4], f32[4])
    assert sum(n.op is SCAN for n in graph.nodes()) == left


def test_a_branch_on_a_constant_is_that_branch() -> None:
    def f(x: Any) -> Any:
        flag = leaf.constant(False, dlc.bool_[()])
        return dlc.cond(flag, lambda v: dlc.exp(v), lambda v: dlc.tanh(v), x)

    graph = optimized(f, f32[4])
    assert not any(n.op is COND for n in graph.nodes()) and "exp" not in operators(graph)


def lstm_step(carry: Any, row: Any, w: Any) -> Any:
    h, c = carry
    z = dlc.concat([row, h], 1) @ w
    i, f, g, o = (z[:, k * 8:(k + 1) * 8] for k in range(4))
    c = dlc.sigmoid(f) * c + dlc.sigmoid(i) * dlc.tanh(g)
    h = dlc.sigmoid(o) * dlc.tanh(c)
    return (h, c), h


def lstm(x: Any, w: Any, h: Any, c: Any) -> Any:
    (h, c), ys = dlc.scan(lambda carry, row: lstm_step(carry, row, w), (h, c), x)
    return h, c, ys


LSTM = (lstm, f32[7, 16, 8], f32[16, 32], f32[16, 8], f32[16, 8])


def test_carries_of_an_lstm_are_written_in_place() -> None:
    """The gates read h before the new h is written, and c only at its own place."""
    d, plan = planned(optimized(*LSTM))
    (loop,) = [n for n in d.schedule.launches if n.op is SCAN]
    (inner,) = d.schedule.inner[loop]
    assert inner.alternating == frozenset()
    for new, old in zip(inner.graph.outputs[:2], inner.graph.inputs[:2], strict=True):
        assert plan.slots[new] == plan.slots[old] and not plan.slots[new].swaps
    assert plan.slots[inner.graph.outputs[2]].strides == (16 * 8 * 4,)


def test_a_carry_that_its_writer_reads_whole_alternates() -> None:
    def f(x: Any, w: Any, h: Any) -> Any:
        return dlc.scan(lambda c, row: (dlc.tanh(c @ w + row), None), h, x)[0]

    for length, turned in ((6, False), (7, True)):
        d, plan = planned(optimized(f, f32[length, 4, 8], f32[8, 8], f32[4, 8]))
        (loop,) = [n for n in d.schedule.launches if n.op is SCAN]
        (inner,) = d.schedule.inner[loop]
        assert inner.alternating == {0}
        old, new = plan.slots[inner.graph.inputs[0]], plan.slots[inner.graph.outputs[0]]
        assert new.offset == old.offset + old.swaps[0] and old.swaps[0] == -new.swaps[0] != 0
        (final,) = d.schedule.graph.outputs
        assert plan.slots[final].offset == (new if turned else old).offset


def test_steps_nest_as_loops_do() -> None:
    def f(x: Any, w: Any) -> Any:
        def outer(c: Any, row: Any) -> Any:
            return dlc.scan(lambda d, _: (dlc.tanh(d @ w), None), c + row, None, length=3)[0], None
        return dlc.scan(outer, x[0], x)[0]

    program = dlc.compile(dlc.trace(f, f32[5, 4, 4], f32[4, 4])).program
    (loop,) = [s for s in program.entries["main"].launches if isinstance(s, Loop)]
    (inner,) = [s for s in loop.launches if isinstance(s, Loop)]
    assert (loop.count, inner.count) == (5, 3)
    assert all(isinstance(s, Launch) for s in inner.launches)
    assert max(program.entries["main"].runs) == 15


def test_a_finished_while_loop_runs_nothing() -> None:
    """What is left of the iterations is a branch whose other side stores one byte: it is over."""
    def f(x: Any) -> Any:
        return dlc.while_loop(lambda v: v.sum() < 10.0, lambda v: v * 2.0, x, bound=50)[0]

    program = dlc.compile(dlc.trace(f, f32[4])).program
    loops = [s for s in program.entries["main"].launches if isinstance(s, Loop)]
    branches = [s for s in loops[0].launches if isinstance(s, Branch)]
    assert len(branches) == len(loops[0].launches) == 1
    (rest,) = branches[0].otherwise
    assert isinstance(rest, Launch) and rest.bytes <= 64


@pytest.mark.swept(3)
@pytest.mark.parametrize("seed", range(30))
def test_values_of_loops_that_live_at_one_time_lie_apart(seed: int) -> None:
    _, plan = planned(run_pipeline(LoopMaker(seed).graph())[-1].graph)
    for i, a in enumerate(plan.spans):
        assert a.offset >= 0 and a.offset % 64 == 0
        for b in plan.spans[i + 1:]:
            together = a.first <= b.last and b.first <= a.last
            meet = a.offset < b.offset + b.bytes and b.offset < a.offset + a.bytes
            assert not (together and meet), (a, b)
    assert plan.lower_bound <= plan.total


def lstm_loss(x: Any, w: Any, h: Any, c: Any) -> Any:
    return dlc.value_and_grad(lambda w: (lstm(x, w, h, c)[0] ** 2.0).sum())(w)


@pytest.mark.parametrize("function", [lstm, lstm_loss], ids=["forward", "gradient"])
def test_the_plan_of_a_loop_is_near_the_lower_bound(function: Any) -> None:
    graph = optimized(function, *LSTM[1:])
    _, plan = planned(graph)
    assert plan.total <= 1.05 * plan.lower_bound
    program = dlc.compile(dlc.trace(function, *LSTM[1:])).program
    args = [np.zeros(tuple(i.type.shape), np.float32) for i in graph.inputs]
    with dlc.runtime.load(program, "interpret") as running:
        assert running.allocated_bytes == program.peak_bytes
    assert len(args) == len(graph.inputs)


def test_a_stacked_result_takes_its_rows_only() -> None:
    """10,000 rows of 64 floats: the arena holds them, the input, and little else."""
    def f(x: Any) -> Any:
        return dlc.scan(lambda c, row: (c * 0.5 + row, c), x[0], x)[1]

    program = dlc.compile(dlc.trace(f, f32[10_000, 64])).program
    assert program.peak_bytes <= 2 * 10_000 * 64 * 4 + 1024
