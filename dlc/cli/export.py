"""`dlc export FILE -o MODEL.onnx`: what a task predicts, as an ONNX model."""

from __future__ import annotations

import argparse
from typing import Any

from dlc.cli.source import changed_task, user_code
from dlc.cli.streams import say
from dlc.intake import user_path


def run(options: argparse.Namespace) -> int:
    """Write the model and say what it takes and gives."""
    from dlc.onnx import export, load

    task = changed_task(options.file, options.settings)
    with user_code():
        export(task, options.output, opset=options.opset, batch=options.batch,
               parameters=weights(options.weights, task))
    written = load(options.output)
    values = sum(v.size for v in written.parameters.values())
    say(f"{options.output}: opset {options.opset}, {values:,} parameters")
    for role, types in (("input", written.inputs), ("output", written.outputs)):
        for name, type_ in types.items():
            say(f"  {role:6} {name}: {type_}")
    return 0


def weights(path: str | None, task: Any) -> dict[str, Any] | None:
    """The values of a checkpoint that the task's graphs read. Raises CheckpointError."""
    if path is None:
        return None
    from dlc.runtime.train.checkpoint import checkpoint_at
    from dlc.runtime.train.tensorfile import CheckpointError

    arrays = checkpoint_at(user_path(path, CheckpointError))[1].arrays
    known = task.initial_values(task.graphs(), 0)
    return {name: value for name, value in arrays.items() if name in known}
