"""A Program in plain Python: every kernel's text on NumPy buffers. Slow, for tests and debugging.

Buffers are checked: an index outside the value that a pointer names raises IndexError, where the
native kernel would read or write past it. The chunks of a stage run last to first, so a kernel
that depends on their order gives another result than on the CPU.
"""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from dlc.program import (
    Entry,
    Kernel,
    Launch,
    Loop,
    Program,
    Segment,
    Slot,
    Step,
    TileText,
    place,
    walk,
)
from dlc.runtime.compile.plain import UNCUT, VIEWS, Pointer
from dlc.runtime.compile.primitives import CONSTANTS, PRIMITIVES
from dlc.runtime.compile.runner_primitives import CONTROL
from dlc.runtime.cpu.check import ELEMENT_BYTES, extents_of
from dlc.runtime.cpu.stepped import SteppedProgram

NUMPY = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "u8": np.uint8,
         "i8": np.int8, "i16": np.int16,
         "u16": np.uint16, "u32": np.uint32, "u64": np.uint64, "bool": np.uint8,
         "f16": np.uint16, "bf16": np.uint16}


def kernel_function(kernel: Kernel, prelude: str = "",
                    tiles: dict[str, TileText] | None = None) -> Callable[..., Any]:
    """The function of `kernel`'s text with plain bodies for all that it calls.

    It takes a Pointer or a number for each parameter, in order, then `chunk`; one over parallel
    axes takes no chunk, and runs their positions one after the other.
    """
    scope = dict(prelude_scope(prelude))
    for name in kernel.tiles:
        _execute((tiles or {})[name].plain, f"<tile {name}>", scope)
    _execute(kernel.text, f"<kernel {kernel.name}>", scope)
    found: Callable[..., Any] = scope[kernel.name]
    return _reporting(kernel, found) if kernel.raises else found


@lru_cache(maxsize=16)
def prelude_scope(prelude: str) -> Mapping[str, Any]:
    """The primitives, and the functions of a prelude, made once: they keep nothing."""
    scope: dict[str, Any] = {p.name: p.plain for p in (*PRIMITIVES.values(), *CONTROL.values())}
    scope.update({**CONSTANTS, **VIEWS, **UNCUT})
    _execute(prelude, "<prelude>", scope)
    return scope


def _reporting(kernel: Kernel, function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that may raise, which instead leaves the line in its last buffer."""
    last = max(i for i, p in enumerate(kernel.params) if p.kind == "pointer")
    lines = len(kernel.text.splitlines())

    def run(*arguments: Any) -> None:
        chunk, code = arguments[-1], 0
        try:
            function(*arguments)
        except (IndexError, ValueError) as error:
            within = [f.lineno or 1 for f in traceback.extract_tb(error.__traceback__)
                      if f.filename == f"<kernel {kernel.name}>"]
            code = lines + 1 - within[-1]
        arguments[last][chunk] = code
    return run


def _execute(text: str, filename: str, scope: dict[str, Any]) -> None:
    """Run `text`; debuggers and tracebacks show its lines."""
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    exec(code_of(text, filename), scope)


@lru_cache(maxsize=128)
def code_of(text: str, filename: str) -> Any:
    """The text compiled once: tiles are shared by kernels."""
    return compile(text, filename, "exec")


class InterpretedProgram(SteppedProgram):
    """A Program whose kernels run in plain Python (device "interpret")."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._functions = [kernel_function(k, program.prelude, program.tiles)
                           for k in program.kernels]
        self._extents: dict[tuple[str, int], dict[Slot, int]] = {}

    def run(self, entry: str) -> None:
        """Run the launches of `entry` once, chunks last to first."""
        self._begin(entry)
        found = self.entry(entry)
        with np.errstate(all="ignore"):
            self._run_steps(found, found.launches, 0, ())

    def run_launch(self, entry: str, index: int, iterations: Sequence[int] = ()) -> None:
        """Run launch `index` of `entry.flat` alone, chunks last to first."""
        self._alive()
        found = self.entry(entry)
        with np.errstate(all="ignore"):
            self._run_launch(found, index, found.flat[index], tuple(iterations))

    def _run_steps(self, entry: Entry, steps: Sequence[Step], index: int,
                   at: tuple[int, ...]) -> int:
        """Run steps in iteration `at` of the loops around; the number of the launch after them."""
        for step in steps:
            if isinstance(step, Launch):
                self._run_launch(entry, index, step, at)
                index += 1
            elif isinstance(step, Loop):
                for iteration in range(step.count):
                    self._run_steps(entry, step.launches, index, (*at, iteration))
                index += len(list(walk(step.launches)))
            else:
                second = index + len(list(walk(step.then)))
                if self._bytes(place(step.flag, at), 1)[0]:
                    self._run_steps(entry, step.then, index, at)
                else:
                    self._run_steps(entry, step.otherwise, second, at)
                index = second + len(list(walk(step.otherwise)))
        return index

    def _run_launch(self, entry: Entry, index: int, launch: Launch, at: tuple[int, ...]) -> None:
        key = entry.name, index
        if key not in self._extents:  # a loop comes here again and again
            self._extents[key] = extents_of(self.program, entry, index)
        extents = self._extents[key]
        for stage in launch.stages:
            for segment in reversed(stage):
                arguments = self._arguments(segment, extents, at)
                for chunk in reversed(range(segment.chunks)):
                    self._functions[segment.kernel](*arguments, chunk)

    def _arguments(self, segment: Segment, extents: dict[Slot, int],
                   at: tuple[int, ...]) -> list[Any]:
        values: list[Any] = []
        kernel = self.program.kernels[segment.kernel]
        for parameter, value in zip(kernel.params, segment.args, strict=True):
            if isinstance(value, Slot):
                size, start = ELEMENT_BYTES[parameter.dtype], place(value, at)
                count = extents.get(value, self.program.arena_bytes - start) // size
                flat = self._bytes(start, count * size).view(NUMPY[parameter.dtype])
                values.append(Pointer(flat))
            else:
                values.append(np.float64(value) if parameter.dtype == "f64" else int(value))
        return values
