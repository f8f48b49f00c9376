"""Learning-rate schedules: functions of the step, computed in the graph; composable values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node
from dlc.lang import scope
from dlc.ops import elementwise
from dlc.ops.convert import as_node, cast


@dataclass(frozen=True)
class Clock:
    """The time of a step: `step` [()] counts from 0, in f64 where a parameter is f64, else in f32;
    `epochs` is the length of the training."""

    step: Node
    epochs: int

    def steps(self, span: Span) -> Node:
        """A span as steps [()]."""
        if span.steps is not None:
            return as_node(float(span.steps), self.step.dtype)
        epochs = self.epochs if span.epochs is None else span.epochs
        return cast(scope.steps_per_epoch(), self.step.dtype) * float(epochs)


@dataclass(frozen=True)
class Span:
    """A length of time: steps, or epochs, or (neither given) the whole training."""

    steps: int | None = None
    epochs: float | None = None


def _span(what: str, steps: int | None, epochs: float | None) -> Span:
    if steps is not None and epochs is not None:
        raise DlcError(f"{what}: steps={steps} and epochs={epochs} are both given", here(),
                       "give one of the two")
    for name, value in (("steps", steps), ("epochs", epochs)):
        if value is not None and not is_number(value, above=0):
            raise DlcError(f"{what}: {name}={value!r} is not a positive number", here())
    return Span(steps, epochs)


def is_number(value: object, above: float = -math.inf) -> bool:
    """Whether it is a finite number, and more than `above`."""
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
            and math.isfinite(value) and value > above)


def _factor(what: str, factor: float) -> float:
    if not is_number(factor, above=0):
        raise DlcError(f"{what}: factor={factor!r} is invalid", here(), "it is a number above 0")
    return float(factor)


@dataclass(frozen=True)
class Plateau:
    """When the training loop counts one more plateau: after `patience` epochs without a monitored
    metric better by the share `threshold`; the next `cooldown` epochs don't count."""

    patience: int
    threshold: float
    cooldown: int


@dataclass(frozen=True, eq=False)
class LearningRate:
    """A learning rate over time; `at(clock)` is its value at a step, of the clock's dtype."""

    at: Callable[[Clock], Node]
    text: str
    plateau: Plateau | None = None

    def __str__(self) -> str:
        return self.text

    def scaled(self, factor: float) -> LearningRate:
        """This schedule times `factor`."""
        return LearningRate(lambda clock: self.at(clock) * factor, f"{factor} * {self.text}",
                        self.plateau)


Rate = float | LearningRate | Callable[[Node], Any]


def as_schedule(rate: Rate) -> LearningRate:
    """A number, a schedule, or a function of the step (a float [()], from 0) as a LearningRate.

    Raises DlcError for a negative or non-finite number and for anything else.
    """
    if isinstance(rate, LearningRate):
        return rate
    if callable(rate) and not isinstance(rate, Node):
        function = rate
        return LearningRate(lambda clock: cast(function(clock.step), clock.step.dtype),
                        getattr(rate, "__name__", "schedule"))
    if isinstance(rate, bool) or not isinstance(rate, (int, float)):
        raise DlcError(f"learning rate {rate!r} is not a number or schedule", here(),
                       "e.g. 1e-3, or optim.cosine(1e-3)")
    return constant(rate)


def _rate(value: float) -> float:
    if not is_number(value) or value < 0:
        raise DlcError(f"learning rate {value!r} is invalid", here(),
                       "it is a number, 0 or larger")
    return float(value)


def constant(rate: float) -> LearningRate:
    """Always `rate`."""
    value = _rate(rate)
    return LearningRate(lambda clock: as_node(value, clock.step.dtype), f"{value:g}")


def step_decay(rate: float, factor: float = 0.1, every: int | None = None,
               every_epochs: float | None = None) -> LearningRate:
    """rate * factor ** floor(step / every): PyTorch's StepLR."""
    value, span = _rate(rate), _span("step_decay", every, every_epochs)
    times = _factor("step_decay", factor)

    def at(clock: Clock) -> Node:
        count = elementwise.floor(clock.step / clock.steps(span))
        return elementwise.power(times, count) * value

    return LearningRate(at, f"step_decay({value:g}, {times:g})")


def exponential(rate: float, factor: float, every: int | None = None,
                every_epochs: float | None = None) -> LearningRate:
    """rate * factor ** (step / every), smooth; `every` defaults to the whole training."""
    value, span = _rate(rate), _span("exponential", every, every_epochs)
    times = _factor("exponential", factor)

    def at(clock: Clock) -> Node:
        share = clock.step / clock.steps(span)
        return elementwise.power(times, share) * value

    return LearningRate(at, f"exponential({value:g}, {times:g})")


