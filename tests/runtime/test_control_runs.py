"""Loops and branches as they run: every thread count, lengths of any size, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32, runtime
from dlc.backend.assemble import assembled
from dlc.compiler import instruction_set
from dlc.ir.graph import Graph
from dlc.ops import leaf
from dlc.passes import run_pipeline
from dlc.passes.check import same_meaning
from dlc.program import Branch, Loop, Program, Slot, may_meet, place, stands, sweep
from dlc.runtime.cpu.check import ProgramError, check_program
from dlc.runtime.program_json import program_from_json, program_to_json
from dlc.runtime.reference.hazards import check_hazards
from dlc.runtime.steps import Phase
from tests.fuzzing.bounds import balls_of, labelled, wrong_outputs
from tests.random_loops import LoopMaker, arrays_for


def program_of(graph: Graph) -> Program:
    return assembled("main", {"main": run_pipeline(graph)[-1].graph}, "cpu", instruction_set())[0]


def outputs_on(program: Program, graph: Graph, args: list[Any], device: str,
               threads: int | None = None) -> dict[str, Any]:
    """What the graph's outputs are after one run; updates are read where they lie."""
    with runtime.load(program, device, threads) as running:
        for node, array in zip(graph.inputs, args, strict=True):
            running.write(node.attrs["label"], array, "main")
        running.run("main")
        return {name: running.read(graph.updates[name]) if name in graph.updates else
                running.read(name, "main") for name in graph.output_names}


def check(graph: Graph, *devices: tuple[str, int | None]) -> None:
    """Every device gives what the evaluator gives, and the same bits on any number of threads."""
    args = arrays_for(graph)
    program = program_of(graph)
    check_hazards(program)
    runtime.load(program, "null").close()
    found = [outputs_on(program, graph, args, *device) for device in devices]
    balls = balls_of(graph, labelled(graph, args))
    for got in found:
        assert wrong_outputs(graph, balls, got) == []
    for got in found[1:]:
        for name in got:
            np.testing.assert_array_equal(got[name], found[0][name])


# Loops in which a planted fault shows run in `make test`, the others in `make conformance`.
TELLING = (0, 1, 2, 3, 9, 10, 19, 20)


@pytest.mark.sliced
@pytest.mark.parametrize("seed", [
    s if s in TELLING else pytest.param(s, marks=pytest.mark.conformance) for s in range(24)])
def test_random_loops_in_plain_python(seed: int) -> None:
    check(LoopMaker(seed).graph(), ("interpret", None))


@pytest.mark.parametrize("seed", range(24, 27))
def test_random_loops_as_native_code(seed: int) -> None:
    check(LoopMaker(seed).graph(), ("cpu", 1), ("cpu", 2), ("cpu", 4))


@pytest.mark.parametrize("seed", range(24, 40))
def test_passes_keep_what_random_loops_mean(seed: int) -> None:
    run_pipeline(LoopMaker(seed).graph(), same_meaning)


@pytest.mark.parametrize("seed", range(40, 48))
def test_a_program_with_loops_is_the_same_after_json(seed: int) -> None:
    program = program_of(LoopMaker(seed).graph())
    assert program_from_json(program_to_json(program)) == program


