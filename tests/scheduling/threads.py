"""How long calls of long reductions take on one thread and on two, and how exact they are.

    python -m tests.scheduling.threads      a row for each; on a machine that does nothing else

Times are of whole calls from Python, which read the array where it lies, and of the launches alone,
in one native call (`profile`); the least of some hundreds, taken in turn. The error is that against
NumPy's sum in f64, root mean square over arrays, beside that of NumPy's pairwise sum in f32.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import dlc
from dlc import f32
from dlc.ir.types import Type

SEEDS = 24  # arrays of numbers from -1 to 1
ROUNDS = 10  # one thread and two in turn, for the launches
CALLS = 400  # ... for whole calls
REDUCTIONS: dict[str, tuple[Callable[..., Any], Type, Callable[..., Any]]] = {
    "sum of [4096, 4096]": (lambda x: dlc.sum(x), f32[4096, 4096], np.sum),
    "sum(axis=0) of [1048576, 8]": (
        lambda x: dlc.sum(x, axis=0), f32[1048576, 8], lambda x: np.sum(x, axis=0)),
    "mean of [4096, 4096]": (lambda x: dlc.mean(x), f32[4096, 4096], np.mean),
}


def row(name: str, repeat: int = 20) -> str:
    """Milliseconds of calls on one thread and on two and their ratio, the same of the launches, and
    both errors."""
    function, kind, meaning = REDUCTIONS[name]
    drawn = [np.random.default_rng(seed).uniform(-1, 1, kind.shape).astype(np.float32)
             for seed in range(SEEDS)]
    compiled = dlc.compile(dlc.trace(function, kind))
    with compiled.load(threads=1) as one, compiled.load(threads=2) as two:
        found = [two(x) for x in drawn]
        calls = [[timed(run, drawn[-1]) for run in (one, two)] for _ in range(CALLS)]
        for run in (one, two):
            run.write("x", drawn[-1])
        rounds = [[1e3 * sum(run.profile("main", repeat)) for run in (one, two)]
                  for _ in range(ROUNDS)]
    times = (*np.min(calls, axis=0), *np.min(rounds, axis=0))
    exact = [meaning(x.astype(np.float64)) for x in drawn]
    ours, pairwise = error(found, exact), error([meaning(x) for x in drawn], exact)
    pairs = (f"{a:9.2f}{b:9.2f}{a / b:9.2f}" for a, b in (times[:2], times[2:]))
    return f"{name:30}{''.join(pairs)}{ours:11.1e}{pairwise:11.1e}"


def timed(run: Any, x: Any) -> float:
    """Milliseconds of one call."""
    began = time.perf_counter()
    run(x)
    return 1e3 * (time.perf_counter() - began)


def error(found: Sequence[Any], exact: Sequence[Any]) -> float:
    """The root of the mean square."""
    apart = np.asarray(found, np.float64) - np.asarray(exact)
    return float(np.sqrt(np.mean(np.square(apart))))


if __name__ == "__main__":
    print(f"{'':30}{'1 thread':>9}{'2':>9}{'ratio':>9}{'launches':>9}{'2':>9}{'ratio':>9}"
          f"{'error':>11}{'pairwise':>11}")
    for reduction in REDUCTIONS:
        print(row(reduction))
