"""Products, transposed convolutions, pools and resampling, written in dlc and in JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.ndimage import map_coordinates

import dlc
from dlc.lang.array.einsum import LETTERS
from tests.conformance.jax_cases import SEED, Case, spread

TRANSPOSED, EINSUMS = 24, 24


def same(name: str) -> Callable[..., Any]:
    """einsum of either library."""
    return lambda *a: (dlc if isinstance(a[0], dlc.Node) else jnp).einsum(name, *a)


def transposed() -> Iterator[Case]:
    """conv_transpose is the gradient of the convolution that it names, by definition."""
    rng = np.random.default_rng([SEED, 7])
    for number in range(TRANSPOSED):
        n, groups = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        kernel, stride, holes = (tuple(map(int, rng.integers(1, 4, n))) for _ in range(3))
        size = tuple(map(int, rng.integers(2, 6 if n < 3 else 4, n)))
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, holes, strict=True)]
        pads = tuple((int(rng.integers(0, r)), int(rng.integers(0, r))) for r in reach)
        extra = tuple(int(rng.integers(0, s)) for s in stride)
        full = [(d - 1) * s - lo - hi + r + e for d, s, (lo, hi), r, e in zip(
            size, stride, pads, reach, extra, strict=True)]
        if min(full) < 1:
            continue
        c, o = int(rng.integers(1, 3)), int(rng.integers(1, 3))
        x, w = (2, groups * c, *size), (groups * c, o, *kernel)
        yield Case(f"transposed {number}: {x} {w} stride {stride} pads {pads} + {extra} holes "
                   f"{holes} groups {groups}",
                   our_transpose(stride, pads, extra, holes, groups),
                   jax_transpose((2, groups * o, *full), stride, pads, holes, groups),
                   spread(f"transposed {number}", x, w))


def our_transpose(stride: Any, pads: Any, extra: Any, holes: Any,
                  groups: int) -> Callable[..., Any]:
    return lambda x, w: dlc.conv_transpose(x, w, stride, pads, extra, holes, groups)


def jax_transpose(shape: tuple[int, ...], stride: Any, pads: Any, holes: Any,
                  groups: int) -> Callable[..., Any]:
    """What JAX makes the gradient of its convolution of an image of `shape`."""
    def transpose(x: Any, w: Any) -> Any:
        def forward(image: Any) -> Any:
            # the kernel [C, O / groups, K...] takes O channels to C
            return lax.conv_general_dilated(image, w, stride, pads, None, holes,
                                            feature_group_count=groups)

        return jax.vjp(forward, jnp.zeros(shape, x.dtype))[1](x)[0]

    return transpose


def einsums() -> Iterator[Case]:
    """Random subscripts of two to four operands, traces and ellipses among them."""
    rng = np.random.default_rng([SEED, 8])
    for number in range(EINSUMS):
        sizes = {c: int(rng.integers(1, 4)) for c in LETTERS[:5]}
        words = ["".join(rng.choice(list(sizes), int(rng.integers(1, 4))))
                 for _ in range(int(rng.integers(2, 5)))]
        dots = "..." if number % 3 == 0 else ""
        shapes = [((2,) if dots else ()) + tuple(sizes[c] for c in w) for w in words]
        seen = [c for c in sorted(set("".join(words))) if rng.random() < 0.5]
        text = ",".join(dots + w for w in words) + "->" + dots + "".join(rng.permutation(seen))
        yield Case(f"einsum {text} {shapes}", same(text), same(text),
                   spread(f"einsum {number}", *shapes))


def jax_resize(size: tuple[int, ...], method: str, antialias: bool = False) -> Callable[..., Any]:
    return lambda x: jax.image.resize(x, (*x.shape[:2], *size), method, antialias)


def sampled(x: Any, grid: Any, mode: str) -> Any:
    """grid_sample of one channel with align_corners, by map_coordinates."""
    rows, cols = ((grid[..., i] + 1) / 2 * (x.shape[3 - i] - 1) for i in (1, 0))
    return jnp.stack([jnp.stack([map_coordinates(x[n, c], [rows[n], cols[n]], 1, mode)
                                 for c in range(x.shape[1])]) for n in range(x.shape[0])])


def mean_bins(x: Any) -> Any:
    return jnp.stack([x[..., 0:3].mean(-1), x[..., 2:5].mean(-1), x[..., 4:7].mean(-1)], -1)


def norm_pool(x: Any) -> Any:
    return jnp.sqrt(lax.reduce_window(x * x, 0.0, lax.add, (1, 1, 3, 2), (1, 1, 2, 1), "VALID"))


def shares(x: Any) -> Any:
    """Means that do not count the padding."""
    at = ((1, 1, 3, 3), (1, 1, 2, 2), ((0, 0), (0, 0), (1, 1), (1, 1)))
    return lax.reduce_window(x, 0.0, lax.add, *at) / lax.reduce_window(
        jnp.ones_like(x), 0.0, lax.add, *at)


RESAMPLED: dict[str, tuple[Any, Any, tuple[tuple[int, ...], ...]]] = {
    "linear, larger": (lambda x: dlc.resize(x, (9, 4)), jax_resize((9, 4), "linear"),
                       ((2, 2, 4, 3),)),
    "linear, smaller": (lambda x: dlc.resize(x, (2, 5, 2)), jax_resize((2, 5, 2), "linear"),
                        ((1, 2, 5, 4, 3),)),
    "linear, antialiased": (
        lambda x: dlc.resize(x, (3, 4), antialias=True, exclude_outside=True),
        jax_resize((3, 4), "linear", True), ((2, 1, 8, 6),)),
    "cubic": (lambda x: dlc.resize(x, (7, 3), mode="cubic", cubic=-0.5, exclude_outside=True),
              jax_resize((7, 3), "cubic"), ((2, 2, 4, 5),)),
    "nearest": (lambda x: dlc.resize(x, (7, 3), mode="nearest", rounding="round_prefer_ceil"),
                jax_resize((7, 3), "nearest"), ((2, 2, 4, 5),)),
    "grid, zeros": (lambda x, g: dlc.grid_sample(x, g * 0.6, align_corners=True),
                    lambda x, g: sampled(x, g * 0.6, "constant"), ((2, 2, 4, 5), (2, 3, 3, 2))),
    "grid, border": (lambda x, g: dlc.grid_sample(x, g * 0.6, padding="border", align_corners=True),
                     lambda x, g: sampled(x, g * 0.6, "nearest"), ((2, 2, 4, 5), (2, 3, 3, 2))),
    "adaptive mean": (lambda x: dlc.adaptive_avg_pool(x, 3), mean_bins, ((2, 2, 7),)),
    "norms of windows": (lambda x: dlc.lp_pool(x, 2, (3, 2), (2, 1)), norm_pool, ((2, 2, 6, 5),)),
    "means without padding": (lambda x: dlc.avg_pool(x, 3, 2, 1, count_include_pad=False), shares,
                              ((2, 2, 6, 7),)),
    "kron, cross": (lambda x, y: dlc.kron(x, y) * dlc.sum(dlc.cross(x, y)),
                    lambda x, y: jnp.kron(x, y) * jnp.sum(jnp.cross(x, y)), ((2, 3), (2, 3))),
    "multi_dot": (lambda *a: dlc.multi_dot(a), lambda *a: jnp.linalg.multi_dot(a),
                  ((3, 4), (4, 2), (2, 5), (5, 3))),
    "bilinear": (lambda x, y, w: dlc.bilinear(x, y, w),
                 lambda x, y, w: jnp.einsum("ni,oij,nj->no", x, w, y), ((3, 2), (3, 4), (2, 2, 4))),
}


def resampled() -> Iterator[Case]:
    for name, (ours, theirs, shapes) in RESAMPLED.items():
        yield Case(name, ours, theirs, spread(name, *shapes))


def contractions() -> list[Case]:
    """All of them."""
    return [*transposed(), *einsums(), *resampled()]
