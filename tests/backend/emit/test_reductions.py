"""A reduction says how two results are combined: folded in two halves it gives what it gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32
from dlc.backend import assemble
from dlc.backend.emit.fold import folded
from dlc.backend.ir import For, Let, Number, Ref, Statement, later
from dlc.backend.ir.index import Sum
from dlc.backend.ir.printer import kernel_of
from dlc.ir.types import Type
from dlc.passes import run_pipeline
from dlc.runtime.compile.plain import Pointer
from dlc.runtime.reference.interpret import kernel_function

ROWS, COLUMNS = 5, 23
EXACT: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: dlc.sum(x, axis=1), "max": lambda x: dlc.max(x, axis=1),
    "min": lambda x: dlc.min(x, axis=1), "argmax": lambda x: dlc.argmax(x, axis=1),
    "all": lambda x: dlc.all(x > 3, axis=1), "of all": dlc.sum}


def halved(body: Sequence[Statement],
           begun: Mapping[str, Number]) -> tuple[list[Statement], int]:
    """The statements with their outermost reductions folded in two halves, each from the identity,
    and then combined; and how many these are. `begun`: the names that hold a number."""
    found: list[Statement] = []
    known, count = dict(begun), 0
    for s in body:
        if isinstance(s, Let) and isinstance(s.value, Number):
            known[s.name] = s.value
        if isinstance(s, For) and s.kind == "reduce" and set(s.into) <= known.keys():
            found += in_two(s, known)
            count += 1
        elif isinstance(s, For):
            inner, more = halved(s.body, {n: v for n, v in known.items() if n not in s.into})
            found.append(replace(s, body=inner))
            count += more
        else:
            found.append(s)
    return found, count


def in_two(loop: For, known: Mapping[str, Number]) -> list[Statement]:
    """Both halves of a loop of a known number of rounds, and their combination."""
    rounds = -(-(loop.high.const - loop.low.const) // loop.step)
    middle = Sum(loop.low.const + rounds // 2 * loop.step)
    states = [Ref(n, known[n].dtype) for n in loop.into]
    return [replace(loop, high=middle),
            *(Let(f"{s.name}_before", s) for s in states),
            *(Let(s.name, known[s.name]) for s in states),
            replace(loop, low=middle),
            *(Let(later(s.name), s) for s in states),
            *(Let(s.name, replace(s, name=f"{s.name}_before")) for s in states),
            *(Let(f"{s.name}_both", value) for s, value in zip(states, loop.by, strict=True)),
            *(Let(s.name, replace(s, name=f"{s.name}_both")) for s in states)]


def results(function: Callable[[Any], Any], type_: Type, x: Any) -> list[Any]:
    """The result of a kernel over its axes as it is, and with its reductions in two halves."""
    graph = run_pipeline(dlc.trace(function, type_))[-1].graph
    program, drafts = assemble.assembled("f", {"main": graph}, "cpu", "avx2")
    ((((work,),),),) = ([p.stages for p in parts] for parts in drafts[0].lowered.values())
    assert work.whole is not None
    both, count = halved(work.whole.body, {})
    assert count
    found = []
    for whole in (work.whole, replace(work.whole, body=tuple(both))):
        out = np.zeros(work.operands[1].type.size, work.operands[1].type.dtype.numpy)
        kernel = kernel_of(folded(whole))
        kernel_function(kernel, program.prelude)(Pointer(x.reshape(-1)), Pointer(out))
        found.append(out)
    return found


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("type_", [i32[ROWS, COLUMNS], f32[ROWS, COLUMNS]], ids=["i32", "f32"])
def test_halves_give_the_same(name: str, type_: Type, rng: np.random.Generator) -> None:
    """On whole numbers, of which many are equal: the first of these is the largest."""
    x = rng.integers(0, 6, (ROWS, COLUMNS)).astype(type_.dtype.numpy)
    whole, two = results(EXACT[name], type_, x)
    assert (whole == two).all()


def test_halves_of_logsumexp(rng: np.random.Generator) -> None:
    x = (rng.normal(size=(ROWS, COLUMNS)) * 4).astype(np.float32)
    whole, two = results(lambda x: dlc.logsumexp(x, axis=1), f32[ROWS, COLUMNS], x)
    # each term is scaled by an exponential and added, at most once a round: three roundings, and
    # one for each of the 1.5 ulp of exp and log; the results differ by twice that
    bound = 2 * (5 * COLUMNS + 2) * 2.0**-24 * np.maximum(1, abs(whole))
    assert (abs(whole - two) <= bound).all()
