"""Assembling: ports, shared parameters, constants, barriers, buffers that say where things lie."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, runtime
from dlc.backend import assemble
from dlc.backend.costs import flops_of
from dlc.backend.steps import overlaps
from dlc.compiler import instruction_set
from dlc.ir.graph import Graph, Node
from dlc.ops import leaf
from dlc.passes import run_pipeline
from dlc.program import Program, Slot
from dlc.runtime.cpu.check import check_program
from dlc.runtime.reference.hazards import check_hazards
from tests.backend.share.test_parametrize import check_put_back
from tests.conformance.cut import swept
from tests.fuzzing.draw import Maker, Seeded
from tests.fuzzing.steps import program
from tests.regressions.test_backend import graph_of, ramp


def assembled(**graphs: Graph) -> Program:
    done = {name: run_pipeline(g)[-1].graph for name, g in graphs.items()}
    return assemble.assembled("main", done, "cpu", instruction_set())[0]


@pytest.mark.parametrize("block", swept("random programs", 1, 50))
def test_random_programs_hold_together(block: int) -> None:
    """Offsets in the arena, arguments that fit, no hazard: what the runtime checks before a run.
    Kernels that the programs share are, with their numbers put back, those that were lowered."""
    kernels, entries = [], []
    for seed in range(4 * block, 4 * block + 4):
        maker = Maker(Seeded(np.random.default_rng(seed)), largest=2000)
        graph = run_pipeline(program(maker, 14))[-1].graph
        whole, (draft,) = assemble.assembled("main", {"main": graph}, "cpu", instruction_set())
        check_program(whole)
        check_hazards(whole)
        runtime.load(whole, "null").close()
        kernels += [work.kernel for parts in draft.lowered.values() for part in parts
                    for stage in part.stages for work in stage]
        entries += [f"entry{seed}"] * (len(kernels) - len(entries))
    check_put_back(kernels, entries)


@pytest.mark.swept(3)
@pytest.mark.parametrize("name", ["linear_regression", "logistic_regression", "xor", "mlp",
                                  "lenet"])
def test_models_hold_together(name: str) -> None:
    module = importlib.import_module(f"dlc.models.{name}")
    (task,) = (v for v in vars(module).values() if isinstance(v, dlc.Task))
    whole = dlc.compile(task, tails={"train": 3, "eval": 2}).program
    check_program(whole)
    check_hazards(whole)


def test_entries_share_parameters_and_kernels() -> None:
    def step(n: int) -> Graph:
        return graph_of([f32[8, 8], f32[n, 8]], lambda w, x: (dlc.tanh(x).sum(0), w * 0.5), [0])

    whole = assembled(train=step(4), tail=step(3))
    assert [p.name for p in whole.persistent] == ["x0"]
    assert len(whole.kernels) < sum(len(e.launches) for e in whole.entries.values())
    running: Any = runtime.load(whole, "interpret")
    running.write("x0", ramp(f32[8, 8]))
    for entry, n in (("train", 4), ("tail", 3)):
        running.write("x1", ramp(f32[n, 8]), entry)
        running.run(entry)
    np.testing.assert_array_equal(running.read("x0"), ramp(f32[8, 8]) / 4)


def test_equal_literals_lie_in_one_place() -> None:
    def f(x: Node) -> Any:
        table = leaf.array(np.arange(5.0), f32[5])
        return x + table, (x * table).sum()

    whole = assembled(a=graph_of([f32[5]], f), b=graph_of([f32[5]], f))
    assert len(whole.constants) == 1
    at = whole.constants[0].offset
    written = {a.offset for e in whole.entries.values() for launch in e.flat
               for stage in launch.stages for s in stage
               for a, p in zip(s.args, whole.kernels[s.kernel].params, strict=True)
               if isinstance(a, Slot) and p.written}
    assert at not in written


def test_a_program_is_the_same_each_time() -> None:
    graph = graph_of([f32[9, 9]], lambda x: dlc.tanh(x @ x).sum(0))
    assert assembled(main=graph) == assembled(main=graph)


def test_buffers_cover_what_kernels_touch() -> None:
    maker = Maker(Seeded(np.random.default_rng(3)), largest=2000)
    whole = assembled(main=program(maker, 20))
    known = {b.offset for b in whole.buffers} | {p.offset for p in whole.persistent}
    used = {a.offset for launch in whole.entries["main"].flat for stage in launch.stages
            for s in stage for a in s.args if isinstance(a, Slot)}
    assert used <= known


def test_flops() -> None:
    graph = graph_of([f32[3, 4], f32[4, 5]], lambda a, b: dlc.tanh(a @ b))
    assert flops_of(graph) == 2 * 3 * 4 * 5 + 15


@pytest.mark.parametrize("a,b,meet", [
    ([(0, 64)], [(64, 128)], False), ([(0, 65)], [(64, 128)], True),
    ([(0, 8), (100, 108)], [(50, 101)], True), ([], [(0, 8)], False)])
def test_overlaps(a: Any, b: Any, meet: bool) -> None:
    first, second = ([(Slot(low), high - low) for low, high in ranges] for ranges in (a, b))
    assert overlaps(first, second) is meet and overlaps(second, first) is meet
