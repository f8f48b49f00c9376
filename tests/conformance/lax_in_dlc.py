"""JAX's intermediate language said in dlc: each primitive of a jaxpr as functions of the DSL."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

import dlc
from dlc.ir.types import dtype
from tests.conformance.adapters.registry import Excluded
from tests.conformance.lax_indexing import gather, scatter

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}
NAMES = {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint64",
         "uint32", "uint16", "uint8", "bool"}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a function (operands..., **parameters) -> result for primitives."""
    def enter(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return enter


def run(jaxpr: Any, constants: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    """The results of `jaxpr` for graph values. Raises Excluded for what dlc has no word for."""
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, constants, strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> Any:
        return dlc.asarray(np.asarray(atom.val)) if hasattr(atom, "val") else values[atom]

    for equation in jaxpr.eqns:
        found = apply(equation, [read(a) for a in equation.invars])
        values.update(zip(equation.outvars, found, strict=True))
    return [read(a) for a in jaxpr.outvars]


def apply(equation: Any, args: Sequence[Any]) -> list[Any]:
    """The results of one equation."""
    name, params = equation.primitive.name, dict(equation.params)
    inner = params.get("jaxpr") or params.get("call_jaxpr")
    if name in ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call"):
        return run(inner.jaxpr, inner.consts, args)
    if name not in RULES:
        raise Excluded(f"no word for lax.{name}")
    for variable in equation.outvars:
        if variable.aval.dtype.name not in NAMES:
            raise Excluded(f"results of dtype {variable.aval.dtype.name}")
    if name == "dot_general":
        params["preferred_element_type"] = equation.outvars[0].aval.dtype
    found = RULES[name](*args, **params)
    return list(found) if isinstance(found, (list, tuple)) else [found]


# --- shapes ---------------------------------------------------------------------------------------


@rule("broadcast_in_dim")
def broadcast_in_dim(x: Any, *, shape: Any, broadcast_dimensions: Any, **_: Any) -> Any:
    dims = [1] * len(shape)
    for axis, place in enumerate(broadcast_dimensions):
        dims[place] = int(x.shape[axis])
    return dlc.broadcast_to(dlc.reshape(x, tuple(dims)), tuple(shape))


@rule("squeeze")
def squeeze(x: Any, *, dimensions: Any) -> Any:
    return dlc.reshape(x, tuple(int(d) for a, d in enumerate(x.shape) if a not in dimensions))


@rule("reshape")
def reshape(x: Any, *, new_sizes: Any, **_: Any) -> Any:
    return dlc.reshape(x, tuple(new_sizes))


@rule("transpose")
def transpose(x: Any, *, permutation: Any) -> Any:
    return dlc.transpose(x, tuple(permutation))


@rule("rev")
def rev(x: Any, *, dimensions: Any) -> Any:
    return dlc.flip(x, tuple(dimensions)) if dimensions else x


@rule("slice")
def cut(x: Any, *, start_indices: Any, limit_indices: Any, strides: Any) -> Any:
    steps = strides or (1,) * x.ndim
    return x[tuple(map(slice, start_indices, limit_indices, steps))] if x.ndim else x


@rule("concatenate")
def concatenate(*xs: Any, dimension: int) -> Any:
    return dlc.concat(list(xs), dimension)


@rule("pad")
def pad(x: Any, value: Any, *, padding_config: Any) -> Any:
    """Zeros, and the padding's value where a padded mask says so."""
    low, high, interior = (tuple(c[i] for c in padding_config) for i in range(3))
    ones = dlc.broadcast_to(dlc.cast(1, dlc.i32), x.shape)
    inside = cropped_pad(ones, low, high, interior)
    number = x if x.dtype is not dlc.bool_ else dlc.cast(x, dlc.u8)
    filled = cropped_pad(number, low, high, interior)
    found = dlc.where(inside > 0, filled, dlc.cast(value, number.dtype))
    return dlc.cast(found, x.dtype)


def cropped_pad(x: Any, low: Sequence[int], high: Sequence[int], interior: Sequence[int],
                value: float = 0) -> Any:
    """dlc.pad, with negative amounts cut off after the interior has been put in."""
    wide = dlc.pad(x, [max(n, 0) for n in low], [max(n, 0) for n in high], value, list(interior))
    stop = [int(d) + min(n, 0) for d, n in zip(wide.shape, high, strict=True)]
    keep = tuple(slice(max(-n, 0), max(s, max(-n, 0))) for n, s in zip(low, stop, strict=True))
    return wide[keep] if x.ndim else wide


# --- elementwise ----------------------------------------------------------------------------------


RULES.update({
    "add": dlc.ops.elementwise.add, "mul": dlc.ops.elementwise.mul,
    "sub": dlc.ops.elementwise.sub, "max": dlc.maximum, "min": dlc.minimum,
    "lt": lambda a, b: a < b, "le": lambda a, b: a <= b, "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b, "eq": lambda a, b: a == b, "ne": lambda a, b: a != b,
    "and": lambda a, b: a & b, "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b,
    "neg": lambda a: -a, "copy": lambda a: a, "copy_p": lambda a: a,
})


@rule("select_n")
def select_n(which: Any, *cases: Any) -> Any:
    found = cases[0]
    for i, case in enumerate(cases[1:], 1):
        chosen = which if which.dtype is dlc.bool_ else which == i
        found = dlc.where(chosen, case, found)
    return found


@rule("convert_element_type")
def convert_element_type(x: Any, *, new_dtype: Any, **_: Any) -> Any:
    return dlc.cast(x, dtype(new_dtype))


# --- contractions ---------------------------------------------------------------------------------


@rule("dot_general")
def dot_general(a: Any, b: Any, *, dimension_numbers: Any, preferred_element_type: Any = None,
                **_: Any) -> Any:
    (a_sum, b_sum), (a_batch, b_batch) = dimension_numbers
    a_free = [i for i in range(a.ndim) if i not in (*a_sum, *a_batch)]
    b_free = [i for i in range(b.ndim) if i not in (*b_sum, *b_batch)]
    batch = [int(a.shape[i]) for i in a_batch]
    rows, columns = [int(a.shape[i]) for i in a_free], [int(b.shape[i]) for i in b_free]
    inner = math.prod(int(a.shape[i]) for i in a_sum)
    left = dlc.transpose(a, (*a_batch, *a_free, *a_sum)).reshape(
        (*batch, math.prod(rows), inner))
    right = dlc.transpose(b, (*b_batch, *b_sum, *b_free)).reshape(
        (*batch, inner, math.prod(columns)))
    kind = dtype(preferred_element_type) if preferred_element_type is not None else a.dtype
    wide = dlc.i32 if a.dtype is dlc.bool_ else kind
    if a.dtype is not b.dtype or wide.numpy.itemsize > a.dtype.numpy.itemsize:
        left, right = dlc.cast(left, wide), dlc.cast(right, wide)
    return dlc.cast(dlc.matmul(left, right), kind).reshape((*batch, *rows, *columns))


@rule("conv_general_dilated")
def conv_general_dilated(x: Any, w: Any, *, dimension_numbers: Any, window_strides: Any,
                         padding: Any, lhs_dilation: Any, rhs_dilation: Any,
                         feature_group_count: int, batch_group_count: int,
                         preferred_element_type: Any = None, **_: Any) -> Any:
    lhs, rhs, out = dimension_numbers
    if preferred_element_type is not None:
        x, w = (dlc.cast(v, dtype(preferred_element_type)) for v in (x, w))
    if not x.dtype.is_float:
        raise Excluded("convolutions of integers: dlc convolves floats")
    image, kernel = dlc.transpose(x, lhs), dlc.transpose(w, rhs)
    gaps = (0, 0, *(d - 1 for d in lhs_dilation))
    none = (0,) * image.ndim
    image = dlc.pad(image, none, none, 0, gaps)
    low, high = ((0, 0, *(p[i] for p in padding)) for i in range(2))
    image = cropped_pad(image, low, high, none)

    if any((k - 1) * d >= n for n, k, d in zip(image.shape[2:], kernel.shape[2:], rhs_dilation,
                                               strict=True)):
        raise Excluded("a kernel larger than the image: dlc refuses it, JAX gives no pixels")

    def one(part: Any, filters: Any) -> Any:
        return dlc.conv(part, filters, stride=tuple(window_strides), padding=0,
                        dilation=tuple(rhs_dilation), groups=feature_group_count)

    if batch_group_count == 1:
        found = one(image, kernel)
    else:
        n, f = (int(v.shape[0]) // batch_group_count for v in (image, kernel))
        found = dlc.concat([one(image[i * n:(i + 1) * n], kernel[i * f:(i + 1) * f])
                            for i in range(batch_group_count)], 1)
    return dlc.transpose(found, tuple(int(i) for i in np.argsort(out)))


# --- windows --------------------------------------------------------------------------------------


def windows(x: Any, fill: Any, *, window_dimensions: Any, window_strides: Any, padding: Any,
            base_dilation: Any = None, window_dilation: Any = None, **_: Any) -> Any:
    """The windows of x padded with `fill`: [counts..., size...]."""
    gaps = tuple(d - 1 for d in base_dilation or (1,) * x.ndim)
    config = [(*p, g) for p, g in zip(padding, gaps, strict=True)]
    wide = pad(x, dlc.cast(fill, x.dtype), padding_config=config)
    return dlc.window(wide, tuple(window_dimensions), tuple(window_strides),
                      tuple(window_dilation or (1,) * x.ndim))


def lowest(x: Any) -> Any:
    """Below all values of x's dtype."""
    kind = np.dtype(x.dtype.numpy)
    return -np.inf if x.dtype.is_float else 0 if kind.kind == "b" else int(np.iinfo(kind).min)


def highest(x: Any) -> Any:
    """Above all values of x's dtype."""
    kind = np.dtype(x.dtype.numpy)
    return np.inf if x.dtype.is_float else 1 if kind.kind == "b" else int(np.iinfo(kind).max)


FOLDS: dict[str, tuple[Rule, Rule, Rule]] = {
    "add": (dlc.sum, dlc.ops.elementwise.add, lambda x: 0),
    "mul": (dlc.prod, dlc.ops.elementwise.mul, lambda x: 1),
    "max": (dlc.max, dlc.maximum, lowest),
    "min": (dlc.min, dlc.minimum, highest),
}


def reduce_window(fold: str, x: Any, start: Any, **params: Any) -> Any:
    """Fold the windows of x with `start`."""
    reduce, join, neutral = FOLDS[fold]
    if x.dtype is dlc.bool_:
        raise Excluded("windows of bools: dlc has no minimum of bools")
    cut_out = windows(x, neutral(x) if start is None else start, **params)
    found = dlc.cast(reduce(cut_out, tuple(range(x.ndim, 2 * x.ndim))), x.dtype)
    return found if start is None else join(found, dlc.cast(start, x.dtype))


@rule("reduce_window_sum")
def reduce_window_sum(x: Any, **params: Any) -> Any:
    return reduce_window("add", x, None, **params)


@rule("reduce_window_max")
def reduce_window_max(x: Any, **params: Any) -> Any:
    return reduce_window("max", x, None, **params)


@rule("reduce_window_min")
def reduce_window_min(x: Any, **params: Any) -> Any:
    return reduce_window("min", x, None, **params)


@rule("reduce_window")
def reduce_window_general(x: Any, start: Any, *, jaxpr: Any, consts: Any, **params: Any) -> Any:
    names = [e.primitive.name for e in jaxpr.eqns]
    if len(names) != 1 or names[0] not in FOLDS:
        raise Excluded(f"windows folded by {' '.join(names)}: dlc folds by sum, prod, max, min")
    return reduce_window(names[0], x, start, **params)


@rule("select_and_gather_add")
def select_and_gather_add(tangents: Any, x: Any, *, select_prim: Any, **params: Any) -> Any:
    largest = select_prim.name == "ge"
    n, fill = x.ndim, lowest(x) if largest else highest(x)
    seen, moved = windows(x, fill, **params), windows(tangents, 0, **params)
    counts = tuple(map(int, seen.shape[:n]))
    flat = [v.reshape((*counts, -1)) for v in (seen, moved)]
    place = (dlc.argmax if largest else dlc.argmin)(flat[0], n)
    hit = dlc.one_hot(place, int(flat[0].shape[-1]), x.dtype)
    return dlc.sum(dlc.where(hit > 0, flat[1], 0.0), n)


@rule("select_and_scatter_add")
def select_and_scatter_add(source: Any, x: Any, **params: Any) -> Any:
    if not x.dtype.is_float:
        raise Excluded("select_and_scatter_add is a gradient, and integers have none")
    _, pull = dlc.vjp(lambda t: select_and_gather_add(t, x, **params), dlc.cast(x, x.dtype))
    return pull(source)


# --- order ----------------------------------------------------------------------------------------


def cumulative(name: str) -> Rule:
    def rule_of(x: Any, *, axis: int, reverse: bool) -> Any:
        if x.dtype is dlc.bool_:
            raise Excluded("cumulative maxima of bools")
        return dlc.cast(getattr(dlc, name)(x, axis, reverse=reverse), x.dtype)

    return rule_of


RULES.update({"cumsum": cumulative("cumsum"), "cumprod": cumulative("cumprod"),
              "cummax": cumulative("cummax"), "cummin": cumulative("cummin"),
              "cumlogsumexp": cumulative("logcumsumexp")})


@rule("sort")
def sort(*xs: Any, dimension: int, is_stable: bool, num_keys: int) -> Any:
    """Stable sorts by each key, the last first."""
    if len(xs) > num_keys and not is_stable:
        raise Excluded("an unstable sort brings what goes with equal keys in any order")
    found = list(xs)
    for key in reversed(range(num_keys)):
        order = dlc.argsort(found[key], axis=dimension)
        found = [dlc.take_along_axis(x, order, dimension) for x in found]
    return found


@rule("top_k")
def top_k(x: Any, *, k: int, axis: int) -> Any:
    return list(dlc.top_k(x, k, axis=axis))


# --- places that are data -------------------------------------------------------------------------


@rule("dynamic_slice")
def dynamic_slice(x: Any, *starts: Any, slice_sizes: Any) -> Any:
    return dlc.dynamic_slice(x, [dlc.cast(s, dlc.i32) for s in starts], tuple(slice_sizes))


@rule("dynamic_update_slice")
def dynamic_update_slice(x: Any, update: Any, *starts: Any) -> Any:
    return dlc.dynamic_update_slice(x, update, [dlc.cast(s, dlc.i32) for s in starts])


RULES["gather"] = gather
RULES.update({f"scatter{end}": scatter(method) for end, method in (
    ("", "set"), ("-add", "add"), ("_add", "add"), ("-mul", "multiply"), ("_mul", "multiply"),
    ("-min", "min"), ("_min", "min"), ("-max", "max"), ("_max", "max"))})


def said_in_dlc(function: Callable[..., Any], args: Sequence[Any]) -> Callable[..., list[Any]]:
    """`function` of JAX, traced for `args`, as a function of graph values."""
    closed = jax.make_jaxpr(function)(*args)
    return lambda *values: run(closed.jaxpr, closed.consts, values)
