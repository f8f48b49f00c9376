"""Layers made of layers: residual sums and parallel branches; and reshape."""

from __future__ import annotations

import math
from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.lang.layer import Function, Layer, chain
from dlc.nn import checks
from dlc.ops import view
from dlc.ops.convert import as_node


def residual(*elements: Layer | Function, shortcut: Layer | Function | None = None,
             name: str = "") -> Layer:
    """x + chain(*elements)(x), or shortcut(x) in place of x (He et al. 2015, eq. 1 and 2).

    Raises DlcError where the two differ in shape.
    """
    inner = chain(*elements, name="body")
    other = None if shortcut is None else chain(shortcut, name="shortcut")

    def apply(x: Any) -> Node:
        y, way = as_node(inner(x)), as_node(x if other is None else other(x))
        if tuple(y.shape) != tuple(way.shape):
            raise DlcError(f"the elements give {describe(y)}, the shortcut {describe(way)}",
                           here(), "both need one shape; shortcut= takes a layer that makes it so")
        return way + y

    return Layer("residual", apply, f"residual({_members(elements)})", name, here())


def parallel(*elements: Layer | Function, combine: str = "concat", axis: int = 1,
             name: str = "") -> Layer:
    """Applies each element to the same x and joins the results along `axis` (Szegedy et al. 2015).

    `combine` is "concat", "sum", or "none", which returns a tuple. Raises DlcError for no elements.
    """
    checks.one_of("parallel", "combine", combine, ("concat", "sum", "none"))
    if not elements:
        raise DlcError("nn.parallel: no elements", here(), "e.g. nn.parallel(nn.dense(8), dlc.sin)")
    branches = [chain(e, name=f"branch{i + 1}") for i, e in enumerate(elements)]

    def apply(x: Any) -> Any:
        found = [branch(x) for branch in branches]
        if combine == "none":
            return tuple(found)
        if combine == "concat":
            return view.concat(found, axis)
        total = found[0]
        for one in found[1:]:
            checks.same_shape("parallel", total, one)
            total = total + one
        return total

    return Layer("parallel", apply, f"parallel({_members(elements)})", name, here())


def _members(elements: tuple[Any, ...]) -> str:
    return ", ".join(str(getattr(e, "__name__", e)) for e in elements)


def reshape(*shape: int, name: str = "") -> Layer:
    """x [batch, ...] -> [batch, *shape]; one number may be -1."""
    for size in shape:
        checks.at_least("reshape", -1, shape=size)

    def apply(x: Node) -> Node:
        checks.rank(x, 1, "[batch, ...]")
        size, told = math.prod(map(int, x.shape[1:])), math.prod(n for n in shape if n != -1)
        if shape.count(-1) > 1 or (size % told if -1 in shape and told else size != told):
            raise DlcError(f"samples of {describe(x)} have {size} elements, which do not make "
                           f"{shape}", here(), "the product of the sizes is that; one may be -1")
        return view.reshape(x, (x.shape[0], *shape))

    return Layer("reshape", apply, f"reshape({', '.join(map(str, shape))})", name, here())
