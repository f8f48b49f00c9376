"""Op, Node, Graph: the one data structure of the compiler, with interning and source lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from enum import Enum
from functools import cached_property
from types import FrameType
from typing import Any

import numpy as np

from dlc.errors import DlcError, Loc, Part, frame_location, here, in_part, part_of, user_frame
from dlc.ir.attributes import comparable, plain
from dlc.ir.operators import Operators
from dlc.ir.rounding import Rounding
from dlc.ir.types import DTypeError, TupleType, Type


class Kind(Enum):
    """What passes and backends look at instead of an operator's name."""

    LEAF = "leaf"  # no array operands: input, constant, iota, random bits
    ELEMENTWISE = "elementwise"  # one scalar expression per element
    REDUCE = "reduce"  # an identity and a combine over whole axes, which disappear
    FOLD = "fold"  # an identity and a combine over windows that overlap: the transpose of a window
    VIEW = "view"  # an index map: no arithmetic
    CONTRACT = "contract"  # a sum of products of two operands: matmul, convolution
    GATHER = "gather"  # an index that is itself data
    SCATTER = "scatter"  # the transpose of a gather
    ROUTINE = "routine"  # a kernel text of its own: sorts, factorizations, a user's function
    ITEM = "item"  # one result of an operator with several
    HIGHER = "higher"  # holds a graph


