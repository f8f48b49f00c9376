"""`dlc bench-worker`: the networks that the peers have too, trained as theirs are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dlc.cli.bench import measured_task
from tests.cli.command import variables


@pytest.mark.swept(2)
@pytest.mark.slow
@pytest.mark.parametrize(("model", "parameters"), [("lenet", 61_706), ("mlp", 669_706)])
def test_worker_runs_the_peers_network(model: str, parameters: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dlc", "bench-worker", model, "--threads", "1",
               "--batch", "128"]
    done = subprocess.run(command, cwd=tmp_path, input="steps 3\nsteps 30\n", text=True,
                          capture_output=True, check=True, env=variables({}), timeout=120)
    first, few, many = map(json.loads, done.stdout.splitlines())
    assert (first["parameters"], first["batch"]) == (parameters, 128)
    assert len(first["launches"]) > 5 and first["launches"][0][1] > 0
    assert few["loss"] > many["loss"] and many["seconds"] > 0


def test_shared_models_train_with_constant_adam_and_without_augmentation() -> None:
    task = measured_task("lenet", 128)
    assert task.augment is None and task.batch == 128
    meta = task.meta(task.graphs())
    assert (meta["optimizer"], meta["learning_rate"]) == ("adam", "0.001")


def test_other_models_are_measured_as_they_are_written() -> None:
    assert measured_task("xor", 0).batch == 4
