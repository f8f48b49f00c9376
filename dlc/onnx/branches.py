"""Which values of a graph have shapes that a file cannot declare: those behind an If."""

from __future__ import annotations

from typing import Any


def undeclarable(graph: Any) -> set[str]:
    """The values of `graph` whose shape depends on the branch that an If takes.

    A file declares one shape for them, whichever. PyTorch's exporter writes `squeeze(0)` so: one
    branch drops the axis, the other keeps it, and the outputs of the model are declared as if it
    were kept. dlc knows the branch when it builds the graph, so their shapes are not the file's to
    tell.
    """
    found: set[str] = set()
    for node in graph.node:
        if not found.isdisjoint(node.input):
            found.update(node.output)
        elif node.op_type == "If" and not node.domain:
            held = {a.name: a.g for a in node.attribute}
            if {"then_branch", "else_branch"} <= held.keys():
                pairs = zip(node.output, held["then_branch"].output, held["else_branch"].output,
                            strict=False)
                found.update(name for name, a, b in pairs if apart(a, b))
    return found - {""}


def apart(a: Any, b: Any) -> bool:
    """Whether two declared values have shapes of which at most one can be."""
    kinds = a.type.WhichOneof("value"), b.type.WhichOneof("value")
    if kinds != ("tensor_type", "tensor_type"):
        return False
    shapes = [v.type.tensor_type.shape.dim for v in (a, b) if v.type.tensor_type.HasField("shape")]
    if len(shapes) != 2:
        return False
    sizes = [[d.dim_value if d.HasField("dim_value") else None for d in dims] for dims in shapes]
    return len(sizes[0]) != len(sizes[1]) or any(
        None not in pair and pair[0] != pair[1] for pair in zip(*sizes, strict=True))
