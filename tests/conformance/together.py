"""Many cases as the entries of one Program: through passes, kernels and threads, compiled at once.

Entries share their kernels: cases of one operator that differ in sizes compile one. A case that
does not compile or run is told from its neighbours, each of which is run again without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc import runtime
from dlc.backend import assemble
from dlc.compiler import instruction_set
from dlc.ir.graph import Graph, Node, substitute
from dlc.ops import leaf
from dlc.passes import PIPELINE, run_pipeline

THREADS = 2


@dataclass(frozen=True)
class Entry:
    """A graph that updates nothing, and an array for each of its inputs, in order."""

    name: str
    graph: Graph
    arrays: Sequence[np.ndarray]


Outputs = dict[str, np.ndarray]


def computed(entries: Sequence[Entry]) -> dict[str, Outputs | Exception]:
    """The outputs of every entry by name, or why there are none.

    `name`s are the callers'; the Program has entries of its own names.
    """
    found: dict[str, Outputs | Exception] = {}
    pending = [list(entries)] if entries else []
    while pending:
        group = pending.pop()
        try:
            with loaded([e.graph for e in group]) as running:
                found.update({e.name: ran(running, f"c{i}", e) for i, e in enumerate(group)})
        except Exception as problem:  # wrong is the case that the compiler stumbles over
            if len(group) == 1:
                found[group[0].name] = problem
            else:
                pending += [group[:len(group) // 2], group[len(group) // 2:]]
    return found


@contextmanager
def loaded(graphs: Sequence[Graph]) -> Iterator[Any]:
    """A Program with an entry c0, c1, ... for each graph, on threads."""
    done = {f"c{i}": run_pipeline(apart(graph, f"c{i}"), None, PIPELINE)[-1].graph
            for i, graph in enumerate(graphs)}
    program = assemble.assembled("together", done, "cpu", instruction_set())[0]
    running = runtime.load(program, "cpu", THREADS)
    try:
        yield running
    finally:
        running.close()


def apart(graph: Graph, name: str) -> Graph:
    """The graph with parameters of its own: entries of a Program share those of one label."""
    assert not graph.updates
    fresh = {n: leaf.input_(label_of(n, name), n.type, n.attrs["role"]) for n in graph.inputs}
    for node, own in fresh.items():
        own.name = node.name  # stands in kernel texts, which are to be alike
    return Graph(name, tuple(fresh.values()), tuple(substitute(graph.outputs, fresh)),
                 graph.output_names, notes=graph.notes)


def label_of(node: Node, name: str) -> str:
    """What an input is called in the entry `name`."""
    label = str(node.attrs["label"])
    return f"{name}.{label}" if node.attrs["role"] in ("param", "state") else label


def ran(running: Any, name: str, entry: Entry) -> Outputs:
    """Run one entry on its arrays."""
    for node, array in zip(entry.graph.inputs, entry.arrays, strict=True):
        kept = node.attrs["role"] in ("param", "state")
        running.write(label_of(node, name), array, None if kept else name)
    running.run(name)
    return {output: np.array(running.read(output, name)) for output in entry.graph.output_names}


def given(graph: Graph, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The arrays of the graph's inputs, in order, from those by label."""
    return [arrays[node.attrs["label"]] for node in graph.inputs]
