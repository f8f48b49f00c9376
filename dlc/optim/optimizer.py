"""Optimizers as values: a rule for one parameter (or for all of them), and the update of a step."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dlc.errors import DlcError, Loc, Part, here, nearest
from dlc.init import Key, zeros
from dlc.ir.graph import Node, serving
from dlc.ir.types import DType, Type, f32, f64
from dlc.lang.scope import Initializer, Variable, state, update_state
from dlc.ops import elementwise
from dlc.ops.convert import as_node, cast, widened
from dlc.optim import learning_rate as schedule
from dlc.optim.learning_rate import Clock, LearningRate, Rate
from dlc.words import attributes

# the gradients of all parameters -> the gradients that the rule sees
Clip = Callable[[Sequence[Node]], list[Node]]
Clips = Clip | Sequence[Clip] | None
# a parameter after its update -> the nearest one that is allowed
Constraint = Callable[[Node], Node]
AVERAGE = "average"  # the state average/NAME is the moving average of the parameter NAME


@dataclass(frozen=True)
class Slot:
    """One parameter in an update: its value, its gradient, and its named state.

    `due` [()] says whether this step updates (None: each does); `common` are the states that all
    parameters of the update share.
    """

    optimizer: str
    name: str
    param: Node
    grad: Node
    due: Node | None = None
    common: dict[str, Node] = field(default_factory=dict)

    def state(self, name: str, update: Callable[[Node], Node],
              init: Initializer = zeros) -> Node:
        """The new value `update(old)` of a state of the parameter's type: adam.m/conv1.weight."""
        return kept(f"{self.optimizer}.{name}/{self.name}", self.param.type, update, init, self.due)

    def shared(self, name: str, update: Callable[[Node], Node], like: Node,
               init: Initializer = zeros) -> Node:
        """The same for a state that is one for all parameters of the update, of the type of `like`,
        and named after the first of them."""
        if name not in self.common:
            full = f"{self.optimizer}.{name}/{self.name}"
            self.common[name] = kept(full, like.type, update, init, self.due)
        return self.common[name]


def kept(name: str, type_: Type, update: Callable[[Node], Node], init: Initializer,
         due: Node | None) -> Node:
    """The new value `update(old)` of a state, which is stored where the step is `due`."""
    handle = state(name, type_, init)
    new = update(handle)
    update_state(handle, when(due, new, handle))
    return new


def when(due: Node | None, new: Node, old: Node) -> Node:
    """`new` where the step is `due`, else `old`."""
    return new if due is None else elementwise.where(due, new, old)


def plain_scalars(lr: Node, t: Node) -> tuple[Node, ...]:
    """What a rule takes beside its slot, where it needs no more than the rate."""
    return (lr,)


@attributes("optimizer")
@dataclass(frozen=True, eq=False)
class Optimizer:
    """`rule(slot, *scalars(lr, t))` is the new parameter; t [()] counts updates from 1.

    `joint(slots, lr, t)` gives the new values of all parameters at once where one depends on the
    others; `curved(slots, lr, model)` too, from a Model (dlc/optim/hessian_free.py), the loss as a
    function of parameters. `groups` are optimizers by name pattern, which then do the work; `every`
    is how many steps' gradients one update sums; `average` the decay of the moving average of
    parameters; `constraints` are what updated parameters are made to fit, by name pattern.
    """

    name: str
    rule: Callable[..., Node] | None
    learning_rate: LearningRate
    scalars: Callable[[Node, Node], tuple[Node, ...]] = plain_scalars
    clip: tuple[Clip, ...] = ()
    loc: Loc | None = None
    joint: Callable[[Sequence[Slot], Node, Node], list[Node]] | None = None
    curved: Callable[[Sequence[Slot], Node, Any], list[Node]] | None = None
    groups: tuple[tuple[str, Optimizer], ...] = ()
    every: int = 1
    average: float | None = None
    constraints: tuple[tuple[str, Constraint], ...] = ()

    def __str__(self) -> str:
        text = self.name if not self.groups else ", ".join(
            f"{pattern}: {part}" for pattern, part in self.groups)
        text = text if self.every == 1 else f"{text} every {self.every} steps"
        return text if self.average is None else f"{text}, averaged {self.average:g}"

    def with_rate(self, rate: Rate) -> Optimizer:
        """This optimizer with another learning rate, in all its groups."""
        groups = tuple((pattern, part.with_rate(rate)) for pattern, part in self.groups)
        return replace(self, learning_rate=schedule.as_schedule(rate), groups=groups)

    def schedules(self) -> list[LearningRate]:
        """The learning rates of the optimizer and its groups."""
        return [part.learning_rate for _, part in self.groups] or [self.learning_rate]


# --- the update of a step -------------------------------------------------------------------------


