"""Helpers of the loop's tests: a Progress that watches, settings, one call that trains."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlc.runtime.train.loop import train
from dlc.runtime.train.training import Callbacks, TrainConfig, TrainResult
from tests.runtime.handmade import final_bytes, initial, make_data

CONFIG = TrainConfig("line", epochs=4, batch=16, seed=3, save_seconds=1e9, save_steps=3)


class Watcher:
    """A Progress that remembers what it was told, and may act at a given batch."""

    def __init__(self, at: tuple[int, int] | None = None) -> None:
        self.notes: list[str] = []
        self.records: list[Mapping[str, Any]] = []
        self.at, self.closed = at, False
        self.started: tuple[Any, ...] = ()

    def start(self, config: TrainConfig, samples: int, steps: int | None, epoch: int) -> None:
        self.started = (samples, steps, epoch)

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        if self.at == (len(self.records), done):
            os.kill(os.getpid(), signal.SIGINT)

    def epoch(self, record: Mapping[str, Any]) -> None:
        self.records.append(record)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def close(self) -> None:
        self.closed = True


def run(loaded: Any, folder: Path | None, watcher: Watcher | None = None, data: Any = None,
        **changes: Any) -> tuple[TrainResult, str]:
    result = train(loaded, replace(CONFIG, **changes), data or make_data(), folder, initial,
                   Callbacks(watcher or Watcher()))
    return result, final_bytes(loaded)


def without_times(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k != "step_ms"} for record in history]
