"""Compile time grows with the program, not faster: calls of dlc's functions are counted, stage by
stage, while chains of 10, 20 and 40 layers are compiled. Counts do not depend on the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from cProfile import Profile
from dataclasses import dataclass
from functools import lru_cache
from unittest.mock import patch

import pytest

from dlc.backend import assemble, lower
from tests.compile_time import networks
from tests.compile_time.bench import ALL_STAGES, Clock, compile_timed
from tests.conformance.cut import chosen

GROWTH = 2.2  # a doubling, and a tenth for what a larger program does in deeper structures
FEW = 400  # calls: below, a stage does next to nothing and its fixed part decides


class Calls(Clock):
    """Counts calls of Python functions by stage, in the place of seconds: each stage has a profiler
    of its own, and the innermost one runs."""

    def __init__(self) -> None:
        super().__init__()
        self.profiles = {name: Profile(builtins=False) for name in ALL_STAGES}
        self.stages: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        around = [self.profiles[outer] for outer in self.stages[-1:]]
        for profile in around:
            profile.disable()
        self.stages.append(name)
        self.profiles[name].enable()
        try:
            yield
        finally:
            self.profiles[name].disable()
            self.stages.pop()
            for profile in around:
                profile.enable()

    @property
    def calls(self) -> Counter[str]:
        """How many calls each stage has made."""
        return Counter({name: sum(entry.callcount for entry in profile.getstats())
                        for name, profile in self.profiles.items()})


@dataclass(frozen=True)
class Compiled:
    """Calls by stage of one compilation, and what it made."""

    calls: Counter[str]
    lowered: int
    longest: int


def counted(layers: int) -> Compiled:
    """A chain compiled, without the checks that tests add to it (tests/conftest.py)."""
    calls, plain = Calls(), getattr(assemble.assembled, "__wrapped__", assemble.assembled)
    with (patch.object(assemble, "assembled", plain),
          patch.object(lower, "_lower_component", wraps=lower._lower_component) as lowered):
        program = compile_timed(networks.chain(layers), calls)
    return Compiled(calls.calls, lowered.call_count, max(len(k.text) for k in program.kernels))


@lru_cache
def chain(layers: int) -> Compiled:
    """A chain compiled once, after one whose imports, rules and texts that are kept are met."""
    if layers > 2:
        chain(2)
    return counted(layers)


# 40 layers take as long as all else here: on the days of their cut
LAYERS = pytest.mark.parametrize("layers", [10, *(
    pytest.param(int(n), marks=pytest.mark.conformance) for n in chosen("growth", ["20"]))])


@LAYERS
def test_every_stage_grows_with_the_program(layers: int) -> None:
    """At most 2.2 times the calls for twice the layers."""
    few, many = chain(layers).calls, chain(2 * layers).calls
    assert not {stage: (few[stage], many[stage]) for stage in ALL_STAGES
                if many[stage] > max(GROWTH * few[stage], FEW)}


@LAYERS
def test_equal_layers_are_lowered_once(layers: int) -> None:
    assert chain(layers).lowered == chain(2 * layers).lowered < 40


@LAYERS
def test_kernels_do_not_grow_with_the_program(layers: int) -> None:
    """Updates of parameters of one size are parts of their launch, equal ones one kernel."""
    assert chain(layers).longest == chain(2 * layers).longest
