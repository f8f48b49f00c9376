"""dlc: a declarative deep-learning graph compiler. The public names, and the lazy facade."""

from dlc import augment, init, nn, optim, random
from dlc.compiler import Compiled, Loaded, compile
from dlc.errors import DlcError, hide_own_frames
from dlc.evaluate import evaluate
from dlc.graph import Graph, Node
from dlc.ops.contract import matmul
from dlc.ops.convert import as_node as asarray
from dlc.ops.convert import broadcast_to, cast
from dlc.ops.convolution import conv, conv_transpose
from dlc.ops.einsum import einsum
from dlc.ops.elementwise import abs_ as abs
from dlc.ops.elementwise import (
    ceil,
    clip,
    cos,
    erf,
    exp,
    expm1,
    floor,
    isfinite,
    log,
    log1p,
    maximum,
    minimum,
    power,
    relu,
    rsqrt,
    sigmoid,
    sign,
    sin,
    sqrt,
    square,
    stop_gradient,
    tanh,
    where,
)
from dlc.ops.elementwise import round_ as round
from dlc.ops.gather import one_hot, take
from dlc.ops.leaf import iota
from dlc.ops.products import bilinear, cross, dot, inner, kron, multi_dot, outer, tensordot, vdot
from dlc.ops.reduce import all_ as all
from dlc.ops.reduce import any_ as any
from dlc.ops.reduce import argmax, argmin, logsumexp, mean, prod, variance
from dlc.ops.reduce import max_ as max
from dlc.ops.reduce import min_ as min
from dlc.ops.reduce import sum_ as sum
from dlc.ops.view import concat, flip, pad, reshape, transpose
from dlc.ops.window import window
from dlc.scope import latest_state, parameter, state, training, update_state
from dlc.step import Loss, loss
from dlc.task import Phase, Task, phase, task
from dlc.text import parse_graph, print_graph
from dlc.trace import trace
from dlc.transform import grad, hvp, jvp, value_and_grad, vjp
from dlc.types import Type, bf16, bool_, f16, f32, f64, i32, i64, u8, u32
from dlc.vectorize import vmap

__all__ = [
    "Compiled", "DlcError", "Graph", "Loaded", "Loss", "Node", "Phase", "Task", "Type", "abs",
    "all", "any", "argmax", "argmin", "asarray", "augment", "bf16", "bilinear", "bool_",
    "broadcast_to", "cast", "ceil", "clip", "compile", "concat", "conv", "conv_transpose", "cos",
    "cross", "dot", "einsum", "erf", "evaluate", "exp", "expm1", "f16", "f32", "f64", "flip",
    "floor", "grad", "hvp", "i32", "i64", "init", "inner", "iota", "isfinite", "jvp", "kron",
    "latest_state", "log", "log1p", "logsumexp", "loss", "matmul", "max", "maximum", "mean", "min",
    "minimum", "multi_dot", "nn", "one_hot", "optim", "outer", "pad", "parameter", "parse_graph",
    "phase", "power", "print_graph", "prod", "random", "relu", "reshape", "round", "rsqrt",
    "sigmoid", "sign", "sin", "sqrt", "square", "state", "stop_gradient", "sum", "take", "tanh",
    "task", "tensordot", "trace", "training", "transpose", "u8", "u32", "update_state",
    "value_and_grad", "variance", "vdot", "vjp", "vmap", "where", "window",
]

hide_own_frames()
