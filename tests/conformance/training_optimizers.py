"""Optimizers of both libraries side by side, and how far f32 may lead in one update.

An update is judged given its own gradient, which the optimizer's moments tell: Adam divides what
may be the rounding of a gradient of 0 by its own size, and no tolerance on parameters alone
survives that. PyTorch's optimizer makes the same update in f64, from the state that dlc had before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from dlc import optim

Array = np.ndarray[Any, Any]
State = Mapping[str, Array]  # of one parameter, in f64: "p", and its moments by dlc's names
EPS = float(np.finfo(np.float32).eps)
TINY = float(np.finfo(np.float32).tiny)  # kernels may flush to zero what is below


@dataclass(frozen=True)
class Told:
    """A gradient that the moments before and after a step tell, and how far off it may be."""

    gradient: Array
    error: Array


class Rule(Protocol):
    """One optimizer in both languages."""

    @property
    def moments(self) -> tuple[str, ...]:
        """Names of the state of a parameter."""

    def ours(self) -> optim.Optimizer:
        """dlc's."""

    def theirs(self, params: list[torch.Tensor]) -> torch.optim.Optimizer:
        """PyTorch's."""

    def state(self, before: State, step: int) -> dict[str, Any]:
        """PyTorch's state of a parameter before step number `step`, from 1."""

    def told(self, before: State, after: State) -> Told:
        """The gradient of a step."""

    def rooms(self, before: State, want: State, told: Told) -> dict[str, Array]:
        """How far the parameter, and what else the gradient is not told by, may be from `want`."""


@dataclass(frozen=True)
class HeavyBall:
    """SGD with momentum, Nesterov's too: v = decay * v + g."""

    rate: float
    decay: float = 0.9
    lookahead: bool = False
    moments: tuple[str, ...] = ("v",)

    def ours(self) -> optim.Optimizer:
        return (optim.nesterov if self.lookahead else optim.momentum)(self.rate, self.decay)

    def theirs(self, params: list[torch.Tensor]) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, self.rate, momentum=self.decay, nesterov=self.lookahead)

    def state(self, before: State, step: int) -> dict[str, Any]:
        return {"momentum_buffer": torch.from_numpy(before["v"])}

    def told(self, before: State, after: State) -> Told:
        kept = self.decay * before["v"]
        return Told(after["v"] - kept, EPS * (np.abs(after["v"]) + 2 * np.abs(kept)))

    def rooms(self, before: State, want: State, told: Told) -> dict[str, Array]:
        """p - rate * (g + decay * v): products and sums, each rounded."""
        size = np.abs(told.gradient) + np.abs(before["v"])
        return {"p": EPS * np.abs(want["p"]) + self.rate * (4 * EPS * size + told.error)}


@dataclass(frozen=True)
class Adam:
    """Adam, and AdamW where `decoupled` is not 0."""

    rate: float
    b1: float = 0.9
    b2: float = 0.999
    decoupled: float = 0.0
    moments: tuple[str, ...] = ("m", "v")

    def ours(self) -> optim.Optimizer:
        if self.decoupled:
            return optim.adamw(self.rate, self.b1, self.b2, weight_decay=self.decoupled)
        return optim.adam(self.rate, self.b1, self.b2)

    def theirs(self, params: list[torch.Tensor]) -> torch.optim.Optimizer:
        betas = self.b1, self.b2
        if self.decoupled:
            return torch.optim.AdamW(params, self.rate, betas, weight_decay=self.decoupled)
        return torch.optim.Adam(params, self.rate, betas)

    def state(self, before: State, step: int) -> dict[str, Any]:
        return {"step": torch.tensor(float(step - 1)), "exp_avg": torch.from_numpy(before["m"]),
                "exp_avg_sq": torch.from_numpy(before["v"])}

    def told(self, before: State, after: State) -> Told:
        kept = self.b1 * before["m"]
        error = EPS * (np.abs(after["m"]) + 2 * np.abs(kept)) + TINY
        return Told((after["m"] - kept) / (1 - self.b1),
                    error / (1 - self.b1) + 2 * EPS * np.abs(after["m"] - kept) / (1 - self.b1))

    def rooms(self, before: State, want: State, told: Told) -> dict[str, Array]:
        """The second moment: b2 * v + (1 - b2) * g * g. The update: m / (sqrt(v) * scale + eps),
        eleven roundings, two of them of powers of the betas, and what v's own error makes of it."""
        g = np.abs(told.gradient)
        square = (1 - self.b2) * told.error * (2 * g + told.error)
        v = 5 * EPS * want["v"] + square + TINY
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(want["v"] > 2 * v, v / want["v"], 1.0)  # at most what sqrt makes of it
        shrunk = before["p"] * (1 - self.rate * self.decoupled)
        update = np.abs(want["p"] - shrunk)
        moved = update * (12 * EPS + share) + self.rate * 12 * EPS * told.error
        return {"v": v, "p": 2 * EPS * (np.abs(before["p"]) + np.abs(want["p"])) + moved}


# in turn, case by case
RULES: tuple[Rule, ...] = (
    HeavyBall(0.01), Adam(1e-3), HeavyBall(0.02, 0.8, True), Adam(2e-3, 0.8, 0.99, 0.05))


def problems(rule: Rule, before: State, after: State, step: int) -> list[str]:
    """What is wrong with the update of one parameter, given the gradient that it tells of."""
    told = rule.told(before, after)
    p = torch.from_numpy(np.array(before["p"])).requires_grad_()
    twin = rule.theirs([p])
    twin.state[p] = {k: v.clone() for k, v in rule.state(before, step).items()}
    p.grad = torch.from_numpy(np.array(told.gradient))
    twin.step()
    want = {"p": p.detach().numpy()}
    if "exp_avg_sq" in twin.state[p]:
        want["v"] = twin.state[p]["exp_avg_sq"].numpy()
    with np.errstate(invalid="ignore", over="ignore"):
        rooms = rule.rooms(before, want, told)
    return [f"{name}: {text}" for name, room in rooms.items()
            if (text := beyond(after[name], want[name], room))]


def beyond(got: Array, want: Array, room: Array) -> str:
    """Where `got` is further than `room` from `want`; "" nowhere."""
    with np.errstate(invalid="ignore", over="ignore"):
        fine = (np.abs(got - want) <= room) | (got == want) | (np.isnan(got) & np.isnan(want))
        # what f32 can't hold
        fine |= (np.abs(want) > float(np.finfo(np.float32).max)) & ~np.isfinite(got)
    if fine.all():
        return ""
    at = tuple(int(i) for i in np.argwhere(~fine)[0]) if fine.ndim else ()
    return (f"{int((~fine).sum())} of {fine.size} wrong, first at {at}: {got[at]!r} for "
            f"{want[at]!r}, room {room[at]:.2e}")
