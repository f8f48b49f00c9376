"""`dlc replay BUNDLE`: a step that was kept at a fault, run through NumPy once more."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dlc.cli.inspect import check_output
from dlc.cli.source import changed_task, user_code
from dlc.errors import DlcError, printable
from dlc.inspector.units import plural

if TYPE_CHECKING:
    from dlc.ir.graph import Graph, Node
    from dlc.replay import Bundle, Replayed

SHOWN = 8  # nodes that are not finite
FAILS = 1  # the exit status where the step fails again


def run(options: argparse.Namespace) -> int:
    """Say what the step comes to; 1 where it fails again."""
    from dlc.faults import cause_of
    from dlc.intake import user_path
    from dlc.replay import read, replay

    page = check_output(options.output) if options.output else None
    bundle = read(user_path(options.bundle))
    graph = step_of(options, bundle) if options.file else bundle.graph()
    found = replay(graph, bundle.inputs)
    print(f"{printable(bundle.program)}, {printable(bundle.entry)}: step {bundle.step} (epoch "
          f"{bundle.epoch + 1}), {plural(found.count, 'node')} in NumPy, "
          f"{len(found.bad)} not finite")
    if found.code == 0:
        print("it comes to no fault" + ("" if options.file or bundle.code > 0 else
              "; the kernels overflow where NumPy does not"))
        return 0
    cause = cause_of(graph, bundle.inputs, found.code)
    print(cause)
    table(found)
    if page:
        from dlc.compiler import compile as compile_graph
        from dlc.inspector.findings import of_error, write_findings

        told = [(line_of(found, node), node.loc) for node in found.bad[:SHOWN]]
        print(write_findings(page, compile_graph(graph), [of_error(cause), *told]))
    return FAILS


def step_of(options: argparse.Namespace, bundle: Bundle) -> Graph:
    """The bundle's step in the task of FILE. Raises DlcError for a task that has none such."""
    from dlc.lang.trace import signature
    from dlc.runtime.train.alternation import base_entry

    task = changed_task(options.file, options.settings)
    named = {name for phase in task.phases for name in signature(phase.function)}
    rows = [len(v) for name, v in bundle.inputs.items() if name in named and v.ndim]
    with user_code():
        count = rows[0] if rows else task.batch
        graphs = task.graphs(count, ("train",), rows=count) | task.graphs(count, ("eval",))
    entry = base_entry(bundle.entry)
    if entry not in graphs:
        raise DlcError(f"{task.name} has no step {printable(entry)}", task.loc,
                       f"its steps are {', '.join(graphs)}")
    return graphs[entry]


def line_of(found: Replayed, node: Node) -> str:
    """A node that is not finite, in words."""
    from dlc.faults import statistic

    value = found.values[node]
    what = "several results" if isinstance(value, tuple) else statistic(node, value)
    name = node.name or node.attrs.get("label") or node.op.name
    return f"{printable(name)} = {node.op.name} at {node.loc or 'no line'}: {what}"


def table(found: Replayed) -> None:
    """The first nodes that are not finite, in the order of evaluation."""
    print("not finite, in order:")
    for node in found.bad[:SHOWN]:
        print(f"  {line_of(found, node)}")
    if len(found.bad) > SHOWN:
        print(f"  and {len(found.bad) - SHOWN} more")
