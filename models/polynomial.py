"""Polynomials of degree 1, 2 and 9 on twelve noisy points of a parabola: under- and overfitting.

After I. Goodfellow, Y. Bengio and A. Courville, Deep learning, 2016, section 5.2. Degree 1 can't
bend, degree 9 follows the noise, and degree 2 is right: its error on 200 other points is the
smallest. The polynomials are written in Chebyshev's, which keeps the least-squares problem well
conditioned.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, init, nn, optim


def polynomial(x: Node, degree: int) -> Node:
    """A polynomial of x [n, 1]: a trained combination of Chebyshev's T0 to T`degree`."""
    weight = dlc.parameter("weight", f32[degree + 1], init.zeros)
    terms = [dlc.ones_like(x), x]
    while len(terms) <= degree:
        terms.append(2.0 * x * terms[-1] - terms[-2])
    return dlc.concat(terms, 1) @ weight


def fit(name: str, degree: int) -> dlc.Task:
    """Least squares by L-BFGS."""
    def loss(x: f32["batch", 1], y: f32["batch", 1]) -> dlc.Loss:
        return dlc.loss(nn.mse(polynomial(x, degree), y[:, 0]))

    return dlc.task(name=name, data="quadratic", optimizer=optim.lbfgs(), batch=12,
                    epochs=300)(loss)


polynomial_1 = fit("polynomial_1", 1)
polynomial_2 = fit("polynomial_2", 2)
polynomial_9 = fit("polynomial_9", 9)
