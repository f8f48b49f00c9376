"""Bodies of loops and branches: traced once, on symbolic inputs, in a build of their own.

What a body reads from outside is told from what it makes itself; its state updates, run-time checks
and random numbers are handed to the loop or branch that runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from dlc.errors import DlcError, Loc, here
from dlc.ir.graph import Build, Node, adopt, building, current_build, rebuild, toposort
from dlc.ir.types import Type, i32, u32
from dlc.lang.names import name_returned
from dlc.lang.nesting import Mismatch, matched, with_paths
from dlc.lang.scope import Scope
from dlc.lang.source import definition
from dlc.ops import leaf
from dlc.ops.convert import as_node, cast
from dlc.ops.gather import Check
from dlc.words import original

# Distinct seeds for distinct iterations: multiples of an odd number, modulo 2**32.
_STRIDE = 0x9E3779B9


@dataclass
class Ran:
    """A body that was run on symbols: what it returned, and what it did beside.

    `made` are the nodes that it made itself. `states` maps a state that it updates to (what it
    reads as the old value, the value before the loop or branch, the new value).
    """

    result: Any
    made: set[Node]
    states: dict[str, tuple[tuple[Node, ...], Node, Node]] = field(default_factory=dict)
    unchanged: dict[Node, Node] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    def over(self, values: Sequence[Node], mapping: Mapping[Node, Node]) -> list[Node]:
        """`values` with nodes replaced where the body itself reads them, and nowhere outside."""
        found = {**self.unchanged, **mapping}
        done: dict[Node, Node] = {}
        for node in toposort(values):
            if node in found:
                done[node] = found[node]
            elif node in self.made:
                # what turns out not to belong into the body belongs to the build around it
                done[node] = adopt(rebuild(node, [done[a] for a in node.args]))
                self.made.add(done[node])
            else:
                done[node] = node
        return [done[v] for v in values]


def run_body(function: Callable[..., Any], args: Sequence[Any],
         iteration: IterationNumber | None = None) -> Ran:
    """Run `function` in a build of its own, on whose notes the one around it goes on."""
    outer = current_build()
    build = Build(outer.training if outer is not None else False)
    if outer is not None:
        build.notes, build.places, build.watch = outer.notes, outer.places, outer.watch
        build.layer = outer.layer
    scope = build.notes.get("scope")
    before = dict(scope.updates) if scope is not None else {}
    checks = build.notes.setdefault("checks", [])
    first = len(checks)
    with building(build), _inside_loop(scope, iteration):
        # a state that was updated already reads as an input, which shows whether it is again
        held = {name: leaf.input_(name, value.type) for name, value in before.items()}
        if scope is not None:
            scope.updates = dict(held)
        try:
            result = function(*args)
            name_returned()
        finally:
            after = dict(scope.updates) if scope is not None else {}
            if scope is not None:
                scope.updates = before
    ran = Ran(result, set(build.table.values()), checks=checks[first:])
    del checks[first:]
    _note_states(ran, build, before, held, after)
    return ran


def _note_states(ran: Ran, build: Build, before: Mapping[str, Node], held: Mapping[str, Node],
                 after: Mapping[str, Node]) -> None:
    """Which states the body updated, and which of those updated before it left as they were."""
    for name, value in after.items():
        if name in held and value is held[name]:
            ran.unchanged[value] = before[name]
            continue
        handle = build.notes["scope"].variables[name].node
        reads = (handle, held[name]) if name in held else (handle,)
        ran.states[name] = (reads, before.get(name, handle), value)


def check_arguments(what: str, function: Callable[..., Any], names: str, count: int,
                    keywords: Iterable[str] = ()) -> None:
    """Raise DlcError unless `function` can be called with `count` arguments, called `names`, and
    with `keywords`."""
    if not callable(function):
        raise DlcError(f"{what}: it is called with {names}: {function!r} is not a function", here())
    try:
        # as it is called: a derivative that wraps a function takes what it takes itself
        signature(original(function), follow_wrapped=False).bind(
            *range(count), **dict.fromkeys(keywords))
    except TypeError as problem:
        raise DlcError(f"{what}: it is called with {names}: {problem}",
                       definition(function) or here(),
                       f"write it as a function of {names}") from None
    except ValueError:
        return  # a builtin that does not tell what it takes


@contextmanager
def _inside_loop(scope: Scope | None, iteration: IterationNumber | None) -> Iterator[None]:
    """Random numbers made inside are the iteration's; a loss inside is not a result of the step."""
    if scope is None:
        yield
        return
    before = scope.iteration, scope.prediction
    scope.iteration = iteration or scope.iteration
    try:
        yield
    finally:
        scope.iteration, scope.prediction = before