def as_format_one(value: Any) -> Any:
    """The JSON of format 1: slots and buffers know nothing of loops."""
    if isinstance(value, list):
        return [as_format_one(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {"Slot": 1, "Buffer": 9}
    return {k: as_format_one(v[:fields[k]] if k in fields else v) for k, v in value.items()}


def test_a_program_of_format_one_is_read() -> None:
    def f(x: f32[5, 4], w: f32[4, 4]) -> Any:
        return dlc.tanh(x @ w).sum(0)

    program = dlc.compile(dlc.trace(f)).program
    outer = as_format_one(json.loads(program_to_json(program)))
    outer["dlc program"] = 1
    assert program_from_json(json.dumps(outer)) == program


def counter(length: int) -> Graph:
    """(carry, ys) of a loop of `length` that counts, halves and looks at its elements."""
    def step(carry: Any, x: Any) -> Any:
        total, count = carry
        new = total * 0.5 + x
        return (new, count + 1), new.sum()

    def f(x: Any, start: Any) -> Any:
        (total, count), ys = dlc.scan(step, (start, leaf.constant(0, i32[()])), x)
        return {"total": total, "count": count, "ys": ys}

    return dlc.trace(f, f32[length, 3], f32[3])


@pytest.mark.parametrize("length", [0, 1, 2, 7, 1000])
def test_loops_of_any_length(length: int) -> None:
    devices: list[tuple[str, int | None]] = [("cpu", 1), ("cpu", 2)]
    check(counter(length), *devices, *([("interpret", None)] if length < 10 else []))


def test_a_long_loop_has_a_small_program() -> None:
    """20,000 iterations: the same launches as 10, and the memory of what they read and stack."""
    short, long = program_of(counter(10)), program_of(counter(20_000))
    assert len(short.entries["main"].flat) == len(long.entries["main"].flat)
    assert abs(len(program_to_json(long)) - len(program_to_json(short))) < 200
    assert long.peak_bytes < 20_000 * 16 + 4096
    graph = counter(20_000)
    args = arrays_for(graph)
    one, two = (outputs_on(long, graph, args, "cpu", threads) for threads in (1, 2))
    want = dlc.evaluate(graph, *args)
    # an addition rounds by eps / 2, and what is halved each time sums to at most twice that: eps a
    # total, three for their sum, three for its two additions, and the evaluator errs as much
    largest = 2 * np.abs(args[0]).max() + np.abs(args[1]).max()
    allowed = 12 * np.finfo(np.float32).eps * largest
    for name, value in one.items():
        np.testing.assert_array_equal(two[name], value)
        np.testing.assert_allclose(value, want[name], rtol=0, atol=allowed)


def wide(chunks: int = 64) -> Graph:
    """A loop whose supersteps are large enough to be shared among threads."""
    def step(h: Any, x: Any) -> Any:
        new = dlc.tanh(h @ x * 0.01)
        return new, new.max()

    def f(xs: Any, h: Any) -> Any:
        last, ys = dlc.scan(step, h, xs)
        return {"last": last, "ys": ys}

    n = chunks * 4
    return dlc.trace(f, f32[5, n, n], f32[n, n])


def test_threads_share_the_supersteps_of_a_loop() -> None:
    graph = wide()
    program = program_of(graph)
    assert max(s.chunks for launch in program.entries["main"].flat for stage in launch.stages
               for s in stage) > 1
    check(graph, ("cpu", 1), ("cpu", 2), ("cpu", 4))


def test_many_steps_of_a_loop_in_one_call() -> None:
    """The pointers that a loop moves are back where they were, step after step."""
    def f(x: f32[4, 8], p: f32[8]) -> Any:
        last, ys = dlc.scan(lambda c, row: (c * 0.5 + row, c.sum()), p, x)
        return {"last": last, "ys": ys}

    graph = dlc.trace(f)
    x, p = arrays_for(graph)
    want = dlc.evaluate(graph, x, p)
    with runtime.load(program_of(graph), "cpu", 2) as running:
        report = running.run_steps([Phase("main", fixed={"x": x, "p": p})], 300)
        log = report.log["main", "ys"]
    assert report.steps == 300
    np.testing.assert_allclose(log, np.broadcast_to(want["ys"], log.shape), rtol=1e-5)
    assert (log == log[0]).all()


def test_the_branch_not_taken_does_not_run() -> None:
    def f(flag: i32[()], x: f32[6]) -> Any:
        return dlc.cond(flag > 0, lambda v: dlc.tanh(v) * 2.0, lambda v: v, x)

    graph = dlc.trace(f)
    program = program_of(graph)
    (branch,) = (s for s in program.entries["main"].launches if isinstance(s, Branch))
    # the launches of one branch made wrong: only who takes it sees it
    broken = replace(branch, then=tuple(replace(s, stages=()) for s in branch.then
                                        if not isinstance(s, Loop | Branch)))
    steps = tuple(broken if s is branch else s for s in program.entries["main"].launches)
    wrong = replace(program, entries={"main": replace(program.entries["main"], launches=steps)})
    x = np.linspace(-1, 1, 6, dtype=np.float32)
    for taken, good in ((1, False), (0, True)):
        want = dlc.evaluate(graph, np.int32(taken), x)
        with runtime.load(wrong, "cpu", 1) as running:
            running.write("flag", np.int32(taken), "main")
            running.write("x", x, "main")
            running.run("main")
            got = running.read(graph.output_names[0], "main")
        assert np.allclose(got, want, rtol=1e-5) is good


def test_a_profile_adds_up_iterations() -> None:
    """A launch that runs 2000 times takes longer than one that runs once."""
    def f(x: f32[2000, 64], p: f32[64]) -> Any:
        last, _ = dlc.scan(lambda c, row: (dlc.tanh(c * 0.5 + row), None), p, x)
        return dlc.exp(last)

    program = program_of(dlc.trace(f))
    entry = program.entries["main"]
    with runtime.load(program, "cpu", 1) as running:
        times = running.profile("main", 5)
    assert len(times) == len(entry.flat) == len(entry.runs)
    looped = [t for t, n in zip(times, entry.runs, strict=True) if n == 2000]
    single = [t for t, n in zip(times, entry.runs, strict=True) if n == 1]
    assert sum(looped) > 10 * max(single)


def test_runs_after_a_profile_give_the_same() -> None:
    graph = LoopMaker(3).graph()
    args = arrays_for(graph)
    program = program_of(graph)
    with runtime.load(program, "cpu", 2) as running:
        for measure in (lambda: running.profile("main", 2), lambda: running.run("main")):
            for node, array in zip(graph.inputs, args, strict=True):
                running.write(node.attrs["label"], array, "main")
            measure()
        got = {n: running.read(n, "main") for n in graph.output_names if n not in graph.updates}
    want = dlc.evaluate(graph, *args)
    for name, array in got.items():
        np.testing.assert_allclose(array, want[name], rtol=2e-4, atol=2e-5)


# --- what the runtime refuses -----------------------------------------------------------------


def loop_program() -> Program:
    return program_of(counter(7))


def change_loop(program: Program, change: Callable[[Loop], Loop]) -> Program:
    entry = program.entries["main"]
    steps = tuple(change(s) if isinstance(s, Loop) else s for s in entry.launches)
    return replace(program, entries={"main": replace(entry, launches=steps)})


def move_slots(loop: Loop, change: Callable[[Slot], Slot]) -> Loop:
    launches = []
    for launch in loop.launches:
        assert not isinstance(launch, Loop | Branch)
        stages = tuple(tuple(replace(s, args=tuple(
            change(a) if isinstance(a, Slot) and a.moves else a for a in s.args)) for s in stage)
            for stage in launch.stages)
        launches.append(replace(launch, stages=stages))
    return replace(loop, launches=tuple(launches))


@pytest.mark.parametrize("change,message", [
    (lambda loop: replace(loop, count=-1), "runs -1 times"),
    (lambda loop: replace(loop, count=16), "which is not a buffer"),
    (lambda loop: replace(loop, count=10**6), "of an arena of"),
    (lambda loop: move_slots(loop, lambda s: replace(s, strides=(8, 0), swaps=())),
     "are around it"),
    (lambda loop: move_slots(loop, lambda s: replace(s, strides=(8,), swaps=())),
     "no buffer says how large"),
    (lambda loop: move_slots(loop, lambda s: replace(s, strides=(0, 64))), "are around it"),
    (lambda loop: move_slots(loop, lambda s: replace(s, strides=(-10**6,))), "of an arena of"),
], ids=["count", "one more", "many more", "two loops", "stride", "depth", "before the arena"])
def test_pointers_that_leave_their_buffer_are_refused(change: Any, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        check_program(change_loop(loop_program(), change))


def test_a_loop_without_a_barrier_inside_is_seen() -> None:
    def drop(loop: Loop) -> Loop:
        return replace(loop, launches=tuple(
            replace(s, barrier=False) if not isinstance(s, Loop | Branch) else s
            for s in loop.launches))

    graph = wide(8)
    program = program_of(graph)
    check_hazards(program)
    loops = [s for s in program.entries["main"].launches if isinstance(s, Loop)]
    assert any(launch.barrier for launch in loops[0].launches if not isinstance(
        launch, Loop | Branch))
    with pytest.raises(ProgramError, match="no barrier stands between"):
        check_hazards(change_loop(program, drop))


def test_where_slots_stand() -> None:
    slot = Slot(100, (10, -4), (0, 2))
    assert place(slot, (3, 2)) == 100 + 30 - 8
    assert place(slot, (3, 3)) == 100 + 30 - 12 + 2
    assert sweep(slot, (4, 4)) == (100 - 12, 100 + 30 + 2)
    assert sorted(s.offset for s in stands(slot, (4, 4))) == [100, 102]


@pytest.mark.parametrize("a,b,counts,meet", [
    (Slot(0), Slot(63), (), True),
    (Slot(0), Slot(64), (), False),
    (Slot(0, (64,)), Slot(64, (64,)), (9,), False),  # a row and the next one: never at one time
    (Slot(0, (64,)), Slot(64, (128,)), (9,), True),
    (Slot(0, (64,)), Slot(640), (10,), False),
    (Slot(0, (64,)), Slot(639), (10,), True),
    (Slot(0, (), (64,)), Slot(64, (), (-64,)), (9,), False),  # two places in turn
    (Slot(0, (), (64,)), Slot(64), (9,), True),
    (Slot(0, (), (64,)), Slot(64), (1,), False),
])
def test_whether_moving_buffers_meet(a: Slot, b: Slot, counts: tuple[int, ...],
                                     meet: bool) -> None:
    assert may_meet(a, 64, b, 1 if b.offset in (63, 639) else 64, counts) is meet
    assert may_meet(b, 1 if b.offset in (63, 639) else 64, a, 64, counts) is meet
