"""ONNX's control flow and values that are not arrays: If, Loop, Scan, sequences, optionals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import bool_, i64
from dlc.onnx.call import Call, Results, Value, array, axis_of, converts

# Loops of at most this many rounds are unrolled; longer ones become a scan.
UNROLLED = 16
# The most rounds of a loop that cannot be a scan: it has sequences, or changes shapes.
ROUNDS = 4096


@converts("If")
def if_(call: Call) -> Results:
    """A condition that is known chooses its branch now; else both branches give equal types."""
    branches = call.get("then_branch"), call.get("else_branch")
    condition = call.walk.knows.value(call.x())
    if condition is not None:
        if condition.size != 1:
            raise DlcError(f"the condition has shape {condition.shape}, it must be one bool")
        return tuple(call.walk.subgraph(branches[not condition.item()], (), call.frame))

    def branch(graph: Any) -> Any:
        return lambda: tuple(arrays(call.walk.subgraph(graph, (), call.frame)))

    scalar = dlc.reshape(call.x(), ())
    return tuple(dlc.cond(scalar, branch(branches[0]), branch(branches[1])))


def arrays(values: Sequence[Value]) -> list[Node]:
    """`values`, which must be arrays. Raises DlcError."""
    for value in values:
        if not isinstance(value, Node):
            raise DlcError("a sequence is not an array, and a loop at run time carries arrays only")
    return [v for v in values if isinstance(v, Node)]


# --- Loop -----------------------------------------------------------------------------------------


@converts("Loop")
def loop(call: Call) -> Results:
    """Rounds whose number is known, unrolled or as a scan; else a while loop with a bound."""
    body, carried = call.get("body"), list(call.operands[2:])
    count = call.walk.knows.value(call.x(0)) if call.has(0) else None
    if call.has(0) and count is None:
        call.known(0)
    rounds = int(count.reshape(-1)[0]) if count is not None else ROUNDS
    start = call.walk.knows.value(call.x(1)) if call.has(1) else array(True)
    if start is None:
        going = dlc.reshape(call.x(1), ())
        return searched(call, body, rounds if count is not None else -1, going, carried)
    if call.has(1) and not call.scalar(1):
        rounds = 0
    kept = keeps_going(body)
    if kept and rounds > UNROLLED and count is not None:
        return scanned_loop(call, body, rounds, carried)
    return unrolled(call, body, rounds, carried, count is None)


def keeps_going(body: Any) -> bool:
    """Whether a body passes its condition on, so that only the trip count ends the loop."""
    passed, name = {v.name for v in list(body.input)[1:2]}, body.output[0].name
    makers = {o: n for n in body.node for o in n.output}
    while name in makers and makers[name].op_type == "Identity" and makers[name].input:
        name = makers[name].input[0]
    return name in passed


def unrolled(call: Call, body: Any, rounds: int, carried: list[Value], open_: bool) -> Results:
    """Round after round, while the condition is known to hold; once it depends on data, a while
    loop over the rounds that are left."""
    stacks: list[list[Node]] = [[] for _ in range(len(body.output) - 1 - len(carried))]
    done = 0
    while done < rounds:
        results = call.walk.subgraph(body, (array(done, i64), array(True), *carried), call.frame)
        done += 1
        carried = results[1:1 + len(carried)]
        for stack, value in zip(stacks, arrays(results[1 + len(carried):]), strict=True):
            stack.append(value)
        going = arrays(results[:1])[0]
        if not (stacks or open_) and call.walk.knows.value(going) is None:
            return searched(call, body, rounds, dlc.reshape(going, ()), carried, done)
        if not call.walk.knows.known(going, "the condition of the loop").item():
            break
    else:
        if open_:
            raise DlcError(f"the loop has more than {ROUNDS} rounds")
    if done == 0 and stacks:
        return (*carried, *none_stacked(call, body, carried))
    return (*carried, *(stacked(s) for s in stacks))


def none_stacked(call: Call, body: Any, carried: list[Value]) -> list[Node]:
    """What no round stacks: none of what the first round would have given."""
    results = call.walk.subgraph(body, (array(0, i64), array(True), *carried), call.frame)
    return [dlc.zeros((0, *map(int, value.shape)), value.dtype)
            for value in arrays(results[1 + len(carried):])]


def stacked(values: Sequence[Node], axis: int = 0) -> Node:
    """Arrays of one shape along a new axis."""
    shape = values[0].shape
    return dlc.concat([dlc.reshape(v, (*shape[:axis], 1, *shape[axis:])) for v in values], axis)


def scanned_loop(call: Call, body: Any, rounds: int, carried: list[Value]) -> Results:
    """As a scan over the round's number."""
    nodes = arrays(carried)

    def step(carry: Any, number: Any) -> Any:
        results = arrays(call.walk.subgraph(body, (number, array(True), *carry), call.frame))
        return tuple(results[1:1 + len(nodes)]), tuple(results[1 + len(nodes):])

    last, stacks = dlc.scan(step, tuple(nodes), dlc.iota((rounds,), 0, i64))
    return (*last, *stacks)


