"""Random numbers of a step: functions of (seed, step, call site, index).

Every function draws other numbers in every step, at every call and for every element, the same
under any fusion, thread count, order or resume. `name` fixes a site's identity against edits of the
function that it stands in. Parameters are numbers or graph values that broadcast to `shape`; with
shape None they give it. Methods and accuracy: docs/design/math.md.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import DType, Type, f16, f32, f64, i32, i64
from dlc.lang.scope import seed, step
from dlc.ops import elementwise, leaf, reduce, view
from dlc.ops.argsort import argsort
from dlc.ops.convert import as_node, broadcast_to, cast
from dlc.ops.gather import take
from dlc.random.gamma import beta, chi_square, dirichlet, gamma, student_t
from dlc.random.sites import (
    Shape,
    drawn_shape,
    float_kind,
    new_site,
    normal_at,
    open_uniform_at,
    site_id,
    sizes,
    truncated_normal_at,
    uniform_at,
)
from dlc.words import speaking

__all__ = ["bernoulli", "beta", "bits", "categorical", "cauchy", "chi_square", "dirichlet",
           "exponential", "gamma", "gumbel", "laplace", "logistic", "lognormal", "multinomial",
           "normal", "permutation", "rademacher", "randint", "student_t",
           "truncated_normal", "uniform"]

# --- continuous -----------------------------------------------------------------------------------


def uniform(shape: Shape | None = (), low: Any = 0.0, high: Any = 1.0, name: str = "",
            dtype: DType = f32) -> Node:
    """Floats of `shape`, uniform in [low, high): other numbers in every step.

    All are `low` when both ends are equal. Raises DlcError when low is above high.
    """
    dims, kind = drawn_shape("uniform", shape, low, high), float_kind("uniform", dtype)
    site = new_site(name)
    if not all(isinstance(v, (int, float)) for v in (low, high)):
        low, high = (as_node(v, kind) for v in (low, high))
        return _located(uniform_at(seed(), step(), dims, site, kind=kind), kind, low, high - low)
    if not (low <= high and math.isfinite(high - low)):
        raise DlcError(f"uniform: from {low} to {high}", here(), "finite, low below high")
    if low == high:
        return leaf.constant(float(low), Type(kind, dims))
    u = uniform_at(seed(), step(), dims, site, high - low, kind)
    # a sum may round up to `high` itself
    return elementwise.minimum(u + low, _below(high, kind)) if low else u


def _below(high: float, kind: DType) -> float:
    """The number of `kind` before `high`."""
    value = np.asarray(high, kind.numpy)
    if kind in (f32, f64, f16):
        return float(np.nextafter(value, kind.numpy.type(-np.inf)))
    size = 2.0 ** (math.frexp(float(value))[1] - 9)
    return float(np.asarray(float(value) - size, kind.numpy))


def normal(shape: Shape | None = (), mean: Any = 0.0, std: Any = 1.0, name: str = "",
           dtype: DType = f32) -> Node:
    """Floats of `shape`, normal with the given mean and standard deviation.

    Raises DlcError for a number below 0 as the deviation.
    """
    if isinstance(std, (int, float)) and not std >= 0:
        raise DlcError(f"normal: std={std}", here(), "a standard deviation is 0 or more")
    dims, kind = drawn_shape("normal", shape, mean, std), float_kind("normal", dtype)
    site = new_site(name)
    return _located(normal_at(seed(), step(), dims, site), kind, mean, std)


def truncated_normal(shape: Shape = (), low: float = -2.0, high: float = 2.0, mean: Any = 0.0,
                     std: Any = 1.0, name: str = "", dtype: DType = f32) -> Node:
    """mean + std z, z standard normal in (low, high), by the inverse of the distribution function.

    low and high are Python numbers, in standard deviations. Raises DlcError for an interval that is
    empty or lies beyond 8 deviations.
    """
    dims = drawn_shape("truncated_normal", shape, mean, std)
    kind = float_kind("truncated_normal", dtype)
    if not low < high or low > 8 or high < -8:
        raise DlcError(f"truncated_normal: from {low} to {high}", here(),
                       "low below high, and within 8 standard deviations")
    z = truncated_normal_at(seed(), step(), dims, new_site(name), low, high)
    return _located(z, kind, mean, std)


def lognormal(shape: Shape | None = (), mean: Any = 0.0, std: Any = 1.0, name: str = "",
              dtype: DType = f32) -> Node:
    """e ** x for x normal with the given mean and standard deviation."""
    return elementwise.exp(normal(shape, mean, std, name, dtype))


def exponential(shape: Shape | None = (), scale: Any = 1.0, name: str = "",
                dtype: DType = f32) -> Node:
    """Floats of `shape` with density e ** (-x / scale) / scale on x >= 0."""
    dims, kind = drawn_shape("exponential", shape, scale), float_kind("exponential", dtype)
    u = uniform_at(seed(), step(), dims, new_site(name))
    return elementwise.mul(cast(-elementwise.log1p(-u), kind), scale)


def gumbel(shape: Shape | None = (), loc: Any = 0.0, scale: Any = 1.0, name: str = "",
           dtype: DType = f32) -> Node:
    """Floats of `shape` with distribution function e ** -e ** -((x - loc) / scale)."""
    dims, kind = drawn_shape("gumbel", shape, loc, scale), float_kind("gumbel", dtype)
    return _located(_gumbel_at(dims, new_site(name)), kind, loc, scale)


def _gumbel_at(dims: tuple[int, ...], site: int) -> Node:
    u = open_uniform_at(seed(), step(), dims, site)
    return -elementwise.log(-elementwise.log(u))


def logistic(shape: Shape | None = (), loc: Any = 0.0, scale: Any = 1.0, name: str = "",
             dtype: DType = f32) -> Node:
    """Floats of `shape` with distribution function sigmoid((x - loc) / scale)."""
    dims, kind = drawn_shape("logistic", shape, loc, scale), float_kind("logistic", dtype)
    u = open_uniform_at(seed(), step(), dims, new_site(name))
    return _located(elementwise.log(u) - elementwise.log1p(-u), kind, loc, scale)


def laplace(shape: Shape | None = (), loc: Any = 0.0, scale: Any = 1.0, name: str = "",
            dtype: DType = f32) -> Node:
    """Floats of `shape` with density e ** -|(x - loc) / scale| / (2 scale)."""
    dims, kind = drawn_shape("laplace", shape, loc, scale), float_kind("laplace", dtype)
    u = open_uniform_at(seed(), step(), dims, new_site(name)) * 2.0 - 1.0
    size = elementwise.log1p(-elementwise.abs_(u))
    return _located(-elementwise.sign(u) * size, kind, loc, scale)


def cauchy(shape: Shape | None = (), loc: Any = 0.0, scale: Any = 1.0, name: str = "",
           dtype: DType = f32) -> Node:
    """Floats of `shape` with density proportional to 1 / (1 + ((x - loc) / scale) ** 2)."""
    from dlc.ops.elementwise_special import tan

    dims, kind = drawn_shape("cauchy", shape, loc, scale), float_kind("cauchy", dtype)
    u = open_uniform_at(seed(), step(), dims, new_site(name)) - 0.5
    return _located(tan(u * math.pi), kind, loc, scale)


def _located(x: Node, kind: DType, loc: Any, scale: Any) -> Node:
    """loc + scale x in `kind`."""
    plain = isinstance(loc, (int, float)) and isinstance(scale, (int, float))
    x = cast(x, kind)
    standard = plain and (loc, scale) == (0.0, 1.0)
    return x if standard else elementwise.add(elementwise.mul(x, scale), loc)


# --- discrete -------------------------------------------------------------------------------------


def bits(shape: Shape = (), name: str = "") -> Node:
    """u32 of `shape`: 32 fair bits each."""
    return leaf.random_bits(seed(), step(), sizes(shape), new_site(name))


def bernoulli(shape: Shape | None = (), p: Any = 0.5, name: str = "") -> Node:
    """bool of `shape`, true with probability p (to a multiple of 2^-24)."""
    if isinstance(p, (int, float)) and not 0.0 <= p <= 1.0:
        raise DlcError(f"bernoulli: p={p} is not a probability", here(), "0 <= p <= 1")
    dims = drawn_shape("bernoulli", shape, p)
    site = new_site(name)
    return elementwise.lt(uniform_at(seed(), step(), dims, site), p)


def rademacher(shape: Shape = (), name: str = "", dtype: DType = f32) -> Node:
    """-1 and 1 of `shape`, equally likely."""
    odd = leaf.random_bits(seed(), step(), sizes(shape), new_site(name)) >> 31
    return cast(odd, dtype) * 2 - 1


def randint(shape: Shape, low: int, high: int, name: str = "", dtype: DType = i32) -> Node:
    """Integers of `shape`, uniform in low .. high - 1.

    The high half of range times 32 random bits, 64 of them for more than 2^16 values, so that
    no value is likelier than another by more than 2^-32 of its share (Lemire 2019, without
    rejection). Raises DlcError for an empty range, or one of more than 2^31 values.
    """
    if not all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in (low, high)):
        raise DlcError(f"randint: from {low!r} to {high!r}", here(), "low and high are Python ints")
    count = int(high) - int(low)
    if not 0 < count <= 2**31:
        raise DlcError(f"randint: from {low} to {high}", here(), "1 to 2**31 values")
    dims, site = sizes(shape), new_site(name)
    word = cast(leaf.random_bits(seed(), step(), dims, site), i64)
    product = word * count
    if count > 2**16:
        more = cast(leaf.random_bits(seed(), step(), dims, site_id(site, "low")), i64)
        product = (product >> 1) + ((more * count) >> 33)
        return cast((product >> 31) + int(low), dtype)
    return cast((product >> 32) + int(low), dtype)


def categorical(logits: Any, shape: Shape = (), axis: int = -1, name: str = "") -> Node:
    """i32 indices along `axis` of `logits`, drawn with probabilities softmax(logits).

    logits [..., N, ...] gives shape + [... ...]: `shape` leads. Gumbel-max (Maddison et al. 2014,
    "A* sampling"). Raises DlcError for a bad axis, or no classes.
    """
    node = as_node(logits)
    if node.ndim == 0 or not -node.ndim <= axis < node.ndim or node.shape[axis] == 0:
        raise DlcError(f"categorical({describe(node)}, axis={axis})", here(),
                       "logits have an axis of at least one class")
    lead = sizes(shape)
    axis = len(lead) + axis % node.ndim
    node = node if node.dtype.is_float else cast(node, f32)
    noise = _gumbel_at((*lead, *map(int, node.shape)), new_site(name))
    return reduce.argmax(cast(node, f32) + noise, axis)


def multinomial(count: int, logits: Any, name: str = "") -> Node:
    """i32 [..., N]: how often each class occurs in `count` draws from softmax(logits) [..., N]."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise DlcError(f"multinomial of {count!r} draws", here(), "an int, 0 or more")
    node = as_node(logits)
    draws = categorical(node, (count,), -1, name)
    wide = (*draws.shape, int(node.shape[-1]))
    classes = leaf.iota(wide, draws.ndim, i32)
    drawn = broadcast_to(view.reshape(draws, (*draws.shape, 1)), wide)
    return reduce.sum_(cast(elementwise.eq(drawn, classes), i32), 0)


def permutation(x: Any, axis: int = 0, name: str = "") -> Node:
    """x with its slices along `axis` in random order; for an int n the numbers 0 .. n - 1 (i32).

    By sorting 63 random bits: all orders equally likely but for ties, of probability n^2 2^-64.
    """
    if isinstance(x, (int, np.integer)) and not isinstance(x, bool):
        return argsort(_keys(int(sizes(int(x))[0]), name))
    node = as_node(x)
    if not -node.ndim <= axis < node.ndim:
        raise DlcError(f"permutation({describe(node)}, axis={axis})", here(),
                       f"axes are 0 .. {node.ndim - 1}" if node.ndim else "it has no axes")
    return take(node, argsort(_keys(int(node.shape[axis]), name)), axis, mode="clip")


def _keys(n: int, name: str) -> Node:
    site = new_site(name)
    high, low = (cast(leaf.random_bits(seed(), step(), (n,), s), i64)
                 for s in (site, site_id(site, "low")))
    return (high << 31) ^ low


speaking("random", globals(), __all__)
