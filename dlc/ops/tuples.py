"""item, which projects from an operator with several results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlc.ir.graph import Graph, Kind, Node, Op, OpError, make
from dlc.ir.registry import register
from dlc.ir.types import TupleType, Type

Run = Callable[[Graph, Sequence[Any]], list[Any]]


def _infer_item(x: TupleType, *, index: int) -> Type:
    if not isinstance(x, TupleType) or not 0 <= index < len(x.items):
        raise OpError(f"item {index} of {x}")
    return x.items[index]


def _eval_item(_run: Run, x: Any, *, index: int) -> Any:
    return x[index]


ITEM = register(Op("item", Kind.HIGHER, _infer_item, _eval_item, None, None, list, gradient="none",
                   doc="one result of an operator with several"))


def item(node: Node, index: int) -> Node:
    """Result `index` of a node with several results; of a node with one, itself."""
    return make(ITEM, (node,), index=index) if isinstance(node.type, TupleType) else node
