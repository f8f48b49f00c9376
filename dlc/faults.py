"""Diagnosis of a failed training step: replayed in NumPy on the graph as traced, node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.derive.control import SCAN
from dlc.errors import DlcError, Part, part_of
from dlc.ir.graph import Graph, Kind, Node, describe, toposort
from dlc.ir.types import Type, i32
from dlc.ops import leaf
from dlc.ops.collective import ALL_REDUCE
from dlc.ops.elementwise import ISFINITE, OR
from dlc.passes.loops.bodies import is_control
from dlc.reference.evaluate import apply
from dlc.task.scaling import STATE

if TYPE_CHECKING:
    from dlc.compiler import Compiled
    from dlc.runtime.cpu.arena import ArenaProgram
    from dlc.runtime.train.training import Fault

Values = Mapping[Node, Any]


def explainer(compiled: Compiled, loaded: ArenaProgram,
              bundle: Path | None = None) -> Callable[[Fault], str]:
    """What the training loop asks about a fault: the operator and the user's line behind it. The
    step is kept in the file `bundle`, where one is named."""
    def explain(fault: Fault) -> str:
        graph = compiled.source.graphs[fault.entry]
        kept = {port.name: loaded.read(port.name) for port in loaded.program.persistent}
        inputs = {**kept, **fault.inputs}
        cause = str(cause_of(graph, inputs, fault.code))
        if bundle is None:
            return cause
        from dlc.replay import Bundle, keep

        return f"{cause}\n  {keep(bundle, Bundle.of(compiled, fault, graph, inputs))}"

    return explain


def raise_fault(graph: Graph, code: Any, inputs: Callable[[], Mapping[str, Any]]) -> None:
    """Raise DlcError for fault `code` of a step on `inputs()`, with the operator, the value and its
    place; None and 0 are none. The state is that before the step, which a fault leaves."""
    if code is not None and int(code) != 0:
        raise cause_of(graph, inputs(), int(code))


def cause_of(graph: Graph, inputs: Mapping[str, Any], code: int) -> DlcError:
    """The cause of fault `code` of the step `graph` on `inputs` (arrays by input name).

    A positive code is a run-time check (an index out of range), -1 a loss that is not finite, or
    with loss scaling a gradient; NOT_FINITE what the step writes.
    """
    from dlc.runtime.train.training import NOT_FINITE

    plain, values = replay(graph, inputs)
    if code > 0:
        return broken_check(plain, values, code)
    if code == NOT_FINITE:
        return spoilt_update(plain, values)
    loss = plain.outputs[plain.output_names.index("loss")]
    given = float(values[loss])
    ends, what = [loss], f"the loss is {given}"
    if np.isfinite(given):  # loss scaling asks for gradients that are finite
        ends = [n.args[0] for n in plain.nodes() if n.op is ISFINITE
                and not is_finite(values[n.args[0]])]
        if not ends:
            return DlcError(f"the loss is not finite, but a replay in NumPy gives {given:.6g}: the "
                            "kernels overflow where NumPy does not")
        what = f"a gradient is not finite at the loss scale {scale_of(plain, inputs):g}"
    return traced(what, ends, values)


def traced(what: str, ends: Sequence[Node], values: Values) -> DlcError:
    """`what` is wrong, and the operator that made `ends` so, with what it was given."""
    origin = first_cause(ends, values)
    if origin is None:
        return DlcError(what)
    origin, values, where = within_bodies(origin, values)
    gradient = ", in the gradient" if part_of(origin.locs) is Part.BACKWARD else ""
    return DlcError(f"{what}: {origin_text(origin, values)}{where}{gradient}", origin.loc,
                    "\n  ".join(statistics(origin, values)))


def spoilt_update(plain: Graph, values: Values) -> DlcError:
    """Why what the step writes is not finite any more."""
    spoilt = spoilt_by(plain, values)
    if not spoilt:
        return DlcError("what the step writes is not finite, but it is in a replay in NumPy: the "
                        "kernels overflow where NumPy does not")
    rest = f" and {len(spoilt) - 1} more are" if len(spoilt) > 1 else " is"
    return traced(f"the new {spoilt[0][0]}{rest} not finite", [n for _, n in spoilt], values)


def scale_of(graph: Graph, inputs: Mapping[str, Any]) -> float:
    """The scale of the loss in the step `graph` on `inputs`."""
    return float(next(inputs[name] for n in graph.inputs
                      if (name := n.attrs["label"]).endswith(f"{STATE}.scale")))


def replay(graph: Graph, inputs: Mapping[str, Any]) -> tuple[Graph, Values]:
    """The step with its gradients written out and nothing else changed, and every node's value."""
    from dlc.passes.differentiate import differentiate

    plain = differentiate(graph)
    return plain, run_through(plain, [np.asarray(inputs[n.attrs["label"]]) for n in plain.inputs])


