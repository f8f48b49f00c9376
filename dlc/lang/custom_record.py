"""The records of custom operators: from a function's text, a meaning and rules to an Op."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, Loc
from dlc.ir.graph import Graph, Kind, Node, Op, OpError, make
from dlc.ir.types import DType, TupleType, Type, bool_, dtype, f64, i32, i64
from dlc.lang.custom_source import FunctionText
from dlc.ops import leaf, tuples
from dlc.ops.elementwise import same_type
from dlc.ops.routine import Routine, kernel_dtype, result_types

Rule = Callable[..., Any]


# --- elementwise ----------------------------------------------------------------------------------


def elementwise_op(name: str, text: FunctionText, meaning: Rule, samples: Callable[[], Any],
                   gradient: Any, result: Rule | None, doc: str,
                   cheap: bool, commutative: bool) -> Op:
    """The record of an operator whose function takes and returns scalars."""
    def infer(*types: Type, **attrs: Any) -> Type:
        if len(types) != len(text.parameters):
            raise OpError(f"{len(types)} operands, {len(text.parameters)} wanted")
        first = same_type(*types)
        if result is None:
            return first
        (found,) = _ruled(result, types, attrs)
        if tuple(found.shape) != tuple(first.shape):
            raise OpError(f"its type rule gives {found} for operands of shape {first.shape}",
                          "an elementwise result has the operands' shape")
        return found

    def emit(k: Any, /, *scalars: Any, **attrs: Any) -> Any:
        kind = infer(*(Type(s.dtype, ()) for s in scalars), **attrs).dtype
        numbers = [k.number(attrs[w], _number_type(attrs[w])) for w in text.keywords]
        return k.function(text.name, (*scalars, *numbers), kind)

    rule = None if isinstance(gradient, str) else (
        lambda g, y, *args: _cotangents(name, gradient(g, y, *args, **y.attrs), args, y.loc))
    return Op(name, Kind.ELEMENTWISE, infer, meaning, rule, emit, samples, doc=doc,
              gradient=gradient if isinstance(gradient, str) else "smooth", functions=text.text,
              cheap=cheap, commutative=commutative)


def _number_type(value: Any) -> DType:
    """The dtype in which a function takes an attribute."""
    for kind, found in ((bool, bool_), (int, i64), (float, f64)):
        if isinstance(value, kind):
            return found
    raise OpError(f"attribute {value!r} is not a number", "attributes are bool, int or float")


def _ruled(rule: Rule, types: Sequence[Type], attrs: Mapping[str, Any]) -> tuple[Type, ...]:
    """What a user's type rule gives, as a tuple. Raises OpError for anything else than types."""
    found = rule(*types, **attrs)
    found = found if isinstance(found, tuple) else (found,)
    for type_ in found:
        if not isinstance(type_, Type):
            raise OpError(f"its type rule gives {type_!r}", "it gives a type such as f32[3, 4]")
    return found


def _cotangents(name: str, found: Any, args: Sequence[Node], loc: Loc | None) -> tuple[Any, ...]:
    """A gradient rule's answer: one node or None per operand, of the operand's shape.

    Raises DlcError at `loc`, where the operator is used.
    """
    parts = tuple(found) if isinstance(found, (tuple, list)) else (found,)
    if len(parts) != len(args):
        raise DlcError(f"the gradient rule of {name} gives {len(parts)} cotangents for "
                       f"{len(args)} operands", loc, "give one, or None, for each operand")
    for part, arg in zip(parts, args, strict=True):
        if part is None:
            continue
        if not isinstance(part, Node) or tuple(part.shape) != tuple(arg.shape):
            shown = part.type if isinstance(part, Node) else repr(part)
            raise DlcError(f"the gradient rule of {name} gives {shown} as the cotangent of "
                           f"{arg.type}", loc, "a cotangent has its operand's shape")
    return parts


# --- arrays ---------------------------------------------------------------------------------------


