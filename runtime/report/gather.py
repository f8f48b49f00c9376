"""Collects the data of a report from a trained, loaded program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlc.runtime.data import Dataset
from dlc.runtime.report.images import find_images, first_filters
from dlc.runtime.report.memory import LaunchTime
from dlc.runtime.report.page import ReportInput
from dlc.runtime.report.predictions import predict
from dlc.runtime.train.alternation import find_phases
from dlc.runtime.train.training import TrainResult

if TYPE_CHECKING:
    from dlc.runtime.cpu.program import CpuProgram


def gather_report(loaded: CpuProgram, result: TrainResult, dataset: Dataset,
                  settings: Mapping[str, Any], graphs: Mapping[str, str],
                  target: str = "") -> ReportInput:
    """Predict the test data, time the launches of the first phase's step, read the filters.

    The persistent values are the same afterwards. `target` names the field that predictions
    should equal ("": label or y).
    """
    entry = find_phases(loaded.program)[0].entry
    arrays = dataset.test or dataset.train
    pictures = find_images(arrays)
    sample = arrays[pictures][0] if pictures else None
    return ReportInput(
        result, dataset, loaded.program, settings, predict(loaded, dataset), graphs,
        launch_times(loaded, entry),
        first_filters(loaded.program.persistent, loaded.read, sample), entry, target)


def launch_times(loaded: CpuProgram, entry: str) -> list[LaunchTime]:
    """Median time of every launch of `entry`, on the batch that the arena holds."""
    kept = {port.name: loaded.read(port.name) for port in loaded.program.persistent}
    try:
        seconds = loaded.profile(entry)
    finally:
        for name, value in kept.items():
            loaded.write(name, value)
    launches = loaded.program.entries[entry].flat
    return [LaunchTime(launch.name, time, launch.lines)
            for launch, time in zip(launches, seconds, strict=True)]
