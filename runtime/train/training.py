"""Arguments and results of a training run: settings, callbacks, result, fault."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dlc.errors import DlcError
from dlc.program import Program
from dlc.runtime.data.dataset import Arrays
from dlc.runtime.train.alternation import TrainPhase, base_entry, tail_entry
from dlc.runtime.train.plateau import PlateauRule

NOT_FINITE = -2  # the code of a fault that a trap found; no program gives it
# A metric whose name holds one of these is the better the higher it is; all others the lower.
RISING = ("accuracy", "precision", "recall", "f1", "auc", "r2", "score", "reward", "iou", "bleu")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run.

    `seed` orders the samples and fills inputs of role "seed"; `task` says what is trained on what
    data, a line each, against which a resume is checked; `learning_rate` is the schedule's name.
    `monitor` is the metric that decides on the best checkpoint and early stopping, of the test data
    where there is any; `higher_is_better` None asks its name. `patience` epochs without a better
    one end the run (None: never); `plateau` says when the metric stands still. A checkpoint is
    written at the end of an epoch or, in long epochs, within it, once `save_seconds` have passed
    since the last, and at every multiple of `save_steps` steps (None: by time alone).
    With `trap` a parameter or state that stops being finite ends the run, at the step that made it
    so (trap.py).
    `fixed` gives values to inputs that are not data. `checks[entry][k - 1]` has "text" and "loc"
    of what fault k of an entry means. `resume_hint` is the command that a note about an
    interrupted run names. `network` gives what checkpoints hold beside the weights, so that they
    can be asked (dlc.load); it is called once, for the first checkpoint. `each_epoch` are
    persistent values that every epoch begins with. A batch of `micro_batches` has as many parts of
    equal size, one native run each (micro.py).
    """

    model: str
    epochs: int
    batch: int
    seed: int = 0
    target: str = "cpu"
    task: str = ""
    learning_rate: str = ""
    phases: tuple[TrainPhase, ...] = ()
    monitor: str = "loss"
    higher_is_better: bool | None = None
    patience: int | None = None
    plateau: PlateauRule | None = None
    resume: bool = False
    save_seconds: float = 5.0
    save_steps: int | None = None
    trap: bool = False
    fixed: Mapping[str, Any] = field(default_factory=dict)
    checks: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    compile_s: float = 0.0
    resume_hint: str = "--resume"
    network: Callable[[], Mapping[str, Any]] = dict
    each_epoch: Mapping[str, Any] = field(default_factory=dict)
    micro_batches: int = 1

    def __post_init__(self) -> None:
        for name, low in (("epochs", 0), ("batch", 1), ("seed", 0), ("patience", 1),
                          ("save_steps", 1)):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < low):
                raise DlcError(f"{name}={value!r} is invalid", None, f"an integer, {low} or larger")
        if not self.save_seconds >= 0:
            raise DlcError(f"save_seconds={self.save_seconds!r} is invalid", None, "0 or more")


    @property
    def rises(self) -> bool:
        """Whether the monitored metric is the better the higher it is."""
        if self.higher_is_better is not None:
            return self.higher_is_better
        return any(word in self.monitor for word in RISING)

    def is_better(self, value: float, than: float | None) -> bool:
        """Whether the monitored metric has improved."""
        if than is None or math.isnan(than):
            return True
        return value > than if self.rises else value < than

    def meaning(self, fault: Fault) -> str:
        """What a fault word says: a run-time check of the program, or a loss that is not finite."""
        checks = self.checks.get(base_entry(fault.entry), ())
        if 1 <= fault.code <= len(checks):
            check = checks[fault.code - 1]
            return f"{check['text']}  {check['loc']}".rstrip()
        return {-1: "the loss is not finite", NOT_FINITE: "what it trains is not finite"}.get(
            fault.code, f"fault {fault.code}")


