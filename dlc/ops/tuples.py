"""item, which projects from an operator with several results."""

from __future__ import annotations

from dlc.ir.graph import Kind, Node, Op, OpError, make
from dlc.ir.registry import register
from dlc.ir.types import TupleType, Type


def _infer_item(x: TupleType, *, index: int) -> Type:
    if not isinstance(x, TupleType) or not 0 <= index < len(x.items):
        raise OpError(f"item {index} of {x}")
    return x.items[index]


ITEM = register(Op("item", Kind.ITEM, _infer_item, lambda x, *, index: x[index], None, None, list,
                   doc="one result of an operator with several", gradient="none"))


def item(node: Node, index: int) -> Node:
    """Result `index` of a node with several results; of a node with one, itself."""
    return make(ITEM, (node,), index=index) if isinstance(node.type, TupleType) else node
