"""Which inputs of a program are gone: their memory is reused after their last use in a run, and a
call may read them where the caller has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from dlc.program import Buffer, Port, Program

Key = tuple[str, int, int]  # an input's name, offset and bytes: entries may share it


def key_of(port: Port) -> Key:
    """What tells an input from others, of this entry or of another."""
    return port.name, port.offset, port.type.bytes


class SpentInputs:
    """The inputs whose bytes something else was written to since they were given.

    `run` and `given` note what a run of an entry and a write do; `gone` asks.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._persistent = {port.name for port in program.persistent}
        self._gone: set[Key] = set()
        self._by_entry: dict[str, frozenset[Key]] = {}
        self._beside: dict[Key, frozenset[Key]] = {}
        self._fed: dict[str, tuple[frozenset[Key], frozenset[Key]]] = {}

    @cached_property
    def inputs(self) -> dict[Key, Port]:
        """The inputs that are no parameters and no state, of all entries."""
        return {key_of(p): p for entry in self.program.entries.values()
                for p in entry.inputs if p.name not in self._persistent and p.role != "step"}

    def given(self, port: Port) -> None:
        """`port` was written: it is there again, and what shares its bytes is not."""
        key = key_of(port)
        if key not in self._beside:
            shared = self._within(port.offset, port.offset + port.type.bytes, port)
            self._beside[key] = frozenset(shared if key in self.inputs else ())
        self._gone.discard(key)
        self._gone |= self._beside[key]

    def all_given(self, entry: str) -> None:
        """All inputs of `entry` were written, in one go."""
        if entry not in self._fed:
            ports = [p for p in self.program.entries[entry].inputs if key_of(p) in self.inputs]
            self._fed[entry] = frozenset(map(key_of, ports)), frozenset(
                key for p in ports for key in self._within(p.offset, p.offset + p.type.bytes, p))
        there, under = self._fed[entry]
        self._gone = (self._gone | under) - there

    def elsewhere(self, ports: Iterable[Port]) -> None:
        """A run read `ports` where the caller had them: the arena does not hold them."""
        self._gone.update(map(key_of, ports))

    def run(self, entry: str) -> None:
        """`entry` runs: what its values overlap is gone."""
        if entry not in self._by_entry:
            self._by_entry[entry] = frozenset(
                key for _, buffer in self.program.lives.get(entry, ()) if buffer.first >= 0
                for start, end in extents(buffer) for key in self._within(start, end, None))
        self._gone |= self._by_entry[entry]

    def gone(self, entry: str) -> list[str]:
        """The inputs of `entry` that have to be written again before it runs."""
        return [p.name for p in self.program.entries[entry].inputs
                if key_of(p) in self._gone] if self._gone else []

    def lost(self, port: Port) -> bool:
        """Whether `port` is an input that is gone, and no output that took its place."""
        return key_of(port) in self._gone and not any(
            key_of(port) == key_of(out) for entry in self.program.entries.values()
            for out in entry.outputs)

    def clear(self) -> None:
        """All bytes of the arena were put back."""
        self._gone.clear()

    def _within(self, start: int, end: int, but: Port | None) -> Iterator[Key]:
        """The inputs with bytes in start .. end, `but` for one."""
        for key, port in self.inputs.items():
            same = but is not None and key == key_of(but)
            if not same and port.offset < end and start < port.offset + port.type.bytes:
                yield key


def extents(buffer: Buffer) -> Iterator[tuple[int, int]]:
    """Where a buffer lies, and where its other half does when iterations swap two."""
    for shift in (0, *buffer.swaps):
        yield buffer.offset + shift, buffer.offset + shift + buffer.bytes
