"""Functions in training mode: float inputs as parameters, a loss, optimizer steps in one Program.

A Subject is a function said twice, in dlc and by a peer. Its smooth inputs become parameters of a
phase of a task, the others inputs; the loss is the sum of its results times fixed cotangents. Many
subjects are the phases of one task, which is compiled as users compile theirs.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

import dlc
from dlc import init, nn
from dlc.ir.graph import Node
from dlc.ir.types import Type, dtype
from tests.conformance.closeness import RELATIVE
from tests.conformance.training_optimizers import RULES, Rule

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Subject:
    """A function in both languages: lists of arrays (nodes, tensors) to lists of results.

    `smooth` are the positions of the inputs that become parameters. `graded` are the results that
    the loss holds, each with its cotangent; `trial` fills in both. `scale` widens the tolerance
    where an operator is known to round more; `refuses` says why a run-time check may refuse it.
    `kind` is the dtype in which the peer takes f32.
    """

    name: str
    arrays: tuple[Array, ...]
    smooth: tuple[int, ...]
    ours: Callable[[list[Any]], list[Any]]
    theirs: Callable[[list[torch.Tensor]], list[Any]]
    scale: float = 1.0
    refuses: str = ""
    kind: torch.dtype = torch.float32
    graded: tuple[int, ...] = ()
    cotangents: tuple[Array, ...] = ()

    @property
    def fixed(self) -> tuple[int, ...]:
        """Positions of the inputs that no optimizer moves."""
        return tuple(i for i in range(len(self.arrays)) if i not in self.smooth)

    def by_peer(self, tensors: list[torch.Tensor]) -> list[Any]:
        """The peer's results; what it warns of is its own."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.theirs(tensors)


HALVES = (torch.float16, torch.bfloat16)
NO_GRADIENT = "no result has a gradient"


class Refused(Exception):
    """A function that the peer does not compute, or that has no gradient there."""


def trial(subject: Subject, rng: np.random.Generator) -> Subject:
    """The subject with cotangents for the results that have a gradient. Raises Refused where the
    peer refuses the arrays, and where nothing is differentiable. Results in half precision, and
    what is added up in it, may be a few of its roundings apart."""
    tensors = leaves(subject, subject.arrays, subject.kind)
    try:
        results = subject.by_peer(tensors)
    except Exception as problem:  # whatever PyTorch refuses with
        raise Refused(str(problem)) from None
    graded = tuple(i for i, r in enumerate(results)
                   if isinstance(r, torch.Tensor) and r.requires_grad)
    if not graded:
        raise Refused(NO_GRADIENT)
    wide = {i for i in graded if results[i].dtype is torch.float64 is not subject.kind}
    drawn = tuple(np.asarray(rng.uniform(-1, 1, results[i].shape),
                             np.float64 if i in wide else np.float32) for i in graded)
    halves = [torch.finfo(results[i].dtype).eps for i in graded if results[i].dtype in HALVES]
    scale = max([subject.scale, *(8 * eps / RELATIVE for eps in halves)])
    made = replace(subject, graded=graded, cotangents=drawn, scale=scale)
    try:
        slope(made, subject.arrays, subject.kind)
    except Exception as problem:  # some gradients are refused where the values are not
        raise Refused(str(problem)) from None
    return made


def leaves(subject: Subject, arrays: Sequence[Array], kind: torch.dtype) -> list[torch.Tensor]:
    """Tensors of the arrays; f32 ones in `kind`, smooth ones with a gradient."""
    found = []
    for i, a in enumerate(arrays):
        made = torch.from_numpy(np.array(a))
        made = made.to(kind) if made.dtype is torch.float32 else made
        found.append(made.requires_grad_(i in subject.smooth))
    return found


@dataclass(frozen=True)
class Slope:
    """The loss at some values of the parameters, the sum of its terms' magnitudes, and its gradient
    by each parameter."""

    loss: float
    terms: float
    gradients: tuple[Array, ...]


def slope(subject: Subject, arrays: Sequence[Array], kind: torch.dtype) -> Slope:
    """What PyTorch computes, in f32 or f64; zeros where no gradient flows."""
    tensors = leaves(subject, arrays, kind)
    results = subject.by_peer(tensors)
    total, terms = torch.zeros((), dtype=kind), 0.0
    for i, cotangent in zip(subject.graded, subject.cotangents, strict=True):
        weighted = results[i] * torch.from_numpy(cotangent)
        total = total + weighted.sum().to(kind)
        terms += float(weighted.detach().abs().sum())
    wrt = [tensors[i] for i in subject.smooth]
    found = torch.autograd.grad(total, wrt, allow_unused=True)
    return Slope(float(total.detach()), terms, tuple(
        np.zeros(t.shape, t.detach().numpy().dtype) if g is None else g.detach().numpy()
        for t, g in zip(wrt, found, strict=True)))


# ---- in dlc --------------------------------------------------------------------------------------


def type_of(array: Array) -> Type:
    """The type of an input that holds `array`."""
    return Type(dtype(array.dtype), array.shape)


def step_of(subject: Subject, label: str) -> Callable[..., dlc.Loss]:
    """The subject's function of a phase: a weight, the fixed inputs, the cotangents -> loss.

    The weight is a scalar because a task reads its batch off its first input.
    """
    def network(*fixed: Node) -> Node:
        values: list[Any] = [None] * len(subject.arrays)
        for i, x in zip(subject.fixed, fixed, strict=False):
            values[i] = x
        for i in subject.smooth:
            values[i] = dlc.parameter(f"p{i}", type_of(subject.arrays[i]), init.zeros)
        results = subject.ours(values)
        cotangents = fixed[len(subject.fixed):]
        parts = [dlc.cast(dlc.sum(results[i] * c), dlc.f32)
                 for i, c in zip(subject.graded, cotangents, strict=True)]
        return sum(parts[1:], parts[0])

    layer = nn.layer(network, label)

    def step(*inputs: Node) -> dlc.Loss:
        return dlc.loss(layer(*inputs[1:]) * inputs[0])

    return annotated(step, label, [np.float32(1.0), *given(subject)])


def given(subject: Subject) -> list[Array]:
    """The arrays of a phase's inputs, behind the weight."""
    return [*(subject.arrays[i] for i in subject.fixed), *subject.cotangents]


def annotated(function: Callable[..., Any], label: str, arrays: Sequence[Any]) -> Any:
    """`function`, with as many named inputs as there are arrays, of their types."""
    types = {f"{label}_x{i}": type_of(np.asarray(a)) for i, a in enumerate(arrays)}
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind, annotation=t) for name, t in types.items()])
    function.__annotations__ = {**types, "return": dlc.Loss}
    return function


def rule_of(number: int) -> Rule:
    """The optimizer of subject `number` of a task: they take turns."""
    return RULES[number % len(RULES)]


def task_of(subjects: Sequence[Subject], name: str = "training") -> dlc.Task:
    """One task whose phase c3 trains subject 3."""
    phases = [dlc.phase(f"c{i}", step_of(s, f"c{i}"), rule_of(i).ours())
              for i, s in enumerate(subjects)]

    def nothing() -> dlc.Loss:
        return dlc.loss(dlc.zeros(()))

    return dlc.task(phases=phases, name=name, evaluate=nothing)
