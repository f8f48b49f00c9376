"""A deep belief network: two Boltzmann machines, trained one after the other, that then classify.

After G. E. Hinton, S. Osindero and Y.-W. Teh, A fast learning algorithm for deep belief nets, 2006:
the first machine learns the pictures by contrastive divergence, the second what the first makes
of them. With a layer of classes on top, all is then trained by gradients on the few pictures
that have a label, three of each digit. `deep_belief_random` is a network of the same shape that
starts from random weights, and is trained on these labels as long; `deep_belief` beats it from
each of five seeds. Differs: no up-down algorithm, two machines and not three, 8x8 pixels, Adam.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, nn, optim

EACH = 50  # epochs of training for each machine
DATA = "digits8?labels=3"

first, second = nn.rbm(64, 200, name="first"), nn.rbm(200, 200, name="second")
classes = nn.dense(10, name="classes")
plain = nn.chain(nn.dense(200), nn.sigmoid, nn.dense(200), nn.sigmoid, nn.dense(10), name="plain")


def lower(image: f32["batch", 64]) -> dlc.Loss:
    return dlc.loss(first.contrast(image))


def upper(image: f32["batch", 64]) -> dlc.Loss:
    return dlc.loss(second.contrast(dlc.stop_gradient(first(image))))


def judged(logits: Node, label: Node) -> dlc.Loss:
    """The mean over the rows that have a label."""
    each = nn.cross_entropy(logits, label, ignore=-1, reduction="none")
    count = dlc.cast(label >= 0, f32).sum()
    return dlc.loss(each.sum() / dlc.maximum(count, 1.0), prediction=logits,
                    accuracy=nn.accuracy(logits, label))


def tuned(image: f32["batch", 64], label: i32["batch"]) -> dlc.Loss:
    return judged(classes(second(first(image))), label)


def random(image: f32["batch", 64], label: i32["batch"]) -> dlc.Loss:
    return judged(plain(image), label)


deep_belief = dlc.task(name="deep_belief", data=DATA, batch=64, epochs=180, phases=[
    dlc.phase("first", lower, optim.momentum(0.1), params=first, stop=EACH),
    dlc.phase("second", upper, optim.momentum(0.1), params=second, start=EACH, stop=2 * EACH),
    dlc.phase("tune", tuned, optim.adam(2e-3), start=2 * EACH)])
deep_belief_random = dlc.task(name="deep_belief_random", data=DATA, batch=64, epochs=80,
                              phases=[dlc.phase("tune", random, optim.adam(2e-3))])
