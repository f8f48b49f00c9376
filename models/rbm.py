"""A restricted Boltzmann machine on bars of 4x4, small enough for its exact likelihood.

After G. E. Hinton, Training products of experts by minimizing contrastive divergence, 2002, and T.
Tieleman, Training restricted Boltzmann machines using approximations to the likelihood gradient,
2008. `rbm` starts Gibbs sampling at the data, one step long (CD-1); `rbm_persistent` goes on with
chains of its own. The logarithm of the partition function is summed over all 256 hidden states, so
the figure is the exact mean log-likelihood in nats; a uniform model has -11.1, the best has -3.4.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, init

VISIBLE, HIDDEN, CHAINS, RATE = 16, 8, 30, 0.05


class Machine:
    """The parameters of the machine, and what is computed from them."""

    def __init__(self) -> None:
        self.weight = dlc.parameter("weight", f32[VISIBLE, HIDDEN], init.normal(0.1))
        self.visible = dlc.parameter("visible", f32[VISIBLE], init.zeros)
        self.hidden = dlc.parameter("hidden", f32[HIDDEN], init.zeros)

    def log_likelihood(self, x: Node) -> Node:
        """The mean of log p(x) in nats: free energies, and the exact partition function."""
        free = x @ self.visible + dlc.softplus(x @ self.weight + self.hidden).sum(1)
        states = dlc.cast((dlc.arange(2 ** HIDDEN)[:, None] >> dlc.arange(HIDDEN)) & 1, f32)
        every = states @ self.hidden + dlc.softplus(states @ self.weight.T + self.visible).sum(1)
        return (free - dlc.logsumexp(every)).mean()

    def on(self, x: Node) -> Node:
        """How probable each hidden unit is, given x."""
        return dlc.sigmoid(x @ self.weight + self.hidden)

    def gibbs(self, x: Node) -> Node:
        """x after one step: hidden units given x, and visible units given them."""
        hidden = dlc.cast(dlc.random.bernoulli((x.shape[0], HIDDEN), self.on(x)), f32)
        again = dlc.sigmoid(hidden @ self.weight.T + self.visible)
        return dlc.cast(dlc.random.bernoulli(x.shape, again), f32)

    def learn(self, x: Node, fantasy: Node) -> None:
        """Move towards the statistics of the data, and away from those of the machine."""
        p, q = self.on(x), self.on(fantasy)
        slope = x.T @ p / x.shape[0] - fantasy.T @ q / fantasy.shape[0]
        dlc.update_state(self.weight, self.weight + RATE * slope)
        dlc.update_state(self.visible, self.visible + RATE * (x.mean(0) - fantasy.mean(0)))
        dlc.update_state(self.hidden, self.hidden + RATE * (p.mean(0) - q.mean(0)))


def contrastive(x: f32["batch", 16]) -> dlc.Loss:
    machine = Machine()
    nats = machine.log_likelihood(x)
    if dlc.training():
        machine.learn(x, machine.gibbs(x))
    return dlc.loss(-nats, nats=nats)


def persistent(x: f32["batch", 16]) -> dlc.Loss:
    machine = Machine()
    nats = machine.log_likelihood(x)
    if dlc.training():
        chains = dlc.state("chains", f32[CHAINS, VISIBLE])
        moved = machine.gibbs(chains)
        dlc.update_state(chains, moved)
        machine.learn(x, moved)
    return dlc.loss(-nats, nats=nats)


rbm = dlc.task(name="rbm", data="bars", batch=30, epochs=10_000,
               phases=[dlc.phase("cd", contrastive)])
rbm_persistent = dlc.task(name="rbm_persistent", data="bars", batch=30, epochs=10_000,
                          phases=[dlc.phase("pcd", persistent)])
