"""What a report of a task shows, told from its evaluation: what is predicted, and from what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlc.errors import DlcError, nearest
from dlc.ir.graph import Graph, Node, describe, toposort
from dlc.ir.types import Type
from dlc.ops import leaf

if TYPE_CHECKING:
    from dlc.task.step import Forward
    from dlc.task.task import Task

# What is predicted: a class of several, yes or no, numbers, a class at each position, an input
# itself, or new samples that depend on no input.
KINDS = ("classes", "yes_no", "values", "tokens", "reconstruction", "samples", "nothing")
# losses of yes and no
OF_YES_NO = ("binary_cross_entropy", "binary_cross_entropy_with_logits", "focal", "hinge",
             "squared_hinge", "soft_margin", "multilabel_soft_margin")
# how the loss reads a prediction
LINKS = {"cross_entropy": "softmax", "nll": "exp", "focal": "sigmoid",
         "binary_cross_entropy": "identity", "binary_cross_entropy_with_logits": "sigmoid",
         "soft_margin": "sigmoid", "multilabel_soft_margin": "sigmoid"}
CODE = "report.code"  # the output of an evaluation that holds the code
SAMPLES = "report.samples"  # and the one that holds dlc.loss(..., samples=value)


@dataclass(frozen=True)
class Subject:
    """What a report shows: one of KINDS, the field that the prediction should equal ("": none), how
    a prediction is read ("softmax", "sigmoid", "exp", "identity", "": by its values), and the name
    of the value that is a code of the input ("": none)."""

    kind: str = "nothing"
    target: str = ""
    link: str = ""
    code: str = ""


def subject_of(forward: Forward, prediction: Node | None, report: Mapping[str, str]) -> Subject:
    """The subject of an evaluation; `report` is the task's own word."""
    noted = forward.scope.prediction
    target, loss = None, ""
    if noted is not None and prediction is not None and noted[0].shape == prediction.shape:
        target, loss = noted[1], noted[2]
    elif prediction is not None:
        target = unread(forward, prediction)
    link = LINKS.get(loss, "") if noted is not None and prediction is noted[0] else ""
    kind = report.get("shows") or told(forward, prediction, target, loss)
    if kind == "nothing" or prediction is None:
        return Subject()
    label = report.get("target", "" if target is None else str(target.attrs["label"]))
    if not label and kind == "reconstruction":
        label = next((k for k, n in forward.inputs.items()
                      if math.prod(sizes(n)) == math.prod(sizes(prediction))), "")
    return Subject(kind, label, link)


def unread(forward: Forward, prediction: Node) -> Node | None:
    """The only input that a prediction is not computed from: it may be the target, though no loss
    of dlc.nn compares the two. None for several, and where there is no other input."""
    read = set(toposort([prediction]))
    rest = [n for n in forward.inputs.values() if n not in read]
    return rest[0] if len(rest) == 1 and len(forward.inputs) > 1 else None


def told(forward: Forward, prediction: Node | None, target: Node | None, loss: str) -> str:
    """Which of KINDS an evaluation is."""
    batch = next((int(n.shape[0]) for n in forward.inputs.values() if n.ndim), 0)
    if prediction is None or not prediction.ndim or int(prediction.shape[0]) != batch:
        return "nothing"
    read = {n for n in toposort([prediction]) if n in set(forward.inputs.values())}
    if not read:
        return "samples"
    if target is None:
        return "nothing"
    row, wanted = sizes(prediction), sizes(target)
    if target.dtype.is_integer and len(row) and row[:-1] == wanted and row[-1] > 1:
        return "tokens" if wanted else "classes"
    if loss == "cross_entropy" and row == wanted:  # towards a distribution
        return "classes" if len(row) == 1 else "nothing"
    if math.prod(row) != math.prod(wanted):
        return "nothing"
    if target in read and all(math.prod(sizes(n)) <= math.prod(wanted) for n in read):
        return "reconstruction"
    scored = math.prod(row) == 1 and {"accuracy", "auc"} & set(forward.result.metrics)
    return "yes_no" if loss in OF_YES_NO or scored else "values"


def sizes(node: Node) -> tuple[int, ...]:
    """The shape of a row."""
    return tuple(map(int, node.shape[1:]))


def samples_of(task: Task, forward: Forward, batch: int) -> Node:
    """What `dlc.loss(..., samples=value)` was given. Raises DlcError for what is not a row for each
    of the batch, and for what depends on no random numbers."""
    found, fits = forward.result.samples, "make(dlc.random.normal((image.shape[0], 8)))"
    assert found is not None
    if not found.ndim or int(found.shape[0]) != batch:
        raise DlcError(f"{task.name}: samples={describe(found)} has no row for each of the {batch} "
                       "of the batch", forward.result.loc, fits)
    if not any(n.op is leaf.INPUT and n.attrs["label"].rpartition(".")[2] == "seed"
               for n in toposort([found])):
        raise DlcError(f"{task.name}: samples={describe(found)} depends on no random numbers",
                       forward.result.loc, fits)
    return found


# --- codes ----------------------------------------------------------------------------------------


def code_of(task: Task, subject: Subject, graph: Graph, prediction: Node | None) -> Node | None:
    """The value that is a code of the input: the one that the task names, or the narrowest through
    which a reconstruction passes. None for neither. Raises DlcError for a name without a value."""
    name = task.report.get("code", "")
    if name:
        return named(task, graph, name)
    if subject.kind != "reconstruction" or prediction is None:
        return None
    inputs = [n for n in graph.inputs if n.attrs["role"] == "data"]
    read = max((n.type.size for n in inputs if n in set(toposort([prediction]))), default=0)
    passes = [n for n in narrows(inputs, prediction) if 2 * n.type.size <= read]
    if not passes:
        return None
    size = min(n.type.size for n in passes)
    narrowest = [n for n in passes if n.type.size == size]
    return next((n for n in reversed(narrowest) if n.name), narrowest[-1])


def named(task: Task, graph: Graph, name: str) -> Node:
    """The last value called `name`, which has a row for each sample. Raises DlcError for none."""
    batch = {int(n.shape[0]) for n in graph.inputs if n.attrs["role"] == "data" and n.ndim}
    known = [n for n in graph.nodes() if n.name and n.op is not leaf.INPUT and is_rows(n, batch)]
    found = [n for n in known if n.name == name]
    if not found:
        names = list(dict.fromkeys(n.name for n in known))
        raise DlcError(f"{task.name}: report: no value of a row is called {name!r}"
                       f"{nearest(name, names)}", task.loc, f"values are {', '.join(names)}")
    return found[-1]


def is_rows(node: Node, batch: set[int]) -> bool:
    """Whether `node` holds floats, a row of them for each sample."""
    return (isinstance(node.type, Type) and node.dtype.is_float and node.ndim > 1
            and int(node.shape[0]) in batch)


def narrows(inputs: Sequence[Node], prediction: Node) -> list[Node]:
    """The rows through which every path from an input to the prediction goes, operands first.

    A value is on all paths if the paths to it, times those from it, are all that there are.
    """
    order = toposort([prediction])
    start = set(inputs)
    into: dict[Node, int] = {}
    for node in order:
        into[node] = int(node in start) + sum(into[a] for a in node.args)
    out = dict.fromkeys(order, 0)
    out[prediction] = 1
    for node in reversed(order):
        for arg in node.args:
            out[arg] += out[node]
    batch = {int(n.shape[0]) for n in inputs if n.ndim}
    return [n for n in order if n not in start and is_rows(n, batch)
            and into[n] * out[n] == into[prediction]]
