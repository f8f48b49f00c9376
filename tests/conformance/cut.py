"""Which part of a suite runs: all of it, or the cut of the day; what failed before is always in."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# `make conformance-full` runs everything; `make conformance` draws by a number of the day, printed.
FULL = os.environ.get("CONFORMANCE_FULL", "0") not in ("", "0")
SEED = int(os.environ.get("CONFORMANCE_SEED", int(time.time()) // 86400))
BEFORE = Path(__file__).parent / "failed_before"


def failed_before(suite: str) -> list[str]:
    """The names of cases of `suite` that dlc once got wrong: failed_before/SUITE.txt, one a line.
    """
    path = BEFORE / f"{suite}.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def chosen(suite: str, names: Sequence[str], count: int) -> list[str]:
    """`count` of `names` by the day's seed, and what failed before; all of them in a full run.

    The order is that of `names`. Raises KeyError when a name that failed before is not there.
    """
    always = failed_before(suite)
    if unknown := sorted(set(always) - set(names)):
        raise KeyError(f"failed_before/{suite}.txt names no case of the suite: {unknown}")
    if FULL or count >= len(names):
        return list(names)
    rng = np.random.default_rng([SEED, zlib.crc32(suite.encode())])
    drawn = {names[i] for i in rng.permutation(len(names))[:count]}
    return [name for name in names if name in drawn or name in always]


class Tally:
    """Counts of one test: cases passed, and left out by reason; a failing test is one wrong."""

    def __init__(self, suite: str, record: Callable[[str, Any], None]) -> None:
        # plain data, so that a process of pytest-xdist can hand it over when the test is done
        self._counts: dict[str, Any] = {"suite": suite, "passed": 0, "excluded": {}, "drawn": ""}
        record("tally", self._counts)

    def add(self, count: int = 1) -> None:
        """`count` more cases have passed."""
        self._counts["passed"] += count

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
