"""Functions written twice, in dlc and in JAX, with the arrays they are compared on."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import dlc
from dlc import nn
from dlc.ir.graph import Node, make
from dlc.ops.contract import CONV
from dlc.ops.gather import take

jax.config.update("jax_enable_x64", True)
SEED = 20262
CONVOLUTIONS, WINDOWS = 40, 30


@dataclass(frozen=True)
class Case:
    """`ours` and `theirs` of the same f64 arrays; `order` is how often they may be derived."""

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]
    order: int = 2

    def __str__(self) -> str:
        return self.name


def spread(name: str, *shapes: tuple[int, ...], low: float = -2.0, high: float = 2.0,
           whole: bool = False) -> tuple[np.ndarray, ...]:
    """Random arrays, seeded by the case's name; `whole` numbers make ties."""
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    values = (rng.uniform(low, high, s) for s in shapes)
    return tuple(np.rint(v) if whole else v for v in values)


# --- ties, kinks and reductions -------------------------------------------------------------------

TIED: dict[str, tuple[Any, Any, tuple[tuple[int, ...], ...]]] = {
    "max, ties": (lambda x: dlc.max(x, 1), lambda x: jnp.max(x, 1), ((6, 9),)),
    "min, ties, all axes": (lambda x: dlc.min(x), lambda x: jnp.min(x), ((4, 5),)),
    "max over two axes": (lambda x: dlc.max(x, (0, 2)), lambda x: jnp.max(x, (0, 2)), ((3, 4, 5),)),
    "maximum, ties": (dlc.maximum, jnp.maximum, ((5, 7), (5, 7))),
    "minimum, ties, broadcast": (dlc.minimum, jnp.minimum, ((5, 7), (7,))),
    "clip, ties": (lambda x: dlc.clip(x, -1.0, 1.0), lambda x: jnp.clip(x, -1.0, 1.0), ((40,),)),
    # at 0 itself JAX has slope 1 for both, dlc 0 and .01, as torch
    "abs beside 0": (lambda x: dlc.abs(x + 0.25), lambda x: jnp.abs(x + 0.25), ((40,),)),
    "leaky relu beside 0": (lambda x: nn.leaky_relu(x + 0.25),
                            lambda x: jax.nn.leaky_relu(x + 0.25), ((40,),)),
    "relu at 0": (dlc.relu, jax.nn.relu, ((40,),)),
    "sign, floor, round": (lambda x: dlc.sign(x) + dlc.floor(x * 0.5) * dlc.round(x * 0.5),
                           lambda x: jnp.sign(x) + jnp.floor(x * 0.5) * jnp.round(x * 0.5),
                           ((40,),)),
    "product with zeros": (lambda x: dlc.prod(x, 1), lambda x: jnp.prod(x, 1), ((8, 4),)),
    "where of a comparison": (lambda x, y: dlc.where(x > y, x * y, dlc.sin(x)),
                              lambda x, y: jnp.where(x > y, x * y, jnp.sin(x)), ((30,), (30,))),
    "remainder": (lambda x, y: (x + 0.25) % (y + 0.5),
                  lambda x, y: jnp.remainder(x + 0.25, y + 0.5), ((30,), (30,))),
    "argmax as an index": (
        lambda x: dlc.sum(dlc.one_hot(dlc.argmax(x, 1), 9, x.dtype) * x * x, 1),
        lambda x: jnp.sum(jax.nn.one_hot(jnp.argmax(x, 1), 9) * x * x, 1), ((6, 9),)),
}


def tied() -> Iterator[Case]:
    for name, (ours, theirs, shapes) in TIED.items():
        yield Case(name, ours, theirs, spread(name, *shapes, whole=True))


# --- smooth functions -----------------------------------------------------------------------------


def normalized(x: Any, np_: Any, axis: Any) -> Any:
    """Batch norm without its parameters, in either library."""
    if np_ is jnp:
        return (x - x.mean(axis, keepdims=True)) * lax.rsqrt(x.var(axis, keepdims=True) + 1e-5)
    return (x - dlc.mean(x, axis, True)) * dlc.rsqrt(dlc.variance(x, axis, True) + 1e-5)


def network(x: Any, w: Any, k: Any, v: Any, tanh: Any, conv: Any, pool: Any) -> Any:
    """Convolution, tanh, average pool, dense."""
    hidden = pool(tanh(conv(x, k)))
    return tanh(hidden.reshape((x.shape[0], -1)) @ w) @ v


def jax_pool(x: Any) -> Any:
    return lax.reduce_window(x, 0.0, lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "VALID") / 4


