"""A barrier that is dropped is seen: launches that run at once must not meet in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import dlc
from dlc import f32, runtime
from dlc.codegen.assemble import assemble
from dlc.compiler import instruction_set
from dlc.ops.convert import broadcast_to
from dlc.passes import run_pipeline
from dlc.program import Program
from dlc.runtime.check import ProgramError
from dlc.runtime.hazards import check_hazards


def chain() -> Program:
    """Three launches that read one another, and one that stands apart."""
    def step(x: Any, w: Any) -> Any:
        h = dlc.tanh(x @ w)
        total = h.sum(0)
        return h - broadcast_to(total, h.shape) * 0.5, w * 2.0

    graph = dlc.trace(step, f32[300, 200], f32[200, 300])
    return assemble("chain", {"main": run_pipeline(graph)[-1].graph}, "cpu", instruction_set())


def without_barrier(program: Program, index: int) -> Program:
    entry = program.entries["main"]
    launches = [replace(launch, barrier=launch.barrier and i != index)
                for i, launch in enumerate(entry.launches)]
    return replace(program, entries={"main": replace(entry, launches=tuple(launches))})


def test_compiled_programs_have_no_hazard() -> None:
    check_hazards(chain())
    runtime.load(chain(), "null").close()


def test_every_dropped_barrier_is_seen() -> None:
    program = chain()
    barriers = [i for i, launch in enumerate(program.entries["main"].launches)
                if launch.barrier and i]
    assert barriers
    for index in barriers:
        with pytest.raises(ProgramError, match="no barrier stands between"):
            runtime.load(without_barrier(program, index), "null")
