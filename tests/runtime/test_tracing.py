"""Traced runs: every chunk is noted once, by the thread that ran it, and no result is another."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, nn, runtime
from dlc.program import Program
from dlc.runtime.compile.runner import OPENED_NEXT, STEP_ENDED, WAITED
from dlc.runtime.cpu import tracing
from dlc.runtime.cpu.program import CpuProgram
from dlc.runtime.cpu.tracing import WAITING, Logs, Span, TracedStep, seconds_of

REPEAT = 4


def step(x: f32[256, 96], w: f32[96, 96], p: f32[96]) -> Any:
    last, _ = dlc.scan(lambda c, row: (dlc.tanh(c * 0.5 + row), None), p, x)
    return nn.softmax(dlc.tanh(x @ w) @ w, axis=1).sum(0) + last


@pytest.fixture(scope="module")
def program() -> Program:
    return dlc.compile(step).program


def given(running: Any) -> None:
    rng = np.random.default_rng(3)
    for port in running.program.entries["main"].inputs:
        running.write(port.name, rng.normal(size=port.type.shape).astype(np.float32), "main")


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_chunk_is_noted_once(program: Program, threads: int,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Logs] = []
    read = Logs.read
    monkeypatch.setattr(Logs, "read", lambda logs: kept.append(logs) or read(logs))
    with CpuProgram(program, threads) as running:
        given(running)
        running.shortest("main", REPEAT + 1)  # as often: a run may overwrite its inputs
        want = {p.name: running.read(p.name, "main") for p in program.entries["main"].outputs}
        given(running)
        steps = running.trace("main", REPEAT)
        for name, value in want.items():
            assert (running.read(name, "main") == value).all(), "the same bits"
    entry = program.entries["main"]
    events = np.concatenate([kept[0].of_thread(row) for row in kept[0].memory])
    rows = Counter(events[events[:, 0] >= 0, 0].tolist())
    for row, launch in enumerate(kept[0].owners[1:], 1):
        assert rows[row] % (REPEAT + 1) == 0 and rows[row] >= (REPEAT + 1) * entry.runs[launch]
    assert set(events[:, 0]) - set(rows) <= {WAITED, STEP_ENDED, OPENED_NEXT}
    assert len(steps) == REPEAT, "the first step is left out"
    for each in steps:
        check_step(each, threads, len(entry.flat))


def check_step(found: TracedStep, threads: int, launches: int) -> None:
    """Threads do one thing at a time, every launch runs, and shares add up to the step."""
    assert {s.launch for s in found.spans} - {WAITING} == set(range(launches))
    for thread in range(threads):
        mine = [s for s in found.spans if s.thread == thread]
        assert all(0 <= s.begin <= s.end <= found.seconds + 1e-9 for s in mine)
        assert all(a.end <= b.begin + 1e-12 for a, b in pairwise(mine))
    shares = found.shares(launches)
    assert (shares > 0).all() and shares.sum() == pytest.approx(found.seconds, rel=1e-9)


def test_shares_of_a_moment() -> None:
    """Two threads on two launches share it; a moment in which nobody runs is the next launch's."""
    found = TracedStep(10.0, (Span(0, 0, 1.0, 5.0), Span(1, 1, 3.0, 5.0),
                              Span(1, WAITING, 5.0, 9.0), Span(0, 2, 6.0, 9.0)), ())
    assert found.shares(3).tolist() == [1 + 2 + 1, 1, 1 + 3 + 1]
    slow = TracedStep(20.0, (Span(0, 0, 0.0, 20.0),), ())
    assert seconds_of([slow, found], 3) == [4, 1, 5], "what was interrupted does not count"


def test_a_log_that_is_full_tells_fewer_steps(program: Program,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "LARGEST", 1 << 17)
    with runtime.load(program, "cpu", 2) as running:
        given(running)
        assert len(running.trace("main", 50)) < 50
