"""Samples over a batch, with an entry for the smaller last one that trains the same parameters.

A subject becomes one of a batch by `vmap`: sample b has its parameters times a scale of its own and
its own cotangents, and PyTorch computes the samples one after the other. The batch and its tail are
two entries of one Program, stepped in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import dlc
from dlc import init, nn
from dlc.ir.types import Type, dtype
from tests.conformance.training import Subject, annotated, rule_of, slope, trial, type_of
from tests.conformance.training_runs import Outcome, Trained

BATCH, TAIL = 5, 2


def batched(subject: Subject, size: int, rng: np.random.Generator) -> Subject:
    """`size` samples of a subject that `trial` has filled in: its last inputs are the scales and
    the cotangents of each. Its one result is the loss of every sample."""
    count = len(subject.arrays)
    scales = rng.uniform(0.9, 1.0, size).astype(np.float32)
    drawn = [rng.uniform(-1, 1, (size, *c.shape)).astype(c.dtype) for c in subject.cotangents]

    def moved(values: Sequence[Any], scale: Any) -> list[Any]:
        return [x * scale if i in subject.smooth else x for i, x in enumerate(values)]

    def ours(xs: list[Any]) -> list[Any]:
        def one(scale: Any, *cotangents: Any) -> Any:
            results = subject.ours(moved(xs[:count], scale))
            parts = [dlc.cast(dlc.sum(results[i] * c), dlc.f32)
                     for i, c in zip(subject.graded, cotangents, strict=True)]
            return sum(parts[1:], parts[0])
        return [dlc.vmap(one)(*xs[count:])]

    def theirs(xs: list[torch.Tensor]) -> list[Any]:
        found = []
        for scale, *cotangents in zip(*xs[count:], strict=True):
            results = subject.theirs(moved(xs[:count], scale))
            found.append(sum((results[i] * c).sum().to(scale.dtype)
                             for i, c in zip(subject.graded, cotangents, strict=True)))
        return [torch.stack(found)]

    made = replace(subject, name=f"{subject.name}, {size} samples", ours=ours, theirs=theirs,
                   arrays=(*subject.arrays, scales, *drawn))
    return trial(made, rng)


def open_type(array: Any) -> Type:
    """The type of an array whose first axis is the batch."""
    return Type(dtype(array.dtype), ("batch", *array.shape[1:]))


def task_of(pairs: Sequence[tuple[Subject, Subject]], counts: Sequence[int]) -> dlc.Task:
    """One task: phase c3 trains the third pair; `counts` are the inputs below the batch's."""
    phases = [dlc.phase(f"c{i}", step_of(whole, count, f"c{i}"), rule_of(i).ours())
              for i, ((whole, _), count) in enumerate(zip(pairs, counts, strict=True))]

    def nothing() -> dlc.Loss:
        return dlc.loss(dlc.zeros(()))

    return dlc.task(phases=phases, name="tails", batch=BATCH, evaluate=nothing)


def inputs_of(subject: Subject, count: int) -> list[Any]:
    """The arrays of an entry, those with a batch first: the task reads its batch there."""
    return [*subject.arrays[count:], *subject.cotangents,
            *(subject.arrays[i] for i in range(count) if i not in subject.smooth)]


def step_of(subject: Subject, count: int, label: str) -> Any:
    """The function of a phase, of inputs as `inputs_of` has them."""
    many = len(subject.arrays) - count

    def network(*inputs: Any) -> Any:
        fixed = iter(inputs[many + 1:])
        values = [dlc.parameter(f"p{i}", type_of(subject.arrays[i]), init.zeros)
                  if i in subject.smooth else next(fixed) for i in range(count)]
        (losses,) = subject.ours([*values, *inputs[:many]])
        return dlc.sum(losses * inputs[many])

    layer = nn.layer(network, label)

    def step(*inputs: Any) -> dlc.Loss:
        return dlc.loss(layer(*inputs))

    made = annotated(step, label, inputs_of(subject, count))
    arrays = zip(list(made.__annotations__), inputs_of(subject, count), strict=False)
    types = {n: open_type(a) if k <= many else type_of(a) for k, (n, a) in enumerate(arrays)}
    made.__annotations__ = {**types, "return": dlc.Loss}
    return made


class TrainedTail(Trained):
    """One entry of a phase: that of the whole batch, or of its tail."""

    def __init__(self, program: Any, subject: Subject, number: int, count: int,
                 entry: str) -> None:
        super().__init__(program, subject, number)
        self.entry, self.count = f"{entry}.{self.label}", count

    def run(self) -> dict[str, Any]:
        running = self.program.running
        for i, array in enumerate(inputs_of(self.subject, self.count)):
            running.write(f"{self.label}_x{i}", array, self.entry)
        running.run(self.entry)
        return {name: running.read(name, self.entry) for name in ("loss", "fault")}


def trained_with_tails(pairs: Sequence[tuple[Subject, Subject]],
                       counts: Sequence[int]) -> Outcome:
    """A step of the whole batch, then one of the tail, of every pair."""
    outcome = Outcome()
    compiled = dlc.compile(task_of(pairs, counts), tails={"train": TAIL})
    with compiled.load(threads=2) as program:
        outcome.kernels = len(compiled.kernels)
        for number, (pair, count) in enumerate(zip(pairs, counts, strict=True)):
            before = len(outcome.wrong)
            both = [TrainedTail(program, s, number, count, entry)
                    for s, entry in zip(pair, ("train", "train_tail"), strict=True)]
            for step, one in enumerate(both, 1):
                outcome.wrong += [f"{one.subject.name}, step {step}: {text}"
                                  for text in one.step(step, slope)]
                outcome.counts += one.counts
            outcome.failed += len(outcome.wrong) > before
    return outcome
