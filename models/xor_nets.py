"""Exclusive or by the networks of 1986 and later: online, with ReLU, with one hidden unit.

After D. E. Rumelhart, G. E. Hinton and R. J. Williams, Learning internal representations by error
propagation, 1986. `xor_online` changes two tanh units after each case; `xor_1986` is the paper's
two sigmoid units with momentum; `xor_skip` has a single hidden unit, and connections from the
inputs past it. `xor_relu` has four ReLU and plain gradient descent at .5. From some first weights
the smallest of these networks end in a local minimum, as the paper says: of `xor_1986`, one start
in twenty.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, init, nn, optim, sigmoid, tanh

wide, near = init.uniform(-1.0, 1.0), init.uniform(-0.3, 0.3)
online = nn.chain(nn.dense(2, weight_init=wide), tanh, nn.dense(1, weight_init=wide), tanh)
hidden = nn.chain(nn.dense(2, weight_init=near, bias_init=near), sigmoid, name="hidden")
output = nn.dense(1, weight_init=near, bias_init=near, name="output")
rectified = nn.chain(nn.dense(4), nn.relu, nn.dense(1))
unit = nn.chain(nn.dense(1, weight_init=wide), sigmoid)
joined = nn.dense(1, weight_init=wide)


def squares(out: Node, y: Node) -> dlc.Loss:
    """Half the squared error, and the share of outputs on the right side of a half."""
    return dlc.loss(dlc.square(out - y).mean() / 2.0, prediction=out,
                    accuracy=dlc.cast((out > 0.5) == (y > 0.5), f32).mean())


@dlc.task(data="xor", optimizer=optim.sgd(0.1), batch=1, epochs=1000)
def xor_online(x: f32["batch", 2], y: f32["batch", 1]) -> dlc.Loss:
    return squares(online(2.0 * x - 1.0), y)


@dlc.task(data="xor", optimizer=optim.momentum(4.0, 0.9), batch=4, epochs=2000)
def xor_1986(x: f32["batch", 2], y: f32["batch", 1]) -> dlc.Loss:
    return squares(sigmoid(output(hidden(x))), y)


@dlc.task(data="xor", optimizer=optim.momentum(1.0, 0.9), batch=4, epochs=2000)
def xor_skip(x: f32["batch", 2], y: f32["batch", 1]) -> dlc.Loss:
    return squares(sigmoid(joined(dlc.concat([x, unit(x)], 1))), y)


@dlc.task(data="xor", optimizer=optim.sgd(0.5), batch=4, epochs=1000)
def xor_relu(x: f32["batch", 2], y: f32["batch", 1]) -> dlc.Loss:
    logits = rectified(x)
    return dlc.loss(nn.binary_cross_entropy_with_logits(logits, y),
                    accuracy=nn.binary_accuracy(logits, y))
