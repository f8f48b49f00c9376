"""Sums over the steps of a loop, taken after it: one contraction for all steps' weight gradients.

    sum_t x_t^T g_t   ->   X^T G  with the steps of x and g stacked below each other

Adding a matrix of weights in every step reads and writes it as often; the stacks are small, and
one of the two factors is often there already. A scatter-add of all steps likewise becomes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlc.ir.graph import Node, make
from dlc.ir.types import Type
from dlc.ops import elementwise, gather, leaf, reduce, view
from dlc.ops.contract import MATMUL
from dlc.ops.convert import broadcast_to

Stacks = Mapping[Node, Node]


def factors(value: Node, inside: set[Node], known: set[Node]) -> set[Node] | None:
    """The values of the body that must be stacked to sum `value` after the loop.

    None: add it up in the loop. `inside` depends on the step; `known` will be stacked anyway.
    """
    if value.op is elementwise.ADD:
        parts = [factors(a, inside, known) for a in value.args]
        return None if None in parts else set().union(*(p for p in parts if p is not None))
    if value.op in (view.TRANSPOSE, view.RESHAPE, elementwise.NEG):
        return factors(value.args[0], inside, known)
    if value.op is reduce.SUM:
        needed = _leaves(value.args[0], inside)
        return needed if needed is not None and needed <= known else None
    if value.op is MATMUL or (value.op is gather.SCATTER_ADD and value.attrs["batch"] == 0):
        found = [_leaves(a, inside) for a in value.args]
        return None if any(f is None or not f for f in found) else found[0] | found[1]  # type: ignore[operator]
    return None


def _leaves(value: Node, inside: set[Node]) -> set[Node] | None:
    """What is stacked so that `value` of all steps is views of it; None when that is not simple."""
    if value not in inside:
        return set() if value.op is leaf.CONSTANT else None
    if value.op in (view.TRANSPOSE, view.RESHAPE, view.BROADCAST):
        return _leaves(value.args[0], inside)
    return {value}


def summed(value: Node, stacks: Stacks, length: int) -> Node:
    """The sum of `value` over the steps, from the stacks of its factors."""
    op, attrs = value.op, value.attrs
    if op is elementwise.ADD:
        return elementwise.add(*(summed(a, stacks, length) for a in value.args))
    if op is elementwise.NEG:
        return elementwise.neg(summed(value.args[0], stacks, length))
    if op is view.TRANSPOSE:
        return view.transpose(summed(value.args[0], stacks, length), attrs["axes"])
    if op is view.RESHAPE:
        return view.reshape(summed(value.args[0], stacks, length), attrs["shape"])
    if op is reduce.SUM:
        axes = (0, *(a + 1 for a in attrs["axes"]))
        return make(reduce.SUM, (stack(value.args[0], stacks, length),), axes=axes)
    if op is MATMUL:
        return _product(*(stack(a, stacks, length) for a in value.args))
    assert op is gather.SCATTER_ADD, op
    return _scattered(value, stacks, length)


def _product(a: Node, b: Node) -> Node:
    """sum_t a[t] @ b[t]: the steps become rows of the inner axis; a [T, ..., M, K]."""
    rank = a.ndim
    lead = tuple(range(1, rank - 2))
    left = view.transpose(a, (*lead, rank - 2, 0, rank - 1))
    right = view.transpose(b, (*lead, 0, rank - 2, rank - 1))
    inner = int(a.shape[0]) * int(a.shape[-1])
    return make(MATMUL, (view.reshape(left, (*left.shape[:-2], inner)),
                         view.reshape(right, (*right.shape[:-3], inner, right.shape[-1]))))


def _scattered(value: Node, stacks: Stacks, length: int) -> Node:
    index, updates = (stack(a, stacks, length) for a in value.args)
    axis = value.attrs["axis"]
    # the steps' axis of the updates goes where the axes of the indices are
    order = (*range(1, axis + 1), 0, *range(axis + 1, updates.ndim))
    return make(gather.SCATTER_ADD, (index, view.transpose(updates, order)),
                **value.attrs)


def stack(value: Node, stacks: Stacks, length: int) -> Node:
    """`value` of all steps, [length, ...]."""
    if value in stacks:
        return stacks[value]
    rest: Any = tuple(value.shape)
    if value.op is leaf.CONSTANT:
        return leaf.constant(value.attrs["value"], Type(value.dtype, (length, *rest)))
    inner = stack(value.args[0], stacks, length)
    if value.op is view.TRANSPOSE:
        return view.transpose(inner, (0, *(a + 1 for a in value.attrs["axes"])))
    if value.op is view.RESHAPE:
        return view.reshape(inner, (length, *rest))
    assert value.op is view.BROADCAST, value.op
    ones = (1,) * (len(rest) + 1 - inner.ndim)
    return broadcast_to(view.reshape(inner, (length, *ones, *inner.shape[1:])), (length, *rest))
