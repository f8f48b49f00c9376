"""Trained networks: dlc.load, Network.predict, dlc.outputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc import env
from dlc.compiler import Compiled, Loaded, Source
from dlc.errors import DlcError, Loc, here, nearest
from dlc.faults import raise_fault
from dlc.ir.graph import Graph, Node
from dlc.ir.types import Type
from dlc.lang.trace import CheckText, signature
from dlc.ops.convert import widened
from dlc.program import Port
from dlc.reference.text import parse_graph, print_graph
from dlc.reference.text.names import function_names, identifier, name_nodes
from dlc.task.task import Task
from dlc.words import attributes

if TYPE_CHECKING:
    from dlc.runtime.train.checkpoint import Checkpoint

# How many rows one run takes. Rows are divided among these, so that any number of them needs three
# compiled programs at most.
BLOCKS = (1, 8, 64)
Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Definition:
    """What a network computes: its prediction as a graph, for each of `blocks`; `classes` are the
    names of what its last axis tells apart, empty for what is not a classification."""

    name: str
    blocks: tuple[int, ...]
    graph: Callable[[int], Graph]
    classes: tuple[str, ...] = ()


@attributes("network")
class Network:
    """A network with weights. `predict` runs it on any number of rows.

    Rows are split into blocks of the sizes in `blocks`; the program for a size is compiled once,
    when it is first needed, and `compiled` lists these sizes. `inputs` are the types of the arrays
    it takes by name, without the row axis: {"image": f32[1, 28, 28]}. Calls from several threads
    are serialized.
    """

    def __init__(self, definition: Definition, values: Arrays, source: object,
                 wanted: Sequence[str] = ("prediction",)) -> None:
        self.definition, self.values, self.source = definition, values, source
        self.wanted = tuple(wanted)
        self._graphs: dict[int, Graph] = {}
        self._loaded: dict[int, Loaded] = {}
        self._turn = threading.RLock()
        # the largest first: in a block of one row every value of one row looks like the rows'
        graphs = [self.graph(block) for block in reversed(definition.blocks)]
        first = graphs[0]
        _check_values(source, values, first)
        self.inputs = {n.attrs["label"]: _row(n) for n in first.inputs if n.attrs["role"] == "data"}

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the prediction's last axis; empty where it
        tells none apart. Numbers where the training data had no names."""
        return self.definition.classes

    @property
    def blocks(self) -> tuple[int, ...]:
        """The numbers of rows that a run may take."""
        return self.definition.blocks

    @property
    def compiled(self) -> tuple[int, ...]:
        """The sizes of blocks that a program was compiled for so far."""
        return tuple(sorted(self._loaded))

    def graph(self, block: int) -> Graph:
        """What is computed for a block of so many rows, as a graph that can be printed."""
        if block not in self._graphs:
            self._graphs[block] = _with_values(self.definition.graph(block), self.wanted)
        return self._graphs[block]

    def predict(self, *args: Any, **named: Any) -> Any:
        """The prediction for every row of the arrays, given in order or by name.

        The first axis counts the rows, which may be any number; the answer to a row does not depend
        on the others. Gives an array, or a dict of them where `dlc.outputs` asked for several.
        Raises DlcError for arrays that do not fit, for a run-time check that fails (an index out of
        range), and for a network in which rows depend on one another.
        """
        arrays, count = self._arrays(args, named)
        with self._turn:
            joined = self._all_rows(arrays, count)
        return joined[self.wanted[0]] if len(self.wanted) == 1 else joined

    __call__ = predict

    def _all_rows(self, arrays: Arrays, count: int) -> dict[str, Any]:
        """The values that are wanted, for `count` rows."""
        parts: list[dict[str, Any]] = []
        done = 0
        for size in blocks_for(count, self.blocks):
            # a block that is not full repeats the last row
            rows = np.minimum(np.arange(done, done + size), count - 1)
            kept = min(size, count - done)
            found = self._run(size, {k: a[rows] for k, a in arrays.items()})
            parts.append({k: v[:kept] for k, v in found.items()})
            done += kept
        return {k: self._joined(k, [p[k] for p in parts]) for k in self.wanted}

    def close(self) -> None:
        """Give the memory of the compiled programs back; the next `predict` takes it anew."""
        for loaded in self._loaded.values():
            loaded.close()
        self._loaded.clear()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        takes = ", ".join(f"{k}: {t}" for k, t in self.inputs.items())
        return f"<network {self.name}({takes}) -> {', '.join(self.wanted)}; from {self.source}>"

    # --- running

    def _arrays(self, args: Sequence[Any], named: Mapping[str, Any]) -> tuple[Arrays, int]:
        """(the arrays as the programs take them, the number of rows)."""
        from dlc.runtime.data import bind_arrays
        from dlc.runtime.data.dataset import as_array

        names = list(self.inputs)
        given = {**dict(zip(names, args, strict=False)), **named}
        if len(args) > len(names) or set(given) != set(names) or len(args) + len(named) != len(
                given):
            raise DlcError(f"{self.name} takes {_listed(names)}; {len(args)} arrays in order and "
                           f"{_listed(list(named))} by name are given", here())
        arrays = {k: as_array(v, "predict", f"input {k!r}") for k, v in given.items()}
        counts = {k: a.shape[0] if a.ndim else None for k, a in arrays.items()}
        if len(set(counts.values())) != 1 or None in counts.values():
            told = ", ".join(f"{k} has {'no axis' if n is None else n}" for k, n in counts.items())
            raise DlcError(f"predict: the first axis counts rows, and {told}", here(),
                           "one more axis in front of a single row: x[None]")
        ports = tuple(Port(k, Type(t.dtype, (1, *t.shape)), 0) for k, t in self.inputs.items())
        bound = bind_arrays("predict", arrays, ports)
        return bound, len(next(iter(bound.values())))

    def _run(self, size: int, arrays: Arrays) -> dict[str, Any]:
        """The values that are wanted for one full block. Raises DlcError for a failed check."""
        if size not in self._loaded:
            loaded = self._load(size)
            self._refuse_mixing(size, loaded, arrays)
            self._loaded[size] = loaded
        found = self._loaded[size].running.call("main", **arrays)
        raise_fault(self.graph(size), found.pop("fault", None),
                    lambda: {**self.values, **arrays})
        return dict(found)

    def _load(self, size: int) -> Loaded:
        graph = self.graph(size)
        source = Source(self.name, {"main": graph}, lambda seed: {})
        loaded = Compiled(source, "cpu", env.number("DLC_CHECK")).load()
        for label in (n.attrs["label"] for n in graph.inputs if n.attrs["role"] != "data"):
            loaded.write(label, self.values[label])
        return loaded

    def _refuse_mixing(self, size: int, loaded: Loaded, arrays: Arrays) -> None:
        """Raise DlcError when the answer to a row depends on the rows beside it: run once with
        these, and with small and with large ones, the first row's answer has the same bits."""
        if size == 1:
            return
        before = loaded.running.call("main", **arrays)
        for change in (_small_rows, _large_rows):
            after = loaded.running.call("main", **{k: change(a) for k, a in arrays.items()})
            mixed = [n for n in self.wanted if before[n][0].tobytes() != after[n][0].tobytes()]
            if mixed:
                loaded.close()
                raise DlcError(
                    f"{self.name}: {mixed[0]} of a row depends on the other rows of its batch",
                    _loc(self.graph(size), mixed[0]), "reduce over axes behind the first, or train "
                    "with running statistics, as nn.batch_norm has them")

    def _joined(self, name: str, parts: list[Any]) -> Any:
        if parts:
            return np.concatenate(parts)
        node = _named(self.graph(self.blocks[0]), name)
        return np.zeros((0, *node.shape[1:]), node.dtype.numpy)


