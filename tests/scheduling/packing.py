"""What packing costs in a training step: launches that pack, and those of them that pack weights.

    DLC_CPU=avx2 python -m tests.scheduling.packing [NETWORK ...]      on a machine left alone
"""

from __future__ import annotations

import sys

import dlc
from dlc.program import Launch, Program, Slot
from tests.scheduling.networks import NETWORKS


def packs_a_weight(launch: Launch, program: Program) -> bool:
    """Whether a launch reads a parameter or state where it lies."""
    kept = {port.offset for port in program.persistent}
    return any(isinstance(a, Slot) and a.offset in kept
               for stage in launch.stages for segment in stage for a in segment.args)


def row(name: str, repeat: int = 9) -> str:
    """Milliseconds of a step on one thread, of its launches that pack, of those of weights."""
    compiled = dlc.compile(NETWORKS[name]())
    program = compiled.program
    with compiled.load(threads=1) as running:
        times = running.profile("train", repeat)
    packing = [(launch, t) for launch, t in zip(program.entries["train"].flat, times, strict=True)
               if launch.name.startswith("pack")]
    weights = [t for launch, t in packing if packs_a_weight(launch, program)]
    return "".join(f"{1e3 * sum(column):12.2f}" for column in (
        times, [t for _, t in packing], weights)) + f"  {name}"


if __name__ == "__main__":
    print(f"{'step':>12}{'packing':>12}{'of weights':>12}")
    for network in sys.argv[1:] or NETWORKS:
        print(row(network))
