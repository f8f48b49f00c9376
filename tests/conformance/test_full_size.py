"""Networks for photographs, in full size and in a fresh process: one training step takes the memory
that was planned, and its loss and gradients are PyTorch's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.cut import chosen
from tests.conformance.full_size import TWINS

pytestmark = pytest.mark.conformance
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", chosen("full size", list(TWINS)))
def test_one_step_in_full_size(name: str) -> None:
    """Both within three times the peer's own error in f32. For the loss, the logarithm of a sum of
    exponentials less a logit, that is twice the logits' error, and the rounding of its value."""
    run = subprocess.run([sys.executable, "-m", "tests.conformance.full_size", name], cwd=ROOT,
                         capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    print(name, found)
    assert found["planned"] == found["allocated"]
    assert found["process"] < 8 * 2**30
    assert abs(found["loss"] - found["exact"]) <= 3 * (
        2 * found["logits"] + 2.0**-23 * found["exact"])
    assert found["gradient"] <= 3 * found["peer_gradient"]
