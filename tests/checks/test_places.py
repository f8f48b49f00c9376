"""Places: values whose bytes another took before they were read, in plans with a planted fault."""

from __future__ import annotations

from typing import Any

import pytest

import dlc
from dlc import f32
from dlc.checks.places import Owners, PlaceError
from dlc.models.xor import xor
from dlc.passes.schedule import lives, order, plan_memory
from dlc.program import Program


def rows(xs: f32[5, 4], w: f32[4, 4], start: f32[4]) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = dlc.tanh(h @ w + x)
        return h, h * 2.0 + x
    last, ys = dlc.scan(step, start, xs)
    return last + ys.sum(0), dlc.cond(last.sum() > 0.0, lambda: ys * w.sum(), lambda: ys[::-1] @ w)


def chain(x: f32[64]) -> Any:
    a = dlc.cumsum(x, 0)
    d = dlc.cumsum(dlc.cumsum(dlc.cumsum(a, 0), 0), 0)
    return d + dlc.flip(a, 0)


def averages(x: f32[64]) -> Any:
    seen = dlc.state("seen", f32[64])
    before = dlc.cumsum(seen * x, 0)
    dlc.update_state(seen, dlc.cumsum(x, 0))
    return before.sum() * x


@pytest.mark.parametrize("function", [rows, chain, averages])
def test_right_plans(function: Any) -> None:
    """Compiling walks every plan (tests/conftest.py)."""
    assert isinstance(dlc.compile(function).program, Program)


def lost(thing: Any, message: str, **options: Any) -> None:
    with pytest.raises(PlaceError, match=message) as found:
        dlc.compile(thing, verify=True, **options)  # no program that was kept
    assert "please report the program" in str(found.value)


def test_a_life_that_ends_with_its_first_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    def shorter(self: lives.Lives, schedule: Any, until: int) -> dict[Any, int]:
        first = {a: self.reach[n][1] for n in reversed(schedule.launches) for a in n.args}
        return {**first, **dict.fromkeys(schedule.graph.outputs, until)}

    monkeypatch.setattr(lives.Lives, "_last_uses", shorter)
    lost(chain, r"test_places\.py:\d+: main: launch fused_add finds .* in place of")


def test_an_update_before_the_last_reader_of_the_old_value(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order.Precedence, "add", lambda self, later, sources: None)
    lost(averages, "in place of seen")


def test_places_that_loops_do_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives.Location, "moved", lambda self, *_, **__: self)
    lost(rows, "in place of")


def test_everything_at_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a tail too: every entry is walked."""
    original = plan_memory.plan_memory

    def squeezed(schedule: Any, *rest: Any) -> Any:
        plan = original(schedule, *rest)
        values = [v for s in plan.spans for v in s.values]
        base = min(plan.slots[v].offset for v in values)
        plan.slots.update({v: lives.Location(base) for v in values})
        return plan

    monkeypatch.setattr("dlc.backend.assemble.plan_memory", squeezed)
    lost(xor, "xor", batch=4, tails={"eval": 3})


def test_owners_of_overlapping_ranges() -> None:
    a, b, c = (lives.Scratch(word, dlc.f32, 1) for word in "abc")
    owners = Owners()
    owners.write(0, 100, a)
    owners.write(40, 60, b)
    assert owners.other(0, 40, a) is False
    assert owners.other(30, 50, a) is b
    assert owners.other(60, 100, a) is False
    owners.write(20, 80, c)
    assert owners.who == [a, c, a]
    assert owners.other(20, 80, c) is False
    assert owners.other(90, 101, a) is None
    owners.write(0, 0, b)
    assert owners.who == [a, c, a]
    owners.write(0, 200, b)
    assert (owners.starts, owners.ends, owners.who) == ([0], [200], [b])


def test_long_loops_are_left_out() -> None:
    """A million iterations are not walked one by one."""
    def long(x: f32[3]) -> Any:
        return dlc.scan(lambda h, _: (h * 0.5 + x, None), dlc.zeros(3), None, length=10**6)[0]

    program = dlc.compile(long).program
    assert program.entries["main"].runs[-1] == 10**6
