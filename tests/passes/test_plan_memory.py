"""The memory plan: nothing that lives at one time overlaps, and little is wasted."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, runtime
from dlc.backend.assemble import assembled, draft
from dlc.backend.cpu.isa import ISAS
from dlc.backend.draft import Draft
from dlc.compiler import Compiled, instruction_set
from dlc.ir.graph import Graph, Node
from dlc.passes import run_pipeline
from dlc.passes.schedule import plan_memory as planning
from dlc.passes.schedule.lives import ALIGN, Scratch, Span, aligned
from dlc.passes.schedule.placing import Arrangement, Numbered, arranged, tightest, times_of
from dlc.passes.schedule.plan_memory import (
    Plan,
    most_live,
    persistent_offsets,
    plan_memory,
    take_overs,
)
from dlc.passes.schedule.supersteps import Supersteps
from dlc.program import Buffer
from tests.conformance.cut import swept
from tests.fuzzing.bounds import mistakes
from tests.fuzzing.draw import Maker, Seeded
from tests.fuzzing.steps import program

MODELS = ("linear_regression", "logistic_regression", "xor", "mlp", "lenet")


def compiled(name: str) -> Compiled:
    module = importlib.import_module(f"dlc.models.{name}")
    (task,) = (v for v in vars(module).values() if isinstance(v, dlc.Task))
    return dlc.compile(task)


def lowest(spans: list[Span], numbered: Numbered, _room: int,
           _limit: int | None) -> Arrangement:
    """A placement that pays nothing for a barrier."""
    return tightest(spans, times_of(spans, numbered({}, frozenset()).numbers))


def plan_of(graph: Graph) -> tuple[Draft, Plan]:
    """The plan of an optimized graph, parameters first."""
    d = draft("main", graph, ISAS[instruction_set()], {})
    kept = {n.attrs["label"]: n.type for n in graph.inputs if n.attrs["role"] in ("param", "state")}
    offsets, base = persistent_offsets(kept)
    nodes: dict[Node, int] = {n: offsets[n.attrs["label"]] for n in graph.inputs
                              if n.attrs["label"] in offsets}
    literals = [n for n in d.schedule.graph.nodes() if n.op.name == "array"]
    for literal in literals:
        nodes[literal] = base
        base += aligned(literal.type.bytes)
    scratch = {launch: [o for part in parts for stage in part.stages for w in stage
                        for o in w.operands if isinstance(o, Scratch)]
               for launch, parts in d.lowered.items()}
    return d, plan_memory(d.schedule, nodes, base, scratch, d.shared, d.stages)


def optimized(function: Any, *types: Any) -> Graph:
    return run_pipeline(dlc.trace(function, *types))[-1].graph


def random_graph(seed: int, steps: int = 16) -> Graph:
    maker = Maker(Seeded(np.random.default_rng(seed)), largest=3000)
    return run_pipeline(program(maker, steps, loops=False))[-1].graph


def check_apart(plan: Plan) -> None:
    """Spans that live at one launch share no byte; all start on a cache line."""
    for i, a in enumerate(plan.spans):
        assert a.offset >= 0 and a.offset % ALIGN == 0
        for b in plan.spans[i + 1:]:
            together = a.first <= b.last and b.first <= a.last
            meet = a.offset < b.offset + b.bytes and b.offset < a.offset + a.bytes
            assert not (together and meet), (a, b)


@pytest.mark.parametrize("seed", swept("memory plans", 6, 80))
def test_values_that_live_at_one_time_lie_apart(seed: int) -> None:
    d, plan = plan_of(random_graph(seed))
    check_apart(plan)
    assert plan.total >= plan.lower_bound
    for at, launch in enumerate(d.schedule.launches):
        for arg in launch.args:  # what a launch reads lives while it runs
            spans = [s for s in plan.spans if any(v is arg for v in s.values)]
            assert all(s.first < at <= s.last for s in spans)


@pytest.mark.swept(3)
@pytest.mark.parametrize("name", MODELS)
def test_the_plan_of_every_model_is_near_the_lower_bound(
        name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 5 percent, beside what is paid for barriers (test_supersteps.py)."""
    graphs = [records[-1].graph for records in compiled(name).records.values()]
    for graph in graphs:
        check_apart(plan_of(graph)[1])
    monkeypatch.setattr(planning, "arranged", lowest)
    for graph in graphs:
        plan = plan_of(graph)[1]
        assert plan.total <= 1.05 * plan.lower_bound


