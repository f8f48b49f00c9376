"""`dlc tune-worker`: trains one trial after the other for `dlc tune`, told by lines of JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlc.cli.source import changed_task, user_code
from dlc.errors import printable_lines

if TYPE_CHECKING:
    from dlc.runtime.data import Dataset
    from dlc.runtime.train.training import TrainConfig, TrainResult
    from dlc.task.task import Task

ONE_FOLD = 5  # without folds a fifth of the training data is held out


def run(options: argparse.Namespace) -> int:
    """Answer each job with a line, until there are no more. The user's prints go to standard error.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    task = changed_task(options.file, options.settings)
    parts: dict[int, Dataset] = {}
    for line in sys.stdin:
        job = json.loads(line)
        fold = int(job["fold"])
        if fold not in parts:
            parts[fold] = fold_of(task, fold, options.folds)
        found = judged(task, parts[fold], job["settings"], options.seed, options.threads)
        answers.write(json.dumps({**job, **found}) + "\n")
        answers.flush()
    return 0


def fold_of(task: Task, fold: int, folds: int) -> Dataset:
    """The training data with fold `fold` (from 1) held out; the test data are not among them.

    Raises DataError for a stream, and for fewer samples than folds.
    """
    from dlc.runtime.data.preparation import with_fold
    from dlc.task_training import dataset_of

    dataset = dataset_of(task)
    if not dataset.in_memory:
        from dlc.runtime.data import DataError

        raise DataError(dataset.name, "", "a stream of batches can't be divided into folds",
                        "arrays, or a file")
    alone = replace(dataset, test=None)
    return with_fold(alone, fold, folds if folds > 1 else min(ONE_FOLD, dataset.samples))


def judged(task: Task, dataset: Dataset, settings: Mapping[str, str], seed: int,
           threads: int | None) -> dict[str, Any]:
    """{"score", "epoch", "metrics"} of the best epoch by the monitored metric, or {"failed"}."""
    from dlc.errors import DlcError
    from dlc.runtime.train.training import TrainingFault

    try:
        with user_code():
            return trained(task.with_options(**settings), dataset, seed, threads)
    except (DlcError, TrainingFault, MemoryError) as problem:
        return {"failed": printable_lines(problem).splitlines()[0]}


def trained(task: Task, dataset: Dataset, seed: int, threads: int | None) -> dict[str, Any]:
    """Train on a fold and give what its best epoch came to on the rest."""
    from dlc.runtime.train.loop import train
    from dlc.task_training import configure, prepare

    run = prepare(task, dataset, threads=threads)
    try:
        config = configure(run, seed=seed)
        result = train(run.loaded, config, dataset, None, run.compiled.initial_values(seed))
    finally:
        run.loaded.close()
    return best(result, config)


def best(result: TrainResult, config: TrainConfig) -> dict[str, Any]:
    """The record of the best epoch: what the run's best checkpoint would have."""
    record = result.history[max(result.best_epoch, 1) - 1]
    metrics = dict(record["test"] or record["train"])
    return {"score": metrics[config.monitor], "epoch": record["epoch"], "metrics": metrics}
