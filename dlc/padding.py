"""No training step depends on padding: it runs once with other values behind the ends of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.errors import DlcError
from dlc.faults import run_through
from dlc.ir.graph import Graph, Node
from dlc.ir.types import Bounded, Dim, Type

if TYPE_CHECKING:
    from dlc.runtime.cpu.arena import ArenaProgram
    from dlc.runtime.data.buckets import BoundRows, Sizes
    from dlc.task_training import Prepared

Arrays = Mapping[str, np.ndarray[Any, Any]]


def refuse_padding(prepared: Prepared, initial: Callable[[], Arrays]) -> None:
    """Raise DlcError, at the line that brings padding in, where a training step gives another loss,
    metric or update when other values of the data stand behind the ends of the rows.

    The step runs from `initial` values; the program's memory is afterwards what it was.
    """
    from dlc.runtime.data.buckets import BoundRows, sizes_of, varying_of
    from dlc.runtime.train.alternation import batch_size, find_phases

    loaded, varying = prepared.loaded, varying_of(prepared.loaded.program)
    if not varying or not prepared.dataset.in_memory:
        return
    before, values = loaded.save(), initial()
    for phase in find_phases(loaded.program):
        entry = loaded.program.entries[phase.entry]
        rows = BoundRows(prepared.dataset.name, prepared.dataset.train, entry.inputs, varying)
        sizes = sizes_of(entry, varying)
        chosen = some_rows(rows, batch_size(entry))
        found = []
        for arrays in paddings(rows, sizes, chosen):
            found.append((arrays, _results(loaded, phase.entry, arrays, values)))
            loaded.restore(before)
        (first, wanted), *others = found
        for arrays, got in others:
            wrong = next((k for k in wanted if wanted[k].tobytes() != got[k].tobytes()), None)
            if wrong is not None and not wanted["fault"].any() and not got["fault"].any():
                raise _refused(prepared, phase.entry, wrong, [{**values, **first},
                                                              {**values, **arrays}])


def some_rows(rows: BoundRows, count: int) -> np.ndarray[Any, Any]:
    """i64[count]: rows of all lengths, from the shortest to the longest."""
    order = np.argsort(next(iter(rows.lengths.values())), kind="stable")
    return order[np.linspace(0, len(order) - 1, count).astype(np.int64)]


def paddings(rows: BoundRows, sizes: Sizes, chosen: np.ndarray[Any, Any]) -> Iterator[Arrays]:
    """The batch as it is, and with the smallest and the largest values behind the ends of rows."""
    yield rows.padded(sizes, chosen)
    for extreme in (np.min, np.max):
        arrays = rows.padded(sizes, chosen)
        for label, field in rows.ragged.items():
            if label in arrays:
                turned = np.moveaxis(arrays[label], field.axis + 1, 1)
                behind = np.arange(turned.shape[1]) >= field.lengths[chosen][:, None]
                turned[behind] = extreme(field.values, axis=0)
        yield arrays


def _results(loaded: ArenaProgram, entry: str, arrays: Arrays, values: Arrays) -> dict[str, Any]:
    """What one step gives and writes."""
    for port in loaded.program.persistent:
        if port.name in values:
            loaded.write(port.name, values[port.name])
    found = dict(loaded.call(entry, **arrays))
    return {**found, **{p.name: loaded.read(p.name) for p in loaded.program.persistent}}


def _refused(prepared: Prepared, entry: str, wrong: str, inputs: list[dict[str, Any]]) -> DlcError:
    graph = prepared.compiled.source.graphs.get("eval", prepared.compiled.source.graphs[entry])
    node = _origin(graph, inputs)
    loss = graph.outputs[graph.output_names.index("loss")]
    loc = loss.loc if node is None else node.loc
    return DlcError(f"{prepared.task.name}: {wrong} depends on what stands behind the ends of rows",
                    loc, "it is padding, which sums, means, attention, recurrences and windows "
                    "leave out; dlc.valid(x) says where a row is, dlc.last(x) gives its last step")


def _origin(graph: Graph, inputs: list[dict[str, Any]]) -> Node | None:
    """The first value that differs where its rows are."""
    labels = [n.attrs["label"] for n in graph.inputs]
    if any(label not in inputs[0] for label in labels):
        return None
    first, other = (run_through(graph, [np.asarray(each[label]) for label in labels])
                    for each in inputs)
    given = set(graph.inputs)
    for node in (n for n in graph.nodes() if isinstance(n.type, Type) and n not in given):
        if differs(node, np.asarray(first[node]), np.asarray(other[node]), inputs[0]):
            return node
    return None


def differs(node: Node, a: Any, b: Any, lengths: Mapping[str, Any]) -> bool:
    """Whether two values of a node differ anywhere but in padding; one whose lengths follow from
    others is not judged."""
    there = np.ones(a.shape, bool)
    for axis, dim in enumerate(node.shape):
        if not isinstance(dim, Dim) or not isinstance(dim.name, Bounded):
            continue
        if str(dim.name) not in lengths or len(lengths[dim.name]) != a.shape[0] or not axis:
            return False
        ends = np.asarray(lengths[dim.name]).reshape(-1, *(1,) * (a.ndim - 1))
        steps = np.arange(a.shape[axis]).reshape(-1, *(1,) * (a.ndim - axis - 1))
        there &= np.broadcast_to(steps[None] if axis else steps, a.shape) < ends
    same = (a == b) | ((a != a) & (b != b))
    return bool((there & ~same).any())
