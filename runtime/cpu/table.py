"""Launch tables: what the runner reads, as int64 arrays with absolute addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.runtime.compile import runner

Array = np.ndarray[Any, Any]

# Work (operations, or a quarter of the bytes moved) below which one thread does a superstep alone:
# about as long as it takes to hand it to others.
ALONE = 4096


def address_of(array: Array) -> int:
    """The address of an array's first byte."""
    return int(array.__array_interface__["data"][0])


@dataclass(frozen=True)
class Moving:
    """An argument that the loops around it move: its address at first, and by how much. With an
    `input`, the address is counted from the first byte of that, wherever it lies in a run."""

    address: int
    strides: tuple[int, ...] = ()
    swaps: tuple[int, ...] = ()
    input: str = ""


@dataclass(frozen=True)
class PlainTable:
    """A table without addresses, for any process: what `finish` makes addresses of.

    `rows` are (function as it was given, number of the first argument, chunks). In `code` the flag
    of a BRANCH is the number of an argument, the moves of an AGAIN the number of the first of
    `moves`, which are (number of an argument, stride, swap); INLINE is set where it is with any
    number of threads. `based` are the arguments that are counted from an input, by its name.
    """

    rows: list[tuple[int, int, int]]
    code: list[list[int]]
    arguments: list[int]
    moves: list[tuple[int, int, int]]
    based: dict[str, list[int]]


