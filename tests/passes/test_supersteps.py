"""Supersteps: what need not wait does not, and memory does not grow for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, runtime
from dlc.backend.assemble import assembled
from dlc.compiler import instruction_set, task_source
from dlc.ir.graph import Graph
from dlc.models.lenet import lenet
from dlc.passes import run_pipeline
from dlc.passes.schedule import plan_memory
from dlc.passes.schedule.lives import Span
from dlc.passes.schedule.placing import WORTH, Arrangement, Numbered, tightest, times_of
from dlc.program import Loop, Program
from tests.compile_time import networks
from tests.fuzzing.bounds import mistakes
from tests.fuzzing.draw import Maker, Seeded
from tests.fuzzing.steps import program
from tests.scheduling.figures import barriers


def lowest(spans: list[Span], numbered: Numbered, _room: int,
           _limit: int | None) -> Arrangement:
    """A placement that does not know of supersteps."""
    return tightest(spans, times_of(spans, numbered({}, frozenset()).numbers))


def built(graph: Graph, isa: str = "") -> Program:
    return assembled("g", {"main": graph}, "cpu", isa or instruction_set())[0]


def test_a_workspace_does_not_lie_on_another_of_its_superstep(monkeypatch: Any) -> None:
    """Packing of one product runs beside the multiplication of the one before: on AVX-512, where
    a place on another workspace would come next."""
    task = networks.resnet((1, 1), 32, 2)
    graph = run_pipeline(task_source(task, None, {}).graphs["train"])[-1].graph
    found = built(graph, "avx512")
    monkeypatch.setattr(plan_memory, "arranged", lowest)
    without = built(graph, "avx512")
    assert found.arena_bytes <= without.arena_bytes
    assert barriers(found.entries["main"]) < barriers(without.entries["main"])


@pytest.mark.swept(3)
@pytest.mark.parametrize("seed", range(8))
def test_barriers_are_fewer_and_paid_for(seed: int, monkeypatch: Any) -> None:
    maker = Maker(Seeded(np.random.default_rng(seed)), largest=3000)
    graph = run_pipeline(program(maker, 24))[-1].graph
    found = built(graph)
    monkeypatch.setattr(plan_memory, "arranged", lowest)
    without = built(graph)
    spared = barriers(without.entries["main"]) - barriers(found.entries["main"])
    assert spared >= 0 and found.arena_bytes <= without.arena_bytes + WORTH * spared


def test_a_few_bytes_are_paid_for_a_barrier(monkeypatch: Any) -> None:
    """Three products of small arrays, whose matrices are dead when they are packed: no two of them
    wait for one another, where the lowest arrangement would have a packing on another's matrix."""
    def f(x: Any, a: Any, b: Any, c: Any) -> Any:
        return dlc.sort(x @ a, 0), dlc.sort(x @ b, 0), dlc.sort(x @ c, 0)

    graph = run_pipeline(dlc.trace(f, f32[60, 60], *[f32[60, 30]] * 3))[-1].graph
    found = built(graph)
    monkeypatch.setattr(plan_memory, "arranged", lowest)
    without = built(graph)
    assert barriers(found.entries["main"]) < barriers(without.entries["main"])


def test_the_other_entries_have_the_room_of_the_first() -> None:
    """Evaluation takes fewer bytes than training, and the arena is there."""
    graphs = {name: run_pipeline(graph)[-1].graph
              for name, graph in task_source(lenet, None, {}).graphs.items()}
    whole = assembled("lenet", graphs, "cpu", "avx512")[0]
    alone = {name: built(graph, "avx512") for name, graph in graphs.items()}
    assert barriers(whole.entries["eval"]) < barriers(alone["eval"].entries["main"])
    assert whole.arena_bytes == alone["train"].arena_bytes > alone["eval"].arena_bytes


def test_a_stage_behind_a_barrier_ends_what_ran_before() -> None:
    """The reader of `y` need not wait for it once more: packing and multiplying x did. 200 columns
    are several boxes on every set: one box needs no stage."""
    def f(x: Any, a: Any) -> Any:
        return dlc.exp(x).sum(1), x @ a

    found = built(run_pipeline(dlc.trace(f, f32[100, 40], f32[40, 200]))[-1].graph)
    assert barriers(found.entries["main"]) == 1


def test_what_only_takes_memory_runs_late() -> None:
    """The second matrix is packed behind the first loop. 50 columns fill no set's panels."""
    def f(h0: f32[8, 50], w: f32[50, 50], v: f32[50, 50], xs: f32[4, 8, 50]) -> Any:
        def last(h: Any, m: Any) -> Any:
            return dlc.scan(lambda h, x: (dlc.tanh(h @ m + x), None), h, xs)[0]
        return last(dlc.sin(last(h0, w)), v)

    compiled = dlc.compile(f)
    steps = compiled.program.entries["main"].launches
    names = ["loop" if isinstance(s, Loop) else s.name for s in steps]
    assert names.index("loop") < len(names) - 1 - names[::-1].index("pack")
    rng = np.random.default_rng(1)
    given = {n: rng.standard_normal(s).astype(np.float32) / 4 for n, s in (
        ("h0", (8, 50)), ("w", (50, 50)), ("v", (50, 50)), ("xs", (4, 8, 50)))}
    loaded: Any = runtime.load(compiled.program, "cpu", 2)
    for name, array in given.items():
        loaded.write(name, array, "main")
    loaded.run("main")
    (port,) = compiled.program.entries["main"].outputs
    assert mistakes(dlc.trace(f), given, {"out": loaded.read(port.name, "main")}) == []