def blocks_for(count: int, blocks: Sequence[int]) -> Iterator[int]:
    """The blocks that hold `count` rows: the largest that are full, then a larger one where at
    least half of it is."""
    while count > 0:
        holding = min((b for b in blocks if b >= count), default=max(blocks))
        fitting = max((b for b in blocks if b <= count), default=holding)
        size = holding if 2 * count >= holding else fitting
        yield size
        count -= size


def load(path: str | Path, task: Task | None = None) -> Network:
    """The trained network of a checkpoint, or of a run's folder (its best checkpoint, else the
    last).

    A checkpoint contains its network as well as the weights, so no user code runs; `task` is the
    definition to use instead, as needed for a network with custom operators. Raises DlcError for an
    invalid checkpoint, one without a network, and one that does not match `task`.
    """
    from dlc.intake import user_path
    from dlc.runtime.train.checkpoint import checkpoint_at
    from dlc.runtime.train.tensorfile import CheckpointError

    file, checkpoint = checkpoint_at(user_path(path, CheckpointError))
    held = checkpoint.network.get("classes", ())
    definition = of_task(task, held) if task is not None else _of_checkpoint(file, checkpoint)
    return Network(definition, checkpoint.arrays, file)


def outputs(network: Network, *names: str) -> Network:
    """The same network with intermediate values as its outputs, selected by name.

    Names are those of your variables and of layers, as `print(network.graph(8))` shows them, not
    generated ones (mul_3). Raises DlcError for an unknown name, and for a value that does not have
    a row for each row of the input.
    """
    if not isinstance(network, Network):
        raise DlcError(f"dlc.outputs: {network!r} is not a network", here(),
                       'dlc.outputs(dlc.load("runs/NAME"), "code")')
    if not names:
        raise DlcError("dlc.outputs: no name is given", here(), 'e.g. dlc.outputs(net, "code")')
    return Network(network.definition, network.values, network.source, names)


# --- where definitions come from ------------------------------------------------------------------


