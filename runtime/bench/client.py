"""The parent's end of a worker: start it, time its first step, run steps, pause it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dlc.runtime.bench.systems import HELD, TRAINING, BenchError, System, Work

START_LIMIT = 300.0  # seconds until a worker has done its first step
STEPS_LIMIT = 300.0


class Worker:
    """One running system. `first` is its answer to the first step, `start_seconds` when it came.

    The clock starts before the process does, so the interpreter, imports and compilation count.
    """

    def __init__(self, system: System, model: str, threads: int, cache: Path,
                 isa: str = "", work: Work = TRAINING) -> None:
        self.system = system
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the worker)
        command = [*system.command, *work.arguments(model, threads)]
        started = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env=environment(system, threads, cache, isa), start_new_session=True,
        )
        try:
            self.first = self.answer(START_LIMIT)
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.perf_counter() - started

    def answer(self, limit: float) -> dict[str, Any]:
        """The next answer; raises BenchError when the worker ended or took more than `limit` s."""
        output = self.process.stdout
        assert output is not None
        ready, _, _ = select.select([output], [], [], limit)
        if not ready:
            raise BenchError(f"{self.system.name} gave no answer in {limit:.0f} s")
        line = output.readline()
        if not line:
            raise BenchError(f"{self.system.name} ended: {self.last_error()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def steps(self, count: int) -> dict[str, Any]:
        """Run `count` steps and stand still again; seconds, loss and peak memory so far."""
        assert self.process.stdin is not None
        self.signal(signal.SIGCONT)
        self.process.stdin.write(f"steps {count}\n")
        self.process.stdin.flush()
        answer = self.answer(STEPS_LIMIT)
        self.signal(signal.SIGSTOP)
        return answer

    def signal(self, number: signal.Signals) -> None:
        """Send `number` to the worker and what it started, which may be gone already."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def last_error(self) -> str:
        """The last line the worker wrote to standard error."""
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors.read().splitlines() if line.strip()]
        return lines[-1] if lines else "it wrote nothing to standard error"

    def close(self) -> None:
        """End the worker: its input ends, and after five seconds so does the whole group."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.signal(signal.SIGCONT)
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5.0)
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def environment(system: System, threads: int, cache: Path, isa: str = "") -> dict[str, str]:
    """This process's variables, with the thread count and the cache folder of `system`, held to
    `isa` where one is named.

    Bytecode is written, as it is everywhere by default: an installer has written the peers', and
    without it dlc would compile its own sources at every start.
    """
    count = str(threads)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "DLC_THREADS")
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    held = dict(HELD[isa])
    if "XLA_FLAGS" in held and "XLA_FLAGS" in inherited:
        held["XLA_FLAGS"] = f"{inherited['XLA_FLAGS']} {held['XLA_FLAGS']}"
    return {**inherited, **dict.fromkeys(names, count), **system.cache(cache), **held}


@contextmanager
def running(system: System, model: str, threads: int, cache: Path,
            isa: str = "", work: Work = TRAINING) -> Iterator[Worker]:
    """A worker that has done its first step; ended when the block ends."""
    worker = Worker(system, model, threads, cache, isa, work)
    try:
        yield worker
    finally:
        worker.close()