def update(optimizer: Optimizer, variables: Sequence[Variable], grads: Sequence[Node],
           step: Node, epochs: int, prefix: str,
           model: Callable[[Sequence[Variable]], Any] | None = None,
           ) -> tuple[dict[str, Node], Node]:
    """(new value of each variable, the learning rate) of one step; moments go to the scope.

    `model` gives the step's loss as a function of some of its parameters.

    Shared scalars serve the optimizer's line, each update the line of its parameter. `prefix` keeps
    the states of several phases apart.
    """
    with serving(lines(optimizer), Part.OPTIMIZER):
        clock = Clock(cast(step, widest(v.type.dtype for v in variables)), epochs)
        due, count = _turn(optimizer, clock.step)
    grads = _summed(optimizer, variables, [widened(g) for g in grads], prefix, due)
    with serving(lines(optimizer), Part.OPTIMIZER):
        for clip in optimizer.clip:
            grads = clip(grads)
    by_name = dict(zip([v.name for v in variables], grads, strict=True))
    new: dict[str, Node] = {}
    rates = []
    for part, chosen in divided(optimizer, variables):
        found, rate = _part(part, chosen, by_name, clock, count, prefix, due, model)
        new.update(found)
        rates.append(rate)
    new = {v.name: new[v.name] for v in variables}
    _constrain(optimizer, variables, new, due)
    _average(optimizer, variables, new, count, due)
    return new, rates[0]


def _turn(optimizer: Optimizer, step: Node) -> tuple[Node | None, Node]:
    """(whether this step updates, the number of the update, from 1)."""
    if optimizer.every == 1:
        return None, step + 1.0
    count = elementwise.floor((step + 1.0) / float(optimizer.every))
    due = elementwise.eq(count * float(optimizer.every), step + 1.0)
    return due, elementwise.maximum(count, 1.0)


def _summed(optimizer: Optimizer, variables: Sequence[Variable], grads: list[Node], prefix: str,
            due: Node | None) -> list[Node]:
    """The gradients, or their means over the steps since the last update."""
    if due is None:
        return grads
    means = []
    for variable, g in zip(variables, grads, strict=True):
        with serving((*variable.node.locs, *lines(optimizer)), Part.OPTIMIZER):
            handle = state(f"{prefix}gradient/{variable.name}", g.type, zeros)
            total = handle + g
            update_state(handle, elementwise.where(due, as_node(0.0, g.dtype), total))
            means.append(total / float(optimizer.every))
    return means


def _part(optimizer: Optimizer, variables: Sequence[Variable], grads: Mapping[str, Node],
          clock: Clock, count: Node, prefix: str, due: Node | None,
          model: Callable[[Sequence[Variable]], Any] | None) -> tuple[dict[str, Node], Node]:
    """(the new values, the learning rate) of the parameters that one optimizer updates."""
    with serving(lines(optimizer), Part.OPTIMIZER):
        lr = optimizer.learning_rate.at(clock)
        scalars = optimizer.scalars(lr, count)
    common: dict[str, Node] = {}
    # moments are sums, of squares too: those of halves are f32
    slots = [Slot(prefix + optimizer.name, v.name, widened(v.node), grads[v.name], due, common)
             for v in variables]
    with serving(lines(optimizer), Part.OPTIMIZER):
        values = _together(optimizer, slots, lr, count, model and model(variables))
    new = {}
    for at, (slot, variable) in enumerate(zip(slots, variables, strict=True)):
        with serving((*variable.node.locs, *lines(optimizer)), Part.OPTIMIZER):
            value = _ruled(optimizer, slot, scalars) if values is None else values[at]
            value = cast(value, variable.node.dtype)
            new[variable.name] = when(due, value, variable.node)
    return new, lr


def _together(optimizer: Optimizer, slots: Sequence[Slot], lr: Node, count: Node,
              model: Any) -> list[Node] | None:
    """The new values of parameters that are updated together, None for those that are not."""
    if optimizer.joint is not None:
        return optimizer.joint(slots, lr, count)
    if optimizer.curved is None:
        return None
    if model is None or slots[0].due is not None:
        raise DlcError(f"optim.{optimizer.name}: it can't be accumulated", optimizer.loc,
                       "it looks at the losses of one batch; take larger batches")
    return optimizer.curved(slots, lr, model)


def _ruled(optimizer: Optimizer, slot: Slot, scalars: tuple[Node, ...]) -> Node:
    if optimizer.rule is None:
        raise DlcError(f"optimizer {optimizer.name} has no rule", optimizer.loc)
    return optimizer.rule(slot, *scalars)


def _constrain(optimizer: Optimizer, variables: Sequence[Variable], new: dict[str, Node],
               due: Node | None) -> None:
    """Make the updated parameters fit what is asked of them by name: the first pattern counts.

    Raises DlcError for a pattern that fits no parameter.
    """
    names = [v.name for v in variables]
    for pattern, _ in optimizer.constraints:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise DlcError(f"optim.constrain: no parameter fits {pattern!r}"
                           f"{nearest(pattern, names)}", optimizer.loc,
                           f"parameters are {', '.join(names)}")
    for variable in variables:
        fits = next((c for p, c in optimizer.constraints
                     if fnmatch.fnmatchcase(variable.name, p)), None)
        if fits is None:
            continue
        with serving((*variable.node.locs, *lines(optimizer)), Part.OPTIMIZER):
            value = cast(fits(widened(new[variable.name])), variable.node.dtype)
            new[variable.name] = when(due, value, variable.node)


