"""GPT-2's architecture: a narrow one writes English; GPT-2 small is the same function.

After A. Radford, J. Wu, R. Child et al., Language models are unsupervised multitask learners, 2019:
blocks of causal attention and two dense layers with GELU, a layer norm before each, a last one, and
an output that shares the table of words; `small` has the 124,439,808 parameters of GPT-2 small.
Differs: characters for pairs of bytes, no dropout, and first weights within 1/sqrt(fan-in). `dlc
sample gpt` keeps the keys and values of the characters before.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, init, nn, optim

SIZE = 96  # characters


def transformer(words: int, context: int, width: int, heads: int, blocks: int) -> nn.Layer:
    """The scores of the next word at each position: i32[batch, time] -> [batch, time, words]."""
    table = nn.embedding(words, width, init.normal(width ** -0.5))
    block = [nn.transformer_encoder(heads, 4 * width, causal=True, norm_first=True, dropout=0.0,
                                    activation=nn.gelu_tanh) for _ in range(blocks)]
    return nn.chain(table, nn.position_embedding(context), *block, nn.layer_norm(),
                    nn.unembedding(table), name="gpt")


def small() -> nn.Layer:
    """GPT-2 small."""
    return transformer(50_257, 1024, 768, 12, 12)


net = transformer(SIZE, 64, 64, 4, 2)


def predicted(logits: Node, y: Node) -> dlc.Loss:
    """Cross-entropy in nats, and in bits per character."""
    loss = nn.cross_entropy(logits, y)
    return dlc.loss(loss, bits=loss / dlc.log(dlc.asarray(2.0, f32)))


@dlc.task(data="pydoc", optimizer=optim.adamw(optim.one_cycle(4e-3), clip=optim.clip_by_norm(1.0)),
          batch=8, epochs=3)
def gpt(x: i32["batch", 64], y: i32["batch", 64]) -> dlc.Loss:
    return predicted(net(x), y)
