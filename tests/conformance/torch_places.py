"""PyTorch's functions for gathers, scatters, orders and running folds of dlc's graphs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from dlc.ir.graph import Node

Tensor = torch.Tensor
Rule = Callable[..., Any]


def clamped(index: Tensor, bound: int) -> Tensor:
    return index.clamp(0, max(bound - 1, 0))


def each_row(batch: int, function: Callable[..., Tensor], *args: Tensor) -> Tensor:
    """`function` over all combinations of the first `batch` axes, which all operands share."""
    if batch == 0:
        return function(*args)
    return torch.stack([each_row(batch - 1, function, *row) for row in zip(*args, strict=True)])


def gather(node: Node, x: Tensor, index: Tensor) -> Tensor:
    axis, batch = node.attrs["axis"], node.attrs["batch"]
    if not math.prod(map(int, node.shape)):
        return torch.zeros(tuple(map(int, node.shape)), dtype=x.dtype)

    def row(values: Tensor, at: Tensor) -> Tensor:
        found = values.index_select(axis - batch, clamped(at, values.shape[axis - batch]).flatten())
        return found.unflatten(axis - batch, at.shape) if at.ndim else found.squeeze(axis - batch)
    return each_row(batch, row, x, index)


def onto(fold: str) -> Rule:
    """Updates put to x along an axis, all those of an index in one: operands index, updates, x."""
    def rule(node: Node, index: Tensor, updates: Tensor, x: Tensor) -> Tensor:
        axis, batch = node.attrs["axis"], node.attrs["batch"]
        if not updates.numel():
            return x

        def row(at: Tensor, new: Tensor, old: Tensor) -> Tensor:
            dim = axis - batch
            new = new.flatten(dim, dim + at.ndim - 1) if at.ndim else new.unsqueeze(dim)
            where = clamped(at, old.shape[dim]).flatten()
            if fold == "sum":
                return old.index_add(dim, where, new)
            shape = [-1 if a == dim else 1 for a in range(new.ndim)]
            return old.scatter_reduce(dim, where.reshape(shape).expand(new.shape), new, fold)
        return each_row(batch, row, index, updates, x)
    return rule


def scatter_add(node: Node, index: Tensor, updates: Tensor) -> Tensor:
    nothing = torch.zeros(tuple(map(int, node.shape)), dtype=updates.dtype)
    return onto("sum")(node, index, updates, nothing)


def scatter_last(node: Node, index: Tensor) -> Tensor:
    size = node.attrs["size"]
    numbers = torch.arange(index.shape[-1]).expand(index.shape)
    nothing = torch.full((*index.shape[:-1], size), -1)
    return nothing.scatter_reduce(-1, clamped(index, size), numbers, "amax")


def turned(function: Callable[[Tensor, int], Tensor]) -> Rule:
    """A fold along an axis, or from its end."""
    def rule(node: Node, *xs: Tensor) -> Tensor:
        axis = node.attrs["axis"]
        if not node.attrs["reverse"]:
            return function(*xs, axis)
        return function(*(x.flip(axis) for x in xs), axis).flip(axis)
    return rule


def recurrence(a: Tensor, b: Tensor, axis: int) -> Tensor:
    rows = list(b.unbind(axis))
    factors = a.unbind(axis)
    for i in range(1, len(rows)):
        rows[i] = rows[i] + factors[i] * rows[i - 1]
    return torch.stack(rows, axis) if rows else b


def running_logarithm(x: Tensor, axis: int) -> Tensor:
    """Step by step: the second derivative of torch.logcumsumexp is NaN where a first one is 0."""
    rows = list(x.unbind(axis))
    for i in range(1, len(rows)):
        rows[i] = torch.logaddexp(rows[i - 1], rows[i])
    return torch.stack(rows, axis) if rows else x


def running_position(node: Node, x: Tensor) -> Tensor:
    """The last of equals; from the end, the one that was met last."""
    count = x.shape[node.attrs["axis"]]

    def positions(values: Tensor, axis: int) -> Tensor:
        return (torch.cummax if node.attrs["largest"] else torch.cummin)(values, axis).indices
    found = turned(positions)(node, x)
    return count - 1 - found if node.attrs["reverse"] else found


def argsort(node: Node, x: Tensor) -> Tensor:
    axis, count = node.attrs["axis"], node.attrs["count"]
    order = torch.sort(x, dim=axis, descending=node.attrs["descending"], stable=True).indices
    return order.narrow(axis, 0, count)


def searchsorted(node: Node, edges: Tensor, x: Tensor) -> Tensor:
    lead = edges.shape[:-1]
    flat = x.reshape(*lead, -1) if lead else x.reshape(-1)
    return torch.searchsorted(edges.contiguous(), flat.contiguous(), right=node.attrs["right"])


PLACES: dict[str, Rule] = {
    "gather": gather, "scatter_add": scatter_add, "scatter_max": onto("amax"),
    "scatter_min": onto("amin"), "scatter_last": scatter_last, "argsort": argsort,
    "searchsorted": searchsorted, "cumargmax": running_position,
    "cumsum": turned(lambda x, axis: torch.cumsum(x, axis)),
    "cumprod": turned(lambda x, axis: torch.cumprod(x, axis)),
    "logcumsumexp": turned(running_logarithm),
    "linear_recurrence": turned(recurrence)}
