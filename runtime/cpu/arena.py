"""The arena of a loaded Program, and how values enter and leave it by name."""

from __future__ import annotations

import contextlib
import difflib
import mmap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from dlc.ir.types import Type
from dlc.program import Entry, Port, Program
from dlc.runtime.cpu.check import check_program
from dlc.runtime.cpu.spent import SpentInputs
from dlc.runtime.steps import Log, Phase, PhaseError, StepReport, check_phase

Array = np.ndarray[Any, Any]
HUGE_PAGE_FROM = 4 << 20  # bytes from which the arena asks for huge pages


class PortError(ValueError):
    """A name, shape or dtype that does not fit the program's inputs and outputs."""


class ArenaProgram(ABC):
    """A Program with memory: `arena_bytes` zeroed bytes, constants in place, values by name.

    Raises ProgramError when the program does not hold together.
    """

    def __init__(self, program: Program) -> None:
        check_program(program)
        self.program = program
        self._memory: mmap.mmap | None = allocate(program)
        self._arena: Array = np.frombuffer(self._memory, np.uint8)
        self._persistent = {port.name: port for port in program.persistent}
        self._spent = SpentInputs(program)
        self._ports: dict[tuple[str, str | None, bool], Port] = {}
        self._views: dict[tuple[int, Type], Array] = {}
        self._put_constants()

    def _put_constants(self) -> None:
        for constant in self.program.constants:
            self._bytes(constant.offset, len(constant.data))[:] = np.frombuffer(
                constant.data, np.uint8)

    # ---- running ---------------------------------------------------------------------------

    @abstractmethod
    def run(self, entry: str) -> None:
        """Run the launches of `entry` once on what the arena holds. Raises PortError when an input
        of it was overwritten since it was given: memory is reused after a value's last use."""

    def _begin(self, entry: str) -> None:
        """What `run` does first: refuse inputs that are gone, note those that will be."""
        self._alive()
        self.entry(entry)
        gone = self._spent.gone(entry)
        if gone:
            raise PortError(f"{entry} can't run again: {', '.join(gone)} is not in the arena any "
                            "more (a call reads large arrays where they lie, and later values of "
                            "a run take an input's memory); write it before each run, or use "
                            f"call({entry!r}, {gone[0]}=...)")
        self._spent.run(entry)

    def run_on(self, entry: str, inputs: Mapping[str, Any]) -> None:
        """Run `entry` on `inputs`, which need not lie in the arena then or afterwards. Raises
        PortError for a misfitting one, and as `run` does."""
        self._write_all(entry, inputs)
        self.run(entry)

    def _write_all(self, entry: str, inputs: Mapping[str, Any]) -> None:
        for name, value in inputs.items():
            self.write(name, value, entry)

    @abstractmethod
    def run_launch(self, entry: str, index: int, iterations: Sequence[int] = ()) -> None:
        """Run launch `index` of `entry.flat` alone, in these iterations of the loops around it."""

    @abstractmethod
    def run_steps(self, phases: Sequence[Phase], steps: int, *, first_step: int = 0,
                  watch: Callable[[int, Log], bool | None] | None = None,
                  interval: float = 0.1) -> StepReport:
        """Run `steps` steps of `phases` (docs/design/runtime.md). Raises PortError."""

    def check_phases(self, phases: Sequence[Phase], steps: int, first_step: int) -> None:
        """Raise PhaseError unless `phases` can run `steps` steps from `first_step`."""
        if steps < 0 or first_step < 0 or not phases:
            raise PhaseError(f"run_steps takes at least one phase and no negative numbers, got "
                             f"{len(phases)} phases, steps={steps}, first_step={first_step}")
        for phase in phases:
            check_phase(phase, self.entry(phase.entry), self._persistent, steps, first_step)
            self._spent.run(phase.entry)

    def call(self, entry: str, **inputs: Any) -> dict[str, Array]:
        """Write `inputs`, run `entry`, and read its outputs (updates of parameters left out).

        Raises PortError for a missing, unknown or misfitting input.
        """
        found = self.entry(entry)
        ports = {p.name: p for p in found.inputs if p.name not in self._persistent}
        for name in inputs:
            if name not in ports:
                raise PortError(f"{entry} has no input {name!r}; {suggest(name, ports)}")
        missing = [p.name for p in ports.values() if p.name not in inputs and p.role != "step"]
        if missing:
            raise PortError(f"{entry} also takes {', '.join(missing)}")
        self.run_on(entry, {name: inputs.get(name, 0) for name in ports})
        return {p.name: self._load(p) for p in found.outputs if p.name not in self._persistent}

    # ---- values ----------------------------------------------------------------------------

    @property
    def allocated_bytes(self) -> int:
        """Bytes that the allocator took for the arena: program.peak_bytes."""
        return self.program.arena_bytes and len(self._alive())

    def write(self, name: str, value: Any, entry: str | None = None) -> None:
        """Copy `value` into the persistent value or entry input `name`.

        Python numbers fit any scalar; arrays need the very dtype and shape. Raises PortError.
        """
        self._store(self.port(name, entry, outputs=False), value)

    def read(self, name: str, entry: str | None = None) -> Array:
        """A copy of the persistent value, entry output or entry input `name`, in logical order.
        Raises PortError for an input that the arena does not hold any more."""
        port = self.port(name, entry, outputs=True)
        if self._spent.lost(port):
            raise PortError(f"{name} is not in the arena any more: a call reads large arrays where "
                            "they lie, and later values of a run take an input's memory")
        return self._load(port)

    def value(self, port: Port) -> Array:
        """The value of an entry's port in logical order, sharing the arena."""
        return self._view(port.offset, port.type)

    def fed(self, entry: str) -> None:
        """All inputs of `entry` were written through `value`: it may run."""
        self._alive()
        self._spent.all_given(entry)

    def value_at(self, offset: int, kind: Type) -> Array:
        """A copy of the value of type `kind` at `offset`, in logical order."""
        return self._view(offset, kind).copy()

    def save(self) -> Array:
        """A copy of all bytes of the arena, for `restore`."""
        self._alive()
        return self._arena.copy()

    def restore(self, saved: Array) -> None:
        """Make every byte of the arena what it was at `save`."""
        self._alive()
        self._arena[:] = saved
        self._spent.clear()

    def spoil(self, start: int = 0, end: int | None = None) -> None:
        """Fill the bytes from `start` to `end` of the arena, but for the constants, with bytes that
        are NaN in every float."""
        self._alive()
        self._arena[start:end] = 0xFF
        self._put_constants()

    def entry(self, name: str) -> Entry:
        """The entry called `name`; raises PortError."""
        if name not in self.program.entries:
            raise PortError(f"{self.program.name} has no entry {name!r}; "
                            f"{suggest(name, self.program.entries)}")
        return self.program.entries[name]

    def port(self, name: str, entry: str | None, outputs: bool) -> Port:
        """Where `name` lies. Raises PortError when unknown or different between entries."""
        asked = name, entry, outputs
        if asked not in self._ports:
            self._ports[asked] = self._persistent.get(name) or self._find_port(*asked)
        return self._ports[asked]

    def _find_port(self, name: str, entry: str | None, outputs: bool) -> Port:
        entries = [self.entry(entry)] if entry is not None else self.program.entries.values()
        found: dict[tuple[int, Type], Port] = {}
        names: dict[str, None] = dict.fromkeys(self._persistent)
        for one in entries:
            ports = {p.name: p for p in (*one.inputs, *(one.outputs if outputs else ()))}
            names.update(dict.fromkeys(ports))
            if name in ports:
                found[ports[name].offset, ports[name].type] = ports[name]
        if not found:
            where = f"entry {entry}" if entry is not None else self.program.name
            raise PortError(f"{where} has no value {name!r}; {suggest(name, names)}")
        if len(found) > 1:
            raise PortError(f"{name!r} is not the same value in every entry; say which: "
                            f"entry={' or '.join(map(repr, self.program.entries))}")
        return next(iter(found.values()))

    def _store(self, port: Port, value: Any) -> None:
        array = to_array(port, value)
        self._view(port.offset, port.type)[...] = array
        self._spent.given(port)

    def _load(self, port: Port) -> Array:
        return self._view(port.offset, port.type).copy()

    def _view(self, offset: int, kind: Type) -> Array:
        """The value of type `kind` at `offset`, axes in logical order, sharing the arena."""
        self._alive()
        key = offset, kind
        if key not in self._views:
            flat = self._bytes(offset, kind.bytes).view(kind.dtype.numpy)
            order = kind.layout or tuple(range(kind.ndim))
            stored = flat.reshape([int(kind.shape[axis]) for axis in order])
            self._views[key] = stored.transpose(np.argsort(order)) if order else stored
        return self._views[key]

    def _bytes(self, offset: int, count: int) -> Array:
        self._alive()
        return self._arena[offset:offset + count]

    def _alive(self) -> mmap.mmap:
        if self._memory is None:
            raise PortError(f"{self.program.name} is closed")
        return self._memory

    # ---- end of life -----------------------------------------------------------------------

    def close(self) -> None:
        """Give the memory back; any later use is refused."""
        memory, self._memory = self._memory, None
        if memory is not None:
            self._arena = np.empty(0, np.uint8)
            self._views.clear()
            with contextlib.suppress(BufferError):  # a traceback may hold a view: freed with it
                memory.close()

    def __enter__(self) -> ArenaProgram:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def allocate(program: Program) -> mmap.mmap:
    """Zeroed, page-aligned memory for the arena. Raises MemoryError when there is none."""
    size = program.arena_bytes
    try:
        memory = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise MemoryError(f"{program.name} takes {size / 2**30:,.1f} GiB ({size:,} bytes) of "
                          f"memory: {why}; a smaller batch takes less") from None
    if size >= HUGE_PAGE_FROM and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def to_array(port: Port, value: Any) -> Array:
    """`value` as an array of the port's dtype and shape. Raises PortError when it does not fit."""
    kind = port.type
    dtype = kind.dtype.numpy
    shape = tuple(int(d) for d in kind.shape)
    if isinstance(value, (bool, int, float)) and not isinstance(value, np.generic):
        return _number(port, value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise PortError(f"{port.name} takes {kind.describe()}: {error}") from None
    if array.dtype != dtype:
        raise PortError(f"{port.name} takes {kind.describe()}, got dtype {array.dtype}; "
                        f"convert it with .astype({kind.dtype.numpy.name!r})")
    if array.shape != shape:
        raise PortError(f"{port.name} takes {kind.describe()}, got shape {list(array.shape)}")
    return array


def physical(kind: Type, array: Array) -> Array:
    """`array`, in logical order, as it lies in memory: contiguous, axes in layout order."""
    return np.ascontiguousarray(array.transpose(kind.layout) if kind.layout else array)


def readable(port: Port, value: Any) -> Array:
    """`value` as kernels can read it: as it lies in memory if it is contiguous and its elements are
    aligned, else a copy. Raises PortError when it does not fit."""
    array = physical(port.type, to_array(port, value))
    return array if array.flags.aligned else array.copy()


def _number(port: Port, value: Any) -> Array:
    kind = port.type
    if kind.shape:
        raise PortError(f"{port.name} takes {kind.describe()}, got the number {value!r}")
    if isinstance(value, float) and not kind.dtype.is_float:
        raise PortError(f"{port.name} takes {kind.describe()}, got the float {value!r}")
    try:
        return np.asarray(value).astype(kind.dtype.numpy) if kind.dtype.is_float else np.array(
            value, kind.dtype.numpy)
    except OverflowError:
        raise PortError(f"{port.name} takes {kind.describe()}; {value} is out of range") from None


def suggest(name: str, known: Iterable[str]) -> str:
    """The known names nearest to `name`, as the end of a message."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are {', '.join(names[:20])}" if names else "there are none"
