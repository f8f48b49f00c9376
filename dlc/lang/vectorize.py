"""vmap: a function of one example becomes a function of all, which the batching rules make one
computation of. A VMAP node holds the function; the differentiate pass expands it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlc.derive.autodiff import expand_higher
from dlc.derive.batching import VMAP, batch, draws
from dlc.errors import DlcError, here
from dlc.ir.dependence import depends_on
from dlc.ir.graph import Node, current_build, describe, make, substitute
from dlc.lang.nesting import children, leaves, rebuilt
from dlc.lang.transform import close, is_array, publish
from dlc.ops import leaf, reduce, tuples
from dlc.ops.convert import as_argument
from dlc.ops.view import transpose

# an axis, None for "the same for all examples", or a nesting of them
Axes = Any


def vmap(function: Callable[..., Any], in_axes: Axes = 0,
         out_axes: Axes = 0) -> Callable[..., Any]:
    """A function that applies `function` to every example along an axis of its arguments.

    `in_axes` is the example axis of each argument: one number for all arguments, or a tuple with an
    entry for each, None if an argument is the same for all examples; the entry for nested arrays
    may be nested too. `out_axes` is the same for the results: None for one that is the same for all
    examples. Axes may be negative. Keyword arguments have their examples along axis 0. Each example
    draws its own random numbers.

    Types in the signature of `function` are those of one example; to trace the mapped function,
    pass its types. Raises DlcError at the user's line if sizes disagree, an axis does not exist, or
    `function` updates state.
    """
    @functools.wraps(function)
    def mapped(*args: Any, **more: Any) -> Any:
        return _Examples(function, args, in_axes, more).results(out_axes)

    # the types in the function's signature are those of one example
    mapped.__annotations__ = {}
    return mapped


def spread_axes(axes: Axes, value: Any, what: str) -> list[int | None]:
    """`axes` for each leaf of `value`: a number or None stands for all beneath it."""
    if axes is None or (isinstance(axes, int) and not isinstance(axes, bool)):
        return [axes] * len(leaves(value))
    parts, wanted = children(value), children(axes)
    if wanted is None:
        raise DlcError(f"{what}: {axes!r} is not an axis", here(), "an axis is an int or None")
    if parts is None or {step for step, _ in parts} != {step for step, _ in wanted}:
        shown = f"{len(parts)} values" if parts is not None else "one value"
        raise DlcError(f"{what}: {axes!r} for {shown}", here(),
                       "give an int, None, or a nesting like that of the values")
    found = dict(wanted)
    return [a for step, part in parts for a in spread_axes(found[step], part, what)]


def _front(x: Node, axis: int | None, what: str) -> Node:
    """`x` with the examples' axis first. Raises DlcError when it has no such axis."""
    if axis is None:
        return x
    if not -x.ndim <= axis < x.ndim:
        raise DlcError(f"{what}: axis {axis} of {describe(x)}", here(),
                       f"axes are 0 .. {x.ndim - 1}, or None for a value that is the same for all"
                       if x.ndim else "give None for a value that is the same for all examples")
    at = axis % x.ndim
    return transpose(x, (at, *(a for a in range(x.ndim) if a != at)))