def of_task(task: Task, classes: Sequence[str] = ()) -> Definition:
    """The predictions of a task, and the names of its classes where there are as many of them as
    it tells apart. Raises DlcError for a task that predicts nothing or takes no rows."""
    blocks = task_blocks(task)
    graphs = {blocks[0]: task.graphs(blocks[0], ("predict",))["predict"]}

    def graph(block: int) -> Graph:
        if block not in graphs:
            graphs[block] = task.graphs(block, ("predict",))["predict"]
        return graphs[block]

    return Definition(task.name, blocks, graph, class_names(task, graph(blocks[0]), classes))


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
    first = next((t for t in signature(task.evaluate).values() if isinstance(t, Type)), None)
    if first is None or not first.shape:
        raise DlcError(f"{task.name} takes no rows", task.loc, 'an input f32["batch", ...]')
    return BLOCKS if isinstance(first.shape[0], str) else (int(first.shape[0]),)


def as_data(task: Task, classes: Sequence[str] = ()) -> dict[str, Any]:
    """A task's network as plain data, for its checkpoints: graphs as text, by size of block, what
    their run-time checks say, and the classes. Empty for a task that predicts nothing."""
    try:
        definition = of_task(task, classes)
        graphs = {block: definition.graph(block) for block in definition.blocks}
    except DlcError:
        return {}
    checks = next(iter(graphs.values())).notes["checks"]
    return {"blocks": {str(block): print_graph(graph) for block, graph in graphs.items()},
            "checks": [{"text": c.text, "loc": str(c.loc or "")} for c in checks],
            "classes": list(definition.classes)}


def _of_checkpoint(file: Path, checkpoint: Checkpoint) -> Definition:
    """The network that a checkpoint holds. Raises CheckpointError when there is none."""
    from dlc.runtime.train.tensorfile import CheckpointError

    held = checkpoint.network
    if not held:
        raise CheckpointError(file, "", "holds no network, only weights",
                              "give the task too: dlc.load(path, task)")
    checks = tuple(CheckText(f"{c['text']}  {c['loc']}".rstrip(), None) for c in held["checks"])

    def graph(block: int) -> Graph:
        try:
            found = parse_graph(held["blocks"][str(block)], f"{file}, block {block}")
        except DlcError as problem:
            raise DlcError(problem.message, problem.loc, "a network with operators of yours is read"
                           " with its task: dlc.load(path, task)") from None
        return replace(found, notes={"checks": checks})

    blocks = tuple(sorted(map(int, held["blocks"])))
    return Definition(checkpoint.identity.model, blocks, graph, tuple(held["classes"]))


# --- values of a graph ----------------------------------------------------------------------------


def _with_values(graph: Graph, wanted: Sequence[str]) -> Graph:
    """`graph` with the values of these names as its outputs, and its run-time checks."""
    kept = {name: _named(graph, name) for name in wanted}
    block = next(int(n.shape[0]) for n in graph.inputs if n.attrs["role"] == "data")
    for name, node in kept.items():
        if not isinstance(node.type, Type) or not node.type.ndim or node.shape[0] != block:
            raise DlcError(f"{name}: {node.type} has no row for each of the {block} rows of the "
                           "input", node.loc, "a value whose first axis is the batch")
    known = dict(zip(graph.output_names, graph.outputs, strict=True))
    kept.update({k: v for k, v in known.items() if k == "fault"})
    # in f32: NumPy's files have no bf16
    found = replace(graph, outputs=tuple(map(widened, kept.values())), output_names=tuple(kept))
    alive = set(found.nodes())
    return replace(found, inputs=tuple(
        n for n in graph.inputs if n in alive or n.attrs["role"] == "data"))


def _named(graph: Graph, name: str) -> Node:
    """The value called `name`. Raises DlcError, with the names that there are."""
    known = dict(zip(graph.output_names, graph.outputs, strict=True))
    # names that the printer makes up (mul_3) may mean another value in another block
    found = {text: node for node, text in name_nodes(
        graph.nodes(), graph.inputs, function_names(graph)).items()
        if node.name and text == identifier(node.name) and node.op.name != "input"}
    if name in known or name in found:
        return known[name] if name in known else found[name]
    names = ["prediction", *found]
    raise DlcError(f"{graph.name}: no value is called {name!r}{nearest(name, names)}", here(),
                   f"values are {', '.join(dict.fromkeys(names))}")


def _loc(graph: Graph, name: str) -> Loc | None:
    return _named(graph, name).loc


def _row(node: Node) -> Type:
    """The type of one row of an input."""
    return Type(node.dtype, tuple(map(int, node.shape[1:])))


def _small_rows(array: Any) -> Any:
    """Another block with the same first row: zeros behind it, or ones where it has zeros."""
    other = np.zeros_like(array)
    if not array[1:].any():
        other[:] = 1
    other[0] = array[0]
    return other


def _large_rows(array: Any) -> Any:
    """Another block with the same first row: larger floats behind it, of integers the largest."""
    other = np.empty_like(array)
    top = array.max(initial=0)
    other[:] = top if array.dtype.kind in "iub" else 3 * abs(top) + 1
    other[0] = array[0]
    return other


def _check_values(source: object, values: Arrays, graph: Graph) -> None:
    """Raise CheckpointError for a parameter or state that is missing or of another type."""
    from dlc.runtime.train.checkpoint import check_fits

    check_fits(source, values, {n.attrs["label"]: n.type for n in graph.inputs
                                if n.attrs["role"] != "data"})


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
