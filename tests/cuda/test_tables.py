"""What four networks launch on CUDA, as golden texts: launches and how often they run, blocks and
threads, arithmetic, bytes moved, and where values lie. `--update-golden` writes them anew.

The counts are a gate: a change of the compiler that launches or moves more has to say so.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

import dlc
from dlc.backend.cuda.cost import costs
from dlc.cli.show_cost import shapes
from dlc.cli.source import load_task
from dlc.program import Entry, Program

pytestmark = pytest.mark.cuda
NETWORKS = ("lenet", "lstm", "gpt", "resnet")


@pytest.mark.parametrize("name", NETWORKS)
def test_launches_and_memory(name: str, golden: Callable[[str, str], None]) -> None:
    program = dlc.compile(load_task(name), "cuda").program
    entry = program.entries["train"]
    # the list of resnet's values would be longer than all other lines together
    values = memory(program)[:1 if name == "resnet" else None]
    golden(f"cuda/{name}.txt", "\n".join([*launches(program, entry), *values, ""]))


def launches(program: Program, entry: Entry) -> list[str]:
    """A line for each launch, the totals first."""
    every = costs(entry)
    lines = [f"{sum(c.times for c in every)} launches, "
             f"{sum(c.times * c.launch.flops for c in every)} flops, "
             f"{sum(c.times * c.launch.bytes for c in every)} bytes"]
    return lines + [f"{c.number:3} {c.times:4} x {c.launch.flops:>10} flops {c.launch.bytes:>9} B  "
                    f"{c.launch.name} ({shapes(program, c)})" for c in every]


def memory(program: Program) -> list[str]:
    """A line for each value that an entry keeps for itself, by its place."""
    lines = [f"arena {program.arena_bytes} bytes"]
    found = {(b.offset, b.bytes, b.name) for b in program.buffers}
    return lines + [f"{offset:>10} {size:>9} {name}" for offset, size, name in sorted(found)]
