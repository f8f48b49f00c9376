"""Operators without array operands: inputs, constants, index ramps, random bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlc.errors import here
from dlc.ir.attributes import Literal
from dlc.ir.graph import Kind, Node, Op, OpError, check_shape, make
from dlc.ir.registry import register
from dlc.ir.types import DType, Type, i32, u32
from dlc.ops import batch_rules
from dlc.ops.random_reference import random_bits as reference_bits


def _no_samples() -> list[Any]:
    return []


def _eval_input(**attrs: Any) -> Any:
    raise OpError(f"input {attrs['label']!r} has no value")


INPUT = register(Op(
    "input", Kind.LEAF, infer=lambda *, type, **_: type, eval=_eval_input, samples=_no_samples,
    gradient="zero", unique=True,
    doc="A named input of a graph; `role` is data, param, state or arg.",
))


def input_(name: str, type_: Type, role: str = "arg") -> Node:
    """A new input of a graph. Inputs are never interned: two of one name stay two."""
    loc = here()
    attrs = {"type": type_, "label": name, "role": role}
    return Node(INPUT, (), attrs, type_, () if loc is None else (loc,), name)


CONSTANT = register(Op(
    "constant", Kind.LEAF,
    infer=lambda *, type, value: type,
    eval=lambda *, type, value: np.full(type.shape, value, type.dtype.numpy),
    samples=_no_samples, gradient="zero", doc="An array filled with one number.",
))


def check_whole(value: float, kind: DType) -> None:
    """Raise OpError for a number that the integer dtype `kind` does not hold."""
    if value != value or abs(value) == math.inf:
        raise OpError(f"{value!r} is not of dtype {kind}", "cast the array to a float")
    if int(value) != value:
        raise OpError(f"{value!r} is not of dtype {kind}", f"write {int(value)}, or cast the array")
    info = np.iinfo(kind.numpy)
    if not info.min <= int(value) <= info.max:
        raise OpError(f"{value!r} is outside {kind} ({info.min} .. {info.max})")


def constant(value: float | int | bool, type_: Type) -> Node:
    """An array of `type_` filled with `value` (a scalar when the shape is ()).

    Raises OpError when an integer dtype cannot hold the value.
    """
    if type_.dtype.is_integer:
        check_whole(value, type_.dtype)
    with np.errstate(all="ignore"):  # too large for a float dtype is infinite
        try:
            kept = np.asarray(value).astype(type_.dtype.numpy).item()
        except OverflowError:
            raise OpError(f"{str(value)[:20]}... is beyond every float") from None
    return make(CONSTANT, type=type_.with_(layout=None), value=kept)


ARRAY = register(Op(
    "array", Kind.LEAF,
    infer=lambda *, type, value: type,
    eval=lambda *, type, value: value.array,
    samples=_no_samples, gradient="zero", doc="An array written out in the program.",
))


def array(value: Any, type_: Type) -> Node:
    """The array `value` as a node; a one-valued array becomes a `constant`."""
    data = np.asarray(value, type_.dtype.numpy).reshape(type_.shape)
    if data.size and (data == data.flat[0]).all() and not np.signbit(data.astype(float)).any():
        return constant(data.flat[0].item(), type_)
    return make(ARRAY, type=type_, value=Literal.of(data))


def _eval_iota(*, type: Type, axis: int) -> np.ndarray:
    shape = [1] * type.ndim
    shape[axis] = -1
    ramp = np.arange(type.shape[axis], dtype=type.dtype.numpy).reshape(shape)
    return np.broadcast_to(ramp, type.shape)


def _infer_iota(*, type: Type, axis: int) -> Type:
    check_shape(type.shape)
    if not 0 <= axis < type.ndim:
        raise OpError(f"axis {axis} of {type}", f"axes are 0 .. {type.ndim - 1}")
    return type


IOTA = register(Op(
    "iota", Kind.LEAF, infer=_infer_iota, eval=_eval_iota, samples=_no_samples, gradient="zero",
    doc="0, 1, 2, ... along one axis.",
))


def iota(shape: tuple[int, ...], axis: int = 0, dtype: DType = i32) -> Node:
    """The index along `axis`, as an array of `shape`."""
    return make(IOTA, type=Type(dtype, tuple(shape)), axis=axis)


def _infer_bits(seed: Type, step: Type, *, shape: tuple[int, ...], site: int) -> Type:
    if (seed.dtype, seed.shape) != (u32, ()) or (step.dtype, step.shape) != (i32, ()):
        raise OpError(f"seed {seed} and step {step}", "takes seed u32[()] and step i32[()]")
    if not 0 <= site < 2**32:
        raise OpError(f"site {site}", "a site is 0 .. 2**32 - 1")
    return Type(u32, check_shape(shape))


def _eval_bits(seed: Any, step: Any, *, shape: tuple[int, ...], site: int) -> np.ndarray:
    count = int(np.prod(shape, dtype=np.int64))
    return reference_bits(int(seed), int(step), site, np.arange(count)).reshape(shape)


def _sample_bits() -> list[Any]:
    return [((np.uint32(7), np.int32(3)), {"shape": (5, 33), "site": 99}),
            ((np.uint32(2**32 - 1), np.int32(0)), {"shape": (), "site": 2**32 - 1})]


RANDOM_BITS = register(Op(
    "random_bits", Kind.LEAF, infer=_infer_bits, eval=_eval_bits, samples=_sample_bits,
    gradient="zero", batch=batch_rules.random_bits,
    doc="u32 random bits: a function of (seed, step, call site, element index), counter-based.",
))


def random_bits(seed: Node, step: Node, shape: tuple[int, ...], site: int) -> Node:
    """Random u32 of `shape`; `site` is the identity of the call site."""
    return make(RANDOM_BITS, (seed, step), shape=tuple(shape), site=site)


