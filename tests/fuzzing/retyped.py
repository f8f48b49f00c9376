"""A graph with all its floats in another dtype: the same program at another precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlc.ir.attributes import Literal
from dlc.ir.graph import Graph, Node, toposort
from dlc.ir.types import DType, TupleType, Type

# what these give hangs on the bits of the operand's own dtype
BITS = ("bitcast", "nextafter")


def retyped(graph: Graph, kind: DType) -> Graph:
    """`graph` with floats of dtype `kind`, in bodies and attributes, too; labels stay.

    Raises ValueError for an operator that looks at the bits of its dtype.
    """
    found: dict[Node, Node] = {}
    for node in toposort((*graph.inputs, *graph.outputs)):
        if node.op.name in BITS:
            raise ValueError(f"{node.op.name} is of the bits of a dtype")
        attrs = {name: _changed(value, kind) for name, value in node.attrs.items()}
        found[node] = Node(node.op, tuple(found[a] for a in node.args), attrs,
                           _changed(node.type, kind), node.locs, node.name)
    return Graph(graph.name, tuple(found[i] for i in graph.inputs),
                 tuple(found[o] for o in graph.outputs), graph.output_names, graph.updates)


def _changed(value: Any, kind: DType) -> Any:
    """An attribute or a type at the other precision."""
    if isinstance(value, DType):
        return kind if value.is_float else value
    if isinstance(value, Type):
        return value.with_(dtype=_changed(value.dtype, kind))
    if isinstance(value, TupleType):
        return TupleType(tuple(_changed(t, kind) for t in value.items))
    if isinstance(value, Graph):
        return retyped(value, kind)
    if isinstance(value, Literal) and value.array.dtype.kind not in "iub":
        return Literal.of(value.array.astype(kind.numpy))
    return value


def retyped_arrays(arrays: Mapping[str, Any], kind: DType) -> dict[str, Any]:
    """Arrays by input name, floats in dtype `kind`."""
    return {name: np.asarray(a) if a.dtype.kind in "iub" else np.asarray(a, kind.numpy)
            for name, a in arrays.items()}
