"""Types of values: dtype, shape, layout; named dimensions; the promotion table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ml_dtypes
import numpy as np


class DTypeError(TypeError):
    """Two dtypes that do not mix, or a value that no dtype holds."""


@dataclass(frozen=True, eq=False)
class DType:
    """An element type. `f32[64, 10]` is a Type; compared by identity."""

    name: str
    numpy: Any
    bytes: int
    category: str  # "float", "int", "uint", "bool"

    def __getitem__(self, shape: Any) -> Type:
        dims = shape if isinstance(shape, tuple) else (shape,)
        return Type(self, tuple(check_dimension(d) for d in dims))

    @property
    def is_float(self) -> bool:
        return self.category == "float"

    @property
    def is_integer(self) -> bool:
        return self.category in ("int", "uint")

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return dtype, (self.name,)


f64 = DType("f64", np.dtype(np.float64), 8, "float")
f32 = DType("f32", np.dtype(np.float32), 4, "float")
f16 = DType("f16", np.dtype(np.float16), 2, "float")
bf16 = DType("bf16", np.dtype(ml_dtypes.bfloat16), 2, "float")
i64 = DType("i64", np.dtype(np.int64), 8, "int")
i32 = DType("i32", np.dtype(np.int32), 4, "int")
i16 = DType("i16", np.dtype(np.int16), 2, "int")
i8 = DType("i8", np.dtype(np.int8), 1, "int")
u64 = DType("u64", np.dtype(np.uint64), 8, "uint")
u32 = DType("u32", np.dtype(np.uint32), 4, "uint")
u16 = DType("u16", np.dtype(np.uint16), 2, "uint")
u8 = DType("u8", np.dtype(np.uint8), 1, "uint")
bool_ = DType("bool", np.dtype(np.bool_), 1, "bool")

DTYPES = {d.name: d for d in (f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8,
                              bool_)}
BY_NUMPY = {d.numpy: d for d in DTYPES.values()}


def dtype(value: Any) -> DType:
    """The DType that `value` names: a DType, its name, or a NumPy dtype.

    Raises DTypeError when there is none.
    """
    if isinstance(value, DType):
        return value
    if isinstance(value, str) and value in DTYPES:
        return DTYPES[value]
    try:
        found = BY_NUMPY.get(np.dtype(value))
    except TypeError:
        found = None
    if found is None:
        raise DTypeError(f"{value!r} is not a dtype of dlc; there are {', '.join(DTYPES)}")
    return found


class Dim(int):
    """A dimension that remembers its name; an int everywhere else."""

    name: str

    def __new__(cls, value: int, name: str) -> Dim:
        dim = super().__new__(cls, value)
        dim.name = name
        return dim

    def __getnewargs__(self) -> tuple[int, str]:  # type: ignore[override]
        return int(self), self.name


class Bounded(str):
    """The name of a dimension that differs from row to row, of at most `most`: "time<=64"."""

    most: int

    def __new__(cls, name: str, most: int) -> Bounded:
        dim = super().__new__(cls, name)
        dim.most = most
        return dim

    def __repr__(self) -> str:
        return repr(f"{self}<={self.most}")


def check_dimension(dim: Any) -> int | str:
    """A dimension as it may stand in a signature: a non-negative int, a name, or "NAME<=MOST"."""
    if isinstance(dim, str):
        if "<=" in dim:
            return _bounded(dim)
        if not dim.isidentifier():
            raise DTypeError(f"dimension name {dim!r} is not an identifier")
        return dim
    if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)):
        raise DTypeError(f"a dimension is an int or a name, not {dim!r}")
    if dim < 0:
        raise DTypeError(f"dimension {int(dim)} is negative")
    return dim if isinstance(dim, Dim) else int(dim)


def _bounded(text: str) -> Bounded:
    """The dimension that `text` says. Raises DTypeError for what says none."""
    name, _, most = (part.strip() for part in text.partition("<="))
    if not (name.isidentifier() and most.isdecimal() and int(most)):
        raise DTypeError(f"dimension {text!r} is not a name and its largest size; "
                         'e.g. "time<=64"')
    return Bounded(name, int(most))


def is_size(value: Any) -> bool:
    """Whether a named dimension may have this value: a whole number from 0."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= 0


