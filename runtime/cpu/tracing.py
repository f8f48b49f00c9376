"""Who did what when: the logs of a traced run, as steps in time, by thread and launch.

The traced runner (runtime/compile/runner.py) notes every chunk, every wait and every opening of a
superstep, in memory that no other thread touches; no barrier comes in, and no launch waits longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dlc.program import Entry
from dlc.runtime.compile.runner import EVENT_WORDS, LINE, OPENED_NEXT, STEP_ENDED, WAITED
from dlc.runtime.cpu.table import Array, Table, address_of, aligned_words

LARGEST = 1 << 26  # bytes of all logs together
NEAR = 1.03
SPARE = 64  # events beside those of launches and waits
WAITING = -1  # the launch of a span in which a thread waited


@dataclass(frozen=True)
class Span:
    """What one thread did, in seconds since the step began: chunks of `launch`, a number in
    `entry.flat`, or WAITING."""

    thread: int
    launch: int
    begin: float
    end: float


@dataclass(frozen=True)
class TracedStep:
    """One step: its spans in order of their begin, and when a superstep was opened to all threads;
    `seconds` from the end of the step before to its own."""

    seconds: float
    spans: tuple[Span, ...]
    opened: tuple[float, ...]

    def shares(self, count: int) -> Array:
        """Seconds of the step for each of `count` launches: every moment belongs to the launches
        that run in it, else to the next that will. They add up to the step."""
        found: Array = np.zeros(count)
        edges = sorted([(s.begin, 1, s.launch) for s in self.spans if s.launch >= 0]
                       + [(s.end, 0, s.launch) for s in self.spans if s.launch >= 0])
        running: dict[int, int] = {}
        at, last = 0.0, 0
        for time, begins, launch in edges:
            busy = sum(running.values())
            for each, threads in running.items():
                found[each] += (time - at) * threads / busy
            if not busy:
                found[launch] += time - at
            at, last = time, launch
            running[launch] = running.get(launch, 0) + (1 if begins else -1)
            if not running[launch]:
                del running[launch]
        if edges:
            found[last] += self.seconds - at
        return found


class Logs:
    """Room for the events of `threads` threads over some steps of an entry; `table` runs them."""

    def __init__(self, table: Table, entry: Entry, owners: Sequence[int], steps: int) -> None:
        self.owners = owners
        launches = zip(entry.flat, entry.runs, strict=True)
        most = sum(runs * sum(4 + s.chunks for stage in launch.stages for s in stage)
                   for launch, runs in launches) + SPARE
        room = LARGEST // (table.threads * 8 * EVENT_WORDS)
        self.steps = max(2, min(steps, room // most))
        self.events = min(most * self.steps, room)
        self.words = LINE // 8 + self.events * EVENT_WORDS
        self.memory: Array = aligned_words(table.threads * self.words).reshape(table.threads, -1)
        table.log_to(address_of(self.memory), self.words * 8, self.events)
        table.hold(self.memory)

    def read(self) -> list[TracedStep]:
        """The steps after the first, in which threads wake up; those that fit into the logs."""
        events = [self.of_thread(row) for row in self.memory]
        full = [e[-1, 1] for e in events if len(e) >= self.events]
        ends = np.sort(np.concatenate([e[e[:, 0] == STEP_ENDED, 1] for e in events]))
        ends = ends[ends <= min(full)] if full else ends
        return [self.step(events, int(begin), int(end))
                for begin, end in pairwise(ends)]

    def of_thread(self, row: Array) -> Array:
        """Events as i64[n, 3]: what, begin, end."""
        return row[LINE // 8:][:int(row[0]) * EVENT_WORDS].reshape(-1, EVENT_WORDS)

    def step(self, events: Sequence[Array], begin: int, end: int) -> TracedStep:
        """What ran from `begin` to `end`, in nanoseconds of the clock."""
        spans: list[Span] = []
        opened: list[float] = []
        for thread, mine in enumerate(events):
            inside = mine[(mine[:, 1] < end) & (mine[:, 2] > begin)]
            opened += [(t - begin) * 1e-9 for t in inside[inside[:, 0] == OPENED_NEXT, 1]]
            spans += self.joined(thread, inside[inside[:, 0] >= WAITED], begin, end)
        return TracedStep((end - begin) * 1e-9, tuple(sorted(spans, key=lambda s: s.begin)),
                          tuple(sorted(opened)))

    def joined(self, thread: int, events: Array, begin: int, end: int) -> list[Span]:
        """Events of one thread as spans; neighbours of one launch are one."""
        found: list[list[int]] = []
        for what, first, last in events.tolist():
            launch = WAITING if what == WAITED else self.owners[what]
            first, last = max(first, begin), min(last, end)
            if found and found[-1][0] == launch and first - found[-1][2] < 2000:
                found[-1][2] = last
            else:
                found.append([launch, first, last])
        return [Span(thread, launch, (a - begin) * 1e-9, (b - begin) * 1e-9)
                for launch, a, b in found]


def seconds_of(steps: Sequence[TracedStep], count: int) -> list[float]:
    """Seconds of each launch: the mean over the steps that nothing has interrupted, which take at
    most NEAR times the shortest. They add up to the mean of those steps."""
    fast = [s for s in steps if s.seconds <= NEAR * min(s.seconds for s in steps)]
    total: Any = sum(step.shares(count) for step in fast)
    return [float(t) for t in total / len(fast)]
