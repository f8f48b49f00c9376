"""What measuring costs, as docs/inspect.md says it: the log of a profiled step, and --trap nan.

    python -m tests.inspector.costs trace     steps with the log against steps without, interleaved
    python -m tests.inspector.costs trap      the trap's share of a training run's processor time

Both are processor time on one thread, so that other work on the machine counts little.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from dlc.compiler import Compiled, task_source
from dlc.inspector.profile import inputs_of
from dlc.models.peers import CONTEXT, NETWORKS, WORDS
from dlc.runtime.train.trap import Trap

TRACED = (("lenet", 64, 60), ("lstm", 8, 10), ("gpt", 1, 10), ("resnet18", 4, 3))  # batch, steps
TRAPPED = (("lenet", 64, 2000), ("gpt", 8, 100), ("gpt", 1, 300), ("resnet18", 4, 150))
PAIRS = 9


def trace() -> None:
    """A row for each network: how much longer its steps take with the log."""
    for name, batch, steps in TRACED:
        task = NETWORKS[name]().with_options(batch=batch)
        compiled = Compiled(task_source(task, batch, {}, kinds=("train",)), "cpu")
        with compiled.load(threads=1) as loaded:
            running = loaded.running
            for label, array in inputs_of(compiled, "train", task).items():
                running.write(label, array, "train")
            took = spent(running)
            ratios = []
            for pair in range(PAIRS):
                found = {kind: took(kind, steps) for kind in sorted(
                    ("shortest", "trace"), reverse=pair % 2 == 1)}
                ratios.append(found["trace"] / found["shortest"] - 1)
        print(f"{name}, batch {batch}: median {median(ratios):+.1%} of a step, "
              f"{min(ratios):+.1%} to {max(ratios):+.1%}", flush=True)


def spent(running: Any) -> Callable[[str, int], float]:
    """What gives the seconds of a step that runs in `shortest` or `trace`; reading the log is no
    part of it."""
    execute, seconds = running._execute, [0.0]

    def timed(table: Any, steps: int, *rest: Any, **named: Any) -> Any:
        began = time.process_time()
        result = execute(table, steps, *rest, **named)
        seconds[0] = (time.process_time() - began) / steps
        return result

    def took(kind: str, steps: int) -> float:
        getattr(running, kind)("train", steps)
        return seconds[0]

    running._execute = timed
    return took


def trap() -> None:
    """A row for each network: the share of a run that the looks of the trap take, those at its
    beginning and end included."""
    seconds = [0.0]
    for name in ("spring", "renew"):
        setattr(Trap, name, counted(getattr(Trap, name), seconds))
    for name, batch, steps in TRAPPED:
        rows = rows_of(name, batch * steps)
        seconds[0], began = 0.0, time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            NETWORKS[name]().train(rows, trap="nan", batch=batch, epochs=1, threads=1,
                                   folder=folder)
        whole = time.process_time() - began
        print(f"{name}, batch {batch}: {seconds[0] / whole:.1%} of {whole:.0f} s", flush=True)


def counted(method: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """A method of a trap that is on, whose time is added up, that of those it calls once."""
    def run(self: Trap, *given: Any) -> Any:
        before, began = seconds[0], time.process_time()
        try:
            return method(self, *given)
        finally:
            seconds[0] = before + (time.process_time() - began if self.names else 0.0)

    return run


def rows_of(name: str, count: int) -> dict[str, np.ndarray[Any, Any]]:
    """Random rows."""
    rng = np.random.default_rng(0)
    if name == "gpt":
        text = rng.integers(0, WORDS, (count, CONTEXT + 1)).astype(np.int32)
        return {"text": text[:, :-1], "following": text[:, 1:]}
    shape = (1, 28, 28) if name == "lenet" else (3, 32, 32)
    return {"image": rng.normal(size=(count, *shape)).astype(np.float32),
            "label": rng.integers(0, 10, count).astype(np.int32)}


if __name__ == "__main__":
    {"trace": trace, "trap": trap}[sys.argv[1]]()
