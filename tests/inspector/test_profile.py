"""dlc profile: tables, totals and a trace. Nothing here depends on how long anything takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import dlc
from dlc.cli import main
from dlc.inspector.profile import ceilings, first_rows, profile
from dlc.models.xor import xor


def test_tables_and_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every launch is in both; the trace is in the format that Perfetto reads."""
    out = tmp_path / "trace.json"
    assert main(["profile", "xor", "--repeat", "2", "--all", "--trace", str(out)]) == 0
    told = capsys.readouterr().out
    events = json.loads(out.read_text())["traceEvents"]
    spans = [e for e in events if e["ph"] == "X"]
    launches = [e for e in spans if e["cat"] == "launch"]
    assert launches and all(e["dur"] >= 0 for e in spans)
    assert [e["ts"] for e in spans] == sorted(e["ts"] for e in spans)
    for e in launches:
        assert f"{e['name']:30.30}".rstrip() in told and e["args"]["lines"]
    tracks = {e["tid"] for e in events if e["name"] == "thread_name"}
    assert {e["tid"] for e in spans} <= tracks and "thread 0: busy" in told
    assert "tracing costs" in told and "ceilings measured here" in told and "models/xor.py:" in told


def test_time_of_lines_adds_up_and_the_state_is_as_before() -> None:
    """Sums over lines are the step that was measured, within 3 %."""
    compiled = dlc.compile(xor)
    found = profile(compiled, xor, 2)
    (entry,) = found.inspection(compiled).steps()
    assert entry.seconds is not None and len(found.seconds["train"]) == len(entry.launches)
    assert sum(x.seconds or 0.0 for x in entry.lines) == pytest.approx(entry.seconds, rel=1e-9)
    whole = entry.timeline["seconds"]
    assert whole <= entry.seconds <= 1.03 * whole * (1 + 1e-9), "the shortest step, and those near"
    assert found.plain["train"] > 0 and len(entry.timeline["busy"]) == found.machine["threads"]
    assert set(found.machine) == {"flops", "bytes", "threads"}


def test_rows_of_data_fill_a_batch() -> None:
    """From the start again where there are too few; random numbers where the shape does not fit."""
    import numpy as np

    graph = dlc.compile(xor).source.graphs["train"]
    node = next(i for i in graph.inputs if i.attrs["label"] == "x")
    rows = np.arange(6, dtype=np.float64).reshape(3, 2)
    taken = first_rows(rows, node, 0)
    assert taken.dtype == np.float32 and taken.shape == (4, 2)
    assert (taken[3] == rows[0]).all()
    assert first_rows(np.zeros((3, 5)), node, 0).shape == (4, 2)


def test_ceilings_are_of_this_machine() -> None:
    assert all(value > 0 for value in ceilings().values())
