"""Launch tables: what the runner reads, as int64 arrays with absolute addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.runtime import runner

Array = np.ndarray[Any, Any]


def address_of(array: Array) -> int:
    """The address of an array's first byte."""
    return int(array.__array_interface__["data"][0])


class Table:
    """Rows under construction for `threads` threads; `finish` freezes them.

    Rows between two barriers make a phase: a barrier stands before every row that asks for one,
    and after the last.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.control = aligned_words(runner.CONTROL_WORDS)
        self.control_address = address_of(self.control)
        self._rows: list[list[int]] = []
        self._phases: list[list[int]] = []
        self._arguments: list[int] = []
        self._starts: list[int] = []
        self._held: list[Any] = []

    def add(self, function: int, arguments: Sequence[int], chunks: int, barrier: bool,
            every: int = 1, offset: int = 0) -> None:
        """Append a row: `chunks` calls of `function` on `arguments`."""
        if barrier or not self._phases or self._phases[-1][2:4] != [every, offset]:
            self._phases.append([len(self._rows), len(self._rows), every, offset, 0, 0, 0, 0])
        self._phases[-1][runner.END] += 1
        self._phases[-1][runner.CHUNKS_IN_ALL] += chunks
        self._starts.append(len(self._arguments))
        self._arguments.extend(arguments)
        self._rows.append([function, 0, chunks, 0, 0, 0, 0, 0])

    def hold(self, *things: Any) -> None:
        """Keep `things` alive as long as the table: rows hold bare addresses."""
        self._held.extend(things)

    def finish(self) -> Table:
        """Fill the control block: the table may run from now on, and takes no more rows."""
        self.add(0, (), 1, barrier=True)  # the row that ends a step
        arguments = np.array(self._arguments or [0], np.int64)
        rows = np.array(self._rows, np.int64).reshape(-1, runner.ROW_WORDS)
        self._counters = aligned_words(len(rows) * self.threads * runner.LINE // 8)
        numbers = np.arange(len(rows))
        rows[:, runner.ARGUMENTS] = address_of(arguments) + 8 * np.array(self._starts, np.int64)
        rows[:, runner.COUNTERS] = (address_of(self._counters)
                                    + numbers * self.threads * runner.LINE)
        words = np.array(self._phases, np.int64)
        self._schedule = aligned_words(words.size).reshape(words.shape)
        self._schedule[:] = words
        self.control[runner.ROWS] = address_of(rows)
        self.control[runner.PHASES] = address_of(self._schedule)
        self.control[runner.PHASE_COUNT] = len(words)
        self.control[runner.THREADS] = self.threads
        self.hold(arguments, rows)
        return self

    def watch_faults(self, faults: Array) -> None:
        """End the run after a step in which one of `faults` (int64) is not zero."""
        self.control[runner.FAULTS] = address_of(faults)
        self.control[runner.FAULT_COUNT] = len(faults)
        self.hold(faults)

    def rewind(self, steps: int, first_step: int, spins: int) -> None:
        """Make the table ready to run `steps` steps, numbered from `first_step`."""
        self.control[_CLEARED] = 0
        self.control[runner.STEPS] = steps
        self.control[runner.STEP] = self.control[runner.FIRST_STEP] = first_step
        self.control[runner.SPINS] = spins
        self._counters[:] = 0
        phases = self._schedule
        every, offset = phases[:, runner.EVERY], phases[:, runner.OFFSET]
        # runs in the steps before the first: those s < first_step with s % every == offset
        phases[:, runner.BASE] = (first_step - offset + every - 1) // every
        phases[:, runner.CHUNKS_DONE] = 0
        ready = (first_step % every == offset) & (phases[:, runner.CHUNKS_IN_ALL] > 0)
        self.control[runner.CURRENT] = int(np.argmax(ready))

    def stop(self) -> None:
        """Ask the run to end after the current step."""
        self.control[runner.STOP] = 1


_CLEARED = [runner.STOP, runner.DONE, runner.FINISHED]


def aligned_words(count: int) -> Array:
    """`count` zeroed int64 that start on a cache line."""
    room = np.zeros(count + runner.LINE // 8, np.int64)
    skip = -address_of(room) % runner.LINE // 8
    return room[skip:skip + count]

