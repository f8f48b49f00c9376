"""Mirror symmetry of six bits, found by two hidden units.

After D. E. Rumelhart, G. E. Hinton and R. J. Williams, Learning representations by
back-propagating errors, 1986: 64 words, momentum .9 on the sum of all errors, first weights
within .3. Differs: half the rate, .05, with which no start ended in a local minimum, and 4,000
sweeps for 1,425. The units find opposite weights on mirrored bits, in the ratios 1 : 2 : 4.
"""

from __future__ import annotations

import dlc
from dlc import f32, init, nn, optim, sigmoid

small = init.uniform(-0.3, 0.3)
net = nn.chain(nn.dense(2, weight_init=small, bias_init=small), sigmoid,
               nn.dense(1, weight_init=small, bias_init=small), sigmoid)


@dlc.task(data="symmetry", optimizer=optim.momentum(0.05, 0.9), batch=64, epochs=4000)
def mirror(x: f32["batch", 6], y: f32["batch", 1]) -> dlc.Loss:
    out = net(x)
    return dlc.loss(dlc.square(out - y).sum() / 2.0, prediction=out,
                    accuracy=dlc.cast((out > 0.5) == (y > 0.5), f32).mean())
