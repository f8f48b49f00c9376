"""dlc's side of the benchmark: what it asks of a loaded program, and what it reports of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from dlc.ir.types import f32, i32, u32
from dlc.program import Entry, Launch, Port, Program
from dlc.runtime.bench import own
from dlc.runtime.bench.systems import BenchError
from dlc.runtime.steps import Phase, StepReport

ENTRY = Entry(
    "train",
    launches=(Launch("a", (), flops=70, bytes=30), Launch("b", (), flops=5, bytes=900)),
    inputs=(
        Port("image", f32[4, 3], 0), Port("label", i32[4], 64),
        Port("step", i32[()], 128, "step"), Port("seed", u32[()], 132, "seed"),
    ),
    outputs=(Port("loss", f32[()], 136),),
)
PROGRAM = Program(
    "tiny", "cpu", {"train": ENTRY}, (), 4096,
    persistent=(Port("w", f32[3, 2], 256, "param"), Port("m", f32[3, 2], 512, "state")),
)


class Recorder:
    """Stands where a loaded program does: keeps what it is told, ends as it is told to."""

    program = PROGRAM

    def __init__(self, reason: Any = "done") -> None:
        self.reason = reason
        self.written: dict[str, np.ndarray[Any, Any]] = {}
        self.calls: list[tuple[Phase, int, int]] = []

    def write(self, name: str, value: np.ndarray[Any, Any]) -> None:
        self.written[name] = value

    def run_steps(self, phases: Sequence[Phase], steps: int, first_step: int) -> StepReport:
        self.calls.append((phases[0], steps, first_step))
        loss = np.arange(first_step, first_step + steps, dtype=np.float32)
        return StepReport(steps, self.reason, {("train", "loss"): loss}, 0.1)


def test_network_reports_parameters_batch_and_launches() -> None:
    """Optimizer state is not a parameter, and every launch counts for the floor."""
    loaded: Any = Recorder()
    initial = {"w": np.ones((3, 2), np.float32)}
    found = own.network(loaded, initial)
    assert (found.parameters, found.batch) == (6, 4)
    assert found.launches == ((70, 30), (5, 900))
    assert loaded.written == initial


def test_steps_go_on_where_the_last_call_ended() -> None:
    """n steps are one native call on one batch; step numbers never repeat."""
    loaded: Any = Recorder()
    steps = own.network(loaded, {}).steps
    assert steps(1) == 0.0 and steps(5) == 5.0
    (first, _, zero), (phase, count, start) = loaded.calls
    assert (zero, count, start) == (0, 5, 1)
    assert first.feeds["image"] is phase.feeds["image"]
    assert phase.feeds["image"].shape == (4, 3) and phase.feeds["image"].dtype == np.float32
    assert set(phase.feeds["label"].tolist()) <= {0, 1}
    assert phase.index is not None and phase.index.tolist() == [[0, 1, 2, 3]] * 5
    assert phase.fixed == {"seed": np.uint32(0)}


def test_a_batch_and_weights_that_are_given() -> None:
    """The batch in the order of the inputs, class numbers in their dtype; a matrix transposed."""
    loaded: Any = Recorder()
    image, label = np.ones((4, 3), np.float32), np.array([7, 0, 9, 3], np.int64)
    own.network(loaded, {}, [image, label]).steps(1)
    feeds = loaded.calls[0][0].feeds
    assert feeds["image"] is image and feeds["label"].dtype == np.int32
    assert feeds["label"].tolist() == [7, 0, 9, 3]
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    types = {"w": f32[3, 2]}
    assert np.array_equal(own.started(types, [value])["w"], value.T)
    with pytest.raises(BenchError, match=r"w is \[3, 2\] in dlc, and its peer \[2, 3\]"):
        own.started(types, [value.T])


def test_a_step_that_does_not_finish_is_an_error() -> None:
    loaded: Any = Recorder("fault")
    with pytest.raises(ArithmeticError, match="train stopped at step 2: fault"):
        own.network(loaded, {}).steps(2)
