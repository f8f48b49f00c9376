"""What a trace collects besides nodes: parameters, state and its updates, layer paths, seeds."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

from dlc.errors import DlcError, Loc, here
from dlc.ir.graph import Node, current_build, describe
from dlc.ir.types import Type, i32, u32
from dlc.ops import leaf
from dlc.ops.convert import as_node

# (key, shape, dtype) -> node: see dlc/init.py
Initializer = Callable[..., Node]


@dataclass(frozen=True, eq=False)
class Variable:
    """A parameter or state of a graph: its checkpoint key, input node, and first value.

    `owners` are the layers that were running when it was made, outermost first; a state of
    `each_epoch` has its first value again when an epoch of training begins.
    """

    name: str
    node: Node
    init: Initializer
    role: Literal["param", "state"]
    owners: tuple[Any, ...] = ()
    application: int = 0
    each_epoch: bool = False

    @property
    def type(self) -> Type:
        kind: Type = self.node.type
        return kind

    @property
    def loc(self) -> Loc | None:
        return self.node.loc


class Iteration(Protocol):
    """The running iteration of the loop whose body is traced."""

    def reseed(self, seed: Node) -> Node:
        """The iteration's own seed, from that of the step."""


@dataclass
class Placed:
    """A layer in this trace: its path, and what it was first applied to."""

    layer: Any
    path: tuple[str, ...]
    first: str = ""
    types: tuple[Any, ...] = ()
    applied: Loc | None = None


@dataclass
class Scope:
    """The collections of one trace. `path` is where the running layer stands."""

    # the arguments of the function, whose names no variable may have
    inputs: Mapping[str, Node] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    updates: dict[str, Node] = field(default_factory=dict)
    placed: dict[int, Placed] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    owners: tuple[Any, ...] = ()
    application: int = 0
    applications: int = 0
    counts: Counter[Any] = field(default_factory=Counter)
    sites: Counter[str] = field(default_factory=Counter)
    variable_names: dict[int, str] = field(default_factory=dict)
    # (prediction, target, name of the loss) of the first loss over a data input: what a report
    # shows
    prediction: tuple[Node, Node, str] | None = None
    # names for nodes that the user gave none: what a layer returns is called by where it stands
    hints: list[tuple[Node, str]] = field(default_factory=list)
    # a task's phase counts its own steps
    step_name: str = "step"
    # inside a loop: what tells its iterations apart
    iteration: Iteration | None = None
    # metrics of the whole data set, by their value for a batch (dlc/task/over_set.py)
    whole: dict[Node, Any] = field(default_factory=dict)

    def full_name(self, name: str) -> str:
        """The checkpoint key of `name` at the present path: conv1.weight, block2/conv1.weight."""
        return ".".join(["/".join(self.path), name]) if self.path else name

    def part(self, layer: Any, kind: str, name: str) -> str:
        """The path element of a layer applied outside a chain: its variable's name, or its rank."""
        if name:
            return name
        if not self.path and id(layer) in self.variable_names:
            return self.variable_names[id(layer)]
        self.counts[self.path, kind] += 1
        return f"{kind}{self.counts[self.path, kind]}"

    @contextmanager
    def inside(self, placed: Placed) -> Iterator[None]:
        """Names made inside belong to the layer `placed`."""
        before = self.path, self.owners, self.application
        self.applications += 1
        self.path, self.application = placed.path, self.applications
        self.owners = (*self.owners, placed.layer)
        try:
            yield
        finally:
            self.path, self.owners, self.application = before


def copied(scope: Scope | None) -> dict[str, Any]:
    """What `scope` has collected, for `restore`."""
    if scope is None:
        return {}
    return {f.name: copy(getattr(scope, f.name)) for f in fields(scope)}


def restore(scope: Scope | None, before: Mapping[str, Any]) -> None:
    """Make `scope` forget what it collected since `copied` gave `before`."""
    for name, value in before.items():
        setattr(scope, name, value)


def current_scope(what: str) -> Scope:
    """The scope of the running trace. Raises DlcError when nothing is traced; `what` asked."""
    build = current_build()
    if build is None or "scope" not in build.notes:
        raise DlcError(f"{what} is only there while a function is traced", here(),
                       "call it inside a task, or inside a function given to dlc.trace")
    scope: Scope = build.notes["scope"]
    return scope


