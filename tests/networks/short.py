"""How far each bundled network gets in a second: options, metric, and the range it must end in.

Where data alone decide the result, the range is that figure within about a thousandth. Elsewhere it
is chosen around what seed 0 reaches on AVX-512, far from where an untrained network stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Short:
    """A short run: `metric` of the held-out data ends within low .. high."""

    metric: str
    low: float
    high: float
    options: Mapping[str, Any] = field(default_factory=dict)


RUNS = {
    "perceptron": Short("rule.accuracy", 1.0, 1.0, {"epochs": 5}),
    "adaline": Short("erle", 25.0, 60.0, {"epochs": 1}),
    "least_squares_bmi": Short("coefficient", 938.2, 938.3, {"epochs": 10}),
    "ridge": Short("r2", 0.4508, 0.4516, {"epochs": 40}),
    "polynomial_2": Short("loss", 0.0456, 0.0461, {"epochs": 40}),
    "iris": Short("accuracy", 0.95, 1.0, {"data": "iris?test=0&fold=1/10", "epochs": 30}),
    "steps": Short("loss", 0.0, 0.002, {"epochs": 60}),
    "xor_online": Short("loss", 0.0, 0.01, {"epochs": 400}),
    "xor": Short("loss", 0.001, 0.02, {"epochs": 60}),
    "lecun1989": Short("accuracy", 0.93, 0.99, {"epochs": 5}),
    "ngram": Short("bits", 2.4, 2.7),
    "rnn": Short("bits", 2.2, 3.0, {"epochs": 1}),
    "autoencoder": Short("loss", 0.015, 0.028, {"epochs": 15}),
    "vae": Short("loss", 24.5, 26.5, {"epochs": 20}),
    "rbm": Short("nats", -9.3, -8.0, {"epochs": 1500}),
    "hopfield": Short("overlap", 0.98, 1.0),
    "hopfield_full": Short("overlap", 0.4, 0.7),
    "encoder": Short("loss", 0.0, 0.3, {"epochs": 800}),
}
