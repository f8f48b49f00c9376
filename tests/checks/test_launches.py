"""compile(verify=True) behind fuse: faults planted in order, in-place writing, the memory plan,
lowering, sharing and the runtime's loops are caught at their launch and line (10 s)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, nn, u32
from dlc.backend import assemble
from dlc.backend.emit.work import Lowered
from dlc.backend.ir import Function
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import function_text
from dlc.backend.share.parametrize import Form, Use
from dlc.checks import static
from dlc.checks.launches import EntryCheck, LaunchError
from dlc.ir.graph import Node
from dlc.models.xor import xor
from dlc.passes.schedule import in_place, lives, order, plan_memory
from dlc.program import Slot
from dlc.runtime.cpu.arena import ArenaProgram
from dlc.runtime.cpu.table_builder import TableBuilder


def blocks(x: f32[9, 12], w: f32[12, 12]):
    a = dlc.tanh(x @ w)
    b = a + dlc.flip(a, 0)
    c = b @ w
    return c.sum(1), nn.softmax(b, 1) @ w + c, (a @ w).max(0)


def rows(xs: f32[5, 4], w: f32[4, 4], start: f32[4]):
    def step(h, x):
        h = dlc.tanh(h @ w + x)
        return h, h * 2.0 + x
    last, ys = dlc.scan(step, start, xs)
    return last + ys.sum(0), dlc.cond(last.sum() > 0.0, lambda: ys * w.sum(), lambda: ys[::-1] @ w)




def averages(x: f32[64]):
    seen = dlc.state("seen", f32[64])
    before = dlc.cumsum(seen * x, 0)
    dlc.update_state(seen, dlc.cumsum(x, 0))
    return before.sum() * x


@pytest.fixture(autouse=True)
def no_static_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkers that need no run would find some of these faults first."""
    monkeypatch.setattr(static, "check_assembled", lambda program, drafts: [])


def words(x: u32[9], y: f32[9]):
    large = x + 4_000_000_000
    bits = dlc.bitcast(dlc.tanh(y), u32)
    return dlc.cumsum(large, 0), large.sum(), dlc.cumprod(large, 0), bits ^ x


LINES = r"tests/checks/test_launches\.py:\d+: "


def caught(function: Any, message: str) -> None:
    """verify=True raises a LaunchError with `message` at a line of this file."""
    with pytest.raises(LaunchError, match=LINES) as found:
        dlc.compile(function, verify=True)
    assert message in str(found.value), str(found.value)
    assert "please report the program" in str(found.value)


@pytest.mark.parametrize("function", [blocks, rows, words])
def test_right_programs_pass(function: Any) -> None:
    assert dlc.compile(function, verify=True).program.entries


def test_every_entry_of_a_task_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tails, parameters and state written in place, and the step's number among them."""
    ran: list[str] = []
    original = EntryCheck.run
    monkeypatch.setattr(EntryCheck, "run",
                        lambda self: (ran.append(self.entry.name), original(self)))
    program = dlc.compile(xor, batch=4, tails={"train": 3, "eval": 1}, verify=True).program
    assert ran == list(program.entries) and "train_tail" in ran


def test_the_switch_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CHECK", "2")
    monkeypatch.setattr(lives.Location, "moved", lambda self, *_, **__: self)
    with pytest.raises(LaunchError):
        dlc.compile(rows)


