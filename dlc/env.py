"""Every DLC_* environment switch, in one place; an unknown DLC_* name is an error."""

from __future__ import annotations

import os
from dataclasses import dataclass


class EnvError(ValueError):
    """A DLC_* variable that does not exist, or an invalid value of one."""


@dataclass(frozen=True)
class Switch:
    """One environment variable: its name, default, valid values, and what it does."""

    name: str
    default: str
    values: str
    doc: str


SWITCHES = (
    Switch("DLC_DEBUG", "0", "0..4", "1 prints each pass, 2 adds launches, 3 graphs, 4 kernels; "
           "from 1 on, errors keep their traceback"),
    Switch("DLC_CHECK", "0", "0..2", "1 verifies the graph after every pass, and checks memory "
           "placement, barriers, bounds and chunks of the kernels (design/checks.md); 2 also "
           "evaluates the graph before and after every pass on random inputs, compares every "
           "launch with the evaluator and runs chunks in other orders"),
    Switch("DLC_CACHE", "", "directory", "where compiled objects and programs are kept "
           "(default: ~/.cache/dlc)"),
    Switch("DLC_THREADS", "0", "0..256", "threads of the CPU runtime; 0: one for each core "
           "this process may use"),
    Switch("DLC_WORKERS", "0", "0..64", "compile worker processes; 0: one for each core"),
    Switch("DLC_WORLD_SECONDS", "0", "0..86400", "of several processes that train together, how "
           "long one may send nothing before the run ends; 0: 300 (scale.md)"),
    Switch("DLC_CPU", "", "avx512 | avx2 | neon | scalar", "instruction set to generate for "
           "(default: the machine's)"),
)


def check() -> None:
    """Raise EnvError when a DLC_* variable is set that dlc does not know."""
    known = [s.name for s in SWITCHES]
    for name in os.environ:
        if name.startswith("DLC_") and name not in known:
            raise EnvError(f"unknown environment variable {name}; there are {', '.join(known)}")


def text(name: str) -> str:
    """The value of switch `name`, or its default; raises EnvError when it is none of its words."""
    switch = next(s for s in SWITCHES if s.name == name)
    value = os.environ.get(name, switch.default)
    words = switch.values.split(" | ")
    if len(words) > 1 and value not in (switch.default, *words):
        raise EnvError(f"{name}={value!r} is invalid; it takes {', '.join(words)}")
    return value


def number(name: str) -> int:
    """The value of a numeric switch; raises EnvError when it is not a number or out of range."""
    value = text(name)
    switch = next(s for s in SWITCHES if s.name == name)
    low, high = (int(part) for part in switch.values.split(".."))
    if not value.isdecimal() or not low <= int(value) <= high:
        raise EnvError(f"{name}={value!r} is invalid; it takes a number {switch.values}")
    return int(value)
