"""Trained networks: dlc.load, Network.predict, dlc.outputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc import env
from dlc.compiler import Compiled, Loaded, Source
from dlc.definition import Definition, of_checkpoint, of_task
from dlc.errors import DlcError, Loc, here, nearest
from dlc.faults import raise_fault
from dlc.independence import large_rows, rows_are_apart, small_rows
from dlc.ir.graph import Graph, Node
from dlc.ir.types import Type
from dlc.ops import leaf
from dlc.ops.convert import widened
from dlc.program import Port
from dlc.reference.text.names import function_names, identifier, name_nodes
from dlc.sampling import SAMPLES
from dlc.task.task import Task
from dlc.words import attributes

if TYPE_CHECKING:
    from dlc.runtime.data.buckets import BoundRows

Arrays = Mapping[str, np.ndarray[Any, Any]]
Key = tuple[int, ...]  # rows of a block, then the sizes of the dimensions with a bound


@attributes("network")
class Network:
    """A network with weights. `predict` runs it on any number of rows.

    Rows are split into blocks of the sizes in `blocks`, those of several lengths first by the sizes
    that they are padded to; the program for a size is compiled once, when it is first needed, and
    `compiled` lists these sizes. `inputs` are the types of the arrays it takes by name, without the
    row axis, of the largest size: {"image": f32[1, 28, 28]}. Calls from several threads are
    serialized.
    """

    def __init__(self, definition: Definition, values: Arrays, source: object,
                 wanted: Sequence[str] = ("prediction",)) -> None:
        self.definition, self.values, self.source = definition, values, source
        self.wanted = tuple(wanted)
        self._graphs: dict[Key, Graph] = {}
        self._loaded: dict[Key, Loaded] = {}
        self._turn = threading.RLock()
        self.drawing: Network | None = None  # what gives samples that are not the prediction
        # the largest first: in a block of one row every value of one row looks like the rows'
        graphs = [self.graph(block) for block in reversed(definition.blocks)]
        first = graphs[0]
        _check_values(source, values, first)
        self.inputs = {n.attrs["label"]: _row(n) for n in first.inputs
                       if n.attrs["role"] == "data" and n.attrs["label"] not in definition.varying}

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the prediction's last axis; empty where it
        tells none apart. Numbers where the training data had no names."""
        return self.definition.classes

    @property
    def words(self) -> Mapping[str, Sequence[str]]:
        """What the numbers of an input of texts stand for, by input: such an input takes texts."""
        return self.definition.words

    @property
    def blocks(self) -> tuple[int, ...]:
        """The numbers of rows that a run may take."""
        return self.definition.blocks

    @property
    def compiled(self) -> tuple[Any, ...]:
        """The sizes of blocks that a program was compiled for so far; of rows of several lengths
        (rows, size)."""
        keys = sorted(self._loaded)
        return tuple(keys) if self.definition.varying else tuple(key[0] for key in keys)

    def graph(self, block: int, *sizes: int) -> Graph:
        """What is computed for a block of so many rows, as a graph that can be printed; dimensions
        with a bound have these sizes, else the largest."""
        key = (block, *(sizes or self.definition.levels[-1]))
        if key not in self._graphs:
            whole = self.definition.graph(key[0], key[1:])
            self._graphs[key] = _with_values(whole, self.wanted, block)
        return self._graphs[key]

    def predict(self, *args: Any, **named: Any) -> Any:
        """The prediction for every row of the arrays, given in order or by name.

        The first axis counts the rows, which may be any number; the answer to a row does not depend
        on the others. Rows of several lengths are a list of arrays, and so is what is as long as
        they are. Gives an array, or a dict of them where `dlc.outputs` asked for several. Raises
        DlcError for arrays that do not fit, for a run-time check that fails (an index out of
        range), and for a network in which rows depend on one another.
        """
        rows = self._rows(args, named)
        with self._turn:
            joined = self._all_rows(rows)
        return joined[self.wanted[0]] if len(self.wanted) == 1 else joined

    __call__ = predict

    def sample(self, count: int, *, seed: int = 0, **given: Any) -> Any:
        """`count` samples of a network that draws random numbers, such as a generator's pictures.

        They are what the task names by `dlc.loss(..., samples=value)`, else its prediction, and
        follow from `seed` alone. What they are conditioned on is given by name, a row for each
        or one row for all: net.sample(64, label=[7]). Gives what `predict` does. Raises DlcError
        for a network that draws none.
        """
        from dlc.sampling import sample

        return sample(self, count, seed, given)

    def drawn(self, count: int, rows: Arrays, state: Callable[[int], Arrays]) -> Any:
        """The values for `count` rows, with other values of some state in each block: state(0),
        state(1), ..."""
        bound = self._rows((), rows) if self.inputs or rows else None
        sizes, parts, done = self.definition.levels[-1], [], 0
        with self._turn:
            for number, block in enumerate(blocks_for(count, self.blocks)):
                chosen = np.minimum(np.arange(done, done + block), count - 1)
                arrays = {} if bound is None else bound.padded(sizes, chosen)
                parts.append(self._run((block, *sizes), arrays, state(number)))
                done += block
        joined = {k: np.concatenate([p[k] for p in parts])[:count] for k in self.wanted}
        return joined[self.wanted[0]] if len(self.wanted) == 1 else joined

    def _all_rows(self, rows: BoundRows) -> dict[str, Any]:
        """The values that are wanted, for every row."""
        levels, parts, order = self.definition.levels, [], []
        level = rows.level(levels)
        for at, sizes in enumerate(levels):
            mine = np.flatnonzero(level == at)
            done = 0
            for size in blocks_for(len(mine), self.blocks):
                # a block that is not full repeats the last row
                chosen = mine[np.minimum(np.arange(done, done + size), len(mine) - 1)]
                kept = min(size, len(mine) - done)
                found = self._run((size, *sizes), rows.padded(sizes, chosen))
                parts.append({k: found[k][:kept] for k in self.wanted})
                order.append(chosen[:kept])
                done += kept
        back = np.argsort(np.concatenate(order), kind="stable") if order else None
        return {k: self._joined(k, [p[k] for p in parts], back, rows) for k in self.wanted}

    def close(self) -> None:
        """Give the memory of the compiled programs back; the next `predict` takes it anew."""
        for loaded in self._loaded.values():
            loaded.close()
        self._loaded.clear()
        if self.drawing is not None:
            self.drawing.close()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        takes = ", ".join(f"{k}: {t}" for k, t in self.inputs.items())
        return f"<network {self.name}({takes}) -> {', '.join(self.wanted)}; from {self.source}>"

    # --- running

    def _rows(self, args: Sequence[Any], named: Mapping[str, Any]) -> BoundRows:
        """The arrays as the programs take them."""
        from dlc.runtime.data.buckets import BoundRows
        from dlc.runtime.data.dataset import as_field
        from dlc.runtime.data.words import in_numbers

        names = list(self.inputs)
        if not names:
            raise DlcError(f"{self.name} takes no rows: it draws samples", here(),
                           "net.sample(64)")
        given = {**dict(zip(names, args, strict=False)), **named}
        if len(args) > len(names) or set(given) != set(names) or len(args) + len(named) != len(
                given):
            raise DlcError(f"{self.name} takes {_listed(names)}; {len(args)} arrays in order and "
                           f"{_listed(list(named))} by name are given", here())
        given = {k: in_numbers(v, k, self.words, self.inputs[k].size, self.name)
                 for k, v in given.items()}
        arrays = {k: as_field(v, "predict", f"input {k!r}") for k, v in given.items()}
        counts = {k: a.shape[0] if a.ndim else None for k, a in arrays.items()}
        if len(set(counts.values())) != 1 or None in counts.values():
            told = ", ".join(f"{k} has {'no axis' if n is None else n}" for k, n in counts.items())
            raise DlcError(f"predict: the first axis counts rows, and {told}", here(),
                           "one more axis in front of a single row: x[None]")
        graph = self.graph(self.blocks[-1])
        ports = [Port(n.attrs["label"], n.type, 0) for n in graph.inputs
                 if n.attrs["role"] == "data"]
        return BoundRows("predict", arrays, ports, self.definition.varying)

    def _run(self, key: Key, arrays: Arrays, state: Arrays | None = None) -> dict[str, Any]:
        """The values that are wanted for one full block, some of its state for this run alone
        another. Raises DlcError for a failed check."""
        if key not in self._loaded:
            loaded = self._load(key)
            self._refuse_mixing(key, loaded, arrays)
            self._loaded[key] = loaded
        loaded = self._loaded[key]
        for label, value in (state or {}).items():
            loaded.write(label, value)
        try:
            found = loaded.running.call("main", **arrays)
        finally:  # an interrupted call, too, leaves the network as it was
            for label in state or {}:
                loaded.write(label, self.values[label])
        raise_fault(self.graph(*key), found.pop("fault", None),
                    lambda: {**self.values, **arrays})
        return dict(found)

    def _load(self, key: Key) -> Loaded:
        graph = self.graph(*key)
        source = Source(self.name, {"main": graph}, lambda seed: {})
        loaded = Compiled(source, "cpu", env.number("DLC_CHECK")).load()
        for label in (n.attrs["label"] for n in graph.inputs if n.attrs["role"] != "data"):
            loaded.write(label, self.values[label])
        return loaded

    def _refuse_mixing(self, key: Key, loaded: Loaded, arrays: Arrays) -> None:
        """Raise DlcError when the answer to a row depends on the rows beside it. Where the graph
        does not prove that it doesn't: run once with these, and with small and with large ones,
        the first row's answer has the same bits."""
        if key[0] == 1 or rows_are_apart(self.graph(*key), self.wanted):
            return
        before = loaded.running.call("main", **arrays)
        for change in (small_rows, large_rows):
            after = loaded.running.call("main", **{k: change(a) for k, a in arrays.items()})
            mixed = [n for n in self.wanted if before[n][0].tobytes() != after[n][0].tobytes()]
            if mixed:
                loaded.close()
                raise DlcError(
                    f"{self.name}: {mixed[0]} of a row depends on the other rows of its batch",
                    _loc(self.graph(*key), mixed[0]), "reduce over axes behind the first, or train "
                    "with running statistics, as nn.batch_norm has them")

    def _joined(self, name: str, parts: list[Any], back: Any, rows: BoundRows) -> Any:
        """The parts in the rows' order; a list of arrays where a value is as long as its row."""
        cut = self._varying_axes(name)
        if not parts:
            node = _named(self.graph(self.blocks[0]), name)
            return [] if cut else np.zeros((0, *node.shape[1:]), node.dtype.numpy)
        if not cut:
            return np.concatenate(parts)[back]
        padded = [row for part in parts for row in part]
        return [padded[at][tuple(slice(rows.lengths[cut[a]][i]) if a in cut else slice(None)
                                 for a in range(1, padded[at].ndim + 1))]
                for i, at in enumerate(back)]

    def _varying_axes(self, name: str) -> dict[int, str]:
        """The axes of a value that are as long as its row is along a dimension with a bound.

        Raises DlcError for an axis whose length follows from such a dimension in another way.
        """
        block, levels = self.blocks[-1], self.definition.levels
        each = [_named(self.graph(block, *sizes), name) for sizes in (levels[0], levels[-1])]
        found = {}
        for axis, pair in enumerate(zip(*(map(int, n.shape) for n in each), strict=True)):
            if pair[0] == pair[1]:
                continue
            found[axis] = next((d for d, *ends in zip(self.definition.varying, levels[0],
                                                      levels[-1], strict=True)
                                if tuple(ends) == pair), "")
            if not found[axis]:
                raise DlcError(f"{name}: axis {axis} of {each[-1].type} is not as long as its row, "
                               "and not of one length", each[-1].loc,
                               "ask for a value before it, or for what is made of it")
        return found


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
    held = checkpoint.network
    definition = of_task(task, held.get("classes", ()), held.get("words", {})) if (
        task is not None) else of_checkpoint(file, checkpoint)
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


