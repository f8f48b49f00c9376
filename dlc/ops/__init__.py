"""Every operator, whole: one record each. The registry refuses an incomplete record at import."""

from __future__ import annotations

from functools import lru_cache
from weakref import WeakSet

from dlc.graph import Kind, Op

REGISTRY: dict[str, Op] = {}
# what custom operators were before they were defined again; graphs traced before still hold them
EARLIER: WeakSet[Op] = WeakSet()


def register(op: Op) -> Op:
    """Add `op` to the registry. Raises ValueError when the record is incomplete or the name taken.
    """
    missing = [f for f in ("infer", "eval", "samples") if getattr(op, f) is None]
    if op.gradient == "smooth" and op.grad is None and op.pull is None and op.expand is None:
        missing.append("grad")
    if op.emit is None and op.kind not in (Kind.LEAF, Kind.HIGHER):
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


from dlc.ops import (  # noqa: E402  the records need `register`
    argsort,
    batching,
    contract,
    control,
    convert,
    cumulative,
    elementwise,
    elementwise_bits,
    elementwise_functions,
    elementwise_special,
    gather,
    gradient_rules,
    higher,
    leaf,
    linalg_exp,
    linalg_factor,
    linalg_qr,
    linalg_solve,
    linalg_spectral,
    reduce,
    scatter,
    scatter_onto,
    sort,
    view,
    window,
)
from dlc.ops import methods as _methods  # noqa: E402
from dlc.ops import numpy_calls as _numpy_calls  # noqa: E402

_methods.install()
_numpy_calls.install()

__all__ = ["REGISTRY", "argsort", "batching", "contract", "control", "convert", "cumulative",
           "elementwise", "elementwise_bits", "elementwise_functions", "elementwise_special",
           "gather", "gradient_rules", "higher", "leaf", "linalg_exp", "linalg_factor", "linalg_qr",
           "linalg_solve", "linalg_spectral", "operand_count", "reduce", "register", "scatter",
           "scatter_onto", "sort", "view", "window"]