def changed_kernels(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """Lowering writes `new` for the first `old` in every kernel of plain loops."""
    def edited(work: Any) -> Any:
        text = function_text(work.kernel).replace(old, new, 1)
        return replace(work, kernel=parse(text, work.kernel.params))

    def planted(*args: Any) -> list[Lowered]:
        return [Lowered(tuple(tuple(map(edited, stage)) for stage in part.stages))
                for part in lower(*args)]

    lower = assemble.lower
    monkeypatch.setattr(assemble, "lower", planted)


@pytest.mark.parametrize(("old", "new"), [
    (" + ", " - "), ("range(9)", "range(8)"), ("exp_f32(", "expm1_f32("),
    ("tanh_f32(", "sigmoid_f32("),
])
def test_a_fault_in_lowering(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    changed_kernels(monkeypatch, old, new)
    caught(blocks, "kernel fused_")


def test_writing_in_place_what_is_read_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule asks for one shape and dtype only."""
    def same_type(launch: Node, value: Node, operand: Node) -> bool:
        return in_place.same_place(operand, value)

    monkeypatch.setattr(plan_memory, "may_take_over", same_type)
    caught(blocks, "is wrong in")


def test_a_life_that_ends_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value ends with its first reader: another is put in its place before the second reads."""
    def shorter(self: lives.Lives, schedule: Any, until: int) -> dict[Node, int]:
        first = {a: self.reach[n][1] for n in reversed(schedule.launches) for a in n.args}
        return {**first, **dict.fromkeys(schedule.graph.outputs, until)}

    def chain(x: f32[64]):
        a = dlc.cumsum(x, 0)
        d = dlc.cumsum(dlc.cumsum(dlc.cumsum(a, 0), 0), 0)
        return d + dlc.flip(a, 0)

    monkeypatch.setattr(lives.Lives, "_last_uses", shorter)
    caught(chain, "made by launch cumsum, which is read later")


def test_what_is_dead_becomes_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operand after its last reader, and no byte of a value that is still to be read."""
    def chain(x: f32[64]):
        return dlc.cumsum(dlc.cumsum(dlc.cumsum(x, 0), 0), 0) * x

    spoilt: list[tuple[int, int | None]] = []
    original = ArenaProgram.spoil

    def spoil(self: ArenaProgram, start: int = 0, end: int | None = None) -> None:
        spoilt.append((start, end))
        original(self, start, end)

    monkeypatch.setattr(ArenaProgram, "spoil", spoil)
    entry = dlc.compile(chain, verify=True).program.entries["main"]
    (kept,), (out,) = entry.inputs, entry.outputs
    first, *later = spoilt
    assert first == (0, None)  # before the first launch: all of it
    assert len(later) >= len(entry.launches) - 1  # each sum after the launch that reads it
    start, end = later[-1]
    assert end is not None
    assert end <= out.offset or start >= out.offset + out.type.bytes
    # x, which the last launch reads
    assert (kept.offset, kept.offset + kept.type.bytes) not in later[:-2]


def test_arguments_of_a_shared_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 4 and 3 are one kernel, called with one number or the other."""
    def swapped(kernels: Sequence[Function], entries: Sequence[str]) -> tuple[Any, list[Use]]:
        found, uses = share(kernels, entries)
        return found, [replace(u, scalars=tuple(1 if s == 3 else s for s in u.scalars))
                       for u in uses]

    share = assemble.share
    monkeypatch.setattr(assemble, "share", swapped)
    with pytest.raises(LaunchError, match=r"models/xor\.py:\d+: xor, entry train_tail: launch"):
        dlc.compile(xor, batch=4, tails={"train": 3}, verify=True)


def test_kernels_taken_for_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are compared by their parameters alone."""
    nameless = Form.nameless
    monkeypatch.setattr(Form, "nameless", lambda self, numbers: () if numbers else nameless(
        self, numbers))
    caught(blocks, "is wrong in")


def test_a_launch_that_runs_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """An update is written over the old value before another launch has read that."""
    monkeypatch.setattr(order.Precedence, "add", lambda self, later, sources: None)
    caught(averages, "which is read later")


def test_pointers_of_a_loop_that_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives.Location, "moved", lambda self, *_, **__: self)
    caught(rows, "value")


def test_pointers_that_the_runtime_does_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launch by launch all is right: only the run as a whole has loops of the runtime's own."""
    def still(self: TableBuilder, slot: Slot) -> int:
        return self.arena + slot.offset

    monkeypatch.setattr(TableBuilder, "_address", still)
    caught(rows, "when the entry runs as a whole")


def test_a_port_at_another_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(*args: Any) -> Any:
        entry = entry_of(*args)
        first, *rest = entry.outputs
        other = next(p for p in rest if p.type != first.type)
        return replace(entry, outputs=(replace(first, offset=other.offset), *rest))

    entry_of = assemble.entry_of
    monkeypatch.setattr(assemble, "entry_of", moved)
    caught(blocks, "is not where")


def test_an_instruction_set_of_another_machine_is_interpreted(
        monkeypatch: pytest.MonkeyPatch) -> None:
    def small(x: f32[3, 4], w: f32[4, 2]):
        return dlc.tanh(x @ w)

    monkeypatch.setenv("DLC_CPU", "neon")
    assert dlc.compile(small, verify=True).program.isa == "neon"
    changed_kernels(monkeypatch, "range(4)", "range(40)")
    with pytest.raises(LaunchError, match=r"launch 1 .* fails: index \d+ lies outside"):
        dlc.compile(small, verify=True)


def test_both_sides_of_a_branch_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever the random inputs take."""
    def either(x: f32[6]):
        return dlc.cond(x.sum() > 0.0, lambda: dlc.exp(x), lambda: dlc.sin(x))

    for old, new in (("exp_f32(", "expm1_f32("), ("sin_f32(", "cos_f32(")):
        with monkeypatch.context() as patch:
            changed_kernels(patch, old, new)
            caught(either, "is wrong in 6 of 6 elements")




def test_a_custom_operator_whose_meaning_is_another() -> None:
    """It is the user's function that is wrong, and the hint says how to find out."""
    def doubled(x, out):  # type: ignore[no-untyped-def]
        for i in range(len(x)):
            out[i] = x[i] * 2.0

    def own(x: f32[5]):
        return operator(x)

    operator = dlc.custom_op(doubled, meaning=lambda x: x * 3.0, gradient="none",
                             samples=[((np.ones(5, np.float32),), {})])
    with pytest.raises(LaunchError, match="check_op compares them"):
        dlc.compile(own, verify=True)
