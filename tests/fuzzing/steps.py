"""All steps of random programs, how often each is drawn, and whole programs made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Build, Graph, Node, building, toposort
from dlc.ir.types import Type, bool_, f32
from tests.fuzzing import steps_contract as contract
from tests.fuzzing import steps_control as control
from tests.fuzzing import steps_elementwise as elementwise
from tests.fuzzing import steps_index as index
from tests.fuzzing import steps_reduce as reduce
from tests.fuzzing import steps_views as views
from tests.fuzzing.draw import FLOATS, OTHERS, Maker, is_float, is_number
from tests.fuzzing.steps_rare import CONTROL, LAST

Step = Callable[[Maker], Any]

# What has derivatives: drawn in bodies that are differentiated, or run in loops.
CHAIN: tuple[Step, ...] = (
    elementwise.unary, elementwise.unary, elementwise.unary, elementwise.pair,
    elementwise.broadcasting,
    elementwise.smooth_pair, elementwise.number, elementwise.quotient, elementwise.select,
    views.reshaped, views.transposed, views.repeated, views.flipped, views.sliced, views.indexed,
    views.padded, views.joined, views.diagonals, views.windowed, views.folded, reduce.reduction,
    reduce.statistic, reduce.normalized, reduce.loss, reduce.running, reduce.sorted_,
    contract.contraction, contract.contraction, contract.contraction, contract.pooled,
    index.taken, index.scattered, index.updated)
DERIVATIVE: Step = partial(control.derivative, steps=CHAIN)
NESTED: tuple[Step, ...] = (
    *CHAIN, DERIVATIVE, partial(control.loop, steps=CHAIN), partial(control.branch, steps=CHAIN))
SIMPLE: tuple[Step, ...] = (
    elementwise.sign_or_absolute, elementwise.integer_pair, elementwise.bits,
    elementwise.whole_quotient, elementwise.compare, elementwise.inverted, elementwise.converted,
    elementwise.ramp, elementwise.noise, index.segmented, index.moving_slice,
    contract.other_product, contract.dense_algebra, contract.dense_algebra, reduce.small_sum,
    elementwise.bits, reduce.several_results)
HIGHER: tuple[Step, ...] = tuple(
    partial(f, steps=NESTED) for f in (control.derivative, control.derivative, control.derivative,
                                       control.loop, control.counted, control.branch,
                                       control.mapped))
STEPS: tuple[Step, ...] = (*CHAIN, *CHAIN, *SIMPLE, *HIGHER, *HIGHER)
# without loops and branches: for tests that follow the launches one by one
STRAIGHT: tuple[Step, ...] = (*CHAIN, *CHAIN, *SIMPLE, DERIVATIVE, DERIVATIVE, DERIVATIVE)
# A program leans to one of these (swarm testing: Groce et al. 2012): what stands together in real
# programs is drawn together, and what seldom comes in a mixture of everything comes often enough.
LEANINGS: tuple[tuple[Step, ...], ...] = (
    (), (), (contract.contraction, contract.trained, contract.trained, contract.pooled,
             elementwise.unary, elementwise.broadcasting),
    (contract.contraction, contract.trained, elementwise.number, views.transposed, views.flipped,
     views.repeated),
    (contract.contraction, contract.trained, contract.trained, elementwise.number),
    (reduce.several_results, reduce.several_results, reduce.reduction, elementwise.broadcasting,
     reduce.running, elementwise.pair),
    (contract.pooled, views.windowed, views.folded, DERIVATIVE, reduce.running, reduce.reduction,
     elementwise.pair, elementwise.number),
    (index.taken, index.scattered, index.updated, index.segmented, index.moving_slice,
     reduce.sorted_, reduce.running),
    HIGHER, (*[elementwise.bits] * 4, *[elementwise.integer_pair] * 4, elementwise.converted,
             elementwise.unary, elementwise.unary, elementwise.smooth_pair,
             elementwise.whole_quotient, contract.dense_algebra, contract.dense_algebra))


def advance(m: Maker, steps: Sequence[Step]) -> bool:
    """One step, put into the pool; not every draw fits."""
    try:
        return m.add(m.pick(steps)(m))
    except DlcError:
        # what the language refuses: a window larger than its image, no derivative of an order
        return False


def new_value(m: Maker, old: Node) -> Node:
    """A new value for the variable `old`: another one, a step of an optimizer, or any of the pool.
    """
    twin = m.find(lambda n: n.type == old.type and n is not old)
    if twin is not None and m.chance(50):
        return twin
    if old.dtype is bool_:
        return dlc.logical_not(old)
    return old - m.like(old) * 2


def optimized(m: Maker, old: Node) -> dict[Node, Node]:
    """A variable, its moments, and the new values of all, as Adam and momentum have them."""
    slope = m.like(old)
    first = m.input(old.type, "state")
    if m.chance(50):
        moved = first * 0.5 + slope
        return {first: moved, old: old - moved * 0.125}
    second = m.input(old.type, "state", 0, 4)
    mean = first * 0.5 + slope * 0.5
    size = dlc.abs(second) * 0.75 + slope * slope * 0.25
    return {first: mean, second: size, old: old - mean / (dlc.sqrt(size + 0.25) + 0.125)}


def sinks(m: Maker) -> list[Node]:
    """The values of the pool that no other value of it reads."""
    read = {id(a) for n in toposort(m.pool) for a in n.args}
    return [n for n in m.pool if id(n) not in read and n.op.name != "input"]


def starting_inputs(m: Maker) -> None:
    for i in range(2 + m.draw.below(3)):
        kind = m.pick(FLOATS if i < 2 or m.chance(50) else OTHERS)
        m.add(m.input(Type(kind, m.shape()), m.pick(("arg", "arg", "param", "data"))))
    for made in (contract.image, contract.matrix):
        if m.chance(40):
            m.add(made(m))
    if not any(is_float(n) for n in m.pool):
        m.add(m.input(Type(f32, m.shape())))


def draw_dims(m: Maker) -> tuple[int, ...]:
    """The sizes of one program: three awkward ones, seldom none at all."""
    small = (1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17)
    dims = tuple(m.pick(small) for _ in range(3))
    if m.chance(6):
        dims = (*dims, 0)
    if m.largest > 5000:
        dims = (*dims, m.pick((31, 33, 64, 65, 130, 300)))
    return dims


def program(m: Maker, steps: int, loops: bool = True) -> Graph:
    """Draw a whole program of at least `steps` values, its outputs and updates."""
    m.dims = draw_dims(m)
    with building(Build()):
        starting_inputs(m)
        leaning = m.pick(LEANINGS) if loops else ()
        goal = len(m.pool) + steps
        for _ in range(8 * steps):
            if len(m.pool) >= goal:
                break
            often = leaning if leaning and m.chance(60) else STEPS if loops else STRAIGHT
            advance(m, often)
        for seldom in LAST:
            advance(m, [s for s in seldom if loops or s not in CONTROL])
        found = sinks(m)[-6:] or [m.pool[-1]]
        names = {f"{m.prefix}out{i}": n for i, n in enumerate(found)}
        if m.chance(30) and len(m.pool) > 1:
            names[f"{m.prefix}also"] = m.pick(m.pool)
        updates = updated_variables(m, names)
    return Graph(f"{m.prefix}random", tuple(m.inputs), tuple(names.values()), tuple(names), updates)


def updated_variables(m: Maker, names: dict[str, Node]) -> dict[str, str]:
    """New values for some variables, added to `names`: output name -> input label."""
    updates: dict[str, str] = {}
    for old in [i for i in m.inputs if i.attrs["role"] == "param"][:3]:
        if m.chance(30):
            continue
        changed = optimized(m, old) if is_float(old) and m.chance(50) else {old: new_value(m, old)}
        for variable, new in changed.items():
            label = variable.attrs["label"]
            m.ball(new)
            names[label], updates[label] = new, label
    return updates


__all__ = ["STEPS", "is_number", "program"]
