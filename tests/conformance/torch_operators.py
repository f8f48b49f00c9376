"""PyTorch's function for each operator of dlc's graphs: tensors in f64, i64 and bool."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from dlc.ir.graph import Node
from tests.conformance.torch_graph import Untranslatable
from tests.conformance.torch_places import PLACES

Tensor = torch.Tensor
Rule = Callable[..., Any]


def by(function: Callable[..., Any]) -> Rule:
    """An operator without attributes."""
    return lambda node, *args: function(*args)


# ---- elementwise ---------------------------------------------------------------------------------


def whole_quotient(rounding: str) -> Callable[[Node, Tensor, Tensor], Tensor]:
    """floor(x / y) or the like; of whole numbers 0 where y is 0."""
    def rule(node: Node, x: Tensor, y: Tensor) -> Tensor:
        if node.dtype.is_float:
            return torch.div(x, y, rounding_mode=rounding)
        found = torch.div(x, torch.where(y == 0, 1, y), rounding_mode=rounding)
        return torch.where(y == 0, 0, found)
    return rule


def remainder(function: Callable[..., Tensor]) -> Callable[[Node, Tensor, Tensor], Tensor]:
    def rule(node: Node, x: Tensor, y: Tensor) -> Tensor:
        if node.dtype.is_float:
            return function(x, y)
        return torch.where(y == 0, 0, function(x, torch.where(y == 0, 1, y)))
    return rule


def power(node: Node, x: Tensor, y: Tensor) -> Tensor:
    if not node.dtype.is_float:
        raise Untranslatable("powers of whole numbers")
    return torch.pow(x, y)


def cbrt(node: Node, x: Tensor) -> Tensor:
    return torch.sign(x) * torch.pow(torch.abs(x), 1 / 3)


def hypot(node: Node, x: Tensor, y: Tensor) -> Tensor:
    """With the gradient 0 at (0, 0), where torch's is NaN."""
    nothing = (x == 0) & (y == 0)
    return torch.where(nothing, 0.0, torch.hypot(torch.where(nothing, 1.0, x), y))


def shifted(function: Callable[..., Tensor]) -> Callable[[Node, Tensor, Tensor], Tensor]:
    """0 where y is negative or at least the width."""
    def rule(node: Node, x: Tensor, y: Tensor) -> Tensor:
        fits = (y >= 0) & (y < 8 * node.dtype.bytes)
        return torch.where(fits, function(x, torch.where(fits, y, 0)), 0)
    return rule


def bits_of(node: Node, x: Tensor) -> list[Tensor]:
    """The bits of whole numbers, the lowest first."""
    return [(x >> i) & 1 for i in range(8 * node.args[0].dtype.bytes)]


def popcount(node: Node, x: Tensor) -> Tensor:
    return torch.stack(bits_of(node, x)).sum(0)


def leading_zeros(node: Node, x: Tensor) -> Tensor:
    clear = 1 - torch.stack(bits_of(node, x)[::-1])
    return torch.cumprod(clear, 0).sum(0)


def cast(node: Node, x: Tensor) -> Tensor:
    """To whole numbers: towards 0, as far as the dtype reaches, NaN to 0."""
    kind = node.attrs["dtype"]
    if kind.is_float:
        return x.to(torch.float64)
    if kind.name == "bool":
        return x != 0
    if not x.is_floating_point():
        return x.to(torch.int64)
    low, high = torch_range(kind)
    inside = torch.nan_to_num(torch.trunc(x), nan=0.0).clamp(low, high)
    beyond = inside >= 2.0**63
    return torch.where(beyond, high, torch.where(beyond, 0.0, inside).to(torch.int64))


def torch_range(kind: Any) -> tuple[int, int]:
    width = 8 * kind.bytes - (kind.category != "uint")
    return (0 if kind.category == "uint" else -(1 << width)), (1 << width) - 1


SAME = ("add", "sub", "mul", "div", "neg", "maximum", "minimum", "exp", "expm1", "log", "log1p",
        "sqrt", "rsqrt", "tanh", "sigmoid", "sin", "cos", "erf", "abs", "sign", "floor", "ceil",
        "round", "isfinite", "eq", "ne", "lt", "le", "gt", "ge", "where", "trunc", "copysign",
        "exp2", "log2", "log10", "logaddexp", "tan", "asin", "acos", "atan", "atan2",
        "cosh", "sinh", "asinh", "acosh", "atanh", "erfc", "erfinv", "digamma", "lgamma")
