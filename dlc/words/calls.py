"""Calls that do not fit: arguments as other libraries write them are told as dlc's.

A public function is wrapped where its namespace offers it; dlc itself calls the function inside.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import wraps
from typing import Any

from dlc.errors import DlcError, here, nearest
from dlc.words import tables

Function = Callable[..., Any]
_WRAPPED: dict[tuple[Function, str], Function] = {}
_ORIGINAL: dict[Function, Function] = {}
PLAIN = (int, float, str, bool, type(None))


def answering(function: Function, name: str) -> Function:
    """`function`, whose calls with other arguments than its own are a DlcError at the user's line.
    """
    if (function, name) not in _WRAPPED:
        @wraps(function)
        def call(*args: Any, **named: Any) -> Any:
            try:
                return function(*args, **named)
            except TypeError as problem:
                if binds(function, args, named):
                    raise  # the call fits: what it did does not
                raise refused(function, name, args, named, problem) from None

        _WRAPPED[function, name] = call
        _ORIGINAL[call] = function
    return _WRAPPED[function, name]


def binds(function: Function, args: Sequence[Any], named: Mapping[str, Any]) -> bool:
    """Whether `function` can be called with these arguments."""
    try:
        inspect.signature(function).bind(*args, **named)
    except TypeError:
        return False
    return True


def original(function: Function) -> Function:
    """The function inside of a public one; any other as it is."""
    try:
        return _ORIGINAL.get(function, function)
    except TypeError:  # not hashable
        return function


# --- what is told ---------------------------------------------------------------------------------


def refused(function: Function, name: str, args: Sequence[Any], named: Mapping[str, Any],
            problem: TypeError) -> DlcError:
    """The error for a call that does not fit; its hint is the call as dlc writes it."""
    parameters = dict(inspect.signature(function).parameters)
    if name.startswith("x."):  # a method
        del parameters[next(iter(parameters))]
        args = args[1:]
    unknown = [key for key in named if key not in parameters]
    if unknown:
        return of_arguments(name, parameters, args, named, unknown)
    many = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters.values())
    order = tables.orders().get(name)
    if order and len(args) > many:
        given = dict(zip(order, args, strict=False)) | dict(named)
        return DlcError(f"{name}({shown_values(args)}) is in PyTorch's order ({', '.join(order)})",
                        here(), f"write {translated(name, parameters, given)}"
                        f"{reasons(name, parameters, given)}; it takes ({signature(parameters)})")
    if not args and not named and "x" in parameters:
        return DlcError(f"{name}() lacks its operand: it is a function of values, not a class of "
                        "layers", here(), f"write {name} without parentheses where a layer is "
                        f"expected, {shown_call(name)} for a value")
    what = str(problem).partition("() ")[2] or str(problem)
    return DlcError(f"{name}: {what}", here(), f"it takes ({signature(parameters)})")


def of_arguments(name: str, parameters: Mapping[str, inspect.Parameter], args: Sequence[Any],
                 named: Mapping[str, Any], unknown: Sequence[str]) -> DlcError:
    """The error for arguments by names that a function does not have."""
    told = {key: argument_of(name, key, parameters) for key in unknown}
    strange = [key for key, row in told.items() if row is None]
    if strange:
        near = nearest(strange[0], list(parameters))
        return DlcError(f"{name} has no argument {strange[0]}={near}", here(),
                        f"it takes ({signature(parameters)})")
    listed = ", ".join(f"{key}=" for key in unknown)
    order = [p.name for p in parameters.values() if p.kind is not p.VAR_POSITIONAL]
    given = dict(zip(order, args, strict=False)) | dict(named)
    saying = ", ".join(f"{s}=" for row in told.values() for s in (row.said if row else ()))
    words = f"; dlc has {saying}" if saying else ""
    return DlcError(f"{name} has no argument {listed}{words}", here(), f"write "
                    f"{translated(name, parameters, given)}{reasons(name, parameters, given)}")


def argument_of(name: str, key: str,
                parameters: Mapping[str, Any]) -> tables.Argument | None:
    """What calls.txt says of the argument `key` of a function; the most specific row holds."""
    fits = [a for a in tables.arguments() if a.written == key and fnmatchcase(name, a.function)
            and all(s in parameters for s in a.said)]
    return fits[-1] if fits else None


def argument_hint(name: str, key: str) -> str:
    """What a function that takes any option says of one that it does not know; "" for nothing."""
    rows = [a for a in tables.arguments() if a.written == key and a.function == name]
    if not rows:
        return ""
    return f"dlc's is {rows[-1].said[0]}=" if rows[-1].said else rows[-1].why


def translated(name: str, parameters: Mapping[str, inspect.Parameter],
               given: Mapping[str, Any]) -> str:
    """The call as dlc writes it: required arguments in order, the others by name."""
    values: dict[str, str] = {}
    for key, value in given.items():
        row = None if key in parameters else argument_of(name, key, parameters)
        keys = (key,) if key in parameters else row.said if row else ()
        split = value if len(keys) > 1 and isinstance(value, (tuple, list)) else [value] * len(keys)
        values |= {k: shown(v) for k, v in zip(keys, split, strict=False)}
    first = [values.pop(k, k) for k, p in parameters.items()
             if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if "lr" in values:
        first.append(values.pop("lr"))
    return f"{name}({', '.join([*first, *(f'{k}={v}' for k, v in values.items())])})"


def reasons(name: str, parameters: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Why arguments are left out: `: ...; ...`."""
    found = [row.why for key in given if key not in parameters
             if (row := argument_of(name, key, parameters)) and not row.said]
    return ": " + "; ".join(dict.fromkeys(found)) if found else ""


def shown(value: Any) -> str:
    """A value as it is written in a call, as far as that is known."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(shown, value))}{',' * (len(value) == 1)})"
    return str(getattr(value, "name", "") or getattr(value, "__name__", "") or "...")


def shown_values(args: Sequence[Any]) -> str:
    return ", ".join(map(shown, args))


def signature(parameters: Mapping[str, inspect.Parameter]) -> str:
    """Arguments without their types: channels, kernel, *, stride=1."""
    found, star = [], False
    for p in parameters.values():
        if p.kind is p.KEYWORD_ONLY and not star:
            found.append("*")
        star = star or p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        mark = "*" * ((p.kind is p.VAR_POSITIONAL) + 2 * (p.kind is p.VAR_KEYWORD))
        found.append(f"{mark}{p.name}" if p.default is p.empty else f"{p.name}={shown(p.default)}")
    return ", ".join(found)


def shown_call(name: str) -> str:
    """A public name as it is used: dlc.concat(arrays), nn.dense(units), dlc.f32."""
    value: Any = sys.modules["dlc"]
    for part in name.removeprefix("dlc.").split("."):
        value = getattr(value, part, None)
    if not inspect.isfunction(value):
        return name
    required = [p.name for p in inspect.signature(value).parameters.values()
                if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)]
    return f"{name}({', '.join(required)})"
