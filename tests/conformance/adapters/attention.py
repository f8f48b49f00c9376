"""torch.nn.functional's attention and bags of embeddings by dlc.nn's."""

from __future__ import annotations

from typing import Any

from dlc import nn
from dlc.graph import Node
from tests.conformance.adapters.layers import applied
from tests.conformance.adapters.registry import Excluded, covers

NOISY = "dropout_p > 0: two libraries draw two masks"


@covers("nn.functional.scaled_dot_product_attention", excludes=(NOISY,))
def attention(q: Node, k: Node, v: Node, attn_mask: Any = None, dropout_p: float = 0.0,
              is_causal: bool = False, scale: Any = None, enable_gqa: bool = False) -> Node:
    if dropout_p > 0:
        raise Excluded(NOISY)
    return nn.scaled_dot_product_attention(q, k, v, attn_mask, is_causal, scale)


OTHER_BAGS = "bags of several lengths, padding_idx, max_norm, scale_grad_by_freq"


@covers("nn.functional.embedding_bag", excludes=(OTHER_BAGS,))
def embedding_bag(table: Node, index: Node, *, mode: str = "mean", per_sample_weights: Any = None,
                  offsets: Any = None, padding_idx: Any = None, max_norm: Any = None,
                  scale_grad_by_freq: bool = False, **_: Any) -> Node:
    """Bags of one length, a row each."""
    told = offsets is not None or padding_idx is not None or max_norm is not None
    if told or scale_grad_by_freq:
        raise Excluded(OTHER_BAGS)
    count, size = map(int, table.shape)
    more = () if per_sample_weights is None else (per_sample_weights,)
    return applied(nn.embedding_bag(count, size, mode), index, *more, weight=table)
