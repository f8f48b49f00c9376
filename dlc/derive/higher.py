"""Operators that contain a graph and stand for it or its derivative: fused groups, grad, jvp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from dlc.ir.graph import Build, Given, Graph, Kind, Node, Op, OpError, building, make
from dlc.ir.registry import register
from dlc.ir.types import TupleType

Run = Callable[[Graph, Sequence[Any]], list[Any]]


def _no_samples() -> list[Any]:
    return []


def _higher(name: str, infer: Any, eval_: Any, doc: str, **rules: Any) -> Op:
    return register(Op(name, Kind.HIGHER, infer, eval_, None, None, _no_samples, doc=doc,
                       gradient="none", **rules))


def expanding(name: str, infer: Any, expand: Callable[..., Graph], doc: str) -> Op:
    """Register a transformation of a body: a node that means no more than its expansion."""
    @lru_cache(maxsize=64)
    def expansion(attrs: tuple[tuple[str, Any], ...]) -> Graph:
        # apart from a build that is going on: evaluating a graph must not add to it
        with building(Build()):
            return expand(**dict(attrs))

    def evaluate(run: Run, *args: Any, **attrs: Any) -> Any:
        # in the body of a loop this runs in every iteration
        return tuple(run(expansion(tuple(sorted(attrs.items()))), args))

    return _higher(name, infer, evaluate, doc, expand=expand)


def check_body(body: Graph, types: Sequence[Any]) -> None:
    """Raise OpError unless `types` fit the inputs of `body`."""
    if len(types) != len(body.inputs):
        raise OpError(f"body {body.name} takes {len(body.inputs)} operands, not {len(types)}")
    for want, have in zip(body.inputs, types, strict=True):
        if (want.type.dtype, tuple(want.type.shape)) != (have.dtype, tuple(have.shape)):
            raise OpError(f"body {body.name} takes {want.type} as {want.name}, not {have}")


def _infer_fused(*types: Any, body: Graph) -> Any:
    check_body(body, types)
    outs = tuple(o.type for o in body.outputs)
    return outs[0] if len(outs) == 1 else TupleType(outs)


def _eval_fused(run: Run, *args: Any, body: Graph) -> Any:
    results = run(body, args)
    return results[0] if len(results) == 1 else tuple(results)


def _pull_fused(node: Node, given: Given) -> Sequence[Node | None]:
    from dlc.derive.autodiff import pull_body

    return pull_body(node.attrs["body"], node.args, given)


def _push_fused(node: Node, tangents: Sequence[Any]) -> Any:
    from dlc.derive.autodiff import push_body

    pushed = push_body(node.attrs["body"], node.args, tangents)
    return pushed if isinstance(node.type, TupleType) else pushed[0]


def _batch_fused(node: Node, args: Sequence[Node], mapped: tuple[bool, ...], size: int) -> Any:
    from dlc.derive.batching import batched_graph

    return make(node.op, args, body=batched_graph(node.attrs["body"], mapped, size))


FUSED = _higher("fused", _infer_fused, _eval_fused, "a group of operators that becomes one launch",
                pull=_pull_fused, push=_push_fused, batch=_batch_fused)


def _infer_grad(*types: Any, body: Graph, count: int) -> Any:
    """Results of the body, then the cotangents of its first `count` inputs."""
    check_body(body, types[:-1])
    if tuple(types[-1].shape) != tuple(body.outputs[0].shape):
        raise OpError(f"cotangent {types[-1]} of {body.outputs[0].type}")
    return TupleType((*(o.type for o in body.outputs), *(i.type for i in body.inputs[:count])))


def _expand_grad(*, body: Graph, count: int) -> Graph:
    from dlc.derive.autodiff import grad_graph

    return grad_graph(body, count)


GRAD = expanding(
    "grad", _infer_grad, _expand_grad,
    "results of a body and the cotangents of its first `count` inputs; operands: the body's "
    "inputs, then the cotangent of its first result")


def _infer_jvp(*types: Any, body: Graph, tangents: int) -> Any:
    check_body(body, types[:len(body.inputs)])
    if len(types) != len(body.inputs) + tangents:
        raise OpError(f"{tangents} tangents wanted, {len(types) - len(body.inputs)} given")
    outs = tuple(o.type for o in body.outputs)
    return TupleType((*outs, *outs))


def _expand_jvp(*, body: Graph, tangents: int) -> Graph:
    from dlc.derive.autodiff import jvp_graph

    return jvp_graph(body, tangents)


JVP = expanding(
    "jvp", _infer_jvp, _expand_jvp,
    "results of a body and their tangents; operands: the body's inputs, then the tangents of "
    "its first `tangents` inputs")
