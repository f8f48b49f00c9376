"""A GRU encoder-decoder: reads six digits into one vector, and writes them reversed or sorted.

After K. Cho, B. van Merrienboer, C. Gulcehre et al., Learning phrase representations using RNN
encoder-decoder for statistical machine translation, 2014: the last state of one recurrent network
is the summary that every step of another is given, beside the symbol before. In training that is
the true one, in evaluation the likeliest of the network's own. Differs: no maxout before the
scores.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, nn, optim

SYMBOLS, UNITS = 10, 96
LEARNING = optim.adam(optim.one_cycle(8e-3), clip=optim.clip_by_norm(1.0))
back = nn.encoder_decoder(SYMBOLS, SYMBOLS, UNITS)
ordered = nn.encoder_decoder(SYMBOLS, SYMBOLS, UNITS)


def judged(scores: Node, y: Node) -> dlc.Loss:
    """Cross-entropy, the share of symbols that are right, and of whole sequences."""
    right = dlc.argmax(scores, 2) == y
    return dlc.loss(nn.cross_entropy(scores, y), accuracy=dlc.cast(right, f32).mean(),
                    whole=dlc.cast(right.all(1), f32).mean())


@dlc.task(data="reverse", optimizer=LEARNING, batch=50, epochs=24)
def reverse(x: i32["batch", 6], y: i32["batch", 6]) -> dlc.Loss:
    return judged(back(x, y), y)


@dlc.task(data="sort", optimizer=LEARNING, batch=50, epochs=8)
def sort(x: i32["batch", 6], y: i32["batch", 6]) -> dlc.Loss:
    return judged(ordered(x, y), y)
