"""The registry of operators, which refuses an incomplete record at import."""

from __future__ import annotations

from functools import lru_cache
from weakref import WeakSet

from dlc.ir.graph import Kind, Op

REGISTRY: dict[str, Op] = {}
# what custom operators were before they were defined again; graphs traced before still hold them
EARLIER: WeakSet[Op] = WeakSet()


def register(op: Op) -> Op:
    """Add `op` to the registry. Raises ValueError when the record is incomplete or the name taken.
    """
    missing = [f for f in ("infer", "eval", "samples") if getattr(op, f) is None]
    if op.gradient == "smooth" and op.grad is None and op.pull is None and op.expand is None:
        missing.append("grad")
    if op.emit is None and op.kind not in (Kind.LEAF, Kind.ITEM, Kind.HIGHER):
        missing.append("emit")
    if not op.doc:
        missing.append("doc")
    if missing:
        raise ValueError(f"operator {op.name!r} is incomplete: it lacks {', '.join(missing)}")
    if op.name in REGISTRY:
        raise ValueError(f"operator {op.name!r} is registered twice")
    REGISTRY[op.name] = op
    return op


@lru_cache(maxsize=1024)
def operand_count(op: Op) -> int | None:
    """How many operands an elementwise `op` takes, by its samples; None: its type rule says."""
    if op.kind is not Kind.ELEMENTWISE or op.samples is None:
        return None
    return len(next(iter(op.samples()))[0])
