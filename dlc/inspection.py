"""Seeing inside a training: gradients, curvature and values of layers, after each epoch.

A program of its own computes them from the state that training left, on a few batches of the
training data; the training's program and results are the same with it and without.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.compiler import Compiled, Source, running_on
from dlc.errors import DlcError
from dlc.ir.graph import Graph
from dlc.task.inside import CURVATURE, GRADIENT, NORM, VALUE, inside_graph
from dlc.task.meta import varying_data
from dlc.task.task import Task

if TYPE_CHECKING:
    from dlc.runtime.cpu.program import CpuProgram
    from dlc.runtime.data import Dataset
    from dlc.runtime.data.dataset import Arrays
    from dlc.runtime.train.training import Hook, Moment

Numbers = np.ndarray[Any, Any]
BATCHES = 4
BINS = 32
FILE = "inside.json"


class Inspector:
    """Looks inside after each epoch; `records` is what a report shows (runtime/report/inside.py).

    Only the first and the last record of a phase keep their histograms. With a `folder` they are
    kept there, and a run that resumes goes on with them. Raises DlcError for a stream, and for a
    task in which nothing is trained by a gradient.
    """

    def __init__(self, task: Task, dataset: Dataset, seed: int = 0, folder: Path | None = None,
                 threads: int | None = None) -> None:
        if not dataset.in_memory:
            raise DlcError(f"{dataset.name}: a stream of batches can't be inspected", None,
                           "inspection runs the same batches after each epoch: arrays, or a file")
        self.batch = min(task.batch, dataset.samples)
        graphs = inside_graphs(task, self.batch)
        self.varying = varying_data(graphs)
        source = Source(f"{task.name} inside", graphs, lambda seed: {})
        self.loaded: CpuProgram = running_on(Compiled(source, "cpu").program, "cpu", threads)
        self.dataset, self.seed, self.path = dataset, seed, folder and folder / FILE
        self.records: list[dict[str, Any]] = []

    def hook(self, users: Hook | None = None) -> Hook:
        """A hook for the end of an epoch: looks, then calls the user's."""
        def look(moment: Moment) -> bool | None:
            self.look(moment)
            return None if users is None else users(moment)

        return look

    def look(self, moment: Moment) -> None:
        """Compute everything from the state at the end of an epoch."""
        if not self.records and moment.epoch > 1:
            self.records = records_before(self.path, moment.epoch)
        for port in self.loaded.program.persistent:
            self.loaded.write(port.name, moment.read(port.name))
        for entry in self.loaded.program.entries:
            self.records.append({"epoch": moment.epoch, "phase": entry.partition(".")[2],
                                 **self.measured(entry)})
        self.records = slim(self.records)
        if self.path is not None and self.path.parent.is_dir():
            from dlc.runtime.train.checkpoint import replace_file

            replace_file(self.path, json.dumps(self.records).encode("utf-8"))

    def measured(self, entry: str) -> dict[str, Any]:
        """Means over the batches of g^T g and g^T H g, and histograms of all their values."""
        found: dict[str, list[Numbers]] = {}
        for arrays in self.batches(entry):
            for name, value in self.loaded.call(entry, **arrays).items():
                found.setdefault(name, []).append(np.array(value, np.float64))
        spreads = {prefix: {name.removeprefix(prefix): spread(np.concatenate([
            v.reshape(-1) for v in values])) for name, values in found.items()
            if name.startswith(prefix)} for prefix in (VALUE, GRADIENT)}
        return {"batches": len(found[NORM]), "norm": float(np.mean(found[NORM])) ** 0.5,
                "curvature": float(np.mean(found[CURVATURE])),
                "values": spreads[VALUE], "gradients": spreads[GRADIENT]}

    def batches(self, entry: str) -> list[Arrays]:
        """The first full batches of the first epoch's order: the same after each epoch."""
        from dlc.runtime.data import epoch_order
        from dlc.runtime.data.buckets import BoundRows, sizes_of

        taken = self.loaded.program.entries[entry]
        bound = BoundRows(self.dataset.name, self.dataset.train, taken.inputs, self.varying)
        order = epoch_order(self.seed, 0, self.dataset.samples)
        count = min(BATCHES, self.dataset.samples // self.batch)
        rows = order[:count * self.batch].reshape(count, self.batch)
        return [bound.padded(sizes_of(taken, self.varying), row) for row in rows]

    def close(self) -> None:
        self.loaded.close()


def inside_graphs(task: Task, batch: int) -> dict[str, Graph]:
    """What is computed for each phase that an optimizer trains. Raises DlcError where none is."""
    dims = task.bound_dims(batch)
    graphs = {f"inside.{p.name}" if not p.solo else "inside": inside_graph(task, p, dims)
              for p in task.phases if p.optimizer is not None}
    if not graphs:
        raise DlcError(f"{task.name} has no gradient to inspect", task.loc,
                       "a phase with an optimizer")
    return graphs


def spread(values: Numbers) -> dict[str, Any]:
    """A histogram of what is not 0, between four deviations at most, the share of 0, and the
    standard deviation of all."""
    finite = values[np.isfinite(values)]
    rest = finite[finite != 0]
    deviation = float(finite.std()) if len(finite) else 0.0
    counts, edges = np.zeros(BINS, int), np.linspace(-1, 1, BINS + 1)
    if len(rest):
        far = 4 * float(rest.std())
        low, high = (float(v) for v in (rest.min(), rest.max()))
        if far > 0:
            middle = float(rest.mean())
            low, high = max(low, middle - far), min(high, middle + far)
        counts, edges = np.histogram(rest, BINS, (low, high) if high > low else None)
    zeros = 1 - len(rest) / len(finite) if len(finite) else 0.0
    return {"edges": edges.tolist(), "counts": counts.tolist(), "zeros": zeros, "std": deviation}


def slim(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`records`, the first and the last of each phase with their histograms, the others without."""
    kept: set[int] = set()
    for phase in {r["phase"] for r in records}:
        of_phase = [k for k, r in enumerate(records) if r["phase"] == phase]
        kept |= {of_phase[0], of_phase[-1]}
    return [r if k in kept else {**r, "values": {}, "gradients": {}}
            for k, r in enumerate(records)]


def records_before(path: Path | None, epoch: int) -> list[dict[str, Any]]:
    """The records of earlier epochs that a run left in its folder; none of a damaged file."""
    if path is None or not path.is_file():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return []
    return [r for r in found if valid(r) and r["epoch"] < epoch] if isinstance(found, list) else []


def valid(record: Any) -> bool:
    """Whether `record` is one of this module's."""
    keys = {"epoch", "phase", "batches", "norm", "curvature", "values", "gradients"}
    return isinstance(record, Mapping) and set(record) == keys