class Table:
    """Rows and instructions under construction for `threads` threads; `finish` freezes them.

    Rows between two barriers make a superstep: a barrier stands before every row that asks for one,
    and wherever a loop, branch or condition begins or ends.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.control = aligned_words(runner.CONTROL_WORDS)
        self.control_address = address_of(self.control)
        self._rows: list[list[int]] = []
        self._code: list[list[int]] = []
        self._work: dict[int, float] = {}  # of the superstep at an instruction
        self._open: list[tuple[int, int]] = []  # LOOP, BRANCH or JUMP, WHEN not yet closed
        self._loops: list[list[tuple[int, int, int]]] = []  # moves of the loops around
        self._moves: list[tuple[int, list[tuple[int, int, int]]]] = []
        self._arguments: list[int] = []
        self._inputs: dict[str, list[int]] = {}  # the arguments that point into an input
        self._held: list[Any] = []
        self._new_superstep = True
        # the superstep that all begin with: whoever takes its one chunk looks for the first work
        self._rows.append([0, 0, 1, 0, 0, 0, 0, 0])
        self._starts = [0]
        self._emit(runner.WORK, 0, 1, 1)

    def add(self, function: int, arguments: Sequence[int | Moving], chunks: int,
            barrier: bool = False, work: float = ALONE) -> None:
        """Append a row: `chunks` calls of `function` on `arguments`, `work` operations in all."""
        if chunks == 0:
            self._new_superstep |= barrier
            return
        if barrier or self._new_superstep:
            self._emit(runner.WORK, len(self._rows), len(self._rows))
        self._new_superstep = False
        superstep = self._code[-1]
        superstep[runner.STOP_ROW] += 1
        superstep[runner.CHUNKS_IN_ALL] += chunks
        self._work[len(self._code) - 1] = self._work.get(len(self._code) - 1, 0.0) + work
        self._starts.append(len(self._arguments))
        for argument in arguments:
            self._argument(argument)
        self._rows.append([function, 0, chunks, 0, 0, 0, 0, 0])

    def _emit(self, kind: int, *words: int) -> int:
        """Append an instruction; its number."""
        self._code.append([kind, *words, *[0] * (runner.CODE_WORDS - 1 - len(words))])
        self._new_superstep = True
        return len(self._code) - 1

    def _argument(self, argument: int | Moving) -> None:
        """Append a word, and note which loops move it."""
        if isinstance(argument, Moving):
            for depth, moves in enumerate(self._loops):
                stride, swap = (tuple_[depth] if depth < len(tuple_) else 0
                                for tuple_ in (argument.strides, argument.swaps))
                if stride or swap:
                    moves.append((len(self._arguments), stride, swap))
            if argument.input:
                self._inputs.setdefault(argument.input, []).append(len(self._arguments))
            argument = argument.address
        self._arguments.append(argument)

    # ---- control -----------------------------------------------------------------------------

    def begin_loop(self, count: int) -> None:
        """What follows up to `end_loop` runs `count` times."""
        self._open.append((runner.LOOP, self._emit(runner.LOOP, 0, count)))
        self._loops.append([])

    def end_loop(self) -> None:
        _, begin = self._open.pop()
        count = self._code[begin][runner.COUNT]
        end = self._emit(runner.AGAIN, begin + 1, count)
        self._moves.append((end, self._loops.pop()))
        self._code[begin][runner.TARGET] = len(self._code)

    def begin_branch(self, flag: int | Moving) -> None:
        """What follows up to `otherwise` runs where the byte at `flag` is not zero."""
        self._open.append((runner.BRANCH, self._emit(runner.BRANCH, 0, len(self._arguments))))
        self._argument(flag)

    def otherwise(self) -> None:
        """What follows up to `end_branch` runs where the flag is zero."""
        _, begin = self._open.pop()
        self._open.append((runner.JUMP, self._emit(runner.JUMP)))
        self._code[begin][runner.TARGET] = len(self._code)

    def end_branch(self) -> None:
        self._close()

    def begin_when(self, every: int, offset: int) -> None:
        """What follows up to `end_when` runs in the steps where step % every == offset."""
        self._open.append((runner.WHEN, self._emit(runner.WHEN, 0, every, offset)))

    def end_when(self) -> None:
        self._close()

    def _close(self) -> None:
        _, begin = self._open.pop()
        self._code[begin][runner.TARGET] = len(self._code)
        self._new_superstep = True

    # ---- running -----------------------------------------------------------------------------

    def hold(self, *things: Any) -> None:
        """Keep `things` alive as long as the table: rows hold bare addresses."""
        self._held.extend(things)

    def finish(self) -> Table:
        """Fill the control block: the table may run from now on, and takes no more rows."""
        self._emit(runner.END)
        self._words = np.array(self._arguments or [0], np.int64)
        self._arguments_at_first = self._words.copy()
        base = address_of(self._words)
        rows = np.array(self._rows, np.int64).reshape(-1, runner.ROW_WORDS)
        self._counters = aligned_words(len(rows) * self.threads * runner.LINE // 8)
        rows[:, runner.ARGUMENTS] = base + 8 * np.array(self._starts, np.int64)
        rows[:, runner.COUNTERS] = (address_of(self._counters)
                                    + np.arange(len(rows)) * self.threads * runner.LINE)
        self._finish_code(base)
        self.control[runner.ROWS] = address_of(rows)
        self.control[runner.CODE] = address_of(self._instructions)
        self.control[runner.THREADS] = self.threads
        self.hold(rows)
        self._call = np.array([self.control_address], np.int64)
        self.call_address = address_of(self._call)
        return self

    def _finish_code(self, arguments: int) -> None:
        code = aligned_words(len(self._code) * runner.CODE_WORDS).reshape(-1, runner.CODE_WORDS)
        code[:] = self._code
        for at, kind in enumerate(code[:, runner.KIND]):
            if kind == runner.BRANCH:
                code[at, runner.FLAG] = arguments + 8 * code[at, runner.FLAG]
            if kind == runner.WORK and at > 0:
                code[at, runner.INLINE] = self.threads == 1 or self._is_alone(at)
        for at, moves in self._moves:
            words = np.array([(arguments + 8 * word, stride, swap)
                              for word, stride, swap in moves], np.int64).reshape(-1)
            code[at, runner.MOVES] = address_of(words) if len(words) else 0
            code[at, runner.MOVE_COUNT] = len(moves)
            self.hold(words)
        code[0, runner.OPENED] = 1
        self._instructions, self._instructions_at_first = code, code.copy()

    def _is_alone(self, at: int) -> bool:
        """Whether one thread does the superstep at an instruction, however many there are."""
        return self._work[at] < ALONE or self._code[at][runner.CHUNKS_IN_ALL] == 1

    def plain(self) -> PlainTable:
        """The table instead of `finish`."""
        self._emit(runner.END)
        code = [list(words) for words in self._code]
        moves: list[tuple[int, int, int]] = []
        for at, words in enumerate(code):
            if words[runner.KIND] == runner.WORK and at > 0:
                words[runner.INLINE] = int(self._is_alone(at))
        for at, each in self._moves:
            code[at][runner.MOVES], code[at][runner.MOVE_COUNT] = len(moves), len(each)
            moves += each
        rows = [(row[0], start, row[runner.CHUNKS])
                for row, start in zip(self._rows, self._starts, strict=True)]
        return PlainTable(rows, code, list(self._arguments), moves, dict(self._inputs))

    def watch_faults(self, faults: Array) -> None:
        """End the run after a step in which one of `faults` (int64) is not zero."""
        self.control[runner.FAULTS] = address_of(faults)
        self.control[runner.FAULT_COUNT] = len(faults)
        self.hold(faults)

    def log_to(self, address: int, bytes_: int, events: int) -> None:
        """Where a traced run notes what each thread does: `bytes_` for a thread, so many events."""
        self.control[runner.LOG] = address
        self.control[runner.LOG_BYTES] = bytes_
        self.control[runner.LOG_EVENTS] = events

    def rewind(self, steps: int, first_step: int, spins: int,
               inputs: Mapping[str, int] | None = None) -> None:
        """Make the table ready to run `steps` steps, numbered from `first_step`, on `inputs` at
        these addresses."""
        self.control[_CLEARED] = 0
        self.control[runner.STEPS] = steps
        self.control[runner.STEP] = first_step
        self.control[runner.SPINS] = spins
        self._counters[:] = 0
        self._words[:] = self._arguments_at_first
        for name, address in (inputs or {}).items():
            self._words[self._inputs.get(name, [])] += address
        self._instructions[:] = self._instructions_at_first

    def stop(self) -> None:
        """Ask the run to end after the current step."""
        self.control[runner.STOP] = 1


_CLEARED = [runner.STOP, runner.DONE, runner.FINISHED, runner.CURRENT, runner.POSITION]


def aligned_words(count: int) -> Array:
    """`count` zeroed int64 that start on a cache line."""
    room = np.zeros(count + runner.LINE // 8, np.int64)
    skip = -address_of(room) % runner.LINE // 8
    return room[skip:skip + count]
