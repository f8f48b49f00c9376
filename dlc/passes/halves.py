"""A training step of several micro-batches in two halves, cut where their results are summed.

    g = grad(...); s = all_reduce(g); w = w - rate * s
    ->  train         g = grad(...); return g        once for each micro-batch
        train_update  w = w - rate * s; return w     once a step, with s an input

What the first half returns are the operands of all_reduce, in the order of the text: it is the
order in which every process adds them up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from dlc.errors import DlcError
from dlc.ir.graph import Build, Graph, Node, building, describe, substitute, toposort
from dlc.ops import leaf
from dlc.ops.collective import ALL_REDUCE

SUMMED = "summed"  # the role of the second half's inputs: the runtime sets them


def executed(graphs: Mapping[str, Graph], update: Callable[[str], str]) -> dict[str, Graph]:
    """The graphs that run, by entry: a training step that sums over micro-batches runs in two. The
    second, under the name that `update` makes of the entry's, is one for all sizes of the first."""
    found: dict[str, Graph] = {}
    for entry, graph in graphs.items():
        training = entry.partition(".")[0].partition("_")[0] == "train"
        both = halves(graph, update(entry)) if training else None
        found[entry] = graph if both is None else both[0]
        if both is not None:
            found.setdefault(update(entry), both[1])
    return found


def halves(graph: Graph, update: str) -> tuple[Graph, Graph] | None:
    """(what gives the operands of all_reduce, what makes the step's outputs of the sums, called
    `update`); None for a step that sums nothing.

    Raises DlcError for an output that depends on one micro-batch alone, and for a sum of sums.
    """
    sums = [n for n in graph.nodes() if n.op is ALL_REDUCE]
    if not sums:
        return None
    names = [f"{SUMMED}.{place}" for place in range(len(sums))]
    operands = [n.args[0] for n in sums]
    given = [leaf.input_(name, n.type, SUMMED) for name, n in zip(names, sums, strict=True)]
    for node, n in zip(given, sums, strict=True):
        node.name, node.locs = n.name, n.locs
    with building(Build()):
        outputs = substitute(graph.outputs, dict(zip(sums, given, strict=True)))
    first = replace(graph, inputs=read_by(graph, operands), outputs=tuple(operands),
                    output_names=tuple(names), updates={})
    second = replace(graph, name=update, outputs=tuple(outputs),
                     inputs=(*given, *read_by(graph, outputs)))
    check_halves(first, second)
    return first, second


def check_halves(first: Graph, second: Graph) -> None:
    """Raise DlcError for a sum of sums, and for an output that one micro-batch alone decides."""
    for node in first.nodes():
        if node.op is ALL_REDUCE:
            raise DlcError(f"{first.name}: {describe(node)} is summed over the micro-batches twice",
                           node.loc)
    for node in second.inputs:
        if node.attrs["role"] not in ("param", "state", SUMMED):
            raise DlcError(f"{first.name}: {describe(node)} differs from one micro-batch to the "
                           "next, but what the step writes depends on it", node.loc)


def read_by(graph: Graph, outputs: list[Node]) -> tuple[Node, ...]:
    """The inputs of `graph` that `outputs` depend on, in their order."""
    reached = set(toposort(outputs))
    return tuple(n for n in graph.inputs if n in reached)