ELEMENTWISE: dict[str, Rule] = {
    **{name: by(getattr(torch, name)) for name in SAME},
    "erfcx": by(torch.special.erfcx), "i0e": by(torch.special.i0e),
    "i1e": by(torch.special.i1e),
    "and_": by(torch.bitwise_and), "or_": by(torch.bitwise_or), "xor": by(torch.bitwise_xor),
    "not_": by(torch.logical_not), "stop_gradient": by(torch.Tensor.detach),
    "floordiv": whole_quotient("floor"), "rem": remainder(torch.remainder),
    "fmod": remainder(torch.fmod), "pow": power, "cbrt": cbrt, "hypot": hypot,
    "shl": shifted(torch.bitwise_left_shift), "shr": shifted(torch.bitwise_right_shift),
    "popcount": popcount, "clz": leading_zeros, "cast": cast,
    "ldexp": lambda node, x, n: x * torch.exp2(n.to(torch.float64)),
    "polygamma": lambda node, x: torch.polygamma(node.attrs["n"], x)}


# ---- reductions ----------------------------------------------------------------------------------


def reduced(function: Callable[..., Tensor]) -> Rule:
    """Over all axes in a row; over none nothing happens."""
    def rule(node: Node, x: Tensor) -> Tensor:
        axes = node.attrs["axes"]
        return function(x, axes) if axes else x
    return rule


def total(node: Node, x: Tensor) -> Tensor:
    return x.sum(node.attrs["axes"]) if node.attrs["axes"] else x.to(
        torch.int64) if not x.is_floating_point() else x


def flat(node: Node, x: Tensor) -> Tensor:
    """The axes that are reduced as one, the last."""
    axes = node.attrs["axes"]
    kept = [a for a in range(x.ndim) if a not in axes]
    width = math.prod(x.shape[a] for a in axes)
    return x.permute(*kept, *axes).reshape(*(x.shape[a] for a in kept), width)


def product(node: Node, x: Tensor) -> Tensor:
    return torch.prod(flat(node, x), -1)


def first_of(rows: Tensor, best: Tensor) -> Tensor:
    """Where each row first equals its best."""
    numbers = torch.arange(rows.shape[-1]).expand(rows.shape)
    return torch.where(rows == best, numbers, rows.shape[-1]).amin(-1)


def position(extreme: Callable[..., Tensor]) -> Rule:
    def rule(node: Node, x: Tensor) -> Tensor:
        rows = flat(node, x)
        return first_of(rows, extreme(rows, -1, True))
    return rule


def largest(extreme: Callable[..., Tensor]) -> Rule:
    """Ties: in equal parts, as amax has it, or to the first."""
    def rule(node: Node, x: Tensor) -> Tensor:
        rows = flat(node, x)
        if node.attrs["ties"] == "even":
            return extreme(rows, -1)
        at = first_of(rows.detach(), extreme(rows.detach(), -1, True))
        return rows.gather(-1, at.unsqueeze(-1)).squeeze(-1)
    return rule


def fold(node: Node, g: Tensor) -> Tensor:
    """Overlapping windows added up: what torch finds as the cotangent of its own windows."""
    if not g.is_floating_point():
        return fold(node, g.double()).long()  # sums of a few whole numbers are exact
    attrs = node.attrs
    lead = g.shape[:g.ndim - 2 * len(attrs["size"])]
    with torch.enable_grad():
        x = torch.zeros(*lead, *attrs["extent"], dtype=g.dtype, requires_grad=True)
        (found,) = torch.autograd.grad(window(node, x), [x], g, create_graph=True)
    return found


REDUCE: dict[str, Rule] = {
    "sum": total, "prod": product, "max": largest(torch.amax), "min": largest(torch.amin),
    "argmax": position(torch.amax), "argmin": position(torch.amin), "fold": fold,
    "logsumexp": reduced(lambda x, axes: torch.logsumexp(x, axes))}


# ---- views ---------------------------------------------------------------------------------------


