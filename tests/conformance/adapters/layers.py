"""torch.nn.functional's convolutions, pools, norms, paddings and attention in dlc's DSL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import dlc
from dlc.graph import Node, make, substitute
from dlc.nn import Layer
from dlc.nn import batch_norm as batch_norm_layer
from dlc.nn import layer_norm as layer_norm_layer
from dlc.ops.contract import CONV, swap
from dlc.ops.convolution import per_axis
from dlc.ops.view import slice_
from tests.conformance.adapters.reductions import softmax
from tests.conformance.adapters.registry import Excluded, add, covers

# --- convolutions ---------------------------------------------------------------------------------


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


def conv(x: Node, w: Node, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
         groups: int = 1) -> Node:
    padding = listed_padding(padding, w.ndim - 2)
    return with_bias(dlc.conv(x, w, one_per_axis(stride, w), padding, one_per_axis(dilation, w),
                              groups), bias)


def listed_padding(padding: Any, n: int) -> Any:
    if isinstance(padding, str):
        return padding
    return per_axis(padding, n) if isinstance(padding, int) else spread(padding, n)


def spread(value: Any, n: int) -> tuple[int, ...]:
    """torch repeats a list of one for every axis."""
    found = (value,) * n if isinstance(value, int) else tuple(value)
    return found * n if len(found) == 1 else found


def one_per_axis(value: Any, w: Node) -> tuple[int, ...]:
    return spread(value, w.ndim - 2)


def conv_transpose(x: Node, w: Node, bias: Any = None, stride: Any = 1, padding: Any = 0,
                   output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Node:
    """The input's gradient of a convolution: dilated input, kernel turned round."""
    n = w.ndim - 2
    steps, holes = spread(stride, n), spread(dilation, n)
    pads, more = spread(padding, n), spread(output_padding, n)
    out = int(w.shape[1])
    split = w.reshape((groups, int(w.shape[0]) // groups, *w.shape[1:]))
    spatial = tuple(range(3, 3 + n))
    kernel = dlc.transpose(dlc.flip(split, spatial), (0, 2, 1, *spatial))
    reach = [(int(w.shape[2 + a]) - 1) * holes[a] for a in range(n)]
    around = tuple((reach[a] - pads[a], reach[a] - pads[a] + more[a]) for a in range(n))
    rows = x.reshape((int(x.shape[0]), groups, int(x.shape[1]) // groups, *x.shape[2:]))
    y = make(CONV, (rows, kernel), grouped=True, stride=(1,) * n, padding=around,
             lhs_dilation=steps, rhs_dilation=holes)
    return with_bias(y.reshape((int(x.shape[0]), groups * out, *y.shape[3:])), bias)


for rank in (1, 2, 3):
    add(f"nn.functional.conv{rank}d", unbatched(rank + 2, conv))
    add(f"nn.functional.conv_transpose{rank}d", unbatched(rank + 2, conv_transpose))

# --- pools ----------------------------------------------------------------------------------------


def overhang(size: int, window: int, stride: int, pad: int, dilation: int, ceil: bool) -> int:
    """How far the last window reaches beyond the padded input: only ceil_mode lets it."""
    span = (window - 1) * dilation + 1
    room = size + 2 * pad - span
    steps = -(-room // stride) if ceil else room // stride
    if ceil and steps * stride >= size + pad:
        steps -= 1
    return max(0, steps * stride - room)


def pooled(x: Node, n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
           ceil_mode: bool, fill: float) -> tuple[Node, tuple[int, ...]]:
    """The windows of a pool over the last n axes, and those axes."""
    size, holes, pads = spread(kernel_size, n), spread(dilation, n), spread(padding, n)
    steps = size if stride is None or stride == () or stride == [] else spread(stride, n)
    lead = (0,) * (x.ndim - n)
    over = [overhang(int(x.shape[x.ndim - n + a]), size[a], steps[a], pads[a], holes[a], ceil_mode)
            for a in range(n)]
    high = [p + o for p, o in zip(pads, over, strict=True)]
    wide = dlc.pad(x, (*lead, *pads), (*lead, *high), fill)
    windows = dlc.window(wide, size, steps, holes)
    return windows, tuple(range(windows.ndim - n, windows.ndim))


def max_pool(n: int) -> Any:
    def function(x: Node, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False) -> Any:
        if not return_indices and not ceil_mode and spread(dilation, n) == (1,) * n:
            steps = None if stride is None or stride == () else spread(stride, n)
            layer = dlc.nn.max_pool(spread(kernel_size, n), steps, spread(padding, n))
            return unbatched(n + 2, layer)(x)
        windows, axes = pooled(x, n, kernel_size, stride, padding, dilation, ceil_mode, -math.inf)
        best = dlc.max(windows, axes, ties="first")
        if not return_indices:
            return best
        return [best, places(x, windows, n, kernel_size, stride, padding, dilation)]

    return function


def places(x: Node, windows: Node, n: int, kernel_size: Any, stride: Any, padding: Any,
           dilation: Any) -> Node:
    """Where the maxima lie, as row-major positions in the last n axes of x."""
    size, holes, pads = spread(kernel_size, n), spread(dilation, n), spread(padding, n)
    steps = size if stride is None or stride == () or stride == [] else spread(stride, n)
    inner = dlc.argmax(windows, tuple(range(windows.ndim - n, windows.ndim)))
    position: Any = 0
    for a in range(n):
        rest = math.prod(size[a + 1:])
        at = (inner // rest) % size[a] * holes[a] - pads[a]
        at = at + dlc.iota(inner.shape, inner.ndim - n + a) * steps[a]
        position = position * int(x.shape[x.ndim - n + a]) + at
    return position


def avg_pool(n: int) -> Any:
    def function(x: Node, kernel_size: Any, stride: Any = None, padding: Any = 0,
                 ceil_mode: bool = False, count_include_pad: bool = True,
                 divisor_override: Any = None) -> Node:
        plain = count_include_pad and not ceil_mode and divisor_override is None
        steps = None if stride is None or stride == () else spread(stride, n)
        if plain:
            layer = dlc.nn.avg_pool(spread(kernel_size, n), steps, spread(padding, n))
            return unbatched(n + 2, layer)(x)
        at = (kernel_size, stride, padding, 1, ceil_mode, 0.0)
        windows, axes = pooled(x, n, *at)
        if divisor_override is not None:
            return dlc.sum(windows, axes) * (1 / divisor_override)
        inside = np.ones(x.shape[x.ndim - n:], np.float32)
        if count_include_pad:
            inside = np.pad(inside, [(p, p) for p in spread(padding, n)], constant_values=1.0)
            at = (kernel_size, stride, padding, 1, ceil_mode, 0.0)
            counts = pooled_counts(inside, windows, n, kernel_size, stride, 0)
        else:
            counts = pooled_counts(inside, windows, n, kernel_size, stride, padding)
        return dlc.sum(windows, axes) / counts

    return function


def pooled_counts(inside: np.ndarray, windows: Node, n: int, kernel_size: Any, stride: Any,
                  padding: Any) -> np.ndarray:
    """How many elements of `inside` (ones) each window holds."""
    size, pads = spread(kernel_size, n), spread(padding, n)
    steps = size if stride is None or stride == () or stride == [] else spread(stride, n)
    counts = windows.shape[windows.ndim - 2 * n:windows.ndim - n]
    found = np.zeros(counts, np.float32)
    for place in np.ndindex(*map(int, counts)):
        box = tuple(slice(max(0, i * s - p), max(0, i * s - p + k))
                    for i, s, p, k in zip(place, steps, pads, size, strict=True))
        found[place] = inside[box].sum()
    return found


for rank in (1, 2, 3):
    add(f"nn.functional.max_pool{rank}d", max_pool(rank))
    add(f"nn.functional.avg_pool{rank}d", avg_pool(rank))


@covers("nn.functional.unfold")
def unfold(x: Node, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Node:
    """[N, C, H, W] -> [N, C * taps, places]."""
    if x.ndim == 3:
        return unfold(x[None], kernel_size, dilation, padding, stride)[0]
    windows, _ = pooled(x, 2, kernel_size, spread(stride, 2), padding, dilation, False, 0.0)
    moved = dlc.transpose(windows, (0, 1, 4, 5, 2, 3))
    n, c, kh, kw, h, w = map(int, moved.shape)
    return moved.reshape((n, c * kh * kw, h * w))


# --- norms ----------------------------------------------------------------------------------------


def applied(layer: Layer, x: Node, **given: Any) -> Node:
    """`layer` applied to x with its parameters and state replaced by the nodes `given`."""
    from dlc.scope import current_scope

    known = dict(current_scope("a conformance test").variables)
    y = layer(x)
    fresh = {k: v for k, v in current_scope("a conformance test").variables.items()
             if k not in known}
    return substitute([y], {v.node: given[k.rsplit(".", 1)[-1]] for k, v in fresh.items()})[0]


def like(value: Any, fallback: float, size: int) -> Any:
    """A parameter, or the constant that stands where torch has none."""
    return dlc.asarray(np.full(size, fallback, np.float32)) if value is None else value


@covers("nn.functional.layer_norm")
def layer_norm(x: Node, shape: Sequence[int], weight: Any = None, bias: Any = None,
               eps: float = 1e-5) -> Node:
    """nn.layer_norm with the sample's parameters."""
    last = tuple(map(int, shape))
    ones, zeros = np.ones(last, np.float32), np.zeros(last, np.float32)
    return applied(layer_norm_layer(len(last), eps), x, weight=dlc.asarray(ones)
                   if weight is None else weight, bias=dlc.asarray(zeros) if bias is None else bias)


NO_CHANNELS = "x [0] without channels: dlc takes [batch, channels, ...]"


@covers("nn.functional.batch_norm", excludes=(NO_CHANNELS,))
def batch_norm(x: Node, mean: Any, var: Any, weight: Any = None, bias: Any = None,
               training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Node:
    """In training by the batch's statistics, else by the running ones, as nn.batch_norm."""
    if x.ndim < 2:
        raise Excluded(NO_CHANNELS)
    channels = int(x.shape[1])
    given = {"weight": like(weight, 1.0, channels), "bias": like(bias, 0.0, channels),
             "mean": like(mean, 0.0, channels), "var": like(var, 1.0, channels)}
    return applied(batch_norm_layer(eps=eps), x, **given)


@covers("nn.functional.group_norm")
def group_norm(x: Node, groups: int, weight: Any = None, bias: Any = None,
               eps: float = 1e-5) -> Node:
    n, channels = int(x.shape[0]), int(x.shape[1])
    rows = x.reshape((n, groups, channels // groups * math.prod(x.shape[2:])))
    normal = standardized(rows, (2,), eps).reshape(x.shape)
    wide = (1, channels, *(1,) * (x.ndim - 2))
    return normal * like(weight, 1.0, channels).reshape(wide) + like(
        bias, 0.0, channels).reshape(wide)


@covers("nn.functional.instance_norm")
def instance_norm(x: Node, running_mean: Any = None, running_var: Any = None, weight: Any = None,
                  bias: Any = None, use_input_stats: bool = True, momentum: float = 0.1,
                  eps: float = 1e-5) -> Node:
    return group_norm(x, int(x.shape[1]), weight, bias, eps)


@covers("nn.functional.rms_norm")
def rms_norm(x: Node, shape: Sequence[int], weight: Any = None, eps: Any = None) -> Node:
    last = tuple(range(x.ndim - len(shape), x.ndim))
    small = 1.1920928955078125e-07 if eps is None else eps
    normal = x * dlc.rsqrt(dlc.mean(x * x, last, keepdims=True) + small)
    return normal if weight is None else normal * weight


def standardized(x: Node, axes: tuple[int, ...], eps: float) -> Node:
    centred = x - dlc.mean(x, axes, keepdims=True)
    return centred * dlc.rsqrt(dlc.mean(centred * centred, axes, keepdims=True) + eps)


@covers("nn.functional.local_response_norm")
def local_response_norm(x: Node, size: int, alpha: float = 1e-4, beta: float = 0.75,
                        k: float = 1.0) -> Node:
    """Over `size` neighbouring channels, by a mean over zeros too."""
    if x.size == 0:
        return x
    low = [size // 2 if a == 1 else 0 for a in range(x.ndim)]
    high = [(size - 1) // 2 if a == 1 else 0 for a in range(x.ndim)]
    order = (0, *range(2, x.ndim), 1)
    back = (0, x.ndim - 1, *range(1, x.ndim - 1))
    around = dlc.window(dlc.transpose(dlc.pad(x * x, low, high), order), (size,))
    return x / dlc.power(dlc.transpose(dlc.mean(around, -1), back) * alpha + k, beta)


# --- paddings -------------------------------------------------------------------------------------


@covers("constant_pad_nd nn.functional.pad/constant")
def constant_pad(x: Node, pads: Sequence[int], *args: Any, value: Any = None,
                 mode: str = "constant") -> Node:
    """(low, high) from the last axis on; a negative one cuts."""
    fill = next((a for a in args if not isinstance(a, str)), value) or 0.0
    low, high = [0] * x.ndim, [0] * x.ndim
    for i in range(len(pads) // 2):
        low[x.ndim - 1 - i], high[x.ndim - 1 - i] = pads[2 * i], pads[2 * i + 1]
    cut = slice_(x, [max(0, -p) for p in low],
                 [int(d) - max(0, -p) for d, p in zip(x.shape, high, strict=True)])
    return dlc.pad(cut, [max(0, p) for p in low], [max(0, p) for p in high], float(fill))


@covers("nn.functional.pad/reflect nn.functional.pad/replicate nn.functional.pad/circular "
        "nn.functional.pad/replicate_negative")
def read_pad(x: Node, pads: Sequence[int], mode: str) -> Node:
    """Other elements of the array around it: NumPy's pad of the indices, which are constants."""
    names = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    for i in range(len(pads) // 2):
        axis, low, high = x.ndim - 1 - i, pads[2 * i], pads[2 * i + 1]
        size = int(x.shape[axis])
        cut = (max(0, -low), size - max(0, -high)) if mode == "circular" else (0, size)
        at = np.pad(np.arange(*cut), (max(0, low), max(0, high)), mode=names[mode])
        if mode != "circular":
            at = at[max(0, -low):at.size - max(0, -high)]
        x = dlc.take(x, at.astype(np.int32), axis)
    return x


# --- the rest -------------------------------------------------------------------------------------


@covers("nn.functional.linear")
def linear(x: Node, w: Node, bias: Any = None) -> Node:
    y = x @ dlc.transpose(w)
    return y if bias is None else y + bias


@covers("nn.functional.bilinear")
def bilinear(a: Node, b: Node, w: Node, bias: Any = None) -> Node:
    """a [..., I], b [..., J], w [O, I, J] -> [..., O]."""
    pairs = (a[..., None] * b[..., None, :]).reshape((*a.shape[:-1], a.shape[-1] * b.shape[-1]))
    y = pairs @ dlc.transpose(w.reshape((w.shape[0], w.shape[1] * w.shape[2])))
    return y if bias is None else y + bias


@covers("nn.functional.embedding")
def embedding(table: Node, index: Node) -> Node:
    return dlc.take(table, index)


@covers("nn.functional.pixel_shuffle")
def pixel_shuffle(x: Node, upscale_factor: int) -> Node:
    r = upscale_factor
    *lead, c, h, w = map(int, x.shape)
    n = len(lead)
    parts = x.reshape((*lead, c // (r * r), r, r, h, w))
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return dlc.transpose(parts, order).reshape((*lead, c // (r * r), h * r, w * r))


@covers("nn.functional.pixel_unshuffle")
def pixel_unshuffle(x: Node, downscale_factor: int) -> Node:
    r = downscale_factor
    *lead, c, h, w = map(int, x.shape)
    n = len(lead)
    parts = x.reshape((*lead, c, h // r, r, w // r, r))
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return dlc.transpose(parts, order).reshape((*lead, c * r * r, h // r, w // r))


@covers("nn.functional.channel_shuffle")
def channel_shuffle(x: Node, groups: int) -> Node:
    n, c, *rest = map(int, x.shape)
    parts = x.reshape((n, groups, c // groups, *rest))
    return dlc.transpose(parts, (0, 2, 1, *range(3, parts.ndim))).reshape(x.shape)


NOISY = "dropout_p > 0: two libraries draw two masks"


@covers("nn.functional.scaled_dot_product_attention", excludes=(NOISY,))
def attention(q: Node, k: Node, v: Node, attn_mask: Any = None, dropout_p: float = 0.0,
              is_causal: bool = False, scale: Any = None, enable_gqa: bool = False) -> Node:
    if dropout_p > 0:
        raise Excluded(NOISY)
    if enable_gqa:
        k, v = (repeated(x, int(q.shape[-3]) // int(x.shape[-3])) for x in (k, v))
    scores = (q @ swap(k)) * (1 / math.sqrt(int(q.shape[-1])) if scale is None else scale)
    if is_causal:
        row, column = dlc.iota(scores.shape[-2:], 0), dlc.iota(scores.shape[-2:], 1)
        scores = dlc.where(column <= row, scores, -math.inf)
    if attn_mask is not None:
        scores = (dlc.where(attn_mask, scores, -math.inf) if attn_mask.dtype is dlc.bool_
                  else scores + attn_mask)
    return softmax(scores, -1) @ v


def repeated(x: Node, times: int) -> Node:
    """Each head of [..., H, L, E] `times` over."""
    wide = dlc.broadcast_to(x[..., None, :, :], (*x.shape[:-2], times, *x.shape[-2:]))
    return wide.reshape((*x.shape[:-3], int(x.shape[-3]) * times, *x.shape[-2:]))
