"""`dlc bench`: measure the machine, then every model on every system; a table and a JSON report."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from dlc.runtime.bench import machine
from dlc.runtime.bench.measure import (
    Measured,
    Plan,
    Row,
    check_same_loss,
    check_same_network,
    measure_model,
    ratio,
    rows,
)
from dlc.runtime.bench.systems import (
    BATCH,
    FEATURE,
    HELD,
    TRAINING,
    BenchError,
    System,
    Work,
    all_systems,
    select,
)
from dlc.runtime.train.checkpoint import replace_file

DTYPES = ("f32",)
COLUMNS = ("model", "system", "batch", "step_ms", "cold_s", "warm_s", "rss_mib", "gflops",
           "percent_of_floor", "loss")


def bench(
    names: Sequence[str] = (),
    against: Sequence[str] = ("torch", "jax"),
    plan: Plan | None = None,
    systems: Sequence[System] | None = None,
    works: Sequence[Work] = (TRAINING,),
) -> dict[str, Any]:
    """Measure `names` (default: the models that all peers have) at `works`, all of training or all
    of predicting, and print the table.

    Returns {"machine", "rows", "ratios", "geometric_mean", "missing"}. A plan of 0 threads takes
    all cores this process may use. Raises BenchError for an unknown peer, a dtype that is not
    measured, an instruction set that is not known or not here, a thread count above the cores,
    networks, losses or predictions that differ between systems, or a failure of dlc itself.
    """
    plan = plan or Plan(0)
    available = machine.cores()
    plan = replace(plan, threads=plan.threads or available)
    check_arguments(plan, available)
    chosen, missing = select(against, all_systems() if systems is None else systems,
                             works[0].predict)
    errors = Console(stderr=True, highlight=False, markup=False)
    plan = replace(plan, say=errors.print)
    for system, why in missing.items():
        errors.print(f"{system} is left out: {why}")
    report: dict[str, Any] = {
        "machine": machine.describe(plan.threads, plan.isa), "rows": [], "ratios": {},
        "geometric_mean": None, "missing": missing,
    }
    measured = {}
    for model in names or tasks(works):
        for work in works:
            one = replace(plan, work=work)
            measured[model, work] = bench_model(model, chosen, one, report)
            machine.measure_again(report["machine"])
    for (model, work), by_system in measured.items():
        add_rows(model, by_system, replace(plan, work=work), report)
    if report["ratios"]:
        mean = statistics.geometric_mean(report["ratios"].values())
        report["geometric_mean"] = round(mean, 3)
    print_report(report)
    return report


def tasks(works: Sequence[Work]) -> list[str]:
    """The models that all peers have; the autoencoder predicts nothing."""
    return [model for model in BATCH if model != "vae" or not works[0].predict]


def check_arguments(plan: Plan, available: int) -> None:
    """Raise BenchError for a dtype, an instruction set or a thread count that can't be measured."""
    if plan.dtype not in DTYPES:
        raise BenchError(f"--dtype {plan.dtype}: the benchmark measures {', '.join(DTYPES)}")
    if plan.isa not in HELD:
        raise BenchError(f"--isa {plan.isa}: systems are held to {' or '.join(FEATURE)}")
    if plan.isa and not machine.has(FEATURE[plan.isa]):
        raise BenchError(f"--isa {plan.isa}: this machine does not have it")
    if not 0 < plan.threads <= available:
        raise BenchError(f"--threads {plan.threads}: this process may use {available} cores")


def bench_model(
    model: str, systems: Sequence[System], plan: Plan, report: dict[str, Any]
) -> dict[str, Measured]:
    """Measure one model; what failed goes into `report`."""
    able = [s for s in systems if s.family == "dlc" or model in BATCH]
    measured, failed = measure_model(model, able, plan)
    check_same_network(model, measured)
    check_same_loss(model, measured,
                    "mean size of what is predicted" if plan.work.predict else "loss")
    title = plan.work.title(model)
    report["missing"].update({f"{name} ({title})": why for name, why in failed.items()})
    return measured


def add_rows(
    model: str, measured: dict[str, Measured], plan: Plan, report: dict[str, Any]
) -> None:
    """Put the rows and the ratio of one model into `report`."""
    model_rows: list[Row] = rows(model, measured, plan, report["machine"])
    report["rows"] += model_rows
    if (value := ratio(model_rows)) is not None:
        report["ratios"][plan.work.title(model)] = value


def print_report(report: dict[str, Any]) -> None:
    """The machine, a table of all rows, the ratios, and what was left out."""
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 120)
    console.print(machine.line(report["machine"]))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True)
    for column in COLUMNS:
        words = column in ("model", "system")
        shown = "% of floor" if column == "percent_of_floor" else column
        table.add_column(shown, justify="left" if words else "right", no_wrap=words)
    for row in report["rows"]:
        table.add_row(*("-" if row[column] is None else str(row[column]) for column in COLUMNS))
    console.print(table)
    for model, value in report["ratios"].items():
        console.print(f"{model}: best peer / dlc = {value}")
    if len(report["ratios"]) > 1:
        console.print(f"geometric mean of {len(report['ratios'])}: {report['geometric_mean']}")
    for name, why in report["missing"].items():
        console.print(f"left out: {name}: {why}")


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write `report` to `path`, whole or not at all."""
    replace_file(path, f"{json.dumps(report, indent=2)}\n".encode())
