"""What only a GPU can tell: whether results there agree with the evaluator, how long steps take.

    tests/gpu/run.sh [--device emulate]

Prints each disagreement and a table, and exits with 1 when there was one. `--device emulate` runs
the same on the CPU, to see that the script itself works.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

import dlc
from dlc.cli.source import load_task
from dlc.runtime.steps import Phase
from tests.cuda.cases import Case, cases
from tests.ops.test_backend import TOLERANCE, compare

NETWORKS = ("mlp", "lenet", "lstm", "gru", "vae")
STEPS = 20


def disagreement(case: Case, device: str) -> str:
    """How a program differs from what it means; "" where it does not."""
    graph, arrays = case.make()
    try:
        with dlc.compile(graph, target="cuda").load(device) as program:
            found: Any = program(*arrays)
        expected: Any = dlc.evaluate(graph, *arrays)
        for name, node in zip(graph.output_names, graph.outputs, strict=True):
            alone = len(graph.outputs) == 1
            got, want = (np.asarray(a if alone else a[name]) for a in (found, expected))
            compare(got, want, TOLERANCE.get(node.dtype.name), name)
    except Exception as error:  # a driver's too: the others still run
        return f"{type(error).__name__}: {error}"[:300]
    return ""


def step_ms(name: str, device: str) -> float:
    """Milliseconds of a training step: the fastest of three times STEPS, batches fed by Python."""
    compiled = dlc.compile(load_task(name), target="cuda")
    entry = next(e for e in compiled.program.entries if e.startswith("train"))
    ports = [p for p in compiled.program.entries[entry].inputs if p.role == "data"]
    made = np.random.default_rng(0)
    feeds = {p.name: made.random((256, *map(int, p.type.shape[1:]))).astype(p.type.dtype.numpy)
             for p in ports}
    index = made.integers(0, 256, (STEPS, int(ports[0].type.shape[0])))
    with compiled.load(device) as loaded:
        times = [loaded.running.run_steps([Phase(entry, feeds=feeds, index=index)], STEPS).seconds
                 for _ in range(3)]
    return 1e3 * min(times) / STEPS


def main(arguments: Sequence[str] | None = None, programs: Sequence[Case] | None = None,
         networks: Sequence[str] = NETWORKS) -> int:
    """Run all, print what differs and the table; 1 when something differed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda", choices=("cuda", "emulate"))
    device = parser.parse_args(arguments).device
    began, wrong = time.perf_counter(), 0
    programs = cases() if programs is None else programs
    for case in programs:
        told = disagreement(case, device)
        wrong += bool(told)
        if told:
            print(f"{case.name}: {told}", flush=True)
    print(f"{len(programs)} programs on {device}, {wrong} disagree with the evaluator, "
          f"{time.perf_counter() - began:.0f} s")
    for name in networks:
        print(f"{name:10} {step_ms(name, device):9.3f} ms a step", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
