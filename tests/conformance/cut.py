"""Which part of a suite runs: all of it, a shard, or the slice of the day.

A case belongs to one of PARTS parts by a hash of its name, so that a new case moves no other. A
slice is two parts; ten days in a row run all ten slices. What failed before is always in.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from dlc.compiler import instruction_set
from dlc.runtime.compile.isa import machine_isa

PARTS, SLICES = 20, 10
# `make conformance-full` runs everything, or the shard k of SHARD=k/20, on one instruction set;
# `make conformance` the slice of the day's number, which is printed.
FULL = os.environ.get("CONFORMANCE_FULL", "0") not in ("", "0")
SEED = int(os.environ.get("CONFORMANCE_SEED", int(time.time()) // 86400))
BEFORE = Path(__file__).parent / "failed_before"
NATIVE = {"avx512": ("avx2", "scalar", "avx512"), "avx2": ("avx2", "scalar"),
          "neon": ("neon", "scalar"), "scalar": ("scalar",)}


def shard(text: str) -> int:
    """The part that SHARD=k/20 names, from 0. Raises ValueError for another text."""
    number, _, of = text.partition("/")
    if not number.isdecimal() or of != str(PARTS) or not 1 <= int(number) <= PARTS:
        raise ValueError(f"SHARD={text!r} is none of 1/{PARTS} to {PARTS}/{PARTS}")
    return int(number) - 1


def parts(full: bool, seed: int, text: str) -> frozenset[int]:
    """The parts of a run: of a full one all or that of the shard, else those of the day's slice."""
    if not full:
        return frozenset(range(seed % SLICES, PARTS, SLICES))
    return frozenset([shard(text)]) if text else frozenset(range(PARTS))


def rotated(full: bool, seed: int, machine: str) -> str:
    """The instruction set that a run compiles for where DLC_CPU says none: the machine's own in a
    full run; day by day another of those it has, so that each slice meets each of them."""
    sets = NATIVE[machine]
    return machine if full else sets[(seed + seed // SLICES) % len(sets)]


RUNNING = parts(FULL, SEED, os.environ.get("SHARD", ""))


def part_of(suite: str, name: str) -> int:
    """The part that a case belongs to, now and always."""
    return zlib.crc32(f"{suite}: {name}".encode()) % PARTS


def isa() -> str:
    """The instruction set that this run compiles for."""
    return instruction_set() if os.environ.get("DLC_CPU") else rotated(FULL, SEED, machine_isa())


def failed_before(suite: str) -> list[str]:
    """The names of cases of `suite` that dlc once got wrong: failed_before/SUITE.txt, one a line.
    """
    path = BEFORE / f"{suite}.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def chosen(suite: str, names: Sequence[str], running: frozenset[int] = RUNNING) -> list[str]:
    """Those of `names` that run, in their order; in the cut of the day what failed before too.

    Raises KeyError when a name that failed before is not there.
    """
    always = set(failed_before(suite))
    if unknown := sorted(always - set(names)):
        raise KeyError(f"failed_before/{suite}.txt names no case of the suite: {unknown}")
    always = set() if FULL else always
    return [name for name in names if name in always or part_of(suite, name) in running]


def swept(suite: str, always: int, total: int) -> list[Any]:
    """Seeds of a test over random cases, for parametrize: the first `always` in every run, of those
    up to `total` the day's in `make conformance`."""
    others = chosen(suite, [str(seed) for seed in range(always, total)], RUNNING)
    return [*range(always), *(pytest.param(int(seed), marks=pytest.mark.conformance)
                              for seed in others)]


def split(items: Sequence[pytest.Item], asked: Collection[str]) -> list[pytest.Item]:
    """Those of `items` that stay in a run: of a test with `@pytest.mark.swept(n, keep=...)` its
    last case, each n-th before it and those whose ids `keep` names are in every run, the day's of
    the others in `make conformance`; of one with `@pytest.mark.sliced` the day's cases. `asked` are
    cases asked for by their whole name, which run."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("swept") and not item.get_closest_marker("conformance"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    gone = {item for item in items if item.nodeid not in asked
            and item.get_closest_marker("sliced") and item.get_closest_marker("conformance")
            and part_of("tests", item.nodeid) not in RUNNING}
    for group in cases.values():
        mark = group[0].get_closest_marker("swept")
        for place, item in enumerate(reversed(group)):
            name = item.nodeid.partition("[")[2].removesuffix("]")
            if place % mark.args[0] and name not in mark.kwargs.get("keep", ()) and (
                    item.nodeid not in asked):
                item.add_marker("conformance")
                if part_of("swept", item.nodeid) not in RUNNING:
                    gone.add(item)
    return [item for item in items if item not in gone]


class Tally:
    """Counts of one test: cases passed, wrong, and left out by reason."""

    def __init__(self, suite: str, record: Callable[[str, Any], None]) -> None:
        # plain data, so that a process of pytest-xdist can hand it over when the test is done
        self._counts: dict[str, Any] = {"suite": suite, "passed": 0, "wrong": 0, "excluded": {},
                                        "drawn": ""}
        record("tally", self._counts)

    def add(self, count: int = 1) -> None:
        """`count` more cases have passed."""
        self._counts["passed"] += count

    def fail(self) -> None:
        """One more case is wrong; the test goes on, and fails when it has seen all."""
        self._counts["wrong"] += 1

    def leave_out(self, reason: str, count: int = 1) -> None:
        """`count` cases are not run, for `reason`: a row of docs/conformance.md."""
        excluded = self._counts["excluded"]
        excluded[reason] = excluded.get(reason, 0) + count

    def drawn_from(self, seeds: str) -> None:
        """Random cases that only these seeds make again: a row of docs/conformance.md."""
        self._counts["drawn"] = seeds

    @property
    def passed(self) -> int:
        """Cases that have passed so far."""
        return int(self._counts["passed"])

    @property
    def excluded(self) -> dict[str, int]:
        """Cases left out, by reason."""
        return dict(self._counts["excluded"])
