"""Steps one after the other from Python, for devices that run an entry at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from dlc.program import Port, Program
from dlc.runtime.cpu.arena import ArenaProgram, Array, to_array
from dlc.runtime.steps import LOGGED_BYTES, Log, Phase, Reason, StepReport


class SteppedProgram(ArenaProgram):
    """A Program whose steps are calls of `run`, with what each is fed and gives out between."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._done = 0

    @property
    def progress(self) -> int:
        """Steps done of the last run."""
        return self._done

    def run_steps(self, phases: Sequence[Phase], steps: int, *, first_step: int = 0,
                  watch: Callable[[int, Log], bool | None] | None = None,
                  interval: float = 0.1) -> StepReport:
        """Like CpuProgram.run_steps; `watch` is called after every step."""
        self._alive()
        self.check_phases(phases, steps, first_step)
        began, rows, self._done = time.perf_counter(), _empty_log(self, phases), 0
        fault = 0
        reason: Reason = "done"
        while self._done < steps and reason == "done":
            step = first_step + self._done
            for phase in phases:
                if step % phase.every == phase.offset:
                    fault = self._run_phase(phase, step, first_step, rows) or fault
            self._done += 1
            if fault:
                reason = "fault"
            elif watch is not None and watch(self._done, _stack(rows)) is False:
                reason = "stopped"
        seconds = time.perf_counter() - began
        return StepReport(self._done, reason, _stack(rows), seconds, fault)

    def _run_phase(self, phase: Phase, step: int, first_step: int,
                   rows: dict[tuple[str, str], tuple[Port, list[Array]]]) -> int:
        """One run of one phase; its fault word."""
        entry = self.entry(phase.entry)
        run = phase.before(step) - phase.before(first_step)
        for port in entry.inputs:
            if port.name in phase.feeds and phase.index is not None:
                self._store(port, np.asarray(phase.feeds[port.name])[phase.index[run]])
            elif port.name in phase.fixed:
                self._store(port, to_array(port, phase.fixed[port.name]))
            elif port.role == "step" and port.name not in self._persistent:
                self._store(port, step)
        self.run(phase.entry)
        fault = 0
        for port in entry.outputs:
            if (phase.entry, port.name) in rows:
                rows[phase.entry, port.name][1].append(self._load(port))
            if port.role == "fault":
                fault = int(self._load(port)) or fault
        return fault


def _empty_log(program: ArenaProgram,
               phases: Sequence[Phase]) -> dict[tuple[str, str], tuple[Port, list[Array]]]:
    persistent = {p.name for p in program.program.persistent}
    return {(phase.entry, port.name): (port, []) for phase in phases
            for port in program.entry(phase.entry).outputs
            if port.name not in persistent and 0 < port.type.bytes <= LOGGED_BYTES}


def _stack(rows: dict[tuple[str, str], tuple[Port, list[Array]]]) -> Log:
    return {key: np.stack(values) if values else np.empty(
        (0, *map(int, port.type.shape)), port.type.dtype.numpy)
        for key, (port, values) in rows.items()}
