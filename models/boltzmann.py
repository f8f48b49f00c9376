"""A Boltzmann machine of eight visible and two hidden units; its learning rule beside the truth.

After D. H. Ackley, G. E. Hinton and T. J. Sejnowski, A learning algorithm for Boltzmann machines,
1985: every unit is connected with every other. A weight moves by how often its two units are on
together while the patterns are clamped, less how often when the machine runs freely; both are
counted in Gibbs sampling. With ten units all 1,024 states can be summed, so the figure is the
exact mean log-likelihood of the eight patterns, in nats; the best is -2.08, and a uniform machine
has -5.55. `rule.cosine` is that of the rule's step with the exact gradient. Differs: chains that go
on from step to step, in place of annealing from each start.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, init

VISIBLE, UNITS, CHAINS, SWEEPS, RATE = 8, 10, 200, 2, 0.05


def parameters() -> tuple[Node, Node]:
    """Weights between all units, and biases."""
    return (dlc.parameter("weight", f32[UNITS, UNITS], init.zeros),
            dlc.parameter("bias", f32[UNITS], init.normal(0.1)))


def settled(s: Node, first: int, weight: Node, bias: Node) -> Node:
    """s after some sweeps, in which each unit from `first` on is drawn given all others."""
    chance = dlc.random.uniform((SWEEPS, UNITS, s.shape[0]))

    def sweep(i: Node, s: Node) -> Node:
        for unit in range(first, UNITS):
            on = dlc.cast(chance[i, unit] < dlc.sigmoid(s @ weight[:, unit] + bias[unit]), f32)
            s = dlc.where(dlc.arange(UNITS) == unit, on[:, None], s)
        return s

    found: Node = dlc.fori(SWEEPS, sweep, s)
    return found


def exact(x: Node, weight: Node, bias: Node) -> Node:
    """The mean of log p(x), summed over all states of the hidden units and of all."""
    def total(s: Node) -> Node:
        return dlc.logsumexp(0.5 * ((s @ weight) * s).sum(-1) + s @ bias, -1)

    bits = dlc.cast((dlc.arange(2 ** UNITS)[:, None] >> dlc.arange(UNITS)) & 1, f32)
    hidden = bits[:4, :UNITS - VISIBLE]
    clamped = dlc.concat([dlc.repeat(x[:, None], 4, 1),
                          dlc.repeat(hidden[None], x.shape[0], 0)], 2)
    return (total(clamped) - total(bits)).mean()


def learn(x: f32["batch", 8]) -> dlc.Loss:
    weight, bias = parameters()
    nats, slope = dlc.value_and_grad(lambda w: exact(x, w, bias))(weight)
    if not dlc.training():
        return dlc.loss(-nats, nats=nats)
    chains = dlc.state("chains", f32[CHAINS, UNITS])
    each = dlc.take(x, dlc.arange(CHAINS) * x.shape[0] // CHAINS, 0)
    held = dlc.concat([each, chains[:, VISIBLE:]], 1)
    held, free = settled(held, VISIBLE, weight, bias), settled(chains, 0, weight, bias)
    step = (held.T @ held - free.T @ free) / CHAINS * (1.0 - dlc.eye(UNITS))
    true = slope * (1.0 - dlc.eye(UNITS))
    cosine = (step * true).sum() / dlc.sqrt((step * step).sum() * (true * true).sum() + 1e-12)
    dlc.update_state(chains, free)
    dlc.update_state(weight, weight + RATE * step)
    dlc.update_state(bias, bias + RATE * (held.mean(0) - free.mean(0)))
    return dlc.loss(-nats, nats=nats, cosine=cosine)


boltzmann = dlc.task(name="boltzmann", data="encoder", batch=8, epochs=1500,
                     phases=[dlc.phase("rule", learn)])
