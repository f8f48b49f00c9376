"""Linear maps along one axis by a constant matrix: what resizing and adaptive means are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.graph import Node
from dlc.ops.contract import matmul
from dlc.ops.convert import as_node, cast
from dlc.ops.view import reshape, transpose
from dlc.types import accumulator


def along(x: Node, axis: int, weights: Any) -> Node:
    """y[..., i, ...] = sum_j weights[i, j] x[..., j, ...] along `axis`, in the dtype that sums are
    made in (f32 of halves). A matmul: an infinite x makes NaN of what a zero weight takes of it.
    """
    kind = accumulator(x.dtype)
    w = as_node(np.asarray(weights, kind.numpy))
    wide = cast(x, kind)
    if axis == x.ndim - 1:
        return matmul(wide, transpose(w, (1, 0)))
    # the matrix is the left operand, packed once; the columns are all other axes of x
    order = (axis, *(a for a in range(x.ndim) if a != axis))
    turned = transpose(wide, order)
    flat = matmul(w, reshape(turned, (x.shape[axis], -1)) if x.type.size else reshape(
        turned, (x.shape[axis], 0)))
    y = reshape(flat, (w.shape[0], *turned.shape[1:]))
    return transpose(y, tuple(int(i) for i in np.argsort(order)))
