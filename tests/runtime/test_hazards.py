"""A barrier that is dropped is seen: launches that run at once must not meet in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import dlc
from dlc import f32, runtime
from dlc.backend.assemble import assembled
from dlc.compiler import instruction_set
from dlc.ops.convert import broadcast_to
from dlc.passes import run_pipeline
from dlc.program import Program
from dlc.runtime.cpu.check import ProgramError
from dlc.runtime.cpu.table import Table
from dlc.runtime.cpu.table_builder import TableBuilder
from dlc.runtime.reference.hazards import check_hazards


def compiled(function: Callable[..., Any], *types: Any) -> Program:
    graph = dlc.trace(function, *types)
    return assembled("main", {"main": run_pipeline(graph)[-1].graph}, "cpu", instruction_set())[0]


def chain() -> Program:
    """Launches that read one another, and one that stands apart."""
    def step(x: Any, w: Any) -> Any:
        h = dlc.tanh(x @ w)
        total = h.sum(0)
        return h - broadcast_to(total, h.shape) * 0.5, w * 2.0

    return compiled(step, f32[300, 200], f32[200, 300])


def total() -> Program:
    """A launch that only reads what the one before it wrote."""
    return compiled(lambda x: x / (x * x).sum(), f32[300, 200])


def update() -> Program:
    """A launch that overwrites what another one reads."""
    def step(x: Any) -> Any:
        w = dlc.state("w", f32[300, 200])
        dlc.update_state(w, w * 0.5 + x)
        return (w.T @ x).sum()

    return compiled(step, f32[300, 200])


PROGRAMS = [chain, total, update]


def without_barrier(program: Program, index: int) -> Program:
    entry = program.entries["main"]
    launches = [replace(launch, barrier=launch.barrier and i != index)
                for i, launch in enumerate(entry.launches)]
    return replace(program, entries={"main": replace(entry, launches=tuple(launches))})


@pytest.mark.parametrize("build", PROGRAMS, ids=lambda f: f.__name__)
def test_compiled_programs_have_no_hazard(build: Callable[[], Program]) -> None:
    check_hazards(build())
    runtime.load(build(), "null").close()


@pytest.mark.parametrize("build", PROGRAMS, ids=lambda f: f.__name__)
def test_every_dropped_barrier_is_seen(build: Callable[[], Program]) -> None:
    program = build()
    barriers = [i for i, launch in enumerate(program.entries["main"].launches)
                if launch.barrier and i]
    assert barriers
    for index in barriers:
        with pytest.raises(ProgramError, match="no barrier stands between"):
            runtime.load(without_barrier(program, index), "null")


def test_a_barrier_stands_between_the_stages_of_a_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table asks for one before each stage, and within a stage for none."""
    program = chain()
    launch = max(program.entries["main"].launches, key=lambda one: len(one.stages))
    assert len(launch.stages) > 1
    asked: list[bool] = []
    monkeypatch.setattr(Table, "add", lambda self, function, arguments, chunks, barrier, *rest:
                        asked.append(barrier))
    twice = replace(launch, stages=tuple(stage * 2 for stage in launch.stages))
    kernels = list(range(len(program.kernels)))
    for first in (True, False):
        asked.clear()
        TableBuilder(program, 1, kernels, 0, 0).add_launch(twice, first)
        assert asked == [first, False] + [True, False] * (len(launch.stages) - 1)
