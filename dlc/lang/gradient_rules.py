"""custom_gradient and checkpoint: functions with a custom way of differentiation."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlc.derive.autodiff import zeros
from dlc.derive.gradient_rules import CHECKPOINT, CUSTOM_GRADIENT
from dlc.errors import DlcError, Loc, here
from dlc.ir.dependence import depends_on
from dlc.ir.graph import Graph, Node, describe, make
from dlc.ir.types import Type
from dlc.lang.bodies import check_arguments
from dlc.lang.nesting import children, filled, leaves, rebuilt
from dlc.lang.source import definition
from dlc.lang.transform import Body, Effects, close, fresh_inputs, lift, results_of
from dlc.ops import elementwise, leaf
from dlc.ops.convert import as_argument, as_node
from dlc.ops.gather import Check


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, recomputed in reverse mode instead of storing its intermediate values.

    The function runs again once the cotangents of its results are known. The gradient has the same
    bits, except for the order in which the cotangents of a value with several readers are added.
    Keyword arguments and Python values are passed to the function unchanged. Chen et al. 2016,
    "Training deep nets with sublinear memory cost".
    """
    @functools.wraps(function)
    def recomputed(*args: Any, **more: Any) -> Any:
        body = close(function, args, keywords=more, by=())
        node = make(CHECKPOINT, body.operands, body=body.graph)
        return rebuilt(body.structure, results_of(body, node))

    return recomputed


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which returns (y, pullback), as a function that returns y, with that gradient.

    `pullback(g)` takes the cotangent of y, nested like y, and returns the cotangent of each
    argument, nested like the arguments: a single one as it is, several as a tuple, None where it is
    zero or the argument is a string or a function. It may use values that `function` computed.
    A check in it that depends on g can't stop the step: its results are then NaN.
    Reverse mode calls it; forward mode transposes it, so it should be linear in g; a second
    derivative differentiates it. An argument passed by name, or left to its default, counts at its
    position in the signature of `function`.

    Raises DlcError at the user's line for cotangents of the wrong type, and for a derivative with
    respect to a value that `function` captures from outside.
    """
    @functools.wraps(function)
    def wrapped(*args: Any, **more: Any) -> Any:
        return _Rule(function, _in_order(function, args, more)).results()

    return wrapped


def _in_order(function: Callable[..., Any], args: Sequence[Any],
              more: Mapping[str, Any]) -> tuple[Any, ...]:
    """All arguments by position, defaults too. Raises DlcError for what has no position."""
    name = f"custom_gradient of {getattr(function, '__name__', 'function')}"
    check_arguments(name, function, f"({len(args)} arguments)", len(args), more)
    bound = inspect.signature(function, follow_wrapped=False).bind(*args, **more)
    bound.apply_defaults()
    if bound.kwargs:
        raise DlcError(f"{name}: {', '.join(bound.kwargs)} can only be given by name", here(),
                       "its pullback gives cotangents by position: let it be a positional argument")
    return bound.args


class _Rule:
    """One call of a function with a gradient of its own, closed."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.name = getattr(function, "__name__", "function")
        # what is not an array and no number (the name of a mode, a function) has no cotangent
        node_of = as_argument(leaves(args))
        flat = [v if callable(v) or isinstance(v, str) else node_of(v) for v in leaves(args)]
        operands = [x for x in flat if isinstance(x, Node)]
        self.args = rebuilt(args, [x if isinstance(x, Node) else None for x in flat])
        self.fresh = fresh_inputs(operands)
        left = iter(self.fresh)
        given = rebuilt(args, [next(left) if isinstance(x, Node) else x for x in flat])
        before = Effects.now()
        y, pullback = self._pair(function(*given))
        self.place: Loc | None = definition(pullback) or here()
        outputs = [as_node(r) for r in leaves(y)]
        gs = [leaf.input_(f"cotangent {i}", o.type) for i, o in enumerate(outputs)]
        cotangents = self._cotangents(pullback(rebuilt(y, gs)))
        updates, found = before.since()
        checks, cotangents = self._told_by_nan(found, gs, cotangents)
        effects = [*updates.values(), *(c.bad for c in checks)]
        body, captured = lift([*outputs, *effects, *cotangents], [*self.fresh, *gs])
        inputs = (*self.fresh, *captured.values())
        last = len(outputs) + len(effects)
        name = self.name.strip("<>")
        graph = Graph(name, inputs, tuple(body[:last]))
        self.pullback = Graph(f"{name}_pullback", (*inputs, *gs), tuple(body[last:]))
        self.body = Body(graph, (*operands, *captured), len(outputs), y, tuple(updates),
                         tuple(checks))

    def results(self) -> Any:
        """The results of the node that holds function and rule."""
        node = make(CUSTOM_GRADIENT, self.body.operands, body=self.body.graph,
                    pullback=self.pullback, count=len(self.fresh))
        return rebuilt(self.body.structure, results_of(self.body, node))

    def _told_by_nan(self, checks: Sequence[Check], gs: Sequence[Node],
                     cotangents: Sequence[Node]) -> tuple[list[Check], list[Node]]:
        """The checks that the step can make, and the cotangents, NaN where another one fails.

        Where a check depends on the cotangent of y, it is known only in the backward pass, in
        which there is nobody to report it.
        """
        later = depends_on([c.bad for c in checks], gs)
        failed = [c.bad for c in checks if c.bad in later]
        if failed:
            bad = functools.reduce(elementwise.or_, failed)
            cotangents = [elementwise.where(bad, leaf.constant(math.nan, Type(c.dtype)), c)
                          if c.dtype.is_float else c for c in cotangents]
        return [c for c in checks if c.bad not in later], [*cotangents]

    def _pair(self, result: Any) -> tuple[Any, Callable[[Any], Any]]:
        if isinstance(result, tuple) and len(result) == 2 and callable(result[1]):
            return result
        raise DlcError(f"custom_gradient of {self.name}: it returned {type(result).__name__}",
                       here(), "return (y, pullback), where pullback(g) gives the cotangent of "
                       "each argument")

    def _cotangents(self, given: Any) -> list[Node]:
        """A cotangent of each argument's leaf, checked."""
        nested = given if len(self.args) > 1 else (given,)
        if not isinstance(nested, (tuple, list)) or len(nested) != len(self.args):
            count = len(nested) if isinstance(nested, (tuple, list)) else 1
            raise DlcError(f"custom_gradient of {self.name}: the pullback gave {count} cotangents "
                           f"for {len(self.args)} arguments", self.place,
                           "give one for each argument, None where it is zero")
        fresh = iter(self.fresh)
        return [c for arg, g in zip(self.args, nested, strict=True)
                for c in self._matched(filled(arg, fresh), g)]

    def _matched(self, arg: Any, given: Any) -> list[Node]:
        """Cotangents for the leaves of one argument."""
        if given is None:
            return [zeros(x.type) for x in leaves(arg)]
        parts, others = children(arg), children(given)
        if parts is None and others is None:
            return [self._fitting(arg, given)]
        found = dict(others or ())
        if parts is None or set(found) != {step for step, _ in parts}:
            raise DlcError(f"custom_gradient of {self.name}: a cotangent has another nesting "
                           "than its argument", self.place, "give it the argument's")
        return [c for step, part in parts for c in self._matched(part, found[step])]

    def _fitting(self, x: Node, given: Any) -> Node:
        g = as_node(given, x.dtype)
        if (g.dtype, tuple(g.shape)) != (x.dtype, tuple(x.shape)):
            raise DlcError(f"custom_gradient of {self.name}: cotangent {describe(g)} for "
                           f"{describe(x)}", self.place, "it has its argument's dtype and shape; "
                           "of an integer argument it is None")
        return g
