"""The network that read zip codes in 1989: three layers of shared weights, 9,760 parameters.

After Y. LeCun, B. Boser, J. S. Denker et al., Backpropagation applied to handwritten zip code
recognition, 1989: 12 maps of 8x8 and 12 of 4x4 by kernels of 5x5 with stride 2, each of the
second kind seeing 8 of the first; every position has a bias of its own; 30 units, 10 outputs;
targets of 1 and -1 under the squared error; first weights within 2.4 / fan-in. Differs: which 8
maps (the next ones, cyclically), momentum in place of the diagonal Newton step, and digits of UCI
on 16x16 pixels.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, init, nn, optim


def shared(connections: list[list[int]]) -> nn.Layer:
    """5x5 kernels, stride 2, on maps in a border of 2 of the background, -1; a bias a position."""
    within = 2.4 / (25 * len(connections[0]))
    kernels = nn.partial_conv(connections, 5, stride=2, bias=False,
                              weight_init=init.uniform(-within, within))

    def apply(x: Node) -> Node:
        y = kernels(dlc.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), value=-1.0))
        return nn.lecun_tanh(y + dlc.parameter("bias", f32[y.shape[1:]], init.zeros))

    return nn.layer(apply)


def dense(units: int, inputs: int) -> nn.Layer:
    return nn.dense(units, weight_init=init.uniform(-2.4 / inputs, 2.4 / inputs),
                    bias_init=init.zeros)


net = nn.chain(
    shared([[0]] * 12),
    shared([[(at + step) % 12 for step in range(8)] for at in range(12)]),
    nn.flatten,
    dense(30, 192), nn.lecun_tanh,
    dense(10, 30), nn.lecun_tanh,
)


@dlc.task(data="digits?size=16", optimizer=optim.momentum(optim.cosine(0.01), 0.9), batch=8,
          epochs=30)
def lecun1989(image: f32["batch", 1, 16, 16], label: i32["batch"]) -> dlc.Loss:
    out = net(2.0 * image - 1.0)
    target = 2.0 * dlc.one_hot(label, 10) - 1.0
    return dlc.loss(dlc.square(out - target).sum(1).mean() / 2.0, prediction=out,
                    accuracy=nn.accuracy(out, label))
