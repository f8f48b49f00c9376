"""What a network computes, as graphs: of a task, or of a checkpoint, which holds them as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.errors import DlcError
from dlc.ir.graph import Graph
from dlc.ir.types import Bounded, Type
from dlc.lang.trace import CheckText, signature
from dlc.reference.text import parse_graph, print_graph
from dlc.task.meta import varying_data
from dlc.task.task import Task

if TYPE_CHECKING:
    from dlc.runtime.train.checkpoint import Checkpoint

# How many rows one run takes. Rows are divided among these, so that any number of them needs three
# compiled programs at most; of rows of several lengths, two for each of the sizes they are padded
# to.
BLOCKS = (1, 8, 64)
BLOCKS_OF_VARYING = (1, 16)
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Definition:
    """What a network computes: its prediction as a graph, for each of `blocks` and of `levels`, the
    sizes of the dimensions with a bound (`varying`, as in a task's meta data).

    `classes` are the names of what its last axis tells apart, empty for what is not a
    classification; `words` what the numbers of an input of texts stand for, by input.
    """

    name: str
    blocks: tuple[int, ...]
    graph: Callable[[int, Sizes], Graph]
    classes: tuple[str, ...] = ()
    varying: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    levels: tuple[Sizes, ...] = ((),)
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)


def of_task(task: Task, classes: Sequence[str] = (),
            words: Mapping[str, Sequence[str]] | None = None) -> Definition:
    """The predictions of a task, and the names of its classes where there are as many of them as
    it tells apart. Raises DlcError for a task that predicts nothing or takes no rows."""
    from dlc.runtime.data.buckets import levels_of

    first = task.graphs(task_blocks(task)[0], ("predict",))["predict"]
    varying = varying_data({"predict": first})
    levels = tuple(levels_of(varying, max(2, task.buckets))) if varying else ((),)
    graphs: dict[tuple[int, Sizes], Graph] = {}

    def graph(block: int, sizes: Sizes) -> Graph:
        if (block, sizes) not in graphs:
            chosen = dict(zip(varying, sizes, strict=True))
            graphs[block, sizes] = task.graphs(block, ("predict",), chosen)["predict"]
        return graphs[block, sizes]

    return Definition(task.name, task_blocks(task), graph, class_names(task, first, classes),
                      varying, levels, of_inputs(first, words or {}))


def of_inputs(graph: Graph, words: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The words of those fields that the graph reads."""
    labels = {n.attrs["label"] for n in graph.inputs}
    return {name: list(each) for name, each in words.items() if name in labels}


def class_names(task: Task, graph: Graph, known: Sequence[str]) -> tuple[str, ...]:
    """What the last axis of the prediction tells apart: the classes that the data name, where they
    are as many, else numbers where the target is an integer."""
    predicted = graph.notes["prediction"]
    count = int(predicted.shape[-1]) if predicted.ndim > 1 else 0
    target = signature(task.evaluate).get(graph.notes["target"])
    if count and len(known) == count:
        return tuple(known)
    is_class = isinstance(target, Type) and target.dtype.is_integer
    return tuple(map(str, range(count))) if is_class else ()


def task_blocks(task: Task) -> tuple[int, ...]:
    """The sizes of blocks that a task can be traced for: its own, where it takes no other."""
    types = [t for t in signature(task.evaluate).values() if isinstance(t, Type)]
    if not types or not types[0].shape:
        raise DlcError(f"{task.name} takes no rows", task.loc, 'an input f32["batch", ...]')
    if not isinstance(types[0].shape[0], str):
        return (int(types[0].shape[0]),)
    varies = any(isinstance(d, Bounded) for t in types for d in t.shape)
    return BLOCKS_OF_VARYING if varies else BLOCKS


def as_data(task: Task, classes: Sequence[str] = (),
            words: Mapping[str, Sequence[str]] | None = None) -> dict[str, Any]:
    """A task's network as plain data, for its checkpoints: graphs as text, by size of block (and of
    the dimensions with a bound: "16x8"), what their run-time checks say, the classes, and the
    words of texts. Empty for a task that predicts nothing."""
    try:
        definition = of_task(task, classes, words)
        graphs = {(block, *sizes): definition.graph(block, sizes)
                  for block in definition.blocks for sizes in definition.levels}
    except DlcError:
        return {}
    checks = next(iter(graphs.values())).notes["checks"]
    blocks = {"x".join(map(str, key)): print_graph(graph) for key, graph in graphs.items()}
    return {"blocks": blocks,
            "checks": [{"text": c.text, "loc": str(c.loc or "")} for c in checks],
            "classes": list(definition.classes),
            **({"varying": definition.varying} if definition.varying else {}),
            **({"words": dict(definition.words)} if definition.words else {})}


def of_checkpoint(file: Path, checkpoint: Checkpoint) -> Definition:
    """The network that a checkpoint holds. Raises CheckpointError when there is none."""
    from dlc.runtime.train.tensorfile import CheckpointError

    held = checkpoint.network
    if not held:
        raise CheckpointError(file, "", "holds no network, only weights",
                              "give the task too: dlc.load(path, task)")
    checks = tuple(CheckText(f"{c['text']}  {c['loc']}".rstrip(), None) for c in held["checks"])

    def graph(block: int, sizes: Sizes) -> Graph:
        key = "x".join(map(str, (block, *sizes)))
        try:
            found = parse_graph(held["blocks"][key], f"{file}, block {key}")
        except DlcError as problem:
            raise DlcError(problem.message, problem.loc, "a network with operators of yours is read"
                           " with its task: dlc.load(path, task)") from None
        return replace(found, notes={"checks": checks})

    keys = sorted(tuple(map(int, key.split("x"))) for key in held["blocks"])
    return Definition(checkpoint.identity.model, tuple(dict.fromkeys(k[0] for k in keys)), graph,
                      tuple(held["classes"]), held.get("varying", {}),
                      tuple(dict.fromkeys(k[1:] for k in keys)), held.get("words", {}))
