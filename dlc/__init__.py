"""dlc: a declarative deep-learning graph compiler. The public names, and the lazy facade."""

import dlc.interrupt  # first: it answers Ctrl-C while the rest is imported

# isort: split
import dlc.inspector.notebook  # noqa: F401  graphs and programs as pictures
from dlc import augment, init, linalg, nn, onnx, optim, random
from dlc.bagging import Ensemble, bootstrap, ensemble
from dlc.compiler import Compiled, Loaded, compile
from dlc.custom_check import check_op
from dlc.derive.precision import in_precision
from dlc.errors import DlcError, hide_own_frames
from dlc.evaluate_function import evaluate
from dlc.ir.graph import Graph, Node
from dlc.ir.types import Type, bf16, bool_, f16, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64
from dlc.lang.array.convolution import conv, conv_transpose
from dlc.lang.array.create import (
    arange,
    full,
    full_like,
    iota,
    linspace,
    meshgrid,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from dlc.lang.array.diagonals import (
    diag,
    diag_embed,
    diagonal,
    eye,
    identity,
    matrix_trace,
    tri,
    tril,
    triu,
)
from dlc.lang.array.dynamic_slice import dynamic_slice, dynamic_update_slice
from dlc.lang.array.einsum import einsum
from dlc.lang.array.elementwise_functions import (
    betaln,
    deg2rad,
    entr,
    frac,
    gcd,
    heaviside,
    i0,
    i1,
    isclose,
    isinf,
    isnan,
    lerp,
    log_ndtr,
    log_sigmoid,
    logaddexp2,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    logit,
    multigammaln,
    nan_to_num,
    ndtr,
    ndtri,
    rad2deg,
    reciprocal,
    signbit,
    sinc,
    softplus,
    xlog1py,
    xlogy,
)
from dlc.lang.array.elementwise_functions import divmod_ as divmod
from dlc.lang.array.elementwise_functions import invert as bitwise_not
from dlc.lang.array.grid import affine_grid, grid_sample
from dlc.lang.array.order import median, mode, quantile, sort, top_k
from dlc.lang.array.pad_modes import pad
from dlc.lang.array.pooling import (
    adaptive_avg_pool,
    adaptive_max_pool,
    adaptive_max_pool_with_indices,
    avg_pool,
    global_avg_pool,
    global_max_pool,
    lp_pool,
    max_pool,
    max_pool_with_indices,
    max_unpool,
)
from dlc.lang.array.products import (
    bilinear,
    cross,
    dot,
    inner,
    kron,
    multi_dot,
    outer,
    tensordot,
    vdot,
)
from dlc.lang.array.rearrange import (
    array_split,
    atleast_nd,
    broadcast_arrays,
    col2im,
    expand_dims,
    im2col,
    moveaxis,
    ravel,
    repeat,
    roll,
    rot90,
    split,
    squeeze,
    stack,
    swapaxes,
    tile,
    unfold,
    unstack,
)
from dlc.lang.array.resize import resize
from dlc.lang.array.segments import (
    bincount,
    histogram,
    segment_max,
    segment_mean,
    segment_min,
    segment_prod,
    segment_sum,
)
from dlc.lang.array.statistics import (
    count_nonzero,
    diff,
    max_with_indices,
    min_with_indices,
    nanmax,
    nanmean,
    nanmin,
    nansum,
    norm,
    ptp,
    std,
)
from dlc.lang.branches import cond, while_loop
from dlc.lang.custom import custom_op
from dlc.lang.gradient_rules import checkpoint, custom_gradient
from dlc.lang.jacobian import hessian, jacobian
from dlc.lang.loops import fori, scan
from dlc.lang.loops import map_ as map
from dlc.lang.scope import (
    decoding,
    latest_state,
    parameter,
    position,
    state,
    training,
    update_state,
)
from dlc.lang.trace import trace
from dlc.lang.transform import grad, hvp, jvp, value_and_grad, vjp
from dlc.lang.vectorize import vmap
from dlc.network import Network, load, outputs
from dlc.ops.argsort import argsort
from dlc.ops.contract import matmul
from dlc.ops.convert import as_node as asarray
from dlc.ops.convert import broadcast_to, cast
from dlc.ops.cumulative import (
    cummax,
    cummax_with_indices,
    cummin,
    cummin_with_indices,
    cumprod,
    cumsum,
    linear_recurrence,
    logcumsumexp,
)
from dlc.ops.elementwise import abs_ as abs
from dlc.ops.elementwise import and_ as bitwise_and
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
from dlc.ops.elementwise import floordiv as floor_divide
from dlc.ops.elementwise import neg as negative
from dlc.ops.elementwise import or_ as bitwise_or
from dlc.ops.elementwise import rem as remainder
from dlc.ops.elementwise import round_ as round
from dlc.ops.elementwise import shl as left_shift
from dlc.ops.elementwise import shr as right_shift
from dlc.ops.elementwise import xor as bitwise_xor
from dlc.ops.elementwise_bits import (
    bitcast,
    clz,
    copysign,
    fmod,
    frexp,
    ldexp,
    nextafter,
    popcount,
    trunc,
)
from dlc.ops.elementwise_special import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cbrt,
    cosh,
    digamma,
    erfc,
    erfcx,
    erfinv,
    exp2,
    hypot,
    i0e,
    i1e,
    lgamma,
    log2,
    log10,
    logaddexp,
    polygamma,
    sinh,
    tan,
)
from dlc.ops.gather import one_hot, take, take_along_axis
from dlc.ops.reduce import all_ as all
from dlc.ops.reduce import any_ as any
from dlc.ops.reduce import argmax, argmin, logsumexp, mean, prod, variance
from dlc.ops.reduce import max_ as max
from dlc.ops.reduce import min_ as min
from dlc.ops.reduce import sum_ as sum
from dlc.ops.scatter import put_along_axis, scatter
from dlc.ops.searchsorted import searchsorted
from dlc.ops.varying import last, lengths, valid
from dlc.ops.view import concat, flip, reshape, transpose
from dlc.ops.window import window
from dlc.reference.text import parse_graph, print_graph
from dlc.task.over_set import over_set
from dlc.task.step import Loss, loss
from dlc.task.task import Phase, Task, phase, task
from dlc.words import speaking

