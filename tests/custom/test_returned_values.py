"""Results of custom operators: a function of arrays fills them, an elementwise one returns them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.ir.registry import REGISTRY

X = np.ones(5, np.float32)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Operators of this file are no others' business."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


def operator(function: Callable[..., Any], **settings: Any) -> Any:
    return dlc.custom_op(function, meaning=lambda x: x * 2, gradient="none",
                         samples=[((X,), {})], name="a_result", **settings)


def test_an_array_function_that_returns_its_result_as_pure_callback_does() -> None:
    def doubled(x: Any) -> Any:
        return x * 2

    with pytest.raises(dlc.DlcError) as error:
        operator(doubled)
    said = str(error.value)
    assert "its function returns a value, but a function of arrays fills its results" in said
    assert "return x * 2" in said and "out[i] = ..." in said


def test_an_array_function_that_fills_and_returns() -> None:
    def filled(x: Any, result: Any) -> Any:
        for i in range(len(x)):
            result[i] = 2 * x[i]
        return result

    with pytest.raises(dlc.DlcError, match="returns a value") as error:
        operator(filled)
    assert "return result" in str(error.value) and "result[i] = ..." in str(error.value)


def test_an_early_end_is_no_result() -> None:
    def early(x: Any, out: Any) -> Any:
        for i in range(len(x)):
            out[i] = 2 * x[i]
        if x[0] > 0:
            return
        out[0] = 2 * x[0]
        return None

    assert operator(early).op.name == "a_result"


def test_a_helper_may_return() -> None:
    operator(uses_a_helper)


def twice(value: Any) -> Any:
    return 2 * value


def uses_a_helper(x: Any, out: Any) -> None:
    for i in range(len(x)):
        out[i] = twice(x[i])


def test_an_elementwise_function_that_returns_nothing() -> None:
    def forgetful(x: Any) -> None:
        y = 2 * x  # noqa: F841

    with pytest.raises(dlc.DlcError, match="its function returns nothing") as error:
        operator(forgetful, elementwise=True)
    assert "returns the result's element" in str(error.value)
