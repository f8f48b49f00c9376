"""From a sequence of runs back to a graph: launches that run again become nodes of their own.

    a = f(x); b = g(a); c = h(a, b)   ->   a = f(x); b = g(a); a2 = f(x); c = h(a2, b)

The node of a run again has the body of its launch, or the component of it that runs, so it has the
same kernels and the same bits. Nothing after fusion merges equal launches, so nothing merges these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.derive import higher
from dlc.ir.graph import Graph, Node
from dlc.ir.types import TupleType
from dlc.ops import tuples
from dlc.passes.fuse.components import components
from dlc.passes.recompute.sequence import Run, Runs
from dlc.passes.recompute.table import Unit, results_by_output
from dlc.passes.schedule.asked import Asked
from dlc.passes.schedule.copies import copies_of, twin_of
from dlc.passes.schedule.order import Schedule, order


def scheduled(runs: Runs) -> Schedule:
    """The schedule of a sequence."""
    return Rebuilder(runs).schedule()


class Rebuilder:
    """Makes the nodes of the runs, one after the other."""

    def __init__(self, runs: Runs) -> None:
        self.runs, self.table = runs, runs.table
        self.node: dict[int, Node] = {}  # instance -> node
        self.parts: dict[tuple[Graph, int], Graph] = {}
        self.asked = Asked({}, set(), {})

    def schedule(self) -> Schedule:
        """The order of the graph that the runs make."""
        values, current = self.table.values, self.runs.current
        for v, value in enumerate(values):
            if value.unit is None:
                self.node[current[v]] = value.node
        read = {i for run in self.runs.runs for i in run.reads.values()}
        read |= {current[self.table.number[o]] for o in self.table.schedule.graph.outputs}
        for at, run in enumerate(self.runs.runs):
            (self._alone if run.alone else self._launch)(run, at, read)
        graph = self.table.schedule.graph
        outputs = [self.node[current[self.table.number[o]]] for o in graph.outputs]
        return order(graph.with_outputs(self._copied_late(outputs)), self.asked)

    def _launch(self, run: Run, at: int, read: set[int]) -> None:
        """A launch as it was, over the instances that it reads now."""
        old = run.units[0].node
        args = [self.node[run.reads[self.table.number[a]]] for a in old.args]
        same = all(a is b for a, b in zip(args, old.args, strict=True))
        new = old if same else Node(old.op, tuple(args), old.attrs, old.type, old.locs, old.name)
        self.asked.place[new] = at
        for v, i in run.makes.items():
            node = self.table.values[v].node
            self.node[i] = new if node is old else node if same else _item(new, node)
            self._note_unread(new, i, read)

    def _alone(self, run: Run, at: int, read: set[int]) -> None:
        """A component of a launch, or a loop, as a launch of its own."""
        (unit,) = run.units
        args: Mapping[Node, Node] = {a: self.node[run.reads[self.table.number[a]]]
                                     for a in unit.node.args
                                     if self.table.number[a] in run.reads}
        new = self._component(unit, args) if unit.node.op is higher.FUSED else (
            twin_of(unit.node, [args[a] for a in unit.node.args]))
        self.asked.place[new] = at
        if run.again:
            self.asked.again.add(new)
        for v, i in run.makes.items():
            node = self.table.values[v].node
            self.node[i] = _item(new, node, self._index(unit, node)) if isinstance(
                new.type, TupleType) else new
            self._note_unread(new, i, read)

    def _note_unread(self, launch: Node, instance: int, read: set[int]) -> None:
        """A result of several has its place also where nobody reads it."""
        if instance not in read and self.node[instance] is not launch:
            self.asked.unread.setdefault(launch, []).append(self.node[instance])

    def _component(self, unit: Unit, args: Mapping[Node, Node]) -> Node:
        body: Graph = unit.node.attrs["body"]
        part = self._part(body, unit.part)
        outer = dict(zip(body.inputs, unit.node.args, strict=True))
        types = tuple(o.type for o in part.outputs)
        return Node(higher.FUSED, tuple(args[outer[i]] for i in part.inputs), {"body": part},
                    types[0] if len(types) == 1 else TupleType(types), unit.node.locs,
                    unit.node.name if len(types) == 1 else "")

    def _part(self, body: Graph, number: int) -> Graph:
        """A component as the body of a launch; the whole body where it is the only one."""
        if len(components(body)) == 1:
            return body
        if (body, number) not in self.parts:
            part = components(body)[number]
            self.parts[body, number] = Graph(part.name, part.inputs, part.outputs,
                                             notes=body.notes)
        return self.parts[body, number]

    def _index(self, unit: Unit, node: Node) -> int:
        """Which result of the component `node` is."""
        if unit.node.op is not higher.FUSED:
            return int(node.attrs["index"])
        results = results_by_output(self.table.schedule, unit.node)
        outputs = self._part(unit.node.attrs["body"], unit.part).outputs
        return next(k for k, o in enumerate(outputs) if results[o] is node)

    # --- state that is read again after its update ------------------------------------------------

    def _copied_late(self, outputs: Sequence[Node]) -> list[Node]:
        """The outputs, with a copy at the end of each state that a run reads again after the launch
        that would overwrite it."""
        schedule = self.table.schedule
        late = [k for k, out in enumerate(schedule.graph.outputs)
                if out in schedule.home and self._is_read_after(schedule.home[out], out)]
        new = list(outputs)
        if late:
            copy = copies_of([outputs[k] for k in late])
            self.asked.place[copy] = len(self.runs.runs)
            for at, k in enumerate(late):
                new[k] = copy if len(late) == 1 else tuples.item(copy, at)
        return new

    def _is_read_after(self, old: Node, new: Node) -> bool:
        number, unit = self.table.number, self.table.values[self.table.number[new]].unit
        passed = False
        for run in self.runs.runs:
            if passed and run.alone and number[old] in run.reads:
                return True
            passed = passed or unit in run.units
        return False


def _item(new: Node, old: Node, index: int | None = None) -> Node:
    """The result `old` of a launch, of the node `new`."""
    attrs = old.attrs if index is None else {"index": index}
    return Node(tuples.ITEM, (new,), attrs, old.type, old.locs, old.name)
