"""Steps of several micro-batches: each gives gradients, their sum makes one update.

A step is one native run for each micro-batch of this process, the sum over all micro-batches in
the tree of docs/scale.md, and one native run of the update. Like CpuProgram.run_steps otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dlc.program import Entry, Program, update_entry
from dlc.runtime.steps import LOGGED_BYTES, Log, Phase, PhaseError, Reason, StepReport
from dlc.runtime.train.alternation import base_entry, batch_size, tail_entry
from dlc.runtime.train.interrupt import StopRequest
from dlc.runtime.world.sums import CONTROL, Array, Layout, Tree
from dlc.runtime.world.world import World

if TYPE_CHECKING:
    from dlc.runtime.cpu.arena import ArenaProgram

STOP, PAUSE = 0, 1  # control words: how many processes were asked to stop; to pause, say to save


@dataclass(frozen=True)
class Halves:
    """The entries of a step: for full micro-batches of `rows` rows, for the smaller last one of an
    epoch, and for the update; what the first two give, in `layout`."""

    full: Entry
    tail: Entry | None
    update: Entry
    rows: int
    layout: Layout
    tree: Tree

    def entry_for(self, rows: int) -> Entry:
        """The entry that takes so many rows. Raises PhaseError when there is none."""
        if rows == self.rows:
            return self.full
        if self.tail is None or batch_size(self.tail) != rows:
            raise PhaseError(f"{self.full.name}: the last micro-batch has {rows} rows, for which "
                             "the program was not compiled")
        return self.tail


def halves_of(program: Program, entry: str) -> Halves:
    """The entries of the step that `entry` or, of a smaller batch, its tail begins."""
    base = base_entry(entry)
    full, update = program.entries[base], program.entries[update_entry(base)]
    layout = Layout(full.outputs)
    return Halves(full, program.entries.get(tail_entry(base)), update, batch_size(full), layout,
                  Tree(layout))


class MicroSteps:
    """Runs steps of `count` micro-batches of a loaded program, those of this process, in a world.

    `stop` gives who is asked to stop; it is told when the world has agreed to. Entries that are not
    in halves run as ever.
    """

    def __init__(self, loaded: ArenaProgram, count: int, world: World,
                 stop: Callable[[], StopRequest]) -> None:
        self.loaded, self.count, self.world, self.stop = loaded, count, world, stop
        self.mine = world.share(count)
        self.halves: dict[str, Halves] = {}
        self.places: dict[tuple[str, bool], dict[str, Array]] = {}
        self.pauses = False  # what `watch` wants of the next step

    def run_steps(self, phases: Sequence[Phase], steps: int, *, first_step: int = 0,
                  watch: Callable[[int, Log], bool | None] | None = None,
                  interval: float = 0.1) -> StepReport:
        """Run `steps` steps. What `watch` or a signal asks for ends the step after it, in all
        processes alike. Raises PhaseError, and WorldError for a process that is gone."""
        began = looked = time.perf_counter()
        log = _logs(self.loaded.program, phases, first_step, steps)
        done, fault, at = 0, 0, 0
        reason: Reason = "done"
        while done < steps and reason == "done":
            step = first_step + done
            agreed = False
            for phase in phases:
                if step % phase.every == phase.offset:
                    run = phase.before(step) - phase.before(first_step)
                    code, number, wanted = self._run_phase(phase, run, log)
                    fault, at = (fault, at) if fault else (code, number)
                    agreed |= wanted
            done += 1
            reason = "fault" if fault else "stopped" if agreed else "done"
            if watch is not None and time.perf_counter() - looked >= interval:
                looked = time.perf_counter()
                self.pauses |= watch(done, _cut(log, phases, first_step, done)) is False
        return StepReport(done, reason, _cut(log, phases, first_step, done),
                          time.perf_counter() - began, fault, at)

    def _run_phase(self, phase: Phase, run: int, log: Log) -> tuple[int, int, bool]:
        """(the fault word of one run, the micro-batch that it is of, whether to stop after it)."""
        halves = self._halves(phase.entry)
        rows: Array = np.empty(0, np.int64) if phase.index is None else phase.index[run]
        for number in self.mine:
            buffer = halves.tree.leaf()
            self._first_half(halves, phase, number, rows, buffer)
            halves.tree.push(buffer)
        total = halves.tree.take()
        values = halves.layout.views(total)
        self._ask(values[CONTROL])
        self.world.all_reduce(total, halves.layout)
        agreed, number = self._answer(values[CONTROL]), self._first_fault(halves, values)
        for name, place in self._places(halves.update, inputs=True).items():
            place[...] = values[name]
        halves.tree.give(total)
        self._run(halves.update)
        return self._take(halves.update, run, log), number, agreed

    def _run(self, entry: Entry) -> None:
        """Run an entry whose inputs were all written."""
        self.loaded.fed(entry.name)
        self.loaded.run(entry.name)

    def _places(self, entry: Entry, inputs: bool) -> dict[str, Array]:
        """Where the inputs or outputs of an entry lie in the arena, by name."""
        if (entry.name, inputs) not in self.places:
            ports = entry.inputs if inputs else entry.outputs
            self.places[entry.name, inputs] = {p.name: self.loaded.value(p) for p in ports}
        return self.places[entry.name, inputs]

    def _halves(self, entry: str) -> Halves:
        base = base_entry(entry)
        if base not in self.halves:
            self.halves[base] = halves_of(self.loaded.program, base)
        return self.halves[base]

    def _first_half(self, halves: Halves, phase: Phase, number: int, rows: Array,
                    buffer: Array) -> None:
        """Fill `buffer` with what micro-batch `number` of the step on `rows` gives."""
        mine = rows[number * halves.rows:(number + 1) * halves.rows]
        values = halves.layout.views(buffer)
        if not len(mine):
            buffer[:] = 0
            return
        entry = halves.entry_for(len(mine))
        places = self._places(entry, inputs=True)
        for port in entry.inputs:
            if port.name in phase.feeds:
                np.take(phase.feeds[port.name], mine, 0, places[port.name], "clip")
            else:
                given = {"micro_batch": number, "share": len(mine) / len(rows)}
                places[port.name][...] = given.get(port.role, phase.fixed.get(port.name))
        self._run(entry)
        for name, value in self._places(entry, inputs=False).items():
            values[name][...] = value

    def _ask(self, control: Array) -> None:
        control[STOP] = self.stop().heard != 0
        control[PAUSE] = self.pauses
        self.pauses = False

    def _answer(self, control: Array) -> bool:
        """Whether the steps end here. A process that was not asked itself stops as for SIGTERM."""
        if control[STOP]:
            self.stop().agree()
        return bool(control.any())

    def _first_fault(self, halves: Halves, values: dict[str, Array]) -> int:
        """The first micro-batch in which a check failed, else whose loss is not finite, else 0.
        Codes are the only integers that steps sum."""
        name = next(p.name for p in halves.full.outputs if p.type.dtype.is_integer)
        codes = values[name]
        return int((codes > 0).argmax() if (codes > 0).any() else (codes != 0).argmax())

    def _take(self, update: Entry, run: int, log: Log) -> int:
        """Log what the update gives; its fault word."""
        places = self._places(update, inputs=False)
        for port in update.outputs:
            if (update.name, port.name) in log:
                log[update.name, port.name][run] = places[port.name]
        return sum(int(places[p.name]) for p in update.outputs if p.role == "fault")


def _logs(program: Program, phases: Sequence[Phase], first_step: int, steps: int) -> Log:
    """Room for the small outputs of every run."""
    persistent = {p.name for p in program.persistent}
    found: Log = {}
    for phase in phases:
        entry = program.entries[update_entry(base_entry(phase.entry))]
        runs = phase.runs(first_step, first_step + steps)
        for port in entry.outputs:
            if port.name not in persistent and 0 < port.type.bytes <= LOGGED_BYTES:
                shape = (runs, *map(int, port.type.shape))
                found[entry.name, port.name] = np.zeros(shape, port.type.dtype.numpy)
    return found


def _cut(log: Log, phases: Sequence[Phase], first_step: int, done: int) -> Log:
    """The rows of the runs in the first `done` steps."""
    runs = {update_entry(base_entry(p.entry)): p.runs(first_step, first_step + done)
            for p in phases}
    return {key: rows[:runs[key[0]]] for key, rows in log.items()}
