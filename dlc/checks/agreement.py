"""Types that occur twice in a Program agree: those of ports, carries, rows and buffers.

Entries share parameters and state, tails included, so what one entry reads as another type than the
Program keeps is read as another shape. A carry of a loop has one type from its start to its end,
and a row is its sequence's type without the first axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dlc.backend.draft import Draft
from dlc.checks.places import HINT
from dlc.derive.control import COND, SCAN
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import Type
from dlc.passes.schedule.order import Schedule
from dlc.program import Entry, Port, Program

Pair = tuple[str, Type, Type, Node]  # what, as it is here, as it has to be, whose line


class TypeClash(DlcError):
    """One place in memory that is taken for two types."""


def check_agreement(program: Program, drafts: Sequence[Draft]) -> None:
    """Raise TypeClash where two sides of one place in memory differ in dtype or shape."""
    kept = {port.name: port for port in program.persistent}
    for draft in drafts:
        pairs = [*_ports(program.entries[draft.name], draft, kept),
                 *(p for level in draft.schedules for p in _bodies(level))]
        for what, here, there, node in pairs:
            if here.dtype is not there.dtype or tuple(here.shape) != tuple(there.shape):
                raise TypeClash(f"{draft.name}: {what} is {here} here, but {there} where it lies",
                                node.loc, HINT)
        _check_sizes(program, draft)


def _ports(entry: Entry, draft: Draft, kept: Mapping[str, Port]) -> Iterator[Pair]:
    """Inputs and outputs of the graph against the ports by which the runtime knows them."""
    graph = draft.schedule.graph
    given = {**kept, **{port.name: port for port in entry.inputs}}
    for node in graph.inputs:
        label = node.attrs["label"]
        yield f"{node.attrs['role']} {label}", node.type, given[label].type, node
    made = {**kept, **{port.name: port for port in entry.outputs}}
    for name, value in zip(graph.output_names, graph.outputs, strict=True):
        label = graph.updates.get(name, name)
        yield f"output {name}", value.type, made[label].type, value


def _bodies(level: Schedule) -> Iterator[Pair]:
    """Operands of loops and branches against the inputs of their bodies, and results likewise."""
    for launch in level.launches:
        items = {v.attrs["index"]: v for v in level.values[launch]} if level.inner.get(
            launch) else {}
        for inner in level.inner.get(launch, ()):
            body, first = inner.graph, launch.args[1:] if launch.op is COND else launch.args
            looped = launch.op is SCAN
            carries = launch.attrs["carries"] if looped else 0
            rows = range(carries, carries + launch.attrs["sequences"]) if looped else range(0)
            for k, (x, a) in enumerate(zip(body.inputs, first, strict=True)):
                yield f"operand {k} of {body.name}", x.type, _row(a, k in rows), a
            for k, out in enumerate(body.outputs):
                if looped and k < carries:
                    yield f"carry {k} of {body.name}", out.type, body.inputs[k].type, launch
                if k in items:
                    yield (f"result {k} of {body.name}", out.type,
                           _row(items[k], looped and k >= carries), launch)


def _row(value: Node, one: bool) -> Type:
    """The type of a value, or of one row of it."""
    return Type(value.type.dtype, tuple(value.type.shape)[1:]) if one else value.type


def _check_sizes(program: Program, draft: Draft) -> None:
    """Every value of the entry has a buffer, or a port, that holds all its bytes."""
    assert draft.plan is not None
    sizes: dict[tuple[int, tuple[int, ...], tuple[int, ...]], int] = {}
    for buffer in program.buffers:
        if buffer.entry in (draft.name, ""):
            key = (buffer.offset, buffer.strides, buffer.swaps)
            sizes[key] = max(buffer.bytes, sizes.get(key, 0))
    for value, place in draft.plan.slots.items():
        if isinstance(value, Node) and value in draft.plan.lives:
            size = sizes.get((place.offset, place.strides, place.swaps), 0)
            if size < value.type.bytes:
                raise TypeClash(f"{draft.name}: {value.name or value.op.name} of {value.type} lies "
                                f"in a buffer of {size} bytes", value.loc, HINT)
