"""Call sites of random numbers, and the basic draws that distributions are built from."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here, user_frame
from dlc.ir.graph import Node, describe
from dlc.ir.types import DType, bf16, f16, f32, f64
from dlc.lang.scope import current_scope
from dlc.ops import elementwise, leaf
from dlc.ops.convert import as_node, broadcast_shape, cast

Shape = int | Sequence[int]
# bits of a uniform number of each dtype: as many as its mantissa holds
UNIFORM_BITS = {f32: 24, f16: 11, bf16: 8}


def site_id(*words: object) -> int:
    """The u32 identity of a call site: the same words give the same site in every program."""
    return zlib.crc32("|".join(map(str, words)).encode())


def new_site(name: str) -> int:
    """The identity of the running call site, stable under edits elsewhere.

    It is the layer's path, the user's function and how often both came before, never a line; inside
    a layer of dlc itself the path alone. `name` replaces all of it.
    """
    scope = current_scope("dlc.random")
    frame = user_frame()
    function = "" if scope.owners or frame is None else frame.f_code.co_qualname
    words = f"{scope.step_name}|{'/'.join(scope.path)}|{name or function}"
    scope.sites[words] += 1
    return site_id(words, scope.sites[words])


def sizes(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple. Raises DlcError for what is none."""
    if isinstance(shape, Node):
        raise DlcError(f"random numbers of shape {describe(shape)}", here(),
                       "the shape comes first, as ints; None takes that of the parameters: "
                       "dlc.random.bernoulli(None, p)")
    try:
        dims = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    except TypeError:
        dims = (shape,)
    if any(isinstance(d, bool) or not isinstance(d, (int, np.integer)) or d < 0 for d in dims):
        raise DlcError(f"random numbers of shape {dims}", here(), "a shape is non-negative ints")
    return dims


def drawn_shape(what: str, shape: Any, *parameters: Any) -> tuple[int, ...]:
    """The shape of a draw: `shape`, or for None the one to which the parameters broadcast.

    Raises DlcError for parameters that do not broadcast to `shape`.
    """
    nodes = [as_node(p) for p in parameters if not isinstance(p, (bool, int, float))]
    if shape is None:
        return broadcast_shape(what, nodes)
    dims = sizes(shape)
    for node in nodes:
        own = node.shape
        if len(own) > len(dims) or any(
                int(a) not in (1, int(b)) for a, b in zip(own[::-1], dims[::-1], strict=False)):
            raise DlcError(f"{what}: {describe(node)} for numbers of shape {dims}", here(),
                           "parameters broadcast to the shape of the draw")
    return dims


def float_kind(what: str, kind: DType) -> DType:
    """`kind` if it is a float. Raises DlcError for another dtype."""
    if not isinstance(kind, DType) or not kind.is_float:
        raise DlcError(f"{what} of dtype {kind}", here(), "f64, f32, f16 or bf16")
    return kind


# --- draws ----------------------------------------------------------------------------------------


def uniform_at(seed: Node, step: Node, shape: Sequence[int], site: int, high: float = 1.0,
               kind: DType = f32) -> Node:
    """Floats of `shape` in [0, high): multiples of high * 2^-24, all that f32 holds exactly.

    f16 has 11 bits, bf16 8, f64 53 of two words.
    """
    bits = leaf.random_bits(seed, step, tuple(shape), site)
    if kind is f64:
        more = leaf.random_bits(seed, step, tuple(shape), site_id(site, "low"))
        whole = cast(bits >> 5, f64) * 2.0**26 + cast(more >> 6, f64)
        return whole * (high * 2.0**-53)
    count = UNIFORM_BITS[kind]
    return cast(bits >> (32 - count), kind) * (high * 2.0**-count)


def open_uniform_at(seed: Node, step: Node, shape: Sequence[int], site: int) -> Node:
    """f32 of `shape` in (0, 1): odd multiples of 2^-24, so that logarithms are finite."""
    bits = leaf.random_bits(seed, step, tuple(shape), site)
    return cast(bits >> 9, f32) * 2.0**-23 + 2.0**-24


def normal_at(seed: Node, step: Node, shape: Sequence[int], site: int) -> Node:
    """f32 of `shape`, standard normal (Box and Muller 1958); within 5.8 standard deviations."""
    radius = uniform_at(seed, step, shape, site)
    angle = uniform_at(seed, step, shape, site_id(site, "angle"))
    # 1 - u is in (0, 1]: the logarithm is finite
    spread = elementwise.sqrt(elementwise.log(1.0 - radius) * -2.0)
    return spread * elementwise.cos(angle * (2 * math.pi))


def truncated_normal_at(seed: Node, step: Node, shape: Sequence[int], site: int, low: float,
                        high: float) -> Node:
    """f32 of `shape`, standard normal within (low, high), by the inverse of erf.

    In f64 where the interval lies in a tail, as far as erf there differs from 1: 8 deviations.
    """
    from dlc.ops.elementwise_special import erfinv

    kind = f64 if low > 2 or high < -2 else f32
    a, b = math.erf(low / math.sqrt(2)), math.erf(high / math.sqrt(2))
    u = uniform_at(seed, step, shape, site, kind=kind) * (b - a) + a
    # rounding may reach the ends, whose images are infinite or outside
    inside = elementwise.clip(u, *_inner(a, b, kind))
    z = cast(erfinv(inside) * math.sqrt(2), f32)
    return elementwise.clip(z, *_inner(low, high, f32))


def _inner(low: float, high: float, kind: DType) -> tuple[float, float]:
    """The first and last number of `kind` strictly between low and high."""
    one = kind.numpy.type
    first, last = np.nextafter(one(low), one(np.inf)), np.nextafter(one(high), one(-np.inf))
    return float(first), float(last)
