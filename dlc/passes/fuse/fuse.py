"""Fusion: operators that share loops become one `fused` node, which becomes one launch.

    h = matmul(x, w)                      def fused_matmul_tanh(x, w, b):
    y = tanh(add(h, broadcast(b)))   ->       return tanh(add(matmul(x, w), broadcast(b)))
                                          y = fused_matmul_tanh(x, w, b)

What may fuse with what is the table in docs/fusion.md; `refusal` is that table, row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dlc.derive import higher
from dlc.errors import Loc
from dlc.ir.graph import Build, Graph, Kind, Node, building, make, rebuild, serving
from dlc.ops import leaf, tuples
from dlc.ops.leaf import input_
from dlc.passes.fuse.grouping import Fuser, Group
from dlc.passes.fuse.horizontal import merge_horizontally
from dlc.passes.fuse.limits import DEFAULT, FusionLimits
from dlc.passes.fuse.siblings import merge_siblings
from dlc.reference.rewrite import Grade, keeps

GROUP = "group"  # the note of a body: which group it is of


@keeps(Grade.EXACT)
def fuse(graph: Graph, limits: FusionLimits = DEFAULT) -> Graph:
    """Put operators that can share loops into fused nodes, each of which becomes one launch."""
    return fuse_noting(graph, [], limits)


def fuse_noting(graph: Graph, noted: list[Fuser], limits: FusionLimits = DEFAULT) -> Graph:
    """As `fuse`; `noted` gets what decided, and each body notes its group: the place of its Fuser
    in `noted`, and that of the group in its `groups`."""
    fuser = Fuser(graph, limits)
    groups = fuser.run()
    with building(Build()):
        fuser.groups = merge_siblings(fuser, merge_horizontally(fuser, groups))
        noted.append(fuser)
        return Rebuilder(graph, fuser, len(noted) - 1).rebuild(fuser.groups)


class Rebuilder:
    """Builds the fused graph: one fused node per group, items for several results."""

    def __init__(self, graph: Graph, fuser: Fuser, number: int) -> None:
        self.graph, self.fuser, self.number = graph, fuser, number
        self.placed: dict[Node, Node] = {}

    def rebuild(self, groups: Sequence[Group]) -> Graph:
        for place, group in enumerate(groups):
            if Kind.HIGHER in group.kinds:
                self._place_control(group.members)
            else:
                self._place(group, place)
        outputs = [self.placed.get(o, o) for o in self.graph.outputs]
        return self.graph.with_outputs(outputs)

    def _place_control(self, members: Sequence[Node]) -> None:
        """A loop or a branch over placed operands, and its results."""
        node, *results = members
        self.placed[node] = rebuild(node, [self.placed.get(a, a) for a in node.args])
        for result in results:
            self.placed[result] = rebuild(result, [self.placed[node]])

    def _place(self, group: Group, place: int) -> None:
        members = set(group.members)
        results = [n for n in group.members
                   if n in self.fuser.roots or self.fuser.readers.get(n, set()) - members]
        inner: dict[Node, Node] = {}
        outer: dict[Node, Node] = {}
        labels = Labels()
        order = self._inside(results, members)
        group.inside = tuple(n for n in order if not self._boundary(n, members))
        for node in order:
            self._copy(node, members, inner, outer, labels)
        body = Graph(f"fused_{name_of(group)}", tuple(outer), tuple(inner[r] for r in results),
                     notes={GROUP: (self.number, place)})
        with serving(lines_of(group.members)):
            # several results carry their own names
            name = results[0].name if len(results) == 1 else ""
            node = make(higher.FUSED, list(outer.values()), name, body=body)
            for i, result in enumerate(results):
                self.placed[result] = result_node = tuples.item(node, i)
                result_node.name = result_node.name or result.name

    def _inside(self, results: Sequence[Node], members: set[Node]) -> list[Node]:
        """The nodes of a body, operands first: down to values that lie in memory."""
        order: list[Node] = []
        seen: set[Node] = set()
        stack = [(r, False) for r in reversed(results)]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                if not self._boundary(node, members):
                    stack.extend((a, False) for a in reversed(node.args))
        return order

    def _boundary(self, node: Node, members: set[Node]) -> bool:
        in_memory = node.op in (leaf.INPUT, leaf.ARRAY) or (
            node in self.placed and node.op is not leaf.CONSTANT)
        return in_memory and node not in members

    def _copy(self, node: Node, members: set[Node], inner: dict[Node, Node],
              outer: dict[Node, Node], labels: Labels) -> None:
        """`node` inside the body: itself, or an input that stands for a value in memory."""
        if self._boundary(node, members):
            twin = input_(labels.new(node.name or node.op.name), node.type)
            twin.locs = node.locs
            inner[node] = twin
            outer[twin] = self.placed.get(node, node)
        else:
            inner[node] = rebuild(node, [inner[a] for a in node.args])


class Labels:
    """Labels of the inputs of one body, no two of them equal."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.next: dict[str, int] = {}

    def new(self, name: str) -> str:
        """`name`, numbered from 2 if it is there already."""
        label, number = name, self.next.get(name, 2)
        while label in self.used:
            label, number = f"{name}_{number}", number + 1
        self.next[name] = number
        self.used.add(label)
        return label


def name_of(group: Group) -> str:
    """A name from the operators that do the work: matmul_tanh, softmax's max_exp_sum ..."""
    working = [n for n in group.members if n.op is leaf.RANDOM_BITS
               or n.op.kind not in (Kind.VIEW, Kind.LEAF, Kind.ITEM)]
    telling = [n for n in working or group.members if not n.op.cheap]
    short = list(dict.fromkeys(n.op.name for n in telling or working or group.members))
    return "_".join(short[:3])


def lines_of(members: Iterable[Node]) -> tuple[Loc, ...]:
    """The user lines that a group serves, in order, without repeats."""
    return tuple(dict.fromkeys(loc for n in members for loc in n.locs))
