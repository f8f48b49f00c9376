"""`dlc plan`: the plan of a step, a table of batch sizes, and the largest that fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import dlc
from dlc.cli import main
from dlc.cli.plan import largest
from dlc.cli.source import load_task
from dlc.errors import DoesNotFit

STACK = '''
import dlc
from dlc import f32, i32, nn, optim

net = nn.chain(*(nn.chain(nn.dense(32), nn.batch_norm(), dlc.tanh) for _ in range(3)), nn.dense(3))


@dlc.task(data="", optimizer=optim.adam(1e-3), batch=64)
def stack(x: f32["batch", 8], y: i32["batch"]) -> dlc.Loss:
    return dlc.loss(nn.cross_entropy(net(x), y))
'''


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "stack.py"
    path.write_text(STACK)
    return str(path)


def test_a_limit_is_planned_by_line(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", file]) == 0
    free = capsys.readouterr().out
    assert "nothing is computed again" in free and "parameter" in free and "stack.py:5" in free
    assert main(["plan", file, "--memory-limit", "1KiB"]) == 2
    refused = capsys.readouterr().err
    assert "stack.py:8: stack does not fit into 1.0 KiB" in refused and "stack.py:5" in refused
    least = refused.partition("can be met is ")[2].partition(" bytes")[0].replace(",", "")
    assert main(["plan", file, "--memory-limit", least]) == 0
    tight = capsys.readouterr().out
    assert "computed again:" in tight and "more time" in tight


def test_batch_sizes_under_a_limit(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", file, "--batch", "32,128", "--memory-limit", "150KiB"]) == 0
    head, small, large, best = capsys.readouterr().out.splitlines()
    assert "memory" in head and small.split()[0] == "32" and "needs" not in small
    assert large.split()[0] == "128" and "needs" in large
    size, task = int(best.rpartition(" ")[2]), load_task(file)
    dlc.compile(task, batch=size, memory_limit="150KiB")
    with pytest.raises(DoesNotFit):
        dlc.compile(task, batch=size + 1, memory_limit="150KiB")


@pytest.mark.parametrize("argument", ["0", "32,", "a", "-1", "32,,64"])
def test_batches_that_are_none(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "lenet", "--batch", argument]) == 2
    assert "whole number" in capsys.readouterr().err


@pytest.mark.parametrize("best", [0, 1, 7, 64, 100, 1023])
@pytest.mark.parametrize("start", [1, 64, 5000])
def test_the_largest_batch(best: int, start: int) -> None:
    """Whatever a batch needs, as long as more samples need no less; few are looked at."""
    for needs in (lambda b: 1000 + 10 * b, lambda b: 1000 + b * b, lambda b: 2000 + b // 8):
        limit, looked = needs(best), 0

        def need(batch: int, needs: Callable[[int], int] = needs, limit: int = limit) -> int | None:
            nonlocal looked
            looked += 1
            return None if batch <= best else max(needs(batch), limit + 1)

        assert largest(need, limit, start) == best
        assert looked <= 40