def searched(call: Call, body: Any, rounds: int, alive: Node, carried: list[Value],
             done: int = 0) -> Results:
    """A loop whose condition, at first `alive`, depends on data, from the round `done` on within
    its trip count; it can stack nothing."""
    nodes = arrays(carried)
    if rounds < 0:
        raise DlcError("a loop without a trip count, whose condition depends on inputs")
    if len(body.output) != 1 + len(nodes):
        call.known(1)  # how many rounds there are is the shape of what they stack

    def step(carry: Any) -> Any:
        number, _, *values = carry
        results = arrays(call.walk.subgraph(body, (number, array(True), *values), call.frame))
        return (number + 1, dlc.reshape(results[0], ()), *results[1:])

    def going(carry: Any) -> Any:
        return carry[1] & (carry[0] < rounds)

    first = (array(done, i64), alive, *nodes)
    (_, _, *last), _ = dlc.while_loop(going, step, first, bound=rounds - done)
    return tuple(last)


# --- Scan -----------------------------------------------------------------------------------------


@converts("Scan")
def scan(call: Call) -> Results:
    """Carries and sequences; axes and directions of each sequence."""
    if call.opset < 9:
        return batched_scan(call)
    body, nodes = call.get("body"), call.nodes()
    count = call.integer("num_scan_inputs")
    return scanned(call, body, nodes[:len(nodes) - count], nodes[len(nodes) - count:])


def batched_scan(call: Call) -> Results:
    """Opset 8 scans each entry of a batch by itself; its sequences may have lengths."""
    if call.has(0):
        raise DlcError("sequence lengths of Scan-8")
    body, nodes, count = call.get("body"), call.nodes_from(1), call.integer("num_scan_inputs")
    entries = []
    for b in range(int(nodes[0].shape[0])):
        each = [n[b] for n in nodes]
        entries.append(scanned(call, body, each[:len(each) - count], each[len(each) - count:]))
    return tuple(stacked(list(column)) for column in zip(*entries, strict=True))


def scanned(call: Call, body: Any, carried: list[Node], sequences: list[Node]) -> tuple[Node, ...]:
    """The last carries and the stacked results."""
    if not sequences:
        raise DlcError("a Scan over no sequences")
    backwards = call.integers("scan_input_directions", call.integers("directions")) or (
        (0,) * len(sequences))
    axes = call.integers("scan_input_axes") or (0,) * len(sequences)
    outs = len(body.output) - len(carried)
    out_axes = call.integers("scan_output_axes") or (0,) * outs
    out_backwards = call.integers("scan_output_directions") or (0,) * outs
    moved = [directed(to_front(s, axis_of(a, s.ndim)), b)
             for s, a, b in zip(sequences, axes, backwards, strict=True)]
    lengths = {int(s.shape[0]) for s in moved}
    if len(lengths) != 1:
        raise DlcError(f"sequences of lengths {sorted(lengths)}")
    last, stacks = rounds_of(call, body, carried, moved, lengths.pop())
    results = []
    for stack, axis, back in zip(stacks, out_axes, out_backwards, strict=True):
        front = directed(stack, back)
        results.append(from_front(front, axis_of(axis, front.ndim)))
    return (*last, *results)