class OpError(ValueError):
    """Raised by `Op.infer`: the operands do not fit. `hint` says what would."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


@dataclass(frozen=True, eq=False)
class Op:
    """One operator, whole (docs/adding-an-op.md). Attributes reach every function by keyword.

    infer    (*types, **attrs) -> Type                 raises OpError when operands do not fit
    eval     (*arrays, **attrs) -> array               NumPy: the meaning
    grad     (g, y, *args) -> one cotangent or None per operand, in ops
    emit     ELEMENTWISE: (k, *scalars) -> scalar      k builds kernel expressions
             REDUCE: a Combine; VIEW: (index, y) -> (operand, index, predicate)
             CONTRACT: (y) -> Contraction; ROUTINE: (y) -> Routine
    pull     (node, {result: cotangent}) -> one cotangent or None per operand: the reverse rule of
             an operator with several results, or of one that holds a graph
    push     (node, one tangent or None per operand) -> tangents of the results, a list when there
             are several: the forward rule where deriving it from `grad` or `pull` is not enough
    expand   (**attrs) -> Graph: what a transformation (grad, jvp) stands for, over the node's
             operands; evaluation, both modes and the differentiate pass use it
    batch    (node, args, mapped, size) -> Node: what vmap makes of it, where a first axis of
             examples is not what the names of its attributes say (dlc/ops/batch_rules.py)
    linear   operands in which the result is linear, each with the others fixed (for forward mode)
    functions  Python text of the functions that its form in kernels calls: a custom operator's
    samples  () -> iterable of (arrays, attrs)         operands for the generated tests
    defaults (*types, **attrs) -> attributes           those that the text leaves out when equal
    axes     (node, operand) -> pairs of axes with one index in both, where asking `emit` does not
             tell (dlc/passes/fuse/axes.py)
    cheap    ELEMENTWISE: an instruction or two an element, less than writing the value to memory
             and reading it back: fusion computes it again instead of storing it
    commutative  two operands give the same value in either order
    fold     SCATTER: what an update does to what is there, a primitive (an attribute `fold` wins)
    unique   LEAF: two nodes are two, whatever they hold (inputs)
    rounding ELEMENTWISE: how far its results may be from their meaning (dlc/ir/rounding.py)
    precision  what a task's bf16 or f16 makes of it (docs/precision.md): "low" computes in that
             dtype, "full" in f32, "follow" in the dtype of what it is given
    """

    name: str
    kind: Kind
    infer: Callable[..., Type | TupleType]
    eval: Callable[..., Any]
    grad: Callable[..., Sequence[Any]] | None = None
    emit: Any = None
    samples: Callable[[], Iterable[tuple[Any, ...]]] | None = None
    linear: tuple[int, ...] = ()
    doc: str = ""
    # gradient: "smooth" is tested against differences; "zero" by meaning; "none" is an error
    gradient: str = "smooth"
    defaults: Callable[..., Mapping[str, Any]] | None = None
    pull: Callable[[Node, Given], Sequence[Node | None]] | None = None
    push: Callable[[Node, Sequence[Any]], Any] | None = None
    expand: Callable[..., Graph] | None = None
    functions: str = ""
    batch: Callable[[Node, Sequence[Node], tuple[bool, ...], int], Any] | None = None
    axes: Callable[[Node, Node], Sequence[tuple[int, int]]] | None = None
    cheap: bool = False
    commutative: bool = False
    fold: str = ""
    unique: bool = False
    rounding: Rounding = field(default_factory=Rounding)
    precision: str = "full"

    def __repr__(self) -> str:
        return self.name


class Given(dict[int, "Node"]):
    """The cotangents of some results, by number; `wanted` are the operands whose own are needed."""

    def __init__(self, cotangents: Mapping[int, Node], wanted: Iterable[int]) -> None:
        super().__init__(cotangents)
        self.wanted = frozenset(wanted)


class Node(Operators):
    """A value: an operator applied to nodes. The user's tensor handle; compared by identity.

    Everything but `locs` (the user lines it serves) and `name` (a hint for printing) is frozen.
    """

    __slots__ = ("__weakref__", "args", "attrs", "locs", "name", "op", "type")
    op: Op
    args: tuple[Node, ...]
    attrs: Mapping[str, Any]
    type: Any
    locs: tuple[Loc, ...]
    name: str

    def __init__(self, op: Op, args: tuple[Node, ...], attrs: Mapping[str, Any], type_: Any,
                 locs: tuple[Loc, ...] = (), name: str = "") -> None:
        for key, value in (("op", op), ("args", args), ("attrs", attrs), ("type", type_)):
            object.__setattr__(self, key, value)
        self.locs = locs
        self.name = name

    def __setattr__(self, key: str, value: Any) -> None:
        if key not in ("locs", "name"):
            raise AttributeError(f"a Node is frozen; {key} can't be set")
        object.__setattr__(self, key, value)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.type.shape)

    @property
    def dtype(self) -> Any:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return len(self.type.shape)

    @property
    def loc(self) -> Loc | None:
        return self.locs[0] if self.locs else None

    def __repr__(self) -> str:
        where = f" at {self.loc}" if self.loc else ""
        return f"<{self.name or self.op.name}: {self.type}{where}>"

    def __bool__(self) -> bool:
        raise DlcError(
            "a graph value has no truth value while the graph is built", here(),
            "use dlc.where(condition, a, b) to select, or compare Python numbers",
        )


VARYING = "varying"  # the note of a build's axes whose length varies (dlc/ops/varying.py)


class Build:
    """One build of a graph: interns nodes, and knows the line and mode they are made for."""

    def __init__(self, training: bool = False, decoding: int | None = None) -> None:
        self.table: dict[Any, Node] = {}
        self.training = training
        self.decoding = decoding  # one position at a time, of so many
        self.places: list[tuple[Loc, ...]] = []
        self.layer = ""  # in which nodes are made
        self.notes: dict[str, Any] = {}
        self.watch: Callable[[FrameType | None], None] | None = None  # told who makes a node

    def locations(self) -> tuple[Loc, ...]:
        if self.places:
            return self.places[-1]
        frame = user_frame()
        if self.watch is not None:
            self.watch(frame)
        return () if frame is None else (replace_fields(frame_location(frame), scope=self.layer),)


_BUILD: ContextVar[Build | None] = ContextVar("dlc_build", default=None)


def current_build() -> Build | None:
    """The build that is going on, if any."""
    return _BUILD.get()


@contextmanager
def building(build: Build) -> Iterator[Build]:
    """Make `build` the current one."""
    token = _BUILD.set(build)
    try:
        yield build
    finally:
        _BUILD.reset(token)


@contextmanager
def serving(locs: tuple[Loc, ...], part: Part = Part.FORWARD) -> Iterator[None]:
    """Nodes made inside serve the lines `locs`, as `part` of the program or a later one (a gradient
    serves the line of its forward node)."""
    build = _BUILD.get()
    if build is None:
        yield
        return
    # a node that serves no line passes on what is served around it, never the caller's line
    served = locs or (build.places[-1] if build.places else ())
    build.places.append(in_part(served, part) if part else served)
    try:
        yield
    finally:
        build.places.pop()


def make(op: Op, args: Sequence[Node] = (), /, name: str = "", **attrs: Any) -> Node:
    """The node `op(*args, **attrs)`; the same node again when this build already holds it.

    Raises DlcError at the user's line when the operands do not fit.
    """
    args = tuple(args)
    attrs = {key: plain(value) for key, value in attrs.items()}
    try:
        type_ = op.infer(*(a.type for a in args), **attrs)
        check_size(type_)
    except (OpError, DTypeError) as problem:
        raise operand_error(op, args, problem) from None
    return intern(op, args, attrs, type_, name)


def intern(op: Op, args: tuple[Node, ...], attrs: Mapping[str, Any], type_: Any,
           name: str = "") -> Node:
    """The interned node with exactly these fields; `make` without inference."""
    build = _BUILD.get()
    if build is None:
        loc = here()
        return Node(op, args, attrs, type_, () if loc is None else (loc,), name)
    key = identity(op, args, attrs, type_)
    node = build.table.get(key)
    locs = build.locations()
    if node is None:
        node = build.table[key] = Node(op, args, attrs, type_, locs, name)
        return node
    return serve_also(node, locs, name)


def identity(op: Op, args: Sequence[Node], attrs: Mapping[str, Any], type_: Any) -> Any:
    """What makes two nodes one; an axis whose length varies is no other of the same size."""
    varies = (build := _BUILD.get()) is not None and VARYING in build.notes
    names = tuple(getattr(d, "name", "") for d in getattr(type_, "shape", ())) if varies else ()
    return op.name, tuple(map(id, args)), comparable(attrs), type_, names


def serve_also(node: Node, locs: tuple[Loc, ...], name: str = "") -> Node:
    """`node`, which from now on also serves `locs`, and takes `name` if it had none."""
    if any(loc not in node.locs for loc in locs):
        node.locs = node.locs + tuple(loc for loc in locs if loc not in node.locs)
    elif locs and part_of(locs) < part_of(node.locs):
        node.locs = tuple(locs[locs.index(loc)] if loc in locs else loc for loc in node.locs)
    node.name = node.name or name
    return node


def adopt(node: Node) -> Node:
    """The running build's node equal to `node`: `node` itself if the build has none yet.

    A pass sends what it keeps through here, so that nodes it makes merge with them.
    """
    build = _BUILD.get()
    if build is None or node.op.unique:
        return node
    key = identity(node.op, node.args, node.attrs, node.type)
    found = build.table.setdefault(key, node)
    return node if found is node else serve_also(found, node.locs, node.name)


def operand_error(op: Op, args: Sequence[Node], problem: Exception) -> DlcError:
    """The user's error for operands of `op` that do not fit."""
    build = _BUILD.get()
    locs = build.locations() if build else ()
    types = ", ".join(describe(a) for a in args)
    message = f"{op.name}({types}): {problem}" if args else f"{op.name}: {problem}"
    return DlcError(message, locs[0] if locs else here(), getattr(problem, "hint", ""))


