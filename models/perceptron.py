"""Rosenblatt's perceptron rule on a McCulloch-Pitts neuron: iris setosa against the other two.

After F. Rosenblatt, The perceptron, 1958, and W. S. McCulloch and W. Pitts, A logical calculus of
the ideas immanent in nervous activity, 1943. Each sample that is on the wrong side moves the
weights by itself; there is no gradient. The classes can be separated, so the errors end after
finitely many passes. `perceptron_xor` runs the same rule on the four cases of exclusive or, where
they never end.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, init


def neuron(x: Node) -> tuple[Node, Node, Node]:
    """(1 where the weighted sum reaches the threshold, the weights, the threshold)."""
    weight = dlc.parameter("weight", f32[x.shape[1]], init.zeros)
    threshold = dlc.parameter("threshold", f32[()], init.zeros)
    return dlc.cast(x @ weight >= threshold, f32), weight, threshold


def rule(x: Node, target: Node) -> dlc.Loss:
    """Add a sample that should have fired to the weights; subtract one that should not have."""
    fires, weight, threshold = neuron(x)
    error = target - fires
    if dlc.training():
        dlc.update_state(weight, weight + error @ x)
        dlc.update_state(threshold, threshold - error.sum())
    return dlc.loss(abs(error).mean(), prediction=fires, accuracy=1.0 - abs(error).mean())


def setosa(x: f32["batch", 4], label: i32["batch"]) -> dlc.Loss:
    return rule(x, dlc.cast(label == 0, f32))


def either(x: f32["batch", 2], y: f32["batch", 1]) -> dlc.Loss:
    return rule(x, y[:, 0])


perceptron = dlc.task(name="perceptron", data="iris?test=0", batch=1, epochs=10,
                      phases=[dlc.phase("rule", setosa)])
perceptron_xor = dlc.task(name="perceptron_xor", data="xor", batch=1, epochs=100,
                          phases=[dlc.phase("rule", either)])
