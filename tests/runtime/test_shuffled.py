"""Chunks in random order on random threads: the same bits, and a fault where they are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, nn, runtime
from dlc.backend import assemble
from dlc.checks import launches as launch_checks
from dlc.checks import static
from dlc.checks.chunk_order import OrderError
from dlc.program import Kernel, Launch, Parameter, Program, Segment, Slot
from dlc.runtime.reference import shuffled
from dlc.runtime.reference.shuffled import ShuffledProgram


def network(x: f32[40, 30], w: f32[30, 70], v: f32[70, 8], xs: f32[6, 8]) -> Any:
    """Products in several chunks, sums of columns, a loop, a branch, launches side by side."""
    h = dlc.tanh(x @ w)
    y = nn.softmax(h @ v, 1)
    last, rows = dlc.scan(lambda c, r: (c * 0.5 + r, dlc.exp(c)), y.mean(0), xs)
    return y, h.sum(0), last, dlc.cond(last.sum() > 0.0, lambda: rows * 2.0, lambda: rows + 1.0)


def results(running: Any, program: Program, seed: int = 3) -> list[bytes]:
    rng = np.random.default_rng(seed)
    entry = program.entries["main"]
    for port in entry.inputs:
        running.write(port.name, rng.uniform(-1, 1, port.type.shape).astype("f4"), "main")
    running.run("main")
    return [running.read(port.name, "main").tobytes() for port in entry.outputs]


def test_every_order_leaves_the_same_bits() -> None:
    program = dlc.compile(network).program
    assert max(s.chunks for launch in program.entries["main"].flat for stage in launch.stages
               for s in stage) > 1
    with runtime.load(program) as running:
        expected = results(running, program)
    with runtime.load(program, "shuffle") as running:
        for _ in range(5):
            assert results(running, program) == expected


def handmade(text: str, chunks: int, launches: int = 1, barrier: bool = True) -> Program:
    """Launches of one kernel over 64 elements at byte 0."""
    kernel = Kernel("k", (Parameter("x", "f32", "pointer", True),), text)
    base = dlc.compile(dlc.trace(lambda x: x + 1.0, f32[64])).program
    entry = base.entries["main"]
    home = Slot(entry.inputs[0].offset)
    launch = Launch("k", ((Segment(0, (home,), chunks),),), barrier=barrier)
    made = replace(entry, launches=(launch,) * launches, outputs=(
        replace(entry.outputs[0], offset=home.offset),))
    return replace(base, kernels=(kernel,), entries={"main": made}, tiles={})


FREE = """def k(x, chunk):
    for i in range(8):
        x[chunk * 8 + i] = x[chunk * 8 + i] * f32(2.0)
"""
CHAIN = "def k(x, chunk):\n    x[chunk + 1] = x[chunk] * f32(2.0)\n"


def test_chunks_that_read_each_other_show() -> None:
    """In order each doubles the one before; in any other order they do not."""
    program = handmade(CHAIN, 60)
    with runtime.load(program, "cpu", 1) as running:
        expected = results(running, program)
    orders = [ShuffledProgram(program, 1, seed) for seed in range(3)]
    assert any(results(running, program) != expected for running in orders)


@pytest.mark.parametrize("launches", [1, 3])
def test_barriers_hold(launches: int) -> None:
    """Launches behind barriers follow one another, whatever happens between them."""
    program = handmade(FREE, 8, launches)
    with runtime.load(program, "cpu", 1) as running:
        expected = results(running, program)
    running = ShuffledProgram(program, 3, launches)
    assert all(results(running, program) == expected for _ in range(4))


def test_one_launch_alone() -> None:
    program = handmade(FREE, 8)
    running = ShuffledProgram(program, 2)
    running.write("x", np.ones(64, "f4"), "main")
    running.run_launch("main", 0)
    np.testing.assert_array_equal(running.read("x", "main"), np.full(64, 2.0, "f4"))


def test_compile_names_a_result_that_depends_on_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A barrier is left out between two launches: DLC_CHECK=2 runs them at one time."""
    def rows(x: f32[64, 40]) -> Any:
        return dlc.cumsum(dlc.cumsum(x, 1), 0)

    original = assemble.steps_of
    monkeypatch.setattr(assemble, "steps_of", lambda *given: tuple(
        replace(step, barrier=False) for step in original(*given)))
    monkeypatch.setattr(shuffled, "THREADS", 1)  # the order is the seed's alone
    monkeypatch.setattr(static, "check_assembled", lambda program, drafts: [])
    monkeypatch.setattr(launch_checks, "check_launches", lambda *given: None)
    with pytest.raises(OrderError, match="depends on which chunk ran first"):
        dlc.compile(rows, verify=True)
