"""The schedules of four networks do not get worse: counts of a training step, on AVX-512."""

from __future__ import annotations

from dataclasses import astuple, fields

import pytest

from tests.scheduling.figures import Figures, figures
from tests.scheduling.networks import NETWORKS

HELD = {
    "lenet": Figures(26, 36, 19, 1_840_904, 15_402_880, 3_651_840),
    "lstm": Figures(181, 153, 119, 43_359_984, 87_195_776, 11_539_008),
    "gpt": Figures(134, 192, 79, 141_940_736, 547_222_336, 117_375_040),
    "resnet18": Figures(124, 178, 50, 1_869_510_920, 1_717_916_928, 347_026_560),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_figures_are_no_worse(name: str) -> None:
    """docs/design/scheduling.md has them, and says what each counts."""
    found = figures(NETWORKS[name](), "avx512")
    worse = [f"{f.name}: {now} instead of {held}" for f, now, held in zip(
        fields(Figures), astuple(found), astuple(HELD[name]), strict=True) if now > held]
    assert not worse, "; ".join(worse)
