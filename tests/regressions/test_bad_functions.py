"""Wrong programs that once ended inside the compiler, or passed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32


@pytest.mark.parametrize("call", [
    lambda x: dlc.vmap(3)(x), lambda x: dlc.jvp(3, (x,), (x,)), lambda x: dlc.grad(None)(x),
    lambda x: dlc.checkpoint(3)(x), lambda x: dlc.custom_gradient(3)(x),
    lambda x: dlc.hessian(x)(x), lambda x: dlc.scan(3, 0.0, x),
    lambda x: dlc.grad(lambda a, b: (a * b).sum())(x)])
def test_a_function_that_cannot_be_called_so(call: Any) -> None:
    """A TypeError from inside, without the user's line."""
    with pytest.raises(dlc.DlcError, match="it is called with") as found:
        dlc.trace(call, f32[3])
    assert found.value.loc is not None


@pytest.mark.parametrize("text", ["ij->ji->", "ij->i,j", "ij->->ij"])
def test_einsum_of_two_results(text: str) -> None:
    """ "-" and ">" of a second arrow were labels, whose axes had size 1."""
    with pytest.raises(dlc.DlcError, match="is not a label"):
        dlc.trace(lambda x: dlc.einsum(text, x), f32[2, 3])


@pytest.mark.parametrize("name", ["svd", "eigh"])
def test_spectra_of_what_is_not_finite(name: str) -> None:
    """The evaluator raised NumPy's LinAlgError; kernels give NaN."""
    spoilt = [np.full((3, 3), x, np.float32) for x in (np.nan, np.inf)]
    a = np.stack([np.eye(3, dtype=np.float32), *spoilt])
    graph = dlc.trace(getattr(dlc.linalg, name), f32[3, 3, 3])
    wanted = dlc.evaluate(graph, a)
    with dlc.compile(graph).load() as run:
        found = run(a)
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, atol=1e-6)
        assert np.isfinite(value[0]).all() and np.isnan(value[1:]).all()


def test_a_model_that_is_neither_path_nor_bytes() -> None:
    """None was a TypeError, 3 was read as three bytes."""
    for source in (None, 3):
        with pytest.raises(dlc.DlcError, match="load of"):
            dlc.onnx.load(source)  # type: ignore[arg-type]
