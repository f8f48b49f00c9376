"""`dlc tune FILE`: trains many configurations and tells the best, by validation on training data.
"""

from __future__ import annotations

import argparse
import shlex
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.cli.arguments import UsageError
from dlc.cli.source import load_task, user_code
from dlc.cli.streams import say
from dlc.cli.train import alone_in, changed_task
from dlc.cli.tune_report import score_text, table, write_page
from dlc.cli.tune_space import DRAWS, Space, read_space
from dlc.cli.tune_trials import JOURNAL, Journal, Pool, Trial, collect, jobs, worker_command
from dlc.cli.tune_worker import fold_of

if TYPE_CHECKING:
    from dlc.runtime.data import Dataset
    from dlc.task.task import Task


def run(options: argparse.Namespace) -> int:
    """Search, going on with what the folder holds of this search; tell the best configuration."""
    task = changed_task(load_task(options.file), options)
    space = read_space(task, options.grid, options.random, options.seed)
    refuse_fixed(space, options)
    if options.trials is not None and not space.ranges:
        raise UsageError("--trials counts random draws, and nothing is drawn\n  give --random "
                         "KEY=LOW:HIGH; a grid is tried whole")
    settings = list(space.trials(options.trials or DRAWS))
    folder = Path(options.out or f"runs/{task.name}-tune")
    with alone_in(folder):
        identity, rises, dataset = searched(task, space, options)
        journal = Journal(folder / JOURNAL, identity)
        trials = collect(settings, journal.records)
        say(opening(task, dataset, trials, options))
        train(task, trials, journal, options, rises)
        page = write_page(folder / "tuning.html", task, space, trials, rises, best_command(
            trials, rises, options))
    say(closing(task, trials, rises, options))
    say(f"  trials  {folder / JOURNAL}\n  plot    {page}")
    return 0


def refuse_fixed(space: Space, options: argparse.Namespace) -> None:
    """Raise UsageError for a key that is searched and fixed for all trials as well."""
    for setting in fixed(options):
        key = setting.partition("=")[0]
        if key in {*space.grids, *(r.key for r in space.ranges)}:
            raise UsageError(f"{key} is searched, and fixed by {setting}\n  leave one of them out")


def searched(task: Task, space: Space,
             options: argparse.Namespace) -> tuple[dict[str, Any], bool, Dataset]:
    """(what a journal belongs to, whether a higher score is better, the first fold's data).

    Nothing is compiled yet. Raises DlcError for a task or data that can't be searched.
    """
    from dlc.compiler import task_source
    from dlc.runtime.train.training import TrainConfig
    from dlc.task_training import check_monitor, what_is_trained

    with user_code():
        dataset = fold_of(task, 1, options.folds)
        source = task_source(task, task.batch, dataset.tails(task.batch))
    check_monitor(task, source.meta)
    text = what_is_trained(source, dataset.train)
    rises = TrainConfig(task.name, 1, 1, monitor=task.monitor).rises
    return {"task": task.name, "search": space.describe(), "set": fixed(options),
            "epochs": task.epochs, "monitor": task.monitor, "folds": options.folds,
            "seed": options.seed, "checksum": f"{zlib.crc32(text.encode()):08x}"}, rises, dataset


def fixed(options: argparse.Namespace) -> list[str]:
    """What --set, --epochs and --batch fix for all trials, as --set takes it."""
    numbers = [f"{k}={getattr(options, k)}" for k in ("epochs", "batch")
               if getattr(options, k) is not None]
    return sorted({*options.settings, *numbers})


def train(task: Task, trials: Sequence[Trial], journal: Journal, options: argparse.Namespace,
          rises: bool) -> None:
    """Train what is missing, and tell each trial that ends."""
    from dlc.runtime.cores import available_cores

    waiting = jobs(trials, options.folds)
    count = options.jobs or available_cores()
    threads = max(1, available_cores() // count)
    pool = Pool(worker_command(options.file, fixed(options), options.folds, options.seed, threads),
                count)

    def take(record: Mapping[str, Any]) -> None:
        journal.add(record)
        trial = trials[int(record["trial"])]
        trial.folds[int(record["fold"])] = record
        if len(trial.folds) == options.folds:
            say(progress(task, len(done(trials, options.folds)), len(trials), trial))

    try:
        pool.run(waiting, take)
    except KeyboardInterrupt:
        say(f"stopped; the same command goes on from {journal.path}")
        raise
    finally:
        journal.close()


def done(trials: Sequence[Trial], folds: int) -> list[Trial]:
    return [t for t in trials if len(t.folds) == folds]


def ranked(trials: Sequence[Trial], rises: bool) -> list[Trial]:
    """The trials that ended well, the best first; of equal ones the earlier."""
    good = [t for t in trials if t.scores and not t.failed and t.mean == t.mean]
    return sorted(good, key=lambda t: (-t.mean if rises else t.mean, t.number))


def best_command(trials: Sequence[Trial], rises: bool, options: argparse.Namespace) -> str:
    """The command that trains the best configuration; "" where none ended well."""
    found = ranked(trials, rises)
    if not found:
        return ""
    settings = {**dict(s.split("=", 1) for s in fixed(options)), **found[0].settings}
    given = [part for k, v in settings.items() for part in ("--set", f"{k}={v}")]
    seed = ["--seed", str(options.seed)] if options.seed else []
    return shlex.join(["dlc", "train", options.file, *given, *seed])


# --- what is said ---------------------------------------------------------------------------------


def opening(task: Task, dataset: Dataset, trials: Sequence[Trial],
            options: argparse.Namespace) -> str:
    """What is searched on what."""
    known = len(done(trials, options.folds))
    how = (f"{options.folds} folds of" if options.folds > 1 else
           f"{dataset.test_samples} of")
    rows = dataset.samples + dataset.test_samples
    held = "each held out once" if options.folds > 1 else "held out"
    again = f", {known} of them done before" if known else ""
    return (f"{task.name}: {len(trials)} trials{again}, judged by {task.monitor}\n"
            f"  on {how} the {rows} training samples of {dataset.name}, {held}")


def progress(task: Task, ended: int, count: int, trial: Trial) -> str:
    """One trial that ended."""
    result = f"failed: {trial.failed}" if trial.failed else (
        f"{task.monitor} {score_text(trial)}")
    words = " ".join(f"{k}={v}" for k, v in trial.settings.items())
    return f"{ended}/{count}  {words}  {result}"


def closing(task: Task, trials: Sequence[Trial], rises: bool, options: argparse.Namespace) -> str:
    """The table, what failed, and the command of the best."""
    found = ranked(trials, rises)
    failed = [t for t in trials if t.failed]
    lines = table(found, task.monitor, rises, options.folds) if found else ["no trial ended well"]
    if failed:
        settings = " ".join(f"{k}={v}" for k, v in failed[0].settings.items())
        lines.append(f"{len(failed)} failed, the first with {settings}: {failed[0].failed}")
    if found:
        lines += ["train the best:", f"  {best_command(trials, rises, options)}"]
    return "\n".join(lines)
