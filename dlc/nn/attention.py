"""Attention and transformer blocks.

Arrays are [batch, time, features]; inside of attention [batch, heads, time, size].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from dlc import random
from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import Type, bool_
from dlc.lang.array import rearrange
from dlc.lang.layer import Layer
from dlc.lang.scope import Initializer, decoding, parameter, position, training
from dlc.nn import checks
from dlc.nn.convolution import like_weight
from dlc.nn.dropout import dropout as dropout_layer
from dlc.nn.functions import softmax
from dlc.nn.norms import layer_norm
from dlc.nn.positions import remembered, rotary, so_far
from dlc.ops import contract, elementwise, leaf, reduce, view
from dlc.ops.convert import as_node, as_nodes


def scaled_dot_product_attention(query: Any, key: Any, value: Any, mask: Any = None,
                                 causal: bool = False, scale: float | None = None,
                                 dropout: float = 0.0) -> Node:
    """softmax(query key^T scale + mask) value: [..., L, E], [..., S, E], [..., S, V] to [..., L, V]

    `mask` broadcasts to [..., L, S]: bool (True takes part) or floats to add. With `causal`,
    position i attends to positions 0 .. i. `scale` defaults to 1/sqrt(E). A fully masked row gives
    zeros. Keys and values may have fewer heads (axis -3) if they divide the query's. `dropout` is
    the rate for the weights, in training. Source: Vaswani et al. 2017, eq. 1.

    Raises DlcError for shapes that do not match.
    """
    checks.fraction("scaled_dot_product_attention", dropout=dropout)
    q, k, v = as_nodes(query, key, value)
    _check_attention(q, k, v)
    k, v = _spread_heads(q, k), _spread_heads(q, v)
    factor = 1 / math.sqrt(max(1, int(q.shape[-1]))) if scale is None else scale
    scores = contract.matmul(q, rearrange.swapaxes(k, -1, -2)) * factor
    if causal:
        row, column = (leaf.iota(tuple(map(int, scores.shape[-2:])), a) for a in (0, 1))
        scores = elementwise.where(column <= row, scores, -math.inf)
    weights = _weights(scores, None if mask is None else as_node(mask, scores.dtype))
    if dropout and training():
        keep = random.bernoulli(tuple(map(int, weights.shape)), 1.0 - dropout)
        weights = elementwise.where(keep, weights * (1.0 / (1.0 - dropout)), 0.0)
    return contract.matmul(weights, v)


def _check_attention(q: Node, k: Node, v: Node) -> None:
    fits = min(q.ndim, k.ndim, v.ndim) >= 2 and all(x.dtype.is_float for x in (q, k, v))
    if not fits or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise DlcError(f"attention: query {describe(q)}, key {describe(k)} and value {describe(v)} "
                       "do not fit", here(), "floats [..., L, E], [..., S, E] and [..., S, V]")


def _spread_heads(q: Node, x: Node) -> Node:
    """x [..., heads, S, E] with each head repeated until there are as many as q has."""
    if q.ndim < 3 or x.ndim < 3 or q.shape[-3] == x.shape[-3] or int(x.shape[-3]) == 1:
        return x
    if int(q.shape[-3]) % int(x.shape[-3]):
        raise DlcError(f"attention: {int(q.shape[-3])} heads of the query, {int(x.shape[-3])} of "
                       f"{describe(x)}", here(), "the first must be a multiple of the second")
    return rearrange.repeat(x, int(q.shape[-3]) // int(x.shape[-3]), -3)


def _weights(scores: Node, mask: Node | None) -> Node:
    """softmax of the masked scores; zeros where a mask leaves nothing."""
    if mask is None:
        return softmax(scores)
    scores = elementwise.where(mask, scores, -math.inf) if mask.dtype is bool_ else scores + mask
    some = reduce.max_(elementwise.stop_gradient(scores), -1, keepdims=True) > -math.inf
    return elementwise.where(some, softmax(elementwise.where(some, scores, 0.0)), 0.0)


# --- layers ---------------------------------------------------------------------------------------


def multi_head_attention(heads: int, *, size: int | None = None, causal: bool = False,
                         dropout: float = 0.0, bias: bool = True, key_heads: int | None = None,
                         rotary_base: float | None = None,
                         weight_init: Initializer | None = None, name: str = "") -> Layer:
    """Self-attention layer(x), cross-attention layer(x, memory), or explicit layer(query, key,
    value) and layer(query, key, value, mask): [batch, L, features] -> the same shape.

    Each of `heads` heads has `size` features (default features / heads); keys and values may have
    fewer heads, `key_heads` (Ainslie et al. 2023). `mask` broadcasts to [batch, heads, L, S], as in
    scaled_dot_product_attention. `rotary_base` applies rotary embeddings. Parameters
    query, key, value [features, heads * size], output [heads * size, features], each with .._bias.

    Raises DlcError for heads that do not divide the features. Source: Vaswani et al. 2017, 3.2.2.
    """
    checks.at_least("multi_head_attention", 1, heads=heads, key_heads=key_heads or heads)
    checks.fraction("multi_head_attention", dropout=dropout)

    def apply(query: Node, *others: Node) -> Node:
        checks.rank(query, 3, "[batch, time, features]", 3)
        checks.floating(query)
        features = int(query.shape[-1])
        width = size or _head_size(features, heads)
        key, value, mask = _sources(query, others)
        make = _Projection(query.dtype, bias, weight_init)
        q = _heads(make("query", query, heads * width), heads)
        k = _heads(make("key", key, (key_heads or heads) * width), key_heads or heads)
        v = _heads(make("value", value, (key_heads or heads) * width), key_heads or heads)
        if rotary_base is not None:
            q, k = (rotary(part, rotary_base, position()) for part in (q, k))
        if decoding() is not None and key is query:
            k, v, mask = _remembered(k, v, mask, causal)
        y = scaled_dot_product_attention(q, k, v, mask, causal and mask is None, dropout=dropout)
        joined = view.reshape(view.transpose(y, (0, 2, 1, 3)),
                              (*query.shape[:2], heads * width))
        return make("output", joined, features)

    return Layer("multi_head_attention", apply, f"multi_head_attention({heads})", name, here())


def _head_size(features: int, heads: int) -> int:
    if features % heads:
        raise DlcError(f"heads={heads} does not divide {features} features", here(),
                       "the features are a multiple of heads, or give size=")
    return features // heads


def _sources(query: Node, others: tuple[Node, ...]) -> tuple[Node, Node, Node | None]:
    """(key, value, mask) of the arguments after the query."""
    if len(others) > 3:
        raise DlcError(f"{1 + len(others)} arguments", here(), "query, key, value, mask")
    key = others[0] if others else query
    value = others[1] if len(others) > 1 else key
    for x in (key, value):
        checks.rank(x, 3, "[batch, time, features]", 3)
    return key, value, others[2] if len(others) > 2 else None


class _Projection:
    """Makes x @ weight + bias with parameters of a name."""

    def __init__(self, dtype: Any, bias: bool, weight_init: Initializer | None) -> None:
        self.dtype, self.bias, self.weight_init = dtype, bias, weight_init

    def __call__(self, name: str, x: Node, units: int) -> Node:
        inputs = int(x.shape[-1])
        y = contract.matmul(x, parameter(name, Type(self.dtype, (inputs, units)),
                                         self.weight_init))
        if not self.bias:
            return y
        return y + parameter(f"{name}_bias", Type(self.dtype, (units,)), like_weight(inputs))


def _remembered(key: Node, value: Node, mask: Node | None,
                causal: bool) -> tuple[Node, Node, Node]:
    """Keys and values of all positions of a sequence that is computed one position at a time, and
    which of them there are so far."""
    if mask is not None or not causal:
        raise DlcError("attention with a mask, or to all positions, can't be computed one at a "
                       "time", here(), "causal=True looks back alone")
    return remembered("keys", key), remembered("values", value), so_far()


def _heads(x: Node, heads: int) -> Node:
    """[batch, time, heads * size] -> [batch, heads, time, size]."""
    batch, time, wide = x.shape
    parts = view.reshape(x, (batch, time, heads, int(wide) // heads))
    return view.transpose(parts, (0, 2, 1, 3))


def _feed_forward(hidden: int, activation: Callable[[Node], Node], dropout: float) -> Layer:
    """Two dense layers back to the features: parameters hidden, output and their biases."""
    drop = dropout_layer(dropout)

    def apply(x: Node) -> Node:
        make = _Projection(x.dtype, True, None)
        return make("output", drop(activation(make("hidden", x, hidden))), int(x.shape[-1]))

    return Layer("mlp", apply, f"mlp({hidden})", "mlp", here())


def _with_residuals(x: Node, norms: Sequence[Layer], parts: Sequence[Callable[[Node], Node]],
                    drop: Layer, norm_first: bool) -> Node:
    """Each part with a sum around it, its norm before it or behind the sum."""
    for norm, part in zip(norms, parts, strict=True):
        x = x + drop(part(norm(x))) if norm_first else norm(x + drop(part(x)))
    return x


def transformer_encoder(heads: int, hidden: int, *, dropout: float = 0.1, causal: bool = False,
                        activation: Callable[[Node], Node] = elementwise.relu,
                        norm_first: bool = False, name: str = "") -> Layer:
    """One encoder block: attention and two dense layers of `hidden` units between, each with a
    residual and layer_norm: x [batch, time, features] -> the same shape.

    layer(x, mask) restricts attention. Normalization comes after each sum (Vaswani et al. 2017,
    3.1), or with norm_first before each part (Xiong et al. 2020).
    """
    checks.at_least("transformer_encoder", 1, heads=heads, hidden=hidden)
    attend = multi_head_attention(heads, causal=causal, dropout=dropout, name="attention")
    norms = [layer_norm(name=f"norm{i}") for i in (1, 2)]
    mlp, drop = _feed_forward(hidden, activation, dropout), dropout_layer(dropout)

    def apply(x: Node, *mask: Node) -> Node:
        checks.rank(x, 3, "[batch, time, features]", 3)
        parts: list[Callable[[Node], Node]] = [lambda y: attend(y, y, y, *mask), mlp]
        return _with_residuals(x, norms, parts, drop, norm_first)

    return Layer("transformer_encoder", apply, f"transformer_encoder({heads}, {hidden})", name,
                 here())


def transformer_decoder(heads: int, hidden: int, *, dropout: float = 0.1,
                        activation: Callable[[Node], Node] = elementwise.relu,
                        norm_first: bool = False, name: str = "") -> Layer:
    """One decoder block: layer(x, memory): causal attention to x, attention to the encoder's memory
    [batch, S, features], two dense layers, each with a residual and layer_norm; -> x's shape.

    Source and `norm_first` as in transformer_encoder.
    """
    checks.at_least("transformer_decoder", 1, heads=heads, hidden=hidden)
    attend = multi_head_attention(heads, causal=True, dropout=dropout, name="attention")
    cross = multi_head_attention(heads, dropout=dropout, name="cross_attention")
    norms = [layer_norm(name=f"norm{i}") for i in (1, 2, 3)]
    mlp, drop = _feed_forward(hidden, activation, dropout), dropout_layer(dropout)

    def apply(x: Node, memory: Node) -> Node:
        checks.rank(x, 3, "[batch, time, features]", 3)
        parts: list[Callable[[Node], Node]] = [attend, lambda y: cross(y, memory), mlp]
        return _with_residuals(x, norms, parts, drop, norm_first)

    return Layer("transformer_decoder", apply, f"transformer_decoder({heads}, {hidden})", name,
                 here())
