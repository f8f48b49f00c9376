"""Networks whose compile time is measured: a chain of any length, GPT-2 small, ResNet-152."""

from __future__ import annotations

import dlc
from dlc import f32, i32, nn, optim, tanh
from dlc.ir.graph import Node
from dlc.nn import Layer


def chain(layers: int) -> dlc.Task:
    """`layers` times dense of 32 units, layer_norm and tanh, then one number; trained with Adam."""
    parts = [part for _ in range(layers) for part in (nn.dense(32), nn.layer_norm(), tanh)]
    net = nn.chain(*parts, nn.dense(1))

    def chained(x: f32["batch", 32], target: f32["batch", 1]) -> dlc.Loss:
        return dlc.loss(nn.mse(net(x), target))

    return dlc.task(optimizer=optim.adam(1e-3), batch=16)(chained)


def gpt2(layers: int = 12, size: int = 768, heads: int = 12, context: int = 1024,
         words: int = 50257, batch: int = 4) -> dlc.Task:
    """GPT-2 (Radford et al. 2019): blocks of causal attention and a GELU, tied embedding, AdamW.

    The small one by default: 12 layers, 148 parameters of 124 million elements.
    """
    word, place = nn.embedding(words, size), nn.embedding(context, size)
    net = nn.chain(*(_block(size, heads, f"block{i}") for i in range(layers)), nn.layer_norm(),
                   nn.unembedding(word))

    def gpt(text: i32["batch", "context"], following: i32["batch", "context"]) -> dlc.Loss:
        h = word(text) + place(dlc.iota((context,), 0))
        logits = net(h)
        rows = batch * context
        return dlc.loss(nn.cross_entropy(dlc.reshape(logits, (rows, words)),
                                         dlc.reshape(following, (rows,))))

    return dlc.task(optimizer=optim.adamw(6e-4), batch=batch, dims={"context": context})(gpt)


def _block(size: int, heads: int, name: str) -> Layer:
    """x + attention(norm(x)), then x + mlp(norm(x)): 12 parameters."""
    attend = nn.chain(nn.layer_norm(), nn.dense(3 * size), nn.layer(lambda x: _attention(x, heads)),
                      nn.dense(size))
    think = nn.chain(nn.layer_norm(), nn.dense(4 * size), nn.gelu_tanh, nn.dense(size))
    return nn.chain(nn.residual(attend), nn.residual(think), name=name)


def _attention(joint: Node, heads: int) -> Node:
    """Causal attention of [batch, time, 3 size]: query, key and value side by side."""
    n, time, wide = map(int, joint.shape)
    parts = dlc.transpose(dlc.reshape(joint, (n, time, 3, heads, wide // 3 // heads)),
                          (2, 0, 3, 1, 4))
    y = nn.scaled_dot_product_attention(parts[0], parts[1], parts[2], causal=True)
    return dlc.reshape(dlc.transpose(y, (0, 2, 1, 3)), (n, time, wide // 3))


def resnet(blocks: tuple[int, ...] = (3, 8, 36, 3), size: int = 224,
           batch: int = 8) -> dlc.Task:
    """A residual net of bottlenecks (He et al. 2015, table 1), momentum; by default the one of 152
    layers."""
    stem = nn.chain(nn.conv(64, 7, stride=2, padding=3, bias=False), nn.batch_norm(), nn.relu,
                    nn.max_pool(3, 2, 1))
    parts = [_bottleneck(64 << stage, 2 if i == 0 and stage else 1, i == 0)
             for stage, count in enumerate(blocks) for i in range(count)]
    net = nn.chain(stem, *parts, nn.global_avg_pool, nn.flatten, nn.dense(1000))

    def residual_net(image: f32["batch", 3, "size", "size"], label: i32["batch"]) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(net(image), label))

    return dlc.task(optimizer=optim.momentum(0.1), batch=batch, dims={"size": size})(residual_net)


def _bottleneck(width: int, stride: int, widen: bool) -> Layer:
    """1x1, 3x3, 1x1 convolutions with a sum around them."""
    inner = nn.chain(nn.conv(width, 1, bias=False), nn.batch_norm(), nn.relu,
                     nn.conv(width, 3, stride=stride, padding=1, bias=False),
                     nn.batch_norm(), nn.relu,
                     nn.conv(4 * width, 1, bias=False), nn.batch_norm())
    shortcut = nn.chain(nn.conv(4 * width, 1, stride=stride, bias=False), nn.batch_norm())
    return nn.chain(nn.residual(inner, shortcut=shortcut if widen else None), nn.relu)
