"""Loops and branches as operators: scan and cond, nodes that contain the graphs they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.derive.higher import check_body
from dlc.ir.dependence import depends_on
from dlc.ir.graph import (
    Given,
    Graph,
    Kind,
    Node,
    Op,
    OpError,
    current_build,
    make,
    serve_also,
    substitute,
    toposort,
)
from dlc.ir.registry import register
from dlc.ir.types import TupleType, Type
from dlc.ops import leaf
from dlc.ops.tuples import item

Run = Callable[[Graph, Sequence[Any]], list[Any]]
# (input of a body, the operand that it stands for)
Bound = tuple[Node, Node]


def _no_samples() -> list[Any]:
    return []


def _same(a: Type, b: Type) -> bool:
    return a.dtype is b.dtype and tuple(a.shape) == tuple(b.shape)


# --- scan -----------------------------------------------------------------------------------------


def _infer_scan(*types: Type, body: Graph, carries: int, sequences: int, length: int,
                reverse: bool) -> TupleType:
    """Final carries, then ys stacked. Raises OpError when operands and body do not fit."""
    if isinstance(length, bool) or not isinstance(length, int) or length < 0:
        raise OpError(f"length {length!r}", "a loop runs 0, 1, 2, ... times")
    if not 0 <= carries <= min(len(types), len(body.outputs)) or carries + sequences > len(
            types):
        raise OpError(f"{carries} carries and {sequences} sequences of {len(types)} operands")
    elements = []
    for t in types[carries:carries + sequences]:
        if t.ndim == 0 or t.shape[0] != length:
            raise OpError(f"sequence {t.describe()} of a loop of length {length}",
                          "its first axis has the loop's length")
        elements.append(t.with_(shape=t.shape[1:], layout=None))
    check_body(body, (*types[:carries], *elements, *types[carries + sequences:]))
    for i, (old, new) in enumerate(zip(types[:carries], body.outputs, strict=False)):
        if not _same(old, new.type):
            raise OpError(f"carry {i} is {old.describe()} before and {new.type} after a step",
                          "a carry keeps its type")
    ys = (Type(y.dtype, (length, *y.shape)) for y in body.outputs[carries:])
    return TupleType((*(t.with_(layout=None) for t in types[:carries]), *ys))


def _eval_scan(run: Run, *args: Any, body: Graph, carries: int, sequences: int, length: int,
               reverse: bool) -> Any:
    carry, invariants = list(args[:carries]), list(args[carries + sequences:])
    rows: list[list[Any]] = [[] for _ in body.outputs[carries:]]
    for t in range(length - 1, -1, -1) if reverse else range(length):
        elements = [np.asarray(s)[t] for s in args[carries:carries + sequences]]
        outputs = run(body, [*carry, *elements, *invariants])
        carry = list(outputs[:carries])
        for row, y in zip(rows, outputs[carries:], strict=True):
            row.append(y)
    return (*carry, *(_stack(row, y.type, reverse)
                      for row, y in zip(rows, body.outputs[carries:], strict=True)))


def _stack(rows: Sequence[Any], type_: Type, reverse: bool) -> Any:
    if not rows:
        return np.zeros((0, *type_.shape), type_.dtype.numpy)
    return np.stack(rows[::-1] if reverse else rows)


def _pull_scan(node: Node, given: Given) -> list[Node | None]:
    from dlc.derive.control_reverse import pull_scan

    return pull_scan(node, given)


def _push_scan(node: Node, tangents: Sequence[Any]) -> list[Node]:
    from dlc.derive.control_forward import push_scan

    return push_scan(node, tangents)


def _batch_scan(node: Node, args: Sequence[Node], mapped: tuple[bool, ...], size: int) -> Any:
    from dlc.derive.control_batch import batch_scan

    return batch_scan(node, args, mapped, size)


SCAN = register(Op(
    "scan", Kind.HIGHER, _infer_scan, _eval_scan, samples=_no_samples, gradient="none",
    pull=_pull_scan, push=_push_scan, batch=_batch_scan,
    doc="a body run `length` times: (*carries, *sequences, *invariants) give the final carries "
    "and what each step gave, stacked; `reverse` starts at the last element",
    defaults=lambda *types, **_: {"reverse": False}))


# --- cond -----------------------------------------------------------------------------------------


def _infer_cond(predicate: Type, *types: Type, then: Graph, otherwise: Graph) -> TupleType:
    """The branches' common result types. Raises OpError when the two differ."""
    if predicate.dtype.category != "bool" or predicate.ndim:
        raise OpError(f"the predicate is {predicate.describe()}", "it is one bool")
    check_body(then, types)
    check_body(otherwise, types)
    if len(then.outputs) != len(otherwise.outputs):
        raise OpError(f"the branches give {len(then.outputs)} and {len(otherwise.outputs)} results")
    for i, (a, b) in enumerate(zip(then.outputs, otherwise.outputs, strict=True)):
        if not _same(a.type, b.type):
            raise OpError(f"result {i} is {a.type} in one branch and {b.type} in the other",
                          "both branches give the same types")
    return TupleType(tuple(o.type.with_(layout=None) for o in then.outputs))


