"""From Programs and phases to launch tables: the rows of a step, in order."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dlc.program import Branch, Entry, Launch, Loop, Port, Program, Segment, Slot, Step
from dlc.runtime.compile.runner import STEP
from dlc.runtime.cpu.arena import physical, to_array
from dlc.runtime.cpu.in_place import last_readers
from dlc.runtime.cpu.table import ALONE, Array, Moving, Table, address_of
from dlc.runtime.steps import LOGGED_BYTES, Log, Phase

COPY_BYTES = 1 << 15  # bytes that one chunk of a copy moves, about
# Work of an entry (operations, or a quarter of the bytes moved) that the calling thread does by
# itself: some 30 us, about as long as it takes to wake other threads and to wait for them.
SHORT = 1 << 20


def is_short(entry: Entry) -> bool:
    """Whether a single run of `entry` is not worth waking other threads."""
    work = sum(max(launch.flops, launch.bytes // 4) * runs
               for launch, runs in zip(entry.flat, entry.runs, strict=True))
    return work < SHORT


def _once() -> Array:
    """The index of a copy that takes row 0 in every run."""
    return np.zeros(1, np.int64)


@dataclass(frozen=True)
class RowCopy:
    """Rows index[k * index_stride ...] of source to target + k * target_stride, in run k."""

    target: int
    source: int
    row_bytes: int
    rows: int = 1
    index: Array = field(default_factory=_once)
    index_stride: int = 0
    target_stride: int = 0


class Recorder:
    """Where a run writes what it logs, and how to read it."""

    def __init__(self, first_step: int) -> None:
        self.first_step = first_step
        self.parts: list[tuple[Phase, Port, Array]] = []
        self.faults: Array = np.zeros(0, np.int64)

    def log(self, done: int) -> Log:
        """The logged outputs of the first `done` steps; a phase used twice is joined in order."""
        joined: dict[tuple[str, str], list[Array]] = {}
        for phase, port, data in self.parts:
            runs = phase.runs(self.first_step, self.first_step + done)
            shape = (runs, *(int(d) for d in port.type.shape))
            rows = data[:runs].view(port.type.dtype.numpy).reshape(shape)
            joined.setdefault((phase.entry, port.name), []).append(rows)
        return {key: rows[0].copy() if len(rows) == 1 else np.concatenate(rows)
                for key, rows in joined.items()}

    def fault(self) -> int:
        """The first fault word that is not zero, else 0."""
        words = self.faults[self.faults != 0]
        return int(words.astype(np.int32)[0]) if len(words) else 0


class TableBuilder:
    """Builds one Table from the kernels' addresses and the arena's."""

    def __init__(self, program: Program, threads: int, kernels: Sequence[int], copy_rows: int,
                 arena: int) -> None:
        self.program = program
        self.table = Table(threads)
        self.kernels = kernels
        self.copy_rows = copy_rows
        self.arena = arena
        self.persistent = {p.name for p in program.persistent}
        self._read_in_place: list[tuple[Port, int]] = []  # inputs, and their last launches
        self._launches = 0  # that were added
        self.owners = [-1]  # of each row of a table with one entry: the number of its launch

    def add_entry(self, entry: Entry) -> None:
        """The launches of `entry`, behind a barrier."""
        self.add_steps(entry.launches)

    def add_call(self, entry: Entry, given: Mapping[str, Port]) -> None:
        """The launches of `entry` on `given` inputs, which lie in each run where the caller has
        them: they are read there, or all threads copy them where a launch writes over them."""
        last = last_readers(self.program, entry, given)
        self._read_in_place = [(given[name], at) for name, at in last.items()]
        for port in (p for name, p in given.items() if name not in last):
            whole, rest = divmod(port.type.bytes, COPY_BYTES)
            rows = np.arange(whole)
            self._add_given(port, RowCopy(0, 0, COPY_BYTES, whole, rows))
            if rest:
                self._add_given(port, RowCopy(whole * COPY_BYTES, whole * COPY_BYTES, rest))
        self.add_entry(entry)

    def _add_given(self, port: Port, copy: RowCopy) -> None:
        """A row that copies a part of an input from where the caller has it."""
        part = replace(copy, target=self.arena + port.offset + copy.target)
        self._add_copy(part, Phase(""), 0, barrier=False,
                       source=Moving(copy.source, input=port.name))

    def add_steps(self, steps: Sequence[Step]) -> None:
        """Rows and instructions of launches, loops and branches, the first behind a barrier."""
        first = True
        for step in steps:
            if isinstance(step, Loop):
                self.table.begin_loop(step.count)
                self.add_steps(step.launches)
                self.table.end_loop()
            elif isinstance(step, Branch):
                self.table.begin_branch(self._address(step.flag))
                self.add_steps(step.then)
                self.table.otherwise()
                self.add_steps(step.otherwise)
                self.table.end_branch()
            else:
                self.add_launch(step, step.barrier or first)
                self._launches += 1
            first = False

    def add_launch(self, launch: Launch, barrier: bool) -> None:
        """A row for every segment; a barrier before each stage, before the first one if asked."""
        known = max(launch.flops, launch.bytes / 4) or ALONE
        work = known / max(sum(len(stage) for stage in launch.stages), 1)
        for stage in launch.stages:
            for segment in stage:
                self.table.add(self.kernels[segment.kernel], self.arguments(segment),
                               segment.chunks, barrier, work)
                if segment.chunks:
                    self.owners.append(self._launches)
                barrier = False
            barrier = True

    def add_phases(self, phases: Sequence[Phase], steps: int, first_step: int) -> Recorder:
        """Everything that a step does: inputs, launches, logs, phase by phase."""
        recorder = Recorder(first_step)
        recorder.faults = np.zeros(len(phases), np.int64)
        for number, phase in enumerate(phases):
            entry = self.program.entries[phase.entry]
            base = phase.before(first_step)
            if phase.every > 1:
                self.table.begin_when(phase.every, phase.offset)
            for k, copy in enumerate(self._inputs(entry, phase)):
                self._add_copy(copy, phase, base, barrier=k == 0)
            self.add_entry(entry)
            runs = phase.runs(first_step, first_step + steps)
            fault = address_of(recorder.faults[number:])
            for k, copy in enumerate(self._outputs(entry, phase, runs, recorder, fault)):
                self._add_copy(copy, phase, base, barrier=k == 0)
            if phase.every > 1:
                self.table.end_when()
        self.table.watch_faults(recorder.faults)
        return recorder

    def add_timed(self, entry: Entry, stamp: int, repeat: int) -> Array:
        """`entry` with a time stamp before it and one after it: int64 [repeat, 2] ns."""
        times = np.zeros((repeat, 2), np.int64)
        self.table.hold(times)
        for slot in range(2):
            self.table.add(stamp, [address_of(times), self.table.control_address, slot], 1, True)
            if slot == 0:
                self.add_entry(entry)
        return times

    def _address(self, slot: Slot) -> int | Moving:
        """Where a slot points to, and how loops move it."""
        for port, last in self._read_in_place:
            within = slot.offset - port.offset
            if self._launches <= last and 0 <= within < port.type.bytes:
                return Moving(within, slot.strides, slot.swaps, port.name)
        at = self.arena + slot.offset
        return Moving(at, slot.strides, slot.swaps) if slot.moves else at

    def arguments(self, segment: Segment) -> list[int | Moving]:
        """The 8-byte slots of a segment's arguments: addresses, integers, bits of floats."""
        slots: list[int | Moving] = []
        kernel = self.program.kernels[segment.kernel]
        for parameter, value in zip(kernel.params, segment.args, strict=True):
            if isinstance(value, Slot):
                slots.append(self._address(value))
            elif parameter.dtype == "f64":
                slots.append(struct.unpack("<q", struct.pack("<d", value))[0])
            else:
                slots.append(int(value))
        return slots

    def _inputs(self, entry: Entry, phase: Phase) -> list[RowCopy]:
        copies = []
        for port in entry.inputs:
            target = self.arena + port.offset
            if port.name in phase.feeds and phase.index is not None:
                index = np.array(phase.index)  # ours: checked, and not to change while we run
                data = np.ascontiguousarray(phase.feeds[port.name])
                rows = index.shape[1]
                self.table.hold(data, index)
                copies.append(RowCopy(target, address_of(data), port.type.bytes // max(rows, 1),
                                      rows, index, index_stride=rows))
            elif port.name in phase.fixed:
                value = np.array(physical(port.type, to_array(port, phase.fixed[port.name])))
                self.table.hold(value)
                copies.append(RowCopy(target, address_of(value), value.nbytes))
            elif port.role == "step" and port.name not in self.persistent:
                word = self.table.control_address + 8 * STEP
                copies.append(RowCopy(target, word, port.type.bytes))
        return copies

    def _outputs(self, entry: Entry, phase: Phase, runs: int, recorder: Recorder,
                 fault: int) -> list[RowCopy]:
        copies = []
        for port in entry.outputs:
            source, count = self.arena + port.offset, port.type.bytes
            if port.role == "fault":
                copies.append(RowCopy(fault, source, count))
            if port.name not in self.persistent and 0 < count <= LOGGED_BYTES:
                data = np.zeros((runs, count), np.uint8)
                self.table.hold(data)
                recorder.parts.append((phase, port, data))
                copies.append(RowCopy(address_of(data), source, count, target_stride=count))
        return copies

    def _add_copy(self, copy: RowCopy, phase: Phase, base: int, barrier: bool,
                  source: Moving | None = None) -> None:
        """A row that copies, from `source` where that is not the same in every run of the table."""
        per_chunk = max(1, COPY_BYTES // max(copy.row_bytes, 1))
        arguments = [copy.target, source or copy.source, address_of(copy.index),
                     self.table.control_address, phase.every, phase.offset, base, copy.row_bytes,
                     copy.rows, per_chunk, copy.target_stride, copy.index_stride]
        self.table.hold(copy.index)
        self.table.add(self.copy_rows, arguments, -(-copy.rows // per_chunk), barrier,
                       copy.rows * copy.row_bytes / 4)
