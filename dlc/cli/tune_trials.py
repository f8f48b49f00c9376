"""The trials of `dlc tune`: a journal on disk, and processes that train."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, TextIO

import numpy as np

from dlc.cli.arguments import UsageError

JOURNAL = "trials.jsonl"
Record = Mapping[str, Any]


@dataclass
class Trial:
    """One configuration: its settings, and what each fold came to."""

    number: int
    settings: Mapping[str, str]
    folds: dict[int, Record] = field(default_factory=dict)

    @property
    def failed(self) -> str:
        """Why a fold did not end; "" where all did."""
        return next((str(r["failed"]) for r in self.folds.values() if "failed" in r), "")

    @property
    def scores(self) -> list[float]:
        return [float(r["score"]) for r in self.folds.values() if "score" in r]

    @property
    def mean(self) -> float:
        return fmean(self.scores)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the folds; None for one."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else None

    def metric(self, name: str) -> float:
        """The mean of another metric over the folds."""
        return fmean(float(r["metrics"][name]) for r in self.folds.values())


class Journal:
    """DIR/trials.jsonl: what is searched, then a line for each fold of a trial that ended.

    A line is synced before the next begins: a search that was killed goes on with what is missing.
    """

    def __init__(self, path: Path, search: Mapping[str, Any]) -> None:
        self.path = path
        self.records: list[Record] = []
        found = read_lines(path)
        if found:
            check_same(path, found[0].get("search", {}), search)
            self.records = [r for r in found[1:] if "trial" in r]
        lines = [{"search": dict(search)}, *self.records]
        whole = "".join(json.dumps(line) + "\n" for line in lines)
        if not found or whole != path.read_text(encoding="utf-8"):
            self.replace(whole)
        self.file: TextIO | None = None

    def replace(self, text: str) -> None:
        """Write the journal anew: without a last line that was cut off."""
        from dlc.runtime.train.checkpoint import replace_file

        replace_file(self.path, text.encode("utf-8"))

    def add(self, record: Record) -> None:
        """Keep what a fold of a trial came to."""
        if self.file is None:
            self.file = self.path.open("a", encoding="utf-8")
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.records.append(record)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal that are whole; none of a file that is not there. Raises UsageError
    for a file that is no journal."""
    if not path.exists():
        return []
    found = []
    text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines(keepends=True):
        try:
            record = json.loads(line) if line.endswith("\n") else None
        except ValueError:
            record = None
        if not isinstance(record, dict):
            break  # what a killed search had begun to write
        found.append(record)
    if text and (not found or "search" not in found[0]):
        raise UsageError(f"{path} is no journal of a search\n  give another folder: --out DIR")
    return found


def check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise UsageError for the journal of another search, with the first difference."""
    for key in now:
        if before.get(key) != now[key]:
            had, has = (value_text(value.get(key)) for value in (before, now))
            raise UsageError(f"{path.parent} holds another search: its {key} is {had}, now {has}\n"
                             "  give this one a folder of its own: --out DIR")


def value_text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def collect(trials: Sequence[Mapping[str, str]], records: Iterable[Record]) -> list[Trial]:
    """The trials with the records of their folds."""
    found = [Trial(k, settings) for k, settings in enumerate(trials)]
    for record in records:
        if int(record["trial"]) < len(found):
            found[int(record["trial"])].folds[int(record["fold"])] = record
    return found


def jobs(trials: Sequence[Trial], folds: int) -> deque[dict[str, Any]]:
    """What is left to train: all folds of a trial, then the next trial."""
    return deque({"trial": t.number, "fold": fold, "settings": dict(t.settings)}
                 for t in trials for fold in range(1, folds + 1) if fold not in t.folds)


class Pool:
    """Worker processes, a thread each, that take jobs until none is left.

    A worker ends when its standard input does, so none outlives this process by more than the
    training that it is in.
    """

    def __init__(self, command: Sequence[str], count: int) -> None:
        self.command, self.count = list(command), count
        self.running: set[subprocess.Popen[str]] = set()
        self.turn = threading.Lock()
        self.problem: BaseException | None = None
        self.stopping = False

    def run(self, waiting: deque[dict[str, Any]], take: Callable[[Record], None]) -> None:
        """Train all jobs; `take` is called with each answer, one at a time. Raises what it raises,
        and KeyboardInterrupt after the workers were ended."""
        threads = [threading.Thread(target=self.serve, args=(waiting, take), daemon=True)
                   for _ in range(min(self.count, len(waiting)))]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)
        finally:
            self.stop()
        if self.problem is not None:
            raise self.problem

    def stop(self) -> None:
        """End all workers."""
        with self.turn:
            self.stopping = True
            for process in self.running:
                process.kill()

    def serve(self, waiting: deque[dict[str, Any]], take: Callable[[Record], None]) -> None:
        """Hand jobs to a worker, a new one where it died."""
        worker: subprocess.Popen[str] | None = None
        try:
            while waiting and not self.stopping and self.problem is None:
                try:
                    job = waiting.popleft()
                except IndexError:
                    break
                worker = worker or self.start()
                answer = ask(worker, job)
                if answer is None:
                    worker.wait()
                    answer = {**job, "failed": f"its process ended with {worker.returncode}"}
                    worker = None
                with self.turn:
                    if not self.stopping:
                        take(answer)
        except BaseException as problem:
            self.problem = problem
        finally:
            self.end(worker)

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True, encoding="utf-8", start_new_session=True)
        with self.turn:
            self.running.add(process)
        return process

    def end(self, worker: subprocess.Popen[str] | None) -> None:
        if worker is not None:
            assert worker.stdin is not None and worker.stdout is not None
            worker.stdin.close()
            worker.wait()
            worker.stdout.close()


def ask(worker: subprocess.Popen[str], job: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a worker makes of a job; None where it died."""
    assert worker.stdin is not None and worker.stdout is not None
    try:
        worker.stdin.write(json.dumps(job) + "\n")
        worker.stdin.flush()
    except OSError:
        return None
    line = worker.stdout.readline()
    return dict(json.loads(line)) if line.endswith("\n") else None


def worker_command(file: str, settings: Sequence[str], folds: int, seed: int,
                   threads: int) -> list[str]:
    """The command line of a worker."""
    given = [part for setting in settings for part in ("--set", setting)]
    return [sys.executable, "-m", "dlc", "tune-worker", file, *given, "--folds", str(folds),
            "--seed", str(seed), "--threads", str(threads)]
