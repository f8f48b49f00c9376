"""GPT-2 small in a fresh process: its parameters counted, its memory known before the first step,
and the losses of two steps those of PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.conformance

EPS = 2.0**-24


def test_two_steps_are_those_of_pytorch() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.conformance.gpt2_step"], check=True,
                          capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["parameters"] == 124_439_808
    assert found["known"] == found["met"] and found["bytes"] < 8e9
    (first, second), (one, two) = found["losses"], found["torch"]
    # A score is a sum of 768 products, of rows that come through 24 residual sums.
    assert abs(first - one) <= (768 + 24) * EPS * one
    # Adam's first step takes RATE |gradient| a weight off the loss, but where rounding decides
    # its sign, which then is below that fraction of what it was added up from.
    assert one - two > 20
    assert abs(second - two) <= (768 + 24) * EPS * (one + (one - two))