def run_through(graph: Graph, args: Sequence[Any]) -> dict[Node, Any]:
    """Every node's value for the arguments."""
    values: dict[Node, Any] = dict(zip(graph.inputs, args, strict=True))
    with np.errstate(all="ignore"):
        for node in graph.nodes():
            if node not in values:
                values[node] = apply(node, [values[a] for a in node.args])
    return values


def within_bodies(origin: Node, values: Values) -> tuple[Node, Values, str]:
    """The cause inside the loop or branch `origin`, down to an operator; and in which iteration."""
    where = ""
    while is_control(origin):
        args = [values[a] for a in origin.args]
        inside = loop_cause(origin, args) if origin.op is SCAN else branch_cause(origin, args)
        if inside is None:
            break
        origin, values, step = inside
        where = f"{step}{where}"
    return origin, values, where


def loop_cause(loop: Node, args: Sequence[Any]) -> tuple[Node, Values, str] | None:
    """What makes the first value of the loop that is not finite, and in which iteration."""
    attrs = loop.attrs
    carries, body, length = attrs["carries"], attrs["body"], attrs["length"]
    elements = carries + attrs["sequences"]
    carry = list(args[:carries])
    for turn in range(length):
        t = length - 1 - turn if attrs["reverse"] else turn
        values = run_through(body, [*carry, *(s[t] for s in args[carries:elements]),
                                    *args[elements:]])
        cause = first_cause([o for o in body.outputs if not is_finite(values[o])], values)
        if cause is not None:
            return cause, values, f" in iteration {turn} of {length}"
        carry = [values[o] for o in body.outputs[:carries]]
    return None


def branch_cause(branch: Node, args: Sequence[Any]) -> tuple[Node, Values, str] | None:
    """What makes the first value of the branch taken that is not finite."""
    body = branch.attrs["then" if bool(args[0]) else "otherwise"]
    values = run_through(body, args[1:])
    cause = first_cause([o for o in body.outputs if not is_finite(values[o])], values)
    return None if cause is None else (cause, values, "")


def first_cause(ends: Sequence[Node], values: Values) -> Node | None:
    """The first node, in the order of evaluation, from which values that are not finite reach
    `ends` while its own operands are finite. A constant counts only when there is nothing else."""
    causes = list(dict.fromkeys(c for end in ends for c in sources(end, values)))
    computed = [n for n in causes if n.op.kind is not Kind.LEAF]
    order = {node: place for place, node in enumerate(values)}
    return min(computed or causes, key=order.__getitem__, default=None)


def sources(end: Node, values: Values) -> Iterator[Node]:
    """The nodes behind `end`, along values that are not finite, whose operands are all finite."""
    seen, stack = {end}, [end]
    while stack:
        node = stack.pop()
        bad = [a for a in node.args if not is_finite(values[a])]
        if not bad:
            yield node
        for arg in bad:
            if arg not in seen:
                seen.add(arg)
                stack.append(arg)


def is_finite(value: Any) -> bool:
    """Whether all numbers of a value (a tuple of arrays for several results) are finite."""
    if isinstance(value, tuple):
        return all(map(is_finite, value))
    return value.dtype.kind in "iub" or bool(np.isfinite(value.astype(np.float64)).all())


def origin_text(node: Node, values: Values) -> str:
    """`log gives -inf at [3, 1] of f32[64, 10], from x = 0.0`."""
    value = values[node]
    if not isinstance(node.type, Type):
        return f"{node.op.name} gives values that are not finite"
    at = tuple(np.argwhere(~np.isfinite(value.astype(np.float64)))[0])
    if node.op is leaf.INPUT:
        return f"{node.attrs['label']} holds {value[at]}{place(at)}"
    named = f" ({node.name})" if node.name else ""
    text = f"{node.op.name}{named} gives {value[at]}{place(at)} of {node.type.describe()}"
    told = [operand_text(a, values[a], at) for a in node.args if not isinstance(values[a], tuple)]
    return f"{text}, from {' and '.join(told)}" if told else text


