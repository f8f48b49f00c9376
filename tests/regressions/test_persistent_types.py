"""Parameters and state have one type in all entries, those of a smaller last batch included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, nn, optim
from dlc.backend.assemble import assembled
from dlc.ir.types import Type
from tests.instruction_sets import RUNS, loaded


def task_of(body: Callable[[Any], Any]) -> dlc.Task:
    """A task of batches of 4 whose loss is `body` of x and of a dense layer's result."""
    def model(x: f32["batch", 3]) -> dlc.Loss:
        return dlc.loss((nn.dense(1)(x) * body(x)).sum())

    return dlc.task(optimizer=optim.momentum(0.1), batch=4)(model)


def carried(x: Any) -> Any:
    h = dlc.state("h", f32[2, x.shape[0], 1])
    dlc.update_state(h, h + 1.0)
    return h.sum()


def weighted(x: Any) -> Any:
    return dlc.parameter("w", f32[x.shape[0], 1])


def masked(x: Any) -> Any:
    def body(x: Any) -> Any:
        return x * dlc.state("mask", f32[x.shape[0], 3])

    return nn.layer(body, name="hidden")(x).sum()


def counted(x: Any) -> Any:
    count = dlc.state("count", (f32 if x.shape[0] == 4 else dlc.i32)[()])
    return count.cast(f32)


def exchanged(x: Any) -> Any:
    make = dlc.parameter if dlc.training() else dlc.state
    return make("w", f32[3]).sum()


WRONG = [
    (carried, {"eval": 3}, "h is a state f32[2, batch=4, 1] in train and a state "
     "f32[2, batch=3, 1] in eval_tail"),
    (carried, {"train": 1}, "f32[2, batch=4, 1] in train and a state f32[2, batch=1, 1] in "
     "train_tail"),
    (weighted, {"eval": 3}, "w is a parameter f32[batch=4, 1] in train and a parameter "
     "f32[batch=3, 1] in eval_tail"),
    (masked, {"train": 2}, "hidden.mask is a state f32[batch=4, 3] in train and a state "
     "f32[batch=2, 3] in train_tail"),
    (counted, {"eval": 3}, "count is a state f32[] in train and a state i32[] in eval_tail"),
    (exchanged, {}, "w is a parameter f32[3] in train and a state f32[3] in eval"),
]


@pytest.mark.parametrize(("body", "tails", "message"), WRONG)
def test_a_type_that_differs_between_entries_is_refused(
        body: Callable[[Any], Any], tails: Mapping[str, int], message: str) -> None:
    with pytest.raises(DlcError) as caught:
        dlc.compile(task_of(body), tails=tails)
    assert message in caught.value.message
    assert "one type in all steps" in caught.value.hint
    assert caught.value.loc is not None and caught.value.loc.file == __file__


@pytest.mark.parametrize("tails", [{"evaluation": 3}, {"eval": -1}, {"train": 2.0}])
def test_tails_that_are_none(tails: Any) -> None:
    with pytest.raises(DlcError, match="sizes of the smaller last batch"):
        dlc.compile(task_of(lambda x: 1.0), tails=tails)


def test_tails_of_a_function() -> None:
    def twice(x: f32[3]) -> Any:
        return x + x

    with pytest.raises(DlcError, match="only a task has tails"):
        dlc.compile(twice, tails={"eval": 2})


def test_assembling_entries_that_differ_ends() -> None:
    """Whoever assembles graphs of their own does not get past it either."""
    small, large = (task_of(carried).graphs(n)["eval"] for n in (3, 4))
    with pytest.raises(AssertionError, match="h"):
        assembled("two", {"eval": large, "eval_tail": small}, "cpu", "scalar")[0]


@pytest.mark.swept(3)
@pytest.mark.parametrize(("isa", "device"), RUNS)
def test_state_beside_tails_is_one_array(isa: str, device: str) -> None:
    """What fits: read and updated by all entries, each with its own batch."""
    def body(x: Any) -> Any:
        h = dlc.state("h", f32[2, 3])
        dlc.update_state(h, h * 0.5 + x.sum(0))
        return h.sum()

    task = task_of(body)
    with loaded(task, isa, device, tails={"train": 3, "eval": 2}) as run:
        kept = np.zeros((2, 3), np.float32)
        for entry, size in (("train", 4), ("train_tail", 3), ("train", 4)):
            x = np.arange(3 * size, dtype=np.float32).reshape(size, 3)
            run(x, entry=entry)
            kept = kept * 0.5 + x.sum(0)
            np.testing.assert_array_equal(run.read("h"), kept)
        run(np.ones((2, 3), np.float32), entry="eval_tail")
        np.testing.assert_array_equal(run.read("h"), kept)


def test_graphs_of_one_type_share_their_place() -> None:
    program = dlc.compile(task_of(lambda x: 1.0), tails={"train": 3, "eval": 2}).program
    types = {p.name: p.type for p in program.persistent}
    assert types["dense1.weight"] == Type(f32, (3, 1))
