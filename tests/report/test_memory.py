"""What the report says of memory: never more alive than the arena holds."""

from __future__ import annotations

from dlc.ir.types import f32
from dlc.program import Buffer, Entry, Launch, Program
from dlc.runtime.report.memory import live_bytes


def test_values_written_in_place_count_once() -> None:
    """`y` is written where `x` lies, from the second launch on."""
    launches = (Launch("a", ()), Launch("b", ()), Launch("c", ()))
    buffers = (
        Buffer("w", f32[16], 0, 64, "parameter", "train", -1, 3),
        Buffer("x", f32[32], 64, 128, "activation", "train", 0, 2),
        Buffer("y", f32[32], 64, 128, "output", "train", 1, 2),
        Buffer("t", f32[16], 192, 64, "workspace", "train", 1, 1),
    )
    program = Program("p", "cpu", {"train": Entry("train", launches, (), ())}, (), 256,
                      buffers=buffers)
    table = live_bytes(program, "train")
    totals = [sum(column) for column in zip(*table.values(), strict=True)]
    assert totals == [192, 256, 192]
    assert table["parameter"] == [64, 64, 64] and table["workspace"] == [0, 64, 0]
