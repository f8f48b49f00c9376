"""From Python numbers and NumPy arrays to nodes; NumPy broadcasting written out as ops."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, ParamSpec

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, OpError, describe, make
from dlc.ir.types import (
    Dim,
    DType,
    DTypeError,
    Type,
    accumulator,
    bool_,
    dtype,
    f32,
    i32,
    promote,
    sum_dtype,
)
from dlc.ops import leaf

Given = ParamSpec("Given")


def as_node(value: Any, like: DType | None = None) -> Node:
    """`value` as a node. Python numbers, and lists of them, are weak: they take the dtype `like`
    if it holds them.

    Raises DlcError for what is not a number or array.
    """
    if isinstance(value, Node):
        return value
    if isinstance(value, (bool, int, float)):
        return number(value, like)
    if holds_node(value):
        raise DlcError(f"a {type(value).__name__} with graph values in it is not an array", here(),
                       "dlc.concat joins graph values")
    if isinstance(value, (np.ndarray, np.generic, list, tuple)):
        data = array_of(value)
        if isinstance(value, (list, tuple)):
            data = _weakly(as_integers(value, data), like)
        try:
            return leaf.array(data, Type(dtype(data.dtype), data.shape))
        except DTypeError as problem:
            raise DlcError(str(problem), here()) from None
    raise DlcError(f"{type(value).__name__} {value!r} is not an array or number", here(),
                   "operands are graph values, NumPy arrays and Python numbers")


def is_weak(value: Any) -> bool:
    """Whether `value` has no dtype of its own: a Python number, or a list of numbers."""
    return isinstance(value, (bool, int, float, list, tuple))


def as_nodes(*values: Any) -> list[Node]:
    """The operands of one operation as nodes; weak ones take the dtype of the others.

    Where the others do not mix either, theirs is the error: common_type tells it.
    """
    strong = [as_node(v) for v in values if not is_weak(v)]
    try:
        like = _common_dtype(strong)
    except DTypeError:
        like = None
    found = iter(strong)
    return [as_node(v, like) if is_weak(v) else next(found) for v in values]


def float_dtype(values: Iterable[Any]) -> DType | None:
    """The dtype of the float arrays among `values`; None of none, and where theirs do not mix."""
    floats = [v.dtype for v in map(as_node, filter(has_dtype, values)) if v.dtype.is_float]
    try:
        return functools.reduce(promote, floats) if floats else None
    except DTypeError:
        return None


def as_argument(among: Iterable[Any]) -> Callable[[Any], Node]:
    """as_node for the arguments of a function: a Python float takes the dtype of the float arrays
    `among` them, where they have one; an int is i32, for it may be an index."""
    like = float_dtype(among)
    return lambda value: as_node(value, like if isinstance(value, float) else None)


def has_dtype(value: Any) -> bool:
    """Whether `value` is an array or NumPy number with a dtype of its own."""
    return isinstance(value, (Node, np.ndarray, np.generic)) and not isinstance(value, float)


def holds_node(value: Any) -> bool:
    """Whether a graph value stands somewhere in a nesting of lists and tuples."""
    return isinstance(value, (list, tuple)) and any(
        isinstance(v, Node) or holds_node(v) for v in value)


def array_of(value: Any) -> np.ndarray:
    """What NumPy makes of `value`, in the machine's byte order.

    Raises DlcError for rows of several lengths, and for masked elements: they are not numbers.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DlcError("a masked array is not an array", here(),
                       "x.filled(0.0) has numbers everywhere")
    try:
        data = np.asarray(value)
    except ValueError as problem:
        raise DlcError(f"a {type(value).__name__} of rows of different lengths is not an array",
                       here(), str(problem).split(".")[0]) from None
    return data.astype(data.dtype.newbyteorder("="), copy=False)


def weak_dtype(kind: str, like: DType | None) -> DType:
    """What Python numbers of NumPy's `kind` ("b", "i" or "f") are, beside others of dtype `like`:
    ints take it where it has arithmetic, floats where it is a float."""
    if kind == "b":
        return bool_
    if kind == "i":
        return like if like is not None and like is not bool_ else i32
    return like if like is not None and like.is_float else f32


