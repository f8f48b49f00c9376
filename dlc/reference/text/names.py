"""Names in a text: every node and body gets one, the user's own where possible."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

from dlc.derive import higher
from dlc.ir.graph import Graph, Node
from dlc.ir.registry import REGISTRY
from dlc.ir.types import DTYPES
from dlc.ops import leaf, tuples

# Words that mean something where a variable stands.
RESERVED = frozenset({"inf", "nan", *keyword.kwlist})


def callee(node: Node, functions: dict[int, str]) -> str:
    """What the text calls to make `node`: a fused group's body by name, else the operator."""
    if node.op is higher.FUSED:
        return functions[id(node.attrs["body"])]
    return node.op.name


def is_automatic(name: str, base: str) -> bool:
    """Whether `name` is one that the printer makes up for a call of `base`, such as mul_3."""
    return re.fullmatch(re.escape(base.rstrip("_")) + r"_\d+", name) is not None


def identifier(text: str) -> str:
    """`text` as an identifier: other characters become underscores."""
    word = re.sub(r"\W+", "_", text).strip("_") or "x"
    return f"x{word}" if word[0].isdigit() else word


def unique_function(base: str, taken: set[str]) -> str:
    """`base`, or `base2`, `base3`, ...: the first not taken. Values have an underscore: base2_1."""
    stem = f"{base}_v" if base[-1].isdigit() else base
    number, name = 2, base
    while name in taken:
        name = f"{stem}{number}"
        number += 1
    return name


def bodies(graph: Graph) -> list[Graph]:
    """Every graph inside `graph`, innermost first, then `graph` itself."""
    found: dict[int, Graph] = {}

    def visit(g: Graph) -> None:
        for node in g.nodes():
            if node.op.kind.value == "higher":
                for value in node.attrs.values():
                    if isinstance(value, Graph) and id(value) not in found:
                        visit(value)
        found.setdefault(id(g), g)

    visit(graph)
    return list(found.values())


def function_names(graph: Graph) -> dict[int, str]:
    """A name for `graph` and each graph inside it, by its id; never an operator's, a dtype's or
    another graph's."""
    taken = {*REGISTRY, *DTYPES, *RESERVED, "update"}
    names: dict[int, str] = {}
    *inner, outer = bodies(graph)
    for each in (outer, *inner):
        names[id(each)] = unique_function(identifier(each.name), taken)
        taken.add(names[id(each)])
    return names


def name_nodes(nodes: Sequence[Node], inputs: Sequence[Node],
               functions: dict[int, str]) -> dict[Node, str]:
    """A variable for each node: its own name when it has one, else the operator's with a number."""
    names: dict[Node, str] = {}
    taken: set[str] = set(RESERVED)
    for node in (*inputs, *nodes):
        hint = node.attrs["label"] if node.op is leaf.INPUT else node.name
        if hint and node not in names and (node.op is leaf.INPUT
                                           or not _made_up(node, hint, functions)):
            _claim(node, identifier(hint), names, taken)
    for node in (*inputs, *nodes):
        hint = node.attrs["label"] if node.op is leaf.INPUT else node.name
        if node not in names and hint and not _made_up(node, hint, functions):
            base = identifier(hint)
            if _made_up(node, f"{base}_1", functions):
                continue  # a second `where = where(...)` is numbered as if it had no name
            at = 1
            while f"{base}_{at}" in taken:
                at += 1
            _claim(node, f"{base}_{at}", names, taken)
    _number_the_rest(nodes, functions, names, taken)
    return names


def _claim(node: Node, name: str, names: dict[Node, str], taken: set[str]) -> None:
    if name not in taken:
        names[node] = name
        taken.add(name)


def _made_up(node: Node, name: str, functions: dict[int, str]) -> bool:
    return node.op is not leaf.INPUT and is_automatic(name, _base(node, functions))


def _base(node: Node, functions: dict[int, str]) -> str:
    # results are numbered after the call that gives them
    source = node.args[0] if node.op is tuples.ITEM else node
    return callee(source, functions)


def _number_the_rest(nodes: Sequence[Node], functions: dict[int, str], names: dict[Node, str],
                     taken: set[str]) -> None:
    counts: dict[str, int] = {}
    for node in nodes:
        if node in names:
            continue
        base = _base(node, functions).rstrip("_")
        at = counts.get(base, 0) + 1
        while f"{base}_{at}" in taken:
            at += 1
        counts[base] = at
        _claim(node, f"{base}_{at}", names, taken)
