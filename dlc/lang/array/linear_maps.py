"""Linear maps along one axis by a constant matrix, as used by resizing and adaptive means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlc.ir.graph import Node, make
from dlc.ir.types import accumulator
from dlc.ops.contract import CONV, matmul
from dlc.ops.convert import as_node, cast
from dlc.ops.view import reshape, transpose


def along(x: Node, axis: int, weights: Any) -> Node:
    """y[..., i, ...] = sum_j weights[i, j] x[..., j, ...] along `axis`, in the dtype that sums are
    made in (f32 of halves). A matmul: an infinite x makes NaN of what a zero weight takes of it.
    """
    kind = accumulator(x.dtype)
    w = as_node(np.asarray(weights, kind.numpy))
    wide = cast(x, kind)
    after = math.prod(int(d) for d in x.shape[axis + 1:])
    if after == 1:
        flat = matmul(reshape(wide, (-1, x.shape[axis]) if x.type.size else (0, x.shape[axis])),
                      transpose(w, (1, 0)))
        return reshape(flat, (*x.shape[:axis], w.shape[0], *x.shape[axis + 1:]))
    # a convolution of kernel 1 whose channels are the axis: its columns are two axes, not merged
    before = math.prod(int(d) for d in x.shape[:axis])
    rows = make(CONV, (reshape(wide, (before, x.shape[axis], after)), reshape(w, (*w.shape, 1))),
                grouped=False, stride=(1,), padding=((0, 0),), lhs_dilation=(1,),
                rhs_dilation=(1,))
    return reshape(rows, (*x.shape[:axis], w.shape[0], *x.shape[axis + 1:]))
