"""Progress display: a live bar and table in a terminal, one plain line per epoch elsewhere."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from dlc.errors import printable, printable_lines
from dlc.runtime.train.measure import LAST_VALUES
from dlc.runtime.train.training import Progress, TrainConfig

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

REFRESH_SECONDS = 0.1
SILENT_SECONDS = 1.0
SHOWN_EPOCHS = 12
SHOWN_METRICS = 2  # beside the learning rate: what fits into 80 columns for training and test


def make_progress(stream: TextIO) -> Progress:
    """The display for `stream`: live when it is a terminal that can move its cursor."""
    return LiveProgress(stream) if is_live(stream) else PlainProgress(stream)


def is_live(stream: TextIO) -> bool:
    """Whether it is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "")


def show_number(value: float | None, name: str = "") -> str:
    """A metric as it is shown: 0.1234, 12.35, 1.8e-03; "" for none."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return str(value)
    if name in LAST_VALUES or (value and abs(value) < 1e-3) or abs(value) >= 1e5:
        return f"{value:.2e}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"


def show_rate(rate: float) -> str:
    """Samples a second as 987, 12.3k, 4.56M."""
    for unit in ("", "k", "M"):
        if rate < 1000:
            return f"{rate:.3g}{unit}"
        rate /= 1000
    return f"{rate:.3g}G"


def show_time(seconds: float) -> str:
    """Seconds as 0:07, 12:34 or 1:02:03."""
    whole = int(seconds + 0.5)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class CompileLine:
    """How far compiling is, on one line that goes again; elsewhere than in a terminal, and where it
    is over within SILENT_SECONDS, nothing."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.live, self.width = stream, is_live(stream), 0
        self.began = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` kernels are compiled."""
        if not self.live or time.monotonic() - self.began < SILENT_SECONDS:
            return
        self._write("" if done == total else f"  compiling: {done} of {total} kernels")

    def _write(self, text: str) -> None:
        self.stream.write(f"\r{text:{self.width}}" + ("" if text else "\r"))
        self.stream.flush()
        self.width = len(text)


class Clock:
    """Throughput and remaining time, from the wall time between the ends of epochs."""

    def __init__(self, epochs: int, epoch: int) -> None:
        self.epochs, self.first = epochs, epoch
        self.started = self.last = time.monotonic()
        self.rate: float | None = None

    def epoch(self, samples: int) -> None:
        now = time.monotonic()
        self.rate = samples / max(now - self.last, 1e-9)
        self.last = now

    def remaining(self, done: float) -> float | None:
        """Seconds for the epochs after `done` (a count from 0); None before anything is done."""
        if done <= self.first:
            return None
        spent = time.monotonic() - self.started
        return spent / (done - self.first) * max(self.epochs - done, 0)


class PlainProgress:
    """One line an epoch, for files and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.epochs = 0
        self.clock = Clock(0, 0)

    def start(self, config: TrainConfig, samples: int, steps: int | None, epoch: int) -> None:
        self.epochs = config.epochs
        self.clock = Clock(config.epochs, epoch)

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        """Nothing: a line a step would fill files."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        self.clock.epoch(record["samples"])
        parts = [f"epoch {record['epoch']}/{self.epochs}", f"step {record['step']}"]
        parts += [f"{k} {show_number(v, k)}" for k, v in record["train"].items()]
        parts += [f"test {k} {show_number(v, k)}" for k, v in (record["test"] or {}).items()]
        parts.append(f"{show_rate(self.clock.rate or 0)} samples/s")
        left = self.clock.remaining(record["epoch"])
        if left is not None and record["epoch"] < self.epochs:
            parts.append(f"eta {show_time(left)}")
        self.note("  ".join(parts))

    def note(self, text: str) -> None:
        self.stream.write(printable_lines(text) + "\n")
        self.stream.flush()

    def close(self) -> None:
        self.stream.flush()


class LiveProgress:
    """A table of the last epochs above a bar, redrawn in place at most ten times a second."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self.console: Console = Console(file=stream, highlight=False)
        # No thread of rich's own: it would compete with the threads that compute.
        self.live = Live(console=self.console, auto_refresh=False, transient=False)
        self.records: list[tuple[Mapping[str, Any], float]] = []
        self.clock = Clock(0, 0)
        self.epochs = self.done = self.current = 0
        self.steps: int | None = None
        self.means: Mapping[str, float] = {}
        self.best: tuple[float, int] | None = None
        self.drawn = 0.0
        self.title = ""
        self.running = False

    def start(self, config: TrainConfig, samples: int, steps: int | None, epoch: int) -> None:
        self.clock = Clock(config.epochs, epoch)
        self.epochs, self.current, self.steps = config.epochs, epoch, steps
        self.title = printable(f"{config.model} on {config.target}, batch {config.batch}, "
                               f"seed {config.seed}")
        self.config = config
        self.running = True
        self.live.start()
        self.draw()

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        self.done, self.means = done, metrics
        if time.monotonic() - self.drawn >= REFRESH_SECONDS:
            self.draw()

    def epoch(self, record: Mapping[str, Any]) -> None:
        self.clock.epoch(record["samples"])
        self.records.append((record, self.clock.rate or 0.0))
        self.current, self.done = record["epoch"], 0
        value = (record["test"] or record["train"]).get(self.config.monitor)
        if value is not None and self.config.is_better(value, self.best and self.best[0]):
            self.best = (value, record["epoch"])
        if time.monotonic() - self.drawn >= REFRESH_SECONDS:
            self.draw()

    def note(self, text: str) -> None:
        self.console.print(printable_lines(text), markup=False, soft_wrap=True)

    def close(self) -> None:
        if self.running:
            self.draw()
            self.live.stop()
            self.running = False

    def draw(self) -> None:
        self.drawn = time.monotonic()
        self.live.update(self.render(), refresh=True)

    def render(self) -> RenderableType:
        from rich.console import Group

        return Group(self.table(), self.bar())

    def table(self) -> Table:
        """Epochs as rows; the best by the monitored metric is marked."""
        from rich import box
        from rich.table import Table

        names = self.metrics()
        table = Table(box=box.SIMPLE_HEAD, title=self.title, title_style="bold",
                      title_justify="left", padding=(0, 1), pad_edge=False)
        table.add_column("epoch", justify="right", no_wrap=True)
        for part in ("", "test "):
            for name in names:
                table.add_column(f"{part}{name}", justify="right", no_wrap=True,
                                 style="green" if part else "")
        logged = self.records[0][0]["train"] if self.records else {}
        rates = [name for name in LAST_VALUES if name in logged]
        for name in (*rates, "samples/s"):
            table.add_column(name, justify="right", no_wrap=True, style="dim")
        for record, rate in self.records[-SHOWN_EPOCHS:]:
            mark = "*" if self.best and self.best[1] == record["epoch"] else ""
            train, test = record["train"], record["test"] or {}
            cells = [f"{mark}{record['epoch']}"]
            cells += [show_number(part.get(n)) for part in (train, test) for n in names]
            cells += [show_number(train.get(n), n) for n in rates] + [show_rate(rate)]
            table.add_row(*cells, style="bold" if mark else "")
        return table

    def metrics(self) -> list[str]:
        names = list(self.records[0][0]["train"]) if self.records else list(self.means)
        return [name for name in names if name not in LAST_VALUES][:SHOWN_METRICS]

    def bar(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        part = self.done / self.steps if self.steps else 0.0
        done = min(self.current + part, self.epochs)
        left = self.clock.remaining(done)
        step = f" {self.done}/{self.steps}" if self.steps else f" batch {self.done}"
        words = f"epoch {min(self.current + 1, self.epochs)}/{self.epochs}"
        words += "" if self.current >= self.epochs else step
        loss = self.means.get("loss")
        tail = f"loss {show_number(loss)} " if loss is not None else ""
        tail += f"eta {show_time(left)}" if left is not None else "eta -:--"
        if self.current >= self.epochs:
            tail = f"{show_time(time.monotonic() - self.clock.started)} in all"
        grid = Table.grid(padding=(0, 1))
        grid.add_row(words, ProgressBar(total=max(self.epochs, 1), completed=done, width=30), tail)
        return grid
