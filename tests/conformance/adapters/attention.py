"""torch.nn.functional's attention and bags of embeddings by dlc.nn's."""

from __future__ import annotations

from typing import Any

import dlc
from dlc import nn
from dlc.ir.graph import Node
from tests.conformance.adapters.layers import applied
from tests.conformance.adapters.registry import Excluded, covers

NOISY = "dropout_p > 0: two libraries draw two masks"


@covers("nn.functional.scaled_dot_product_attention", excludes=(NOISY,))
def attention(q: Node, k: Node, v: Node, attn_mask: Any = None, dropout_p: float = 0.0,
              is_causal: bool = False, scale: Any = None, enable_gqa: bool = False) -> Node:
    if dropout_p > 0:
        raise Excluded(NOISY)
    return nn.scaled_dot_product_attention(q, k, v, attn_mask, is_causal, scale)


def projections(weight: Any, bias: Any, units: int) -> list[tuple[Node, Any]]:
    """The three projections that stand in one matrix [3 units, units]."""
    cut = [slice(i * units, (i + 1) * units) for i in range(3)]
    return [(weight[c], None if bias is None else bias[c]) for c in cut]


@covers("nn.functional.multi_head_attention_forward")
def multi_head_attention(
        query: Node, key: Node, value: Node, units: int, heads: int, weight: Any, bias: Any,
        bias_k: Any, bias_v: Any, add_zero_attn: bool, dropout_p: float, out_weight: Node,
        out_bias: Any, training: bool = True, key_padding_mask: Any = None,
        need_weights: bool = True, attn_mask: Any = None, **more: Any) -> list[Node]:
    """[time, batch, units] as torch has them: projections, heads, softmax, and its mean weights."""
    parts = []
    for x, (w, b) in zip((query, key, value), projections(weight, bias, units), strict=True):
        parts.append(x @ w.T if b is None else x @ w.T + b)
    batch = int(query.shape[1])
    for i, extra in ((1, bias_k), (2, bias_v)):
        if extra is not None:
            row = dlc.broadcast_to(extra.reshape((1, 1, units)), (1, batch, units))
            parts[i] = dlc.concat([parts[i], row], 0)
    q, k, v = (dlc.transpose(p.reshape((p.shape[0], batch, heads, units // heads)), (1, 2, 0, 3))
               for p in parts)
    scores = q @ dlc.swapaxes(k, -1, -2) / (units // heads) ** 0.5
    if attn_mask is not None:
        grown = int(k.shape[2]) - int(attn_mask.shape[-1])
        scores = scores + dlc.pad(attn_mask, (0, 0), (0, grown))
    weights = dlc.nn.softmax(scores, -1)
    y = dlc.transpose(weights @ v, (2, 0, 1, 3)).reshape(query.shape) @ out_weight.T + out_bias
    return [y, dlc.mean(weights, 1)]


@covers("nn.functional.embedding_bag")
def embedding_bag(table: Node, index: Node, *, offsets: Any = None, mode: str = "mean",
                  per_sample_weights: Any = None, padding_idx: Any = None,
                  include_last_offset: bool = False) -> Node:
    """Bags of one length, a row each, or several in one row."""
    count, size = map(int, table.shape)
    more = () if per_sample_weights is None else (per_sample_weights,)
    layer = nn.embedding_bag(count, size, mode, padding=padding_idx)
    if offsets is None:
        return applied(layer, index, *more, weight=table)
    first = offsets[:-1] if include_last_offset else offsets
    return applied(named(layer, offsets=first), index, *more, weight=table)


def named(layer: Any, **more: Any) -> Any:
    """`layer` with what it is given by name."""
    return lambda *inputs: layer(*inputs, **more)
