"""Loops of the language: scan, fori, map.

The body is run once and becomes a graph that a scan node holds (dlc/derive/control.py). What it
reads from outside is an invariant; its state updates are carried, its run-time checks reported
outside, and its random numbers differ from iteration to iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlc.derive.control import Bound, Fresh, Parts, make_scan
from dlc.errors import DlcError, here
from dlc.ir.dependence import depends_on
from dlc.ir.graph import Node, describe
from dlc.ir.types import DType, DTypeError, Type, bool_, promote
from dlc.lang.bodies import (
    IterationNumber,
    Ran,
    as_leaf,
    check_arguments,
    function_name,
    iteration_around,
    leaf_labels,
    publish_effects,
    run_body,
    running_scope,
    same_carry,
)
from dlc.lang.nesting import Mismatch, leaves, matched, rebuilt, with_paths
from dlc.lang.scope import copied, restore
from dlc.lang.source import definition
from dlc.ops import elementwise, leaf


def scan(function: Callable[[Any, Any], Any], carry: Any, sequences: Any = None,
         length: int | None = None, reverse: bool = False) -> tuple[Any, Any]:
    """Run `function(carry, element) -> (carry, y)` along sequences: (final carry, ys stacked).

    `carry`, `sequences` and what the function returns are arrays or nestings of tuples, lists and
    dicts of them. A sequence [length, ...] is iterated in order, or from the end with `reverse`; a
    y [...] is stacked to [length, ...], at the position of its element. Without sequences, `length`
    is the number of iterations. A state that the function updates is carried: each iteration reads
    what the previous one wrote.

    Raises DlcError for sequences of different lengths, and if the carry changes its structure or
    types. Source: the fold of functional languages; Bradbury et al., JAX, 2018.
    """
    body = LoopBody(f"scan of {function_name(function)}", function, function)
    check_arguments(body.what, function, "(carry, element)", 2)
    return scan_body(body, carry, sequences, length, reverse)


def fori(count: int, function: Callable[[Any, Any], Any], carry: Any) -> Any:
    """Run `carry = function(i, carry)` for i = 0 .. count-1 (i32[()]); the final carry."""
    def step(carry: Any, i: Node) -> tuple[Any, None]:
        return function(i, carry), None

    body = LoopBody(f"fori of {function_name(function)}", function, step)
    check_arguments(body.what, function, "(i, carry)", 2)
    return scan_body(body, carry, leaf.iota((iteration_count(body.what, count),)), None, False)[0]


def map_(function: Callable[[Any], Any], sequences: Any) -> Any:
    """The stacked results of `function` for each element of `sequences`, one after another.

    dlc.vmap does all at once; this needs the memory of only one.
    """
    def step(carry: None, element: Any) -> tuple[None, Any]:
        return None, function(element)

    body = LoopBody(f"map of {function_name(function)}", function, step)
    check_arguments(body.what, function, "(element)", 1)
    return scan_body(body, None, sequences, None, False)[1]


@dataclass(frozen=True)
class LoopBody:
    """A function to run in a loop: what messages call it, the user's own, and the one to call."""

    what: str
    function: Callable[..., Any]
    step: Callable[..., Any]


