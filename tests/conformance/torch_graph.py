"""A graph of dlc run by PyTorch: floats in f64, derivatives by PyTorch's own, not by dlc's rules.

Integers are i64 and wrap to their own width after each operator. A loop is one of Python's, a
derivative a call of torch.autograd.grad; a forward derivative is the gradient of a gradient by its
cotangent, so that it nests with everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from dlc.ir.graph import Graph, Kind, Node
from dlc.ir.types import DType, TupleType, Type
from dlc.reference.evaluate import apply

Tensor = torch.Tensor
Values = Sequence[Any]


class Untranslatable(Exception):
    """PyTorch has no such operator, or not for these types or derivatives."""


def run_by_torch(graph: Graph, arrays: Mapping[str, Any]) -> list[Any]:
    """The outputs of `graph` as NumPy arrays, for arrays by input name.

    Raises Untranslatable for an operator that has no translation.
    """
    given = [tensor_of(arrays[n.attrs["label"]]) for n in graph.inputs]
    return [array_of(x, o.type) for x, o in zip(run(graph, given), graph.outputs, strict=True)]


def tensor_of(value: Any) -> Tensor:
    """An array as a tensor: f64, i64 or bool. Raises Untranslatable for what is beyond i64."""
    data = np.asarray(value)
    if data.dtype == np.uint64:
        raise Untranslatable("u64")
    kind = np.bool_ if data.dtype == np.bool_ else np.int64 if data.dtype.kind in "iu" else (
        np.float64)
    return torch.from_numpy(np.array(data, kind))


def array_of(value: Tensor, type_: Type) -> Any:
    return value.detach().numpy().astype(type_.dtype.numpy)


def wrapped(value: Tensor, dtype: DType) -> Tensor:
    """Integers modulo the width of `dtype`; others as they are."""
    if not dtype.is_integer or dtype.bytes == 8:
        return value
    width = 8 * dtype.bytes
    low = value & ((1 << width) - 1)
    if dtype.category == "uint":
        return low
    return low - ((low >> (width - 1)) << width)


def run(graph: Graph, given: Values) -> list[Any]:
    """The outputs of `graph` for its inputs, all tensors."""
    found: dict[Node, Any] = dict(zip(graph.inputs, given, strict=True))
    for node in graph.nodes():
        if node not in found:
            found[node] = value_of(node, [found[a] for a in node.args])
    return [found[o] for o in graph.outputs]


def value_of(node: Node, args: Values) -> Any:
    """A node's result, or the tuple of its results."""
    from tests.conformance.torch_operators import OPERATORS

    if any(t.dtype.name == "u64" for t in types_of(node)):
        raise Untranslatable("u64")
    if any(a is None for a in args):
        raise Untranslatable("eigenvectors and singular vectors, whose signs are free")
    name = node.op.name
    if node.op.kind is Kind.LEAF:  # data, not an operator
        return tensor_of(apply(node, [a.detach().numpy().astype(n.dtype.numpy)
                                      for a, n in zip(args, node.args, strict=True)]))
    if name in CONTROL:
        return CONTROL[name](node, args)
    if name not in OPERATORS:
        raise Untranslatable(name)
    try:
        result = OPERATORS[name](node, *args)
    except NotImplementedError as problem:
        raise Untranslatable(f"{name}: {problem}") from None
    if isinstance(node.type, TupleType):
        return tuple(result)
    return wrapped(result, node.dtype).reshape(tuple(map(int, node.shape)))


def types_of(node: Node) -> tuple[Type, ...]:
    return node.type.items if isinstance(node.type, TupleType) else (node.type,)


# ---- derivatives ---------------------------------------------------------------------------------


def fresh(x: Tensor) -> Tensor:
    """A variable with x's value, through which derivatives of x still go."""
    return x.clone() if x.requires_grad else x.clone().requires_grad_(x.is_floating_point())


