"""Every bundled network: what its lines cost adds up to what its Program costs, and every node,
launch and value has lines. A few in every run, the others on their day in `make conformance`."""

from __future__ import annotations

import pytest

import dlc
from dlc.inspector.gather import inspect
from dlc.task.task import Task
from tests.inspector.test_inspection import UNLAUNCHED
from tests.test_provenance import BATCH, MODULES, tasks_of

TASKS: dict[str, Task] = {task.name: task for module in MODULES for task in tasks_of(module)}


@pytest.mark.swept(40)
@pytest.mark.parametrize("name", sorted(TASKS))
def test_totals_and_lines(name: str) -> None:
    """Of all entries: flops and bytes with the rounds of loops, the arena at its fullest; nodes
    without a line: 0, before fusion and in every launch."""
    compiled = dlc.compile(TASKS[name], batch=BATCH)
    found = inspect(compiled)
    assert all(row.places for row in found.rows)
    for entry in found.entries:
        made = compiled.program.entries[entry.name]
        work = [sum(n * getattr(x, cost) for n, x in zip(made.runs, made.flat, strict=True))
                for cost in ("flops", "bytes")]
        assert [sum(x.flops for x in entry.lines), sum(x.bytes for x in entry.lines)] == work
        assert all(x.place >= 0 for x in entry.lines)
        assert sum(s.bytes for s in entry.peak) == compiled.peak_bytes
        assert all(s.place >= 0 for s in entry.peak if s.category != "free")
        assert all(x.places and x.kernels for x in entry.launches)
        stage = next(s for s in entry.stages if s.name == "separate")
        asked = {r for f in stage.functions for r in f.rows if found.rows[r].op not in UNLAUNCHED}
        assert asked <= {r for x in entry.launches for r in x.nodes}
