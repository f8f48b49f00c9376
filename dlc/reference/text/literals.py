"""Attribute values, types and numbers as Python expressions, and back, exactly."""

from __future__ import annotations

import ast
import base64
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from dlc.errors import printable
from dlc.ir.attributes import Literal
from dlc.ir.graph import Graph
from dlc.ir.types import DTYPES, DType, Type, bool_

# Arrays up to this many elements are written out; larger ones are base64 of their bytes.
LISTED_ELEMENTS = 24
_SPECIAL = {"inf": float("inf"), "nan": float("nan")}


class TextError(ValueError):
    """What is wrong at `node` of the text's syntax tree; the parser adds file and line."""

    def __init__(self, message: str, node: ast.AST, hint: str = "") -> None:
        self.node = node
        self.hint = hint
        super().__init__(message)


# --- printing -------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _float_digits(value: float, dtype: DType) -> str:
    """The fewest digits that give `value` again in `dtype`."""
    with np.errstate(all="ignore"):
        for digits in range(1, 17):
            text = f"{value:.{digits}g}"
            if float(dtype.numpy.type(float(text))) == value:
                return repr(float(text))
    return repr(value)


def format_number(value: Any, dtype: DType) -> str:
    """`value` as a Python number that is the same again once rounded to `dtype`."""
    if dtype is bool_:
        return str(bool(value))
    if dtype.is_integer:
        return str(int(value))
    number = float(value)
    if not np.isfinite(number):
        return repr(number)
    # equal keys of the cache must print alike, and 0.0 == -0.0
    return repr(number) if number == 0 else _float_digits(number, dtype)


def format_array(literal: Literal, type_: Type) -> str:
    """An array as nested lists when it is small, else as base64 of its little-endian bytes."""
    data = literal.array
    if data.size <= LISTED_ELEMENTS:
        text = _nested(data, type_.dtype)
        if _array_of(ast.parse(text, mode="eval").body, type_).key == literal.key:
            return text
    return format_string(base64.b64encode(data.tobytes()).decode())


def _nested(data: np.ndarray, dtype: DType) -> str:
    if data.ndim == 0:
        return format_number(data[()], dtype)
    return f"[{', '.join(_nested(row, dtype) for row in data)}]"


def format_string(text: str) -> str:
    """A string in double quotes; what a terminal would act on as an escape of Python's."""
    quoted = json.dumps(text, ensure_ascii=False)
    return printable(quoted, len(quoted))


def format_value(value: Any, functions: Mapping[int, str]) -> str:
    """An attribute's value. `functions` names the graphs, by id. Raises TypeError for others."""
    if isinstance(value, Graph):
        return functions[id(value)]
    if isinstance(value, tuple):
        inner = ", ".join(format_value(v, functions) for v in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, str):
        return format_string(value)
    if value is None or isinstance(value, (DType, Type)):
        return str(value)
    raise TypeError(f"an attribute can't be a {type(value).__name__}: {value!r}")


# --- reading --------------------------------------------------------------------------------------


def read_number(node: ast.AST) -> Any:
    """The number at `node`, or None: an int, float, bool, inf, nan, with a sign perhaps."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        return node.value
    if isinstance(node, ast.Name):
        return _SPECIAL.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = read_number(node.operand)
        return None if value is None else -value
    return None


def read_type(node: ast.AST) -> Type:
    """`f32[64, 10]`, `f32[()]`, `f32[4, 8].layout(1, 0)`. Raises TextError."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr != "layout":
            raise TextError(f"a type has no .{node.func.attr}", node, "only .layout(axes...)")
        return read_type(node.func.value).with_(layout=tuple(map(read_int, node.args)))
    if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
        raise TextError(f"{ast.unparse(node)} is not a type", node, "write it like f32[64, 10]")
    dims = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    shape = tuple(map(read_int, dims))
    if any(d < 0 for d in shape):
        raise TextError(f"{ast.unparse(node)} has a negative dimension", node)
    return Type(read_dtype(node.value), shape)


def read_dtype(node: ast.Name) -> DType:
    """A dtype's name. Raises TextError."""
    if node.id not in DTYPES:
        raise TextError(f"{node.id} is not a dtype", node, f"there are {', '.join(DTYPES)}")
    return DTYPES[node.id]


def read_int(node: ast.AST) -> int:
    """An int. Raises TextError."""
    value = read_number(node)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TextError(f"{ast.unparse(node)} is not an integer", node)
    return value


def read_value(node: ast.AST, functions: Mapping[str, Graph]) -> Any:
    """An attribute's value: the inverse of format_value. Raises TextError."""
    number = read_number(node)
    if number is not None:
        return number
    if isinstance(node, ast.Tuple):
        return tuple(read_value(e, functions) for e in node.elts)
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, str)):
        return node.value
    if isinstance(node, ast.Name):
        return functions[node.id] if node.id in functions else read_dtype(node)
    return read_type(node)


def read_array(node: ast.AST, type_: Type) -> Literal:
    """The literal of an `array(...)` of `type_`. Raises TextError when size or bytes do not fit."""
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return _array_of(node, type_)
    try:
        data = base64.b64decode(node.value, validate=True)
    except ValueError as problem:
        raise TextError(f"no base64: {problem}", node) from None
    if len(data) != type_.bytes:
        raise TextError(f"{len(data)} bytes for {type_}", node, f"it takes {type_.bytes}")
    return Literal.of(np.frombuffer(data, type_.dtype.numpy).reshape(type_.shape))


def _array_of(node: ast.AST, type_: Type) -> Literal:
    numbers: list[Any] = []
    _flatten(node, numbers)
    if len(numbers) != type_.size:
        raise TextError(f"{len(numbers)} elements for {type_}", node, f"it takes {type_.size}")
    if not type_.dtype.is_float and not all(isinstance(n, int) for n in numbers):
        raise TextError(f"a float among the elements of {type_}", node)
    try:
        with np.errstate(all="ignore"):
            data = np.array(numbers, None if type_.dtype.is_float else type_.dtype.numpy)
            return Literal.of(data.astype(type_.dtype.numpy).reshape(type_.shape))
    except OverflowError as problem:
        raise TextError(f"{problem} ({type_})", node) from None


def _flatten(node: ast.AST, into: list[Any]) -> None:
    if isinstance(node, ast.List):
        for element in node.elts:
            _flatten(element, into)
        return
    number = read_number(node)
    if number is None:
        raise TextError(f"{ast.unparse(node)} is not a number", node)
    into.append(number)