__all__ = [
    "Compiled", "DlcError", "Ensemble", "Graph", "Loaded", "Loss", "Network", "Node", "Phase",
    "Task", "Type", "abs", "acos", "acosh", "adaptive_avg_pool", "adaptive_max_pool",
    "adaptive_max_pool_with_indices", "affine_grid", "all", "any", "arange", "argmax", "argmin",
    "argsort", "array_split", "asarray", "asin", "asinh", "atan", "atan2", "atanh", "atleast_nd",
    "augment", "avg_pool", "betaln", "bf16", "bilinear", "bincount", "bitcast", "bitwise_and",
    "bitwise_not", "bitwise_or", "bitwise_xor", "bool_", "bootstrap", "broadcast_arrays",
    "broadcast_to", "cast", "cbrt", "ceil", "check_op", "checkpoint", "clip", "clz", "col2im",
    "compile", "concat", "cond", "conv", "conv_transpose", "copysign", "cos", "cosh",
    "count_nonzero", "cross", "cummax", "cummax_with_indices", "cummin", "cummin_with_indices",
    "cumprod", "cumsum", "custom_gradient", "custom_op", "decoding", "deg2rad", "diag",
    "diag_embed", "diagonal", "diff", "digamma", "divmod", "dot", "dynamic_slice",
    "dynamic_update_slice", "einsum", "ensemble", "entr", "erf", "erfc", "erfcx", "erfinv",
    "evaluate", "exp", "exp2", "expand_dims", "expm1", "eye", "f16", "f32", "f64", "flip", "floor",
    "floor_divide", "fmod", "fori", "frac", "frexp", "full", "full_like", "gcd", "global_avg_pool",
    "global_max_pool", "grad", "grid_sample", "heaviside", "hessian", "histogram", "hvp", "hypot",
    "i0", "i0e", "i1", "i1e", "i8", "i16", "i32", "i64", "identity", "im2col", "in_precision",
    "init", "inner", "iota", "isclose", "isfinite", "isinf", "isnan", "jacobian", "jvp", "kron",
    "last", "latest_state", "ldexp", "left_shift", "lengths", "lerp", "lgamma", "linalg",
    "linear_recurrence", "linspace", "load", "log", "log1p", "log2", "log10", "log_ndtr",
    "log_sigmoid", "logaddexp", "logaddexp2", "logcumsumexp", "logical_and", "logical_not",
    "logical_or", "logical_xor", "logit", "logsumexp", "loss", "lp_pool", "map", "matmul",
    "matrix_trace", "max", "max_pool", "max_pool_with_indices", "max_unpool", "max_with_indices",
    "maximum", "mean", "median", "meshgrid", "min", "min_with_indices", "minimum", "mode",
    "moveaxis", "multi_dot", "multigammaln", "nan_to_num", "nanmax", "nanmean", "nanmin", "nansum",
    "ndtr", "ndtri", "negative", "nextafter", "nn", "norm", "one_hot", "ones", "ones_like", "onnx",
    "optim", "outer", "outputs", "over_set", "pad", "parameter", "parse_graph", "phase",
    "polygamma", "popcount", "position", "power", "print_graph", "prod", "ptp", "put_along_axis",
    "quantile", "rad2deg", "random", "ravel", "reciprocal", "relu", "remainder", "repeat",
    "reshape", "resize", "right_shift", "roll", "rot90", "round", "rsqrt", "scan", "scatter",
    "searchsorted", "segment_max", "segment_mean", "segment_min", "segment_prod", "segment_sum",
    "sigmoid", "sign", "signbit", "sin", "sinc", "sinh", "softplus", "sort", "split", "sqrt",
    "square", "squeeze", "stack", "state", "std", "stop_gradient", "sum", "swapaxes", "take",
    "take_along_axis", "tan", "tanh", "task", "tensordot", "tile", "top_k", "trace", "training",
    "transpose", "tri", "tril", "triu", "trunc", "u8", "u16", "u32", "u64", "unfold", "unstack",
    "update_state", "valid", "value_and_grad", "variance", "vdot", "vjp", "vmap", "where",
    "while_loop", "window", "xlog1py", "xlogy", "zeros", "zeros_like",
]

hide_own_frames()
speaking("dlc", globals(), __all__)