def number(value: float | int | bool, like: DType | None) -> Node:
    """A Python number as a scalar constant: weakly typed (semantics: promotion)."""
    kind = weak_dtype("b" if isinstance(value, bool) else "i" if isinstance(value, int) else "f",
                      like)
    try:
        return leaf.constant(value, Type(kind))
    except OpError as problem:
        raise DlcError(str(problem), here(), problem.hint) from None


def _weakly(data: np.ndarray, like: DType | None) -> np.ndarray:
    """A list's numbers in the dtype that numbers like them take. Raises DlcError for an integer
    that it does not hold."""
    if data.dtype.kind not in "biuf" and not all(type(v) is int for v in data.flat):
        return data
    kind = weak_dtype("i" if data.dtype.kind in "uO" else data.dtype.kind, like)
    if kind.is_integer:
        try:
            for value in (data.min(initial=0), data.max(initial=0)):
                leaf.check_whole(int(value), kind)
        except OpError as problem:
            raise DlcError(str(problem), here(), problem.hint) from None
    with np.errstate(all="ignore"):  # too large for a float dtype is infinite
        return data.astype(kind.numpy)


def as_integers(value: Any, data: np.ndarray) -> np.ndarray:
    """`data`, which NumPy made of a list; of integers that no one dtype of NumPy's holds beside
    each other, and of which it made floats, themselves."""
    if data.dtype.kind != "O" and not (data.dtype.kind == "f" and (abs(data) >= 2.0**63).any()):
        return data
    numbers = np.asarray(value, object)
    return numbers if all(type(v) is int for v in numbers.flat) else data


def operands(op_name: str, *values: Any) -> list[Node]:
    """Operands of an elementwise op: promoted to one dtype, broadcast to one shape."""
    given = as_nodes(*values)
    nodes = common_type(op_name, *given)
    shape = broadcast_shape(op_name, given)  # an error names what was given, not its cast
    return [broadcast_to(n, shape) for n in nodes]


def common_type(op_name: str, *nodes: Node) -> list[Node]:
    """`nodes` promoted to one dtype; their shapes stay. Raises DlcError where that needs a cast."""
    try:
        kind = _common_dtype(nodes)
    except DTypeError as problem:
        raise DlcError(f"{op_name}({', '.join(map(describe, nodes))}): {problem}", here()) from None
    return [cast(n, kind) for n in nodes] if kind is not None else []


def factors(op_name: str, *values: Any) -> list[Node]:
    """Operands of a product with a name, in one dtype: that of a sum, so that none wraps in 8 or
    16 bits."""
    nodes = common_type(op_name, *as_nodes(*values))
    return [cast(n, sum_dtype(n.dtype)) for n in nodes]


def _common_dtype(nodes: Sequence[Node]) -> DType | None:
    kind: DType | None = None
    for node in nodes:
        kind = node.dtype if kind is None else promote(kind, node.dtype)
    return kind


def broadcast_shape(op_name: str, nodes: Sequence[Node]) -> tuple[int, ...]:
    """The NumPy broadcast of the nodes' shapes. Raises DlcError naming the dimensions that clash.
    """
    rank = max((n.ndim for n in nodes), default=0)
    shape: list[int] = []
    for axis in range(rank):
        dims = [n.shape[axis - rank + n.ndim] for n in nodes if axis - rank + n.ndim >= 0]
        best = next((d for d in dims if d != 1), dims[0])
        if any(d not in (1, best) for d in dims):
            raise _clash(op_name, nodes, axis - rank)
        shape.append(next((d for d in dims if d == best and isinstance(d, Dim)), best))
    return tuple(shape)


