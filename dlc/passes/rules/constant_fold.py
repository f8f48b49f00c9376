"""Constant folding, a rule of simplify: values that depend on no input are computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.ir.graph import Kind, Node
from dlc.ir.types import Type
from dlc.ops import leaf
from dlc.reference.evaluate import finish, widen
from dlc.reference.rewrite import FunctionRule

# Arrays are folded up to this many elements: beyond, a kernel fills memory faster than a file.
FOLD_ELEMENTS = 4096
_FOLDED_KINDS = (Kind.ELEMENTWISE, Kind.REDUCE, Kind.FOLD, Kind.VIEW, Kind.CONTRACT, Kind.GATHER)


def fold(node: Node) -> Node | None:
    """The constant or array that `node` is, or None when it depends on something."""
    if node.op.kind not in _FOLDED_KINDS or not node.args:
        return None
    if not all(a.op is leaf.CONSTANT or a.op is leaf.ARRAY for a in node.args):
        return None
    if all(a.op is leaf.CONSTANT for a in node.args):
        splat = _fold_splat(node)
        if splat is not None:
            return splat
    largest = max(node.type.size, *(a.type.size for a in node.args))
    if largest > FOLD_ELEMENTS:
        return None
    return leaf.array(_value(node, [_array(a, tuple(a.shape)) for a in node.args]), node.type)


def _fold_splat(node: Node) -> Node | None:
    """One number gives one number: elementwise operators and views, whatever the size."""
    if node.op.kind is Kind.ELEMENTWISE:
        one = _value(node, [_array(a, ()) for a in node.args], node.type.with_(shape=()))
        return leaf.constant(one[()].item(), node.type)
    if node.op.kind is not Kind.VIEW:
        return None
    values = {float(a.attrs["value"]).hex() for a in node.args}
    if "value" in node.attrs:
        values.add(float(node.attrs["value"]).hex())
    return leaf.constant(node.args[0].attrs["value"], node.type) if len(values) == 1 else None


def _array(node: Node, shape: tuple[int, ...]) -> Any:
    if node.op is leaf.ARRAY:
        return node.attrs["value"].array
    return np.full(shape, node.attrs["value"], node.dtype.numpy)


def _value(node: Node, args: list[Any], type_: Type | None = None) -> Any:
    with np.errstate(all="ignore"):
        result = node.op.eval(*map(widen, args), **node.attrs)
    return finish(result, type_ or node.type)


FOLD = FunctionRule("f(constants) -> constant", fold, examples=(
    ("mul(A, B)", "A = 2.0; B = 0.1"), ("cast(A, dtype=p)", "A = 300.7; p = u8"),
    ("reshape(A, shape=(1,))", "A = 0.5"), ("sum(A, axes=(0,))", "A = 0.3"),
    ("where(gt(A, B), A, B)", "A = 0.3; B = 0.1"), ("exp(A)", "A = -0.0"),
    ("pad(A, low=(1,), high=(0,), interior=(0,), value=v)", "A = 2.0; v = 1.0")))