def _locations() -> tuple[Loc, ...]:
    build = current_build()
    return build.locations() if build is not None else ()


def _declare(name: str, type_: Type, init: Initializer | None, role: Literal["param", "state"],
             what: str, each_epoch: bool = False) -> Variable:
    scope = current_scope(what)
    if not isinstance(type_, Type) or any(isinstance(d, str) for d in type_.shape):
        raise DlcError(f"{what}({name!r}): {type_} is not a type with known dimensions", here(),
                       "e.g. f32[784, 10]")
    if init is not None and not callable(init):
        raise DlcError(f"{what}({name!r}): {init!r} is not an initializer", here(),
                       "dlc.init has them: init.zeros, init.constant(0.1), init.he_normal, ...; "
                       "or give a function of (key, shape, dtype)")
    if role == "param" and not type_.dtype.is_float:
        raise DlcError(f"parameter({name!r}): {type_} can't be trained", here(),
                       "parameters are floats; dlc.state keeps counts and indices")
    full = scope.full_name(name)
    if full in (*RESERVED, scope.step_name):
        raise DlcError(f"{what}({name!r}): the name {full!r} is reserved for a value of dlc's own",
                       here(), "choose another name")
    if full in scope.inputs:
        raise DlcError(f"{what}({name!r}) has the name of an argument, "
                       f"{describe(scope.inputs[full])}", here(), "choose another name")
    known = scope.variables.get(full)
    if known is not None:
        return _again(scope, known, type_, what)
    if init is None:
        from dlc.init import fan_in_uniform, zeros

        init = fan_in_uniform if role == "param" and type_.ndim > 1 else zeros
    node = leaf.input_(full, type_, role)
    node.locs = _locations()
    variable = Variable(full, node, init, role, scope.owners, scope.application, each_epoch)
    scope.variables[full] = variable
    return variable


def _again(scope: Scope, known: Variable, type_: Type, what: str) -> Variable:
    """The variable of a layer that is used once more; anything else of that name is a clash."""
    shared = scope.owners[-1:] and known.owners[-1:] == scope.owners[-1:]
    if not shared or known.application == scope.application:
        raise DlcError(f"{what} {known.name!r} already exists, created at {known.loc}", here(),
                       _another_name(scope))
    if (known.type.dtype, known.type.shape) != (type_.dtype, type_.shape):
        raise DlcError(f"{known.name} was created as {known.type} ({known.loc}), "
                       f"but {type_} is requested here", here())
    return known


def _another_name(scope: Scope) -> str:
    """How to resolve a clash: by a name, or for layers by the name of the chain around them."""
    share = "to share it, use one layer value twice"
    if not scope.owners:
        return f"give one of the two another name; {share}"
    outer = scope.owners[0]
    name = scope.variable_names.get(id(outer), "second")
    kind = getattr(outer, "kind", "layer").replace("block", "chain")
    return f'give one of the two a name, e.g. nn.{kind}(..., name="{name}"); {share}'


def parameter(name: str, type: Type, init: Initializer | None = None) -> Node:
    """A trained parameter of `type`, named after the layer being applied: conv1.weight.

    `init` is its initializer (dlc.init; default: uniform over the fan-in, zeros for vectors).
    Raises DlcError if the name is taken.
    """
    return _declare(name, type, init, "param", "parameter").node


def state(name: str, type: Type, init: Initializer | None = None,
          each_epoch: bool = False) -> Node:
    """A value kept from step to step but not trained: a handle that reads this step's value.

    `init` is its initializer (default zeros). `update_state` sets the value the next step reads.
    With `each_epoch` an epoch of training begins with the first value again. Raises DlcError if the
    name is taken.
    """
    if not isinstance(each_epoch, bool):
        raise DlcError(f"state({name!r}): each_epoch={each_epoch!r}", here(), "True or False")
    return _declare(name, type, init, "state", "state", each_epoch).node


