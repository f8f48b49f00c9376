"""The benchmark's networks in ONNX Runtime: a prediction by the file that DLC_BENCH_ONNX names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]

Array = np.ndarray[Any, Any]


def build_prediction(
    model: str, parameters: Iterable[Array], inputs: Sequence[Array], threads: int, compiled: bool
) -> tuple[Callable[[int], float], int, int, str]:
    """(steps, parameters, batch, version) of `model`, whose weights are in the file and are
    counted from `parameters`. ONNX Runtime optimizes when it loads."""
    del model, compiled
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(os.environ["DLC_BENCH_ONNX"], options,
                                           providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: inputs[0]}

    def steps(count: int) -> float:
        for _ in range(count):
            found = session.run(None, given)[0]
        return float(np.abs(found).mean())

    total = sum(parameter.size for parameter in parameters)
    return steps, total, len(inputs[0]), str(onnxruntime.__version__)