# --- values of a graph ----------------------------------------------------------------------------


def _with_values(graph: Graph, wanted: Sequence[str], block: int) -> Graph:
    """`graph` with the values of these names as its outputs, and its run-time checks."""
    kept = {name: _named(graph, name) for name in wanted}
    data = [n for n in graph.inputs if n.attrs["role"] == "data"]
    for name, node in kept.items():
        if not isinstance(node.type, Type) or not node.type.ndim or node.shape[0] != block:
            if not data:
                raise DlcError(f"{name}: is computed from none of the task's inputs, so it has no "
                               "row for each of theirs", node.loc,
                               "dlc.loss(..., prediction=value) names a value that depends on them")
            raise DlcError(f"{name}: {node.type} has no row for each of the {block} rows of the "
                           "input", node.loc, "a value whose first axis is the batch")
    known = dict(zip(graph.output_names, graph.outputs, strict=True))
    kept.update({k: v for k, v in known.items() if k == "fault"})
    # in f32: NumPy's files have no bf16
    found = replace(graph, outputs=tuple(map(widened, kept.values())), output_names=tuple(kept))
    alive = set(found.nodes())
    asked = "data" if tuple(wanted) != (SAMPLES,) else ""  # samples take what they are made of
    return replace(found, inputs=tuple(
        n for n in graph.inputs if n in alive or n.attrs["role"] == asked))


def _named(graph: Graph, name: str) -> Node:
    """The value called `name`. Raises DlcError, with the names that there are."""
    known = dict(zip(graph.output_names, graph.outputs, strict=True))
    # names that the printer makes up (mul_3) may mean another value in another block
    found = {text: node for node, text in name_nodes(
        graph.nodes(), graph.inputs, function_names(graph)).items()
        if node.name and text == identifier(node.name) and node.op is not leaf.INPUT}
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


def _check_values(source: object, values: Arrays, graph: Graph) -> None:
    """Raise CheckpointError for a parameter or state that is missing or of another type."""
    from dlc.runtime.train.checkpoint import check_fits

    check_fits(source, values, {n.attrs["label"]: n.type for n in graph.inputs
                                if n.attrs["role"] != "data"})


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
