"""What run_steps takes and gives: phases of steps, and the report of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Log = dict[tuple[str, str], np.ndarray[Any, Any]]
LOGGED_BYTES = 64  # outputs up to this size are logged for every run


@dataclass(frozen=True)
class Phase:
    """One entry, run in the steps where `step % every == offset`.

    `feeds` maps entry inputs to whole data sets (rows first); the k-th run of a call copies the
    rows `index[k]` (int64 [runs, batch]). `fixed` maps inputs to one value for all runs.
    """

    entry: str
    every: int = 1
    offset: int = 0
    feeds: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    index: np.ndarray[Any, Any] | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepReport:
    """What a run did.

    `steps` counts finished steps (a faulty one included), `log[(entry, output)]` holds one row for
    every run of the entry, `fault` the nonzero fault word if `reason` is "fault".
    """

    steps: int
    reason: Literal["done", "fault", "interrupt", "stopped"]
    log: Log
    seconds: float
    fault: int = 0
