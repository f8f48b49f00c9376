"""Short runs of the bundled networks, which fail when a gradient's sign, an optimizer's second
moment or the random numbers are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from dlc.cli.source import load_task
from tests.networks.short import RUNS, Short


@pytest.mark.swept(5, keep=("xor",))
@pytest.mark.parametrize("name", RUNS)
def test_a_short_run_gets_where_it_should(name: str) -> None:
    short: Short = RUNS[name]
    options: dict[str, Any] = dict(short.options)
    figure = float(load_task(name).train(seed=0, **options).metrics[short.metric])
    assert short.low <= figure <= short.high, f"{name}: {short.metric} {figure:.6g}"
