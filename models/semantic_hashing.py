"""Semantic hashing: 32 bits of a digit, near in Hamming distance to those of digits of its kind.

After R. Salakhutdinov and G. Hinton, Semantic hashing, 2009: an autoencoder with noise before the
sigmoid of its code, which then saturates; afterwards a bit is whether its unit is more than half
on. No label is used in training. The figure is the share, among the ten of the other held-out
digits whose codes differ in the fewest bits, of those of the same kind; by the distance of the
64 pixels as they are it is .842. Differs: noise on the image too, a linear way back, no
pre-training, 8x8 pixels, Adam.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, nn, optim

BITS, NEAREST = 32, 10

code = nn.chain(nn.gaussian_noise(0.3), nn.dense(256), nn.relu, nn.dense(128), nn.relu,
                nn.dense(BITS), nn.gaussian_noise(0.5), name="code")
back = nn.dense(64, name="back")


def retrieved(bits: Node, label: Node) -> Node:
    """The share of a row's label among the rows whose bits are nearest."""
    n = int(label.shape[0])
    signs = 2.0 * bits - 1.0
    alike = signs @ signs.T - 4.0 * BITS * dlc.eye(n)  # a row is not its own neighbour
    _, found = dlc.top_k(alike, min(NEAREST, n - 1))
    return dlc.cast(dlc.take(label, found, 0) == label[:, None], f32).mean()


@dlc.task(data="digits8", optimizer=optim.adam(optim.cosine(2e-3)), batch=32, epochs=60)
def semantic_hashing(image: f32["batch", 64], label: i32["batch"]) -> dlc.Loss:
    told = code(image)
    bits = dlc.sigmoid(told) if dlc.training() else dlc.cast(told > 0, f32)
    return dlc.loss(nn.mse(back(bits), image), prediction=bits,
                    precision=dlc.over_set(retrieved, bits, label))
