"""torch.nn.functional's convolutions, pools, interpolation and sampling in dlc's DSL."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.ir.graph import Node
from dlc.lang.array.convolution import per_axis
from dlc.lang.array.pooling import Pool
from tests.conformance.adapters.registry import Excluded, add, covers


def with_bias(y: Node, bias: Any) -> Node:
    return y if bias is None else y + bias.reshape((bias.size, *(1,) * (y.ndim - 2)))


def unbatched(rank: int, function: Any) -> Any:
    """`function`, for inputs that may lack the batch axis."""
    def either(x: Node, *args: Any, **more: Any) -> Any:
        if x.ndim != rank - 1:
            return function(x, *args, **more)
        results = function(x[None], *args, **more)
        if isinstance(results, list):
            return [r[0] for r in results]
        return results[0]

    return either


def spread(value: Any, n: int) -> tuple[int, ...]:
    """torch repeats a list of one for every axis."""
    found = (value,) * n if isinstance(value, int) else tuple(value)
    return found * n if len(found) == 1 else found


def steps_of(stride: Any, size: tuple[int, ...], n: int) -> tuple[int, ...]:
    """A pool's stride: torch takes none, () and [] for the window's size."""
    return size if stride is None or stride == () or stride == [] else spread(stride, n)


# --- convolutions ---------------------------------------------------------------------------------


def conv(x: Node, w: Node, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
         groups: int = 1) -> Node:
    n = w.ndim - 2
    pads = padding if isinstance(padding, str) else spread(padding, n)
    return with_bias(dlc.conv(x, w, spread(stride, n), pads, spread(dilation, n), groups), bias)


def conv_transpose(x: Node, w: Node, bias: Any = None, stride: Any = 1, padding: Any = 0,
                   output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Node:
    n = w.ndim - 2
    y = dlc.conv_transpose(x, w, spread(stride, n), spread(padding, n), spread(output_padding, n),
                           spread(dilation, n), groups)
    return with_bias(y, bias)


for rank in (1, 2, 3):
    add(f"nn.functional.conv{rank}d", unbatched(rank + 2, conv))
    add(f"nn.functional.conv_transpose{rank}d", unbatched(rank + 2, conv_transpose))

# --- pools ----------------------------------------------------------------------------------------


def max_pool(n: int) -> Any:
    def function(x: Node, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:
        size = spread(kernel_size, n)
        given = (x, size, steps_of(stride, size, n), spread(padding, n), spread(dilation, n),
                 ceil_mode)
        return list(dlc.max_pool_with_indices(*given)) if return_indices else dlc.max_pool(*given)

    return function


def avg_pool(n: int) -> Any:
    def function(x: Node, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 ceil_mode: bool = False, count_include_pad: bool = True,
                 divisor_override: Any = None) -> Node:
        size = spread(kernel_size, n)
        return dlc.avg_pool(x, size, steps_of(stride, size, n), spread(padding, n), ceil_mode,
                            count_include_pad, divisor_override)

    return function


def sizes(output_size: Any, n: int) -> Any:
    """None keeps an axis."""
    return output_size if isinstance(output_size, (tuple, list)) else (output_size,) * n


def adaptive_max(n: int) -> Any:
    def function(x: Node, output_size: Any, return_indices: bool = False) -> Any:
        found = dlc.adaptive_max_pool_with_indices(x, sizes(output_size, n))
        return list(found) if return_indices else found[0]

    return function


OVERLAP = "max_unpool where windows overlap: torch's gradient counts a shared place several times"


def unpool(n: int) -> Any:
    def function(x: Node, indices: Node, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 output_size: Any = None) -> Node:
        size = spread(kernel_size, n)
        steps = steps_of(stride, size, n)
        overlap = any(k > s for k, s in zip(size, steps, strict=True))
        if overlap and tuple(indices.shape) == tuple(x.shape):
            raise Excluded(OVERLAP)
        return dlc.max_unpool(x, indices, size, steps, spread(padding, n), output_size)

    return function


def adaptive_mean(n: int) -> Any:
    return lambda x, output_size: dlc.adaptive_avg_pool(x, sizes(output_size, n))


for rank in (1, 2, 3):
    add(f"nn.functional.max_pool{rank}d", max_pool(rank))
    add(f"nn.functional.avg_pool{rank}d", avg_pool(rank))
    add(f"nn.functional.adaptive_avg_pool{rank}d", adaptive_mean(rank))
    add(f"nn.functional.adaptive_max_pool{rank}d", adaptive_max(rank))
    add(f"nn.functional.max_unpool{rank}d nn.functional.max_unpool{rank}d/grad", unpool(rank),
        excludes=(OVERLAP,))


@covers("nn.functional.unfold")
def unfold(x: Node, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Node:
    """[N, C, H, W] -> [N, C * taps, places]."""
    if x.ndim == 3:
        return unfold(x[None], kernel_size, dilation, padding, stride)[0]
    pool = Pool("unfold", x, spread(kernel_size, 2), spread(stride, 2), spread(padding, 2),
                spread(dilation, 2))
    moved = dlc.transpose(pool.windows(x, 0.0), (0, 1, 4, 5, 2, 3))
    n, c, kh, kw, h, w = map(int, moved.shape)
    return moved.reshape((n, c * kh * kw, h * w))


# --- resampling -----------------------------------------------------------------------------------

LINEAR = ("linear", "bilinear", "trilinear")


@covers(" ".join(f"nn.functional.interpolate/{m}" for m in (
    "nearest", "nearest-exact", *LINEAR, "bicubic", "area")))
def interpolate(x: Node, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                align_corners: Any = None, recompute_scale_factor: Any = None,
                antialias: bool = False) -> Node:
    n = x.ndim - 2
    if size is None and (recompute_scale_factor or mode == "area"):
        factors = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * n
        size = tuple(int(int(d) * f) for d, f in zip(x.shape[2:], factors, strict=True))
    if mode == "area":
        return dlc.adaptive_avg_pool(x, per_axis(size, n))
    given: dict[str, Any] = {"size": per_axis(size, n)} if size is not None else {
        "scale": tuple(scale_factor) if isinstance(scale_factor, (tuple, list))
        else (float(scale_factor),) * n}
    if mode == "nearest":
        return dlc.resize(x, mode=mode, coordinates="asymmetric", rounding="floor", **given)
    if mode == "nearest-exact":
        return dlc.resize(x, mode="nearest", rounding="round_prefer_ceil", **given)
    corners = "align_corners" if align_corners else "half_pixel"
    if mode in LINEAR:
        return dlc.resize(x, coordinates=corners, antialias=antialias, exclude_outside=antialias,
                          **given)
    return dlc.resize(x, mode="cubic", coordinates=corners, antialias=antialias,
                      cubic=-0.5 if antialias else -0.75, exclude_outside=antialias, **given)


add("nn.functional.upsample_nearest",
    lambda x, size=None, scale_factor=None: interpolate(x, size, scale_factor))
add("nn.functional.upsample_bilinear",
    lambda x, size=None, scale_factor=None: interpolate(x, size, scale_factor, "bilinear", True))


@covers("nn.functional.grid_sample")
def grid_sample(x: Node, grid: Node, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: Any = None) -> Node:
    words = {"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}
    return dlc.grid_sample(x, grid, words.get(mode, mode), padding_mode, bool(align_corners))


@covers("grid_sampler_2d grid_sampler_3d")
def grid_sampler(x: Node, grid: Node, mode: int, padding: int, align_corners: bool) -> Node:
    return dlc.grid_sample(x, grid, ("linear", "nearest", "cubic")[mode],
                           ("zeros", "border", "reflection")[padding], align_corners)