def iteration_count(what: str, count: Any) -> int:
    """A number of iterations. Raises DlcError for what is none."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        shown = describe(count) if isinstance(count, Node) else repr(count)
        raise DlcError(f"{what}: {shown} is not a number of iterations", here(),
                       "it is 0, 1, 2, ..., known when the graph is built; "
                       "dlc.while_loop stops earlier on a condition")
    return count


def scan_body(body: LoopBody, carry: Any, sequences: Any, length: int | None,
              reverse: bool) -> tuple[Any, Any]:
    """scan, with what messages call it. Python numbers in the carry take the dtype it grows into.
    """
    rows = [as_leaf(v, f"{body.what}: sequence{path}") for path, v in with_paths(sequences)]
    loop = _Loop(body, carry, sequences, rows, _length(body.what, rows, length), reverse)
    loop.settle()
    return loop.results()


def settled_carry(body: LoopBody, carry: Any) -> list[Node]:
    """The leaves of a first carry, in the dtypes that a loop over `body` keeps."""
    before = copied(running_scope())
    loop = _Loop(body, carry, None, (), 1, False)
    loop.settle()
    restore(running_scope(), before)
    return loop.old


class _Loop:
    """One call of a loop: its operands, and its body run on symbols."""

    def __init__(self, body: LoopBody, carry: Any, sequences: Any, rows: Sequence[Node],
                 length: int, reverse: bool) -> None:
        self.body, self.carry, self.sequences, self.rows = body, carry, sequences, rows
        self.length, self.reverse = length, reverse
        self.names = leaf_labels(body.function, 0, carry, "carry")

    def settle(self) -> None:
        """Run the body until no Python number of the carry becomes another dtype in it."""
        kinds: dict[int, DType] = {}
        while True:
            before = copied(running_scope())
            self.run(kinds)
            wider = self.outgrown()
            if not wider:
                return
            restore(running_scope(), before)
            kinds |= wider

    def run(self, kinds: dict[int, DType]) -> None:
        """Run the body on a carry whose leaves numbered in `kinds` have these dtypes."""
        self.old = [as_leaf(v, f"{self.body.what}: carry{path}", kinds.get(i))
                    for i, (path, v) in enumerate(with_paths(self.carry))]
        self.fresh = Fresh(())
        self.moving = [self.fresh.input("", n, c.type)
                       for n, c in zip(self.names, self.old, strict=True)]
        self.elements = [self.fresh.input("", n, s.type.with_(shape=s.shape[1:]))
                         for n, s in zip(leaf_labels(self.body.function, 1, self.sequences,
                                                     "element"), self.rows, strict=True)]
        self.iteration = IterationNumber(self.length, iteration_around())
        self.ran = run_body(self.body.step, (rebuilt(self.carry, self.moving), rebuilt(
            self.sequences, self.elements)), self.iteration)
        self.after, self.structure = _pair(self.body, self.ran.result)

    def outgrown(self) -> dict[int, DType]:
        """The Python numbers of the carry that became another dtype, by number."""
        weak = [isinstance(v, (int, float)) and not isinstance(v, bool)
                for v in leaves(self.carry)]
        if not any(weak):
            return {}
        try:
            values = matched(self.carry, self.after)
        except Mismatch:
            return {}
        return {i: v.dtype for i, (v, old) in enumerate(zip(values, self.old, strict=True))
                if weak[i] and isinstance(v, Node) and v.dtype is not old.dtype
                and v.dtype is not bool_ and v.ndim == 0 and _promotes(old.dtype, v.dtype)}

    def results(self) -> tuple[Any, Any]:
        """(final carry, stacked ys) in their nestings."""
        what = self.body.what
        new = same_carry(what, self.body.function, self.names, self.carry, self.moving, self.after)
        ys = [as_leaf(v, f"{what}: y{path}", None, definition(self.body.function))
              for path, v in with_paths(self.structure)]
        bound = [*zip(self.elements, self.rows, strict=True)]
        if self.iteration.element is not None:
            bound.append((self.iteration.element, leaf.iota((self.length,))))
        finals, stacks = _looped(self.body, self.ran, [*zip(self.moving, self.old, strict=True)],
                                 new, bound, ys, self.length, self.reverse, self.fresh)
        return rebuilt(self.carry, finals), rebuilt(self.structure, stacks)


def _promotes(a: DType, b: DType) -> bool:
    try:
        return promote(a, b) is b
    except DTypeError:
        return False


def _length(what: str, rows: Sequence[Node], length: int | None) -> int:
    """The number of iterations. Raises DlcError when sequences and `length` do not agree."""
    for row in rows:
        if row.ndim == 0:
            raise DlcError(f"{what}: the sequence {describe(row)} has no axis", here(),
                           "a loop runs along the first axis; capture values that are the same in "
                           "every iteration from outside")
    sizes = {int(row.shape[0]) for row in rows}
    if length is not None:
        sizes.add(iteration_count(what, length))
    if len(sizes) == 1:
        # a named dimension keeps its name
        return rows[0].shape[0] if rows else sizes.pop()
    if not sizes:
        raise DlcError(f"{what}: the number of iterations is unknown", here(),
                       "give sequences, or length=10")
    shown = ", ".join(describe(row) for row in rows)
    given = "" if length is None else f" and length={length}"
    raise DlcError(f"{what}: sequences of several lengths: {shown}{given}", here(),
                   "the first axes are the iterations")


def _pair(body: LoopBody, result: Any) -> tuple[Any, Any]:
    """(carry, y) as the body returned them. Raises DlcError for anything else."""
    if isinstance(result, (tuple, list)) and len(result) == 2:
        return result[0], result[1]
    shown = f"{len(result)} values" if isinstance(result, (tuple, list)) else (
        describe(result) if isinstance(result, Node) else type(result).__name__)
    raise DlcError(f"{body.what}: it returned {shown}, not a pair", definition(body.function),
                   "return (carry, y); y is None when nothing is to be stacked")


def _looped(body: LoopBody, ran: Ran, carries: list[Bound], new: list[Node], elements: list[Bound],
            ys: list[Node], length: int, reverse: bool,
            fresh: Fresh) -> tuple[list[Node], list[Node]]:
    """The loop's results; its state updates and checks become those of the build around it."""
    count = len(carries)
    mapping: dict[Node, Node] = {}
    for name, (reads, init, value) in ran.states.items():
        x = fresh.input("", name, init.type)
        mapping.update(dict.fromkeys(reads, x))
        carries.append((x, init))
        new.append(value)
    inner = ran.over([*new, *ys, *(c.bad for c in ran.checks)], mapping)
    new, ys, bad = inner[:len(new)], inner[len(new):len(new) + len(ys)], inner[len(new) + len(ys):]
    varying = depends_on(bad, [x for x, _ in (*carries, *elements)])
    for flag in dict.fromkeys(b for b in bad if b in varying):
        x = fresh.input("bad", "", Type(bool_))
        mapping[flag] = x
        carries.append((x, leaf.constant(False, Type(bool_))))
        new.append(elementwise.or_(x, flag))
    finals, stacks = make_scan(Parts(function_name(body.function), carries, new, elements, (), ys,
                                     length, reverse))
    after = dict(zip((x for x, _ in carries), finals, strict=True))
    publish_effects({name: after[mapping[reads[0]]] for name, (reads, _, _) in ran.states.items()},
             [replace(c, bad=after[mapping[b]] if b in varying else b)
              for c, b in zip(ran.checks, bad, strict=True) if length or b in varying])
    return finals[:count], stacks
