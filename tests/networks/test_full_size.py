"""The networks of the papers have the published numbers of parameters."""

from __future__ import annotations

import pytest

from tests.networks.full_size import NETWORKS, classified


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters(name: str) -> None:
    network, parameters = NETWORKS[name]
    task = classified(network(), batch=2)
    assert task.meta(task.graphs(kinds=("eval",)))["parameters"] == parameters
