"""Loops, branches, phases, noise, and state that epochs begin anew: as `dlc train` runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.library import build_library
from dlc.runtime.train.checkpoint import read_checkpoint
from tests.instruction_sets import NATIVE, generated_for
from tests.library import made, networks

pytestmark = pytest.mark.library


def train(folder: Path, name: str, batch: int, epochs: int, last: Path, isa: str = "") -> Any:
    """Train in the library as the example does; its metrics of the last step."""
    module = made.imported(folder / f"{name}.py")
    with module.Network(folder / "initial.safetensors", threads=2, isa=isa or None) as net:
        data = {key: np.fromfile(folder / f"{key}.rows", module.DTYPES[kind.dtype]).reshape(
            -1, *kind.shape) for key, kind in net.inputs.items()}
        count = len(next(iter(data.values())))
        for epoch in range(epochs):
            order = net.order(epoch, count)
            for start in range(0, count, batch):
                rows = order[start:start + batch]
                found = net.step(**{key: value[rows] for key, value in data.items()})
            net.end_epoch()
        net.save(last)
    return found


def compared(task: dlc.Task, name: str, tmp_path: Path) -> tuple[Any, Any]:
    """(metrics of the last step, the checkpoint): the library's, which is Python's."""
    folder, last = tmp_path / "built", tmp_path / "last.safetensors"
    build_library(task, folder, predict=False, seed=5, data=True)
    metrics = train(folder, name, task.batch, task.epochs, last)
    task.train(folder=tmp_path / "run", seed=5)
    assert made.tensors_of(last) == made.tensors_of(tmp_path / "run" / "last.safetensors")
    return metrics, read_checkpoint(last)


@pytest.mark.parametrize("isa", NATIVE)
def test_every_instruction_set_of_this_machine(isa: str, dense: Path, data: str,
                                               tmp_path: Path) -> None:
    """One file has the kernels for all; each gives the bits of training on that set."""
    train(dense, "dense", 8, 2, tmp_path / "last.safetensors", isa)
    with generated_for(isa):
        networks.tiny(data).train(folder=tmp_path / "run")
    assert made.tensors_of(tmp_path / "last.safetensors") == made.tensors_of(
        tmp_path / "run" / "last.safetensors")


def test_a_loop_whose_state_epochs_begin_anew(tmp_path: Path) -> None:
    """The state at the end is that of the last epoch alone: lanes are taken in their order."""
    _, checkpoint = compared(networks.carried(tmp_path), "lanes", tmp_path)
    assert checkpoint.position.epoch == 2 and checkpoint.position.step > 4


def test_phases_that_alternate_and_end(data: str, tmp_path: Path) -> None:
    """In the last step, of the third epoch, the judge rests and the maker runs or not."""
    metrics, checkpoint = compared(networks.phased(data), "phased", tmp_path)
    runs = (checkpoint.position.step - 1) % 2 == 0
    assert set(metrics) == ({"make.loss"} if runs else set())
