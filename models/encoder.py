"""The 8-3-8 encoder: three hidden units learn a binary code of eight patterns.

After D. E. Rumelhart, G. E. Hinton and R. J. Williams, Learning internal representations by error
propagation, 1986, and D. H. Ackley, G. E. Hinton and T. J. Sejnowski, A learning algorithm for
Boltzmann machines, 1985.
"""

from __future__ import annotations

import dlc
from dlc import f32, init, nn, optim, sigmoid

wide = init.uniform(-1.0, 1.0)
code = nn.chain(nn.dense(3, weight_init=wide), sigmoid, name="code")
decode = nn.chain(nn.dense(8, weight_init=wide), sigmoid, name="decode")


@dlc.task(data="encoder", optimizer=optim.momentum(0.1, 0.9), batch=8, epochs=2000)
def encoder(x: f32["batch", 8], y: f32["batch", 8]) -> dlc.Loss:
    out = decode(code(x))
    return dlc.loss(dlc.square(out - y).sum() / 2.0, prediction=out,
                    accuracy=nn.accuracy(out, dlc.argmax(y, 1)))
