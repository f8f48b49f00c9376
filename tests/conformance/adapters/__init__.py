"""torch's operators said in dlc's DSL: TABLE holds them all once this is imported."""

from tests.conformance.adapters import (  # noqa: F401  each module enters its adapters
    activations,
    algebra,
    attention,
    elementwise,
    layers,
    losses,
    places,
    reductions,
    shapes,
    special,
    windows,
)
from tests.conformance.adapters.registry import TABLE, Adapter, Excluded

__all__ = ["TABLE", "Adapter", "Excluded"]
