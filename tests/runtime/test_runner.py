"""The runner: every chunk once, barriers where asked, the same as its text in plain Python."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dlc.ir.types import f32, i64
from dlc.program import Entry, Kernel, Launch, Port, Program, Segment, Slot
from dlc.runtime.compile.runner import COPY_ROWS, DONE, REASON, RUNNER
from dlc.runtime.cpu.program import CpuProgram
from dlc.runtime.cpu.table import Table, address_of
from dlc.runtime.cpu.threads import NATIVE
from dlc.runtime.reference.interpret import kernel_function
from dlc.runtime.steps import Phase
from tests.runtime.programs import COUNT, count_program, place, pointer, scalar

STAGES = [[1], [7, 1, 3], [0, 5], [16], [2, 2, 2, 2], [64]]


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 7])
def test_every_chunk_runs_once_a_step(threads: int) -> None:
    with CpuProgram(count_program(STAGES), threads) as loaded:
        report = loaded.run_steps([Phase("run")], 500)
        cells = loaded.read("cells")
    expected, at = np.zeros_like(cells), 0
    for chunks in (c for stage in STAGES for c in stage):
        expected[at:at + 8 * chunks:8] = 500
        at += 8 * max(chunks, 1)
    assert (report.steps, report.reason) == (500, "done")
    assert np.array_equal(cells, expected)


ADD = Kernel("add_left", (pointer("out", "i64", True), pointer("x", "i64"), scalar("n")),
             '''def add_left(out, x, n, chunk):
    """element `chunk`: the sum of all x, so it needs every earlier chunk done"""
    total = i64(1)
    for i in range(n):
        total += x[i]
    out[chunk] = imod(total, 1000003)
''')


def relay_program(stages: int, barrier: bool = True) -> Program:
    """Stages that each need all of the one before: wrong as soon as a barrier is dropped."""
    n = 16
    (a, b), total = place([8 * n, 8 * n])
    launches = tuple(
        Launch("add", ((Segment(0, (Slot(b if i % 2 else a), Slot(a if i % 2 else b), n), n),),),
               barrier=barrier) for i in range(stages))
    return Program("relay", "cpu", {"run": Entry("run", launches, (), ())}, (ADD,), total,
                   (Port("a", i64[n], a), Port("b", i64[n], b)))


def relay(stages: int, steps: int) -> np.ndarray[Any, Any]:
    """What relay_program computes, in NumPy."""
    a = b = np.zeros(16, np.int64)
    for _ in range(steps):
        for i in range(stages):
            if i % 2:
                b = np.full(16, (1 + a.sum()) % 1000003)
            else:
                a = np.full(16, (1 + b.sum()) % 1000003)
    return np.stack([a, b])


@pytest.mark.parametrize("threads", [2, 4])
def test_barriers_order_the_stages(threads: int) -> None:
    with CpuProgram(relay_program(8), threads) as loaded:
        loaded.run_steps([Phase("run")], 200)
        got = np.stack([loaded.read("a"), loaded.read("b")])
    assert np.array_equal(got, relay(8, 200))


def test_launches_without_a_barrier_are_not_ordered() -> None:
    """The counterpart: with its barriers dropped the relay goes wrong, so the test above counts."""
    program = relay_program(400, barrier=False)
    expected = relay(400, 1)
    for _ in range(200):
        with CpuProgram(program, 2) as loaded:
            loaded.run("run")
            if not np.array_equal(np.stack([loaded.read("a"), loaded.read("b")]), expected):
                return
    pytest.fail("400 launches without barriers ran in order 200 times")


def test_a_stage_after_skipped_rows_starts_clean() -> None:
    """Phases that rarely run leave no counters behind for the steps between."""
    program = count_program([[5], [3]])
    other = replace(program.entries["run"], name="rare")
    program = replace(program, entries={**program.entries, "rare": other})
    with CpuProgram(program, 3) as loaded:
        loaded.run_steps([Phase("run", every=2), Phase("rare", every=3, offset=1)], 60)
        assert loaded.read("cells")[:40:8].tolist() == [50] * 5


def test_threads_that_outnumber_cores_do_not_collapse() -> None:
    with CpuProgram(count_program([[8]] * 10), 16) as loaded:
        report = loaded.run_steps([Phase("run")], 50)
    assert report.seconds < 20  # pure spinning takes milliseconds a barrier: minutes


def test_the_text_of_the_runner_runs_in_plain_python() -> None:
    """One thread of it, on real memory, calling a function made of Python."""
    calls: list[tuple[int, int]] = []

    def note(arguments: int, chunk: int) -> None:
        calls.append((ctypes.c_int64.from_address(arguments).value, chunk))
    function = NATIVE(note)
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    table = Table(1)
    table.add(address, [11], 3, barrier=False)
    table.begin_when(every=2, offset=1)
    table.add(address, [22], 2, barrier=True)
    table.end_when()
    table.finish().rewind(steps=3, first_step=4, spins=10)
    kernel_function(RUNNER)(table.control_address, 0)
    first, second = [(11, 0), (11, 1), (11, 2)], [(22, 0), (22, 1)]
    assert calls == [*first, *first, *second, *first]
    assert (table.control[DONE], table.control[REASON]) == (3, 0)


def test_the_text_of_the_copy_runs_in_plain_python() -> None:
    table = Table(1).finish()
    table.rewind(10, 7, 0)
    source = np.arange(40, dtype=np.uint8)
    target = np.zeros(30, np.uint8)
    index = np.array([3, 1, 0, 9, 8, 7], np.int64)
    kernel_function(COPY_ROWS)(target, source, index, table.control_address,
                               2, 1, 2, 4, 3, 2, 12, 3, 1)
    # run 1 takes rows 9, 8, 7; its chunk 1 is the last of them
    assert target[12 + 8:24].tolist() == [28, 29, 30, 31]
    assert not target[:20].any()


def test_equal_names_do_not_collide() -> None:
    first = replace(COUNT, text=COUNT.text.replace("+ 1", "+ 10"))
    program = count_program([[1], [1]])
    launch = program.entries["run"].launches[1]
    changed = replace(launch, stages=((replace(launch.stages[0][0], kernel=1),),))
    entry = replace(program.entries["run"], launches=(program.entries["run"].launches[0], changed))
    program = replace(program, kernels=(COUNT, first), entries={"run": entry})
    with CpuProgram(program, 1) as loaded:
        loaded.run("run")
        assert loaded.read("cells")[::8].tolist() == [1, 10]


def test_addresses_are_those_of_the_arena() -> None:
    values = np.zeros(3, np.float32)
    assert address_of(values) == values.ctypes.data
    assert f32.bytes == 4
