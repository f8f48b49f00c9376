"""Initial weights: which arrays of a checkpoint a task loads, and under which names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlc.errors import DlcError, here, nearest
from dlc.ir.graph import Graph
from dlc.lang.trace import graph_variables
from dlc.network import Network
from dlc.task.task import Task

Values = Mapping[str, np.ndarray[Any, Any]]
# states that a run sets itself
OWN = ("seed", "step", "steps_per_epoch", "plateau")


@dataclass(frozen=True)
class Start:
    """What a training started from: `values` were taken from `source`; `unfit` are those whose
    shape or dtype differs, `missing` those that it does not have, which both keep their first
    values; `unused` are the arrays that nothing took."""

    source: str
    values: Values
    unfit: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        """The report, a line for each of the four."""
        count = len(self.values) + len(self.unfit) + len(self.missing)
        lines = [f"started from {self.source}: {len(self.values)} of {count} values taken"]
        for what, names in (("do not fit", self.unfit), ("not there", self.missing),
                            ("not used", self.unused)):
            lines += [f"  {what}: {', '.join(names)}"] if names else []
        return "\n".join(lines)


def start_from(task: Task, graphs: Mapping[str, Graph], fresh: Values, init: Any,
               rename: Mapping[str, str]) -> Start:
    """What `task` takes from `init`: a checkpoint, a run's folder, any safetensors file, a Network
    or arrays by name.

    Taken are parameters and what layers keep (running statistics), never an optimizer's moments or
    counters of steps. `rename` gives arrays of `init` other names before: {"encoder/*": "body/*"},
    where `*` stands for any text; the first that fits counts. Raises DlcError when nothing fits,
    and for a rule that renames nothing.
    """
    source, arrays = read_values(init)
    arrays = renamed(arrays, rename)
    wanted = {n: fresh[n] for n in trained_names(task, graphs) if n in fresh}
    taken, unfit = {}, []
    for name, value in wanted.items():
        found = arrays.get(name)
        if found is None:
            continue
        if found.shape == value.shape and found.dtype == value.dtype:
            taken[name] = found
        else:
            unfit.append(f"{name} (is {shown(found)}, {shown(value)} is wanted)")
    if not taken:
        raise DlcError(f"{source}: nothing in it fits {task.name}", here(),
                       f"it has {_some(arrays)}; wanted are {_some(wanted)}; rename with "
                       "rename={OLD: NEW}, on the command line --rename OLD=NEW")
    unused = sorted(n for n in arrays if n not in wanted and is_weight(n))
    return Start(source, taken, tuple(unfit), tuple(n for n in wanted if n not in arrays),
                 tuple(unused))


def trained_names(task: Task, graphs: Mapping[str, Graph]) -> list[str]:
    """Parameters, and the states that the evaluation reads."""
    read = {v.name for v in graph_variables(graphs["eval"])} if "eval" in graphs else set()
    return [v.name for v in task.variables(graphs)
            if v.role == "param" or (v.name in read and is_weight(v.name))]


def is_weight(name: str) -> bool:
    """Whether an array is part of a network: no counter, no moment of an optimizer."""
    head, slash, _ = name.partition("/")
    counter = name.rpartition(".")[2] in OWN
    # an optimizer's states stand before its parameter: adam.m/conv1.weight
    return not counter and not (slash and ("." in head or head in ("gradient", "average")))


def read_values(init: Any) -> tuple[str, Values]:
    """(what `init` is called, its arrays). Raises DlcError for what holds none."""
    if isinstance(init, Network):
        return str(init.source), init.values
    if isinstance(init, Mapping):
        return "arrays", {str(k): np.asarray(v) for k, v in init.items()}
    if not isinstance(init, (str, Path)):
        raise DlcError(f"init={init!r} has no weights", here(),
                       "a checkpoint, a folder, a network, or arrays by name")
    from dlc.intake import user_path
    from dlc.runtime.train.checkpoint import weights_at
    from dlc.runtime.train.tensorfile import CheckpointError

    path, arrays = weights_at(user_path(init, CheckpointError))
    return str(path), arrays


def renamed(arrays: Values, rules: Mapping[str, str]) -> Values:
    """`arrays` under other names. Raises DlcError for a rule that fits none, and for two arrays
    that would share a name."""
    found: dict[str, np.ndarray[Any, Any]] = {}
    idle = set(rules)
    for name, array in arrays.items():
        rule = next((old for old in rules if fits(old, name)), None)
        idle.discard(rule or "")
        new = name if rule is None else another_name(name, rule, rules[rule])
        if new in found:
            raise DlcError(f"rename: two arrays would be called {new!r}", here())
        found[new] = array
    if idle:
        old = min(idle)
        raise DlcError(f"rename: no array is called {old!r}{nearest(old, list(arrays))}", here(),
                       f"there are {_some(arrays)}")
    return found


def fits(pattern: str, name: str) -> bool:
    """Whether `name` is `pattern`, in which one `*` stands for any text."""
    head, star, tail = pattern.partition("*")
    if not star:
        return name == pattern
    return (len(name) >= len(head) + len(tail) and name.startswith(head)
            and name.endswith(tail))


def another_name(name: str, old: str, new: str) -> str:
    """`name`, which `old` fits, under `new`: what stood for its `*` stands for that of `new`."""
    head, star, tail = old.partition("*")
    if not star:
        return new
    return new.replace("*", name[len(head):len(name) - len(tail)], 1)


def shown(array: np.ndarray[Any, Any]) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _some(arrays: Values) -> str:
    names = sorted(arrays)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