def _eval_cond(run: Run, predicate: Any, *args: Any, then: Graph, otherwise: Graph) -> Any:
    return tuple(run(then if bool(predicate) else otherwise, args))


def _pull_cond(node: Node, given: Given) -> list[Node | None]:
    from dlc.derive.control_reverse import pull_cond

    return pull_cond(node, given)


def _push_cond(node: Node, tangents: Sequence[Any]) -> list[Node]:
    from dlc.derive.control_forward import push_cond

    return push_cond(node, tangents)


def _batch_cond(node: Node, args: Sequence[Node], mapped: tuple[bool, ...], size: int) -> Any:
    from dlc.derive.control_batch import batch_cond

    return batch_cond(node, args, mapped, size)


COND = register(Op(
    "cond", Kind.HIGHER, _infer_cond, _eval_cond, samples=_no_samples, gradient="none",
    pull=_pull_cond, push=_push_cond, batch=_batch_cond,
    doc="one of two graphs over the operands, chosen by a bool; the other does not run"))


# --- taking loops apart and making them ----------------------------------------------------------


class Fresh:
    """New inputs for a body, under labels that it does not use."""

    def __init__(self, inputs: Sequence[Node]) -> None:
        self.taken = {x.attrs["label"] for x in inputs}

    def input(self, prefix: str, of: str, type_: Type) -> Node:
        """An input labelled `prefix_of`, `of` without a prefix; numbered where that is taken."""
        stem = label = f"{prefix}_{of}" if prefix else of
        at = 1
        while label in self.taken:
            at += 1
            label = f"{stem}_{at}"
        self.taken.add(label)
        return leaf.input_(label, type_.with_(layout=None))


@dataclass(frozen=True)
class Loop:
    """A scan node by its parts; inputs and outputs are the body's, the rest is outside."""

    node: Node
    carries: tuple[Bound, ...]
    sequences: tuple[Bound, ...]
    invariants: tuple[Bound, ...]
    new: tuple[Node, ...]
    ys: tuple[Node, ...]

    @staticmethod
    def of(node: Node) -> Loop:
        body, c = node.attrs["body"], node.attrs["carries"]
        s = c + node.attrs["sequences"]
        bound = tuple(zip(body.inputs, node.args, strict=True))
        return Loop(node, bound[:c], bound[c:s], bound[s:], body.outputs[:c], body.outputs[c:])

    @property
    def length(self) -> int:
        return int(self.node.attrs["length"])

    @property
    def reverse(self) -> bool:
        return bool(self.node.attrs["reverse"])


@dataclass(frozen=True)
class Parts:
    """What a scan is made from: values of the body over its inputs, and what those stand for.

    Inputs that the results do not need may be listed; what depends on no carry and no element is
    computed once, before the loop.
    """

    name: str
    carries: Sequence[Bound]
    new: Sequence[Node]
    sequences: Sequence[Bound]
    invariants: Sequence[Bound]
    ys: Sequence[Node]
    length: int
    reverse: bool = False


