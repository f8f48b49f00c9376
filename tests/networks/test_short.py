"""Short runs of the bundled networks, which fail when a gradient's sign, an optimizer's second
moment or the random numbers are wrong."""

from __future__ import annotations

import pytest

from tests.networks.short import RUNS, Short, figure


@pytest.mark.swept(5, keep=("xor",))
@pytest.mark.parametrize("name", RUNS)
def test_a_short_run_gets_where_it_should(name: str) -> None:
    short: Short = RUNS[name]
    found = figure(name)
    what = f"the loss after {short.steps} steps" if short.steps else short.metric
    assert short.low <= found <= short.high, f"{name}: {what} {found:.6g}"
