"""Restricted Boltzmann machines as layers: hidden units given visible ones, back, and the contrast
between data and what the machine makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dlc import init, random
from dlc.errors import DlcError, here
from dlc.ir.graph import Node
from dlc.ir.types import f32
from dlc.lang.layer import Layer, apply_layer
from dlc.lang.scope import Initializer, current_scope, parameter
from dlc.nn import checks
from dlc.nn.functions import softplus
from dlc.ops import elementwise, leaf, reduce, view
from dlc.ops.contract import matmul
from dlc.ops.convert import cast

HIDDEN = ("binary", "gaussian")
ENUMERATED = 16  # units of a layer whose states are all summed


@dataclass(frozen=True, eq=False)
class Machine(Layer):
    """A restricted Boltzmann machine (`nn.rbm`). Called with x [n, visible], it gives the means of
    its hidden units, [n, hidden]."""

    visible: int = 0
    units: int = 0
    hidden: str = "binary"
    weight_init: Initializer | None = None

    def _on(self, function: Callable[..., Node], *args: Any) -> Node:
        """`function(*args)` among the machine's parameters."""
        scope = current_scope(f"applying {self}")
        found: Node = apply_layer(scope, self, args,
                                  lambda: scope.part(self, self.kind, self.name), other=function)
        return found

    def back(self, hidden: Any) -> Node:
        """How probable each visible unit is, given hidden ones: [n, hidden] -> [n, visible]."""
        return self._on(self._visible, hidden)

    def energy(self, x: Any) -> Node:
        """The free energy of each row, [n]: -log p(x), but for a constant."""
        return self._on(self._energy, x)

    def gibbs(self, x: Any, steps: int = 1) -> Node:
        """x after `steps` times: hidden units drawn given it, and visible units given them."""
        checks.at_least("rbm.gibbs", 1, steps=steps)
        for _ in range(steps):
            x = self._on(self._step, x)
        return elementwise.stop_gradient(x)

    def contrast(self, x: Any, steps: int = 1) -> Node:
        """The mean free energy of x less that of what Gibbs sampling makes of it in `steps`.

        Its gradient is the rule of contrastive divergence, CD-k (Hinton 2002); its value is no
        measure of how well the machine fits.
        """
        return reduce.mean(self.energy(x)) - reduce.mean(self.energy(self.gibbs(x, steps)))

    def log_partition(self) -> Node:
        """The logarithm of the partition function, so that log p(x) is -energy(x) less it: the sum
        over all states of the smaller layer, of which the larger is summed in closed form.

        Raises DlcError for a machine whose smaller layer has more than ENUMERATED units, and for
        Gaussian hidden units.
        """
        if self.hidden != "binary" or min(self.visible, self.units) > ENUMERATED:
            raise DlcError(f"{self}.log_partition: {self.hidden} hidden units, and "
                           f"{min(self.visible, self.units)} in the smaller layer", here(),
                           f"binary units, at most {ENUMERATED} of them: 2^{ENUMERATED} states")
        return self._on(self._log_partition)

    # --- in an application, which declares each parameter once

    def _parameters(self) -> tuple[Node, Node, Node]:
        first = self.weight_init or init.normal(0.01)
        return (parameter("weight", f32[self.visible, self.units], first),
                parameter("visible", f32[self.visible], init.zeros),
                parameter("hidden", f32[self.units], init.zeros))

    def _means(self, x: Node) -> Node:
        weight, _, bias = self._parameters()
        return self._link(matmul(x, weight) + bias)

    def _link(self, told: Node) -> Node:
        return elementwise.sigmoid(told) if self.hidden == "binary" else told

    def _visible(self, hidden: Node) -> Node:
        weight, bias, _ = self._parameters()
        return elementwise.sigmoid(matmul(hidden, view.transpose(weight)) + bias)

    def _energy(self, x: Node) -> Node:
        weight, visible, hidden = self._parameters()
        told = matmul(x, weight) + hidden
        each = softplus(told) if self.hidden == "binary" else 0.5 * elementwise.square(told)
        return -matmul(x, visible) - reduce.sum_(each, 1)

    def _log_partition(self) -> Node:
        weight, visible, hidden = self._parameters()
        if self.units < self.visible:
            weight, visible, hidden = view.transpose(weight), hidden, visible
        count = int(weight.shape[0])
        number, place = (leaf.iota((2 ** count, count), axis) for axis in (0, 1))
        states = cast(elementwise.and_(elementwise.shr(number, place), 1), f32)
        every = matmul(states, visible) + reduce.sum_(softplus(matmul(states, weight) + hidden), 1)
        return reduce.logsumexp(every)

    def _step(self, x: Node) -> Node:
        weight, visible, hidden = self._parameters()
        means = self._link(matmul(x, weight) + hidden)
        drawn = (cast(random.bernoulli(means.shape, means), f32) if self.hidden == "binary"
                 else means + random.normal(means.shape))
        again = elementwise.sigmoid(matmul(drawn, view.transpose(weight)) + visible)
        return cast(random.bernoulli(again.shape, again), f32)


def rbm(visible: int, hidden: int, units: str = "binary", *,
        weight_init: Initializer | None = None, name: str = "") -> Machine:
    """A restricted Boltzmann machine of binary visible units: x [n, visible] -> means of the hidden
    units [n, hidden].

    weight [visible, hidden], normal with deviation .01; biases visible and hidden, zeros. Hidden
    `units` are "binary" or "gaussian" (of variance 1). `machine.back(h)` gives probabilities of
    visible units, `energy(x)` free energies, `gibbs(x)` samples, `contrast(x)` the loss of
    contrastive divergence, and `log_partition()` the exact normalization of a small machine.
    Visible values between 0 and 1 count as probabilities.
    Source: Hinton 2002; Hinton and Salakhutdinov 2006.
    """
    checks.at_least("rbm", 1, visible=visible, hidden=hidden)
    checks.one_of("rbm", "units", units, HIDDEN)
    machine = Machine("rbm", lambda x: machine._means(x), f"rbm({visible}, {hidden})", name, here(),
                      visible, hidden, units, weight_init)
    return machine
