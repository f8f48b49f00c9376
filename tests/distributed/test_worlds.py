"""Training on several processes of this machine: the same bytes as one, and how a world ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.runtime.data import epoch_order, load_dataset
from dlc.runtime.train.checkpoint import read_checkpoint
from tests.distributed.worlds import (
    DLC,
    HERE,
    NARROW,
    finished,
    process_of,
    same,
    started,
    trained,
)

pytestmark = pytest.mark.mpi


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(checkpoint, folder) of two epochs in one process."""
    folder = tmp_path_factory.mktemp("alone")
    return trained(1, folder), folder


def test_four_processes_and_two_that_go_on_make_the_bytes_of_one(alone: Any,
                                                                 tmp_path: Path) -> None:
    first = trained(4, tmp_path, "--epochs", "1")
    assert first.position.epoch == 1 and (tmp_path / "report.html").is_file()
    same(trained(2, tmp_path, "--resume"), alone[0])


def test_lenet_on_two_and_four_processes(tmp_path: Path) -> None:
    digits = load_dataset("digits").train
    file = tmp_path / "some.npz"
    np.savez(file, **{name: array[:320] for name, array in digits.items()})
    options = ["--epochs", "1", "--batch", "64", "--set", "micro_batches=4", "--set",
               f"data={file}"]
    found = [trained(n, tmp_path / str(n), *options, file="lenet") for n in (1, 2, 4)]
    same(found[1], found[0])
    same(found[2], found[0])


def test_sums_and_messages_of_four_processes() -> None:
    status, out, err = finished(started(4, sys.executable, "-m", "tests.distributed.collectives"))
    assert (status, out.strip()) == (0, "collectives hold"), err


# --- how a world ends -----------------------------------------------------------------------------


def running(folder: Path, *options: str, **env: str) -> subprocess.Popen[str]:
    """A training on two processes that goes on from the checkpoint in `folder`, and on and on."""
    world = started(2, *DLC, NARROW, "--out", str(folder), "--resume", "--epochs", "100000",
                    *options, **env)
    assert world.stdout is not None
    for line in world.stdout:
        if line.startswith("epoch "):
            return world
    raise AssertionError(finished(world))


def goes_on(folder: Path, alone: Any) -> None:
    """The checkpoint is complete, and further than the one of the first training."""
    assert read_checkpoint(folder / "last.safetensors").position.step >= alone[0].position.step


def test_a_rank_that_is_killed_ends_all_with_its_name(alone: Any) -> None:
    world = running(alone[1])
    os.kill(process_of(world, 1), signal.SIGKILL)
    status, _, err = finished(world)
    assert status != 0
    assert err.count("dlc: ") == 1 and "dlc: rank 1 of 2 was ended by SIGKILL" in err, err
    goes_on(alone[1], alone)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_hangs_ends_all_with_its_name(alone: Any, rank: int) -> None:
    world = running(alone[1], DLC_WORLD_SECONDS="2")
    os.kill(process_of(world, rank), signal.SIGSTOP)
    status, _, err = finished(world)
    assert status != 0
    assert err.count("dlc: ") == 1, err
    assert f"dlc: rank {rank} of 2 has not answered for 2 s" in err
    goes_on(alone[1], alone)


def test_a_signal_stops_all_after_one_step(alone: Any) -> None:
    """mpiexec passes it on to each; who was not asked stops after the same step."""
    world = running(alone[1])
    os.kill(process_of(world, 1), signal.SIGTERM)
    status, out, err = finished(world)
    assert status == 128 + signal.SIGTERM, err
    assert out.count("stopped at step") == 1
    goes_on(alone[1], alone)


def test_a_loss_that_is_not_finite_names_the_rank(tmp_path: Path) -> None:
    """In the last micro-batch of the third step: both processes end, one tells."""
    x, file = np.ones((40, 2), np.float32), tmp_path / "rows.npz"
    x[:, 1] = np.arange(40)
    np.savez(file, x=x)
    rows = load_dataset(str(file)).train["x"]
    x[int(rows[epoch_order(0, 0, len(rows))[2 * 8 + 7], 1]), 0] = 0
    np.savez(file, x=x)
    status, _, err = finished(started(2, *DLC, str(HERE / "spoilt.py"), "--out", str(tmp_path),
                                      "--set", f"data={file}"))
    assert status != 0
    assert err.count("dlc: ") == 1, err
    assert "batch 3, micro-batch 4 of 4 on rank 1): " in err and "log gives " in err
    assert read_checkpoint(tmp_path / "last.safetensors").position.step == 2


def test_an_error_in_one_rank_ends_all_with_its_name(tmp_path: Path) -> None:
    status, _, err = finished(started(2, *DLC, str(HERE / "broken.py"), "--out", str(tmp_path)))
    assert status != 0
    assert err.count("dlc: ") == 1 and "dlc: rank 1 of 2: " in err, err
    assert "this rank has no data" in err


def test_other_data_of_the_same_shape_are_refused(tmp_path: Path) -> None:
    files = [tmp_path / "a" / "rows.npz", tmp_path / "b" / "rows.npz"]
    for file in files:
        file.parent.mkdir()
        rows = np.ones((40, 2), np.float32)
        rows[7, 1] = file is files[1]
        np.savez(file, x=rows)
    command = [*DLC, str(HERE / "spoilt.py"), "--out", str(tmp_path), "--set"]
    mine, theirs = ([*command, f"data={file}"] for file in files)
    status, _, err = finished(started(1, *mine, ":", "-n", "1", *theirs))
    assert status != 0 and err.count("dlc: ") == 1, err
    assert "dlc: rank 1 of 2 has another data than rank 0: " in err


def test_another_seed_and_instruction_set_are_refused(tmp_path: Path) -> None:
    """The first that differs is told, in the order of what decides most."""
    np.savez(tmp_path / "rows.npz", x=np.ones((40, 2), np.float32))
    command = [*DLC, str(HERE / "spoilt.py"), "--out", str(tmp_path), "--set",
               f"data={tmp_path / 'rows.npz'}"]
    status, _, err = finished(started(1, "-env", "DLC_CPU", "scalar", *command, ":", "-n", "1",
                                      "-env", "DLC_CPU", "avx2", *command, "--seed", "7"))
    assert status != 0 and err.count("dlc: ") == 1, err
    assert "rank 1 of 2 has another instruction set than rank 0: avx2, not scalar" in err


def test_a_limit_that_is_no_number_is_told_once(tmp_path: Path) -> None:
    status, _, err = finished(started(2, *DLC, NARROW, "--out", str(tmp_path),
                                      DLC_WORLD_SECONDS="x"))
    assert status and err.count("dlc: DLC_WORLD_SECONDS='x' is invalid") == 1, err


def test_three_processes_are_refused(tmp_path: Path) -> None:
    status, _, err = finished(started(3, *DLC, NARROW, "--out", str(tmp_path)))
    assert status != 0
    assert err.count("dlc: ") == 1 and "dlc: 3 processes are no power of 2" in err, err
