"""Positions in sequences: encodings, learned ones, and what is kept from position to position."""

from __future__ import annotations

import math
from typing import Any

from dlc import init
from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import Type, f32
from dlc.lang.array.dynamic_slice import dynamic_slice, dynamic_update_slice
from dlc.lang.layer import Layer
from dlc.lang.scope import Initializer, decoding, parameter, position, state, update_state
from dlc.nn import checks
from dlc.ops import elementwise, leaf, view
from dlc.ops.convert import as_node, cast


def sinusoidal_positions(length: int, size: int, base: float = 10000.0) -> Node:
    """f32[length, size]: sin(p / base^(2i/size)) in column 2i, the cosine in 2i+1 (Vaswani et al.
    2017, section 3.5)."""
    checks.at_least("sinusoidal_positions", 1, length=length, size=size)
    checks.number("sinusoidal_positions", 0, base=base)
    place = cast(leaf.iota((length, size), 0), f32)
    column = leaf.iota((length, size), 1)
    pair = cast(column - column % 2, f32)
    angle = place * elementwise.exp(pair * (-math.log(base) / size))
    return elementwise.where(column % 2 == 0, elementwise.sin(angle), elementwise.cos(angle))


def positional_encoding(base: float = 10000.0, name: str = "") -> Layer:
    """x [..., time, features] plus sinusoidal_positions."""
    def apply(x: Node) -> Node:
        checks.rank(x, 2, "[..., time, features]")
        checks.floating(x)
        length, size = map(int, x.shape[-2:])
        rows = sinusoidal_positions(decoding() or length, size, base)
        return x + cast(rows_here(rows, length), x.dtype)

    return Layer("positional_encoding", apply, "positional_encoding()", name, here())


def position_embedding(count: int, weight_init: Initializer | None = None,
                       name: str = "") -> Layer:
    """x [batch, time, features] plus a learned row for each position: weight [count, features],
    normal with deviation .02; time is at most `count`.

    Raises DlcError for a longer sequence. Source: Gehring et al. 2017, Convolutional sequence to
    sequence learning, section 3.1; Radford et al. 2018.
    """
    checks.at_least("position_embedding", 1, count=count)

    def apply(x: Node) -> Node:
        checks.rank(x, 3, "[batch, time, features]", 3)
        checks.floating(x)
        length, size = map(int, x.shape[-2:])
        if length > count:
            raise DlcError(f"{describe(x)} has {length} positions, the table {count}", here(),
                           f"nn.position_embedding({length})")
        rows = parameter("weight", Type(x.dtype, (count, size)), weight_init or init.normal(0.02))
        return x + rows_here(rows, length)

    return Layer("position_embedding", apply, f"position_embedding({count})", name, here())


# --- one position at a time -----------------------------------------------------------------------


def rows_here(table: Node, length: int) -> Node:
    """The rows of a table [positions, size] for the `length` positions that are computed."""
    if decoding() is None:
        return view.narrow(table, 0, 0, length)
    return dynamic_slice(table, (position(), 0), (length, int(table.shape[1])))


def remembered(name: str, x: Node) -> Node:
    """x [batch, heads, 1, size] of this position among those of the positions before it: [batch,
    heads, decoding(), size], a state, in which those behind it are of no meaning."""
    batch, heads, _, size = map(int, x.shape)
    memory = state(name, Type(x.dtype, (batch, heads, decoding() or 1, size)))
    now = dynamic_update_slice(memory, x, (0, 0, position(), 0))
    update_state(memory, now)
    return now


def so_far() -> Node:
    """bool [1, decoding()]: which positions there are, this one included."""
    return leaf.iota((1, decoding() or 1), 1) <= position()


def rotary(x: Any, base: float = 10000.0, start: Any = 0) -> Node:
    """Rotary embedding: pair (i, i + size/2) of x [..., time, size] is rotated by its position
    times base^(-2i/size).

    Products of rotated queries and keys depend on distances only. `start` is the first position, a
    number or an integer scalar. Raises DlcError for an odd size. Source: Su et al. 2021, eq. 34,
    with halves instead of neighbours as pairs.
    """
    node = as_node(x)
    checks.rank(node, 2, "[..., time, size]")
    checks.floating(node)
    length, size = map(int, node.shape[-2:])
    if size % 2:
        raise DlcError(f"rotary({describe(node)}): the last axis has no halves", here(),
                       "its size must be even")
    half = size // 2
    place = cast(leaf.iota((length, half), 0) + start, f32)
    pair = cast(leaf.iota((length, half), 1), f32)
    angle = place * elementwise.exp(pair * (-2.0 * math.log(base) / max(1, size)))
    cos, sin = (cast(f(angle), node.dtype) for f in (elementwise.cos, elementwise.sin))
    a, b = (view.narrow(node, node.ndim - 1, at, half) for at in (0, half))
    return view.concat([a * cos - b * sin, b * cos + a * sin], -1)
