"""The CPU's kernels with chunks in random order on random threads (device "shuffle"), for checks.

What runs between two barriers may run in any order: the chunks of all segments there, of several
launches if no barrier stands between them. So every order has to leave the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from dlc.program import Branch, Launch, Loop, Program, Step, place, standing
from dlc.runtime.cpu.program import CpuProgram
from dlc.runtime.cpu.table import Array, address_of
from dlc.runtime.cpu.table_builder import TableBuilder
from dlc.runtime.cpu.threads import NATIVE

Task = tuple[Any, Array, int]  # a kernel, its argument words, a chunk
THREADS = 4  # by default: more than there are cores, so that the system puts some aside


class ShuffledProgram(CpuProgram):
    """A CpuProgram whose `run` and `run_launch` draw the order of chunks anew each time.

    `seed` fixes what is drawn; which thread is faster stays with the system.
    """

    def __init__(self, program: Program, threads: int | None = None, seed: int = 0) -> None:
        super().__init__(program, threads or THREADS)
        self._rng = np.random.default_rng(seed)
        self._natives = [NATIVE(address) for address in self._kernels]
        self._open: list[Task] = []

    def run(self, entry: str) -> None:
        """Run the launches of `entry` once, superstep by superstep."""
        self._begin(entry)
        self._walk(self.entry(entry).launches, ())
        self._finish()

    def run_on(self, entry: str, inputs: Mapping[str, Any]) -> None:
        """Run `entry` so on `inputs`, written into the arena."""
        self._write_all(entry, inputs)
        self.run(entry)

    def run_launch(self, entry: str, index: int, iterations: Sequence[int] = ()) -> None:
        """Run launch `index` of `entry.flat` alone, in these iterations of the loops around it."""
        self._alive()
        self._add(self.entry(entry).flat[index], iterations)
        self._finish()

    def _walk(self, steps: Sequence[Step], at: tuple[int, ...]) -> None:
        """Steps in iteration `at` of the loops around; loops and branches begin and end
        supersteps."""
        for step in steps:
            if isinstance(step, Launch):
                self._add(step, at)
                continue
            self._finish()
            if isinstance(step, Loop):
                for iteration in range(step.count):
                    self._walk(step.launches, (*at, iteration))
                    self._finish()
            elif isinstance(step, Branch):
                taken = self._bytes(place(step.flag, at), 1)[0]
                self._walk(step.then if taken else step.otherwise, at)
                self._finish()

    def _add(self, launch: Launch, at: Sequence[int]) -> None:
        """The launch's first stage joins the open superstep unless a barrier stands before it."""
        builder = TableBuilder(self.program, 1, self._kernels, 0, address_of(self._arena))
        for number, stage in enumerate(standing(launch, at).stages):
            if number or launch.barrier:
                self._finish()
            for segment in stage:
                words = np.array(builder.arguments(segment), np.int64)
                self._open += [(self._natives[segment.kernel], words, chunk)
                               for chunk in range(segment.chunks)]

    def _finish(self) -> None:
        """Run what is open, in random order, dealt out to the threads at random."""
        if not self._open:
            return
        tasks = [self._open[i] for i in self._rng.permutation(len(self._open))]
        cuts = np.sort(self._rng.integers(0, len(tasks) + 1, self.threads - 1))
        parts = [tasks[a:b] for a, b in zip([0, *cuts], [*cuts, len(tasks)], strict=True)]
        self._open = []
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(_run, parts))


def _run(tasks: Sequence[Task]) -> None:
    for native, words, chunk in tasks:
        native(address_of(words), chunk)