def cotangents(results: Sequence[Tensor], by: Sequence[Tensor],
               given: Sequence[Tensor]) -> list[Tensor]:
    """The cotangents of `by` for those of `results`; zeros where nothing depends."""
    pairs = [(r, g) for r, g in zip(results, given, strict=True) if r.requires_grad]
    wanted = [x for x in by if x.is_floating_point()]
    found: Sequence[Any] = [None] * len(wanted)
    if pairs and wanted:
        try:
            found = torch.autograd.grad([r for r, _ in pairs], wanted, [g for _, g in pairs],
                                        create_graph=True, allow_unused=True)
        except (NotImplementedError, RuntimeError) as problem:
            if "not implemented" not in str(problem):
                raise
            raise Untranslatable(str(problem)) from None
    slopes = iter(found)
    return [torch.zeros_like(x) if not x.is_floating_point() or (g := next(slopes)) is None else g
            for x in by]


def grad(node: Node, args: Values) -> tuple[Any, ...]:
    body, count = node.attrs["body"], node.attrs["count"]
    by = [fresh(x) for x in args[:count]]
    with torch.enable_grad():
        results = run(body, [*by, *args[count:-1]])
        slopes = cotangents(results[:1], by, args[-1:])
    return (*results, *slopes)


def jvp(node: Node, args: Values) -> tuple[Any, ...]:
    """The gradient of u -> (cotangents for u) by u: what is linear is its own derivative."""
    body, count = node.attrs["body"], node.attrs["tangents"]
    inputs = len(body.inputs)
    tangents = args[inputs:]
    with torch.enable_grad():
        by = [fresh(x) for x in args[:count]]
        results = run(body, [*by, *args[count:inputs]])
        us = [torch.zeros_like(r, requires_grad=r.is_floating_point()) for r in results]
        slopes = cotangents(results, by, us)
        pushed = cotangents(slopes, us, tangents)
    return (*results, *pushed)


class Ruled(torch.autograd.Function):
    """A body whose cotangents a graph gives."""

    @staticmethod
    def forward(ctx: Any, node: Node, *xs: Tensor) -> Any:
        ctx.node = node
        ctx.save_for_backward(*xs)
        return tuple(run(node.attrs["body"], xs))

    @staticmethod
    def backward(ctx: Any, *gs: Any) -> Any:
        pullback, xs = ctx.node.attrs["pullback"], ctx.saved_tensors
        count = len(pullback.inputs) - len(xs)
        found = run(pullback, [*xs, *gs[:count]])
        return (None, *found, *(None for _ in xs[len(found):]))


def ruled(node: Node, args: Values) -> tuple[Any, ...]:
    return tuple(Ruled.apply(node, *args))  # type: ignore[no-untyped-call]


# ---- loops and branches --------------------------------------------------------------------------


def scan(node: Node, args: Values) -> tuple[Any, ...]:
    attrs, body = node.attrs, node.attrs["body"]
    carries, upto = attrs["carries"], attrs["carries"] + attrs["sequences"]
    state, rows = list(args[:carries]), []
    steps = range(attrs["length"])
    for t in reversed(steps) if attrs["reverse"] else steps:
        made = run(body, [*state, *(s[t] for s in args[carries:upto]), *args[upto:]])
        state, row = made[:carries], made[carries:]
        rows.append(row)
    rows = rows[::-1] if attrs["reverse"] else rows
    return (*state, *stacks(rows, body.outputs[carries:]))


def stacks(rows: Sequence[Sequence[Tensor]], outputs: Sequence[Node]) -> list[Tensor]:
    """The results of all rounds, by output."""
    return [torch.stack([row[i] for row in rows]) if rows else
            tensor_of(np.zeros((0, *map(int, o.shape)), o.dtype.numpy))
            for i, o in enumerate(outputs)]


def cond(node: Node, args: Values) -> tuple[Any, ...]:
    return tuple(run(node.attrs["then" if bool(args[0]) else "otherwise"], args[1:]))


def vmap(node: Node, args: Values) -> tuple[Any, ...]:
    """One example after the other."""
    body, mapped = node.attrs["body"], node.attrs["mapped"]
    rows = [run(body, [a[i] if m else a for a, m in zip(args, mapped, strict=True)])
            for i in range(node.attrs["size"])]
    return tuple(stacks(rows, body.outputs))


CONTROL: dict[str, Callable[[Node, Values], Any]] = {
    "item": lambda node, args: args[0][node.attrs["index"]], "grad": grad, "jvp": jvp,
    "custom_gradient": ruled, "scan": scan, "cond": cond, "vmap": vmap,
    "checkpoint": lambda node, args: tuple(run(node.attrs["body"], args))}
