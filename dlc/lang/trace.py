"""From a Python function to a Graph: inputs from its signature, outputs from what it returns."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dlc.errors import DlcError, Loc, here
from dlc.ir.graph import Build, Graph, Node, building, describe
from dlc.ir.types import Bounded, Dim, DTypeError, Type, i32, is_size
from dlc.lang.layer import Layer
from dlc.lang.names import naming
from dlc.lang.scope import Scope, Variable, check_argument, variable_names
from dlc.lang.source import as_written, definition, parameter_places
from dlc.ops import elementwise, leaf, reduce, varying
from dlc.ops.convert import as_node, holds_node
from dlc.ops.gather import Check, note_check


@dataclass(frozen=True)
class CheckText:
    """A run-time check as data: what was wrong when fault number k is set, and where."""

    text: str
    loc: Loc | None


@contextmanager
def tracing(function: Callable[..., Any], training: bool, inputs: Mapping[str, Node],
            decoding: int | None = None) -> Iterator[tuple[Build, Scope]]:
    """A new build with an empty scope, in which `function` is about to run on `inputs`."""
    build = Build(training, decoding)
    scope = build.notes["scope"] = Scope(inputs, variable_names=variable_names(function, Layer))
    for name, node in inputs.items():
        if node.attrs["role"] == "data":
            check_argument(node, name)
    with building(build), naming(build):
        declare_lengths(inputs)
        yield build, scope
    for node, name in scope.hints:
        node.name = node.name or name


def trace(function: Callable[..., Any], *types: Type, name: str | None = None,
          training: bool = False, dims: Mapping[str, int] | None = None) -> Graph:
    """The graph of `function`, run once on symbolic inputs.

    The inputs' types come from `types` or from the annotations (`x: f32["batch", 10]`); `dims`
    binds dimension names. Outputs are what it returns (one value, a tuple, or a dict of them), the
    state it updates, and `fault` if it has run-time checks: 0, or the number of the first check
    that failed (notes["checks"]). Parameters and state follow the arguments (notes["variables"]).
    Raises DlcError at the user's line for invalid arguments and results.
    """
    inputs = make_inputs(function, types, dims or {}, "arg")
    with tracing(function, training, inputs) as (build, scope):
        result = applied(function, inputs)
        named = named_outputs(function, result)
        checks = distinct_checks(build)
        if "fault" in named and (checks or named["fault"].type != Type(i32)):
            raise DlcError(f"{_name(function)} returned a value called 'fault'",
                           definition(function),
                           "it is the number of the run-time check that failed, an i32")
        if checks:
            named["fault"] = fault_code([c.bad for c in checks], leaf.constant(0, Type(i32)))
        named = {**named, **new_names(named, scope.updates)}
    return closed(Graph(
        name or _name(function),
        (*inputs.values(), *(v.node for v in scope.variables.values())),
        tuple(named.values()), tuple(named), {n: n for n in scope.updates},
        {"variables": tuple(scope.variables.values()), "checks": check_texts(checks)}))


def closed(graph: Graph) -> Graph:
    """`graph`. Raises DlcError where it reads what exists only while another function runs."""
    declared = set(graph.inputs)
    foreign = {n for n in graph.nodes() if n.op is leaf.INPUT and n not in declared}
    if not foreign:
        return graph
    reader = next((n for n in graph.nodes() if any(a in foreign for a in n.args)), None)
    leaked = next(iter(foreign)) if reader is None else reader
    inner = ", ".join(x.name for x in (*leaked.args, leaked) if x in foreign)
    raise DlcError(f"{graph.name}: {describe(leaked)} is used outside of the function that made it "
                   f"from {inner}", leaked.loc,
                   "it exists only inside a loop's, branch's or derivative's function: return it "
                   "from there")


# --- inputs ---------------------------------------------------------------------------------------


def signature(function: Callable[..., Any], given: int = 0) -> dict[str, Any]:
    """Parameter name -> annotated Type (None without one) of the arguments that are arrays.

    Arguments with a default value are the user's own settings and left alone; `*xs` stands for as
    many arguments as types are `given`.
    """
    plain = function.apply if isinstance(function, Layer) else function
    annotations = {} if given else annotated_types(plain)
    found: dict[str, Any] = {}
    for parameter in parameters_of(function):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if not given:
                raise DlcError(f"{_name(function)}(*{parameter.name}): a graph has a fixed number "
                               "of inputs", definition(plain), "name each argument, or pass types")
            found.update((f"{parameter.name}{i}", None) for i in range(len(found), given))
        elif parameter.default is parameter.empty:
            found[parameter.name] = annotations.get(parameter.name)
    return found


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """What `function` takes. Raises DlcError for a function in C that does not tell."""
    try:
        plain = function.apply if isinstance(function, Layer) else function
        return list(inspect.signature(plain).parameters.values())
    except ValueError:
        raise DlcError(f"the argument types of {_name(function)} are unknown", here(),
                       "give a function of your own, e.g. lambda x: x.max()") from None


def applied(function: Callable[..., Any], inputs: Mapping[str, Node], **settings: Any) -> Any:
    """What `function` gives for its inputs; those after `*` in its signature go by name, and
    lengths that it does not name are not passed."""
    parameters = parameters_of(function)
    by_name = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    beside = by_name | (set(varying_axes(inputs)) - {p.name for p in parameters})
    named = {k: v for k, v in inputs.items() if k in by_name}
    return function(*(v for k, v in inputs.items() if k not in beside), **named, **settings)


def annotated_types(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of `function`, evaluated. Raises DlcError when that fails."""
    while isinstance(function, functools.partial):
        function = function.func
    try:
        return inspect.get_annotations(function, eval_str=True)
    except (NameError, TypeError, ValueError, DTypeError) as problem:
        raise DlcError(f"{_name(function)}: {problem}", definition(function),
                       'annotate arrays with dlc types, e.g. x: f32["batch", 10]') from None


