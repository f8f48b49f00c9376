"""One network trained from one seed, as `dlc train NAME` does, and the figure that it reached."""

from __future__ import annotations

import time
from dataclasses import dataclass

from dlc.cli.source import load_task
from dlc.models import GOALS, Goal
from dlc.network import Network
from dlc.task.task import Task


@dataclass(frozen=True)
class Measured:
    """The figure of a network after training, averaged over folds where its goal has any."""

    name: str
    seed: int
    figure: float
    seconds: float

    @property
    def goal(self) -> Goal:
        """What the network has to reach."""
        return GOALS[self.name]

    def line(self) -> str:
        """name, seed, figure, required, seconds"""
        word = "" if self.goal.reached(self.figure) else "  NOT REACHED"
        return (f"{self.name:24} {self.seed:4}  {self.figure:<10.5g} {self.goal!s:44} "
                f"{self.seconds:6.1f} s{word}")


def measure(name: str, seed: int, precision: str = "f32") -> Measured:
    """Train the bundled network `name` from `seed`, and before it the one that it starts from."""
    began = time.perf_counter()
    goal = GOALS[name]
    whole = load_task(name).with_options(precision=precision)
    start = begun_from(name, seed)
    figures = [float(task.train(seed=seed, init=start).metrics[goal.metric])
               for task in folds(whole, goal.folds)]
    return Measured(name, seed, sum(figures) / len(figures), time.perf_counter() - began)


def begun_from(name: str, seed: int) -> Network | None:
    """The trained network whose weights a network starts from, None where it starts from its own.
    """
    first = GOALS[name].init
    return load_task(first).train(seed=seed).network if first else None


def folds(task: Task, count: int) -> list[Task]:
    """The task on each of `count` folds of its data; the task itself for 0."""
    sign = "&" if "?" in str(task.data) else "?"
    return [task.with_options(data=f"{task.data}{sign}fold={k}/{count}")
            for k in range(1, count + 1)] or [task]


def parameters(name: str) -> int:
    """How many parameters a bundled network has."""
    task = load_task(name)
    return int(task.meta(task.graphs())["parameters"])


def beaten(found: Measured, other: Measured) -> bool:
    """Whether `found` is better than the network that its goal names."""
    if found.goal.more_is_better:
        return found.figure > other.figure
    return found.figure < other.figure
