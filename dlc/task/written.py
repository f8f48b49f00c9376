"""What a training step writes whatever its learning rate: what a resumed run is compared by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dlc.ir.graph import Graph, Node
from dlc.lang.scope import Scope, copied, restore
from dlc.ops import leaf
from dlc.optim.learning_rate import Clock, LearningRate
from dlc.optim.optimizer import Optimizer

# an optimizer -> the new values of the parameters; states go to the scope
Updated = Callable[[Optimizer], Mapping[str, Node]]


def freely_rated(scope: Scope, optimizer: Optimizer | None, updated: Updated, name: str,
                 inputs: Sequence[Node], values: Mapping[str, Node]) -> Graph:
    """The graph of `values` and of all that the step updates, in which the learning rate, also a
    constant and that of every group, is an input. The update is traced for it and forgotten."""
    if optimizer is None:
        written = {**values, **scope.updates}
        nodes = [v.node for v in scope.variables.values()]
        return Graph(name, (*inputs, *nodes), tuple(written.values()), tuple(written))
    free: list[Node] = []

    def at(clock: Clock) -> Node:
        if not free:
            free.append(leaf.input_("rate", clock.step.type))
            free[0].locs = ()  # not the line of what started dlc: another start has another
        return free[0]

    before = copied(scope)
    new = updated(optimizer.with_rate(LearningRate(at, "rate")))
    written = {**values, **scope.updates, **new}
    nodes = [v.node for v in scope.variables.values()]
    restore(scope, before)
    return Graph(name, (*inputs, *nodes, *free), tuple(written.values()), tuple(written))
