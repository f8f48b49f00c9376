"""Short runs see what they are for: a gradient's sign, a second moment, random numbers.

Each of three faults is planted, and every short run that isn't declared blind to it must fail; a
tenth of the runs a day, so that ten consecutive days take all.
"""

from __future__ import annotations

import datetime
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.faults.selection import FOLDER
from tests.faults.test_planted_faults import copy_tree, run_tests
from tests.networks.short import FAULTS, RUNS

TURN = int(os.environ.get("FAULTS_TURN") or datetime.date.today().toordinal())
TEST = "tests/networks/test_short.py::test_a_short_run_gets_where_it_should"


def runs_of(turn: int, fault: str) -> list[str]:
    """The networks that a day trains with a fault; all of them where FAULTS=all."""
    names = list(RUNS) if os.environ.get("FAULTS") == "all" else list(RUNS)[turn % 10::10]
    return [name for name in names if fault not in RUNS[name].blind]


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS)
def test_short_runs_see_a_planted_fault(fault: str, tmp_path: Path) -> None:
    names = runs_of(TURN, fault)
    copy_tree(tmp_path)
    subprocess.run(["git", "apply", str(FOLDER / f"{FAULTS[fault]}.patch")], cwd=tmp_path,
                   check=True)
    run = run_tests(tmp_path, ("-rf", "--maxfail=999", *(f"{TEST}[{n}]" for n in names)),
                    tmp_path / "cache") if names else None
    failed = re.findall(r"^FAILED .*\[(\w+)\]", run.stdout, re.M) if run else []
    assert sorted(failed) == sorted(names), run and run.stdout[-3000:]


def test_ten_days_take_every_short_run() -> None:
    for fault in FAULTS:
        taken = [name for turn in range(40, 50) for name in list(RUNS)[turn % 10::10]]
        assert sorted(taken) == sorted(RUNS)
        assert any(fault not in short.blind for short in RUNS.values())