def cosine(rate: float, final: float = 0.0, steps: int | None = None,
           epochs: float | None = None) -> LearningRate:
    """From `rate` to `final` on half a cosine, then `final` (Loshchilov and Hutter 2017, eq. 5).

    Over `steps` or `epochs`; over the whole training when neither is given.
    """
    value, last = _rate(rate), _rate(final)
    span = _span("cosine", steps, epochs)

    def at(clock: Clock) -> Node:
        share = elementwise.minimum(clock.step / clock.steps(span), 1.0)
        return (elementwise.cos(share * math.pi) + 1.0) * ((value - last) / 2) + last

    return LearningRate(at, f"cosine({value:g}, {last:g})")


def warmup(rate: Rate, steps: int | None = None, epochs: float | None = None) -> LearningRate:
    """`rate` (a number or schedule) times a ramp from near 0 to 1 over `steps` or `epochs`.

    The ramp is (step + 1) / steps, so that the first step already learns.
    """
    then, span = as_schedule(rate), _span("warmup", steps, epochs)

    def at(clock: Clock) -> Node:
        return then.at(clock) * elementwise.minimum((clock.step + 1.0) / clock.steps(span), 1.0)

    return LearningRate(at, f"warmup({then})", then.plateau)


def one_cycle(rate: float, rise: float = 0.3, divide: float = 25.0, final: float = 1e4,
              steps: int | None = None, epochs: float | None = None) -> LearningRate:
    """From rate / divide to `rate` on half a cosine over the share `rise` of the time, then to
    rate / divide / final (Smith and Topin 2018; PyTorch's OneCycleLR).

    Over `steps` or `epochs`; over the whole training when neither is given.
    """
    value, span = _rate(rate), _span("one_cycle", steps, epochs)
    if not all(is_number(v, above=0) for v in (rise, divide, final)) or rise >= 1:
        raise DlcError(f"one_cycle: rise={rise!r}, divide={divide!r}, final={final!r}", here(),
                       "0 < rise < 1, and divisors above 0")
    low, last = value / divide, value / divide / final

    def at(clock: Clock) -> Node:
        end = clock.steps(span)
        top = end * rise - 1.0
        up = _half_cosine(low, value, clock.step / top)
        down = _half_cosine(value, last, (clock.step - top) / (end - 1.0 - top))
        return elementwise.where(clock.step <= top, up, down)

    return LearningRate(at, f"one_cycle({value:g})")


def _half_cosine(start: float, end: float, share: Node) -> Node:
    """From `start` to `end` as the share goes from 0 to 1, then `end`."""
    angle = elementwise.minimum(share, 1.0) * math.pi
    return (elementwise.cos(angle) + 1.0) * ((start - end) / 2) + end


def plateau(rate: Rate, factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
            cooldown: int = 0, least: float = 0.0) -> LearningRate:
    """`rate` times `factor` for each time that the monitored metric was no better for more than
    `patience` epochs, at least `least` (PyTorch's ReduceLROnPlateau).

    Better is by the share `threshold`; after a reduction `cooldown` epochs do not count. The
    training loop counts the plateaus in the state `plateau`.
    """
    then, lowest = as_schedule(rate), _rate(least)
    for name, number in (("patience", patience), ("cooldown", cooldown)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise DlcError(f"plateau: {name}={number!r} is invalid", here(),
                           f"{name} is a whole number of epochs")
    if not (is_number(factor, above=0) and factor < 1 and is_number(threshold)
            and 0 <= threshold < 1):
        raise DlcError(f"plateau: factor={factor!r}, threshold={threshold!r}", here(),
                       "0 < factor < 1 and 0 <= threshold < 1")

    def at(clock: Clock) -> Node:
        count = cast(scope.plateaus(), clock.step.dtype)
        return elementwise.maximum(then.at(clock) * elementwise.power(float(factor), count), lowest)

    return LearningRate(at, f"plateau({then}, {factor:g})",
                    Plateau(patience, float(threshold), cooldown))


def piecewise(rates: Mapping[int, float]) -> LearningRate:
    """The rate of the largest step not above the present one: {0: 0.1, 1000: 0.01}."""
    if not isinstance(rates, Mapping) or 0 not in rates or not all(map(is_number, rates)):
        raise DlcError(f"piecewise: {rates!r} is not a rate for each of some steps", here(),
                       "give the first rate at 0: {0: 0.1, 1000: 0.01}")
    ordered = sorted((int(s), _rate(r)) for s, r in rates.items())

    def at(clock: Clock) -> Node:
        value = as_node(ordered[0][1], clock.step.dtype)
        for start, rate in ordered[1:]:
            value = elementwise.where(clock.step >= float(start), rate, value)
        return value

    return LearningRate(at, "piecewise(" + ", ".join(f"{s}: {r:g}" for s, r in ordered) + ")")