def rounds_of(call: Call, body: Any, carried: list[Node], moved: list[Node],
              length: int) -> tuple[list[Node], list[Node]]:
    """The rounds of a scan, unrolled where there are few."""
    count = len(carried)

    def step(carry: Any, elements: Any) -> Any:
        results = arrays(call.walk.subgraph(body, (*carry, *elements), call.frame))
        return tuple(results[:count]), tuple(results[count:])

    if not 0 < length <= UNROLLED:
        last, stacks = dlc.scan(step, tuple(carried), tuple(moved))
        return list(last), list(stacks)
    carry, rows = tuple(carried), []
    for i in range(length):
        carry, row = step(carry, [m[i] for m in moved])
        rows.append(row)
    return list(carry), [stacked(list(column)) for column in zip(*rows, strict=True)]


def directed(x: Node, backwards: int) -> Node:
    return dlc.flip(x, 0) if backwards else x


def to_front(x: Node, axis: int) -> Node:
    return dlc.transpose(x, (axis, *(a for a in range(x.ndim) if a != axis)))


def from_front(x: Node, axis: int) -> Node:
    return dlc.transpose(x, (*range(1, axis + 1), 0, *range(axis + 1, x.ndim)))


# --- sequences and optionals ----------------------------------------------------------------------


@converts("OptionalHasElement")
def has_element(call: Call) -> Results:
    return array(call.has(0), bool_)


@converts("OptionalGetElement")
def get_element(call: Call) -> Results:
    if not call.has(0):
        raise DlcError("the optional value is empty")
    return call.operands[0]


@converts("Optional")
def optional(call: Call) -> Results:
    return call.operands[0] if call.has(0) else None


def sequence(call: Call, position: int = 0) -> list[Any]:
    """An operand of sequence type. Raises DlcError."""
    value = call.operands[position] if position < len(call) else None
    if not isinstance(value, list):
        raise DlcError(f"operand {position} is not a sequence")
    return value


@converts("SequenceEmpty")
def sequence_empty(call: Call) -> Results:
    return []


@converts("SequenceConstruct")
def sequence_construct(call: Call) -> Results:
    return list(call.nodes())


@converts("SequenceLength")
def sequence_length(call: Call) -> Results:
    return array(len(sequence(call)), i64)


def place(call: Call, position: int, length: int) -> int:
    """A known place in a sequence; negative ones count from the end."""
    at = int(call.scalar(position))
    if not -length <= at < length:
        raise DlcError(f"place {at} of a sequence of {length}")
    return at % length


@converts("SequenceAt")
def sequence_at(call: Call) -> Results:
    values = sequence(call)
    found: Node = values[place(call, 1, len(values))]
    return found


@converts("SequenceErase")
def sequence_erase(call: Call) -> Results:
    values = list(sequence(call))
    del values[place(call, 1, len(values)) if call.has(1) else -1]
    return values


@converts("SequenceInsert")
def sequence_insert(call: Call) -> Results:
    values = list(sequence(call))
    values.insert(place(call, 2, len(values) + 1) if call.has(2) else len(values), call.x(1))
    return values


@converts("ConcatFromSequence")
def concat_from_sequence(call: Call) -> Results:
    values, axis = sequence(call), call.integer("axis")
    if not values:
        raise DlcError("an empty sequence")
    if call.flag("new_axis"):
        return stacked(values, axis_of(axis, values[0].ndim + 1))
    return dlc.concat(values, axis_of(axis, values[0].ndim))


@converts("SplitToSequence")
def split_to_sequence(call: Call) -> Results:
    from dlc.onnx.shape import part
    from dlc.onnx.tensors import LONGEST_SEQUENCE

    x, axis = call.x(), axis_of(call.integer("axis"), call.x().ndim)
    total, given = int(x.shape[axis]), call.maybe_known(1)
    if given is None or given.ndim == 0:
        each = 1 if given is None else int(given)
        if each < 1:
            raise DlcError(f"parts of {each}")
        if total > each * LONGEST_SEQUENCE:
            raise DlcError(f"{-(-total // each)} parts of {x.type}", None,
                           f"a sequence has at most {LONGEST_SEQUENCE}")
        sizes = [min(each, total - i) for i in range(0, total, each)]
    else:
        sizes = [int(s) for s in given]
    if sum(sizes) != total or any(s < 0 for s in sizes):
        raise DlcError(f"parts {sizes} of axis {axis} of {x.type}")
    found, at = [], 0
    for size in sizes:
        piece = part(x, axis, at, at + size)
        if given is None and not call.flag("keepdims", True):
            piece = dlc.reshape(piece, tuple(d for a, d in enumerate(x.shape) if a != axis))
        found.append(piece)
        at += size
    return found