def make_inputs(function: Callable[..., Any], types: Sequence[Type], dims: Mapping[str, int],
                role: str) -> dict[str, Node]:
    """An input node for each argument of `function`, with dimension names bound by `dims`.

    After them stands one for each bounded dimension that no argument is called like: the lengths
    of the rows along it, i32[rows].
    """
    wanted = signature(function, len(types))
    if types and len(types) != len(wanted):
        raise DlcError(f"{_name(function)} takes {len(wanted)} arrays ({', '.join(wanted)}), "
                       f"{len(types)} types are given", definition(function))
    wanted = dict(zip(wanted, types, strict=True)) if types else wanted
    written = as_written(function)
    places = parameter_places(written)
    inputs = {}
    for label, type_ in wanted.items():
        place = places.get(label) or definition(written)
        if not isinstance(type_, Type):
            raise _no_type(function, label, type_, place)
        node = leaf.input_(label, bound(function, label, type_, dims, place), role)
        node.locs = () if place is None else (place,)
        inputs[label] = node
    for name, (node, _) in varying_axes(inputs).items():
        lengths = leaf.input_(str(name), Type(i32, node.shape[:1]), role)
        lengths.locs = node.locs
        own = inputs.setdefault(name, lengths)
        if (own.dtype, own.shape) != (lengths.dtype, lengths.shape):
            raise DlcError(f"{_name(function)}: {name!r} is a dimension with a bound, and its "
                           f"lengths are {describe(own)}", own.loc,
                           f"an argument of that name is {lengths.type.describe()}")
    return inputs


def varying_axes(inputs: Mapping[str, Node]) -> dict[str, tuple[Node, int]]:
    """Bounded dimension -> (the first input that has it, its axis). Raises DlcError for one whose
    input has no axis of rows before it."""
    found: dict[str, tuple[Node, int]] = {}
    for label, node in inputs.items():
        for axis, dim in enumerate(node.shape):
            if not isinstance(dim, Dim) or not isinstance(dim.name, Bounded):
                continue
            if not axis or not isinstance(node.shape[0], Dim) or isinstance(
                    node.shape[0].name, Bounded):
                raise DlcError(f"{label}: {node.type.describe()}: {dim.name!r} has no axis of rows "
                               "before it", node.loc, 'name it first: f32["batch", "time<=64"]')
            found.setdefault(dim.name, (node, axis))
    return found


def declare_lengths(inputs: Mapping[str, Node]) -> None:
    """Tell the running build of the axes whose length varies (dlc/ops/varying.py)."""
    for name, (node, axis) in varying_axes(inputs).items():
        lengths = inputs[name]
        outside = elementwise.or_(lengths < 0, lengths > int(node.shape[axis]))
        note_check(reduce.any_(outside), f"a length outside of 0 .. {int(node.shape[axis])} of "
                   f"{describe(node)}")
        varying.declare(name, lengths, node.shape[0].name)  # type: ignore[attr-defined]


