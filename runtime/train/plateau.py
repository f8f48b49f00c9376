"""How often a metric has stagnated, as counted by the schedule `plateau` (ReduceLROnPlateau)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

STATE = "plateau"  # the state in which a program keeps the count


@dataclass(frozen=True)
class PlateauRule:
    """After `patience` epochs without a metric better by the share `threshold` the next counts as a
    plateau; the `cooldown` epochs behind it do not count."""

    patience: int
    threshold: float = 1e-4
    cooldown: int = 0

    def count(self, values: Sequence[float], higher_is_better: bool) -> int:
        """The plateaus among the metric's values, an epoch each."""
        best = -math.inf if higher_is_better else math.inf
        found = bad = cooling = 0
        for value in values:
            if self.is_better(value, best, higher_is_better):
                best, bad = value, 0
            else:
                bad += 1
            if cooling:
                cooling, bad = cooling - 1, 0
            if bad > self.patience:
                found, bad, cooling = found + 1, 0, self.cooldown
        return found

    def is_better(self, value: float, best: float, higher_is_better: bool) -> bool:
        """Whether `value` is better than `best` by more than the threshold."""
        if math.isinf(best):
            return value > best if higher_is_better else value < best
        if higher_is_better:
            return value > best * (1 + self.threshold)
        return value < best * (1 - self.threshold)
