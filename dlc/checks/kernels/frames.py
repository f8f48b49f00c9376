"""The state of a walk over a kernel: buffers, pointers, frames of values, events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dlc.backend.ir import Load, Store, TileCall
from dlc.backend.ir.printer import lines
from dlc.backend.ir.words import joined
from dlc.checks.kernels.ranges import UNKNOWN, Range, Space, word

if TYPE_CHECKING:
    from dlc.checks.kernels.spots import Spot


class WorkLimit(Exception):
    """More rows than a walk may take."""


class Unsettled(Exception):
    """A local buffer, named, whose integers change after they were read."""


class Unread(Exception):
    """A kernel that a walk can't follow."""


@dataclass(eq=False)
class Memory:
    """A buffer: a parameter, or a local one, whose integers are followed as one range.

    Any word may be in one that the kernel reads only. What it stores to a parameter and reads
    again is not followed: that is unknown.
    """

    name: str
    dtype: str
    extent: int
    local: bool = False
    holds: Range | None = None
    written: bool = False
    looked: bool = False

    def value(self) -> Range:
        """What a load gives: what was stored in a local buffer, else any word."""
        self.looked = True
        return UNKNOWN if self.written else self.holds or word(self.dtype)


@dataclass(eq=False, slots=True)
class Pointer:
    memory: Memory
    offset: Range


@dataclass(eq=False, slots=True)
class Event:
    """A load or a store at `offset` and `sides` beyond it (footprints.Box), in the rows of `space`.

    `node` is the Load, Store or TileCall; `path` are the statements around it, from the kernel's
    body inwards, `bodies` the rows in which the rounds of each run, one after the other.
    """

    node: Load | Store | TileCall
    memory: Memory
    written: bool
    offset: Range
    sides: tuple[Any, ...]
    space: Space
    path: tuple[Spot, ...]
    bodies: tuple[Space, ...]

    @property
    def line(self) -> int:
        """The line of the kernel's text on which it stands."""
        return self.path[-1].line

    @property
    def text(self) -> str:
        """The access as it stands there."""
        if isinstance(self.node, TileCall):
            return joined(lines(self.node, "")[0])
        return f"{self.node.buffer}[{self.node.index.text()}]"


@dataclass(eq=False, slots=True)
class Frame:
    """Where the walk is: values by name, what conditions taught, the rows, the statements around.
    """

    values: dict[str, Any]
    space: Space
    taught: dict[str, tuple[Any, Any, Space]] = field(default_factory=dict)

    def get(self, name: str) -> Any:
        value = self.values.get(name)
        if isinstance(value, Range) and value.space is not None and value.space is not self.space:
            value = self.values[name] = value.within(self.space)
        return value

    def inner(self, space: Space) -> Frame:
        return Frame(dict(self.values), space, dict(self.taught))
