"""The converters, a module a family; imported when a model is first read."""

from __future__ import annotations

from importlib import import_module

FAMILIES = ("elementwise", "reduce", "shape", "gather", "contract", "pool", "normalize", "control",
            "constant", "resize", "sample", "recurrent", "signal", "training", "quantize", "ngrams")


def load() -> None:
    """Import every family, which fills the table of converters."""
    for name in FAMILIES:
        import_module(f"dlc.onnx.{name}")
