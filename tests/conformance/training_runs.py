"""Trained in dlc and by the peer: the loss, every gradient and every update of two steps compared.

Each step of the peer begins with the parameters and moments that dlc has by then, so that what is
compared is one step, and no difference grows over several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

import dlc
from tests.conformance.closeness import LENIENCE, RELATIVE, close, error, size
from tests.conformance.torch_roundings import OtherRoundings
from tests.conformance.training import Array, Slope, Subject, given, rule_of, slope, task_of
from tests.conformance.training_optimizers import Rule, State, Told, beyond, problems

STEPS = 2
Peer = Callable[[Subject, Sequence[Array], torch.dtype], Slope]


@dataclass
class Outcome:
    """What came of some subjects: mistakes, and how many steps were made or kept back."""

    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    failed: int = 0
    kernels: int = 0


def trained(subjects: Sequence[Subject], peer: Peer = slope) -> Outcome:
    """All subjects as the phases of one task, compiled for this machine and run on two threads."""
    outcome = Outcome()
    with dlc.compile(task_of(subjects)).load(threads=2) as program:
        outcome.kernels = len(program.compiled.kernels)
        for number, subject in enumerate(subjects):
            one, before = Trained(program, subject, number), len(outcome.wrong)
            for step in range(1, STEPS + 1):
                outcome.wrong += [f"{subject.name}, step {step}: {text}"
                                  for text in one.step(step, peer)]
                if one.refused:
                    outcome.refused.append(one.refused)
                    break
            outcome.counts += one.counts
            outcome.failed += len(outcome.wrong) > before
    return outcome


class Trained:
    """One phase of a loaded task, stepped beside its peer."""

    def __init__(self, program: Any, subject: Subject, number: int) -> None:
        self.program, self.subject, self.label = program, subject, f"c{number}"
        self.rule: Rule = rule_of(number)
        self.counts: Counter[str] = Counter()
        self.refused = ""  # why a run-time check may refuse a step
        for i in subject.smooth:
            program.write(f"{self.label}.p{i}", subject.arrays[i])

    def states(self) -> list[State]:
        """Of each parameter, its value and its moments, as they are now."""
        optimizer = f"{self.label}.{self.rule.ours().name}"
        found = []
        for i in self.subject.smooth:
            name = f"{self.label}.p{i}"
            keys = {"p": name, **{m: f"{optimizer}.{m}/{name}" for m in self.rule.moments}}
            found.append({k: self.program.read(v).astype(np.float64) for k, v in keys.items()})
        return found

    def step(self, number: int, peer: Peer) -> list[str]:
        """One step, and what is wrong with it."""
        before = self.states()
        arrays = list(self.subject.arrays)
        for i, state in zip(self.subject.smooth, before, strict=True):
            arrays[i] = state["p"].astype(arrays[i].dtype)
        try:
            wanted = Wanted(self.subject, arrays, peer)
        except RuntimeError:
            if number == 1:
                raise
            self.counts["steps that led out of what PyTorch takes"] += 1
            return []
        out = self.run()
        after = self.states()
        fault, done = int(out["fault"]), int(self.program.read(f"{self.label}.step"))
        if not np.isfinite(wanted.narrow.loss):
            self.counts["kept back: the loss is not finite"] += 1
            moved = [k for old, new in zip(before, after, strict=True) for k in old
                     if old[k].tobytes() != new[k].tobytes()]
            return [] if fault == -1 and not moved else [
                f"loss {out['loss']} for {wanted.narrow.loss}: fault {fault}, {moved} have changed"]
        if fault > 0 and self.subject.refuses:
            self.refused = self.subject.refuses
            return []
        if fault or done != number:
            return [f"fault {fault}, {done} steps counted; loss {out['loss']} for "
                    f"{wanted.narrow.loss}"]
        self.counts["steps"] += 1
        found = wanted.loss_problems(float(out["loss"]))
        for place, (i, old, new) in enumerate(zip(self.subject.smooth, before, after,
                                                  strict=True)):
            told = self.rule.told(old, new)
            found += [f"p{i}: {text}" for text in (
                *wanted.gradient_problems(place, told), *problems(self.rule, old, new, number))]
            self.counts["gradients"] += 1
            self.counts["elements"] += told.gradient.size
        return found

    def run(self) -> dict[str, Any]:
        """Run the phase; its outputs."""
        entry, running = f"train.{self.label}", self.program.running
        for i, array in enumerate([np.float32(1.0), *given(self.subject)]):
            running.write(f"{self.label}_x{i}", array, entry)
        running.run(entry)
        return {name: running.read(name, entry) for name in ("loss", "fault")}


class Wanted:
    """What the peer computes in f32 and f64 at some arrays, and whether dlc's is as good.

    As an OpInfo result is compared (closeness.py). How wrong f32 is at one place is luck: where
    that is not enough, it is the largest error of the peer's f32 over WOBBLES arrays around, each
    element moved by up to a unit in its last place, and each value computed on the way likewise.
    """

    WOBBLES = 8

    def __init__(self, subject: Subject, arrays: Sequence[Array], peer: Peer) -> None:
        self.subject, self.arrays, self.peer = subject, arrays, peer
        self.narrow, self.wide = self.both(subject, arrays)
        self.scale = subject.scale

    def both(self, subject: Subject, arrays: Sequence[Array],
             roundings: OtherRoundings | None = None) -> tuple[Slope, Slope]:
        """The peer's loss and gradients in f32, perhaps with other roundings, and f64."""
        with roundings or nullcontext():
            narrow = self.peer(subject, arrays, torch.float32)
        return narrow, self.peer(subject, arrays, torch.float64)

    @cached_property
    def around(self) -> list[tuple[Slope, Slope]]:
        """The same a unit in the last place away with other roundings, and where they are."""
        rng = np.random.default_rng(len(self.subject.name))

        def moved(x: Array) -> Array:
            if x.dtype != np.float32:
                return x
            units = rng.integers(-1, 2, x.shape).astype(np.float32)
            return np.asarray(x + np.spacing(np.abs(x)) * units)

        pairs = [(self.narrow, self.wide)]
        for seed in range(self.WOBBLES):
            other = replace(self.subject, cotangents=tuple(map(moved, self.subject.cotangents)))
            near = [moved(a) if i in self.subject.smooth else a for i, a in enumerate(self.arrays)]
            with suppress(RuntimeError):  # out of what PyTorch takes
                pairs.append(self.both(other, near, OtherRoundings(seed)))
        return pairs

    def loss_problems(self, got: float) -> list[str]:
        """The loss: a sum, as far off as its terms are large."""
        room = self.scale * RELATIVE * (abs(self.wide.loss) + self.wide.terms)
        if abs(got - self.narrow.loss) <= room:
            return []
        room += LENIENCE * max(abs(n.loss - w.loss) for n, w in self.around)
        return [] if abs(got - self.wide.loss) <= room else [
            f"loss {got} for {self.narrow.loss}, exactly {self.wide.loss}, room {room:.2e}"]

    def gradient_problems(self, place: int, told: Told) -> list[str]:
        """The gradient by parameter `place`, and what the moments do not tell of it on top."""
        value, exact = self.narrow.gradients[place], self.wide.gradients[place]
        if close(told.gradient, value, self.scale):
            return []
        apart = max(finite_error(n.gradients[place], w.gradients[place]) for n, w in self.around)
        room = told.error + LENIENCE * apart + RELATIVE * self.scale * size(exact)
        # where f32 overflows in PyTorch and f64 does not, nothing is to be said
        free = ~np.isfinite(value) & np.isfinite(exact)
        text = beyond(np.where(free, exact, told.gradient), exact.astype(np.float64), room)
        return [f"gradient: {text}; PyTorch {value.ravel()[:6]}"] if text else []


def finite_error(x: Array, exact: Array) -> float:
    """The largest distance where both are finite."""
    finite = np.isfinite(x) & np.isfinite(exact)
    return error(np.where(finite, x, 0.0), np.where(finite, exact, 0.0))
