"""A deep autoencoder of digits, made of three Boltzmann machines that were trained before.

After G. E. Hinton and R. R. Salakhutdinov, Reducing the dimensionality of data with neural
networks, 2006: each machine learns, by contrastive divergence, what the one below makes of the
pictures; the last has Gaussian hidden units, the code. Unrolled, up through all and back down, they
are the autoencoder, which is then fine-tuned on the cross-entropy of its pixels. It has to
reconstruct held-out digits better than as many principal components (`linear_autoencoder`).
Differs: the way down keeps the weights of the way up; 8x8 pixels; 64-128-64-6 units; Adam.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, nn, optim

EACH = 30  # epochs of training for each machine
machines = [nn.rbm(64, 128, name="first"), nn.rbm(128, 64, name="second"),
            nn.rbm(64, 6, "gaussian", name="code")]


def up(x: Node, count: int) -> Node:
    """What the first `count` machines make of x."""
    for machine in machines[:count]:
        x = machine(x)
    return x


def rebuilt(x: Node) -> Node:
    """x through the code and back."""
    x = up(x, len(machines))
    for machine in reversed(machines):
        x = machine.back(x)
    return x


def contrast(image: Node, at: int) -> dlc.Loss:
    return dlc.loss(machines[at].contrast(dlc.stop_gradient(up(image, at))))


def first(image: f32["batch", 64]) -> dlc.Loss:
    return contrast(image, 0)


def second(image: f32["batch", 64]) -> dlc.Loss:
    return contrast(image, 1)


def code(image: f32["batch", 64]) -> dlc.Loss:
    return contrast(image, 2)


def tuning(image: f32["batch", 64]) -> dlc.Loss:
    return dlc.loss(nn.binary_cross_entropy(rebuilt(image), image))


def measured(image: f32["batch", 64]) -> dlc.Loss:
    return dlc.loss(nn.mse(rebuilt(image), image))


before = [
    dlc.phase("first", first, optim.adam(2e-3), params=machines[0], stop=EACH),
    dlc.phase("second", second, optim.adam(2e-3), params=machines[1], start=EACH, stop=2 * EACH),
    dlc.phase("code", code, optim.adam(2e-3), params=machines[2], start=2 * EACH, stop=3 * EACH)]
deep_autoencoder = dlc.task(
    name="deep_autoencoder", data="digits8", batch=32, epochs=300, evaluate=measured, phases=[
        *before, dlc.phase("tune", tuning, optim.adam(4e-3), start=3 * EACH)])
