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

    A barrier stands before every row that asks for one, and after the last.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.control = aligned_words(runner.CONTROL_WORDS)
        self.control_address = address_of(self.control)
        self._rows: list[list[int]] = []
        self._arguments: list[int] = []
        self._starts: list[int] = []
        self._held: list[Any] = []

    def add(self, function: int, arguments: Sequence[int], chunks: int, barrier: bool,
            every: int = 1, offset: int = 0) -> None:
        """Append a row: `chunks` calls of `function` on `arguments`."""
        self._starts.append(len(self._arguments))
        self._arguments.extend(arguments)
        self._rows.append([function, 0, chunks, int(barrier), every, offset, 0, 0])

    def hold(self, *things: Any) -> None:
        """Keep `things` alive as long as the table: rows hold bare addresses."""
        self._held.extend(things)

    def finish(self) -> Table:
        """Fill the control block: the table may run from now on, and takes no more rows."""
        arguments = np.array(self._arguments or [0], np.int64)
        rows = np.array(self._rows, np.int64).reshape(-1, runner.ROW_WORDS)
        counters = aligned_words(len(rows) * self.threads * runner.LINE // 8)
        numbers = np.arange(len(rows))
        rows[:, runner.ARGUMENTS] = address_of(arguments) + 8 * np.array(self._starts, np.int64)
        rows[:, runner.COUNTERS] = address_of(counters) + numbers * self.threads * runner.LINE
        self.control[runner.ROWS] = address_of(rows)
        self.control[runner.ROW_COUNT] = len(rows)
        self.control[runner.THREADS] = self.threads
        self.hold(arguments, rows, counters)
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
        self.control[runner.STEP] = first_step
        self.control[runner.SPINS] = spins


    def stop(self) -> None:
        """Ask the run to end after the current step."""
        self.control[runner.STOP] = 1


_CLEARED = [runner.ARRIVED, runner.GENERATION, runner.STOP, runner.DONE, runner.FINISHED]


def aligned_words(count: int) -> Array:
    """`count` zeroed int64 that start on a cache line."""
    room = np.zeros(count + runner.LINE // 8, np.int64)
    skip = -address_of(room) % runner.LINE // 8
    return room[skip:skip + count]

