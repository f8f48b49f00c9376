"""Changes of a Subject by the patterns of dlc's own past faults; the peer computes them too.

Each takes a Subject and a generator, and gives one that was not there before. Raises Refused where
the function has no room for the pattern: the peer refuses every way of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import dlc
from dlc.ir.graph import Node
from tests.conformance.training import Array, Refused, Subject, trial

Rng = np.random.Generator
Mutation = Callable[[Subject, Rng], Subject]
# a prime number of elements beyond the widest vectors, or beyond two or four of them
ODD = (17, 19, 23, 29, 31, 37, 41, 67)
LARGEST = 20_000  # elements of a mutated input


def as_it_is(subject: Subject, rng: Rng) -> Subject:
    """The sample itself."""
    return trial(subject, rng)


# ---- other extents -------------------------------------------------------------------------------


def extent_of_one(subject: Subject, rng: Rng) -> Subject:
    """Some axis is 1 long, in all inputs that share its extent or in one of them."""
    return with_extents(subject, rng, lambda n: 1 if n > 1 else 0)


def odd_tail(subject: Subject, rng: Rng) -> Subject:
    """Some axis is a prime number long that no vector width divides."""
    return with_extents(subject, rng, lambda n: int(rng.choice(ODD)) if n else 0)


def with_extents(subject: Subject, rng: Rng, changed: Callable[[int], int]) -> Subject:
    """The first subject that the peer takes whose axes of one extent have another; 0: no change."""
    reason = "no axis to change"
    for where in places(subject, rng):
        n = subject.arrays[where[0][0]].shape[where[0][1]]
        other = changed(n)
        arrays = list(subject.arrays)
        chosen = np.sort(rng.integers(0, n, other)) if n else np.zeros(0, int)
        for i, axis in where:
            arrays[i] = np.take(arrays[i], chosen, axis)
        if other in (0, n) or max(a.size for a in arrays) > LARGEST:
            continue
        if other > n:
            arrays = [apart(a, rng) if i in subject.smooth else a for i, a in enumerate(arrays)]
        try:
            return trial(replace(subject, arrays=tuple(arrays)), rng)
        except Refused as problem:
            reason = str(problem)
    raise Refused(reason)


def places(subject: Subject, rng: Rng) -> Iterator[list[tuple[int, int]]]:
    """Which axes (input, axis) may change together: all of one extent, then each alone."""
    axes = [(i, axis) for i, a in enumerate(subject.arrays) for axis in range(a.ndim)]
    extents = sorted({subject.arrays[i].shape[axis] for i, axis in axes})
    for n in rng.permutation(extents).tolist() if extents else []:
        yield [(i, axis) for i, axis in axes if subject.arrays[i].shape[axis] == n]
    for k in rng.permutation(len(axes)).tolist():
        yield [axes[k]]


def apart(array: Array, rng: Rng) -> Array:
    """Repeated values made different, towards 0: what was in a domain around 0 stays there."""
    return (array * rng.uniform(0.9, 1.0, array.shape)).astype(array.dtype)


# ---- borders that nobody reads -------------------------------------------------------------------


def unread_border(subject: Subject, rng: Rng) -> Subject:
    """Of every result an edge is cut off; parameters lie inside of larger ones, whose edges are
    large or NaN and have a gradient of 0."""
    arrays = list(subject.arrays)
    edges = {i: [(int(rng.integers(0, 3)), int(rng.integers(0, 3))) for _ in arrays[i].shape]
             for i in subject.smooth if arrays[i].ndim}
    value = float(rng.choice([np.nan, 1e4]))
    for i, sides in edges.items():
        arrays[i] = np.pad(arrays[i], sides, constant_values=value)
    inside = {i: tuple(slice(low, low + n) for (low, _), n in zip(
        sides, subject.arrays[i].shape, strict=True)) for i, sides in edges.items()}
    ends = rng.integers(0, 2, (8, 2))

    def within(values: list[Any]) -> list[Any]:
        return [x[inside[i]] if inside.get(i) else x for i, x in enumerate(values)]

    def kept(y: Any) -> Any:
        if not isinstance(y, (Node, torch.Tensor)) or not y.ndim:
            return y
        return y[tuple(slice(int(a), n - int(b)) if n > 2 else slice(None)
                       for n, (a, b) in zip(y.shape, ends.tolist(), strict=False))]

    return trial(replace(
        subject, arrays=tuple(arrays), ours=lambda xs: [kept(y) for y in subject.ours(within(xs))],
        theirs=lambda xs: [kept(y) for y in subject.theirs(within(xs))]), rng)


# ---- a second reader -----------------------------------------------------------------------------


def second_reader(subject: Subject, rng: Rng) -> Subject:
    """Each result is read once more, by what may take over its place; so is each parameter."""
    plain = trial(subject, rng)

    def read(sine: Any, xs: list[Any], ys: list[Any]) -> list[Any]:
        again = [sine(ys[i]) * 0.5 - ys[i] for i in plain.graded]
        return [*ys, *again, *(sine(xs[i]) for i in subject.smooth)]

    def ours(xs: list[Any]) -> list[Any]:
        return read(dlc.sin, xs, subject.ours(xs))

    def theirs(xs: list[Any]) -> list[Any]:
        return read(torch.sin, xs, subject.theirs(xs))

    return trial(replace(subject, ours=ours, theirs=theirs), rng)


MUTATIONS: dict[str, Mutation] = {
    "as it is": as_it_is, "an extent of 1": extent_of_one, "an odd tail": odd_tail,
    "an unread border": unread_border, "a second reader": second_reader}


def mutated(subject: Subject, name: str, rng: Rng) -> Subject:
    """The subject changed by the mutation `name`, and called after it."""
    return replace(MUTATIONS[name](subject, rng), name=f"{subject.name}, {name}")
