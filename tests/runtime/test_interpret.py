"""The interpreting device: whole models as on the CPU, wrong kernels caught instead of run."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.program import Kernel
from dlc.runtime import load
from dlc.task.task import Task
from tests.runtime.programs import pointer, run_kernel, scalar


@pytest.mark.swept(2)
@pytest.mark.parametrize(("model", "batch", "steps"), [
    ("xor", 4, 3), ("linear_regression", 8, 3), ("logistic_regression", 3, 3), ("lenet", 1, 1)])
def test_models_train_alike_on_both_devices(model: str, batch: int, steps: int,
                                            rng: np.random.Generator) -> None:
    """And no kernel of theirs touches an element outside the buffers of the memory plan."""
    module = importlib.import_module(f"dlc.models.{model}")
    task = next(value for value in vars(module).values() if isinstance(value, Task))
    compiled = dlc.compile(task, batch=batch)
    load(compiled.program, "null").close()
    native, plain = compiled.load(threads=2).running, compiled.load(device="interpret").running
    inputs: dict[str, Any] = {}
    for port in compiled.program.entries["train"].inputs:
        if port.name not in native._persistent and port.role != "step":
            values = rng.integers(0, 2, port.type.shape)
            inputs[port.name] = values.astype(port.type.dtype.numpy)
    for _ in range(steps):
        expected, got = plain.call("train", **inputs), native.call("train", **inputs)
        for name, value in got.items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-6, err_msg=name)
    for port in compiled.program.persistent:
        np.testing.assert_allclose(native.read(port.name), plain.read(port.name), rtol=1e-4,
                                   atol=1e-5, err_msg=port.name)
    native.close()


def kernel(body: str) -> Kernel:
    """A kernel of one statement over `x` and `n`."""
    text = f"def k(x, n, chunk):\n    {body}\n"
    return Kernel("k", (pointer("x", "f32", True), scalar("n")), text)


@pytest.mark.parametrize("body", ["x[n] = f32(1.0)", "x[0] = x[n]", "x[-1] = f32(1.0)",
                                  "x[0] = x[chunk - 2]", "at(x, n + 1)[0] = f32(0.0)",
                                  "at(x, -1)[0] = f32(0.0)", "at(x, 4)[n - 4] = f32(0.0)"])
def test_an_index_outside_its_buffer_is_caught(body: str) -> None:
    with pytest.raises(IndexError, match="outside a buffer of"):
        run_kernel(kernel(body), {"x": np.zeros(16, np.float32)}, (16,), device="interpret")


def test_chunks_that_depend_on_their_order_show() -> None:
    """The device runs them last to first, so the last to write is chunk 0."""
    got = run_kernel(kernel("x[0] = f32(chunk)"), {"x": np.ones(4, np.float32)}, (4,), 3,
                     "interpret")
    assert got["x"][0] == 0


def test_local_buffers_start_as_nonsense() -> None:
    got = run_kernel(kernel("x[0] = local_f32(4)[1]"), {"x": np.ones(4, np.float32)}, (4,),
                     device="interpret")
    assert np.isnan(got["x"][0])
