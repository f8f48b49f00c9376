"""Libraries that several tests ask: built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlc.library import build_library
from tests.instruction_sets import NATIVE
from tests.library import networks

SETS = tuple(isa for isa in NATIVE if isa != "scalar") or NATIVE


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of the data of all networks here."""
    return networks.write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, data: str) -> Path:
    """The folder of the narrow LeNet, for every vector instruction set of this machine."""
    folder = tmp_path_factory.mktemp("built") / "small"
    build_library(networks.narrow(data), folder, isas=SETS, seed=3, data=True)
    return folder


@pytest.fixture(scope="session")
def dense(tmp_path_factory: pytest.TempPathFactory, data: str) -> Path:
    """The folder of a dense layer, for all instruction sets of this machine."""
    folder = tmp_path_factory.mktemp("built") / "dense"
    build_library(networks.tiny(data), folder, isas=NATIVE, data=True)
    return folder