def check_shape(shape: Sequence[Any]) -> tuple[int, ...]:
    """`shape` as an attribute of an operator. Raises OpError for what is not a size."""
    for dim in shape:
        if not isinstance(dim, (int, np.integer)) or isinstance(dim, bool) or dim < 0:
            raise OpError(f"dimension {dim!r} of shape {tuple(shape)}", "sizes are 0, 1, 2, ...")
    return tuple(shape)


def check_size(type_: Any) -> None:
    """Raise OpError for a result that no memory holds: index arithmetic stays within 64 bits."""
    if isinstance(type_, Type) and math.prod(map(int, type_.shape)) >= 1 << 48:
        raise OpError(f"a result of shape {tuple(map(int, type_.shape))}", "too large for memory")


def describe(node: Node) -> str:
    """A node's name and type with dimension names, for messages."""
    text = node.type.describe() if isinstance(node.type, Type) else str(node.type)
    return f"{node.name}: {text}" if node.name else text


@dataclass(frozen=True, eq=False)
class Graph:
    """A named function: input nodes, and named outputs.

    `updates` maps an output's name to the input it replaces (parameters and state); `notes` is the
    tracer's additional information (initial values of variables, texts of run-time checks).
    """

    name: str
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    output_names: tuple[str, ...] = ()
    updates: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def nodes(self) -> list[Node]:
        """Every node that the outputs reach, operands first."""
        return list(self._sorted)

    @cached_property
    def _sorted(self) -> tuple[Node, ...]:
        return tuple(toposort(self.outputs))

    def with_outputs(self, outputs: Sequence[Node]) -> Graph:
        return replace_fields(self, outputs=tuple(outputs))


def toposort(roots: Iterable[Node]) -> list[Node]:
    """Nodes reachable from `roots`, operands first, in order of first use. No depth limit."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
            continue
        if id(node) in seen:
            continue
        seen.add(id(node))
        stack.append((node, True))
        stack.extend((a, False) for a in reversed(node.args) if id(a) not in seen)
    return order


def rebuild(node: Node, args: Sequence[Node]) -> Node:
    """`node` with other operands of the same types, serving the same lines."""
    args = tuple(args)
    if all(a is b for a, b in zip(args, node.args, strict=True)):
        return node
    if _BUILD.get() is None:
        return Node(node.op, args, node.attrs, node.type, node.locs, node.name)
    with serving(node.locs):
        return intern(node.op, args, node.attrs, node.type, node.name)


def replace(outputs: Sequence[Node],
            change: Callable[[Node, tuple[Node, ...]], Node]) -> list[Node]:
    """Rewrite bottom-up: `change(node, new_args)` gives the node to stand in its place."""
    done: dict[int, Node] = {}
    for node in toposort(outputs):
        done[id(node)] = change(node, tuple(done[id(a)] for a in node.args))
    return [done[id(o)] for o in outputs]


def substitute(outputs: Sequence[Node], mapping: Mapping[Node, Node]) -> list[Node]:
    """`outputs` with each key of `mapping` replaced by its value."""
    return replace(outputs, lambda n, args: mapping[n] if n in mapping else rebuild(n, args))


def users(outputs: Sequence[Node]) -> dict[Node, list[Node]]:
    """Who reads each node; an output appears as a key even when nobody reads it."""
    found: dict[Node, list[Node]] = {}
    for node in toposort(outputs):
        found.setdefault(node, [])
        for arg in dict.fromkeys(node.args):
            found[arg].append(node)
    return found
