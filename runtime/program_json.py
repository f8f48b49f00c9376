"""Programs as JSON: program_to_json and program_from_json are exact inverses."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

from dlc import program as p
from dlc.ir.types import Dim, DType, DTypeError, TupleType, Type, dtype

READ = (1, p.FORMAT)  # format 1 is 2 without loops
_CLASSES = {c.__name__: c for c in (
    p.Branch, p.Buffer, p.Constant, p.Entry, p.Kernel, p.Launch, p.Loop, p.Parameter, p.Port,
    p.Program, p.Segment, p.Slot, p.TileText, Type, TupleType)}
_FIELDS = {c: dataclasses.fields(c) for c in _CLASSES.values()}


class ProgramFormatError(ValueError):
    """A text that is not a saved Program of a format this version reads."""


def program_to_json(program: p.Program) -> str:
    """`program` as one line of JSON. Raises ProgramFormatError when `meta` holds other than
    None, bool, int, float, str, bytes, tuple, list and dict."""
    return json.dumps({"dlc program": p.FORMAT, "program": _encode(program)}, separators=(",", ":"))


def program_from_json(text: str) -> p.Program:
    """The inverse of program_to_json. Raises ProgramFormatError for anything else."""
    try:
        outer = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ProgramFormatError(f"not JSON: {error}") from None
    if not isinstance(outer, dict) or "dlc program" not in outer:
        raise ProgramFormatError("not a saved program of dlc")
    if outer["dlc program"] not in READ:
        raise ProgramFormatError(f"saved in format {outer['dlc program']!r}; this version of dlc "
                                 f"reads formats {' and '.join(map(str, READ))}")
    try:
        program = _decode(outer.get("program"))
    except (KeyError, TypeError, ValueError, AttributeError, DTypeError, RecursionError) as error:
        raise ProgramFormatError(f"damaged program: {type(error).__name__}: {error}") from None
    if not isinstance(program, p.Program):
        raise ProgramFormatError("the saved object is not a Program")
    return program


def _encode(value: Any) -> Any:
    """Tuples as arrays; everything else that JSON lacks as an object with one tag."""
    if value is None or isinstance(value, (bool, str, float)):
        return value
    if isinstance(value, Dim):
        return {"dim": [int(value), value.name]}
    if isinstance(value, int):
        return int(value)
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    if isinstance(value, list):
        return {"list": [_encode(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_encode(k), _encode(v)] for k, v in value.items()]}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, DType):
        return {"dtype": value.name}
    if type(value) in _FIELDS:
        fields = [_encode(getattr(value, f.name)) for f in _FIELDS[type(value)]]
        return {type(value).__name__: fields}
    raise ProgramFormatError(f"a Program can't hold {type(value).__name__} {value!r:.60}")


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple([_decode(item) for item in value])
    if not isinstance(value, dict):
        return value
    (tag, content), = value.items()
    if tag in _CLASSES:
        return _CLASSES[tag](*[_decode(item) for item in content])
    if tag == "list":
        return [_decode(item) for item in content]
    if tag == "dict":
        return {_decode(k): _decode(v) for k, v in content}
    if tag == "bytes":
        return base64.b64decode(content, validate=True)
    if tag == "dtype":
        return dtype(content)
    if tag == "dim":
        return Dim(content[0], content[1])
    raise ValueError(f"unknown tag {tag!r}")
