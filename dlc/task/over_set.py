"""Metrics of a whole data set, which are not means over its batches: AUC, F1 over classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dlc.errors import DlcError, Loc, here
from dlc.ir.graph import Graph, Node, describe, serving
from dlc.ir.types import Bounded, Dim, Type, f32, i32
from dlc.lang.scope import current_scope
from dlc.lang.trace import tracing
from dlc.ops import leaf, varying
from dlc.ops.convert import as_node, cast

ROWS = "samples"  # the axis of a set's samples


@dataclass(frozen=True, eq=False)
class Whole:
    """One such metric: `function` of the rows of all batches, joined; `locs` asked for it."""

    function: Callable[..., Any]
    rows: tuple[Node, ...]
    locs: tuple[Loc, ...] = ()


def over_set(function: Callable[..., Any], *rows: Any) -> Node:
    """The metric `function(*rows)` of all rows of the data that are evaluated, f32[()].

    `rows` are values of a batch with a row for each sample: dlc.over_set(nn.auc, scores, label).
    Evaluation joins them over all batches and calls `function` once on the whole, compiled. In
    training, and where the number of samples is not known (a stream), it is the mean over batches
    of what `function` makes of each. Raises DlcError for a result that is not a single number.
    """
    scope = current_scope("over_set")
    values = tuple(as_node(row) for row in rows)
    if not values or any(v.ndim == 0 for v in values):
        raise DlcError("over_set: " + (", ".join(map(describe, values)) or "nothing") + " has no "
                       "rows", here(), "values with a row for each sample, e.g. logits, label")
    node = number(function, values)
    loc = here()
    scope.whole[node] = Whole(function, values, () if loc is None else (loc,))
    return node


def number(function: Callable[..., Any], values: tuple[Node, ...]) -> Node:
    """What `function` gives, f32[()]. Raises DlcError for more than one number."""
    found = as_node(function(*values))
    if found.ndim:
        raise DlcError(f"over_set: the function gives {describe(found)}, not one number", here(),
                       "reduce it, e.g. lambda z, y: nn.f1(z, y).mean()")
    return cast(found, f32)


def row_outputs(metrics: Mapping[str, Node], whole: Mapping[Node, Whole],
                batch: int) -> tuple[dict[str, Node], dict[str, Whole]]:
    """(the rows that an evaluation gives out, by output; the metrics that are made of them).

    Raises DlcError for rows that are not the batch's.
    """
    found = {name: whole[node] for name, node in metrics.items() if node in whole}
    outputs = {}
    for name, metric in found.items():
        for at, row in enumerate(metric.rows):
            if int(row.shape[0]) != batch:
                raise DlcError(f"over_set: {name}: {describe(row)} has no row for each of the "
                               f"{batch} samples", row.loc, "values whose first axis is the batch")
            outputs[row_name(name, at)] = row
            outputs.update((f"{d.name}.lengths", varying.known()[d.name].lengths)
                           for d in filter(varying.is_varying, row.shape))
    return outputs, found


def row_name(metric: str, at: int) -> str:
    """The name of an argument of a metric, as an evaluation's output and as the set's input."""
    return f"{metric}.rows{at}"


def set_graph(whole: Mapping[str, Whole], count: int) -> Graph:
    """The metrics of a set of `count` samples: all rows -> each metric."""
    inputs, outputs = {}, {}
    with tracing(set_graph, False, {}):
        for name, metric in whole.items():
            arguments = []
            for at, row in enumerate(metric.rows):
                type_ = row.type.with_(shape=(Dim(count, ROWS), *row.shape[1:]), layout=None)
                node = inputs[row_name(name, at)] = _input(row_name(name, at), type_, row)
                arguments.append(node)
                inputs.update(_lengths(row, count, inputs))
            with serving(metric.locs):  # not the line where the size of the set became known
                outputs[name] = number(metric.function, tuple(arguments))
    return Graph("eval_set", tuple(inputs.values()), tuple(outputs.values()), tuple(outputs),
                 {}, {"variables": (), "checks": ()})


def _lengths(row: Node, count: int, before: Mapping[str, Node]) -> dict[str, Node]:
    """The lengths of the rows along each axis of `row` that varied, as inputs of the set."""
    found = {}
    for dim in row.shape:
        if isinstance(dim, Dim) and isinstance(dim.name, Bounded):
            label = f"{dim.name}.lengths"
            known = before.get(label)
            found[label] = _input(label, i32[Dim(count, ROWS)], row) if known is None else known
            varying.declare(dim.name, found[label], ROWS)
    return found


def _input(label: str, type_: Type, row: Node) -> Node:
    """An input that serves the lines of `row`, wherever the set's size becomes known."""
    node = leaf.input_(label, type_, "data")
    node.locs = row.locs
    return node
