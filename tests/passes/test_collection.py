"""Cyclic garbage is collected again after a compilation, whatever came of it."""

from __future__ import annotations

import gc

import pytest

import dlc
from dlc import f32
from dlc.backend.assemble import assembled
from dlc.passes import run_pipeline
from dlc.passes.collection import without_collection


def test_collection_waits_for_the_outermost() -> None:
    assert gc.isenabled()
    with without_collection():
        with without_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_goes_on_after_a_pass_and_an_assembly_that_fail() -> None:
    seen: list[bool] = []

    def failing(*_: object) -> None:
        seen.append(gc.isenabled())
        raise ValueError("planted")

    graph = dlc.trace(lambda x: dlc.tanh(x), f32[3])
    with pytest.raises(ValueError, match="planted"):
        run_pipeline(graph, failing)
    assert seen == [False] and gc.isenabled()
    with pytest.raises(KeyError):
        assembled("main", {"main": graph}, "cpu", "no such machine")[0]
    assert gc.isenabled()
