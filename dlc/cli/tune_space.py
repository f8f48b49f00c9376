"""What `dlc tune` tries: grids of values, and random values of ranges."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.cli.arguments import UsageError
from dlc.errors import DlcError, nearest

if TYPE_CHECKING:
    from dlc.task.task import Task

# All trials are judged alike: on the same data, by the same metric.
FIXED = ("data", "monitor")
COUNTS = ("batch", "epochs", "patience")
SCALES = ("log", "linear")
DIGITS = 4  # of a random number
DRAWS = 10  # where --trials does not say


@dataclass(frozen=True)
class Range:
    """Random values of an option: from `low` to `high`, evenly or (`log`) their logarithms evenly;
    whole numbers where the option takes no others."""

    key: str
    low: float
    high: float
    log: bool
    whole: bool

    def draw(self, part: float) -> str:
        """The value at `part` from 0 to 1, in the digits in which it is tried."""
        low, high = self.low, self.high
        if self.whole:
            low, high = low - 0.5, high + 0.5
        value = low * (high / low) ** part if self.log else low + (high - low) * part
        if self.whole:
            return str(min(max(round(value), int(self.low)), int(self.high)))
        return f"{min(max(float(f'{value:.{DIGITS}g}'), self.low), self.high)!r}"

    def __str__(self) -> str:
        return f"{self.key}={self.low:g}:{self.high:g}:{SCALES[0] if self.log else SCALES[1]}"


@dataclass(frozen=True)
class Space:
    """All that is tried: each combination of the grids, with so many random draws each."""

    grids: Mapping[str, tuple[str, ...]]
    ranges: tuple[Range, ...]
    seed: int = 0

    @property
    def keys(self) -> tuple[str, ...]:
        return (*self.grids, *(r.key for r in self.ranges))

    def trials(self, draws: int) -> Iterator[dict[str, str]]:
        """The settings of each trial. Trial k is the same however many follow it."""
        combinations = list(itertools.product(*self.grids.values()))
        for number in range(draws if self.ranges else 1):
            for at, values in enumerate(combinations):
                trial = number * len(combinations) + at
                drawn = {r.key: r.draw(self.chance(r.key, trial)) for r in self.ranges}
                yield {**dict(zip(self.grids, values, strict=True)), **drawn}

    def chance(self, key: str, trial: int) -> float:
        """A number in [0, 1) that depends on the seed, the key and the trial alone."""
        place = np.array([self.seed, (zlib.crc32(key.encode()) << 32) | trial], np.uint64)
        word = np.random.Philox(key=place).random_raw(1)[0]
        return int(word >> np.uint64(11)) * 2.0 ** -53

    def describe(self) -> list[str]:
        """The space as text, a line a key."""
        return [*(f"{k}={','.join(v)}" for k, v in self.grids.items()), *map(str, self.ranges)]


def read_space(task: Task, grids: Sequence[str], ranges: Sequence[str], seed: int) -> Space:
    """The space of --grid and --random. Raises UsageError or DlcError, before anything compiles,
    for a key that the task has not and for a value that it does not take."""
    found: dict[str, tuple[str, ...]] = {}
    drawn: dict[str, Range] = {}
    for text in grids:
        key, values = split(task, "--grid", text, "KEY=A,B,C, e.g. lr=0.01,0.001", (*found, *drawn))
        found[key] = tuple(dict.fromkeys(listed(values)))
    for text in ranges:
        key, values = split(task, "--random", text, "KEY=LOW:HIGH, e.g. lr=1e-4:1e-1",
                            (*found, *drawn))
        drawn[key] = read_range(task, key, values, text)
    space = Space(found, tuple(drawn.values()), seed)
    if not space.keys:
        raise UsageError("there is nothing to search\n  give --grid KEY=A,B,C or --random "
                         f"KEY=LOW:HIGH; keys are {', '.join(searched(task))}")
    for key, tried in found.items():
        for value in tried:
            task.with_options(**{key: value})
    for range_ in space.ranges:
        for part in (0.0, 1 - 2.0 ** -53):
            task.with_options(**{range_.key: range_.draw(part)})
    return space


def searched(task: Task) -> list[str]:
    """The options of a task that may be searched."""
    from dlc.task.options import FIELDS, settings

    return [key for key in (*FIELDS, *settings(task)) if key not in FIXED]


def split(task: Task, option: str, text: str, fits: str, taken: Sequence[str]) -> tuple[str, str]:
    """(key, the rest) of KEY=REST. Raises UsageError for neither, DlcError for an unknown key."""
    key, equals, values = text.partition("=")
    if not (key and equals and values):
        raise UsageError(f"{option} {text} is invalid; it takes {fits}")
    if key in taken:
        raise UsageError(f"{option} {text}: {key} is searched already")
    if key in FIXED:
        raise UsageError(f"{option} {text}: {key} is the same for all trials, or they could not be "
                         f"compared\n  give it by --set {key}=VALUE")
    known = searched(task)
    if key not in known:
        raise DlcError(f"{option} {text}: {task.name} has no option {key!r}{nearest(key, known)}",
                       None, f"options to search are {', '.join(known)}")
    return key, values


def listed(text: str) -> list[str]:
    """The values between commas; those within brackets divide nothing."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def read_range(task: Task, key: str, values: str, text: str) -> Range:
    """LOW:HIGH, with :log or :linear behind. Raises UsageError for any other."""
    low_text, _, rest = values.partition(":")
    high_text, _, scale = rest.partition(":")
    low, high = number(low_text), number(high_text)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"--random {text}: LOW:HIGH are two numbers, the first the smaller\n"
                         "  e.g. lr=1e-4:1e-1")
    if scale and scale not in SCALES:
        raise UsageError(f"--random {text}: {scale!r} is no scale{nearest(scale, list(SCALES))}\n"
                         f"  {low_text}:{high_text}:log or {low_text}:{high_text}:linear")
    kind = kind_of(task, key)
    if kind not in (int, float):
        raise UsageError(f"--random {text}: {key} is no number\n  list its values: --grid "
                         f"{key}=A,B")
    whole = kind is int
    if whole and not (low.is_integer() and high.is_integer()):
        raise UsageError(f"--random {text}: {key} is a whole number, and so are LOW and HIGH")
    log = scale == "log" or (key == "lr" and not scale)
    if log and low <= 0:
        raise UsageError(f"--random {text}: a logarithmic range begins above 0\n  e.g. "
                         f"{key}=1e-5:{max(high, 1.0):g}, or {low_text}:{high_text}:linear")
    return Range(key, low, high, log, whole)


def kind_of(task: Task, key: str) -> type[Any]:
    """The type of an option's values."""
    from dlc.task.options import settings

    if key in COUNTS:
        return int
    if key == "lr":
        return float
    own = settings(task)
    return type(own[key]) if key in own else str


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
