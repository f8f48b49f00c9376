"""Random numbers of a step: functions of (seed, step, call site, index)."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

from dlc.errors import DlcError, here, user_frame
from dlc.graph import Node
from dlc.ops import elementwise, leaf
from dlc.ops.convert import cast
from dlc.scope import current_scope, seed, step
from dlc.types import f32


def site_id(*words: object) -> int:
    """The u32 identity of a call site: the same words give the same site in every program."""
    return zlib.crc32("|".join(map(str, words)).encode())


def _site(name: str) -> int:
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


def _shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    dims = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(isinstance(d, bool) or not isinstance(d, int) or d < 0 for d in dims):
        raise DlcError(f"random numbers of shape {dims}", here(), "a shape is non-negative ints")
    return dims


def uniform(shape: int | Sequence[int] = (), low: float = 0.0, high: float = 1.0,
            name: str = "") -> Node:
    """f32 of `shape`, uniform in [low, high): other numbers in every step.

    `name` fixes the site's identity against edits of the function that it stands in.
    """
    dims = _shape(shape)
    site = _site(name)
    u = uniform_at(seed(), step(), dims, site, high - low)
    return u + low if low else u


def normal(shape: int | Sequence[int] = (), mean: float = 0.0, std: float = 1.0,
           name: str = "") -> Node:
    """f32 of `shape`, normal with the given mean and standard deviation."""
    dims = _shape(shape)
    site = _site(name)
    z = normal_at(seed(), step(), dims, site)
    return z if (mean, std) == (0.0, 1.0) else z * std + mean


def bernoulli(shape: int | Sequence[int] = (), p: float = 0.5, name: str = "") -> Node:
    """bool of `shape`, true with probability p (to a multiple of 2^-24)."""
    if not 0.0 <= p <= 1.0:
        raise DlcError(f"bernoulli: p={p} is no probability", here(), "0 <= p <= 1")
    dims = _shape(shape)
    site = _site(name)
    return uniform_at(seed(), step(), dims, site) < p


def uniform_at(seed: Node, step: Node, shape: Sequence[int], site: int,
               high: float = 1.0) -> Node:
    """f32 of `shape` in [0, high): multiples of high * 2^-24; f32 holds 24 bits exactly."""
    bits = leaf.random_bits(seed, step, tuple(shape), site)
    return cast(bits >> 8, f32) * (high * 2.0**-24)


def normal_at(seed: Node, step: Node, shape: Sequence[int], site: int) -> Node:
    """f32 of `shape`, standard normal (Box and Muller 1958); within 5.8 standard deviations."""
    radius = uniform_at(seed, step, shape, site)
    angle = uniform_at(seed, step, shape, site_id(site, "angle"))
    # 1 - u is in (0, 1]: the logarithm is finite
    spread = elementwise.sqrt(elementwise.log(1.0 - radius) * -2.0)
    return spread * elementwise.cos(angle * (2 * math.pi))


