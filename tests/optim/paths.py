"""Draws the paths of the optimizers on three surfaces, from compiled runs: docs/optimizers.md.

    python -m tests.optim.paths [--out docs/optimizers] [--steps N] [SURFACE ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import dlc
from dlc import f64, optim
from tests.optim.drawing import Panel, picture

OUT = Path(__file__).resolve().parents[2] / "docs" / "optimizers"
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Surface:
    """f(w) = |r(w)|^2 / 2 of a point w [2]; `residuals` works on nodes and on arrays alike."""

    title: str
    residuals: Callable[[Any, Any], tuple[Any, Any]]
    start: tuple[float, float]
    goals: tuple[tuple[float, float], ...]
    x: tuple[float, float]
    y: tuple[float, float]
    steps: int
    rates: dict[str, float]

    def value(self, x: Any, y: Any) -> Any:
        first, second = self.residuals(x, y)
        return 0.5 * (first * first + second * second)


# rates by hand: the largest that do not diverge, or that get there first
SURFACES = {
    "quadratic": Surface(
        "An ill-conditioned quadratic, (x² + 50 y²) / 2", lambda x, y: (x, y * 50 ** 0.5),
        (-4.0, 1.0), ((0.0, 0.0),), (-4.8, 1.8), (-1.6, 1.6), 80,
        {"sgd": 0.036, "momentum": 0.012, "nesterov": 0.012, "adagrad": 0.6, "adadelta": 30.0,
         "rmsprop": 0.06, "adam": 0.2, "adamax": 0.3, "nadam": 0.2, "radam": 0.03, "lion": 0.08,
         "lamb": 0.06, "muon": 0.08, "lbfgs": 1.0, "hessian_free": 1.0}),
    "ravine": Surface(
        "A ravine, Rosenbrock's (1 - x)² + 100 (y - x²)²",
        lambda x, y: ((1.0 - x) * 2 ** 0.5, (y - x * x) * 200 ** 0.5),
        (-1.2, 1.0), ((1.0, 1.0),), (-1.7, 1.5), (-0.6, 1.7), 300,
        {"sgd": 0.0015, "momentum": 0.0006, "nesterov": 0.0008, "adagrad": 0.3, "adadelta": 20.0,
         "rmsprop": 0.01, "adam": 0.08, "adamax": 0.1, "nadam": 0.08, "radam": 0.002, "lion": 0.012,
         "lamb": 0.02, "muon": 0.015, "lbfgs": 0.5, "hessian_free": 1.0}),
    "saddle": Surface(
        "A saddle, (x² - y²) / 2 + y⁴ / 4", lambda x, y: (x, (y * y - 1.0) * 0.5 ** 0.5),
        (-1.6, 0.001), ((0.0, 1.0), (0.0, -1.0)), (-1.9, 0.9), (-1.4, 1.4), 60,
        {"sgd": 0.25, "momentum": 0.05, "nesterov": 0.05, "adagrad": 0.4, "adadelta": 30.0,
         "rmsprop": 0.05, "adam": 0.15, "adamax": 0.2, "nadam": 0.15, "radam": 0.3, "lion": 0.06,
         "lamb": 0.06, "muon": 0.06, "lbfgs": 1.0, "hessian_free": 1.0}),
}
SETTINGS: dict[str, dict[str, Any]] = {"hessian_free": {"damping": 0.1, "iterations": 4}}


def task_of(surface: Surface) -> dlc.Task:
    """A point for each optimizer, all from the same start, as the parameters of one task."""
    rules = {name: getattr(optim, name)(rate, **SETTINGS.get(name, {}))
             for name, rate in surface.rates.items()}

    def start(key: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        return dlc.asarray(np.array(surface.start)).reshape(shape)

    @dlc.task(optimizer=optim.by_name(rules), batch=1)
    def descent(scale: f64["batch"]) -> Any:
        found = []
        for name in rules:
            # a matrix where the optimizer is one of matrices
            shape = (2, 1) if name == "muon" else (2,)
            w = dlc.parameter(name, f64[shape], start).reshape((2,))
            found += surface.residuals(w[0], w[1])
        judged = dlc.stack(found)
        return dlc.loss(dlc.sum(judged * judged) * 0.5 * scale[0], prediction=judged)

    return descent


def paths(surface: Surface, steps: int | None = None) -> dict[str, Array]:
    """The points [steps + 1, 2] that each optimizer of the compiled task passes."""
    found = {name: [np.array(surface.start)] for name in surface.rates}
    with dlc.compile(task_of(surface)).load(threads=1) as run:
        for _ in range(surface.steps if steps is None else steps):
            run(np.ones(1), entry="train")
            for name, points in found.items():
                points.append(run.read(name).reshape(2))
    return {name: np.stack(points) for name, points in found.items()}


def steps_needed(surface: Surface, points: Array) -> int | None:
    """How many steps until f is a thousandth of what it was above its least, for good."""
    least = min(float(surface.value(*goal)) for goal in surface.goals)
    above = surface.value(points[:, 0], points[:, 1]) - least
    late = np.nonzero(above > above[0] / 1000)[0]
    done = int(late[-1]) + 1 if len(late) else 0
    return done if done < len(points) else None


def draw(name: str, folder: Path, steps: int | None = None) -> dict[str, Array]:
    """Write the picture of one surface, a panel an optimizer."""
    surface = SURFACES[name]
    found = paths(surface, steps)
    panels = []
    for rule, points in found.items():
        needed = steps_needed(surface, points)
        told = f"{needed} steps" if needed is not None else f"not in {len(points) - 1}"
        panels.append(Panel(rule, f"rate {surface.rates[rule]:g}: {told}", points))
    (folder / f"{name}.svg").write_text(picture(
        surface.title, panels, surface.value, surface.x, surface.y, surface.goals))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--steps", type=int)
    parser.add_argument("surfaces", nargs="*", choices=[*SURFACES, []], metavar="SURFACE")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.surfaces or SURFACES:
        draw(name, options.out, options.steps)


if __name__ == "__main__":
    main()
