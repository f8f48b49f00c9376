"""The schedules of four networks do not get worse: counts of a training step, on AVX-512."""

from __future__ import annotations

from dataclasses import astuple, fields

import pytest

from tests.conformance.cut import chosen
from tests.scheduling.figures import Figures, figures
from tests.scheduling.networks import NETWORKS

HELD = {
    "lenet": Figures(31, 25, 13, 1_080_040, 16_015_936, 3_651_840),
    "lstm": Figures(155, 122, 9, 14_524_144, 79_986_816, 11_812_864),
    "gpt": Figures(185, 157, 58, 121_493_504, 637_203_264, 104_267_840),
    "resnet18": Figures(124, 124, 50, 2_118_056_200, 1_692_685_568, 347_026_560),
}


# the others take ten times as long, and resnet18 a hundred times: on the days of their cut
LARGE = [name for name in NETWORKS if name != "lenet"]


@pytest.mark.parametrize("name", ["lenet", *(
    pytest.param(name, marks=pytest.mark.conformance) for name in chosen("figures", LARGE))])
def test_figures_are_no_worse(name: str) -> None:
    """docs/design/scheduling.md has them, and says what each counts."""
    found = figures(NETWORKS[name](), "avx512")
    worse = [f"{f.name}: {now} instead of {held}" for f, now, held in zip(
        fields(Figures), astuple(found), astuple(HELD[name]), strict=True) if now > held]
    assert not worse, "; ".join(worse)
