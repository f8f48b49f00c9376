"""Random programs (tests/fuzzing) compiled for CUDA and emulated, their threads in any order.

    python -m tests.cuda.fuzzed --seed 1000 --count 200
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from dlc import runtime
from dlc.backend.assemble import assembled
from dlc.backend.cuda import jam
from dlc.backend.cuda.machine import CUDA
from dlc.checks import static
from dlc.ir.graph import Graph
from dlc.passes import run_pipeline
from dlc.passes.check import structure
from tests.fuzzing.building import SMALL_FUSION, Built, pipeline_at
from tests.fuzzing.programs import EACH, STEPS, share
from tests.fuzzing.run import Setting

# a small program reaches long reductions in parts, and runs of sums
LIMITS = replace(CUDA.limits, in_parts=64, loop_chunks=64, chunk_elements=32, parts=7, run=8)


@dataclass(frozen=True)
class OnCuda(Setting):
    """Programs for CUDA: what its blocks and threads do, on the CPU. Every kernel passes the
    checkers of regions, positions and bounds."""

    def together(self, graphs: Sequence[Graph]) -> Built:
        steps = pipeline_at(SMALL_FUSION)
        records = {g.name: run_pipeline(g, structure, steps) for g in graphs}
        done = {name: found[-1].graph for name, found in records.items()}
        limits = LIMITS if self.small else CUDA.limits
        program, drafts = assembled("fuzzed", done, "cuda", "cuda", limits=limits)
        static.check_assembled(program, drafts)
        return Built(program, records)

    def load(self, built: Built) -> list[Any]:
        return [runtime.load(built.program, "emulate", 1),
                runtime.load(built.program, "shuffle", 2)]


def blocks(seeds: Sequence[int]) -> dict[int, list[str]]:
    """What is wrong with the programs of some seeds, by seed."""
    setting = OnCuda(steps=STEPS["cpu"], sizes=(300, 600, 2000))
    found: dict[int, list[str]] = {}
    with mock.patch.object(jam, "LEAST_THREADS", 4):
        for first in range(0, len(seeds), EACH):
            found |= share(seeds[first:first + EACH], setting).wrong
    return found


def main() -> int:
    """Run some seeds, and print what is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    found = blocks(range(options.seed, options.seed + options.count))
    for seed, problems in found.items():
        print(seed, *problems, sep="\n  ")
    print(f"{options.count} programs from seed {options.seed}, {len(found)} wrong")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
