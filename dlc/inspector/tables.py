"""The tables that an Inspection refers to by number: files, places, rows of graphs."""

from __future__ import annotations

import linecache
from collections import Counter
from collections.abc import Mapping, Sequence

from dlc.errors import Loc, part_of, printable, short_path
from dlc.inspector.record import File, Function, Row, RuleInfo, Stage
from dlc.ir.graph import Graph, Node
from dlc.passes import Record
from dlc.reference.text.printing import spelled

LONGEST = 2000  # characters of a line that are kept: a call may hold a whole array


class Tables:
    """Numbers of files, places and rows, given as they are first asked for."""

    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.places: dict[tuple[int, int], int] = {}
        self.rows: dict[Row, int] = {}
        self.keys: list[object] = []  # of each row: what it computes, whatever its operands
        self.told: list[dict[Node, int]] = []  # rows of the graph that was told last, by function

    def place(self, loc: Loc) -> int:
        """The number of a line."""
        file = self.files.setdefault(loc.file, len(self.files))
        return self.places.setdefault((file, loc.line), len(self.places))

    def places_of(self, locs: Sequence[Loc]) -> tuple[int, ...]:
        """The numbers of lines, each once."""
        return tuple(dict.fromkeys(map(self.place, locs)))

    def named(self, text: str) -> int:
        """The number of a line as a Program names it, models/lenet.py:14; -1 for none."""
        path, _, line = text.rpartition(":")
        for file, number in self.files.items():
            if path and short_path(file) == path:
                return self.places.setdefault((number, int(line)), len(self.places))
        return -1

    def row(self, node: Node, name: str, call: str, args: tuple[int, ...],
            cost: tuple[int, int] = (0, 0)) -> int:
        """The number of a node's row."""
        made = Row(name, printable(node.type, LONGEST), printable(call, LONGEST), node.op.name,
                   args, self.places_of(node.locs), int(part_of(node.locs)), *cost,
                   printable(next((x.scope for x in node.locs if x.scope), ''), LONGEST))
        number = self.rows.setdefault(made, len(self.rows))
        if number == len(self.keys):
            shape = call.partition("(")[0] if node.args else call
            self.keys.append((shape, made.type, made.places, node.name))
        return number

    def functions(self, graph: Graph, costs: Mapping[int, Mapping[Node, tuple[int, int]]] = {},
                  ) -> tuple[tuple[Function, ...], dict[int, str]]:
        """A graph and its bodies as rows; the name of each by its id. `costs` are those of nodes
        in each body, by its id: bodies share constants."""
        found, names = [], {}
        self.told = []
        for name, each, lines in spelled(graph):
            numbers: dict[Node, int] = {}
            known = costs.get(id(each), {})
            for node, label, call in lines:
                args = tuple(numbers[a] for a in node.args if a in numbers)
                numbers[node] = self.row(node, label, call, args, known.get(node, (0, 0)))
            found.append(Function(name, tuple(numbers.values())))
            self.told.append(numbers)
            names[id(each)] = name
        return tuple(found), names

    def stage(self, record: Record, before: Stage | None,
              fired: Sequence[tuple[str, Node]] = ()) -> Stage:
        """The graph after a pass beside the one before."""
        functions, _ = self.functions(record.graph)
        added, removed = self.changes(before, functions)
        return Stage(record.name, record.seconds, functions, added, removed, self.rules(fired))

    def rules(self, fired: Sequence[tuple[str, Node]]) -> tuple[RuleInfo, ...]:
        """How often each rule fired, the most frequent first, and on which lines."""
        counts = Counter(text for text, _ in fired)
        return tuple(RuleInfo(text, count, self.places_of(
            [loc for rule, node in fired if rule == text for loc in node.locs]))
            for text, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def changes(self, before: Stage | None, functions: Sequence[Function],
                ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(rows that `before` has not, rows of it that are gone), matched by what they compute."""
        if before is None:
            return (), ()
        new = [r for f in functions for r in f.rows]
        old = [r for f in before.functions for r in f.rows]
        both = set(new) & set(old)
        return (self._left(new, old, both), self._left(old, new, both))

    def _left(self, rows: Sequence[int], others: Sequence[int], both: set[int]) -> tuple[int, ...]:
        """Those of `rows` beyond the `others` that compute the same."""
        matched = Counter(self.keys[r] for r in others if r not in both)
        left = []
        for row in rows:
            if row in both:
                continue
            if matched[self.keys[row]]:
                matched[self.keys[row]] -= 1
            else:
                left.append(row)
        return tuple(left)

    def read_files(self) -> tuple[File, ...]:
        """The files with their lines, as far as they can be read."""
        return tuple(File(short_path(path), tuple(
            printable_line(line) for line in linecache.getlines(path))) for path in self.files)


def printable_line(line: str) -> str:
    """A line of source without what a terminal or a page would act on; tabs as spaces."""
    return printable(line.rstrip("\r\n").expandtabs(), LONGEST)