def jax_conv(x: Any, k: Any) -> Any:
    return lax.conv_general_dilated(x, k, (1, 1), [(1, 1), (1, 1)])


SMOOTH: dict[str, tuple[Any, Any, tuple[tuple[int, ...], ...]]] = {
    "logsumexp": (lambda x: dlc.logsumexp(x * 30.0, 1),
                  lambda x: jax.nn.logsumexp(x * 30.0, 1), ((5, 11),)),
    "softmax": (lambda x: nn.softmax(x * 20.0, 0), lambda x: jax.nn.softmax(x * 20.0, 0),
                ((6, 4),)),
    "log softmax": (nn.log_softmax, jax.nn.log_softmax, ((3, 4, 5),)),
    "gelu, silu, softplus": (
        lambda x: nn.gelu(x) + nn.silu(x) * nn.softplus(x * 3.0),
        lambda x: jax.nn.gelu(x, approximate=False) + jax.nn.silu(x) * jax.nn.softplus(x * 3.0),
        ((50,),)),
    "exp, expm1, log1p": (lambda x: dlc.exp(x) * dlc.expm1(x) / (1.0 + dlc.log1p(x * x)),
                          lambda x: jnp.exp(x) * jnp.expm1(x) / (1.0 + jnp.log1p(x * x)),
                          ((50,),)),
    "sqrt, rsqrt, pow": (
        lambda x, y: dlc.sqrt(x * x + 1.0) * dlc.rsqrt(y * y + 2.0) + dlc.abs(x + 3.0) ** y,
        lambda x, y: jnp.sqrt(x * x + 1.0) * lax.rsqrt(y * y + 2.0) + jnp.abs(x + 3.0) ** y,
        ((4, 6), (6,))),
    "sin, cos, tanh, sigmoid, erf": (
        lambda x: dlc.sin(x * 9.0) * dlc.cos(x) + dlc.tanh(x) * dlc.sigmoid(x * 2.0) * dlc.erf(x),
        lambda x: jnp.sin(x * 9.0) * jnp.cos(x)
        + jnp.tanh(x) * jax.nn.sigmoid(x * 2.0) * lax.erf(x), ((60,),)),
    "division, broadcast": (lambda x, y: x / (y * y + 0.5) - y / (x * x + 1.0),
                            lambda x, y: x / (y * y + 0.5) - y / (x * x + 1.0), ((4, 5), (5,))),
    "batch norm": (lambda x: normalized(x, dlc, (0, 2)), lambda x: normalized(x, jnp, (0, 2)),
                   ((4, 3, 5),)),
    "attention": (lambda q, k, v: nn.softmax(q @ dlc.transpose(k, (0, 2, 1)), -1) @ v,
                  lambda q, k, v: jax.nn.softmax(q @ k.transpose(0, 2, 1), -1) @ v,
                  ((2, 4, 3), (2, 5, 3), (2, 5, 3))),
    "matmul, broadcast": (lambda x, y: x @ y, jnp.matmul, ((2, 1, 3, 4), (5, 4, 2))),
    "a small network": (
        lambda x, w, k, v: network(x, w, k, v, dlc.tanh, lambda a, b: dlc.conv(a, b, padding=1),
                                   nn.avg_pool(2)),
        lambda x, w, k, v: network(x, w, k, v, jnp.tanh, jax_conv, jax_pool),
        ((2, 1, 6, 6), (18, 4), (2, 1, 3, 3), (4, 3))),
    "views": (lambda x: dlc.concat([x[::-1, 1:], dlc.flip(x, 1)[:, ::2]], 1).T.reshape(-1, 2) ** 2,
              lambda x: jnp.concatenate([x[::-1, 1:], jnp.flip(x, 1)[:, ::2]], 1).T.reshape(
                  -1, 2) ** 2, ((4, 6),)),
    "pad with gaps": (lambda x: dlc.pad(x * x, (1, 0), (2, 3), 0.0, (2, 1)),
                      lambda x: lax.pad(x * x, 0.0, ((1, 2, 2), (0, 3, 1))), ((3, 4),)),
    "take, repeated rows": (
        lambda x: dlc.take(x * x, np.array([2, 0, 2, 2, 1], np.int32), 1),
        lambda x: jnp.take(x * x, np.array([2, 0, 2, 2, 1]), 1), ((3, 4),)),
    "take along axes": (
        lambda x: take(x ** 2, np.array([[0, 2], [1, 1], [3, 0]], np.int32), 1, 1),
        lambda x: jnp.take_along_axis(x ** 2, np.array([[0, 2], [1, 1], [3, 0]]), 1), ((3, 4),)),
    "prod": (lambda x: dlc.prod(x, (0, 2)), lambda x: jnp.prod(x, (0, 2)), ((2, 3, 3),)),
}


