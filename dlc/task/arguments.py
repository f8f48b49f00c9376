"""The arguments of dlc.task, dlc.phase and Task.train, checked where they are given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dlc.derive.precision import checked_precision
from dlc.errors import DlcError, Loc, here, nearest
from dlc.lang.layer import Layer
from dlc.optim import NAMES, Optimizer
from dlc.task.micro import MOST, is_parts
from dlc.task.subject import KINDS
from dlc.words import argument_hint

DEFAULTS: dict[str, Any] = {
    "data": "", "batch": 32, "epochs": 1, "augment": None, "patience": None, "monitor": "loss",
    "frozen": None, "dims": {}, "report": {}, "precision": "f32", "buckets": 4,
    "micro_batches": 1}


def task_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a task, complete. Raises DlcError for an unknown one and a bad value."""
    for key in given:
        if key not in DEFAULTS:
            known = ["optimizer", "phases", "name", "evaluate", *DEFAULTS]
            told = argument_hint("dlc.task", key)
            raise DlcError(f"dlc.task has no option {key!r}{'' if told else nearest(key, known)}",
                           here(), told or f"options are {', '.join(known)}")
    options = {**DEFAULTS, **given}
    whole("task", 1, batch=options["batch"], epochs=options["epochs"], buckets=options["buckets"])
    if options["patience"] is not None:
        whole("task", 1, patience=options["patience"])
    if not isinstance(options["monitor"], str):
        raise unfit("task", "monitor", options["monitor"], "the name of a metric, e.g. 'loss'")
    selection("task", "frozen", options["frozen"])
    checked_precision(options["precision"], "dlc.task", here())
    if not is_parts(options["micro_batches"]):
        raise unfit("task", "micro_batches", options["micro_batches"],
                    f"a power of 2 from 1 to {MOST}")
    augment = options["augment"]
    functions = augment.values() if isinstance(augment, Mapping) else [augment]
    if augment is not None and not all(map(callable, functions)):
        raise unfit("task", "augment", augment, "a function of the first input, or functions by "
                    "the inputs' names, e.g. augment.affine(shift=2)")
    if not isinstance(options["dims"] or {}, Mapping):
        raise unfit("task", "dims", options["dims"], "sizes by name, e.g. {'time': 20}")
    options["dims"] = dict(options["dims"] or {})
    options["report"] = report_option(options["report"])
    return options


def report_option(value: Any) -> dict[str, str]:
    """What the report of a task shows. Raises DlcError for what no report takes."""
    fits = (f"{{'shows': one of {', '.join(KINDS)}, 'target': a field of the data, 'code': the "
            "name of a value}")
    keys = ["shows", "target", "code"]
    given = value or {}
    if not isinstance(given, Mapping) or not all(isinstance(v, str) for v in given.values()):
        raise unfit("task", "report", value, fits)
    for key in given:
        if key not in keys:
            raise DlcError(f"dlc.task: report has no key {key!r}{nearest(key, keys)}", here(),
                           f"report is {fits}")
    if given.get("shows", KINDS[0]) not in KINDS:
        raise DlcError(f"dlc.task: report shows {given['shows']!r}"
                       f"{nearest(given['shows'], list(KINDS))}", here(), f"report is {fits}")
    return dict(given)


def phase_arguments(name: Any, function: Any, optimizer: Any, params: Any, every: Any, start: Any,
                    stop: Any) -> None:
    """Raise DlcError for what no phase can have."""
    if not isinstance(name, str) or not name.isidentifier():
        raise DlcError(f"dlc.phase: {name!r} is not a name", here(), "letters, digits and _")
    if not callable(function):
        raise DlcError(f"dlc.phase {name!r}: {function!r} is not a function", here())
    whole("phase", 1, every=every)
    whole("phase", 0, start=start)
    if stop is not None:
        whole("phase", 1, stop=stop)
        if stop <= start:
            raise DlcError(f"dlc.phase {name!r}: epochs {start} to {stop} are none", here(),
                           "0 <= start < stop")
    selection("phase", "params", params)
    need_optimizer(optimizer, none_fits=True)


def task_functions(name: Any, evaluate: Any, loc: Loc | None) -> None:
    """Raise DlcError for what no task is called, and for an evaluation that can't be called."""
    if not isinstance(name, str):
        raise DlcError(f"dlc.task: name={name!r} is not a name", loc, 'e.g. name="gan"')
    if evaluate is not None and not callable(evaluate):
        raise DlcError(f"dlc.task: evaluate={evaluate!r} is not a function", loc)


def training_arguments(seed: Any, threads: Any, folder: Any, rename: Any, trap: Any = None,
                       **hooks: Any) -> None:
    """Raise DlcError for what no training can have."""
    for name, hook in hooks.items():
        if hook is not None and not callable(hook):
            raise unfit("train", name, hook, "a function of a Moment")
    whole("train", 0, seed=seed)
    if threads is not None:
        whole("train", 1, threads=threads)
    if folder is not None and not isinstance(folder, (str, os.PathLike)):
        raise unfit("train", "folder", folder, "a path, e.g. 'runs/mine'")
    if rename is not None and not (isinstance(rename, Mapping) and all(
            isinstance(part, str) for rule in rename.items() for part in rule)):
        raise unfit("train", "rename", rename, "new names by old ones, e.g. "
                    "{'encoder/*': 'body/*'}")
    if trap not in (None, "nan"):
        raise unfit("train", "trap", trap, "'nan' or None")


def need_optimizer(value: Any, none_fits: bool) -> None:
    """Raise DlcError for what is not an optimizer."""
    if isinstance(value, Optimizer) or (value is None and none_fits):
        return
    raise DlcError(f"optimizer={value!r} is not an optimizer", here(),
                   f"e.g. optim.adam(1e-3); there are {', '.join(NAMES)}")


def selection(what: str, name: str, value: Any) -> None:
    """Raise DlcError for what selects no parameters."""
    parts = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
    if value is not None and not all(isinstance(part, (str, Layer)) for part in parts):
        raise unfit(what, name, value, "layers, or patterns of names such as 'conv1.*'")


def whole(what: str, low: int, **values: Any) -> None:
    """Raise DlcError for a value that is not a whole number from `low`."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise unfit(what, name, value, f"a whole number from {low}")


def unfit(what: str, name: str, value: Any, fits: str) -> DlcError:
    return DlcError(f"dlc.{what}: {name}={value!r} is invalid", here(), f"{name} is {fits}")
