"""The size thresholds of fusion. They affect speed, never a result.

`fuse` takes them as an argument, so that tests can make them small and have small programs meet
both sides of each.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FusionLimits:
    """What docs/fusion.md says in words, as numbers."""

    small: int = 16384
    """elements: a group this small may run as one chunk, on one thread"""
    rows: int = 16
    """positions of the parallel loops that are enough to share among threads"""
    long_rows: int = 4
    """positions that are enough where each reduces at least small / long_rows elements"""
    operators: int = 128
    """operators of one loop group: LLVM's time for a kernel grows faster than its text"""
    inlined: int = 8
    """operators of a producer that is computed at other indices than its own"""
    same_reads: float = 1.01
    """reads of each element of such a producer that count as one: a border is read again"""
    cheap_reads: float = 4
    """reads of each element of such a producer whose operators are all cheap"""
    again: int = 64
    """operators that are computed again rather than kept: no chain of any length"""
    twins_bytes: int = 1 << 16
    """bytes of the results of independent groups that become one launch: others live longer"""


DEFAULT = FusionLimits()
