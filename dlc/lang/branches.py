"""Branches of the language, cond, and the loop that stops on a condition, while_loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from dlc.derive.control import COND, Fresh, is_constant, results, shared
from dlc.errors import DlcError, Loc, here
from dlc.ir.dependence import depends_on
from dlc.ir.graph import Graph, Node, current_build, describe, make, substitute, toposort
from dlc.ir.types import Type, bool_, i32
from dlc.lang.bodies import (
    Ran,
    as_leaf,
    check_arguments,
    function_name,
    iteration_around,
    leaf_labels,
    line_of,
    publish_effects,
    run_body,
    same_carry,
)
from dlc.lang.loops import LoopBody, iteration_count, scan_body, settled_carry
from dlc.lang.nesting import Mismatch, leaves, matched, rebuilt, with_paths
from dlc.lang.source import definition
from dlc.ops import leaf
from dlc.ops.convert import float_dtype, has_dtype
from dlc.ops.gather import note_check


def cond(predicate: Any, then: Callable[..., Any], otherwise: Callable[..., Any],
         *operands: Any) -> Any:
    """`then(*operands)` where `predicate` (bool[()]) holds, else `otherwise(*operands)`.

    Only one of the two runs. Operands and results are arrays or nestings of them; both branches
    return the same structure and types. They may also read values from outside. Raises DlcError for
    a predicate that is not a single bool, and for branches whose results differ.
    """
    what = f"cond of {function_name(then)} and {function_name(otherwise)}"
    for function in (then, otherwise):
        check_arguments(what, function, f"({len(operands)} operands)", len(operands))
    return _cond(what, _predicate(what, predicate, here()), (then, otherwise), operands, None)


def _predicate(what: str, value: Any, loc: Loc | None) -> Node:
    node = as_leaf(value, f"{what}: the predicate")
    if node.dtype is not bool_ or node.ndim:
        raise DlcError(f"{what}: the predicate is {describe(node)}", loc,
                       "it is one bool, e.g. x.sum() > 0; to select elements use dlc.where")
    return node


def _cond(what: str, predicate: Node, functions: tuple[Callable[..., Any], Callable[..., Any]],
          operands: tuple[Any, ...], invariant: Sequence[Node] | None) -> Any:
    """cond; with `invariant` what depends on no operand and on none of it is computed outside."""
    given, inputs, runs = _run_branches(what, functions, operands)
    values = _branch_results(what, functions, runs)
    states = list(dict.fromkeys(name for ran in runs for name in ran.states))
    outputs = [_branch_outputs(runs, k, values[k], states) for k in (0, 1)]
    made = [_made(r, o, x, invariant) for r, o, x in zip(runs, outputs, inputs, strict=True)]
    captured = list(dict.fromkeys(v for k in (0, 1) for v in _outside(
        outputs[k], made[k], inputs[k])))
    then, otherwise = (_branch(function_name(f), x, o, captured) for f, x, o in zip(
        functions, inputs, outputs, strict=True))
    found = results(make(COND, (predicate, *given, *captured), then=then, otherwise=otherwise))
    count, checks = len(values[0]), [c for ran in runs for c in ran.checks]
    failed = found[count + len(states):]
    publish_effects(dict(zip(states, found[count:], strict=False)),
                    [replace(c, bad=b) for c, b in zip(checks, failed, strict=True)])
    return rebuilt(runs[0].result, found[:count])


def _run_branches(what: str, functions: Sequence[Callable[..., Any]], operands: tuple[Any, ...],
                  ) -> tuple[list[Node], list[list[Node]], list[Ran]]:
    """(the leaves of the operands, the inputs that stand for them in each branch, both runs)."""
    flat = list(with_paths(operands))
    like = float_dtype(v for _, v in flat)
    given = [as_leaf(v, f"{what}: operand{path}", like if isinstance(v, float) else None)
             for path, v in flat]
    names = [n for i, o in enumerate(operands) for n in leaf_labels(functions[0], i, o, f"x{i}")]
    inputs, runs = [], []
    for function in functions:
        fresh = Fresh(())
        inputs.append([fresh.input("", n, x.type) for n, x in zip(names, given, strict=True)])
        runs.append(run_body(function, rebuilt(operands, inputs[-1])))
    return given, inputs, runs


def _branch_outputs(runs: Sequence[Ran], k: int, values: Sequence[Node],
                    states: Sequence[str]) -> list[Node]:
    """What branch `k` gives: its result, every state that either branch updates, every check."""
    own = runs[k].states
    before = {read: init for reads, init, _ in own.values() for read in reads[1:]}
    updated = [own[name][2] if name in own else _present(name) for name in states]
    return runs[k].over([*values, *updated, *_flags(runs, k)], before)


def _present(name: str) -> Node:
    """What a state reads when a branch leaves it alone."""
    build = current_build()
    assert build is not None
    scope = build.notes["scope"]
    present: Node = scope.updates.get(name, scope.variables[name].node)
    return present


def _flags(runs: Sequence[Ran], k: int) -> list[Node]:
    """Every check of both branches, which fails only in the branch that has it."""
    never = leaf.constant(False, Type(bool_))
    return [c.bad if ran is runs[k] else never for ran in runs for c in ran.checks]


def _branch_results(what: str, functions: Sequence[Callable[..., Any]],
                    runs: Sequence[Ran]) -> tuple[list[Node], list[Node]]:
    """The leaves of both results. Raises DlcError where structure or a type differs."""
    try:
        others = matched(runs[0].result, runs[1].result)
    except Mismatch as problem:
        text = str(problem).replace("before", f"from {function_name(functions[0])}").replace(
            "after", f"from {function_name(functions[1])}")
        raise DlcError(f"{what}: the branches differ: {text}", definition(functions[1]),
                       "both return the same structure") from None
    found: tuple[list[Node], list[Node]] = ([], [])
    for (path, a), b in zip(with_paths(runs[0].result), others, strict=True):
        label = f"{what}: result{path}"
        x = as_leaf(a, label, b.dtype if isinstance(b, Node) else None)
        y = as_leaf(b, label, x.dtype)
        if (x.dtype, tuple(x.shape)) != (y.dtype, tuple(y.shape)):
            raise DlcError(f"{label} is {x.type.describe()} from {function_name(functions[0])} and "
                           f"{y.type.describe()} from {function_name(functions[1])}",
                           line_of(functions[1], y), "both branches give the same types")
        found[0].append(x)
        found[1].append(y)
    return found


def _made(ran: Ran, outputs: Sequence[Node], inputs: Sequence[Node],
          invariant: Sequence[Node] | None) -> set[Node]:
    """The nodes that belong into the branch."""
    if invariant is None:
        return ran.made
    element = getattr(iteration_around(), "element", None)
    varying = [*inputs, *invariant] if element is None else [*inputs, *invariant, element]
    return ran.made & depends_on(outputs, varying)


def _outside(outputs: Sequence[Node], made: set[Node], inputs: Sequence[Node]) -> list[Node]:
    """What a branch reads that neither it made nor it is given."""
    own = {*made, *inputs}
    edges = [*outputs, *(a for node in toposort(outputs) if node in made for a in node.args)]
    return [v for v in dict.fromkeys(edges) if v not in own and not is_constant(v)]


def _branch(name: str, inputs: Sequence[Node], outputs: Sequence[Node],
            captured: Sequence[Node]) -> Graph:
    """A branch as a graph over its operands and what both branches capture."""
    fresh = Fresh(inputs)
    holes = {v: fresh.input("", v.name or "captured", v.type) for v in captured}
    return shared(Graph(name, (*inputs, *holes.values()), tuple(substitute(outputs, holes))))


# --- while ----------------------------------------------------------------------------------------


def while_loop(predicate: Callable[[Any], Any], body: Callable[[Any], Any], carry: Any, *,
               bound: int) -> tuple[Any, Node]:
    """Run `carry = body(carry)` while `predicate(carry)` (bool[()]): (final carry, count i32[()]).

    At most `bound` times; the step fails if the predicate still holds then. It is a scan whose
    iterations do nothing once the predicate fails, so every derivative exists; reverse mode stores
    residuals for `bound` iterations. Raises DlcError if the carry changes structure or types.
    """
    what = f"while_loop of {function_name(body)}"
    limit = iteration_count(what, bound)
    for function in (predicate, body):
        check_arguments(what, function, "(carry)", 1)
    loc = here()
    start = rebuilt(carry, _first_carry(what, body, carry))
    names = leaf_labels(body, 0, carry, "carry")

    def holds(carry: Any) -> Node:
        return _predicate(what, predicate(carry), definition(predicate) or loc)

    def advance(carry: Any, count: Node) -> Any:
        new = rebuilt(carry, same_carry(what, body, names, carry, leaves(carry), body(carry)))
        return holds(new), new, count + 1

    def rest(carry: Any, count: Node) -> Any:
        return False, carry, count

    def step(state: Any, _: None) -> tuple[Any, None]:
        alive, carry, count = state
        varying = [alive, *leaves(carry), count]
        return _cond(what, alive, (advance, rest), (carry, count), varying), None

    first = (holds(start), start, leaf.constant(0, Type(i32)))
    (alive, final, count), _ = scan_body(LoopBody(what, body, step), first, None, limit, False)
    note_check(alive, f"{what}: the predicate still holds after {limit} iterations")
    return final, count


def _first_carry(what: str, body: Callable[[Any], Any], carry: Any) -> list[Node]:
    """The leaves of the carry as nodes; Python numbers take the dtype that they grow into."""
    if all(has_dtype(v) for v in leaves(carry)):
        return [as_leaf(v, f"{what}: carry{path}") for path, v in with_paths(carry)]
    return settled_carry(LoopBody(what, body, lambda carry, _: (body(carry), None)), carry)
