"""Order: anti-dependences, updates in place, copies where in place cannot be, few bytes held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.derive import higher
from dlc.ir.graph import Graph, Node
from dlc.ir.types import Type
from dlc.passes import run_pipeline
from dlc.passes.schedule.order import (
    launch_of,
    may_take_over,
    order,
    reads,
    result_types,
)
from tests.conformance.cut import swept
from tests.fuzzing.draw import Maker, Seeded
from tests.fuzzing.steps import program
from tests.regressions.test_backend import check, graph_of, ramp


def schedule_of(types: Sequence[Type], function: Callable[..., Any],
                updates: Sequence[int] = ()) -> Any:
    return order(run_pipeline(graph_of(types, function, updates))[-1].graph)


def position(schedule: Any, value: Node) -> int:
    launch = launch_of(value)
    return next(i for i, n in enumerate(schedule.launches) if n is launch)


@pytest.mark.parametrize("seed", swept("launch orders", 8, 120))
def test_launches_come_after_what_they_read_and_writers_after_readers(seed: int) -> None:
    maker = Maker(Seeded(np.random.default_rng(seed)), largest=500)
    schedule = order(run_pipeline(program(maker, 14, loops=False))[-1].graph)
    assert len(set(schedule.launches)) == len(schedule.launches)
    for at, launch in enumerate(schedule.launches):
        for arg in launch.args:
            if launch_of(arg).op is higher.FUSED:
                assert position(schedule, arg) < at
    for value, old in schedule.home.items():
        writer = position(schedule, value)
        for at, launch in enumerate(schedule.launches):
            if reads(launch, old) and at != writer:
                assert at < writer, "an old value is read after its update was written over it"
    graph = schedule.graph
    inputs = {i.attrs["label"]: i for i in graph.inputs}
    named = dict(zip(graph.output_names, graph.outputs, strict=True))
    replaced = {named[o] for o, i in graph.updates.items() if named[o] is not inputs[i]}
    assert replaced == set(schedule.home)


def test_an_update_waits_for_every_reader_of_the_old_value() -> None:
    def step(p: Node, x: Node) -> tuple[Node, ...]:
        new = p - 0.5
        return dlc.tanh(x @ p), (x * x) @ p, new

    schedule = schedule_of([f32[120, 120], f32[120, 120]], step, updates=[0])
    (value,) = schedule.home
    assert position(schedule, value) == len(schedule.launches) - 1


def test_an_update_that_others_read_before_the_old_value_goes_through_a_copy() -> None:
    """y reads both the new p and the old: p cannot be overwritten before y."""
    def step(p: Node, x: Node) -> tuple[Node, ...]:
        new = p + (x @ x)
        return new @ p, new

    graph = graph_of([f32[100, 100], f32[100, 100]], step, updates=[0])
    schedule = order(run_pipeline(graph)[-1].graph)
    (value,) = schedule.home
    assert launch_of(value).attrs["body"].name == "fused_copy"
    x = ramp(f32[100, 100]) % 2
    check(graph, x, x.T.copy(), device="cpu")


def test_two_updates_that_read_each_other() -> None:
    graph = graph_of([f32[7], f32[7]], lambda a, b: (a + b, b - a), updates=[0, 1])
    check(graph, ramp(f32[7]), ramp(f32[7]) * 2)


def test_a_rotation_of_three_parameters() -> None:
    graph = graph_of([f32[7], f32[7], f32[7]], lambda a, b, c: (b, c, a), updates=[0, 1, 2])
    check(graph, ramp(f32[7]), ramp(f32[7]) + 1, ramp(f32[7]) + 2)


def most_held(schedule: Any) -> int:
    """The most bytes that results of launches take at once, each from its launch to its last."""
    held, most = 0, 0
    readers: dict[Node, int] = {}
    for launch in schedule.launches:
        for a in set(launch.args):
            readers[a] = readers.get(a, 0) + 1
    for launch in schedule.launches:
        held += sum(t.bytes for t in result_types(launch))
        most = max(most, held)
        for a in set(launch.args):
            readers[a] -= 1
            if readers[a] == 0 and launch_of(a).op is higher.FUSED:
                held -= a.type.bytes
    return most


def test_few_bytes_are_held() -> None:
    """Two large values that are each reduced at once: not both before the first is."""
    def step(x: Node) -> Any:
        a, b = x @ x, (x + 1.0) @ x
        return dlc.tanh(a).sum() + b.max()

    assert most_held(schedule_of([f32[300, 300]], step)) < 2 * 300 * 300 * 4


def test_what_can_be_freed_at_once_is_made_first() -> None:
    """The text has m first; made first, it would be held while y @ w is: 304,000 bytes."""
    def step(x: Node, y: Node, w: Node) -> Any:
        m = x @ x
        return m @ (y @ w).max(1)

    schedule = schedule_of([f32[200, 200], f32[200, 180], f32[180, 180]], step)
    assert [n.attrs["body"].name for n in schedule.launches] == [
        "fused_matmul", "fused_max", "fused_matmul", "fused_matmul"]
    assert most_held(schedule) == 200 * 200 * 4 + 200 * 4 + 200 * 4


def test_what_is_written_in_place_takes_no_new_bytes() -> None:
    """Two weights with two moments each: an update frees its slope before the other is made."""
    def step(*args: Any) -> tuple[Any, ...]:
        found = []
        for (w, m, v), x in zip((args[:3], args[3:6]), args[6:], strict=True):
            g = dlc.exp(x @ x.T) @ w
            m, v = 0.9 * m + g, 0.9 * v + g * g
            found += [w - 0.1 * m / (dlc.sqrt(v) + 1.0), m, v]
        return tuple(found)

    schedule = schedule_of([f32[64, 64]] * 6 + [f32[64, 8]] * 2, step, range(6))
    writers = sorted({position(schedule, value) for value in schedule.home})
    assert writers == [1, 2, 4, 5], "launches 0 and 3 make what the two after each use up"


def fused(function: Callable[..., Any], *types: Type) -> tuple[Node, Graph]:
    schedule = schedule_of(types, function)
    (launch,) = schedule.launches
    return launch, schedule.graph


@pytest.mark.parametrize("function,may", [
    (lambda x: dlc.tanh(x) * 2.0, True),
    (lambda x: x - x.sum(), False),
    (lambda x: x - x.sum(1, keepdims=True), False),
    (lambda x: x + x.T, False),
    (lambda x: dlc.flip(x, 0), False),
    (lambda x: dlc.where(x > 0.0, x, x * 0.5), True),
], ids=["pointwise", "sum", "row sum", "transpose", "flip", "where"])
def test_what_may_be_written_over_its_operand(function: Any, may: bool) -> None:
    launch, graph = fused(function, f32[6, 6])
    assert may_take_over(launch, graph.outputs[0], launch.args[0]) is may
