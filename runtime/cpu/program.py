"""A Program on the CPU: kernels compiled and linked, launch tables, persistent threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlc import env
from dlc.program import Entry, Kernel, Port, Program, standing
from dlc.runtime.compile import workers
from dlc.runtime.compile.cache import Cache
from dlc.runtime.compile.link import Linked
from dlc.runtime.compile.runner import (
    CONTROL_WORDS,
    COPY_ROWS,
    DONE,
    REASON,
    REASONS,
    RUNNER,
    STAMP,
    TRACED,
)
from dlc.runtime.cores import available_cores
from dlc.runtime.cpu.arena import ArenaProgram, readable
from dlc.runtime.cpu.in_place import large
from dlc.runtime.cpu.table import Array, Table, address_of
from dlc.runtime.cpu.table_builder import TableBuilder, is_short
from dlc.runtime.cpu.threads import NATIVE, Attendant, Run, Threads
from dlc.runtime.cpu.tracing import Logs, TracedStep, seconds_of
from dlc.runtime.steps import Log, Phase, PhaseError, Reason, StepReport

SPINS = 1000  # pauses before a waiting thread yields; none when threads outnumber cores


def default_threads() -> int:
    """DLC_THREADS, else the number of cores this process may use."""
    return env.number("DLC_THREADS") or available_cores()


class CpuProgram(ArenaProgram):
    """A Program loaded for the CPU (docs/design/runtime.md).

    `threads` is their number (None: default_threads()); results do not depend on it. Raises
    ProgramError, CompileError, CacheError.
    """

    def __init__(self, program: Program, threads: int | None = None,
                 cache: Cache | None = None) -> None:
        super().__init__(program)
        count = default_threads() if threads is None else threads
        if not isinstance(count, int) or not 1 <= count <= 256:
            raise ValueError(f"threads={count!r}; it takes a number from 1 to 256")
        jobs = workers.program_jobs(program)
        support = [workers.runtime_job(kernel) for kernel in (RUNNER, COPY_ROWS)]
        self._cache = cache or Cache()
        self._linked = Linked(workers.objects([*jobs, *support], self._cache))
        addresses = [self._linked.addresses[job.symbol] for job in (*jobs, *support)]
        self._kernels = addresses[:len(jobs)]
        self._runner, self._copy_rows = NATIVE(addresses[-2]), addresses[-1]
        self._threads = Threads(count)
        self._lock = threading.Lock()
        self._single: dict[str, Table] = {}
        self._calls: dict[str, tuple[dict[str, Port], Table]] = {}
        self._current: Run | None = None
        self._control: Array = np.zeros(CONTROL_WORDS, np.int64)

    @property
    def threads(self) -> int:
        """How many threads run the launches."""
        return self._threads.count

    @property
    def progress(self) -> int:
        """Steps done of the run in progress, or of the last one."""
        return int(self._control[DONE])

    def run(self, entry: str) -> None:
        """Run the launches of `entry` once on what the arena holds."""
        self._begin(entry)
        if entry not in self._single:
            builder = TableBuilder(self.program, self._threads_for(entry), self._kernels,
                                   self._copy_rows, address_of(self._arena))
            builder.add_entry(self.entry(entry))
            self._single[entry] = builder.table.finish()
        if self._execute(self._single[entry], 1, 0):
            raise KeyboardInterrupt

    def run_on(self, entry: str, inputs: Mapping[str, Any]) -> None:
        """Run `entry` on `inputs`: launches read large arrays where they lie if they do not write
        over them, else all threads copy them (docs/design/runtime.md)."""
        self._alive()
        if entry not in self._calls:
            self._calls[entry] = self._call_table(self.entry(entry))
        ports, table = self._calls[entry]
        if not ports.keys() <= inputs.keys():
            super().run_on(entry, inputs)
            return
        given = {name: readable(port, inputs[name]) for name, port in ports.items()}
        self._write_all(entry, {k: v for k, v in inputs.items() if k not in given})
        for port in ports.values():
            self._spent.given(port)
        self._begin(entry)
        self._spent.elsewhere(ports.values())
        if self._execute(table, 1, 0, given=given):
            raise KeyboardInterrupt

    def _call_table(self, entry: Entry) -> tuple[dict[str, Port], Table]:
        """The inputs that a call does not write into the arena, and the table that runs on them."""
        builder = TableBuilder(self.program, self._threads_for(entry.name), self._kernels,
                               self._copy_rows, address_of(self._arena))
        ports = large(self.program, entry)
        builder.add_call(entry, ports)
        return ports, builder.table.finish()

    def _threads_for(self, entry: str) -> int:
        """How many threads a single run of `entry` is worth: one, the caller's, or all."""
        return 1 if is_short(self.entry(entry)) else self.threads

    def run_launch(self, entry: str, index: int, iterations: Sequence[int] = ()) -> None:
        """Run launch `index` of `entry.flat` alone, in these iterations of the loops around it."""
        self._alive()
        builder = TableBuilder(self.program, self.threads, self._kernels, self._copy_rows,
                               address_of(self._arena))
        builder.add_launch(standing(self.entry(entry).flat[index], iterations), barrier=True)
        if self._execute(builder.table.finish(), 1, 0):
            raise KeyboardInterrupt

    def run_steps(self, phases: Sequence[Phase], steps: int, *, first_step: int = 0,
                  watch: Callable[[int, Log], bool | None] | None = None,
                  interval: float = 0.1) -> StepReport:
        """Run `steps` steps of `phases` in one native call (docs/design/runtime.md).

        Raises PhaseError before anything runs when a phase does not fit the program.
        """
        self._alive()
        self.check_phases(phases, steps, first_step)
        if not 0 < interval <= 3600:
            raise PhaseError(f"interval={interval}; it takes seconds, above 0 and up to 3600")
        builder = TableBuilder(self.program, self.threads, self._kernels, self._copy_rows,
                               address_of(self._arena))
        recorder = builder.add_phases(phases, steps, first_step)
        table = builder.table.finish()

        def look() -> bool | None:
            done = int(table.control[DONE])
            return watch(done, recorder.log(done)) if watch is not None else None
        began = time.perf_counter()
        interrupted = steps > 0 and self._execute(table, steps, first_step,
                                                  look if watch else None, interval)
        done = int(table.control[DONE])
        reason: Reason = REASONS[int(table.control[REASON])] if steps else "done"
        if interrupted and reason == "stopped":
            reason = "interrupt"
        return StepReport(done, reason, recorder.log(done), time.perf_counter() - began,
                          recorder.fault())

    def profile(self, entry: str, repeat: int = 10) -> list[float]:
        """Seconds of a run that each of `entry.flat` takes, all its iterations together, and what
        threads wait for it counted in; they add up to a run (runtime/cpu/tracing.py).

        The arena is left as the runs leave it.
        """
        return seconds_of(self.trace(entry, repeat), len(self.entry(entry).flat))

    def trace(self, entry: str, repeat: int = 10) -> list[TracedStep]:
        """About `repeat` runs back to back, each by thread and launch."""
        runner, builder = self._support(TRACED)
        builder.add_entry(self.entry(entry))
        logs = Logs(builder.table, self.entry(entry), builder.owners, repeat + 1)
        if self._execute(builder.table.finish(), logs.steps, 0, runner=NATIVE(runner)):
            raise KeyboardInterrupt
        return logs.read()

    def shortest(self, entry: str, repeat: int = 10) -> float:
        """Seconds of the shortest of `repeat` whole runs, with no clock in them."""
        stamp, builder = self._support(STAMP)
        times = builder.add_timed(self.entry(entry), stamp, repeat)
        if self._execute(builder.table.finish(), repeat, 0):
            raise KeyboardInterrupt
        return float(np.min(times[:, 1] - times[:, 0])) * 1e-9

    def _support(self, kernel: Kernel) -> tuple[int, TableBuilder]:
        """(the address of a kernel of the runtime's, a table that keeps it)."""
        job = workers.runtime_job(kernel)
        linked = Linked(workers.objects([job], self._cache))
        builder = TableBuilder(self.program, self.threads, self._kernels, self._copy_rows,
                               address_of(self._arena))
        builder.table.hold(linked)
        return linked.addresses[job.symbol], builder

    def close(self) -> None:
        """Wait for a run in progress, end the threads and give the memory back."""
        if os.getpid() == self._threads.pid:
            self._settle()
        if self._memory is not None:
            self._threads.close()
        super().close()

    def _execute(self, table: Table, steps: int, first_step: int,
                 watch: Callable[[], bool | None] | None = None, interval: float = 0.1,
                 given: Mapping[str, Array] | None = None, runner: Any = None) -> bool:
        """Run a finished table, on `given` arrays; whether Ctrl-C came meanwhile. Raises what
        `watch` raised."""
        self._threads.check_process()
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(f"{self.program.name} is running in another thread")
        try:
            self._settle()
            crowded = self.threads > available_cores()
            given = given or {}
            table.rewind(steps, first_step, 0 if crowded else SPINS,
                         {name: address_of(array) for name, array in given.items()})
            self._control = table.control
            runner = runner or self._runner
            if table.threads == 1 and steps == 1:
                runner(table.call_address, 0)
                return False
            held = (table, self._linked, self._arena, given)
            self._current = run = Run(runner, table.call_address, held)
            attendant = Attendant(run, self._threads, table.stop, watch, interval)
            attendant.attend()
            return attendant.interrupted
        finally:
            if self._current is not None and self._current.completed:
                self._current.held = None  # threads remember the run; the arena must not stay
            self._lock.release()

    def _settle(self) -> None:
        """Wait for a run that its caller left behind (an exception at an unlucky moment)."""
        while self._current is not None and not self._current.completed:
            time.sleep(0.001)
