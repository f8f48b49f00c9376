"""One system in its own process: builds a network, then runs steps on request.

Run by its path, `python -P worker.py SYSTEM MODEL --threads N --batch B [--predict]`, so that a
peer's process imports nothing of dlc; dlc's own process calls `serve` itself. Requests are lines on
standard input, answers JSON lines on standard output:

    (start)     {"event": "first", "loss": 2.3, "parameters": 61706, "batch": 128, ...}
    steps 200   {"event": "steps", "seconds": 0.31, "loss": 1.9, "rss_mib": 182.1}
    (end)       the process ends with its input
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

PEERS = {"torch-eager": "peers_torch", "torch-compile": "peers_torch", "jax": "peers_jax",
         "onnxruntime": "peers_onnx"}


@dataclass(frozen=True)
class Network:
    """A step ready to run. `steps(n)` runs n of them and returns the last loss or, of predictions,
    the mean size of what the last one gave.

    `launches` is (flops, bytes) of every launch of a step, where the system knows them.
    """

    steps: Callable[[int], float]
    parameters: int
    batch: int
    version: str
    launches: tuple[tuple[int, int], ...] = ()


def peak_rss_mib() -> float:
    """Most memory this process has held, in MiB.

    Linux keeps it per address space as VmHWM; ru_maxrss there also counts the parent's pages that
    were mapped before exec.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def keep_to_cores(threads: int) -> None:
    """Run on the first `threads` of the cores this process may use: the same for every system."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(cores[:threads]))


def serve(build: Callable[[], Network]) -> None:
    """Build a network, run its first step, then answer requests until standard input ends.

    Standard output is kept for answers; whatever a library prints goes to standard error.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    network = build()
    loss = network.steps(1)
    answer(event="first", loss=loss, parameters=network.parameters, batch=network.batch,
           version=network.version, launches=network.launches)
    for request in sys.stdin:
        word, count = request.split()
        if word != "steps":
            raise ValueError(f"unknown request {request!r}; there is `steps N`")
        start = time.perf_counter()
        loss = network.steps(int(count))
        seconds = time.perf_counter() - start
        answer(event="steps", seconds=seconds, loss=loss, rss_mib=peak_rss_mib())


def load_beside(name: str) -> ModuleType:
    """The module `name` beside this file, without putting this folder on the module path."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Serve one peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("system", choices=sorted(PEERS))
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--predict", action="store_true")
    options = parser.parse_args()
    keep_to_cores(options.threads)

    def build() -> Network:
        peer, start = load_beside(PEERS[options.system]), load_beside("start")
        parameters = start.parameters(options.model)
        inputs = start.inputs(options.model, options.batch)
        compiled = options.system == "torch-compile"
        build = peer.build_prediction if options.predict else peer.build
        return Network(*build(options.model, parameters, inputs, options.threads, compiled))

    serve(build)


if __name__ == "__main__":
    main()
