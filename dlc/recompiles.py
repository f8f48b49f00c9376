"""A warning for functions that are recompiled often: which dimension varies, how to bind it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from dlc.errors import here
from dlc.ir.graph import Graph
from dlc.ir.types import Dim, Type

MOST = 8  # specializations of one function that nobody wonders about


@dataclass
class Seen:
    """The types that one function was compiled for; whether that was said to be too many."""

    types: dict[tuple[Any, ...], dict[str, Type]] = field(default_factory=dict)
    told: bool = False


_SEEN: WeakKeyDictionary[Any, Seen] = WeakKeyDictionary()


def note_specialization(thing: Any, graph: Graph) -> None:
    """Remember that `thing`, a function or a model, is compiled as `graph`; warn at the user's line
    when it has been for more than MOST combinations of types, once.

    A function that is defined anew each time is another one: it may mean something else.
    """
    key = getattr(thing, "__func__", thing)
    try:
        seen = _SEEN.setdefault(key, Seen())
    except TypeError:  # nothing that can be remembered without keeping it alive
        return
    inputs = {i.attrs["label"]: i.type for i in graph.inputs if i.attrs["role"] in ("arg", "data")}
    seen.types[tuple((k, str(t)) for k, t in inputs.items())] = inputs
    if len(seen.types) <= MOST or seen.told:
        return
    seen.told = True
    loc, message = here(), told(graph.name, list(seen.types.values()))
    if loc is None:
        warnings.warn(message, stacklevel=4)
    else:
        warnings.warn_explicit(message, UserWarning, loc.file, loc.line)


def told(name: str, types: Sequence[dict[str, Type]]) -> str:
    """`f was compiled for 9 types: batch (axis 0 of x) is 1, 2, 3, ... 9; ...`"""
    varying = [text for label in types[0] for text in varying_parts(label, types)]
    return (f"{name} was compiled for {len(types)} different types of its arguments: "
            f"{'; '.join(varying[:3]) or 'it takes other arguments each time'}. Each is a program "
            "of its own. Bind a size once: compile for the largest, pad what is smaller and mask "
            "it, or keep the programs compiled for the few sizes that come")


def varying_parts(label: str, types: Sequence[dict[str, Type]]) -> list[str]:
    """What differs among the types of one argument."""
    found = [t[label] for t in types if label in t]
    if len({t.ndim for t in found}) > 1:
        return [f"{label} has {listed(t.ndim for t in found)} axes"]
    parts = []
    if len({t.dtype.name for t in found}) > 1:
        parts.append(f"{label} is {listed(t.dtype.name for t in found)}")
    for axis, sizes in enumerate(zip(*(t.shape for t in found), strict=True)):
        if len(set(map(int, sizes))) > 1:
            named = next((d.name for d in sizes if isinstance(d, Dim)), "")
            place = f"axis {axis} of {label}"
            parts.append(f"{f'{named} ({place})' if named else place} is "
                         f"{listed(map(int, sizes))}")
    return parts


def listed(values: Any) -> str:
    """The distinct values, the first four and the last: `1, 2, 3, 4, ... 9`."""
    words = [str(v) for v in dict.fromkeys(values)]
    return ", ".join(words if len(words) <= 5 else [*words[:4], f"... {words[-1]}"])
