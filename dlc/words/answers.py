"""Names that dlc has not: another library's is told as dlc's, with a line that works."""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dlc.errors import DlcError, here, nearest, user_frame
from dlc.words import tables
from dlc.words.calls import answering, shown_call

SPACES = {"dlc": "dlc", "nn": "dlc.nn", "optim": "dlc.optim", "random": "dlc.random",
          "linalg": "dlc.linalg", "init": "dlc.init", "augment": "dlc.augment"}
KINDS = {"x": "a graph value", "net": "a layer", "task": "a task", "network": "a trained network",
         "optimizer": "an optimizer", "loss": "a loss",
         "x.at[0]": "x.at[...]"}
Kind = TypeVar("Kind", bound=type[Any])


class WordError(DlcError, AttributeError):
    """A name that dlc has not. As an AttributeError it lets hasattr and getattr ask."""


def speaking(space: str, names: dict[str, Any], public: Sequence[str]) -> None:
    """Let a namespace answer at the user's line: what it does not have, and calls of its functions
    that do not fit."""
    def missing(name: str) -> Any:
        raise unknown(space, name, [n for n in names if not n.startswith("_")])

    for name in public:
        if inspect.isfunction(names[name]):
            names[name] = answering(names[name], f"{space}.{name}")
    names["__getattr__"] = missing


def attributes(receiver: str) -> Callable[[Kind], Kind]:
    """Let the objects of a class answer for attributes that they do not have."""
    def install(kind: Kind) -> Kind:
        def missing(self: Any, name: str) -> Any:
            raise unknown(receiver, name, [n for n in dir(kind) if not n.startswith("_")])

        # not a method of the class's text: type checkers would take every name for known
        kind.__getattr__ = missing
        return kind

    return install


def unknown(receiver: str, name: str, known: Sequence[str]) -> Exception:
    """What to raise for `name`, which `receiver` (a key of SPACES or KINDS) does not have."""
    written = f"{receiver}.{name}"
    if name.startswith("_"):
        return AttributeError(f"{KINDS.get(receiver, receiver)} has no attribute {name!r}")
    message, hint = said(written) or elsewhere(receiver, name) or (
        f"{KINDS.get(receiver, SPACES.get(receiver))} has no {name!r}{nearest(name, list(known))}",
        "docs/names.md lists all public names, beside PyTorch's, NumPy's and JAX's")
    error = DlcError if imports() else WordError
    return error(message, here(), hint)


def said(written: str) -> tuple[str, str] | None:
    """(message, hint) for what another library calls so."""
    idiom = tables.idioms().get(written)
    if idiom is None or idiom.said == written:
        return None
    whose = " and ".join(f"{library}'s" for library in idiom.library.split(", "))
    what = f"{idiom.written} is {whose}"
    message = f"{what}; dlc's is {idiom.said}" if idiom.said else f"{what}; dlc has no such name"
    line = idiom.line or shown_call(idiom.said)
    return message, f"write {line}" + (f": {idiom.why}" if idiom.why else "")


def counterpart(name: str) -> str:
    """What dlc has for NumPy's function `name`: "use dlc.concat", or "" for nothing."""
    idiom = tables.idioms().get(f"dlc.{name}")
    if idiom is not None:
        return f"use {idiom.said or idiom.line}"
    return f"use dlc.{name}" if name in sys.modules["dlc"].__all__ else ""


def elsewhere(receiver: str, name: str) -> tuple[str, str] | None:
    """(message, hint) for a name that stands in another part of dlc, or is written otherwise."""
    written = f"{receiver}.{name}"
    for space in sorted(SPACES, key=lambda s: s != receiver):
        own = spelled(name, getattr(sys.modules.get(SPACES[space]), "__all__", ()))
        if not own:
            continue
        found = f"{space}.{own}"
        if receiver == "x":
            return (f"{written}: a graph value has no such method; dlc has the function {found}",
                    f"write {shown_call(found)}")
        if receiver in SPACES:
            return f"{written} is {found} in dlc", f"write {shown_call(found)}"
    if receiver == "x" and name.endswith("_"):
        return (f"{written}: values never change", "an operation gives a new value: x = x + 1.0")
    return None


def spelled(name: str, known: Sequence[str]) -> str:
    """The name in `known` that differs from `name` in capitals and underscores alone, or ""."""
    def bare(word: str) -> str:
        return word.replace("_", "").lower()

    if name in known:
        return name
    return next((k for k in known if bare(k) == bare(name) and not name.endswith("_")), "")


def imports() -> bool:
    """Whether the user's line is `from dlc import name`: Python would replace an AttributeError by
    an ImportError of its own."""
    frame = user_frame()
    return frame is not None and frame.f_code.co_code[frame.f_lasti] == dis.opmap["IMPORT_FROM"]
