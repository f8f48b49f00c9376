"""Calls that ended in Python's own errors, or in numbers that nobody asked for."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32, nn, optim, u8

X = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


def doubled(x: f32[2, 2]) -> Any:
    return x + x


@pytest.fixture(scope="module")
def run() -> Any:
    return dlc.compile(doubled).load()


@dlc.task(data={"x": X}, optimizer=optim.sgd(0.1), batch=2)
def mean_of_squares(x: f32["batch", 2]) -> dlc.Loss:
    return dlc.loss((nn.dense(1)(x) ** 2).mean())


def test_byte_order_does_not_count(run: Any) -> None:
    big = X.astype(">f4")
    np.testing.assert_array_equal(run(big), 2 * X)
    np.testing.assert_array_equal(dlc.evaluate(doubled, big), 2 * X)
    np.testing.assert_array_equal(dlc.evaluate(dlc.trace(lambda x: x * big, f32[2, 2]), X), X * X)


def test_numbers_and_arrays_that_do_not_fit(run: Any) -> None:
    masked = np.ma.array(X, mask=X > 2)
    np.testing.assert_array_equal(run(np.ma.array(X)), 2 * X)
    for given, message in (
            ([[1, 2], [3]], "rows of different lengths"), (masked, "a masked array"),
            (X.astype(object), "dtype object given"), ("text", "shape")):
        with pytest.raises(dlc.DlcError, match=message):
            run(given)
        with pytest.raises(dlc.DlcError):
            dlc.evaluate(doubled, given)


@pytest.mark.parametrize(("kind", "value"), [
    (i32, [1.5, 2]), (i32, [2**40, 0]), (u8, [300, 0]), (u8, [-1, 0]), (i32, [float("nan"), 0])])
def test_python_numbers_that_the_dtype_does_not_hold(kind: Any, value: list[float]) -> None:
    graph = dlc.trace(lambda x: x + 1, kind[2])
    told = f"is not of dtype {kind}"
    with pytest.raises(dlc.DlcError, match=told):
        dlc.evaluate(graph, value)
    with dlc.compile(graph).load() as step, pytest.raises(dlc.DlcError, match=told):
        step(value)


def test_an_integer_beyond_every_float() -> None:
    with pytest.raises(dlc.DlcError, match="beyond every float"):
        dlc.trace(lambda x: x + 10**400, f32[2])


def test_inputs_by_place_and_by_name_and_entries_that_are_not_there(run: Any) -> None:
    with pytest.raises(dlc.DlcError, match="x given by place and by name"):
        run(X, x=X)
    with pytest.raises(dlc.DlcError, match=r"no entry 'mian' \(did you mean main\?\)"):
        run(X, entry="mian")


def test_a_program_that_was_closed() -> None:
    step = dlc.compile(doubled).load()
    step.close()
    with pytest.raises(dlc.DlcError, match="is closed"):
        step(X)


def test_results_of_a_task_have_names_however_many_there_are() -> None:
    with dlc.compile(mean_of_squares).load() as step:
        assert list(step(x=X, entry="eval")) == ["loss"]
        assert list(step(x=X)) == ["loss", "lr"]


@pytest.mark.parametrize("seed", ["a", -1, 2**32, 1.5, True])
def test_seeds_that_are_none(seed: Any) -> None:
    with pytest.raises(dlc.DlcError, match="a seed is 0"):
        dlc.compile(mean_of_squares).load(seed=seed)


def test_two_threads_that_call_one_program(run: Any) -> None:
    """They wrote their arrays before either ran: one got the other's results, or an error."""
    wrong: list[Any] = []

    def calls(value: float) -> None:
        mine = np.full((2, 2), value, np.float32)
        try:
            wrong.extend(r for r in (run(mine) for _ in range(200)) if (r != 2 * value).any())
        except Exception as problem:
            wrong.append(problem)

    threads = [threading.Thread(target=calls, args=(v,)) for v in (1.0, 2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_draw_whose_first_argument_is_an_array() -> None:
    with pytest.raises(dlc.DlcError, match="the shape comes first") as told:
        dlc.trace(lambda p: dlc.random.bernoulli(p), f32[3])
    assert "p: f32[3]" in str(told.value)


def test_a_phase_needs_no_optimizer() -> None:
    def count(x: f32["batch", 2]) -> dlc.Loss:
        w = dlc.parameter("w", f32[2], dlc.init.zeros)
        dlc.update_state(w, w + x.mean(0))
        return dlc.loss((w * w).sum())

    task = dlc.task(name="sums", data={"x": X}, phases=[dlc.phase("sum", count)], batch=2)
    with dlc.compile(task).load() as step:
        step(x=X)
        np.testing.assert_allclose(step.read("w"), X.mean(0))


def test_arrays_that_are_taken_by_name_alone() -> None:
    def named(x: f32[2, 2], *, y: f32[2, 2]) -> Any:
        return x - y

    with dlc.compile(named).load() as step:
        np.testing.assert_array_equal(step(X, 2 * X), -X)
        np.testing.assert_array_equal(step(X, y=2 * X), -X)

    @dlc.task(data={"x": X}, optimizer=optim.sgd(0.1), batch=2)
    def fitted(*, x: f32["batch", 2], scale: float = 2.0) -> dlc.Loss:
        return dlc.loss((nn.dense(1)(x) ** 2).mean() * scale)

    assert fitted.graphs()["train"].output_names[0] == "loss"


def test_a_partial_function_has_the_annotations_of_the_whole() -> None:
    def scaled(x: f32[2, 2], factor: Any) -> Any:
        return x * factor

    np.testing.assert_array_equal(dlc.evaluate(partial(scaled, factor=3.0), X), 3 * X)
    with dlc.compile(partial(scaled, factor=3.0)).load() as step:
        np.testing.assert_array_equal(step(X), 3 * X)


@pytest.mark.parametrize(("function", "message"), [
    (max, "the argument types of max are unknown"),
    (lambda x=0: {}, "returned no value"),
    (lambda x=0: (), "returned no value")], ids=["builtin", "dict", "tuple"])
def test_functions_that_are_none(function: Any, message: str) -> None:
    with pytest.raises(dlc.DlcError, match=message):
        dlc.compile(function)


@pytest.mark.parametrize("option", ["frozen", "params"])
def test_a_pattern_that_names_no_parameter(option: str) -> None:
    """It froze nothing, in silence."""
    def loss(x: f32["batch", 2]) -> dlc.Loss:
        return dlc.loss((nn.dense(1, name="head")(nn.dense(3, name="body")(x)) ** 2).mean())

    if option == "frozen":
        task = dlc.task(data={"x": X}, optimizer=optim.sgd(0.1), frozen="bdy.*")(loss)
    else:
        task = dlc.task(name="two", data={"x": X}, phases=[
            dlc.phase("all", loss, optim.sgd(0.1), params=["head.*", "bdy.*"])])
    with pytest.raises(dlc.DlcError, match=rf"{option}: no parameter is called 'bdy.\*'"):
        task.graphs()


@pytest.mark.parametrize(("results", "name"), [
    (lambda x: {"a": (x, x), "a1": 2 * x}, "a1"), (lambda x: {"1": x, 1: 2 * x}, "1")],
    ids=["nested", "number"])
def test_results_of_one_name(results: Any, name: str) -> None:
    """One was lost."""
    with pytest.raises(dlc.DlcError, match=f"two values called {name!r}"):
        dlc.trace(results, f32[2])


@pytest.mark.parametrize("last", [dlc.stop_gradient, dlc.round], ids=["stop_gradient", "round"])
def test_a_loss_whose_gradient_is_zero_everywhere(last: Any) -> None:
    """It trained nothing, in silence."""
    @dlc.task(data={"x": X}, optimizer=optim.sgd(0.1), batch=2)
    def loss(x: f32["batch", 2]) -> dlc.Loss:
        return dlc.loss(last(nn.dense(1)(x)).mean())

    with pytest.raises(dlc.DlcError, match="depends on no trained parameter"):
        loss.graphs()


@pytest.mark.parametrize("results", [
    lambda x: {"fault": x}, lambda x: {"fault": x.sum().astype(i32), "y": x[x[0].astype(i32)]}])
def test_a_fault_that_is_no_check(results: Any) -> None:
    """One failed in the memory plan without a line, the other was lost."""
    with pytest.raises(dlc.DlcError, match="a value called 'fault'"):
        dlc.trace(results, f32[2])
