"""Agreement: Programs in which one place in memory is taken for two types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import dlc
from dlc import f32, i32
from dlc.backend.assemble import assembled
from dlc.backend.draft import Draft
from dlc.checks.agreement import TypeClash, check_agreement
from dlc.compiler import task_source
from dlc.ir.types import Type
from dlc.passes import PIPELINE, run_pipeline
from dlc.program import Port, Program


def model(x: f32["batch", 3]) -> dlc.Loss:
    h = dlc.state("h", f32[2, 4, 1])
    dlc.update_state(h, h * 0.5 + x.sum())
    last, rows = dlc.scan(lambda c, r: (c + r, c * 2.0), dlc.zeros(3), x)
    return dlc.loss((last * dlc.parameter("w", f32[3])).sum() + rows.sum() + h.sum())


@pytest.fixture(scope="module")
def made() -> tuple[Program, list[Draft]]:
    """A task with a smaller last batch."""
    task = dlc.task(optimizer=dlc.optim.momentum(0.1), batch=4)(model)
    graphs = {entry: run_pipeline(graph, None, PIPELINE)[-1].graph
              for entry, graph in task_source(task, None, {"eval": 3}).graphs.items()}
    return assembled("model", graphs, "cpu", "avx512")


def test_what_is_assembled_agrees(made: tuple[Program, list[Draft]]) -> None:
    check_agreement(*made)


def kept(change: Callable[[Port], Port]) -> Callable[[Program], Program]:
    return lambda p: replace(p, persistent=tuple(map(change, p.persistent)))


def state_as(type_: Type) -> Callable[[Port], Port]:
    return lambda port: replace(port, type=type_) if port.name == "h" else port


def smaller_input(program: Program) -> Program:
    entry = program.entries["eval_tail"]
    ports = tuple(replace(p, type=f32[4, 3]) if p.name == "x" else p for p in entry.inputs)
    return replace(program, entries={**program.entries, "eval_tail": replace(entry, inputs=ports)})


def short_buffers(program: Program) -> Program:
    return replace(program, buffers=tuple(replace(b, bytes=4) for b in program.buffers))


@pytest.mark.parametrize("change, message", [
    (kept(state_as(f32[2, 3, 1])), r"state h is f32\[2, 4, 1\] here, but f32\[2, 3, 1\] where it"),
    (kept(state_as(i32[2, 4, 1])), r"state h is f32\[2, 4, 1\] here, but i32\[2, 4, 1\] where it"),
    (smaller_input, r"eval_tail: data x is f32\[3, 3\] here, but f32\[4, 3\] where it lies"),
    (short_buffers, r"lies in a buffer of 4 bytes"),
])
def test_types_that_clash(made: tuple[Program, list[Draft]], message: str,
                          change: Callable[[Program], Program]) -> None:
    with pytest.raises(TypeClash, match=message):
        check_agreement(change(made[0]), made[1])


def test_a_carry_of_another_type(made: tuple[Program, list[Draft]]) -> None:
    """As a pass would leave it that changes a body alone."""
    program, drafts = made
    loops: list[Any] = [inner.graph for d in drafts for s in d.schedules
                        for orders in s.inner.values() for inner in orders]
    carry = loops[0].inputs[0]
    kept_type = carry.type
    object.__setattr__(carry, "type", f32[3, 1])  # nodes are frozen
    try:
        with pytest.raises(TypeClash, match=r"operand 0 of .* is f32\[3, 1\] here, but f32\[3\]"):
            check_agreement(program, drafts)
    finally:
        object.__setattr__(carry, "type", kept_type)
