"""How loops, branches and sorting of dlc are written in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.derive.control import Loop
from dlc.ir.graph import Node
from dlc.ir.types import f64, i32, i64, u64
from dlc.onnx.proto import onnx_package
from dlc.onnx.writer import Open, Writer, writes

# above every f32, and below infinity in f64
BEYOND_F32 = 1e300


@writes("item")
def item(to: Writer, node: Node) -> str:
    index: int = node.attrs["index"]
    return to.several[node.args[0]][index]


@writes("barrier", "checkpoint")
def unchanged(to: Writer, node: Node) -> str:
    return to.operand(node, 0)


# --- loops ----------------------------------------------------------------------------------------


@writes("scan")
def scan(to: Writer, node: Node) -> list[str]:
    """A Scan over sequences, else a Loop that counts; invariants are read by name."""
    loop = Loop.of(node)
    if not to.attr(node, "length"):
        to.pair(node.attrs["body"], to.twins[node].attrs["body"])
        finals = [to.names[init] for _, init in loop.carries]
        empty = [to.expand(to.scalar(0, y), [0, *to.dims(y)], y.dtype) for y in loop.ys]
        return [*finals, *empty]
    return (scan_over if loop.sequences else counted)(to, loop)


def scan_over(to: Writer, loop: Loop) -> list[str]:
    """ONNX's Scan; backwards the last element of each sequence comes first."""
    nodes, inputs, outputs = to.body(
        loop.node, "body", [x for x, _ in (*loop.carries, *loop.sequences)],
        {x: to.names[a] for x, a in loop.invariants})
    backwards: dict[str, Any] = {}
    if loop.reverse:
        backwards = {"scan_input_directions": [1] * len(loop.sequences)}
        if loop.ys:
            backwards["scan_output_directions"] = [1] * len(loop.ys)
    return to.emit_several(
        "Scan", [to.names[a] for _, a in (*loop.carries, *loop.sequences)], hints(loop),
        num_scan_inputs=len(loop.sequences), **backwards,
        body=onnx_package().helper.make_graph(nodes, loop.node.attrs["body"].name, inputs, outputs))


def counted(to: Writer, loop: Loop) -> list[str]:
    """ONNX's Loop, whose condition always holds; its stacks are turned where it runs backwards."""
    helper, kinds = onnx_package().helper, onnx_package().TensorProto
    length = to.attr(loop.node, "length")
    rounds = to.emit("Squeeze", to.shape([length])) if isinstance(length, Open) else (
        to.constant(length, np.int64))
    nodes, inputs, outputs = to.body(loop.node, "body", [x for x, _ in loop.carries],
                                     {x: to.names[a] for x, a in loop.invariants})
    number, going, on = (to.name(n) for n in ("round", "going", "going_on"))
    ahead = [helper.make_tensor_value_info(number, kinds.INT64, []),
             helper.make_tensor_value_info(going, kinds.BOOL, [])]
    nodes.append(helper.make_node("Identity", [going], [on], name=on))
    first = helper.make_tensor_value_info(on, kinds.BOOL, [])
    body = helper.make_graph(nodes, loop.node.attrs["body"].name, [*ahead, *inputs],
                             [first, *outputs])
    found = to.emit_several("Loop", [rounds, "", *(to.names[a] for _, a in loop.carries)],
                            hints(loop), body=body)
    if not loop.reverse:
        return found
    count = len(loop.carries)
    return [*found[:count], *(turned(to, name) for name in found[count:])]


def turned(to: Writer, name: str) -> str:
    """The last element of the first axis first."""
    last, first = to.ints([-1]), to.ints([np.iinfo(np.int64).min + 1])
    return to.emit("Slice", name, last, first, to.ints([0]), last)


def hints(loop: Loop) -> list[str]:
    """What the results of a loop are called: a carry by its input, a stack by its rows."""
    return [*(x.attrs["label"] for x, _ in loop.carries),
            *(f"{y.name or y.op.name}s" for y in loop.ys)]


# --- branches -------------------------------------------------------------------------------------


@writes("cond")
def cond(to: Writer, node: Node) -> list[str]:
    """ONNX's If: both branches read their operands by name."""
    helper, branches = onnx_package().helper, {}
    for key, theirs in (("then", "then_branch"), ("otherwise", "else_branch")):
        graph = node.attrs[key]
        names = {x: to.names[a] for x, a in zip(graph.inputs, node.args[1:], strict=True)}
        nodes, _, outputs = to.body(node, key, (), names)
        branches[theirs] = helper.make_graph(nodes, graph.name, [], outputs)
    return to.emit_several("If", [to.operand(node, 0)],
                           [o.name or "if" for o in node.attrs["then"].outputs], **branches)


# --- sorting --------------------------------------------------------------------------------------


@writes("argsort")
def argsort(to: Writer, node: Node) -> str:
    """TopK, of equals the first. ONNX does not say where NaN goes: it counts as the largest."""
    (x,), axis = node.args, node.attrs["axis"]
    _, places = to.emit_several(
        "TopK", [sortable(to, x), to.ints([node.attrs["count"]])], ["sorted", "order"], axis=axis,
        largest=int(node.attrs["descending"]), sorted=1)
    return to.cast(places, node.dtype)


def sortable(to: Writer, x: Node) -> str:
    """x in a dtype that onnxruntime sorts, with numbers in place of NaN.

    Floats up to f32 go through f64, where NaN has a place above infinity; among f64 it is one.
    """
    name = to.names[x]
    if not x.dtype.is_float:
        return name if x.dtype in (i32, i64, u64) else to.cast(name, i64)
    infinite = to.constant(np.inf, np.float64)
    number = name if x.dtype is f64 else to.emit(
        "Min", to.cast(name, f64), to.constant(BEYOND_F32, np.float64))
    return to.emit("Where", to.emit("IsNaN", name), infinite, number)


@writes("scatter_last")
def scatter_last(to: Writer, node: Node) -> str:
    """The largest of the positions that name a place; before opset 18 among all of them."""
    from dlc.onnx.export_views import limited_to

    (index,), size = node.args, node.attrs["size"]
    at = limited_to(to, index, size)
    dims, count = to.dims(index), index.shape[-1]
    positions = to.constant(np.arange(count), np.int32)
    if to.opset >= 18:
        start = to.expand(to.constant(-1, np.int32), to.dims(node), i32)
        return to.emit("ScatterElements", start, to.cast(at, i64),
                       to.expand(positions, dims, i32), axis=index.ndim - 1, reduction="max")
    column = to.constant(np.arange(size)[:, None], index.dtype.numpy)
    same = to.emit("Equal", to.reshape(at, [*dims[:-1], 1, dims[-1]]), column)
    named = to.emit("Where", same, positions, to.constant(-1, np.int32))
    return to.emit("ReduceMax", named, axes=[index.ndim], keepdims=0) if count else to.expand(
        to.constant(-1, np.int32), to.dims(node), i32)