@dataclass(frozen=True)
class Type:
    """dtype, shape and memory layout of one array value.

    `layout` is the order of the axes in memory, outermost first; None is row-major.
    Dimensions are ints; in a signature they may still be names, which `bind` replaces.
    """

    dtype: DType
    shape: tuple[Any, ...] = ()
    layout: tuple[int, ...] | None = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @cached_property
    def size(self) -> int:
        return math.prod(int(d) for d in self.shape)

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.bytes

    def with_(self, **changes: Any) -> Type:
        fields = {"dtype": self.dtype, "shape": self.shape, "layout": self.layout, **changes}
        return Type(**fields)

    def bind(self, dims: dict[str, int]) -> Type:
        """Replace dimension names by the ints in `dims`; raises KeyError for an unbound name."""
        shape = tuple(Dim(dims[d], d) if isinstance(d, str) else d for d in self.shape)
        return self.with_(shape=shape)

    def __str__(self) -> str:
        suffix = "" if self.layout is None else f".layout{tuple(self.layout)}"
        if not self.shape:
            return f"{self.dtype.name}[()]{suffix}"
        dims = ", ".join(repr(d) if isinstance(d, str) else str(int(d)) for d in self.shape)
        return f"{self.dtype.name}[{dims}]{suffix}"

    def describe(self) -> str:
        """Like str, with dimension names: f32[batch=64, 10]."""
        def word(d: Any) -> str:
            return f"{d.name}={int(d)}" if isinstance(d, Dim) else (
                f"{d}<={d.most}" if isinstance(d, Bounded) else str(d))

        return f"{self.dtype.name}[{', '.join(word(d) for d in self.shape)}]"


@dataclass(frozen=True)
class TupleType:
    """The type of a node with several results."""

    items: tuple[Type, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.items))})"


_FLOAT_RANK = {f16: 0, bf16: 0, f32: 1, f64: 2}


def promote(a: DType, b: DType) -> DType:
    """The dtype of `a op b` for two arrays (docs/ir.md: promotion).

    Raises DTypeError where a cast must be written: f16 with bf16, signed with unsigned integers,
    but for u8 with wider ones.
    """
    if a is b:
        return a
    if a is bool_ or b is bool_:
        return b if a is bool_ else a
    if a.is_float and b.is_float:
        if _FLOAT_RANK[a] == _FLOAT_RANK[b]:
            raise DTypeError(f"{a} with {b} has no common dtype; cast one, e.g. x.cast(f32)")
        return a if _FLOAT_RANK[a] > _FLOAT_RANK[b] else b
    if a.is_float or b.is_float:
        return a if a.is_float else b
    wide, narrow = (a, b) if a.bytes > b.bytes else (b, a)
    if a.category != b.category and (narrow is not u8 or wide.bytes == 1):
        raise DTypeError(f"{a} with {b} mixes signed with unsigned; cast one of them")
    return wide


def promotion_table() -> str:
    """The table of `promote` as text, a row and a column for each dtype; - asks for a cast."""
    def cell(a: DType, b: DType) -> str:
        try:
            return promote(a, b).name
        except DTypeError:
            return "-"

    kinds = list(DTYPES.values())
    rows = [["", *DTYPES], *([a.name, *(cell(a, b) for b in kinds)] for a in kinds)]
    return "\n".join("".join(word.ljust(5) for word in row).rstrip() for row in rows)


def sum_dtype(d: DType) -> DType:
    """The dtype of a sum over `d`: bool and integers of 8 and 16 bits give i32, the others
    themselves."""
    return i32 if not d.is_float and d.bytes < 4 else d


def accumulator(d: DType) -> DType:
    """The dtype in which reductions and contractions over `d` accumulate: f16 and bf16 in f32."""
    return f32 if d in (f16, bf16) else sum_dtype(d)


def strides(type_: Type) -> tuple[int, ...]:
    """Element strides of `type_` in its layout."""
    order = type_.layout or tuple(range(type_.ndim))
    result = [0] * type_.ndim
    step = 1
    for axis in reversed(order):
        result[axis] = step
        step *= int(type_.shape[axis])
    return tuple(result)
