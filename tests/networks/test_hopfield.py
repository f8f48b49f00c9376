"""How much a Hopfield network holds: the overlap of what it recalls, against its load."""

from __future__ import annotations

from dlc.cli.source import load_task

UNITS = 400
# At a load of .138 it is .967, and beyond it breaks down (Amit, Gutfreund and Sompolinsky 1985).
AT_CAPACITY = 0.967


def overlap(patterns: int) -> float:
    """Of the recalled with the stored patterns, a tenth of whose units were flipped."""
    trained = load_task("hopfield").with_options(patterns=patterns).train(seed=0)
    return float(trained.metrics["overlap"])


def test_recall_breaks_down_near_a_load_of_138_thousandths() -> None:
    loads = [52 / UNITS, 56 / UNITS]
    assert loads[0] < 0.138 < loads[1]
    below, above = (overlap(round(load * UNITS)) for load in loads)
    assert below > AT_CAPACITY > above
    assert above > overlap(72) > 0.5