class Progress(Protocol):
    """Who shows a run. Every method returns at once."""

    def start(self, config: TrainConfig, samples: int, steps: int | None, epoch: int) -> None:
        """Training begins in `epoch` (0 is the first), with `steps` an epoch where known."""

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        """`done` batches of the epoch are complete; `metrics` are its means so far."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """An epoch is complete; `record` is its line of the history."""

    def note(self, text: str) -> None:
        """Something that the user should read: a warning, where a run resumed."""

    def close(self) -> None:
        """Nothing more comes; leave the terminal as it was."""


@dataclass(frozen=True)
class Fault:
    """A step whose loss was not finite or whose index was out of range; its update was not kept.

    `step` is the step's number from 0, `inputs` the batch it took, `code` the fault word.
    """

    step: int
    epoch: int
    entry: str
    code: int
    inputs: Arrays


class TrainingFault(DlcError, ArithmeticError):
    """Training stopped at a fault; the message says where, `fault` holds the step."""

    def __init__(self, message: str, fault: Fault) -> None:
        super().__init__(message)
        self.fault = fault


@dataclass(frozen=True)
class Moment:
    """What a hook is given: how many steps and epochs are done, and what they came to.

    `metrics` are those of the step, or the means over the epoch's training data; `test` those of
    the test data after an epoch (None: there are none, or it is a step). `read(name)` gives a
    parameter or state as an array, `write(name, array)` changes it.
    """

    step: int
    epoch: int
    metrics: Mapping[str, float]
    test: Mapping[str, float] | None
    read: Callable[[str], np.ndarray[Any, Any]]
    write: Callable[[str, Any], None]


Hook = Callable[[Moment], bool | None]


@dataclass(frozen=True)
class Callbacks:
    """What a run calls: its display, who can name the operator and line behind a fault, and hooks.

    A hook that returns True ends the training. With `on_step` steps run one by one, not an epoch
    in one native call.
    """

    progress: Progress | None = None
    explain_fault: Callable[[Fault], str] | None = None
    on_step: Hook | None = None
    on_epoch: Hook | None = None
    leave: Callable[[int], None] | None = None  # what a second Ctrl-C calls, with the signal


@dataclass
class TrainResult:
    """What a run came to. `metrics` are the last epoch's on the test data (else on the training
    data), without the loss; `history` has one record an epoch; `interrupted` is the number of the
    signal that stopped it, 0 for none; `checkpoint` the file that holds the final state; `in_f64`
    the metrics that the program computes in f64 (all others in f32)."""

    model: str
    target: str
    epochs: int
    steps: int
    train_loss: float | None
    test_loss: float | None
    metrics: dict[str, float]
    step_ms: float | None
    compile_s: float
    peak_bytes: int
    parameters: int
    checkpoint: Path | None
    best_checkpoint: Path | None = None
    best_epoch: int = 0
    train_s: float = 0.0
    stopped_early: bool = False
    interrupted: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    in_f64: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """The object that `dlc train --json` prints; a number that is not finite becomes null.

        A metric has the fewest digits that name its value in the dtype that it was computed in,
        times have six decimals.
        """
        metrics = {name: self.shown(name, value) for name, value in self.metrics.items()}
        record: dict[str, Any] = {
            "model": self.model, "target": self.target, "epochs": self.epochs, "steps": self.steps,
            "train_loss": self.shown("loss", self.train_loss),
            "test_loss": self.shown("loss", self.test_loss), "metrics": metrics,
            "step_ms": None if self.step_ms is None else round(self.step_ms, 6),
            "compile_s": round(self.compile_s, 6), "train_s": round(self.train_s, 6),
            "peak_bytes": self.peak_bytes, "parameters": self.parameters,
            "checkpoint": str(self.checkpoint) if self.checkpoint else None,
        }
        return {key: finite(value) for key, value in record.items()}

    def shown(self, name: str, value: float | None) -> float | None:
        """A metric as it reads back in its own dtype: 0.99444443, not 0.9944444298744202."""
        if value is None or name.rpartition(".")[2] in self.in_f64:
            return value
        return shortest(value)


def shortest(value: float) -> float:
    """The f32 nearest to `value`, as the fewest digits that name it."""
    return float(str(np.float32(value)))


def config_from_meta(meta: Mapping[str, Any], program: Program, **changes: Any) -> TrainConfig:
    """The settings that a task's meta data give (TaskMeta in dlc/task/meta.py), and `changes`."""
    phases = []
    for phase in meta["phases"]:
        name, tail = str(phase["entry"]).partition(".")[2], tail_entry(phase["entry"])
        phases.append(TrainPhase(phase["entry"], tail if tail in program.entries else "", name,
                                 phase["every"], 0, phase["start"], phase["stop"]))
    given: dict[str, Any] = {
        "model": meta["name"], "epochs": meta["epochs"], "batch": meta["batch"],
        "patience": meta["patience"], "monitor": meta["monitor"], "phases": tuple(phases),
        "checks": meta["checks"], "target": program.target,
        "learning_rate": meta.get("learning_rate", ""),
        "micro_batches": meta.get("micro_batches", 1)}
    if meta.get("plateau"):
        given["plateau"] = PlateauRule(**meta["plateau"])
    return TrainConfig(**{**given, **changes})


def finite(value: Any) -> Any:
    """`value` with every number that JSON cannot hold replaced by None."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
