"""Width against error: perceptrons narrower than the data, just as wide, and far wider.

After M. Belkin, D. Hsu, S. Ma and S. Mandal, Reconciling modern machine-learning practice and the
classical bias-variance trade-off, 2019: 200 digits, a fifth of them with a wrong label, squared
error, nothing that regularizes, trained long. The error on held-out digits is highest near where a
network has about as many parameters as there are numbers to fit, 200 times ten classes
(`width_critical`, of 26 units), less for a narrow one, and least far beyond (`width_beyond`).
Differs: digits of 8x8 pixels, Adam on all samples at once, and no network starts from the weights
of a narrower one.
"""

from __future__ import annotations

import dlc
from dlc import f32, i32, nn, optim

DATA, LEARNING = "digits8?each=20&noise=0.2", optim.adam(optim.cosine(3e-3))


def fitted(image: dlc.Node, label: dlc.Node, units: int) -> dlc.Loss:
    """The squared error of the ten scores, summed over the classes."""
    scores = nn.dense(10, name="out")(nn.relu(nn.dense(units, name="hidden")(image)))
    error = ((scores - dlc.one_hot(label, 10)) ** 2).sum(1).mean()
    return dlc.loss(error, accuracy=nn.accuracy(scores, label))


@dlc.task(data=DATA, optimizer=LEARNING, batch=200, epochs=3000)
def width_below(image: f32["batch", 64], label: i32["batch"], units: int = 8) -> dlc.Loss:
    return fitted(image, label, units)


@dlc.task(data=DATA, optimizer=LEARNING, batch=200, epochs=3000)
def width_critical(image: f32["batch", 64], label: i32["batch"], units: int = 26) -> dlc.Loss:
    return fitted(image, label, units)


@dlc.task(data=DATA, optimizer=LEARNING, batch=200, epochs=3000)
def width_beyond(image: f32["batch", 64], label: i32["batch"], units: int = 256) -> dlc.Loss:
    return fitted(image, label, units)
