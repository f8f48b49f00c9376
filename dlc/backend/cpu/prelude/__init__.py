"""The prelude: what kernel texts may call besides primitives and tiles, as plain Python text.

The modules in TEXTS are never imported: their text, joined, is executed by the runtime in a
namespace that holds the primitives, and runs in plain Python too; widths.py makes the last of it.
docs/design/math.md says how each function works, how accurate and how fast it is.
"""

from __future__ import annotations

import re
from pathlib import Path

from dlc.backend.cpu.prelude.widths import widths_text

# in dependency order; a text calls only functions that stand in it or before it
TEXTS = ("exp_log_f32", "exp_log_f64", "activation_f32", "activation_f64", "trig_f32", "trig_f64",
         "trig_inverse", "hyperbolic", "roots", "special_f32", "special_f64", "error", "gamma",
         "bessel", "division", "integer", "bits", "narrow", "whole_u64", "random_bits")

Result = str | tuple[str, ...]
Signature = tuple[tuple[str, ...], Result]

_DEFINITION = re.compile(r"^def (\w+)\((.*)\) -> (.*):$", re.MULTILINE)


def prelude_text() -> str:
    """The whole prelude, in dependency order."""
    return _TEXT


def read_text() -> str:
    """The texts of this folder, joined, and what is the same for several widths of integers."""
    folder = Path(__file__).parent
    texts = [(folder / f"{name}.py").read_text(encoding="utf-8") for name in TEXTS]
    return "\n\n".join([*texts, widths_text()])


def read_signatures(text: str) -> dict[str, Signature]:
    """Function name -> (dtypes of its arguments, dtype of its result or a tuple of them)."""
    return {name: (_dtypes(arguments), _result(result))
            for name, arguments, result in _DEFINITION.findall(text)}


def _dtypes(arguments: str) -> tuple[str, ...]:
    return tuple(argument.split(": ")[1] for argument in arguments.split(", "))


def _result(annotation: str) -> Result:
    if annotation.startswith("tuple["):
        return tuple(annotation[len("tuple["):-1].split(", "))
    return annotation


_TEXT = read_text()
PRELUDE_FUNCTIONS = read_signatures(_TEXT)
