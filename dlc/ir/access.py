"""How operators read their operands, as index maps: what the kernel lowering takes from a record.

An index is a tuple of index expressions: anything with + - * // %. Records build maps with those
operators only, so the same map serves kernels and tests on plain ints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Index = tuple[Any, ...]


def unravel(flat: Any, shape: Sequence[int]) -> Index:
    """The index into `shape` of the element at row-major position `flat`."""
    index: list[Any] = []
    for axis in reversed(range(len(shape))):
        index.append(flat if axis == 0 else flat % int(shape[axis]))
        flat = flat // int(shape[axis])
    return tuple(reversed(index))


def ravel(index: Index, shape: Sequence[int]) -> Any:
    """The row-major position of `index` in `shape`."""
    flat: Any = 0
    for i, d in zip(index, shape, strict=True):
        flat = flat * int(d) + i
    return flat


@dataclass(frozen=True)
class Within:
    """low <= value < high"""

    value: Any
    low: int
    high: int


@dataclass(frozen=True)
class Divides:
    """value is a multiple of `by`"""

    value: Any
    by: int


Condition = Within | Divides


@dataclass(frozen=True)
class Piece:
    """The operand's element at `index`, where all `conditions` hold."""

    operand: int
    index: Index
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Access:
    """A view's element: the first piece whose conditions hold, else `fill`."""

    pieces: tuple[Piece, ...]
    fill: float = 0.0


@dataclass(frozen=True)
class Combine:
    """How a reduction folds elements.

    `identity(dtype)` gives the start of each state; `step(k, states, x, position)` folds element x,
    `position` is its linear index among the reduced ones; `merge(k, a, b)` folds two states (a
    before b); `finish(k, states)` gives the result. `reorders`: elements may be folded in lanes.
    `total`, of floats: its merge(k, totals, states) takes what a run of elements gave into states
    of more precision, from which its finish gives the result. `lanes`: long loops keep states for
    several elements at a time, as LLVM cannot make lanes of such states by itself.
    """

    identity: Callable[[Any], tuple[float, ...]]
    step: Callable[..., tuple[Any, ...]]
    merge: Callable[..., tuple[Any, ...]]
    finish: Callable[..., Any]
    state_dtypes: Callable[[Any], tuple[Any, ...]]
    reorders: bool = False
    total: Combine | None = None
    lanes: bool = False


@dataclass(frozen=True)
class Reduction:
    """A REDUCE node: for each output index, fold the operand over `extents`.

    `read(out, inner)` is the access for output index `out` and reduction index `inner`.
    """

    extents: tuple[int, ...]
    read: Callable[[Index, Index], Access]
    combine: Combine


@dataclass(frozen=True)
class Contraction:
    """A CONTRACT node: out[i] = sum over `extents` of a * b.

    `batch`, `rows`, `cols` are the output axes read by both operands, by a only, by b only.
    """

    extents: tuple[int, ...]
    batch: tuple[int, ...]
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    read_a: Callable[[Index, Index], Access]
    read_b: Callable[[Index, Index], Access]
    residues: tuple[Residue, ...] = ()


@dataclass(frozen=True)
class Residue:
    """A contraction's outputs of one residue by the gap, which only every so many products reach.

    Where an operand is read at (out + inner) / gap, most products are with the zeros between the
    elements. The residues of a contraction cover its outputs; each is one without such zeros:
    `shape` its outputs, `place` where output i of it stands. A sum over 0 products is 0.
    """

    shape: tuple[int, ...]
    contraction: Contraction
    place: Callable[[Index], Index]
