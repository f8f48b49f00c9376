"""Arguments of tasks, phases and training that do not fit: one message at the user's line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, nn, optim

HERE = r"tests/test_task_arguments\.py:\d+: "
ROWS = np.zeros((8, 3), np.float32)


def made(**options: Any) -> dlc.Task:
    @dlc.task(**{"data": {"x": ROWS}, "optimizer": optim.sgd(0.1), "batch": 4, **options})
    def square(x: f32["batch", 3]) -> dlc.Loss:
        return dlc.loss((nn.dense(1)(x) ** 2).mean())

    return square


def phase(**arguments: Any) -> dlc.Phase:
    return dlc.phase(**{"name": "one", "function": made().evaluate, **arguments})


@pytest.mark.parametrize(("make", "name", "value"), [
    (make, name, value) for make, arguments in (
        (phase, {"name": (3, "two words"), "function": (3,), "every": (0, "x", 1.5),
                 "start": (-1, "x"), "stop": (0, "x"), "params": (3, [3]), "optimizer": ("adam",)}),
        (made, {"batch": ("x", 0), "epochs": (0.5, True), "patience": ("x",), "monitor": (3,),
                "frozen": (3, [None]), "augment": (3, {"x": 3}), "dims": (3,), "optimizer": (3,),
                "evaluate": (3,), "name": (3,)}),
        (made().train, {"seed": ("x", -1, 1.0), "threads": ("x", 0), "folder": (3,),
                        "rename": (3, {"a": 3}), "on_step": (3,), "on_epoch": ("x",)}))
    for name, values in arguments.items() for value in values])
def test_what_does_not_fit_is_named(make: Callable[..., Any], name: str, value: object) -> None:
    with pytest.raises(DlcError, match=HERE) as caught:
        make(**{name: value})
    told = str(caught.value)
    assert name in told or "not a" in told, told
    assert repr(value).strip("[]{}") in told, told


@pytest.mark.parametrize("size", ["x", -1, 2.5, True, None])
def test_a_dimension_takes_sizes_alone(size: Any) -> None:
    def double(x: f32["n", 3]) -> Any:
        return x * 2

    for attempt in (lambda: dlc.compile(double, n=size),
                    lambda: dlc.trace(double, dims={"n": size}),
                    lambda: made(dims={"batch": size}).graphs()):
        with pytest.raises(DlcError, match=rf"{HERE}.*dimension '(n|batch)' of x.* can't be"):
            attempt()


def test_kinds_of_graphs_phases_and_tails() -> None:
    with pytest.raises(DlcError, match=f"{HERE}square has no graph 'test'"):
        made().graphs(kinds=("test",))
    with pytest.raises(DlcError, match=f"{HERE}dlc.task: 3 is not a phase"):
        dlc.task(name="two", phases=[3])  # type: ignore[list-item]
    for tails in (3, {"eval": "x"}, {"test": 3}):
        with pytest.raises(DlcError, match=f"{HERE}task square: tails="):
            dlc.compile(made(), tails=tails)  # type: ignore[arg-type]
