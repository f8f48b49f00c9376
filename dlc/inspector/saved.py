"""An Inspection read back from the JSON that `dlc show --json` wrote."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from dlc.inspector.record import (
    FORMAT,
    BufferInfo,
    EdgeInfo,
    EntryInfo,
    File,
    Finding,
    Function,
    Inspection,
    KernelInfo,
    LaunchInfo,
    LineCost,
    PeakShare,
    Row,
    RuleInfo,
    Stage,
)

# What the elements of a field are.
PARTS: dict[type, dict[str, type]] = {
    Inspection: {"files": File, "rows": Row, "entries": EntryInfo, "kernels": KernelInfo,
                 "findings": Finding},
    EntryInfo: {"stages": Stage, "launches": LaunchInfo, "edges": EdgeInfo, "buffers": BufferInfo,
                "lines": LineCost, "peak": PeakShare},
    Stage: {"functions": Function, "rules": RuleInfo}}


class FormatError(ValueError):
    """Not the JSON of an Inspection, or that of another version."""


def read(text: str) -> Inspection:
    """The Inspection. Raises FormatError for anything else."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise FormatError(f"not JSON: {problem}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FormatError(f"not an inspection of format {FORMAT}, which this version reads")
    found: Inspection = made(Inspection, data)
    return found


def made(kind: type, data: Any) -> Any:
    """A record of `kind` from its dict. Raises FormatError where a field is missing or unknown."""
    names = {f.name for f in fields(kind)}
    if not isinstance(data, dict) or set(data) != names:
        raise FormatError(f"not a record of {kind.__name__}")
    parts = PARTS.get(kind, {})
    if not all(isinstance(data[key], list) for key in parts):
        raise FormatError(f"not a record of {kind.__name__}")
    return kind(**{key: tuple(made(parts[key], v) for v in value) if key in parts
                   else frozen(value) for key, value in data.items()})


def frozen(value: Any) -> Any:
    """Lists as tuples."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value