def smooth() -> Iterator[Case]:
    for name, (ours, theirs, shapes) in SMOOTH.items():
        yield Case(name, ours, theirs, spread(name, *shapes), 3)


# --- convolutions and windows of every kind -------------------------------------------------------


def convolutions() -> Iterator[Case]:
    """conv_general_dilated with random strides, paddings (negative too), dilations and groups."""
    rng = np.random.default_rng([SEED, 1])
    for number in range(CONVOLUTIONS):
        n, groups = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        kernel = rng.integers(1, 4, n)
        lhs, rhs, stride = (tuple(map(int, rng.integers(1, 4, n))) for _ in range(3))
        size = tuple(int(s) for s in rng.integers(4, 8 if n < 3 else 6, n))
        pads = tuple((int(a), int(b)) for a, b in rng.integers(-1, 4, (n, 2)))
        reach = [(int(k) - 1) * d + 1 for k, d in zip(kernel, rhs, strict=True)]
        pads = tuple((max(a, r - 1), b) for (a, b), r in zip(pads, reach, strict=True)
                     ) if number % 2 else tuple((a, max(b, r)) for (a, b), r in zip(
                         pads, reach, strict=True))
        channels, out = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        x = (2, groups * channels, *size)
        w = (groups * out, channels, *map(int, kernel))
        yield Case(f"conv {number}: {x} {w} stride {stride} pads {pads} lhs {lhs} rhs {rhs} "
                   f"groups {groups}", our_conv(groups, stride, pads, lhs, rhs),
                   jax_conv_of(groups, stride, pads, lhs, rhs), spread(f"conv {number}", x, w))


def our_conv(groups: int, stride: Any, pads: Any, lhs: Any, rhs: Any) -> Callable[..., Node]:
    def conv(x: Node, w: Node) -> Node:
        rows = x.reshape((x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
        kernel = w.reshape((groups, w.shape[0] // groups, *w.shape[1:]))
        y = make(CONV, (rows, kernel), grouped=True, stride=stride, padding=pads,
                 lhs_dilation=lhs, rhs_dilation=rhs)
        return y.reshape((y.shape[0], y.shape[1] * y.shape[2], *y.shape[3:]))

    return conv


def jax_conv_of(groups: int, stride: Any, pads: Any, lhs: Any, rhs: Any) -> Callable[..., Any]:
    return lambda x, w: lax.conv_general_dilated(x, w, stride, pads, lhs, rhs,
                                                 feature_group_count=groups)


def windows() -> Iterator[Case]:
    """reduce_window with sums, maxima and minima; strides, paddings and both dilations."""
    rng = np.random.default_rng([SEED, 2])
    kinds = {"max": (dlc.max, lax.max, -np.inf), "min": (dlc.min, lax.min, np.inf),
             "sum": (dlc.sum, lax.add, 0.0)}
    for number in range(WINDOWS):
        kind = list(kinds)[number % 3]
        reduce, theirs, fill = kinds[kind]
        n = int(rng.integers(1, 4))
        size, stride, holes = (tuple(map(int, rng.integers(1, 4, n))) for _ in range(3))
        base = tuple(map(int, rng.integers(1, 3, n)))
        if kind != "sum":  # JAX has no gradient of dilated maxima
            base = holes = (1,) * n
        pads = tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (n, 2)))
        shape = tuple(map(int, rng.integers(6, 9, n)))
        yield Case(
            f"{kind} window {number}: {shape} by {size} stride {stride} pads {pads} base {base} "
            f"window {holes}", our_window(reduce, fill, size, stride, pads, base, holes),
            jax_window(theirs, fill, size, stride, pads, base, holes),
            spread(f"window {number}", shape))


def our_window(reduce: Any, fill: float, size: Any, stride: Any, pads: Any, base: Any,
               holes: Any) -> Callable[..., Node]:
    def windowed(x: Node) -> Node:
        wide = dlc.pad(x, [p[0] for p in pads], [p[1] for p in pads], fill, [b - 1 for b in base])
        cut = dlc.window(wide, size, stride, holes)
        axes = tuple(range(len(size), 2 * len(size)))
        return reduce(cut, axes) if reduce is dlc.sum else reduce(cut, axes, ties="first")

    return windowed


def jax_window(combine: Any, fill: float, size: Any, stride: Any, pads: Any, base: Any,
               holes: Any) -> Callable[..., Any]:
    return lambda x: lax.reduce_window(x, fill, combine, size, stride, pads, base, holes)
