"""Chunks in other orders, on other threads, must give the same bits.

The last of DLC_CHECK=2: each entry runs launch by launch in its usual order, then a few times with
the chunks between two barriers in random order on random threads (runtime/reference/shuffled.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.backend.draft import Draft
from dlc.checks.launches import device_for, same_bits
from dlc.checks.places import HINT
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.passes.check import random_value
from dlc.program import Program

TIMES = 3  # orders that are drawn for each entry


class OrderError(DlcError):
    """A result that depends on which chunk ran first."""


def check_chunk_order(program: Program, drafts: Sequence[Draft]) -> None:
    """Run every entry in several orders; raises OrderError at the line of a result that differs.

    Does nothing for an instruction set that this machine does not have.
    """
    from dlc import runtime

    own = device_for(program)
    if own == "interpret":
        return
    with runtime.load(program, own, 1) as usual, runtime.load(program, "shuffle") as shuffled:
        for draft in drafts:
            expected = _run(usual, draft)
            for _ in range(TIMES):
                got = _run(shuffled, draft)
                for port, node in _ports(draft).items():
                    if not same_bits(got[port], expected[port]):
                        raise OrderError(
                            f"{program.name}, entry {draft.name}: {port!r} depends on which chunk "
                            "ran first", node.loc, HINT)


def _ports(draft: Draft) -> dict[str, Node]:
    """What an entry gives out and keeps, by the name of its port."""
    graph = draft.schedule.graph
    return {graph.updates.get(name, name): node
            for name, node in zip(graph.output_names, graph.outputs, strict=True)}


def _run(running: Any, draft: Draft) -> dict[str, Any]:
    """The entry's results for seeded random inputs, by port."""
    for number, node in enumerate(draft.schedule.graph.inputs):
        running.write(node.attrs["label"], random_value(node, number), draft.name)
    running.run(draft.name)
    return {port: running.read(port, draft.name) for port in _ports(draft)}
