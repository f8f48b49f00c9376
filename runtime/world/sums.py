"""What micro-batches compute, as flat buffers, and the fixed binary tree in which they are added.

A buffer has a region for each dtype, in it the values in the order of the program: its layout and
so every boundary in it is known when the program is compiled, and is the same in all processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.program import Port

Array = np.ndarray[Any, Any]
LINE = 64  # bytes to which regions and the pieces of a buffer are aligned
CONTROL = "control"  # the words behind the integers: what the processes tell each other in a step
CONTROL_WORDS = 2


class Layout:
    """Where each of `ports`, the summed outputs of an entry, lies in a buffer."""

    def __init__(self, ports: Sequence[Port]) -> None:
        self.regions: list[tuple[np.dtype[Any], int, int]] = []
        self.places: dict[str, tuple[np.dtype[Any], tuple[int, ...], int]] = {}
        top = 0
        shapes = [(p.name, p.type.dtype.numpy, tuple(map(int, p.type.shape))) for p in ports]
        shapes.append((CONTROL, np.dtype(np.int32), (CONTROL_WORDS,)))
        for dtype in sorted({np.dtype(kind) for _, kind, _ in shapes}, key=str):
            start = top
            for name, kind, shape in shapes:
                if np.dtype(kind) == dtype:
                    self.places[name] = dtype, shape, top
                    top += int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            self.regions.append((dtype, start, top))
            top = -(-top // LINE) * LINE
        self.bytes = top
        self._views: dict[int, tuple[Array, dict[str, Array]]] = {}

    def views(self, buffer: Array) -> dict[str, Array]:
        """All values of a buffer that is used again and again, by name; made once and kept."""
        if id(buffer) not in self._views:
            found = {name: self.view(buffer, name) for name in self.places}
            self._views[id(buffer)] = buffer, found
        return self._views[id(buffer)][1]

    def empty(self) -> Array:
        """A buffer of zeros: what a micro-batch without rows adds."""
        return np.zeros(self.bytes, np.uint8)

    def view(self, buffer: Array, name: str) -> Array:
        """The value `name` in a buffer, sharing its memory."""
        dtype, shape, start = self.places[name]
        count = int(np.prod(shape, dtype=np.int64))
        return buffer[start:start + count * dtype.itemsize].view(dtype).reshape(shape)

    def add(self, left: Array, right: Array, out: Array, start: int = 0,
            end: int | None = None) -> None:
        """out = left + right, of the bytes from `start` to `end`, which are on lines. The order of
        the operands counts where both are NaN."""
        end = self.bytes if end is None else end
        with np.errstate(all="ignore"):
            for dtype, low, high in self.regions:
                part = slice(max(low, start), min(high, end))
                if part.start < part.stop:
                    np.add(left[part].view(dtype), right[part].view(dtype),
                           out=out[part].view(dtype))


class Tree:
    """The sum of buffers that come one after the other, as a balanced binary tree adds them.

    Two sums of equally many are added as soon as there are two, so that of n buffers no more than
    log2(n) + 1 are kept. n is a power of 2.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.kept: list[tuple[int, Array]] = []  # (how many it is the sum of, the sum)
        self.free: list[Array] = []

    def leaf(self) -> Array:
        """A buffer to fill with the next operand; every byte of it is to be written."""
        return self.free.pop() if self.free else self.layout.empty()

    def push(self, buffer: Array) -> None:
        """Add the next operand."""
        count = 1
        while self.kept and self.kept[-1][0] == count:
            _, left = self.kept.pop()
            self.layout.add(left, buffer, left)
            self.free.append(buffer)
            buffer, count = left, 2 * count
        self.kept.append((count, buffer))

    def take(self) -> Array:
        """The sum of all that were pushed; `give` it back when it is read."""
        (_, total), = self.kept
        self.kept = []
        return total

    def give(self, buffer: Array) -> None:
        self.free.append(buffer)