def make_scan(parts: Parts, name: str = "") -> tuple[list[Node], list[Node]]:
    """(final carries, stacked ys) of the loop made from `parts`; `name` is the node's."""
    fixed = [(x, init) for (x, init), new in zip(parts.carries, parts.new, strict=True)
             if new is x]
    moving = [(x, init, new) for (x, init), new in zip(parts.carries, parts.new, strict=True)
              if new is not x]
    steady = {**dict(parts.invariants), **dict(fixed)}
    varying = [*(x for x, _, _ in moving), *(x for x, _ in parts.sequences)]
    outputs = [*(new for _, _, new in moving), *parts.ys]
    inside = depends_on(outputs, varying)
    stacked = distinct(y for y in parts.ys if y in inside)
    fresh = Fresh([x for x, _ in (*parts.carries, *parts.sequences, *parts.invariants)])
    outputs, held = _hoisted([*(new for _, _, new in moving), *stacked], inside, steady, fresh)
    used = set(toposort(outputs))
    sequences = [(x, s) for x, s in parts.sequences if x in used]
    found = _scan_results(parts, [(x, init) for x, init, _ in moving], sequences, held, outputs,
                          name)
    finals = dict(zip([x for x, _, _ in moving], found, strict=False))
    rows = dict(zip(stacked, found[len(moving):], strict=True))
    return ([finals.get(x, init) for x, init in parts.carries],
            [rows[y] if y in rows else _repeated(y, steady, parts.length) for y in parts.ys])


def _scan_results(parts: Parts, carries: Sequence[Bound], sequences: Sequence[Bound],
                  held: Sequence[Bound], outputs: Sequence[Node], name: str) -> list[Node]:
    if not outputs:
        return []
    bound = [*carries, *sequences, *held]
    body = shared(Graph(parts.name, tuple(x for x, _ in bound), tuple(outputs)))
    node = make(SCAN, [a for _, a in bound], name, body=body, carries=len(carries),
                sequences=len(sequences), length=parts.length, reverse=parts.reverse)
    return results(node)


def shared(body: Graph) -> Graph:
    """The running build's graph of the same structure as `body`: `body` if there is none yet.

    A function that is run twice gives two graphs; nodes that hold one of them merge.
    """
    build = current_build()
    if build is None:
        return body
    number = {x: i for i, x in enumerate(body.inputs)}
    rows = []
    for node in body.nodes():
        if node not in number:
            values = tuple((k, v.hex() if type(v) is float else v)
                           for k, v in sorted(node.attrs.items()))
            rows.append((node.op.name, tuple(number[a] for a in node.args), values, node.type))
            number[node] = len(number)
    key = (tuple(x.type for x in body.inputs), tuple(rows), tuple(number[o] for o in body.outputs))
    found: Graph = build.notes.setdefault("bodies", {}).setdefault(key, body)
    if found is not body:
        for old, new in zip(found.nodes(), body.nodes(), strict=True):
            serve_also(old, new.locs)
    return found


def results(node: Node) -> list[Node]:
    """Every result of a node with several."""
    return [item(node, i) for i in range(len(node.type.items))]


def distinct(nodes: Any) -> list[Node]:
    """`nodes`, each once, in order."""
    return list(dict.fromkeys(nodes))


def is_constant(node: Node) -> bool:
    """Whether a body may hold `node` itself: it costs nothing there."""
    return node.op in (leaf.CONSTANT, leaf.ARRAY, leaf.IOTA)


def _hoisted(outputs: Sequence[Node], inside: set[Node], steady: Mapping[Node, Node],
             fresh: Fresh) -> tuple[list[Node], list[Bound]]:
    """`outputs` over inputs alone, and the invariants that they read, computed outside."""
    edges = [a for node in toposort(outputs) if node in inside for a in node.args]
    read = distinct(_beneath_views(v, steady) for v in (*edges, *outputs) if v not in inside)
    read = [v for v in read if not is_constant(v)]
    held: list[Bound] = []
    inputs: dict[Node, Node] = {}
    for value, outer in zip(read, substitute(read, steady), strict=True):
        x = value if value in steady else fresh.input("", value.name or "held", value.type)
        x.locs = x.locs or value.locs
        held.append((x, outer))
        if x is not value:
            inputs[value] = x
    return substitute(outputs, inputs) if inputs else list(outputs), held


def _beneath_views(value: Node, steady: Mapping[Node, Node]) -> Node:
    """What to hold in place of `value`: a view costs nothing in the body, a copy of it does."""
    while value.op.kind is Kind.VIEW and len(value.args) == 1 and value not in steady:
        value = value.args[0]
    return value


def _repeated(y: Node, steady: Mapping[Node, Node], length: int) -> Node:
    """`y`, the same in every step, as the stack of all steps."""
    from dlc.ops.convert import broadcast_to
    from dlc.ops.view import reshape

    outer = substitute([y], steady)[0]
    return broadcast_to(reshape(outer, (1, *outer.shape)), (length, *outer.shape))
