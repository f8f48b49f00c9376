"""Reading an ONNX file into its messages, through the `onnx` package, with every limit checked."""

from __future__ import annotations

import keyword
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dlc.errors import DlcError, here, printable
from dlc.intake import PLAIN, Intake, regular_file
from dlc.ir.types import DType, bf16, bool_, f16, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64

# A protobuf message holds at most 2 GiB; larger models keep their tensors in files beside it.
MESSAGE_BYTES = 2**31 - 1
# Fields for people, which are never shown.
FREE_TEXT = {"doc_string", "value", "producer_name", "producer_version"}
# ONNX's IR versions and default opsets that the converters were written for.
IR_VERSIONS, OPSETS = range(3, 15), range(1, 29)

# TensorProto.DataType -> dlc's dtype
DTYPES: dict[int, DType] = {1: f32, 2: u8, 3: i8, 4: u16, 5: i16, 6: i32, 7: i64, 9: bool_, 10: f16,
                            11: f64, 12: u32, 13: u64, 16: bf16}
ONNX_DTYPES = {dtype: number for number, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Source:
    """Where a model came from: `name` for messages, `folder` for its external data (or None).

    `intake` weighs what its files hold and its tensors take.
    """

    name: str
    folder: Path | None
    intake: Intake


def onnx_package() -> ModuleType:
    """The `onnx` package. Raises DlcError when it is not installed."""
    try:
        import onnx
    except ImportError:
        raise DlcError("ONNX files are read and written with the onnx package, which is not "
                       "installed", None, "pip install dlc[onnx]") from None
    found: ModuleType = onnx
    return found


def read_proto(source: str | Path | bytes) -> tuple[Any, Source]:
    """(ModelProto, where it came from). Raises DlcError for what is not a valid ONNX message."""
    onnx = onnx_package()
    if isinstance(source, (str, os.PathLike)):
        path, intake = Path(source), Intake(source, times=PLAIN)
        data = read_file(path, intake)
        where = Source(printable(path), path.resolve().parent, intake)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        data, where = bytes(source), Source("the ONNX model", None, Intake("the ONNX model"))
    else:
        raise DlcError(f"dlc.onnx.load of {source!r}", here(), "give a path, or a file's bytes")
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError, RecursionError) as problem:
        raise DlcError(f"{where.name} is not an ONNX model, or a damaged one: {problem}") from None
    check_text(model, where)
    check_header(model, where)
    return model, where


def check_text(message: Any, where: Source) -> None:
    """Raise DlcError for names that are not UTF-8, which the parser lets through as bytes, or no
    single line, which could pass for a message of dlc's."""
    waiting = [message]
    while waiting:
        for field, value in waiting.pop().ListFields():
            if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
                continue
            each = value if field.is_repeated else (value,)
            if field.type == field.TYPE_MESSAGE:
                waiting.extend(each)
            elif not all(isinstance(text, str) for text in each):
                raise DlcError(f"{where.name} is damaged: a name in it is not UTF-8")
            elif field.name not in FREE_TEXT and any("\n" in text for text in each):
                name = next(text for text in each if "\n" in text)
                raise DlcError(f"{where.name}: the name {printable(name, 60)!r} has several lines")


def read_file(path: Path, intake: Intake) -> bytes:
    """The bytes of a regular file. Raises DlcError for anything else, and beyond 2 GiB."""
    with regular_file(path) as file:
        intake.hold(file)
        size = os.fstat(file.fileno()).st_size
        if size > MESSAGE_BYTES:
            raise DlcError(f"{path} holds {size} bytes; an ONNX file has at most {MESSAGE_BYTES}")
        return file.read(intake.take(size))


def check_header(model: Any, where: Source) -> None:
    """Raise DlcError for a model without graph, of an unknown version, or with unknown fields."""
    if not model.HasField("graph"):
        raise DlcError(f"{where.name} holds no graph: it is not an ONNX model, or a damaged one")
    if model.ir_version not in IR_VERSIONS:
        raise DlcError(f"{where.name}: IR version {model.ir_version} is not known", None,
                       f"dlc reads {IR_VERSIONS.start} to {IR_VERSIONS.stop - 1}")
    opsets(model.opset_import, where)


def opsets(imported: Any, where: Source) -> dict[str, int]:
    """Domain -> opset version. Raises DlcError for a version that is unknown or given twice."""
    found: dict[str, int] = {}
    for entry in imported:
        domain = plain_domain(entry.domain)
        if domain in found:
            raise DlcError(f"{where.name}: two opsets of the domain {domain or 'ai.onnx'!r}")
        if domain == "" and entry.version not in OPSETS:
            raise DlcError(f"{where.name}: opset {entry.version} is not known", None,
                           f"dlc reads opsets {OPSETS.start} to {OPSETS.stop - 1}")
        if entry.version < 1:
            raise DlcError(f"{where.name}: opset {entry.version} of {domain!r}")
        found[domain] = entry.version
    if not found:
        raise DlcError(f"{where.name} names no opset: it is not an ONNX model, or a damaged one")
    return found


def plain_domain(domain: str) -> str:
    """The default domain has two names."""
    return "" if domain == "ai.onnx" else domain


def dtype_of(number: int, what: str) -> DType:
    """dlc's dtype of a TensorProto.DataType. Raises DlcError for one that dlc has not."""
    found = DTYPES.get(number)
    if found is None:
        kinds = onnx_package().TensorProto.DataType
        name = kinds.Name(number) if number in kinds.values() else str(number)
        raise DlcError(f"{what}: elements of type {name}", None,
                       f"dlc has {', '.join(d.name for d in DTYPES.values())}")
    return found


def identifier(name: str) -> str:
    """`name` as a word of Python: /fc/Gemm.out becomes fc_Gemm_out."""
    word = re.sub(r"\W+", "_", name).strip("_") or "value"
    word = f"v{word}" if word[0].isdigit() else word
    return f"{word}_" if keyword.iskeyword(word) else word
