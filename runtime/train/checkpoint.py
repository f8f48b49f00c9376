"""Checkpoints: safetensors files replaced atomically, the one before kept as `previous`."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dlc.intake import PLAIN, Intake
from dlc.ir.types import Type
from dlc.runtime.train.position import Identity, Position, read_record
from dlc.runtime.train.tensorfile import CheckpointError, Tensors, parse_tensors, read_tensors

FORMAT = 2
# set by the training loop at every start: another schedule may need others
OF_SCHEDULES = ("steps_per_epoch", "plateau")
SCALE = "loss_scaling.scale"  # state of what trains in f16 (dlc/task/scaling.py)
ANOTHER = "the same settings to resume exactly, or train without --resume, from its weights: --init"
LAST, PREVIOUS, BEST = "last.safetensors", "previous.safetensors", "best.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """Persistent arrays by name, what they belong to, where training stood, and the network that
    they are the weights of (`is_network` in position.py says how it is held; empty: none)."""

    arrays: Tensors
    identity: Identity
    position: Position
    network: Mapping[str, Any] = field(default_factory=dict)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `path` so that at every moment it holds either the old checkpoint or the new one.

    A temporary file in the same folder is written, synced and renamed over `path`, and the folder
    is synced. Raises OSError (a full disk) with the old file untouched.
    """
    replace_file(path, checkpoint_bytes(checkpoint))


def checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    """The content of a checkpoint's file."""
    return record_bytes("dlc", {"format": FORMAT, "identity": asdict(checkpoint.identity),
                                "position": asdict(checkpoint.position),
                                "network": dict(checkpoint.network)}, checkpoint.arrays)