def bound(function: Callable[..., Any], label: str, type_: Type, dims: Mapping[str, int],
          place: Loc | None) -> Type:
    """`type_` with dimension names replaced. Raises DlcError for a name without a value, and for a
    value that is not a size."""
    named = [d for d in type_.shape if isinstance(d, str)]
    dims = {**{d: d.most for d in named if isinstance(d, Bounded)}, **dims}
    missing = [d for d in named if d not in dims]
    if not missing:
        for name in named:
            if not is_size(dims[name]):
                raise DlcError(f"{_name(function)}: dimension {name!r} of {label}: {type_} can't "
                               f"be {dims[name]!r}", place, "a size is a whole number from 0")
            if isinstance(name, Bounded) and dims[name] > name.most:
                raise DlcError(f"{_name(function)}: dimension {name!r} of {label}: {type_} can't "
                               f"be {dims[name]}", place, f"it is at most {name.most}")
        return type_.bind(dict(dims))
    known = ", ".join(f"{k}={v}" for k, v in dims.items()) or "none"
    raise DlcError(f"{_name(function)}: dimension {missing[0]!r} of {label}: {type_} has no value",
                   place, f"give it a value: {missing[0]}=64 (dimensions given: {known})")


def _no_type(function: Callable[..., Any], label: str, given: Any, place: Loc | None) -> DlcError:
    shown = "no annotation" if given is None else f"the annotation {given!r}"
    return DlcError(f"{_name(function)}: argument {label!r} has {shown}", place,
                    f'give it a type: {label}: f32["batch", 10], or pass types to dlc.trace')


def _name(function: Callable[..., Any]) -> str:
    if isinstance(function, Layer):
        return function.name or function.kind
    if isinstance(function, functools.partial):
        return _name(function.func)
    return str(getattr(function, "__name__", function))


# --- outputs --------------------------------------------------------------------------------------


def named_outputs(function: Callable[..., Any], result: Any) -> dict[str, Node]:
    """What a function returned, as named nodes. Raises DlcError for None and for other things."""
    if result is None:
        raise DlcError(f"{_name(function)} returned None", definition(function),
                       "return the value, a tuple of values, or a dict of them")
    listed: dict[str, Any] = {}
    if isinstance(result, (Mapping, tuple)) and not result:
        raise DlcError(f"{_name(function)} returned no value", definition(function),
                       "return the value, a tuple of values, or a dict of them")
    top = result if isinstance(result, Mapping) else {"out": result}
    for name, value in (one for key, part in top.items() for one in leaves(str(key), part)):
        if name in listed:
            raise DlcError(f"{_name(function)} returned two values called {name!r}",
                           definition(function), "give one of them another name")
        listed[name] = value
    return {k: output(function, v) for k, v in listed.items()}


def leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values in a nesting of tuples, lists and dicts, named: out0, out1.weight, out1.bias."""
    if isinstance(value, Mapping):
        parts = [(f"{name}.{key}", part) for key, part in value.items()]
    else:
        parts = [(f"{name}{i}", part) for i, part in enumerate(several(value))]
    for inner, part in parts:
        yield from leaves(inner, part)
    if not parts:
        yield name, value


def several(value: Any) -> list[Any]:
    """The values in a nesting of tuples and lists, in order; none for what is one value."""
    if isinstance(value, tuple) or holds_node(value) or (
            isinstance(value, list) and any(isinstance(v, Mapping) for v in value)):
        return [leaf for part in value for leaf in several(part) or [part]]
    return []


def output(function: Callable[..., Any], value: Any) -> Node:
    """One returned value as a node."""
    try:
        return as_node(value)
    except DlcError:
        raise DlcError(f"{_name(function)} returned {type(value).__name__} {value!r}",
                       definition(function), "return graph values, arrays or numbers") from None


def new_names(taken: Mapping[str, Node], more: Mapping[str, Node]) -> dict[str, Node]:
    """`more`, which is to stand beside `taken`. Raises DlcError when a name is in both."""
    clash = set(taken) & set(more)
    if clash:
        raise DlcError(f"output {min(clash)!r} has the name of a state that is updated", here(),
                       "give one of them another name")
    return dict(more)


# --- checks ---------------------------------------------------------------------------------------


def distinct_checks(build: Build) -> list[Check]:
    """The run-time checks noted in `build`, each condition once, in order."""
    found: dict[Node, Check] = {}
    for check in build.notes.get("checks", ()):
        found.setdefault(check.bad, check)
    return list(found.values())


def check_texts(checks: Sequence[Check]) -> tuple[CheckText, ...]:
    """The checks as data; fault k is the text at k - 1."""
    return tuple(CheckText(c.text, c.loc) for c in checks)


def fault_code(bad: Sequence[Node], otherwise: Node) -> Node:
    """i32[()]: k for the first of `bad` that holds, counted from 1; `otherwise` when none does."""
    code = otherwise
    for number in range(len(bad), 0, -1):
        code = elementwise.where(bad[number - 1], leaf.constant(number, Type(i32)), code)
    return code


def graph_variables(graph: Graph) -> tuple[Variable, ...]:
    """The parameters and state of a traced graph, in order of first use."""
    found: tuple[Variable, ...] = graph.notes.get("variables", ())
    return found
