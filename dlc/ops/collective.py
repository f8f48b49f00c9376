"""The operator between the micro-batches of a step: the sum of what each of them computes."""

from __future__ import annotations

from typing import Any

from dlc.ir.graph import Kind, Node, Op, make
from dlc.ir.registry import register
from dlc.ir.rounding import EXACT
from dlc.ir.types import Type
from dlc.ops.convert import as_node
from dlc.ops.elementwise import numeric_type
from dlc.ops.samples import unary


def _infer(x: Type) -> Type:
    """Any number: floats are rounded in each addition of the tree, integers wrap around."""
    return numeric_type(x)


def _grad(g: Node, y: Node, x: Node) -> tuple[Node]:
    """A linear map that is its own transpose: each micro-batch's x is in every micro-batch's y."""
    return (all_reduce(g),)


# Elementwise in what it reads: where a graph runs by itself there is one micro-batch, and the sum
# is its operand. A training step of several is cut in two there (dlc/passes/halves.py), so that no
# pass ever sees one that stands for a sum of several; a kernel would have to wait in its middle.
ALL_REDUCE = register(Op(
    "all_reduce", Kind.ELEMENTWISE, _infer, lambda x: x, _grad, emit=lambda k, x: x,
    samples=unary(), linear=(0,), cheap=True, rounding=EXACT, precision="follow",
    gradient="smooth",
    doc="the sum over the micro-batches of a step, in a fixed binary tree; of one, x itself"))


def all_reduce(x: Any) -> Node:
    """The sum of `x` over the micro-batches of a training step, the same in each of them.

    They are added in a balanced binary tree over their numbers, whichever process ran which
    (docs/scale.md). Of any numeric dtype and shape; raises OpError for bool.
    """
    return make(ALL_REDUCE, (as_node(x),))