def operand_text(node: Node, value: Any, at: tuple[Any, ...]) -> str:
    """An operand's element at `at` where it has one, else the range of its values."""
    name = node.name or node.attrs.get("label") or node.op.name
    if node.op is leaf.CONSTANT:
        return str(value.reshape(-1)[0])
    if value.size == 1:
        return f"{name} = {value.item():.6g}"
    if len(value.shape) == len(at) and all(i < n for i, n in zip(at, value.shape, strict=True)):
        return f"{name} = {value[at]:.6g}"
    return f"{name} between {value.min():.6g} and {value.max():.6g}"


def spoilt_by(plain: Graph, values: Values) -> list[tuple[str, Node]]:
    """What a step writes that is not finite, where it was before: names and new values."""
    before = {n.attrs["label"]: values[n] for n in plain.inputs}
    written = [(name, plain.outputs[plain.output_names.index(output)])
               for output, name in plain.updates.items()]
    return [(name, node) for name, node in written
            if not is_finite(values[node]) and is_finite(before[name])]


def statistics(node: Node, values: Values) -> list[str]:
    """A line for the result of a node, and one for each array that it was given."""
    seen = dict.fromkeys(a for a in node.args if a.op is not leaf.CONSTANT)
    return [f"{heading} {each.name or each.attrs.get('label') or each.op.name}: "
            f"{statistic(each, values[each])}" for heading, each in
            [("result", node), *(("operand", a) for a in seen)] if isinstance(each.type, Type)]


def statistic(node: Node, value: Any) -> str:
    """Of an array: `f32[64, 10], 3 of 640 nan; the others from -1 to 4, mean 2, deviation 1`."""
    known = np.asarray(value).astype(np.float64).reshape(-1)
    finite = known[np.isfinite(known)]
    bad = [f"{count} of {known.size} {word}" for word, count in (
        ("nan", int(np.isnan(known).sum())), ("inf", int(np.isinf(known).sum()))) if count]
    shape = node.type.describe() if isinstance(node.type, Type) else str(node.type)
    if not len(finite):
        return ", ".join([shape, *bad])
    with np.errstate(all="ignore"):
        told = (f"from {finite.min():.4g} to {finite.max():.4g}, mean {finite.mean():.4g}, "
                f"deviation {finite.std():.4g}")
    zeros = int((finite == 0).sum())
    rest = f"; the others {told}" if bad else f", {told}"
    return ", ".join([shape, *bad]) + rest + (f", {zeros} are 0" if zeros else "")


def place(at: tuple[Any, ...]) -> str:
    return f" at [{', '.join(str(int(i)) for i in at)}]" if at else ""


def broken_check(graph: Graph, values: Values, code: int) -> DlcError:
    """The run-time check with number `code`: its text, line, and the index that failed it."""
    check = graph.notes["checks"][code - 1]
    condition = checked_condition(graph.outputs[graph.output_names.index("fault")], code)
    found = offending_index(condition, values) if condition is not None else ""
    return DlcError(check.text + found, check.loc)


def checked_condition(fault: Node, code: int) -> Node | None:
    """The condition of check `code` in the chain of selections that makes the fault word; in a step
    of several micro-batches the one of theirs (dlc/task/micro.py), behind their sum."""
    summed = next((n for n in toposort([fault]) if n.op is ALL_REDUCE and n.dtype is i32), None)
    node = fault if summed is None else summed.args[0].args[1].args[0]
    while len(node.args) == 3:
        if node.args[1].op is leaf.CONSTANT and node.args[1].attrs["value"] == code:
            return node.args[0]
        node = node.args[2]
    return None


def offending_index(condition: Node, values: Values) -> str:
    """The first index that is out of range, from `any(or(lt(index, 0), ge(index, bound)))`."""
    either = condition.args[0] if condition.args else condition
    if either.op is not OR or not either.args[0].args:
        return ""
    wrong, index = values[either], either.args[0].args[0]
    if not wrong.any() or values[index].shape != wrong.shape:
        return ""
    at = tuple(np.argwhere(wrong)[0])
    return f"; {describe(index)} holds {values[index][at]}{place(at)}"