def update_state(handle: Node, new: Any) -> None:
    """Set the value that the next step reads from `handle`, a state or a parameter.

    Raises DlcError if `handle` is neither, or the types differ.
    """
    scope = current_scope("update_state")
    name = handle.attrs.get("label", "") if isinstance(handle, Node) else ""
    variable = scope.variables.get(name)
    if variable is None or variable.node is not handle:
        shown = describe(handle) if isinstance(handle, Node) else repr(handle)
        raise DlcError(f"update_state({shown}): not a state or parameter", here(),
                       "pass what dlc.state or dlc.parameter returned")
    value = as_node(new, handle.dtype)
    if (value.dtype, tuple(value.shape)) != (handle.dtype, tuple(handle.shape)):
        raise DlcError(f"update_state({name!r}): {describe(value)} for {describe(handle)}", here(),
                       "the new value has the state's dtype and shape")
    scope.updates[name] = value


def latest_state(handle: Node) -> Node:
    """The value of `handle` after the updates made so far in this step."""
    scope = current_scope("latest_state")
    return scope.updates.get(handle.attrs["label"], handle)


def training() -> bool:
    """Whether the program being built is for training, as dropout, batch norm and noise ask."""
    build = current_build()
    if build is None:
        raise DlcError("dlc.training() is only known while a function is traced", here(),
                       "call it inside a task, or inside a function given to dlc.trace")
    return build.training


def decoding() -> int | None:
    """In a program that computes one position of a sequence at a time, how many positions it may
    reach; None in one over whole sequences.

    `dlc sample` builds such a program of a text model. What a layer needs of earlier positions it
    keeps in state there, at `position()`: attention its keys and values, a recurrent layer its
    state.
    """
    build = current_build()
    return None if build is None else build.decoding


# --- values that the runtime sets -----------------------------------------------------------------

RESERVED = ("seed", "step", "steps_per_epoch", "plateau", "position")


def check_argument(node: Node, name: str) -> None:
    """Raises DlcError for an argument with the name of a value of dlc's own."""
    if name in RESERVED:
        raise DlcError(f"{describe(node)}: the name {name!r} is reserved for a value of dlc's own",
                       node.loc, "rename the argument")


def _reserved(name: str, type_: Type, init: Initializer) -> Node:
    scope = current_scope(name)
    known = scope.variables.get(name)
    if known is None:
        if name in scope.inputs:
            check_argument(scope.inputs[name], name)
        node = leaf.input_(name, type_, "state")
        node.locs = _locations()  # where it is first asked for
        known = scope.variables[name] = Variable(name, node, init, "state")
    return known.node


def seed() -> Node:
    """u32[()]: the run's seed, the first of the four coordinates of every random number.

    Inside a loop the number of the iteration is mixed into it.
    """
    node = _reserved("seed", Type(u32), lambda key, shape, dtype: key.seed)
    iteration = current_scope("seed").iteration
    return node if iteration is None else iteration.reseed(node)


def step() -> Node:
    """i32[()]: how many steps this phase has done; it stands still in a step that faults."""
    scope = current_scope("step")
    return _reserved(scope.step_name, Type(i32), _zero)


def position() -> Node:
    """i32[()]: the place in its sequence of the first element that the program is given: 0, or in
    one that computes a position at a time (`decoding()`) the number of those before it."""
    if decoding() is None:
        return leaf.constant(0, Type(i32))
    return _reserved("position", Type(i32), _zero)


def steps_per_epoch() -> Node:
    """i32[()]: set by the training loop before the first step."""
    return _reserved("steps_per_epoch", Type(i32), _one)


def plateaus() -> Node:
    """i32[()]: how often the monitored metric has stood still, counted by the training loop."""
    return _reserved("plateau", Type(i32), _zero)


def _zero(key: Any, shape: Any, dtype: Any) -> Node:
    return leaf.constant(0, Type(dtype, shape))


def _one(key: Any, shape: Any, dtype: Any) -> Node:
    return leaf.constant(1, Type(dtype, shape))


def variable_names(function: Any, kind: type) -> dict[int, str]:
    """id -> name of the values of `kind` that `function` sees as globals or closure variables.

    What a transformation wraps (dlc.grad(f)) sees them as f does.
    """
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None:
        return {}
    cells = function.__closure__ or ()
    seen = {n: function.__globals__.get(n) for n in code.co_names}
    seen.update({n: _contents(c) for n, c in zip(code.co_freevars, cells, strict=True)})
    return {id(v): n for n, v in seen.items() if isinstance(v, kind)}


def _contents(cell: Any) -> Any:
    """What a closure variable holds; None before it is assigned."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
