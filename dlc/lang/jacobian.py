"""jacobian and hessian: one jvp or vjp per direction, batched with vmap."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlc.derive.autodiff import inline, zeros
from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe, substitute
from dlc.ir.types import Type
from dlc.lang.nesting import filled, leaves, rebuilt
from dlc.lang.transform import Body, close, jvp, publish, starts_of, vjp
from dlc.lang.vectorize import vmap
from dlc.ops import leaf
from dlc.ops.convert import cast
from dlc.ops.elementwise import eq
from dlc.ops.view import reshape, transpose

MODES = ("auto", "forward", "reverse")


def jacobian(function: Callable[..., Any], wrt: int | Sequence[int] = 0,
             mode: str = "auto") -> Callable[..., Any]:
    """A function that returns the derivative of every result element by every argument element.

    For a result of shape S and an argument of shape T it is an array of shape S + T. `wrt` selects
    one or several arguments by number; the result is nested like `function`'s results, each part
    like the arguments. Mode "forward" costs one jvp per argument element, "reverse" one vjp per
    result element; "auto" picks the cheaper one. `function` is traced once; keyword arguments and
    Python values in other arguments are passed to it unchanged.

    Raises DlcError at the user's line for results or arguments that are not floats.
    """
    if mode not in MODES:
        raise DlcError(f"jacobian: mode={mode!r}", here(), f"modes are {', '.join(MODES)}")

    @functools.wraps(function)
    def derived(*args: Any, **more: Any) -> Any:
        return _Jacobian(function, wrt, args, more).nested(mode)

    return derived


def hessian(function: Callable[..., Any], wrt: int | Sequence[int] = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives of `function`'s results: forward over reverse.

    For a scalar result and an argument of shape T: an array of shape T + T, nested as `jacobian`.
    """
    return jacobian(jacobian(function, wrt, "reverse"), wrt, "forward")


class _Jacobian:
    """One call: the closed function, and the leaves that it is differentiated by."""

    def __init__(self, function: Callable[..., Any], wrt: int | Sequence[int],
                 args: Sequence[Any], more: Mapping[str, Any]) -> None:
        self.name = getattr(function, "__name__", "function")
        self.args = args
        self.single = isinstance(wrt, int)
        self.places = self._places((wrt,) if isinstance(wrt, int) else tuple(wrt))
        self.body: Body = close(function, args, (), more, self.places)
        publish(self.body, inline(self.body.graph, self.body.operands))
        starts = starts_of(self.body.args)
        self.by = [i for p in self.places for i in range(starts[p], starts[p + 1])]
        self.outputs = self.body.graph.outputs[:self.body.results]
        for node in (*self.outputs, *(self.body.operands[i] for i in self.by)):
            if not node.dtype.is_float:
                raise DlcError(f"jacobian of {self.name}: {describe(node)} has no derivative",
                               here(), "results and arguments are floats")

    def _places(self, wrt: tuple[Any, ...]) -> list[int]:
        count = len(self.args)
        for w in wrt:
            if isinstance(w, bool) or not isinstance(w, int) or not -count <= w < count:
                raise DlcError(f"jacobian of {self.name}: wrt={w!r} names no argument of {count}",
                               here(), f"arguments are 0 .. {count - 1}")
        return [w % count for w in wrt]

    def nested(self, mode: str) -> Any:
        """The blocks in the nesting of the results, in each that of the arguments."""
        if mode == "auto":
            columns = sum(self.body.operands[i].type.size for i in self.by)
            rows = sum(o.type.size for o in self.outputs)
            mode = "forward" if columns <= rows else "reverse"
        blocks = self._forward() if mode == "forward" else self._reverse()
        return rebuilt(self.body.structure, [self._by_argument(row) for row in blocks])

    def _by_argument(self, row: Sequence[Node]) -> Any:
        left = iter(row)
        found = tuple(filled(self.args[p], left) for p in self.places)
        return found[0] if self.single else found

    # --- one block for each result and argument leaf ----------------------------------------------

    def _at(self, given: Mapping[int, Node]) -> list[Node]:
        """The results where the operands of some numbers are `given`."""
        operands = [given.get(i, x) for i, x in enumerate(self.body.operands)]
        mapping = dict(zip(self.body.graph.inputs, operands, strict=True))
        return substitute(self.outputs, mapping)

    def _forward(self) -> list[list[Node]]:
        columns = [self._pushed(i) for i in self.by]
        return [[column[k] for column in columns] for k in range(len(self.outputs))]

    def _pushed(self, i: int) -> list[Node]:
        """The derivatives of all results by operand i, one jvp for each of its elements."""
        x = self.body.operands[i]

        def along(t: Node) -> Any:
            return jvp(lambda x: tuple(self._at({i: x})), (x,), (t,))[1]

        pushed = vmap(along)(directions(x.type))
        return [reshape(transpose(p, (*range(1, p.ndim), 0)), (*o.shape, *x.shape))
                for p, o in zip(pushed, self.outputs, strict=True)]

    def _reverse(self) -> list[list[Node]]:
        return [self._pulled(k) for k in range(len(self.outputs))]

    def _pulled(self, k: int) -> list[Node]:
        """The derivatives of result k by all operands, one vjp for each of its elements."""
        xs, y = [self.body.operands[i] for i in self.by], self.outputs[k]
        if not xs:
            return []

        def result(*at: Node) -> Node:
            return self._at(dict(zip(self.by, at, strict=True)))[k]

        _, pullback = vjp(result, *xs)
        if y.type.size == 1:
            one = leaf.constant(1.0, y.type)
            rows = pullback(one)
        else:
            rows = vmap(pullback)(directions(y.type))
        return [reshape(r, (*y.shape, *x.shape)) for r, x in zip(leaves(rows), xs, strict=True)]


def directions(type_: Type) -> Node:
    """All unit arrays of a shape, along a new first axis: [size, *shape]."""
    size, shape = int(type_.size), tuple(type_.shape)
    if size == 0:
        return zeros(type_.with_(shape=(0, *shape)))
    square = (size, size)
    unit = eq(leaf.iota(square, 0), leaf.iota(square, 1))
    return reshape(cast(unit, type_.dtype), (size, *shape))