def named_shape(shapes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Equal shapes as one, each dimension with the name that the first of them has for it."""
    if len(shapes) == 1 or not any(isinstance(d, Dim) for s in shapes[1:] for d in s):
        return tuple(shapes[0])
    return tuple(next((d for d in dims if isinstance(d, Dim)), dims[0])
                 for dims in zip(*shapes, strict=True))


def _clash(op_name: str, nodes: Sequence[Node], axis: int) -> DlcError:
    sizes = " and ".join(str(int(n.shape[axis])) for n in nodes if n.ndim >= -axis)
    return DlcError(
        f"{op_name}({', '.join(map(describe, nodes))}): shapes do not broadcast: "
        f"axis {axis} has sizes {sizes}", here(),
        "sizes must be equal or 1, counted from the last axis; use reshape or x[:, None] to align")


def whole_numbers(value: Any, what: str) -> tuple[int, ...]:
    """One int or several, as they are. Raises DlcError for anything else; `what` names it."""
    one = isinstance(value, (int, np.integer)) or not isinstance(value, Iterable)
    listed = (value,) if one or isinstance(value, (str, Node)) else tuple(value)
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in listed):
        raise DlcError(f"{what} {value!r}", here(), "it is a whole number, or a sequence of them")
    return listed


def broadcast_to(x: Any, shape: int | Sequence[int]) -> Node:
    """`x` broadcast to `shape` by NumPy's rule; a constant becomes a constant of that shape."""
    from dlc.ops.view import BROADCAST

    node = as_node(x)
    shape = whole_numbers(shape, f"broadcast_to({describe(node)}): shape")
    if tuple(node.shape) == shape:
        return node
    if node.op is leaf.CONSTANT:
        return leaf.constant(node.attrs["value"], Type(node.dtype, shape))
    return make(BROADCAST, (node,), shape=shape)


def cast(x: Any, kind: Any) -> Node:
    """`x` with elements of dtype `kind`: dlc.f32, "f32", or NumPy's np.float32.

    Conversions are defined in docs/ir.md. Raises DlcError for a dtype that dlc does not have.
    """
    from dlc.ops.cast_reference import convert_array
    from dlc.ops.elementwise import CAST

    try:
        kind = dtype(kind)
    except DTypeError as problem:
        raise DlcError(f"cast of {describe(as_node(x))}: {problem}", here()) from None
    node = as_node(x, kind)
    if node.dtype is kind:
        return node
    if node.op is leaf.CONSTANT:
        value = convert_array(np.asarray(node.attrs["value"], node.dtype.numpy), kind)
        return leaf.constant(value.item(), Type(kind, node.shape))
    return make(CAST, (node,), dtype=kind)


def widened(x: Node) -> Node:
    """A float array in the dtype that sums accumulate in: f16 and bf16 in f32."""
    return cast(x, accumulator(x.dtype)) if x.dtype.is_float else x


def in_accumulator(function: Callable[Given, Node]) -> Callable[Given, Node]:
    """`function` of arrays, which takes f16 and bf16 in f32 and gives its result in the dtype that
    its float arrays have together.

    For what squares, exponentiates or multiplies before it adds up: operator by operator the
    squares would be rounded to the half precision, overflow beyond 256 and vanish below 2 ** -12.
    """
    @functools.wraps(function)
    def wide(*args: Given.args, **named: Given.kwargs) -> Node:
        half = _half_among((*args, *named.values()))
        if half is None:
            return function(*args, **named)
        inside: Any = function
        try:
            found = inside(*map(_wide, args), **{key: _wide(v) for key, v in named.items()})
        except DlcError:
            return function(*args, **named)  # whose error names what was given
        return cast(found, half) if found.dtype.is_float else found

    return wide


def _half_among(values: Iterable[Any]) -> DType | None:
    """The half precision that float arrays among `values` have together, if they have one."""
    kinds = [dtype(v.dtype) for v in values if _is_floats(v)]
    with suppress(DTypeError):  # f16 and bf16 do not mix, as the function will say
        kind = functools.reduce(promote, kinds) if kinds else f32
        return kind if accumulator(kind) is not kind else None
    return None


def _wide(value: Any) -> Any:
    return widened(as_node(value)) if _is_floats(value) else value


def _is_floats(value: Any) -> bool:
    if isinstance(value, Node):
        return isinstance(value.type, Type) and value.dtype.is_float
    with suppress(DTypeError):
        return has_dtype(value) and dtype(value.dtype).is_float
    return False