def _average(optimizer: Optimizer, variables: Sequence[Variable], new: Mapping[str, Node],
             count: Node, due: Node | None) -> None:
    """Keep the moving averages of parameters: the first is the parameter itself."""
    decay = optimizer.average
    if decay is None:
        return
    for variable in variables:
        with serving((*variable.node.locs, *lines(optimizer)), Part.OPTIMIZER):
            value = widened(new[variable.name])
            first = elementwise.eq(count, 1.0)
            handle = state(f"{AVERAGE}/{variable.name}", value.type, begun_as(variable))
            mean = elementwise.where(first, value, handle * decay + value * (1 - decay))
            update_state(handle, when(due, mean, handle))


def begun_as(variable: Variable) -> Initializer:
    """The initializer that gives the first value of `variable` under another name."""
    def init(key: Key, shape: tuple[int, ...], dtype: DType) -> Node:
        return cast(variable.init(Key(key.seed, variable.name), shape, variable.type.dtype), dtype)

    return init


def divided(optimizer: Optimizer, variables: Sequence[Variable],
            ) -> Iterator[tuple[Optimizer, list[Variable]]]:
    """The optimizers that work, each with its parameters: the first pattern that fits counts.

    Raises DlcError for a parameter that no pattern fits and a pattern that fits none.
    """
    if not optimizer.groups:
        yield optimizer, list(variables)
        return
    names = [v.name for v in variables]
    chosen: dict[str, list[Variable]] = {pattern: [] for pattern, _ in optimizer.groups}
    for variable in variables:
        pattern = next((p for p in chosen if fnmatch.fnmatchcase(variable.name, p)), None)
        if pattern is None:
            raise DlcError(f"optim.by_name: no pattern fits {variable.name}", optimizer.loc,
                           'a last pattern for the others: "*"')
        chosen[pattern].append(variable)
    for pattern, part in optimizer.groups:
        if not chosen[pattern]:
            raise DlcError(f"optim.by_name: no parameter is left for {pattern!r}"
                           f"{nearest(pattern, names)}", optimizer.loc,
                           f"parameters are {', '.join(names)}; the first pattern that fits counts")
        yield part, chosen[pattern]


# --- what families share --------------------------------------------------------------------------


def widest(kinds: Iterable[DType]) -> DType:
    """What scalars beside arrays of `kinds` are computed in: f64 where one is f64, else f32."""
    return f64 if f64 in kinds else f32


def lines(optimizer: Optimizer) -> tuple[Loc, ...]:
    return () if optimizer.loc is None else (optimizer.loc,)


def clips(clip: Clips) -> tuple[Clip, ...]:
    if clip is None:
        return ()
    found = (clip,) if callable(clip) else clip
    if not isinstance(found, Sequence) or not all(map(callable, found)):
        raise DlcError(f"clip={clip!r} is not a clipping", here(), "e.g. optim.clip_by_norm(1.0)")
    return tuple(found)


BELOW_ONE = ("b1", "b2", "momentum", "rho", "alpha", "dampening")


def checked(what: str, **values: float) -> None:
    """Raise DlcError for a setting that is not a number of its range."""
    for name, value in values.items():
        low_one = name in BELOW_ONE
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not (
                0 <= value < (1 if low_one else math.inf)):
            raise DlcError(f"optim.{what}: {name}={value!r} is out of range", here(),
                           f"0 <= {name}{' < 1' if low_one else ''}")


def made(name: str, rule: Callable[..., Node] | None, lr: Rate, clip: Clips,
         scalars: Callable[[Node, Node], tuple[Node, ...]] = plain_scalars,
         **more: Any) -> Optimizer:
    """An optimizer at the user's line."""
    return Optimizer(name, rule, schedule.as_schedule(lr), scalars, clips(clip), here(), **more)


def bias(decay: float, t: Node) -> Node:
    """1 - decay ** t; expm1 keeps f32's digits where decay ** t is near 1."""
    return -elementwise.expm1(t * math.log(decay)) if decay else elementwise.const_like(t, 1.0)


def decayed(slot: Slot, weight_decay: float) -> Node:
    """The gradient with weight_decay * p, as torch adds it."""
    return slot.grad + slot.param * weight_decay if weight_decay else slot.grad


def shrunk(slot: Slot, shrink: Node, decoupled: float) -> Node:
    """The parameter times 1 - lr * decay, where `shrink` is lr * decay (AdamW)."""
    return slot.param - slot.param * shrink if decoupled else slot.param
