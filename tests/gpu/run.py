"""What only a GPU can tell: whether results there agree with the evaluator, how long steps take,
and how near kernels come to the floor of their bytes and arithmetic (`dlc show --cost`).

    tests/gpu/run.sh [--device emulate]

Prints each disagreement and a table, and exits with 1 when there was one. `--device emulate` runs
the same on the CPU, to see that the script itself works.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import dlc
from dlc import f32, nn
from dlc.backend.cuda.cost import costs, floor, peaks
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


def product(x: f32[4096, 4096], y: f32[4096, 4096]) -> Any:
    """Tiles of 128 x 64."""
    return x @ y


def images(x: f32[256, 64, 32, 32], w: f32[64, 64, 3, 3]) -> Any:
    """A convolution of resnet18."""
    return dlc.conv(x, w, padding=1)


def narrow(x: f32[65536, 48], y: f32[65536, 32]) -> Any:
    """A long sum in parts."""
    return x.T @ y


def elements(x: f32[8192, 8192], y: f32[8192, 8192]) -> Any:
    """Four elements to an access."""
    return dlc.exp(x) * y


def turned(x: f32[8192, 8192]) -> Any:
    """A transpose through shared memory."""
    return x.T * 2.0


def rows(x: f32[8192, 4096]) -> Any:
    """A block for each row."""
    return nn.softmax(x)


def columns(x: f32[65536, 512]) -> Any:
    """Sums of columns, in parts."""
    return x.sum(axis=0)


def planes(x: f32[256, 64, 32, 32]) -> Any:
    """Sums over the outer and the inner axes, as batch normalization takes them."""
    return x.mean(axis=(0, 2, 3))


KERNELS = (product, images, narrow, elements, turned, rows, columns, planes)


def kernel_line(function: Callable[..., Any], device: str) -> str:
    """The time of a run beside the floor of an H200, and the rates that it reaches."""
    compiled = dlc.compile(function, target="cuda")
    entry = compiled.program.entries["main"]
    every = costs(entry)
    moved, done = (sum(c.times * n for c, n in zip(every, of, strict=True)) for of in (
        [c.launch.bytes for c in every], [c.launch.flops for c in every]))
    with compiled.load(device) as loaded:
        took = run_ms(loaded.running, STEPS)
    least = 1e3 * floor(entry.launches, peaks()["h200"])
    return (f"{function.__name__:10} {took:9.3f} ms, {1e-6 * moved / took:8.1f} GB/s, "
            f"{1e-9 * done / took:7.2f} Tflop/s, {took / least:6.1f} times the floor of an H200")


def run_ms(running: Any, runs: int) -> float:
    """Milliseconds of a run: the fastest of three times `runs`, which wait once at the end."""
    times = []
    for _ in range(4):  # the first one captures the graph and warms up
        began = time.perf_counter()
        for _ in range(runs):
            running.run("main")
        if hasattr(running, "driver"):
            running.driver.wait()
        times.append(1e3 * (time.perf_counter() - began) / runs)
    return min(times[1:])


def main(arguments: Sequence[str] | None = None, programs: Sequence[Case] | None = None,
         networks: Sequence[str] = NETWORKS, kernels: Sequence[Any] = KERNELS) -> int:
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
    for function in kernels:
        print(kernel_line(function, device), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
