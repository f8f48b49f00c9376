"""The display of a run: plain lines, and a live table that fits 80 columns."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from dlc.runtime.train.progress import (
    CompileLine,
    LiveProgress,
    PlainProgress,
    make_progress,
    show_number,
    show_rate,
    show_time,
)
from dlc.runtime.train.training import TrainConfig

CONFIG = TrainConfig("lenet", epochs=60, batch=128, seed=3, monitor="accuracy",
                     higher_is_better=True)


def record(epoch: int, accuracy: float = 0.5) -> dict[str, Any]:
    return {"epoch": epoch, "step": 12 * epoch, "samples": 1437, "step_ms": 1.0,
            "train": {"loss": 2.25 / epoch, "accuracy": accuracy, "lr": 1.25e-3},
            "test": {"loss": 2.5 / epoch, "accuracy": accuracy / 2}}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_is_one_line_an_epoch() -> None:
    stream = io.StringIO()
    progress = make_progress(stream)
    assert isinstance(progress, PlainProgress)
    progress.start(CONFIG, 1437, 12, 0)
    progress.note("resumed at step 3")
    for epoch in (1, 2):
        for done in range(12):
            progress.advance(done, {"loss": 1.0})
        progress.epoch(record(epoch))
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3 and lines[0] == "resumed at step 3"
    assert lines[1].startswith("epoch 1/60  step 12  loss 2.2500  accuracy 0.5000  lr 1.25e-03  "
                               "test loss 2.5000  test accuracy 0.2500  ")
    assert "samples/s" in lines[1] and "eta" in lines[1]
    assert "\x1b" not in stream.getvalue()


def test_plain_without_test_data_and_at_the_end() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start(TrainConfig("m", epochs=1, batch=4), 4, 1, 0)
    progress.epoch({**record(1), "test": None})
    assert "test" not in stream.getvalue() and "eta" not in stream.getvalue()


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_move_gets_plain_lines(monkeypatch: pytest.MonkeyPatch,
                                                      term: str) -> None:
    monkeypatch.setenv("TERM", term)
    assert isinstance(make_progress(Terminal()), PlainProgress)


def live(monkeypatch: pytest.MonkeyPatch) -> tuple[LiveProgress, Terminal]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    progress = make_progress(stream)
    assert isinstance(progress, LiveProgress)
    return progress, stream


def test_live_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    progress, stream = live(monkeypatch)
    progress.start(CONFIG, 1437, 12, 0)
    for epoch in range(1, 31):
        progress.advance(6, {"loss": 1.0, "accuracy": 0.3})
        progress.epoch(record(epoch, 0.9 if epoch == 25 else 0.5))
    text = io.StringIO()
    Console(file=text, width=80, no_color=True).print(progress.render())
    lines = text.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "…" not in text.getvalue(), "nothing is cut off"
    for word in ("epoch", "loss", "accuracy", "test loss", "test accuracy", "lr", "samples/s"):
        assert word in text.getvalue(), word
    rows = [line for line in lines if line.strip()[:1] in "*123" and "." in line]
    assert [line.split()[0].lstrip("*") for line in rows[:12]] == [str(e) for e in range(19, 31)]
    assert sum(line.strip().startswith("*25") for line in rows) == 1, "the best epoch is marked"
    progress.note("a warning [with brackets]")
    progress.close()
    assert "a warning [with brackets]" in stream.getvalue()
    assert "\x1b[?25h" in stream.getvalue(), "the cursor is shown again"


def test_live_without_known_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    progress, stream = live(monkeypatch)
    progress.start(TrainConfig("m", epochs=2, batch=4), 0, None, 0)
    progress.draw()
    progress.advance(7, {"loss": 0.5})
    progress.draw()
    progress.epoch({**record(1), "test": None})
    progress.epoch({**record(2), "test": None})
    progress.close()
    assert "batch 7" in stream.getvalue() and "in all" in stream.getvalue()


def test_rich_is_imported_only_for_a_terminal() -> None:
    code = ("import sys, io; from dlc.runtime.train.progress import make_progress; "
            "make_progress(io.StringIO()); print('rich' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_compiling_is_one_line_that_goes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("dlc.runtime.train.progress.SILENT_SECONDS", 0.0)
    terminal, pipe = Terminal(), io.StringIO()
    for line in (CompileLine(terminal), CompileLine(pipe)):
        for done in (9, 10, 12):
            line(done, 12)
    assert terminal.getvalue() == (
        "\r  compiling: 9 of 12 kernels\r  compiling: 10 of 12 kernels\r" + " " * 29 + "\r")
    assert pipe.getvalue() == ""
    monkeypatch.setattr("dlc.runtime.train.progress.SILENT_SECONDS", 1e9)
    quick = Terminal()
    CompileLine(quick)(1, 12)
    assert quick.getvalue() == ""


def test_numbers_and_times() -> None:
    shown = [show_number(v) for v in (None, 0.0, 0.12345, 1.5e-4, 12.3456, 123456.0, -2.5)]
    assert shown == ["", "0.0000", "0.1235", "1.50e-04", "12.346", "1.23e+05", "-2.5000"]
    assert show_number(float("nan")) == "nan" and show_number(0.001, "lr") == "1.00e-03"
    assert [show_rate(r) for r in (0.5, 987.4, 12345, 4.56e6, 2e9)] == [
        "0.5", "987", "12.3k", "4.56M", "2G"]
    assert [show_time(s) for s in (0.2, 59.6, 3599, 3723)] == ["0:00", "1:00", "59:59", "1:02:03"]
