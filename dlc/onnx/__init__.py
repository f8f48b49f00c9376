"""ONNX models as functions of the DSL. Needs the `onnx` package: pip install dlc[onnx]."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlc.onnx.model import Model

__all__ = ["load"]


def load(source: str | Path | bytes, *, constants: Mapping[str, Any] | None = None,
         shapes: Mapping[str, tuple[int | str, ...]] | None = None,
         frozen: bool = False) -> Model:
    """The model in an .onnx file (or in its bytes) as a function of the DSL.

    `constants` gives inputs fixed values (shapes, axes and pads that a file takes at run time),
    `shapes` replaces the declared shapes of inputs. Float initializers become parameters under
    their names, to be trained further; `frozen` makes them constants. Raises DlcError for a file
    that is damaged, hostile, or asks for what dlc has not.
    """
    from dlc.onnx.model import read_model

    return read_model(source, constants or {}, shapes or {}, frozen)
