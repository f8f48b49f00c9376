"""When a run writes checkpoints, and what happens when it cannot."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from dlc.runtime.train.checkpoint import (
    BEST,
    LAST,
    Checkpoint,
    CheckpointFolder,
    checkpoint_bytes,
    received,
)
from dlc.runtime.train.position import Position
from dlc.runtime.train.training import TrainConfig
from dlc.runtime.world.world import World


class Autosave:
    """The checkpoints of one run in `folder` (None: it keeps none).

    A save is due once `save_seconds` have passed since the last, and at multiples of `save_steps`.
    The best state so far is kept in memory until the next save, so that short epochs do not write
    a file each.
    """

    def __init__(self, config: TrainConfig, folder: Path | None,
                 note: Callable[[str], None], world: World | None = None) -> None:
        self.config, self.note, self.world = config, note, world or World()
        self.folder = CheckpointFolder(folder) if folder is not None else None
        self.best: Checkpoint | None = None  # better than the best checkpoint on disk
        self.saved: tuple[int, int, int] | None = None  # where the last save stood
        self.saved_at = time.monotonic()

    def latest(self) -> Checkpoint | None:
        """The checkpoint to resume from, None when there is none; notes what cannot be used. The
        leader of several processes reads it for all.

        Raises CheckpointError when there are checkpoints and none can be used.
        """
        found = self.read()
        if self.world.size == 1:
            return found
        content = checkpoint_bytes(found) if found is not None else b""
        return received(Path(LAST), self.world.from_leader(content))

    def read(self) -> Checkpoint | None:
        if self.folder is None:
            return None
        found, notes = self.folder.latest()
        for text in notes:
            self.note(f"a checkpoint cannot be used: {text}")
        if found is None:
            self.note(f"no checkpoint in {self.folder.path}: training from the beginning")
        else:
            self.saved = stand(found.position)
        return found

    def is_time(self) -> bool:
        """Whether enough seconds have passed since the last save."""
        return (self.folder is not None
                and time.monotonic() - self.saved_at >= self.config.save_seconds)

    def is_due(self, step: int) -> bool:
        """Whether to save now, after `step` steps."""
        every = self.config.save_steps
        by_steps = every is not None and step % every == 0
        return self.folder is not None and (by_steps or self.is_time())

    def steps_left(self, step: int, count: int) -> int:
        """How many of `count` steps may run after `step` before a save by number of steps."""
        every = self.config.save_steps
        return count if every is None else min(count, every - step % every)

    def save(self, make: Callable[[], Checkpoint], position: Position) -> None:
        """Write last (and best), unless it stands there already.

        A full disk is a warning: the files there stay as they are, and training goes on.
        """
        if self.folder is None or stand(position) == self.saved:
            return
        try:
            self.folder.save(make(), self.best)
        except OSError as error:
            kept = f"the one of step {self.saved[0]} stays" if self.saved else "there is none yet"
            self.note(f"warning: the checkpoint of step {position.step} was not written "
                      f"({error.strerror or error}); {kept}, training goes on")
        else:
            self.best = None
            self.saved = stand(position)
        self.saved_at = time.monotonic()

    def last_path(self, position: Position) -> Path | None:
        """The file that holds the state at `position`, None when it could not be written."""
        saved = self.folder is not None and stand(position) == self.saved
        return self.folder.path / LAST if self.folder and saved else None

    def best_path(self) -> Path | None:
        path = self.folder.path / BEST if self.folder else None
        return path if path is not None and path.is_file() else None


def stand(position: Position) -> tuple[int, int, int]:
    """Where a position stands; equal for equal states of one run."""
    return position.step, position.epoch, position.batches