def write_record(path: Path, key: str, record: Mapping[str, Any],
                 given: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """The file that `record_bytes` gives, written like a checkpoint."""
    replace_file(path, record_bytes(key, record, given))


def record_bytes(key: str, record: Mapping[str, Any],
                 given: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """A safetensors file of arrays, with a record and its checksum as the metadata `key`."""
    from safetensors.numpy import save

    arrays = {k: np.array(v, order="C") for k, v in given.items()}
    text = json.dumps(record)
    # one entry: the package writes several in any order
    content: bytes = save(arrays, {key: f"{checksum(text, arrays)} {text}"})
    return content


def replace_file(path: Path, content: bytes) -> None:
    """Make `content` the file `path`, atomically and durably; OSError leaves `path` as it was."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable, where the system lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link_file(source: Path, target: Path) -> None:
    """Make `target` another name of `source`'s content, atomically; a copy where links fail."""
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)


def checksum(record: str, arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """CRC-32, in hex, over the record's text and over names, dtypes, shapes and bytes of the
    arrays, in the order of the names: over all that a file says."""
    value = zlib.crc32(record.encode())
    for name in sorted(arrays):
        array = arrays[name]
        value = zlib.crc32(f"{name} {array.dtype.name} {array.shape};".encode(), value)
        value = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, value)
    return f"{value:08x}"


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in `path`.

    Raises CheckpointError for a file that is damaged in any bit, cut off, not a checkpoint of dlc,
    or of another format.
    """
    return checkpoint_of(path, *read_tensors(path))


def received(path: Path, content: bytes) -> Checkpoint | None:
    """The checkpoint in `path` as another process has read it: None for no content."""
    if not content:
        return None
    return checkpoint_of(path, *parse_tensors(content, Intake(path, CheckpointError, PLAIN)))


def checkpoint_at(path: Path) -> tuple[Path, Checkpoint]:
    """(the file, the checkpoint) that `path` means: that file, or of a run's folder the best
    checkpoint, else the last. Raises CheckpointError when there is none that can be used."""
    file = file_at(path)
    return file, read_checkpoint(file)


def weights_at(path: Path) -> tuple[Path, Tensors]:
    """(the file, its arrays): of a checkpoint as above, or of any safetensors file."""
    file = file_at(path)
    arrays, metadata = read_tensors(file)
    return file, checkpoint_of(file, arrays, metadata).arrays if "dlc" in metadata else arrays


def file_at(path: Path) -> Path:
    """`path`, or of a run's folder the best checkpoint, else the last. Raises CheckpointError for
    a path that is not there, with the runs beside it, and for a folder without one."""
    if not path.exists():
        runs = sorted({str(file.parent) for file in path.parent.glob(f"*/{LAST}")})
        raise CheckpointError(path, "", "there is no such run or checkpoint",
                              f"there are {', '.join(runs)}" if runs else
                              "what `dlc train` leaves in runs/NAME, by the name of the task")
    if not path.is_dir():
        return path
    found = next((path / name for name in (BEST, LAST) if (path / name).is_file()), None)
    if found is None:
        raise CheckpointError(path, "", "has no checkpoint", f"a folder with {BEST} or {LAST}, as "
                              "`dlc train` leaves it")
    return found


def checkpoint_of(path: Path, arrays: Tensors, metadata: Mapping[str, str]) -> Checkpoint:
    """The checkpoint of a file's arrays and metadata; see `read_checkpoint`."""
    if "dlc" not in metadata:
        raise CheckpointError(path, "", "is a safetensors file, but not a checkpoint of dlc",
                              "last.safetensors or best.safetensors of a training run")
    crc, _, record = metadata["dlc"].partition(" ")
    try:
        found = json.loads(metadata["dlc"] if crc.startswith("{") else record)
        check_format(path, found["format"])
        if crc != checksum(record, arrays):
            raise CheckpointError(path, "", "its contents do not match their checksum: it is "
                                  "damaged")
        return Checkpoint(arrays, *read_record(found))
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise CheckpointError(path, "", f"its dlc record cannot be read ({error!r})") from None


def check_format(path: Path, found: object) -> None:
    """Raise CheckpointError for a format that this dlc does not read."""
    if found != FORMAT:
        why = " (its checksum does not cover where training stood)" if found == 1 else ""
        raise CheckpointError(path, "", f"has format {found!r}{why}", f"this dlc reads format "
                              f"{FORMAT}; train again, or read the arrays with safetensors")


class CheckpointFolder:
    """last, previous and best checkpoint of one run in the folder `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fresh = True  # nothing here is of this run: neither saved nor resumed
        self.last_is_good = False  # `last` may become `previous`

    def save(self, checkpoint: Checkpoint, best: Checkpoint | None = None) -> Path:
        """Write `checkpoint` as last, keeping the one before as previous, and `best` as best.

        The first save of a run that did not resume replaces all that an earlier run left. `best`
        is written before `last`, so that `last` never tells of a best that is not there.
        Raises OSError when something cannot be written; what stood there then still does.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        last = self.path / LAST
        if best is not None:
            write_checkpoint(self.path / BEST, best)
        if self.last_is_good and last.is_file():
            link_file(last, self.path / PREVIOUS)
        write_checkpoint(last, checkpoint)
        if self.fresh:
            for name in [PREVIOUS] + [BEST] * (best is None):
                (self.path / name).unlink(missing_ok=True)
        self.fresh, self.last_is_good = False, True
        return last

    def latest(self) -> tuple[Checkpoint | None, list[str]]:
        """(the newest checkpoint that can be used, a note for every one that could not).

        None when the folder has no checkpoint at all. Raises CheckpointError when it has some and
        none can be used.
        """
        notes: list[str] = []
        paths = [p for p in (self.path / LAST, self.path / PREVIOUS) if p.exists()]
        for path in paths:
            try:
                found = read_checkpoint(path)
            except CheckpointError as error:
                notes.append(str(error))
            else:
                self.fresh, self.last_is_good = False, path.name == LAST
                return found, notes
        if notes:
            raise CheckpointError(self.path, "", "no checkpoint can be used: " + " | ".join(notes),
                                  "train without --resume, or into another folder")
        return None, notes

    def best(self) -> Checkpoint:
        """The checkpoint with the best monitored metric; CheckpointError when there is none."""
        return read_checkpoint(self.path / BEST)


def check_belongs(path: Path | None, checkpoint: Checkpoint, identity: Identity,
                  expected: Mapping[str, Type]) -> None:
    """Raise CheckpointError unless the checkpoint is of this task and fits its arrays.

    `expected` are the program's persistent values. Messages name the first difference.
    """
    mine = checkpoint.identity
    if mine.model != identity.model:
        raise CheckpointError(path, "", f"is of the model {mine.model!r}, not {identity.model!r}",
                              "another --out folder")
    needed = {name: type_ for name, type_ in expected.items() if name not in OF_SCHEDULES}
    scaled = [any(name.endswith(SCALE) for name in names)
              for names in (checkpoint.arrays, expected)]
    if scaled[0] != scaled[1]:
        had, has = ("in f16" if scale else "in f32 or bf16" for scale in scaled)
        raise CheckpointError(path, "", f"was trained {had}, not {has}", ANOTHER)
    check_fits(path, checkpoint.arrays, needed)
    foreign = sorted(set(checkpoint.arrays) - set(expected) - set(OF_SCHEDULES))
    if foreign:
        raise CheckpointError(path, "", f"holds {foreign[0]!r}, which the model does not have",
                              "a checkpoint of the same model")
    for what in ("seed", "batch"):
        had, has = getattr(mine, what), getattr(identity, what)
        if had != has:
            raise CheckpointError(path, "", f"was made with {what} {had}, not {has}", ANOTHER)
    if mine.task != identity.task and not same_lines(mine.task, identity.task):
        raise CheckpointError(path, "", first_difference(mine, identity), ANOTHER)


def first_difference(had: Identity, has: Identity) -> str:
    """What differs first between two trainings (`what_is_trained` in dlc/task_training.py)."""
    before, now = had.task.splitlines(), has.task.splitlines()
    if len(before) < 2 < len(now):
        return "was made by a version of dlc that did not say what it trained"
    for old, new in itertools.zip_longest(before, now, fillvalue=""):
        if bare(old) == bare(new):
            continue
        part = "its data have" if (new or old).startswith("data ") else "what a step does has"
        return f"{part} changed: it was `{told(old)}` and is `{told(new)}`"
    return ""


def same_lines(had: str, has: str) -> bool:
    """Whether two descriptions say the same, wherever in the user's file it stands."""
    return list(map(bare, had.splitlines())) == list(map(bare, has.splitlines()))


def bare(line: str) -> str:
    """A line without the place in the user's file, and without what aligns that."""
    return " ".join(line.partition("# ")[0].split())


def told(line: str) -> str:
    return " ".join(line.split()) or "nothing"


def check_fits(path: object, arrays: Mapping[str, np.ndarray[Any, Any]],
               expected: Mapping[str, Type]) -> None:
    """Raise CheckpointError unless there is an array of each of the types `expected`, by name."""
    for name, type_ in expected.items():
        if name not in arrays:
            raise CheckpointError(path, "", f"has no {name!r}, which the model needs as {type_}",
                                  "a checkpoint of the same model")
        array = arrays[name]
        if array.shape != tuple(type_.shape) or array.dtype != type_.dtype.numpy:
            raise CheckpointError(path, "", f"{name!r} is {array.dtype}{list(array.shape)}, "
                                  f"but the model needs {type_}", "a checkpoint of the same model")