@pytest.mark.parametrize("name", MODELS)
def test_buffers_of_a_program_lie_apart(name: str) -> None:
    """What the program says of itself: buffers of one entry that live at one launch."""
    found = compiled(name).program
    for entry in found.entries:
        mine = [b for b in found.buffers if b.entry == entry]
        for i, a in enumerate(mine):
            assert a.offset >= 0 and a.offset + a.bytes <= found.arena_bytes
            for b in mine[i + 1:]:
                assert not meets(a, b), (a, b)


def meets(a: Buffer, b: Buffer) -> bool:
    """Overlap in bytes and in time; a value that takes over a place starts as the other ends."""
    overlap = a.offset < b.offset + b.bytes and b.offset < a.offset + a.bytes
    return overlap and a.first < b.last and b.first < a.last and a.offset != b.offset


def test_an_elementwise_result_takes_over_a_dying_operand() -> None:
    def f(x: Any) -> Any:
        h = x @ x
        return dlc.tanh(h * h.sum())

    d, plan = plan_of(optimized(f, f32[200, 200]))
    taken = {v for v, source in d.shared.items() if source.op.name != "input"}
    assert taken
    for value in taken:
        assert plan.offsets[value] == plan.offsets[d.shared[value]]


def test_an_operand_that_is_read_later_is_not_taken_over() -> None:
    def f(x: Any, w: Any) -> Any:
        h = x @ w
        return dlc.tanh(h * h.sum()), h @ w

    d, _ = plan_of(optimized(f, f32[200, 200], f32[200, 200]))
    last = {a: at for at, n in enumerate(d.schedule.launches) for a in n.args}
    position = {v: at for at, n in enumerate(d.schedule.launches) for v in d.shared
                if (v.args[0] if v.op.name == "item" else v) is n}
    for value, source in d.shared.items():
        assert last.get(source, -1) <= position[value]


def test_a_reduced_operand_is_not_taken_over() -> None:
    """softmax(h): the sum reads all of h before the first element may be overwritten."""
    def f(x: Any) -> Any:
        h = x @ x
        e = dlc.exp(h - h.max(1, keepdims=True))
        return (e / e.sum(1, keepdims=True)) @ x

    graph = optimized(f, f32[150, 150])
    d, _ = plan_of(graph)
    loaded: Any = runtime.load(assembled("softmax", {"main": graph}, "cpu", instruction_set())[0],
                               "cpu")
    x = np.random.default_rng(0).normal(size=(150, 150)).astype(np.float32)
    loaded.write("x", x, "main")
    loaded.run("main")
    got = {"out": loaded.read(graph.output_names[0], "main")}
    assert mistakes(dlc.trace(f, f32[150, 150]), {"x": x}, got) == []
    assert set(d.shared) == set(take_overs(d.schedule))


def spans_of(*lives: tuple[int, int, int]) -> list[Span]:
    return [Span(aligned(size), first, last) for size, first, last in lives]


def test_place_fills_gaps() -> None:
    spans = spans_of((640, 0, 9), (64, 0, 1), (64, 2, 3), (64, 4, 5))
    one_by_one = Supersteps([(n, n) for n in range(10)], 9)
    assert arranged(spans, lambda *_: one_by_one).top == 640 + 64 == most_live(spans)


def test_the_lower_bound_counts_what_lives_at_one_launch() -> None:
    assert most_live(spans_of((64, 0, 1), (128, 1, 2), (64, 2, 3))) == 192


@pytest.mark.parametrize("size,want", [(0, 64), (1, 64), (64, 64), (65, 128)])
def test_aligned(size: int, want: int) -> None:
    assert aligned(size) == want


def test_parameters_lie_where_they_lie_in_every_entry() -> None:
    """The train and eval programs share one set of parameters."""
    found = compiled("mlp").program
    offsets = [p.offset for p in found.persistent]
    assert offsets == sorted(set(offsets))
    ends = [p.offset + aligned(p.type.bytes) for p in found.persistent]
    for entry in found.entries.values():
        for port in (*entry.inputs, *entry.outputs):
            assert port.offset >= max(ends)
