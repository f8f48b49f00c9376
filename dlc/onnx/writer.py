"""Writer: an ONNX graph in the making, with names, constants, and shapes whose batch is open."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.errors import DlcError
from dlc.ir.graph import Graph, Node, toposort
from dlc.ir.types import DType, TupleType
from dlc.onnx.proto import ONNX_DTYPES, onnx_package

# Two batches that no other dimension has: a number that follows them is a multiple of the batch.
BATCHES = (1009, 1013)
BATCH = "batch"


class Fixed(Exception):
    """The graph depends on the batch in a way that ONNX cannot leave open."""


@dataclass(frozen=True)
class Open:
    """A dimension that is `times` the batch."""

    times: int


Size = int | Open
# gives the name of the result; of an operator with several, all of them
Emitter = Callable[["Writer", Node], str | list[str]]
# dlc's operator -> what writes it; filled by dlc.onnx.export_*
EMITTERS: dict[str, Emitter] = {}


def writes(*operators: str) -> Callable[[Emitter], Emitter]:
    """Register the decorated function as the emitter of these operators."""
    def register(function: Emitter) -> Emitter:
        EMITTERS.update(dict.fromkeys(operators, function))
        return function

    return register


def open_sizes(value: Any, other: Any) -> Any:
    """Numbers of two builds, one for each batch, as one: equal, or a multiple of the batch."""
    if isinstance(value, tuple):
        return tuple(open_sizes(v, o) for v, o in zip(value, other, strict=True))
    if same(value, other):
        return value
    number = isinstance(value, int) and isinstance(other, int)
    if number and value % BATCHES[0] == 0 and other == value // BATCHES[0] * BATCHES[1]:
        return Open(value // BATCHES[0])
    raise Fixed


def same(value: Any, other: Any) -> bool:
    """Whether two attributes are equal; NaN is NaN."""
    return bool(value == other or (value != value and other != other))


class Writer:
    """Collects nodes and initializers. `twin` is the same graph for the other of the BATCHES."""

    def __init__(self, graph: Graph, twin: Graph | None, opset: int) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.names: dict[Node, str] = {}
        self.several: dict[Node, list[str]] = {}
        self.taken: set[str] = set()
        self.constants: dict[Any, str] = {}
        self.batch = ""
        self.twins: dict[Node, Node] = {}
        self.pair(graph, graph if twin is None else twin)

    def pair(self, graph: Graph, twin: Graph) -> None:
        """Note which node of `twin` is which of `graph`. Raises Fixed where they differ."""
        mine, others = toposort(graph.outputs), toposort(twin.outputs)
        if [n.op.name for n in mine] != [n.op.name for n in others]:
            raise Fixed
        self.twins.update(zip(mine, others, strict=True))
        self.twins.update(zip(graph.inputs, twin.inputs, strict=True))

    # --- values -----------------------------------------------------------------------------------

    def name(self, wanted: str) -> str:
        """A name that is not taken."""
        found, number = wanted, 1
        while found in self.taken:
            number += 1
            found = f"{wanted}_{number}"
        self.taken.add(found)
        return found

    def emit(self, operator: str, *inputs: str, hint: str = "", **attributes: Any) -> str:
        """A new node; the name of its result."""
        return self.emit_several(operator, inputs, [hint or operator.lower()], **attributes)[0]

    def emit_several(self, operator: str, inputs: Sequence[str], hints: Sequence[str],
                     **attributes: Any) -> list[str]:
        """A new node; the names of its results, one for each of `hints`."""
        found = [self.name(h) for h in hints]
        self.nodes.append(onnx_package().helper.make_node(
            operator, inputs, found, name=found[0], **attributes))
        return found

    def constant(self, values: Any, dtype: Any) -> str:
        """The name of an initializer; equal ones are one."""
        data = np.array(values, dtype, order="C")
        key = data.dtype.str, data.shape, data.tobytes()
        if key not in self.constants:
            self.constants[key] = self.weight("constant", data)
        return self.constants[key]

    def weight(self, wanted: str, data: np.ndarray) -> str:
        """An initializer of its own name."""
        name = self.name(wanted)
        self.initializers[name] = tensor(name, data)
        return name

    def ints(self, values: Sequence[int]) -> str:
        return self.constant(list(values), np.int64)

    def scalar(self, value: Any, node: Node) -> str:
        """A number in the dtype of `node`."""
        return self.constant(value, node.dtype.numpy)

    def cast(self, name: str, dtype: DType) -> str:
        return self.emit("Cast", name, to=ONNX_DTYPES[dtype])

    # --- shapes -----------------------------------------------------------------------------------

    def attr(self, node: Node, key: str) -> Any:
        """An attribute, with numbers that follow the batch as Open."""
        return open_sizes(node.attrs[key], self.twins[node].attrs[key])

    def fixed(self, node: Node, key: str) -> Any:
        """An attribute that does not follow the batch. Raises Fixed."""
        value = node.attrs[key]
        if not same(value, self.twins[node].attrs[key]):
            raise Fixed
        return value

    def dims(self, node: Node) -> tuple[Size, ...]:
        """The shape of a node, with open dimensions."""
        found: tuple[Size, ...] = open_sizes(tuple(map(int, node.shape)),
                                             tuple(map(int, self.twins[node].shape)))
        return found

    def static(self, node: Node) -> tuple[int, ...]:
        """The shape of a node that does not follow the batch. Raises Fixed."""
        dims = self.dims(node)
        if any(isinstance(d, Open) for d in dims):
            raise Fixed
        return tuple(d for d in dims if isinstance(d, int))

    def shape(self, dims: Sequence[Size]) -> str:
        """The name of a shape as an i64 vector, computed at run time where it is open."""
        if not any(isinstance(d, Open) for d in dims):
            return self.ints([d for d in dims if isinstance(d, int)])
        parts = [self.emit("Mul", self.batch, self.ints([d.times])) if isinstance(d, Open)
                 else self.ints([d]) for d in dims]
        return parts[0] if len(parts) == 1 else self.emit("Concat", *parts, axis=0)

    def reshape(self, name: str, dims: Sequence[Size], hint: str = "") -> str:
        """`name` in another shape; one open dimension is what is left."""
        still = [d for d in dims if isinstance(d, Open)]
        if len(still) == 1 and all(d != 0 for d in dims):
            wanted = self.ints([-1 if isinstance(d, Open) else d for d in dims])
        else:
            wanted = self.shape(dims)
        zero = {"allowzero": 1} if any(d == 0 for d in dims) else {}
        return self.emit("Reshape", name, wanted, hint=hint, **zero)

    def expand(self, name: str, dims: Sequence[Size], dtype: DType, hint: str = "") -> str:
        """`name`, of `dtype`, repeated to a shape; onnxruntime repeats nothing 0 times."""
        if any(d == 0 for d in dims):
            name = self.constant(np.zeros([0 if d == 0 else 1 for d in dims]), dtype.numpy)
        return self.emit("Expand", name, self.shape(dims), hint=hint)

    def transpose(self, name: str, axes: Sequence[int], hint: str = "") -> str:
        if list(axes) == list(range(len(axes))):
            return name
        return self.emit("Transpose", name, perm=list(axes), hint=hint)

    # --- graphs -----------------------------------------------------------------------------------

    def operand(self, node: Node, position: int) -> str:
        """An operand's value."""
        return self.names[node.args[position]]

    def operands(self, node: Node) -> list[str]:
        return [self.names[a] for a in node.args]

    def loose(self, node: Node) -> list[str]:
        """The operands of an elementwise node, unbroadcast where another has the whole shape."""
        args = node.args
        whole = [a for a in args if a.op.name not in ("broadcast", "constant")]
        if not whole:
            return self.operands(node)
        return [self.unbroadcast(a) for a in args]

    def unbroadcast(self, node: Node) -> str:
        if node.op.name == "broadcast":
            return self.names[node.args[0]]
        if node.op.name == "constant":
            return self.scalar(node.attrs["value"], node)
        return self.names[node]

    def add(self, node: Node) -> None:
        """Write a node of dlc."""
        emitter = EMITTERS.get(node.op.name)
        if emitter is None:
            raise DlcError(f"ONNX has no form of dlc's {node.op.name}", node.loc)
        found = emitter(self, node)
        if isinstance(node.type, TupleType):
            self.several[node] = list(found)
        else:
            self.names[node] = str(found)

    def info(self, name: str, node: Node) -> Any:
        """An input or output with its type, the open dimension by its name."""
        dims = [BATCH if d == Open(1) else f"{BATCH}_times_{d.times}" if isinstance(d, Open) else d
                for d in self.dims(node)]
        return onnx_package().helper.make_tensor_value_info(name, ONNX_DTYPES[node.dtype], dims)

    def body(self, node: Node, key: str, formal: Sequence[Node],
             captured: Mapping[Node, str]) -> tuple[list[Any], list[Any], list[Any]]:
        """(nodes, inputs, outputs) of the graph that `node` holds as its attribute `key`.

        `formal` become its inputs; what the others of its inputs are, `captured`, it reads by name
        from the graph around it.
        """
        body = node.attrs[key]
        self.pair(body, self.twins[node].attrs[key])
        around, self.nodes = self.nodes, []
        outside, self.names = self.names, {**self.names, **captured}
        self.names.update({x: self.name(x.attrs["label"]) for x in formal})
        for each in body.nodes():
            if each.op.name != "input":
                self.add(each)
        inputs = [self.info(self.names[x], x) for x in formal]
        outputs = [self.info(self.emit("Identity", self.names[o], hint=o.name), o)
                   for o in body.outputs]
        nodes, self.nodes = pruned(self.nodes, [o.name for o in outputs]), around
        self.names = outside  # a constant may stand in both
        return nodes, inputs, outputs


def pruned(nodes: Sequence[Any], outputs: Iterable[str]) -> list[Any]:
    """The nodes that an output needs: a broadcast that nobody read whole is left out."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if any(name in wanted for name in node.output):
            kept.append(node)
            wanted.update(names_read(node))
    return kept[::-1]


def names_read(node: Any) -> Iterator[str]:
    """The names that a node reads, also in the graphs that it holds."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from names_read(inner)


def tensor(name: str, data: np.ndarray) -> Any:
    """A TensorProto with raw data."""
    from dlc.ir.types import dtype

    found = onnx_package().TensorProto()
    found.name, found.data_type = name, ONNX_DTYPES[dtype(data.dtype)]
    found.dims.extend(data.shape)
    found.raw_data = data.tobytes()
    return found


def size_of(dims: Sequence[Size]) -> Size:
    """The product of dimensions. Raises Fixed for a square of the batch."""
    times = [d.times for d in dims if isinstance(d, Open)]
    rest = math.prod(d for d in dims if isinstance(d, int))
    if len(times) > 1:
        raise Fixed
    return Open(times[0] * rest) if times else rest

