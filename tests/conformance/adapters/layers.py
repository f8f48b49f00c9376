"""torch.nn.functional's norms and paddings in dlc's DSL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import dlc
from dlc import nn
from dlc.ir.graph import Node, substitute
from dlc.lang.scope import copied, current_scope, restore
from dlc.nn import Layer
from dlc.ops.view import slice_
from tests.conformance.adapters.registry import Excluded, add, covers

# --- norms ----------------------------------------------------------------------------------------


def applied(layer: Layer, *inputs: Node, **given: Any) -> Node:
    """`layer` applied to nodes, with the nodes `given` for its parameters and state. The trace
    gets neither those nor updates of them."""
    scope = current_scope("a conformance test")
    before = copied(scope)
    y = layer(*inputs)
    fresh = {v.node: given[name.rsplit(".", 1)[-1]] for name, v in scope.variables.items()
             if name not in before["variables"]}
    restore(scope, before)
    return substitute([y], fresh)[0]


def filled(value: Any, fallback: float, shape: Sequence[int]) -> Any:
    """A parameter, or the constant that stands where torch has none."""
    if value is not None:
        return value
    return dlc.asarray(np.full(tuple(map(int, shape)), fallback, np.float32))


@covers("nn.functional.layer_norm")
def layer_norm(x: Node, shape: Sequence[int], weight: Any = None, bias: Any = None,
               eps: float = 1e-5) -> Node:
    """nn.layer_norm with the sample's parameters."""
    given = {"weight": filled(weight, 1.0, shape), "bias": filled(bias, 0.0, shape)}
    return applied(nn.layer_norm(axes=len(shape), eps=eps), x, **given)


NO_CHANNELS = "x [0] without channels: dlc takes [batch, channels, ...]"


@covers("nn.functional.batch_norm", excludes=(NO_CHANNELS,))
def batch_norm(x: Node, mean: Any, var: Any, weight: Any = None, bias: Any = None,
               training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Node:
    """In training by the batch's statistics, else by the running ones, as nn.batch_norm."""
    if x.ndim < 2:
        raise Excluded(NO_CHANNELS)
    channels = (int(x.shape[1]),)
    given = {"weight": filled(weight, 1.0, channels), "bias": filled(bias, 0.0, channels),
             "mean": filled(mean, 0.0, channels), "var": filled(var, 1.0, channels)}
    return applied(nn.batch_norm(eps=eps), x, **given)


@covers("nn.functional.group_norm")
def group_norm(x: Node, groups: int, weight: Any = None, bias: Any = None,
               eps: float = 1e-5) -> Node:
    shape = tuple(map(int, x.shape[1:2]))
    given = {"weight": filled(weight, 1.0, shape), "bias": filled(bias, 0.0, shape)}
    return applied(nn.group_norm(groups, eps=eps), x, **given)


@covers("nn.functional.instance_norm")
def instance_norm(x: Node, running_mean: Any = None, running_var: Any = None, weight: Any = None,
                  bias: Any = None, use_input_stats: bool = True, momentum: float = 0.1,
                  eps: float = 1e-5) -> Node:
    shape = (int(x.shape[1]),)
    given = {"weight": filled(weight, 1.0, shape), "bias": filled(bias, 0.0, shape)}
    return applied(nn.instance_norm(eps=eps, affine=True), x, **given)


@covers("nn.functional.rms_norm")
def rms_norm(x: Node, shape: Sequence[int], weight: Any = None, eps: Any = None) -> Node:
    small = 1.1920928955078125e-07 if eps is None else eps
    return applied(nn.rms_norm(axes=len(shape), eps=small), x, weight=filled(weight, 1.0, shape))


@covers("nn.functional.local_response_norm")
def local_response_norm(x: Node, size: int, alpha: float = 1e-4, beta: float = 0.75,
                        k: float = 1.0) -> Node:
    return nn.local_response_norm(size, alpha, beta, k)(x)


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


add("nn.functional.bilinear", dlc.bilinear)


@covers("nn.functional.embedding")
def embedding(table: Node, index: Node) -> Node:
    return dlc.take(table, index)


add("nn.functional.pixel_shuffle",
    lambda x, upscale_factor: dlc.nn.pixel_shuffle(x, upscale_factor))
add("nn.functional.pixel_unshuffle",
    lambda x, downscale_factor: dlc.nn.pixel_unshuffle(x, downscale_factor))
add("nn.functional.channel_shuffle", lambda x, groups: dlc.nn.channel_shuffle(x, groups))
