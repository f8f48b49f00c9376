"""How operators whose attributes name axes take one more axis, of examples: `batch` in records.

A rule gets the node, its operands (those mapped have the examples along their first axis), which
are mapped (at least one is, or the operator draws random numbers), and how many examples there are.
It gives the result with the examples first; of several results, or one that no example changes, a
list of (node, mapped).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dlc.ir.graph import Node, make

Flags = tuple[bool, ...]


def along_examples(x: Node, size: int, mapped: bool = False) -> Node:
    """`x` with a first axis of `size` examples: repeated, unless it is mapped already."""
    from dlc.ops.convert import broadcast_to

    return x if mapped else broadcast_to(x, (size, *x.shape))


def examples_at(x: Node, axis: int) -> Node:
    """`x` with its axis `axis` moved to the front."""
    from dlc.ops.view import transpose

    return transpose(x, (axis, *(a for a in range(x.ndim) if a != axis)))


# --- views ----------------------------------------------------------------------------------------


def transpose(node: Node, args: Sequence[Node], mapped: Flags, size: int) -> Node:
    """The first axis stays the first."""
    return make(node.op, args, axes=(0, *(a + 1 for a in node.attrs["axes"])))


def broadcast(node: Node, args: Sequence[Node], mapped: Flags, size: int) -> Node:
    """New axes come behind the examples."""
    from dlc.ops.convert import broadcast_to
    from dlc.ops.view import reshape

    shape = node.attrs["shape"]
    inner = args[0].shape[1:]
    aligned = reshape(args[0], (size, *(1,) * (len(shape) - len(inner)), *inner))
    return broadcast_to(aligned, (size, *shape))


# --- contractions ---------------------------------------------------------------------------------


def matmul(node: Node, args: Sequence[Node], mapped: Flags, size: int) -> Node:
    """One operand for all examples makes a single, taller product."""
    from dlc.ops.contract import swap

    a, b = args
    if node.ndim == 2 and mapped == (True, False):
        return _taller(node, a, b)
    if node.ndim == 2 and mapped == (False, True):
        return swap(_taller(node, swap(b), swap(a)))
    return make(node.op, [along_examples(x, size, m) for x, m in zip(args, mapped, strict=True)])


def _taller(node: Node, stack: Node, matrix: Node) -> Node:
    """stack [B, m, k] times matrix [k, n], as (B m, k) times (k, n)."""
    from dlc.ops.view import reshape

    flat = reshape(stack, (math.prod(stack.shape[:2]), stack.shape[2]))
    return reshape(make(node.op, (flat, matrix)), (*stack.shape[:2], matrix.shape[1]))


def conv(node: Node, args: Sequence[Node], mapped: Flags, size: int) -> Node:
    """Examples of the input join its batch, of the kernel its output channels, of both are groups.
    """
    from dlc.ops.view import reshape

    (x, w), attrs = args, node.attrs
    grouped = attrs["grouped"]
    if not mapped[1]:
        y = make(node.op, (reshape(x, (size * x.shape[1], *x.shape[2:])), w), **attrs)
        return reshape(y, (size, x.shape[1], *y.shape[1:]))
    if mapped[0]:
        return _conv_in_groups(node, x, w, size)
    # [B, (G,) O, C, K...] -> [(G,) B O, C, K...]
    w = _moved(w, 0, 1) if grouped else w
    lead = w.shape[:1] if grouped else ()
    at = len(lead)
    merged = reshape(w, (*lead, size * w.shape[at + 1], *w.shape[at + 2:]))
    y = make(node.op, (x, merged), **attrs)
    at = 2 if grouped else 1
    parts = reshape(y, (*y.shape[:at], size, y.shape[at] // size if size else 0, *y.shape[at + 1:]))
    return examples_at(parts, at)


def _conv_in_groups(node: Node, x: Node, w: Node, size: int) -> Node:
    """x [B, N, (G,) C, S...] with w [B, (G,) O, C, K...], each example a group of its own."""
    from dlc.ops.view import reshape

    groups = node.args[0].shape[1] if node.attrs["grouped"] else 1
    plain = 3 if node.attrs["grouped"] else 2
    x = _moved(x, 0, 1)
    x = reshape(x, (x.shape[0], size * groups, *x.shape[plain:]))
    w = reshape(w, (size * groups, *w.shape[plain - 1:]))
    y = make(node.op, (x, w), **{**node.attrs, "grouped": True})
    lead = (groups,) if node.attrs["grouped"] else ()
    return _moved(reshape(y, (y.shape[0], size, *lead, *y.shape[2:])), 1, 0)


def _moved(x: Node, source: int, target: int) -> Node:
    """`x` with axis `source` moved to position `target`."""
    from dlc.ops.view import transpose

    order = [a for a in range(x.ndim) if a != source]
    order.insert(target, source)
    return transpose(x, order)


# --- gather and scatter ---------------------------------------------------------------------------


def gather(node: Node, args: Sequence[Node], mapped: Flags, size: int) -> Node:
    """One more shared axis; but one table or one index for all examples is not repeated."""
    attrs = node.attrs
    axis, batch = attrs["axis"], attrs["batch"]
    if batch == 0 and mapped == (True, False):
        return make(node.op, args, **{**attrs, "axis": axis + 1})
    if batch == 0 and mapped == (False, True):
        return examples_at(make(node.op, args, **attrs), axis)
    both = [along_examples(a, size, m) for a, m in zip(args, mapped, strict=True)]
    return make(node.op, both, **{**attrs, "axis": axis + 1, "batch": batch + 1})


def scatter(node: Node, args: Sequence[Node], mapped: Flags, size: int) -> Node:
    """One more shared axis. Operands may be index, updates and others, all per example."""
    attrs = node.attrs
    both = [along_examples(a, size, m) for a, m in zip(args, mapped, strict=True)]
    shape = {"shape": (size, *attrs["shape"])} if "shape" in attrs else {}
    return make(node.op, both, **{**attrs, "axis": attrs["axis"] + 1, "batch": attrs["batch"] + 1,
                                  **shape})


# --- random bits ----------------------------------------------------------------------------------


def random_bits(node: Node, args: Sequence[Node], mapped: Flags, size: int) -> Node:
    """Other bits for each example: its index becomes the first of the element's. With a seed or a
    step per example each draws what it would alone."""
    from dlc.ops.leaf import constant
    from dlc.ops.view import concat, reshape, slice_

    shape, site = node.attrs["shape"], node.attrs["site"]
    if size == 0:
        return constant(0, node.type.with_(shape=(0, *shape)))
    if not any(mapped):
        return make(node.op, args, shape=(size, *shape), site=site)
    rows: list[Any] = []
    for i in range(size):
        own = [reshape(slice_(a, (i,), (i + 1,)), ()) if m else a
               for a, m in zip(args, mapped, strict=True)]
        rows.append(reshape(make(node.op, own, shape=shape, site=site), (1, *shape)))
    return concat(rows, 0)