class ArrayRules:
    """The rules of an operator whose function takes arrays.

    Its attribute `lead` says how many first axes its function does not see. The user's rules hold
    for `parallel` of them; vmap adds more, which the rules here take off and put back.
    """

    def __init__(self, name: str, text: FunctionText, meaning: Rule, gradient: Any,
                 result: Rule | None, parallel: int) -> None:
        self.name, self.text, self.meaning, self.parallel = name, text, meaning, parallel
        self.gradient, self.result = gradient, result or (lambda *types, **_: types[0])

    def infer(self, *types: Type, lead: int, **attrs: Any) -> TupleType:
        heads = {tuple(map(int, t.shape[:lead])) for t in types}
        if not isinstance(lead, int) or lead < self.parallel or len(heads) != 1 or (
                len(next(iter(heads))) != lead):
            words = ", ".join(t.describe() for t in types)
            raise OpError(f"{words} do not share their first {lead} axes")
        head, extra = heads.pop(), lead - self.parallel
        cores = [t.with_(shape=t.shape[extra:], layout=None) for t in types]
        results = _ruled(self.result, cores, attrs)
        for r in results:
            if tuple(map(int, r.shape[:self.parallel])) != head[extra:]:
                raise OpError(f"its type rule gives {r}", f"results begin with axes {head[extra:]}")
        if len(types) + len(results) != len(self.text.parameters):
            raise OpError(f"{len(types)} operands and {len(results)} results for a function of "
                          f"{len(self.text.parameters)} arrays")
        full = [r.with_(shape=(*head[:extra], *r.shape), layout=None) for r in results]
        return TupleType((*full, Type(i32, head)))

    def eval(self, *arrays: Any, lead: int, **attrs: Any) -> Any:
        extra = lead - self.parallel
        types = [Type(dtype(a.dtype), a.shape) for a in arrays]
        *kinds, fault = self.infer(*types, lead=lead, **attrs).items
        outs = [np.zeros(tuple(map(int, t.shape)), t.dtype.numpy) for t in kinds]
        for at in np.ndindex(*arrays[0].shape[:extra]):
            found = self.meaning(*(a[at] for a in arrays), **attrs)
            found = found if isinstance(found, tuple) else (found,)
            for out, value in zip(outs, found, strict=True):
                out[at] = value
        return (*outs, np.zeros(fault.shape, np.int32))

    def emit(self, y: Node) -> Routine:
        lead = y.attrs["lead"]
        *results, fault = result_types(y)
        read = [f"x{i}" for i in range(len(y.args))]
        written = [f"y{i}" for i in range(len(results))]
        views = [_view("const_view", n, a.type, lead) for n, a in zip(read, y.args, strict=True)]
        views += [_view("view", n, t, lead) for n, t in zip(written, results, strict=True)]
        numbers = [_literal(y.attrs[word]) for word in self.text.keywords]
        head = f"def {self.name}({', '.join([*read, *written, 'fault', 'example'])}):"
        call = f"    {self.text.name}({', '.join([*views, *numbers])})"
        return Routine(f"{head}\n{call}\n", {"example": fault.size}, raises=True)

    def pull(self, node: Node, given: Mapping[int, Node]) -> Sequence[Node | None]:
        """The user's gradient rule; over the axes that vmap added, the rule itself under vmap."""
        *types, _ = result_types(node)
        ys = [tuples.item(node, i) for i in range(len(types))]
        gs = [given.get(i, leaf.constant(0, t)) if t.dtype.is_float else
              leaf.constant(0, t) for i, t in enumerate(types)]
        values = [*gs, *ys, *node.args]
        extra = node.attrs["lead"] - self.parallel
        if extra == 0:
            return self._rule(node, values)
        from dlc.derive.autodiff import inline
        from dlc.derive.batching import batched_graph

        head = node.args[0].shape[:extra]
        inputs = tuple(leaf.input_(f"v{i}", v.type.with_(shape=v.shape[extra:], layout=None))
                       for i, v in enumerate(values))
        parts = self._rule(node, inputs)
        body = Graph("rule", inputs, tuple(p for p in parts if p is not None))
        for size in reversed(head):
            body = batched_graph(body, [True] * len(inputs), int(size))
        found = iter(inline(body, values))
        return tuple(None if p is None else next(found) for p in parts)

    def _rule(self, node: Node, values: Sequence[Node]) -> tuple[Any, ...]:
        count = len(result_types(node)) - 1
        gs, ys, args = values[:count], values[count:2 * count], values[2 * count:]
        attrs = {k: v for k, v in node.attrs.items() if k != "lead"}
        if count == 1:
            found = self.gradient(gs[0], ys[0], *args, **attrs)
            return _cotangents(self.name, found, args, ys[0].loc)
        found = self.gradient(tuple(gs), tuple(ys), *args, **attrs)
        return _cotangents(self.name, found, args, ys[0].loc)

    def batch(self, node: Node, args: Sequence[Node], mapped: tuple[bool, ...], size: int) -> Node:
        from dlc.ops.batch_rules import along_examples

        full = [along_examples(a, size, m) for a, m in zip(args, mapped, strict=True)]
        return make(node.op, full, **{**node.attrs, "lead": node.attrs["lead"] + 1})


def _view(word: str, name: str, type_: Type, lead: int) -> str:
    """The call that makes the array which the function sees of a buffer."""
    sizes = [int(d) for d in type_.shape[lead:]]
    buffer = f"at({name}, example * {math.prod(sizes)})" if lead else name
    return f"{word}_{kernel_dtype(type_)}({', '.join([buffer, *map(str, sizes)])})"


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    _number_type(value)
    if not isinstance(value, float) or math.isfinite(value):
        return repr(value)
    return "(1e999 - 1e999)" if math.isnan(value) else "1e999" if value > 0 else "-1e999"


def array_op(name: str, text: FunctionText, meaning: Rule, samples: Callable[[], Iterable[Any]],
             gradient: Any, result: Rule | None, parallel: int, doc: str) -> Op:
    """The record of an operator whose function takes arrays."""
    rules = ArrayRules(name, text, meaning, gradient, result, parallel)
    smooth = not isinstance(gradient, str)

    def with_lead() -> list[Any]:
        return [(arrays, {"lead": parallel, **attrs}) for arrays, attrs in samples()]

    return Op(name, Kind.ROUTINE, rules.infer, rules.eval, None, rules.emit, with_lead, doc=doc,
              gradient="smooth" if smooth else gradient, pull=rules.pull if smooth else None,
              batch=rules.batch, functions=text.text,
              defaults=lambda *types, **_: {"lead": parallel})