def window(node: Node, x: Tensor) -> Tensor:
    attrs = node.attrs
    lead = x.ndim - len(attrs["size"])
    for a, (k, step, apart) in enumerate(zip(attrs["size"], attrs["stride"], attrs["dilation"],
                                             strict=True)):
        x = x.unfold(lead + a, (k - 1) * apart + 1, step)[..., ::apart]
    return x


def padded(node: Node, x: Tensor) -> Tensor:
    attrs = node.attrs
    found = torch.full(tuple(map(int, node.shape)), attrs["value"], dtype=x.dtype)
    at = tuple(slice(low, low + (d - 1) * (i + 1) + 1, i + 1) if d else slice(0, 0)
               for low, i, d in zip(attrs["low"], attrs["interior"], x.shape, strict=True))
    found[at] = x
    return found


def sliced(node: Node, x: Tensor) -> Tensor:
    attrs = node.attrs
    return x[tuple(map(slice, attrs["start"], attrs["stop"], attrs["step"]))]


VIEWS: dict[str, Rule] = {
    "reshape": lambda node, x: x.reshape(tuple(map(int, node.shape))),
    "transpose": lambda node, x: x.permute(node.attrs["axes"]),
    "broadcast": lambda node, x: x.expand(tuple(map(int, node.shape))),
    "flip": lambda node, x: torch.flip(x, node.attrs["axes"]), "slice": sliced, "pad": padded,
    "concat": lambda node, *xs: torch.cat(xs, node.attrs["axis"]), "window": window,
    "barrier": lambda node, x, *others: x}


# ---- products and convolutions -------------------------------------------------------------------


def matmul(node: Node, a: Tensor, b: Tensor) -> Tensor:
    wide = torch.float64 if node.dtype.is_float else torch.int64
    return torch.matmul(a.to(wide), b.to(wide))


CONVOLUTIONS: Sequence[Callable[..., Tensor]] = (F.conv1d, F.conv2d, F.conv3d)


def conv(node: Node, x: Tensor, w: Tensor) -> Tensor:
    """Holes in the image and its borders are made first; the rest is torch's."""
    attrs = node.attrs
    n, groups = len(attrs["stride"]), 1
    if not 1 <= n <= 3 or not node.dtype.is_float or not (x.numel() and w.numel()):
        raise Untranslatable("convolutions of whole numbers, of nothing, or beyond three axes")
    if attrs["grouped"]:
        groups = x.shape[1]
        x, w = x.flatten(1, 2), w.flatten(0, 1)
    x = spread(x, attrs["lhs_dilation"])
    x = F.pad(x, [p for pair in reversed(attrs["padding"]) for p in pair])
    return CONVOLUTIONS[n - 1](x, w, None, attrs["stride"], 0, attrs["rhs_dilation"], groups)


def spread(x: Tensor, apart: Sequence[int]) -> Tensor:
    """Zeros between the elements of the last axes."""
    if all(d == 1 for d in apart):
        return x
    lead = x.ndim - len(apart)
    sizes = [(d - 1) * a + 1 for d, a in zip(x.shape[lead:], apart, strict=True)]
    found = torch.zeros(*x.shape[:lead], *sizes, dtype=x.dtype)
    found[(..., *(slice(None, None, a) for a in apart))] = x
    return found


# ---- dense matrices ------------------------------------------------------------------------------


def solve_triangle(node: Node, a: Tensor, b: Tensor) -> Tensor:
    lower, turned, unit = (node.attrs[k] for k in ("lower", "trans", "unit"))
    a = a.mT if turned else a
    return torch.linalg.solve_triangular(a, b, upper=lower is turned, unitriangular=unit)


MATRICES: dict[str, Rule] = {
    "matmul": matmul, "conv": conv, "triangular_solve": solve_triangle,
    "expm": by(torch.linalg.matrix_exp), "cholesky": by(torch.linalg.cholesky),
    "solve": lambda node, a, b: torch.linalg.solve(a.mT if node.attrs["trans"] else a, b),
    "qr": by(torch.linalg.qr), "slogdet": by(torch.linalg.slogdet),
    # the signs of vectors are a convention: None, which no operator takes
    "eigh": lambda node, a: (torch.linalg.eigvalsh(a), None),
    "svd": lambda node, a: (None, torch.linalg.svdvals(a), None)}

OPERATORS: dict[str, Rule] = {**ELEMENTWISE, **REDUCE, **VIEWS, **MATRICES, **PLACES}
