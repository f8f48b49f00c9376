"""A deep equilibrium model: one layer repeated until it changes nothing, for the digits.

After S. Bai, J. Z. Kolter and V. Koltun, Deep equilibrium models, 2019: the hidden state is the
fixed point z = f(z, x), found by iteration, and so is the gradient through it, of which nothing but
z is kept (the implicit function theorem). `unrolled` is the same layer as a network of 64 layers
with shared weights, differentiated through all of them. Differs: a dense layer of tanh instead of
a transformer, and plain iteration instead of Broyden's method. The weights into a unit are scaled
to an absolute sum of at most .8: the layer is then a contraction, and has one fixed point (L. El
Ghaoui et al., Implicit deep learning, 2021).
"""

from __future__ import annotations

from collections.abc import Callable

import dlc
from dlc import Node, f32, i32, init, nn, optim

WIDTH, DEPTH, LIPSCHITZ, TOLERANCE = 128, 64, 0.8, 1e-5
# The pullback contracts sums over a row, of up to WIDTH times the largest: .8 ** 80 < 1e-5 / 128.
BOUND = 80
LEARNING = optim.adam(optim.cosine(2e-3))
inject, head = nn.dense(WIDTH, name="inject"), nn.dense(10, name="head")


def layer(z: Node, w: Node, x: Node) -> Node:
    return dlc.tanh(z @ w + x)


def iterated(f: Callable[[Node], Node], start: Node, scale: Node) -> Node:
    """The fixed point of a contraction f, iterated until it moves by 1e-5 of `scale`."""
    (_, z), _ = dlc.while_loop(lambda c: dlc.abs(c[1] - c[0]).max() > TOLERANCE * scale,
                               lambda c: (c[1], f(c[1])), (start, f(start)), bound=BOUND)
    found: Node = z
    return found


@dlc.custom_gradient
def equilibrium_of(w: Node, x: Node) -> tuple[Node, Callable[[Node], tuple[Node, Node]]]:
    """z = layer(z, w, x); its cotangent solves u = g + (d layer / d z)^T u."""
    z = iterated(lambda z: layer(z, w, x), dlc.zeros_like(x), dlc.asarray(1.0, f32))

    def pullback(g: Node) -> tuple[Node, Node]:
        _, back = dlc.vjp(layer, z, w, x)
        u = iterated(lambda u: g + back(u)[0], g, dlc.abs(g).max())
        _, to_w, to_x = back(u)
        return to_w, to_x

    return z, pullback


def weights() -> Node:
    w = dlc.parameter("weight", f32[WIDTH, WIDTH], init.normal(0.02))
    return w * LIPSCHITZ / dlc.maximum(dlc.abs(w).sum(0), LIPSCHITZ)


def classified(z: Node, label: Node) -> dlc.Loss:
    logits = head(z)
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))


@dlc.task(data="digits8", optimizer=LEARNING, batch=64, epochs=20)
def equilibrium(image: f32["batch", 64], label: i32["batch"]) -> dlc.Loss:
    return classified(equilibrium_of(weights(), inject(image)), label)


@dlc.task(data="digits8", optimizer=LEARNING, batch=64, epochs=20)
def unrolled(image: f32["batch", 64], label: i32["batch"]) -> dlc.Loss:
    w, x = weights(), inject(image)
    z = dlc.zeros_like(x)
    for _ in range(DEPTH):
        z = layer(z, w, x)
    return classified(z, label)
