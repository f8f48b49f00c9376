"""Options of a task as text: what `--set key=value` may change, and what each value must be."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlc.derive.precision import checked_precision
from dlc.errors import DlcError, nearest
from dlc.task.micro import MOST, is_parts
from dlc.words import argument_hint

if TYPE_CHECKING:
    from dlc.task.task import Task

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def changed(task: Task, options: Mapping[str, Any]) -> Task:
    """`task` with `options` (values as text, or as what they mean).

    Raises DlcError for an unknown key, with the nearest ones, and for a value that does not fit.
    """
    order = [*(k for k in FIELDS if k in options), *(k for k in options if k not in FIELDS)]
    for key, value in ((key, options[key]) for key in order):
        if key in FIELDS:
            task = FIELDS[key](task, key, value)
        elif key in settings(task):
            task = _setting(task, key, value)
        else:
            known = [*FIELDS, *settings(task)]
            told = argument_hint("task.train", key)
            near = "" if told else nearest(key, known)
            raise DlcError(f"{task.name} has no option {key!r}{near}", None,
                           told or f"options are {', '.join(known)}")
    return task


def settings(task: Task) -> dict[str, Any]:
    """The task's own options: its functions' arguments with default values."""
    found: dict[str, Any] = {}
    for function in (*(p.function for p in task.phases), task.evaluate):
        for p in inspect.signature(function).parameters.values():
            if p.default is not p.empty:
                found.setdefault(p.name, task.settings.get(p.name, p.default))
    return found


def whole(key: str, value: Any) -> int:
    """A whole number from 1."""
    try:
        number = int(str(value))
    except ValueError:
        number = 0
    if number < 1:
        raise DlcError(f"{key}={value} is invalid", None, f"{key} is a whole number from 1")
    return number


def real(key: str, value: Any) -> float:
    """A finite number, 0 or larger."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise DlcError(f"{key}={value} is invalid", None, f"{key} is a number, 0 or larger")
    return number


def switch(key: str, value: Any) -> bool:
    """true or false, in any of the usual words."""
    word = str(value).lower()
    if word not in (*TRUE, *FALSE):
        raise DlcError(f"{key}={value} is invalid", None, f"{key} is true or false")
    return word in TRUE


def _batch(task: Task, key: str, value: Any) -> Task:
    return replace(task, batch=whole(key, value))


def _epochs(task: Task, key: str, value: Any) -> Task:
    return replace(task, epochs=whole(key, value))


def _buckets(task: Task, key: str, value: Any) -> Task:
    return replace(task, buckets=whole(key, value))


def _micro_batches(task: Task, key: str, value: Any) -> Task:
    count = whole(key, value)
    if not is_parts(count):
        raise DlcError(f"{key}={value} is invalid", None, f"{key} is a power of 2 up to {MOST}")
    return replace(task, micro_batches=count)


def _data(task: Task, key: str, value: Any) -> Task:
    return replace(task, data=str(value))


def _monitor(task: Task, key: str, value: Any) -> Task:
    return replace(task, monitor=str(value))


def _patience(task: Task, key: str, value: Any) -> Task:
    none = str(value).lower() in ("none", *FALSE)
    return replace(task, patience=None if none else whole(key, value))


def _rate(task: Task, key: str, value: Any) -> Task:
    """Another constant learning rate for every phase."""
    rate = real(key, value)
    phases = tuple(p if p.optimizer is None else replace(p, optimizer=p.optimizer.with_rate(rate))
                   for p in task.phases)
    return replace(task, phases=phases)


def _optimizer(task: Task, key: str, value: Any) -> Task:
    """Another optimizer for every phase that has one."""
    from dlc.optim import Optimizer
    from dlc.optim.reading import from_text

    chosen = value if isinstance(value, Optimizer) else from_text(str(value))
    phases = tuple(p if p.optimizer is None else replace(p, optimizer=chosen) for p in task.phases)
    return replace(task, phases=phases)


def _augment(task: Task, key: str, value: Any) -> Task:
    if not switch(key, value):
        return replace(task, augment=None)
    if task.augment is None:
        raise DlcError(f"{task.name} has no augmentation to switch on", task.loc,
                       "give one: @dlc.task(augment=augment.affine(...))")
    return task


def _precision(task: Task, key: str, value: Any) -> Task:
    return replace(task, precision=checked_precision(value, task.name, None))


def _setting(task: Task, key: str, value: Any) -> Task:
    default = settings(task)[key]
    kinds: dict[type, Callable[[str, Any], Any]] = {bool: switch, float: _signed, int: _integer}
    convert = kinds.get(type(default))
    meant = value if convert is None else convert(key, value)
    return replace(task, settings={**task.settings, key: meant})


def _signed(key: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DlcError(f"{key}={value} is invalid", None, f"{key} is a number") from None


def _integer(key: str, value: Any) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise DlcError(f"{key}={value} is invalid", None, f"{key} is a whole number") from None


# in the order in which they change a task: a rate is that of the optimizer beside it
FIELDS: dict[str, Callable[[Task, str, Any], Task]] = {
    "optimizer": _optimizer, "batch": _batch, "epochs": _epochs, "patience": _patience,
    "lr": _rate, "augment": _augment, "data": _data, "monitor": _monitor, "precision": _precision,
    "buckets": _buckets, "micro_batches": _micro_batches,
}
