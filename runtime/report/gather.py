"""Collects the data of a report from a trained, loaded program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlc.runtime.data import Dataset
from dlc.runtime.report.answers import ask
from dlc.runtime.report.images import find_images, first_filters
from dlc.runtime.report.memory import LaunchTime
from dlc.runtime.report.page import ReportInput
from dlc.runtime.train.alternation import find_phases
from dlc.runtime.train.training import TrainResult

if TYPE_CHECKING:
    from dlc.runtime.cpu.program import CpuProgram


def gather_report(loaded: CpuProgram, result: TrainResult, dataset: Dataset,
                  settings: Mapping[str, Any], graphs: Mapping[str, str],
                  about: Mapping[str, object],
                  inside: Sequence[Mapping[str, Any]] = ()) -> ReportInput:
    """Predict the test data, time the launches of the first phase's step, read the filters.

    The persistent values are the same afterwards. The program's meta says what the task's subject
    is (dlc/task/subject.py); `about`, when and how the run was made.
    """
    entry = find_phases(loaded.program)[0].entry
    subject: Any = loaded.program.meta.get("subject", {})
    answers = ask(loaded, dataset, subject)
    arrays = dataset.test or dataset.train
    pictures = find_images(arrays)
    sample = arrays[pictures][0] if pictures else None
    return ReportInput(
        result, dataset, loaded.program, settings, answers, graphs, launch_times(loaded, entry),
        first_filters(loaded.program.persistent, loaded.read, sample), entry, about, inside)


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
