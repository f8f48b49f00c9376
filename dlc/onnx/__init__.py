"""ONNX import and export: `load` turns a model into a function of the DSL, `export` writes one.

Both need the `onnx` package: pip install dlc[onnx].
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlc.onnx.model import Model

__all__ = ["export", "load"]


def load(source: str | Path | bytes, *, constants: Mapping[str, Any] | None = None,
         shapes: Mapping[str, tuple[int | str, ...]] | None = None,
         frozen: bool = False, name: str = "") -> Model:
    """The model in an .onnx file (or in its bytes) as a function of the DSL.

    `constants` fixes the values of inputs (shapes, axes and pads that a file takes at run time),
    `shapes` replaces the declared shapes of inputs. Float initializers become parameters with their
    names, to be trained further; `frozen` makes them constants. `name` is the model's name as a
    layer (default: the graph's name with a number). Raises DlcError for a file that is damaged,
    malicious, or uses unsupported features.
    """
    from dlc.onnx.model import read_model

    return read_model(source, constants or {}, shapes or {}, frozen, name)


def export(thing: Any, path: str | Path, *, entry: str = "eval", opset: int = 17,
           parameters: Mapping[str, Any] | None = None, batch: int | None = None,
           **dims: int) -> None:
    """Write a task's predictions, or a function, Graph or loaded model, as an ONNX file.

    For a task, the graph `entry` is written, pruned to its predictions. The batch stays dynamic
    unless `batch` fixes it or the graph requires a number. `parameters` are the weights by name
    (default: initial values). Raises DlcError for an operator that ONNX cannot express.
    """
    from dlc.onnx.write import write_model

    write_model(thing, Path(path), entry, opset, parameters, batch, dims)
