"""A trigram model of characters: counts, with back-off to shorter contexts.

After I. H. Witten and T. C. Bell, The zero-frequency problem, 1991. One pass over the text counts
what follows each pair of characters; a context with few occurrences leaves a share of probability,
which grows with the number of different characters seen after it, to the shorter context. The
recurrent networks have to beat its bits per character.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32

SIZE = 96  # characters


def backed_off(counts: Node, shorter: Node) -> Node:
    """Witten and Bell's estimate from `counts` [..., SIZE] of what follows, and the estimate from
    the shorter context."""
    seen = counts.sum(-1, keepdims=True)
    kinds = dlc.cast(counts > 0, f32).sum(-1, keepdims=True)
    return dlc.where(seen > 0, (counts + kinds * shorter) / dlc.maximum(seen + kinds, 1.0), shorter)


def count(x: i32["batch", 64], y: i32["batch", 64]) -> dlc.Loss:
    """Counts of single characters, pairs and triples, and the bits that they give to this batch."""
    one, two, three = (dlc.state(f"counts{n}", f32[(SIZE,) * n]) for n in (1, 2, 3))
    before, last, following = (part.ravel() for part in (x[:, :-1], x[:, 1:], y[:, 1:]))
    if dlc.training():
        dlc.update_state(one, one.at[following].add(1.0))
        dlc.update_state(two, two.at[last, following].add(1.0))
        dlc.update_state(three, three.at[before, last, following].add(1.0))
    p1 = backed_off(one, dlc.full(one.shape, 1.0 / SIZE))
    p2 = backed_off(two[last], p1)
    p3 = backed_off(three[before, last], p2)
    chosen = dlc.take_along_axis(p3, following[:, None], 1)
    bits = -dlc.log2(chosen).mean()
    return dlc.loss(bits, bits=bits)


ngram = dlc.task(name="ngram", data="pydoc", batch=64, epochs=1,
                 phases=[dlc.phase("count", count)])
