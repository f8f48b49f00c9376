"""One model on all systems: starts, interleaved rounds of steps, medians, the report's rows."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlc.runtime.bench import start
from dlc.runtime.bench.client import Worker, running
from dlc.runtime.bench.systems import TRAINING, BenchError, System, Work

Row = dict[str, Any]
ALIKE = 5  # steps from the same weights on the same batch after which losses are compared


@dataclass(frozen=True)
class Plan:
    """What is measured, and how often. `turn` is the seconds the slowest system takes for its turn.
    """

    threads: int
    dtype: str = "f32"
    isa: str = ""  # "": the widest each system finds
    starts: int = 3
    rounds: int = 21
    turn: float = 0.25
    work: Work = TRAINING
    say: Callable[[str], None] = field(default=lambda text: None)
    # writes the model with its first weights, for so many rows, to a file
    export: Callable[[str, int, Path], None] = field(default=lambda model, batch, path: None)


@dataclass
class Measured:
    """Everything read from one system's processes for one model. `losses` are those of the first
    step and of step ALIKE."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    first: dict[str, Any] = field(default_factory=dict)
    rss_mib: float = 0.0


def measure_model(
    model: str, systems: Sequence[System], plan: Plan
) -> tuple[dict[str, Measured], dict[str, str]]:
    """What was measured of every system that ran `model`, and why the other peers failed.

    Raises BenchError at once when dlc itself fails.
    """
    measured = {system.name: Measured() for system in systems}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="dlc-bench-") as folder:
        caches = {system.name: Path(folder) / f"{system.name}-0" for system in systems}
        for start in range(plan.starts):
            for system in [s for s in systems if s.name not in failed]:
                plan.say(f"{model}: {system.name} starts, {start + 1} of {plan.starts}")
                caches[system.name] = Path(folder) / f"{system.name}-{start}"
                try:
                    measure_start(system, model, plan, caches[system.name], measured[system.name])
                except BenchError as error:
                    if system.family == "dlc":
                        raise BenchError(f"{model}: {error}") from error
                    failed[system.name] = str(error)
        ready = [system for system in systems if system.name not in failed]
        plan.say(f"{model}: {plan.rounds} rounds of {', '.join(s.name for s in ready)}")
        measure_steps(ready, model, plan, caches, measured)
    return {name: m for name, m in measured.items() if name not in failed}, failed


def measure_start(
    system: System, model: str, plan: Plan, cache: Path, measured: Measured
) -> None:
    """One cold start into the empty folder `cache`, then one warm start from it."""
    cache.mkdir(mode=0o700)
    if system.model_file:
        plan.export(model, plan.work.size(model), cache / system.model_file)
    for seconds in (measured.cold, measured.warm):
        with running(system, model, plan.threads, cache, plan.isa, plan.work) as worker:
            seconds.append(worker.start_seconds)
            measured.first = worker.first


def measure_steps(
    systems: Sequence[System],
    model: str,
    plan: Plan,
    caches: dict[str, Path],
    measured: dict[str, Measured],
) -> None:
    """Rounds in which every system runs the same number of steps, another one first each time.

    Systems that don't have their turn are stopped, so that no thread of theirs spins meanwhile.
    """
    with ExitStack() as stack:
        workers: list[Worker] = []
        for system in systems:
            enter = running(system, model, plan.threads, caches[system.name], plan.isa, plan.work)
            workers.append(stack.enter_context(enter))
            later = workers[-1].steps(ALIKE - 1)
            measured[system.name].losses = [workers[-1].first["loss"], later["loss"]]
        count = steps_a_turn(workers, plan.turn)
        for round_ in range(plan.rounds):
            for turn in range(len(workers)):
                worker = workers[(turn + round_) % len(workers)]
                worker.steps(max(1, count // 10))  # its caches and its clock come back
                answer = worker.steps(count)
                measured[worker.system.name].step.append(answer["seconds"] / count)
                measured[worker.system.name].rss_mib = answer["rss_mib"]


def steps_a_turn(workers: Sequence[Worker], turn: float) -> int:
    """Steps that take the slowest worker about `turn` seconds, at least 2."""
    count = 1
    while True:
        slowest = max(float(worker.steps(count)["seconds"]) for worker in workers)
        if slowest > turn / 4:
            return max(2, round(count * turn / slowest))
        count *= 4


def check_same_network(model: str, measured: dict[str, Measured]) -> None:
    """Raise BenchError unless all systems have as many parameters and the same batch."""
    seen = {name: (m.first["parameters"], m.first["batch"]) for name, m in measured.items()}
    if len(set(seen.values())) > 1:
        parts = [f"{name} {p:,} parameters, batch {b}" for name, (p, b) in seen.items()]
        raise BenchError(f"{model} is not the same network everywhere: {'; '.join(parts)}")


def check_same_loss(model: str, measured: dict[str, Measured], what: str = "loss") -> None:
    """Raise BenchError where a peer's loss, or mean size of what it predicts, is another than
    dlc's: that of the first step within what rounding may do (`start.rounding`), that of step ALIKE
    within as much for each step."""
    if model not in start.PARTS or "dlc" not in measured:
        return
    allowed = start.rounding(model) * abs(measured["dlc"].losses[0])
    for name, m in measured.items():
        for steps, ours, other in zip((1, ALIKE), measured["dlc"].losses, m.losses, strict=True):
            if not abs(ours - other) <= steps * allowed:
                raise BenchError(f"{model}: the {what} of step {steps} is {ours:.6g} in dlc and "
                                 f"{other:.6g} in {name}, from the same weights")


def floor_seconds(launches: Sequence[Sequence[int]], machine: dict[str, Any]) -> float:
    """Least time of a step: a launch takes its arithmetic or its memory traffic, the larger."""
    flop_rate = machine["peak_gflops"] * 1e9
    byte_rate = machine["bandwidth_gbs"] * 1e9
    times = [max(flops / flop_rate, bytes_ / byte_rate) for flops, bytes_ in launches]
    return float(sum(times))


def rows(
    model: str, measured: dict[str, Measured], plan: Plan, machine: dict[str, Any]
) -> list[Row]:
    """One row a system. Flops and floor are those of dlc's launches, for peers too."""
    launches = measured["dlc"].first["launches"] if "dlc" in measured else []
    flops = sum(launch[0] for launch in launches)
    floor = floor_seconds(launches, machine)
    result = []
    for name, m in measured.items():
        step = statistics.median(m.step)
        result.append({
            "model": model,
            "system": name,
            "work": "predict" if plan.work.predict else "train",
            "dtype": plan.dtype,
            "isa": plan.isa,
            "threads": plan.threads,
            "batch": m.first["batch"],
            "step_ms": round(step * 1e3, 5),
            "cold_s": round(statistics.median(m.cold), 3),
            "warm_s": round(statistics.median(m.warm), 3),
            "rss_mib": round(m.rss_mib, 1),
            "loss_first": float(f"{m.losses[0]:.7g}"),
            "loss": float(f"{m.losses[-1]:.7g}"),
            "gflops": round(flops / step / 1e9, 2) if flops else None,
            "percent_of_floor": round(100 * floor / step, 1) if floor else None,
        })
    return result


def ratio(model_rows: Sequence[Row]) -> float | None:
    """The best peer's step time over ours; None without ours or without a peer."""
    ours = [row["step_ms"] for row in model_rows if row["system"] == "dlc"]
    peers = [row["step_ms"] for row in model_rows if row["system"] != "dlc"]
    with suppress(ValueError, IndexError):
        return round(float(min(peers) / ours[0]), 3)
    return None
