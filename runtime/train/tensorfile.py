"""Reading safetensors files of any origin, through the `safetensors` package."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlc.intake import PLAIN, FileError, Intake, regular_file
from dlc.ir.types import DTYPES

DTYPE_NAMES = {"F64": "f64", "F32": "f32", "F16": "f16", "BF16": "bf16", "I64": "i64",
               "I32": "i32", "I16": "i16", "I8": "i8", "U64": "u64", "U32": "u32", "U16": "u16",
               "U8": "u8", "BOOL": "bool"}

Tensors = dict[str, np.ndarray[Any, Any]]


class CheckpointError(FileError):
    """A checkpoint that cannot be used: names the file, the place, what is wrong."""


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """(arrays by name, metadata) of a safetensors file, as `parse_tensors`.

    Raises CheckpointError for a file that is missing or no regular one, too.
    """
    intake = Intake(path, CheckpointError, PLAIN)
    with regular_file(path, CheckpointError) as file:
        intake.hold(file)
        content = file.read(intake.take(os.fstat(file.fileno()).st_size))
    return parse_tensors(content, intake)


def parse_tensors(content: bytes, intake: Intake) -> tuple[Tensors, dict[str, str]]:
    """(arrays by name, metadata) of a safetensors file's bytes.

    The package checks the header against the file: lengths, JSON, dtypes, shapes against offsets,
    overlaps, holes and trailing bytes. Raises CheckpointError for what it refuses, and for arrays
    that NumPy or dlc has not. Accepts scalars, empty arrays and a padded header.
    """
    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError as problem:
        raise CheckpointError(intake.source, "", f"is not a valid safetensors file ({problem})",
                              "a whole file as it was written") from None
    header = json.loads(content[8:8 + int.from_bytes(content[:8], "little")])
    return {name: tensor(name, entry, intake) for name, entry in entries}, dict(
        header.get("__metadata__") or {})


def tensor(name: str, entry: Mapping[str, Any], intake: Intake) -> np.ndarray[Any, Any]:
    """One array of the file. Raises CheckpointError for a dtype or shape that dlc has not."""
    if entry["dtype"] not in DTYPE_NAMES:
        raise CheckpointError(intake.source, repr(name), f"the dtype {entry['dtype']}",
                              ", ".join(DTYPE_NAMES))
    dtype = DTYPES[DTYPE_NAMES[entry["dtype"]]].numpy
    intake.take_array(entry["shape"], dtype.itemsize, repr(name))
    data = np.frombuffer(entry["data"], dtype)
    if dtype.kind == "b" and data.view(np.uint8).max(initial=0) > 1:
        raise CheckpointError(intake.source, repr(name), "a bool that is neither 0 nor 1")
    return data.reshape(entry["shape"])
