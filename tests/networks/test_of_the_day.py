"""Bundled networks trained to the end and held to their figures: a tenth of them a day, so that ten
consecutive seeds train all (`make networks` trains each from three seeds)."""

from __future__ import annotations

import pytest

from dlc.models import GOALS
from tests.conformance.cut import SEED
from tests.networks.measure import beaten, measure

pytestmark = pytest.mark.networks


def test_pretraining_wins() -> None:
    """From each of five seeds, one a day: few labels after two machines beat few labels alone."""
    found, other = (measure(name, SEED % 5) for name in ("deep_belief", "deep_belief_random"))
    assert beaten(found, other), f"{found.line()}\n{other.line()}"


@pytest.mark.parametrize("name", list(GOALS)[SEED % 10::10])
def test_a_network_reaches_its_figure(name: str) -> None:
    found = measure(name, SEED % 3)
    assert found.goal.reached(found.figure), found.line()
    if found.goal.beats:
        other = measure(found.goal.beats, found.seed)
        assert beaten(found, other), f"{found.line()}\n{other.line()}"