class _Examples:
    """One call of a mapped function: its operands, the size, and the closed body."""

    def __init__(self, function: Callable[..., Any], args: Sequence[Any], in_axes: Axes,
                 more: Mapping[str, Any]) -> None:
        self.what = f"vmap of {getattr(function, '__name__', 'function')}"
        axes = spread_axes(tuple(in_axes) if isinstance(in_axes, list) else in_axes, tuple(args),
                           f"{self.what}: in_axes") + spread_axes(0, more, self.what)
        self._refuse_scalars(more)
        flat = list(zip(leaves((tuple(args), more)), axes, strict=True))
        # Python's values that are the same for all examples reach the function as they are
        node_of = as_argument(v for v, _ in flat)
        given = [(node_of(v), a) for v, a in flat if a is not None or is_array(v)]
        self.operands = [_front(x, a, self.what) for x, a in given]
        self.mapped = [a is not None for _, a in given]
        self.size = self._size(given)
        fresh = iter([self._example(*of) for of in enumerate(given)])
        positional, named = rebuilt((tuple(args), more), [
            next(fresh) if a is not None or is_array(v) else v for v, a in flat])
        before = _drawing()
        self.body = close(function, positional, leaves(named), named, by=())
        self._refuse_updates()
        self._own_random_numbers(len(given), before)

    def _refuse_scalars(self, more: Mapping[str, Any]) -> None:
        """What is given by name has an example along its first axis."""
        for name, value in more.items():
            if any(not is_array(v) or v.ndim == 0 for v in leaves(value)):
                raise DlcError(f"{self.what}: {name}={value!r} has no axis of examples", here(),
                               "arguments given by name are mapped along axis 0; bind what is the "
                               f"same for all before: vmap(functools.partial(f, {name}=...))")

    def _example(self, i: int, given: tuple[Node, int | None]) -> Node:
        """What the function gets for operand i: a symbol for one example, or the operand itself."""
        operand, (x, axis) = self.operands[i], given
        if axis is None:
            return operand
        return leaf.input_(x.name or f"x{i}", operand.type.with_(shape=operand.shape[1:],
                                                                 layout=None))

    def _size(self, given: Sequence[tuple[Node, int | None]]) -> int:
        sizes = {int(o.shape[0]) for o, m in zip(self.operands, self.mapped, strict=True) if m}
        if len(sizes) == 1:
            return sizes.pop()
        if not sizes:
            raise DlcError(f"{self.what}: no argument has an axis of examples", here(),
                           "in_axes names the axis of at least one argument")
        shown = ", ".join(f"axis {a} of {describe(x)}"
                          for x, a in given if a is not None)
        raise DlcError(f"{self.what}: different numbers of examples: {shown}", here(),
                       "give None for what is the same for all examples")

    def _refuse_updates(self) -> None:
        if self.body.updates:
            raise DlcError(f"{self.what}: state {self.body.updates[0]!r} is updated inside: there "
                           f"would be {self.size} new values for it", here(),
                           "return the value, and update the state outside, e.g. with its mean")

    def _own_random_numbers(self, count: int, before: frozenset[Node]) -> None:
        """What the function drew without looking at an example was captured: draw it for each."""
        captured = expand_higher(self.body.operands[count:])
        own = batch(captured, {}, self.size, before)
        self.operands += [c.node for c in own]
        self.mapped += [c.mapped for c in own]

    def results(self, out_axes: Axes) -> Any:
        """The results with their examples along `out_axes`, in the nesting of the function's."""
        body = self.body
        node = make(VMAP, self.operands, body=body.graph, mapped=tuple(self.mapped),
                    size=self.size)
        values = [tuples.item(node, i) for i in range(len(body.graph.outputs))]
        checks = [reduce.any_(v) for v in values[body.results:]]
        publish(body, [*values[:body.results], *checks])
        axes = spread_axes(out_axes, body.structure, f"{self.what}: out_axes")
        changing = self._changing()
        placed = [self._placed(v, o, a, o in changing) for v, o, a in zip(
            values[:body.results], body.graph.outputs[:body.results], axes, strict=True)]
        return rebuilt(body.structure, placed)

    def _changing(self) -> set[Node]:
        body = self.body
        given = [x for x, m in zip(body.graph.inputs, self.mapped, strict=True) if m]
        return depends_on(body.graph.outputs, given)

    def _common(self, output: Node) -> Node:
        """A result that no example changes, from the operands that none does."""
        common = {x: o for x, o, m in zip(self.body.graph.inputs, self.operands, self.mapped,
                                          strict=True) if not m}
        return substitute([output], common)[0]

    def _placed(self, value: Node, output: Node, axis: int | None, changes: bool) -> Node:
        if axis is None and changes:
            raise DlcError(f"{self.what}: out_axes=None for {describe(output)}, which differs from "
                           "example to example", here(), "name the axis for the examples")
        if axis is None:
            return self._common(output)
        if not -value.ndim <= axis < value.ndim:
            raise DlcError(f"{self.what}: out_axes {axis} for {describe(output)}", here(),
                           f"the examples' axis is 0 .. {value.ndim - 1}")
        order = list(range(1, value.ndim))
        order.insert(axis % value.ndim, 0)
        return transpose(value, order)


def _drawing() -> frozenset[Node]:
    """The nodes of the running build that make random bits."""
    build = current_build()
    return frozenset() if build is None else frozenset(filter(draws, build.table.values()))
