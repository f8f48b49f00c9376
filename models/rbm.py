"""A restricted Boltzmann machine on bars of 4x4, small enough for its exact likelihood.

After G. E. Hinton, Training products of experts by minimizing contrastive divergence, 2002, and T.
Tieleman, Training restricted Boltzmann machines using approximations to the likelihood gradient,
2008. `rbm` starts Gibbs sampling at the data, three steps long (CD-3); `rbm_persistent` goes on
with chains of its own. The logarithm of the partition function is summed over all 256 hidden
states, so the figure is the exact mean log-likelihood in nats; a uniform model has -11.1, the best
has -3.4.
"""

from __future__ import annotations

import dlc
from dlc import f32, init, nn, optim

CHAINS, STEPS = 30, 3
machine = nn.rbm(16, 8, weight_init=init.normal(0.1), name="machine")


def contrastive(x: f32["batch", 16]) -> dlc.Loss:
    return dlc.loss(machine.contrast(x, STEPS))


def persistent(x: f32["batch", 16]) -> dlc.Loss:
    chains = dlc.state("chains", f32[CHAINS, 16])
    moved = machine.gibbs(chains)
    dlc.update_state(chains, moved)
    return dlc.loss(machine.energy(x).mean() - machine.energy(moved).mean())


def measured(x: f32["batch", 16]) -> dlc.Loss:
    nats = -machine.energy(x).mean() - machine.log_partition()
    return dlc.loss(-nats, nats=nats)


rbm, rbm_persistent = (
    dlc.task(name=name, data="bars", batch=30, epochs=10_000, evaluate=measured,
             phases=[dlc.phase("cd", rule, optim.sgd(optim.cosine(0.1)))])
    for name, rule in (("rbm", contrastive), ("rbm_persistent", persistent)))
