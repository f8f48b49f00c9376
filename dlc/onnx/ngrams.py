"""ONNX's TfIdfVectorizer over whole numbers: how often each n-gram of a pool stands in a row."""

from __future__ import annotations

import itertools

import numpy as np

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import f32, i64
from dlc.onnx.call import Call, Results, array, chosen, converts
from dlc.ops.contract import matmul

MOST_COMPARED = 4096  # of a row with the numbers of n-grams of one length


@converts("TfIdfVectorizer")
def tf_idf(call: Call) -> Results:
    """x [C] or [N, C] -> counts [K] or [N, K] (TF), weights of what is there (IDF), or both."""
    mode = chosen("mode", call.text("mode"), ("TF", "IDF", "TFIDF"))
    x, pools = call.x(), pools_of(call)
    indexes = call.integers("ngram_indexes")
    if len(indexes) != sum(len(p) for p in pools) or min(indexes, default=0) < 0:
        raise DlcError(f"{len(indexes)} ngram_indexes of {sum(len(p) for p in pools)} n-grams")
    weights = np.asarray(call.get("weights") or [1.0] * len(indexes), np.float32)
    if len(weights) != len(indexes):
        raise DlcError(f"{len(weights)} weights of {len(indexes)} n-grams")
    grid = dlc.cast(x if x.ndim == 2 else dlc.reshape(x, (1, -1)), i64)
    counts = dlc.concat([counted(call, grid, pool) for pool in pools], 1)
    if mode == "IDF":
        counts = dlc.minimum(counts, 1.0)
    call.walk.knows.spend(len(indexes) * (max(indexes, default=-1) + 1), "a table of n-grams")
    table = np.zeros((len(indexes), max(indexes, default=-1) + 1), np.float32)
    table[np.arange(len(indexes)), list(indexes)] = 1.0 if mode == "TF" else weights
    y = matmul(counts, array(table))
    return y if x.ndim == 2 else dlc.reshape(y, (-1,))


def pools_of(call: Call) -> list[np.ndarray]:
    """The n-grams [how many, n] of n = 1, 2, ..."""
    if call.get("pool_strings"):
        raise DlcError("n-grams of strings", None, "dlc's arrays hold numbers")
    pool, starts = call.integers("pool_int64s"), call.integers("ngram_counts")
    ends = (*starts[1:], len(pool))
    found = []
    for n, (low, high) in enumerate(itertools.zip_longest(starts, ends[:len(starts)]), 1):
        if not 0 <= low <= high <= len(pool) or (high - low) % n:
            raise DlcError(f"ngram_counts {list(starts)} of {len(pool)} numbers")
        found.append(np.asarray(pool[low:high], np.int64).reshape(-1, n))
    if not found:
        raise DlcError("a pool without n-grams")
    return found


def counted(call: Call, x: Node, pool: np.ndarray) -> Node:
    """How often each n-gram stands in the rows of x [N, C], with as much left out as allowed."""
    (many, n), (batch, size) = pool.shape, map(int, x.shape)
    total = dlc.broadcast_to(array(0.0, f32), (batch, many))
    if not call.integer("min_gram_length") <= n <= call.integer("max_gram_length"):
        return total
    skips = min(call.integer("max_skip_count"), size) + 1 if n > 1 else 1
    if skips * n > MOST_COMPARED:
        raise DlcError(f"{skips} ways to leave numbers out of {n}-grams", None,
                       f"at most {MOST_COMPARED} comparisons are built")
    for skip in range(skips):
        count = size - (n - 1) * (skip + 1)
        if count < 1:
            break
        parts = [x[:, k * (skip + 1):k * (skip + 1) + count, None] == array(pool[:, k])
                 for k in range(n)]
        there = parts[0]
        for part in parts[1:]:
            there = there & part
        total = total + dlc.sum(dlc.cast(there, f32), 1)
    return total