def function_name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", "body")).strip("<>")


def leaf_labels(function: Callable[..., Any], position: int, value: Any,
                otherwise: str) -> list[str]:
    """A label for each leaf of the argument at `position`: its parameter's name and its path."""
    code = getattr(original(function), "__code__", None)
    count = code.co_argcount if code is not None else 0
    base = code.co_varnames[position] if code is not None and position < count else otherwise
    return [base + path.replace("'", "").replace("]", "").replace("[", "_").replace(".", "_")
            for path, _ in with_paths(value)]


def as_leaf(value: Any, what: str, like: Any = None, loc: Loc | None = None) -> Node:
    """One leaf as a node. Raises DlcError naming it, at `loc` or the user's line."""
    try:
        return as_node(value, like)
    except DlcError as problem:
        raise DlcError(f"{what}: {problem.message}", loc or problem.loc, problem.hint) from None


def same_carry(what: str, function: Callable[..., Any], names: Sequence[str], carry: Any,
                old: Sequence[Node], new: Any) -> list[Node]:
    """The leaves of the new carry. Raises DlcError where structure or a type changed."""
    try:
        values = matched(carry, new)
    except Mismatch as problem:
        raise DlcError(f"{what}: the carry changes: {problem}", definition(function),
                       "return a carry of the structure that it came in") from None
    found = []
    for name, before, value in zip(names, old, values, strict=True):
        after = as_leaf(value, f"{what}: carry {name}", before.dtype, definition(function))
        if (before.dtype, tuple(before.shape)) != (after.dtype, tuple(after.shape)):
            raise DlcError(
                f"{what}: carry {name} is {before.type.describe()} and becomes "
                f"{after.type.describe()}", line_of(function, after),
                _carry_hint(name, before, after))
        found.append(after)
    return found


def line_of(function: Callable[..., Any], value: Node) -> Loc | None:
    """The line of `function` that made `value`; its definition for what comes from outside."""
    start = definition(function)
    inside = start is not None and value.loc is not None and value.loc.file == start.file and (
        value.loc.line >= start.line)
    return value.loc if inside and value.op is not leaf.INPUT else start or value.loc


def _carry_hint(name: str, before: Node, after: Node) -> str:
    if tuple(before.shape) != tuple(after.shape):
        return "a carry keeps its shape"
    return (f"a carry keeps its dtype: start with {after.dtype}, or return "
            f"{name}.astype({before.dtype})")


class IterationNumber:
    """The number of the running iteration, over all loops around it; made when asked for."""

    def __init__(self, length: int, around: Any) -> None:
        self.length, self.around = length, around
        self.element: Node | None = None

    def number(self) -> Node:
        """i32[()], a value of the body."""
        if self.element is None:
            self.element = leaf.input_("iteration", Type(i32))
        if self.around is None:
            return self.element
        number: Node = self.around.number() * self.length + self.element
        return number

    def reseed(self, seed: Node) -> Node:
        """The seed of this iteration: another for each."""
        return seed + cast(self.number() + 1, u32) * leaf.constant(_STRIDE, Type(u32))


def running_scope() -> Scope | None:
    """The scope of the running trace, if any."""
    build = current_build()
    return build.notes.get("scope") if build is not None else None


def iteration_around() -> Any:
    """The iteration of the loop whose body is being run, if any."""
    scope = running_scope()
    return scope.iteration if scope is not None else None


def publish_effects(states: Mapping[str, Node], checks: Sequence[Check]) -> None:
    build = current_build()
    if build is None:
        return
    if states:
        build.notes["scope"].updates.update(states)
    build.notes.setdefault("checks", []).extend(checks)
